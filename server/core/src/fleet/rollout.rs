//! The rollout of a job, as the fleet knows it.
//!
//! While one goes on, two versions of a service are wanted at the same time: the new one, and the one that serves until the
//! new one has proved itself. Which of them a task takes that has to start again follows from how the rollout goes
//! ([`Movement`]).

use super::Job;
use jiff::Timestamp;
use muster_schemas::rollout::{AbortReason, Measured, RolloutStage, Stuck, Verdict};
use muster_schemas::spec::{JobSpec, Millis, Strategy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rollout that is under way, or was aborted and waits for a newer commit or a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRollout {
    /// The version that serves until the new one, the job's `version`, has proved itself.
    pub from: u64,
    /// When it began.
    pub since: Timestamp,
    /// When it last got any further: a new task became healthy or pulled more of its image, an old one gave way.
    pub progress_at: Timestamp,
    /// How far it is.
    pub stage: RolloutStage,
    /// When the tasks of its stage were first all settled.
    pub settled_at: Option<Timestamp>,
    /// A person lets the canary go on from its step.
    pub promoted: bool,
    /// How often new tasks ended by themselves or were stopped by their liveness probe.
    pub restarts: u32,
    /// The latest measurement of each kind, by name.
    pub metrics: BTreeMap<String, Metric>,
    /// It gets no further.
    pub stalled: Option<Stall>,
    /// It was ended.
    pub aborted: Option<Abort>,
}

/// The latest measurement of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// When.
    pub at: Timestamp,
    /// What it gave.
    pub measured: Measured,
    /// What follows.
    pub verdict: Verdict,
    /// So many failed in a row, up to this one.
    pub failures: u32,
}

/// That a rollout gets no further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// When it was seen.
    pub at: Timestamp,
    /// It had got no further for so long.
    pub deadline: Millis,
    /// What it was stuck on.
    pub stuck: Stuck,
}

/// That a rollout was ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Abort {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: AbortReason,
}

impl JobRollout {
    /// A rollout from one version to `spec`, at its beginning.
    pub(super) fn new(from: u64, spec: &JobSpec, at: Timestamp) -> Self {
        let is_canary = spec
            .service
            .as_ref()
            .is_some_and(|service| matches!(service.rollout.strategy(), Strategy::Canary(_)));
        Self {
            from,
            since: at,
            progress_at: at,
            stage: if is_canary {
                RolloutStage::Step { step: 0 }
            } else {
                RolloutStage::Replacing
            },
            settled_at: None,
            promoted: false,
            restarts: 0,
            metrics: BTreeMap::new(),
            stalled: None,
            aborted: None,
        }
    }

    /// The canary's step; 0 where the strategy was another when it began.
    pub fn step(&self) -> u32 {
        match self.stage {
            RolloutStage::Step { step } => step,
            RolloutStage::Replacing | RolloutStage::Keeping { .. } => 0,
        }
    }

    /// Whether the new version has proved itself, and the old one is only kept.
    pub fn is_promoted(&self) -> bool {
        matches!(self.stage, RolloutStage::Keeping { .. }) && self.aborted.is_none()
    }

    /// Whether a canary has been seen to run: from then on it is measured.
    pub fn is_measured(&self) -> bool {
        self.step() > 0 || self.settled_at.is_some()
    }

    pub(super) fn progress(&mut self, at: Timestamp) {
        self.progress_at = at;
        self.stalled = None;
    }

    pub(super) fn begin_step(&mut self, step: u32, at: Timestamp) {
        self.stage = RolloutStage::Step { step };
        self.settled_at = None;
        self.promoted = false;
        self.progress(at);
    }
}

/// How the tasks of a service move towards what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// Index by index to the version that holds.
    Rolling,
    /// All new ones beside the old, then without the old.
    RedBlack,
    /// So many to the new version, the others stay.
    Canary,
    /// Back to the version that served before.
    Back,
}

impl Job {
    /// How its tasks move.
    pub fn movement(&self) -> Movement {
        let (Some(rollout), Some(service)) = (&self.rollout, &self.spec().service) else {
            return Movement::Rolling;
        };
        // Where nothing is wanted, or what is wanted serves already, nothing has to be proved.
        let proved = self.desired() == 0 || !self.is_outdated(rollout.from);
        if proved || !self.versions.contains_key(&rollout.from) {
            return Movement::Rolling;
        }
        if rollout.aborted.is_some() {
            return Movement::Back;
        }
        match service.rollout.strategy() {
            Strategy::Rolling => Movement::Rolling,
            Strategy::RedBlack(_) => Movement::RedBlack,
            Strategy::Canary(_) => Movement::Canary,
        }
    }

    /// Whether a task (or attempt) on `version` runs what the version does that a rollout leaves.
    pub fn is_stable(&self, version: u64) -> bool {
        let template = |version: u64| self.versions.get(&version).map(|version| version.template);
        self.rollout
            .as_ref()
            .and_then(|rollout| template(rollout.from))
            .is_some_and(|stable| template(version) == Some(stable))
    }

    /// The version that a task takes that last ran, or was to run, `version` and starts again: during a rollout it is not
    /// always the one that holds.
    pub fn next_version(&self, version: u64) -> u64 {
        // What waits for other jobs has not begun: until then all stays on what it was.
        if self.is_waiting() && self.versions.contains_key(&version) {
            return version;
        }
        let from = self
            .rollout
            .as_ref()
            .map_or(self.version, |rollout| rollout.from);
        match self.movement() {
            Movement::Rolling => self.version,
            Movement::Back => from,
            Movement::RedBlack | Movement::Canary if !self.is_outdated(version) => self.version,
            Movement::Canary => from,
            // What is neither new nor old gives way; until then it is what it was.
            Movement::RedBlack if self.is_stable(version) => from,
            Movement::RedBlack => version,
        }
    }

    /// Whether tasks on `version` have a place, as far as the rollout is.
    pub fn is_wanted(&self, version: u64) -> bool {
        if self.is_waiting() {
            return true;
        }
        match self.movement() {
            Movement::Rolling => !self.is_outdated(version),
            Movement::Back => self.is_stable(version),
            Movement::RedBlack | Movement::Canary => {
                !self.is_outdated(version) || self.is_stable(version)
            }
        }
    }

    /// Whether a task on `version` belongs to an old set that is kept to go back to: it is not in the way of what is new.
    pub fn is_kept(&self, version: u64) -> bool {
        self.movement() == Movement::RedBlack
            && self.rollout.as_ref().is_some_and(JobRollout::is_promoted)
            && self.is_stable(version)
    }

    /// The version that serves now, and that a rollout which begins now would go back to: the one that holds, or the one
    /// before where that has not proved itself yet.
    pub fn serving_version(&self) -> u64 {
        let unproved = self
            .rollout
            .as_ref()
            .filter(|rollout| !rollout.is_promoted())
            // Where none of its tasks is left, it cannot serve.
            .filter(|_| {
                self.tasks
                    .values()
                    .any(|task| !task.is_finished() && self.is_stable(task.version))
            });
        unproved.map_or(self.version, |rollout| rollout.from)
    }
}
