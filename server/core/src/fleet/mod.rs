//! The fleet: all that lives, as a fold over the journal.
//!
//! [`Fleet::apply`] takes each record in turn and never fails: a record that speaks of something unknown changes nothing.
//! What should happen next is decided elsewhere ([`crate::decide`]); here is only what has happened.

mod apply;
mod attempt;
mod attempts;
mod deploy;
mod host;
mod job;
mod reductions;
mod rollout;
mod task;

pub use attempt::{Asked, Attempt};
pub use attempts::Attempts;
pub use deploy::{DEPLOYS_AT_ONCE, DEPLOYS_KEPT, Deploy};
pub use host::Host;
pub use job::{HistoryEntry, Job, JobVersion, Resize, TAKEN_KEPT, Taken, Tombstone};
pub use reductions::{Reduced, Reductions, TakenAway};
pub use rollout::{Abort, JobRollout, Metric, Movement, Stall};
pub use task::{PAST_KEPT, Task, TaskPhase};

use jiff::Timestamp;
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::{CellName, DeployId, HostId, JobId, PlanId, TaskId};
use muster_schemas::plan::{
    Diagnostic, FreezeScope, HoldReason, LimitScope, Plan, Prediction, Revision, TaskOnHost,
};
use muster_schemas::spec::PolicySpec;
use muster_schemas::state::{HostResources, TaskState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// So many of the latest plans stay in memory; older ones are in the journal.
pub const PLANS_KEPT: usize = 50;

/// The window over which automated stops are counted.
pub const STOP_WINDOW_SECS: i64 = 60;

/// All that lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// The cell's name; empty before the first leadership.
    pub cell: CellName,
    /// The leadership that holds.
    pub epoch: u64,
    /// The last record that was applied.
    pub seq: u64,
    /// When the leadership was taken.
    pub led_since: Timestamp,
    /// Whether a person took the cell down.
    pub down: bool,
    /// The applied revision.
    pub revision: Option<Revision>,
    /// The policy that holds; none for the safe defaults.
    pub policy: Option<PolicySpec>,
    /// What is wrong with the repository, and since when.
    pub trouble: Option<(RepositoryTrouble, Timestamp)>,
    /// Documents of the latest plan that were refused.
    pub refused: Vec<Diagnostic>,
    /// The latest plans, oldest first, at most [`PLANS_KEPT`].
    pub plans: VecDeque<PlanEntry>,
    /// The plan that was applied last.
    pub applied_plan: Option<PlanId>,
    /// Jobs by id.
    pub jobs: BTreeMap<JobId, Job>,
    /// Hosts by id.
    pub hosts: BTreeMap<HostId, Host>,
    /// Attempts by id: those that live, and ended ones until they are forgotten.
    pub attempts: Attempts,
    /// The automated stops that were ordered in the last minute.
    #[serde(default)]
    pub stops: VecDeque<RecentStop>,
    /// What was made smaller lately without anybody's approval.
    #[serde(default, skip_serializing_if = "Reductions::is_empty")]
    pub reductions: Reductions,
    /// The latest deploys, oldest first, at most [`DEPLOYS_KEPT`] that have ended.
    #[serde(default)]
    pub deploys: VecDeque<Deploy>,
    /// What is frozen, oldest first.
    #[serde(default)]
    pub freezes: Vec<Freeze>,
    /// The tokens of which there is a record, besides `admin`, with when each was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, Timestamp>,
}

/// An automated stop, as the budget counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentStop {
    /// When it was ordered.
    pub at: Timestamp,
    /// Of which job.
    pub job: JobId,
}

/// Something that somebody froze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// What.
    pub scope: FreezeScope,
    /// Who.
    pub by: String,
    /// Their words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; without it, until somebody resumes it.
    pub until: Option<Timestamp>,
}

/// Somebody's word on a held plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWord {
    /// Who.
    pub by: String,
    /// Their words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// An approval counts until then.
    pub expires_at: Option<Timestamp>,
}

/// A plan and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// The plan.
    pub plan: Arc<Plan>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was applied.
    pub applied_at: Option<Timestamp>,
    /// Why it is held; empty where it is not.
    pub holds: Vec<HoldReason>,
    /// What it will lead to, as it looked when it was made.
    #[serde(default)]
    pub prediction: Option<Arc<Prediction>>,
    /// What it has led to so far.
    #[serde(default)]
    pub outcome: PlanOutcome,
    /// Who approved it.
    #[serde(default)]
    pub approvals: Vec<PlanWord>,
    /// Who refused it.
    #[serde(default)]
    pub refusal: Option<PlanWord>,
    /// The hooks that run before it, once they have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_hooks: Option<HooksBegan>,
    /// So many of the approvals were given before one of them was seen not to have succeeded, and do not count for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_before: Option<usize>,
    /// The parts of the cell of which people had approved what it takes away when its hooks began; none is all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_stops: Vec<Option<LimitScope>>,
    /// Where hooks run after it: the services that they wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited_by_hooks: Option<Vec<JobId>>,
    /// The hooks that run after it, once they have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_hooks: Option<HooksBegan>,
}

/// Hooks that began a run for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HooksBegan {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub jobs: Vec<JobId>,
}

/// What a plan has led to so far: what was started for the versions that it brought, and stopped in its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanOutcome {
    /// Containers that were started.
    pub started: u32,
    /// The first of them with their hosts, at most [`Prediction::LISTED`].
    pub starts: Vec<TaskOnHost>,
    /// Containers that were ordered to stop.
    pub stopped: u32,
    /// When one was last started or ordered to stop.
    pub last_at: Option<Timestamp>,
}

impl PlanEntry {
    /// A plan that was just made.
    pub fn new(plan: Arc<Plan>, made_at: Timestamp) -> Self {
        Self {
            plan,
            made_at,
            applied_at: None,
            holds: Vec::new(),
            prediction: None,
            outcome: PlanOutcome::default(),
            approvals: Vec::new(),
            refusal: None,
            before_hooks: None,
            approved_before: None,
            approved_stops: Vec::new(),
            awaited_by_hooks: None,
            after_hooks: None,
        }
    }

    /// Takes an approval. Who says the same again says it anew, and only the last is kept: what was said before the hooks began, or
    /// before one of them failed, is what was said then.
    pub(super) fn approve(&mut self, word: PlanWord) {
        let kept = self.approved_before.unwrap_or(0);
        let began = self.before_hooks.as_ref().map(|began| began.at);
        let same =
            |known: &PlanWord| known.by == word.by && began.is_none_or(|began| known.at > began);
        let mut since = self.approvals.iter().enumerate().skip(kept);
        if let Some((at, _)) = since.find(|(_, known)| same(known)) {
            self.approvals.remove(at);
        }
        self.approvals.push(word);
    }

    /// The parts of the cell of which people have approved what it takes away; none is all of it.
    pub(crate) fn parts_approved(&self) -> Vec<Option<LimitScope>> {
        if self.approvals.is_empty() {
            return Vec::new();
        }
        let parts = self.holds.iter().filter_map(|reason| match reason {
            HoldReason::TooManyStops { part, .. } => Some(part.clone()),
            _ => None,
        });
        parts.collect()
    }

    /// The people whose approval counts at `now`, each once. Once a hook has failed, what was said before it does not count.
    pub fn approvers(&self, now: Timestamp) -> BTreeSet<&str> {
        self.approvals
            .iter()
            .skip(self.approved_before.unwrap_or(0))
            .filter(|word| word.expires_at.is_none_or(|until| until > now))
            .map(|word| word.by.as_str())
            .collect()
    }

    /// Whether so many people had approved it when its hooks began.
    pub fn was_approved(&self, required: u32) -> bool {
        let Some(began) = &self.before_hooks else {
            return false;
        };
        let people: BTreeSet<&str> = self
            .approvals
            .iter()
            .filter(|word| word.at <= began.at)
            .filter(|word| word.expires_at.is_none_or(|until| until > began.at))
            .map(|word| word.by.as_str())
            .collect();
        people.len() >= usize::try_from(required).unwrap_or(usize::MAX)
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            cell: CellName::from(""),
            epoch: 0,
            seq: 0,
            led_since: Timestamp::UNIX_EPOCH,
            down: false,
            revision: None,
            policy: None,
            trouble: None,
            refused: Vec::new(),
            plans: VecDeque::new(),
            applied_plan: None,
            jobs: BTreeMap::new(),
            hosts: BTreeMap::new(),
            attempts: Attempts::default(),
            stops: VecDeque::new(),
            reductions: Reductions::default(),
            deploys: VecDeque::new(),
            freezes: Vec::new(),
            tokens: BTreeMap::new(),
        }
    }
}

impl Fleet {
    /// The task, if it lives.
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.jobs.get(&id.job)?.tasks.get(&id.index)
    }

    /// A task's current attempt: the one that it is active with.
    pub fn current_attempt(&self, task: &Task) -> Option<&Attempt> {
        match &task.phase {
            TaskPhase::Active { attempt } => self.attempts.get(attempt),
            TaskPhase::Queued { .. } | TaskPhase::Finished { .. } => None,
        }
    }

    /// A task's current or last attempt, also after its container is gone.
    pub fn last_attempt<'a>(&'a self, task: &'a Task) -> Option<&'a Attempt> {
        let id = task.last_attempt?;
        let past = || task.past.iter().find(|attempt| attempt.id == id);
        self.attempts.get(&id).or_else(past)
    }

    /// Where a task is in its life.
    pub fn task_state(&self, task: &Task) -> TaskState {
        match &task.phase {
            TaskPhase::Queued { .. } => TaskState::Queued,
            TaskPhase::Finished { .. } => TaskState::Finished,
            TaskPhase::Active { attempt } => self
                .attempts
                .get(attempt)
                .map_or(TaskState::Assigned, Attempt::state),
        }
    }

    /// Whether a task runs, is healthy, and can be seen to be so: its host is reachable.
    pub fn is_healthy(&self, task: &Task) -> bool {
        self.current_attempt(task).is_some_and(|attempt| {
            attempt.healthy_since.is_some()
                && attempt.ended.is_none()
                && attempt.stop.is_none()
                && self
                    .hosts
                    .get(&attempt.host)
                    .is_some_and(|host| host.connected)
        })
    }

    /// The app of a job that is in the fleet.
    pub fn app_of(&self, job: &JobId) -> Option<&str> {
        self.jobs.get(job).map(|job| job.spec().app())
    }

    /// Whether a task's attempts keep ending soon after they start. It is over once an attempt has been healthy for
    /// [`CRASH_LOOP_OVER`](crate::decide::lifecycle::CRASH_LOOP_OVER), although the next delay still remembers it.
    pub fn in_crash_loop(&self, task: &Task, now: Timestamp) -> bool {
        use crate::decide::lifecycle::{CRASH_LOOP_FAILURES, CRASH_LOOP_OVER};
        let is_over = self
            .current_attempt(task)
            .and_then(|attempt| attempt.healthy_since)
            .is_some_and(|since| now.duration_since(since) >= CRASH_LOOP_OVER);
        !task.is_finished() && task.failures >= CRASH_LOOP_FAILURES && !is_over
    }

    /// Whether a task's host is connected; true where it has none.
    pub fn is_reachable(&self, task: &Task) -> bool {
        self.current_attempt(task).is_none_or(|attempt| {
            self.hosts
                .get(&attempt.host)
                .is_some_and(|host| host.connected)
        })
    }

    /// So many tasks run now (or are being stopped): what the guard's fraction is of.
    pub fn running_tasks(&self) -> u32 {
        self.attempts.running()
    }

    /// What is taken of each host, by the attempts on it that have not ended. Every attempt that may still have a container
    /// counts, also one that is being stopped.
    pub fn allocated(&self) -> BTreeMap<HostId, HostResources> {
        let mut taken: BTreeMap<HostId, HostResources> = BTreeMap::new();
        for attempt in self
            .attempts
            .values()
            .filter(|attempt| attempt.ended.is_none())
        {
            let Some(version) = self
                .jobs
                .get(&attempt.task.job)
                .and_then(|job| job.versions.get(&attempt.version))
            else {
                continue;
            };
            add_resources(taken.entry(attempt.host).or_default(), &version.spec);
        }
        taken
    }

    /// The plan that is held now and waits for a human or for its time, if the latest is one.
    pub fn held_plan(&self) -> Option<&PlanEntry> {
        self.plans.back().filter(|entry| {
            entry.applied_at.is_none() && !entry.holds.is_empty() && entry.refusal.is_none()
        })
    }

    /// A deploy that is still in memory.
    pub fn deploy(&self, id: &DeployId) -> Option<&Deploy> {
        self.deploys.iter().rev().find(|deploy| deploy.id == *id)
    }

    /// The freeze of this very scope, if it holds at `now`.
    pub fn freeze(&self, scope: &FreezeScope, now: Timestamp) -> Option<&Freeze> {
        self.freezes
            .iter()
            .find(|freeze| freeze.scope == *scope && freeze.until.is_none_or(|until| until > now))
    }

    /// A plan that is still in memory.
    pub fn plan(&self, id: &PlanId) -> Option<&PlanEntry> {
        self.plans.iter().rev().find(|entry| entry.plan.id == *id)
    }
}

/// Adds what one task of `spec` takes.
pub(crate) fn add_resources(taken: &mut HostResources, spec: &muster_schemas::spec::JobSpec) {
    let needs = &spec.resources;
    taken.cpu.0 = taken.cpu.0.saturating_add(needs.cpu.0);
    taken.memory.0 = taken.memory.0.saturating_add(needs.memory.0);
    taken.disk.0 = taken.disk.0.saturating_add(needs.disk.0);
    taken.network.0 = taken.network.0.saturating_add(needs.network.0);
    taken.gpu = taken.gpu.saturating_add(needs.gpu);
    taken.containers = taken.containers.saturating_add(1);
}
