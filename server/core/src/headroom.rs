//! How much of the hosts jobs may ask for.
//!
//! What is asked for is judged, not what runs: a plan is held before its tasks find no host, and a fleet that has lost hosts
//! is no reason to hold a plan that asks for no more than before.

use crate::fleet::{Fleet, Job};
use crate::guard::target_spec;
use muster_schemas::ids::JobId;
use muster_schemas::plan::{HoldReason, JobAction, Plan};
use muster_schemas::spec::{Headroom, JobSpec};
use std::collections::BTreeMap;

/// What is asked for, or there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    /// Thousandths of a CPU.
    cpu: u128,
    /// Bytes.
    memory: u128,
}

impl Amount {
    fn add(&mut self, spec: &JobSpec, tasks: u32) {
        let tasks = u128::from(tasks);
        self.cpu += tasks * u128::from(spec.resources.cpu.0);
        self.memory += tasks * u128::from(spec.resources.memory.0);
    }
}

/// What jobs ask for: each with so many tasks of its document.
type Asked<'a> = BTreeMap<&'a JobId, (&'a JobSpec, u32)>;

/// Why a plan asks for too much; empty if it does not.
pub(crate) fn too_little(fleet: &Fleet, plan: &Plan, headroom: &Headroom) -> Vec<HoldReason> {
    let before = asked(fleet);
    let mut after = before.clone();
    for change in &plan.changes {
        if let Some(spec) = target_spec(change) {
            // A size that somebody set beside git may outlive the change.
            let resize = fleet
                .jobs
                .get(&change.job)
                .and_then(|job| job.resize_under(spec, plan.policy.as_ref()));
            let tasks = resize.map_or_else(|| spec.size(), |resize| resize.desired);
            after.insert(&change.job, (spec, tasks));
        } else if matches!(change.action, JobAction::Prune { .. }) {
            after.remove(&change.job);
        }
    }
    beyond(fleet, &before, &after, headroom)
}

/// Why one job may not be made so large beside git; empty if it may.
pub(crate) fn too_little_for(
    fleet: &Fleet,
    job: &Job,
    desired: u32,
    headroom: &Headroom,
) -> Vec<HoldReason> {
    let before = asked(fleet);
    let mut after = before.clone();
    after.insert(&job.id, (job.spec(), desired));
    beyond(fleet, &before, &after, headroom)
}

/// What is asked for now. A size that somebody set beside git counts as it is.
fn asked(fleet: &Fleet) -> Asked<'_> {
    let jobs = fleet.jobs.values().filter(|job| !job.pruned);
    jobs.map(|job| (&job.id, (job.spec(), job.desired())))
        .collect()
}

fn beyond(
    fleet: &Fleet,
    before: &Asked<'_>,
    after: &Asked<'_>,
    headroom: &Headroom,
) -> Vec<HoldReason> {
    let hosts = hosts(fleet);
    // A cell without hosts is just being set up: what is asked for waits for them.
    if hosts == Amount::default() {
        return Vec::new();
    }
    let whole = headroom
        .percent
        .map(|percent| (None, 100u32.saturating_sub(percent)));
    let groups = headroom
        .groups
        .iter()
        .map(|(group, share)| (Some(group), share.at_most));
    let mut reasons = Vec::new();
    for (group, limit) in whole.into_iter().chain(groups) {
        let of = |asked: &Asked<'_>| {
            let mut amount = Amount::default();
            asked
                .values()
                .filter(|(spec, _)| group.is_none_or(|group| spec.capacity_group == *group))
                .for_each(|(spec, tasks)| amount.add(spec, *tasks));
            amount
        };
        let (asked_before, asked) = (of(before), of(after));
        for (resource, before, asked, there) in [
            ("CPU", asked_before.cpu, asked.cpu, hosts.cpu),
            ("memory", asked_before.memory, asked.memory, hosts.memory),
        ] {
            let is_beyond = asked * 100 > there * u128::from(limit);
            if asked > before && is_beyond {
                reasons.push(HoldReason::TooLittleHeadroom {
                    group: group.cloned(),
                    resource: resource.to_owned(),
                    percent: percent_of(asked, there),
                    limit_percent: limit,
                });
            }
        }
    }
    reasons
}

/// Rounded up, so that what is just beyond a limit does not read as the limit.
fn percent_of(part: u128, whole: u128) -> u32 {
    let percent = (part * 100).checked_div(whole).unwrap_or(u128::MAX);
    let rest = u128::from(!(part * 100).is_multiple_of(whole.max(1)));
    u32::try_from(percent.saturating_add(rest)).unwrap_or(u32::MAX)
}

/// What all hosts have that have reported. One that cannot be seen now is still there.
fn hosts(fleet: &Fleet) -> Amount {
    let mut all = Amount::default();
    for facts in fleet.hosts.values().filter_map(|host| host.facts.as_ref()) {
        all.cpu += u128::from(facts.resources.cpu.0);
        all.memory += u128::from(facts.resources.memory.0);
    }
    all
}
