//! How many tasks a job has, and which of them give way: creation, scale-in, prune and rolling updates.
//!
//! A rollout replaces tasks in place, index by index. While it runs, up to `maxSurge` tasks more than desired carry the new
//! version at the lowest free indexes; when the last old tasks give way, the surplus is not started again, so a service of
//! three may end as indexes 0, 1 and 3. With `maxSurge: 0` indexes stay as they are. A healthy task on the old version gives way only while the healthy
//! tasks are more than `desired − maxUnavailable`, where a new one counts once it has been healthy for the minimum healthy
//! time, and a task whose host cannot be seen does not count at all.

use super::{Draft, automation};
use crate::drift;
use crate::fleet::{Fleet, Job, Task, TaskPhase};
use crate::guard;
use crate::hooks;
use jiff::Timestamp;
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId, TaskId};
use muster_schemas::spec::{JobKind, Millis, Rollout};
use muster_schemas::state::{Actor, FinishReason, Outcome, QueueReason, StopOrder, StopReason};
use muster_schemas::stop::StopRefusal;

/// Tasks of one job that may be created in one pass: a job of 10,000 comes to be in ten, and other jobs are not kept waiting.
const CREATED_AT_ONCE: usize = 1000;

/// Orders a stop, whatever the budget says: for what a person asked.
pub(super) fn order_stop(
    draft: &mut Draft<'_>,
    attempt: AttemptId,
    reason: StopReason,
    actor: Actor,
) {
    let Some(known) = draft.fleet.attempts.get(&attempt) else {
        return;
    };
    let Some(job) = draft.fleet.jobs.get(&known.task.job) else {
        return;
    };
    let grace = job
        .versions
        .get(&known.version)
        .map_or(job.spec().kill_grace, |version| version.spec.kill_grace);
    let plan = match reason {
        StopReason::Rollout { .. } | StopReason::ScaleIn | StopReason::Prune => {
            job.history.back().map(|entry| entry.plan.clone())
        }
        StopReason::Liveness { .. }
        | StopReason::RuntimeLimit { .. }
        | StopReason::Drift { .. }
        | StopReason::Asked { .. }
        | StopReason::Down => None,
    };
    let order = StopOrder {
        attempt,
        reason,
        actor: actor.clone(),
        plan,
        grace,
    };
    draft.say(actor, Event::StopOrdered { order });
}

/// Orders a stop if the guard allows one more; else it is asked for again in a later pass.
pub(super) fn order_automated_stop(
    draft: &mut Draft<'_>,
    attempt: AttemptId,
    reason: StopReason,
) -> bool {
    let Some(known) = draft.fleet.attempts.get(&attempt) else {
        return false;
    };
    let Some(job) = draft.fleet.jobs.get(&known.task.job) else {
        return false;
    };
    // Why it may not is seen again by whoever asks: it follows from the fleet.
    match guard::may_stop(draft.fleet, job, known, &reason, draft.now) {
        Ok(()) => {}
        Err(StopRefusal::OwnerNotAsked { relocation_time }) => {
            ask_owner(draft, attempt, reason, relocation_time);
            return false;
        }
        Err(_) => return false,
    }
    let room = match reason {
        StopReason::Rollout { .. } => "rollout",
        StopReason::ScaleIn | StopReason::Prune => "scale",
        StopReason::Liveness { .. } | StopReason::RuntimeLimit { .. } => "lifecycle",
        StopReason::Drift { .. } => "drift",
        StopReason::Asked { .. } | StopReason::Down => "control",
    };
    order_stop(draft, attempt, reason, automation(room));
    true
}

/// Asks the owner of a job that manages its stops itself to move a task.
fn ask_owner(draft: &mut Draft<'_>, attempt: AttemptId, reason: StopReason, time: Millis) {
    let until = draft.now.checked_add(time.signed());
    draft.say(
        automation("guard"),
        Event::StopAnnounced {
            attempt,
            reason,
            until: until.unwrap_or(Timestamp::MAX),
        },
    );
}

/// Brings each job nearer to what it asks for.
pub(super) fn follow_jobs(draft: &mut Draft<'_>) {
    end_graces(draft);
    let jobs: Vec<(JobId, JobKind)> = draft
        .fleet
        .jobs
        .values()
        // A tombstone is left as it is: it may come back.
        .filter(|job| job.tombstone.is_none())
        // What waits for others stays as it is until then; what dies of it is queued again elsewhere.
        .filter(|job| !job.is_waiting())
        .map(|job| (job.id.clone(), job.spec().kind()))
        .collect();
    for (job, kind) in jobs {
        retarget_queued(draft, &job);
        match kind {
            JobKind::Service => follow_service(draft, &job),
            JobKind::Batch => follow_batch(draft, &job),
        }
    }
}

/// Pruned jobs whose grace is over are stopped from here on, unless they are frozen.
fn end_graces(draft: &mut Draft<'_>) {
    let over: Vec<JobId> = draft
        .fleet
        .jobs
        .values()
        .filter(|job| {
            job.tombstone
                .as_ref()
                .is_some_and(|tombstone| tombstone.until <= draft.now)
        })
        .filter(|job| guard::frozen_by(draft.fleet, job, draft.now).is_none())
        .map(|job| job.id.clone())
        .collect();
    for job in over {
        draft.say(automation("scale"), Event::GraceEnded { job });
    }
}

/// Queued tasks take the current version.
fn retarget_queued(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let stale: Vec<Event> = job
        .tasks
        .values()
        .filter(|task| task.version != job.version)
        .filter_map(|task| match &task.phase {
            TaskPhase::Queued {
                reason, not_before, ..
            } => {
                // What failed is replaced by something else: it need not wait for the old one's delay.
                let outdated = job.is_outdated(task.version);
                Some(Event::TaskQueued {
                    task: task.id.clone(),
                    version: job.version,
                    reason: if outdated {
                        QueueReason::New
                    } else {
                        reason.clone()
                    },
                    not_before: if outdated { draft.now } else { *not_before },
                    retries: if outdated { 0 } else { task.retries },
                    failures: if outdated { 0 } else { task.failures },
                })
            }
            TaskPhase::Active { .. } | TaskPhase::Finished { .. } => None,
        })
        .collect();
    for event in stale {
        draft.say(automation("rollout"), event);
    }
}

fn follow_batch(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let desired = job.desired();
    let (version, run) = (job.version, job.run);
    let may_begin = job.spec().hook().is_none() || hooks::runs(draft.fleet, job);
    let due = |index: &u32| {
        // A task of an earlier run begins again once it has finished.
        job.tasks
            .get(index)
            .is_none_or(|task| task.is_finished() && task.run < run)
    };
    let missing: Vec<u32> = (0..desired)
        .filter(|index| may_begin && due(index))
        .take(CREATED_AT_ONCE)
        .collect();
    let surplus: Vec<TaskId> = job
        .tasks
        .values()
        .filter(|task| task.id.index >= desired && !task.is_finished())
        .map(|task| task.id.clone())
        .collect();
    let reason = if job.pruned {
        StopReason::Prune
    } else {
        StopReason::ScaleIn
    };
    for index in missing {
        draft.say(
            automation("scale"),
            Event::TaskCreated {
                task: TaskId::new(id.clone(), index),
                version,
                run,
            },
        );
    }
    for task in surplus {
        give_up(draft, &task, reason.clone());
    }
}

fn follow_service(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let desired = job.desired();
    let rollout = job
        .spec()
        .service
        .as_ref()
        .map(|service| service.rollout)
        .unwrap_or_default();
    let view = ServiceView::of(draft.fleet, job, rollout, draft.now);

    // Of these there may be more than `desired`, but only while old ones have to be replaced.
    let surge = rollout.max_surge.min(view.to_replace());
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
        for task in view.scale_in_victims(draft.fleet, job, surplus) {
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

/// Whether the index of a task can be taken: it ended, and not because its retries are exhausted on what the job still asks
/// for.
pub(super) fn is_free(job: &Job, task: &Task) -> bool {
    match &task.phase {
        TaskPhase::Finished {
            reason: FinishReason::RetriesExhausted { .. },
            ..
        } => job.is_outdated(task.version),
        TaskPhase::Finished { .. } => true,
        TaskPhase::Queued { .. } | TaskPhase::Active { .. } => false,
    }
}

/// Ends a task that is not wanted: at once where it has no container, else by a stop order.
fn give_up(draft: &mut Draft<'_>, id: &TaskId, reason: StopReason) {
    let Some(task) = draft.fleet.task(id) else {
        return;
    };
    match &task.phase {
        TaskPhase::Queued {
            reason: waits_for, ..
        } => {
            // One that ran, was stopped for something else, and is not started again: that is why it ended.
            let reason = match waits_for {
                QueueReason::Stopped { reason } => FinishReason::Stopped {
                    reason: reason.clone(),
                },
                QueueReason::New | QueueReason::Retry { .. } | QueueReason::CrashLoop { .. } => {
                    FinishReason::NotNeeded { reason }
                }
            };
            let event = Event::TaskFinished {
                task: id.clone(),
                outcome: Outcome::Stopped,
                reason,
            };
            draft.say(automation("scale"), event);
        }
        TaskPhase::Active { attempt } => {
            let attempt = *attempt;
            if draft
                .fleet
                .attempts
                .get(&attempt)
                .is_some_and(|attempt| attempt.stop.is_none())
            {
                order_automated_stop(draft, attempt, reason);
            }
        }
        TaskPhase::Finished { .. } => {}
    }
}

/// How a service's tasks stand, for one pass. Also what the console shows of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
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
                            && attempt.healthy_since.is_some_and(|since| {
                                now.duration_since(since) >= rollout.min_healthy_time.signed()
                            });
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

    /// The tasks that leave when there are more than wanted: first those without a container, then those that are not
    /// healthy, then those on older versions, and of equals the highest index.
    fn scale_in_victims(&self, fleet: &Fleet, job: &Job, surplus: u32) -> Vec<TaskId> {
        let mut candidates: Vec<&Task> = job
            .tasks
            .values()
            .filter(|task| !task.is_finished())
            .filter(|task| {
                fleet
                    .current_attempt(task)
                    .is_none_or(|attempt| attempt.stop.is_none())
            })
            .collect();
        candidates.sort_by_key(|task| {
            (
                !task.is_queued(),
                fleet.is_healthy(task),
                !job.is_outdated(task.version),
                std::cmp::Reverse(task.id.index),
            )
        });
        candidates
            .into_iter()
            .take(usize::try_from(surplus).unwrap_or(usize::MAX))
            .map(|task| task.id.clone())
            .collect()
    }
}
