//! A host as the fleet knows it.

use jiff::Timestamp;
use muster_schemas::ids::HostId;
use muster_schemas::state::{HostFacts, Orphan};
use muster_schemas::wire::Fence;
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
    /// The highest fence that it has heard, if this journal does not have that: then it follows no order from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Fence>,
    /// The fence that a person lets this control plane's orders supersede, until the host follows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Fence>,
}
