//! A host that is connected over TLS, as an agent's is; what its engine does is the test's.

#![allow(dead_code, reason = "each test file uses a part of it")]

use muster::agent::link::{self, LinkSettings, LinkState};
use muster_schemas::ids::AttemptId;
use muster_schemas::spec::{Bytes, CpuMillis, Mbps};
use muster_schemas::state::{AttemptStatus, HostFacts, HostResources, Phase};
use muster_schemas::wire::{Assignment, Assignments, Fence, FromAgent, Report, ToAgent};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What a host's engine does.
pub trait Engine: Send + 'static {
    /// Does what it is told, all at once.
    fn follow(&mut self, items: Vec<Assignment>);

    /// What there is of each attempt.
    fn attempts(&self) -> Vec<AttemptStatus>;

    /// The control plane has been told of that.
    fn told(&mut self) {}
}

/// The link of a host. It ends when this is dropped.
pub struct Host {
    pub state: watch::Receiver<LinkState>,
    shutdown: CancellationToken,
}

impl Host {
    /// Enrols by the token, connects, and goes on as `engine` does. It reports all that it has, each `every`.
    pub async fn join(
        url: &str,
        token: &str,
        home: &Path,
        every: Duration,
        engine: impl Engine,
    ) -> Self {
        let identity = link::enrol(url, token, "host-1", home)
            .await
            .expect("it enrols");
        let (out, from_host) = mpsc::channel(16);
        let (to_host, orders) = mpsc::channel(16);
        let (state_in, state) = watch::channel(LinkState::Down {
            why: "not yet".to_owned(),
        });
        let shutdown = CancellationToken::new();
        let settings = LinkSettings {
            longest_pause: Duration::from_millis(300),
            ..LinkSettings::default()
        };
        tokio::spawn(link::run_with(
            settings,
            identity,
            from_host,
            to_host,
            state_in,
            shutdown.clone(),
        ));
        tokio::spawn(work(out, orders, state.clone(), every, engine));
        Self { state, shutdown }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn work(
    out: mpsc::Sender<FromAgent>,
    mut orders: mpsc::Receiver<ToAgent>,
    mut state: watch::Receiver<LinkState>,
    every: Duration,
    mut engine: impl Engine,
) {
    let mut highest = Fence::default();
    let mut connected = false;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(ToAgent::Assignments(Assignments { fence, items, .. })) => {
                    assert!(fence.may_follow(highest), "an order of the past");
                    highest = fence;
                    engine.follow(items);
                }
                Some(ToAgent::LogOpen { .. } | ToAgent::LogClose { .. }) => {}
            },
            changed = state.changed() => {
                if changed.is_err() { return }
                let up = *state.borrow_and_update() == LinkState::Up;
                if up && !connected {
                    let facts = Box::new(facts());
                    let _ = out.send(FromAgent::Hello { facts, fence: highest }).await;
                }
                connected = up;
            }
            () = tokio::time::sleep(every), if connected => {}
        }
        if connected {
            let report = Report {
                complete: true,
                fence: highest,
                attempts: engine.attempts(),
                orphans: Vec::new(),
            };
            if out.try_send(FromAgent::Report(report)).is_ok() {
                engine.told();
            }
        }
    }
}

/// How an attempt is, of which an agent says no more than it has to.
pub fn status(attempt: AttemptId, sequence: u64, phase: Phase) -> AttemptStatus {
    AttemptStatus {
        attempt,
        sequence,
        ready: matches!(phase, Phase::Running).then_some(true),
        phase,
        container: Some(format!("container-{attempt}")),
        ip: None,
        started_at: None,
        live: None,
        probe_message: None,
        hardening: None,
        drift: Vec::new(),
    }
}

/// A host with room for all that a test asks for.
fn facts() -> HostFacts {
    HostFacts {
        name: "host-1".to_owned(),
        address: "127.0.0.1".to_owned(),
        zone: "a".to_owned(),
        labels: BTreeMap::new(),
        resources: HostResources {
            cpu: CpuMillis(64_000),
            memory: Bytes::mib(64 << 10),
            disk: Bytes::mib(1 << 20),
            network: Mbps(100_000),
            gpu: 0,
            containers: 1000,
        },
        engine: "a test's".to_owned(),
        system: "a test's".to_owned(),
        agent_version: "0".to_owned(),
        warnings: Vec::new(),
        not_ready: None,
    }
}
