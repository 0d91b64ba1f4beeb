//! How a change reaches the tasks of a service: one file for each strategy.
//!
//! [`rolling`] replaces index by index. [`red_black`] starts all new tasks beside the old ones. [`canary`] goes step by step,
//! as the [`analysis`] of what is measured allows, and [`shift`] brings so many tasks to each of the two versions, which is also
//! the way back of a rollout that was aborted. What people say about a rollout is in [`command`].
//!
//! However it goes, a rollout never takes a healthy task away where that would leave too few, and a version that never gets
//! healthy leaves the version before serving.

pub mod analysis;
mod canary;
pub(super) mod command;
mod red_black;
mod rolling;
mod sets;
mod shift;

use super::{Draft, automation};
use crate::fleet::{Fleet, Job, JobRollout, Movement, Task};
use crate::guard;
use jiff::Timestamp;
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;
use muster_schemas::rollout::{AbortReason, RolloutStage, RolloutWord, Stuck};
use muster_schemas::spec::{DisruptionBudget, Rollout};
pub use rolling::ServiceView;
use shift::Goal;
use std::borrow::Cow;

/// Brings a service nearer to what it asks for.
pub(super) fn follow_service(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let movement = job.movement();
    match movement {
        Movement::Rolling => rolling::follow(draft, id),
        Movement::RedBlack => red_black::follow(draft, id),
        Movement::Canary => canary::follow(draft, id),
        Movement::Back => {
            let stable = job.desired();
            let goal = Goal {
                new: 0,
                stable,
                forward: false,
            };
            shift::follow(draft, id, goal);
        }
    }
    follow_standing(draft, id);
}

/// How the job's rollouts go; the defaults for what is no service.
fn rollout_spec(job: &Job) -> Cow<'_, Rollout> {
    let Some(service) = &job.spec().service else {
        return Cow::Owned(Rollout::default());
    };
    let rollout = &service.rollout;
    if rollout.red_black.is_none() {
        return Cow::Borrowed(rollout);
    }
    // Where its tasks give way in their places, on the way back or because somebody changed them, red/black takes none away
    // before another one stands in for it, just as on the way forward.
    Cow::Owned(Rollout {
        max_surge: rollout.max_surge.max(1),
        max_unavailable: 0,
        ..rollout.clone()
    })
}

/// Says that a rollout is finished, or that it gets no further.
fn follow_standing(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    // One that was aborted stands, also while the job asks for no tasks.
    let Some(rollout) = job.rollout.as_ref().filter(|known| known.aborted.is_none()) else {
        return;
    };
    let version = job.version;
    if job.movement() == Movement::Rolling && rolling::is_done(draft.fleet, job, draft.now) {
        let job = id.clone();
        draft.say(
            automation("rollout"),
            Event::RolloutFinished { job, version },
        );
        return;
    }
    let Some(due) = deadline(draft.fleet, job, rollout) else {
        return;
    };
    if due > draft.now || guard::frozen_by(draft.fleet, job, draft.now).is_some() {
        return;
    }
    let deadline = rollout_spec(job).progress_deadline;
    let stuck = stuck_on(draft.fleet, job, draft.now);
    let job_id = id.clone();
    let event = if job.movement() == Movement::Canary {
        Event::RolloutAborted {
            job: job_id,
            version,
            reason: AbortReason::NoProgress { deadline, stuck },
        }
    } else {
        Event::RolloutStalled {
            job: job_id,
            version,
            deadline,
            stuck,
        }
    };
    draft.say(automation("rollout"), event);
}

/// When a rollout that gets no further is stalled; none while it waits for something else, or is stalled already.
fn deadline(fleet: &Fleet, job: &Job, rollout: &JobRollout) -> Option<Timestamp> {
    let waits = match job.movement() {
        Movement::Back => true,
        Movement::Rolling if rollout.aborted.is_some() => true,
        Movement::Canary => rollout.settled_at.is_some(),
        Movement::RedBlack => matches!(rollout.stage, RolloutStage::Keeping { .. }),
        Movement::Rolling => false,
    };
    if waits || job.is_waiting() || rollout.stalled.is_some() || job.tombstone.is_some() {
        return None;
    }
    // A rollout that waits for the job's own windows, or for its own rate, is not stuck.
    let budget = job.spec().disruption_budget.as_ref();
    if budget.is_some_and(DisruptionBudget::sets_pace) {
        return None;
    }
    // Nothing could get any further while the control plane was away, or while the job was frozen.
    let app = job.spec().app();
    let freezes = fleet
        .freezes
        .iter()
        .filter(|freeze| freeze.scope.holds(&job.id, app))
        .filter_map(|freeze| freeze.until);
    let since = freezes
        .chain([rollout.progress_at, fleet.led_since])
        .max()
        .unwrap_or(rollout.progress_at);
    // The time for which a new task has to be healthy is none in which it gets no further. A deadline beyond the end of time
    // never comes.
    let spec = rollout_spec(job);
    since
        .checked_add(spec.progress_deadline.signed())
        .and_then(|due| due.checked_add(spec.min_healthy_time.signed()))
        .ok()
}

/// What a rollout that gets no further is stuck on: of its new tasks, one that needs a person first.
pub fn stuck_on(fleet: &Fleet, job: &Job, now: Timestamp) -> Stuck {
    let new = || {
        job.tasks
            .values()
            .filter(|task| !task.is_finished() && !job.is_outdated(task.version))
    };
    let name = |task: &Task| task.id.clone();
    if let Some(task) = new().find(|task| fleet.in_crash_loop(task, now)) {
        return Stuck::CrashLoop {
            task: name(task),
            failures: task.failures,
        };
    }
    if let Some(task) = new().find(|task| task.is_queued() && task.blocked.is_some()) {
        return Stuck::NoHost { task: name(task) };
    }
    match new().find(|task| !fleet.is_healthy(task)) {
        Some(task) => Stuck::NotHealthy { task: name(task) },
        None => Stuck::Stops,
    }
}

/// What a person can tell the job's rollout now.
pub fn words_for(job: &Job) -> Vec<RolloutWord> {
    [RolloutWord::Promote, RolloutWord::Abort, RolloutWord::Retry]
        .into_iter()
        .filter(|word| command::allowed(job, *word).is_ok())
        .collect()
}

/// When a rollout is to be looked at again, if nothing comes in before.
pub(super) fn next_due(fleet: &Fleet, now: Timestamp) -> Option<Timestamp> {
    fleet
        .jobs
        .values()
        .filter_map(|job| Some((job, job.rollout.as_ref()?)))
        .flat_map(|(job, rollout)| {
            let kept = match rollout.stage {
                RolloutStage::Keeping { until } => Some(until),
                RolloutStage::Replacing | RolloutStage::Step { .. } => None,
            };
            kept.into_iter()
                .chain(deadline(fleet, job, rollout))
                .chain(analysis::next_due(job, rollout))
        })
        .filter(|due| *due > now)
        .min()
}
