//! A deploy: a change that a pipeline asks for, from its commit to the tasks that run it.

use crate::ids::JobId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a deploy asks for. What is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploySpec {
    /// The job.
    pub job: JobId,
    /// Its image.
    #[serde(default)]
    pub image: Option<String>,
    /// How many tasks a service has.
    #[serde(default)]
    pub desired: Option<u32>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// For a batch job: the text that makes it run again.
    #[serde(default)]
    pub run: Option<String>,
    /// It has failed if it is not done by then.
    pub deadline: Timestamp,
    /// The pipeline's execution, for the commit's trailers.
    #[serde(default)]
    pub execution: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Why the change of a deploy that was taken back still stands in git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum TakeBackTrouble {
    /// The repository could not be read or written.
    Repository {
        /// What it said at last.
        message: String,
    },
    /// The job's document cannot be put back, or nothing may be committed to the repository as it is.
    Conflict {
        /// What is in the way.
        message: String,
    },
    /// What it has to go back to is not there.
    Missing {
        /// What is missing.
        message: String,
    },
}

/// How a deploy stands, in the words that pipelines match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum DeployStatus {
    /// It is under way.
    Running,
    /// The job runs what was asked for, healthy.
    Succeeded,
    /// It came to nothing; the version before serves on.
    Failed,
    /// Somebody took it back.
    Canceled,
}

impl DeployStatus {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            DeployStatus::Running => "RUNNING",
            DeployStatus::Succeeded => "SUCCEEDED",
            DeployStatus::Failed => "FAILED",
            DeployStatus::Canceled => "CANCELED",
        }
    }
}
