//! The disruption budget of a job: what anything automated has to leave alone of it.
//!
//! It is about healthy tasks. One that is not healthy serves nobody, so taking it takes nothing away. [`refuses_stop`] is the
//! answer to "may this task be taken now?" that the guard asks for before each stop, and that is shown. What was taken
//! lately is counted on the job and on the task, in the fold over the journal, so a restart forgets none of it.

use crate::fleet::{Attempt, Fleet, Job, Task};
use crate::window;
use jiff::Timestamp;
use muster_schemas::spec::{DisruptionBudget, JobKind, Millis};
use muster_schemas::state::{Phase, StopReason};
use muster_schemas::stop::{Disruption, StopRefusal};

/// So many tasks of a job are wanted: what parts of it are of. Of a batch job these are the ones that have not finished.
pub fn wanted(job: &Job) -> u32 {
    if job.spec().kind() == JobKind::Service {
        return job.desired();
    }
    let desired = job.desired();
    let unfinished = job
        .tasks
        .values()
        .filter(|task| task.id.index < desired && !task.is_finished())
        .count();
    u32::try_from(unfinished).unwrap_or(u32::MAX)
}

/// So many tasks of a job are healthy and can be seen to be so.
pub fn healthy(fleet: &Fleet, job: &Job) -> u32 {
    let healthy = job
        .tasks
        .values()
        .filter(|task| fleet.is_healthy(task))
        .count();
    u32::try_from(healthy).unwrap_or(u32::MAX)
}

/// So many tasks were taken within the stretch of time that ends at `now`.
pub fn taken_within(job: &Job, interval: Millis, now: Timestamp) -> u32 {
    let begin = begin_of(interval, now);
    job.taken
        .iter()
        .rev()
        .take_while(|taken| taken.at > begin)
        .fold(0, |sum: u32, taken| sum.saturating_add(taken.count))
}

fn begin_of(interval: Millis, now: Timestamp) -> Timestamp {
    now.checked_sub(interval.signed()).unwrap_or(Timestamp::MIN)
}

/// Why no healthy task of a job may be taken now, to be replaced or (with [`Disruption::Fewer`]) for good.
pub fn refuses(
    fleet: &Fleet,
    job: &Job,
    disruption: Disruption,
    now: Timestamp,
) -> Option<StopRefusal> {
    let healthy = healthy(fleet, job);
    refuses_leaving(job, healthy.saturating_sub(1), healthy, disruption, now)
}

/// Why a task may not be taken now that leaves so many of those healthy that are.
fn refuses_leaving(
    job: &Job,
    left: u32,
    healthy: u32,
    disruption: Disruption,
    now: Timestamp,
) -> Option<StopRefusal> {
    let budget = job.spec().disruption_budget.as_ref()?;
    if disruption == Disruption::Exempt {
        return None;
    }
    let floor = budget.floor(wanted(job));
    if left < floor {
        return Some(StopRefusal::TooFewHealthy { healthy, floor });
    }
    if disruption == Disruption::Fewer {
        return None;
    }
    if let Err(until) = window::open_within(&budget.windows, now) {
        return Some(StopRefusal::OutOfWindows { until });
    }
    rate_refuses(job, budget, now)
}

fn rate_refuses(job: &Job, budget: &DisruptionBudget, now: Timestamp) -> Option<StopRefusal> {
    let (allowed, interval) = budget.rate.allowed(wanted(job))?;
    let begin = begin_of(interval, now);
    let within = || job.taken.iter().filter(|taken| taken.at > begin);
    let sum: u32 = within().fold(0, |sum, taken| sum.saturating_add(taken.count));
    if sum < allowed {
        return None;
    }
    // The next may go once so many have left the stretch that one less than allowed are in it.
    let mut too_many = sum - allowed + 1;
    let last = within().find(|taken| {
        too_many = too_many.saturating_sub(taken.count);
        too_many == 0
    });
    let at = last.map_or(now, |taken| taken.at);
    Some(StopRefusal::RateSpent {
        allowed,
        interval,
        until: at.checked_add(interval.signed()).unwrap_or(Timestamp::MAX),
    })
}

/// Whether an attempt serves as far as is known, so that a stop takes something away. One whose host cannot be seen may well
/// serve on.
pub fn may_serve(attempt: &Attempt) -> bool {
    attempt.healthy_since.is_some() && attempt.ended.is_none() && attempt.stop.is_none()
}

/// Why an attempt of a job may not be stopped now, by the job's disruption budget.
pub fn refuses_stop(
    fleet: &Fleet,
    job: &Job,
    attempt: &Attempt,
    reason: &StopReason,
    now: Timestamp,
) -> Option<StopRefusal> {
    let budget = job.spec().disruption_budget.as_ref()?;
    if !may_serve(attempt) {
        return None;
    }
    let disruption = reason.disruption();
    if disruption == Disruption::Own {
        let task = job.tasks.get(&attempt.task.index)?;
        if let Some(refusal) = task_refuses(budget, task, attempt, now) {
            return Some(refusal);
        }
    }
    let healthy = healthy(fleet, job);
    // What cannot be seen is not among those that count.
    let counts = fleet
        .hosts
        .get(&attempt.host)
        .is_some_and(|host| host.connected);
    let left = healthy.saturating_sub(u32::from(counts));
    refuses_leaving(job, left, healthy, disruption, now)
}

/// What a task itself has against being taken on Muster's own account.
fn task_refuses(
    budget: &DisruptionBudget,
    task: &Task,
    attempt: &Attempt,
    now: Timestamp,
) -> Option<StopRefusal> {
    if let Some(limit) = budget.relocation_limit
        && task.relocations >= limit
    {
        return Some(StopRefusal::TakenTooOften { limit });
    }
    let relocation_time = budget.self_managed?.relocation_time;
    match &attempt.asked {
        None => Some(StopRefusal::OwnerNotAsked { relocation_time }),
        Some(asked) if asked.until > now => Some(StopRefusal::OwnerAsked { until: asked.until }),
        Some(_) => None,
    }
}

/// Why Muster wants to stop a running attempt on its own account, if it does: its liveness probe fails.
pub fn own_reason(attempt: &Attempt) -> Option<StopReason> {
    let status = attempt.status.as_ref()?;
    (matches!(status.phase, Phase::Running) && status.live == Some(false)).then(|| {
        StopReason::Liveness {
            message: status.probe_message.clone().unwrap_or_default(),
        }
    })
}

/// The next time at which a stop that waits for a disruption budget may be sent, if nothing comes in before.
pub fn next_due(fleet: &Fleet, now: Timestamp) -> Option<Timestamp> {
    fleet
        .jobs
        .values()
        .filter_map(|job| next_due_of(fleet, job, now))
        .min()
}

fn next_due_of(fleet: &Fleet, job: &Job, now: Timestamp) -> Option<Timestamp> {
    let budget = job.spec().disruption_budget.as_ref()?;
    let is_service = job.spec().kind() == JobKind::Service;
    let mut asked = Vec::new();
    let mut wants_one = false;
    for task in job.tasks.values() {
        let Some(attempt) = fleet.current_attempt(task).filter(|known| may_serve(known)) else {
            continue;
        };
        if own_reason(attempt).is_some() {
            match task_refuses(budget, task, attempt, now) {
                Some(refusal) => asked.extend(refusal.until()),
                None => wants_one = true,
            }
        } else if is_service && job.is_outdated(attempt.version) {
            wants_one = true;
        }
    }
    if wants_one {
        let refusal = refuses(fleet, job, Disruption::Replace, now);
        asked.extend(refusal.and_then(|refusal| refusal.until()));
    }
    asked.into_iter().filter(|due| *due > now).min()
}
