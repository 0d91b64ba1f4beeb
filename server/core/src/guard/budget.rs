//! The budget that every automated stop draws on, whatever its reason.

use super::limits::{self, parts, running_in};
use super::{frozen_by, policy};
use crate::disruption;
use crate::fleet::{Attempt, Fleet, Job, STOP_WINDOW_SECS};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::JobId;
use muster_schemas::spec::Bound;
use muster_schemas::state::StopReason;
use muster_schemas::stop::StopRefusal;

/// The budget that every automated stop in the cell draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBudget {
    /// Automated stops allowed in any 60 seconds.
    pub per_minute: u32,
    /// How many of them are left now.
    pub left: u32,
}

/// The cell's stop budget as it stands at `now`.
pub fn stop_budget(fleet: &Fleet, now: Timestamp) -> StopBudget {
    let bound = policy(fleet).limits.stops_per_minute;
    budget(bound, fleet.running_tasks(), spent(fleet, now, |_| true))
}

fn budget(bound: Bound, running: u32, spent: u32) -> StopBudget {
    let per_minute = bound.of(running);
    StopBudget {
        per_minute,
        left: per_minute.saturating_sub(spent),
    }
}

fn spent(fleet: &Fleet, now: Timestamp, counts: impl Fn(&JobId) -> bool) -> u32 {
    let begin = now - SignedDuration::from_secs(STOP_WINDOW_SECS);
    let spent = fleet
        .stops
        .iter()
        .filter(|stop| stop.at > begin && counts(&stop.job))
        .count();
    u32::try_from(spent).unwrap_or(u32::MAX)
}

/// Whether automation may stop an attempt of a job now, for this reason.
///
/// # Errors
///
/// Why it may not.
pub fn may_stop(
    fleet: &Fleet,
    job: &Job,
    attempt: &Attempt,
    reason: &StopReason,
    now: Timestamp,
) -> Result<(), StopRefusal> {
    if let Some(refusal) = frozen_by(fleet, job, now) {
        return Err(refusal);
    }
    if let Some(refusal) = disruption::refuses_stop(fleet, job, attempt, reason, now) {
        return Err(refusal);
    }
    let policy = policy(fleet);
    let StopBudget { per_minute, left } = stop_budget(fleet, now);
    if left == 0 {
        let first = fleet.stops.front();
        let until = first.map(|stop| stop.at + SignedDuration::from_secs(STOP_WINDOW_SECS));
        return Err(StopRefusal::BudgetSpent { per_minute, until });
    }
    for (part, limits) in parts(&policy) {
        let in_part = |job: &JobId| limits::has(fleet, &part, job);
        let Some(bound) = limits.stops_per_minute.filter(|_| in_part(&job.id)) else {
            continue;
        };
        let budget = budget(bound, running_in(fleet, &part), spent(fleet, now, in_part));
        if budget.left == 0 {
            let per_minute = budget.per_minute;
            return Err(StopRefusal::PartBudgetSpent { part, per_minute });
        }
    }
    Ok(())
}
