//! Benchmarks of the decisions that anybody can run: `muster bench`.
//!
//! What is measured is the core that decides in production, on hosts and jobs that are made from a seed or read from a trace.
//! What came of it is checked by a plain look at every host ([`check`]), which shares no code with the choice.

mod check;
pub mod schedule;
mod trace;
pub mod workload;
