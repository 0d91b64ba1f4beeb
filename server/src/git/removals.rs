//! Who removed what: the commit behind each file that is gone since the applied revision.

use super::{CommitId, readable};
use git2::{Delta, DiffOptions, Oid, Repository, Sort};
use jiff::Timestamp;
use muster_schemas::plan::Revision;
use std::collections::{BTreeMap, BTreeSet};

/// So many commits are looked through. A revision that is more commits ahead was not followed for long, and the names of those
/// who removed something are a help, not a condition.
const MAX_COMMITS: usize = 1000;

/// The commit that removed each spec file that the applied revision has and the head has not, as far as it is found.
pub(super) fn removals(
    repository: &Repository,
    head: Oid,
    applied: Option<&CommitId>,
) -> BTreeMap<String, Revision> {
    let applied = applied.and_then(|commit| Oid::from_str(commit.as_str()).ok());
    match applied {
        Some(applied) if applied != head => {
            find(repository, head, applied).unwrap_or_else(|error| {
                tracing::debug!(%error, "the commits that removed files cannot be told");
                BTreeMap::new()
            })
        }
        Some(_) | None => BTreeMap::new(),
    }
}

fn find(
    repository: &Repository,
    head: Oid,
    applied: Oid,
) -> Result<BTreeMap<String, Revision>, git2::Error> {
    let wanted = deleted(repository, Some(applied), head)?;
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    walk.hide(applied)?;
    // Oldest first, so that of several removals the last one stands.
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    for commit in walk.take(MAX_COMMITS) {
        let commit = repository.find_commit(commit?)?;
        let parent = commit.parent_id(0).ok();
        for path in deleted(repository, parent, commit.id())? {
            if wanted.contains(&path) {
                found.insert(path, revision(&commit));
            }
        }
    }
    Ok(found)
}

/// The spec files that are in one commit and not in the other.
fn deleted(
    repository: &Repository,
    from: Option<Oid>,
    to: Oid,
) -> Result<BTreeSet<String>, git2::Error> {
    let from = from
        .map(|from| repository.find_commit(from)?.tree())
        .transpose()?;
    let to = repository.find_commit(to)?.tree()?;
    let mut options = DiffOptions::new();
    options.pathspec("*.yaml").pathspec("*.yml");
    let diff = repository.diff_tree_to_tree(from.as_ref(), Some(&to), Some(&mut options))?;
    Ok(diff
        .deltas()
        .filter(|delta| delta.status() == Delta::Deleted)
        .filter_map(|delta| Some(delta.old_file().path()?.to_str()?.to_owned()))
        .collect())
}

/// A commit as plans name it.
pub(super) fn revision(commit: &git2::Commit<'_>) -> Revision {
    let author = commit.author();
    Revision {
        commit: CommitId(commit.id().to_string()),
        author: format!(
            "{} <{}>",
            readable(author.name_bytes()),
            readable(author.email_bytes())
        ),
        subject: readable(commit.summary_bytes().unwrap_or_default()),
        // A commit can claim any time at all; one beyond what a timestamp holds is as good as none.
        committed_at: Timestamp::from_second(commit.time().seconds())
            .unwrap_or(Timestamp::UNIX_EPOCH),
    }
}
