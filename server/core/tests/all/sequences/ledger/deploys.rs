//! Deploys: each ends once, as it says, and what was canceled is taken back.

use super::{image_of, serving, wanted};
use crate::sequences::repository::says;
use jiff::Timestamp;
use muster_core::fleet::{Fleet, TaskPhase};
use muster_schemas::deploy::{DeploySpec, DeployStatus};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{CommitId, DeployId};
use muster_schemas::spec::JobKind;
use muster_schemas::state::Outcome;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Deploys {
    known: BTreeMap<DeployId, Known>,
}

struct Known {
    wish: DeploySpec,
    commit: Option<CommitId>,
    status: DeployStatus,
    canceled: bool,
    taken_back: bool,
}

impl Deploys {
    /// Looks at a record, with the fleet as it was before.
    pub fn audit(&mut self, fleet: &Fleet, record: &Record) {
        match &record.event {
            Event::DeployRequested { deploy, spec } => {
                let known = Known {
                    wish: spec.clone(),
                    commit: None,
                    status: DeployStatus::Running,
                    canceled: false,
                    taken_back: false,
                };
                let before = self.known.insert(deploy.clone(), known);
                assert!(before.is_none(), "{deploy} was there already");
            }
            Event::DeployCommitted { deploy, commit } => {
                let known = self.known(deploy);
                assert!(known.commit.is_none(), "{deploy} is committed twice");
                known.commit = Some(commit.clone());
            }
            Event::DeployCanceled { deploy, .. } => {
                let known = self.known(deploy);
                assert!(!known.canceled, "{deploy} is canceled twice");
                known.canceled = true;
                match known.status {
                    DeployStatus::Running => known.status = DeployStatus::Canceled,
                    // It has come to nothing, and still stands in git.
                    DeployStatus::Failed => {}
                    status => panic!("{deploy} was {} already", status.word()),
                }
            }
            Event::DeployTakenBack { deploy, .. } => {
                let known = self.known(deploy);
                assert!(known.canceled, "nobody canceled {deploy}");
                assert!(known.commit.is_some(), "{deploy} was never committed");
                assert!(!known.taken_back, "{deploy} is taken back twice");
                known.taken_back = true;
            }
            Event::DeployFinished { deploy, status, .. } => {
                let known = self.known(deploy);
                assert_eq!(known.status, DeployStatus::Running, "{deploy} ends again");
                known.status = *status;
                match status {
                    DeployStatus::Succeeded => {
                        assert!(known.commit.is_some(), "{deploy} was never committed");
                        runs(fleet, deploy, &known.wish);
                    }
                    DeployStatus::Failed => {}
                    status => panic!("{deploy} does not end as {}", status.word()),
                }
            }
            _ => {}
        }
    }

    /// The fleet says the same of all deploys, and none is under way whose time is over.
    pub fn compare(&self, fleet: &Fleet, now: Timestamp) {
        assert_eq!(fleet.deploys.len(), self.known.len());
        for deploy in &fleet.deploys {
            let (id, status) = (&deploy.id, self.known[&deploy.id].status);
            assert_eq!(deploy.status, status, "{id}");
            let in_time = status != DeployStatus::Running || now < deploy.spec.deadline;
            assert!(in_time, "the time of {id} is over");
        }
    }

    /// Whether it has not ended yet.
    pub fn is_under_way(&self, deploy: &DeployId) -> bool {
        self.known[deploy].status == DeployStatus::Running
    }

    /// After the last deadline, with a repository that can be written: each has ended, and nothing canceled stands.
    pub fn all_are_settled(&self) {
        for (id, known) in &self.known {
            assert!(!self.is_under_way(id), "{id} never ends");
            let stands = known.canceled && known.commit.is_some() && !known.taken_back;
            assert!(!stands, "{id} was canceled and its commit stands");
        }
    }

    fn known(&mut self, deploy: &DeployId) -> &mut Known {
        self.known
            .get_mut(deploy)
            .expect("somebody asked for it before")
    }
}

/// The job runs what a deploy that succeeded had asked for.
fn runs(fleet: &Fleet, deploy: &DeployId, wish: &DeploySpec) {
    let job = &fleet.jobs[&wish.job];
    assert!(!job.pruned, "{deploy}: {} has to go", job.id);
    assert!(says(job.spec(), wish), "{deploy} is not what {} is", job.id);
    if job.spec().kind() == JobKind::Service {
        let new = serving(fleet, job)
            .filter(|attempt| image_of(job, attempt.version) == job.spec().image);
        let (new, wanted) = (new.count(), wanted(job));
        assert!(new >= wanted as usize, "{deploy}: {new} of {wanted} serve");
    } else if wish.run.is_some() {
        for index in 0..job.spec().size() {
            let task = &job.tasks[&index];
            let succeeded = matches!(
                &task.phase,
                TaskPhase::Finished {
                    outcome: Outcome::Succeeded,
                    ..
                }
            );
            assert!(succeeded, "{deploy}: {} has not succeeded", task.id);
        }
    }
}
