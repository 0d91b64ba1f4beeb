//! What several parts of the operator's file are made of: names, secrets, addresses, filters. What is wrong with one is noted with
//! its field, and the look goes on.

use super::filter::{Filter, check_kind};
use super::secret::Secret;
use reqwest::Url;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A name stands in file names, logs and metrics.
const MAX_NAME: usize = 40;

/// A look at the whole file.
pub(super) struct Check<'a> {
    folder: &'a Path,
    /// What is wrong, each with its field.
    pub(super) problems: Vec<String>,
    names: BTreeSet<String>,
}

impl<'a> Check<'a> {
    /// A look at a file in this folder.
    pub(super) fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            problems: Vec::new(),
            names: BTreeSet::new(),
        }
    }

    /// Notes what is wrong with a field.
    pub(super) fn no(&mut self, field: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("{field}: {problem}"));
    }

    /// The name of a target.
    pub(super) fn name(&mut self, at: &str, name: String) -> Option<String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let field = format!("{at}.name");
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            self.no(
                &field,
                format!("`{name}` is no name: write 1 to {MAX_NAME} small letters, digits and `-`"),
            );
            return None;
        }
        if !self.names.insert(name.clone()) {
            self.no(
                &field,
                format!("`{name}` is the name of another target already; each needs its own"),
            );
            return None;
        }
        Some(name)
    }

    /// A secret, from its field or from the file that is named; none where neither is there.
    pub(super) fn secret(
        &mut self,
        at: &str,
        field: &str,
        inline: Option<String>,
        file: Option<PathBuf>,
    ) -> Option<Secret> {
        let field = format!("{at}.{field}");
        let (text, field) = match (inline, file) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.no(
                    &field,
                    "it and the field that names a file for it are both there; keep one",
                );
                return None;
            }
            (Some(text), None) => (text, field),
            (None, Some(file)) => {
                let field = format!("{field}File");
                let path = self.folder.join(file);
                match std::fs::read_to_string(&path) {
                    Ok(text) => (text, field),
                    Err(error) => {
                        self.no(
                            &field,
                            format!("{} cannot be read: {error}", path.display()),
                        );
                        return None;
                    }
                }
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            self.no(&field, "it is empty; anybody could guess it");
            return None;
        }
        Some(Secret::new(text))
    }

    /// A secret that has to be there.
    pub(super) fn needed(
        &mut self,
        at: &str,
        field: &str,
        inline: Option<String>,
        file: Option<PathBuf>,
    ) -> Option<Secret> {
        if inline.is_none() && file.is_none() {
            self.no(
                &format!("{at}.{field}File"),
                "name the file that has the secret which the forge was given",
            );
            return None;
        }
        self.secret(at, field, inline, file)
    }

    /// An address. What goes with a secret is not sent where anybody on the way can read it.
    pub(super) fn url(&mut self, field: &str, text: &str, secret: bool) -> Option<Url> {
        let url = match Url::parse(text) {
            Ok(url) => url,
            // The address may be a secret: it is not repeated.
            Err(error) => {
                self.no(field, format!("it is no address: {error}"));
                return None;
            }
        };
        let ok = match url.scheme() {
            "https" => true,
            "http" => !secret || is_loopback(&url),
            _ => false,
        };
        if !ok {
            self.no(
                field,
                if secret {
                    "a secret goes there, so it has to begin with https:// (http:// only to this machine itself)"
                } else {
                    "it has to begin with https:// or http://"
                },
            );
            return None;
        }
        if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() {
            self.no(field, "write a host, and no user before it");
            return None;
        }
        Some(url)
    }

    /// Which events are wanted; those of `default` where none are named.
    pub(super) fn filter(
        &mut self,
        at: &str,
        events: Option<Vec<String>>,
        default: &[&str],
        jobs: Vec<String>,
        apps: Vec<String>,
    ) -> Option<Filter> {
        let kinds =
            events.unwrap_or_else(|| default.iter().map(|kind| (*kind).to_owned()).collect());
        let before = self.problems.len();
        for kind in &kinds {
            if let Err(error) = check_kind(kind) {
                self.no(&format!("{at}.events"), error);
            }
        }
        (self.problems.len() == before).then(|| Filter {
            kinds: kinds.into_iter().collect(),
            jobs: jobs.into_iter().collect(),
            apps: apps.into_iter().collect(),
        })
    }
}

/// An address below another.
pub(super) fn under(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut()
        .expect("http and https addresses have paths")
        .pop_if_empty()
        .extend(segments);
    url
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address: Result<std::net::IpAddr, _> = host.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
