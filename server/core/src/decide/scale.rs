//! How many tasks a job has, and how one is stopped: creation, scale-in and prune. Which tasks of a service give way to a new
//! version is decided in [`super::rollout`].

use super::{Draft, automation, rollout};
use crate::fleet::{Fleet, Job, Task, TaskPhase};
use crate::guard;
use crate::hooks;
use crate::plan::hides_jobs;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId, TaskId};
use muster_schemas::spec::{JobKind, Millis};
use muster_schemas::state::{Actor, FinishReason, Outcome, QueueReason, StopOrder, StopReason};
use muster_schemas::stop::StopRefusal;

/// Tasks of one job that may be created in one pass: a job of 10,000 comes to be in ten, and other jobs are not kept waiting.
pub(super) const CREATED_AT_ONCE: usize = 1000;

/// Orders a stop, whatever the budget says: for what a person asked.
pub(super) fn order_stop(
    draft: &mut Draft<'_>,
    attempt: AttemptId,
    reason: StopReason,
    actor: Actor,
) {
    let Some(known) = draft.fleet.attempts.get(&attempt) else {
        return;
    };
    let Some(job) = draft.fleet.jobs.get(&known.task.job) else {
        return;
    };
    let grace = job
        .versions
        .get(&known.version)
        .map_or(job.spec().kill_grace, |version| version.spec.kill_grace);
    let plan = match reason {
        // The size is somebody's word beside git, which the event before names.
        StopReason::ScaleIn if job.resize.is_some() => None,
        StopReason::Rollout { .. } | StopReason::ScaleIn | StopReason::Prune => {
            job.history.back().map(|entry| entry.plan.clone())
        }
        StopReason::Liveness { .. }
        | StopReason::RuntimeLimit { .. }
        | StopReason::Drift { .. }
        | StopReason::Asked { .. }
        | StopReason::Down => None,
    };
    let order = StopOrder {
        attempt,
        reason,
        actor: actor.clone(),
        plan,
        grace,
    };
    draft.say(actor, Event::StopOrdered { order });
}

/// Orders a stop if the guard allows one more; else it is asked for again in a later pass.
pub(super) fn order_automated_stop(
    draft: &mut Draft<'_>,
    attempt: AttemptId,
    reason: StopReason,
) -> bool {
    let Some(known) = draft.fleet.attempts.get(&attempt) else {
        return false;
    };
    let Some(job) = draft.fleet.jobs.get(&known.task.job) else {
        return false;
    };
    // Why it may not is seen again by whoever asks: it follows from the fleet.
    match guard::may_stop(draft.fleet, job, known, &reason, draft.now) {
        Ok(()) => {}
        Err(StopRefusal::OwnerNotAsked { relocation_time }) => {
            ask_owner(draft, attempt, reason, relocation_time);
            return false;
        }
        Err(_) => return false,
    }
    let room = match reason {
        StopReason::Rollout { .. } => "rollout",
        StopReason::ScaleIn | StopReason::Prune => "scale",
        StopReason::Liveness { .. } | StopReason::RuntimeLimit { .. } => "lifecycle",
        StopReason::Drift { .. } => "drift",
        StopReason::Asked { .. } | StopReason::Down => "control",
    };
    order_stop(draft, attempt, reason, automation(room));
    true
}

/// Asks the owner of a job that manages its stops itself to move a task.
fn ask_owner(draft: &mut Draft<'_>, attempt: AttemptId, reason: StopReason, time: Millis) {
    let until = draft.now.checked_add(time.signed());
    draft.say(
        automation("guard"),
        Event::StopAnnounced {
            attempt,
            reason,
            until: until.unwrap_or(Timestamp::MAX),
        },
    );
}

/// Brings each job nearer to what it asks for.
pub(super) fn follow_jobs(draft: &mut Draft<'_>) {
    end_graces(draft);
    let jobs: Vec<(JobId, JobKind)> = draft
        .fleet
        .jobs
        .values()
        // A tombstone is left as it is: it may come back.
        .filter(|job| job.tombstone.is_none())
        // What waits for others stays as it is until then; what dies of it is queued again elsewhere.
        .filter(|job| !job.is_waiting())
        .map(|job| (job.id.clone(), job.spec().kind()))
        .collect();
    for (job, kind) in jobs {
        retarget_queued(draft, &job);
        match kind {
            JobKind::Service => rollout::follow_service(draft, &job),
            JobKind::Batch => follow_batch(draft, &job),
        }
    }
}

/// Pruned jobs whose grace is over are stopped from here on, unless they are frozen, or what would keep them cannot be read.
fn end_graces(draft: &mut Draft<'_>) {
    if may_be_unread(draft.fleet) || graces_end_after(draft.fleet) > draft.now {
        return;
    }
    let over: Vec<JobId> = draft
        .fleet
        .jobs
        .values()
        .filter(|job| {
            job.tombstone
                .as_ref()
                .is_some_and(|tombstone| tombstone.until <= draft.now)
        })
        .filter(|job| guard::frozen_by(draft.fleet, job, draft.now).is_none())
        .map(|job| job.id.clone())
        .collect();
    for job in over {
        draft.say(automation("scale"), Event::GraceEnded { job });
    }
}

/// Whether a document that is taken for removed may be back without anybody here knowing: the repository cannot be followed, or one of
/// its documents, which may be any job's, cannot be read.
pub fn may_be_unread(fleet: &Fleet) -> bool {
    let latest = fleet.plans.back().map(|entry| &entry.plan.refused);
    let mut refused = latest.unwrap_or(&fleet.refused).iter();
    fleet.trouble.is_some() || refused.any(|problem| hides_jobs(fleet, problem))
}

/// A new leader looks at the repository first: a document may have been put back while nobody led. What it finds, or that it finds
/// nothing, it knows within this time.
const READ_FIRST: SignedDuration = SignedDuration::from_secs(30);

/// No grace ends before then.
pub(crate) fn graces_end_after(fleet: &Fleet) -> Timestamp {
    fleet.led_since + READ_FIRST
}

/// Queued tasks take the version that they are to run now.
fn retarget_queued(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let stale: Vec<Event> = job
        .tasks
        .values()
        .filter(|task| task.version != job.next_version(task.version))
        .filter_map(|task| match &task.phase {
            TaskPhase::Queued {
                reason, not_before, ..
            } => {
                let version = job.next_version(task.version);
                // What failed is replaced by something else: it need not wait for the old one's delay.
                let outdated = !job.same_template(task.version, version);
                Some(Event::TaskQueued {
                    task: task.id.clone(),
                    version,
                    reason: if outdated {
                        QueueReason::New
                    } else {
                        reason.clone()
                    },
                    not_before: if outdated { draft.now } else { *not_before },
                    retries: if outdated { 0 } else { task.retries },
                    failures: if outdated { 0 } else { task.failures },
                })
            }
            TaskPhase::Active { .. } | TaskPhase::Finished { .. } => None,
        })
        .collect();
    for event in stale {
        draft.say(automation("rollout"), event);
    }
}

fn follow_batch(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let desired = job.desired();
    let (version, run) = (job.version, job.run);
    let may_begin = job.spec().hook().is_none() || hooks::runs(draft.fleet, job);
    let due = |index: &u32| {
        // A task of an earlier run begins again once it has finished, and one that was given up when the job was made smaller.
        job.tasks.get(index).is_none_or(|task| {
            task.is_finished() && (task.run < run || was_given_up_for_size(task))
        })
    };
    let missing: Vec<u32> = (0..desired)
        .filter(|index| may_begin && due(index))
        .take(CREATED_AT_ONCE)
        .collect();
    let surplus: Vec<TaskId> = job
        .tasks
        .values()
        .filter(|task| task.id.index >= desired && !task.is_finished())
        .map(|task| task.id.clone())
        .collect();
    let reason = if job.pruned {
        StopReason::Prune
    } else {
        StopReason::ScaleIn
    };
    for index in missing {
        draft.say(
            automation("scale"),
            Event::TaskCreated {
                task: TaskId::new(id.clone(), index),
                version,
                run,
            },
        );
    }
    for task in surplus {
        give_up(draft, &task, reason.clone());
    }
}

/// Whether the index of a task can be taken: it ended, and not because its retries are exhausted on something that is still
/// wanted.
pub(super) fn is_free(job: &Job, task: &Task) -> bool {
    match &task.phase {
        TaskPhase::Finished {
            reason: FinishReason::RetriesExhausted { .. },
            ..
        } => !job.is_wanted(task.version),
        TaskPhase::Finished { .. } => true,
        TaskPhase::Queued { .. } | TaskPhase::Active { .. } => false,
    }
}

/// Whether a task ended because its job was made smaller, and not because its work was done or failed.
pub(super) fn was_given_up_for_size(task: &Task) -> bool {
    matches!(
        &task.phase,
        TaskPhase::Finished {
            reason: FinishReason::Stopped {
                // What waited while the cell was down is given up for its size as well.
                reason: StopReason::ScaleIn | StopReason::Down
            } | FinishReason::NotNeeded {
                reason: StopReason::ScaleIn
            },
            ..
        }
    )
}

/// Ends a task that is not wanted: at once where it has no container, else by a stop order.
pub(super) fn give_up(draft: &mut Draft<'_>, id: &TaskId, reason: StopReason) {
    let Some(task) = draft.fleet.task(id) else {
        return;
    };
    match &task.phase {
        TaskPhase::Queued {
            reason: waits_for, ..
        } => {
            // One that ran, was stopped for something else, and is not started again: that is why it ended.
            let reason = match waits_for {
                QueueReason::Stopped { reason } => FinishReason::Stopped {
                    reason: reason.clone(),
                },
                QueueReason::New | QueueReason::Retry { .. } | QueueReason::CrashLoop { .. } => {
                    FinishReason::NotNeeded { reason }
                }
            };
            let event = Event::TaskFinished {
                task: id.clone(),
                outcome: Outcome::Stopped,
                reason,
            };
            draft.say(automation("scale"), event);
        }
        TaskPhase::Active { attempt } => {
            let attempt = *attempt;
            if draft
                .fleet
                .attempts
                .get(&attempt)
                .is_some_and(|attempt| attempt.stop.is_none())
            {
                order_automated_stop(draft, attempt, reason);
            }
        }
        TaskPhase::Finished { .. } => {}
    }
}
