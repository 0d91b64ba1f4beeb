//! The journal: the append-only, hash-chained record of everything that happened; the only room with SQL.
//!
//! SQLite in WAL mode with `synchronous=FULL`: when [`Journal::append`] returns, the records are on the disk. One
//! connection writes; a few others read beside it and never wait for it. One process at a time has the journal.
//!
//! Opening refuses whatever is not as it was written: an altered, missing or swapped record, a torn file, an old copy,
//! records of a newer version. It mends nothing by itself, since a journal that says less than what happened makes a
//! control plane that undoes it.
//!
//! It does not know what records mean: folding them is the core's work.

mod chain;
mod error;
mod head;
mod history;
mod lock;
mod past;
mod records;
mod salvage;
mod search;
mod snapshots;
mod subjects;
mod verify;

pub use error::{Damage, JournalError};
pub use history::{HistoryFilter, TaskPage};
pub use past::Place;
pub use salvage::Salvaged;
pub use search::EventFilter;
pub use verify::Verified;

use chain::{GENESIS, Hash, Row};
use error::is_torn;
use head::Head;
use lock::ProcessLock;
use muster_schemas::event::Record;
use records::AttemptPlaces;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Connections that read. Lists of the API and the watch's catching up use them; each is a thread.
const READERS: u32 = 4;

/// How long a statement waits for SQLite's own locks. Nobody else writes, so this is only ever a checkpoint's length.
const BUSY: Duration = Duration::from_secs(10);

/// The write-ahead log is cut to this size after a checkpoint, so that a burst does not keep its disk space for ever.
const WAL_BYTES: u32 = 64 << 20;

/// The largest record, as JSON. A plan that creates 10,000 jobs of a full spec each takes about 30 MiB.
const RECORD_BYTES: usize = 128 << 20;

/// The largest snapshot: SQLite takes values up to 1 GB, and one of this size takes seconds to load.
const SNAPSHOT_BYTES: usize = 512 << 20;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// The journal of one cell. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    end: Mutex<End>,
    head: Head,
    /// Last, so that it goes after the connections.
    _lock: ProcessLock,
}

/// What is known of the journal's end.
#[derive(Debug)]
struct End {
    /// The last record's place and hash. None while it is not known whether the last write came through: it is read back
    /// before the next.
    tip: Option<(u64, Hash)>,
    attempts: AttemptPlaces,
}

/// What [`Journal::open`] gives.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// The newest good snapshot.
    pub snapshot: Option<Snapshot>,
    /// The records after the snapshot, or all of them where there is none.
    pub tail: Vec<Record>,
    /// Snapshots that were passed over because they do not match their checksum. Nothing is lost by it, but a disk that
    /// damages these may damage more, so it is to be told.
    pub damaged_snapshots: Vec<u64>,
}

/// The fleet as of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record that it includes.
    pub seq: u64,
    /// The fleet, as the control loop wrote it.
    pub fleet: Vec<u8>,
}

impl Journal {
    /// Opens the journal at `path`, and creates it if there is none. Takes the process lock, brings the tables up to
    /// date, and checks the records after the newest good snapshot and that they join it ([`Journal::verify`] checks all).
    ///
    /// # Errors
    /// Whatever makes the journal one not to act on; the message says what, where and what to do.
    pub async fn open(path: &Path) -> Result<Opened, JournalError> {
        let lock = ProcessLock::take(path)?;
        let (head, noted) = Head::open(path)?;
        if let Some((seen, _)) = noted
            && seen > 0
            && is_missing(path)
        {
            // Asked before SQLite sees it: beside an empty file it would throw away the write-ahead log, which may be all
            // there is left to restore from.
            return Err(JournalError::OldCopy {
                path: path.to_owned(),
                last: 0,
                seen,
                head: head.path().to_owned(),
            });
        }
        create_private(path)?;

        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .pragma("journal_size_limit", WAL_BYTES.to_string());
        let opening = |source: sqlx::Error| {
            if is_torn(&source) {
                JournalError::Torn {
                    path: path.to_owned(),
                    after: 0,
                    source,
                }
            } else {
                JournalError::Open {
                    path: path.to_owned(),
                    source,
                }
            }
        };
        let forever = SqlitePoolOptions::new()
            .idle_timeout(None)
            .max_lifetime(None);
        let writer = forever
            .clone()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(opening)?;
        if let Err(failure) = migrate(&writer).await {
            writer.close().await;
            return Err(match failure {
                Migration::Newer(version) => JournalError::NewerTables {
                    path: path.to_owned(),
                    version,
                },
                Migration::Failed(source) => opening(source),
            });
        }
        let readers = forever
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(opening)?;
        let journal = Self::over(path, writer, readers, head, lock);
        match journal.checked(noted).await {
            Ok((snapshot, tail, damaged_snapshots)) => Ok(Opened {
                journal,
                snapshot,
                tail,
                damaged_snapshots,
            }),
            Err(error) => {
                // Whoever reads what is left of it finds the file let go of.
                journal.close().await;
                Err(error)
            }
        }
    }

    fn over(
        path: &Path,
        writer: SqlitePool,
        readers: SqlitePool,
        head: Head,
        lock: ProcessLock,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                writer,
                readers,
                end: Mutex::new(End {
                    tip: None,
                    attempts: AttemptPlaces::default(),
                }),
                head,
                _lock: lock,
            }),
        }
    }

    /// Checks what a start rests on: the newest good snapshot, the records after it, and those of newer snapshots that were passed
    /// over.
    async fn checked(
        &self,
        noted: Option<(u64, Hash)>,
    ) -> Result<(Option<Snapshot>, Vec<Record>, Vec<u64>), JournalError> {
        let tip = self.tip().await?;
        self.check_noted(noted, tip).await?;
        let (snapshot, damaged_snapshots) = self.newest_snapshot(tip.0).await?;
        let (seq, chain) = match &snapshot {
            Some((snapshot, chain)) => (snapshot.seq, *chain),
            None => (0, GENESIS),
        };
        let mut tail = Vec::new();
        self.scan(seq, chain, tip.0, |record, _| {
            tail.push(record);
            ControlFlow::Continue(())
        })
        .await?;
        self.inner.end.lock().await.tip = Some(tip);
        self.inner.head.note(tip.0, &tip.1);
        Ok((
            snapshot.map(|(snapshot, _)| snapshot),
            tail,
            damaged_snapshots,
        ))
    }

    /// Appends records in one durable transaction: it returns when they are on the disk, all or none of them. They must
    /// follow the last record without a gap. One call costs one sync of the disk however many records it has.
    ///
    /// # Errors
    /// `OutOfOrder` and `TooLarge` when the records are not ones to append; `Write` when the disk does not take them. None
    /// was acknowledged then.
    pub async fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut end = self.inner.end.lock().await;
        let (mut seq, mut hash) = match end.tip {
            Some(tip) => tip,
            None => self.tip().await?,
        };
        let mut rows = Vec::with_capacity(records.len());
        for record in records {
            if record.seq != seq + 1 {
                return Err(JournalError::OutOfOrder {
                    expected: seq + 1,
                    found: record.seq,
                });
            }
            let mut row = records::row(record)?;
            self.complete_subjects(&mut end.attempts, &mut row.subjects)
                .await?;
            row.hash = chain::link(&hash, &row);
            (seq, hash) = (row.seq, row.hash);
            rows.push(row);
        }
        // Until the write is known to be done it is not known how the journal ends, also when this future is dropped.
        end.tip = None;
        self.write(&rows)
            .await
            .map_err(|source| JournalError::Write {
                what: "records",
                source,
            })?;
        end.tip = Some((seq, hash));
        self.inner.head.note(seq, &hash);
        Ok(())
    }

    /// The last record's place; 0 when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn last_seq(&self) -> Result<u64, JournalError> {
        let end = self.inner.end.lock().await;
        match end.tip {
            Some((seq, _)) => Ok(seq),
            None => Ok(self.tip().await?.0),
        }
    }

    /// Lets go of the file and the process lock in good order. Dropping the last clone does so too, a moment later; a
    /// journal that is not closed at all loses nothing.
    pub async fn close(self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }

    async fn write(&self, rows: &[Row]) -> Result<(), sqlx::Error> {
        let mut transaction = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        for row in rows {
            records::insert(&mut transaction, row).await?;
        }
        transaction.commit().await
    }

    /// The last record's place and hash, read back from the file.
    async fn tip(&self) -> Result<(u64, Hash), JournalError> {
        let last = records::last(&self.inner.writer)
            .await
            .map_err(|source| self.reading("the last record", 0, source))?;
        match last {
            None => Ok((0, GENESIS)),
            Some(row) => {
                let (seq, hash) = records::place(&row);
                match hash {
                    Ok(hash) => Ok((seq, hash)),
                    Err(message) => Err(self.damaged(
                        seq,
                        Damage::Column {
                            column: "hash",
                            message,
                        },
                    )),
                }
            }
        }
    }

    /// Compares the note of the last write with what the journal has.
    async fn check_noted(
        &self,
        noted: Option<(u64, Hash)>,
        (last, _): (u64, Hash),
    ) -> Result<(), JournalError> {
        let Some((seen, hash)) = noted else {
            return Ok(());
        };
        if seen > last {
            return Err(JournalError::OldCopy {
                path: self.inner.path.clone(),
                last,
                seen,
                head: self.inner.head.path().to_owned(),
            });
        }
        if self.hash_at(seen).await? != Some(hash) {
            return Err(self.damaged(
                seen,
                Damage::Replaced {
                    witness: format!("the note in {}", self.inner.head.path().display()),
                },
            ));
        }
        Ok(())
    }

    /// The stored hash of a record; that of the beginning for 0; none where there is no such record.
    async fn hash_at(&self, seq: u64) -> Result<Option<Hash>, JournalError> {
        if seq == 0 {
            return Ok(Some(GENESIS));
        }
        let row = records::at(&self.inner.readers, seq)
            .await
            .map_err(|source| self.reading("a record's hash", seq.saturating_sub(1), source))?;
        match row.map(|row| records::place(&row).1) {
            None => Ok(None),
            Some(Ok(hash)) => Ok(Some(hash)),
            Some(Err(message)) => Err(self.damaged(
                seq,
                Damage::Column {
                    column: "hash",
                    message,
                },
            )),
        }
    }

    fn damaged(&self, seq: u64, damage: Damage) -> JournalError {
        JournalError::Damaged {
            path: self.inner.path.clone(),
            seq,
            damage,
        }
    }

    /// What a failed read means: a broken file, or merely a read that failed.
    fn reading(&self, what: &'static str, after: u64, source: sqlx::Error) -> JournalError {
        if is_torn(&source) {
            JournalError::Torn {
                path: self.inner.path.clone(),
                after,
                source,
            }
        } else {
            JournalError::Read { what, source }
        }
    }
}

enum Migration {
    Newer(i64),
    Failed(sqlx::Error),
}

async fn migrate(writer: &SqlitePool) -> Result<(), Migration> {
    match MIGRATIONS.run(writer).await {
        Ok(()) => Ok(()),
        // Tables that this version does not know of: a newer one made them.
        Err(MigrateError::VersionMissing(version)) => Err(Migration::Newer(version)),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(Migration::Failed(error))
        }
        Err(other) => Err(Migration::Failed(sqlx::Error::Migrate(Box::new(other)))),
    }
}

fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() == 0) || !path.exists()
}

/// Creates the file if there is none: for its owner alone, because specs may hold what only their
/// owners should read. SQLite gives its side files the same mode.
fn create_private(path: &Path) -> Result<(), JournalError> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(JournalError::File {
            what: "create",
            path: path.to_owned(),
            source,
        }),
    }
}
