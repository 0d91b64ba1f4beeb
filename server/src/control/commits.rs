//! What people and pipelines change becomes a commit: git stays the only desired state.

use super::handle::{ControlHandle, followed};
use super::take_back::{TRAILER, TakeBack};
use crate::api::state::CommandFault;
use crate::git::{
    CommitError, Content, Followed, NewCommit, ReadAtError, Reading, Remote, SigningKey, commit,
    read, read_in_history,
};
use jiff::Timestamp;
use muster_core::fleet::Deploy;
use muster_core::signatures::{Verdict, judge, signer_by_fingerprint};
use muster_core::specs::edit::{EditError, NewValue, set_fields, take_document};
use muster_core::specs::{self, SpecFile};
use muster_schemas::ids::{CommitId, JobId};
use muster_schemas::plan::Revision;
use muster_schemas::spec::Spec;
use std::fmt::Write as _;
use std::sync::Arc;

/// The branch may move on while a commit is made; so often it is made anew on the new head.
const TRIES: u32 = 5;

/// What is to be committed.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Fields of one job's document.
    Fields {
        /// The job.
        job: JobId,
        /// Where its document stands, as the fleet knows it.
        path: String,
        /// The fields.
        fields: Vec<(Vec<String>, NewValue)>,
    },
    /// One job's document as a revision had it.
    Document {
        /// The job.
        job: JobId,
        /// The revision.
        revision: String,
    },
    /// What a deploy changed, undone.
    TakeBack(Box<TakeBack>),
    /// All files as a revision had them.
    All {
        /// The revision.
        revision: String,
    },
}

/// The repository as the control plane commits to it.
#[derive(Debug, Clone)]
pub struct Committing {
    /// Where it is.
    pub remote: Remote,
    /// The key that signs its own commits, if there is one.
    pub key: Option<Arc<SigningKey>>,
}

/// What was committed.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    /// The commit; the head where nothing had to change.
    pub commit: CommitId,
    /// Whether anything changed.
    pub changed: bool,
}

/// Commits a change for `by` and has the repository read. `message` is the subject; trailers say who and why.
pub(super) async fn commit_change(
    control: &ControlHandle,
    repository: &Committing,
    by: String,
    change: Change,
    subject: String,
    trailers: Vec<(&'static str, String)>,
) -> Result<Committed, CommandFault> {
    let repository = repository.clone();
    let control = control.clone();
    let woken = control.clone();
    let message = message(&subject, &trailers);
    let committed = tokio::task::spawn_blocking(move || {
        for _ in 0..TRIES {
            match try_commit(&control, &repository, &by, &change, &message) {
                Err(Failure::HeadMoved) => {}
                Err(Failure::Fault(fault)) => return Err(fault),
                Ok(committed) => return Ok(committed),
            }
        }
        Err(CommandFault::Unavailable(format!(
            "the branch moved on {TRIES} times while the commit was made"
        )))
    })
    .await
    .map_err(|error| CommandFault::Unavailable(error.to_string()))??;
    woken.refresh();
    Ok(committed)
}

enum Failure {
    HeadMoved,
    Fault(CommandFault),
}

impl From<CommandFault> for Failure {
    fn from(fault: CommandFault) -> Self {
        Self::Fault(fault)
    }
}

fn try_commit(
    control: &ControlHandle,
    repository: &Committing,
    by: &str,
    change: &Change,
    message: &str,
) -> Result<Committed, Failure> {
    let remote = &repository.remote;
    let (policy, followed) = control.read(|fleet| (fleet.policy.clone(), followed(fleet)));
    let key = key_for(repository, &followed)?;
    let head = read(remote, &followed).map_err(|trouble| unavailable(trouble.to_string()))?;
    // Our signature vouches for the head, so it is not put on top of a commit that would be refused without it.
    if let Verdict::Refused(trouble) = judge(policy.as_ref(), &head.signed, Timestamp::now()) {
        return Err(CommandFault::Conflict(format!(
            "nothing is committed on top of a head that is not followed: {trouble}"
        ))
        .into());
    }
    let parent = head.revision.commit.clone();
    let content = content(remote, head, change)?;
    let new = NewCommit {
        parent: parent.clone(),
        content,
        author: by.to_owned(),
        message: message.to_owned(),
    };
    match commit(remote, &new, key) {
        Ok(commit) => Ok(Committed {
            commit,
            changed: true,
        }),
        Err(CommitError::NothingChanges) => Ok(Committed {
            commit: parent,
            changed: false,
        }),
        Err(CommitError::HeadMoved) => Err(Failure::HeadMoved),
        Err(error @ CommitError::NotInHistory(_)) => {
            Err(CommandFault::NotFound(error.to_string()).into())
        }
        Err(error @ (CommitError::Refused(_) | CommitError::Trouble(_))) => {
            Err(unavailable(error.to_string()).into())
        }
    }
}

/// The key that signs, where the policy in force wants signatures: then it has to be one whose signatures count.
fn key_for<'k>(
    repository: &'k Committing,
    followed: &Followed,
) -> Result<Option<&'k SigningKey>, CommandFault> {
    let key = repository.key.as_deref();
    let Some(signatures) = &followed.signatures else {
        return Ok(key);
    };
    let Some(key) = key else {
        return Err(CommandFault::Conflict(
            "the policy wants signed commits, and this control plane has no key to sign with: start it with `--signing-key FILE` \
             and list that key's public half among the policy's signers, or push a signed commit that does the same"
                .to_owned(),
        ));
    };
    if signer_by_fingerprint(signatures, key.fingerprint(), Timestamp::now()).is_none() {
        return Err(CommandFault::Conflict(format!(
            "the policy wants signed commits, and the key of this control plane is not one whose signatures count: list \
             `{}` among the policy's signers, or push a signed commit that does the same",
            key.public()
        )));
    }
    Ok(Some(key))
}

pub(super) fn unavailable(message: String) -> CommandFault {
    CommandFault::Unavailable(message)
}

fn content(remote: &Remote, head: Reading, change: &Change) -> Result<Content, CommandFault> {
    match change {
        Change::All { revision } => Ok(Content::AllOf(
            revision_of(remote, revision)?.revision.commit,
        )),
        Change::TakeBack(take_back) => take_back.content(remote, head),
        Change::Fields { job, path, fields } => {
            let edited = edit(&head, path, |text| set_fields(text, job, fields))?;
            checked(head, path, edited, job)
        }
        Change::Document { job, revision } => {
            let then = revision_of(remote, revision)?;
            let (path, from) = then
                .files
                .iter()
                .find_map(|file| {
                    let text = std::str::from_utf8(&file.bytes).ok()?;
                    take_document(text, "", job).ok()?;
                    Some((file.path.clone(), text.to_owned()))
                })
                .ok_or_else(|| {
                    CommandFault::NotFound(format!(
                        "revision {} has no document of job `{job}`",
                        then.revision.commit
                    ))
                })?;
            // It may stand in another file by now.
            let path = place_of(&head.files, job).unwrap_or(path);
            let edited = edit(&head, &path, |text| take_document(&from, text, job))?;
            checked(head, &path, edited, job)
        }
    }
}

pub(super) fn revision_of(remote: &Remote, revision: &str) -> Result<Reading, CommandFault> {
    read_in_history(remote, revision).map_err(|error| match error {
        ReadAtError::NoRevision { .. } => CommandFault::NotFound(error.to_string()),
        ReadAtError::Trouble(trouble) => unavailable(trouble.to_string()),
    })
}

pub(super) fn place_of(files: &[SpecFile], job: &JobId) -> Option<String> {
    files
        .iter()
        .find(|file| {
            std::str::from_utf8(&file.bytes).is_ok_and(|text| take_document(text, "", job).is_ok())
        })
        .map(|file| file.path.clone())
}

/// A file of the head, changed; an empty one where there is none yet.
pub(super) fn edit(
    head: &Reading,
    path: &str,
    change: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<String, CommandFault> {
    let bytes = head
        .files
        .iter()
        .find(|file| file.path == path)
        .map_or(&[][..], |file| &file.bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|_| CommandFault::Conflict(format!("{path} is not UTF-8")))?;
    change(text).map_err(|error| CommandFault::Conflict(format!("{path}: {error}")))
}

/// A file that was changed by us holds: else it is not committed.
pub(super) fn checked(
    mut head: Reading,
    path: &str,
    text: String,
    job: &JobId,
) -> Result<Content, CommandFault> {
    let file = SpecFile {
        path: path.to_owned(),
        bytes: text.as_bytes().into(),
    };
    head.files.retain(|file| file.path != path);
    head.files.push(file);
    let documents = specs::read(&head.files);
    let holds = documents
        .specs
        .iter()
        .any(|located| matches!(&located.spec, Spec::Job(spec) if spec.name == *job));
    if holds {
        return Ok(Content::Files(vec![(path.to_owned(), text.into_bytes())]));
    }
    let why = documents
        .diagnostics
        .iter()
        .find(|problem| problem.path == path)
        .map_or_else(
            || "its document does not hold".to_owned(),
            |problem| format!("{}:{}: {}", problem.path, problem.line, problem.message),
        );
    Err(CommandFault::Conflict(format!(
        "job `{job}` would not hold any more, so nothing is committed: {why}"
    )))
}

/// A commit's message: the subject, and trailers that git and people read.
fn message(subject: &str, trailers: &[(&'static str, String)]) -> String {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut message = format!("{}\n\n", one_line(subject));
    for (name, value) in trailers.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(message, "{name}: {}", one_line(value)).ok();
    }
    message
}

/// Commits what a deploy asks for.
pub(super) async fn deploy(
    control: &ControlHandle,
    repository: &Committing,
    deploy: &Deploy,
) -> Result<Committed, CommandFault> {
    let spec = &deploy.spec;
    let path = control
        .read(|fleet| fleet.jobs.get(&spec.job).map(|job| job.source.path.clone()))
        .ok_or_else(|| CommandFault::NotFound(format!("there is no job `{}`", spec.job)))?;
    let field = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mut fields = Vec::new();
    let mut words = Vec::new();
    if let Some(image) = &spec.image {
        fields.push((field("image"), NewValue::Text(image.clone())));
        words.push(image.clone());
    }
    if let Some(desired) = spec.desired {
        let desired = NewValue::Number(desired.into());
        fields.push((field("service.capacity.desired"), desired));
        words.push(format!("{} tasks", spec.desired.unwrap_or_default()));
    }
    for (name, value) in &spec.env {
        let path = vec!["env".to_owned(), name.clone()];
        fields.push((path, NewValue::Text(value.clone())));
        words.push(format!("{name}={value}"));
    }
    if let Some(run) = &spec.run {
        fields.push((field("batch.run"), NewValue::Text(run.clone())));
        words.push(format!("run {run}"));
    }
    let change = Change::Fields {
        job: spec.job.clone(),
        path,
        fields,
    };
    let subject = format!("Deploy {}: {}", spec.job, words.join(", "));
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    commit_change(
        control,
        repository,
        deploy.by.clone(),
        change,
        subject,
        trailers(deploy),
    )
    .await
}

/// A subject that is longer is cut by whatever shows it.
const MAX_SUBJECT: usize = 120;

fn trailers(deploy: &Deploy) -> Vec<(&'static str, String)> {
    vec![
        (TRAILER, deploy.id.to_string()),
        ("Muster-Actor", deploy.by.clone()),
        ("Muster-Execution", deploy.spec.execution.clone()),
        ("Muster-Reason", deploy.spec.reason.clone()),
    ]
}

/// Undoes what a deploy's commit changed, as far as it still stands. Where nothing of it does, there is nothing to undo.
pub(super) async fn take_back(
    control: &ControlHandle,
    repository: &Committing,
    deploy: &Deploy,
) -> Result<Committed, CommandFault> {
    let change = control.read(|fleet| TakeBack::of(fleet, deploy));
    let subject = format!("Take back deploy {} of {}", deploy.id, deploy.spec.job);
    commit_change(
        control,
        repository,
        deploy.by.clone(),
        Change::TakeBack(Box::new(change)),
        subject,
        trailers(deploy),
    )
    .await
}

/// Goes back to what an earlier revision held: all of it, or one job's document.
pub(super) async fn roll_back(
    control: &ControlHandle,
    repository: &Committing,
    by: String,
    to: String,
    job: Option<JobId>,
    reason: String,
) -> Result<Committed, CommandFault> {
    let target = {
        let (remote, to) = (repository.remote.clone(), to.clone());
        tokio::task::spawn_blocking(move || revision_of(&remote, &to))
            .await
            .map_err(|error| unavailable(error.to_string()))??
            .revision
    };
    let revision = target.commit.to_string();
    let (change, what) = match job {
        Some(job) => {
            let what = format!("job {job} ");
            (Change::Document { job, revision }, what)
        }
        None => (Change::All { revision }, String::new()),
    };
    let trailers = vec![
        ("Muster-Rollback-To", target.commit.to_string()),
        ("Muster-Actor", by.clone()),
        ("Muster-Reason", reason),
    ];
    let subject = format!("Roll {what}back to {}", title(&target));
    commit_change(control, repository, by, change, subject, trailers).await
}

fn title(revision: &Revision) -> String {
    format!(
        "{}: {}",
        muster_core::describe::short(revision.commit.as_str()),
        revision.subject
    )
}
