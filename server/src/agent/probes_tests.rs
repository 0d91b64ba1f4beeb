//! Probes against a socket of our own.

use super::*;
use crate::agent::testing::launch;
use crate::runtime::fake::FakeEngine;
use tokio::net::TcpListener;

fn probe(text: &str) -> Probe {
    serde_json::from_str(text).unwrap()
}

#[test]
fn thresholds_count_answers_in_a_row() {
    let probe = probe(r#"{"tcp":{"port":1},"successes":2,"failures":2}"#);
    let mut count = Count::default();
    let words: Vec<_> = [true, false, true, true, false, true, false, false, false]
        .into_iter()
        .map(|good| count.note(&probe, good, true))
        .collect();
    assert_eq!(
        words,
        [
            None,
            None,
            None,
            Some(true),
            None,
            None,
            None,
            Some(false),
            None
        ]
    );
}

#[test]
fn early_looks_do_not_count_against_it() {
    let probe = probe(r#"{"tcp":{"port":1},"failures":1}"#);
    let mut count = Count::default();
    assert_eq!(count.note(&probe, false, false), None);
    assert_eq!(count.note(&probe, false, true), Some(false));
}

#[test]
fn only_a_status_line_is_an_answer() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n", Some(200)),
        ("HTTP/1.0 302 Found", Some(302)),
        ("HTTP/1.1 nonsense", None),
        ("SSH-2.0-OpenSSH\r\n", None),
        ("", None),
        ("\u{fffd}\n", None),
    ] {
        assert_eq!(status_of(answer.as_bytes()), expected, "{answer}");
    }
}

/// A server that answers each connection with the same text.
async fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0u8; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

async fn ask(text: &str) -> Result<(), String> {
    let asked = Asked {
        container: "c".into(),
        ip: Some("127.0.0.1".into()),
        started_at: None,
        launch: launch(7),
    };
    ask_once(&FakeEngine::default(), &probe(text), &asked)
        .await
        .expect("nothing here needs the engine")
}

#[tokio::test]
async fn answers_are_told_in_words() {
    let good = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let bad = server("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    let silent = server("").await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let http = |port: u16| format!(r#"{{"http":{{"port":{port},"path":"/healthz"}}}}"#);
    assert_eq!(ask(&http(good)).await, Ok(()));
    assert_eq!(
        ask(&http(bad)).await.unwrap_err(),
        "GET /healthz answered 503"
    );
    assert_eq!(
        ask(&http(silent)).await.unwrap_err(),
        "GET /healthz: the answer is not HTTP"
    );
    assert_eq!(
        ask(&http(closed)).await.unwrap_err(),
        format!("nothing listens on port {closed}")
    );
    assert_eq!(
        ask(&format!(r#"{{"tcp":{{"port":{good}}}}}"#)).await,
        Ok(())
    );
    assert_eq!(
        ask(r#"{"tcp":{"port":"admin"}}"#).await.unwrap_err(),
        "the job has no port named `admin`"
    );
    assert_eq!(
        ask(&format!(
            r#"{{"http":{{"port":{good},"path":"/ HTTP/1.1\r\nX: y"}}}}"#
        ))
        .await
        .unwrap_err(),
        r"`/ HTTP/1.1\r\nX: y` is no path to ask for"
    );
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(r#"{{"http":{{"port":{port}}},"timeout":"50ms"}}"#);
    assert_eq!(ask(&text).await.unwrap_err(), "no answer within 50ms");
}
