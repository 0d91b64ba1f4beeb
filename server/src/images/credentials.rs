//! Credentials for registries, as `docker login` writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A larger file is no configuration of Docker's.
const MAX_BYTES: usize = 1 << 20;

/// What the control plane's user has in Docker's configuration.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Credentials {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    /// The helpers that keep passwords elsewhere. They are not called; they are known so that people can be told.
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    /// `user:password` in base64.
    #[serde(default)]
    auth: Option<String>,
}

impl std::fmt::Debug for Entry {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`. A file that cannot be read is as good as none: public
    /// images need no credentials, and for others the registry's refusal says what to do.
    pub(super) async fn load() -> Self {
        let Some(path) = path() else {
            return Self::default();
        };
        let bytes = match tokio::fs::read(&path).await {
            Ok(bytes) if bytes.len() <= MAX_BYTES => bytes,
            Ok(_) => return Self::default(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "Docker's configuration cannot be read");
                return Self::default();
            }
        };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "Docker's configuration cannot be read");
            Self::default()
        })
    }

    /// What a registry is shown.
    pub(super) fn of(&self, registry: &str) -> RegistryAuth {
        let pair = self
            .entry(registry)
            .and_then(|entry| entry.auth.as_deref())
            .and_then(|auth| STANDARD.decode(auth).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        match pair.as_deref().and_then(|pair| pair.split_once(':')) {
            // Docker ends a password with NULs at times.
            Some((user, password)) => {
                RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned())
            }
            None => RegistryAuth::Anonymous,
        }
    }

    /// What to do when a registry refuses.
    pub(super) fn hint(&self, registry: &str) -> String {
        let known = !matches!(self.of(registry), RegistryAuth::Anonymous);
        if known {
            return format!(
                "the credentials in Docker's configuration are refused; run `docker login {registry}` again as the \
                 user that the control plane runs as"
            );
        }
        if self.store.is_some() || self.helpers.contains_key(registry) {
            return "Docker's configuration keeps passwords in a credential helper, which is not asked; give the control \
                    plane a configuration of its own (DOCKER_CONFIG) with the password in it"
                .to_owned();
        }
        format!("run `docker login {registry}` as the user that the control plane runs as")
    }

    /// Docker writes its own registry under an address of its past, and others at times with a scheme.
    fn entry(&self, registry: &str) -> Option<&Entry> {
        let host = |key: &str| {
            let key = key
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            let host = key.split('/').next().unwrap_or_default();
            match host {
                "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
                other => other.to_owned(),
            }
        };
        self.auths.get(registry).or_else(|| {
            self.auths
                .iter()
                .find(|(key, _)| host(key) == registry)
                .map(|(_, entry)| entry)
        })
    }
}

fn path() -> Option<PathBuf> {
    let directory = match std::env::var_os("DOCKER_CONFIG") {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        Some(_) | None => std::env::home_dir()?.join(".docker"),
    };
    Some(directory.join("config.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_as_docker_writes_them() {
        let credentials: Credentials = serde_json::from_str(
            r#"{
                "auths": {
                    "https://index.docker.io/v1/": {"auth": "YW5uOnM6MQ=="},
                    "registry.example.com:5000": {"auth": "Ym9iOnMy"},
                    "helped.example.com": {},
                    "garbled.example.com": {"auth": "???"}
                },
                "credHelpers": {"helped.example.com": "pass"},
                "detachKeys": "ctrl-e"
            }"#,
        )
        .expect("it reads");
        let basic = |user: &str, password: &str| RegistryAuth::Basic(user.into(), password.into());
        assert_eq!(credentials.of("docker.io"), basic("ann", "s:1"));
        assert_eq!(
            credentials.of("registry.example.com:5000"),
            basic("bob", "s2")
        );
        for none in [
            "registry.example.com",
            "helped.example.com",
            "garbled.example.com",
        ] {
            assert_eq!(credentials.of(none), RegistryAuth::Anonymous, "{none}");
        }
        assert!(credentials.hint("helped.example.com").contains("helper"));
        assert!(credentials.hint("docker.io").contains("again"));
        assert!(
            !format!("{credentials:?}").contains("YW5u"),
            "no password in a log"
        );
    }
}
