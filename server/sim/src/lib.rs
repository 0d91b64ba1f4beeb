//! The simulator: the real core in a world of virtual hosts, virtual time and seeded faults.
//!
//! A run is a seed. It goes through two phases: *faults*, in which commits, crashes, silences, lost and repeated and late
//! messages, lying inventories and stale leaders come at random while the invariants of [`invariants`] are checked after every
//! step; and *heal*, after which everything schedulable has to run. The same seed gives the same journal, byte for byte.
//!
//! What is simulated is everything but the core: the store ([`control`]), the agents and their engines ([`host`]), the
//! repository and the network ([`world`]). [`Mutant`] breaks one of these on purpose, so that a test can show that the
//! invariants would catch it.

pub mod control;
pub mod host;
pub mod invariants;
pub mod rng;
pub mod world;

pub use world::{Outcome, Settings, run};

/// A deliberate fault of the system itself, to test the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The agent stops containers that no assignment names.
    AgentStopsUnknown,
    /// The agent follows orders whatever their fence.
    AgentIgnoresFence,
    /// The agent starts an attempt again when its container is gone.
    AgentStartsTwice,
    /// The control plane shows and sends what is not durable yet.
    ControlSpeaksBeforeDurable,
    /// The control plane forgets the stop budget when it restarts.
    ControlForgetsBudget,
}
