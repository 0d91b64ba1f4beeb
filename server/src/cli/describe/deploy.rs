//! A deploy for a person who asks how far it is, or what became of it.

use super::sheet::Sheet;
use crate::cli::rows;
use crate::cli::screen::Screen;
use crate::cli::time::with_age;
use jiff::Timestamp;
use muster_schemas::api::DeployView;

pub(super) fn sheet(deploy: &DeployView, now: Timestamp, screen: &Screen) -> String {
    let mut sheet = Sheet::new(screen.color);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    sheet.field("Deploy", &deploy.id);
    let (status, tone) = rows::deploy_status(deploy.status);
    sheet.field_in("Status", status, tone);
    sheet.field("Progress", &deploy.progress);
    sheet.field("Job", &deploy.job);
    sheet.field("Image", text(&deploy.image));
    let desired = deploy.desired.map(|desired| desired.to_string());
    sheet.field("Tasks", text(&desired));
    sheet.field("Run", text(&deploy.run));
    for (name, value) in &deploy.env {
        sheet.field("Variable", format!("{name}={value}"));
    }
    sheet.field("Asked for by", &deploy.requested_by);
    sheet.field("Reason", &deploy.reason);
    sheet.field("Execution", &deploy.execution);
    sheet.field("Asked for", with_age(now, deploy.requested_at));
    let finished = deploy.finished_at.map(|at| with_age(now, at));
    match finished {
        Some(at) => sheet.field("Ended", at),
        None => sheet.field("Done by", deploy.deadline.to_string()),
    }
    sheet.field("Commit", text(&deploy.commit));
    sheet.field("Taken back by", text(&deploy.taken_back));
    sheet.finish()
}
