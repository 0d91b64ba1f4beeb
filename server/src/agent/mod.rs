//! The host's side: converges on assignments, probes, reads logs and usage, and talks to the control plane.

pub mod link;
