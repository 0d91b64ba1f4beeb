//! Checking all of the journal, from the first record on.

use super::chain::GENESIS;
use super::snapshots::Stored;
use super::{Damage, Journal, JournalError};
use std::ops::ControlFlow;

/// Records are checked in stretches of this many, so that the check holds no long read open: SQLite cannot reuse the
/// write-ahead log's space past a reader.
const STRETCH: u64 = 5_000;

/// What [`Journal::verify`] found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// So many records: those there were when the check began.
    pub records: u64,
    /// The hash of the last one, in hexadecimal. Whoever keeps it elsewhere can tell later that history up to here is
    /// still the same.
    pub chain: String,
    /// The records that there are good snapshots of, newest first.
    pub snapshots: Vec<u64>,
}

impl Journal {
    /// Checks every record and every snapshot. Appends go on meanwhile.
    ///
    /// # Errors
    /// The first damage that it finds.
    pub async fn verify(&self) -> Result<Verified, JournalError> {
        let last = self.last_seq().await?;
        let (mut seq, mut hash) = (0, GENESIS);
        while seq < last {
            let stretch = last.min(seq + STRETCH);
            (seq, hash) = self
                .scan(seq, hash, stretch, |_, _| ControlFlow::Continue(()))
                .await?;
        }
        let snapshots = self.snapshot_places().await?;
        for &seq in &snapshots {
            let chain = match self.snapshot(seq).await? {
                Stored::Good(_, chain) => chain,
                Stored::Damaged => return Err(self.damaged(seq, Damage::Snapshot)),
                // Newer ones have taken its place since they were listed.
                Stored::Forgotten => continue,
            };
            if self.hash_at(seq).await? != Some(chain) {
                let witness = "the snapshot".to_owned();
                return Err(self.damaged(seq, Damage::Replaced { witness }));
            }
        }
        Ok(Verified {
            records: last,
            chain: hex::encode(hash),
            snapshots,
        })
    }
}
