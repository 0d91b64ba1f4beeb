//! An agent on the real engine, as its control plane sees it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use muster::agent::{AgentConfig, LinkState, run};
use muster::runtime::docker::DockerEngine;
use muster_schemas::ids::{AttemptId, CellName, HostId, JobId, TaskId};
use muster_schemas::spec::{Bytes, CpuMillis, Mbps, Millis, Probe, Resources};
use muster_schemas::state::{
    Actor, AttemptStatus, Ended, HostFacts, Phase, StopOrder, StopReason, Usage,
};
use muster_schemas::wire::{
    Assignment, Assignments, Fence, FromAgent, Launch, LogEnd, LogLine, Report, ToAgent,
};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime as Threads;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// The engine of the machine.
pub const MACHINES_ENGINE: &str = "unix:///var/run/docker.sock";

/// Runs the docker command on the machine's engine.
pub fn docker(args: &[&str]) -> String {
    docker_on(MACHINES_ENGINE, args)
}

/// Runs the docker command on an engine.
pub fn docker_on(engine: &str, args: &[&str]) -> String {
    let output = Command::new("docker")
        .args(["-H", engine])
        .args(args)
        .output()
        .expect("these tests need the docker command");
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Removes a test's containers, also when it fails.
struct Cleanup {
    cell: CellName,
    engine: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let filter = format!("label=muster.cell={}", self.cell);
        let listed = Command::new("docker")
            .args(["-H", &self.engine, "ps", "-aq", "--filter", &filter])
            .output();
        if let Ok(listed) = listed {
            let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
            let _ = Command::new("docker")
                .args(["-H", &self.engine, "rm", "-f"])
                .args(ids.split_whitespace())
                .output();
        }
    }
}

/// The agent, and what it said.
pub struct Rig {
    pub cell: CellName,
    pub host: HostId,
    engine: String,
    folder: tempfile::TempDir,
    seq: u64,
    agent: Option<Running>,
    pub attempts: BTreeMap<AttemptId, AttemptStatus>,
    pub last_complete: Option<Report>,
    pub facts: Option<HostFacts>,
    pub fenced: u32,
    pub usage: Vec<Usage>,
    pub lines: Vec<LogLine>,
    pub log_end: Option<LogEnd>,
    // Last, so that it removes what is left when the agent is gone.
    _cleanup: Cleanup,
}

struct Running {
    /// The agent's own, as a process has its own: they end with it, and so does whatever they were doing.
    threads: Option<Threads>,
    to_agent: mpsc::Sender<ToAgent>,
    from_agent: mpsc::Receiver<FromAgent>,
    _link: watch::Sender<LinkState>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A runtime may not wait for its threads within another one.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Rig {
    /// An agent in a cell of its own that has seen the machine's engine.
    pub async fn started(name: &str) -> Self {
        Self::started_on(MACHINES_ENGINE, name).await
    }

    /// An agent in a cell of its own that has seen its engine.
    pub async fn started_on(engine: &str, name: &str) -> Self {
        let id = Uuid::now_v7();
        let cell = CellName::from(format!("test-{name}-{}", id.simple()));
        let mut rig = Self {
            cell: cell.clone(),
            host: HostId(id),
            engine: engine.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            seq: 0,
            agent: None,
            attempts: BTreeMap::new(),
            last_complete: None,
            facts: None,
            fenced: 0,
            usage: Vec::new(),
            lines: Vec::new(),
            log_end: None,
            _cleanup: Cleanup {
                cell,
                engine: engine.to_owned(),
            },
        };
        rig.start().await;
        rig
    }

    /// Starts the agent on its home, anew if it was killed.
    pub async fn start(&mut self) {
        self.kill().await;
        let config = AgentConfig {
            host: self.host,
            cell: self.cell.clone(),
            name: "host-1".into(),
            address: "127.0.0.1".into(),
            zone: "a".into(),
            labels: BTreeMap::new(),
            home: self.folder.path().to_owned(),
            reserve_cpu: CpuMillis(0),
            reserve_memory: Bytes::mib(0),
            sell_cpu: None,
            sell_memory: None,
            sell_disk: None,
            network: Mbps(1000),
            gpus: 0,
            max_containers: 100,
            marks: BTreeMap::new(),
        };
        let (to_agent, inn) = mpsc::channel(16);
        let (out, from_agent) = mpsc::channel(1024);
        let (link, link_watch) = watch::channel(LinkState::Up);
        let engine = DockerEngine::new(&self.engine);
        let shutdown = CancellationToken::new();
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        threads.spawn(run(config, engine, out, inn, link_watch, shutdown));
        self.agent = Some(Running {
            threads: Some(threads),
            to_agent,
            from_agent,
            _link: link,
        });
        self.until("the engine answers (these tests need Docker)", |rig| {
            rig.last_complete.is_some()
                && rig
                    .facts
                    .as_ref()
                    .is_some_and(|facts| facts.not_ready.is_none())
        })
        .await;
    }

    /// As by `kill -9`: whatever the agent was doing, it does no more once this returns, also on its disk.
    pub async fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let threads = agent.threads.take().unwrap();
            tokio::task::spawn_blocking(move || drop(threads))
                .await
                .unwrap();
        }
        self.last_complete = None;
        self.facts = None;
    }

    pub async fn send(&self, message: ToAgent) {
        let agent = self.agent.as_ref().unwrap();
        agent.to_agent.send(message).await.unwrap();
    }

    pub async fn assign(&mut self, items: Vec<Assignment>) {
        self.seq += 1;
        let fence = Fence {
            epoch: 2,
            seq: self.seq,
        };
        self.assign_at(fence, items).await;
    }

    pub async fn assign_at(&mut self, fence: Fence, items: Vec<Assignment>) {
        self.send(ToAgent::Assignments(Assignments {
            cell: self.cell.clone(),
            host: self.host,
            fence,
            items,
            put_back: Vec::new(),
            supersedes: None,
        }))
        .await;
    }

    async fn hear(&mut self) {
        let agent = self.agent.as_mut().unwrap();
        let frame = tokio::time::timeout(PATIENCE, agent.from_agent.recv())
            .await
            .expect("the agent says something")
            .expect("the agent runs");
        match frame {
            FromAgent::Hello { facts, .. } | FromAgent::Facts { facts } => {
                self.facts = Some(*facts);
            }
            FromAgent::Report(report) => {
                for status in &report.attempts {
                    self.attempts.insert(status.attempt, status.clone());
                }
                if report.complete {
                    self.last_complete = Some(report);
                }
            }
            FromAgent::Usage { readings } => self.usage.extend(readings),
            FromAgent::Log { lines, end, .. } => {
                self.lines.extend(lines);
                self.log_end = end.or(self.log_end.take());
            }
            FromAgent::Fenced { .. } => self.fenced += 1,
        }
    }

    pub async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached(self) {
            assert!(
                Instant::now() < deadline,
                "never: {what}; {:#?} {:#?}",
                self.attempts,
                self.facts
            );
            self.hear().await;
        }
    }

    /// Listens for a while.
    pub async fn idle(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::timeout_at(until, self.hear()).await.is_ok() {}
    }

    pub fn runs(&self, launch: &Launch) -> bool {
        self.attempts
            .get(&launch.attempt)
            .is_some_and(|status| status.phase == Phase::Running)
    }

    pub fn ended(&self, launch: &Launch) -> Option<Ended> {
        match &self.attempts.get(&launch.attempt)?.phase {
            Phase::Ended(ended) => Some(ended.clone()),
            Phase::Accepted
            | Phase::Pulling { .. }
            | Phase::Waiting { .. }
            | Phase::Creating
            | Phase::Running => None,
        }
    }

    pub async fn end_of(&mut self, launch: &Launch) -> Ended {
        self.until("it ends", |rig| rig.ended(launch).is_some())
            .await;
        self.ended(launch).unwrap()
    }

    /// The engine's id of its container.
    pub fn container(&self, launch: &Launch) -> String {
        self.attempts[&launch.attempt].container.clone().unwrap()
    }
}

/// Where the example images are.
pub fn registry() -> String {
    std::env::var("MUSTER_TEST_REGISTRY").unwrap_or_else(|_| "127.0.0.1:5000".to_owned())
}

/// An example image by digest; it is here when this returns.
pub fn image(name: &str) -> String {
    let tag = format!("{}/example/{name}", registry());
    docker(&["pull", "-q", &tag]);
    docker(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", &tag])
}

/// A launch of an image.
pub fn launch(image: &str, index: u32) -> Launch {
    Launch {
        attempt: AttemptId(Uuid::now_v7()),
        number: 1,
        task: TaskId::new(JobId::from("web"), index),
        job: JobId::from("web"),
        version: 1,
        app: "shop".into(),
        stack: None,
        detail: None,
        labels: BTreeMap::from([("team".to_owned(), "shop".to_owned())]),
        image: image.to_owned(),
        entrypoint: None,
        command: None,
        env: BTreeMap::new(),
        resources: Resources::default(),
        ports: Vec::new(),
        readiness: None,
        liveness: None,
        read_only_root: true,
        user: None,
        capabilities: Vec::new(),
        kill_grace: Millis::secs(5),
    }
}

/// A launch of a shell script.
pub fn shell(index: u32, script: &str) -> Launch {
    let mut launch = launch(&image("web:1"), index);
    launch.entrypoint = Some(vec!["/bin/sh".into(), "-c".into(), script.into()]);
    launch
}

pub fn run_item(launch: &Launch) -> Assignment {
    Assignment::Run(Box::new(launch.clone()))
}

pub fn stop_item(launch: &Launch) -> Assignment {
    Assignment::Stop {
        launch: Box::new(launch.clone()),
        order: StopOrder {
            attempt: launch.attempt,
            reason: StopReason::ScaleIn,
            actor: Actor::Automation("rollout".into()),
            plan: None,
            grace: launch.kill_grace,
        },
    }
}

/// A probe as it stands in a spec.
pub fn probe(text: &str) -> Option<Probe> {
    Some(serde_json::from_str(text).unwrap())
}
