//! What the control plane and an agent say to each other: JSON text frames over one WebSocket that the agent opens.
//!
//! Both directions are level-triggered: an [`Assignments`] is all that a host is to do, a [`Report`] with `complete` is all
//! that a host has. Each can be lost, repeated or reordered without harm.

use crate::drift::DriftField;
use crate::ids::{AttemptId, CellName, HostId, JobId, TaskId};
use crate::spec::{Capability, Millis, Port, Probe, Resources};
use crate::state::{AttemptStatus, HostFacts, Orphan, StopOrder, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest frame that either side takes, in bytes: 120 assignments of the largest spec (256 KiB) fit.
pub const MAX_FRAME_BYTES: usize = 32 << 20;

/// From the agent to the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromAgent {
    /// The first frame of a connection.
    Hello {
        /// The host's facts.
        facts: Box<HostFacts>,
        /// The highest fence that the agent has heard.
        fence: Fence,
    },
    /// What the host has.
    Report(Report),
    /// The host's facts have changed.
    Facts {
        /// The facts.
        facts: Box<HostFacts>,
    },
    /// Readings, every few seconds. They are not kept in the journal.
    Usage {
        /// One for each running container.
        readings: Vec<Usage>,
    },
    /// Lines for an open log stream.
    Log {
        /// The stream's number.
        stream: u64,
        /// The lines, in order.
        lines: Vec<LogLine>,
        /// Whether no more will follow, and why.
        end: Option<LogEnd>,
    },
    /// The agent refuses assignments because their fence is older than one that it has heard.
    Fenced {
        /// The refused fence.
        got: Fence,
        /// The highest that it has heard.
        highest: Fence,
    },
}

/// From the control plane to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToAgent {
    /// All that the host is to do. It replaces the one before.
    Assignments(Assignments),
    /// Open a log stream.
    LogOpen {
        /// The stream's number; the control plane chooses it.
        stream: u64,
        /// Whose log.
        attempt: AttemptId,
        /// Whether to go on with new lines as they come.
        follow: bool,
        /// At most so many of the last lines; none for all that the engine keeps.
        tail: Option<u32>,
        /// Only lines after this time.
        since: Option<Timestamp>,
    },
    /// Close a log stream.
    LogClose {
        /// The stream's number.
        stream: u64,
    },
}

/// Orders come with a fence; an agent follows none whose fence is older than one that it has heard, and keeps the highest
/// on disk. The journal's sequence number stands in it too, so that an old copy of a store is told from the new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The leadership.
    pub epoch: u64,
    /// The last event that the order rests on.
    pub seq: u64,
}

impl Fence {
    /// Whether an agent that has heard `highest` may follow an order with this fence: neither part may go back.
    pub fn may_follow(self, highest: Fence) -> bool {
        self.epoch >= highest.epoch && self.seq >= highest.seq
    }
}

/// All that a host is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignments {
    /// The cell; it stands on the containers' labels.
    pub cell: CellName,
    /// The host that it is for; an agent of another host ignores it.
    pub host: HostId,
    /// Its fence.
    pub fence: Fence,
    /// One entry for each attempt that the control plane knows of on this host. A container with no entry is an orphan and
    /// is left alone.
    pub items: Vec<Assignment>,
    /// Running containers that somebody changed, and what of that is to be put back while they run. Agents of earlier versions
    /// do not read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put_back: Vec<PutBack>,
    /// A person's word that these orders hold although the host has heard later ones: of an agent whose highest fence is exactly
    /// this one. Agents of earlier versions do not read it, and go on refusing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Fence>,
}

/// What of a running container is to be as it was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// Whose container.
    pub attempt: AttemptId,
    /// What is to be put back.
    pub fields: Vec<DriftField>,
}

/// What to do about one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "snake_case")]
pub enum Assignment {
    /// Its container is to run, and to be started at most once ever.
    Run(Box<Launch>),
    /// Its container is to be stopped, or not started if it has not been.
    Stop {
        /// What to run meanwhile (probes, logs): the attempt's launch.
        launch: Box<Launch>,
        /// The order.
        order: StopOrder,
    },
    /// It has ended; its container stays for its log.
    Keep {
        /// The attempt.
        attempt: AttemptId,
    },
    /// It has ended; its container is to be removed. One that still runs is never removed.
    Remove {
        /// The attempt.
        attempt: AttemptId,
    },
}

impl Assignment {
    /// The attempt that it is about.
    pub fn attempt(&self) -> AttemptId {
        match self {
            Assignment::Run(launch) | Assignment::Stop { launch, .. } => launch.attempt,
            Assignment::Keep { attempt } | Assignment::Remove { attempt } => *attempt,
        }
    }
}

/// All that is needed to launch a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The attempt.
    pub attempt: AttemptId,
    /// Which attempt of the task it is, from 1.
    pub number: u32,
    /// The task.
    pub task: TaskId,
    /// The job.
    pub job: JobId,
    /// The version of the job.
    pub version: u64,
    /// The application.
    pub app: String,
    /// The stack, if any.
    pub stack: Option<String>,
    /// The detail, if any.
    pub detail: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// The image by digest.
    pub image: String,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// The job's environment variables; the agent adds `MUSTER_*`.
    pub env: BTreeMap<String, String>,
    /// Its bounds.
    pub resources: Resources,
    /// Its ports.
    pub ports: Vec<Port>,
    /// The readiness probe.
    pub readiness: Option<Probe>,
    /// The liveness probe.
    pub liveness: Option<Probe>,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// The user, if not the image's.
    pub user: Option<String>,
    /// Capabilities given back.
    pub capabilities: Vec<Capability>,
    /// Time from the stop signal to the kill signal.
    pub kill_grace: Millis,
}

/// What a host has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether `attempts` and `orphans` are all that the host has (the engine answered), not only what changed.
    pub complete: bool,
    /// The fence of the assignments that the host has converged on, or is converging on.
    pub fence: Fence,
    /// Attempts.
    pub attempts: Vec<AttemptStatus>,
    /// Containers of no attempt in the assignments. Only meant where `complete`.
    pub orphans: Vec<Orphan>,
}

/// One line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// When the engine got it.
    pub at: Timestamp,
    /// `stdout` or `stderr`.
    pub stream: LogStream,
    /// The line without its end, cut after 16 KiB; what is not UTF-8 is replaced.
    pub text: String,
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why a log stream ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum LogEnd {
    /// All lines were sent, and the container has ended or nothing was to be followed.
    Complete,
    /// The host has no container for the attempt.
    NoContainer,
    /// Something failed.
    Failed {
        /// What.
        message: String,
    },
}

/// What an agent sends to enrol: `POST /agent/v1/enrol` with a single-use token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The token's secret part.
    pub token: String,
    /// The host's name.
    pub name: String,
    /// A certificate signing request in PEM; its key never leaves the host.
    pub csr_pem: String,
}

/// The answer: who the host is from now on. `POST /agent/v1/renew` over mutual TLS takes a [`RenewRequest`] and answers it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolResponse {
    /// The host's id.
    pub host: HostId,
    /// The cell.
    pub cell: CellName,
    /// Its certificate in PEM.
    pub certificate_pem: String,
    /// The cell's authority in PEM: what the agent trusts from now on.
    pub authority_pem: String,
    /// When the certificate ends.
    pub expires_at: Timestamp,
}

/// What an agent sends to renew its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// A new certificate signing request in PEM.
    pub csr_pem: String,
}
