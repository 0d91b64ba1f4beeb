//! Muster's control plane, agent and CLI. `ARCHITECTURE.md` at the repository's root is the map.

pub mod agent;
pub mod analysis;
pub mod api;
pub mod bench;
pub mod cli;
pub mod control;
mod durable;
pub mod git;
pub mod hosts;
pub mod images;
pub mod journal;
pub mod local;
pub mod notify;
pub mod runtime;
