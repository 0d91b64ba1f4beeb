//! Logs as text and as events.

use crate::cell::MemoryCell;
use crate::http::{problem, request, send, text, with};
use axum::body::to_bytes;
use axum::http::StatusCode;
use jiff::Timestamp;
use muster::api::LogMessage;
use muster_schemas::wire::{LogEnd, LogLine, LogStream};

fn line(text: &str) -> LogLine {
    LogLine {
        at: Timestamp::UNIX_EPOCH,
        stream: LogStream::Stdout,
        text: text.to_owned(),
    }
}

fn script(end: LogEnd) -> Vec<LogMessage> {
    vec![
        LogMessage::Lines(vec![line("one"), line("\u{1b}[31mtwo\u{1b}[0m")]),
        LogMessage::Lines(vec![line("three")]),
        LogMessage::End(end),
    ]
}

#[tokio::test]
async fn text_is_as_it_was_written() {
    let (cell, attempt) = MemoryCell::with_web();
    let state = cell.state();
    *cell.log.lock().expect("the script") = Some(script(LogEnd::Complete));
    let path = "/api/v1/tasks/web.0/logs?follow=true&tail=200&since=2026-11-23T15:04:05Z";
    let (status, headers, log) = text(send(&state, request("GET", path)).await).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(log, "one\n\u{1b}[31mtwo\u{1b}[0m\nthree\n");
    let asked = cell
        .asked_log
        .lock()
        .expect("the query")
        .clone()
        .expect("a query");
    assert_eq!(
        (asked.attempt, asked.follow, asked.tail),
        (attempt, true, Some(200))
    );
    assert_eq!(
        asked.since.map(|since| since.to_string()).as_deref(),
        Some("2026-11-23T15:04:05Z")
    );
}

#[tokio::test]
async fn events_are_json_without_control_characters() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    *cell.log.lock().expect("the script") = Some(script(LogEnd::Complete));
    let asked = with(
        request("GET", "/api/v1/tasks/web.0/logs"),
        "accept",
        "text/event-stream",
    );
    let (_, headers, log) = text(send(&state, asked).await).await;
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(log.matches("event: line\n").count(), 3);
    assert!(
        log.ends_with("event: end\ndata: {\"end\":\"complete\"}\n\n"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'));
}

#[tokio::test]
async fn a_log_that_breaks_off_does_not_look_whole() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    *cell.log.lock().expect("the script") = Some(script(LogEnd::Failed {
        message: "the engine went away".to_owned(),
    }));
    let response = send(&state, request("GET", "/api/v1/tasks/web.0/logs")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(to_bytes(response.into_body(), 1 << 20).await.is_err());

    // The same where the agent's connection ends without a word.
    *cell.log.lock().expect("the script") = Some(vec![LogMessage::Lines(vec![line("one")])]);
    let response = send(&state, request("GET", "/api/v1/tasks/web.0/logs")).await;
    assert!(to_bytes(response.into_body(), 1 << 20).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_a_status() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let path = "/api/v1/tasks/web.0/logs";
    let check = async |script: Option<Vec<LogMessage>>, path: &str| {
        *cell.log.lock().expect("the script") = script;
        problem(send(&state, request("GET", path)).await).await
    };
    let failed = LogEnd::Failed {
        message: "no".to_owned(),
    };
    assert_eq!(
        check(None, path).await,
        (503, "host-unreachable".to_owned())
    );
    assert_eq!(
        check(Some(vec![LogMessage::End(LogEnd::NoContainer)]), path).await,
        (404, "not-found".to_owned())
    );
    assert_eq!(
        check(Some(vec![LogMessage::End(failed)]), path).await,
        (502, "log-failed".to_owned())
    );
    assert_eq!(
        check(Some(Vec::new()), path).await,
        (502, "log-failed".to_owned())
    );
    // It is queued and has had no attempt.
    assert_eq!(check(None, "/api/v1/tasks/web.1/logs").await.0, 404);
    let other = format!("{path}?attempt=00000000-0000-7000-8000-0000000000bb");
    assert_eq!(check(None, &other).await.0, 404);
    assert_eq!(check(None, &format!("{path}?tail=100001")).await.0, 400);
}
