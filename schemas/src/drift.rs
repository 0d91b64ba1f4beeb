//! Drift: where what runs is not what git says, and who made it so.

use crate::ids::{CommitId, JobId, PlanId, TaskId};
use crate::plan::WithholdReason;
use crate::rollout::AbortReason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A field that can be changed past git. These, and no others, a policy can have ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema, utoipa::ToSchema))]
pub enum DriftField {
    /// How many tasks a service has, after `muster scale`.
    #[serde(rename = "service.capacity.desired")]
    Desired,
    /// A running container's bound on CPU.
    #[serde(rename = "container.cpu")]
    Cpu,
    /// The CPUs that a running container may run on.
    #[serde(rename = "container.cpuset")]
    Cpuset,
    /// A running container's weight when CPUs are short.
    #[serde(rename = "container.cpuShares")]
    CpuShares,
    /// A running container's bound on memory.
    #[serde(rename = "container.memory")]
    Memory,
    /// A running container's bound on memory and swap together.
    #[serde(rename = "container.memorySwap")]
    MemorySwap,
    /// A running container's bound on processes.
    #[serde(rename = "container.pids")]
    Pids,
    /// Whether the engine starts a container again by itself.
    #[serde(rename = "container.restartPolicy")]
    RestartPolicy,
    /// Whether a running container is paused.
    #[serde(rename = "container.paused")]
    Paused,
    /// A running container's name.
    #[serde(rename = "container.name")]
    Name,
    /// The networks that a running container is connected to.
    #[serde(rename = "container.networks")]
    Networks,
}

impl DriftField {
    /// All of them.
    pub const ALL: [DriftField; 11] = [
        Self::Desired,
        Self::Cpu,
        Self::Cpuset,
        Self::CpuShares,
        Self::Memory,
        Self::MemorySwap,
        Self::Pids,
        Self::RestartPolicy,
        Self::Paused,
        Self::Name,
        Self::Networks,
    ];

    /// The field's path, as documents and answers say it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Desired => "service.capacity.desired",
            Self::Cpu => "container.cpu",
            Self::Cpuset => "container.cpuset",
            Self::CpuShares => "container.cpuShares",
            Self::Memory => "container.memory",
            Self::MemorySwap => "container.memorySwap",
            Self::Pids => "container.pids",
            Self::RestartPolicy => "container.restartPolicy",
            Self::Paused => "container.paused",
            Self::Name => "container.name",
            Self::Networks => "container.networks",
        }
    }
}

impl std::fmt::Display for DriftField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.path())
    }
}

/// What an agent found changed on a running container: somebody did it with the engine's own tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDrift {
    /// The field.
    pub field: DriftField,
    /// What the container was created with, in words.
    pub wanted: String,
    /// What the engine says now, in words.
    pub found: String,
    /// Why it could not be put back while the container runs, where that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

/// Why what runs is not what git says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum DriftCause {
    /// Somebody changed a running container with the engine's own tools. Engines do not say who.
    OnHost {
        /// The host's name.
        host: String,
    },
    /// Somebody scaled the job beside git.
    Scaled {
        /// Who.
        by: String,
        /// Their words.
        reason: String,
    },
    /// A change that git asks for stands in a plan that is held.
    Held {
        /// The plan.
        plan: PlanId,
        /// The author of its revision.
        by: String,
    },
    /// A change that git asks for was refused by a person.
    PlanRefused {
        /// The plan.
        plan: PlanId,
        /// Who.
        by: String,
        /// Their words.
        reason: String,
    },
    /// A change that git asks for is kept back.
    Withheld {
        /// The plan that keeps it back.
        plan: PlanId,
        /// Why.
        reason: WithholdReason,
    },
    /// Its rollout was ended, so that the version before serves on.
    RolloutAborted {
        /// Who ended it.
        by: String,
        /// Why.
        reason: AbortReason,
    },
    /// Its document does not hold.
    DocumentRefused {
        /// Where it stands, as `path:line`.
        at: String,
        /// What is wrong with it.
        message: String,
        /// The author of the revision.
        by: String,
    },
    /// Its document was removed, and it runs on.
    Undeclared {
        /// The commit that removed it and its author, where they are known.
        removed_by: Option<(CommitId, String)>,
    },
}

impl DriftCause {
    /// The words of all causes.
    pub const WORDS: [&'static str; 8] = [
        "on_host",
        "scaled",
        "held",
        "plan_refused",
        "withheld",
        "rollout_aborted",
        "document_refused",
        "undeclared",
    ];

    /// The cause's word.
    pub fn word(&self) -> &'static str {
        match self {
            DriftCause::OnHost { .. } => "on_host",
            DriftCause::Scaled { .. } => "scaled",
            DriftCause::Held { .. } => "held",
            DriftCause::PlanRefused { .. } => "plan_refused",
            DriftCause::Withheld { .. } => "withheld",
            DriftCause::RolloutAborted { .. } => "rollout_aborted",
            DriftCause::DocumentRefused { .. } => "document_refused",
            DriftCause::Undeclared { .. } => "undeclared",
        }
    }
}

/// What will happen about a drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "healing", rename_all = "snake_case")]
pub enum Healing {
    /// Nothing by itself: the policy does not say `selfHeal: true`.
    Shown,
    /// It is put back while the container runs.
    PutBack,
    /// It cannot be put back while the container runs, so the container is replaced.
    Replace {
        /// Why it cannot be put back.
        message: String,
    },
    /// It cannot be put back while the container runs, and stays until the task ends: what a batch task has done would be lost.
    UntilEnd {
        /// Why it cannot be put back.
        message: String,
    },
    /// Its container is being stopped.
    Stopping,
    /// Nothing while it is frozen.
    Frozen {
        /// Which freeze.
        message: String,
    },
    /// It ends by itself.
    Expires {
        /// When.
        at: Timestamp,
    },
    /// A person has to say yes, or the plan's time to come.
    AfterHold,
    /// The next commit has to ask for something else.
    NextCommit,
    /// A person has to have it tried again, or the next commit has to ask for something else.
    Retry,
    /// It is done once the freeze has ended.
    AfterFreeze,
    /// Its tasks are stopped then, unless its document is back.
    Pruned {
        /// When.
        at: Timestamp,
    },
}

/// One field in which what runs is not what git says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftEntry {
    /// The job.
    pub job: JobId,
    /// The task, where it is one task's.
    pub task: Option<TaskId>,
    /// The field's path; `document` for all that a document says.
    pub field: String,
    /// What git says, in words.
    pub wanted: String,
    /// What runs, in words.
    pub found: String,
    /// Why.
    pub cause: DriftCause,
    /// Since when it is known.
    pub since: Timestamp,
    /// What will happen.
    pub healing: Healing,
}

/// Why a job's size is git's again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum ResizeEnd {
    /// Its time is over.
    Expired,
    /// The policy says `selfHeal: true`.
    SelfHealed,
    /// A person took it back.
    TakenBack,
}

/// A drift in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct DriftView {
    /// Its place in the list: the job, task, field and cause.
    pub id: String,
    /// The job.
    pub job: String,
    /// The task, where it is one task's.
    pub task: Option<String>,
    /// The field's path, such as `service.capacity.desired` or `container.memory`; `document` for all that a document says.
    pub field: String,
    /// What git says.
    pub wanted: String,
    /// What runs.
    pub found: String,
    /// Why, in a word: `on_host`, `scaled`, `held`, `plan_refused`, `withheld`, `document_refused` or `undeclared`.
    pub cause: String,
    /// Who made it so, in words.
    pub who: String,
    /// Since when it is known.
    pub since: Timestamp,
    /// What will happen, in words.
    pub outlook: String,
    /// The plan that it stands in, where it does.
    pub plan: Option<String>,
}
