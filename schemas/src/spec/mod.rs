//! What people commit: YAML documents that begin with `apiVersion: muster/v1`, `kind:` and `name:`.
//!
//! Reading and checking them is `muster-core`'s work (`specs`); here are only their shapes.

mod access;
mod constraint;
#[cfg(feature = "describe")]
pub mod describe;
mod disruption;
mod job;
mod policy;
mod probe;
mod quantity;
#[cfg(feature = "describe")]
pub mod reference;
mod retry;
mod rollout;
mod signature;

pub use access::*;
pub use constraint::*;
pub use disruption::*;
pub use job::*;
pub use policy::*;
pub use probe::*;
pub use quantity::*;
pub use retry::*;
pub use rollout::*;
pub use signature::*;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The only `apiVersion` there is so far.
pub const API_VERSION: &str = "muster/v1";

/// One checked document of the repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Spec {
    /// A service or a batch job. Most documents of a revision are those of the revision before, and share it.
    Job(Arc<JobSpec>),
    /// What automation may do unattended in this cell.
    Policy(Box<PolicySpec>),
}

impl Spec {
    /// The document's `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Spec::Job(_) => "Job",
            Spec::Policy(_) => "Policy",
        }
    }

    /// The document's `name`.
    pub fn name(&self) -> &str {
        match self {
            Spec::Job(job) => job.name.as_str(),
            Spec::Policy(policy) => &policy.name,
        }
    }
}
