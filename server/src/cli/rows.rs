//! Jobs, tasks, hosts, plans and events as rows of a table.

use crate::cli::table::{Cell, Table, Tone};
use crate::cli::time::{age, seconds};
use jiff::Timestamp;
use muster_schemas::api::{
    DeployView, EventView, HostView, JobStatus, JobView, PlanStatus, PlanView, TaskView,
};
use muster_schemas::deploy::DeployStatus;
use muster_schemas::drift::DriftView;
use muster_schemas::spec::{Bytes, JobKind, Tier};
use muster_schemas::state::{Outcome, TaskState};

pub(super) fn jobs(jobs: &[JobView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec!["JOB", "KIND", "STATUS", "TASKS", "AGE", "OWNER"];
    if wide {
        heads.extend([
            "APP", "TIER", "GROUP", "VERSION", "REVISION", "SOURCE", "IMAGE",
        ]);
    }
    heads.push("REASON");
    let mut table = Table::new(&heads);
    for job in jobs {
        let (status, tone) = job_status(job.status);
        let mut cells = vec![
            Cell::text(&job.id),
            Cell::text(kind(job.kind)),
            Cell::text(status).tone(tone),
            Cell::text(progress(job)),
            Cell::text(age(now, job.created_at)),
            Cell::text(&job.owner),
        ];
        if wide {
            cells.extend([
                Cell::text(&job.app),
                Cell::text(tier(job.tier)),
                Cell::text(&job.capacity_group),
                Cell::number(job.version),
                Cell::text(
                    job.revision
                        .as_ref()
                        .map_or("", |revision| short(revision.commit.as_str())),
                ),
                Cell::text(&job.source),
                Cell::text(&job.image),
            ]);
        }
        cells.push(Cell::text(job_reason(job)));
        table.row(cells);
    }
    table
}

/// A job's reason, with a word about one that no document asks for; a tombstone's reason says so itself.
fn job_reason(job: &JobView) -> String {
    if job.declared || matches!(job.status, JobStatus::Tombstone | JobStatus::Stopping) {
        return job.reason.clone();
    }
    let removed = "its document was removed";
    // Of a pruned job the reason itself tells of the document.
    if job.reason.contains(removed) {
        format!("undeclared: {}", job.reason)
    } else if job.reason.is_empty() {
        format!("undeclared: {removed}")
    } else {
        format!("undeclared: {removed}; {}", job.reason)
    }
}

pub(super) fn drift(drift: &[DriftView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec!["JOB", "TASK", "FIELD", "GIT SAYS", "RUNS", "SINCE", "WHO"];
    if wide {
        heads.extend(["CAUSE", "PLAN"]);
    }
    heads.push("WHAT WILL HAPPEN");
    let mut table = Table::new(&heads);
    for drift in drift {
        let mut cells = vec![
            Cell::text(&drift.job),
            Cell::text(drift.task.as_deref().unwrap_or_default()),
            Cell::text(&drift.field),
            Cell::text(&drift.wanted),
            Cell::text(&drift.found).tone(Tone::Busy),
            Cell::text(age(now, drift.since)),
            Cell::text(&drift.who),
        ];
        if wide {
            cells.extend([
                Cell::text(&drift.cause),
                Cell::text(drift.plan.as_deref().map_or("", short)),
            ]);
        }
        cells.push(Cell::text(&drift.outlook));
        table.row(cells);
    }
    table
}

/// How far a job is: healthy of desired for a service, succeeded of desired for a batch job.
pub(super) fn progress(job: &JobView) -> String {
    match job.kind {
        JobKind::Service => format!("{}/{} healthy", job.healthy, job.desired),
        JobKind::Batch if job.failed > 0 => {
            format!(
                "{}/{} done, {} failed",
                job.succeeded, job.desired, job.failed
            )
        }
        JobKind::Batch => format!("{}/{} done", job.succeeded, job.desired),
    }
}

pub(super) fn tasks(tasks: &[TaskView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec!["TASK", "STATE", "HEALTH", "HOST", "ATTEMPT", "AGE"];
    if wide {
        heads.extend(["IP", "VERSION", "STARTED", "EXIT", "ATTEMPT ID", "IMAGE"]);
    }
    heads.push("REASON");
    let mut table = Table::new(&heads);
    for task in tasks {
        let (state, tone) = task_state(task);
        let (health, health_tone) = health(task);
        let mut cells = vec![
            Cell::text(&task.id),
            Cell::text(state).tone(tone),
            Cell::text(health).tone(health_tone),
            Cell::text(task.host.as_deref().unwrap_or_default()),
            Cell::number(task.attempt_number),
            Cell::text(age(now, task.created_at)),
        ];
        if wide {
            let version = if task.current_version { "" } else { " (old)" };
            cells.extend([
                Cell::text(task.ip.as_deref().unwrap_or_default()),
                Cell::text(format!("{}{version}", task.version)),
                Cell::text(task.started_at.map_or(String::new(), seconds)),
                Cell::text(exit(task.exit_code, task.signal, task.oom)),
                Cell::text(task.attempt.as_deref().unwrap_or_default()),
                Cell::text(&task.image),
            ]);
        }
        cells.push(Cell::text(&task.reason));
        table.row(cells);
    }
    table
}

/// A task's state in words, with what a reader must not miss beside it.
pub(super) fn task_state(task: &TaskView) -> (String, Tone) {
    let word = task.state.word();
    if !task.reachable {
        return (format!("{word} (unreachable)"), Tone::Bad);
    }
    if task.crash_loop {
        return (format!("{word} (crash loop)"), Tone::Bad);
    }
    match (task.state, task.outcome) {
        (TaskState::Finished, Some(outcome)) => {
            let (outcome, tone) = self::outcome(outcome);
            (format!("{word} ({outcome})"), tone)
        }
        (state, _) => (word.to_owned(), state_tone(state)),
    }
}

/// The colour of a state by itself.
pub(super) fn state_tone(state: TaskState) -> Tone {
    match state {
        TaskState::Running => Tone::Good,
        TaskState::Queued | TaskState::Assigned | TaskState::Starting | TaskState::Stopping => {
            Tone::Busy
        }
        TaskState::Finished => Tone::Quiet,
    }
}

pub(super) fn health(task: &TaskView) -> (&'static str, Tone) {
    match (task.state, task.healthy) {
        (TaskState::Running, true) => ("healthy", Tone::Good),
        (TaskState::Running, false) => ("not healthy", Tone::Bad),
        _ => ("", Tone::Quiet),
    }
}

pub(super) fn outcome(outcome: Outcome) -> (&'static str, Tone) {
    match outcome {
        Outcome::Succeeded => ("succeeded", Tone::Good),
        Outcome::Failed => ("failed", Tone::Bad),
        Outcome::Stopped => ("stopped", Tone::Quiet),
        Outcome::Lost => ("lost", Tone::Bad),
    }
}

/// How a container ended: `1`, `137 (signal 9)`, `137 (signal 9, out of memory)`; empty while it has not.
pub(super) fn exit(code: Option<i32>, signal: Option<i32>, oom: bool) -> String {
    let Some(code) = code else {
        return String::new();
    };
    match (signal, oom) {
        (Some(signal), true) => format!("{code} (signal {signal}, out of memory)"),
        (Some(signal), false) => format!("{code} (signal {signal})"),
        (None, true) => format!("{code} (out of memory)"),
        (None, false) => code.to_string(),
    }
}

pub(super) fn hosts(hosts: &[HostView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec!["HOST", "STATE", "TASKS", "CPU", "MEMORY", "SINCE"];
    if wide {
        heads.extend([
            "ID", "ADDRESS", "ZONE", "DISK", "NETWORK", "GPU", "ORPHANS", "AGENT", "ENGINE",
            "SYSTEM", "LABELS",
        ]);
    }
    heads.push("REASON");
    let mut table = Table::new(&heads);
    for host in hosts {
        let (state, tone) = host_state(host);
        let (used, all) = (&host.allocated, &host.capacity);
        let mut cells = vec![
            Cell::text(&host.name),
            Cell::text(state).tone(tone),
            Cell::number(host.tasks),
            Cell::text(format!("{}/{}", used.cpu, all.cpu)),
            Cell::text(of(used.memory, all.memory)),
            Cell::text(age(now, host.since)),
        ];
        if wide {
            let labels: Vec<String> = host
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            cells.extend([
                Cell::text(&host.id),
                Cell::text(&host.address),
                Cell::text(&host.zone),
                Cell::text(of(used.disk, all.disk)),
                Cell::text(format!("{}/{}", used.network.0, all.network)),
                Cell::text(format!("{}/{}", used.gpu, all.gpu)),
                Cell::number(host.orphans.len()),
                Cell::text(&host.agent_version),
                Cell::text(&host.engine),
                Cell::text(&host.system),
                Cell::text(labels.join(",")),
            ]);
        }
        cells.push(Cell::text(host_reason(host)));
        table.row(cells);
    }
    table
}

pub(super) fn host_state(host: &HostView) -> (&'static str, Tone) {
    match (host.reachable, host.ready) {
        (false, _) => ("unreachable", Tone::Bad),
        (true, false) => ("not ready", Tone::Bad),
        (true, true) => ("ready", Tone::Good),
    }
}

fn host_reason(host: &HostView) -> String {
    let mut parts = Vec::new();
    if !host.reason.is_empty() {
        parts.push(host.reason.clone());
    }
    match host.orphans.len() {
        0 => {}
        1 => parts.push("1 orphan".to_owned()),
        count => parts.push(format!("{count} orphans")),
    }
    parts.extend(host.warnings.iter().cloned());
    parts.join("; ")
}

/// `1.5/8.0 GiB`: both in the unit of the whole.
pub(super) fn of(used: Bytes, all: Bytes) -> String {
    let (unit, size) = unit(all.0);
    format!("{}/{} {unit}", scaled(used.0, size), scaled(all.0, size))
}

fn unit(bytes: u64) -> (&'static str, u64) {
    let units = [
        ("TiB", 1u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    units
        .into_iter()
        .find(|(_, size)| bytes >= *size)
        .unwrap_or(("B", 1))
}

fn scaled(bytes: u64, size: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit behind the point is shown"
    )]
    let value = bytes as f64 / size as f64;
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

pub(super) fn plans(plans: &[PlanView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec![
        "PLAN", "STATUS", "REVISION", "JOBS", "STARTS", "STOPS", "REPLACES", "AGE",
    ];
    if wide {
        heads.extend(["AUTHOR", "RUNNING", "REFUSED", "PARENT"]);
    }
    heads.push("SUBJECT");
    let mut table = Table::new(&heads);
    for plan in plans {
        let (status, tone) = plan_status(plan.status);
        let mut cells = vec![
            Cell::text(if wide { &plan.id } else { short(&plan.id) }),
            Cell::text(status).tone(tone),
            Cell::text(short(plan.revision.commit.as_str())),
            Cell::number(plan.changes.len()),
            Cell::number(plan.starts),
            Cell::number(plan.stops),
            Cell::number(plan.replaces),
            Cell::text(age(now, plan.made_at)),
        ];
        if wide {
            cells.extend([
                Cell::text(&plan.revision.author),
                Cell::number(plan.running),
                Cell::number(plan.refused.len()),
                Cell::text(plan.parent.as_deref().map_or("", short)),
            ]);
        }
        cells.push(Cell::text(&plan.revision.subject));
        table.row(cells);
    }
    table
}

pub(super) fn deploys(deploys: &[DeployView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec!["DEPLOY", "STATUS", "JOB", "COMMIT", "AGE", "BY"];
    if wide {
        heads.extend(["IMAGE", "EXECUTION", "TAKEN BACK", "REASON"]);
    }
    heads.push("PROGRESS");
    let mut table = Table::new(&heads);
    for deploy in deploys {
        let (status, tone) = deploy_status(deploy.status);
        let mut cells = vec![
            Cell::text(&deploy.id),
            Cell::text(status).tone(tone),
            Cell::text(&deploy.job),
            Cell::text(deploy.commit.as_deref().map_or("", short)),
            Cell::text(age(now, deploy.requested_at)),
            Cell::text(&deploy.requested_by),
        ];
        if wide {
            cells.extend([
                Cell::text(deploy.image.as_deref().unwrap_or_default()),
                Cell::text(&deploy.execution),
                Cell::text(deploy.taken_back.as_deref().map_or("", short)),
                Cell::text(&deploy.reason),
            ]);
        }
        cells.push(Cell::text(&deploy.progress));
        table.row(cells);
    }
    table
}

pub(super) fn deploy_status(status: DeployStatus) -> (&'static str, Tone) {
    match status {
        DeployStatus::Running => ("running", Tone::Busy),
        DeployStatus::Succeeded => ("succeeded", Tone::Good),
        DeployStatus::Failed => ("failed", Tone::Bad),
        DeployStatus::Canceled => ("canceled", Tone::Quiet),
    }
}

pub(super) fn plan_status(status: PlanStatus) -> (&'static str, Tone) {
    match status {
        PlanStatus::Applied => ("applied", Tone::Good),
        PlanStatus::Held => ("held", Tone::Bad),
        PlanStatus::Refused => ("refused", Tone::Quiet),
        PlanStatus::Superseded => ("superseded", Tone::Quiet),
        PlanStatus::Proposed => ("proposed", Tone::Busy),
    }
}

/// What an event is about, in one word: the task before its job, and a plan where there is nothing else.
pub(super) fn about(event: &EventView) -> &str {
    let plan = || event.plan.as_deref().map(short);
    event
        .task
        .as_deref()
        .or(event.job.as_deref())
        .or_else(plan)
        .unwrap_or_default()
}

pub(super) fn events(events: &[EventView], now: Timestamp, wide: bool) -> Table {
    let mut heads = vec!["SEQ", "AGE", "ACTOR", "ABOUT"];
    if wide {
        heads.extend(["AT", "KIND", "JOB", "TASK", "HOST"]);
    }
    heads.push("WHAT");
    let mut table = Table::new(&heads);
    for event in events {
        let mut cells = vec![
            Cell::number(event.seq),
            Cell::text(age(now, event.at)),
            Cell::text(&event.actor),
            Cell::text(about(event)),
        ];
        if wide {
            cells.extend([
                Cell::text(seconds(event.at)),
                Cell::text(&event.kind),
                Cell::text(event.job.as_deref().unwrap_or_default()),
                Cell::text(event.task.as_deref().unwrap_or_default()),
                Cell::text(event.host.as_deref().unwrap_or_default()),
            ]);
        }
        cells.push(Cell::text(&event.text));
        table.row(cells);
    }
    table
}

pub(super) fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Service => "service",
        JobKind::Batch => "batch",
    }
}

pub(super) fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Critical => "critical",
        Tier::Flex => "flex",
    }
}

pub(super) fn job_status(status: JobStatus) -> (&'static str, Tone) {
    match status {
        JobStatus::Running => ("running", Tone::Good),
        JobStatus::Progressing => ("progressing", Tone::Busy),
        JobStatus::Degraded => ("degraded", Tone::Bad),
        JobStatus::CrashLoop => ("crash loop", Tone::Bad),
        JobStatus::Blocked => ("blocked", Tone::Bad),
        JobStatus::Tombstone => ("tombstone", Tone::Bad),
        JobStatus::Stopping => ("stopping", Tone::Busy),
        JobStatus::Succeeded => ("succeeded", Tone::Good),
        JobStatus::Failed => ("failed", Tone::Bad),
        JobStatus::Idle => ("idle", Tone::Quiet),
    }
}

/// The first 12 digits of a hash: enough to be unique in a repository and to be typed.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
