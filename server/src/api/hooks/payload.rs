//! What a delivery that proved itself is about: as little of it as it takes to leave alone what does not concern this cell.

use crate::notify::{ForgeKind, PullRequest};
use axum::http::HeaderMap;
use serde_json::Value;

/// What a delivery is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concern {
    /// The followed branch may have moved.
    Push,
    /// Another branch or a tag has.
    OtherBranch(String),
    /// A pull request against the followed branch has come or changed.
    Pull(PullRequest),
    /// A pull request from a copy of the repository, which is not planned.
    Foreign(u64),
    /// Anything else.
    Nothing,
}

/// What a delivery is about. A push whose body cannot be read counts as one to the followed branch: reading the repository once
/// more costs nothing, and not reading it may cost seconds.
pub fn concern(kind: ForgeKind, branch: &str, headers: &HeaderMap, body: &[u8]) -> Concern {
    let header = match kind {
        ForgeKind::Github => "x-github-event",
        ForgeKind::Gitea => "x-gitea-event",
        ForgeKind::Gitlab => "x-gitlab-event",
    };
    let event = headers.get(header).and_then(|event| event.to_str().ok());
    match event.unwrap_or_default() {
        "push" | "Push Hook" | "System Hook" => push(branch, body),
        "pull_request" | "pull_request_sync" if kind != ForgeKind::Gitlab => {
            pull_request(kind, branch, body)
        }
        "Merge Request Hook" if kind == ForgeKind::Gitlab => merge_request(branch, body),
        _ => Concern::Nothing,
    }
}

/// The id of a delivery.
pub fn delivery_id(kind: ForgeKind, headers: &HeaderMap) -> Option<&str> {
    let names: &[&str] = match kind {
        ForgeKind::Github => &["x-github-delivery"],
        ForgeKind::Gitea => &["x-gitea-delivery"],
        // The first is signed; the others are of older versions.
        ForgeKind::Gitlab => &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
    };
    names
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
}

fn push(branch: &str, body: &[u8]) -> Concern {
    let payload: Option<Value> = serde_json::from_slice(body).ok();
    let pushed = payload.as_ref().and_then(|payload| payload["ref"].as_str());
    match pushed {
        Some(pushed) if pushed != format!("refs/heads/{branch}") => {
            Concern::OtherBranch(pushed.to_owned())
        }
        Some(_) | None => Concern::Push,
    }
}

fn pull_request(kind: ForgeKind, branch: &str, body: &[u8]) -> Concern {
    let read = || -> Option<Concern> {
        let payload: Value = serde_json::from_slice(body).ok()?;
        let pull = &payload["pull_request"];
        // GitHub says `synchronize`, Gitea `synchronized`.
        let is_new = matches!(
            payload["action"].as_str()?,
            "opened" | "reopened" | "synchronize" | "synchronized"
        );
        if !is_new || pull["base"]["ref"].as_str()? != branch {
            return None;
        }
        let number = pull["number"].as_u64()?;
        let repository = payload["repository"]["full_name"].as_str()?;
        if pull["head"]["repo"]["full_name"].as_str() != Some(repository) {
            return Some(Concern::Foreign(number));
        }
        Some(Concern::Pull(PullRequest {
            kind,
            repository: repository.to_owned(),
            project: None,
            number,
        }))
    };
    read().unwrap_or(Concern::Nothing)
}

fn merge_request(branch: &str, body: &[u8]) -> Concern {
    let read = || -> Option<Concern> {
        let payload: Value = serde_json::from_slice(body).ok()?;
        let merge = &payload["object_attributes"];
        let is_new = match merge["action"].as_str()? {
            "open" | "reopen" => true,
            // An update without an older head is one of its title or labels.
            "update" => merge["oldrev"].is_string(),
            _ => false,
        };
        if !is_new || merge["target_branch"].as_str()? != branch {
            return None;
        }
        let number = merge["iid"].as_u64()?;
        let project = merge["target_project_id"].as_u64()?;
        if merge["source_project_id"].as_u64() != Some(project) {
            return Some(Concern::Foreign(number));
        }
        Some(Concern::Pull(PullRequest {
            kind: ForgeKind::Gitlab,
            repository: payload["project"]["path_with_namespace"]
                .as_str()?
                .to_owned(),
            project: Some(project),
            number,
        }))
    };
    read().unwrap_or(Concern::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn about(kind: ForgeKind, event: &str, body: &Value) -> Concern {
        let name = match kind {
            ForgeKind::Github => "x-github-event",
            ForgeKind::Gitea => "x-gitea-event",
            ForgeKind::Gitlab => "x-gitlab-event",
        };
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), event.parse().unwrap())]);
        concern(kind, "main", &headers, body.to_string().as_bytes())
    }

    #[test]
    fn only_pushes_to_the_followed_branch_concern_us() {
        for (kind, event) in [
            (ForgeKind::Github, "push"),
            (ForgeKind::Gitea, "push"),
            (ForgeKind::Gitlab, "Push Hook"),
        ] {
            let main = json!({"ref": "refs/heads/main"});
            assert_eq!(about(kind, event, &main), Concern::Push);
            let other = json!({"ref": "refs/heads/main2"});
            assert_eq!(
                about(kind, event, &other),
                Concern::OtherBranch("refs/heads/main2".to_owned())
            );
            assert_eq!(about(kind, event, &json!([1])), Concern::Push);
        }
        assert_eq!(
            about(ForgeKind::Github, "ping", &json!({})),
            Concern::Nothing
        );
        assert_eq!(
            about(ForgeKind::Gitlab, "push", &json!({"ref": "x"})),
            Concern::OtherBranch("x".to_owned())
        );
    }

    #[test]
    fn pull_requests_of_the_repository_itself_are_planned() {
        let body = |action: &str, base: &str, head: &str| {
            json!({
                "action": action, "repository": {"full_name": "example/fleet"},
                "pull_request": {
                    "number": 7, "base": {"ref": base}, "head": {"repo": {"full_name": head}},
                },
            })
        };
        let pull = |kind| {
            Concern::Pull(PullRequest {
                kind,
                repository: "example/fleet".to_owned(),
                project: None,
                number: 7,
            })
        };
        let github = |body: &Value| about(ForgeKind::Github, "pull_request", body);
        assert_eq!(
            github(&body("opened", "main", "example/fleet")),
            pull(ForgeKind::Github)
        );
        assert_eq!(
            github(&body("synchronize", "main", "example/fleet")),
            pull(ForgeKind::Github)
        );
        assert_eq!(
            github(&body("labeled", "main", "example/fleet")),
            Concern::Nothing
        );
        assert_eq!(
            github(&body("opened", "stable", "example/fleet")),
            Concern::Nothing
        );
        assert_eq!(
            github(&body("opened", "main", "stranger/fleet")),
            Concern::Foreign(7)
        );
        assert_eq!(
            about(
                ForgeKind::Gitea,
                "pull_request",
                &body("synchronized", "main", "example/fleet")
            ),
            pull(ForgeKind::Gitea)
        );
    }

    #[test]
    fn merge_requests_with_new_commits_are_planned() {
        let body = |attributes: Value| {
            let mut all = json!({
                "iid": 7, "target_branch": "main", "source_project_id": 3, "target_project_id": 3,
            });
            all.as_object_mut()
                .unwrap()
                .extend(attributes.as_object().unwrap().clone());
            json!({"project": {"path_with_namespace": "group/sub/fleet"}, "object_attributes": all})
        };
        let gitlab =
            |attributes: Value| about(ForgeKind::Gitlab, "Merge Request Hook", &body(attributes));
        let planned = Concern::Pull(PullRequest {
            kind: ForgeKind::Gitlab,
            repository: "group/sub/fleet".to_owned(),
            project: Some(3),
            number: 7,
        });
        assert_eq!(gitlab(json!({"action": "open"})), planned);
        assert_eq!(
            gitlab(json!({"action": "update", "oldrev": "c0ffee"})),
            planned
        );
        assert_eq!(gitlab(json!({"action": "update"})), Concern::Nothing);
        assert_eq!(gitlab(json!({"action": "merge"})), Concern::Nothing);
        assert_eq!(
            gitlab(json!({"action": "open", "source_project_id": 4})),
            Concern::Foreign(7)
        );
    }
}
