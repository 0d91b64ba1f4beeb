//! A task as the fleet knows it.

use super::Attempt;
use jiff::Timestamp;
use muster_schemas::ids::{AttemptId, TaskId};
use muster_schemas::state::{Blocked, FinishReason, Outcome, QueueReason};
use serde::{Deserialize, Serialize};

/// So many attempts of a task are known after their containers are gone; the journal has all of them.
pub const PAST_KEPT: usize = 3;

/// A task: one index of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The version of the job that it runs or is to run.
    pub version: u64,
    /// The run of a batch job that it belongs to; 0 for services.
    pub run: u32,
    /// When it came to be.
    pub created_at: Timestamp,
    /// Where it is in its life.
    pub phase: TaskPhase,
    /// So many attempts were made.
    pub attempts: u32,
    /// The current or last attempt.
    pub last_attempt: Option<AttemptId>,
    /// Its last attempts whose containers are gone from their hosts, by number, at most [`PAST_KEPT`]: what became of a task is
    /// asked for long after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Attempt>,
    /// Retries that count against the policy's bound.
    pub retries: u32,
    /// Short attempts in a row.
    pub failures: u32,
    /// So often it was taken, healthy, on Muster's own account, since it last came to be or was replaced by a rollout.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub relocations: u32,
    /// Why no host takes it, and since when; while it is queued.
    pub blocked: Option<(Blocked, Timestamp)>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where a task is in its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TaskPhase {
    /// It waits.
    Queued {
        /// Why.
        reason: QueueReason,
        /// Since when.
        since: Timestamp,
        /// It is not placed before this time.
        not_before: Timestamp,
    },
    /// It has an attempt that has not ended.
    Active {
        /// The attempt.
        attempt: AttemptId,
    },
    /// It ended for good.
    Finished {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: FinishReason,
        /// When.
        at: Timestamp,
    },
}

impl Task {
    /// Whether it ended for good.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, TaskPhase::Finished { .. })
    }

    /// Whether it waits.
    pub fn is_queued(&self) -> bool {
        matches!(self.phase, TaskPhase::Queued { .. })
    }
}
