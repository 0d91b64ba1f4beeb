//! The tasks of a service by what they run, while two versions of it are wanted.

use crate::decide::scale::is_free;
use crate::fleet::{Fleet, Job, TaskPhase};
use jiff::Timestamp;
use muster_schemas::ids::{AttemptId, TaskId};
use muster_schemas::state::StopReason;

/// A task that is there and will stay unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The task.
    pub id: TaskId,
    /// How it stands.
    pub standing: Standing,
}

/// How a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its retries are exhausted, and it holds its place.
    Exhausted,
    /// It waits for a host or for its next attempt.
    Queued,
    /// It was told to stop, and comes back.
    Stopping,
    /// It is not healthy, and its host can be seen.
    Unhealthy(AttemptId),
    /// Its host cannot be seen.
    Unseen,
    /// It is healthy.
    Healthy(AttemptId),
    /// It has been healthy for the minimum healthy time.
    Settled(AttemptId),
}

impl Standing {
    pub(super) fn is_healthy(self) -> bool {
        match self {
            Standing::Healthy(_) | Standing::Settled(_) => true,
            Standing::Exhausted
            | Standing::Queued
            | Standing::Stopping
            | Standing::Unhealthy(_)
            | Standing::Unseen => false,
        }
    }
}

/// Members that run the same, by index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Set(pub Vec<Member>);

impl Set {
    pub(super) fn count(&self) -> u32 {
        number(self.0.len())
    }

    pub(super) fn healthy(&self) -> u32 {
        self.of(Standing::is_healthy)
    }

    pub(super) fn settled(&self) -> u32 {
        self.of(|standing| matches!(standing, Standing::Settled(_)))
    }

    /// Members that will not come up again by themselves, and have no container.
    pub(super) fn exhausted(&self) -> u32 {
        self.of(|standing| standing == Standing::Exhausted)
    }

    fn of(&self, is: impl Fn(Standing) -> bool) -> u32 {
        number(self.0.iter().filter(|member| is(member.standing)).count())
    }
}

/// The three sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sets {
    /// What runs the version that holds.
    pub new: Set,
    /// What runs the version that a rollout leaves.
    pub stable: Set,
    /// What runs another one: of a rollout before, which was not finished.
    pub other: Set,
    /// Tasks that are being stopped to make way for another version.
    pub leaving: u32,
}

impl Sets {
    /// The tasks of `job` as they stand at `now`.
    pub(super) fn of(fleet: &Fleet, job: &Job, now: Timestamp) -> Self {
        let settle = super::rollout_spec(job).min_healthy_time.signed();
        let mut sets = Self::default();
        for task in job.tasks.values() {
            let (ran, standing) = match &task.phase {
                TaskPhase::Finished { .. } if is_free(job, task) => continue,
                TaskPhase::Finished { .. } => (task.version, Standing::Exhausted),
                TaskPhase::Queued { .. } => (task.version, Standing::Queued),
                TaskPhase::Active { attempt } => {
                    let Some(attempt) = fleet.attempts.get(attempt) else {
                        continue;
                    };
                    let standing = match attempt.stop.as_ref().map(|(order, _)| &order.reason) {
                        Some(StopReason::ScaleIn | StopReason::Prune) => continue,
                        Some(StopReason::Rollout { .. }) => {
                            sets.leaving += 1;
                            continue;
                        }
                        Some(
                            StopReason::Liveness { .. }
                            | StopReason::RuntimeLimit { .. }
                            | StopReason::Asked { .. }
                            | StopReason::Drift { .. }
                            | StopReason::Down,
                        ) => Standing::Stopping,
                        None if fleet.is_healthy(task) => {
                            let is_settled = attempt
                                .healthy_since
                                .is_some_and(|since| now.duration_since(since) >= settle);
                            if is_settled {
                                Standing::Settled(attempt.id)
                            } else {
                                Standing::Healthy(attempt.id)
                            }
                        }
                        None if fleet.is_reachable(task) => Standing::Unhealthy(attempt.id),
                        None => Standing::Unseen,
                    };
                    (attempt.version, standing)
                }
            };
            let set = if !job.is_outdated(ran) {
                &mut sets.new
            } else if job.is_stable(ran) {
                &mut sets.stable
            } else {
                &mut sets.other
            };
            let id = task.id.clone();
            set.0.push(Member { id, standing });
        }
        sets
    }

    /// All tasks that are there, also those that are leaving.
    pub(super) fn present(&self) -> u32 {
        self.new.count() + self.stable.count() + self.other.count() + self.leaving
    }
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
