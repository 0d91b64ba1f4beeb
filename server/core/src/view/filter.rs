//! What the list calls can be filtered by. A field with several values wants any of them; several fields want all.

use super::job::JobTally;
use crate::fleet::{Deploy, Fleet, Host, Job, PlanEntry, Task};
use jiff::Timestamp;
use muster_schemas::api::{JobStatus, PlanStatus};
use muster_schemas::deploy::DeployStatus;
use muster_schemas::spec::{JobKind, Tier};
use muster_schemas::state::TaskState;
use std::collections::BTreeMap;

/// Which jobs a list holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    /// Part of the id, app, stack, detail, owner or image, in any case.
    pub q: Option<String>,
    /// Ids.
    pub job: Vec<String>,
    /// Statuses.
    pub state: Vec<JobStatus>,
    /// Applications.
    pub app: Vec<String>,
    /// Tiers.
    pub tier: Vec<Tier>,
    /// Kinds.
    pub kind: Vec<JobKind>,
    /// Owners.
    pub owner: Vec<String>,
    /// Capacity groups.
    pub capacity_group: Vec<String>,
    /// Labels, as key and value.
    pub label: Vec<(String, String)>,
    /// Whether a document asks for it.
    pub declared: Vec<bool>,
}

/// Which tasks a list holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    /// Part of the id, attempt, host, address, container or image, in any case.
    pub q: Option<String>,
    /// States.
    pub state: Vec<TaskState>,
    /// Hosts, by id or name.
    pub host: Vec<String>,
    /// Whether it is healthy.
    pub healthy: Vec<bool>,
    /// Whether its host's agent is connected.
    pub reachable: Vec<bool>,
    /// Whether it is in a crash loop.
    pub crash_loop: Vec<bool>,
    /// What its job has to be like; its `q`, `state` and `declared` are not looked at.
    pub job: JobFilter,
}

/// Which hosts a list holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostFilter {
    /// Part of the id, name, address, zone or engine, in any case.
    pub q: Option<String>,
    /// Hosts, by id or name.
    pub host: Vec<String>,
    /// Zones.
    pub zone: Vec<String>,
    /// Whether the agent is connected.
    pub reachable: Vec<bool>,
    /// Whether it can take tasks.
    pub ready: Vec<bool>,
    /// Labels, as key and value.
    pub label: Vec<(String, String)>,
}

/// Which plans a list holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanFilter {
    /// Part of the id, or of the revision's commit, author or subject, in any case.
    pub q: Option<String>,
    /// How it stands.
    pub state: Vec<PlanStatus>,
    /// Jobs of which it changes at least one.
    pub job: Vec<String>,
}

/// Which deploys a list holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeployFilter {
    /// Part of the id, job, execution or commit, or of who asked for it, in any case.
    pub q: Option<String>,
    /// How it stands.
    pub state: Vec<DeployStatus>,
    /// Jobs.
    pub job: Vec<String>,
}

fn any<T: PartialEq>(wanted: &[T], is: &T) -> bool {
    wanted.is_empty() || wanted.contains(is)
}

fn any_text(wanted: &[String], is: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == is)
}

fn any_label(wanted: &[(String, String)], labels: &BTreeMap<String, String>) -> bool {
    wanted.is_empty()
        || wanted
            .iter()
            .any(|(key, value)| labels.get(key) == Some(value))
}

/// Whether one of `texts` contains `q`, whatever the case.
fn found<'a>(q: Option<&str>, texts: impl IntoIterator<Item = &'a str>) -> bool {
    let Some(q) = q.filter(|q| !q.is_empty()) else {
        return true;
    };
    let q = q.to_lowercase();
    texts
        .into_iter()
        .any(|text| text.to_lowercase().contains(&q))
}

impl JobFilter {
    /// Whether the job's own fields match; `q` and `state` apart.
    fn matches_spec(&self, job: &Job) -> bool {
        let spec = job.spec();
        any_text(&self.job, job.id.as_str())
            && any_text(&self.app, spec.app())
            && any(&self.tier, &spec.tier)
            && any(&self.kind, &spec.kind())
            && any_text(&self.owner, &spec.owner)
            && any_text(&self.capacity_group, &spec.capacity_group)
            && any_label(&self.label, &spec.labels)
    }

    /// Whether a job is in the list.
    pub fn matches(&self, fleet: &Fleet, job: &Job, now: Timestamp) -> bool {
        let spec = job.spec();
        self.matches_spec(job)
            && any(&self.declared, &job.declared)
            && found(
                self.q.as_deref(),
                [
                    job.id.as_str(),
                    spec.app(),
                    spec.stack.as_deref().unwrap_or_default(),
                    spec.detail.as_deref().unwrap_or_default(),
                    &spec.owner,
                    &spec.image,
                ],
            )
            // The status takes a pass over the job's tasks: it comes last.
            && (self.state.is_empty()
                || self.state.contains(&JobTally::of(fleet, job, now).status(fleet, job).0))
    }
}

impl TaskFilter {
    /// Whether any task of the job can be in the list.
    pub fn matches_job(&self, job: &Job) -> bool {
        self.job.matches_spec(job)
    }

    /// Whether a task, whose job matches, is in the list.
    pub fn matches(&self, fleet: &Fleet, job: &Job, task: &Task, now: Timestamp) -> bool {
        if !(self.state.is_empty() || self.state.contains(&fleet.task_state(task)))
            || !(self.healthy.is_empty() || self.healthy.contains(&fleet.is_healthy(task)))
            || !(self.reachable.is_empty() || self.reachable.contains(&fleet.is_reachable(task)))
            || !any(&self.crash_loop, &fleet.in_crash_loop(task, now))
        {
            return false;
        }
        let attempt = fleet.last_attempt(task);
        let host = attempt
            .filter(|_| !task.is_queued())
            .and_then(|attempt| fleet.hosts.get(&attempt.host));
        if !self.host.is_empty() && !host.is_some_and(|host| names(&self.host, host)) {
            return false;
        }
        if self.q.as_deref().is_none_or(str::is_empty) {
            return true;
        }
        let id = task.id.to_string();
        let attempt_id = task.last_attempt.map(|id| id.to_string());
        let status = attempt.and_then(|attempt| attempt.status.as_ref());
        let version = job.versions.get(&task.version);
        found(
            self.q.as_deref(),
            [
                Some(id.as_str()),
                attempt_id.as_deref(),
                host.map(|host| host.name.as_str()),
                status.and_then(|status| status.ip.as_deref()),
                status.and_then(|status| status.container.as_deref()),
                version.map(|version| version.image.as_str()),
            ]
            .into_iter()
            .flatten(),
        )
    }
}

fn names(wanted: &[String], host: &Host) -> bool {
    let id = host.id.to_string();
    wanted
        .iter()
        .any(|wanted| *wanted == host.name || *wanted == id)
}

impl HostFilter {
    /// Whether a host is in the list.
    pub fn matches(&self, host: &Host) -> bool {
        let facts = host.facts.as_ref();
        let zone = facts.map_or("", |facts| facts.zone.as_str());
        let labelled = match facts {
            Some(facts) => any_label(&self.label, &facts.labels),
            None => self.label.is_empty(),
        };
        let id = host.id.to_string();
        (self.host.is_empty() || names(&self.host, host))
            && any_text(&self.zone, zone)
            && any(&self.reachable, &host.connected)
            && any(&self.ready, &super::host::is_ready(host))
            && labelled
            && found(
                self.q.as_deref(),
                [
                    id.as_str(),
                    &host.name,
                    zone,
                    facts.map_or("", |facts| facts.address.as_str()),
                    facts.map_or("", |facts| facts.engine.as_str()),
                ],
            )
    }
}

impl DeployFilter {
    /// Whether a deploy is in the list.
    pub fn matches(&self, deploy: &Deploy) -> bool {
        let commit = deploy.commit.as_ref();
        any(&self.state, &deploy.status)
            && any_text(&self.job, deploy.spec.job.as_str())
            && found(
                self.q.as_deref(),
                [
                    deploy.id.as_str(),
                    deploy.spec.job.as_str(),
                    &deploy.spec.execution,
                    commit.map_or("", |(commit, _)| commit.as_str()),
                    &deploy.by,
                ],
            )
    }
}

impl PlanFilter {
    /// Whether a plan is in the list.
    pub fn matches(&self, fleet: &Fleet, entry: &PlanEntry) -> bool {
        let plan = &entry.plan;
        any(&self.state, &super::plan::status(fleet, entry))
            && (self.job.is_empty()
                || plan
                    .changes
                    .iter()
                    .any(|change| any_text(&self.job, change.job.as_str())))
            && found(
                self.q.as_deref(),
                [
                    plan.id.as_str(),
                    plan.revision.commit.as_str(),
                    &plan.revision.author,
                    &plan.revision.subject,
                ],
            )
    }
}
