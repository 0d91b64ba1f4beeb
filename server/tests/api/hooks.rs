//! What forges send: who proves itself wakes the reading, and nobody else does.

use crate::cell::MemoryCell;
use crate::http::{anonymous, problem, send, text, with};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use muster::api::ApiState;
use muster::api::hooks::{Hooks, MAX_BYTES};
use muster::notify::{Forge, ForgeKind, HookSecrets, PullLines, PullRequest, Secret};
use sha2::Sha256;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

const SECRET: &str = "It's a Secret to Everybody";
const PUSH: &str = r#"{"ref": "refs/heads/main"}"#;

fn hex_signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A cell that listens to all three forges.
fn listening() -> (Arc<MemoryCell>, ApiState, mpsc::Receiver<PullRequest>) {
    let (cell, _) = MemoryCell::with_web();
    let mut state = cell.state();
    let secret = || Some(Secret::new(SECRET));
    let secrets = HookSecrets {
        github: secret(),
        gitea: secret(),
        gitlab_token: secret(),
        gitlab_signing: None,
    };
    let forge = Forge {
        name: "github".to_owned(),
        kind: ForgeKind::Github,
        api: "http://127.0.0.1".parse().expect("an address"),
        repository: "example/fleet".to_owned(),
        token: Secret::new("a token"),
        context: None,
        pull_requests: true,
    };
    let (lines, mut queues) = PullLines::new(&[forge], 1);
    let pulls = queues.remove("github").expect("its line");
    state.hooks = Arc::new(Hooks::new(secrets, "main".to_owned(), lines));
    (cell, state, pulls)
}

fn delivery(forge: &str, body: &str) -> Request<Body> {
    let mut request = anonymous("POST", &format!("/api/v1/hooks/{forge}"));
    *request.body_mut() = Body::from(body.to_owned());
    request
}

fn github(id: &str, body: &str) -> Request<Body> {
    let signature = format!("sha256={}", hex_signature(body.as_bytes()));
    let request = with(delivery("github", body), "x-github-event", "push");
    let request = with(request, "x-github-delivery", id);
    with(request, "x-hub-signature-256", &signature)
}

async fn message(state: &ApiState, request: Request<Body>) -> String {
    let (status, _, text) = text(send(state, request).await).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    answer["message"].as_str().expect("a message").to_owned()
}

fn refreshes(cell: &MemoryCell) -> usize {
    cell.refreshes.load(Ordering::SeqCst)
}

#[tokio::test]
async fn every_forge_wakes_the_reading_without_a_token() {
    let (cell, state, _pulls) = listening();
    let gitea = with(delivery("gitea", PUSH), "x-gitea-event", "push");
    let gitea = with(gitea, "x-gitea-signature", &hex_signature(PUSH.as_bytes()));
    let gitlab = with(delivery("gitlab", PUSH), "x-gitlab-event", "Push Hook");
    let gitlab = with(gitlab, "x-gitlab-token", SECRET);
    for (count, request) in (1..).zip([github("1", PUSH), gitea, gitlab]) {
        assert_eq!(
            message(&state, request).await,
            "the repository is being read"
        );
        assert_eq!(refreshes(&cell), count);
    }
}

#[tokio::test]
async fn a_wrong_signature_is_refused_and_reads_nothing() {
    let (cell, state, _pulls) = listening();
    let body = r#"{"ref": "refs/heads/main", "more": 1}"#;
    let unsigned = with(delivery("github", PUSH), "x-github-event", "push");
    let mut altered = github("1", PUSH);
    *altered.body_mut() = Body::from(body);
    let other_forge = with(delivery("gitlab", PUSH), "x-gitlab-event", "Push Hook");
    let other_forge = with(
        other_forge,
        "x-hub-signature-256",
        &hex_signature(PUSH.as_bytes()),
    );
    // The API's token is no proof of a forge.
    let token = crate::http::request("POST", "/api/v1/hooks/github");
    for request in [unsigned, altered, other_forge, token] {
        let response = send(&state, request).await;
        assert_eq!(
            problem(response).await,
            (401, "unproven-delivery".to_owned())
        );
    }
    assert_eq!(refreshes(&cell), 0);
    // What was refused is not remembered: the right one is new.
    assert_eq!(
        message(&state, github("1", PUSH)).await,
        "the repository is being read"
    );
}

#[tokio::test]
async fn a_delivery_that_comes_again_reads_nothing() {
    let (cell, state, _pulls) = listening();
    message(&state, github("1", PUSH)).await;
    for again in [github("1", PUSH), github("2", PUSH)] {
        assert_eq!(
            message(&state, again).await,
            "this delivery has come before; nothing follows from it"
        );
    }
    assert_eq!(refreshes(&cell), 1);
    let next = r#"{"ref": "refs/heads/main", "after": "c0ffee"}"#;
    message(&state, github("3", next)).await;
    assert_eq!(refreshes(&cell), 2);
}

#[tokio::test]
async fn what_does_not_concern_the_branch_reads_nothing() {
    let (cell, state, mut pulls) = listening();
    let other = message(&state, github("1", r#"{"ref": "refs/heads/feature"}"#)).await;
    assert_eq!(
        other,
        "`refs/heads/feature` is not followed; nothing follows from it"
    );
    let ping = with(
        github("2", r#"{"zen": "Keep it simple"}"#),
        "x-github-event",
        "ping",
    );
    assert_eq!(
        message(&state, ping).await,
        "nothing follows from this kind of delivery"
    );
    let pull = |number: u64, from: &str| {
        let body = serde_json::json!({
            "action": "opened", "repository": {"full_name": "example/fleet"},
            "pull_request": {
                "number": number, "base": {"ref": "main"}, "head": {"repo": {"full_name": from}},
            },
        });
        let request = github(&format!("p{number}"), &body.to_string());
        with(request, "x-github-event", "pull_request")
    };
    let planned = message(&state, pull(7, "example/fleet")).await;
    assert_eq!(planned, "pull request 7 is being planned");
    assert_eq!(pulls.recv().await.expect("it is told").number, 7);
    let foreign = message(&state, pull(8, "stranger/fleet")).await;
    assert!(foreign.contains("copy of the repository"), "{foreign}");
    // The queue has room for one.
    message(&state, pull(9, "example/fleet")).await;
    let full = || pull(10, "example/fleet");
    let (status, headers, said) = text(send(&state, full()).await).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(said.contains("too many wait"), "{said}");
    assert!(headers.contains_key("retry-after"));
    // What was turned away is no repetition when the forge sends it again, and what was taken is.
    assert_eq!(pulls.recv().await.expect("it is told").number, 9);
    assert_eq!(
        message(&state, full()).await,
        "pull request 10 is being planned"
    );
    assert_eq!(pulls.recv().await.expect("it is told").number, 10);
    assert_eq!(
        message(&state, full()).await,
        "this delivery has come before; nothing follows from it"
    );
    assert_eq!(refreshes(&cell), 0);
}

#[tokio::test]
async fn a_forge_without_a_secret_is_not_listened_to() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let response = send(&state, github("1", PUSH)).await;
    let (status, _, text) = text(response).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        text.contains("was given no secret for deliveries of github"),
        "{text}"
    );
    assert!(text.contains("hooks.github"), "{text}");
    let response = send(&state, delivery("svn", PUSH)).await;
    assert_eq!(problem(response).await, (404, "not-found".to_owned()));
    assert_eq!(refreshes(&cell), 0);
}

#[tokio::test]
async fn what_is_too_large_is_not_looked_at() {
    let (cell, state, _pulls) = listening();
    let exact = format!("{PUSH}{}", " ".repeat(MAX_BYTES - PUSH.len()));
    message(&state, github("1", &exact)).await;
    assert_eq!(refreshes(&cell), 1);
    let longer = format!("{exact} ");
    // Once it says so, and once it only is.
    let said = with(
        github("2", &longer),
        "content-length",
        &longer.len().to_string(),
    );
    let parts: Vec<Result<String, std::io::Error>> = vec![Ok(longer.clone())];
    let mut streamed = github("3", &longer);
    *streamed.body_mut() = Body::from_stream(futures::stream::iter(parts));
    for request in [said, streamed] {
        let response = send(&state, request).await;
        assert_eq!(problem(response).await, (413, "body-too-large".to_owned()));
    }
    assert_eq!(refreshes(&cell), 1);
}

#[tokio::test]
async fn a_flood_is_turned_away_before_it_is_read() {
    let (cell, state, _pulls) = listening();
    let mut turned_away = 0;
    for _ in 0..60 {
        let response = send(&state, delivery("github", PUSH)).await;
        match response.status() {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::TOO_MANY_REQUESTS => turned_away += 1,
            status => panic!("{status}"),
        }
    }
    assert!(turned_away >= 20, "{turned_away}");
    assert_eq!(refreshes(&cell), 0);
}
