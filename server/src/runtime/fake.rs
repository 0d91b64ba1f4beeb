//! An engine in memory for the agent's tests. Faults come by a seed: a call may fail before or after it did its deed, so that
//! the caller cannot know; the engine may go away, and come back with all that it had.

use super::settings::settings;
use super::{
    Container, ContainerEvent, ContainerState, Counters, CreateSpec, EngineInfo, ExecEnd, Listed,
    LocalImage, LogChunk, LogsFrom, PullProgress, Runtime, RuntimeError, Settings,
};
use futures::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use muster_schemas::drift::DriftField;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A fake engine. Clones are the same engine.
#[derive(Debug, Clone, Default)]
pub struct FakeEngine {
    inside: Arc<Mutex<Inside>>,
}

/// What the engine holds, for tests to look at and to change.
#[derive(Debug, Default)]
pub struct Inside {
    /// Containers by id.
    pub containers: BTreeMap<String, Container>,
    /// Images that are here.
    pub images: Vec<String>,
    /// The digests under which images that are here were pushed.
    pub pushed: BTreeMap<String, String>,
    /// Images that can be pulled.
    pub registry: Vec<String>,
    /// So many of a thousand calls that change something lose their answer, half of them after the deed.
    pub faults_per_mille: u64,
    /// Whether the engine is away.
    pub away: bool,
    /// How often each container name was created.
    pub created: BTreeMap<String, u32>,
    /// How often each container name was really started.
    pub started: BTreeMap<String, u32>,
    /// Names of containers that were stopped or killed through the engine, in order.
    pub stopped: Vec<String>,
    /// Names of containers that were removed through the engine.
    pub removed: Vec<String>,
    /// Ids of containers that run although the engine calls them created.
    pub forgotten: BTreeSet<String>,
    /// What was put back, by the container's name before it.
    pub put_back: Vec<(String, Vec<DriftField>)>,
    /// Why nothing can be put back, if so.
    pub refuses_to_put_back: Option<String>,
    /// Bytes of memory that every container uses.
    pub memory_in_use: Option<u64>,
    /// Log chunks by container id.
    pub logs: BTreeMap<String, Vec<LogChunk>>,
    random: u64,
    next_id: u64,
}

impl Inside {
    /// A small generator of our own (xorshift), so that a seed gives the same faults for ever.
    fn chance(&mut self, per_mille: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < per_mille
    }

    /// By id or name.
    pub fn find(&mut self, container: &str) -> Option<&mut Container> {
        self.containers
            .values_mut()
            .find(|found| found.id == container || found.name == container)
    }

    /// Ends a container by itself.
    pub fn exit(&mut self, name: &str, code: i32) {
        let found = self.find(name).expect("the test names a container");
        found.state = ContainerState::Exited;
        found.exit_code = code;
        found.finished_at = Some(Timestamp::now());
        found.ip = None;
    }
}

/// What a container has that was created from this.
pub fn settings_of(spec: &CreateSpec) -> Settings {
    let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
    Settings {
        cpu_millis: i64::from(spec.cpu_millis),
        memory_bytes: memory,
        memory_swap_bytes: memory,
        ..settings(&spec.name)
    }
}

fn lost(operation: &'static str) -> RuntimeError {
    RuntimeError::Unreachable {
        operation,
        message: "the answer was lost".into(),
    }
}

fn missing(operation: &'static str) -> RuntimeError {
    RuntimeError::NotFound {
        operation,
        message: "no such container".into(),
    }
}

impl FakeEngine {
    /// An engine with a seed for its faults.
    pub fn new(seed: u64) -> Self {
        let engine = Self::default();
        engine.inside().random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        engine
    }

    /// What it holds.
    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no test panics with the lock")
    }

    /// A question: fails only while the engine is away.
    async fn question<T>(
        &self,
        operation: &'static str,
        answer: impl FnOnce(&mut Inside) -> Result<T, RuntimeError>,
    ) -> Result<T, RuntimeError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut inside = self.inside();
        if inside.away {
            return Err(lost(operation));
        }
        answer(&mut inside)
    }

    /// A deed: its answer may be lost, before or after it was done.
    async fn deed<T>(
        &self,
        operation: &'static str,
        deed: impl FnOnce(&mut Inside) -> Result<T, RuntimeError>,
    ) -> Result<T, RuntimeError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut inside = self.inside();
        if inside.away {
            return Err(lost(operation));
        }
        let rate = inside.faults_per_mille;
        if inside.chance(rate) {
            if inside.chance(500) {
                let _ = deed(&mut inside);
            }
            return Err(lost(operation));
        }
        deed(&mut inside)
    }

    async fn end(
        &self,
        operation: &'static str,
        container: &str,
        code: i32,
    ) -> Result<(), RuntimeError> {
        self.deed(operation, |inside| {
            let found = inside.find(container).ok_or_else(|| missing(operation))?;
            let name = found.name.clone();
            let ran = found.state == ContainerState::Running;
            if ran {
                inside.exit(&name, code);
            }
            inside.stopped.push(name);
            Ok(())
        })
        .await
    }
}

impl Runtime for FakeEngine {
    async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Listed>, RuntimeError> {
        self.question("list", |inside| {
            Ok(inside
                .containers
                .values()
                .filter(|container| {
                    labels.iter().all(|(key, value)| {
                        container.labels.get(*key).map(String::as_str) == Some(*value)
                    })
                })
                .map(|container| Listed {
                    id: container.id.clone(),
                    name: container.name.clone(),
                    labels: container.labels.clone(),
                    state: container.state,
                    paused: container.settings.as_ref().is_some_and(|has| has.paused),
                    networks: container
                        .settings
                        .as_ref()
                        .map(|has| has.networks.clone())
                        .unwrap_or_default(),
                })
                .collect())
        })
        .await
    }

    async fn inspect(&self, container: &str) -> Result<Option<Container>, RuntimeError> {
        self.question("inspect", |inside| Ok(inside.find(container).cloned()))
            .await
    }

    async fn has_image(&self, image: &str) -> Result<bool, RuntimeError> {
        self.question("image", |inside| {
            Ok(inside.images.iter().any(|here| here == image))
        })
        .await
    }

    async fn local_image(&self, image: &str) -> Result<Option<LocalImage>, RuntimeError> {
        self.question("image", |inside| {
            let here = inside.images.iter().any(|here| here == image);
            Ok(here.then(|| LocalImage {
                id: format!("id of {image}"),
                digests: inside.pushed.get(image).cloned().into_iter().collect(),
            }))
        })
        .await
    }

    async fn pull(
        &self,
        image: &str,
        progress: watch::Sender<PullProgress>,
    ) -> Result<(), RuntimeError> {
        for done in [10, 60, 100] {
            progress.send_replace(PullProgress { done, total: 100 });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.deed("pull", |inside| {
            if inside.registry.iter().any(|there| there == image) {
                inside.images.push(image.to_owned());
                Ok(())
            } else {
                Err(RuntimeError::Failed {
                    operation: "pull",
                    message: "manifest unknown".into(),
                })
            }
        })
        .await
    }

    async fn create(&self, spec: &CreateSpec) -> Result<String, RuntimeError> {
        self.deed("create", |inside| {
            if inside.find(&spec.name).is_some() {
                return Err(RuntimeError::Conflict {
                    operation: "create",
                    message: "the name is taken".into(),
                });
            }
            if !inside.images.contains(&spec.image) {
                return Err(RuntimeError::ImageMissing {
                    message: spec.image.clone(),
                });
            }
            inside.next_id += 1;
            let id = format!("id{}", inside.next_id);
            *inside.created.entry(spec.name.clone()).or_default() += 1;
            inside.containers.insert(
                id.clone(),
                Container {
                    id: id.clone(),
                    name: spec.name.clone(),
                    labels: spec.labels.clone(),
                    state: ContainerState::Created,
                    ip: None,
                    started_at: None,
                    finished_at: None,
                    exit_code: 0,
                    oom: false,
                    error: String::new(),
                    hardening: None,
                    settings: Some(settings_of(spec)),
                },
            );
            Ok(id)
        })
        .await
    }

    async fn start(&self, container: &str) -> Result<(), RuntimeError> {
        self.deed("start", |inside| {
            let found = inside.find(container).ok_or_else(|| missing("start"))?;
            if found.state == ContainerState::Running {
                return Ok(());
            }
            found.state = ContainerState::Running;
            found.started_at = Some(Timestamp::now());
            found.ip = Some("127.0.0.1".into());
            let name = found.name.clone();
            *inside.started.entry(name).or_default() += 1;
            Ok(())
        })
        .await
    }

    async fn stop(&self, container: &str, _grace: Duration) -> Result<(), RuntimeError> {
        self.end("stop", container, 143).await
    }

    async fn kill(&self, container: &str) -> Result<(), RuntimeError> {
        self.end("kill", container, 137).await
    }

    async fn put_back(
        &self,
        container: &str,
        wanted: &Settings,
        fields: &[DriftField],
    ) -> Result<(), RuntimeError> {
        self.deed("put back", |inside| {
            if let Some(message) = inside.refuses_to_put_back.clone() {
                return Err(RuntimeError::Refused {
                    operation: "put back",
                    message,
                });
            }
            let found = inside.find(container).ok_or_else(|| missing("put back"))?;
            let name = found.name.clone();
            let has = found.settings.get_or_insert_with(|| wanted.clone());
            for field in fields {
                match field {
                    DriftField::Cpu => has.cpu_millis = wanted.cpu_millis,
                    DriftField::Cpuset => has.cpuset.clone_from(&wanted.cpuset),
                    DriftField::CpuShares => has.cpu_shares = wanted.cpu_shares,
                    DriftField::Memory | DriftField::MemorySwap => {
                        has.memory_bytes = wanted.memory_bytes;
                        has.memory_swap_bytes = wanted.memory_swap_bytes;
                    }
                    DriftField::Pids => has.pids = wanted.pids,
                    DriftField::RestartPolicy => has.restart.clone_from(&wanted.restart),
                    DriftField::Paused => has.paused = wanted.paused,
                    DriftField::Name => has.name.clone_from(&wanted.name),
                    DriftField::Networks => has.networks.clone_from(&wanted.networks),
                    DriftField::Desired => {}
                }
            }
            found.name = has.name.clone();
            inside.put_back.push((name, fields.to_vec()));
            Ok(())
        })
        .await
    }

    async fn remove(&self, container: &str) -> Result<(), RuntimeError> {
        self.deed("remove", |inside| {
            let Some(found) = inside.find(container).cloned() else {
                return Ok(());
            };
            if found.state == ContainerState::Running {
                return Err(RuntimeError::Conflict {
                    operation: "remove",
                    message: "it runs".into(),
                });
            }
            inside.containers.remove(&found.id);
            inside.removed.push(found.name);
            Ok(())
        })
        .await
    }

    async fn end_forgotten(&self, container: &str) -> Result<usize, RuntimeError> {
        self.deed("end what was forgotten", |inside| {
            let forgotten = inside.forgotten.remove(container);
            Ok(usize::from(forgotten))
        })
        .await
    }

    fn logs(
        &self,
        container: &str,
        from: LogsFrom,
    ) -> BoxStream<'static, Result<LogChunk, RuntimeError>> {
        let chunks = self
            .inside()
            .logs
            .get(container)
            .cloned()
            .unwrap_or_default();
        let skipped = from
            .tail
            .map_or(0, |tail| chunks.len().saturating_sub(tail as usize));
        let ready = futures::stream::iter(chunks.into_iter().skip(skipped).map(Ok));
        // As an engine does it: a container that was never started has nothing to follow.
        let never_ran = self
            .inside()
            .find(container)
            .is_some_and(|container| container.state == ContainerState::Created);
        if from.follow && !never_ran {
            ready.chain(futures::stream::pending()).boxed()
        } else {
            ready.boxed()
        }
    }

    async fn stats(&self, container: &str) -> Result<Counters, RuntimeError> {
        self.question("stats", |inside| {
            inside.find(container).ok_or_else(|| missing("stats"))?;
            Ok(Counters {
                at: Instant::now(),
                cpu_nanos: 0,
                memory_bytes: inside.memory_in_use.unwrap_or(1 << 20),
                rx_bytes: 0,
                tx_bytes: 0,
                pids: 1,
            })
        })
        .await
    }

    async fn exec(&self, container: &str, _command: &[String]) -> Result<ExecEnd, RuntimeError> {
        self.question("exec", |inside| {
            inside.find(container).ok_or_else(|| missing("exec"))?;
            Ok(ExecEnd {
                code: 0,
                output: String::new(),
            })
        })
        .await
    }

    fn events(
        &self,
        _label: (&str, &str),
    ) -> BoxStream<'static, Result<ContainerEvent, RuntimeError>> {
        // None ever come, so that tests rest on what the agent relies on when events are lost.
        futures::stream::pending().boxed()
    }

    async fn info(&self) -> Result<EngineInfo, RuntimeError> {
        self.question("info", |_| Ok(crate::agent::testing::engine_info()))
            .await
    }
}
