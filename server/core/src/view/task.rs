//! Tasks and their attempts.

use super::filter::TaskFilter;
use super::page::{self, Page};
use crate::decide::schedule;
use crate::describe::{reasons, status_sentence, stop_order};
use crate::disruption::own_reason;
use crate::fleet::{Attempt, Fleet, Job, JobVersion, Task, TaskPhase};
use crate::guard::may_stop;
use jiff::Timestamp;
use muster_schemas::api::{AttemptView, BlockedView, Hop, List, PortView, TaskDetail, TaskView};
use muster_schemas::ids::TaskId;

/// A page of the tasks that match, by job and index.
pub fn tasks(fleet: &Fleet, filter: &TaskFilter, page: &Page, now: Timestamp) -> List<TaskView> {
    let after: Option<TaskId> = page.after.as_deref().and_then(|after| after.parse().ok());
    page::take(
        fleet
            .jobs
            .values()
            .filter(|job| filter.matches_job(job))
            .flat_map(|job| job.tasks.values().map(move |task| (job, task)))
            .filter(|(job, task)| filter.matches(fleet, job, task, now)),
        page.limit,
        |(_, task)| after.as_ref().is_none_or(|after| task.id > *after),
        |(_, task)| task.id.to_string(),
        |(job, task)| task_view(fleet, job, task, now),
    )
}

/// A task. A queued one shows what is known of its last attempt beside its own state, so that one sees why it waits.
pub fn task_view(fleet: &Fleet, job: &Job, task: &Task, now: Timestamp) -> TaskView {
    let attempt = fleet.last_attempt(task);
    let status = attempt.and_then(|attempt| attempt.status.as_ref());
    let ended = attempt.and_then(|attempt| attempt.ended.as_ref().map(|(ended, _)| ended));
    // A queued task is on no host, whatever host its last attempt was on.
    let placed = attempt.filter(|_| !task.is_queued());
    let (not_before, finished_phase, outcome) = match &task.phase {
        TaskPhase::Queued { not_before, .. } => (Some(*not_before), None, None),
        TaskPhase::Active { .. } => (None, None, None),
        TaskPhase::Finished { outcome, at, .. } => (None, Some(*at), Some(*outcome)),
    };
    // A finished task may have waited for a version that it never came to run.
    let ran = attempt
        .filter(|_| task.is_finished())
        .map_or(task.version, |attempt| attempt.version);
    TaskView {
        id: task.id.to_string(),
        job: job.id.to_string(),
        index: task.id.index,
        attempt: task.last_attempt.map(|id| id.to_string()),
        attempt_number: task.attempts,
        state: fleet.task_state(task),
        reason: reason(fleet, task, now),
        healthy: fleet.is_healthy(task),
        reachable: fleet.is_reachable(task),
        crash_loop: fleet.in_crash_loop(task, now),
        failures: task.failures,
        not_before: not_before.filter(|not_before| *not_before > now),
        host: placed.map(|attempt| host_name(fleet, attempt)),
        host_id: placed.map(|attempt| attempt.host.to_string()),
        ip: placed
            .filter(|attempt| attempt.ended.is_none())
            .and(status)
            .and_then(|status| status.ip.clone()),
        image: version(job, ran).image.clone(),
        version: ran,
        current_version: !job.is_outdated(ran),
        run: task.run,
        container: status.and_then(|status| status.container.clone()),
        created_at: task.created_at,
        started_at: attempt.and_then(started_at),
        finished_at: ended.map(|ended| ended.at).or(finished_phase),
        exit_code: ended.and_then(|ended| ended.exit_code),
        signal: ended.and_then(|ended| ended.signal),
        oom: ended.is_some_and(|ended| ended.oom),
        outcome,
    }
}

fn version(job: &Job, number: u64) -> &JobVersion {
    job.versions.get(&number).unwrap_or_else(|| job.current())
}

fn host_name(fleet: &Fleet, attempt: &Attempt) -> String {
    fleet
        .hosts
        .get(&attempt.host)
        .map_or_else(|| attempt.host.to_string(), |host| host.name.clone())
}

/// By the engine where it says so, else when the control plane heard of it.
fn started_at(attempt: &Attempt) -> Option<Timestamp> {
    attempt
        .status
        .as_ref()
        .and_then(|status| status.started_at)
        .or(attempt.running_at)
}

fn is_asked_for(fleet: &Fleet, task: &Task) -> bool {
    let job = fleet.jobs.get(&task.id.job);
    job.is_none_or(|job| schedule::is_asked_for(job, task))
}

/// Why a task is in its state, in a sentence.
pub(super) fn reason(fleet: &Fleet, task: &Task, now: Timestamp) -> String {
    match &task.phase {
        TaskPhase::Queued {
            reason, not_before, ..
        } => match &task.blocked {
            _ if !is_asked_for(fleet, task) => reasons::NOT_ASKED_FOR.to_owned(),
            Some((blocked, _)) if *not_before <= now => reasons::blocked(blocked),
            Some(_) | None => reasons::queued(reason, *not_before, now),
        },
        TaskPhase::Active { attempt } => {
            let Some(attempt) = fleet.attempts.get(attempt) else {
                return String::new();
            };
            let mut message = attempt_message(attempt, now);
            if let Some(waits) = own_stop_waits(fleet, attempt, now) {
                message.push_str("; ");
                message.push_str(&waits);
            }
            match fleet.hosts.get(&attempt.host) {
                Some(host) if !host.connected => format!(
                    "host {} is not reachable since {}; last heard: {message}",
                    host.name,
                    reasons::clock(host.since, now)
                ),
                Some(_) | None => message,
            }
        }
        TaskPhase::Finished { reason, .. } => reasons::finished(reason),
    }
}

/// What a stop that Muster wants on its own account waits for.
fn own_stop_waits(fleet: &Fleet, attempt: &Attempt, now: Timestamp) -> Option<String> {
    if attempt.stop.is_some() || attempt.ended.is_some() {
        return None;
    }
    let reason = own_reason(attempt)?;
    let job = fleet.jobs.get(&attempt.task.job)?;
    let refusal = may_stop(fleet, job, attempt, &reason, now).err()?;
    Some(format!(
        "it is not stopped yet, which waits for {}",
        reasons::stop_refusal(&refusal, now)
    ))
}

fn attempt_message(attempt: &Attempt, now: Timestamp) -> String {
    if let Some((ended, _)) = &attempt.ended {
        return ended.message.clone();
    }
    if let Some((order, _)) = &attempt.stop {
        return stop_order(order);
    }
    match &attempt.status {
        None => "placed; its host's agent has not taken it on yet".to_owned(),
        Some(status) => status_sentence(status, now),
    }
}

/// One attempt of a task.
pub fn attempt_view(fleet: &Fleet, attempt: &Attempt, now: Timestamp) -> AttemptView {
    let status = attempt.status.as_ref();
    let ended = attempt.ended.as_ref().map(|(ended, _)| ended);
    AttemptView {
        id: attempt.id.to_string(),
        number: attempt.number,
        state: attempt.state(),
        message: attempt_message(attempt, now),
        host: host_name(fleet, attempt),
        version: attempt.version,
        ip: status.and_then(|status| status.ip.clone()),
        container: status.and_then(|status| status.container.clone()),
        placed_at: attempt.placed_at,
        started_at: started_at(attempt),
        finished_at: ended.map(|ended| ended.at),
        exit_code: ended.and_then(|ended| ended.exit_code),
        signal: ended.and_then(|ended| ended.signal),
        oom: ended.is_some_and(|ended| ended.oom),
        outcome: ended.map(|ended| ended.outcome),
        stop: attempt.stop.as_ref().map(|(order, _)| stop_order(order)),
        has_log: !attempt.retired && status.is_some_and(|status| status.container.is_some()),
    }
}

/// A task with all there is to know of it.
pub fn task_detail(fleet: &Fleet, job: &Job, task: &Task, now: Timestamp) -> TaskDetail {
    let version = version(job, task.version);
    let spec = &version.spec;
    let last = fleet.last_attempt(task);
    let mut attempts: Vec<&Attempt> = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.task == task.id)
        .chain(&task.past)
        .collect();
    attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.number));
    TaskDetail {
        task: task_view(fleet, job, task, now),
        app: spec.app().to_owned(),
        owner: spec.owner.clone(),
        tier: spec.tier,
        resources: serde_json::to_value(spec.resources)
            .expect("resources are a struct of numbers and texts, so they are always JSON"),
        ports: spec
            .ports
            .iter()
            .map(|port| PortView {
                name: port.name.clone(),
                port: port.port,
                host_port: port.host_port,
            })
            .collect(),
        hardening: last
            .and_then(|attempt| attempt.status.as_ref())
            .and_then(|status| status.hardening.clone()),
        attempts: attempts
            .into_iter()
            .map(|attempt| attempt_view(fleet, attempt, now))
            .collect(),
        blocked: task.blocked.as_ref().map(|(blocked, _)| BlockedView {
            hosts: blocked.hosts,
            reasons: reasons::blocked_reasons(blocked),
        }),
        hops: hops(version, last),
        revision: Some(version.revision.clone()),
    }
}

/// The way from the commit to healthy, all by the control plane's clock but for the commit's own time. A step that lies
/// before the one before it (a commit with a clock that is ahead) took no time.
fn hops(version: &JobVersion, attempt: Option<&Attempt>) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut before = version.revision.committed_at;
    let steps = [
        ("planned", Some(version.at)),
        ("placed", attempt.map(|attempt| attempt.placed_at)),
        ("accepted", attempt.and_then(|attempt| attempt.accepted_at)),
        ("started", attempt.and_then(|attempt| attempt.running_at)),
        (
            "healthy",
            attempt.and_then(|attempt| attempt.first_healthy_at),
        ),
    ];
    for (name, at) in steps {
        let Some(at) = at else { continue };
        hops.push(Hop {
            name: name.to_owned(),
            at,
            millis: u64::try_from(at.duration_since(before).as_millis()).unwrap_or(0),
        });
        before = at;
    }
    hops
}
