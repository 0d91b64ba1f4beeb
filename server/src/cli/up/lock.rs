//! One stack for each home: a locked file with the process id of the `muster up` that holds it.
//!
//! The lock is the kernel's, so it is gone with the process that held it, however that ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The lock, for as long as it lives.
#[derive(Debug)]
pub(super) struct HomeLock {
    _file: File,
}

/// What came of asking for the lock.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is ours.
    Ours(HomeLock),
    /// A stack runs; its process id, where the file tells it.
    Held(Option<i32>),
}

/// Takes the lock of this home, or tells who has it.
pub(super) fn take(home: &Path) -> io::Result<Asked> {
    let path = home.join("up.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.take(32).read_to_string(&mut text)?;
            return Ok(Asked::Held(text.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Asked::Ours(HomeLock { _file: file }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_learns_who_has_it_until_the_first_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let Asked::Ours(first) = take(home.path()).unwrap() else {
            panic!("nobody else wants it");
        };
        let held = take(home.path()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(held, Asked::Held(Some(pid)) if pid == own),
            "{held:?}"
        );
        drop(first);
        assert!(matches!(take(home.path()).unwrap(), Asked::Ours(_)));
    }
}
