//! A deploy as the fleet knows it.

use jiff::Timestamp;
use muster_schemas::deploy::{DeploySpec, DeployStatus, TakeBackTrouble};
use muster_schemas::ids::{CommitId, DeployId};
use serde::{Deserialize, Serialize};

/// So many of the latest deploys stay in memory; older ones are in the journal.
pub const DEPLOYS_KEPT: usize = 200;

/// So many deploys may be under way at once. Each is a commit of its own; who asks for more has a pipeline that went wrong.
pub const DEPLOYS_AT_ONCE: usize = 1000;

/// A change that a pipeline asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// Its id.
    pub id: DeployId,
    /// What it asks for.
    pub spec: DeploySpec,
    /// Who asked.
    pub by: String,
    /// When.
    pub requested_at: Timestamp,
    /// The commit that it became, and when.
    pub commit: Option<(CommitId, Timestamp)>,
    /// Whether its commit is to be taken back.
    pub take_back: bool,
    /// The commit that took it back; the same one where there was nothing to take back.
    pub taken_back: Option<CommitId>,
    /// Why it was given up to take it back, until somebody asks for that again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_taken_back: Option<TakeBackTrouble>,
    /// How it stands.
    pub status: DeployStatus,
    /// How it ended, in a sentence.
    pub message: String,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Deploy {
    /// Whether it still has to be committed.
    pub fn wants_commit(&self) -> bool {
        self.status == DeployStatus::Running && self.commit.is_none()
    }

    /// Whether its commit still has to be taken back.
    pub fn wants_back(&self) -> bool {
        self.take_back
            && self.commit.is_some()
            && self.taken_back.is_none()
            && self.not_taken_back.is_none()
    }
}
