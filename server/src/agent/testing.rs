//! What the agent's tests build worlds from.

use super::AgentConfig;
use super::converge::{Image, Retry, View};
use super::launch::create_spec;
use super::markers::{Marker, Stage};
use crate::runtime::fake::settings_of;
use crate::runtime::{Container, ContainerState, EngineInfo};
use jiff::Timestamp;
use muster_schemas::drift::DriftField;
use muster_schemas::ids::{AttemptId, CellName, HostId, JobId, TaskId};
use muster_schemas::spec::{Bytes, CpuMillis, Mbps, Millis, Resources};
use muster_schemas::state::{Actor, StopOrder, StopReason};
use muster_schemas::wire::{Assignment, Launch};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The attempt with this number.
pub fn attempt(number: u128) -> AttemptId {
    AttemptId(uuid::Uuid::from_u128(number))
}

/// A launch whose ids end in this number.
pub fn launch(number: u128) -> Launch {
    Launch {
        attempt: attempt(number),
        number: 1,
        task: TaskId::new(JobId::from("web"), 0),
        job: JobId::from("web"),
        version: 3,
        app: "shop".into(),
        stack: Some("prod".into()),
        detail: None,
        labels: BTreeMap::new(),
        image: "registry.example.com/shop/web@sha256:00".into(),
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
        kill_grace: Millis::secs(10),
    }
}

/// An order to stop it.
pub fn order(launch: &Launch) -> StopOrder {
    StopOrder {
        attempt: launch.attempt,
        reason: StopReason::ScaleIn,
        actor: Actor::Automation("rollout".into()),
        plan: None,
        grace: launch.kill_grace,
    }
}

/// Its container.
pub fn container(launch: &Launch, state: ContainerState) -> Container {
    let spec = create_spec(launch, &config(Path::new("/")), &engine_info());
    let settings = settings_of(&spec);
    let started = (state != ContainerState::Created).then_some(Timestamp::UNIX_EPOCH);
    Container {
        id: format!("id-of-{}", spec.name),
        name: spec.name,
        labels: spec.labels,
        state,
        ip: (state == ContainerState::Running).then(|| "192.0.2.9".to_owned()),
        started_at: started,
        finished_at: (state == ContainerState::Exited).then_some(Timestamp::UNIX_EPOCH),
        exit_code: 0,
        oom: false,
        error: String::new(),
        hardening: Some(muster_schemas::state::Hardening {
            no_new_privileges: true,
            capabilities: Vec::new(),
            read_only_root: true,
            seccomp: "default".into(),
            apparmor: "none".into(),
            user_namespace: false,
            pids_limit: Some(512),
            memory_limit: Some(128 << 20),
            cpu_limit_millis: Some(100),
            user: String::new(),
        }),
        settings: Some(settings),
    }
}

/// Its marker.
pub fn marker(launch: &Launch, stage: Stage) -> Marker {
    Marker {
        attempt: launch.attempt,
        launch: Some(launch.clone()),
        made_at: Timestamp::UNIX_EPOCH,
        stage,
        stop_begun: None,
        container: None,
        settings: None,
    }
}

/// An agent's settings.
pub fn config(home: &Path) -> AgentConfig {
    AgentConfig {
        host: HostId(uuid::Uuid::from_u128(1)),
        cell: CellName::from("test"),
        name: "host-1".into(),
        address: "127.0.0.1".into(),
        zone: "a".into(),
        labels: BTreeMap::new(),
        home: home.to_owned(),
        reserve_cpu: CpuMillis(0),
        reserve_memory: Bytes::mib(0),
        sell_cpu: None,
        sell_memory: None,
        sell_disk: Some(Bytes::mib(1024)),
        network: Mbps(1000),
        gpus: 0,
        max_containers: 100,
        marks: BTreeMap::new(),
    }
}

/// An engine's word about itself.
pub fn engine_info() -> EngineInfo {
    EngineInfo {
        engine: "fake 1.0 (API 1.41)".into(),
        system: "Linux 6.1 · test · x86_64 · cgroup v2".into(),
        cpus: 4,
        memory_bytes: 8 << 30,
        root_dir: "/".into(),
        live_restore: true,
        seccomp: Some("default".into()),
        apparmor: true,
        user_namespaces: true,
        init: true,
        unenforced: Vec::new(),
    }
}

/// What a decision rests on, to be changed at will.
#[derive(Debug, Clone)]
pub struct World {
    /// See [`View`].
    pub items: Vec<Assignment>,
    /// See [`View`].
    pub containers: BTreeMap<AttemptId, Container>,
    /// See [`View`].
    pub markers: BTreeMap<AttemptId, Arc<Marker>>,
    /// See [`View`].
    pub images: BTreeMap<String, Image>,
    /// See [`View`].
    pub retries: BTreeMap<AttemptId, Retry>,
    /// See [`View`].
    pub put_back: BTreeMap<AttemptId, Vec<DriftField>>,
    /// See [`View`].
    pub mends: BTreeMap<AttemptId, Retry>,
    /// See [`View`].
    pub busy: BTreeSet<AttemptId>,
    /// See [`View`].
    pub now: Timestamp,
}

impl Default for World {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            containers: BTreeMap::new(),
            markers: BTreeMap::new(),
            images: BTreeMap::new(),
            retries: BTreeMap::new(),
            put_back: BTreeMap::new(),
            mends: BTreeMap::new(),
            busy: BTreeSet::new(),
            now: Timestamp::from_second(1_000_000).expect("a time of this century"),
        }
    }
}

impl World {
    /// One with these assignments and nothing else.
    pub fn assigned(items: Vec<Assignment>) -> Self {
        Self {
            items,
            ..Self::default()
        }
    }

    /// The view of it.
    pub fn view(&self) -> View<'_> {
        View {
            items: &self.items,
            containers: &self.containers,
            markers: &self.markers,
            images: &self.images,
            retries: &self.retries,
            put_back: &self.put_back,
            mends: &self.mends,
            busy: &self.busy,
            now: self.now,
        }
    }
}
