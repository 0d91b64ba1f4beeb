//! Images: whether one is here, and pulling it.

use super::{DockerEngine, QUESTION_LIMIT, told};
use crate::runtime::{LocalImage, PullProgress, RuntimeError};
use base64::Engine as _;
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// A pull that says nothing for so long is given up and tried again; the engine keeps the layers that it has.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn local_image(
    engine: &DockerEngine,
    image: &str,
) -> Result<Option<LocalImage>, RuntimeError> {
    let inspected = engine
        .ask("inspect image", QUESTION_LIMIT, async |client: Docker| {
            client.inspect_image(image).await
        })
        .await;
    match inspected {
        Ok(found) => Ok(Some(LocalImage {
            id: found.id.unwrap_or_default(),
            digests: found.repo_digests.unwrap_or_default(),
        })),
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn pull(
    engine: &DockerEngine,
    image: &str,
    progress: watch::Sender<PullProgress>,
) -> Result<(), RuntimeError> {
    let client = engine.connection("pull").await?.client;
    let options = CreateImageOptions {
        from_image: Some(image.to_owned()),
        ..CreateImageOptions::default()
    };
    let credentials = match client_config() {
        Some(path) => credentials_in(&path, registry_of(image)),
        None => None,
    };
    let mut steps = client
        .with_timeout(SILENCE_LIMIT)
        .create_image(Some(options), None, credentials)
        .boxed();
    let mut layers = Layers::default();
    loop {
        match tokio::time::timeout(SILENCE_LIMIT, steps.next()).await {
            Ok(Some(step)) => {
                layers.note(&step.map_err(|error| told("pull", error))?);
                progress.send_replace(layers.sum());
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                return Err(RuntimeError::Failed {
                    operation: "pull",
                    message: format!("nothing came for {} s", SILENCE_LIMIT.as_secs()),
                });
            }
        }
    }
}

/// Bytes by layer; the engine tells of each layer by itself.
#[derive(Debug, Default)]
struct Layers(HashMap<String, PullProgress>);

impl Layers {
    fn note(&mut self, step: &CreateImageInfo) {
        let Some(layer) = &step.id else { return };
        let status = step.status.as_deref().unwrap_or_default();
        let entry = self.0.entry(layer.clone()).or_default();
        let amount = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        match status {
            "Downloading" => {
                if let Some(detail) = &step.progress_detail {
                    entry.done = amount(detail.current).unwrap_or(entry.done);
                    entry.total = amount(detail.total).unwrap_or(entry.total).max(entry.done);
                }
            }
            "Download complete" | "Pull complete" | "Extracting" => entry.done = entry.total,
            _ => {}
        }
    }

    fn sum(&self) -> PullProgress {
        self.0
            .values()
            .fold(PullProgress::default(), |sum, layer| PullProgress {
                done: sum.done.saturating_add(layer.done),
                total: sum.total.saturating_add(layer.total),
            })
    }
}

/// The registry in a reference; the first part is one when it looks like a host.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        Some(_) | None => "docker.io",
    }
}

/// Where people keep their registry credentials.
fn client_config() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

#[derive(serde::Deserialize)]
struct ClientConfig {
    #[serde(default)]
    auths: HashMap<String, ClientAuth>,
}

#[derive(serde::Deserialize)]
struct ClientAuth {
    #[serde(default)]
    auth: String,
}

/// The user and password for a registry, if they stand in the file as such. (Credential programs are not asked.)
fn credentials_in(path: &Path, registry: &str) -> Option<DockerCredentials> {
    let text = std::fs::read(path).ok()?;
    let config: ClientConfig = serde_json::from_slice(&text).ok()?;
    let auth = config.auths.iter().find_map(|(name, auth)| {
        let host = name
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .split('/')
            .next()?;
        let same = host == registry || (registry == "docker.io" && host == "index.docker.io");
        same.then_some(&auth.auth)
    })?;
    let plain = base64::engine::general_purpose::STANDARD
        .decode(auth)
        .ok()?;
    let plain = String::from_utf8(plain).ok()?;
    let (username, password) = plain.split_once(':')?;
    Some(DockerCredentials {
        username: Some(username.to_owned()),
        password: Some(password.trim_end_matches('\0').to_owned()),
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    fn step(layer: &str, status: &str, bytes: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(layer.into()),
            status: Some(status.into()),
            progress_detail: bytes.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn progress_is_summed_over_layers() {
        let mut layers = Layers::default();
        layers.note(&step("a", "Pulling fs layer", None));
        assert_eq!(layers.sum(), PullProgress::default());
        layers.note(&step("a", "Downloading", Some((10, 100))));
        layers.note(&step("b", "Downloading", Some((5, 50))));
        assert_eq!(
            layers.sum(),
            PullProgress {
                done: 15,
                total: 150
            }
        );
        layers.note(&step("a", "Download complete", None));
        // Extraction counts its own bytes, which are not the download's.
        layers.note(&step("a", "Extracting", Some((1, 999))));
        assert_eq!(
            layers.sum(),
            PullProgress {
                done: 105,
                total: 150
            }
        );
    }

    #[test]
    fn the_registry_is_found_in_a_reference() {
        assert_eq!(registry_of("web@sha256:00"), "docker.io");
        assert_eq!(registry_of("library/web"), "docker.io");
        assert_eq!(
            registry_of("registry.example.com/a/b:1"),
            "registry.example.com"
        );
        assert_eq!(registry_of("127.0.0.1:5000/web"), "127.0.0.1:5000");
    }

    #[test]
    fn credentials_are_read_from_the_clients_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(
            &path,
            r#"{"auths":{"https://registry.example.com/v2/":{"auth":"YWRhOnB3"},"empty.example.com":{}}}"#,
        )
        .unwrap();
        let found = credentials_in(&path, "registry.example.com").unwrap();
        assert_eq!(found.username.as_deref(), Some("ada"));
        assert_eq!(found.password.as_deref(), Some("pw"));
        assert_eq!(credentials_in(&path, "empty.example.com"), None);
        assert_eq!(credentials_in(&path, "other.example.com"), None);
        assert_eq!(credentials_in(Path::new("/nowhere"), "a"), None);
    }
}
