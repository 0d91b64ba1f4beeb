//! A rolling update replaces tasks in place, index by index.
//!
//! While it runs, up to `maxSurge` tasks more than desired carry the new version at the lowest free indexes; when the last old
//! tasks give way, the surplus is not started again, so a service of three may end as indexes 0, 1 and 3. With `maxSurge: 0`
//! indexes stay as they are. A healthy task on the old version gives way only while the healthy tasks are more than
//! `desired − maxUnavailable`, where a new one counts once it has been healthy for the minimum healthy time, and a task whose
//! host cannot be seen does not count at all.

use super::sets::{Sets, Spare};
use crate::decide::scale::{CREATED_AT_ONCE, give_up, is_free, order_automated_stop};
use crate::decide::{Draft, automation};
use crate::drift;
use crate::fleet::{Fleet, Job, TaskPhase};
use jiff::Timestamp;
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId, TaskId};
use muster_schemas::spec::Rollout;
use muster_schemas::state::StopReason;

/// Creates what is missing and replaces what is old, as far as may be now.
pub(super) fn follow(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let desired = job.desired();
    let rollout = super::rollout_spec(job).into_owned();
    let max_surge = rollout.max_surge;
    let view = ServiceView::of(draft.fleet, job, rollout, draft.now);

    // Of these there may be more than `desired`, but only while old ones have to be replaced.
    let surge = max_surge.min(view.to_replace());
    let wanted = desired + surge;

    let version = job.version;
    let missing = usize::try_from(wanted.saturating_sub(view.present)).unwrap_or(usize::MAX);
    let free: Vec<u32> = (0..)
        .filter(|index| job.tasks.get(index).is_none_or(|task| is_free(job, task)))
        .take(missing.min(CREATED_AT_ONCE))
        .collect();
    for index in free {
        draft.say(
            automation("scale"),
            Event::TaskCreated {
                task: TaskId::new(id.clone(), index),
                version,
                run: 0,
            },
        );
    }

    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let pruned = job.pruned;
    if view.present > wanted {
        let surplus = view.present - wanted;
        let reason = if pruned {
            StopReason::Prune
        } else {
            StopReason::ScaleIn
        };
        // Among the surplus there may be tasks that are being stopped already: healthy ones leave only as far as enough of
        // them stay.
        let sets = Sets::of(draft.fleet, job, draft.now);
        let mut spare = Spare::above(desired, sets.healthy(), sets.serving());
        let new = sets.new.0.iter().map(|member| (member, true));
        let old = sets.stable.0.iter().chain(&sets.other.0);
        let members = new.chain(old.map(|member| (member, false)));
        for task in spare.choose(members, surplus) {
            give_up(draft, &task, reason.clone());
        }
        return;
    }
    let mut being_replaced = view.being_replaced;
    for attempt in view.rollout_victims(desired) {
        let drifted = drift_stop(draft, id, attempt);
        // Whoever changed one container may be about to change all of them: those give way one at a time.
        if drifted.is_some() && being_replaced > 0 {
            continue;
        }
        let reason = drifted.unwrap_or(StopReason::Rollout {
            to_version: version,
        });
        if !order_automated_stop(draft, attempt, reason) {
            return;
        }
        being_replaced += 1;
    }
}

/// Why an attempt that runs what is asked for has to give way all the same.
fn drift_stop(draft: &Draft<'_>, job: &JobId, attempt: AttemptId) -> Option<StopReason> {
    let job = draft.fleet.jobs.get(job)?;
    let attempt = draft.fleet.attempts.get(&attempt)?;
    if job.is_outdated(attempt.version) {
        return None;
    }
    let (field, message) = drift::beyond_mending(draft.fleet, job, attempt, draft.now)?;
    Some(StopReason::Drift {
        field,
        message: message.to_owned(),
    })
}

/// Whether all tasks run the version that holds and are settled, and no other is left.
pub(super) fn is_done(fleet: &Fleet, job: &Job, now: Timestamp) -> bool {
    let view = ServiceView::of(fleet, job, super::rollout_spec(job).into_owned(), now);
    view.to_replace() == 0 && view.settled >= job.desired()
}

/// How a service's tasks stand, for one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceView {
    /// Tasks that are there and will stay unless told otherwise: queued or active, and not being stopped for good. Ones whose
    /// retries are exhausted on the current version hold their place.
    pub present: u32,
    /// Tasks on the current version that have been healthy for the minimum healthy time.
    pub settled: u32,
    /// Healthy tasks that give way and are not being stopped, by index: on an older version, or changed by somebody in a way that
    /// cannot be put back while they run.
    pub old_healthy: Vec<AttemptId>,
    /// Other tasks that give way and are not being stopped, on hosts that can be seen.
    pub old_unhealthy: Vec<AttemptId>,
    /// Tasks on an older version on hosts that cannot be seen.
    pub old_unreachable: u32,
    /// Tasks that are being stopped to be replaced.
    pub being_replaced: u32,
    /// Of the tasks on the current version, those that are not settled yet.
    pub unsettled: u32,
    rollout: Rollout,
}

impl ServiceView {
    /// How the tasks of `job` stand at `now`.
    pub fn of(fleet: &Fleet, job: &Job, rollout: Rollout, now: Timestamp) -> Self {
        let mut view = Self {
            present: 0,
            settled: 0,
            old_healthy: Vec::new(),
            old_unhealthy: Vec::new(),
            old_unreachable: 0,
            being_replaced: 0,
            unsettled: 0,
            rollout,
        };
        let settle = view.rollout.min_healthy_time.signed();
        for task in job.tasks.values() {
            match &task.phase {
                TaskPhase::Finished { .. } => view.present += u32::from(!is_free(job, task)),
                TaskPhase::Queued { .. } => {
                    view.present += 1;
                    view.unsettled += 1;
                }
                TaskPhase::Active { attempt } => {
                    let Some(attempt) = fleet.attempts.get(attempt) else {
                        continue;
                    };
                    if let Some((order, _)) = &attempt.stop {
                        match order.reason {
                            StopReason::ScaleIn | StopReason::Prune => {}
                            StopReason::Rollout { .. } | StopReason::Drift { .. } => {
                                view.present += 1;
                                view.being_replaced += 1;
                            }
                            StopReason::Liveness { .. }
                            | StopReason::RuntimeLimit { .. }
                            | StopReason::Asked { .. }
                            | StopReason::Down => view.present += 1,
                        }
                        continue;
                    }
                    view.present += 1;
                    let healthy = fleet.is_healthy(task);
                    let gives_way = job.is_outdated(attempt.version)
                        || drift::beyond_mending(fleet, job, attempt, now).is_some();
                    if !gives_way {
                        let settled = healthy
                            && attempt
                                .healthy_since
                                .is_some_and(|since| now.duration_since(since) >= settle);
                        view.settled += u32::from(settled);
                        view.unsettled += u32::from(!settled);
                    } else if healthy {
                        view.old_healthy.push(attempt.id);
                    } else if fleet.is_reachable(task) {
                        view.old_unhealthy.push(attempt.id);
                    } else {
                        view.old_unreachable += 1;
                    }
                }
            }
        }
        view
    }

    /// Tasks that still have to be replaced, or are just being.
    pub fn to_replace(&self) -> u32 {
        let old = self.old_healthy.len() + self.old_unhealthy.len();
        u32::try_from(old)
            .unwrap_or(u32::MAX)
            .saturating_add(self.old_unreachable)
            .saturating_add(self.being_replaced)
    }

    /// The attempts that give way to the current version now.
    fn rollout_victims(&self, desired: u32) -> Vec<AttemptId> {
        let healthy = self.settled + u32::try_from(self.old_healthy.len()).unwrap_or(u32::MAX);
        let floor = desired.saturating_sub(self.rollout.max_unavailable);
        let spare = usize::try_from(healthy.saturating_sub(floor)).unwrap_or(usize::MAX);
        // Old tasks that are not healthy serve nobody: replacing them takes nothing away. Yet they may be back in a moment,
        // so not more of them give way at once than the rollout may move anyway.
        let at_once = self
            .rollout
            .max_surge
            .saturating_add(self.rollout.max_unavailable)
            .max(1);
        let idle =
            usize::try_from(at_once.saturating_sub(self.being_replaced)).unwrap_or(usize::MAX);
        self.old_unhealthy
            .iter()
            .take(idle)
            .chain(self.old_healthy.iter().take(spare))
            .copied()
            .collect()
    }
}
