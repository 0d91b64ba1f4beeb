//! Which control plane a command asks, and with which token.

use crate::cli::client::Client;
use crate::cli::env_file;
use crate::cli::failure::Failure;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConnectionArgs {
    // The environment is read below: as clap reads it, each hint about wrong arguments would show these as needed.
    /// The control plane's address, such as http://127.0.0.1:7400 [env: MUSTER_URL]
    #[arg(long, global = true)]
    url: Option<String>,
    /// The token; without one, that of the env file which names the same address [env: MUSTER_TOKEN]
    #[arg(long, global = true)]
    token: Option<String>,
}

impl ConnectionArgs {
    /// The client, from the arguments, the environment, or the env file of a stack on this machine.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let given = |value: &Option<String>, name: &str| {
            value
                .clone()
                .or_else(|| std::env::var(name).ok())
                .filter(|text| !text.is_empty())
        };
        let home = std::env::var_os("MUSTER_HOME").map(PathBuf::from);
        let from = std::env::current_dir()?;
        let (url, token) = choose(
            given(&self.url, "MUSTER_URL"),
            given(&self.token, "MUSTER_TOKEN"),
            || {
                let path = env_file::find(home.as_deref(), &from)?;
                match env_file::read(&path) {
                    Ok(values) => Some((
                        values.get("MUSTER_URL")?.clone(),
                        values.get("MUSTER_TOKEN").cloned(),
                    )),
                    Err(error) => {
                        tracing::warn!(%error, path = %path.display(), "the env file cannot be read");
                        None
                    }
                }
            },
        )?;
        Client::new(&url, token)
    }
}

/// A token from the env file is used for that file's address alone: another address must not learn it.
fn choose(
    url: Option<String>,
    token: Option<String>,
    env_file: impl FnOnce() -> Option<(String, Option<String>)>,
) -> Result<(String, Option<String>), Failure> {
    match (url, token) {
        (Some(url), Some(token)) => Ok((url, Some(token))),
        (Some(url), None) => {
            let same = |there: &String| there.trim_end_matches('/') == url.trim_end_matches('/');
            let token = env_file()
                .filter(|(there, _)| same(there))
                .and_then(|(_, token)| token);
            Ok((url, token))
        }
        (None, token) => match env_file() {
            Some((url, known)) => Ok((url, token.or(known))),
            None => Err(Failure::untried(
                "no control plane is known here",
                "Start one with `make up`, or name one: --url and --token, or MUSTER_URL and MUSTER_TOKEN.",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_env_files_token_goes_to_its_own_address_only() {
        let file = || Some(("http://a".to_owned(), Some("secret".to_owned())));
        let check = |url: Option<&str>, token: Option<&str>, expect: (&str, Option<&str>)| {
            let (url, token) =
                choose(url.map(str::to_owned), token.map(str::to_owned), file).unwrap();
            assert_eq!((url.as_str(), token.as_deref()), expect);
        };
        check(None, None, ("http://a", Some("secret")));
        check(None, Some("mine"), ("http://a", Some("mine")));
        check(Some("http://a/"), None, ("http://a/", Some("secret")));
        check(Some("http://b"), None, ("http://b", None));
        check(Some("http://b"), Some("mine"), ("http://b", Some("mine")));
        assert_eq!(choose(None, None, || None).unwrap_err().code, 2);
    }
}
