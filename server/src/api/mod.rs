//! The public API: queries, commands, the watch, logs, metrics, and the console's files.
//!
//! Nothing is decided here. Reads look at the fleet under its lock and answer with `muster_core::view`; commands go to the
//! control loop and are answered once they are durable. What this room needs of the others is the trait [`Cell`]; all
//! there is to know of HTTP is in here.
//!
//! Read in this order: [`state`], [`auth`], [`tokens`], [`sessions`], [`access`], [`routes`], [`past`], [`watch`], [`logs`],
//! [`hooks`], [`console`], [`metrics`], [`server`].

pub mod access;
pub mod auth;
pub mod console;
pub mod hooks;
pub mod idempotency;
pub mod logs;
pub mod metrics;
pub mod openapi;
pub mod past;
pub mod problem;
pub mod query;
pub mod routes;
pub mod server;
pub mod sessions;
pub mod state;
pub mod tokens;
pub mod watch;

pub use metrics::begin_metrics;
pub use past::{PastFault, PastFleet};
pub use server::{router, serve};
pub use state::{
    ApiState, Cell, CommandFault, EventQuery, Health, LogFault, LogMessage, LogQuery, PreviewFault,
    TaskHistoryQuery,
};
