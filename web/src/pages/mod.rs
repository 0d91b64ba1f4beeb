//! One page to an address.

pub mod deploy;
pub mod deploys;
pub mod diff;
pub mod drift;
pub mod events;
pub mod host;
pub mod hosts;
pub mod instance;
pub mod job;
pub mod jobs;
pub mod missing;
pub mod plan;
pub mod plans;
pub mod sign_in;
pub mod task;
pub mod tasks;

/// So many rows a list begins with.
pub const STEP: usize = 100;
