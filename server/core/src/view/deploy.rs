//! Deploys.

use super::filter::DeployFilter;
use super::page::{self, Page};
use crate::decide::deploy::{Standing, standing};
use crate::fleet::{Deploy, Fleet};
use jiff::Timestamp;
use muster_schemas::api::{DeployView, List};

/// A page of the deploys that match and are still in memory, newest first.
pub fn deploys(
    fleet: &Fleet,
    filter: &DeployFilter,
    page: &Page,
    now: Timestamp,
) -> List<DeployView> {
    // A cursor whose deploy has left memory had only older ones after it, which are gone too: nothing is after it.
    let mut passed = page.after.is_none();
    page::take(
        fleet
            .deploys
            .iter()
            .rev()
            .filter(|deploy| filter.matches(deploy)),
        page.limit,
        |deploy| {
            let is_after = passed;
            passed |= page.after.as_deref() == Some(deploy.id.as_str());
            is_after
        },
        |deploy| deploy.id.to_string(),
        |deploy| deploy_view(fleet, deploy, now),
    )
}

/// A deploy, as pipelines poll it.
pub fn deploy_view(fleet: &Fleet, deploy: &Deploy, now: Timestamp) -> DeployView {
    let progress = match standing(fleet, deploy, now) {
        Standing::UnderWay(words) | Standing::Ended(_, words) => words,
    };
    DeployView {
        id: deploy.id.to_string(),
        job: deploy.spec.job.to_string(),
        app: fleet.app_of(&deploy.spec.job).map(str::to_owned),
        status: deploy.status,
        progress,
        commit: deploy.commit.as_ref().map(|(commit, _)| commit.to_string()),
        taken_back: deploy.taken_back.as_ref().map(ToString::to_string),
        image: deploy.spec.image.clone(),
        desired: deploy.spec.desired,
        env: deploy.spec.env.clone(),
        run: deploy.spec.run.clone(),
        reason: deploy.spec.reason.clone(),
        execution: deploy.spec.execution.clone(),
        requested_by: deploy.by.clone(),
        requested_at: deploy.requested_at,
        deadline: deploy.spec.deadline,
        finished_at: deploy.finished_at,
    }
}
