//! From the operator's file to what it means: every field is looked at, and everything that does not hold is told at once, each with
//! its field and what to do.

use super::fields::{Check, under};
use super::file::{
    AlertmanagerEntry, ForgeEntry, HookEntry, HooksEntry, NotifyFile, SlackEntry, SpinnakerEntry,
    WebhookEntry,
};
use super::forge::{Forge, ForgeKind};
use super::settings::{AlertTarget, EventTarget, Format, HookSecrets, Settings};
use super::template::Template;
use std::path::Path;

/// Each target is a task with a page of events in memory; more than this belongs behind a message bus.
pub(super) const MAX_TARGETS: usize = 50;

/// What is worth a line in a chat where nothing else is said: what people decide, and what needs one.
const SLACK_EVENTS: [&str; 14] = [
    "plan_held",
    "plan_approved",
    "plan_refused",
    "plan_applied",
    "frozen",
    "resumed",
    "grace_ended",
    "deploy_finished",
    "deploy_canceled",
    "deploy_not_taken_back",
    "repository_troubled",
    "repository_recovered",
    "host_unreachable",
    "cell_taken_down",
];

/// What starts a pipeline where nothing else is said.
const SPINNAKER_EVENTS: [&str; 1] = ["plan_applied"];

/// What the file means; paths in it are from `folder`.
///
/// # Errors
/// All that is wrong with it, each with its field.
pub(super) fn check(file: NotifyFile, folder: &Path) -> Result<Settings, Vec<String>> {
    let mut check = Check::new(folder);
    let settings = check.file(file);
    if check.problems.is_empty() {
        Ok(settings)
    } else {
        Err(check.problems)
    }
}

impl Check<'_> {
    fn file(&mut self, file: NotifyFile) -> Settings {
        let targets = file.webhooks.len()
            + file.spinnaker.len()
            + file.slack.len()
            + file.alertmanager.len()
            + file.forges.len();
        if targets > MAX_TARGETS {
            self.no(
                "the file",
                format!("it names {targets} targets, and there can be {MAX_TARGETS}"),
            );
        }
        let has_console = file.console_url.is_some();
        let mut settings = Settings {
            console_url: file
                .console_url
                .and_then(|url| self.url("consoleUrl", &url, false))
                .map(|url| url.as_str().trim_end_matches('/').to_owned()),
            ..Settings::default()
        };
        for (index, entry) in file.webhooks.into_iter().enumerate() {
            let target = self.webhook(&format!("webhooks[{index}]"), entry);
            settings.events.extend(target);
        }
        for (index, entry) in file.spinnaker.into_iter().enumerate() {
            let target = self.spinnaker(&format!("spinnaker[{index}]"), entry);
            settings.events.extend(target);
        }
        for (index, entry) in file.slack.into_iter().enumerate() {
            let target = self.slack(&format!("slack[{index}]"), entry);
            settings.events.extend(target);
        }
        for (index, entry) in file.alertmanager.into_iter().enumerate() {
            let target = self.alertmanager(&format!("alertmanager[{index}]"), entry);
            settings.alerts.extend(target);
        }
        if !file.forges.is_empty() && !has_console {
            self.no(
                "consoleUrl",
                "it is missing, and forges link to the console; write the address at which people reach it",
            );
        }
        let mut planned = Vec::new();
        for (index, entry) in file.forges.into_iter().enumerate() {
            let at = format!("forges[{index}]");
            if entry.pull_requests {
                planned.push((at.clone(), entry.kind));
            }
            let forge = self.forge(&at, entry);
            settings.forges.extend(forge);
        }
        settings.hooks = self.hooks(file.hooks);
        for (at, kind) in planned {
            if !settings.hooks.listens_to(kind) {
                self.no(
                    &format!("{at}.pullRequests"),
                    format!(
                        "a webhook has to tell of pull requests, so give `hooks.{}` a secret",
                        kind.word()
                    ),
                );
            }
        }
        settings
    }

    fn webhook(&mut self, at: &str, entry: WebhookEntry) -> Option<EventTarget> {
        let name = self.name(at, entry.name);
        let secret = self.secret(at, "secret", entry.secret, entry.secret_file);
        let token = self.secret(at, "token", entry.token, entry.token_file);
        let url = self.url(&format!("{at}.url"), &entry.url, token.is_some());
        let content_type = entry.content_type;
        let template = match (entry.template, content_type) {
            (None, None) => None,
            (None, Some(_)) => {
                self.no(
                    &format!("{at}.contentType"),
                    "without a `template` the body is JSON; remove it, or write a template",
                );
                None
            }
            (Some(source), content_type) => {
                let made = Template::new(source, content_type.as_deref());
                made.map_err(|error| self.no(&format!("{at}.template"), error))
                    .ok()
            }
        };
        let filter = self.filter(at, entry.events, &[], entry.jobs, entry.apps);
        Some(EventTarget {
            name: name?,
            url: url?,
            filter: filter?,
            format: Format::Webhook {
                template,
                secret,
                token,
            },
        })
    }

    fn spinnaker(&mut self, at: &str, entry: SpinnakerEntry) -> Option<EventTarget> {
        let name = self.name(at, entry.name);
        let secret = self.secret(at, "secret", entry.secret, entry.secret_file);
        let url = self.url(&format!("{at}.url"), &entry.url, false);
        let source = &entry.source;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if source.is_empty() || !source.chars().all(plain) {
            self.no(
                &format!("{at}.source"),
                "write the trigger's source, made of letters, digits, `.`, `-` and `_`",
            );
        }
        let filter = self.filter(at, entry.events, &SPINNAKER_EVENTS, entry.jobs, entry.apps);
        Some(EventTarget {
            name: name?,
            url: under(&url?, &["webhooks", "webhook", source]),
            filter: filter?,
            format: Format::Spinnaker {
                secret,
                parameters: entry.parameters,
            },
        })
    }

    fn slack(&mut self, at: &str, entry: SlackEntry) -> Option<EventTarget> {
        let name = self.name(at, entry.name);
        let url = self.secret(at, "url", entry.url, entry.url_file);
        if url.is_none() && self.problems.iter().all(|problem| !problem.starts_with(at)) {
            self.no(
                &format!("{at}.urlFile"),
                "name the file that has the incoming webhook's address",
            );
        }
        let url = url.and_then(|url| self.url(&format!("{at}.url"), url.expose(), true));
        let filter = self.filter(at, entry.events, &SLACK_EVENTS, entry.jobs, entry.apps);
        Some(EventTarget {
            name: name?,
            url: url?,
            filter: filter?,
            format: Format::Slack,
        })
    }

    fn alertmanager(&mut self, at: &str, entry: AlertmanagerEntry) -> Option<AlertTarget> {
        let name = self.name(at, entry.name);
        let token = self.secret(at, "token", entry.token, entry.token_file);
        let url = self.url(&format!("{at}.url"), &entry.url, token.is_some());
        for label in entry.labels.keys() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !label.chars().all(plain) || label.starts_with(|c: char| c.is_ascii_digit()) {
                self.no(
                    &format!("{at}.labels"),
                    format!(
                        "`{label}` is no label's name: letters, digits and `_`, a digit not first"
                    ),
                );
            }
            if super::alerts::OWN_LABELS.contains(&label.as_str()) {
                self.no(
                    &format!("{at}.labels"),
                    format!("`{label}` is one of Muster's own; choose another name"),
                );
            }
        }
        Some(AlertTarget {
            name: name?,
            url: under(&url?, &["api", "v2", "alerts"]),
            token,
            labels: entry.labels,
        })
    }

    fn forge(&mut self, at: &str, entry: ForgeEntry) -> Option<Forge> {
        let name = self.name(at, entry.name);
        let token = self.secret(at, "token", entry.token, entry.token_file);
        if token.is_none() && self.problems.iter().all(|problem| !problem.starts_with(at)) {
            self.no(
                &format!("{at}.tokenFile"),
                "name the file that has a token which may set commit statuses",
            );
        }
        let api = entry.api.as_deref().or(entry.kind.public_api());
        let Some(api) = api else {
            self.no(
                &format!("{at}.api"),
                "write the API's address, such as https://git.example.com/api/v1",
            );
            return None;
        };
        let url = self.url(&format!("{at}.api"), api, true);
        let parts: Vec<&str> = entry.repository.split('/').collect();
        let whole = parts
            .iter()
            .all(|part| !part.is_empty() && !matches!(*part, "." | ".."));
        let fits = match entry.kind {
            ForgeKind::Github | ForgeKind::Gitea => parts.len() == 2,
            ForgeKind::Gitlab => true,
        };
        if !whole || !fits {
            self.no(
                &format!("{at}.repository"),
                "write it as the forge does: `owner/name`, or at GitLab the project's path or number",
            );
        }
        Some(Forge {
            name: name?,
            kind: entry.kind,
            api: url?,
            repository: entry.repository,
            token: token?,
            context: entry.context,
            pull_requests: entry.pull_requests,
        })
    }

    fn hooks(&mut self, entry: HooksEntry) -> HookSecrets {
        let mut one = |at: &str, entry: Option<HookEntry>| {
            let entry = entry?;
            self.needed(at, "secret", entry.secret, entry.secret_file)
        };
        let github = one("hooks.github", entry.github);
        let gitea = one("hooks.gitea", entry.gitea);
        let (mut gitlab_token, mut gitlab_signing) = (None, None);
        if let Some(entry) = entry.gitlab {
            let at = "hooks.gitlab";
            let signs = entry.signing_secret.is_some() || entry.signing_secret_file.is_some();
            gitlab_signing = self.secret(
                at,
                "signingSecret",
                entry.signing_secret,
                entry.signing_secret_file,
            );
            let has_token = entry.secret.is_some() || entry.secret_file.is_some();
            if has_token || !signs {
                gitlab_token = self.needed(at, "secret", entry.secret, entry.secret_file);
            }
        }
        HookSecrets {
            github,
            gitea,
            gitlab_token,
            gitlab_signing,
        }
    }
}
