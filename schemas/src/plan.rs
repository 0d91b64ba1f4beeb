//! The immutable, hashed list of changes that takes the fleet from now to a revision.

use crate::ids::{CommitId, JobId, PlanId, TaskId};
use crate::spec::{JobSpec, PolicySpec, Tier};
use crate::state::HostResources;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A commit of the specs repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Revision {
    /// The commit.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub commit: CommitId,
    /// Its author, as `Name <address>`.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was committed, as the commit says.
    pub committed_at: Timestamp,
}

/// Where a document stands in the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct DocumentRef {
    /// The file's path, from the repository's root.
    pub path: String,
    /// Which document of the file, from 0.
    pub document: u32,
    /// The line that it begins on, from 1.
    pub line: u32,
}

impl std::fmt::Display for DocumentRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}

/// Something wrong with a document, a file, or the repository: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Diagnostic {
    /// A stable word for it, such as `unknown-field` or `duplicate-name`.
    pub code: String,
    /// The file's path, from the repository's root.
    pub path: String,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: u32,
    /// The column, from 1, in characters; 0 where the whole line is meant.
    pub column: u32,
    /// The line itself, cut to a readable length.
    pub source_line: String,
    /// How many characters from `column` on are meant; 0 where that is not known.
    pub width: u32,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do; may be empty.
    pub help: String,
    /// The job that the document is about, where its name could be read.
    #[cfg_attr(feature = "describe", schema(value_type = Option<String>))]
    pub job: Option<JobId>,
}

/// A plan. Its id is the hash of all the rest, so the same changes from the same state have the same id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// SHA-256 over the plan's JSON without this field.
    pub id: PlanId,
    /// The plan that it follows.
    pub parent: Option<PlanId>,
    /// The revision that it leads to.
    pub revision: Revision,
    /// The jobs that change, by name.
    pub changes: Vec<JobChange>,
    /// Documents that were not taken: their jobs stay as they are.
    pub refused: Vec<Diagnostic>,
    /// Changes that are asked for and kept back: their jobs stay as they are until the reason is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// The policy from here on.
    pub policy: Option<PolicySpec>,
    /// Whether the policy changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub policy_changes: bool,
    /// The signer of the revision's head, where the policy before it wanted signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// So many tasks run now: what the guard's fraction is of.
    pub running: u32,
    /// Tasks that it will start in all.
    pub starts: u32,
    /// Tasks that it takes away: pruned, scaled in, and, of rollouts, the most that may be down at once.
    pub stops: u32,
}

/// What a plan does to one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobChange {
    /// The job.
    pub job: JobId,
    /// What happens to it.
    pub action: JobAction,
    /// What changes, field by field.
    pub fields: Vec<FieldChange>,
    /// Tasks that start, besides those that replace others.
    pub starts: u32,
    /// Tasks that stop, besides those that are replaced.
    pub stops: u32,
    /// Tasks that are replaced by a rollout.
    pub replaces: u32,
    /// Tasks that it takes away at once: of a service by as many as it gets smaller, else those that stop; and, of a rollout, the most
    /// that may be down at once.
    #[serde(default)]
    pub takes_away: u32,
    /// Sentences for people: what it does not do and why.
    pub notes: Vec<String>,
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum JobAction {
    /// It is new.
    Create {
        /// What it asks for.
        target: Box<Target>,
    },
    /// What it asks for changes.
    Update {
        /// What it asks for from here on.
        target: Box<Target>,
    },
    /// Only the place of its document changes.
    Move {
        /// Where it stands from here on.
        source: DocumentRef,
    },
    /// Its document was removed and the policy prunes: its tasks are stopped once the policy's grace is over.
    Prune {
        /// Where its document stood.
        source: DocumentRef,
        /// The commit that removed it, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        removed_by: Option<Revision>,
    },
    /// Its document was removed and the policy does not prune: it runs on, and is shown as undeclared.
    Undeclare {
        /// Where its document stood.
        source: DocumentRef,
        /// The commit that removed it, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        removed_by: Option<Revision>,
    },
    /// Its document is back, as it was.
    Redeclare {
        /// Where it stands.
        source: DocumentRef,
    },
}

impl JobAction {
    /// The action's word.
    pub fn word(&self) -> &'static str {
        match self {
            JobAction::Create { .. } => "create",
            JobAction::Update { .. } => "update",
            JobAction::Move { .. } => "move",
            JobAction::Prune { .. } => "prune",
            JobAction::Undeclare { .. } => "undeclare",
            JobAction::Redeclare { .. } => "redeclare",
        }
    }
}

/// A job's spec as it is to run: its image resolved, its place known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What the document says.
    pub spec: Arc<JobSpec>,
    /// The image by digest: `registry/name@sha256:…`.
    pub image: String,
    /// Where the document stands.
    pub source: DocumentRef,
    /// Whether running tasks have to be replaced for it.
    pub replaces_tasks: bool,
    /// The template of an earlier version that makes the same containers: tasks of that version need not be replaced, so what
    /// is taken back in the middle of a rollout keeps what still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
}

/// A field that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct FieldChange {
    /// The field's path, such as `service.capacity.desired`.
    pub path: String,
    /// What it was; none where it was not there.
    pub from: Option<serde_json::Value>,
    /// What it will be; none where it goes.
    pub to: Option<serde_json::Value>,
}

/// What a plan will lead to, by the decisions that will be made: every launch is taken to succeed at once, and nothing else to
/// happen. It is no part of the plan's hash.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Prediction {
    /// Containers that start and on which host, at most [`Prediction::LISTED`].
    pub starts: Vec<TaskOnHost>,
    /// So many start in all.
    pub started: u32,
    /// Containers that are stopped, on which host and why, at most [`Prediction::LISTED`].
    pub stops: Vec<PredictedStop>,
    /// So many are stopped in all.
    pub stopped: u32,
    /// Tasks for which there is no host, and why, at most [`Prediction::LISTED`].
    pub blocked: Vec<PredictedBlock>,
    /// So many find no host.
    pub without_host: u32,
    /// After so many seconds nothing more follows, launches apart: what rollouts, health and the stop budget take.
    pub seconds: u32,
    /// Whether something still went on when the prediction was broken off.
    pub goes_on: bool,
    /// What is taken before and after: of the whole cell, of each tier, and of each capacity group.
    pub taken: Vec<PredictedTaken>,
    /// What the hosts that can be seen have in all.
    pub capacity: HostResources,
}

impl Prediction {
    /// So many starts, stops and blocked tasks are listed; more are only counted.
    pub const LISTED: usize = 1000;
}

/// A task and the host that its container is started on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct TaskOnHost {
    /// The task.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub task: TaskId,
    /// The host's name.
    pub host: String,
}

/// A container that will be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct PredictedStop {
    /// The task.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub task: TaskId,
    /// The host's name.
    pub host: String,
    /// Why, in words.
    pub reason: String,
}

/// A task for which there will be no host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct PredictedBlock {
    /// The task.
    #[cfg_attr(feature = "describe", schema(value_type = String))]
    pub task: TaskId,
    /// Why, in words.
    pub reason: String,
}

/// What a part of the cell takes before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct PredictedTaken {
    /// `cell`, `tier critical`, `tier flex`, or `group` and a capacity group's name.
    pub part: String,
    /// Before.
    pub before: HostResources,
    /// After.
    pub after: HostResources,
}

/// A change that is kept back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Withheld {
    /// What would change.
    pub change: JobChange,
    /// Why it does not.
    pub reason: WithholdReason,
}

/// Why the change of one job is kept back while others go ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum WithholdReason {
    /// Somebody froze it.
    Frozen {
        /// What is frozen.
        scope: FreezeScope,
        /// Who froze it.
        by: String,
        /// Their words.
        reason: String,
    },
}

impl std::fmt::Display for WithholdReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WithholdReason::Frozen { scope, by, reason } => {
                write!(f, "{scope} is frozen by {by}: {reason}")
            }
        }
    }
}

/// What is frozen: no plan changes it, and nothing automated stops its containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum FreezeScope {
    /// All of it.
    #[default]
    Cell,
    /// The jobs of an application.
    App {
        /// Its name.
        app: String,
    },
    /// One job.
    Job {
        /// Its id.
        #[cfg_attr(feature = "describe", schema(value_type = String))]
        job: JobId,
    },
}

impl FreezeScope {
    /// Whether it is the whole cell.
    pub fn is_cell(&self) -> bool {
        matches!(self, FreezeScope::Cell)
    }

    /// Whether a job of an app is in it.
    pub fn holds(&self, job: &JobId, app: &str) -> bool {
        match self {
            FreezeScope::Cell => true,
            FreezeScope::App { app: frozen } => frozen == app,
            FreezeScope::Job { job: frozen } => frozen == job,
        }
    }
}

impl std::fmt::Display for FreezeScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FreezeScope::Cell => f.write_str("the cell"),
            FreezeScope::App { app } => write!(f, "app {app}"),
            FreezeScope::Job { job } => write!(f, "job {job}"),
        }
    }
}

/// A part of the cell that has limits of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum LimitScope {
    /// An application.
    App {
        /// Its name.
        app: String,
    },
    /// A tier.
    Tier {
        /// Which.
        tier: Tier,
    },
}

impl std::fmt::Display for LimitScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LimitScope::App { app } => write!(f, "app {app}"),
            LimitScope::Tier {
                tier: Tier::Critical,
            } => f.write_str("the critical tier"),
            LimitScope::Tier { tier: Tier::Flex } => f.write_str("the flex tier"),
        }
    }
}

/// Why a plan is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "hold", rename_all = "snake_case")]
pub enum HoldReason {
    /// It would stop too much at once.
    TooManyStops {
        /// So many tasks would have stopped.
        stops: u32,
        /// So many of them were taken away shortly before, by plans and sizes that nobody approved.
        #[serde(default, skip_serializing_if = "is_zero")]
        before: u32,
        /// So many run, or ran before those were taken away.
        running: u32,
        /// More than so many tasks …
        limit_count: u32,
        /// … and more than this part of what runs, in hundredths, needs a human.
        limit_percent: u32,
        /// The part of the cell that is meant; all of it where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<LimitScope>,
    },
    /// The cell, or what it changes, is frozen by a person's command. No approval lets it through. Changes that are frozen
    /// when a plan is made are kept back from it; those that are frozen later hold all of it.
    Frozen {
        /// What is frozen.
        #[serde(default, skip_serializing_if = "FreezeScope::is_cell")]
        scope: FreezeScope,
        /// Who froze it.
        by: String,
        /// Their words.
        reason: String,
    },
    /// The policy freezes the cell.
    FrozenByPolicy {
        /// What the policy says.
        reason: String,
    },
    /// It is not the time for it.
    OutOfTime {
        /// The `deny` window that holds it; none where there are `allow` windows and it is within none of them.
        window: Option<String>,
        /// When it may go ahead by itself, if that is known.
        until: Option<Timestamp>,
    },
    /// It changes the policy, and the policy wants that approved.
    PolicyChanges,
    /// The repository cannot be read or followed: whether it still asks for this nobody knows. No approval lets it through.
    RepositoryInTrouble,
    /// A hook runs before it.
    HookRuns {
        /// The hook.
        job: JobId,
    },
    /// A hook that runs before it did not succeed.
    HookFailed {
        /// The task that did not.
        task: TaskId,
    },
    /// It would ask for more of the hosts than the policy leaves to jobs.
    TooLittleHeadroom {
        /// The capacity group that is meant; all jobs together where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// What would be short: `CPU` or `memory`.
        resource: String,
        /// So much would be asked for, in hundredths of what the hosts have.
        percent: u32,
        /// So much may be.
        limit_percent: u32,
    },
    /// It changes the policy, and its head is not signed by one of those who may.
    PolicySigner {
        /// Who signed it, as far as it is signed by one of the policy's signers.
        signed_by: Option<String>,
    },
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl HoldReason {
    /// Whether people's approval lets a plan through in spite of it.
    pub fn can_be_approved(&self) -> bool {
        match self {
            HoldReason::TooManyStops { .. }
            | HoldReason::OutOfTime { .. }
            | HoldReason::TooLittleHeadroom { .. }
            | HoldReason::PolicyChanges
            | HoldReason::PolicySigner { .. }
            | HoldReason::HookFailed { .. } => true,
            HoldReason::Frozen { .. }
            | HoldReason::FrozenByPolicy { .. }
            | HoldReason::RepositoryInTrouble
            | HoldReason::HookRuns { .. } => false,
        }
    }
}

impl std::fmt::Display for HoldReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HoldReason::TooManyStops {
                stops,
                before,
                running,
                limit_count,
                limit_percent,
                part,
            } => {
                write!(f, "it would stop {stops} of {running} running tasks")?;
                if let Some(part) = part {
                    write!(f, " of {part}")?;
                }
                if *before > 0 {
                    write!(f, ", with the {before} that were taken away shortly before")?;
                }
                write!(
                    f,
                    "; more than {limit_count} tasks and more than {limit_percent} % of what runs need a human"
                )
            }
            HoldReason::Frozen { scope, by, reason } => {
                write!(f, "{scope} is frozen by {by}: {reason}")
            }
            HoldReason::FrozenByPolicy { reason } => {
                write!(f, "the policy freezes the cell: {reason}")
            }
            HoldReason::OutOfTime { window, until } => {
                match window {
                    Some(window) => {
                        write!(
                            f,
                            "the policy's window `{window}` lets no plan go ahead now"
                        )
                    }
                    None => write!(f, "no window of the policy lets a plan go ahead now"),
                }?;
                match until {
                    Some(until) => write!(f, "; it goes ahead by itself at {until:.0}"),
                    None => Ok(()),
                }
            }
            HoldReason::PolicyChanges => {
                f.write_str("it changes the policy, which the policy wants approved")
            }
            HoldReason::RepositoryInTrouble => f.write_str(
                "the repository is in trouble; it is looked at again once that can be read and followed",
            ),
            HoldReason::HookRuns { job } => {
                write!(
                    f,
                    "its hook {job} runs first; it goes ahead by itself when that has succeeded"
                )
            }
            HoldReason::HookFailed { task } => write!(
                f,
                "task {task} of its hook did not succeed, and nothing of it happened; a newer commit runs the hook again, an \
                 approval goes ahead in spite of it"
            ),
            HoldReason::TooLittleHeadroom {
                group,
                resource,
                percent,
                limit_percent,
            } => {
                match group {
                    Some(group) => write!(f, "the jobs of capacity group {group}"),
                    None => f.write_str("all jobs together"),
                }?;
                write!(
                    f,
                    " would ask for {percent} % of the hosts' {resource}; more than {limit_percent} % needs a human"
                )
            }
            HoldReason::PolicySigner { signed_by: None } => f.write_str(
                "it changes the policy, and its head is not signed by one of those who may change it",
            ),
            HoldReason::PolicySigner {
                signed_by: Some(signer),
            } => write!(
                f,
                "it changes the policy, and {signer}, who signed its head, is not one of those who may change it"
            ),
        }
    }
}
