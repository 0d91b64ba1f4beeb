//! Commands, and their being done once.

use crate::cell::MemoryCell;
use crate::http::{post, problem, request, send, text, with};
use axum::http::StatusCode;
use muster_core::decide::Command;
use muster_schemas::state::Actor;
use serde_json::json;

const STOP: &str = "/api/v1/tasks/web.0/stop";

#[tokio::test]
async fn a_stop_is_given_in_the_caller_s_name() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let response = send(&state, post(STOP, &json!({"reason": " it hangs "}))).await;
    let (status, _, answer) = text(response).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.contains("\"seq\":101"), "{answer}");
    let commands = cell.commands.lock().expect("the commands").clone();
    assert_eq!(
        commands,
        [(
            Command::StopTask {
                task: "web.0".parse().expect("a task"),
                reason: "it hangs".to_owned()
            },
            Actor::Person("admin".to_owned())
        )]
    );
}

#[tokio::test]
async fn a_size_is_given_with_its_reason_and_end() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let body = json!({
        "desired": 5, "reason": "the sale begins", "until": "2026-11-23T16:00:00Z"
    });
    let response = send(&state, post("/api/v1/jobs/web/scale", &body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let commands = cell.commands.lock().expect("the commands").clone();
    assert_eq!(
        commands,
        [(
            Command::Scale {
                job: "web".into(),
                desired: 5,
                reason: "the sale begins".to_owned(),
                until: Some("2026-11-23T16:00:00Z".parse().expect("a time")),
            },
            Actor::Person("admin".to_owned())
        )]
    );
}

#[tokio::test]
async fn a_repeated_key_is_answered_the_same() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let stop = |key: &str, reason: &str| {
        with(
            post(STOP, &json!({"reason": reason})),
            "idempotency-key",
            key,
        )
    };
    // At the same time, and again later.
    let (first, second) = tokio::join!(
        send(&state, stop("k1", "it hangs")),
        send(&state, stop("k1", "it hangs"))
    );
    let (first, second) = (text(first).await.2, text(second).await.2);
    assert_eq!(first, second);
    assert_eq!(
        text(send(&state, stop("k1", "it hangs")).await).await.2,
        first
    );
    assert_eq!(cell.commands.lock().expect("the commands").len(), 1);

    let other = problem(send(&state, stop("k1", "another reason")).await).await;
    assert_eq!(other, (422, "idempotency-key-reused".to_owned()));
    assert_eq!(
        send(&state, stop("k2", "it hangs")).await.status(),
        StatusCode::OK
    );
    assert_eq!(cell.commands.lock().expect("the commands").len(), 2);
    let empty = problem(send(&state, stop("", "it hangs")).await).await;
    assert_eq!(empty, (400, "bad-idempotency-key".to_owned()));
}

#[tokio::test]
async fn a_command_that_was_refused_can_be_repeated() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    for _ in 0..2 {
        let stop = with(
            post("/api/v1/tasks/web.1/stop", &json!({"reason": "it hangs"})),
            "idempotency-key",
            "k1",
        );
        assert_eq!(
            problem(send(&state, stop).await).await,
            (404, "not-found".to_owned())
        );
    }
}

#[tokio::test]
async fn a_reason_is_required() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    for (reason, code) in [
        (" ".to_owned(), "reason-missing"),
        ("x".repeat(1001), "reason-too-long"),
    ] {
        for path in [STOP, "/api/v1/down"] {
            let answer = problem(send(&state, post(path, &json!({"reason": reason}))).await).await;
            assert_eq!(answer, (400, code.to_owned()));
        }
    }
    assert!(cell.commands.lock().expect("the commands").is_empty());
}

#[tokio::test]
async fn the_other_commands_reach_the_cell() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let down = send(
        &state,
        post("/api/v1/down", &json!({"reason": "moving house"})),
    )
    .await;
    assert_eq!(down.status(), StatusCode::OK);
    assert_eq!(
        cell.commands.lock().expect("the commands")[0].0,
        Command::TakeDown {
            reason: "moving house".to_owned()
        }
    );
    let (status, _, token) = text(send(&state, request("POST", "/api/v1/enrolments")).await).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(token.contains("minted for admin"), "{token}");
}

#[tokio::test]
async fn a_deploy_s_id_stands_in_an_address_as_it_is() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let body = json!({"job": "web", "desired": 3});
    let long = "a".repeat(129);
    for id in [
        ".", "..", "%2E%2E", "a%20b", "a%2Fb", "%C3%A4", "a~b", &long,
    ] {
        let path = format!("/api/v1/deploys/{id}");
        let answer = send(&state, post(&path, &body)).await;
        let (status, _, text) = text(answer).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{id}: {text}");
        assert!(
            text.contains("bad-id") && text.contains("not `.` or `..` alone"),
            "{text}"
        );
        for path in [path.clone(), format!("{path}/cancel")] {
            let method = if path.ends_with("cancel") {
                "POST"
            } else {
                "GET"
            };
            let (status, code) = problem(send(&state, request(method, &path)).await).await;
            assert_eq!((status, code.as_str()), (400, "bad-id"), "{path}");
        }
    }
    assert_eq!(cell.commands.lock().expect("the commands").len(), 0);
    for id in ["01JABC-web", "a..b", "v1.2_3", &long[..128]] {
        let answer = send(&state, post(&format!("/api/v1/deploys/{id}"), &body)).await;
        assert_ne!(answer.status(), StatusCode::BAD_REQUEST, "{id}");
    }
    assert_eq!(cell.commands.lock().expect("the commands").len(), 4);
}

#[tokio::test]
async fn who_waits_for_a_look_at_the_repository_is_told_what_it_found() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let ask = async |wait: &str| {
        let path = format!("/api/v1/repository/refresh{wait}");
        let (status, _, answer) = text(send(&state, post(&path, &json!({}))).await).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        (status.as_u16(), answer)
    };
    let found = json!({"commit": "4f1c0de", "trouble": null});
    *cell.look.lock().expect("the look") = serde_json::from_value(found.clone()).expect("a look");
    let (status, answer) = ask("?wait=10").await;
    assert_eq!((status, &answer["look"]), (202, &found));
    assert_eq!(ask("").await.1["look"], json!(null), "nobody waits unasked");

    let trouble = json!({"commit": null, "trouble": "the branch is gone; push one"});
    *cell.look.lock().expect("the look") = serde_json::from_value(trouble.clone()).expect("a look");
    let (_, answer) = ask("?wait=10").await;
    assert_eq!(answer["look"], trouble);
    assert_eq!(answer["message"], "the repository cannot be followed");

    *cell.look.lock().expect("the look") = None;
    let (status, answer) = ask("?wait=1").await;
    assert_eq!(
        (status, &answer["look"]),
        (202, &json!(null)),
        "it takes too long"
    );
    for wrong in ["?wait=21", "?wait=soon", "?until=10"] {
        assert_eq!(ask(wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(cell.refreshes.load(std::sync::atomic::Ordering::SeqCst), 4);
}
