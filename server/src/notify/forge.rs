//! What is said to each forge, as requests to its API. Nothing is sent here.

use super::fields::under;
use super::secret::Secret;
use super::send::Request;
use muster_core::view::{CommitState, CommitStatus};
use reqwest::{Method, Url, header};
use serde::Deserialize;
use serde_json::json;

/// GitHub shows 140 characters beside a commit; the others show more, but nobody reads it there.
const DESCRIPTION: usize = 140;

/// The longest comment of GitHub has 65,536 characters, that of the others more.
const COMMENT: usize = 60_000;

/// A kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// GitHub, or GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea, or Forgejo.
    Gitea,
}

/// A repository at a forge, which shows how commits stand.
#[derive(Debug, Clone)]
pub struct Forge {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ForgeKind,
    /// Its API's address.
    pub api: Url,
    /// `owner/name`, or at GitLab the project's path or number.
    pub repository: String,
    /// What it knows us by.
    pub token: Secret,
    /// What the status is called there; `muster/` and the cell's name without it.
    pub context: Option<String>,
    /// Whether pull requests get their plan as a comment.
    pub pull_requests: bool,
}

impl ForgeKind {
    /// Its word, in addresses and in the operator's file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// The forge with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Github, Self::Gitlab, Self::Gitea]
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    /// The API of the forge that everybody knows, where there is one.
    pub fn public_api(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("https://api.github.com"),
            Self::Gitlab => Some("https://gitlab.com/api/v4"),
            Self::Gitea => None,
        }
    }

    /// What git calls the head of a pull request there.
    pub fn pull_reference(self, number: u64) -> String {
        match self {
            Self::Github | Self::Gitea => format!("refs/pull/{number}/head"),
            Self::Gitlab => format!("refs/merge-requests/{number}/head"),
        }
    }
}

impl Forge {
    /// Says how a commit stands. `link` is the console's page of it.
    pub(super) fn status_request(&self, cell: &str, status: &CommitStatus, link: &str) -> Request {
        let commit = status.commit.as_str();
        let context = self
            .context
            .clone()
            .unwrap_or_else(|| format!("muster/{cell}"));
        let description = cut(&status.sentence, DESCRIPTION);
        match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => {
                let state = match status.state {
                    CommitState::Pending => "pending",
                    CommitState::Success => "success",
                    CommitState::Failure => "failure",
                };
                self.request(
                    Method::POST,
                    self.in_repository(&["statuses", commit]),
                    &json!({
                        "state": state, "target_url": link, "description": description,
                        "context": context,
                    }),
                )
            }
            ForgeKind::Gitlab => {
                let state = match status.state {
                    CommitState::Pending => "pending",
                    CommitState::Success => "success",
                    CommitState::Failure => "failed",
                };
                self.request(
                    Method::POST,
                    self.in_repository(&["statuses", commit]),
                    &json!({
                        "state": state, "target_url": link, "description": description,
                        "name": context,
                    }),
                )
            }
        }
    }

    /// Writes a comment on a pull request, or writes the one with this id anew.
    pub(super) fn comment_request(&self, number: u64, comment: Option<u64>, text: &str) -> Request {
        let number = number.to_string();
        let id = comment.map(|comment| comment.to_string());
        let body = json!({ "body": cut_lines(text, COMMENT) });
        match (self.kind, id) {
            (ForgeKind::Github | ForgeKind::Gitea, None) => {
                let url = self.in_repository(&["issues", &number, "comments"]);
                self.request(Method::POST, url, &body)
            }
            (ForgeKind::Github | ForgeKind::Gitea, Some(id)) => {
                let url = self.in_repository(&["issues", "comments", &id]);
                self.request(Method::PATCH, url, &body)
            }
            (ForgeKind::Gitlab, None) => {
                let url = self.in_repository(&["merge_requests", &number, "notes"]);
                self.request(Method::POST, url, &body)
            }
            (ForgeKind::Gitlab, Some(id)) => {
                let url = self.in_repository(&["merge_requests", &number, "notes", &id]);
                self.request(Method::PUT, url, &body)
            }
        }
    }

    fn in_repository(&self, segments: &[&str]) -> Url {
        let repository = match self.kind {
            ForgeKind::Github | ForgeKind::Gitea => {
                let mut parts = vec!["repos"];
                parts.extend(self.repository.split('/'));
                under(&self.api, &parts)
            }
            // The project's path is one segment, with its slashes escaped.
            ForgeKind::Gitlab => under(&self.api, &["projects", &self.repository]),
        };
        under(&repository, segments)
    }

    fn request(&self, method: Method, url: Url, body: &serde_json::Value) -> Request {
        let request = Request::json(method, url, body);
        match self.kind {
            ForgeKind::Github => request
                .secret_header(header::AUTHORIZATION.as_str(), "Bearer ", &self.token)
                .header(header::ACCEPT.as_str(), "application/vnd.github+json")
                .header("x-github-api-version", "2022-11-28"),
            ForgeKind::Gitea => {
                request.secret_header(header::AUTHORIZATION.as_str(), "token ", &self.token)
            }
            ForgeKind::Gitlab => request.secret_header("private-token", "", &self.token),
        }
    }
}

/// At most so many characters.
fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(longest - 1).collect();
    cut.push('…');
    cut
}

/// At most so many characters, in whole lines.
fn cut_lines(text: &str, longest: usize) -> String {
    const REST: &str = "\n*The rest is left out here: it is too long for a comment.*\n";
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut left = longest - REST.len();
    for line in text.split_inclusive('\n') {
        let length = line.chars().count();
        if length > left {
            break;
        }
        left -= length;
        kept.push_str(line);
    }
    // A fence that was opened would swallow what follows.
    if kept.lines().filter(|line| line.starts_with("```")).count() % 2 == 1 {
        kept.push_str("```\n");
    }
    kept.push_str(REST);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_lines() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        let long = format!("head\n```diff\n{}", "- a line of it\n".repeat(10_000));
        let text = cut_lines(&long, COMMENT);
        assert!(text.chars().count() <= COMMENT + 4);
        assert!(text.ends_with(
            "- a line of it\n```\n\n*The rest is left out here: it is too long for a comment.*\n"
        ));
        assert_eq!(cut_lines("short\n", COMMENT), "short\n");
    }
}
