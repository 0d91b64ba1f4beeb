//! Telling others, over real HTTP: receivers and forges that check what they are sent, restarts, and targets that are down.

#[path = "../api/cell.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod cell;

#[path = "../plane/mod.rs"]
mod plane;

mod alerts;
mod events;
mod forges;
mod frozen;
mod rig;
mod serve;
