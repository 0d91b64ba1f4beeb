//! The last assignments and the highest fence, kept under the agent's home.
//!
//! Invariant: assignments are followed only once they, with their fence, are on the disk; so after any crash the agent still
//! refuses what it refused before.

use crate::durable;
use muster_schemas::ids::{CellName, HostId};
use muster_schemas::wire::{Assignments, Fence};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    cell: CellName,
    host: HostId,
    /// The highest fence heard.
    fence: Fence,
    assignments: Option<Assignments>,
}

/// The orders that the agent follows.
#[derive(Debug)]
pub struct Orders {
    path: PathBuf,
    stored: Stored,
    /// Two agents on one home would both create containers for one attempt; the lock goes with the process.
    _lock: File,
}

/// Why the agent cannot use its home.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    /// A file or folder cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The orders cannot be read, and with them the highest fence is lost.
    #[error(
        "the agent's orders in {} cannot be read; without them it might follow a control plane that was replaced. If you are \
         sure that only one control plane runs, move the file away and start the agent again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The home is of another host.
    #[error(
        "{} belongs to host {found} of cell {found_cell}, not to host {expected} of cell {expected_cell}: give each agent a \
         home of its own",
        path.display()
    )]
    OtherHost {
        /// The file.
        path: PathBuf,
        /// The host that it is of.
        found: HostId,
        /// The cell that it is of.
        found_cell: CellName,
        /// The host that the agent is.
        expected: HostId,
        /// The cell that the agent is of.
        expected_cell: CellName,
    },
    /// Another agent runs there.
    #[error("another agent uses {}: stop it, or give this one a home of its own", path.display())]
    InUse {
        /// The home.
        path: PathBuf,
    },
}

/// What to do about assignments that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Follow them.
    Follow,
    /// They are for another host or of another cell.
    NotForUs,
    /// Their fence is older than the highest heard.
    Fenced,
}

impl Orders {
    /// Opens the orders of a home, and makes it if there is none.
    pub fn open(home: &Path, cell: &CellName, host: HostId) -> Result<Self, OrdersError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OrdersError::Io { path, source }
        };
        std::fs::create_dir_all(home).map_err(io_error(home))?;
        let lock_path = home.join("agent.lock");
        let lock = File::create(&lock_path).map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OrdersError::InUse {
                    path: home.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(&lock_path)(source)),
        }
        let path = home.join("orders.json");
        let stored = durable::read::<Stored>(&path).map_err(|source| OrdersError::Damaged {
            path: path.clone(),
            source,
        })?;
        let stored = match stored {
            Some(stored) if stored.host != host || stored.cell != *cell => {
                return Err(OrdersError::OtherHost {
                    path,
                    found: stored.host,
                    found_cell: stored.cell,
                    expected: host,
                    expected_cell: cell.clone(),
                });
            }
            Some(stored) => stored,
            None => Stored {
                cell: cell.clone(),
                host,
                fence: Fence::default(),
                assignments: None,
            },
        };
        Ok(Self {
            path,
            stored,
            _lock: lock,
        })
    }

    /// The highest fence heard.
    pub fn fence(&self) -> Fence {
        self.stored.fence
    }

    /// The assignments to converge on; none until some came.
    pub fn assignments(&self) -> Option<&Assignments> {
        self.stored.assignments.as_ref()
    }

    /// What to do about assignments that came. Older ones than were heard are followed only where a person said so of the very
    /// fence that stands here.
    pub fn judge(&self, assignments: &Assignments) -> Verdict {
        if assignments.host != self.stored.host || assignments.cell != self.stored.cell {
            Verdict::NotForUs
        } else if assignments.fence.may_follow(self.stored.fence)
            || assignments.supersedes == Some(self.stored.fence)
        {
            Verdict::Follow
        } else {
            Verdict::Fenced
        }
    }

    /// Takes assignments that [`judge`](Self::judge) lets through. They are on the disk when it returns; on an error the
    /// old ones stay in force.
    pub async fn take(&mut self, assignments: Assignments) -> Result<(), OrdersError> {
        debug_assert_eq!(self.judge(&assignments), Verdict::Follow);
        let stored = Stored {
            fence: assignments.fence,
            assignments: Some(assignments),
            ..self.stored.clone()
        };
        if stored == self.stored {
            return Ok(());
        }
        let path = self.path.clone();
        // Disks can be slow: others of this thread need not wait.
        let written = tokio::task::spawn_blocking(move || {
            durable::write(&path, &stored)?;
            Ok(stored)
        });
        let io_error = |source| OrdersError::Io {
            path: self.path.clone(),
            source,
        };
        self.stored = written
            .await
            .map_err(|failed| io_error(io::Error::other(failed)))?
            .map_err(io_error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u128) -> HostId {
        HostId(uuid::Uuid::from_u128(number))
    }

    fn assignments(epoch: u64, seq: u64) -> Assignments {
        Assignments {
            cell: CellName::from("test"),
            host: host(1),
            fence: Fence { epoch, seq },
            items: Vec::new(),
            put_back: Vec::new(),
            supersedes: None,
        }
    }

    #[tokio::test]
    async fn the_highest_fence_outlives_the_process() {
        let home = tempfile::tempdir().unwrap();
        let cell = CellName::from("test");
        let mut orders = Orders::open(home.path(), &cell, host(1)).unwrap();
        assert!(matches!(
            Orders::open(home.path(), &cell, host(1)),
            Err(OrdersError::InUse { .. })
        ));
        orders.take(assignments(3, 40)).await.unwrap();
        drop(orders);

        let orders = Orders::open(home.path(), &cell, host(1)).unwrap();
        assert_eq!(orders.fence(), Fence { epoch: 3, seq: 40 });
        for (epoch, seq, verdict) in [
            (3, 40, Verdict::Follow),
            (3, 41, Verdict::Follow),
            (4, 40, Verdict::Follow),
            (2, 99, Verdict::Fenced),
            (3, 39, Verdict::Fenced),
            // A new leadership on an old copy of the store.
            (4, 39, Verdict::Fenced),
        ] {
            assert_eq!(
                orders.judge(&assignments(epoch, seq)),
                verdict,
                "{epoch} {seq}"
            );
        }
        let mut other = assignments(9, 99);
        other.host = host(2);
        assert_eq!(orders.judge(&other), Verdict::NotForUs);
        other = assignments(9, 99);
        other.cell = CellName::from("other");
        assert_eq!(orders.judge(&other), Verdict::NotForUs);
    }

    #[tokio::test]
    async fn older_orders_are_followed_only_where_they_supersede_the_very_fence_that_was_heard() {
        let home = tempfile::tempdir().unwrap();
        let cell = CellName::from("test");
        let mut orders = Orders::open(home.path(), &cell, host(1)).unwrap();
        orders.take(assignments(5, 40)).await.unwrap();
        let superseding = |epoch, seq, supersedes| Assignments {
            supersedes: Some(supersedes),
            ..assignments(epoch, seq)
        };
        let heard = Fence { epoch: 5, seq: 40 };
        for (supersedes, verdict) in [
            (heard, Verdict::Follow),
            (Fence { seq: 39, ..heard }, Verdict::Fenced),
            (Fence { seq: 41, ..heard }, Verdict::Fenced),
            (Fence { epoch: 4, ..heard }, Verdict::Fenced),
            (Fence { epoch: 6, ..heard }, Verdict::Fenced),
            (Fence::default(), Verdict::Fenced),
        ] {
            for (epoch, seq) in [(6, 12), (4, 99)] {
                let came = superseding(epoch, seq, supersedes);
                assert_eq!(orders.judge(&came), verdict, "{came:?}");
            }
        }
        // A word about a fence does not make orders another host's.
        let mut other = superseding(6, 12, heard);
        other.host = host(2);
        assert_eq!(orders.judge(&other), Verdict::NotForUs);

        // From then on the new history is the one that counts, after a restart, too.
        orders.take(superseding(6, 12, heard)).await.unwrap();
        drop(orders);
        let orders = Orders::open(home.path(), &cell, host(1)).unwrap();
        assert_eq!(orders.fence(), Fence { epoch: 6, seq: 12 });
        assert_eq!(orders.judge(&superseding(5, 41, heard)), Verdict::Fenced);
        assert_eq!(orders.judge(&assignments(5, 99)), Verdict::Fenced);
        assert_eq!(orders.judge(&superseding(6, 13, heard)), Verdict::Follow);
        assert_eq!(orders.judge(&assignments(6, 13)), Verdict::Follow);
    }

    #[tokio::test]
    async fn a_damaged_or_strange_file_is_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let cell = CellName::from("test");
        let mut orders = Orders::open(home.path(), &cell, host(1)).unwrap();
        orders.take(assignments(3, 40)).await.unwrap();
        drop(orders);
        assert!(matches!(
            Orders::open(home.path(), &cell, host(2)),
            Err(OrdersError::OtherHost { .. })
        ));
        std::fs::write(home.path().join("orders.json"), "{}").unwrap();
        assert!(matches!(
            Orders::open(home.path(), &cell, host(1)),
            Err(OrdersError::Damaged { .. })
        ));
    }
}
