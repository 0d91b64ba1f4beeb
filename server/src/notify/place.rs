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

impl<T: Serialize + DeserializeOwned> PlaceFile<T> {
    /// The file of the target with this name, in the folder of all of them.
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        Self {
            path: folder.join(format!("{name}.json")),
            content: PhantomData,
        }
    }

    pub(super) fn read(&self) -> Found<T> {
        match durable::read(&self.path) {
            Ok(None) => Found::Nothing,
            Ok(Some(place)) => Found::Place(place),
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// Returns once it is on the disk. A disk that takes nothing costs repetition after a restart, and is told; it keeps
    /// nobody from being served.
    pub(super) fn write(&self, place: &T) {
        if let Err(error) = durable::write(&self.path, place) {
            tracing::error!(
                path = %self.path.display(), %error,
                "how far a target was told of events cannot be written; after a restart it is told some of them again"
            );
        }
    }
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

    #[test]
    fn a_place_is_found_again_and_damage_is_told_from_a_beginning() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path()).unwrap();
        let file: PlaceFile<u64> = PlaceFile::of(&folder, "audit");
        assert_eq!(file.read(), Found::Nothing);
        file.write(&7);
        assert_eq!(file.read(), Found::Place(7));
        std::fs::write(folder.join("audit.json"), "7").unwrap();
        assert!(matches!(file.read(), Found::Damaged(_)));
    }
}
