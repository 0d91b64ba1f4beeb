//! What the operator's file means, checked before the control plane leads: every fault is told with its field and what to do.

use super::check::check;
use super::file::NotifyFile;
use super::filter::Filter;
use super::forge::{Forge, ForgeKind};
use super::secret::Secret;
use super::template::Template;
use reqwest::Url;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// All that is told to others, and who may tell us.
#[derive(Debug, Default)]
pub struct Settings {
    /// Where people reach the console, without a slash at its end.
    pub console_url: Option<String>,
    /// Who is told events.
    pub events: Vec<EventTarget>,
    /// Who is told alerts.
    pub alerts: Vec<AlertTarget>,
    /// Who shows how commits stand.
    pub forges: Vec<Forge>,
    /// How forges prove themselves.
    pub hooks: HookSecrets,
}

/// Somebody who is told events.
#[derive(Debug)]
pub struct EventTarget {
    /// Its name.
    pub name: String,
    /// Where to.
    pub url: Url,
    /// Which events.
    pub filter: Filter,
    /// How.
    pub format: Format,
}

/// How an event is put for a target.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an operator writes a handful of targets, so the size is paid a few times"
)]
pub enum Format {
    /// As the API's watch shows it, or by a template.
    Webhook {
        /// The template.
        template: Option<Template>,
        /// The key of the signature.
        secret: Option<Secret>,
        /// What is sent as `Authorization: Bearer`.
        token: Option<Secret>,
    },
    /// What a webhook trigger of Spinnaker takes.
    Spinnaker {
        /// What a payload constraint compares.
        secret: Option<Secret>,
        /// What the pipeline gets besides.
        parameters: BTreeMap<String, String>,
    },
    /// A line for a chat.
    Slack,
}

/// An Alertmanager.
#[derive(Debug)]
pub struct AlertTarget {
    /// Its name.
    pub name: String,
    /// Where its alerts are posted.
    pub url: Url,
    /// What is sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// Labels that every alert gets besides its own.
    pub labels: BTreeMap<String, String>,
}

/// The secrets that forges prove themselves with; a forge without one is not listened to.
#[derive(Debug, Clone, Default)]
pub struct HookSecrets {
    /// The key of `X-Hub-Signature-256`.
    pub github: Option<Secret>,
    /// The key of `X-Gitea-Signature`.
    pub gitea: Option<Secret>,
    /// What stands in `X-Gitlab-Token`.
    pub gitlab_token: Option<Secret>,
    /// The key of GitLab's `webhook-signature`.
    pub gitlab_signing: Option<Secret>,
}

/// Why the file is not taken.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("{} cannot be read; is the path of --notify right?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what such a file looks like.
    #[error("{} is not understood: {message}; docs/notifications.md has examples of every part", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Something in it does not hold.
    #[error("{} cannot be followed:{}", path.display(), listed(problems))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What, each with its field.
        problems: Vec<String>,
    },
}

fn listed(problems: &[String]) -> String {
    let mut text = String::new();
    for problem in problems {
        write!(text, "\n  {problem}").ok();
    }
    text
}

impl Settings {
    /// Reads and checks the operator's file. Paths in it are from the file's own folder.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        // Without the lines around a fault: secrets may stand there.
        let options = serde_saphyr::options! { with_snippet: false };
        let file: NotifyFile =
            serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
                SettingsError::Syntax {
                    path: path.to_owned(),
                    message: error.to_string(),
                }
            })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        check(file, folder).map_err(|problems| SettingsError::Wrong {
            path: path.to_owned(),
            problems,
        })
    }
}

impl Settings {
    /// Whether there is nobody to tell anything.
    pub fn tells_nobody(&self) -> bool {
        self.events.is_empty() && self.alerts.is_empty() && self.forges.is_empty()
    }
}

impl HookSecrets {
    /// Whether a forge of this kind can prove itself.
    pub fn listens_to(&self, kind: ForgeKind) -> bool {
        match kind {
            ForgeKind::Github => self.github.is_some(),
            ForgeKind::Gitea => self.gitea.is_some(),
            ForgeKind::Gitlab => self.gitlab_token.is_some() || self.gitlab_signing.is_some(),
        }
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
