//! Hooks: batch jobs that run before a plan's changes take effect, or once they have.
//!
//! When a plan changes what other jobs run, the before-hooks of its revision begin a run first. The plan is held while they run,
//! and nothing of it happens but the hooks' own changes; when all have succeeded it goes ahead by itself, and when one has not, it
//! stays held until a newer commit takes its place or a person approves it in spite of that. After-hooks begin a run once the
//! services that the plan changed stand as the repository says.

use crate::dependencies::{batch_lacks, lacks};
use crate::fleet::{Fleet, HooksBegan, Job, PlanEntry, TaskPhase};
use crate::guard::target_spec;
use jiff::Timestamp;
use muster_schemas::ids::{JobId, TaskId};
use muster_schemas::plan::{HoldReason, JobAction, JobChange, Plan};
use muster_schemas::spec::{Hook, JobSpec};
use muster_schemas::state::Outcome;

/// Whether a plan changes what any job runs that is no hook itself.
pub fn wants_hooks(fleet: &Fleet, plan: &Plan) -> bool {
    plan.changes.iter().any(|change| {
        let changes_what_runs = match change.action {
            JobAction::Create { .. } | JobAction::Update { .. } | JobAction::Prune { .. } => true,
            JobAction::Move { .. } | JobAction::Undeclare { .. } | JobAction::Redeclare { .. } => {
                false
            }
        };
        let spec = target_spec(change).or_else(|| fleet.jobs.get(&change.job).map(Job::spec));
        changes_what_runs && spec.is_some_and(|spec| spec.hook().is_none())
    })
}

/// The before-hooks of a plan's revision, where it wants any.
pub fn before(fleet: &Fleet, plan: &Plan) -> Vec<JobId> {
    if !wants_hooks(fleet, plan) {
        return Vec::new();
    }
    let is_before = |spec: &JobSpec| spec.hook() == Some(Hook::BeforeSync);
    let change_of = |id: &JobId| plan.changes.iter().find(|change| change.job == *id);
    let stays = |job: &&Job| match change_of(&job.id).map(|change| &change.action) {
        None => job.declared && !job.pruned,
        Some(JobAction::Move { .. } | JobAction::Redeclare { .. }) => true,
        // Counted by what it will be.
        Some(JobAction::Create { .. } | JobAction::Update { .. }) => false,
        Some(JobAction::Prune { .. } | JobAction::Undeclare { .. }) => false,
    };
    let known = fleet
        .jobs
        .values()
        .filter(stays)
        .filter(|job| is_before(job.spec()));
    let changed = plan
        .changes
        .iter()
        .filter(|change| target_spec(change).is_some_and(is_before))
        .map(|change: &JobChange| &change.job);
    let mut hooks: Vec<JobId> = known.map(|job| &job.id).chain(changed).cloned().collect();
    hooks.sort();
    hooks
}

/// What holds a plan whose before-hooks have begun; empty once all have succeeded.
pub fn reasons(fleet: &Fleet, entry: &PlanEntry) -> Vec<HoldReason> {
    let Some(began) = &entry.before_hooks else {
        return Vec::new();
    };
    let mut reasons: Vec<HoldReason> = began
        .jobs
        .iter()
        .filter_map(|id| {
            let job = fleet.jobs.get(id)?;
            if let Some(task) = failed(job) {
                return Some(HoldReason::HookFailed { task });
            }
            batch_lacks(job, job.spec().batch.as_ref()?)?;
            Some(HoldReason::HookRuns { job: id.clone() })
        })
        .collect();
    // What has failed is what people look for.
    reasons.sort_by_key(|reason| !matches!(reason, HoldReason::HookFailed { .. }));
    reasons
}

/// The first task of a hook's current run that did not succeed.
fn failed(job: &Job) -> Option<TaskId> {
    let mut tasks = job.tasks.values().filter(|task| task.run == job.run);
    let task = tasks.find(|task| match &task.phase {
        TaskPhase::Finished { outcome, .. } => *outcome != Outcome::Succeeded,
        TaskPhase::Queued { .. } | TaskPhase::Active { .. } => false,
    })?;
    Some(task.id.clone())
}

/// Whether a hook's current run goes on, so that tasks of it may come to be. A hook that only changes does not run for that.
pub fn runs(fleet: &Fleet, job: &Job) -> bool {
    let begun = |began: &Option<HooksBegan>| {
        began
            .as_ref()
            .is_some_and(|began| began.jobs.contains(&job.id))
    };
    let latest = fleet.plans.back();
    let before = latest.is_some_and(|entry| {
        entry.applied_at.is_none() && entry.refusal.is_none() && begun(&entry.before_hooks)
    });
    before || applied(fleet).is_some_and(|entry| begun(&entry.after_hooks))
}

fn applied(fleet: &Fleet) -> Option<&PlanEntry> {
    fleet.plan(fleet.applied_plan.as_ref()?)
}

/// The services that after-hooks of a plan wait for, as it is applied; none where they need not run. What the plan before it waited
/// for is taken along where its hooks have not begun.
pub fn awaited(fleet: &Fleet, plan: &Plan) -> Option<Vec<JobId>> {
    let before = applied(fleet)
        .filter(|entry| entry.after_hooks.is_none())
        .and_then(|entry| entry.awaited_by_hooks.clone());
    if before.is_none() && !wants_hooks(fleet, plan) {
        return None;
    }
    let is_service =
        |change: &&JobChange| target_spec(change).is_some_and(|spec| spec.service.is_some());
    // How long a batch takes nobody knows, and what is removed has its grace.
    let services = plan.changes.iter().filter(is_service);
    let mut awaited = before.unwrap_or_default();
    awaited.extend(services.map(|change| change.job.clone()));
    awaited.sort();
    awaited.dedup();
    Some(awaited)
}

/// The after-hooks that begin now, with their plan: it was applied last, and the services that they wait for stand.
pub fn due_after(fleet: &Fleet, now: Timestamp) -> Option<(&PlanEntry, Vec<JobId>)> {
    let entry = applied(fleet).filter(|entry| entry.after_hooks.is_none())?;
    let awaited = entry.awaited_by_hooks.as_ref()?;
    let is_wanted = |id: &&JobId| {
        let job = fleet.jobs.get(*id);
        job.is_some_and(|job| job.declared && !job.pruned)
    };
    let mut wanted = awaited.iter().filter(is_wanted);
    let stand = wanted.all(|job| lacks(fleet, job, now).is_none());
    let hooks: Vec<JobId> = after(fleet).map(|job| job.id.clone()).collect();
    (stand && !hooks.is_empty()).then_some((entry, hooks))
}

/// The after-hooks of the repository.
pub fn after(fleet: &Fleet) -> impl Iterator<Item = &Job> {
    fleet
        .jobs
        .values()
        .filter(|job| job.declared && !job.pruned && job.spec().hook() == Some(Hook::AfterSync))
}
