//! Snapshots: the fleet as of a record, so that neither a start nor a question about the past need fold the whole journal.
//!
//! The latest are for a start. Older ones are thinned out, so that what is asked about most, the last hours, is quick, and
//! nothing grows without a bound.

use super::chain::{Hash, snapshot_checksum};
use super::{Damage, Journal, JournalError, SNAPSHOT_BYTES, Snapshot};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// So many of the latest are kept whatever their age. One is enough for a start; the others are for when it is damaged.
const LATEST: usize = 3;

/// Besides the latest: the last one of each stretch of this length, from the newest snapshot so far back.
const THINNED: [(SignedDuration, SignedDuration); 3] = [
    (
        SignedDuration::from_hours(1),
        SignedDuration::from_hours(24),
    ),
    (
        SignedDuration::from_hours(24),
        SignedDuration::from_hours(30 * 24),
    ),
    (
        SignedDuration::from_hours(30 * 24),
        SignedDuration::from_hours(720 * 24),
    ),
];

/// All but the latest take at most so many bytes; the oldest go first. A fleet of 20,000 tasks takes some 30 MB, so this is a
/// day of hours and a week of days even there.
const THINNED_BYTES: u64 = 1 << 30;

/// A snapshot in the file.
pub(super) enum Stored {
    /// It matches its checksum; with the hash of its record.
    Good(Snapshot, Hash),
    /// It does not.
    Damaged,
    /// There is none of that record any more.
    Forgotten,
}

/// What decides whether a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    seq: u64,
    at: Timestamp,
    bytes: u64,
}

/// The records whose snapshots are not kept; `all` are in the journal's order.
fn superfluous(all: &[Size]) -> Vec<u64> {
    let Some(newest) = all.last() else {
        return Vec::new();
    };
    let mut bytes = 0u64;
    let mut stretches = BTreeSet::new();
    let mut superfluous = Vec::new();
    for (place, size) in all.iter().rev().enumerate() {
        // The first of a stretch that is met on the way back is its last. Stretches are those of the clock, not counted from
        // the newest, so that what is kept today is kept tomorrow.
        let wanted = THINNED
            .iter()
            .filter(|(_, reach)| newest.at.duration_since(size.at) <= *reach)
            .filter(|(length, _)| {
                let stretch = size.at.as_second().div_euclid(length.as_secs());
                stretches.insert((length.as_secs(), stretch))
            })
            .count()
            > 0;
        if place < LATEST {
            continue;
        }
        bytes = bytes.saturating_add(if wanted { size.bytes } else { 0 });
        if !wanted || bytes > THINNED_BYTES {
            superfluous.push(size.seq);
        }
    }
    superfluous
}

impl Journal {
    /// Saves the fleet as of record `seq`, and forgets the snapshots that are not kept beside it.
    ///
    /// # Errors
    /// `SnapshotOfNothing` where there is no such record, `TooLarge`, or `Write`.
    pub async fn save_snapshot(&self, seq: u64, fleet: &[u8]) -> Result<(), JournalError> {
        if fleet.len() > SNAPSHOT_BYTES {
            return Err(JournalError::TooLarge {
                what: format!("the snapshot of record {seq}"),
                size: fleet.len(),
                limit: SNAPSHOT_BYTES,
            });
        }
        let Some(chain) = self.hash_at(seq).await? else {
            let last = self.last_seq().await?;
            return Err(JournalError::SnapshotOfNothing { seq, last });
        };
        let checksum = snapshot_checksum(seq, &chain, fleet);
        let write = async {
            let mut transaction = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query(
                "INSERT OR REPLACE INTO snapshots (seq, chain, checksum, fleet) VALUES (?, ?, ?, ?)",
            )
            .bind(seq as i64)
            .bind(chain.as_slice())
            .bind(checksum.as_slice())
            .bind(fleet)
            .execute(&mut *transaction)
            .await?;
            // Of a blob SQLite reads the length without reading the blob.
            let rows: Vec<(i64, String, i64)> = sqlx::query_as(
                "SELECT seq, records.at, length(fleet) FROM snapshots JOIN records USING (seq) ORDER BY seq",
            )
            .fetch_all(&mut *transaction)
            .await?;
            let sizes: Vec<Size> = rows
                .into_iter()
                .map(|(seq, at, bytes)| Size {
                    seq: seq as u64,
                    // The records' own check says when a time cannot be read; here such a snapshot counts as very old.
                    at: at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
                    bytes: bytes as u64,
                })
                .collect();
            for seq in superfluous(&sizes) {
                sqlx::query("DELETE FROM snapshots WHERE seq = ?")
                    .bind(seq as i64)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        write.await.map_err(|source| JournalError::Write {
            what: "a snapshot",
            source,
        })
    }

    /// The newest snapshot that matches its checksum, with the hash of its record; and the places of newer ones that do
    /// not, which are passed over, since the records are all there. A good snapshot that does not belong to this journal
    /// is an error: it shows that records were lost or rewritten.
    pub(super) async fn newest_snapshot(
        &self,
        last: u64,
    ) -> Result<(Option<(Snapshot, Hash)>, Vec<u64>), JournalError> {
        let mut damaged = Vec::new();
        for seq in self.snapshot_places().await? {
            let (snapshot, chain) = match self.snapshot(seq).await? {
                Stored::Good(snapshot, chain) => (snapshot, chain),
                Stored::Damaged => {
                    damaged.push(seq);
                    continue;
                }
                Stored::Forgotten => continue,
            };
            if seq > last {
                return Err(JournalError::SnapshotAhead {
                    path: self.inner.path.clone(),
                    snapshot: seq,
                    last,
                });
            }
            self.check_joins(seq, &chain).await?;
            return Ok((Some((snapshot, chain)), damaged));
        }
        Ok((None, damaged))
    }

    /// That a snapshot was made after the record that stands in its place: else records were lost or rewritten.
    pub(super) async fn check_joins(&self, seq: u64, chain: &Hash) -> Result<(), JournalError> {
        match self.hash_at(seq).await? {
            Some(hash) if hash == *chain => Ok(()),
            None => Err(self.damaged(seq, Damage::Missing)),
            Some(_) => {
                let witness = "the snapshot".to_owned();
                Err(self.damaged(seq, Damage::Replaced { witness }))
            }
        }
    }

    /// The records that there are snapshots of, newest first.
    pub(super) async fn snapshot_places(&self) -> Result<Vec<u64>, JournalError> {
        let places: Vec<i64> = sqlx::query_scalar("SELECT seq FROM snapshots ORDER BY seq DESC")
            .fetch_all(&self.inner.readers)
            .await
            .map_err(|source| self.reading("the list of snapshots", 0, source))?;
        Ok(places.into_iter().map(|seq| seq as u64).collect())
    }

    /// The snapshot of a record.
    pub(super) async fn snapshot(&self, seq: u64) -> Result<Stored, JournalError> {
        let row = sqlx::query("SELECT chain, checksum, fleet FROM snapshots WHERE seq = ?")
            .bind(seq as i64)
            .fetch_optional(&self.inner.readers)
            .await
            .map_err(|source| self.reading("a snapshot", seq, source))?;
        let Some(row) = row else {
            return Ok(Stored::Forgotten);
        };
        let bytes = |column: &str| row.try_get::<Vec<u8>, _>(column).ok();
        let (Some(chain), Some(checksum), Some(fleet)) =
            (bytes("chain"), bytes("checksum"), bytes("fleet"))
        else {
            return Ok(Stored::Damaged);
        };
        let Ok(chain) = Hash::try_from(chain) else {
            return Ok(Stored::Damaged);
        };
        if snapshot_checksum(seq, &chain, &fleet).as_slice() != checksum {
            return Ok(Stored::Damaged);
        }
        Ok(Stored::Good(Snapshot { seq, fleet }, chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots taken every `minutes`, thinned after each as the journal does it: their ages in hours before the newest.
    fn kept(count: i64, minutes: i64, bytes: u64) -> Vec<i64> {
        let mut all: Vec<Size> = Vec::new();
        // In the middle of an hour and of a day, so that stretches of the clock and of the age are not the same.
        let start: Timestamp = "2026-11-20T10:30:00Z".parse().expect("a time");
        for number in 0..count {
            all.push(Size {
                seq: number as u64 + 1,
                at: start + SignedDuration::from_mins(number * minutes),
                bytes,
            });
            let gone = superfluous(&all);
            all.retain(|size| !gone.contains(&size.seq));
        }
        let newest = all.last().expect("one at least").at;
        let age = |size: &Size| newest.duration_since(size.at).as_secs() / 3600;
        all.iter().rev().map(age).collect()
    }

    #[test]
    fn the_latest_are_kept_whatever_their_age() {
        assert_eq!(kept(3, 1, 1), [0, 0, 0]);
        assert_eq!(kept(1, 60 * 24 * 1000, 1), [0]);
        assert_eq!(kept(4, 60 * 24 * 1000, 1), [0, 24_000, 48_000]);
    }

    #[test]
    fn older_ones_are_an_hour_then_a_day_then_a_month_apart() {
        // A snapshot every ten minutes, for 100 days.
        let ages = kept(6 * 24 * 100, 10, 1);
        let within =
            |from: i64, to: i64| ages.iter().filter(|age| (from..to).contains(*age)).count();
        assert!((24..=27).contains(&within(0, 24)), "{ages:?}");
        assert!((28..=30).contains(&within(24, 30 * 24)), "{ages:?}");
        assert!((2..=3).contains(&within(30 * 24, 101 * 24)), "{ages:?}");
        let gap = |from: i64, to: i64| {
            let ages: Vec<i64> = ages
                .iter()
                .copied()
                .filter(|age| (from..to).contains(age))
                .collect();
            ages.windows(2)
                .map(|pair| pair[1] - pair[0])
                .max()
                .unwrap_or(0)
        };
        assert!(gap(0, 24) <= 1 && gap(24, 30 * 24) <= 24 && gap(30 * 24, 101 * 24) <= 30 * 24);
    }

    #[test]
    fn there_is_a_bound_on_their_number_and_on_their_bytes() {
        // Once a day for five years.
        assert!(kept(365 * 5, 60 * 24, 1).len() <= LATEST + 25 + 31 + 25);
        let large = kept(6 * 24 * 3, 10, THINNED_BYTES / 10);
        assert_eq!(
            large.len(),
            LATEST + 10,
            "the newest of those that would be kept"
        );
        assert!(large.iter().all(|age| *age <= 12), "{large:?}");
    }
}
