//! The tests of the core, one module a subject. They are one program, since a change of the core links each program anew.

mod common;

mod access;
mod alerts;
mod batches;
mod commits;
mod dependencies;
mod deploys;
mod disruption;
mod drift;
mod edits;
mod explain;
mod guard;
mod hooks;
mod hosts;
mod journals;
mod past;
mod place;
mod placement;
mod plans;
mod predictions;
mod properties;
mod rollouts;
mod scenarios;
mod sequences;
mod signatures;
mod small_plans;
mod specs;
mod specs_properties;
