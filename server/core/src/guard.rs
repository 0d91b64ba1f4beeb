//! What automation may do unattended.
//!
//! Two bounds hold. A plan that takes too much away at once becomes a hold, whole: nothing of it happens until a human says
//! yes ([`check`]). And every automated stop, whatever its reason, draws on one budget ([`stop_budget`]), which is counted
//! from the journal and so survives a restart.

use crate::fleet::{Fleet, STOP_WINDOW_SECS};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::plan::{HoldReason, Plan};

/// A plan that takes away no more tasks than this goes ahead, whatever part of the fleet they are: a small fleet must stay
/// workable without a human for each change.
pub const HOLD_ABOVE_STOPS: u32 = 5;

/// A plan that takes away no more than this part of what runs, in hundredths, goes ahead, however many tasks that is.
pub const HOLD_ABOVE_PERCENT: u32 = 20;

/// Automated stops in a minute that are always allowed: a rollout of a small service ends within minutes.
pub const STOPS_PER_MINUTE_FLOOR: u32 = 20;

/// Automated stops in a minute that are allowed, in hundredths of what runs: at this pace a mistake takes a large fleet
/// down in 20 minutes rather than in the one that Titus had, which leaves time to see it.
pub const STOPS_PER_MINUTE_PERCENT: u32 = 5;

/// Why a plan may not go ahead by itself; empty if it may.
pub fn check(plan: &Plan) -> Vec<HoldReason> {
    let stops = u64::from(plan.stops);
    let too_many = plan.stops > HOLD_ABOVE_STOPS;
    let too_large_a_part = stops * 100 > u64::from(plan.running) * u64::from(HOLD_ABOVE_PERCENT);
    if too_many && too_large_a_part {
        vec![HoldReason::TooManyStops {
            stops: plan.stops,
            running: plan.running,
            limit_count: HOLD_ABOVE_STOPS,
            limit_percent: HOLD_ABOVE_PERCENT,
        }]
    } else {
        Vec::new()
    }
}

/// The budget that every automated stop draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBudget {
    /// Automated stops allowed in any 60 seconds.
    pub per_minute: u32,
    /// How many of them are left now.
    pub left: u32,
}

/// The stop budget as it stands at `now`.
pub fn stop_budget(fleet: &Fleet, now: Timestamp) -> StopBudget {
    let begin = now - SignedDuration::from_secs(STOP_WINDOW_SECS);
    let spent = fleet
        .recent_stops
        .iter()
        .filter(|stop| **stop > begin)
        .count();
    let spent = u32::try_from(spent).unwrap_or(u32::MAX);
    let part = u64::from(fleet.running_tasks()) * u64::from(STOPS_PER_MINUTE_PERCENT) / 100;
    let per_minute = STOPS_PER_MINUTE_FLOOR.max(u32::try_from(part).unwrap_or(u32::MAX));
    StopBudget {
        per_minute,
        left: per_minute.saturating_sub(spent),
    }
}
