//! Tokens in the journal: who made and revoked which, and what came or went while no control plane ran.

mod plane;

use plane::Plane;
use reqwest::Method;
use serde_json::{Value, json};

/// The events about tokens, as who, kind and sentence.
async fn told(plane: &Plane) -> Vec<(String, String, String)> {
    let path = "/api/v1/events?kind=token_created&kind=token_revoked&limit=100";
    let events = plane.get(path).await;
    let text = |event: &Value, field: &str| event[field].as_str().expect("a text").to_owned();
    let mut told: Vec<_> = events["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| {
            (
                event["seq"].as_u64().expect("a number"),
                (
                    text(event, "actor"),
                    text(event, "kind"),
                    text(event, "text"),
                ),
            )
        })
        .collect();
    told.sort();
    told.into_iter().map(|(_, told)| told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_made_and_revoked_a_token_is_in_the_journal_and_so_is_what_nobody_did() {
    let home = tempfile::tempdir().expect("a folder");
    let none = home.path().join("none.git").display().to_string();
    let config = plane::config(&home.path().join("control"), &none);
    let file = plane::in_home(&config, "tokens");
    let plane = Plane::start(config).await;
    assert_eq!(told(&plane).await, []);
    let (status, made) = plane
        .post("/api/v1/tokens", json!({"name": "team-shop"}))
        .await;
    assert!(status.is_success(), "{made}");
    let token = made["token"].as_str().expect("a token");
    let kept = std::fs::read(&file).expect("the tokens");
    let (status, answer) = plane
        .ask(Method::DELETE, "/api/v1/tokens/team-shop", None)
        .await;
    assert!(status.is_success(), "{answer}");
    // What is refused leaves no record.
    let (status, _) = plane.post("/api/v1/tokens", json!({"name": "admin"})).await;
    assert!(!status.is_success());
    let (status, _) = plane
        .ask(Method::DELETE, "/api/v1/tokens/nobody", None)
        .await;
    assert!(!status.is_success());
    let row =
        |actor: &str, kind: &str, text: &str| (actor.to_owned(), kind.to_owned(), text.to_owned());
    let mut expected = vec![
        row(
            "admin",
            "token_created",
            "token team-shop was made by admin",
        ),
        row(
            "admin",
            "token_revoked",
            "token team-shop was revoked by admin",
        ),
    ];
    assert_eq!(told(&plane).await, expected);
    let all = plane.get("/api/v1/events?limit=100").await.to_string();
    assert!(!all.contains(token), "the token is in a record");
    let hash = String::from_utf8(kept.clone()).expect("text");
    let hash = hash.split("\"hash\":\"").nth(1).expect("a hash");
    assert!(!all.contains(&hash[..64]), "its hash is in a record");

    // Somebody puts an older file back while no control plane runs.
    let config = plane.stop().await;
    std::fs::write(&file, &kept).expect("it is put back");
    let plane = Plane::start(config).await;
    let found = told(&plane).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        (found[2].0.as_str(), found[2].1.as_str()),
        ("tokens", "token_created")
    );
    assert!(
        found[2]
            .2
            .starts_with("token team-shop is taken, and no record says who made it"),
        "{found:?}"
    );
    expected.push(found[2].clone());
    // Once: a start on what is known says nothing.
    let plane = Plane::start(plane.stop().await).await;
    assert_eq!(told(&plane).await, expected);
    let config = plane.stop().await;
    std::fs::remove_file(&file).expect("it is removed");
    let plane = Plane::start(config).await;
    expected.push(row(
        "tokens",
        "token_revoked",
        "token team-shop is taken no more, and no record says who revoked it: the file of tokens was changed while no control plane ran",
    ));
    assert_eq!(told(&plane).await, expected);
    // One that cannot be read says of no token that it is gone or there.
    let config = plane.stop().await;
    std::fs::write(&file, b"no tokens").expect("it is damaged");
    let plane = Plane::start(config).await;
    assert_eq!(told(&plane).await, expected);
    plane.stop().await;
}
