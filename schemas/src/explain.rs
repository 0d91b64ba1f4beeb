//! Why a task waits, host by host, as the API tells it.

use crate::api::BlockedView;
use crate::state::TaskState;
use serde::{Deserialize, Serialize};

/// Why a task is where it is; of one that waits for a host, what would let it start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The task.
    pub task: String,
    /// Its state.
    pub state: TaskState,
    /// All of it in a sentence.
    pub says: String,
    /// So many tasks are placed before it.
    pub ahead: u32,
    /// Why the hosts that cannot take it cannot, of a task that waits for one.
    pub blocked: Option<BlockedView>,
    /// The hosts that can take it now, by name, at most five.
    pub could_take: Vec<String>,
    /// The hosts that are nearest to taking it, nearest first, at most three; none where one can.
    pub nearest: Vec<NearHost>,
}

/// A host that cannot take a task, with all that is in the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct NearHost {
    /// Its name.
    pub host: String,
    /// Its zone; empty while its agent has not told it.
    pub zone: String,
    /// What is in the way, all of it.
    pub obstacles: Vec<Obstacle>,
}

/// One thing in the way of a task on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Obstacle {
    /// What it is, in a sentence.
    pub why: String,
    /// What would remove it.
    pub remedy: String,
}

/// Whether a host can take a task of a job, by the function that places tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct WhyNot {
    /// The job.
    pub job: String,
    /// The host's name.
    pub host: String,
    /// The version of the job that the task would run.
    pub version: u64,
    /// Whether it can.
    pub can: bool,
    /// So many of the job's tasks are there.
    pub tasks: u32,
    /// What is in the way, all of it.
    pub obstacles: Vec<Obstacle>,
}
