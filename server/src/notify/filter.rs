//! Which events a target is told.

use muster_core::describe::subjects_in;
use muster_core::fleet::{Fleet, Job};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::plan::{JobAction, JobChange, Plan};
use std::collections::BTreeSet;

/// What narrows the events down; what is empty does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Kinds of events, such as `plan_held`.
    pub kinds: BTreeSet<String>,
    /// Events about these jobs or their tasks, and about plans and deploys that change one of them.
    pub jobs: BTreeSet<String>,
    /// Events about jobs of these applications, likewise.
    pub apps: BTreeSet<String>,
}

impl Filter {
    /// Whether an event of this kind may be wanted.
    pub fn wants_kind(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(kind)
    }

    /// Whether the record is wanted. `fleet` is the one at the record or later.
    pub fn wants(&self, fleet: &Fleet, record: &Record) -> bool {
        if !self.wants_kind(subjects_in(fleet, record).kind) {
            return false;
        }
        !self.names_jobs()
            || match concerns(fleet, record) {
                Concerns::Jobs(jobs) => jobs.iter().any(|concerned| self.wants_job(concerned)),
                // One too many is looked at and put aside; one that is missing is missed.
                Concerns::Forgotten => true,
            }
    }

    /// Whether only some jobs are asked for.
    pub fn names_jobs(&self) -> bool {
        !self.jobs.is_empty() || !self.apps.is_empty()
    }

    /// Whether a job is one of those that are asked for, or may be.
    pub fn wants_job(&self, concerned: &Concerned) -> bool {
        let by_name = self.jobs.is_empty() || self.jobs.contains(concerned.job.as_str());
        let app = concerned.app.as_ref();
        let by_app = self.apps.is_empty() || app.is_none_or(|app| self.apps.contains(app));
        by_name && by_app
    }
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerns {
    /// These jobs; none where it is about no job.
    Jobs(Vec<Concerned>),
    /// It names a plan, a deploy or an attempt whose jobs the fleet does not know any more: a target that is behind, or a restart in
    /// between, reads a record later than it was made.
    Forgotten,
}

/// A job that a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concerned {
    /// The job.
    pub job: JobId,
    /// Its application; none for a job that the fleet does not know any more.
    pub app: Option<String>,
}

impl Concerned {
    fn known(fleet: &Fleet, job: JobId) -> Self {
        let known = fleet.jobs.get(&job);
        Self {
            app: known.map(|job| job.spec().app().to_owned()),
            job,
        }
    }

    /// A job that a plan changes: a new one is in no fleet yet.
    fn changed(fleet: &Fleet, change: &JobChange) -> Self {
        match &change.action {
            JobAction::Create { target } | JobAction::Update { target } => Self {
                job: change.job.clone(),
                app: Some(target.spec.app().to_owned()),
            },
            JobAction::Move { .. }
            | JobAction::Prune { .. }
            | JobAction::Undeclare { .. }
            | JobAction::Redeclare { .. } => Self::known(fleet, change.job.clone()),
        }
    }
}

/// What a record is about: its own job, that of its deploy, or those that its plan changes.
pub fn concerns(fleet: &Fleet, record: &Record) -> Concerns {
    let changed_by = |plan: &Plan| {
        let changes = plan.changes.iter();
        Concerns::Jobs(
            changes
                .map(|change| Concerned::changed(fleet, change))
                .collect(),
        )
    };
    let known = |job: JobId| Concerns::Jobs(vec![Concerned::known(fleet, job)]);
    if let Event::PlanMade { plan } = &record.event {
        return changed_by(plan);
    }
    if let Event::DeployCommitted { deploy, .. }
    | Event::DeployCanceled { deploy, .. }
    | Event::DeployTakenBack { deploy, .. }
    | Event::DeployNotTakenBack { deploy, .. }
    | Event::DeployFinished { deploy, .. } = &record.event
    {
        let deploy = fleet.deploy(deploy);
        return deploy.map_or(Concerns::Forgotten, |deploy| known(deploy.spec.job.clone()));
    }
    let subjects = subjects_in(fleet, record);
    if let Some(job) = subjects.job {
        return known(JobId::from(job));
    }
    if let Some(plan) = subjects.plan {
        let entry = fleet.plan(&plan.into());
        return entry.map_or(Concerns::Forgotten, |entry| changed_by(&entry.plan));
    }
    match subjects.attempt {
        Some(attempt) => attempt
            .parse()
            .ok()
            .and_then(|attempt| job_of_past(fleet, attempt))
            .map_or(Concerns::Forgotten, |job| known(job.clone())),
        None => Concerns::Jobs(Vec::new()),
    }
}

/// The job of an attempt that has left its host: its task remembers it for a while. It is looked for in all of them, which only
/// records of such attempts are worth.
fn job_of_past(fleet: &Fleet, attempt: AttemptId) -> Option<&JobId> {
    let mut jobs = fleet.jobs.values();
    let is_of = |job: &&Job| {
        let mut past = job.tasks.values().flat_map(|task| &task.past);
        past.any(|known| known.id == attempt)
    };
    jobs.find(is_of).map(|job| &job.id)
}

/// The jobs that a record is about, as far as the fleet still knows them.
pub fn jobs_of(fleet: &Fleet, record: &Record) -> Vec<Concerned> {
    match concerns(fleet, record) {
        Concerns::Jobs(jobs) => jobs,
        Concerns::Forgotten => Vec::new(),
    }
}

/// Says which kinds there are where `kind` is none.
///
/// # Errors
/// A sentence that lists them.
pub fn check_kind(kind: &str) -> Result<(), String> {
    // The vocabulary's own list: an event of this kind with nothing in it either reads, lacks fields, or is of no kind.
    let empty = serde_json::json!({ "event": kind });
    match serde_json::from_value::<Event>(empty) {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = error.to_string();
            match error.strip_prefix("unknown variant ") {
                Some(rest) => Err(format!(
                    "there is no kind of event {}",
                    rest.replacen(", expected one of", "; write one of", 1)
                )),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use muster_schemas::deploy::DeployStatus;
    use muster_schemas::ids::{DeployId, HostId, PlanId};
    use muster_schemas::state::Actor;

    fn record(event: Event) -> Record {
        Record {
            seq: 7,
            at: Timestamp::UNIX_EPOCH,
            epoch: 1,
            actor: Actor::Person("ann".to_owned()),
            event,
        }
    }

    fn only(jobs: &[&str], apps: &[&str]) -> Filter {
        let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Filter {
            kinds: BTreeSet::new(),
            jobs: all(jobs),
            apps: all(apps),
        }
    }

    #[test]
    fn what_the_fleet_has_forgotten_is_told_rather_than_dropped() {
        let fleet = Fleet::default();
        let forgotten = [
            Event::PlanApplied {
                plan: PlanId::from("aa11"),
            },
            Event::DeployFinished {
                deploy: DeployId::from("d1"),
                status: DeployStatus::Failed,
                message: "it was not done in time".to_owned(),
            },
            Event::AttemptRetired {
                attempt: AttemptId(uuid::Uuid::from_u128(1)),
            },
        ];
        for event in forgotten {
            let record = record(event);
            assert!(only(&["web"], &[]).wants(&fleet, &record), "{record:?}");
            assert!(only(&[], &["shop"]).wants(&fleet, &record), "{record:?}");
        }
        // The job is named, and whose it was cannot be told.
        let gone = record(Event::JobForgotten {
            job: JobId::from("web"),
        });
        assert!(only(&[], &["shop"]).wants(&fleet, &gone));
        assert!(only(&["web"], &["shop"]).wants(&fleet, &gone));
        assert!(!only(&["other"], &["shop"]).wants(&fleet, &gone));
        // What is about no job at all is still not what such a target asks for.
        let host = record(Event::HostConnected {
            host: HostId(uuid::Uuid::from_u128(1)),
        });
        assert!(!only(&["web"], &[]).wants(&fleet, &host));
    }

    #[test]
    fn kinds_are_those_of_the_journal() {
        for kind in [
            "plan_held",
            "repository_recovered",
            "attempt_placed",
            "deploy_finished",
        ] {
            assert_eq!(check_kind(kind), Ok(()), "{kind}");
        }
        let error = check_kind("plan_hold").unwrap_err();
        assert!(
            error.starts_with(
                "there is no kind of event `plan_hold`; write one of `leadership_taken`, "
            ),
            "{error}"
        );
        assert!(error.contains("`plan_held`"), "{error}");
    }
}
