//! The pure core of Muster: what the fleet is, and what should happen next.
//!
//! There is no IO here, no async, no clock, no randomness and no environment: time and new ids are arguments. The same code
//! runs in production, in tests and in the simulator.
//!
//! Read in this order: [`fleet`] (what has happened), [`plan`] (what a revision changes), [`guard`] (what may go ahead by
//! itself), [`disruption`] (what has to be left alone of a job), [`window`] (and when), [`dependencies`] (and after what),
//! [`drift`] (where what runs is not what git says), [`access`] (who may say what), [`decide`] (what follows), [`place`] (on which host), [`assign`] (what
//! each host is to do).

pub mod access;
pub mod assign;
pub mod decide;
pub mod dependencies;
pub mod describe;
pub mod disruption;
pub mod drift;
pub mod fleet;
pub mod guard;
mod headroom;
pub mod hooks;
pub mod place;
pub mod plan;
pub mod predict;
pub mod signatures;
pub mod specs;
pub mod view;
pub mod window;
