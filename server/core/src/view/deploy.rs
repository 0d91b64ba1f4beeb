//! Deploys.

use crate::decide::deploy::{Standing, standing};
use crate::fleet::{Deploy, Fleet};
use jiff::Timestamp;
use muster_schemas::api::DeployView;

/// A deploy, as pipelines poll it.
pub fn deploy_view(fleet: &Fleet, deploy: &Deploy, now: Timestamp) -> DeployView {
    let progress = match standing(fleet, deploy, now) {
        Standing::UnderWay(words) | Standing::Ended(_, words) => words,
    };
    DeployView {
        id: deploy.id.to_string(),
        job: deploy.spec.job.to_string(),
        status: deploy.status,
        progress,
        commit: deploy.commit.as_ref().map(|(commit, _)| commit.to_string()),
        taken_back: deploy.taken_back.as_ref().map(ToString::to_string),
        execution: deploy.spec.execution.clone(),
        requested_by: deploy.by.clone(),
        requested_at: deploy.requested_at,
        deadline: deploy.spec.deadline,
        finished_at: deploy.finished_at,
    }
}
