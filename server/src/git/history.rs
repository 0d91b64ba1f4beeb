//! Commits of the followed branch, by what their messages say.

use super::{Remote, head};
use git2::Sort;
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;

/// So many commits are looked through, the newest: a deploy is taken back within days.
const LOOKED_THROUGH: usize = 10_000;

/// The commits of the followed branch whose message has a trailer of this name, newest first, each with its value. It blocks, for as long
/// as a fetch takes.
///
/// # Errors
/// What makes the repository one that cannot be read.
pub fn with_trailer(
    remote: &Remote,
    name: &str,
) -> Result<Vec<(CommitId, String)>, RepositoryTrouble> {
    let found = head(remote)?;
    let unreadable = |error: git2::Error| RepositoryTrouble::Unreadable {
        commit: found.commit(),
        message: error.message().to_owned(),
    };
    let mut walk = found.repository.revwalk().map_err(unreadable)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)
        .and_then(|()| walk.push(found.commit))
        .map_err(unreadable)?;
    let mut commits = Vec::new();
    for id in walk.take(LOOKED_THROUGH) {
        let id = id.map_err(unreadable)?;
        let commit = found.repository.find_commit(id).map_err(unreadable)?;
        let message = String::from_utf8_lossy(commit.message_bytes());
        // A message that has none, or is not understood, has no trailer of ours.
        let Ok(trailers) = git2::message_trailers_strs(&message) else {
            continue;
        };
        let value = trailers
            .iter()
            .find_map(|(key, value)| (key == name).then(|| value.to_owned()));
        commits.extend(value.map(|value| (CommitId(id.to_string()), value)));
    }
    Ok(commits)
}
