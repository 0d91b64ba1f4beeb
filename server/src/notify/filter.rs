//! Which events a target is told.

use muster_core::describe::subjects_in;
use muster_core::fleet::Fleet;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::JobId;
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
        let any_job = self.jobs.is_empty() && self.apps.is_empty();
        any_job
            || jobs_of(fleet, record)
                .iter()
                .any(|concerned| self.wants_job(concerned))
    }

    /// Whether a job is one of those that are asked for.
    pub fn wants_job(&self, concerned: &Concerned) -> bool {
        let by_name = self.jobs.is_empty() || self.jobs.contains(concerned.job.as_str());
        let app = concerned.app.as_ref();
        let by_app = self.apps.is_empty() || app.is_some_and(|app| self.apps.contains(app));
        by_name && by_app
    }
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

/// The jobs that a record is about: its own, that of its deploy, or those that its plan changes, as far as the fleet still
/// knows them.
pub fn jobs_of(fleet: &Fleet, record: &Record) -> Vec<Concerned> {
    let changed_by = |plan: &Plan| {
        let changes = plan.changes.iter();
        changes
            .map(|change| Concerned::changed(fleet, change))
            .collect()
    };
    if let Event::PlanMade { plan } = &record.event {
        return changed_by(plan);
    }
    if let Event::DeployCommitted { deploy, .. }
    | Event::DeployCanceled { deploy, .. }
    | Event::DeployTakenBack { deploy, .. }
    | Event::DeployFinished { deploy, .. } = &record.event
    {
        let deploy = fleet.deploy(deploy);
        let job = deploy.map(|deploy| Concerned::known(fleet, deploy.spec.job.clone()));
        return job.into_iter().collect();
    }
    let subjects = subjects_in(fleet, record);
    if let Some(job) = subjects.job {
        return vec![Concerned::known(fleet, JobId::from(job))];
    }
    let entry = subjects.plan.and_then(|plan| fleet.plan(&plan.into()));
    entry.map_or(Vec::new(), |entry| changed_by(&entry.plan))
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
