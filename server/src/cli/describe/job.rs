//! A job for a person who asks how it is.

use super::sheet::Sheet;
use crate::cli::rows;
use crate::cli::screen::Screen;
use crate::cli::table::Tone;
use crate::cli::time::{age, with_age};
use jiff::Timestamp;
use muster_schemas::api::{DisruptionBudgetView, EventView, JobDetail, TaskView};
use muster_schemas::rollout::Verdict;

pub(super) fn sheet(
    detail: &JobDetail,
    tasks: &[TaskView],
    events: &[EventView],
    now: Timestamp,
    screen: &Screen,
) -> String {
    let job = &detail.job;
    let mut sheet = Sheet::new(screen.color);
    sheet.field("Job", format!("{} ({})", job.id, rows::kind(job.kind)));
    let (status, tone) = rows::job_status(job.status);
    sheet.field_in("Status", status, tone);
    sheet.field("Reason", &job.reason);
    sheet.field("Tasks", rows::progress(job));
    if job.drift > 0 {
        let drift = format!("{}; see `muster get drift --job {}`", job.drift, job.id);
        sheet.field_in("Drift", drift, Tone::Busy);
    }
    sheet.field("App", &job.app);
    sheet.field("Stack", job.stack.as_deref().unwrap_or_default());
    sheet.field("Detail", job.detail.as_deref().unwrap_or_default());
    sheet.field("Owner", &job.owner);
    sheet.field(
        "Tier",
        format!(
            "{}, capacity group {}",
            rows::tier(job.tier),
            job.capacity_group
        ),
    );
    let labels: Vec<String> = job
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    sheet.field("Labels", labels.join(", "));
    sheet.field("Image", format!("{} = {}", job.image_ref, job.image));
    sheet.field("Version", job.version.to_string());
    if job.run > 0 {
        sheet.field("Run", job.run.to_string());
    }
    if job.declared {
        sheet.field("Document", &job.source);
    } else {
        sheet.field_in(
            "Document",
            format!("none in the applied revision; it was {}", job.source),
            Tone::Bad,
        );
    }
    if let Some(revision) = &job.revision {
        let commit = rows::short(revision.commit.as_str());
        sheet.field(
            "Revision",
            format!("{commit}  {}  ({})", revision.subject, revision.author),
        );
    }
    sheet.field("Created", with_age(now, job.created_at));
    sheet.field("Changed", with_age(now, job.updated_at));
    if let Some(rollout) = &detail.rollout {
        sheet.section(&format!("Rollout to version {}", rollout.to_version));
        sheet.line(
            &format!(
                "{} updated ({} for long enough), {} to go",
                rollout.updated, rollout.settled, rollout.outdated
            ),
            Tone::Busy,
        );
        if let Some(step) = &rollout.step {
            sheet.line(
                &format!(
                    "{}: step {} of {}, {} on the new version",
                    rollout.strategy,
                    step.step.min(step.of),
                    step.of,
                    step.tasks
                ),
                Tone::Plain,
            );
        }
        if !rollout.reason.is_empty() {
            sheet.line(&rollout.reason, Tone::Bad);
        }
        for measurement in &rollout.measurements {
            let tone = match measurement.verdict {
                Verdict::Passed => Tone::Plain,
                Verdict::Failed => Tone::Bad,
                Verdict::Inconclusive => Tone::Busy,
            };
            let line = format!(
                "{} {} ({} ago): {}",
                measurement.name,
                measurement.verdict.word(),
                age(now, measurement.at),
                measurement.message
            );
            sheet.line(&line, tone);
        }
        if !rollout.waiting_for.is_empty() {
            sheet.line(&format!("waits for: {}", rollout.waiting_for), Tone::Plain);
        }
    }
    if let Some(budget) = &detail.disruption_budget {
        disruption_budget(&mut sheet, budget);
    }
    sheet.tasks(tasks, now, screen);
    if !detail.history.is_empty() {
        sheet.section("History, newest first");
        for entry in &detail.history {
            let commit = rows::short(entry.revision.commit.as_str());
            let line = format!(
                "version {}: {} by {commit}  {}  ({}, {} ago)",
                entry.version,
                entry.action,
                entry.revision.subject,
                entry.revision.author,
                age(now, entry.at)
            );
            sheet.line(&line, Tone::Plain);
            sheet.changes(&entry.fields);
        }
    }
    sheet.events_of_tasks(events, now, screen);
    sheet.finish()
}

fn disruption_budget(sheet: &mut Sheet, budget: &DisruptionBudgetView) {
    sheet.section("Disruption budget");
    let healthy = format!(
        "{}: {} healthy, {} have to be",
        budget.limit, budget.healthy, budget.floor
    );
    sheet.line(&healthy, Tone::Plain);
    if let Some(rate) = &budget.rate {
        sheet.line(rate, Tone::Plain);
    }
    for window in &budget.windows {
        sheet.line(window, Tone::Plain);
    }
    if let Some(waits_for) = &budget.waits_for {
        sheet.line(&format!("waits for: {waits_for}"), Tone::Busy);
    }
}
