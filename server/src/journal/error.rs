//! What can be wrong with the journal, in words for the person who has to mend it.

use std::path::PathBuf;

/// Why the journal was not opened, read or written. In every case the fleet is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process works on the same journal.
    #[error(
        "{path} is in use by {holder}: one control plane at a time may write it; stop that one first, or give this one \
         another --home"
    )]
    InUse {
        /// The journal's file.
        path: PathBuf,
        /// `process 123`, or `another process` where its id is not known.
        holder: String,
    },

    /// A file or directory beside the journal cannot be made, read or written.
    #[error("cannot {what} {path}; check that the directory exists, is writable and has space")]
    File {
        /// What was tried, such as `create`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// SQLite cannot open the file, or cannot bring its tables up to date.
    #[error("cannot open the journal {path}; check that it is a readable and writable SQLite file")]
    Open {
        /// The journal's file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },

    /// The journal's tables are of a newer version of Muster.
    #[error(
        "the journal {path} was written by a newer version of Muster (its tables are at version {version}, which this \
         one, {own}, does not know); start that version or a later one", own = env!("CARGO_PKG_VERSION")
    )]
    NewerTables {
        /// The journal's file.
        path: PathBuf,
        /// The version of its tables.
        version: i64,
    },

    /// A record is as it was written, and this version cannot read it.
    #[error(
        "record {seq} of the journal (`{kind}`) was written by a newer version of Muster{}; this one, {own}, does not \
         know it and starts nothing on half a history; start that version or a later one",
        written_by.as_ref().map(|version| format!(" ({version})")).unwrap_or_default(),
        own = env!("CARGO_PKG_VERSION")
    )]
    NewerRecord {
        /// Its place.
        seq: u64,
        /// Its kind, as written.
        kind: String,
        /// The version that had the leadership when it was written, where the journal says so.
        written_by: Option<String>,
        /// What the JSON reader said.
        source: serde_json::Error,
    },

    /// A record is not as it was written.
    #[error(
        "the journal {path} is damaged at record {seq}: {damage}; the fleet is not touched and containers run on; \
         restore the file (with its `-wal` file) from a backup that holds record {seq}"
    )]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// The first record that is not as it was.
        seq: u64,
        /// What is wrong with it.
        damage: Damage,
    },

    /// SQLite itself finds the file broken.
    #[error(
        "the journal {path} is damaged: SQLite cannot read {}; the fleet is not touched and containers run on; check \
         the disk and restore the file (with its `-wal` file) from a backup",
        if *after == 0 { "it".to_owned() } else { format!("on after record {after}") }
    )]
    Torn {
        /// The journal's file.
        path: PathBuf,
        /// The last record that could be read; 0 for none.
        after: u64,
        /// What SQLite said.
        source: sqlx::Error,
    },

    /// The journal ends before records that it was seen to have.
    #[error(
        "the journal {path} ends at record {last}, but record {seen} was written to it before: it is an old copy, or \
         its end is lost; the fleet is not touched and containers run on; restore the newest copy (with its `-wal` \
         file), or, if this older one is really meant to hold, remove {head} and start again"
    )]
    OldCopy {
        /// The journal's file.
        path: PathBuf,
        /// The last record there is.
        last: u64,
        /// The last record that is known to have been written.
        seen: u64,
        /// The file that remembers it.
        head: PathBuf,
    },

    /// The newest snapshot is of a record that is not there.
    #[error(
        "the journal {path} ends at record {last}, but it holds a snapshot of record {snapshot}: its end is lost; the \
         fleet is not touched and containers run on; restore the file (with its `-wal` file) from a backup"
    )]
    SnapshotAhead {
        /// The journal's file.
        path: PathBuf,
        /// The snapshot's record.
        snapshot: u64,
        /// The last record there is.
        last: u64,
    },

    /// Records are to be appended that do not follow the last one. This is a fault of the caller.
    #[error(
        "record {found} cannot be appended: the journal goes on with {expected}; nothing was written"
    )]
    OutOfOrder {
        /// The next record's place.
        expected: u64,
        /// The place that was given.
        found: u64,
    },

    /// A snapshot is to be saved of a record that is not there. This is a fault of the caller.
    #[error("a snapshot of record {seq} cannot be saved: the journal ends at {last}")]
    SnapshotOfNothing {
        /// The snapshot's record.
        seq: u64,
        /// The last record there is.
        last: u64,
    },

    /// A record or snapshot is larger than the journal takes.
    #[error("{what} is {size} bytes, more than the journal takes ({limit}); nothing was written")]
    TooLarge {
        /// What it is, such as `record 12`.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The most there may be.
        limit: usize,
    },

    /// The cursor of a list is not one that this list gave.
    #[error("`{cursor}` is not a cursor of this list; leave it out to begin at the start")]
    NotACursor {
        /// What was given.
        cursor: String,
    },

    /// A task of the history cannot be read by this version.
    #[error(
        "the history of task {task} cannot be read; it was written by a version with another shape"
    )]
    History {
        /// The task.
        task: String,
        /// What the JSON reader said.
        source: serde_json::Error,
    },

    /// Something cannot be written as JSON. This is a fault of ours.
    #[error("{what} cannot be written as JSON")]
    Encode {
        /// What it is, such as `record 12`.
        what: String,
        /// What the JSON writer said.
        source: serde_json::Error,
    },

    /// A write failed: nothing of it was acknowledged.
    #[error(
        "the journal could not be written ({what}); nothing was acknowledged; check the disk's space and health"
    )]
    Write {
        /// What was written.
        what: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },

    /// A read failed.
    #[error("the journal could not be read ({what})")]
    Read {
        /// What was read.
        what: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

impl JournalError {
    /// Whether the journal is not as it was written: nothing may be decided on it. Other errors are of the machine, the settings or
    /// the version, and go away with them.
    pub fn is_damage(&self) -> bool {
        match self {
            JournalError::Damaged { .. }
            | JournalError::Torn { .. }
            | JournalError::OldCopy { .. }
            | JournalError::SnapshotAhead { .. } => true,
            JournalError::InUse { .. }
            | JournalError::File { .. }
            | JournalError::Open { .. }
            | JournalError::NewerTables { .. }
            | JournalError::NewerRecord { .. }
            | JournalError::OutOfOrder { .. }
            | JournalError::SnapshotOfNothing { .. }
            | JournalError::TooLarge { .. }
            | JournalError::NotACursor { .. }
            | JournalError::History { .. }
            | JournalError::Encode { .. }
            | JournalError::Write { .. }
            | JournalError::Read { .. } => false,
        }
    }
}

/// How a record is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// There is no such record, though there are later ones.
    #[error("it is missing, though there are later ones")]
    Missing,
    /// Its hash is not that of its content after the record before it.
    #[error(
        "its content does not match its hash, so it was altered, swapped or partly overwritten"
    )]
    Hash,
    /// Its hash is not the one that a snapshot, or the note of the last write, has of it.
    #[error("it is not the record that {witness} was made after, so the journal was rewritten")]
    Replaced {
        /// `the snapshot`, or the file that notes the last write.
        witness: String,
    },
    /// A column holds what no record has.
    #[error("its {column} cannot be read: {message}")]
    Column {
        /// The column.
        column: &'static str,
        /// What SQLite's reader said.
        message: String,
    },
    /// Its JSON says otherwise than its columns.
    #[error("its JSON does not agree with its columns")]
    Disagrees,
    /// The snapshot made after it does not match its checksum.
    #[error("the snapshot made after it does not match its checksum")]
    Snapshot,
}

/// SQLite's words for a file that is broken, as opposed to one that is busy or a disk that is full.
pub(super) fn is_torn(error: &sqlx::Error) -> bool {
    /// `SQLITE_CORRUPT`, `SQLITE_NOTADB` and `SQLITE_IOERR_SHORT_READ`: <https://sqlite.org/rescode.html>.
    const CORRUPT: i64 = 11;
    const NOT_A_DATABASE: i64 = 26;
    const SHORT_READ: i64 = 522;
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    let Some(code) = error.code().and_then(|code| code.parse::<i64>().ok()) else {
        return false;
    };
    // The low byte is the primary code; the rest tells variants of it apart.
    code == SHORT_READ || code & 0xff == CORRUPT || code & 0xff == NOT_A_DATABASE
}
