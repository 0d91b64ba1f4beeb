//! The operator's file as it is written: what `muster serve --notify` reads, before anything of it is checked.
//!
//! It is kept outside the repository of specs, because it holds secrets, and because who may push specs may not say where the
//! fleet's events go.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The whole file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NotifyFile {
    /// Where people reach the console: links begin with it.
    pub console_url: Option<String>,
    /// Where events are sent as they are, or by a template.
    #[serde(default)]
    pub webhooks: Vec<WebhookEntry>,
    /// Spinnaker's gates, whose pipelines events trigger.
    #[serde(default)]
    pub spinnaker: Vec<SpinnakerEntry>,
    /// Slack's incoming webhooks.
    #[serde(default)]
    pub slack: Vec<SlackEntry>,
    /// Alertmanagers, which get the alerts that the console shows.
    #[serde(default)]
    pub alertmanager: Vec<AlertmanagerEntry>,
    /// Forges, which show how commits stand.
    #[serde(default)]
    pub forges: Vec<ForgeEntry>,
    /// The secrets with which forges sign what they send here.
    #[serde(default)]
    pub hooks: HooksEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WebhookEntry {
    pub name: String,
    pub url: String,
    /// The key of the signature.
    pub secret: Option<String>,
    pub secret_file: Option<PathBuf>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    /// The body; the event as JSON without it.
    pub template: Option<String>,
    pub content_type: Option<String>,
    pub events: Option<Vec<String>>,
    #[serde(default)]
    pub jobs: Vec<String>,
    #[serde(default)]
    pub apps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SpinnakerEntry {
    pub name: String,
    /// Gate's address, without `/webhooks/…`.
    pub url: String,
    pub source: String,
    /// What a payload constraint compares.
    pub secret: Option<String>,
    pub secret_file: Option<PathBuf>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    pub events: Option<Vec<String>>,
    #[serde(default)]
    pub jobs: Vec<String>,
    #[serde(default)]
    pub apps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SlackEntry {
    pub name: String,
    /// The incoming webhook's address is a secret itself.
    pub url: Option<String>,
    pub url_file: Option<PathBuf>,
    pub events: Option<Vec<String>>,
    #[serde(default)]
    pub jobs: Vec<String>,
    #[serde(default)]
    pub apps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AlertmanagerEntry {
    pub name: String,
    /// Its address, without `/api/v2/…`.
    pub url: String,
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    /// Labels that every alert gets besides its own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ForgeEntry {
    pub name: String,
    pub kind: super::forge::ForgeKind,
    /// The API's address; the public ones of GitHub and GitLab without it.
    pub api: Option<String>,
    /// `owner/name`, or at GitLab a project's path or number.
    pub repository: String,
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    /// What the status is called there.
    pub context: Option<String>,
    /// Whether pull requests get their plan as a comment.
    #[serde(default)]
    pub pull_requests: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HooksEntry {
    pub github: Option<HookEntry>,
    pub gitea: Option<HookEntry>,
    pub gitlab: Option<GitlabHookEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HookEntry {
    pub secret: Option<String>,
    pub secret_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GitlabHookEntry {
    /// The secret token, which GitLab sends as it is.
    pub secret: Option<String>,
    pub secret_file: Option<PathBuf>,
    /// The signing token, with which GitLab signs.
    pub signing_secret: Option<String>,
    pub signing_secret_file: Option<PathBuf>,
}
