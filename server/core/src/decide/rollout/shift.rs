//! So many tasks on the new version, the others on the one before: what a canary's step asks for, and, with none on the new
//! one, what an aborted rollout asks for.
//!
//! It goes the way of a rolling update ([`super::rolling`]): up to `maxSurge` tasks more than desired on the side that grows, and
//! a healthy task gives way only while more than `desired − maxUnavailable` are healthy, where one on the side that grows
//! counts once it is settled.

use super::sets::{Set, Sets, Spare, Standing, number};
use crate::decide::scale::{CREATED_AT_ONCE, give_up, is_free, order_automated_stop};
use crate::decide::{Draft, automation};
use crate::fleet::Job;
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId, TaskId};
use muster_schemas::state::{QueueReason, StopReason};

/// How many tasks are to run which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goal {
    /// So many the version that holds.
    pub new: u32,
    /// So many the one that the rollout leaves.
    pub stable: u32,
    /// Whether the new version gains; else it gives way.
    pub forward: bool,
}

/// Brings the tasks nearer to the goal, as far as may be now.
pub(super) fn follow(draft: &mut Draft<'_>, id: &JobId, goal: Goal) {
    take_waiting(draft, id, goal);
    create(draft, id, goal);
    if !remove_surplus(draft, id, goal) {
        replace(draft, id, goal);
    }
}

/// How the goal looks against what is there.
struct Stand {
    sets: Sets,
    /// Tasks that have to give way, or just do.
    to_go: u32,
    /// So many of them are on the side that gains, which has too many while the other has too few: a canary that took over
    /// from another, or begins again.
    crossing: u32,
    /// So many tasks there are to be now.
    wanted: u32,
    /// The versions of both sides.
    new: u64,
    stable: u64,
}

impl Stand {
    fn of(draft: &Draft<'_>, id: &JobId, goal: Goal) -> Option<Self> {
        let job = draft.fleet.jobs.get(id)?;
        let sets = Sets::of(draft.fleet, job, draft.now);
        let excess = if goal.forward {
            sets.stable.count().saturating_sub(goal.stable)
        } else {
            sets.new.count().saturating_sub(goal.new)
        };
        let crossing = if goal.forward {
            let too_many = sets.new.count().saturating_sub(goal.new);
            too_many.min(goal.stable.saturating_sub(sets.stable.count()))
        } else {
            0
        };
        let to_go = sets.other.count() + excess + crossing + sets.leaving;
        let surge = super::rollout_spec(job).max_surge.min(to_go);
        Some(Self {
            to_go,
            crossing,
            wanted: job.desired() + surge,
            new: job.version,
            stable: job
                .rollout
                .as_ref()
                .map_or(job.version, |rollout| rollout.from),
            sets,
        })
    }

    /// The set that loses, beside what is neither new nor stable, and how many of it are too many.
    fn loser(&self, goal: Goal) -> (&Set, u32) {
        if goal.forward {
            let stable = &self.sets.stable;
            (stable, stable.count().saturating_sub(goal.stable))
        } else {
            let new = &self.sets.new;
            (new, new.count().saturating_sub(goal.new))
        }
    }

    fn gaining(&self, goal: Goal) -> (&Set, u32, u64) {
        if goal.forward {
            (&self.sets.new, goal.new, self.new)
        } else {
            (&self.sets.stable, goal.stable, self.stable)
        }
    }

    /// Healthy tasks that can be done without, by the minimum that the rollout keeps.
    fn spare(&self, job: &Job, goal: Goal) -> Spare {
        let (gaining, _, _) = self.gaining(goal);
        let unsettled = gaining.healthy() - gaining.settled();
        let floor = job
            .desired()
            .saturating_sub(super::rollout_spec(job).max_unavailable);
        Spare::above(
            floor,
            self.sets.healthy() - unsettled,
            self.sets.serving() - unsettled,
        )
    }
}

/// A task that has no container takes the version of the other side, as far as its own has too many and the other too few:
/// nothing has to be stopped for it.
fn take_waiting(draft: &mut Draft<'_>, id: &JobId, goal: Goal) {
    let Some(stand) = Stand::of(draft, id, goal) else {
        return;
    };
    let (gaining, wanted, version) = stand.gaining(goal);
    let missing = wanted.saturating_sub(gaining.count() + stand.sets.leaving);
    let (losing, excess) = stand.loser(goal);
    let waiting = |set: &Set, many: u32, version: u64| -> Vec<(TaskId, u64)> {
        set.0
            .iter()
            .filter(|member| member.standing == Standing::Queued)
            .take(usize::try_from(many).unwrap_or(usize::MAX))
            .map(|member| (member.id.clone(), version))
            .collect()
    };
    let mut moved = waiting(losing, missing.min(excess), version);
    moved.extend(waiting(gaining, stand.crossing, stand.stable));
    for (task, version) in moved {
        let event = Event::TaskQueued {
            task,
            version,
            reason: QueueReason::New,
            not_before: draft.now,
            retries: 0,
            failures: 0,
        };
        draft.say(automation("rollout"), event);
    }
}

fn create(draft: &mut Draft<'_>, id: &JobId, goal: Goal) {
    let (Some(stand), Some(job)) = (Stand::of(draft, id, goal), draft.fleet.jobs.get(id)) else {
        return;
    };
    let (gaining, gain, version) = stand.gaining(goal);
    let gained = gaining.count() + stand.sets.leaving;
    // Places that are held by what has failed for good on the side that loses are free for the other.
    let (losing, excess) = stand.loser(goal);
    let held = losing.exhausted().min(excess);
    let lost: Vec<u32> = losing
        .0
        .iter()
        .filter(|member| member.standing == Standing::Exhausted)
        .take(usize::try_from(held).unwrap_or(usize::MAX))
        .map(|member| member.id.index)
        .collect();
    let present = stand.sets.present() - held;
    let missing = stand.wanted.saturating_sub(present);
    let to_gain = gain.saturating_sub(gained).min(missing);
    // Forward, the others may have become too few as well: a host was removed, or more are desired.
    let (other_side, other_goal, other_version) = if goal.forward {
        (&stand.sets.stable, goal.stable, stand.stable)
    } else {
        (&stand.sets.new, goal.new, stand.new)
    };
    let to_keep = other_goal
        .saturating_sub(other_side.count())
        .min(missing - to_gain);
    let versions = std::iter::repeat_n(version, usize::try_from(to_gain).unwrap_or(0)).chain(
        std::iter::repeat_n(other_version, usize::try_from(to_keep).unwrap_or(0)),
    );
    let is_open = |index: &u32| {
        lost.contains(index) || job.tasks.get(index).is_none_or(|task| is_free(job, task))
    };
    let created: Vec<(u32, u64)> = (0..)
        .filter(is_open)
        .zip(versions)
        .take(CREATED_AT_ONCE)
        .collect();
    for (index, version) in created {
        let task = TaskId::new(id.clone(), index);
        draft.say(
            automation("rollout"),
            Event::TaskCreated {
                task,
                version,
                run: 0,
            },
        );
    }
}

/// Takes away what is more than wanted, first of what has to go anyway. Says whether there was any.
fn remove_surplus(draft: &mut Draft<'_>, id: &JobId, goal: Goal) -> bool {
    let (Some(stand), Some(job)) = (Stand::of(draft, id, goal), draft.fleet.jobs.get(id)) else {
        return true;
    };
    let mut surplus = stand.sets.present().saturating_sub(stand.wanted);
    if surplus == 0 {
        return false;
    }
    let mut spare = stand.spare(job, goal);
    let (_, _, to_version) = stand.gaining(goal);
    let replaced = StopReason::Rollout { to_version };
    let too_many = |set: &Set, goal: u32| set.count().saturating_sub(goal);
    let sides = [
        (
            &stand.sets.other,
            stand.sets.other.count(),
            replaced.clone(),
        ),
        (
            &stand.sets.new,
            too_many(&stand.sets.new, goal.new),
            if goal.forward {
                StopReason::ScaleIn
            } else {
                replaced.clone()
            },
        ),
        (
            &stand.sets.stable,
            too_many(&stand.sets.stable, goal.stable),
            if goal.forward {
                replaced
            } else {
                StopReason::ScaleIn
            },
        ),
    ];
    let mut leave: Vec<(TaskId, StopReason)> = Vec::new();
    for (set, excess, reason) in sides {
        let members = set.0.iter().map(|member| (member, true));
        let chosen = spare.choose(members, excess.min(surplus));
        surplus -= number(chosen.len());
        leave.extend(chosen.into_iter().map(|task| (task, reason.clone())));
    }
    for (task, reason) in leave {
        give_up(draft, &task, reason);
    }
    true
}

/// Has tasks of the losing side make way.
fn replace(draft: &mut Draft<'_>, id: &JobId, goal: Goal) {
    let (Some(stand), Some(job)) = (Stand::of(draft, id, goal), draft.fleet.jobs.get(id)) else {
        return;
    };
    if stand.to_go == 0 {
        return;
    }
    let spec = super::rollout_spec(job);
    let at_once = spec.max_surge.saturating_add(spec.max_unavailable).max(1);
    // What is not healthy serves nobody, yet it may be back in a moment: no more of it than the rollout may move anyway.
    let mut idle = at_once.saturating_sub(stand.sets.leaving);
    let mut spare = stand.spare(job, goal);
    let (losing, excess) = stand.loser(goal);
    let (_, _, to_version) = stand.gaining(goal);
    let (gaining, _, _) = stand.gaining(goal);
    let mut victims: Vec<(AttemptId, u64)> = Vec::new();
    for (set, many, to_version) in [
        (&stand.sets.other, stand.sets.other.count(), to_version),
        (losing, excess, to_version),
        (gaining, stand.crossing, stand.stable),
    ] {
        let mut many = many;
        let mut members: Vec<Standing> = set.0.iter().map(|member| member.standing).collect();
        members.sort_by_key(|standing| standing.is_healthy());
        for standing in members {
            let attempt = match standing {
                Standing::Unhealthy(attempt)
                | Standing::Healthy(attempt)
                | Standing::Settled(attempt) => attempt,
                Standing::Exhausted
                | Standing::Queued
                | Standing::Stopping
                | Standing::Unseen { .. } => continue,
            };
            let may_go = many > 0
                && if standing.is_healthy() {
                    spare.take(standing)
                } else {
                    let is_left = idle > 0;
                    idle = idle.saturating_sub(1);
                    is_left
                };
            if may_go {
                many -= 1;
                victims.push((attempt, to_version));
            }
        }
    }
    for (attempt, to_version) in victims {
        if !order_automated_stop(draft, attempt, StopReason::Rollout { to_version }) {
            return;
        }
    }
}

/// Whether the goal is reached: every task where it is to be, and those on the gaining side settled.
pub(super) fn is_reached(sets: &Sets, goal: Goal) -> bool {
    sets.leaving == 0
        && sets.other.0.is_empty()
        && sets.new.count() == goal.new
        && sets.new.settled() == goal.new
        && sets.stable.count() <= goal.stable
}
