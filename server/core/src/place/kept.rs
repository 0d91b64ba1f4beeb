//! What is kept of a host for tasks that ran there and come back in a moment.

use super::amounts::{self, Amounts};
use crate::fleet::{Fleet, Task, TaskPhase};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::{HostId, JobId, TaskId};
use muster_schemas::spec::{JobSpec, Tier};
use std::collections::{BTreeMap, BTreeSet};

/// Room is kept for a task whose delay is no longer than this: the longest of a crash loop.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(5);

/// What is kept of one host, by the tier and job that it is kept for.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    jobs: BTreeMap<(Tier, JobId), KeptForJob>,
}

#[derive(Debug, Clone)]
struct KeptForJob {
    amounts: Amounts,
    ports: BTreeSet<u16>,
    /// Whether one of them wants the host for itself.
    exclusive: bool,
    /// The first task that it is kept for.
    first: TaskId,
}

impl Kept {
    pub fn keep(&mut self, spec: &JobSpec, task: &TaskId) {
        let of = (spec.tier, spec.name.clone());
        let kept = self.jobs.entry(of).or_insert_with(|| KeptForJob {
            amounts: Amounts::default(),
            ports: BTreeSet::new(),
            exclusive: false,
            first: task.clone(),
        });
        kept.exclusive |= spec.constraints.hard.exclusive_host;
        amounts::add(&mut kept.amounts, &amounts::of_task(spec));
        kept.ports
            .extend(spec.ports.iter().filter_map(|port| port.host_port));
    }

    /// The task that a place is kept for which a task of `spec` would take, on a host that has `has`, of which `taken` is taken. What
    /// is kept for flex work is free for critical work, and what is kept for one task of a job for its others: one is as good as
    /// the other, and it need not wait.
    pub fn from(&self, has: &Amounts, taken: &Amounts, spec: &JobSpec) -> Option<&TaskId> {
        let mut taken = *taken;
        let needs = amounts::of_task(spec);
        let exceeds = |taken: &Amounts, more: &Amounts| {
            let sums = taken.iter().zip(more).zip(has);
            let mut sums = sums.filter(|((_, more), _)| **more > 0);
            sums.any(|((taken, more), has)| taken.saturating_add(*more) > *has)
        };
        let others = self.jobs.iter();
        let mut others = others.filter(|((tier, job), _)| *tier <= spec.tier && *job != spec.name);
        others.find_map(|(_, kept)| {
            // What would not fit any more is kept for nobody.
            if exceeds(&taken, &kept.amounts) {
                return None;
            }
            amounts::add(&mut taken, &kept.amounts);
            let mut ports = spec.ports.iter().filter_map(|port| port.host_port);
            let takes = exceeds(&taken, &needs)
                || kept.exclusive
                || spec.constraints.hard.exclusive_host
                || ports.any(|port| kept.ports.contains(&port));
            takes.then_some(&kept.first)
        })
    }
}

/// The host that keeps room for a task: it ran there, ended by itself, and waits only for its delay to be over. It was placed once,
/// and must not lose that to what came after it.
pub fn kept_on(fleet: &Fleet, task: &Task, now: Timestamp) -> Option<HostId> {
    let TaskPhase::Queued {
        since, not_before, ..
    } = &task.phase
    else {
        return None;
    };
    if *not_before <= now || not_before.duration_since(*since) > KEPT_FOR {
        return None;
    }
    let attempt = fleet.last_attempt(task)?;
    attempt.running_at.is_some().then_some(attempt.host)
}
