//! What a job depends on, and whether that stands.
//!
//! The gate is at the entrance of a version: what a job's new version makes run begins only once all jobs that it depends on
//! stand as the repository says. A version that has begun goes on, whatever becomes of them: a rollout that stops half-way leaves
//! two versions running, which is worse than either, and what keeps a service available is its own rollout and budget. Nothing
//! that runs is stopped for the gate, and what dies of the version before is started again on that version.

use crate::fleet::{Fleet, Job, TaskPhase};
use jiff::Timestamp;
use muster_schemas::ids::JobId;
use muster_schemas::spec::{Batch, Service};
use muster_schemas::state::Outcome;
use muster_schemas::wait::{NotStanding, WaitsFor};

/// What a job's version waits for before it begins; empty where it has begun or may.
pub fn waits_for(fleet: &Fleet, job: &Job, now: Timestamp) -> Vec<WaitsFor> {
    if !job.is_waiting() {
        return Vec::new();
    }
    job.spec()
        .depends_on
        .iter()
        .filter_map(|id| {
            let why = lacks(fleet, id, now)?;
            let job = id.clone();
            Some(WaitsFor { job, why })
        })
        .collect()
}

/// Why a job does not stand as the repository says, if it does not.
pub fn lacks(fleet: &Fleet, id: &JobId, now: Timestamp) -> Option<NotStanding> {
    let mut refused = fleet.refused.iter();
    if refused.any(|problem| problem.job.as_ref() == Some(id)) {
        return Some(NotStanding::Refused);
    }
    let Some(job) = fleet.jobs.get(id) else {
        return Some(NotStanding::Missing);
    };
    if job.pruned || !job.declared {
        return Some(NotStanding::Removed);
    }
    let latest = fleet.plans.back();
    let mut withheld = latest.into_iter().flat_map(|entry| &entry.plan.withheld);
    if withheld.any(|withheld| withheld.change.job == *id) {
        return Some(NotStanding::KeptBack);
    }
    if job.is_waiting() {
        return Some(NotStanding::Waits);
    }
    match (&job.spec().service, &job.spec().batch) {
        (Some(service), _) => service_lacks(fleet, job, service, now),
        (None, Some(batch)) => batch_lacks(job, batch),
        (None, None) => None,
    }
}

fn service_lacks(
    fleet: &Fleet,
    job: &Job,
    service: &Service,
    now: Timestamp,
) -> Option<NotStanding> {
    // A size that somebody set beside git is the one that has to stand.
    let desired = job.desired();
    let settle = service.rollout.min_healthy_time.signed();
    let (mut settled, mut outdated) = (0, 0);
    for task in job.tasks.values().filter(|task| !task.is_finished()) {
        if job.is_kept(task.version) {
            continue;
        }
        if job.is_outdated(task.version) {
            outdated += 1;
            continue;
        }
        let since = fleet
            .current_attempt(task)
            .filter(|_| fleet.is_healthy(task))
            .and_then(|attempt| attempt.healthy_since);
        settled += u32::from(since.is_some_and(|since| now.duration_since(since) >= settle));
    }
    (outdated > 0 || settled < desired).then_some(NotStanding::Unsettled {
        settled,
        desired,
        outdated,
    })
}

/// What a batch job's current run lacks.
pub fn batch_lacks(job: &Job, batch: &Batch) -> Option<NotStanding> {
    let size = batch.size;
    let (mut succeeded, mut failed) = (0, 0);
    let tasks = job.tasks.values();
    for task in tasks.filter(|task| task.run == job.run && task.id.index < size) {
        match &task.phase {
            TaskPhase::Finished {
                outcome: Outcome::Succeeded,
                ..
            } => succeeded += 1,
            TaskPhase::Finished { .. } => failed += 1,
            TaskPhase::Queued { .. } | TaskPhase::Active { .. } => {}
        }
    }
    if failed > 0 {
        Some(NotStanding::Failed { failed, size })
    } else {
        (succeeded < size).then_some(NotStanding::Unfinished { succeeded, size })
    }
}
