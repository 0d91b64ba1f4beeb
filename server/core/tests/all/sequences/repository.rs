//! What git says, commit by commit, whoever wrote it: people, or the control plane for a deploy, a cancel or a rollback.

use crate::sequences::steps::Written;
use muster_schemas::deploy::DeploySpec;
use muster_schemas::ids::{CommitId, DeployId, JobId};
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::{JobSpec, PolicySpec};
use std::collections::{BTreeMap, BTreeSet};

/// A commit, with all that it holds.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The documents that can be read, by job.
    pub jobs: BTreeMap<String, JobSpec>,
    /// The jobs whose documents cannot be read.
    pub broken: BTreeSet<String>,
    pub policy: Option<PolicySpec>,
    pub signed: bool,
    /// The deploy that it was made for, if it was.
    deploy: Option<DeployId>,
}

impl Commit {
    /// A document is written, or written anew.
    pub fn write(&mut self, Written(spec): &Written) {
        self.broken.remove(spec.name.as_str());
        self.jobs.insert(spec.name.to_string(), (**spec).clone());
    }

    /// The documents that hold, and what is wrong with the others: what depends on a job that is not there is refused, as the
    /// reader of the documents would.
    pub fn read(&self) -> (Vec<JobSpec>, Vec<Diagnostic>) {
        let is_there = |job: &JobId| {
            self.jobs.contains_key(job.as_str()) || self.broken.contains(job.as_str())
        };
        let (jobs, unmet): (Vec<&JobSpec>, Vec<&JobSpec>) = self
            .jobs
            .values()
            .partition(|spec| spec.depends_on.iter().all(is_there));
        let unmet = unmet.into_iter().map(|spec| spec.name.as_str());
        let broken = self.broken.iter().map(String::as_str);
        let diagnostics = broken.chain(unmet).map(|name| Diagnostic {
            code: "unknown-field".to_owned(),
            path: format!("jobs/{name}.yaml"),
            line: 3,
            column: 1,
            source_line: String::new(),
            width: 0,
            message: "no such field".to_owned(),
            help: String::new(),
            job: Some(name.into()),
        });
        (jobs.into_iter().cloned().collect(), diagnostics.collect())
    }
}

/// A branch that nobody ever sets back.
#[derive(Debug, Default)]
pub struct Repository {
    commits: Vec<Commit>,
}

impl Repository {
    /// The newest commit; an empty one before the first.
    pub fn head(&self) -> Commit {
        self.commits.last().cloned().unwrap_or_default()
    }

    /// The number of the newest commit, from 1.
    pub fn number(&self) -> u32 {
        u32::try_from(self.commits.len()).expect("few")
    }

    pub fn head_id(&self) -> CommitId {
        CommitId(format!("{:040x}", self.number()))
    }

    /// The commit with this id.
    pub fn commit(&self, id: &CommitId) -> &Commit {
        &self.commits[place(id)]
    }

    /// Somebody changes something on top of the newest commit.
    pub fn push(&mut self, signed: bool, change: impl FnOnce(&mut Commit)) {
        let mut commit = Commit {
            signed,
            deploy: None,
            ..self.head()
        };
        change(&mut commit);
        self.commits.push(commit);
    }

    /// Commits what earlier commit number `to`, of those there are, said of one job or of everything. Says nothing where there is
    /// nothing to go back to.
    pub fn roll_back(&mut self, to: usize, job: Option<&str>) {
        let then = self.commits[to].clone();
        match job {
            None => self.push(true, |commit| {
                *commit = Commit {
                    signed: true,
                    deploy: None,
                    ..then
                }
            }),
            Some(job) => {
                if let Some(spec) = then.jobs.get(job) {
                    self.push(true, |commit| {
                        commit.broken.remove(job);
                        commit.jobs.insert(job.to_owned(), spec.clone());
                    });
                }
            }
        }
    }

    /// Commits what a deploy asks for; none where the job's document cannot become that. The commit is the head where it
    /// says so already.
    pub fn deploy(&mut self, id: &DeployId, wish: &DeploySpec) -> Option<CommitId> {
        let head = self.head();
        let before = head.jobs.get(wish.job.as_str())?;
        let mut spec = before.clone();
        if let Some(image) = &wish.image {
            spec.image.clone_from(image);
        }
        if let (Some(desired), Some(service)) = (wish.desired, &mut spec.service) {
            service.capacity.desired = desired;
        }
        if let (Some(run), Some(batch)) = (&wish.run, &mut spec.batch) {
            batch.run = Some(run.clone());
        }
        if !holds(&spec) {
            return None;
        }
        if spec != *before {
            self.push(true, |commit| {
                commit.jobs.insert(spec.name.to_string(), spec);
                commit.deploy = Some(id.clone());
            });
        }
        Some(self.head_id())
    }

    /// Undoes the commit that a deploy became: the document is as it was before, unless somebody has made it something else.
    /// Whoever found nothing to change has nothing to undo.
    pub fn take_back(&mut self, id: &DeployId, wish: &DeploySpec, commit: &CommitId) -> CommitId {
        let job = wish.job.as_str();
        let stands = self
            .head()
            .jobs
            .get(job)
            .is_some_and(|spec| says(spec, wish));
        if stands && self.commit(commit).deploy.as_ref() == Some(id) {
            self.roll_back(place(commit) - 1, Some(job));
        }
        self.head_id()
    }
}

fn place(id: &CommitId) -> usize {
    let number = usize::from_str_radix(id.as_str(), 16).expect("a number of ours");
    number - 1
}

/// Whether a document says what a deploy asks for.
pub fn says(spec: &JobSpec, wish: &DeploySpec) -> bool {
    let image = wish.image.as_ref().is_none_or(|image| spec.image == *image);
    let desired = wish.desired.is_none_or(|desired| {
        let service = spec.service.as_ref();
        service.is_some_and(|service| service.capacity.desired == desired)
    });
    let run = wish.run.as_ref().is_none_or(|run| {
        let batch = spec.batch.as_ref();
        batch.is_some_and(|batch| batch.run.as_ref() == Some(run))
    });
    image && desired && run
}

/// Whether the reader would take the document: a budget that spares no task is refused where nothing can stand in for one.
pub fn holds(spec: &JobSpec) -> bool {
    let (Some(budget), Some(service)) = (&spec.disruption_budget, &spec.service) else {
        return true;
    };
    let desired = service.capacity.desired;
    desired == 0 || service.rollout.max_surge > 0 || budget.floor(desired) < desired
}
