//! From an address to a repository that has the branch's head: opened where it is, or fetched into a mirror.

use super::guard::Alone;
use super::{Head, Remote};
use git2::{
    AutotagOption, Cred, CredentialType, Direction, ErrorClass, ErrorCode, FetchOptions, Oid,
    RemoteCallbacks, RemoteRedirect, Repository, RepositoryOpenFlags,
};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long the other side may be silent.
const SILENT_TIME: Duration = Duration::from_secs(20);

/// How long a fetch may take in all, as long as bytes come: the first one brings the whole history.
const FETCH_TIME: Duration = Duration::from_secs(600);

/// How much a fetch may bring. A repository of specs has some megabytes; this keeps a wrong address from filling the disk.
const FETCH_BYTES: usize = 2 << 30;

/// Each fetch leaves a pack in the mirror. Past this many the mirror is fetched anew, as one pack.
const MIRROR_PACKS: usize = 500;

/// How often a remote may ask for credentials in one connection. There is one key; asking again means it was refused.
const CREDENTIAL_ASKS: u32 = 3;

/// Stands behind the name of the mirror's folder for the mirror of what is beside the branches.
const BESIDE: &str = ".pulls";

/// The repository and the head of its branch.
pub(super) fn open(remote: &Remote) -> Result<Head, RepositoryTrouble> {
    open_by(remote, &remote.mirror, &reference(&remote.branch), None)
}

/// The repository and what any of its references names, such as `refs/pull/7/head`. That has a mirror of its own: however long a
/// forge takes to send a pull request, the branch goes on being read. The branch is fetched there along with it, since the
/// applied revision is what others are compared with.
pub(super) fn open_reference(remote: &Remote, name: &str) -> Result<Head, RepositoryTrouble> {
    let mut mirror = remote.mirror.as_os_str().to_owned();
    mirror.push(BESIDE);
    let branch = reference(&remote.branch);
    open_by(remote, Path::new(&mirror), name, Some(&branch))
}

fn open_by(
    remote: &Remote,
    mirror: &Path,
    name: &str,
    along: Option<&str>,
) -> Result<Head, RepositoryTrouble> {
    set_timeouts();
    match local_path(&remote.url) {
        // Others write there, by git's own rules, and nothing of it is ever removed by us.
        Some(path) => {
            let (repository, commit) = open_local(&path, name)?;
            Ok(Head {
                repository,
                commit,
                _unchanged: None,
            })
        }
        None => {
            let alone = Alone::with(mirror);
            let (repository, commit) = fetch(remote, mirror, name, along)?;
            Ok(Head {
                repository,
                commit,
                _unchanged: Some(alone.fetched()),
            })
        }
    }
}

/// Whether the repository is one on this machine, and so is written where it is.
pub(super) fn is_local(remote: &Remote) -> bool {
    local_path(&remote.url).is_some()
}

/// The callbacks of a push: credentials and bounds as for a fetch.
pub(super) fn push_callbacks(remote: &Remote) -> RemoteCallbacks<'_> {
    callbacks(remote, Instant::now() + FETCH_TIME)
}

/// The path that an address means, if it is one on this machine.
fn local_path(url: &str) -> Option<PathBuf> {
    if let Some(path) = url.strip_prefix("file://") {
        return Some(PathBuf::from(path));
    }
    if url.contains("://") {
        return None;
    }
    // `user@host:path`, as opposed to a path that has a colon in it.
    let scp_like = url
        .find(':')
        .is_some_and(|colon| !url[..colon].contains('/'));
    (!scp_like).then(|| PathBuf::from(url))
}

fn open_local(path: &Path, name: &str) -> Result<(Repository, Oid), RepositoryTrouble> {
    if !path.exists() {
        return Err(unreachable(format!(
            "there is nothing at {}; check the address",
            path.display()
        )));
    }
    let no_ceilings: [&OsStr; 0] = [];
    let repository = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, no_ceilings)
        .map_err(|error| {
            unreachable(match error.code() {
                ErrorCode::NotFound => {
                    format!("{} is not a git repository", path.display())
                }
                ErrorCode::Owner => format!(
                    "{} belongs to another user; if that is meant, run `git config --global --add safe.directory {}` \
                     as the user that the control plane runs as",
                    path.display(),
                    path.display()
                ),
                _ => error.message().to_owned(),
            })
        })?;
    let head = match repository.refname_to_id(name) {
        Ok(head) => head,
        Err(error) if error.code() == ErrorCode::NotFound => return Err(no_branch(name)),
        Err(error) => return Err(unreachable(error.message().to_owned())),
    };
    Ok((repository, head))
}

fn fetch(
    remote: &Remote,
    path: &Path,
    name: &str,
    along: Option<&str>,
) -> Result<(Repository, Oid), RepositoryTrouble> {
    check_scheme(&remote.url)?;
    let repository = mirror(path)?;
    let head = fetch_into(&repository, remote, name, along)?;
    if is_complete(&repository, head) {
        return Ok((repository, head));
    }
    // The mirror says that it has the commit, and has not: a power failure took part of it. It is only a cache.
    tracing::warn!(mirror = %path.display(), "the mirror is damaged and is fetched anew");
    drop(repository);
    discard(path)?;
    let repository = mirror(path)?;
    let head = fetch_into(&repository, remote, name, along)?;
    if is_complete(&repository, head) {
        Ok((repository, head))
    } else {
        Err(RepositoryTrouble::Unreadable {
            commit: CommitId(head.to_string()),
            message: "the remote did not send the whole commit".into(),
        })
    }
}

/// Whether the commit and its root are there. What is missing further down is found when it is read.
fn is_complete(repository: &Repository, head: Oid) -> bool {
    repository
        .find_commit(head)
        .and_then(|commit| commit.tree())
        .is_ok()
}

/// Whoever can change what is read decides what runs, so that a connection that anybody on the way can change is refused.
fn check_scheme(url: &str) -> Result<(), RepositoryTrouble> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(());
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let loopback = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|own| host == *own || host.starts_with(&format!("{own}:")));
    match scheme {
        "https" | "ssh" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(unreachable(format!(
            "`{scheme}://` is not supported: use a path, https or ssh (http only to this machine itself)"
        ))),
    }
}

/// Opens the mirror, or makes an empty one.
fn mirror(path: &Path) -> Result<Repository, RepositoryTrouble> {
    if path.exists() {
        match Repository::open_bare(path) {
            Ok(_) if packs(path) > MIRROR_PACKS => discard(path)?,
            Ok(repository) => return Ok(repository),
            Err(error) => {
                tracing::warn!(mirror = %path.display(), %error, "the mirror cannot be opened and is made anew");
                discard(path)?;
            }
        }
    }
    Repository::init_bare(path).map_err(|error| {
        unreachable(format!(
            "its mirror {} cannot be made: {}",
            path.display(),
            error.message()
        ))
    })
}

fn packs(mirror: &Path) -> usize {
    std::fs::read_dir(mirror.join("objects/pack"))
        .map(|entries| {
            entries
                .flatten()
                .filter(|entry| entry.path().extension() == Some(OsStr::new("pack")))
                .count()
        })
        .unwrap_or(0)
}

/// Removes a mirror. Only a directory that looks like one is removed, in case the path was mistyped.
fn discard(mirror: &Path) -> Result<(), RepositoryTrouble> {
    let ours = mirror.join("objects").is_dir() && !mirror.join(".git").exists();
    let removed = if ours {
        std::fs::remove_dir_all(mirror).map_err(|error| error.to_string())
    } else {
        Err("it is something else than a mirror".to_owned())
    };
    removed.map_err(|why| {
        unreachable(format!(
            "its mirror {} is unusable and cannot be removed: {why}",
            mirror.display()
        ))
    })
}

/// Asks the remote for a reference, and fetches it if it is new; another one along with it, if the remote has that.
fn fetch_into(
    repository: &Repository,
    remote: &Remote,
    name: &str,
    along: Option<&str>,
) -> Result<Oid, RepositoryTrouble> {
    let failed = |error: git2::Error| unreachable(explain(&error, remote));
    let mut handle = repository.remote_anonymous(&remote.url).map_err(failed)?;
    let deadline = Instant::now() + FETCH_TIME;
    let mut connection = handle
        .connect_auth(Direction::Fetch, Some(callbacks(remote, deadline)), None)
        .map_err(failed)?;
    let heads = connection.list().map_err(failed)?;
    let listed: Vec<(&str, Oid)> = [Some(name), along]
        .into_iter()
        .flatten()
        .filter_map(|wanted| {
            let head = heads.iter().find(|head| head.name() == wanted)?;
            Some((wanted, head.oid()))
        })
        .collect();
    let Some(head) = listed.iter().find(|(found, _)| *found == name) else {
        return Err(no_branch(name));
    };
    // The mirror's own reference is written last, so that it says that all of its history is there.
    let is_new =
        |(wanted, head): &&(&str, Oid)| repository.refname_to_id(wanted).ok() != Some(*head);
    let new: Vec<String> = listed
        .iter()
        .filter(is_new)
        .map(|(wanted, _)| format!("+{wanted}:{wanted}"))
        .collect();
    if new.is_empty() {
        return Ok(head.1);
    }
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks(remote, deadline))
        .download_tags(AutotagOption::None)
        // A redirect at the first request is how forges move repositories; a later one is not followed.
        .follow_redirects(RemoteRedirect::Initial);
    connection
        .remote()
        .fetch(&new, Some(&mut options), None)
        .map_err(failed)?;
    // It may have moved on meanwhile; what was fetched counts.
    repository.refname_to_id(name).map_err(failed)
}

/// Certificates and ssh host keys are libgit2's own check: a certificate must be of a trusted authority, a host key must
/// stand in `~/.ssh/known_hosts`. There is deliberately no callback that could accept another.
fn callbacks(remote: &Remote, deadline: Instant) -> RemoteCallbacks<'_> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(move |progress| {
        Instant::now() < deadline && progress.received_bytes() < FETCH_BYTES
    });
    callbacks.sideband_progress(move |_| Instant::now() < deadline);
    let mut asks = 0;
    callbacks.credentials(move |_, user, allowed| {
        asks += 1;
        if asks > CREDENTIAL_ASKS {
            return Err(git2::Error::from_str("the remote refuses the credentials"));
        }
        let user = user.unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        if allowed.contains(CredentialType::SSH_KEY) {
            return match &remote.ssh_key {
                Some(key) => Cred::ssh_key(user, None, key, None),
                None => Cred::ssh_key_from_agent(user),
            };
        }
        Err(git2::Error::from_str(
            "the remote asks for a user and a password; put a token into the address, as in https://user:token@host/path",
        ))
    });
    callbacks
}

/// What went wrong and, where it is plain, what to do.
pub(super) fn explain(error: &git2::Error, remote: &Remote) -> String {
    // A token in the address must not come out in a message.
    let message = error.message().replace(&remote.url, &remote.shown_url());
    let hint = match (error.class(), error.code()) {
        (_, ErrorCode::Timeout) => "; it did not answer in time",
        (_, ErrorCode::Certificate) if remote.url.starts_with("http") => {
            "; its certificate must be one that this machine trusts"
        }
        (_, ErrorCode::Certificate) => {
            "; compare the host's key, then add it with `ssh-keyscan HOST >> ~/.ssh/known_hosts`"
        }
        (_, ErrorCode::User) => {
            "; it takes longer, or is larger, than a repository of specs should"
        }
        (ErrorClass::Ssh, ErrorCode::Auth) => {
            "; the repository must let this key read it, and the key must have no passphrase"
        }
        _ => "",
    };
    format!("{message}{hint}")
}

fn reference(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

fn unreachable(message: String) -> RepositoryTrouble {
    RepositoryTrouble::Unreachable { message }
}

fn no_branch(name: &str) -> RepositoryTrouble {
    RepositoryTrouble::NoBranch {
        branch: name.strip_prefix("refs/heads/").unwrap_or(name).to_owned(),
    }
}

/// Sets libgit2's bounds on a silent network, which are of the whole process.
#[expect(
    unsafe_code,
    reason = "git2 has no safe way to set these, and without them a remote that accepts a connection and then says \
              nothing would stop all reading for ever"
)]
fn set_timeouts() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: these write two integers of libgit2 that other threads may read meanwhile; it happens once, before this
        // room, the only one that uses libgit2, makes its first connection.
        let set = unsafe {
            git2::opts::set_server_connect_timeout_in_milliseconds(millis(CONNECT_TIME))
                .and_then(|()| git2::opts::set_server_timeout_in_milliseconds(millis(SILENT_TIME)))
        };
        if let Err(error) = set {
            tracing::warn!(%error, "libgit2 takes no timeouts: a silent remote can keep a fetch waiting");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for (url, path) in [
            ("/srv/specs.git", Some("/srv/specs.git")),
            ("./specs:v1/repo", Some("./specs:v1/repo")),
            ("specs", Some("specs")),
            ("file:///srv/specs.git", Some("/srv/specs.git")),
            ("git@example.com:specs.git", None),
            ("https://example.com/specs", None),
            ("ssh://git@example.com/specs", None),
        ] {
            assert_eq!(local_path(url), path.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn a_connection_that_others_can_change_is_refused() {
        for url in [
            "http://example.com/a",
            "http://localhost.example.com/a",
            "http://127.0.0.1@example.com/a",
            "git://localhost/a",
            "ext://sh",
        ] {
            assert!(check_scheme(url).is_err(), "{url}");
        }
        for url in [
            "http://127.0.0.1:8080/a",
            "http://localhost/a",
            "https://example.com/a",
            "ssh://git@example.com/a",
            "git@example.com:a",
        ] {
            assert!(check_scheme(url).is_ok(), "{url}");
        }
    }
}
