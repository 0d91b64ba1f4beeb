//! What automated stops do to a job, and why one of them is not sent now.

use crate::plan::{LimitScope, WithholdReason};
use crate::spec::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a stop is held by the job's disruption budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// Not at all: a person asks for it, or the task ends by its own limit.
    Exempt,
    /// The owner wants fewer tasks: what is left has to be available.
    Fewer,
    /// The owner wants the task replaced: besides, it goes at the budget's pace and in its windows.
    Replace,
    /// Nobody but Muster wants it: besides, the owner may have to be asked, and each task goes only so often.
    Own,
}

/// Why automation may not stop a container now; it is asked for again later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum StopRefusal {
    /// What it belongs to is frozen.
    Frozen {
        /// By whom, and why.
        freeze: WithholdReason,
    },
    /// The policy freezes the cell.
    FrozenByPolicy {
        /// What the policy says.
        reason: String,
    },
    /// The cell's stop budget is used up for this minute.
    BudgetSpent {
        /// Automated stops that are allowed in a minute.
        per_minute: u32,
        /// When the next one is allowed, if that is known.
        until: Option<Timestamp>,
    },
    /// The stop budget of its app or tier is used up for this minute.
    PartBudgetSpent {
        /// The app or tier.
        part: LimitScope,
        /// Automated stops that are allowed there in a minute.
        per_minute: u32,
    },
    /// The job's disruption budget wants as many healthy tasks as there are.
    TooFewHealthy {
        /// So many are healthy.
        healthy: u32,
        /// So many have to stay so.
        floor: u32,
    },
    /// As many of the job's tasks as its disruption budget allows were taken already.
    RateSpent {
        /// So many are allowed …
        allowed: u32,
        /// … in any stretch of so long.
        interval: Millis,
        /// When the next one is allowed.
        until: Timestamp,
    },
    /// None of the windows of the job's disruption budget is open.
    OutOfWindows {
        /// When one opens, if that is known.
        until: Option<Timestamp>,
    },
    /// The task was taken as often as its disruption budget allows.
    TakenTooOften {
        /// So often.
        limit: u32,
    },
    /// The owner has to be asked first, and is not yet.
    OwnerNotAsked {
        /// So much time the owner gets.
        relocation_time: Millis,
    },
    /// The owner is asked and has time.
    OwnerAsked {
        /// Until then.
        until: Timestamp,
    },
}

impl StopRefusal {
    /// When it is over by itself, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            StopRefusal::BudgetSpent { until, .. } | StopRefusal::OutOfWindows { until } => *until,
            StopRefusal::RateSpent { until, .. } | StopRefusal::OwnerAsked { until } => {
                Some(*until)
            }
            StopRefusal::Frozen { .. }
            | StopRefusal::FrozenByPolicy { .. }
            | StopRefusal::PartBudgetSpent { .. }
            | StopRefusal::TooFewHealthy { .. }
            | StopRefusal::TakenTooOften { .. }
            | StopRefusal::OwnerNotAsked { .. } => None,
        }
    }
}
