//! A job as the fleet knows it.

use super::{JobRollout, Task};
use jiff::Timestamp;
use muster_schemas::drift::DriftField;
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{DocumentRef, FieldChange, Revision};
use muster_schemas::spec::{Capacity, DisruptionRate, JobSpec, PolicySpec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// So many of the latest changes of a job stay in memory; older ones are in the journal.
pub const HISTORY_KEPT: usize = 20;

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The version that holds; a key of `versions`.
    pub version: u64,
    /// The version that holds, and older ones that a task or attempt still refers to.
    pub versions: BTreeMap<u64, Arc<JobVersion>>,
    /// Where its document stands, or stood.
    pub source: DocumentRef,
    /// Whether a document of the applied revision asks for it.
    pub declared: bool,
    /// Whether it was pruned and its grace is over: its tasks are stopped, then it is forgotten.
    pub pruned: bool,
    /// It was pruned and runs on as it is, until its grace is over or its document is back.
    #[serde(default)]
    pub tombstone: Option<Tombstone>,
    /// The size that somebody gave it beside git.
    #[serde(default)]
    pub resize: Option<Resize>,
    /// The run of a batch job, from 1; 0 for services.
    pub run: u32,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When its version last changed.
    pub updated_at: Timestamp,
    /// The rollout that is under way, or was aborted; none where all tasks are to run the version that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<JobRollout>,
    /// Its tasks by index.
    pub tasks: BTreeMap<u32, Task>,
    /// The healthy tasks that automation took to be replaced, oldest first, where the job limits the rate of that: at most
    /// [`TAKEN_KEPT`] of the last [`DisruptionRate::LONGEST`](muster_schemas::spec::DisruptionRate::LONGEST).
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub taken: VecDeque<Taken>,
    /// The latest plans that changed it, oldest first, at most [`HISTORY_KEPT`].
    pub history: VecDeque<HistoryEntry>,
}

/// No rate allows more tasks than a service can have, so whether one more may go is decided by so many of the latest.
pub const TAKEN_KEPT: u32 = Capacity::LIMIT;

/// Healthy tasks that automation took at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// When.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
}

/// A job that was pruned and may still come back with the same containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tombstone {
    /// When its tasks are stopped.
    pub until: Timestamp,
    /// The commit that removed its document, where that is known.
    pub removed_by: Option<Revision>,
}

/// A size that somebody gave a service beside git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// So many tasks; within the spec's `min` and `max`.
    pub desired: u32,
    /// Who.
    pub by: String,
    /// Their words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; without it, until somebody scales the job again.
    pub until: Option<Timestamp>,
}

/// A plan that changed a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The plan.
    pub plan: PlanId,
    /// The revision that it led to.
    pub revision: Revision,
    /// The version that held after it.
    pub version: u64,
    /// The action's word.
    pub action: String,
    /// What changed.
    pub fields: Vec<FieldChange>,
    /// When it was applied.
    pub at: Timestamp,
}

/// A job's spec from one plan to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobVersion {
    /// Its number, from 1.
    pub number: u64,
    /// What the document says.
    pub spec: Arc<JobSpec>,
    /// The image by digest.
    pub image: String,
    /// The version at which what runs in the container last changed: tasks of versions with the same template need not be
    /// replaced by one another.
    pub template: u64,
    /// The plan that brought it.
    pub plan: PlanId,
    /// The revision that brought it.
    pub revision: Revision,
    /// When it was applied.
    pub at: Timestamp,
    /// Whether what it makes run has begun, or may: the jobs that it depends on stood once since it came.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub begun: bool,
}

/// Versions of journals from before `dependsOn` waited for nothing.
fn yes() -> bool {
    true
}

fn is_yes(begun: &bool) -> bool {
    *begun
}

impl Job {
    /// The version that holds.
    pub fn current(&self) -> &Arc<JobVersion> {
        self.versions
            .get(&self.version)
            .expect("the current version is kept as long as the job")
    }

    /// The spec that holds.
    pub fn spec(&self) -> &JobSpec {
        &self.current().spec
    }

    /// Whether its current version waits for the jobs that it depends on. A job that is to end waits for nobody.
    pub fn is_waiting(&self) -> bool {
        !self.pruned && !self.current().begun
    }

    /// Whether a task (or attempt) on `version` runs something else than the current version asks for.
    pub fn is_outdated(&self, version: u64) -> bool {
        self.versions
            .get(&version)
            .is_none_or(|version| version.template != self.current().template)
    }

    /// Counts a healthy task that automation took to be replaced.
    pub(super) fn count_taken(&mut self, at: Timestamp) {
        let forgotten = at
            .checked_sub(DisruptionRate::LONGEST.signed())
            .unwrap_or(Timestamp::MIN);
        match self.taken.back_mut().filter(|taken| taken.at == at) {
            Some(taken) => taken.count += 1,
            None => self.taken.push_back(Taken { at, count: 1 }),
        }
        while self
            .taken
            .front()
            .is_some_and(|taken| taken.at <= forgotten)
        {
            self.taken.pop_front();
        }
        let mut kept: u32 = self.taken.iter().map(|taken| taken.count).sum();
        while kept > TAKEN_KEPT
            && let Some(oldest) = self.taken.front().copied()
            && kept - oldest.count >= TAKEN_KEPT
        {
            self.taken.pop_front();
            kept -= oldest.count;
        }
    }

    /// Whether two versions make the same containers. One that is not known any more makes others.
    pub fn same_template(&self, one: u64, other: u64) -> bool {
        let template = |version: u64| self.versions.get(&version).map(|version| version.template);
        template(one).is_some() && template(one) == template(other)
    }

    /// How many tasks are wanted: none once it is pruned, as many as somebody scaled it to, or as git says.
    pub fn desired(&self) -> u32 {
        if self.pruned {
            return 0;
        }
        let resized = self.resize.as_ref().map(|resize| resize.desired);
        resized.unwrap_or_else(|| self.spec().size())
    }

    /// How many tasks are to be left of it as things stand: none once its document is removed, although they run on in its grace.
    pub fn size_asked_for(&self) -> u32 {
        if self.tombstone.is_some() {
            return 0;
        }
        self.desired()
    }

    /// What is left of the size that somebody gave it when `spec` takes the place of the spec that holds. Git's word on the size
    /// ends it, unless the policy has the field ignored; then, and while git says the same as before, it stays, within the
    /// new bounds.
    pub fn resize_under(&self, spec: &JobSpec, policy: Option<&PolicySpec>) -> Option<Resize> {
        let resize = self.resize.as_ref().filter(|_| !self.pruned)?;
        let capacity = spec.service.as_ref()?.capacity;
        let stays = spec.size() == self.spec().size()
            || crate::drift::is_ignored(policy, spec, DriftField::Desired);
        stays.then(|| Resize {
            desired: resize.desired.clamp(capacity.min, capacity.max),
            ..resize.clone()
        })
    }
}
