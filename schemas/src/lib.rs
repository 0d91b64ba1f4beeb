//! The shared vocabulary of Muster: specs, plans, events, the API's and the agent protocol's types.
//!
//! Everything here is plain data. There is no IO and no decision in this crate, and it compiles to wasm, so that the
//! control plane, the agents, the simulator, the CLI and the console all speak with the same words.
//!
//! Read in this order: [`ids`], [`spec`], [`state`], [`stop`], [`rollout`], [`plan`], [`drift`], [`deploy`], [`wait`], [`event`],
//! [`access`], [`wire`], [`api`], [`explain`], [`past`], [`text`].

pub mod access;
pub mod api;
pub mod deploy;
pub mod drift;
pub mod event;
pub mod explain;
pub mod ids;
pub mod past;
pub mod plan;
pub mod rollout;
pub mod spec;
pub mod state;
pub mod stop;
pub mod text;
pub mod wait;
pub mod wire;
