//! The pure decisions of Muster: no IO, no clock, no randomness.

pub mod specs;
