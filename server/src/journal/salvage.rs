//! What can still be trusted of a journal that is not one to act on, for people to look at.
//!
//! Nothing is mended and nothing is written: the file stays as it was found, for whoever restores it.

use super::chain::GENESIS;
use super::head::Head;
use super::lock::ProcessLock;
use super::snapshots::Stored;
use super::{BUSY, Journal, JournalError, READERS, Snapshot};
use muster_schemas::event::Record;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::ops::ControlFlow;
use std::path::Path;

/// What [`Journal::salvage`] gives.
#[derive(Debug)]
pub struct Salvaged {
    /// The journal, which takes nothing any more. What cannot be read of it is an error to whoever asks for that.
    pub journal: Journal,
    /// The newest snapshot that matches its checksum.
    pub snapshot: Option<Snapshot>,
    /// The records that follow it (or follow the beginning, where there is none) in an unbroken chain, up to the fault.
    pub tail: Vec<Record>,
}

impl Journal {
    /// Opens a journal that [`Journal::open`] refused, to read of it what can be trusted.
    ///
    /// # Errors
    /// Only that another process has it, or that the files beside it cannot be used: damage is no error here.
    pub async fn salvage(path: &Path) -> Result<Salvaged, JournalError> {
        let lock = ProcessLock::take(path)?;
        let (head, _) = Head::open(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY);
        // They connect when they are first used: a file that SQLite cannot open is an error to whoever reads from it.
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .connect_lazy_with(options.clone())
        };
        let journal = Self::over(path, pool(1), pool(READERS), head, lock);
        let found = journal.newest_that_verifies().await;
        let (seq, chain) = match &found {
            Some((snapshot, chain)) => (snapshot.seq, *chain),
            None => (0, GENESIS),
        };
        let mut tail = Vec::new();
        // There is always an error at its end: the fault, or that the records end.
        let end = journal
            .scan(seq, chain, i64::MAX as u64, |record, _| {
                tail.push(record);
                ControlFlow::Continue(())
            })
            .await;
        if let Err(error) = end {
            tracing::debug!(%error, "the journal can be trusted up to here");
        }
        Ok(Salvaged {
            journal,
            snapshot: found.map(|(snapshot, _)| snapshot),
            tail,
        })
    }

    /// The newest snapshot that matches its checksum, and the hash of the record that it was made after, whether or not that record is
    /// still there.
    async fn newest_that_verifies(&self) -> Option<(Snapshot, super::Hash)> {
        for seq in self.snapshot_places().await.ok()? {
            if let Ok(Stored::Good(found, chain)) = self.snapshot(seq).await {
                return Some((found, chain));
            }
        }
        None
    }
}
