//! The tasks of a service by what they run, while two versions of it are wanted.

use crate::decide::scale::is_free;
use crate::disruption::may_serve;
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
    Unseen {
        /// Whether it served when it was last heard of: it may well serve on.
        served: bool,
    },
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
            | Standing::Unseen { .. } => false,
        }
    }

    /// Whether it serves, as far as is known.
    fn may_serve(self) -> bool {
        self.is_healthy() || self == Standing::Unseen { served: true }
    }

    /// Whether it can be given up: it is there and is not being stopped.
    fn can_leave(self) -> bool {
        match self {
            Standing::Queued
            | Standing::Unhealthy(_)
            | Standing::Unseen { .. }
            | Standing::Healthy(_)
            | Standing::Settled(_) => true,
            Standing::Exhausted | Standing::Stopping => false,
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

    /// Members that serve, as far as is known.
    pub(super) fn serving(&self) -> u32 {
        self.of(Standing::may_serve)
    }

    fn of(&self, is: impl Fn(Standing) -> bool) -> u32 {
        number(self.0.iter().filter(|member| is(member.standing)).count())
    }
}

/// How many tasks that serve can be given up.
///
/// One that is seen to be healthy leaves only while enough others are seen to be. One that cannot be seen, and served when it was
/// last heard of, leaves only while enough serve as far as is known: after a new leadership nothing can be seen for a moment, and
/// what is given up then must not be the only ones that serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spare {
    seen: u32,
    known: u32,
}

impl Spare {
    /// What can be spared of so many that are seen to be healthy, and serve as far as is known, where `floor` have to stay.
    pub(super) fn above(floor: u32, healthy: u32, serving: u32) -> Self {
        Self {
            seen: healthy.saturating_sub(floor),
            known: serving.saturating_sub(floor),
        }
    }

    /// Takes one that stands so, if it can be spared.
    pub(super) fn take(&mut self, standing: Standing) -> bool {
        if !standing.may_serve() {
            return true;
        }
        let seen = u32::from(standing.is_healthy());
        if self.known == 0 || self.seen < seen {
            return false;
        }
        self.seen -= seen;
        self.known -= 1;
        true
    }

    /// The tasks that leave where there are so many too many: first those without a container, then those that serve nobody,
    /// then those that cannot be seen, then those on older versions, and of equals the highest index.
    pub(super) fn choose<'a>(
        &mut self,
        members: impl Iterator<Item = (&'a Member, bool)>,
        surplus: u32,
    ) -> Vec<TaskId> {
        let mut members: Vec<(&Member, bool)> = members
            .filter(|(member, _)| member.standing.can_leave())
            .collect();
        members.sort_by_key(|(member, is_new)| {
            (
                member.standing != Standing::Queued,
                member.standing.may_serve(),
                member.standing.is_healthy(),
                *is_new,
                std::cmp::Reverse(member.id.index),
            )
        });
        members
            .into_iter()
            .filter(|(member, _)| self.take(member.standing))
            .take(usize::try_from(surplus).unwrap_or(usize::MAX))
            .map(|(member, _)| member.id.clone())
            .collect()
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
                        None => Standing::Unseen {
                            served: may_serve(attempt),
                        },
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

    /// Tasks that are seen to be healthy.
    pub(super) fn healthy(&self) -> u32 {
        self.new.healthy() + self.stable.healthy() + self.other.healthy()
    }

    /// Tasks that serve, as far as is known.
    pub(super) fn serving(&self) -> u32 {
        self.new.serving() + self.stable.serving() + self.other.serving()
    }

    /// All tasks that are there, also those that are leaving.
    pub(super) fn present(&self) -> u32 {
        self.new.count() + self.stable.count() + self.other.count() + self.leaving
    }
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
