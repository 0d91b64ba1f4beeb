//! Events in words: what each is about, and what happened, in a sentence for people.
//!
//! [`subjects`] and [`subjects_in`] give the columns that the journal is searched by; [`sentence`] is what the console,
//! the CLI and the logs say. The sentences of the typed reasons are in [`reasons`].

mod markdown;
pub mod reasons;
pub mod remedies;
pub mod rollout;
#[cfg(test)]
mod tests;

use crate::fleet::Fleet;
use jiff::Timestamp;
pub use markdown::plan_markdown;
use muster_schemas::deploy::DeployStatus;
use muster_schemas::drift::ResizeEnd;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, HostId, JobId, PlanId, TaskId};
use muster_schemas::plan::{FreezeScope, Plan};
use muster_schemas::spec::Hook;
use muster_schemas::state::{AttemptStatus, HostFacts, Orphan, Outcome, Phase, StopOrder};
use reasons::{clock, counted, join_names, size};

/// What a record is about: its kind and the names of the things in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subjects {
    /// The event's kind, as its JSON says it, such as `attempt_placed`.
    pub kind: &'static str,
    /// The job's id.
    pub job: Option<String>,
    /// The task's id.
    pub task: Option<String>,
    /// The attempt's id.
    pub attempt: Option<String>,
    /// The host's id.
    pub host: Option<String>,
    /// The plan's id.
    pub plan: Option<String>,
}

impl Subjects {
    fn of(kind: &'static str) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    fn host(mut self, host: HostId) -> Self {
        self.host = Some(host.to_string());
        self
    }

    fn plan(mut self, plan: &PlanId) -> Self {
        self.plan = Some(plan.to_string());
        self
    }

    fn scope(mut self, scope: &FreezeScope) -> Self {
        if let FreezeScope::Job { job } = scope {
            self.job = Some(job.to_string());
        }
        self
    }

    fn job(mut self, job: &JobId) -> Self {
        self.job = Some(job.to_string());
        self
    }

    fn task(mut self, task: &TaskId) -> Self {
        self.job = Some(task.job.to_string());
        self.task = Some(task.to_string());
        self
    }

    fn attempt(mut self, attempt: AttemptId) -> Self {
        self.attempt = Some(attempt.to_string());
        self
    }
}

/// What the record itself names.
pub fn subjects(record: &Record) -> Subjects {
    match &record.event {
        Event::LeadershipTaken { .. } => Subjects::of("leadership_taken"),
        Event::CellTakenDown { .. } => Subjects::of("cell_taken_down"),
        Event::HostEnrolled { host, .. } => Subjects::of("host_enrolled").host(*host),
        Event::HostConnected { host } => Subjects::of("host_connected").host(*host),
        Event::HostUnreachable { host } => Subjects::of("host_unreachable").host(*host),
        Event::HostRemoved { host, .. } => Subjects::of("host_removed").host(*host),
        Event::HostAhead { host, .. } => Subjects::of("host_ahead").host(*host),
        Event::HostTaken { host, .. } => Subjects::of("host_taken").host(*host),
        Event::HostFollows { host } => Subjects::of("host_follows").host(*host),
        Event::HostReported { host, .. } => Subjects::of("host_reported").host(*host),
        Event::OrphansSeen { host, .. } => Subjects::of("orphans_seen").host(*host),
        Event::RepositoryTroubled { .. } => Subjects::of("repository_troubled"),
        Event::RepositoryRecovered => Subjects::of("repository_recovered"),
        Event::PlanMade { plan } => Subjects::of("plan_made").plan(&plan.id),
        Event::PlanPredicted { plan, .. } => Subjects::of("plan_predicted").plan(plan),
        Event::PlanApplied { plan } => Subjects::of("plan_applied").plan(plan),
        Event::PlanHeld { plan, .. } => Subjects::of("plan_held").plan(plan),
        Event::HooksBegan { plan, .. } => Subjects::of("hooks_began").plan(plan),
        Event::PlanApproved { plan, .. } => Subjects::of("plan_approved").plan(plan),
        Event::PlanRefused { plan, .. } => Subjects::of("plan_refused").plan(plan),
        Event::Frozen { scope, .. } => Subjects::of("frozen").scope(scope),
        Event::Resumed { scope, .. } => Subjects::of("resumed").scope(scope),
        Event::VersionBegan { job, .. } => Subjects {
            job: Some(job.to_string()),
            ..Subjects::of("version_began")
        },
        Event::GraceEnded { job } => Subjects {
            job: Some(job.to_string()),
            ..Subjects::of("grace_ended")
        },
        Event::JobScaled { job, .. } => Subjects {
            job: Some(job.to_string()),
            ..Subjects::of("job_scaled")
        },
        Event::ResizeEnded { job, .. } => Subjects {
            job: Some(job.to_string()),
            ..Subjects::of("resize_ended")
        },
        Event::PutBackOrdered { attempt, .. } => Subjects::of("put_back_ordered").attempt(*attempt),
        Event::RolloutStepped { job, .. } => Subjects::of("rollout_stepped").job(job),
        Event::RolloutSettled { job, .. } => Subjects::of("rollout_settled").job(job),
        Event::RolloutStalled { job, .. } => Subjects::of("rollout_stalled").job(job),
        Event::RolloutAborted { job, .. } => Subjects::of("rollout_aborted").job(job),
        Event::RolloutPromoted { job, .. } => Subjects::of("rollout_promoted").job(job),
        Event::RolloutRetried { job, .. } => Subjects::of("rollout_retried").job(job),
        Event::RolloutFinished { job, .. } => Subjects::of("rollout_finished").job(job),
        Event::AnalysisMeasured { job, .. } => Subjects::of("analysis_measured").job(job),
        Event::DeployRequested { spec, .. } => Subjects {
            job: Some(spec.job.to_string()),
            ..Subjects::of("deploy_requested")
        },
        Event::DeployCommitted { .. } => Subjects::of("deploy_committed"),
        Event::DeployCanceled { .. } => Subjects::of("deploy_canceled"),
        Event::DeployTakenBack { .. } => Subjects::of("deploy_taken_back"),
        Event::DeployNotTakenBack { .. } => Subjects::of("deploy_not_taken_back"),
        Event::DeployFinished { .. } => Subjects::of("deploy_finished"),
        Event::TokenCreated { .. } => Subjects::of("token_created"),
        Event::TokenRevoked { .. } => Subjects::of("token_revoked"),
        Event::TaskCreated { task, .. } => Subjects::of("task_created").task(task),
        Event::TaskQueued { task, .. } => Subjects::of("task_queued").task(task),
        Event::TaskBlocked { task, .. } => Subjects::of("task_blocked").task(task),
        Event::AttemptPlaced {
            attempt,
            task,
            host,
            ..
        } => Subjects::of("attempt_placed")
            .task(task)
            .attempt(*attempt)
            .host(*host),
        Event::AttemptReported { status } => {
            Subjects::of("attempt_reported").attempt(status.attempt)
        }
        Event::StopAnnounced { attempt, .. } => Subjects::of("stop_announced").attempt(*attempt),
        Event::StopWithdrawn { attempt } => Subjects::of("stop_withdrawn").attempt(*attempt),
        Event::StopOrdered { order } => {
            let subjects = Subjects::of("stop_ordered").attempt(order.attempt);
            match &order.plan {
                Some(plan) => subjects.plan(plan),
                None => subjects,
            }
        }
        Event::TaskFinished { task, .. } => Subjects::of("task_finished").task(task),
        Event::AttemptRetired { attempt } => Subjects::of("attempt_retired").attempt(*attempt),
        Event::AttemptForgotten { attempt } => Subjects::of("attempt_forgotten").attempt(*attempt),
        Event::TaskForgotten { task } => Subjects::of("task_forgotten").task(task),
        Event::JobForgotten { job } => Subjects {
            job: Some(job.to_string()),
            ..Subjects::of("job_forgotten")
        },
    }
}

/// Like [`subjects`], and for a record that names only an attempt, its task and host as well, where the fleet knows it.
///
/// The fleet before the record and the one after it do equally well, with one exception: `AttemptForgotten` needs the one
/// before.
pub fn subjects_in(fleet: &Fleet, record: &Record) -> Subjects {
    let subjects = subjects(record);
    let attempt = match &record.event {
        Event::AttemptReported { status } => status.attempt,
        Event::StopOrdered { order } => order.attempt,
        Event::AttemptRetired { attempt }
        | Event::AttemptForgotten { attempt }
        | Event::StopAnnounced { attempt, .. }
        | Event::StopWithdrawn { attempt }
        | Event::PutBackOrdered { attempt, .. } => *attempt,
        Event::LeadershipTaken { .. }
        | Event::CellTakenDown { .. }
        | Event::HostEnrolled { .. }
        | Event::HostConnected { .. }
        | Event::HostUnreachable { .. }
        | Event::HostRemoved { .. }
        | Event::HostAhead { .. }
        | Event::HostTaken { .. }
        | Event::HostFollows { .. }
        | Event::HostReported { .. }
        | Event::OrphansSeen { .. }
        | Event::RepositoryTroubled { .. }
        | Event::RepositoryRecovered
        | Event::PlanMade { .. }
        | Event::PlanPredicted { .. }
        | Event::PlanApplied { .. }
        | Event::PlanHeld { .. }
        | Event::HooksBegan { .. }
        | Event::PlanApproved { .. }
        | Event::PlanRefused { .. }
        | Event::Frozen { .. }
        | Event::Resumed { .. }
        | Event::VersionBegan { .. }
        | Event::GraceEnded { .. }
        | Event::JobScaled { .. }
        | Event::ResizeEnded { .. }
        | Event::RolloutStepped { .. }
        | Event::RolloutSettled { .. }
        | Event::RolloutStalled { .. }
        | Event::RolloutAborted { .. }
        | Event::RolloutPromoted { .. }
        | Event::RolloutRetried { .. }
        | Event::RolloutFinished { .. }
        | Event::AnalysisMeasured { .. }
        | Event::DeployRequested { .. }
        | Event::DeployCommitted { .. }
        | Event::DeployCanceled { .. }
        | Event::DeployTakenBack { .. }
        | Event::DeployNotTakenBack { .. }
        | Event::DeployFinished { .. }
        | Event::TokenCreated { .. }
        | Event::TokenRevoked { .. }
        | Event::TaskCreated { .. }
        | Event::TaskQueued { .. }
        | Event::TaskBlocked { .. }
        | Event::AttemptPlaced { .. }
        | Event::TaskFinished { .. }
        | Event::TaskForgotten { .. }
        | Event::JobForgotten { .. } => return subjects,
    };
    match fleet.attempts.get(&attempt) {
        Some(attempt) => subjects.task(&attempt.task).host(attempt.host),
        None => subjects,
    }
}

/// What happened, in a sentence without a full stop. `host_name` gives the name of a host; its id stands in where there
/// is none.
pub fn sentence(record: &Record, host_name: &dyn Fn(HostId) -> Option<String>) -> String {
    let name = |host: HostId| host_name(host).unwrap_or_else(|| format!("host {host}"));
    match &record.event {
        Event::LeadershipTaken { cell, version } => format!(
            "control plane {version} took the leadership of cell {cell} with epoch {}",
            record.epoch
        ),
        Event::CellTakenDown { reason } => {
            format!("the cell was taken down by {}: {reason}", record.actor)
        }
        Event::HostEnrolled { host: _, name } => format!("host {name} enrolled"),
        Event::HostConnected { host } => format!("the agent of {} connected", name(*host)),
        Event::HostUnreachable { host } => format!(
            "the agent of {} is not heard of any more; its tasks may well run on",
            name(*host)
        ),
        Event::HostRemoved { host, reason } => format!(
            "{} was removed by {}: {reason}; what ran there counts as lost",
            name(*host),
            record.actor
        ),
        Event::HostAhead { host, highest } => {
            format!("{} {}", name(*host), reasons::ahead(*highest))
        }
        Event::HostTaken {
            host,
            highest,
            reason,
        } => format!(
            "{} has {} follow this control plane although it has heard {}: {reason}",
            record.actor,
            name(*host),
            reasons::fence(*highest)
        ),
        Event::HostFollows { host } => {
            format!("{} follows this control plane's orders again", name(*host))
        }
        Event::HostReported { host: _, facts } => facts_sentence(facts),
        Event::OrphansSeen { host, orphans } => orphans_sentence(&name(*host), orphans),
        Event::RepositoryTroubled { trouble } => reasons::repository_trouble(trouble),
        Event::RepositoryRecovered => "the repository is well again".to_owned(),
        Event::PlanMade { plan } => plan_sentence(plan),
        Event::PlanPredicted { plan, prediction } => format!(
            "plan {} will start {} and stop {} within {} s, not counting how long containers take to start",
            short(plan.as_str()),
            counted(u64::from(prediction.started), "container", "containers"),
            counted(u64::from(prediction.stopped), "container", "containers"),
            prediction.seconds
        ),
        Event::PlanApplied { plan } => format!("plan {} was applied", short(plan.as_str())),
        Event::PlanHeld { plan, reasons } => format!(
            "plan {} is held: {}",
            short(plan.as_str()),
            reasons
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        ),
        Event::HooksBegan { plan, hook, jobs } => {
            let names: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
            let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
            let when = match hook {
                Hook::BeforeSync => "before",
                Hook::AfterSync => "after",
            };
            format!(
                "{} to run {when} plan {}: {}",
                counted(count, "hook begins", "hooks begin"),
                short(plan.as_str()),
                join_names(&names, count)
            )
        }
        Event::PlanApproved {
            plan,
            reason,
            expires_at,
        } => format!(
            "plan {} was approved by {} until {}: {reason}",
            short(plan.as_str()),
            record.actor,
            clock(*expires_at, record.at)
        ),
        Event::PlanRefused { plan, reason } => format!(
            "plan {} was refused by {}: {reason}",
            short(plan.as_str()),
            record.actor
        ),
        Event::Frozen {
            scope,
            reason,
            until,
        } => {
            let until = until.map_or(String::new(), |until| {
                format!(" until {}", clock(until, record.at))
            });
            format!("{scope} was frozen by {}{until}: {reason}", record.actor)
        }
        Event::Resumed { scope, reason } => {
            format!("{scope} was resumed by {}: {reason}", record.actor)
        }
        Event::JobScaled {
            job,
            desired,
            reason,
            until,
        } => {
            let until = until.map_or(String::new(), |until| {
                format!(" until {}", clock(until, record.at))
            });
            format!(
                "job {job} was scaled to {} by {}{until}: {reason}",
                counted(u64::from(*desired), "task", "tasks"),
                record.actor
            )
        }
        Event::ResizeEnded {
            job,
            by,
            desired,
            end,
        } => {
            let scaled = counted(u64::from(*desired), "task", "tasks");
            let why = match end {
                ResizeEnd::Expired => "its time is over".to_owned(),
                ResizeEnd::SelfHealed => "the policy heals what is not as git says".to_owned(),
                ResizeEnd::TakenBack => format!("{} took it back", record.actor),
            };
            format!(
                "job {job} has the size again that git says, not the {scaled} that {by} scaled it to: {why}"
            )
        }
        Event::PutBackOrdered { attempt: _, fields } => {
            if fields.is_empty() {
                "what was changed on its container is not put back any more".to_owned()
            } else {
                let fields: Vec<&str> = fields.iter().map(|field| field.path()).collect();
                format!(
                    "what somebody changed on its container beside Muster is put back: {}",
                    fields.join(", ")
                )
            }
        }
        Event::RolloutStepped {
            job: _,
            version,
            step,
            tasks,
        } => format!(
            "the rollout of version {version} goes on with step {}: {} on it",
            step + 1,
            counted(u64::from(*tasks), "task", "tasks")
        ),
        Event::RolloutSettled {
            job: _,
            version,
            keep_until: None,
        } => format!("the tasks on version {version} have been healthy for long enough"),
        Event::RolloutSettled {
            job: _,
            version,
            keep_until: Some(until),
        } => format!(
            "all tasks on version {version} have been healthy for long enough; those of the version before are kept until {}",
            clock(*until, record.at)
        ),
        Event::RolloutStalled {
            job: _,
            version,
            deadline,
            stuck,
        } => format!(
            "the rollout of version {version} has got no further for {deadline}: {}; the version before serves on",
            rollout::stuck_on(stuck)
        ),
        Event::RolloutAborted {
            job: _,
            version,
            reason,
        } => format!(
            "the rollout of version {version} was aborted by {}: {}; the version before serves on",
            record.actor,
            rollout::abort(reason)
        ),
        Event::RolloutPromoted {
            job: _,
            version,
            reason,
        } => format!(
            "the rollout of version {version} was let go on by {}: {reason}",
            record.actor
        ),
        Event::RolloutRetried {
            job: _,
            version,
            reason,
        } => format!(
            "the rollout of version {version} was begun again by {}: {reason}",
            record.actor
        ),
        Event::RolloutFinished { job: _, version } => {
            format!("version {version} is rolled out")
        }
        Event::AnalysisMeasured {
            job: _,
            version,
            name,
            measured,
            verdict,
        } => format!(
            "{name} of version {version} was measured: {}; {}",
            rollout::measured(measured),
            rollout::verdict(*verdict)
        ),
        Event::DeployRequested { deploy, spec } => format!(
            "deploy {deploy} of job {} was asked for by {}",
            spec.job, record.actor
        ),
        Event::DeployCommitted { deploy, commit } => {
            format!("deploy {deploy} is commit {}", short(commit.as_str()))
        }
        Event::DeployCanceled { deploy, reason } => {
            format!(
                "deploy {deploy} was taken back by {}: {reason}",
                record.actor
            )
        }
        Event::DeployTakenBack { deploy, commit } => format!(
            "deploy {deploy} is undone by commit {}",
            short(commit.as_str())
        ),
        Event::DeployNotTakenBack { deploy, trouble } => format!(
            "deploy {deploy} could not be undone and still stands in git: {}",
            reasons::take_back_trouble(trouble)
        ),
        Event::DeployFinished {
            deploy,
            status,
            message,
        } => format!(
            "deploy {deploy} has {}: {message}",
            match status {
                DeployStatus::Succeeded => "succeeded",
                DeployStatus::Failed => "failed",
                DeployStatus::Canceled => "been taken back",
                DeployStatus::Running => "gone on",
            }
        ),
        Event::VersionBegan { job, version } => {
            format!("all that job {job} depends on stands, and version {version} begins")
        }
        Event::GraceEnded { job } => format!(
            "the grace of job {job} is over: its document was removed, and its tasks are stopped"
        ),
        Event::TokenCreated {
            name, found: false, ..
        } => format!("token {name} was made by {}", record.actor),
        Event::TokenCreated {
            name,
            made_at,
            found: true,
        } => format!(
            "token {name} is taken, and no record says who made it, on {}: an earlier version, or whoever changed the file of tokens",
            clock(*made_at, record.at)
        ),
        Event::TokenRevoked { name, found: false } => {
            format!("token {name} was revoked by {}", record.actor)
        }
        Event::TokenRevoked { name, found: true } => format!(
            "token {name} is taken no more, and no record says who revoked it: the file of tokens was changed while no control plane ran"
        ),
        Event::TaskCreated { task, version, run } => match run {
            0 => format!("task {task} came to be, for version {version}"),
            run => format!("task {task} came to be, for version {version} in run {run}"),
        },
        Event::TaskQueued {
            reason, not_before, ..
        } => reasons::queued(reason, *not_before, record.at),
        Event::TaskBlocked { task: _, blocked } => reasons::blocked(blocked),
        Event::AttemptPlaced { number, host, .. } => {
            format!("placed on {} as attempt {number}", name(*host))
        }
        Event::AttemptReported { status } => status_sentence(status, record.at),
        Event::StopAnnounced {
            attempt: _,
            reason,
            until,
        } => reasons::asked(reason, *until, record.at),
        Event::StopWithdrawn { attempt: _ } => {
            "its owner need not move it any more: nothing is wrong with it".to_owned()
        }
        Event::StopOrdered { order } => stop_sentence(order),
        Event::TaskFinished {
            outcome, reason, ..
        } => format!(
            "finished ({}): {}",
            outcome_word(*outcome),
            reasons::finished(reason)
        ),
        Event::AttemptRetired { attempt: _ } => {
            "its container is to be removed, and its log with it".to_owned()
        }
        Event::AttemptForgotten { attempt: _ } => "its container is gone from its host".to_owned(),
        Event::TaskForgotten { task } => format!("task {task} moved to history"),
        Event::JobForgotten { job } => {
            format!("job {job} has no document and no tasks any more and moved to history")
        }
    }
}

/// An outcome's word.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Stopped => "stopped",
        Outcome::Lost => "lost",
    }
}

/// What an agent says about an attempt, in a sentence; `now` decides whether a time needs its date.
pub fn status_sentence(status: &AttemptStatus, now: Timestamp) -> String {
    match &status.phase {
        Phase::Accepted => "its host's agent has taken it on".to_owned(),
        // Whether it is there already is not known yet either.
        Phase::Pulling { done: 0, total: 0 } => "looking for the image".to_owned(),
        Phase::Pulling { done, total: 0 } => {
            format!("pulling the image: {} so far", size(*done))
        }
        Phase::Pulling { done, total } => {
            format!("pulling the image: {} of {}", size(*done), size(*total))
        }
        Phase::Waiting { message, until } => {
            format!("{message}; tried again at {}", clock(*until, now))
        }
        Phase::Creating => "creating the container".to_owned(),
        Phase::Running => running_sentence(status),
        Phase::Ended(ended) => ended.message.clone(),
    }
}

fn running_sentence(status: &AttemptStatus) -> String {
    let said = |what: &str| match &status.probe_message {
        Some(message) => format!("{what}: {message}"),
        None => what.to_owned(),
    };
    if status.live == Some(false) {
        return said("running, but its liveness probe fails");
    }
    let health = match status.ready {
        Some(true) => "running and healthy".to_owned(),
        Some(false) => said("running, but its readiness probe fails"),
        None => "running; its readiness probe has not answered yet".to_owned(),
    };
    if status.drift.is_empty() {
        return health;
    }
    let changed: Vec<String> = status.drift.iter().map(reasons::field_drift).collect();
    format!(
        "{health}; somebody on its host changed it beside Muster: {}",
        changed.join("; ")
    )
}

fn stop_sentence(order: &StopOrder) -> String {
    let plan = order.plan.as_ref().map_or(String::new(), |plan| {
        format!(" (plan {})", short(plan.as_str()))
    });
    format!(
        "stop ordered by {}: {}{plan}",
        order.actor,
        reasons::stop(&order.reason)
    )
}

/// A stop order in words: actor, reason and plan.
pub fn stop_order(order: &StopOrder) -> String {
    stop_sentence(order)
}

fn facts_sentence(facts: &HostFacts) -> String {
    let resources = &facts.resources;
    let mut text = format!(
        "host {} has {} CPUs, {} of memory and {} of disk, with {}",
        facts.name,
        resources.cpu,
        size(resources.memory.0),
        size(resources.disk.0),
        facts.engine
    );
    if let Some(not_ready) = &facts.not_ready {
        text.push_str("; it can take no tasks: ");
        text.push_str(not_ready);
    }
    if !facts.warnings.is_empty() {
        text.push_str("; ");
        text.push_str(&facts.warnings.join("; "));
    }
    text
}

fn orphans_sentence(host: &str, orphans: &[Orphan]) -> String {
    if orphans.is_empty() {
        return format!("no orphan is left on {host}");
    }
    let names: Vec<&str> = orphans
        .iter()
        .map(|orphan| {
            if orphan.task.is_empty() {
                short(&orphan.container)
            } else {
                orphan.task.as_str()
            }
        })
        .collect();
    let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
    format!(
        "{} on {host} that the control plane does not know: {}; they are left as they are",
        counted(count, "container", "containers"),
        join_names(&names, count)
    )
}

fn plan_sentence(plan: &Plan) -> String {
    let changes = u64::try_from(plan.changes.len()).unwrap_or(u64::MAX);
    let mut text = format!(
        "plan {} for revision {} ({}): {} to change, {} to start, {} to stop",
        short(plan.id.as_str()),
        short(plan.revision.commit.as_str()),
        plan.revision.subject,
        counted(changes, "job", "jobs"),
        counted(u64::from(plan.starts), "task", "tasks"),
        counted(u64::from(plan.stops), "task", "tasks"),
    );
    if !plan.refused.is_empty() {
        let refused = u64::try_from(plan.refused.len()).unwrap_or(u64::MAX);
        text.push_str(", ");
        text.push_str(&counted(refused, "fault", "faults"));
        text.push_str(" in documents that are not taken");
    }
    text
}

/// The first twelve characters of a digest, commit or container id: enough to tell it from others by eye.
pub fn short(id: &str) -> &str {
    id.char_indices().nth(12).map_or(id, |(end, _)| &id[..end])
}
