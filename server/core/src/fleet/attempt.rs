//! An attempt as the fleet knows it.

use jiff::Timestamp;
use muster_schemas::drift::{DriftField, FieldDrift};
use muster_schemas::ids::{AttemptId, HostId, TaskId};
use muster_schemas::state::{AttemptStatus, Ended, Phase, StopOrder, StopReason, TaskState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One container launch for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The task.
    pub task: TaskId,
    /// Which attempt of the task it is, from 1.
    pub number: u32,
    /// The host.
    pub host: HostId,
    /// The version of the job that it runs.
    pub version: u64,
    /// When its host was chosen.
    pub placed_at: Timestamp,
    /// When the agent first spoke of it, by the control plane's clock.
    pub accepted_at: Option<Timestamp>,
    /// When it was first seen to run, by the control plane's clock.
    pub running_at: Option<Timestamp>,
    /// When it was first seen to be healthy, by the control plane's clock.
    pub first_healthy_at: Option<Timestamp>,
    /// Since when it has been healthy without a break, by the control plane's clock.
    pub healthy_since: Option<Timestamp>,
    /// What the agent last said.
    pub status: Option<AttemptStatus>,
    /// What its owner is asked for, where the job manages its stops itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// The stop order and when it was given.
    pub stop: Option<(StopOrder, Timestamp)>,
    /// How it ended, and when the control plane heard of it.
    pub ended: Option<(Ended, Timestamp)>,
    /// Whether its container is to be removed.
    pub retired: bool,
    /// Since when each field of its container that somebody changed is known to be so, by the control plane's clock.
    #[serde(default)]
    pub drifted: BTreeMap<DriftField, Timestamp>,
    /// What is to be put back on its running container.
    #[serde(default)]
    pub put_back: Vec<DriftField>,
    /// When something was last ordered to be put back.
    #[serde(default)]
    pub put_back_at: Option<Timestamp>,
}

/// A stop that its owner is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Why the container has to be stopped.
    pub reason: StopReason,
    /// Since when the owner is asked.
    pub since: Timestamp,
    /// Until then the owner has time.
    pub until: Timestamp,
}

impl Attempt {
    /// Where it is in its life; never `queued`.
    pub fn state(&self) -> TaskState {
        if self.ended.is_some() {
            return TaskState::Finished;
        }
        if self.stop.is_some() {
            return TaskState::Stopping;
        }
        match self.status.as_ref().map(|status| &status.phase) {
            None | Some(Phase::Accepted) => TaskState::Assigned,
            Some(Phase::Pulling { .. } | Phase::Waiting { .. } | Phase::Creating) => {
                TaskState::Starting
            }
            Some(Phase::Running) => TaskState::Running,
            Some(Phase::Ended(_)) => TaskState::Finished,
        }
    }

    /// Whether its container runs, also while it is being stopped.
    pub fn is_running(&self) -> bool {
        matches!(self.state(), TaskState::Running | TaskState::Stopping)
    }

    /// What somebody changed on its running container, as its agent last said.
    pub fn drift(&self) -> &[FieldDrift] {
        match &self.status {
            Some(status) if self.ended.is_none() => &status.drift,
            Some(_) | None => &[],
        }
    }

    /// Whether a launch is under way: placed and not yet running.
    pub fn is_launching(&self) -> bool {
        matches!(self.state(), TaskState::Assigned | TaskState::Starting)
    }

    /// How far a phase is: a report never takes an attempt back.
    pub(crate) fn rank(phase: &Phase) -> u8 {
        match phase {
            Phase::Accepted => 0,
            Phase::Pulling { .. } | Phase::Waiting { .. } | Phase::Creating => 1,
            Phase::Running => 2,
            Phase::Ended(_) => 3,
        }
    }

    /// Whether a report is new: of a later sequence, and not behind what is known.
    pub fn is_news(&self, status: &AttemptStatus) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match &self.status {
            None => true,
            Some(known) => {
                status.sequence > known.sequence
                    && Self::rank(&status.phase) >= Self::rank(&known.phase)
            }
        }
    }
}
