//! Two teams and an operator: who may do what, over every route that changes something.

use crate::cell::MemoryCell;
use crate::http::{anonymous, get, post, problem, request, send, text, with};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use jiff::Timestamp;
use muster::api::auth::Tokens;
use muster::api::{ApiState, openapi};
use muster_schemas::access::Role;
use muster_schemas::spec::{Access, PolicySpec};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// The cell with `web` of app `web`, whose policy knows the teams of it and of another app, an operator and an auditor.
fn cell_of_two_teams() -> Arc<MemoryCell> {
    let (cell, _) = MemoryCell::with_web();
    let access = |who: &str, role: Role, apps: &[&str]| Access {
        who: who.to_owned(),
        role,
        apps: apps.iter().map(|app| (*app).to_owned()).collect(),
    };
    let mut policy = PolicySpec::named("default");
    policy.access = vec![
        access("team-web", Role::Owner, &["web"]),
        access("team-shop", Role::Owner, &["shop"]),
        access("oncall", Role::Operator, &[]),
    ];
    cell.fleet.write().expect("the fleet").policy = Some(policy);
    cell
}

fn token(state: &ApiState, name: &str) -> String {
    let made = state.tokens.create(name, "admin", Timestamp::UNIX_EPOCH);
    made.expect("a token")
}

fn by(token: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove(header::AUTHORIZATION);
    with(request, "authorization", &format!("Bearer {token}"))
}

/// Each route that changes something, as the API's description lists them, with ids that exist where the cell has some.
fn changes() -> Vec<(String, String)> {
    let description: serde_json::Value =
        serde_json::from_str(&openapi::json()).expect("the description");
    let mut found = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let is_read = method == "get" || path == "/api/v1/plan" || path == "/api/v1/session";
            // What forges send proves itself by its signature.
            if is_read || path.starts_with("/api/v1/hooks/") {
                continue;
            }
            let path = path
                .replace("{task}", "web.0")
                .replace("{job}", "web")
                .replace("{plan}", "aa11")
                .replace("{host}", "host-a")
                .replace("{deploy}", "pipeline-1")
                .replace("{token}", "somebody");
            assert!(
                !path.contains('{'),
                "{path} has an id that the test does not know"
            );
            found.push((method.to_uppercase(), path));
        }
    }
    assert!(found.len() > 12, "{found:?}");
    found
}

/// A body that the route takes.
fn body(path: &str) -> serde_json::Value {
    let reason = "a test";
    match path {
        "/api/v1/deploys/pipeline-1" => json!({ "job": "web", "desired": 3 }),
        "/api/v1/freeze" | "/api/v1/resume" => {
            json!({ "scope": { "scope": "cell" }, "reason": reason })
        }
        "/api/v1/jobs/web/rollout" => json!({ "action": "abort", "reason": reason }),
        "/api/v1/jobs/web/scale" => json!({ "desired": 2, "reason": reason }),
        "/api/v1/rollback" => json!({ "to": "c0ffee", "job": "web", "reason": reason }),
        "/api/v1/tokens" => json!({ "name": "somebody" }),
        _ => json!({ "reason": reason }),
    }
}

fn ask(method: &str, path: &str) -> Request<Body> {
    let mut request = request(method, path);
    *request.body_mut() = Body::from(body(path).to_string());
    request
}

#[tokio::test]
async fn two_teams_change_what_is_theirs_and_nothing_else() {
    let cell = cell_of_two_teams();
    let state = cell.state();
    let tokens = ["auditor", "team-shop", "team-web", "oncall"].map(|name| token(&state, name));
    let mut table = String::new();
    for (method, path) in changes() {
        let mut row = format!("{method} {path}:");
        for (name, token) in ["auditor", "team-shop", "team-web", "oncall"]
            .iter()
            .zip(&tokens)
        {
            let given = cell.commands.lock().expect("commands").len();
            let (status, _, text) = text(send(&state, by(token, ask(&method, &path))).await).await;
            if status == StatusCode::FORBIDDEN {
                assert!(text.contains("\"forbidden\""), "{text}");
                let now = cell.commands.lock().expect("commands").len();
                assert_eq!(
                    given, now,
                    "{name} may not {method} {path}, and it was given"
                );
            }
            // What may be asked and is not there, or cannot be, is told so: it is no 403.
            let _ = write!(row, " {name} {}", status.as_u16());
        }
        table.push_str(&row);
        table.push('\n');
    }
    insta::assert_snapshot!("who_may_do_what", table);
}

#[tokio::test]
async fn rights_follow_the_policy_and_admin_needs_none() {
    let cell = cell_of_two_teams();
    let state = cell.state();
    let shop = token(&state, "team-shop");
    let session = |token: &str| by(token, request("GET", "/api/v1/session"));
    let rights = text(send(&state, session(&shop)).await).await.2;
    assert_eq!(
        rights,
        r#"{"name":"team-shop","rights":{"role":"owner","apps":["shop"]}}"#
    );
    let stop = || {
        let body = json!({ "reason": "a test" });
        by(&shop, post("/api/v1/tasks/web.0/stop", &body))
    };
    let (status, _, said) = text(send(&state, stop()).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!("a_foreign_task", said);

    // The next policy gives it to them.
    let owns = BTreeSet::from(["shop".to_owned(), "web".to_owned()]);
    let policy = |apps: Option<BTreeSet<String>>| {
        let mut fleet = cell.fleet.write().expect("the fleet");
        let policy = fleet.policy.as_mut().expect("a policy");
        match apps {
            Some(apps) => policy.access[1].apps = apps,
            None => policy.access.clear(),
        }
    };
    policy(Some(owns));
    assert_eq!(send(&state, stop()).await.status(), StatusCode::OK);

    // A job that is gone may have been anybody's.
    let back = json!({ "to": "c0ffee", "job": "payments", "reason": "a test" });
    let back = by(&shop, post("/api/v1/rollback", &back));
    assert_eq!(problem(send(&state, back).await).await.0, 403);

    // A policy that shuts everybody out leaves the token that was made with the cell.
    policy(None);
    assert_eq!(problem(send(&state, stop()).await).await.0, 403);
    let by_admin = post("/api/v1/tasks/web.0/stop", &json!({ "reason": "a test" }));
    assert_eq!(send(&state, by_admin).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_token_and_its_sessions_are_taken_no_more() {
    let cell = cell_of_two_teams();
    let state = cell.state();
    let made = send(
        &state,
        post("/api/v1/tokens", &json!({ "name": "team-shop" })),
    )
    .await;
    let (status, _, body) = text(made).await;
    assert_eq!(status, StatusCode::CREATED);
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let shop = body["token"].as_str().expect("the token").to_owned();
    let again = send(
        &state,
        post("/api/v1/tokens", &json!({ "name": "team-shop" })),
    )
    .await;
    assert_eq!(problem(again).await, (409, "taken".to_owned()));
    for name in ["", "two words", "<b>", &"x".repeat(65)] {
        let made = send(&state, post("/api/v1/tokens", &json!({ "name": name }))).await;
        assert_eq!(problem(made).await, (400, "bad-name".to_owned()), "{name}");
    }
    let admin = send(&state, post("/api/v1/tokens", &json!({ "name": "admin" }))).await;
    assert_eq!(problem(admin).await, (409, "admin".to_owned()));

    let opened = send(&state, by(&shop, request("POST", "/api/v1/session"))).await;
    let cookie = opened.headers()[header::SET_COOKIE].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let looks = || with(anonymous("GET", "/api/v1/fleet"), "cookie", &cookie);
    assert_eq!(send(&state, looks()).await.status(), StatusCode::OK);
    let listed = get(&state, "/api/v1/tokens").await.1;
    let names: Vec<&str> = listed["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["admin", "team-shop"]);
    assert!(!listed.to_string().contains(&shop), "a token is told once");

    let revoke = || request("DELETE", "/api/v1/tokens/team-shop");
    assert_eq!(
        send(&state, revoke()).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(problem(send(&state, revoke()).await).await.0, 404);
    assert_eq!(problem(send(&state, looks()).await).await.0, 401);
    let asks = by(&shop, request("GET", "/api/v1/fleet"));
    assert_eq!(problem(send(&state, asks).await).await.0, 401);
    // A new token of the same name is another one: the old session stays ended.
    token(&state, "team-shop");
    assert_eq!(problem(send(&state, looks()).await).await.0, 401);
    let admin = send(&state, request("DELETE", "/api/v1/tokens/admin")).await;
    assert_eq!(problem(admin).await, (409, "admin".to_owned()));
}

#[test]
fn tokens_outlive_the_process_and_a_damaged_file_lets_only_admin_in() {
    let home = tempfile::tempdir().expect("a folder");
    let secret = {
        let tokens = Tokens::kept_in(home.path(), "one");
        let made = tokens.create("team-shop", "admin", Timestamp::UNIX_EPOCH);
        made.expect("a token")
    };
    let file = home.path().join("tokens");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(!text.contains(&secret), "hashes alone are kept");
    let tokens = Tokens::kept_in(home.path(), "one");
    assert_eq!(tokens.list().len(), 1);

    std::fs::write(&file, text.replace("admin", "adm1n")).expect("it is written");
    let tokens = Tokens::kept_in(home.path(), "one");
    assert_eq!(tokens.list().len(), 0);
    let made = tokens.create("another", "admin", Timestamp::UNIX_EPOCH);
    assert!(made.is_err(), "a damaged file is not written over");
}
