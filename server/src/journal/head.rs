//! A note of the last write, in a file of its own.
//!
//! The hash chain shows that no record was altered, but an old copy of the journal, or one whose last writes were cut
//! off, is a perfectly good chain that merely ends early. Acting on it would undo what happened since. So each write is
//! noted beside the journal after it is durable there. The note itself is not synced: it can only ever be older than the
//! journal, never newer, and so it never raises a false alarm; it misses only what both lost at the same moment.

use super::JournalError;
use super::chain::Hash;
use super::lock::beside;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that notes the last write.
#[derive(Debug)]
pub(super) struct Head {
    file: File,
    path: PathBuf,
}

impl Head {
    /// Opens the note of the journal at `path`, with what it says: the last record's place and hash. A new note, or one
    /// that a power failure garbled, says nothing.
    pub fn open(path: &Path) -> Result<(Self, Option<(u64, Hash)>), JournalError> {
        let path = beside(path, ".head");
        let failed = |what, source| JournalError::File {
            what,
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed("create", error))?;
        let mut bytes = [0; LENGTH];
        let seen = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(failed("read", error)),
        };
        Ok((Self { file, path }, seen))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a write. It is a few bytes into the page cache, so it is done in place. A failure is only told: the records
    /// themselves are durable.
    pub fn note(&self, seq: u64, hash: &Hash) {
        let text = format!("{seq:020} {}\n", hex::encode(hash));
        debug_assert_eq!(text.len(), LENGTH);
        if let Err(error) = self.file.write_all_at(text.as_bytes(), 0) {
            tracing::warn!(path = %self.path.display(), %error, "the last write could not be noted beside the journal");
        }
    }
}

/// Twenty digits, a space, a hash in hexadecimal, a line's end: it never changes its length, so it is overwritten in one
/// piece.
const LENGTH: usize = 20 + 1 + 64 + 1;

fn parse(bytes: &[u8; LENGTH]) -> Option<(u64, Hash)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (seq, hash) = text.split_once(' ')?;
    let mut parsed = Hash::default();
    hex::decode_to_slice(hash, &mut parsed).ok()?;
    Some((seq.parse().ok()?, parsed))
}
