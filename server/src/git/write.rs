//! Commits back: what a person or a pipeline asks for beside `git push` becomes a commit like any other.

use super::{CommitId, Remote, RepositoryTrouble, SigningKey, head, remote};
use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, PushOptions, Repository, Signature};
use std::cell::RefCell;

/// A commit that is to be made.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// The head that it follows. If the branch has moved on, nothing is committed.
    pub parent: CommitId,
    /// What it holds.
    pub content: Content,
    /// Who asked for it.
    pub author: String,
    /// Its message.
    pub message: String,
}

/// What a new commit holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// The parent's files, with these in place of those of the same path.
    Files(Vec<(String, Vec<u8>)>),
    /// All that an earlier commit held.
    AllOf(CommitId),
}

/// Why there is no new commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The branch has moved on meanwhile.
    #[error("the branch has moved on meanwhile")]
    HeadMoved,
    /// The files are as they are to be already.
    #[error("nothing would change")]
    NothingChanges,
    /// There is no such commit in the branch's history.
    #[error("`{0}` is no commit of the branch's history")]
    NotInHistory(CommitId),
    /// The repository does not take it.
    #[error("the repository does not take the commit: {0}")]
    Refused(String),
    /// The repository cannot be read.
    #[error("{0}")]
    Trouble(RepositoryTrouble),
}

/// Makes a commit on the followed branch, signed where there is a key, and answers its id. It blocks, for as long as a fetch and a
/// push take.
///
/// # Errors
/// Why there is none; then the branch is as it was.
pub fn commit(
    remote: &Remote,
    new: &NewCommit,
    key: Option<&SigningKey>,
) -> Result<CommitId, CommitError> {
    let found = head(remote).map_err(CommitError::Trouble)?;
    if found.commit() != new.parent {
        return Err(CommitError::HeadMoved);
    }
    let refused = |error: git2::Error| CommitError::Refused(error.message().to_owned());
    let repository = &found.repository;
    let parent = repository.find_commit(found.commit).map_err(refused)?;
    let before = parent.tree().map_err(refused)?;
    let tree = match &new.content {
        Content::Files(files) if files.is_empty() => before.id(),
        Content::Files(files) => {
            let mut update = TreeUpdateBuilder::new();
            for (path, bytes) in files {
                let blob = repository.blob(bytes).map_err(refused)?;
                update.upsert(path.as_str(), blob, FileMode::Blob);
            }
            update
                .create_updated(repository, &before)
                .map_err(refused)?
        }
        Content::AllOf(commit) => tree_of(repository, found.commit, commit)?,
    };
    if tree == before.id() {
        return Err(CommitError::NothingChanges);
    }
    let tree = repository.find_tree(tree).map_err(refused)?;
    let author = signature(&new.author).map_err(refused)?;
    let committer = Signature::now("Muster", "muster@localhost").map_err(refused)?;
    let object = repository
        .commit_create_buffer(&author, &committer, &new.message, &tree, &[&parent])
        .map_err(refused)?;
    let object = object
        .as_str()
        .map_err(|error| CommitError::Refused(error.to_string()))?;
    let commit = match key {
        Some(key) => {
            let signature = key
                .sign(object.as_bytes())
                .map_err(|error| CommitError::Refused(error.to_string()))?;
            repository.commit_signed(object, &signature, None)
        }
        None => repository
            .odb()
            .and_then(|odb| odb.write(git2::ObjectType::Commit, object.as_bytes())),
    }
    .map_err(refused)?;
    publish(remote, repository, found.commit, commit)?;
    Ok(CommitId(commit.to_string()))
}

/// All that a commit of the branch's own history held.
fn tree_of(repository: &Repository, head: Oid, commit: &CommitId) -> Result<Oid, CommitError> {
    let not_in_history = || CommitError::NotInHistory(commit.clone());
    let id = Oid::from_str(commit.as_str()).map_err(|_| not_in_history())?;
    let is_in_history = id == head
        || repository
            .graph_descendant_of(head, id)
            .map_err(|_| not_in_history())?;
    if !is_in_history {
        return Err(not_in_history());
    }
    repository
        .find_commit(id)
        .map(|commit| commit.tree_id())
        .map_err(|_| not_in_history())
}

/// Moves the branch from `from` to `to`, if it is still at `from`.
fn publish(
    remote: &Remote,
    repository: &Repository,
    from: Oid,
    to: Oid,
) -> Result<(), CommitError> {
    let name = format!("refs/heads/{}", remote.branch);
    if remote::is_local(remote) {
        if !repository.is_bare() {
            return Err(CommitError::Refused(
                "it has a working tree, which would not follow; let Muster follow a bare repository".to_owned(),
            ));
        }
        return repository
            .reference_matching(&name, to, true, from, "muster: commit")
            .map(drop)
            .map_err(|_| CommitError::HeadMoved);
    }
    let mut handle = repository
        .remote_anonymous(&remote.url)
        .map_err(|error| CommitError::Refused(error.message().to_owned()))?;
    // What the other side says of each branch; without a word it has taken it.
    let said: RefCell<Option<String>> = RefCell::new(None);
    let mut callbacks = remote::push_callbacks(remote);
    callbacks.push_update_reference(|_, status| {
        *said.borrow_mut() = status.map(str::to_owned);
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    let pushed = handle.push(&[format!("{to}:{name}")], Some(&mut options));
    drop(options);
    match (pushed, said.into_inner()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(words)) => Err(CommitError::Refused(words)),
        (Err(error), _) if error.code() == git2::ErrorCode::NotFastForward => {
            Err(CommitError::HeadMoved)
        }
        (Err(error), _) => Err(CommitError::Refused(remote::explain(&error, remote))),
    }
}

/// A person by the name of their token; they have no address here.
fn signature(name: &str) -> Result<Signature<'static>, git2::Error> {
    let word: String = name
        .chars()
        .filter(|letter| !letter.is_control() && !matches!(letter, '<' | '>'))
        .collect();
    let word = match word.trim() {
        "" => "somebody",
        word => word,
    };
    let address: String = word
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    Signature::now(word, &format!("{address}@muster.localhost"))
}
