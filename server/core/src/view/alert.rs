//! What needs somebody's eye.

use super::fleet::count;
use super::job::JobTally;
use crate::decide::deploy::asks_for;
use crate::decide::scale::may_be_unread;
use crate::decide::schedule::is_asked_for;
use crate::describe::reasons::{
    ahead, ahead_advice, blocked, clock, counted, drift_cause, healing, join_names,
    repository_trouble, stop, take_back_trouble,
};
use crate::describe::short;
use crate::drift::past_git;
use crate::fleet::{Fleet, Host, Job, PlanEntry, Task, TaskPhase};
use jiff::Timestamp;
use muster_schemas::api::{Alert, JobStatus, Severity};
use muster_schemas::drift::DriftEntry;
use muster_schemas::plan::HoldReason;
use muster_schemas::wire::Fence;

/// So many alerts at most are told; nobody reads more, and what is wrong with that much has one cause.
pub const MAX_ALERTS: usize = 100;

/// A task that no host takes is worth an alert after so long: a finishing task or a joining host mends most of it before.
pub const BLOCKED_ALERT_SECS: i64 = 30;

/// After a leadership each agent has to connect again; until so long after it a host that has not done so is no alert.
const RECONNECT_GRACE_SECS: i64 = 30;

/// What needs somebody's eye, worst first; of the same urgency, what concerns the whole cell comes first. What is wrong with
/// the journal cannot stand in the fleet, which is a fold over it, so it is told here.
pub fn alerts(fleet: &Fleet, journal_trouble: Option<&str>, now: Timestamp) -> Vec<Alert> {
    let mut alerts = Vec::new();
    journal(journal_trouble, &mut alerts);
    repository(fleet, &mut alerts);
    held_plan(fleet, &mut alerts);
    hosts_ahead(fleet, &mut alerts);
    for host in fleet.hosts.values() {
        host_alerts(fleet, host, now, &mut alerts);
    }
    refused(fleet, &mut alerts);
    not_taken_back(fleet, &mut alerts);
    drifted(fleet, now, &mut alerts);
    for job in fleet.jobs.values() {
        job_alerts(fleet, job, now, &mut alerts);
    }
    undeclared(fleet, &mut alerts);
    // The sort is stable: the order above holds within each severity.
    alerts.sort_by_key(|alert| alert.severity);
    if alerts.len() > MAX_ALERTS {
        let more = alerts.len() - (MAX_ALERTS - 1);
        let severity = alerts[MAX_ALERTS - 1].severity;
        alerts.truncate(MAX_ALERTS - 1);
        alerts.push(Alert {
            severity,
            code: "more".to_owned(),
            message: format!("There are {more} more alerts; those above come first."),
            link: "/jobs".to_owned(),
            since: None,
        });
    }
    alerts
}

fn journal(trouble: Option<&str>, alerts: &mut Vec<Alert>) {
    alerts.extend(trouble.map(journal_alert));
}

/// The alert of a journal that has something wrong with it, as the words say.
pub fn journal_alert(trouble: &str) -> Alert {
    Alert {
        severity: Severity::Page,
        code: "journal-damaged".to_owned(),
        message: full(trouble),
        link: "/events".to_owned(),
        since: None,
    }
}

/// Deploys that somebody wants gone, and that the jobs still ask for.
fn not_taken_back(fleet: &Fleet, alerts: &mut Vec<Alert>) {
    for deploy in &fleet.deploys {
        let Some(trouble) = &deploy.not_taken_back else {
            continue;
        };
        let job = fleet.jobs.get(&deploy.spec.job);
        if job.is_some_and(|job| asks_for(job.spec(), &deploy.spec)) {
            alerts.push(Alert {
                severity: Severity::Warning,
                code: "deploy-not-taken-back".to_owned(),
                message: full(&format!(
                    "deploy {} was taken back and still stands in git: {}; take it back again, or commit what the job should be",
                    deploy.id,
                    take_back_trouble(trouble)
                )),
                link: format!("/deploys/{}", deploy.id),
                since: None,
            });
        }
    }
}

fn repository(fleet: &Fleet, alerts: &mut Vec<Alert>) {
    if let Some((trouble, since)) = &fleet.trouble {
        alerts.push(Alert {
            severity: Severity::Page,
            code: format!("repository-{}", trouble.word().replace('_', "-")),
            message: full(&repository_trouble(trouble)),
            link: "/plans".to_owned(),
            since: Some(*since),
        });
    }
}

fn held_plan(fleet: &Fleet, alerts: &mut Vec<Alert>) {
    // What only waits for its time or its hooks needs nobody.
    let needs_somebody = |entry: &&PlanEntry| {
        entry.holds.iter().any(|reason| match reason {
            HoldReason::OutOfTime { until, .. } => until.is_none(),
            // That has an alert of its own.
            HoldReason::RepositoryInTrouble | HoldReason::HookRuns { .. } => false,
            HoldReason::TooManyStops { .. }
            | HoldReason::TooLittleHeadroom { .. }
            | HoldReason::Frozen { .. }
            | HoldReason::FrozenByPolicy { .. }
            | HoldReason::PolicyChanges
            | HoldReason::PolicySigner { .. }
            | HoldReason::HookFailed { .. } => true,
        })
    };
    if let Some(entry) = fleet.held_plan().filter(needs_somebody) {
        let reasons: Vec<String> = entry.holds.iter().map(ToString::to_string).collect();
        alerts.push(Alert {
            severity: Severity::Page,
            code: "plan-held".to_owned(),
            message: format!(
                "Plan {} is held and nothing of it happens: {}. Read it, then approve or refuse it, or push a commit that asks for less at once.",
                short(entry.plan.id.as_str()),
                reasons.join("; ")
            ),
            link: format!("/plans/{}", entry.plan.id),
            since: Some(entry.made_at),
        });
    }
}

/// So many hosts that are ahead are told one by one; more have one cause, which is told once.
const AHEAD_TOLD: usize = 3;

/// Hosts that have heard orders of another history than this one.
fn hosts_ahead(fleet: &Fleet, alerts: &mut Vec<Alert>) {
    let hosts: Vec<(&Host, Fence)> = fleet
        .hosts
        .values()
        .filter_map(|host| Some((host, host.ahead?)))
        .collect();
    let mut told = |message: String, link: String, since| {
        alerts.push(Alert {
            severity: Severity::Page,
            code: "host-ahead".to_owned(),
            message,
            link,
            since,
        });
    };
    if hosts.len() <= AHEAD_TOLD {
        for (host, highest) in hosts {
            let message = format!(
                "{} {}. {}.",
                host.name,
                ahead(highest),
                capital(&ahead_advice(&host.name))
            );
            told(message, format!("/hosts/{}", host.id), Some(host.since));
        }
        return;
    }
    let names: Vec<&str> = hosts.iter().map(|(host, _)| host.name.as_str()).collect();
    let message = format!(
        "{} hosts, such as {}, follow orders that this control plane's journal does not have: an older copy of its home was \
         restored, or another control plane leads. They take no orders from here, and their containers run on. {}.",
        hosts.len(),
        names[..AHEAD_TOLD].join(", "),
        capital(&ahead_advice("HOST"))
    );
    let since = hosts.iter().map(|(host, _)| host.since).min();
    told(message, "/hosts".to_owned(), since);
}

fn host_alerts(fleet: &Fleet, host: &Host, now: Timestamp, alerts: &mut Vec<Alert>) {
    let link = format!("/hosts/{}", host.id);
    let mut alert = |severity, code: &str, message: String, since| {
        alerts.push(Alert {
            severity,
            code: code.to_owned(),
            message,
            link: link.clone(),
            since,
        });
    };
    if !host.orphans.is_empty() {
        let orphans = count(host.orphans.len());
        let names: Vec<&str> = host
            .orphans
            .iter()
            .map(|orphan| {
                if orphan.task.is_empty() {
                    short(&orphan.container)
                } else {
                    orphan.task.as_str()
                }
            })
            .collect();
        alert(
            Severity::Page,
            "orphan",
            format!(
                "{} has {} that the control plane does not know ({}). They are left as they are; find out where they come \
                 from, and remove them by hand if nobody needs them.",
                host.name,
                counted(orphans, "container", "containers"),
                join_names(&names, orphans)
            ),
            host.orphans_since,
        );
    }
    // That has an alert of its own.
    if host.ahead.is_some() {
        return;
    }
    if !host.connected {
        let reconnects = host.since <= fleet.led_since
            && now.duration_since(fleet.led_since).as_secs() < RECONNECT_GRACE_SECS;
        // One that was just taken follows once its agent greets again.
        let is_taken =
            host.taken.is_some() && now.duration_since(host.since).as_secs() < RECONNECT_GRACE_SECS;
        // A host that has never connected is still being set up.
        if !reconnects && !is_taken && host.facts.is_some() {
            alert(
                Severity::Page,
                "host-unreachable",
                format!(
                    "The agent of {} has not been heard of since {}. Its containers may well run on; check the machine, its \
                     network and the agent.",
                    host.name,
                    clock(host.since, now)
                ),
                Some(host.since),
            );
        }
        return;
    }
    let Some(facts) = &host.facts else { return };
    if let Some(not_ready) = &facts.not_ready {
        alert(
            Severity::Warning,
            "host-not-ready",
            format!("{} can take no tasks: {not_ready}.", host.name),
            None,
        );
    }
    // What is merely not as it should be stands on the host's page: an alert that nobody can end hides those that count.
}

fn refused(fleet: &Fleet, alerts: &mut Vec<Alert>) {
    let Some(first) = fleet.refused.first() else {
        return;
    };
    let faults = counted(count(fleet.refused.len()), "fault", "faults");
    alerts.push(Alert {
        severity: Severity::Warning,
        code: "document-refused".to_owned(),
        message: format!(
            "The applied revision has {faults} in documents that are not taken; their jobs stay as they were. The first: \
             {}:{}: {}.",
            first.path, first.line, first.message
        ),
        link: "/plans".to_owned(),
        since: None,
    });
}

/// What somebody changed past git. What a plan keeps back, and documents that are gone or do not hold, have alerts of their own.
fn drifted(fleet: &Fleet, now: Timestamp, alerts: &mut Vec<Alert>) {
    let entries: Vec<DriftEntry> = fleet
        .jobs
        .values()
        .flat_map(|job| past_git(fleet, job, now))
        .collect();
    let Some(first) = entries.first() else {
        return;
    };
    let about = first
        .task
        .as_ref()
        .map_or_else(|| first.job.to_string(), ToString::to_string);
    let more = match entries.len() {
        1 => String::new(),
        all => format!(", and {} more", counted(count(all - 1), "field", "fields")),
    };
    alerts.push(Alert {
        severity: Severity::Warning,
        code: "drift".to_owned(),
        message: format!(
            "What runs is not what git says: {} of {about} is {}, not {}, by {}{more}. {}.",
            first.field,
            first.found,
            first.wanted,
            drift_cause(&first.cause),
            capital(&healing(&first.healing, now)),
        ),
        link: "/drift".to_owned(),
        since: entries.iter().map(|entry| entry.since).min(),
    });
}

fn job_alerts(fleet: &Fleet, job: &Job, now: Timestamp, alerts: &mut Vec<Alert>) {
    let tally = JobTally::of(fleet, job, now);
    let link = format!("/jobs/{}", job.id);
    let mut alert = |code: &str, message: String, link: String, since| {
        alerts.push(Alert {
            severity: Severity::Warning,
            code: code.to_owned(),
            message,
            link,
            since,
        });
    };
    let (status, reason) = tally.status(fleet, job);
    if let Some(task) = tally.first_crash_loop {
        alert(
            "crash-loop",
            match tally.crash_loops {
                1 => format!(
                    "{} is in a crash loop: {} short attempts in a row. Read its log.",
                    task.id, task.failures
                ),
                tasks => format!(
                    "{tasks} tasks of {} are in a crash loop, such as {}. Read their logs.",
                    job.id, task.id
                ),
            },
            match tally.crash_loops {
                1 => format!("/tasks/{}", task.id),
                _ => link.clone(),
            },
            None,
        );
    }
    let mut waiting = job
        .tasks
        .values()
        .filter(|task| is_asked_for(job, task))
        .filter_map(|task| Some((task, blocked_since(task, now)?)))
        .filter(|(_, since)| now.duration_since(*since).as_secs() > BLOCKED_ALERT_SECS);
    if let Some((task, since)) = waiting.next() {
        let more = count(waiting.count());
        let why = task
            .blocked
            .as_ref()
            .map_or(String::new(), |(why, _)| blocked(why));
        let more = match more {
            0 => String::new(),
            more => format!(", and so do {more} more of {}", job.id),
        };
        alert(
            "task-blocked",
            format!("{} waits for a host{more}: {why}.", task.id),
            format!("/tasks/{}", task.id),
            Some(since),
        );
    }
    let mut asked = job.tasks.values().filter_map(|task| {
        let attempt = fleet
            .current_attempt(task)
            .filter(|attempt| attempt.stop.is_none())?;
        Some((task, attempt.asked.as_ref()?))
    });
    if let Some((task, first)) = asked.next() {
        let more = count(asked.count());
        let more = match more {
            0 => String::new(),
            more => format!(", and so have {more} more of {}", job.id),
        };
        alert(
            "owner-asked",
            format!(
                "{} has to be stopped{more}: {}. Do it when it suits (`muster stop {}`); else it is done at {}.",
                task.id,
                stop(&first.reason),
                task.id,
                clock(first.until, now)
            ),
            format!("/tasks/{}", task.id),
            Some(first.since),
        );
    }
    if status == JobStatus::Failed {
        let (code, what) = match job.spec().hook() {
            Some(_) => ("hook-failed", "The hook "),
            None => ("job-failed", ""),
        };
        alert(
            code,
            format!("{what}{} did not succeed: {reason}. Read its log.", job.id),
            link.clone(),
            None,
        );
    }
    if let (Some(rollout), Some(trouble)) = (&job.rollout, super::rollout::trouble(job)) {
        let (code, todo, since) = match (&rollout.aborted, &rollout.stalled) {
            (Some(abort), _) => (
                "rollout-aborted",
                "Push a commit that mends it, or one that goes back; `muster rollout retry` begins it again.",
                Some(abort.at),
            ),
            (None, stall) => (
                "rollout-stalled",
                "It goes on when it can; a commit that goes back ends it.",
                stall.as_ref().map(|stall| stall.at),
            ),
        };
        alert(
            code,
            format!("{}: {trouble}. {todo}", job.id),
            link.clone(),
            since,
        );
    }
    if status == JobStatus::Degraded {
        alert(
            "job-degraded",
            format!("{} is degraded: {reason}.", job.id),
            link.clone(),
            None,
        );
    }
    if let Some(tombstone) = &job.tombstone {
        let by = tombstone.removed_by.as_ref().map_or(String::new(), |by| {
            format!(" by commit {} of {}", short(by.commit.as_str()), by.author)
        });
        let when = if tombstone.until > now {
            format!("at {}", clock(tombstone.until, now))
        } else if may_be_unread(fleet) {
            "once the whole repository can be read again".to_owned()
        } else {
            "now".to_owned()
        };
        alert(
            "tombstone",
            format!(
                "The document of {} was removed{by}: its tasks are stopped {when}. Put the document back to keep them.",
                job.id
            ),
            link.clone(),
            None,
        );
    }
}

/// So many jobs that nobody asks for are told one by one; more are one alert, so that one slip does not hide the others.
const UNDECLARED_TOLD: usize = 3;

/// Jobs that run on although no document asks for them.
fn undeclared(fleet: &Fleet, alerts: &mut Vec<Alert>) {
    let runs = |task: &Task| !task.is_finished() && task.attempts > 0;
    let jobs: Vec<&Job> = fleet
        .jobs
        .values()
        .filter(|job| !job.declared && !job.pruned && job.tombstone.is_none())
        .filter(|job| job.tasks.values().any(runs))
        .collect();
    let advice = "or set `prune: true` in the policy to have such jobs stopped.";
    let mut told = |message: String, link: String| {
        alerts.push(Alert {
            severity: Severity::Warning,
            code: "job-undeclared".to_owned(),
            message,
            link,
            since: None,
        });
    };
    if jobs.len() <= UNDECLARED_TOLD {
        for job in jobs {
            let message = format!(
                "No document asks for {} any more ({} is gone), and it runs on. Restore the document, {advice}",
                job.id, job.source
            );
            told(message, format!("/jobs/{}", job.id));
        }
        return;
    }
    let names: Vec<&str> = jobs
        .iter()
        .take(UNDECLARED_TOLD)
        .map(|job| job.id.as_str())
        .collect();
    let message = format!(
        "No document asks for {} jobs any more, such as {}, and they run on. Restore the documents, {advice}",
        jobs.len(),
        names.join(", ")
    );
    told(message, "/jobs".to_owned());
}

/// Since when a task could have been placed and no host took it.
fn blocked_since(task: &Task, now: Timestamp) -> Option<Timestamp> {
    match &task.phase {
        TaskPhase::Queued {
            since, not_before, ..
        } => {
            let ready = *since.max(not_before);
            (task.blocked.is_some() && ready <= now).then_some(ready)
        }
        TaskPhase::Active { .. } | TaskPhase::Finished { .. } => None,
    }
}

/// A sentence with its capital letter and full stop.
fn full(sentence: &str) -> String {
    format!("{}.", capital(sentence))
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    format!(
        "{}{}",
        first.map(|letter| letter.to_string()).unwrap_or_default(),
        letters.as_str()
    )
}
