//! The states of the fleet's things, and the typed reasons for each of them.

use crate::drift::{DriftField, FieldDrift};
use crate::ids::{AttemptId, HostId, JobId, PlanId, TaskId};
use crate::spec::{Bytes, CpuMillis, Mbps, Millis};
use crate::stop::Disruption;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a task is in its life. It moves forward only; a retry begins again at `queued` with a new attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It waits for a host, or for its next attempt.
    Queued,
    /// A host was chosen; its agent has not begun yet.
    Assigned,
    /// The agent pulls the image or creates the container.
    Starting,
    /// The container runs.
    Running,
    /// A stop order was given; the container has not ended yet.
    Stopping,
    /// It ended for good.
    Finished,
}

impl TaskState {
    /// All of them, in order.
    pub const ALL: [TaskState; 6] = [
        Self::Queued,
        Self::Assigned,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Finished,
    ];

    /// The state's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Assigned => "assigned",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
        }
    }
}

/// How an attempt, or a task, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It exited with 0 by itself.
    Succeeded,
    /// It exited otherwise by itself, or could not start.
    Failed,
    /// It was stopped by a stop order.
    Stopped,
    /// There is evidence that its container is gone, but none of how it ended.
    Lost,
}

/// The evidence of an attempt's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// The exit code of the container's first process, where there was one.
    pub exit_code: Option<i32>,
    /// The signal that ended it (the exit code less 128), where there was one.
    pub signal: Option<i32>,
    /// Whether the kernel killed it for want of memory.
    pub oom: bool,
    /// When, by the host's engine.
    pub at: Timestamp,
    /// One sentence for people, such as `exited with 1` or `the image could not be pulled: …`.
    pub message: String,
    /// Whether the cause lies outside the job: such an end does not count against its retries.
    pub system_error: bool,
}

/// How far the agent is with an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// The agent has the assignment.
    Accepted,
    /// The image is pulled.
    Pulling {
        /// Bytes here, of `total`.
        done: u64,
        /// Bytes in all; 0 while it is unknown.
        total: u64,
    },
    /// A pull or create failed and is tried again at `until`.
    Waiting {
        /// What failed, in one sentence.
        message: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// The container is created.
    Creating,
    /// The container runs.
    Running,
    /// The container ended, or never came to be.
    Ended(Ended),
}

/// What an agent says about one attempt. Reports are whole and may be repeated, delayed or reordered: `sequence` grows
/// with each change, and an older one is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStatus {
    /// The attempt.
    pub attempt: AttemptId,
    /// Grows with each change that the agent sees, also across its restarts (it counts from the clock in microseconds).
    pub sequence: u64,
    /// How far it is.
    #[serde(flatten)]
    pub phase: Phase,
    /// The engine's id of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The container's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// When the container started, by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The readiness probe's word: none while it has not answered; with no probe, true once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The liveness probe's word: none without a probe or an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
    /// What the last failing probe said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_message: Option<String>,
    /// What is in force on the container, as the engine reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardening: Option<Hardening>,
    /// What somebody changed on the running container, by field; agents of earlier versions do not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<FieldDrift>,
}

/// What is really in force on a container, read back from the engine and the kernel rather than from what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Hardening {
    /// No process can gain privileges.
    pub no_new_privileges: bool,
    /// Capabilities that are kept.
    pub capabilities: Vec<String>,
    /// The root file system is read-only.
    pub read_only_root: bool,
    /// The seccomp profile: `default`, `unconfined`, or `none` where the kernel has none.
    pub seccomp: String,
    /// The AppArmor profile, or `none` where the kernel has none.
    pub apparmor: String,
    /// Whether root in the container is another user on the host.
    pub user_namespace: bool,
    /// The bound on processes.
    pub pids_limit: Option<i64>,
    /// The bound on memory, in bytes.
    pub memory_limit: Option<i64>,
    /// The bound on CPU, in thousandths of a CPU.
    pub cpu_limit_millis: Option<i64>,
    /// The user that the first process runs as, as written.
    pub user: String,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "actor", content = "name", rename_all = "snake_case")]
pub enum Actor {
    /// A part of the control plane, by its room: `rollout`, `schedule`, `lifecycle`, …
    Automation(String),
    /// A person or a pipeline, by the name of their token.
    Person(String),
    /// The author of a commit.
    Committer(String),
    /// An agent, by its host's name.
    Agent(String),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Automation(name)
            | Actor::Person(name)
            | Actor::Committer(name)
            | Actor::Agent(name) => f.write_str(name),
        }
    }
}

/// The only thing that makes an agent stop a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// The attempt to stop.
    pub attempt: AttemptId,
    /// Why.
    pub reason: StopReason,
    /// Who.
    pub actor: Actor,
    /// The plan that it follows from, where there is one.
    pub plan: Option<PlanId>,
    /// Time from the stop signal to the kill signal.
    pub grace: Millis,
}

/// Why a container is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// A rollout replaces it with the job's current version.
    Rollout {
        /// The version that replaces it.
        to_version: u64,
    },
    /// The job asks for fewer tasks.
    ScaleIn,
    /// The job's document was removed and the policy prunes.
    Prune,
    /// Its liveness probe failed.
    Liveness {
        /// What the probe said.
        message: String,
    },
    /// It ran longer than its runtime limit.
    RuntimeLimit {
        /// The limit.
        limit: Millis,
    },
    /// Somebody changed it beside Muster, the policy heals that, and it cannot be put back while the container runs.
    Drift {
        /// What was changed.
        field: DriftField,
        /// Why it cannot be put back.
        message: String,
    },
    /// Somebody asked.
    Asked {
        /// Their words.
        message: String,
    },
    /// The cell is taken down by a person.
    Down,
}

impl StopReason {
    /// Its word in the journal's JSON.
    pub fn word(&self) -> &'static str {
        match self {
            StopReason::Rollout { .. } => "rollout",
            StopReason::ScaleIn => "scale_in",
            StopReason::Prune => "prune",
            StopReason::Liveness { .. } => "liveness",
            StopReason::RuntimeLimit { .. } => "runtime_limit",
            StopReason::Drift { .. } => "drift",
            StopReason::Asked { .. } => "asked",
            StopReason::Down => "down",
        }
    }

    /// Whether nobody asked for this very stop: such stops draw on the stop budget.
    pub fn is_automated(&self) -> bool {
        match self {
            StopReason::Rollout { .. }
            | StopReason::ScaleIn
            | StopReason::Prune
            | StopReason::Liveness { .. }
            | StopReason::RuntimeLimit { .. }
            | StopReason::Drift { .. } => true,
            StopReason::Asked { .. } | StopReason::Down => false,
        }
    }

    /// How far the job's disruption budget holds it.
    pub fn disruption(&self) -> Disruption {
        match self {
            // The policy asks for it, as a commit asks for a rollout.
            StopReason::Rollout { .. } | StopReason::Drift { .. } => Disruption::Replace,
            StopReason::ScaleIn | StopReason::Prune => Disruption::Fewer,
            StopReason::Liveness { .. } => Disruption::Own,
            StopReason::RuntimeLimit { .. } | StopReason::Asked { .. } | StopReason::Down => {
                Disruption::Exempt
            }
        }
    }
}

/// Why a task is queued rather than placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum QueueReason {
    /// It is new.
    New,
    /// Its last attempt ended by itself and the retry policy says when the next follows.
    Retry {
        /// How the last attempt ended.
        message: String,
    },
    /// Like `Retry`, after several short attempts in a row: a crash loop.
    CrashLoop {
        /// How the last attempt ended.
        message: String,
        /// So many short attempts in a row.
        failures: u32,
    },
    /// Its last attempt was stopped by this order, and the task goes on with a new one.
    Stopped {
        /// Why it was stopped.
        reason: StopReason,
    },
}

/// Why a task is finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum FinishReason {
    /// The batch task did its work.
    Done,
    /// It failed and the retry policy allows no further attempt.
    RetriesExhausted {
        /// So many retries were made.
        retries: u32,
        /// How the last attempt ended.
        message: String,
    },
    /// It ran into its runtime limit and is not retried on it.
    RuntimeLimit {
        /// The limit.
        limit: Millis,
    },
    /// It was stopped.
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// It was not needed any more before it was placed.
    NotNeeded {
        /// Why.
        reason: StopReason,
    },
}

/// Why a host cannot take a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum HostRefusal {
    /// Its agent is not connected.
    Unreachable,
    /// It has not told its resources, or its engine does not answer.
    NotReady {
        /// What is wrong.
        message: String,
    },
    /// Too little of a resource is free.
    TooLittle {
        /// Which resource.
        resource: ResourceKind,
        /// How much is free, in the resource's base unit.
        free: u64,
        /// How much is needed.
        needed: u64,
    },
    /// The host port is taken.
    PortTaken {
        /// The port.
        port: u16,
    },
    /// It runs a task of the same job, and the job wants unique hosts.
    NotUnique,
    /// It runs tasks of other jobs, and the job wants a host of its own.
    NotExclusive,
    /// A job that wants a host of its own runs there.
    TakenExclusively {
        /// That job.
        job: JobId,
    },
    /// Its zone has more of the job's tasks than another zone.
    ZoneUnbalanced {
        /// The zone.
        zone: String,
    },
    /// It is in another zone.
    WrongZone {
        /// Its zone.
        zone: String,
    },
    /// It is not one of the named hosts.
    WrongHost,
    /// It lacks a label.
    LabelMissing {
        /// The label, as `key=value`.
        label: String,
    },
    /// What is free of it is kept for a task that ran there and comes back in a moment.
    KeptFor {
        /// That task, or the first of several.
        task: TaskId,
    },
    /// So many launches are under way on it that one more would only wait.
    Busy {
        /// Launches under way.
        launching: u32,
    },
}

/// A resource that hosts have and tasks need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// Thousandths of a CPU.
    Cpu,
    /// Bytes of memory.
    Memory,
    /// Bytes of disk.
    Disk,
    /// Megabits a second.
    Network,
    /// GPUs.
    Gpu,
    /// Containers.
    Containers,
}

/// Why a task is not placed: for each reason, the hosts that it rules out (by name, at most a few) and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Blocked {
    /// So many hosts were looked at.
    pub hosts: u32,
    /// The reasons, most frequent first.
    pub reasons: Vec<BlockedBy>,
}

/// One reason and the hosts that it rules out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedBy {
    /// The reason, of the first of these hosts.
    pub refusal: HostRefusal,
    /// So many hosts.
    pub count: u32,
    /// Their names, at most five.
    pub examples: Vec<String>,
}

/// What a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct HostResources {
    /// Thousandths of a CPU.
    #[cfg_attr(feature = "describe", schema(value_type = f64))]
    pub cpu: CpuMillis,
    /// Memory.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub memory: Bytes,
    /// Disk.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub disk: Bytes,
    /// Network bandwidth.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub network: Mbps,
    /// GPUs.
    pub gpu: u32,
    /// So many containers at most.
    pub containers: u32,
}

/// What an agent says about its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The host's name.
    pub name: String,
    /// The address at which host ports are reached.
    pub address: String,
    /// The zone.
    pub zone: String,
    /// Labels for placement.
    pub labels: BTreeMap<String, String>,
    /// What can be sold: the machine's own, less what the agent was told to keep back.
    pub resources: HostResources,
    /// The engine's name and version, such as `docker 28.2.2 (API 1.50)`.
    pub engine: String,
    /// Kernel and system.
    pub system: String,
    /// The agent's version.
    pub agent_version: String,
    /// What is not as it should be, one sentence each (such as `live-restore is off`). Containers still run.
    pub warnings: Vec<String>,
    /// Why the host can take no tasks now, if so (such as `the engine does not answer`).
    pub not_ready: Option<String>,
}

/// A container that bears Muster's labels, or one of an attempt that no assignment names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Orphan {
    /// The engine's id of the container.
    pub container: String,
    /// The attempt on its label, where that can be read.
    #[cfg_attr(feature = "describe", schema(value_type = Option<String>))]
    pub attempt: Option<AttemptId>,
    /// The task on its label, as written.
    pub task: String,
    /// The cell on its label, as written.
    pub cell: String,
    /// Whether it runs.
    pub running: bool,
}

/// One reading of what a container uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Usage {
    /// The attempt.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub attempt: AttemptId,
    /// When it was taken.
    pub at: Timestamp,
    /// Thousandths of a CPU, over the time since the reading before.
    pub cpu_millis: u32,
    /// Bytes of memory, without the page cache that can be taken back.
    pub memory_bytes: u64,
    /// Bytes received a second.
    pub network_rx_bytes_per_sec: u64,
    /// Bytes sent a second.
    pub network_tx_bytes_per_sec: u64,
    /// Processes and threads.
    pub pids: u32,
}

/// Where something is: a host and a task on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The task.
    pub task: TaskId,
    /// The host.
    pub host: HostId,
}
