//! Where the agent of one command keeps its notes, and how a command that was killed is told from one that runs.
//!
//! Each command has a folder of its own, named by its host's id, with a file in it that it keeps locked. The lock is the kernel's:
//! it is gone with the process, however that ended. So a folder whose lock is free was left behind, and so were its containers.

use muster_schemas::ids::HostId;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

const LOCK: &str = "run.lock";

/// Why there is no place for notes.
#[derive(Debug, Error)]
#[error("{} cannot be used for what `muster run` notes; make room, or set XDG_STATE_HOME to another folder", path.display())]
pub struct HomeError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The folder with the homes of all commands of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(PathBuf);

impl Base {
    /// That of the user who runs this: below `$XDG_STATE_HOME`, or `~/.local/state`, or else the folder for temporary files.
    pub fn of_user() -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let state = variable("XDG_STATE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local").join("state")));
        Self(match state {
            Some(state) => state.join("muster").join("run"),
            None => {
                let user = rustix::process::getuid().as_raw();
                std::env::temp_dir().join(format!("muster-run-{user}"))
            }
        })
    }

    /// That at a path, for tests.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The home of this host's command.
    pub(super) fn home_of(&self, host: HostId) -> PathBuf {
        self.0.join(host.to_string())
    }

    /// Whether a home, as a container's label names it, is one of these.
    pub(super) fn has(&self, home: &Path) -> bool {
        home.parent() == Some(&self.0)
    }

    /// Makes a home and locks it.
    pub(super) fn make(&self, host: HostId) -> Result<Home, HomeError> {
        let home = self.home_of(host);
        let failed = |source| HomeError {
            path: home.clone(),
            source,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        // It gets its name once it is locked: before, it would look as if it had been left behind.
        let unnamed = self.0.join(format!(".{host}.new"));
        builder.create(&unnamed).map_err(failed)?;
        let lock = File::create(unnamed.join(LOCK)).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        fs::rename(&unnamed, &home).map_err(failed)?;
        Ok(Home {
            path: home,
            _lock: lock,
        })
    }

    /// Takes a home over if the command that made it is gone; none while it runs.
    pub(super) fn take_over(&self, home: &Path) -> Option<Home> {
        let lock = OpenOptions::new().write(true).open(home.join(LOCK)).ok()?;
        match lock.try_lock() {
            Ok(()) => Some(Home {
                path: home.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        }
    }

    /// All homes that are there.
    pub(super) fn homes(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                name.to_str()
                    .is_some_and(|name| name.parse::<HostId>().is_ok())
            })
            .map(|entry| entry.path())
            .collect()
    }
}

/// A home that is ours.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) path: PathBuf,
    _lock: File,
}

impl Home {
    /// Removes it, with all in it.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_taken_over_only_when_its_command_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::at(&folder.path().join("run"));
        assert!(base.homes().is_empty());
        let host = HostId(uuid::Uuid::from_u128(7));
        let home = base.make(host).unwrap();
        let path = home.path.clone();
        assert_eq!(base.homes(), std::slice::from_ref(&path));
        assert!(base.has(&path));
        assert!(!base.has(folder.path()));
        assert!(base.take_over(&path).is_none());
        drop(home);
        let left = base.take_over(&path).unwrap();
        assert!(base.take_over(&path).is_none());
        left.remove().unwrap();
        assert!(base.homes().is_empty());
        assert!(base.take_over(&path).is_none());
    }
}
