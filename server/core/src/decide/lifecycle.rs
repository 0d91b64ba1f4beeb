//! What follows when an attempt ends, and which running attempts have to be stopped.

use super::{Draft, automation, scale};
use crate::disruption;
use crate::fleet::{Attempt, Fleet, Job, Movement, Task, TaskPhase};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::AttemptId;
use muster_schemas::spec::{Batch, JobKind, Millis, RetryPolicy};
use muster_schemas::state::{Ended, FinishReason, Outcome, Phase, QueueReason, StopReason};

/// From so many short attempts in a row on, a task is said to be in a crash loop: one failure is chance, two may be a bad
/// moment.
pub const CRASH_LOOP_FAILURES: u32 = 3;

/// A task that has been healthy for so long is no more said to be in a crash loop.
pub const CRASH_LOOP_OVER: SignedDuration = SignedDuration::from_secs(30);

/// An attempt that ran for so long was no short one: the count of failures, and with it the delay, begins anew. (Titus and
/// Kubernetes reset after 5 and 10 minutes.)
pub const QUIET_SECS: i64 = 300;

/// The longest delay before a retry, whatever the policy says to the contrary: doubling stops here.
const MAX_DELAY: SignedDuration = SignedDuration::from_hours(24);

/// A service that is retried at once and without bound would launch containers as fast as they fail. From the third failure
/// in a row on it waits at least this long, doubling up to [`CRASH_LOOP_DELAY_MAX`].
const CRASH_LOOP_DELAY: SignedDuration = SignedDuration::from_secs(1);
const CRASH_LOOP_DELAY_MAX: SignedDuration = SignedDuration::from_secs(300);

/// For each task whose attempt has ended: queue the next one, or finish the task.
pub(super) fn follow_ends(draft: &mut Draft<'_>) {
    let ended: Vec<AttemptId> = draft
        .fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_some())
        .filter(|attempt| {
            draft
                .fleet
                .task(&attempt.task)
                .is_some_and(|task| matches!(&task.phase, TaskPhase::Active { attempt: current } if *current == attempt.id))
        })
        .map(|attempt| attempt.id)
        .collect();
    for id in ended {
        let Some(attempt) = draft.fleet.attempts.get(&id) else {
            continue;
        };
        let Some(job) = draft.fleet.jobs.get(&attempt.task.job) else {
            continue;
        };
        let Some(task) = job.tasks.get(&attempt.task.index) else {
            continue;
        };
        let Some((ended, _)) = &attempt.ended else {
            continue;
        };
        let event = after_end(job, task, attempt, ended, draft.now);
        draft.say(automation("lifecycle"), event);
    }
}

fn after_end(job: &Job, task: &Task, attempt: &Attempt, ended: &Ended, now: Timestamp) -> Event {
    // A batch task that did its work has done it, even if a stop order was under way.
    if job.spec().kind() == JobKind::Batch && ended.outcome == Outcome::Succeeded {
        return finished(task, Outcome::Succeeded, FinishReason::Done);
    }
    if let Some((order, _)) = &attempt.stop {
        return after_stop(job, task, attempt, ended, &order.reason, now);
    }
    if job.pruned {
        return finished(
            task,
            ended.outcome,
            FinishReason::Stopped {
                reason: StopReason::Prune,
            },
        );
    }
    retry(job, task, attempt, ended, now)
}

fn after_stop(
    job: &Job,
    task: &Task,
    attempt: &Attempt,
    ended: &Ended,
    reason: &StopReason,
    now: Timestamp,
) -> Event {
    let batch = job.spec().batch.as_ref();
    let version = match reason {
        // It makes way for that version, if that is still to come.
        StopReason::Rollout { to_version }
            if job.versions.contains_key(to_version) && job.is_wanted(*to_version) =>
        {
            job.next_version(*to_version)
        }
        StopReason::Rollout { .. }
        | StopReason::ScaleIn
        | StopReason::Prune
        | StopReason::Liveness { .. }
        | StopReason::RuntimeLimit { .. }
        | StopReason::Asked { .. }
        | StopReason::Drift { .. }
        | StopReason::Down => job.next_version(attempt.version),
    };
    let again = Event::TaskQueued {
        task: task.id.clone(),
        version,
        reason: QueueReason::Stopped {
            reason: reason.clone(),
        },
        not_before: now,
        // What its predecessor failed at is not the new version's fault.
        retries: if job.same_template(attempt.version, version) {
            task.retries
        } else {
            0
        },
        failures: 0,
    };
    let stopped = || {
        finished(
            task,
            Outcome::Stopped,
            FinishReason::Stopped {
                reason: reason.clone(),
            },
        )
    };
    match reason {
        StopReason::ScaleIn | StopReason::Prune => stopped(),
        // What replaces it stands beside it already.
        StopReason::Rollout { .. } if job.movement() == Movement::RedBlack && !job.is_waiting() => {
            stopped()
        }
        // The cell comes up again with what git says.
        StopReason::Rollout { .. } | StopReason::Drift { .. } | StopReason::Down => again,
        StopReason::Asked { .. } => {
            if batch.is_some() {
                stopped()
            } else {
                again
            }
        }
        // A task that its liveness probe condemned has failed like one that crashed.
        StopReason::Liveness { message } => {
            let ended = Ended {
                message: format!("its liveness probe failed: {message}"),
                ..ended.clone()
            };
            retry(job, task, attempt, &ended, now)
        }
        StopReason::RuntimeLimit { limit } => {
            if batch.is_some_and(|batch| batch.retry_on_runtime_limit) {
                let ended = Ended {
                    message: format!("it ran longer than its runtime limit of {limit}"),
                    ..ended.clone()
                };
                retry(job, task, attempt, &ended, now)
            } else {
                finished(
                    task,
                    Outcome::Failed,
                    FinishReason::RuntimeLimit { limit: *limit },
                )
            }
        }
    }
}

fn finished(task: &Task, outcome: Outcome, reason: FinishReason) -> Event {
    Event::TaskFinished {
        task: task.id.clone(),
        outcome,
        reason,
    }
}

/// The next attempt, as the retry policy says, or the end.
fn retry(job: &Job, task: &Task, attempt: &Attempt, ended: &Ended, now: Timestamp) -> Event {
    let policy = job.spec().retry();
    let is_batch = job.spec().kind() == JobKind::Batch;
    let bound = policy
        .retries()
        .or(is_batch.then_some(Batch::DEFAULT_RETRIES));
    let counts = !ended.system_error;
    if counts && bound.is_some_and(|bound| task.retries >= bound) {
        return finished(
            task,
            Outcome::Failed,
            FinishReason::RetriesExhausted {
                retries: task.retries,
                message: ended.message.clone(),
            },
        );
    }
    let ran_quietly = attempt
        .running_at
        .is_some_and(|since| now.duration_since(since) >= SignedDuration::from_secs(QUIET_SECS));
    // A new version gets a fresh start: its predecessor's failures are not its own.
    let version = job.next_version(attempt.version);
    let outdated = !job.same_template(attempt.version, version);
    let failures = if ran_quietly || outdated {
        1
    } else {
        task.failures + 1
    };
    let mut delay = policy_delay(&policy, failures);
    if !is_batch && failures >= CRASH_LOOP_FAILURES {
        let floor = doubled(
            CRASH_LOOP_DELAY,
            failures - CRASH_LOOP_FAILURES,
            CRASH_LOOP_DELAY_MAX,
        );
        // Who says how long the longest delay is means it.
        delay = match &policy {
            RetryPolicy::ExponentialBackoff(policy) => {
                delay.max(floor.min(policy.max.signed().max(CRASH_LOOP_DELAY)))
            }
            RetryPolicy::Immediate(_) | RetryPolicy::Delayed(_) => delay.max(floor),
        };
    }
    if outdated {
        delay = SignedDuration::ZERO;
    }
    let message = ended.message.clone();
    Event::TaskQueued {
        task: task.id.clone(),
        version,
        reason: if failures >= CRASH_LOOP_FAILURES {
            QueueReason::CrashLoop { message, failures }
        } else {
            QueueReason::Retry { message }
        },
        not_before: now + delay,
        retries: if outdated { 0 } else { task.retries } + u32::from(counts),
        failures,
    }
}

/// The delay before the retry after so many short attempts in a row.
fn policy_delay(policy: &RetryPolicy, failures: u32) -> SignedDuration {
    match policy {
        RetryPolicy::Immediate(_) => SignedDuration::ZERO,
        RetryPolicy::Delayed(policy) => policy.delay.signed().min(MAX_DELAY),
        RetryPolicy::ExponentialBackoff(policy) => doubled(
            policy.initial.signed(),
            failures.saturating_sub(1),
            policy.max.signed().min(MAX_DELAY),
        ),
    }
}

/// `first`, doubled so many times, but at most `max`.
fn doubled(first: SignedDuration, times: u32, max: SignedDuration) -> SignedDuration {
    let factor = 1i32.checked_shl(times.min(30)).unwrap_or(i32::MAX);
    first.checked_mul(factor).unwrap_or(max).min(max)
}

/// Orders the stop of attempts that ran into their runtime limit or whose liveness probe failed.
pub(super) fn order_due_stops(draft: &mut Draft<'_>) {
    if draft.fleet.down {
        let all: Vec<_> = draft
            .fleet
            .attempts
            .values()
            .filter(|attempt| attempt.ended.is_none() && attempt.stop.is_none())
            .map(|attempt| attempt.id)
            .collect();
        for attempt in all {
            scale::order_stop(draft, attempt, StopReason::Down, automation("control"));
        }
        return;
    }
    withdraw_stops(draft);
    let due: Vec<(AttemptId, StopReason)> = draft
        .fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_none() && attempt.stop.is_none())
        .filter_map(|attempt| Some((attempt.id, due_stop(draft, attempt)?)))
        .collect();
    for (attempt, reason) in due {
        scale::order_automated_stop(draft, attempt, reason);
    }
}

/// Owners that were asked to move a task need not do so any more once nothing is wrong with it.
fn withdraw_stops(draft: &mut Draft<'_>) {
    let mended: Vec<AttemptId> = draft
        .fleet
        .attempts
        .values()
        .filter(|attempt| attempt.asked.is_some())
        .filter(|attempt| attempt.ended.is_none() && attempt.stop.is_none())
        .filter(|attempt| disruption::own_reason(attempt).is_none())
        .map(|attempt| attempt.id)
        .collect();
    for attempt in mended {
        draft.say(automation("guard"), Event::StopWithdrawn { attempt });
    }
}

fn due_stop(draft: &Draft<'_>, attempt: &Attempt) -> Option<StopReason> {
    let status = attempt.status.as_ref()?;
    if !matches!(status.phase, Phase::Running) {
        return None;
    }
    // What is beyond its limit has to end, also where a disruption budget would keep it although it fails its probe.
    runtime_limit(draft.fleet, attempt)
        .filter(|(_, reached_at)| *reached_at <= draft.now)
        .map(|(limit, _)| StopReason::RuntimeLimit { limit })
        .or_else(|| disruption::own_reason(attempt))
}

/// The runtime limit of a batch task's attempt, and when it reaches it.
pub(super) fn runtime_limit(fleet: &Fleet, attempt: &Attempt) -> Option<(Millis, Timestamp)> {
    let job = fleet.jobs.get(&attempt.task.job)?;
    let spec = &job.versions.get(&attempt.version)?.spec;
    let limit = spec.batch.as_ref()?.runtime_limit;
    // A limit beyond the end of time is never reached.
    let reached_at = attempt.running_at?.checked_add(limit.signed()).ok()?;
    Some((limit, reached_at))
}
