//! The vocabulary of Muster.

pub mod specs;
