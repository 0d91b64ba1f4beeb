//! Container runtimes: the only room that names `bollard`.
//!
//! [`Runtime`] says in our own words what the agent needs of an engine; [`docker`] does it with Docker; [`fake`] does it in
//! memory, with faults on request, for the agent's own tests. Nothing here decides anything: what to create, start or stop is
//! the agent's business.

pub mod docker;
#[cfg(test)]
pub mod fake;
pub mod settings;

use futures::stream::BoxStream;
use jiff::Timestamp;
use muster_schemas::drift::DriftField;
use muster_schemas::state::Hardening;
use muster_schemas::wire::LogStream;
pub use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What the agent needs of a container engine. Each call is one question or one deed; none is repeated by the runtime itself.
///
/// Every call may answer [`RuntimeError::Unreachable`]: then it is not known whether the deed was done.
pub trait Runtime: Send + Sync + 'static {
    /// All containers, in whatever state, that bear all of these labels.
    fn list(
        &self,
        labels: &[(&str, &str)],
    ) -> impl Future<Output = Result<Vec<Listed>, RuntimeError>> + Send;

    /// One container by id or name; none if the engine has no such container.
    fn inspect(
        &self,
        container: &str,
    ) -> impl Future<Output = Result<Option<Container>, RuntimeError>> + Send;

    /// Whether the engine has the image under this very reference.
    fn has_image(&self, image: &str) -> impl Future<Output = Result<bool, RuntimeError>> + Send;

    /// What the engine has under this very reference; none if it has nothing.
    fn local_image(
        &self,
        image: &str,
    ) -> impl Future<Output = Result<Option<LocalImage>, RuntimeError>> + Send;

    /// Pulls an image, telling how far it is.
    fn pull(
        &self,
        image: &str,
        progress: watch::Sender<PullProgress>,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Creates a container and returns its id. A taken name is [`RuntimeError::Conflict`], a missing image
    /// [`RuntimeError::ImageMissing`].
    fn create(
        &self,
        spec: &CreateSpec,
    ) -> impl Future<Output = Result<String, RuntimeError>> + Send;

    /// Starts a created container. One that runs already is fine.
    fn start(&self, container: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Sends the container's stop signal, and the kill signal when it still runs after `grace`; returns once it has ended.
    /// One that does not run is fine.
    fn stop(
        &self,
        container: &str,
        grace: Duration,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Sends the kill signal. One that does not run is fine.
    fn kill(&self, container: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Makes these fields of a container as `wanted` says, without stopping it.
    fn put_back(
        &self,
        container: &str,
        wanted: &Settings,
        fields: &[DriftField],
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Removes a container that does not run, and refuses with [`RuntimeError::Conflict`] if it does. One that is gone is fine.
    fn remove(&self, container: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Ends what runs of a container that the engine says never started, and returns how many processes there were, once none
    /// is left. The container is given by its full id.
    fn end_forgotten(
        &self,
        container: &str,
    ) -> impl Future<Output = Result<usize, RuntimeError>> + Send;

    /// What the container wrote. The stream ends when all was read, and with `follow` when the container has ended.
    fn logs(
        &self,
        container: &str,
        from: LogsFrom,
    ) -> BoxStream<'static, Result<LogChunk, RuntimeError>>;

    /// What the container has used so far.
    fn stats(&self, container: &str)
    -> impl Future<Output = Result<Counters, RuntimeError>> + Send;

    /// Runs a command in the container, to its end.
    fn exec(
        &self,
        container: &str,
        command: &[String],
    ) -> impl Future<Output = Result<ExecEnd, RuntimeError>> + Send;

    /// The ids of containers that bear this label, each time that something happened to one of them. The stream ends when the
    /// engine goes away.
    fn events(
        &self,
        label: (&str, &str),
    ) -> BoxStream<'static, Result<ContainerEvent, RuntimeError>>;

    /// What the engine says about itself and its machine.
    fn info(&self) -> impl Future<Output = Result<EngineInfo, RuntimeError>> + Send;
}

/// Why the engine did not do what it was asked. The messages are the engine's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No answer came: the deed may or may not have been done.
    #[error("the engine does not answer ({operation}: {message})")]
    Unreachable {
        /// What was asked.
        operation: &'static str,
        /// What went wrong.
        message: String,
    },
    /// The engine has no such container.
    #[error("the engine has no such container ({operation}: {message})")]
    NotFound {
        /// What was asked.
        operation: &'static str,
        /// The engine's words.
        message: String,
    },
    /// The engine does not have the image.
    #[error("the engine does not have the image: {message}")]
    ImageMissing {
        /// The engine's words.
        message: String,
    },
    /// The name is taken, or the container is in a state that forbids it.
    #[error("the engine refuses ({operation}): {message}")]
    Conflict {
        /// What was asked.
        operation: &'static str,
        /// The engine's words.
        message: String,
    },
    /// What was asked can never work.
    #[error("the engine refuses ({operation}): {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The engine's words.
        message: String,
    },
    /// The engine tried and failed; it may work another time.
    #[error("the engine failed ({operation}): {message}")]
    Failed {
        /// What was asked.
        operation: &'static str,
        /// The engine's words.
        message: String,
    },
}

impl RuntimeError {
    /// Whether no answer came.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, RuntimeError::Unreachable { .. })
    }

    /// The bare words, without what was asked.
    pub fn message(&self) -> &str {
        match self {
            RuntimeError::Unreachable { message, .. }
            | RuntimeError::NotFound { message, .. }
            | RuntimeError::ImageMissing { message }
            | RuntimeError::Conflict { message, .. }
            | RuntimeError::Refused { message, .. }
            | RuntimeError::Failed { message, .. } => message,
        }
    }
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// It was created and never ran.
    Created,
    /// It runs, or is paused.
    Running,
    /// It ran and ended.
    Exited,
}

/// A container in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: ContainerState,
    /// Whether it is paused.
    pub paused: bool,
    /// The networks that it is connected to.
    pub networks: BTreeSet<String>,
}

/// All about one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: ContainerState,
    /// Its address on the engine's network, while it runs.
    pub ip: Option<String>,
    /// When it started, if it ever did.
    pub started_at: Option<Timestamp>,
    /// When it ended, if it has.
    pub finished_at: Option<Timestamp>,
    /// The exit code of its first process. A container that could not be started has one too.
    pub exit_code: i32,
    /// Whether the kernel killed one of its processes for want of memory.
    pub oom: bool,
    /// Why it could not be started, in the engine's words; empty if there is nothing to say.
    pub error: String,
    /// What is in force on it.
    pub hardening: Option<Hardening>,
    /// What of it can be changed while it exists, as it stands.
    pub settings: Option<Settings>,
}

/// A container to create. The hardening that Muster never goes without (no new privileges, no capabilities but the named
/// ones, the engine's seccomp profile, a small `/tmp`, bounded logs) is not in here: the runtime always sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSpec {
    /// Its name, which no other container of the engine bears.
    pub name: String,
    /// The image.
    pub image: String,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The user, if not the image's.
    pub user: Option<String>,
    /// The bound on CPU, in thousandths.
    pub cpu_millis: u32,
    /// The bound on memory (and none in swap), in bytes.
    pub memory_bytes: u64,
    /// The size of `/dev/shm`, in bytes.
    pub shm_bytes: u64,
    /// Whole GPUs.
    pub gpus: u32,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// Capabilities to give back, without `CAP_`.
    pub capabilities: Vec<String>,
    /// Ports that it listens on.
    pub ports: Vec<PortSpec>,
    /// The host's address under which host ports are published.
    pub publish_address: String,
    /// Time from the stop signal to the kill signal when somebody stops it with the engine's own tools.
    pub stop_grace: Duration,
    /// Whether the engine puts its small init before the command, which reaps orphaned processes.
    pub init: bool,
}

/// A port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSpec {
    /// The port in the container.
    pub container: u16,
    /// The port on the host, if it is published.
    pub host: Option<u16>,
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// The engine's id of it, under which it stays the same whatever is built or pulled later.
    pub id: String,
    /// Under which digests registries have it, as `registry/name@sha256:…`; none of what was built here and not pushed.
    pub digests: Vec<String>,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PullProgress {
    /// Bytes here.
    pub done: u64,
    /// Bytes in all, of the layers known so far; 0 while it is unknown.
    pub total: u64,
}

/// What to read of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogsFrom {
    /// Whether to go on as lines come.
    pub follow: bool,
    /// At most so many of the last lines.
    pub tail: Option<u32>,
    /// Lines from this time on; the engine may round it down.
    pub since: Option<Timestamp>,
}

/// A line, or a part of a long one: at most 16 KiB, which is where engines cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// When the engine got it.
    pub at: Timestamp,
    /// Where it was written to.
    pub stream: LogStream,
    /// The bytes, without the line's end.
    pub bytes: Vec<u8>,
    /// Whether the line ends here.
    pub ends: bool,
}

/// What a container has used since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// When it was read.
    pub at: Instant,
    /// CPU time in nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in use now, without the page cache that can be taken back.
    pub memory_bytes: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Processes and threads now.
    pub pids: u32,
}

/// How a command in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    /// Its exit code.
    pub code: i64,
    /// The first of what it wrote.
    pub output: String,
}

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The engine's id of the container.
    pub container: String,
    /// Whether it says that the kernel killed a process for want of memory.
    pub oom: bool,
}

/// What an engine says about itself and its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Name, version and API version, such as `docker 20.10.24 (API 1.41)`.
    pub engine: String,
    /// Kernel, system and architecture.
    pub system: String,
    /// CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Where the engine keeps images and containers.
    pub root_dir: String,
    /// Whether containers outlive a restart of the engine.
    pub live_restore: bool,
    /// The default seccomp profile, or none where there is no seccomp.
    pub seccomp: Option<String>,
    /// Whether AppArmor is in force, by the kernel's word.
    pub apparmor: bool,
    /// Whether root in a container is another user on the host.
    pub user_namespaces: bool,
    /// Whether the engine has its small init.
    pub init: bool,
    /// Bounds that the kernel or engine cannot enforce, by name.
    pub unenforced: Vec<String>,
}
