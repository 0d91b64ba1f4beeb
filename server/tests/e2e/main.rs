//! The whole way through the house, with nothing played: the real binary's processes, real git, real Docker. What the
//! tests know they ask of the public API and of `docker inspect`.
//!
//! They need root (some start a Docker engine of their own, which may be killed), git, Docker, and the example images in
//! the registry at `MUSTER_TEST_REGISTRY` (127.0.0.1:5000); `make test` sees to all of it. They run one after another
//! ([`stack::turn`]): each measures times on a machine that it wants for itself.

mod api;
mod chaos;
mod deploys;
mod drift;
mod ends;
mod engine;
mod hosts;
mod local;
mod order;
mod orphans;
mod past;
mod plans;
mod poll;
#[path = "../ports/mod.rs"]
mod ports;
mod process;
mod push;
mod repo;
mod repository;
mod rollout;
mod sample;
mod specs;
mod stack;
mod strategies;
