//! What a deploy's commit changed, undone: each field that it set and that still has its value is as it was before. What others wrote since
//! stays, and nothing comes back that was taken back itself.

use super::commits::{checked, edit, place_of, revision_of, unavailable};
use crate::api::state::CommandFault;
use crate::git::{Content, Reading, Remote, with_trailer};
use muster_core::decide::deploy::asks_for;
use muster_core::fleet::{Deploy, Fleet};
use muster_core::specs::edit::restore_field;
use muster_core::specs::{self, SpecFile};
use muster_schemas::deploy::DeploySpec;
use muster_schemas::ids::{CommitId, JobId};
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::{JobSpec, Spec};
use std::collections::BTreeMap;

/// The trailer by which a deploy's commit is known.
pub(super) const TRAILER: &str = "Muster-Deploy";

/// A deploy that is taken back, with the others of its job that were.
#[derive(Debug, Clone)]
pub(super) struct TakeBack {
    deploy: Deploy,
    others: Vec<Deploy>,
}

impl TakeBack {
    pub(super) fn of(fleet: &Fleet, deploy: &Deploy) -> Self {
        let others = fleet.deploys.iter().filter(|other| {
            other.take_back && other.id != deploy.id && other.spec.job == deploy.spec.job
        });
        Self {
            deploy: deploy.clone(),
            others: others.cloned().collect(),
        }
    }

    /// What the head is to hold. Where there is nothing to undo that is what it holds.
    pub(super) fn content(&self, remote: &Remote, head: Reading) -> Result<Content, CommandFault> {
        let nothing = || Ok(Content::Files(Vec::new()));
        let history =
            with_trailer(remote, TRAILER).map_err(|trouble| unavailable(trouble.to_string()))?;
        // The oldest is its own: the others undo it. One that changed nothing has none, whatever was the head then.
        let own = history
            .iter()
            .rposition(|(_, id)| id == self.deploy.id.as_str());
        let Some(own) = own else {
            return nothing();
        };
        let job = &self.deploy.spec.job;
        let mut past = Past {
            remote,
            history,
            read: BTreeMap::new(),
        };
        // Whether the values of a document that does not hold still stand nobody can say: once it is mended they may.
        if job_in(&head.files, job).is_none()
            && let Some(fault) = fault_of(&head.files, &past.before(own, job)?.path, job)
        {
            return Err(CommandFault::Conflict(fault));
        }
        let Some(path) = place_of(&head.files, job) else {
            return nothing();
        };
        let mut text = edit(&head, &path, |text| Ok(text.to_owned()))?;
        let mut is_changed = false;
        for (field, asked) in fields(&self.deploy.spec) {
            let stands = job_in(&head.files, job).is_some_and(|job| asks_for(&job, &asked));
            if stands {
                let before = self.before(&mut past, own, &field)?;
                text = restore_field(&before, &text, job, &field)
                    .map_err(|error| CommandFault::Conflict(format!("{path}: {error}")))?;
                is_changed = true;
            }
        }
        if is_changed {
            checked(head, &path, text, job)
        } else {
            nothing()
        }
    }

    /// The file with the job's document as it was when the field had a value that nobody has taken back.
    fn before(
        &self,
        past: &mut Past<'_>,
        mut commit: usize,
        field: &[String],
    ) -> Result<String, CommandFault> {
        let job = &self.deploy.spec.job;
        loop {
            let file = past.before(commit, job)?;
            let spec = job_in(std::slice::from_ref(&file), job);
            // Who set it to that: the newest before, among those that were taken back.
            let set_by = |id: &str| {
                let other = self.others.iter().find(|other| other.id.as_str() == id)?;
                fields(&other.spec)
                    .into_iter()
                    .find_map(|(path, asked)| (path == field).then_some(asked))
            };
            let mut earlier = past.history.iter().enumerate().skip(commit + 1);
            let earlier = earlier.find_map(|(place, (_, id))| {
                let (asked, spec) = set_by(id).zip(spec.as_ref())?;
                asks_for(spec, &asked).then_some(place)
            });
            match earlier {
                Some(earlier) => commit = earlier,
                None => return text_of(&file),
            }
        }
    }
}

/// What the branch held, as far as it was asked for.
struct Past<'r> {
    remote: &'r Remote,
    /// The commits of deploys, newest first.
    history: Vec<(CommitId, String)>,
    read: BTreeMap<usize, SpecFile>,
}

impl Past<'_> {
    /// The file with the job's document before a commit.
    fn before(&mut self, commit: usize, job: &JobId) -> Result<SpecFile, CommandFault> {
        if let Some(file) = self.read.get(&commit) {
            return Ok(file.clone());
        }
        let (id, _) = &self.history[commit];
        let reading = revision_of(self.remote, &format!("{id}~1"))?;
        let path = place_of(&reading.files, job);
        let file = reading
            .files
            .into_iter()
            .find(|file| Some(&file.path) == path.as_ref())
            .ok_or_else(|| {
                CommandFault::NotFound(format!(
                    "revision {} has no document of job `{job}`",
                    reading.revision.commit
                ))
            })?;
        self.read.insert(commit, file.clone());
        Ok(file)
    }
}

fn text_of(file: &SpecFile) -> Result<String, CommandFault> {
    std::str::from_utf8(&file.bytes)
        .map(str::to_owned)
        .map_err(|_| CommandFault::Conflict(format!("{} is not UTF-8", file.path)))
}

/// The job's document, where it holds.
fn job_in(files: &[SpecFile], job: &JobId) -> Option<JobSpec> {
    let documents = specs::read(files);
    documents
        .specs
        .into_iter()
        .find_map(|located| match located.spec {
            Spec::Job(spec) if spec.name == *job => Some((*spec).clone()),
            Spec::Job(_) | Spec::Policy(_) => None,
        })
}

/// Why the document of a job does not hold, of which the file was `path`; none where there is no such document.
fn fault_of(files: &[SpecFile], path: &str, job: &JobId) -> Option<String> {
    let read = specs::read(files);
    let mut faults = read.diagnostics.iter();
    let is_its_own = |fault: &&Diagnostic| match &fault.job {
        Some(named) => named == job,
        None => fault.path == path,
    };
    let fault = faults.find(is_its_own)?;
    Some(format!(
        "the document of job `{job}` does not hold: {}:{}: {}",
        fault.path, fault.line, fault.message
    ))
}

/// Each field that a deploy sets and that can be taken back, with the wish for that field alone. A run of a batch is none of them: any
/// other text, also one from before, would begin all of its work once more.
fn fields(spec: &DeploySpec) -> Vec<(Vec<String>, DeploySpec)> {
    let nothing = DeploySpec {
        image: None,
        desired: None,
        env: BTreeMap::new(),
        run: None,
        ..spec.clone()
    };
    let path = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mut fields = Vec::new();
    if spec.image.is_some() {
        let image = spec.image.clone();
        fields.push((
            path("image"),
            DeploySpec {
                image,
                ..nothing.clone()
            },
        ));
    }
    if spec.desired.is_some() {
        let desired = spec.desired;
        fields.push((
            path("service.capacity.desired"),
            DeploySpec {
                desired,
                ..nothing.clone()
            },
        ));
    }
    for (name, value) in &spec.env {
        let env = BTreeMap::from([(name.clone(), value.clone())]);
        fields.push((
            vec!["env".to_owned(), name.clone()],
            DeploySpec {
                env,
                ..nothing.clone()
            },
        ));
    }
    fields
}
