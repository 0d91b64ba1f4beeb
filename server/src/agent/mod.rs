//! The host's side: converges on assignments, probes, reads logs and usage, and talks to the control plane.
//!
//! It is level-triggered: it keeps the last assignments ([`orders`]) and brings the engine to them, again and again.
//! [`converge`] decides and does nothing; [`execute`] does and decides nothing; [`tend`] is the loop between them. What makes
//! "at most one container ever per attempt" true stands in [`markers`].
//!
//! An agent never stops what it has no stop order for, and its own end stops nothing: containers run on and are adopted.

mod converge;
mod drift;
mod ends;
mod execute;
mod facts;
pub(crate) mod launch;
pub mod link;
mod logs;
mod look;
mod markers;
mod orders;
mod probes;
mod put_back;
mod status;
mod tend;
#[cfg(test)]
pub(crate) mod testing;
mod usage;

pub use link::LinkState;
pub use orders::OrdersError;
pub use tend::run;

use muster_schemas::ids::{CellName, HostId};
use muster_schemas::spec::{Bytes, CpuMillis, Mbps};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An agent's settings.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The host's id, from its identity.
    pub host: HostId,
    /// The cell, from its identity.
    pub cell: CellName,
    /// The host's name.
    pub name: String,
    /// The address at which host ports are reached; they are published on it.
    pub address: String,
    /// The zone.
    pub zone: String,
    /// Labels for placement.
    pub labels: BTreeMap<String, String>,
    /// Where the agent keeps its orders and markers. No other agent may use it.
    pub home: PathBuf,
    /// CPU of the machine that is not sold.
    pub reserve_cpu: CpuMillis,
    /// Memory of the machine that is not sold.
    pub reserve_memory: Bytes,
    /// CPU to sell, instead of the machine's less the reserve.
    pub sell_cpu: Option<CpuMillis>,
    /// Memory to sell, instead of the machine's less the reserve.
    pub sell_memory: Option<Bytes>,
    /// Disk to sell, instead of nine tenths of the file system that the engine uses.
    pub sell_disk: Option<Bytes>,
    /// Network bandwidth to sell.
    pub network: Mbps,
    /// GPUs to sell.
    pub gpus: u32,
    /// Containers at most.
    pub max_containers: u32,
    /// Further labels of all of its containers, beside those that say whose they are.
    pub marks: BTreeMap<String, String>,
}

/// Why an agent cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its home cannot be used.
    #[error(transparent)]
    Orders(#[from] OrdersError),
    /// Its markers cannot be read.
    #[error("cannot read what was begun on this host, in {}", path.display())]
    Markers {
        /// The home.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
