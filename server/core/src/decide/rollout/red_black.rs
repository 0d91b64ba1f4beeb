//! Red/black: all new tasks beside the old ones, and the old ones leave together.
//!
//! The old set is left as it is until every new task is settled, and for `keepOld` after that, so that a commit which goes back
//! has the same containers at once: they are the new set then, and settled already. What of the old set dies meanwhile comes
//! up again as it was. Each stop is an automated one: it draws on the budget, and no healthy task is stopped while not more
//! than `desired` are healthy (nor more than the old set was to have, until the new one is settled).

use super::sets::{Set, Sets, Spare, Standing};
use crate::decide::scale::{CREATED_AT_ONCE, give_up, is_free};
use crate::decide::{Draft, automation};
use crate::guard;
use muster_schemas::event::Event;
use muster_schemas::ids::{JobId, TaskId};
use muster_schemas::rollout::RolloutStage;
use muster_schemas::spec::RedBlack;
use muster_schemas::state::StopReason;

/// Goes on with the rollout, as far as may be now.
pub(super) fn follow(draft: &mut Draft<'_>, id: &JobId) {
    fill(draft, id);
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let Some(rollout) = &job.rollout else { return };
    let (stage, from) = (rollout.stage.clone(), rollout.from);
    let sets = Sets::of(draft.fleet, job, draft.now);
    let desired = job.desired();
    let version = job.version;
    let is_settled = sets.new.count() == desired && sets.new.settled() == desired;
    let is_frozen = guard::frozen_by(draft.fleet, job, draft.now).is_some();
    let old_size = job
        .versions
        .get(&from)
        .map_or(desired, |version| version.spec.size());
    let healthy = sets.new.settled() + sets.stable.healthy() + sets.other.healthy();
    let replaced = StopReason::Rollout {
        to_version: version,
    };
    match stage {
        RolloutStage::Keeping { until } if until <= draft.now => {
            // What has failed for good has no container to stop.
            let is_gone = |set: &Set| set.count() == set.exhausted();
            if is_gone(&sets.stable) && is_gone(&sets.other) && sets.leaving == 0 && is_settled {
                let job = id.clone();
                draft.say(
                    automation("rollout"),
                    Event::RolloutFinished { job, version },
                );
                return;
            }
            let mut spare = healthy.saturating_sub(desired);
            leave(draft, &sets.other, &mut spare, &replaced);
            leave(draft, &sets.stable, &mut spare, &replaced);
        }
        RolloutStage::Keeping { .. } => {
            let mut spare = healthy.saturating_sub(desired);
            leave(draft, &sets.other, &mut spare, &replaced);
        }
        // A step is what is left of another strategy.
        RolloutStage::Replacing | RolloutStage::Step { .. } => {
            if is_settled && !is_frozen {
                let keep_old = super::rollout_spec(job)
                    .red_black
                    .as_ref()
                    .map_or_else(RedBlack::default, RedBlack::clone)
                    .keep_old;
                let keep_until = Some(draft.now + keep_old.signed());
                let job = id.clone();
                draft.say(
                    automation("rollout"),
                    Event::RolloutSettled {
                        job,
                        version,
                        keep_until,
                    },
                );
                return;
            }
            // What is neither new nor old is in the way of both.
            let mut spare = healthy.saturating_sub(desired.max(old_size));
            leave(draft, &sets.other, &mut spare, &replaced);
        }
    }
}

/// Creates what the new set lacks, and takes away what it has too many.
fn fill(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let sets = Sets::of(draft.fleet, job, draft.now);
    let (desired, version) = (job.desired(), job.version);
    let missing = usize::try_from(desired.saturating_sub(sets.new.count())).unwrap_or(usize::MAX);
    let created: Vec<u32> = (0..)
        .filter(|index| job.tasks.get(index).is_none_or(|task| is_free(job, task)))
        .take(missing.min(CREATED_AT_ONCE))
        .collect();
    for index in created {
        let task = TaskId::new(id.clone(), index);
        draft.say(
            automation("rollout"),
            Event::TaskCreated {
                task,
                version,
                run: 0,
            },
        );
    }
    let surplus = sets.new.count().saturating_sub(desired);
    let mut spare = Spare::above(desired, sets.healthy(), sets.serving());
    // Healthy ones stay where they cannot be spared: what is not healthy may be one that was told to stop and comes back.
    let leave = spare.choose(sets.new.0.iter().map(|member| (member, true)), surplus);
    for task in leave {
        give_up(draft, &task, StopReason::ScaleIn);
    }
}

/// Has a set leave, its healthy tasks only as far as they can be spared.
fn leave(draft: &mut Draft<'_>, set: &Set, spare: &mut u32, reason: &StopReason) {
    for member in &set.0 {
        let goes = match member.standing {
            Standing::Queued | Standing::Unhealthy(_) => true,
            Standing::Healthy(_) | Standing::Settled(_) if *spare > 0 => {
                *spare -= 1;
                true
            }
            // One that is being stopped ends of itself; one that cannot be seen is left until it can.
            Standing::Healthy(_)
            | Standing::Settled(_)
            | Standing::Exhausted
            | Standing::Stopping
            | Standing::Unseen { .. } => false,
        };
        if goes {
            give_up(draft, &member.id, reason.clone());
        }
    }
}
