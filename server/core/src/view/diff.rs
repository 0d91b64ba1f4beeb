//! What differs between the fleet of two moments, and who did it.

use super::event::event_view;
use super::host::is_ready;
use super::job::job_view;
use crate::fleet::{Fleet, Host, Job, Task};
use crate::plan::changed_fields;
use jiff::Timestamp;
use muster_schemas::api::JobView;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::past::{
    AppliedPlan, AsOf, FleetDiff, HostDiff, JobDiff, Presence, TaskDiff, TaskTally, TaskThen,
};
use muster_schemas::plan::{FieldChange, Revision};
use muster_schemas::state::Actor;
use std::collections::{BTreeMap, BTreeSet};

/// The kinds of records that say who did what: plans that were applied, and what people did by command. Those of
/// `stop_ordered` are among them where a person asked; they are many, so they are searched for apart.
pub const ACTS: [&str; 13] = [
    "job_scaled",
    "rollout_aborted",
    "rollout_promoted",
    "rollout_retried",
    "plan_applied",
    "plan_approved",
    "plan_refused",
    "frozen",
    "resumed",
    "cell_taken_down",
    "host_removed",
    "deploy_requested",
    "deploy_canceled",
];

/// What differs between the fleet `before` at `from` and the fleet `after` at `to`. `records` are those between that say who
/// did what, in order: the ones of [`ACTS`] and stop orders; `complete` tells whether they are all there are.
pub fn diff(
    (before, from): (&Fleet, AsOf),
    (after, to): (&Fleet, AsOf),
    records: &[Record],
    complete: bool,
) -> FleetDiff {
    let plans = applied(after, records);
    let mut list = FleetDiff {
        from,
        to,
        revision_from: before.revision.clone(),
        revision_to: after.revision.clone(),
        jobs: Vec::new(),
        jobs_differ: 0,
        tasks: Vec::new(),
        tasks_differ: 0,
        hosts: Vec::new(),
        hosts_differ: 0,
        acts: records
            .iter()
            .filter(|record| is_persons_act(record))
            .map(|record| event_view(after, record))
            .collect(),
        plans,
        complete,
    };
    let ids: BTreeSet<&JobId> = before.jobs.keys().chain(after.jobs.keys()).collect();
    for id in ids {
        job(&mut list, (before, from.at), (after, to.at), id);
    }
    hosts(&mut list, before, after);
    list
}

/// What a person did by command; the plans that were applied are told apart from it.
fn is_persons_act(record: &Record) -> bool {
    let by_person = matches!(record.actor, Actor::Person(_));
    match &record.event {
        Event::PlanApproved { .. }
        | Event::PlanRefused { .. }
        | Event::Frozen { .. }
        | Event::Resumed { .. }
        | Event::JobScaled { .. }
        | Event::RolloutAborted { .. }
        | Event::RolloutPromoted { .. }
        | Event::RolloutRetried { .. }
        | Event::CellTakenDown { .. }
        | Event::HostRemoved { .. }
        | Event::HostTaken { .. }
        | Event::DeployRequested { .. }
        | Event::DeployCanceled { .. } => by_person,
        Event::StopOrdered { order } => matches!(order.actor, Actor::Person(_)),
        Event::LeadershipTaken { .. }
        | Event::HostEnrolled { .. }
        | Event::HostConnected { .. }
        | Event::HostUnreachable { .. }
        | Event::HostAhead { .. }
        | Event::HostFollows { .. }
        | Event::HostReported { .. }
        | Event::OrphansSeen { .. }
        | Event::RepositoryTroubled { .. }
        | Event::RepositoryRecovered
        | Event::PlanMade { .. }
        | Event::PlanPredicted { .. }
        | Event::PlanApplied { .. }
        | Event::PlanHeld { .. }
        | Event::GraceEnded { .. }
        | Event::ResizeEnded { .. }
        | Event::RolloutStepped { .. }
        | Event::RolloutSettled { .. }
        | Event::RolloutStalled { .. }
        | Event::RolloutFinished { .. }
        | Event::AnalysisMeasured { .. }
        | Event::PutBackOrdered { .. }
        | Event::HooksBegan { .. }
        | Event::VersionBegan { .. }
        | Event::StopAnnounced { .. }
        | Event::StopWithdrawn { .. }
        | Event::DeployCommitted { .. }
        | Event::DeployTakenBack { .. }
        | Event::DeployNotTakenBack { .. }
        | Event::DeployFinished { .. }
        | Event::TokenCreated { .. }
        | Event::TokenRevoked { .. }
        | Event::TaskCreated { .. }
        | Event::TaskQueued { .. }
        | Event::TaskBlocked { .. }
        | Event::AttemptPlaced { .. }
        | Event::AttemptReported { .. }
        | Event::TaskFinished { .. }
        | Event::AttemptRetired { .. }
        | Event::AttemptForgotten { .. }
        | Event::TaskForgotten { .. }
        | Event::JobForgotten { .. } => false,
    }
}

/// The plans that were applied, with what the later fleet still knows of them: its latest plans, and its jobs' histories.
fn applied(after: &Fleet, records: &[Record]) -> Vec<AppliedPlan> {
    let mut known: BTreeMap<&PlanId, (&Revision, BTreeSet<&JobId>)> = BTreeMap::new();
    for entry in &after.plans {
        let (_, jobs) = known
            .entry(&entry.plan.id)
            .or_insert_with(|| (&entry.plan.revision, BTreeSet::new()));
        jobs.extend(entry.plan.changes.iter().map(|change| &change.job));
    }
    for job in after.jobs.values() {
        for entry in &job.history {
            let (_, jobs) = known
                .entry(&entry.plan)
                .or_insert_with(|| (&entry.revision, BTreeSet::new()));
            jobs.insert(&job.id);
        }
    }
    records
        .iter()
        .filter_map(|record| {
            let Event::PlanApplied { plan } = &record.event else {
                return None;
            };
            let known = known.get(plan);
            Some(AppliedPlan {
                plan: plan.to_string(),
                revision: known.map(|(revision, _)| (*revision).clone()),
                by: record.actor.to_string(),
                applied_at: record.at,
                seq: record.seq,
                jobs: known.map_or_else(Vec::new, |(_, jobs)| {
                    jobs.iter().map(ToString::to_string).collect()
                }),
            })
        })
        .collect()
}

fn job(
    list: &mut FleetDiff,
    (before, from_at): (&Fleet, Timestamp),
    (after, to_at): (&Fleet, Timestamp),
    id: &JobId,
) {
    let (from, to) = (before.jobs.get(id), after.jobs.get(id));
    let (tasks, tally) = tasks((before, from), (after, to));
    let view_from = from.map(|job| job_view(before, job, from_at));
    let view_to = to.map(|job| job_view(after, job, to_at));
    let fields = match (from, to) {
        (Some(from), Some(to)) => fields(from, to),
        (None, _) | (_, None) => Vec::new(),
    };
    let presence = match (&view_from, &view_to) {
        (None, _) => Presence::Appeared,
        (_, None) => Presence::Gone,
        (Some(from), Some(to)) => {
            let same = from.version == to.version
                && from.status == to.status
                && from.tasks == to.tasks
                && from.created_at == to.created_at
                && fields.is_empty()
                && tasks.is_empty();
            if same {
                return;
            }
            Presence::Changed
        }
    };
    list.tasks_differ += count(tasks.len());
    let room = FleetDiff::LISTED.saturating_sub(list.tasks.len());
    list.tasks.extend(tasks.into_iter().take(room));
    list.jobs_differ += 1;
    if list.jobs.len() == FleetDiff::LISTED {
        return;
    }
    let counts = |view: &Option<JobView>| {
        view.as_ref()
            .map_or_else(super::fleet::no_tasks, |view| view.tasks.clone())
    };
    let name = id.to_string();
    let plans = list
        .plans
        .iter()
        .filter(|plan| plan.jobs.binary_search(&name).is_ok())
        .map(|plan| plan.plan.clone())
        .collect();
    list.jobs.push(JobDiff {
        presence,
        version_from: view_from.as_ref().map(|view| view.version),
        version_to: view_to.as_ref().map(|view| view.version),
        status_from: view_from.as_ref().map(|view| view.status),
        status_to: view_to.as_ref().map(|view| view.status),
        fields,
        tasks_from: counts(&view_from),
        tasks_to: counts(&view_to),
        tasks: tally,
        plans,
        job: name,
    });
}

/// What a job's document asked for, then and later, field by field.
fn fields(from: &Job, to: &Job) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    let (old, new) = (from.current(), to.current());
    // Within one life of the job a version is one spec: where it is the same there is nothing to compare.
    if from.version != to.version || from.created_at != to.created_at {
        fields = changed_fields(&old.spec, &old.image, &new.spec, &new.image);
    }
    let mut flag = |path: &str, from: bool, to: bool| {
        if from != to {
            fields.push(FieldChange {
                path: path.to_owned(),
                from: Some(from.into()),
                to: Some(to.into()),
            });
        }
    };
    flag("(declared)", from.declared, to.declared);
    flag("(pruned)", is_pruned(from), is_pruned(to));
    fields
}

/// Whether its document was removed and the policy prunes, be it within the grace or after it.
fn is_pruned(job: &Job) -> bool {
    job.pruned || job.tombstone.is_some()
}

fn tasks(
    (before, from): (&Fleet, Option<&Job>),
    (after, to): (&Fleet, Option<&Job>),
) -> (Vec<TaskDiff>, TaskTally) {
    let mut differ = Vec::new();
    let mut tally = TaskTally::default();
    let indexes: BTreeSet<&u32> = from
        .into_iter()
        .chain(to)
        .flat_map(|job| job.tasks.keys())
        .collect();
    for index in indexes {
        let old = from.and_then(|job| job.tasks.get(index));
        let new = to.and_then(|job| job.tasks.get(index));
        let Some(id) = old.or(new).map(|task| task.id.to_string()) else {
            continue;
        };
        let then = old.map(|task| task_then(before, task));
        let later = new.map(|task| task_then(after, task));
        let presence = match (&then, &later) {
            (None, _) => {
                tally.appeared += 1;
                Presence::Appeared
            }
            (_, None) => {
                tally.gone += 1;
                Presence::Gone
            }
            (Some(then), Some(later)) => {
                let restarted = old.and_then(|task| task.last_attempt)
                    != new.and_then(|task| task.last_attempt);
                if then == later && !restarted {
                    continue;
                }
                tally.state += u64::from(then.state != later.state);
                tally.moved += u64::from(then.host != later.host);
                tally.version += u64::from(then.version != later.version);
                tally.restarted += u64::from(restarted);
                Presence::Changed
            }
        };
        differ.push(TaskDiff {
            task: id,
            presence,
            from: then,
            to: later,
        });
    }
    (differ, tally)
}

fn task_then(fleet: &Fleet, task: &Task) -> TaskThen {
    let attempt = fleet.last_attempt(task);
    // A queued task is on no host, whatever host its last attempt was on.
    let host = attempt.filter(|_| !task.is_queued()).map(|attempt| {
        fleet
            .hosts
            .get(&attempt.host)
            .map_or_else(|| attempt.host.to_string(), |host| host.name.clone())
    });
    // A finished task may have waited for a version that it never came to run.
    let version = attempt
        .filter(|_| task.is_finished())
        .map_or(task.version, |attempt| attempt.version);
    TaskThen {
        state: fleet.task_state(task),
        host,
        version,
        attempt_number: task.attempts,
    }
}

fn hosts(list: &mut FleetDiff, before: &Fleet, after: &Fleet) {
    let ids: BTreeSet<_> = before.hosts.keys().chain(after.hosts.keys()).collect();
    for id in ids {
        let (from, to) = (before.hosts.get(id), after.hosts.get(id));
        let state = |host: Option<&Host>| host.map(|host| (host.connected, is_ready(host)));
        let presence = match (from, to) {
            (None, _) => Presence::Appeared,
            (_, None) => Presence::Gone,
            (Some(_), Some(_)) if state(from) == state(to) => continue,
            (Some(_), Some(_)) => Presence::Changed,
        };
        list.hosts_differ += 1;
        if list.hosts.len() == FleetDiff::LISTED {
            continue;
        }
        list.hosts.push(HostDiff {
            id: id.to_string(),
            name: to
                .or(from)
                .map_or_else(String::new, |host| host.name.clone()),
            presence,
            reachable_from: state(from).map(|(reachable, _)| reachable),
            reachable_to: state(to).map(|(reachable, _)| reachable),
            ready_from: state(from).map(|(_, ready)| ready),
            ready_to: state(to).map(|(_, ready)| ready),
        });
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
