//! Snapshots: the fleet as of a record, so that a start need not fold the whole journal.

use super::chain::{Hash, snapshot_checksum};
use super::{Damage, Journal, JournalError, SNAPSHOT_BYTES, Snapshot};
use sqlx::Row as _;

/// So many snapshots are kept. One is enough; the older ones are for when it is damaged.
const KEPT: u32 = 3;

impl Journal {
    /// Saves the fleet as of record `seq`, and forgets all but the last three snapshots.
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
            sqlx::query(
                "DELETE FROM snapshots
                 WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
            )
            .bind(KEPT)
            .execute(&mut *transaction)
            .await?;
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
            let Some((snapshot, chain)) = self.snapshot(seq).await? else {
                damaged.push(seq);
                continue;
            };
            if seq > last {
                return Err(JournalError::SnapshotAhead {
                    path: self.inner.path.clone(),
                    snapshot: seq,
                    last,
                });
            }
            match self.hash_at(seq).await? {
                Some(hash) if hash == chain => {}
                None => return Err(self.damaged(seq, Damage::Missing)),
                Some(_) => {
                    let witness = "the snapshot".to_owned();
                    return Err(self.damaged(seq, Damage::Replaced { witness }));
                }
            }
            return Ok((Some((snapshot, chain)), damaged));
        }
        Ok((None, damaged))
    }

    /// The records that there are snapshots of, newest first.
    pub(super) async fn snapshot_places(&self) -> Result<Vec<u64>, JournalError> {
        let places: Vec<i64> = sqlx::query_scalar("SELECT seq FROM snapshots ORDER BY seq DESC")
            .fetch_all(&self.inner.readers)
            .await
            .map_err(|source| self.reading("the list of snapshots", 0, source))?;
        Ok(places.into_iter().map(|seq| seq as u64).collect())
    }

    /// A snapshot and the hash of its record; none where it does not match its checksum.
    pub(super) async fn snapshot(
        &self,
        seq: u64,
    ) -> Result<Option<(Snapshot, Hash)>, JournalError> {
        let row = sqlx::query("SELECT chain, checksum, fleet FROM snapshots WHERE seq = ?")
            .bind(seq as i64)
            .fetch_one(&self.inner.readers)
            .await
            .map_err(|source| self.reading("a snapshot", seq, source))?;
        let bytes = |column: &str| row.try_get::<Vec<u8>, _>(column).ok();
        let (Some(chain), Some(checksum), Some(fleet)) =
            (bytes("chain"), bytes("checksum"), bytes("fleet"))
        else {
            return Ok(None);
        };
        let Ok(chain) = Hash::try_from(chain) else {
            return Ok(None);
        };
        if snapshot_checksum(seq, &chain, &fleet).as_slice() != checksum {
            return Ok(None);
        }
        Ok(Some((Snapshot { seq, fleet }, chain)))
    }
}
