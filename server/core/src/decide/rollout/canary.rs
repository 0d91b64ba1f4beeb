//! A canary: a few tasks get the new version first, and more of them step by step.
//!
//! A step is held until its tasks are settled, its pause is over, and everything that is measured has passed since they
//! settled ([`super::analysis`]). What cannot be measured holds it there: it neither goes on unseen nor back for want of data.
//! What is found wrong aborts the rollout, which then stands until a newer commit supersedes it or a person retries it.

use super::sets::Sets;
use super::shift::{self, Goal};
use super::{analysis, rollout_spec};
use crate::decide::{Draft, automation};
use crate::fleet::Job;
use crate::guard;
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;
use muster_schemas::spec::Strategy;

/// So many tasks on each side at the canary's step.
fn goal(job: &Job) -> Option<(Goal, u32, u32)> {
    let rollout = job.rollout.as_ref()?;
    let spec = rollout_spec(job);
    let Strategy::Canary(canary) = spec.strategy() else {
        return None;
    };
    let desired = job.desired();
    let new = canary.tasks_at(rollout.step(), desired);
    let goal = Goal {
        new,
        stable: desired - new,
        forward: true,
    };
    let steps = u32::try_from(canary.steps.len()).unwrap_or(u32::MAX);
    Some((goal, steps, canary.tasks_at(rollout.step() + 1, desired)))
}

/// Goes on with the rollout, as far as may be now.
pub(super) fn follow(draft: &mut Draft<'_>, id: &JobId) {
    analysis::measure_health(draft, id);
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let (Some((goal, steps, next)), Some(rollout)) = (goal(job), job.rollout.as_ref()) else {
        return;
    };
    let version = job.version;
    let is_frozen = guard::frozen_by(draft.fleet, job, draft.now).is_some();
    if !is_frozen && let Some(reason) = analysis::failure(job, rollout) {
        let job = id.clone();
        let event = Event::RolloutAborted {
            job,
            version,
            reason,
        };
        draft.say(automation("rollout"), event);
        return;
    }
    let step = rollout.step();
    let sets = Sets::of(draft.fleet, job, draft.now);
    if shift::is_reached(&sets, goal) && !is_frozen {
        let was_settled = rollout.settled_at.is_some();
        let goes_on = was_settled && analysis::holds(draft.fleet, job, draft.now).is_empty();
        let job = id.clone();
        let event = if step >= steps {
            Event::RolloutFinished { job, version }
        } else if !was_settled {
            Event::RolloutSettled {
                job,
                version,
                keep_until: None,
            }
        } else if goes_on {
            Event::RolloutStepped {
                job,
                version,
                step: step + 1,
                tasks: next,
            }
        } else {
            shift::follow(draft, id, goal);
            return;
        };
        draft.say(automation("rollout"), event);
        return;
    }
    shift::follow(draft, id, goal);
}
