//! A host as the fleet knows it.

use jiff::Timestamp;
use muster_schemas::ids::HostId;
use muster_schemas::state::{HostFacts, Orphan};
use serde::{Deserialize, Serialize};

/// A machine with an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// Whether its agent is connected.
    pub connected: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// What its agent last said of it; none before it first connected.
    pub facts: Option<HostFacts>,
    /// Containers on it that the control plane does not know.
    pub orphans: Vec<Orphan>,
    /// When the orphans last changed.
    pub orphans_since: Option<Timestamp>,
}
