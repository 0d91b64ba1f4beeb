//! Records and the rows that they are stored as: writing, and reading with all checks.

use super::chain::{Hash, Row, link};
use super::subjects::{Subjects, subjects};
use super::{Damage, Journal, JournalError, RECORD_BYTES};
use futures::TryStreamExt;
use muster_schemas::event::Record;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, Sqlite, SqliteConnection};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Attempts whose place is kept in memory, at some 200 bytes each. Those that report are the living ones; an older one is
/// looked up in the file.
const ATTEMPTS: usize = 50_000;

impl Journal {
    /// Reads the records after `seq` (whose hash is `hash`) up to `last`, checks each, and hands it over with the length of
    /// its JSON, until that says to break off. Answers the place and hash of the last one that it handed over.
    pub(super) async fn scan(
        &self,
        mut seq: u64,
        mut hash: Hash,
        last: u64,
        mut each: impl FnMut(Record, usize) -> ControlFlow<()>,
    ) -> Result<(u64, Hash), JournalError> {
        let mut rows = sqlx::query(
            "SELECT seq, at, epoch, kind, job, task, attempt, host, plan, body, hash
             FROM records WHERE seq > ? AND seq <= ? ORDER BY seq",
        )
        .bind(seq as i64)
        .bind(last as i64)
        .fetch(&self.inner.readers);
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(source) => return Err(self.reading("records", seq, source)),
            };
            let found = place(&row).0;
            if found != seq + 1 {
                return Err(self.damaged(seq + 1, Damage::Missing));
            }
            let row = decode(&row).map_err(|(seq, damage)| self.damaged(seq, damage))?;
            if link(&hash, &row) != row.hash {
                return Err(self.damaged(row.seq, Damage::Hash));
            }
            let record = self.record(&row).await?;
            (seq, hash) = (row.seq, row.hash);
            if each(record, row.body.len()).is_break() {
                return Ok((seq, hash));
            }
        }
        if seq < last {
            return Err(self.damaged(seq + 1, Damage::Missing));
        }
        Ok((seq, hash))
    }

    /// The record of a row.
    pub(super) async fn record(&self, row: &Row) -> Result<Record, JournalError> {
        let record: Record = match serde_json::from_str(&row.body) {
            Ok(record) => record,
            Err(source) => {
                return Err(JournalError::NewerRecord {
                    seq: row.seq,
                    kind: row.kind.clone(),
                    written_by: self.writer_of(row.seq).await,
                    source,
                });
            }
        };
        let agrees =
            record.seq == row.seq && record.epoch == row.epoch && subjects(&record).0 == row.kind;
        if agrees {
            Ok(record)
        } else {
            Err(self.damaged(row.seq, Damage::Disagrees))
        }
    }

    /// The version of Muster that had the leadership when a record was written, as far as it can be told.
    async fn writer_of(&self, seq: u64) -> Option<String> {
        sqlx::query_scalar(
            "SELECT json_extract(body, '$.event.version') FROM records
             WHERE kind = 'leadership_taken' AND seq <= ? ORDER BY seq DESC LIMIT 1",
        )
        .bind(seq as i64)
        .fetch_optional(&self.inner.readers)
        .await
        .ok()
        .flatten()
    }

    /// Adds what an event about an attempt does not say itself: its task and host. The record that placed it does.
    pub(super) async fn complete_subjects(
        &self,
        attempts: &mut AttemptPlaces,
        about: &mut Subjects,
    ) -> Result<(), JournalError> {
        let Some(attempt) = &about.attempt else {
            return Ok(());
        };
        if let (Some(job), Some(task), Some(host)) = (&about.job, &about.task, &about.host) {
            attempts.keep(attempt.clone(), [job, task, host].map(String::clone));
            return Ok(());
        }
        let place = match attempts.0.get(attempt) {
            Some(place) => Some(place.clone()),
            None => {
                let found: Option<(String, String, String)> = sqlx::query_as(
                    // The plus sign keeps SQLite off the index on the kind, which has far more rows to look through.
                    "SELECT job, task, host FROM records
                     WHERE attempt = ? AND +kind = 'attempt_placed' LIMIT 1",
                )
                .bind(attempt)
                .fetch_optional(&self.inner.readers)
                .await
                .map_err(|source| self.reading("where an attempt was placed", 0, source))?;
                let place = found.map(|(job, task, host)| [job, task, host]);
                if let Some(place) = &place {
                    attempts.keep(attempt.clone(), place.clone());
                }
                place
            }
        };
        if let Some([job, task, host]) = place {
            about.job.get_or_insert(job);
            about.task.get_or_insert(task);
            about.host.get_or_insert(host);
        }
        Ok(())
    }
}

/// Where attempts were placed: the job, task and host of each, of those that were lately spoken of.
#[derive(Debug, Default)]
pub(super) struct AttemptPlaces(HashMap<String, [String; 3]>);

impl AttemptPlaces {
    fn keep(&mut self, attempt: String, place: [String; 3]) {
        if self.0.len() >= ATTEMPTS {
            self.0.clear();
        }
        self.0.insert(attempt, place);
    }
}

/// The row of a record, not yet chained.
pub(super) fn row(record: &Record) -> Result<Row, JournalError> {
    let what = || format!("record {}", record.seq);
    let body = serde_json::to_string(record).map_err(|source| JournalError::Encode {
        what: what(),
        source,
    })?;
    if body.len() > RECORD_BYTES {
        return Err(JournalError::TooLarge {
            what: what(),
            size: body.len(),
            limit: RECORD_BYTES,
        });
    }
    let (kind, about) = subjects(record);
    Ok(Row {
        seq: record.seq,
        at: record.at.to_string(),
        epoch: record.epoch,
        kind: kind.to_owned(),
        subjects: about,
        body,
        hash: Hash::default(),
    })
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    row: &Row,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO records (seq, at, epoch, kind, job, task, attempt, host, plan, body, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.seq as i64)
    .bind(&row.at)
    .bind(row.epoch as i64)
    .bind(&row.kind)
    .bind(&row.subjects.job)
    .bind(&row.subjects.task)
    .bind(&row.subjects.attempt)
    .bind(&row.subjects.host)
    .bind(&row.subjects.plan)
    .bind(&row.body)
    .bind(row.hash.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn last(pool: &SqlitePool) -> Result<Option<SqliteRow>, sqlx::Error> {
    sqlx::query("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1")
        .fetch_optional(pool)
        .await
}

pub(super) async fn at(pool: &SqlitePool, seq: u64) -> Result<Option<SqliteRow>, sqlx::Error> {
    sqlx::query("SELECT seq, hash FROM records WHERE seq = ?")
        .bind(seq as i64)
        .fetch_optional(pool)
        .await
}

/// A row's place, and its hash where that can be read.
pub(super) fn place(row: &SqliteRow) -> (u64, Result<Hash, String>) {
    // The place is the table's key, which SQLite itself guarantees to be a whole number.
    let seq = row.try_get::<i64, _>("seq").unwrap_or_default() as u64;
    let hash = row
        .try_get::<Vec<u8>, _>("hash")
        .map_err(|error| error.to_string())
        .and_then(|bytes| {
            Hash::try_from(bytes)
                .map_err(|bytes| format!("it has {} bytes instead of 32", bytes.len()))
        });
    (seq, hash)
}

pub(super) fn decode(row: &SqliteRow) -> Result<Row, (u64, Damage)> {
    fn column<'r, T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>>(
        row: &'r SqliteRow,
        seq: u64,
        name: &'static str,
    ) -> Result<T, (u64, Damage)> {
        row.try_get(name).map_err(|error| {
            let damage = Damage::Column {
                column: name,
                message: error.to_string(),
            };
            (seq, damage)
        })
    }
    let (seq, hash) = place(row);
    Ok(Row {
        seq,
        at: column(row, seq, "at")?,
        epoch: column::<i64>(row, seq, "epoch")? as u64,
        kind: column(row, seq, "kind")?,
        subjects: Subjects {
            job: column(row, seq, "job")?,
            task: column(row, seq, "task")?,
            attempt: column(row, seq, "attempt")?,
            host: column(row, seq, "host")?,
            plan: column(row, seq, "plan")?,
        },
        body: column(row, seq, "body")?,
        hash: hash.map_err(|message| {
            let damage = Damage::Column {
                column: "hash",
                message,
            };
            (seq, damage)
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that is killed does not show whether the disk was waited for; a power failure would. So it is asked for.
    #[tokio::test]
    async fn an_append_waits_for_the_disk() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal.db");
        let journal = Journal::open(&path).await.expect("it opens").journal;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&journal.inner.writer)
            .await
            .expect("it answers");
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&journal.inner.writer)
            .await
            .expect("it answers");
        // 2 is FULL: in WAL mode each commit syncs the log.
        assert_eq!((synchronous, mode.as_str()), (2, "wal"));
    }
}
