//! What follows from drift: which sizes that were set beside git end, and what is put back on running containers.
//!
//! What cannot be put back while a container runs is replaced by [`super::scale`], as by a rollout. All of this only where the
//! policy says `selfHeal: true`, never for what it ignores, and not for what is frozen.

use super::{Draft, Refusal, automation};
use crate::drift;
use crate::fleet::Fleet;
use crate::guard;
use crate::headroom;
use crate::plan::{active_tasks, serving_tasks};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::drift::{DriftField, ResizeEnd};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::state::Actor;

/// Something that changes a container again and again (a script by the clock, another tool that heals) is not answered faster
/// than this: it would fill the journal.
const PUT_BACK_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// The longest time that a size which overrides git may be asked for: what is to last longer is a commit.
pub const RESIZE_AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Takes a size that somebody gives a service beside git.
pub(super) fn scale(
    draft: &mut Draft<'_>,
    actor: Actor,
    id: JobId,
    desired: u32,
    reason: String,
    until: Option<Timestamp>,
) -> Result<(), Refusal> {
    let fleet = &*draft.fleet;
    let job = fleet
        .jobs
        .get(&id)
        .ok_or_else(|| Refusal::UnknownJob(id.clone()))?;
    let Some(service) = &job.spec().service else {
        return Err(Refusal::NotForThisJob {
            job: id,
            field: "desired",
            kind: "a batch job",
        });
    };
    if job.pruned || job.tombstone.is_some() {
        return Err(Refusal::JobIsLeaving(id));
    }
    let capacity = service.capacity;
    if !(capacity.min..=capacity.max).contains(&desired) {
        return Err(Refusal::OutsideCapacity {
            job: id,
            desired,
            min: capacity.min,
            max: capacity.max,
        });
    }
    if let Some(freeze) = guard::frozen_by(fleet, job, draft.now) {
        return Err(Refusal::JobIsFrozen {
            job: id,
            why: drift::freeze_words(&freeze, draft.now),
        });
    }
    if let Some(until) = until
        .filter(|until| *until <= draft.now || until.duration_since(draft.now) > RESIZE_AT_MOST)
    {
        return Err(Refusal::BadEndOfResize(until));
    }
    let ignored = drift::is_ignored(fleet.policy.as_ref(), job.spec(), DriftField::Desired);
    // Going back to what git says is never held up: that is what a plan has let through.
    if !ignored && desired == job.spec().size() {
        if let Some(resize) = job.resize.clone() {
            let event = Event::ResizeEnded {
                job: id,
                by: resize.by,
                desired: resize.desired,
                end: ResizeEnd::TakenBack,
            };
            draft.say(actor, event);
        }
        return Ok(());
    }
    // While red/black has two sets a larger size takes nothing away; a smaller one takes of both.
    let stops = if desired < serving_tasks(job) {
        active_tasks(job).saturating_sub(desired)
    } else {
        0
    };
    let limits = guard::too_many_of_job(fleet, job, stops, desired, draft.now);
    if let [limit, ..] = &limits[..] {
        return Err(Refusal::TooManyStops {
            job: id,
            limit: limit.to_string(),
        });
    }
    let policy = guard::policy(fleet);
    if let [reason, ..] = &headroom::too_little_for(fleet, job, desired, &policy.headroom)[..] {
        return Err(Refusal::TooLittleHeadroom {
            job: id,
            limit: reason.to_string(),
        });
    }
    let until = until.or_else(|| (!ignored).then(|| draft.now + drift::RESIZE_EXPIRES));
    // What scales by load asks again and again: a size that holds already is no news.
    let holds_already = job
        .resize
        .as_ref()
        .is_some_and(|resize| resize.desired == desired && resize.until == until);
    if !holds_already {
        let event = Event::JobScaled {
            job: id,
            desired,
            reason,
            until,
        };
        draft.say(actor, event);
    }
    Ok(())
}

/// Ends sizes whose time is over or which the policy heals, and orders what is to be put back.
pub(super) fn follow_drift(draft: &mut Draft<'_>) {
    end_resizes(draft);
    order_put_backs(draft);
}

fn end_resizes(draft: &mut Draft<'_>) {
    let (fleet, now) = (&*draft.fleet, draft.now);
    let heals = drift::heals(fleet);
    let over: Vec<Event> = fleet
        .jobs
        .values()
        .filter_map(|job| {
            let resize = job.resize.as_ref()?;
            let ends = drift::resize_ends(fleet, job, resize);
            let ignored = drift::is_ignored(fleet.policy.as_ref(), job.spec(), DriftField::Desired);
            let end = if ends.is_some_and(|at| at <= now) {
                ResizeEnd::Expired
            } else if heals && !ignored {
                ResizeEnd::SelfHealed
            } else {
                return None;
            };
            // What is frozen is left as it is.
            guard::frozen_by(fleet, job, now)
                .is_none()
                .then(|| Event::ResizeEnded {
                    job: job.id.clone(),
                    by: resize.by.clone(),
                    desired: resize.desired,
                    end,
                })
        })
        .collect();
    for event in over {
        draft.say(automation("drift"), event);
    }
}

fn order_put_backs(draft: &mut Draft<'_>) {
    let (fleet, now) = (&*draft.fleet, draft.now);
    let orders: Vec<(AttemptId, Vec<DriftField>)> = fleet
        .attempts
        .values()
        .filter(|attempt| !attempt.drift().is_empty() || !attempt.put_back.is_empty())
        .filter_map(|attempt| {
            let fields = drift::to_put_back(fleet, attempt, now);
            let waits = attempt.put_back.is_empty()
                && attempt
                    .put_back_at
                    .is_some_and(|at| now.duration_since(at) < PUT_BACK_PAUSE);
            (fields != attempt.put_back && !waits).then_some((attempt.id, fields))
        })
        .collect();
    for (attempt, fields) in orders {
        draft.say(
            automation("drift"),
            Event::PutBackOrdered { attempt, fields },
        );
    }
}

/// The times at which a size ends, or something may be put back again.
pub(super) fn due(fleet: &Fleet) -> impl Iterator<Item = Timestamp> + '_ {
    let ends = fleet
        .jobs
        .values()
        .filter_map(|job| drift::resize_ends(fleet, job, job.resize.as_ref()?));
    let pauses = fleet
        .attempts
        .values()
        .filter(|attempt| !attempt.drift().is_empty() && attempt.put_back.is_empty())
        .filter_map(|attempt| Some(attempt.put_back_at? + PUT_BACK_PAUSE));
    ends.chain(pauses)
}
