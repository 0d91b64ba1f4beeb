//! What a job waits for before its change begins.

use crate::ids::JobId;
use serde::{Deserialize, Serialize};

/// A job that another one depends on and that does not stand as the repository says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// The job.
    pub job: JobId,
    /// What it lacks.
    pub why: NotStanding,
}

/// Why a job does not stand as the repository says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum NotStanding {
    /// There is no such job.
    Missing,
    /// Its document is refused.
    Refused,
    /// A change of it is kept back.
    KeptBack,
    /// Its document was removed.
    Removed,
    /// It waits for others itself.
    Waits,
    /// A service whose tasks are not all healthy on its current version.
    Unsettled {
        /// So many are, for the minimum healthy time.
        settled: u32,
        /// So many it asks for.
        desired: u32,
        /// So many run an older version.
        outdated: u32,
    },
    /// A batch job whose run goes on.
    Unfinished {
        /// So many of its tasks have succeeded.
        succeeded: u32,
        /// So many it has.
        size: u32,
    },
    /// A batch job whose run did not succeed.
    Failed {
        /// So many of its tasks did not succeed.
        failed: u32,
        /// So many it has.
        size: u32,
    },
}
