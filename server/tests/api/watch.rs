//! The watch: every event once and in order, whatever happens to the connection; and the server that carries it.

use crate::cell::{MemoryCell, TOKEN};
use crate::http::{problem, request, send, with};
use axum::http::StatusCode;
use futures::StreamExt as _;
use muster::api::{ApiState, serve};
use muster_schemas::event::Event;
use muster_schemas::ids::HostId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const RECORDS: u64 = 1000;

fn something(cell: &MemoryCell) {
    cell.say(Event::HostConnected {
        host: HostId(uuid::Uuid::nil()),
    });
}

/// Watches after `last` until `until` or so many events, and gives the ids as they came.
async fn watch(state: &ApiState, last: u64, count: usize, until: u64, by_header: bool) -> Vec<u64> {
    let asked = if by_header {
        // The header goes before the address, which a browser repeats unchanged.
        with(
            request("GET", "/api/v1/watch?after=0"),
            "last-event-id",
            &last.to_string(),
        )
    } else {
        request("GET", &format!("/api/v1/watch?after={last}"))
    };
    let response = send(state, asked).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body().into_data_stream();
    let mut ids = Vec::new();
    let mut text = String::new();
    while ids.len() < count && ids.last() != Some(&until) {
        let chunk = body
            .next()
            .await
            .expect("the watch goes on")
            .expect("a chunk");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        while let Some((message, rest)) = text.split_once("\n\n") {
            let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                let event: serde_json::Value = serde_json::from_str(data).expect("JSON");
                assert_eq!(event["seq"].to_string(), id);
                ids.push(id.parse().expect("a number"));
            }
            text = rest.to_owned();
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn each_watcher_sees_every_event_once_and_in_order() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let cell = MemoryCell::new();
    let state = cell.state();
    let watchers: Vec<_> = (0..6)
        .map(|number| {
            let state = state.clone();
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(seed ^ number);
                let mut seen: Vec<u64> = Vec::new();
                while seen.last() != Some(&RECORDS) {
                    let last = seen.last().copied().unwrap_or(0);
                    let count = random.random_range(1..200);
                    seen.extend(watch(&state, last, count, RECORDS, random.random()).await);
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
                }
                seen
            })
        })
        .collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut said = 1;
    while said < RECORDS {
        for _ in 0..random.random_range(1..40u64).min(RECORDS - said) {
            something(&cell);
            said += 1;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..4))).await;
    }
    let expected: Vec<u64> = (1..=RECORDS).collect();
    for watcher in watchers {
        let seen = tokio::time::timeout(Duration::from_secs(60), watcher)
            .await
            .expect("every watcher comes to the end")
            .expect("a watcher");
        assert!(seen == expected, "seed {seed}: {seen:?}");
    }
}

#[tokio::test]
async fn without_a_beginning_it_begins_now() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let response = send(&state, request("GET", "/api/v1/watch")).await;
    something(&cell);
    let mut body = response.into_body().into_data_stream();
    let chunk = body.next().await.expect("an event").expect("a chunk");
    assert!(chunk.starts_with(b"id: 10\n"), "{chunk:?}");
}

#[tokio::test]
async fn another_journal_s_number_is_told() {
    let cell = MemoryCell::new();
    let state = cell.state();
    let ahead = problem(send(&state, request("GET", "/api/v1/watch?after=7")).await).await;
    assert_eq!(ahead, (409, "ahead-of-journal".to_owned()));
    let bad = with(request("GET", "/api/v1/watch"), "last-event-id", "x");
    assert_eq!(problem(send(&state, bad).await).await.0, 400);
}

#[tokio::test]
async fn streams_are_bounded_and_their_places_come_free() {
    let cell = MemoryCell::new();
    let state = cell.state();
    let mut open = Vec::new();
    for _ in 0..muster::api::state::MAX_STREAMS {
        let response = send(&state, request("GET", "/api/v1/watch")).await;
        assert_eq!(response.status(), StatusCode::OK);
        open.push(response);
    }
    let beyond = send(&state, request("GET", "/api/v1/watch")).await;
    assert!(beyond.headers().contains_key("retry-after"));
    assert_eq!(problem(beyond).await, (429, "too-many-streams".to_owned()));
    open.pop();
    let again = send(&state, request("GET", "/api/v1/watch")).await;
    assert_eq!(again.status(), StatusCode::OK);
}

/// Over a real connection: the watch is live, and the end of the server ends it at once.
#[tokio::test]
async fn the_server_ends_its_streams_when_it_ends() {
    let cell = MemoryCell::new();
    let state = cell.state();
    let shutdown = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = tokio::spawn(serve(listener, state, shutdown.clone()));
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "GET /api/v1/watch HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    connection
        .write_all(head.as_bytes())
        .await
        .expect("the request");
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("\r\n\r\n") {
        let read = connection.read(&mut buffer).await.expect("the head");
        seen.push_str(std::str::from_utf8(&buffer[..read]).expect("UTF-8"));
    }
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    something(&cell);
    while !seen.contains("id: 2\n") {
        let read = connection.read(&mut buffer).await.expect("an event");
        assert!(read > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&buffer[..read]).expect("UTF-8"));
    }
    let cell = Arc::downgrade(&cell);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(2), server)
        .await
        .expect("it ends at once")
        .expect("the server")
        .expect("no error");
    drop(connection);
    drop(cell);
}
