//! What the public API under `/api/v1` answers. The console and the CLI use nothing else.
//!
//! Times are RFC 3339 in UTC. Fields that may be absent are `null`, never missing, so that a shape can be relied on.

use crate::access::Rights;
use crate::deploy::DeployStatus;
use crate::plan::{Diagnostic, FieldChange, FreezeScope, Prediction, Revision};
use crate::rollout::{RolloutWord, Verdict};
use crate::spec::{JobKind, Tier};
use crate::state::{Hardening, HostResources, Orphan, Outcome, TaskState, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! api {
    ($(#[$meta:meta])* pub struct $name:ident $body:tt) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
        pub struct $name $body
    };
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last.
    pub next: Option<String>,
    /// So many items match in all, over all pages.
    pub total: u64,
}

api! {
    /// What every answer with a status of 400 and above carries.
    pub struct Problem {
        /// A stable word, such as `not-found` or `unauthorized`.
        pub code: String,
        /// What happened, in a sentence.
        pub message: String,
        /// What to do about it; may be empty.
        pub hint: String,
    }
}

api! {
    /// The cell at a glance: what the top bar and the fleet page show.
    pub struct FleetView {
        /// The cell's name.
        pub cell: String,
        /// The control plane's version.
        pub version: String,
        /// The journal's last sequence number: a watch begun after it misses nothing that this answer does not show.
        pub seq: u64,
        /// The leadership's number.
        pub epoch: u64,
        /// When this control plane started.
        pub started_at: Timestamp,
        /// The applied revision, once there is one.
        pub revision: Option<Revision>,
        /// The repository's address.
        pub repository: String,
        /// The branch that is followed.
        pub branch: String,
        /// When the repository was last read successfully.
        pub repository_read_at: Option<Timestamp>,
        /// The held plan, if there is one.
        pub held_plan: Option<String>,
        /// What is frozen.
        pub freezes: Vec<FreezeView>,
        /// Why it is not the time for plans now; null where they may go ahead by themselves.
        pub out_of_time: Option<OutOfTimeView>,
        /// Whether the cell was taken down by a person.
        pub down: bool,
        /// What needs somebody's eye, worst first.
        pub alerts: Vec<Alert>,
        /// Documents of the applied revision that were refused; their jobs stay as they were.
        pub refused: Vec<Diagnostic>,
        /// Jobs.
        pub jobs: u64,
        /// Tasks in each state, all six of them.
        pub tasks: BTreeMap<String, u64>,
        /// Running tasks that are healthy.
        pub healthy: u64,
        /// Hosts.
        pub hosts: u64,
        /// Hosts whose agent is connected.
        pub hosts_reachable: u64,
        /// What the reachable hosts have in all.
        pub capacity: HostResources,
        /// What of it is taken.
        pub allocated: HostResources,
        /// Automated stops that the stop budget still allows now.
        pub stops_left: u32,
        /// Automated stops that it allows in a minute.
        pub stops_per_minute: u32,
    }
}

api! {
    /// Something that needs somebody's eye.
    pub struct Alert {
        /// How urgent it is.
        pub severity: Severity,
        /// A stable word, such as `repository-unreachable`, `plan-held`, `orphan`, `host-unreachable`, `crash-loop`.
        pub code: String,
        /// What is the matter and what to do, in one or two sentences.
        pub message: String,
        /// The console's path of what it is about, such as `/tasks/web.0`.
        pub link: String,
        /// Since when, where it is known.
        pub since: Option<Timestamp>,
    }
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody is to look now.
    Page,
    /// Somebody is to look today.
    Warning,
}

api! {
    /// A job in a list.
    pub struct JobView {
        /// Its id: the name of its spec.
        pub id: String,
        /// The application.
        pub app: String,
        /// The stack, if any.
        pub stack: Option<String>,
        /// The detail, if any.
        pub detail: Option<String>,
        /// Whom to ask about it.
        pub owner: String,
        /// Service or batch.
        pub kind: JobKind,
        /// Its tier.
        pub tier: Tier,
        /// The capacity group that it is counted in.
        pub capacity_group: String,
        /// Free labels.
        pub labels: BTreeMap<String, String>,
        /// How it is, in one word.
        pub status: JobStatus,
        /// Why it is so, in a sentence; may be empty.
        pub reason: String,
        /// The image by digest.
        pub image: String,
        /// The image as the document says it.
        pub image_ref: String,
        /// Which version of its spec holds, from 1.
        pub version: u64,
        /// How many tasks are asked for, by git or by `muster scale`.
        pub desired: u64,
        /// In so many fields what runs is not what git says.
        #[serde(default)]
        pub drift: u64,
        /// Tasks in each state, all six of them.
        pub tasks: BTreeMap<String, u64>,
        /// Running tasks that are healthy.
        pub healthy: u64,
        /// Living tasks on the current version.
        pub updated: u64,
        /// Batch: tasks that finished well.
        pub succeeded: u64,
        /// Batch: tasks that finished otherwise.
        pub failed: u64,
        /// Batch: which run it is, from 1; 0 for services.
        pub run: u32,
        /// Whether a document of the applied revision asks for it.
        pub declared: bool,
        /// Where its document stands, as `path:line`.
        pub source: String,
        /// The revision that last changed it.
        pub revision: Option<Revision>,
        /// When it came to be.
        pub created_at: Timestamp,
        /// When its spec last changed.
        pub updated_at: Timestamp,
    }
}

/// How a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// A service with all of its tasks healthy on the current version, or a batch job at work.
    Running,
    /// Its tasks are being started, or replaced by a rollout.
    Progressing,
    /// Fewer tasks are healthy than asked for, and nothing is under way that will mend it soon.
    Degraded,
    /// At least one of its tasks is in a crash loop.
    CrashLoop,
    /// At least one of its tasks fits on no host.
    Blocked,
    /// It was pruned, and runs on until its grace is over.
    Tombstone,
    /// It is being stopped.
    Stopping,
    /// A batch job of which every task succeeded.
    Succeeded,
    /// A batch job that is finished, with at least one task that did not succeed.
    Failed,
    /// It asks for no tasks.
    Idle,
}

api! {
    /// A job with all there is to know of it.
    pub struct JobDetail {
        /// As in the list.
        #[serde(flatten)]
        pub job: JobView,
        /// The spec that holds, as JSON with the document's field names.
        #[cfg_attr(feature = "describe", schema(value_type = Object))]
        pub spec: serde_json::Value,
        /// How the rollout stands, while there is one.
        pub rollout: Option<RolloutView>,
        /// Its disruption budget and how it stands, if it has one.
        #[serde(default)]
        pub disruption_budget: Option<DisruptionBudgetView>,
        /// The latest plans that changed it, newest first, at most 20.
        pub history: Vec<JobHistoryView>,
    }
}

api! {
    /// How a rollout stands.
    pub struct RolloutView {
        /// The version that it leads to.
        pub to_version: u64,
        /// Living tasks on that version.
        pub updated: u64,
        /// Of these, healthy for the minimum healthy time.
        pub settled: u64,
        /// Living tasks on older versions.
        pub outdated: u64,
        /// What it waits for, in a sentence.
        pub waiting_for: String,
        /// `rolling`, `redBlack` or `canary`.
        #[serde(default)]
        pub strategy: String,
        /// How it stands.
        #[serde(default)]
        pub state: RolloutState,
        /// The version that serves until the new one has proved itself, where that is known.
        #[serde(default)]
        pub from_version: Option<u64>,
        /// When it began, where that is known.
        #[serde(default)]
        pub since: Option<Timestamp>,
        /// A canary's step.
        #[serde(default)]
        pub step: Option<RolloutStepView>,
        /// Why it is stalled or was aborted, in a sentence; else empty.
        #[serde(default)]
        pub reason: String,
        /// The old tasks are kept, or a canary's pause goes on, until then.
        #[serde(default)]
        pub until: Option<Timestamp>,
        /// What was measured of a canary, the latest of each kind.
        #[serde(default)]
        pub measurements: Vec<MeasurementView>,
        /// What a person can tell it now.
        #[serde(default)]
        pub actions: Vec<RolloutWord>,
    }
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It goes on.
    #[default]
    Progressing,
    /// A canary holds its step.
    Holding,
    /// Red/black: all new tasks are healthy, and the old ones are kept.
    Keeping,
    /// It has got no further for too long.
    Stalled,
    /// It was ended, and the version before serves on.
    Aborted,
}

api! {
    /// Where a canary is.
    pub struct RolloutStepView {
        /// The step, from 1.
        pub step: u32,
        /// So many steps there are; past the last one all tasks get the new version.
        pub of: u32,
        /// So many tasks have the new version at this step.
        pub tasks: u32,
    }
}

api! {
    /// Something that was measured of a canary.
    pub struct MeasurementView {
        /// What.
        pub name: String,
        /// When.
        pub at: Timestamp,
        /// The number, where there is one.
        pub value: Option<f64>,
        /// What it gave, in words.
        pub message: String,
        /// What follows.
        pub verdict: Verdict,
        /// So many failed in a row.
        pub failures: u32,
    }
}

api! {
    /// The disruption budget of a job, and how it stands.
    pub struct DisruptionBudgetView {
        /// The limit, in a sentence.
        pub limit: String,
        /// How many of its tasks may go in which time, and how many went, in a sentence; null where it is not limited.
        pub rate: Option<String>,
        /// When its tasks may go; empty for at all times.
        pub windows: Vec<String>,
        /// So many of its tasks are healthy.
        pub healthy: u32,
        /// So many have to stay so.
        pub floor: u32,
        /// What the next healthy task that is to be replaced waits for, in a sentence; null where one may go now.
        pub waits_for: Option<String>,
    }
}

api! {
    /// A plan that changed a job.
    pub struct JobHistoryView {
        /// The plan.
        pub plan: String,
        /// The version that it made.
        pub version: u64,
        /// The revision.
        pub revision: Revision,
        /// The action's word: `create`, `update`, `move`, `prune`, …
        pub action: String,
        /// What changed.
        pub fields: Vec<FieldChange>,
        /// When it was applied.
        pub at: Timestamp,
    }
}

api! {
    /// A task.
    pub struct TaskView {
        /// Its id: `job.index`.
        pub id: String,
        /// The job.
        pub job: String,
        /// The index in the job.
        pub index: u32,
        /// The id of the current or last attempt; null before the first.
        pub attempt: Option<String>,
        /// Which attempt of the task that is, from 1; 0 before the first.
        pub attempt_number: u32,
        /// Its state.
        pub state: TaskState,
        /// Why it is in this state, in a sentence.
        pub reason: String,
        /// Whether it runs and its readiness probe (if it has one) says so.
        pub healthy: bool,
        /// Whether its host's agent is connected. True where it has no host.
        pub reachable: bool,
        /// Whether it is in a crash loop.
        pub crash_loop: bool,
        /// Attempts that ended by themselves in a row.
        pub failures: u32,
        /// A queued task's next attempt comes not before this time.
        pub not_before: Option<Timestamp>,
        /// The host's name.
        pub host: Option<String>,
        /// The host's id.
        pub host_id: Option<String>,
        /// The container's address.
        pub ip: Option<String>,
        /// The image by digest.
        pub image: String,
        /// The version of the job that it runs, or is to run.
        pub version: u64,
        /// Whether that is the job's current version.
        pub current_version: bool,
        /// Batch: the run that it belongs to.
        pub run: u32,
        /// The engine's id of the container.
        pub container: Option<String>,
        /// When the task came to be.
        pub created_at: Timestamp,
        /// When the current attempt's container started.
        pub started_at: Option<Timestamp>,
        /// When the current attempt's container ended.
        pub finished_at: Option<Timestamp>,
        /// The current attempt's exit code.
        pub exit_code: Option<i32>,
        /// The signal that ended it.
        pub signal: Option<i32>,
        /// Whether the kernel killed it for want of memory.
        pub oom: bool,
        /// How it ended, once it is finished.
        pub outcome: Option<Outcome>,
    }
}

api! {
    /// A task with all there is to know of it.
    pub struct TaskDetail {
        /// As in the list.
        #[serde(flatten)]
        pub task: TaskView,
        /// The application.
        pub app: String,
        /// Whom to ask about it.
        pub owner: String,
        /// Its tier.
        pub tier: Tier,
        /// What it needs, as JSON with the document's field names.
        #[cfg_attr(feature = "describe", schema(value_type = Object))]
        pub resources: serde_json::Value,
        /// Its ports.
        pub ports: Vec<PortView>,
        /// What is in force on its container.
        pub hardening: Option<Hardening>,
        /// Its attempts that are still known, newest first.
        pub attempts: Vec<AttemptView>,
        /// Why no host takes it, while that is so.
        pub blocked: Option<BlockedView>,
        /// How long each step from the push to healthy took.
        pub hops: Vec<Hop>,
        /// The commit that its version came with.
        pub revision: Option<Revision>,
    }
}

api! {
    /// A port of a task.
    pub struct PortView {
        /// Its name.
        pub name: String,
        /// Its number in the container.
        pub port: u16,
        /// Its number on the host, if any.
        pub host_port: Option<u16>,
    }
}

api! {
    /// One step on the way from a push to a healthy task.
    pub struct Hop {
        /// The step's name: `planned`, `placed`, `accepted`, `started`, `healthy`.
        pub name: String,
        /// When it was reached.
        pub at: Timestamp,
        /// Milliseconds since the step before.
        pub millis: u64,
    }
}

api! {
    /// One attempt of a task.
    pub struct AttemptView {
        /// Its id.
        pub id: String,
        /// Which attempt of the task it is, from 1.
        pub number: u32,
        /// Its state.
        pub state: TaskState,
        /// What it does or how it ended, in a sentence.
        pub message: String,
        /// The host's name.
        pub host: String,
        /// The version of the job that it runs.
        pub version: u64,
        /// The container's address.
        pub ip: Option<String>,
        /// The engine's id of the container.
        pub container: Option<String>,
        /// When its host was chosen.
        pub placed_at: Timestamp,
        /// When its container started.
        pub started_at: Option<Timestamp>,
        /// When its container ended.
        pub finished_at: Option<Timestamp>,
        /// Its exit code.
        pub exit_code: Option<i32>,
        /// The signal that ended it.
        pub signal: Option<i32>,
        /// Whether the kernel killed it for want of memory.
        pub oom: bool,
        /// How it ended.
        pub outcome: Option<Outcome>,
        /// Why it was stopped, if it was: reason, actor and plan in a sentence.
        pub stop: Option<String>,
        /// Whether its log can still be read.
        pub has_log: bool,
    }
}

api! {
    /// Why no host takes a task.
    pub struct BlockedView {
        /// So many hosts were looked at.
        pub hosts: u32,
        /// One sentence for each reason, most frequent first, with its count and examples.
        pub reasons: Vec<String>,
    }
}

api! {
    /// A host.
    pub struct HostView {
        /// Its id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// The address at which host ports are reached.
        pub address: String,
        /// The zone.
        pub zone: String,
        /// Labels for placement.
        pub labels: BTreeMap<String, String>,
        /// Whether its agent is connected.
        pub reachable: bool,
        /// Whether it can take tasks; if not, `reason` says why.
        pub ready: bool,
        /// Why it is not reachable or not ready; else empty.
        pub reason: String,
        /// What is not as it should be.
        pub warnings: Vec<String>,
        /// What it has.
        pub capacity: HostResources,
        /// What of it is taken.
        pub allocated: HostResources,
        /// Living tasks on it.
        pub tasks: u64,
        /// Containers that the control plane does not know; they are left running.
        pub orphans: Vec<Orphan>,
        /// The engine.
        pub engine: String,
        /// Kernel and system.
        pub system: String,
        /// The agent's version.
        pub agent_version: String,
        /// When it enrolled.
        pub enrolled_at: Timestamp,
        /// When its agent connected or was lost.
        pub since: Timestamp,
    }
}

api! {
    /// A plan in a list, or by itself.
    pub struct PlanView {
        /// Its id.
        pub id: String,
        /// The plan that it follows.
        pub parent: Option<String>,
        /// The revision that it leads to.
        pub revision: Revision,
        /// Who signed the revision's head, where the policy before it wanted signatures and one holds.
        pub signed_by: Option<String>,
        /// How it stands.
        pub status: PlanStatus,
        /// Why it is held, one sentence each.
        pub holds: Vec<String>,
        /// Whether people's approval can let it through now: it is held, and for nothing that approval cannot overcome.
        pub can_be_approved: bool,
        /// So many different people have to approve it.
        pub approvals_required: u32,
        /// Who approved it.
        pub approvals: Vec<PlanWordView>,
        /// Who refused it.
        pub refusal: Option<PlanWordView>,
        /// Changes that are asked for and kept back: their jobs stay as they are.
        pub withheld: Vec<WithheldView>,
        /// Whether it changes the policy.
        pub policy_changes: bool,
        /// The apps whose jobs it changes: who owns all of them may decide about it, unless it changes the policy, too.
        pub apps: Vec<String>,
        /// What it will lead to, as it looked when it was made; null where that was not worked out.
        pub prediction: Option<Prediction>,
        /// What it has led to so far; null where it was not applied, or is no longer among the latest 50.
        pub outcome: Option<PlanOutcomeView>,
        /// The jobs that change.
        pub changes: Vec<JobChangeView>,
        /// Documents that were refused.
        pub refused: Vec<Diagnostic>,
        /// Tasks that it starts.
        pub starts: u32,
        /// Tasks that it takes away.
        pub stops: u32,
        /// Tasks that a rollout replaces.
        pub replaces: u32,
        /// So many tasks ran when it was made.
        pub running: u32,
        /// When it was made.
        pub made_at: Timestamp,
        /// When it was applied.
        pub applied_at: Option<Timestamp>,
    }
}

api! {
    /// What a plan has led to so far, beside what was predicted.
    pub struct PlanOutcomeView {
        /// Containers that were started for the versions that it brought.
        pub started: u32,
        /// Of the predicted starts, those that came about on the predicted host.
        pub as_predicted: u32,
        /// Containers that were ordered to stop in its name.
        pub stopped: u32,
        /// So many seconds after it was applied the last of them was started or ordered to stop.
        pub seconds: Option<u32>,
    }
}

api! {
    /// Somebody's word on a held plan.
    pub struct PlanWordView {
        /// Who.
        pub by: String,
        /// Their words.
        pub reason: String,
        /// When.
        pub at: Timestamp,
        /// An approval counts until then.
        pub expires_at: Option<Timestamp>,
    }
}

api! {
    /// A change that is kept back.
    pub struct WithheldView {
        /// What would change.
        pub change: JobChangeView,
        /// Why it does not, in a sentence.
        pub reason: String,
    }
}

api! {
    /// Something that is frozen: no plan changes it, and nothing automated stops its containers.
    pub struct FreezeView {
        /// What.
        pub scope: FreezeScope,
        /// The app of what is frozen; null for the cell and for a job that is not in the fleet.
        pub app: Option<String>,
        /// Who froze it.
        pub by: String,
        /// Their words.
        pub reason: String,
        /// Since when.
        pub since: Timestamp,
        /// Until when; without it, until somebody resumes it.
        pub until: Option<Timestamp>,
    }
}

api! {
    /// The policy's windows are against plans now.
    pub struct OutOfTimeView {
        /// The `deny` window that is open; null where there are `allow` windows and none of them is.
        pub window: Option<String>,
        /// When plans may go ahead by themselves again, if that is within the next days.
        pub until: Option<Timestamp>,
        /// The same in a sentence.
        pub message: String,
    }
}

api! {
    /// A freeze that is asked for.
    pub struct FreezeRequest {
        /// What.
        pub scope: FreezeScope,
        /// Why; it stands in the journal.
        pub reason: String,
        /// Until when; without it, until somebody resumes it.
        #[serde(default)]
        pub until: Option<Timestamp>,
    }
}

api! {
    /// A size beside git that is asked for.
    pub struct ScaleRequest {
        /// So many tasks, within the job's `service.capacity.min` and `max`.
        pub desired: u32,
        /// Why; it stands in the journal.
        pub reason: String,
        /// Until when, at most 7 days; without it for an hour, or, where the policy ignores the field, until somebody scales it
        /// again.
        #[serde(default)]
        pub until: Option<Timestamp>,
    }
}

api! {
    /// The end of a freeze that is asked for.
    pub struct ResumeRequest {
        /// What.
        pub scope: FreezeScope,
        /// Why; it stands in the journal.
        pub reason: String,
    }
}

/// A change of one job that is asked for; what is left out stays as it is. It has to ask for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The job.
    pub job: String,
    /// Its image.
    #[serde(default)]
    pub image: Option<String>,
    /// How many tasks a service has.
    #[serde(default)]
    pub desired: Option<u32>,
    /// Environment variables; others stay as they are.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// For a batch job: any new text, such as the pipeline's execution, makes it run again, and the deploy waits for its end.
    #[serde(default)]
    pub run: Option<String>,
    /// It has failed if it is not done after so many seconds, from 10 to 86400; 1800 where it is left out.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
    /// The pipeline's execution; it stands in the commit.
    #[serde(default)]
    pub execution: Option<String>,
    /// Why; it stands in the commit.
    #[serde(default)]
    pub reason: Option<String>,
}

api! {
    /// A deploy.
    pub struct DeployView {
        /// Its id, as it was chosen.
        pub id: String,
        /// The job.
        pub job: String,
        /// Its app; null where the job is not in the fleet any more.
        pub app: Option<String>,
        /// How it stands: `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELED`.
        pub status: DeployStatus,
        /// How far it is, or how it ended, in a sentence.
        pub progress: String,
        /// The commit that it became.
        pub commit: Option<String>,
        /// The commit that took it back.
        pub taken_back: Option<String>,
        /// The image that it asks for.
        pub image: Option<String>,
        /// How many tasks it asks for.
        pub desired: Option<u32>,
        /// The environment variables that it sets.
        pub env: BTreeMap<String, String>,
        /// For a batch job: the text that makes it run again.
        pub run: Option<String>,
        /// Why it was asked for.
        pub reason: String,
        /// The pipeline's execution.
        pub execution: String,
        /// Who asked for it.
        pub requested_by: String,
        /// When.
        pub requested_at: Timestamp,
        /// It has failed if it is not done by then.
        pub deadline: Timestamp,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
    }
}

api! {
    /// A way back that is asked for.
    pub struct RollbackRequest {
        /// The revision to go back to: a commit of the branch's history, such as that of an earlier plan.
        pub to: String,
        /// Only this job's document; without it, all files.
        #[serde(default)]
        pub job: Option<String>,
        /// Why; it stands in the commit.
        pub reason: String,
    }
}

api! {
    /// What was committed for somebody.
    pub struct CommitAnswer {
        /// The commit; the branch's head where nothing had to change.
        pub commit: String,
        /// Whether anything changed.
        pub changed: bool,
        /// What was done, in a sentence.
        pub message: String,
    }
}

api! {
    /// What to plan, without doing any of it: a revision of the repository, or files that are sent along.
    pub struct PlanRequest {
        /// A commit, branch or tag of the repository that is followed. Without it and without files: the branch's head.
        #[serde(default)]
        pub revision: Option<String>,
        /// All spec files of a working tree; a document that is not among them counts as removed.
        #[serde(default)]
        pub files: Option<Vec<PlanFile>>,
    }
}

api! {
    /// A spec file of a working tree.
    pub struct PlanFile {
        /// Its path from the repository's root.
        pub path: String,
        /// What stands in it.
        pub content: String,
    }
}

api! {
    /// A plan that was only worked out.
    pub struct PlanPreview {
        /// The plan; its status is `proposed`.
        pub plan: PlanView,
        /// Whether anything would change: a job, or the policy.
        pub changes: bool,
        /// Whether the guard would hold it, or it would not be followed for want of a signature.
        pub would_be_held: bool,
        /// The same as Markdown, for a pull request.
        pub markdown: String,
    }
}

/// How a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PlanStatus {
    /// It was applied.
    Applied,
    /// The guard holds it.
    Held,
    /// A person said no to it.
    Refused,
    /// A later plan took its place before it was applied.
    Superseded,
    /// It was only worked out, for somebody who wants to know.
    Proposed,
}

impl PlanStatus {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            PlanStatus::Applied => "applied",
            PlanStatus::Held => "held",
            PlanStatus::Refused => "refused",
            PlanStatus::Superseded => "superseded",
            PlanStatus::Proposed => "proposed",
        }
    }
}

api! {
    /// What a plan does to one job.
    pub struct JobChangeView {
        /// The job.
        pub job: String,
        /// The action's word.
        pub action: String,
        /// What changes.
        pub fields: Vec<FieldChange>,
        /// Tasks that start.
        pub starts: u32,
        /// Tasks that stop.
        pub stops: u32,
        /// Tasks that are replaced.
        pub replaces: u32,
        /// What it does not do and why.
        pub notes: Vec<String>,
    }
}

api! {
    /// An event for people and programs: `GET /api/v1/events`, and each message of `GET /api/v1/watch`.
    pub struct EventView {
        /// Its place in the journal; also the id of the watch's message.
        pub seq: u64,
        /// When.
        pub at: Timestamp,
        /// Who.
        pub actor: String,
        /// What kind of event, such as `attempt_placed`.
        pub kind: String,
        /// What happened, in a sentence.
        pub text: String,
        /// The job that it is about, if any.
        pub job: Option<String>,
        /// The task that it is about, if any.
        pub task: Option<String>,
        /// The attempt that it is about, if any.
        pub attempt: Option<String>,
        /// The id of the host that it is about, if any.
        pub host: Option<String>,
        /// The plan that it is about, if any.
        pub plan: Option<String>,
        /// All of it, as the journal keeps it.
        #[cfg_attr(feature = "describe", schema(value_type = Object))]
        pub data: serde_json::Value,
    }
}

api! {
    /// Readings of a task's container, oldest first: those of the last minutes that the control plane keeps in memory.
    pub struct UsageView {
        /// The task.
        pub task: String,
        /// What it may use: thousandths of a CPU.
        pub cpu_limit_millis: u32,
        /// What it may use: bytes of memory.
        pub memory_limit_bytes: u64,
        /// The readings.
        pub readings: Vec<Usage>,
    }
}

api! {
    /// A single-use token with which an agent enrols.
    pub struct EnrolmentToken {
        /// What is given to `muster agent --join`.
        pub token: String,
        /// The address that is given beside it.
        pub url: String,
        /// When it ends.
        pub expires_at: Timestamp,
    }
}

api! {
    /// What a person says with a command that they give.
    pub struct CommandRequest {
        /// Why.
        pub reason: String,
    }
}

api! {
    /// What a person tells a rollout.
    pub struct RolloutRequest {
        /// What.
        pub action: RolloutWord,
        /// Why.
        pub reason: String,
    }
}

api! {
    /// The answer to who has the repository read.
    pub struct RefreshAnswer {
        /// The journal's last sequence number when it was asked for.
        pub seq: u64,
        /// What is done, in a sentence.
        pub message: String,
        /// What the look found that was asked for; null where it was not waited for, or has not ended in that time.
        #[serde(default)]
        pub look: Option<RepositoryLook>,
    }
}

api! {
    /// What a look at the repository found: a head that can be followed, or what is wrong.
    pub struct RepositoryLook {
        /// The followed branch's head; null where there is trouble.
        pub commit: Option<String>,
        /// What is the matter and what to do, in a sentence; null where all is well.
        pub trouble: Option<String>,
    }
}

api! {
    /// The answer to a command: it is durable in the journal.
    pub struct CommandAnswer {
        /// The journal's last sequence number after it.
        pub seq: u64,
        /// What was done, in a sentence.
        pub message: String,
    }
}

api! {
    /// Who the bearer of a token is: `GET /api/v1/session`. `POST` with the token in `Authorization` sets the console's cookie.
    pub struct SessionView {
        /// The token's name.
        pub name: String,
        /// What they may do now, by the policy that holds.
        pub rights: Rights,
    }
}

api! {
    /// A token that somebody is to have.
    pub struct TokenRequest {
        /// Its name: what the policy's `access` and the journal call its bearer.
        pub name: String,
    }
}

api! {
    /// A token that was made just now. It is shown this once.
    pub struct NewToken {
        /// Its name.
        pub name: String,
        /// What its bearer sends in `Authorization`.
        pub token: String,
    }
}

api! {
    /// A token that is taken, without the token itself, which nobody keeps.
    pub struct TokenView {
        /// Its name.
        pub name: String,
        /// What its bearer may do now, by the policy that holds.
        pub rights: Rights,
        /// Who made it; null for `admin`, which is made with the cell.
        pub made_by: Option<String>,
        /// When.
        pub made_at: Option<Timestamp>,
    }
}
