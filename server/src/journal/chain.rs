//! The hash chain: each row's hash covers the row and the hash before it, so that no record can be changed, removed,
//! added or moved without it being seen.

use super::subjects::Subjects;
use sha2::{Digest, Sha256};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// What the first record is chained to.
pub(super) const GENESIS: Hash = [0; 32];

/// A row of the journal as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub seq: u64,
    pub at: String,
    pub epoch: u64,
    pub kind: String,
    pub subjects: Subjects,
    /// The whole record as JSON. The columns beside it exist to be searched.
    pub body: String,
    pub hash: Hash,
}

/// The hash that a row has after `previous`. The row's own `hash` is not part of it.
pub(super) fn link(previous: &Hash, row: &Row) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(row.seq.to_be_bytes());
    hasher.update(row.epoch.to_be_bytes());
    text(&mut hasher, Some(&row.at));
    text(&mut hasher, Some(&row.kind));
    let Subjects {
        job,
        task,
        attempt,
        host,
        plan,
    } = &row.subjects;
    for column in [job, task, attempt, host, plan] {
        text(&mut hasher, column.as_deref());
    }
    text(&mut hasher, Some(&row.body));
    hasher.finalize().into()
}

/// Each text goes in with its length, so that no two rows have the same bytes; absence differs from an empty text.
fn text(hasher: &mut Sha256, text: Option<&str>) {
    match text {
        None => hasher.update([0]),
        Some(text) => {
            hasher.update([1]);
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
    }
}

/// The checksum of a snapshot.
pub(super) fn snapshot_checksum(seq: u64, chain: &Hash, fleet: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(seq.to_be_bytes());
    hasher.update(chain);
    hasher.update(fleet);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            seq: 7,
            at: "2026-11-22T10:00:00Z".into(),
            epoch: 2,
            kind: "task_created".into(),
            subjects: Subjects {
                job: Some("web".into()),
                task: Some("web.0".into()),
                ..Subjects::default()
            },
            body: "{}".into(),
            hash: GENESIS,
        }
    }

    /// A field that the hash forgot could be changed unseen.
    #[test]
    fn every_field_counts() {
        let edits: [fn(&mut Row); 11] = [
            |row| row.seq += 1,
            |row| row.at.push('x'),
            |row| row.epoch += 1,
            |row| row.kind.push('x'),
            |row| row.subjects.job = None,
            |row| row.subjects.task = Some("web.1".into()),
            |row| row.subjects.attempt = Some(String::new()),
            |row| row.subjects.host = Some("h".into()),
            |row| row.subjects.plan = Some("p".into()),
            |row| row.body.push(' '),
            // The same letters, in another column.
            |row| row.subjects.host = row.subjects.job.take(),
        ];
        let mut seen = std::collections::BTreeSet::from([link(&GENESIS, &row())]);
        for edit in edits {
            let mut edited = row();
            edit(&mut edited);
            assert!(
                seen.insert(link(&GENESIS, &edited)),
                "unseen change: {edited:?}"
            );
        }
        assert!(
            seen.insert(link(&[1; 32], &row())),
            "the hash before it counts"
        );
    }
}
