//! The console's cookie, and the token's file.

use crate::cell::MemoryCell;
use crate::http::{anonymous, post, problem, request, send, with};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use muster::api::ApiState;
use muster::api::auth::{MAX_SESSIONS, SESSION_HOURS, load_or_create_token};

async fn open(state: &ApiState) -> (String, String) {
    let response = send(state, request("POST", "/api/v1/session")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let set = response.headers()[header::SET_COOKIE]
        .to_str()
        .expect("text");
    let pair = set.split(';').next().expect("a pair").to_owned();
    (pair, set.to_owned())
}

fn by_cookie(method: &str, path: &str, cookie: &str) -> Request<Body> {
    with(
        anonymous(method, path),
        "cookie",
        &format!("other=1; {cookie}"),
    )
}

#[tokio::test]
async fn a_session_lives_until_it_is_closed() {
    let (cell, _) = MemoryCell::with_web();
    let mut state = cell.state();
    let (cookie, set) = open(&state).await;
    for part in [
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
        "; Max-Age=43200",
    ] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"));
    state.secure_cookie = true;
    assert!(open(&state).await.1.contains("; Secure"));

    let read = || by_cookie("GET", "/api/v1/session", &cookie);
    assert_eq!(send(&state, read()).await.status(), StatusCode::OK);
    let again = by_cookie("POST", "/api/v1/session", &cookie);
    assert_eq!(
        problem(send(&state, again).await).await,
        (403, "token-required".to_owned())
    );
    let close = by_cookie("DELETE", "/api/v1/session", &cookie);
    assert_eq!(send(&state, close).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(send(&state, read()).await).await.0, 401);
}

#[tokio::test]
async fn another_site_changes_nothing_with_the_cookie() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let (cookie, _) = open(&state).await;
    let refresh = || by_cookie("POST", "/api/v1/repository/refresh", &cookie);
    for site in ["cross-site", "same-site", "\u{7f}"] {
        let Ok(value) = site.parse() else { continue };
        let mut request = refresh();
        request.headers_mut().insert("sec-fetch-site", value);
        assert_eq!(
            problem(send(&state, request).await).await,
            (403, "cross-site".to_owned()),
            "{site}"
        );
    }
    for site in ["same-origin", "none"] {
        let request = with(refresh(), "sec-fetch-site", site);
        assert_eq!(send(&state, request).await.status(), StatusCode::ACCEPTED);
    }
    assert_eq!(send(&state, refresh()).await.status(), StatusCode::ACCEPTED);
    // A read does no harm, and a token is not sent by browsers on their own.
    let read = with(
        by_cookie("GET", "/api/v1/fleet", &cookie),
        "sec-fetch-site",
        "cross-site",
    );
    assert_eq!(send(&state, read).await.status(), StatusCode::OK);
    let token = with(
        post("/api/v1/repository/refresh", &serde_json::Value::Null),
        "sec-fetch-site",
        "cross-site",
    );
    assert_eq!(send(&state, token).await.status(), StatusCode::ACCEPTED);
    assert_eq!(cell.refreshes.load(std::sync::atomic::Ordering::SeqCst), 4);
}

#[test]
fn sessions_end_and_are_bounded() {
    let sessions = muster::api::auth::Sessions::default();
    let begin = jiff::Timestamp::UNIX_EPOCH;
    let second = |n: i64| begin + jiff::SignedDuration::from_secs(n);
    let first = sessions.open("admin", second(0));
    assert_eq!(
        sessions.name_of(&first, second(1)).as_deref(),
        Some("admin")
    );
    assert_eq!(sessions.name_of(&first, second(SESSION_HOURS * 3600)), None);
    for n in 1..=i64::try_from(MAX_SESSIONS).expect("a number") {
        sessions.open("admin", second(n));
    }
    assert_eq!(sessions.name_of(&first, second(1)), None, "the oldest went");
}

#[test]
fn sessions_outlive_the_process_but_not_their_token() {
    use muster::api::auth::{Sessions, Tokens};
    let home = tempfile::tempdir().expect("a folder");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let tokens = Tokens::admin("one");
    let sessions = || Sessions::kept_in(home.path(), &tokens);

    let first = sessions();
    let (kept, closed) = (first.open("admin", now), first.open("admin", now));
    first.close(&closed);
    let second = sessions();
    assert_eq!(second.name_of(&kept, now).as_deref(), Some("admin"));
    assert_eq!(second.name_of(&closed, now), None, "it was signed out");
    let file = home.path().join("sessions.json");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(!text.contains(&kept), "the file lets nobody in: {text}");

    let other = Sessions::kept_in(home.path(), &Tokens::admin("another"));
    assert_eq!(other.name_of(&kept, now), None);

    std::fs::write(&file, "{").expect("the file");
    assert_eq!(sessions().name_of(&kept, now), None);
    let again = sessions().open("admin", now);
    assert_eq!(sessions().name_of(&again, now).as_deref(), Some("admin"));
}

#[test]
fn the_token_is_made_once_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a folder");
    let token = load_or_create_token(home.path()).expect("a token");
    assert!(token.len() >= 43);
    assert_eq!(load_or_create_token(home.path()).expect("the token"), token);
    let path = home.path().join("token");
    let mode = || path.metadata().expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("the mode");
    load_or_create_token(home.path()).expect("the token");
    assert_eq!(mode(), 0o600);
    std::fs::write(&path, "\n").expect("the file");
    assert!(load_or_create_token(home.path()).is_err());
}
