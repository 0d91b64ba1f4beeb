//! The cell at a glance.

use super::alert::alerts;
use crate::fleet::Fleet;
use crate::guard::{policy, stop_budget};
use crate::window::open_at;
use jiff::Timestamp;
use muster_schemas::api::{FleetView, FreezeView, OutOfTimeView};
use muster_schemas::plan::{FreezeScope, HoldReason};
use muster_schemas::state::{HostResources, TaskState};
use std::collections::BTreeMap;

/// What the control plane knows of itself besides the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// The repository's address; it is shown without credentials.
    pub repository: String,
    /// The branch that is followed.
    pub branch: String,
    /// When the repository was last read successfully.
    pub repository_read_at: Option<Timestamp>,
    /// What is wrong with the journal, in words that begin a sentence.
    pub journal_trouble: Option<String>,
}

/// No tasks in each of the six states, to be counted up.
pub(super) fn no_tasks() -> BTreeMap<String, u64> {
    TaskState::ALL
        .iter()
        .map(|state| (state.word().to_owned(), 0))
        .collect()
}

/// Tasks in each state, all six of them, and how many of the running ones are healthy.
pub fn task_counts(fleet: &Fleet) -> (BTreeMap<String, u64>, u64) {
    let mut counts = [0u64; TaskState::ALL.len()];
    let mut healthy = 0;
    for task in fleet.jobs.values().flat_map(|job| job.tasks.values()) {
        counts[fleet.task_state(task) as usize] += 1;
        healthy += u64::from(fleet.is_healthy(task));
    }
    let counts = TaskState::ALL
        .iter()
        .map(|state| (state.word().to_owned(), counts[*state as usize]))
        .collect();
    (counts, healthy)
}

/// What is frozen, by people's commands and by the policy.
fn freezes(fleet: &Fleet, now: Timestamp) -> Vec<FreezeView> {
    let commands = fleet
        .freezes
        .iter()
        .filter(|freeze| freeze.until.is_none_or(|until| until > now))
        .map(|freeze| FreezeView {
            app: app_of(fleet, &freeze.scope),
            scope: freeze.scope.clone(),
            by: freeze.by.clone(),
            reason: freeze.reason.clone(),
            since: freeze.since,
            until: freeze.until,
        });
    let policy = fleet.policy.as_ref().and_then(|policy| {
        let applied = fleet.plan(fleet.applied_plan.as_ref()?)?;
        Some(FreezeView {
            scope: FreezeScope::Cell,
            app: None,
            by: format!("the policy `{}`", policy.name),
            reason: policy.freeze.clone()?,
            since: applied.applied_at?,
            until: None,
        })
    });
    commands.chain(policy).collect()
}

fn app_of(fleet: &Fleet, scope: &FreezeScope) -> Option<String> {
    match scope {
        FreezeScope::Cell => None,
        FreezeScope::App { app } => Some(app.clone()),
        FreezeScope::Job { job } => fleet.app_of(job).map(str::to_owned),
    }
}

/// Why it is not the time for plans, by the windows of the policy that holds.
fn out_of_time(fleet: &Fleet, now: Timestamp) -> Option<OutOfTimeView> {
    let shut = open_at(&policy(fleet).windows, now).err()?;
    let reason = HoldReason::OutOfTime {
        window: shut.window.clone(),
        until: None,
    };
    Some(OutOfTimeView {
        window: shut.window,
        until: shut.until,
        message: reason.to_string(),
    })
}

/// The cell at a glance.
pub fn fleet_view(fleet: &Fleet, serving: &Serving, now: Timestamp) -> FleetView {
    let budget = stop_budget(fleet, now);
    let (tasks, healthy) = task_counts(fleet);
    let reachable = || fleet.hosts.values().filter(|host| host.connected);
    let mut capacity = HostResources::default();
    let mut allocated = HostResources::default();
    let taken = fleet.allocated();
    for host in reachable() {
        if let Some(facts) = &host.facts {
            add(&mut capacity, &facts.resources);
        }
        if let Some(taken) = taken.get(&host.id) {
            add(&mut allocated, taken);
        }
    }
    FleetView {
        cell: fleet.cell.to_string(),
        version: serving.version.clone(),
        seq: fleet.seq,
        epoch: fleet.epoch,
        started_at: serving.started_at,
        revision: fleet.revision.clone(),
        repository: without_credentials(&serving.repository),
        branch: serving.branch.clone(),
        repository_read_at: serving.repository_read_at,
        held_plan: fleet.held_plan().map(|entry| entry.plan.id.to_string()),
        freezes: freezes(fleet, now),
        out_of_time: out_of_time(fleet, now),
        down: fleet.down,
        alerts: alerts(fleet, serving.journal_trouble.as_deref(), now),
        refused: fleet.refused.clone(),
        jobs: count(fleet.jobs.len()),
        tasks,
        healthy,
        hosts: count(fleet.hosts.len()),
        hosts_reachable: count(reachable().count()),
        capacity,
        allocated,
        stops_left: budget.left,
        stops_per_minute: budget.per_minute,
    }
}

pub(super) fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn add(sum: &mut HostResources, part: &HostResources) {
    sum.cpu.0 = sum.cpu.0.saturating_add(part.cpu.0);
    sum.memory.0 = sum.memory.0.saturating_add(part.memory.0);
    sum.disk.0 = sum.disk.0.saturating_add(part.disk.0);
    sum.network.0 = sum.network.0.saturating_add(part.network.0);
    sum.gpu = sum.gpu.saturating_add(part.gpu);
    sum.containers = sum.containers.saturating_add(part.containers);
}

/// A repository's address without the user and password that may stand in it: everybody who may look sees it.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = match rest.find('/') {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}
