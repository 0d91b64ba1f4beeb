//! What happened. The journal is a list of these, and the fleet is a fold over it.
//!
//! Events are kept for ever: a variant or field that has been released is never renamed or removed, and what is added
//! later has a default. `server/core/tests/all/journals/` holds journals of released versions that must replay.

use crate::deploy::{DeploySpec, DeployStatus, TakeBackTrouble};
use crate::drift::{DriftField, ResizeEnd};
use crate::ids::{AttemptId, CellName, CommitId, DeployId, HostId, JobId, PlanId, TaskId};
use crate::plan::{FreezeScope, HoldReason, Plan, Prediction};
use crate::rollout::{AbortReason, Measured, Stuck, Verdict};
use crate::spec::{Hook, Millis};
use crate::state::{
    Actor, AttemptStatus, Blocked, FinishReason, HostFacts, Orphan, Outcome, QueueReason,
    StopOrder, StopReason,
};
use crate::wire::Fence;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its place: 1, 2, 3, … without gaps.
    pub seq: u64,
    /// When it was decided, by the control plane's clock.
    pub at: Timestamp,
    /// The leadership that decided it.
    pub epoch: u64,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A control plane took the leadership: from here on its epoch holds. It ends a `CellTakenDown`.
    LeadershipTaken {
        /// The cell's name.
        cell: CellName,
        /// The control plane's version.
        version: String,
    },
    /// A person took the cell down: everything is stopped and nothing is started until the next leadership.
    CellTakenDown {
        /// Their words.
        reason: String,
    },

    /// A host enrolled: it has a certificate.
    HostEnrolled {
        /// The host.
        host: HostId,
        /// Its name.
        name: String,
    },
    /// A host's agent connected.
    HostConnected {
        /// The host.
        host: HostId,
    },
    /// A host's agent has not been heard of for too long. Its tasks may well run on.
    HostUnreachable {
        /// The host.
        host: HostId,
    },
    /// A person says that a host is gone for good, and its containers with it: that is evidence, so its attempts have ended.
    HostRemoved {
        /// The host.
        host: HostId,
        /// Their words.
        reason: String,
    },
    /// A host follows orders that this journal does not have: an older copy of it was restored, or another control plane leads.
    /// Nothing that the host says is taken and no order is sent to it until that is mended or a person takes it; its containers
    /// run on. It ends a `HostTaken` for another fence.
    HostAhead {
        /// The host.
        host: HostId,
        /// The highest fence that it has heard.
        highest: Fence,
    },
    /// A person has a host that is ahead follow this control plane all the same.
    HostTaken {
        /// The host.
        host: HostId,
        /// The fence that may be superseded: this one and no other.
        highest: Fence,
        /// Their words.
        reason: String,
    },
    /// The orders of a host that was taken rest on this journal again: the person's word is used up.
    HostFollows {
        /// The host.
        host: HostId,
    },
    /// A host's facts are new or have changed.
    HostReported {
        /// The host.
        host: HostId,
        /// The facts.
        facts: HostFacts,
    },
    /// The orphans on a host are others than before.
    OrphansSeen {
        /// The host.
        host: HostId,
        /// All orphans there are now.
        orphans: Vec<Orphan>,
    },

    /// The repository cannot be read, or says something that must not be followed. The last good state holds.
    RepositoryTroubled {
        /// What is wrong and what to do, for people.
        trouble: RepositoryTrouble,
    },
    /// The repository is well again.
    RepositoryRecovered,
    /// A plan was made.
    PlanMade {
        /// The plan.
        plan: Box<Plan>,
    },
    /// What a plan will lead to, as it looked when it was made.
    PlanPredicted {
        /// The plan.
        plan: PlanId,
        /// The prediction.
        prediction: Box<Prediction>,
    },
    /// The guard let the plan through: its targets hold from here on.
    PlanApplied {
        /// The plan.
        plan: PlanId,
    },
    /// The guard holds the plan: nothing of it happens.
    PlanHeld {
        /// The plan.
        plan: PlanId,
        /// Why.
        reasons: Vec<HoldReason>,
    },
    /// Hooks begin a run for a plan. Before-hooks are told while the plan is held, and their own changes hold from here on.
    HooksBegan {
        /// The plan.
        plan: PlanId,
        /// Whether they run before its changes or after them.
        hook: Hook,
        /// The hooks.
        jobs: Vec<JobId>,
    },
    /// A person says yes to a held plan: to this one and to no other.
    PlanApproved {
        /// The plan.
        plan: PlanId,
        /// Their words.
        reason: String,
        /// It counts until then.
        expires_at: Timestamp,
    },
    /// A person says no to a held plan: it stays held, whatever approves it.
    PlanRefused {
        /// The plan.
        plan: PlanId,
        /// Their words.
        reason: String,
    },
    /// Something is frozen: no plan changes it, and nothing automated stops its containers.
    Frozen {
        /// What.
        scope: FreezeScope,
        /// Their words.
        reason: String,
        /// Until then; without it, until somebody resumes it.
        until: Option<Timestamp>,
    },
    /// A freeze has ended.
    Resumed {
        /// What is not frozen any more.
        scope: FreezeScope,
        /// Their words.
        reason: String,
    },

    /// All jobs that a job's version waited for stand: what it makes run begins.
    VersionBegan {
        /// The job.
        job: JobId,
        /// The version.
        version: u64,
    },
    /// The grace of a pruned job is over: its tasks are stopped from here on.
    GraceEnded {
        /// The job.
        job: JobId,
    },

    /// Somebody scaled a service beside git.
    JobScaled {
        /// The job.
        job: JobId,
        /// So many tasks it has from here on.
        desired: u32,
        /// Their words.
        reason: String,
        /// Until then; without it, until somebody scales it again: the policy ignores the field.
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// A service that was scaled beside git has the size again that git says.
    ResizeEnded {
        /// The job.
        job: JobId,
        /// Who had scaled it.
        by: String,
        /// To how many tasks.
        desired: u32,
        /// Why it has ended.
        end: ResizeEnd,
    },
    /// What somebody changed on a running container is to be put back while it runs. It replaces the order before; one without
    /// fields takes it back.
    PutBackOrdered {
        /// The attempt.
        attempt: AttemptId,
        /// What is to be put back.
        fields: Vec<DriftField>,
    },
    /// A canary goes to its next step, or past the last one to all tasks.
    RolloutStepped {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// The step, from 0; as many as there are steps for all tasks.
        step: u32,
        /// So many tasks have the version at this step.
        tasks: u32,
    },
    /// The tasks of a canary's step, or all new tasks of red/black, have been healthy for the minimum healthy time.
    RolloutSettled {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// Red/black: the old tasks are kept until then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_until: Option<Timestamp>,
    },
    /// A rollout has got no further for too long. It goes on when it can.
    RolloutStalled {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// For so long.
        deadline: Millis,
        /// What it is stuck on.
        stuck: Stuck,
    },
    /// A rollout was ended before all tasks had the new version: the version before serves on.
    RolloutAborted {
        /// The job.
        job: JobId,
        /// The version that is not rolled out any more.
        version: u64,
        /// Why.
        reason: AbortReason,
    },
    /// A person lets a rollout go on: a canary to its next step, red/black without the old tasks.
    RolloutPromoted {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// Their words.
        reason: String,
    },
    /// A person begins an aborted rollout again.
    RolloutRetried {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// Their words.
        reason: String,
    },
    /// All tasks have the new version and are settled, and no old one is left.
    RolloutFinished {
        /// The job.
        job: JobId,
        /// The version.
        version: u64,
    },
    /// Something of a canary was measured.
    AnalysisMeasured {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// What was measured: a query's name, or `healthy`.
        name: String,
        /// What it is.
        measured: Measured,
        /// What follows.
        verdict: Verdict,
    },

    /// Somebody asked for a deploy.
    DeployRequested {
        /// Its id, which they chose.
        deploy: DeployId,
        /// What they asked for.
        spec: DeploySpec,
    },
    /// A deploy became a commit.
    DeployCommitted {
        /// The deploy.
        deploy: DeployId,
        /// The commit; the head of that time where nothing had to change.
        commit: CommitId,
    },
    /// Somebody took a deploy back: its commit is undone by another.
    DeployCanceled {
        /// The deploy.
        deploy: DeployId,
        /// Their words.
        reason: String,
    },
    /// A deploy that was taken back is undone in git.
    DeployTakenBack {
        /// The deploy.
        deploy: DeployId,
        /// The commit that undoes it; the head of that time where nothing had to change.
        commit: CommitId,
    },
    /// A deploy that was taken back could not be undone in git for long, and is not tried any more until somebody takes it back again.
    DeployNotTakenBack {
        /// The deploy.
        deploy: DeployId,
        /// Why.
        trouble: TakeBackTrouble,
    },
    /// A deploy has ended by itself.
    DeployFinished {
        /// The deploy.
        deploy: DeployId,
        /// How.
        status: DeployStatus,
        /// How, in a sentence.
        message: String,
    },

    /// A token is taken from here on. The token itself, and its hash, are in no record.
    TokenCreated {
        /// Its name, which is what its bearer is called.
        name: String,
        /// When it was made.
        made_at: Timestamp,
        /// Whether it was found at a start, among the tokens that are kept, without a record of how it came there.
        #[serde(default)]
        found: bool,
    },
    /// A token is taken no more.
    TokenRevoked {
        /// Its name.
        name: String,
        /// Whether it was missed at a start, among the tokens that are kept, without a record of how it went.
        #[serde(default)]
        found: bool,
    },

    /// A task of a job came to be, queued.
    TaskCreated {
        /// The task.
        task: TaskId,
        /// The version of the job that it is to run.
        version: u64,
        /// The run of a batch job that it belongs to; 0 for services.
        run: u32,
    },
    /// A task waits for its next attempt.
    TaskQueued {
        /// The task.
        task: TaskId,
        /// The version of the job that the next attempt is to run.
        version: u64,
        /// Why it waits.
        reason: QueueReason,
        /// The next attempt comes not before this time.
        not_before: Timestamp,
        /// Retries that count against the policy's bound so far.
        retries: u32,
        /// Short attempts in a row so far.
        failures: u32,
    },
    /// No host can take a task now. Told when the reasons change, not each time.
    TaskBlocked {
        /// The task.
        task: TaskId,
        /// Why.
        blocked: Blocked,
    },
    /// A host was chosen for a task.
    AttemptPlaced {
        /// The new attempt.
        attempt: AttemptId,
        /// The task.
        task: TaskId,
        /// Which attempt of the task it is, from 1.
        number: u32,
        /// The host.
        host: HostId,
        /// The version of the job that it runs.
        version: u64,
    },
    /// An agent says something new about an attempt.
    AttemptReported {
        /// What it says.
        status: AttemptStatus,
    },
    /// Muster wants to stop a container on its own account, and the job manages that itself: its owner is asked to.
    StopAnnounced {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        reason: StopReason,
        /// Until then the owner has time.
        until: Timestamp,
    },
    /// What the owner was asked for is not wanted any more.
    StopWithdrawn {
        /// The attempt.
        attempt: AttemptId,
    },
    /// A container is to be stopped. This record is durable before the order is sent.
    StopOrdered {
        /// The order.
        order: StopOrder,
    },
    /// A task ended for good.
    TaskFinished {
        /// The task.
        task: TaskId,
        /// How.
        outcome: Outcome,
        /// Why.
        reason: FinishReason,
    },
    /// An ended attempt's container is to be removed from its host; its log goes with it.
    AttemptRetired {
        /// The attempt.
        attempt: AttemptId,
    },
    /// A retired attempt's container is gone from its host; the fleet forgets the attempt.
    AttemptForgotten {
        /// The attempt.
        attempt: AttemptId,
    },
    /// A finished task leaves the fleet; history keeps it.
    TaskForgotten {
        /// The task.
        task: TaskId,
    },
    /// A job without document and tasks leaves the fleet; history keeps it.
    JobForgotten {
        /// The job.
        job: JobId,
    },
}

/// What can be wrong with the repository as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "snake_case")]
pub enum RepositoryTrouble {
    /// It cannot be reached.
    Unreachable {
        /// What the attempt to fetch said.
        message: String,
    },
    /// It has no commit, or the branch is gone.
    NoBranch {
        /// The branch.
        branch: String,
    },
    /// The revision holds no document at all although jobs are declared.
    Empty {
        /// The revision.
        commit: CommitId,
    },
    /// The branch's head does not descend from the applied revision.
    UnrelatedHistory {
        /// The head.
        commit: CommitId,
        /// The applied revision.
        applied: CommitId,
    },
    /// An object cannot be read, or a bound on what is read was hit.
    Unreadable {
        /// The revision.
        commit: CommitId,
        /// What went wrong.
        message: String,
    },
    /// A commit is not signed as the policy wants it.
    Unsigned {
        /// The commit.
        commit: CommitId,
        /// Its author, as it says.
        author: String,
        /// What is wrong with its signature.
        why: SignatureFault,
    },
}

impl RepositoryTrouble {
    /// Its word in the journal's JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::NoBranch { .. } => "no_branch",
            Self::Empty { .. } => "empty",
            Self::UnrelatedHistory { .. } => "unrelated_history",
            Self::Unreadable { .. } => "unreadable",
            Self::Unsigned { .. } => "unsigned",
        }
    }
}

/// Why a commit does not count as signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum SignatureFault {
    /// It has no signature.
    Missing,
    /// It is signed by a key that the policy does not list.
    UnknownKey {
        /// The key's fingerprint, or what the signature says of it.
        key: String,
    },
    /// Its signature does not hold, or cannot be checked.
    Invalid {
        /// What is wrong with it.
        message: String,
    },
    /// The signer's time is over.
    SignerExpired {
        /// The signer, as the policy calls them.
        signer: String,
        /// Since then their signatures do not count.
        not_after: Timestamp,
    },
    /// There are more commits since the applied revision than are looked at; this is the head.
    TooMany {
        /// So many are looked at.
        most: u32,
    },
}

impl std::fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it has no signature"),
            Self::UnknownKey { key } => {
                write!(
                    f,
                    "it is signed with the key {key}, which is not a signer's"
                )
            }
            Self::Invalid { message } => write!(f, "its signature does not hold: {message}"),
            Self::SignerExpired { signer, not_after } => write!(
                f,
                "it is signed by {signer}, whose signatures do not count since {not_after:.0}"
            ),
            Self::TooMany { most } => write!(
                f,
                "there are more than {most} commits since the applied revision, and every one of them has to be signed"
            ),
        }
    }
}

impl std::fmt::Display for RepositoryTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { message } => {
                write!(f, "the repository cannot be reached: {message}")
            }
            Self::NoBranch { branch } => write!(
                f,
                "the repository has no branch `{branch}` with a commit on it"
            ),
            Self::Empty { commit } => write!(
                f,
                "revision {commit} holds no document although jobs are declared"
            ),
            Self::UnrelatedHistory { commit, applied } => {
                write!(
                    f,
                    "revision {commit} does not descend from the applied revision {applied}"
                )
            }
            Self::Unreadable { commit, message } => {
                write!(f, "revision {commit} cannot be read: {message}")
            }
            Self::Unsigned {
                commit,
                author,
                why,
            } => {
                write!(
                    f,
                    "commit {commit} by {author} is not signed as the policy wants it: {why}"
                )
            }
        }
    }
}
