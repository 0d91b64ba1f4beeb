//! What the agent has begun, one file for each attempt: the evidence by which a container is created and started at most once.
//!
//! A marker is on the disk *before* the deed that it tells of. So a container that is gone can be told from one that never was:
//! with a marker at `Creating` none was ever started, with one at `Starting` there may have been one.

use crate::durable;
use crate::runtime::Settings;
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::Ended;
use muster_schemas::wire::Launch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What was begun for one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// The attempt.
    pub attempt: AttemptId,
    /// What was to be launched; none where the marker could not be read or the container was there before it.
    pub launch: Option<Launch>,
    /// When the marker was first written.
    pub made_at: Timestamp,
    /// How far it got at least.
    pub stage: Stage,
    /// When a stop order was first carried out on it.
    pub stop_begun: Option<Timestamp>,
    /// The engine's id of the container that was started for it, once it is known.
    #[serde(default)]
    pub container: Option<String>,
    /// What the engine said of that container before it was started: whatever is otherwise later was somebody's doing.
    #[serde(default)]
    pub settings: Option<Settings>,
}

/// How far an attempt got at least. It moves forward only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// The engine may have been asked to create its container; never to start it.
    Creating,
    /// The engine may have been asked to start it.
    Starting {
        /// When it was last asked.
        since: Timestamp,
    },
    /// Its start failed or is not known to have happened, and it is being taken back: whatever the engine now says of the
    /// container is the doing of that.
    Undoing {
        /// The engine's id of the container.
        container: String,
        /// How the attempt will have ended.
        ended: Ended,
    },
    /// It ended, or will never be started.
    Ended {
        /// How.
        ended: Ended,
    },
}

/// The markers of a home. Cheap to look at; writing waits for the disk.
#[derive(Debug)]
pub struct Markers {
    folder: PathBuf,
    all: Mutex<BTreeMap<AttemptId, Arc<Marker>>>,
}

impl Markers {
    /// Reads the markers of a home. One that cannot be read counts as `Starting` long ago: the side on which nothing is
    /// started twice.
    pub fn open(home: &Path) -> io::Result<Self> {
        let folder = home.join("attempts");
        std::fs::create_dir_all(&folder)?;
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let named = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.parse::<AttemptId>().ok());
            let Some(attempt) = named else { continue };
            let marker = match durable::read::<Marker>(&path) {
                Ok(Some(marker)) if marker.attempt == attempt => marker,
                Ok(None) => continue,
                Ok(Some(_)) | Err(_) => {
                    tracing::error!(path = %path.display(), "a marker cannot be read; its attempt is not started again");
                    Marker {
                        attempt,
                        launch: None,
                        made_at: Timestamp::UNIX_EPOCH,
                        stage: Stage::Starting {
                            since: Timestamp::UNIX_EPOCH,
                        },
                        stop_begun: None,
                        container: None,
                        settings: None,
                    }
                }
            };
            all.insert(attempt, Arc::new(marker));
        }
        Ok(Self {
            folder,
            all: Mutex::new(all),
        })
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<AttemptId, Arc<Marker>> {
        self.lock().clone()
    }

    /// One of them.
    pub fn get(&self, attempt: AttemptId) -> Option<Arc<Marker>> {
        self.lock().get(&attempt).cloned()
    }

    /// Writes one; it is on the disk when this returns.
    pub async fn put(self: &Arc<Self>, marker: Marker) -> io::Result<()> {
        let markers = Arc::clone(self);
        in_background(move || {
            durable::write(&markers.path(marker.attempt), &marker)?;
            markers.lock().insert(marker.attempt, Arc::new(marker));
            Ok(())
        })
        .await
    }

    /// Removes one for good.
    pub async fn remove(self: &Arc<Self>, attempt: AttemptId) -> io::Result<()> {
        let markers = Arc::clone(self);
        in_background(move || {
            durable::remove(&markers.path(attempt))?;
            markers.lock().remove(&attempt);
            Ok(())
        })
        .await
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.folder.join(format!("{attempt}.json"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptId, Arc<Marker>>> {
        // Each hold of the lock is one map operation, which leaves the map whole even if it panics.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Disks can be slow: the wait is not the agent's loop's.
async fn in_background(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => Err(io::Error::other(failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn markers_outlive_the_process_and_damage_is_on_the_safe_side() {
        let home = tempfile::tempdir().unwrap();
        let attempt = AttemptId(uuid::Uuid::from_u128(7));
        let marker = Marker {
            attempt,
            launch: None,
            made_at: Timestamp::UNIX_EPOCH,
            stage: Stage::Creating,
            stop_begun: None,
            container: Some("id7".to_owned()),
            settings: Some(crate::runtime::settings::settings("muster-7")),
        };
        let markers = Arc::new(Markers::open(home.path()).unwrap());
        markers.put(marker.clone()).await.unwrap();

        let again = Markers::open(home.path()).unwrap();
        assert_eq!(*again.get(attempt).unwrap(), marker);

        std::fs::write(home.path().join(format!("attempts/{attempt}.json")), "x").unwrap();
        let damaged = Markers::open(home.path()).unwrap();
        assert!(matches!(
            damaged.get(attempt).unwrap().stage,
            Stage::Starting { .. }
        ));

        markers.remove(attempt).await.unwrap();
        assert!(Markers::open(home.path()).unwrap().all().is_empty());
    }
}
