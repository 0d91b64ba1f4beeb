//! How far each target has been served, on the disk: written whole or not at all, so that a restart loses nothing.

use crate::durable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// The file of one target.
pub(super) struct PlaceFile<T> {
    path: PathBuf,
    content: PhantomData<T>,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// The target is new.
    Nothing,
    /// It was served before.
    Place(T),
    /// The file cannot be read: the target is served as a new one, and it is said.
    Damaged(String),
}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> PlaceFile<T> {
    /// The file of the target with this name, in the folder of all of them.
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        Self {
            path: folder.join(format!("{name}.json")),
            content: PhantomData,
        }
    }

    pub(super) async fn read(&self) -> Found<T> {
        let path = self.path.clone();
        match on_disk(move || durable::read(&path)).await {
            Ok(None) => Found::Nothing,
            Ok(Some(place)) => Found::Place(place),
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// Returns once it is on the disk. A disk that takes nothing costs repetition after a restart, and is told; it keeps
    /// nobody from being served.
    pub(super) async fn write(&self, place: &T) {
        let (path, place) = (self.path.clone(), place.clone());
        if let Err(error) = on_disk(move || durable::write(&path, &place)).await {
            tracing::error!(
                path = %self.path.display(), %error,
                "how far a target was told of events cannot be written; after a restart it is told some of them again"
            );
        }
    }
}

/// Waits for the disk away from the threads that answer others: it may take seconds to say that something is on it.
async fn on_disk<R: Send + 'static>(
    act: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Makes the folder.
pub(super) fn folder(home: &Path) -> io::Result<PathBuf> {
    let folder = home.join("notify");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_found_again_and_damage_is_told_from_a_beginning() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path()).unwrap();
        let file: PlaceFile<u64> = PlaceFile::of(&folder, "audit");
        assert_eq!(file.read().await, Found::Nothing);
        file.write(&7).await;
        assert_eq!(file.read().await, Found::Place(7));
        std::fs::write(folder.join("audit.json"), "7").unwrap();
        assert!(matches!(file.read().await, Found::Damaged(_)));
    }

    /// The runtime has one thread here: were the disk waited for on it, nothing else would go on.
    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nobody_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path()).unwrap();
        // What is written to a pipe waits until somebody reads from it.
        let pipe = folder.join("audit.new");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let file: PlaceFile<u64> = PlaceFile::of(&folder, "audit");
        let mut writing = std::pin::pin!(file.write(&7));
        let (said, heard) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let others_went_on = heard
                .recv_timeout(std::time::Duration::from_secs(10))
                .is_ok();
            // Only now is there somebody.
            std::fs::read(&pipe).unwrap();
            others_went_on
        });
        tokio::select! {
            () = &mut writing => panic!("nobody has read it yet"),
            () = tokio::time::sleep(std::time::Duration::from_millis(50)) => said.send(()).unwrap(),
        }
        writing.await;
        assert!(reader.join().unwrap(), "all waited for the disk");
    }
}
