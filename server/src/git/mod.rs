//! Git remotes: a branch's head becomes a revision with its spec files. The only room that names `git2`.
//!
//! Files are read from git's objects, never from a checkout, so nothing that a commit holds is ever laid out as a path on
//! this machine. A repository on this machine is read where it is; any other is fetched into a bare mirror first.
//!
//! What a single entry has against it is a diagnostic, and the others go on. What makes the revision as a whole one not to
//! follow is a [`RepositoryTrouble`], and the last good state holds. This room never decides what a missing file means.

mod entries;
mod guard;
mod history;
mod poller;
mod remote;
mod removals;
mod signatures;
mod signing;
mod whole;
mod write;

pub use entries::{MAX_DEPTH, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES};
pub use history::with_trailer;
pub use poller::{Looks, Poller};
pub use signing::{SigningKey, SigningKeyError};
pub use write::{CommitError, Content, NewCommit, commit};

use entries::Blobs;
use git2::{Oid, Repository};
use guard::Unchanged;
use muster_core::signatures::Signed;
use muster_core::specs::SpecFile;
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;
use muster_schemas::plan::{Diagnostic, Revision};
use muster_schemas::spec::Signatures;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The e-mail address that git has for who works in this folder, if it has one.
pub fn user_email(folder: &Path) -> Option<String> {
    let of_folder = Repository::discover(folder).and_then(|repository| repository.config());
    let mut config = of_folder.or_else(|_| git2::Config::open_default()).ok()?;
    let email = config.snapshot().ok()?.get_string("user.email").ok()?;
    Some(email).filter(|email| !email.is_empty())
}

/// Where the specs come from.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// A path on this machine (or `file://…`), `https://…`, `ssh://…` or `user@host:path`. For https, a user and token may
    /// stand in it, as in `https://user:token@host/path`; [`Remote::shown_url`] leaves the token out.
    pub url: String,
    /// The branch that is followed.
    pub branch: String,
    /// The private key for ssh; without it the ssh agent is asked.
    pub ssh_key: Option<PathBuf>,
    /// Where the bare mirror of a repository on another machine is kept, and, with `.pulls` behind the name, that of what is read
    /// beside the branch. They are caches: they may be removed at any time.
    pub mirror: PathBuf,
}

/// What is followed now, by which the next revision is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// The applied revision.
    pub applied: Option<CommitId>,
    /// The signatures that the policy in force asks for.
    pub signatures: Option<Signatures>,
}

impl Followed {
    /// A revision, by a policy that asks for no signature.
    pub fn unsigned(applied: Option<CommitId>) -> Self {
        Self {
            applied,
            signatures: None,
        }
    }
}

/// What a branch's head holds.
pub struct Reading {
    /// The head.
    pub revision: Revision,
    /// The spec files, in the order of their paths.
    pub files: Vec<SpecFile>,
    /// Entries that were not read. One may be a directory (a submodule, a symbolic link, one that is nested too deep or has a
    /// name that no path may have): then it stands for every document below it.
    pub diagnostics: Vec<Diagnostic>,
    /// The commits that removed spec files since the applied revision, by path, as far as they are found.
    pub removed_by: BTreeMap<String, Revision>,
    /// Who signed it, as far as the policy asks for that.
    pub signed: Signed,
}

/// Reads the head of the followed branch. It blocks, for as long as a fetch takes.
///
/// A head that does not descend from the applied revision (a force-push, another repository, an old copy) is trouble, also where the
/// mirror has never heard of it.
///
/// # Errors
/// What makes the repository, or its head, one that must not be followed.
pub fn read(remote: &Remote, followed: &Followed) -> Result<Reading, RepositoryTrouble> {
    Reader::default().read(remote, followed)
}

/// Reads one revision after the other: files that are the same as in the last one are not unpacked again.
#[derive(Default)]
pub struct Reader {
    blobs: Blobs,
}

impl Reader {
    /// Like [`read`].
    ///
    /// # Errors
    /// Those of [`read`].
    pub fn read(&self, remote: &Remote, followed: &Followed) -> Result<Reading, RepositoryTrouble> {
        let head = head(remote)?;
        head.check_descends_from(followed.applied.as_ref())?;
        head.reading(followed, &self.blobs)
    }

    /// Like [`Self::read`]; nothing where the head is the one that is known.
    ///
    /// # Errors
    /// Those of [`read`].
    fn read_new(
        &self,
        remote: &Remote,
        followed: &Followed,
        known: Option<&CommitId>,
    ) -> Result<Option<Reading>, RepositoryTrouble> {
        let head = head(remote)?;
        if known == Some(&head.commit()) {
            return Ok(None);
        }
        head.check_descends_from(followed.applied.as_ref())?;
        head.reading(followed, &self.blobs).map(Some)
    }
}

/// Reads any revision: a commit, or what names one in git's way (`main~1`, a branch, a tag). It blocks, for as long as a fetch
/// takes. What is beside the followed branch can be read, too, as far as it is there: look at it, and commit nothing of it.
///
/// # Errors
/// No such revision, or what makes the repository one that cannot be read.
pub fn read_at(
    remote: &Remote,
    revision: &str,
    followed: &Followed,
) -> Result<Reading, ReadAtError> {
    let mut found = head(remote)?;
    found.commit = found.find(revision)?;
    Ok(found.reading(followed, &Blobs::default())?)
}

/// Like [`read_at`], of the followed branch's own history alone: what was never on it, nobody has let in.
///
/// # Errors
/// Those of [`read_at`], or the revision was never on the branch.
pub fn read_in_history(remote: &Remote, revision: &str) -> Result<Reading, ReadAtError> {
    let mut found = head(remote)?;
    let (top, commit) = (found.commit, found.find(revision)?);
    let is_in_history = commit == top
        || found
            .repository
            .graph_descendant_of(top, commit)
            .unwrap_or(false);
    if !is_in_history {
        return Err(ReadAtError::NoRevision {
            revision: revision.to_owned(),
            message: "it is not in the history of the followed branch".to_owned(),
        });
    }
    found.commit = commit;
    Ok(found.reading(&Followed::default(), &Blobs::default())?)
}

/// Reads what a reference names, which may be one beside the branches, such as the head of a pull request: it is fetched for
/// this. It blocks, for as long as a fetch takes, and keeps nobody waiting who reads the branch.
///
/// # Errors
/// No such reference, or what makes the repository one that cannot be read.
pub fn read_reference(
    remote: &Remote,
    name: &str,
    followed: &Followed,
) -> Result<Reading, RepositoryTrouble> {
    remote::open_reference(remote, name)?.reading(followed, &Blobs::default())
}

/// Why a revision that somebody named cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadAtError {
    /// It does not name a commit.
    #[error("the repository has no revision `{revision}`: {message}")]
    NoRevision {
        /// What was named.
        revision: String,
        /// What git says.
        message: String,
    },
    /// The repository, or that revision of it, cannot be read.
    #[error("{0}")]
    Trouble(RepositoryTrouble),
}

impl From<RepositoryTrouble> for ReadAtError {
    fn from(trouble: RepositoryTrouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// The head of the followed branch, with the repository that has its objects.
pub(crate) struct Head {
    repository: Repository,
    commit: Oid,
    /// Of a repository that is fetched into a mirror: it stays as it is until all has been read.
    _unchanged: Option<Unchanged>,
}

/// Finds the head, and fetches it where the repository is on another machine.
pub(crate) fn head(remote: &Remote) -> Result<Head, RepositoryTrouble> {
    remote::open(remote)
}

impl Head {
    /// The commit that somebody names.
    fn find(&self, revision: &str) -> Result<Oid, ReadAtError> {
        self.repository
            .revparse_single(revision)
            .and_then(|object| object.peel_to_commit())
            .map(|commit| commit.id())
            .map_err(|error| ReadAtError::NoRevision {
                revision: revision.to_owned(),
                message: error.message().to_owned(),
            })
    }

    /// The commit.
    pub(crate) fn commit(&self) -> CommitId {
        CommitId(self.commit.to_string())
    }

    /// Whether history goes on from the applied revision.
    pub(crate) fn check_descends_from(
        &self,
        applied: Option<&CommitId>,
    ) -> Result<(), RepositoryTrouble> {
        let Some(applied) = applied else {
            return Ok(());
        };
        let unrelated = || RepositoryTrouble::UnrelatedHistory {
            commit: self.commit(),
            applied: applied.clone(),
        };
        let ancestor = Oid::from_str(applied.as_str()).map_err(|_| unrelated())?;
        if ancestor == self.commit {
            return Ok(());
        }
        for commit in [ancestor, self.commit] {
            whole::check(&self.repository, commit).map_err(|message| self.unreadable(message))?;
        }
        if self.repository.find_commit(ancestor).is_err() {
            return Err(unrelated());
        }
        match self.repository.graph_descendant_of(self.commit, ancestor) {
            Ok(true) => Ok(()),
            Ok(false) => Err(unrelated()),
            Err(error) => Err(self.unreadable(format!(
                "its history cannot be followed: {}",
                error.message()
            ))),
        }
    }

    /// Reads the revision and its files; `blobs` has those that were read last.
    fn reading(&self, followed: &Followed, blobs: &Blobs) -> Result<Reading, RepositoryTrouble> {
        let applied = followed.applied.as_ref();
        whole::check(&self.repository, self.commit).map_err(|message| self.unreadable(message))?;
        let commit = self
            .repository
            .find_commit(self.commit)
            .map_err(|error| self.unreadable(error.message().to_owned()))?;
        let revision = removals::revision(&commit);
        let (files, diagnostics) = entries::read(&self.repository, commit.tree_id(), blobs)
            .map_err(|message| self.unreadable(message))?;
        Ok(Reading {
            revision,
            files,
            diagnostics,
            removed_by: removals::removals(&self.repository, self.commit, applied),
            signed: signatures::read(
                &self.repository,
                self.commit,
                applied,
                followed.signatures.as_ref(),
            )
            .map_err(|message| self.unreadable(message))?,
        })
    }

    fn unreadable(&self, message: String) -> RepositoryTrouble {
        RepositoryTrouble::Unreadable {
            commit: self.commit(),
            message,
        }
    }
}

impl std::fmt::Debug for Remote {
    /// Without a token that may stand in the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.shown_url())
            .field("branch", &self.branch)
            .field("ssh_key", &self.ssh_key)
            .field("mirror", &self.mirror)
            .finish()
    }
}

impl Remote {
    /// The address without a password or token in it, for people and logs.
    pub fn shown_url(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return self.url.clone();
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let Some((user, host)) = authority.rsplit_once('@') else {
            return self.url.clone();
        };
        match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}@{host}{path}"),
            // A lone user with https is a token more often than a name; with ssh it is a name.
            None if scheme.starts_with("http") => format!("{scheme}://{host}{path}"),
            None => self.url.clone(),
        }
    }
}

/// Names and subjects longer than this are cut: they go into every plan and onto every page.
const MAX_WORDS: usize = 200;

/// Text of a commit as people may read it: whatever its bytes are, on one line, without what would steer a terminal.
fn readable(bytes: &[u8]) -> String {
    // Decoding is bounded as well: a message may be megabytes long.
    let bytes = &bytes[..bytes.len().min(MAX_WORDS * 4)];
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(MAX_WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown() {
        for (url, shown) in [
            ("/srv/specs.git", "/srv/specs.git"),
            ("file:///srv/specs.git", "file:///srv/specs.git"),
            ("git@example.com:specs.git", "git@example.com:specs.git"),
            (
                "ssh://git@example.com/specs.git",
                "ssh://git@example.com/specs.git",
            ),
            ("https://example.com/a@b", "https://example.com/a@b"),
            (
                "https://ann:s3cret@example.com/specs",
                "https://ann@example.com/specs",
            ),
            (
                "https://s3cret@example.com/specs",
                "https://example.com/specs",
            ),
            ("https://ann:p@ss@example.com", "https://ann@example.com"),
        ] {
            let remote = Remote {
                url: url.into(),
                branch: "main".into(),
                ssh_key: None,
                mirror: PathBuf::new(),
            };
            assert_eq!(remote.shown_url(), shown);
            assert!(!format!("{remote:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_commits_text_cannot_steer_a_terminal() {
        assert_eq!(readable(b"Fix\x1b[31m it\xff"), "Fix [31m it\u{fffd}");
        assert_eq!(readable("ä".repeat(5_000).as_bytes()).chars().count(), 200);
    }
}
