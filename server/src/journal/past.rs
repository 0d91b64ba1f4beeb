//! Reading the past: which record was the last at a time, and the records from a snapshot up to one.

use super::chain::GENESIS;
use super::snapshots::Stored;
use super::{Damage, Journal, JournalError, Snapshot};
use jiff::Timestamp;
use muster_schemas::event::Record;
use std::ops::ControlFlow;

/// So many records are read at once: a stretch is then a few milliseconds, in which one reader is taken.
const STRETCH: usize = 1_000;

/// A stretch ends early once its records have so many bytes as JSON, so that a row of large plans does not fill the memory.
const STRETCH_BYTES: usize = 16 << 20;

/// A record's place in the journal and in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
}

impl Journal {
    /// The first and the last record; none while there is no record at all.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn ends(&self) -> Result<Option<(Place, Place)>, JournalError> {
        let ends: (Option<i64>, Option<i64>) =
            sqlx::query_as("SELECT (SELECT min(seq) FROM records), (SELECT max(seq) FROM records)")
                .fetch_one(&self.inner.readers)
                .await
                .map_err(|source| self.reading("the first and the last record", 0, source))?;
        let (Some(first), Some(last)) = ends else {
            return Ok(None);
        };
        let first = self.place_of(first as u64).await?;
        let last = self.place_of(last as u64).await?;
        Ok(first.zip(last))
    }

    /// When a record was decided; none where there is no such record.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn place_of(&self, seq: u64) -> Result<Option<Place>, JournalError> {
        let at: Option<String> = sqlx::query_scalar("SELECT at FROM records WHERE seq = ?")
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .fetch_optional(&self.inner.readers)
            .await
            .map_err(|source| self.reading("a record's time", seq.saturating_sub(1), source))?;
        let Some(at) = at else {
            return Ok(None);
        };
        match at.parse() {
            Ok(at) => Ok(Some(Place { seq, at })),
            Err(error) => {
                let damage = Damage::Column {
                    column: "at",
                    message: jiff::Error::to_string(&error),
                };
                Err(self.damaged(seq, damage))
            }
        }
    }

    /// The last record at or before a time; none where the journal begins after it.
    ///
    /// Records are in the order of their times, unless the machine's clock was set back. Then one of the records at or before
    /// the time that has a later one after it is found, always the same one as long as no record is added.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn last_at(&self, at: Timestamp) -> Result<Option<Place>, JournalError> {
        let Some((first, last)) = self.ends().await? else {
            return Ok(None);
        };
        if at < first.at {
            return Ok(None);
        }
        if at >= last.at {
            return Ok(Some(last));
        }
        // Between a record that is not after the time and one that is; some 20 looks for a million records.
        let (mut not_after, mut after) = (first, last);
        while after.seq - not_after.seq > 1 {
            let middle = not_after.seq + (after.seq - not_after.seq) / 2;
            let Some(place) = self.place_of(middle).await? else {
                return Err(self.damaged(middle, Damage::Missing));
            };
            if place.at <= at {
                not_after = place;
            } else {
                after = place;
            }
        }
        Ok(Some(not_after))
    }

    /// The records that there are snapshots of, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn snapshots(&self) -> Result<Vec<u64>, JournalError> {
        self.snapshot_places().await
    }

    /// The snapshot of a record; none where there is none, or it does not match its checksum.
    ///
    /// # Errors
    /// When it cannot be read, or was not made after the record that stands in its place.
    pub async fn snapshot_of(&self, seq: u64) -> Result<Option<Snapshot>, JournalError> {
        let Stored::Good(snapshot, chain) = self.snapshot(seq).await? else {
            return Ok(None);
        };
        self.check_joins(seq, &chain).await?;
        Ok(Some(snapshot))
    }

    /// The records after `after` up to `last`, in order and without a gap, each checked by its hash; at most 1,000, and fewer
    /// where they are large. At least one, where `after` is before `last`.
    ///
    /// # Errors
    /// When they cannot be read, or are not as they were written.
    pub async fn stretch(&self, after: u64, last: u64) -> Result<Vec<Record>, JournalError> {
        let hash = match after {
            0 => GENESIS,
            _ => self
                .hash_at(after)
                .await?
                .ok_or_else(|| self.damaged(after, Damage::Missing))?,
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        self.scan(after, hash, last, |record, length| {
            records.push(record);
            bytes += length;
            if records.len() >= STRETCH || bytes >= STRETCH_BYTES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await?;
        Ok(records)
    }
}
