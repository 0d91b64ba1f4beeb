//! One mirror, and several threads that use it: the poller, deploys and roll-backs that are committed, and plans that are only looked at.
//!
//! Each has a repository object of its own, which is what libgit2 asks for. What it does not keep apart is what they do to the files: two
//! fetches that write the same reference fail on each other's lock file, and a mirror that is made anew is taken away under whoever reads
//! from it. So a mirror is fetched by one at a time while nobody reads, and read by many. Objects are added without that: git names them
//! by their content and renames them into place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

type Lock = &'static RwLock<()>;

/// The locks by the mirror's path. A control plane has two mirrors; each lock lives as long as the process.
static LOCKS: Mutex<Option<HashMap<PathBuf, Lock>>> = Mutex::new(None);

/// A mirror that nobody else uses.
pub(super) struct Alone(RwLockWriteGuard<'static, ()>);

/// A mirror that is not changed while this is there. A thread that has one must not ask for another: it would wait for itself.
pub(super) struct Unchanged(
    #[expect(dead_code, reason = "it is held, not looked at")] RwLockReadGuard<'static, ()>,
);

impl Alone {
    /// Waits until nobody uses the mirror.
    pub(super) fn with(mirror: &Path) -> Self {
        let lock = {
            let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
            let locks = locks.get_or_insert_default();
            *locks
                .entry(mirror.to_owned())
                .or_insert_with(|| Box::leak(Box::default()))
        };
        // Poisoned by a panic in between: what is on the disk is checked at each fetch anyway.
        Self(lock.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets others read, too.
    pub(super) fn fetched(self) -> Unchanged {
        Unchanged(RwLockWriteGuard::downgrade(self.0))
    }
}
