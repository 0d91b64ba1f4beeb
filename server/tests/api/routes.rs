//! Every route: its description, its token, its parameters, its errors.

use crate::cell::MemoryCell;
use crate::http::{anonymous, get, post, problem, request, send, text, with};
use axum::http::StatusCode;
use serde_json::Value;
use std::path::Path;

fn description() -> Value {
    serde_json::from_str(&muster::api::openapi::json()).expect("JSON")
}

/// Each operation with its address filled in.
fn operations(description: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let path = path
                .replace("{task}", "web.0")
                .replace("{job}", "web")
                .replace("{host}", "host-a")
                .replace("{plan}", "aa11")
                .replace("{forge}", "github");
            operations.push((method.to_uppercase(), path, operation.clone()));
        }
    }
    assert!(operations.len() >= 22, "{}", operations.len());
    operations
}

#[test]
fn the_description_is_as_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/openapi.json");
    let json = muster::api::openapi::json();
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(&path, &json).expect("the file");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == json,
        "schemas/json/openapi.json is stale: run this test with MUSTER_UPDATE=1 and commit the file"
    );
}

#[tokio::test]
async fn every_operation_is_described_and_asks_for_a_token_unless_it_says_otherwise() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    for (method, path, operation) in operations(&description()) {
        assert!(operation["description"].is_string(), "{method} {path}");
        let is_open = operation["security"] == serde_json::json!([{}])
            || operation["security"] == serde_json::json!([]);
        let response = send(&state, anonymous(&method, &path)).await;
        if path.starts_with("/api/v1/hooks/") {
            // Open to who signs, where that is set up; `hooks.rs` has the rest.
            assert!(is_open, "{path}");
            assert_eq!(problem(response).await, (404, "not-found".to_owned()));
        } else if is_open {
            assert_eq!(response.status(), StatusCode::OK, "{method} {path}");
        } else {
            assert_eq!(
                problem(response).await,
                (401, "unauthorized".to_owned()),
                "{method} {path}"
            );
            assert!(operation["responses"]["401"].is_object(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_described_parameter_is_taken_and_no_other() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    for (method, path, operation) in operations(&description()) {
        let is_open = operation["security"] != Value::Null;
        if method != "GET" || is_open || path == "/api/v1/session" || path.ends_with("/watch") {
            continue;
        }
        let names: Vec<&str> = operation["parameters"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        for name in names {
            let archived = if matches!(name, "task" | "outcome") && path.ends_with("/tasks") {
                "archived=true&"
            } else {
                ""
            };
            let (_, answer) = get(&state, &format!("{path}?{archived}{name}=1")).await;
            assert_ne!(answer["code"], "unknown-parameter", "{path}: {name}");
        }
        let (status, answer) = get(&state, &format!("{path}?colour=red")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer["code"], "unknown-parameter", "{path}");
    }
}

#[tokio::test]
async fn what_there_is_can_be_read() {
    let (cell, attempt) = MemoryCell::with_web();
    let state = cell.state();
    let (status, fleet) = get(&state, "/api/v1/fleet").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(fleet["tasks"]["running"], 1);
    assert_eq!(fleet["repository"], "https://git.example.com/specs.git");
    assert_eq!(
        fleet["seq"],
        cell.journal.read().expect("the journal").len()
    );

    let (_, jobs) = get(&state, "/api/v1/jobs?state=progressing").await;
    assert_eq!(jobs["items"][0]["id"], "web");
    let (_, job) = get(&state, "/api/v1/jobs/web").await;
    assert_eq!(job["spec"]["service"]["capacity"]["desired"], 2);

    let (_, first) = get(&state, "/api/v1/tasks?limit=1").await;
    assert_eq!(first["items"][0]["id"], "web.0");
    assert_eq!(first["total"], 2);
    let next = first["next"].as_str().expect("a cursor");
    let (_, second) = get(&state, &format!("/api/v1/tasks?limit=1&cursor={next}")).await;
    assert_eq!(second["items"][0]["id"], "web.1");
    assert_eq!(second["next"], Value::Null);

    let (_, task) = get(&state, "/api/v1/tasks/web.0").await;
    assert_eq!(task["attempt"], attempt.to_string());
    assert_eq!(task["hops"][1]["name"], "placed");
    let (_, usage) = get(&state, "/api/v1/tasks/web.0/usage").await;
    assert_eq!(usage["readings"][0]["cpu_millis"], 12);

    let (_, running) = get(&state, "/api/v1/tasks/web.0/explain").await;
    assert_eq!(running["state"], "running");
    assert_eq!(running["blocked"], Value::Null);
    let (status, answer) = get(&state, "/api/v1/jobs/web/why-not/host-a").await;
    assert_eq!((status, &answer["tasks"]), (StatusCode::OK, &1.into()));
    let obstacles = answer["obstacles"].as_array().expect("a list");
    assert_eq!(answer["can"].as_bool(), Some(obstacles.is_empty()));

    let (_, by_name) = get(&state, "/api/v1/hosts/host-a").await;
    let id = by_name["id"].as_str().expect("an id");
    let (_, by_id) = get(&state, &format!("/api/v1/hosts/{id}")).await;
    assert_eq!(by_name, by_id);

    let (_, plan) = get(&state, "/api/v1/plans/aa11").await;
    assert_eq!(plan["status"], "applied");

    let (status, drift) = get(&state, "/api/v1/drift?cause=scaled&job=web").await;
    assert_eq!((status, &drift["total"]), (StatusCode::OK, &0.into()));
    let (status, _) = get(&state, "/api/v1/drift?cause=moon").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_plan_that_left_memory_is_read_from_the_journal() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let (_, mut from_memory) = get(&state, "/api/v1/plans/aa11").await;
    // What came of it is counted while it is among the latest.
    assert_eq!(from_memory["outcome"]["started"], 1);
    from_memory["outcome"] = Value::Null;
    cell.fleet.write().expect("the fleet").plans.clear();
    let (_, from_journal) = get(&state, "/api/v1/plans/aa11").await;
    assert_eq!(from_memory, from_journal);
}

#[tokio::test]
async fn events_are_paged_both_ways() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let seqs = |list: &Value| -> Vec<u64> {
        list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|event| event["seq"].as_u64().expect("a number"))
            .collect()
    };
    for (query, expected) in [
        ("", (1..=9).rev().collect::<Vec<u64>>()),
        ("after=2&", (3..=9).collect()),
        ("before=4&", vec![3, 2, 1]),
        ("task=web.0&", vec![9, 8, 6]),
        ("host=host-a&kind=attempt_reported&", vec![9]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let (status, list) =
                get(&state, &format!("/api/v1/events?{query}limit=2{cursor}")).await;
            assert_eq!(status, StatusCode::OK, "{list}");
            seen.extend(seqs(&list));
            match list["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{query}");
    }
    let (_, list) = get(&state, "/api/v1/events").await;
    assert_eq!(list["total"], 9);
    assert_eq!(list["items"][0]["text"], "running and healthy");
    assert_eq!(list["items"][0]["task"], "web.0");
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let long = format!("/api/v1/jobs?q={}", "x".repeat(9000));
    let large = serde_json::json!({"reason": "x".repeat(2 << 20)});
    let cases = [
        (request("GET", "/api/v1/nothing"), 404, "not-found"),
        (anonymous("GET", "/api/v2"), 404, "not-found"),
        (request("GET", "/api/v1/jobs/nothing"), 404, "not-found"),
        (request("GET", "/api/v1/tasks/web.7"), 404, "not-found"),
        (request("GET", "/api/v1/tasks/web"), 404, "not-found"),
        (request("GET", "/api/v1/tasks/%ff"), 404, "not-found"),
        (request("GET", "/api/v1/hosts/host-z"), 404, "not-found"),
        (
            request("GET", "/api/v1/tasks/web.7/explain"),
            404,
            "not-found",
        ),
        (
            request("GET", "/api/v1/jobs/web/why-not/host-z"),
            404,
            "not-found",
        ),
        (
            request("GET", "/api/v1/jobs/nothing/why-not/host-a"),
            404,
            "not-found",
        ),
        (
            request("GET", "/api/v1/jobs/web/why-not/%ff"),
            404,
            "not-found",
        ),
        (request("GET", "/api/v1/plans/zz"), 404, "not-found"),
        (request("PUT", "/api/v1/jobs"), 405, "method-not-allowed"),
        (anonymous("POST", "/jobs"), 405, "method-not-allowed"),
        (
            request("GET", "/api/v1/tasks?state=dead"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/tasks?healthy=maybe"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/tasks?limit=0"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/tasks?limit=1001"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/tasks?cursor=%21"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/tasks?label=x"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/tasks?limit=1&limit=2"),
            400,
            "bad-parameter",
        ),
        (
            request("GET", "/api/v1/events?after=x"),
            400,
            "bad-parameter",
        ),
        (request("GET", &long), 414, "query-too-long"),
        (
            post("/api/v1/tasks/web.0/stop", &large),
            413,
            "body-too-large",
        ),
        (
            post("/api/v1/tasks/web.0/stop", &Value::Null),
            400,
            "bad-body",
        ),
        (
            anonymous("GET", "/app.0123456789abcdef.js"),
            404,
            "not-found",
        ),
    ];
    for (request, status, code) in cases {
        let what = format!("{} {:.80}", request.method(), request.uri().to_string());
        let answer = problem(send(&state, request).await).await;
        assert_eq!(answer, (status, code.to_owned()), "{what}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_guarding_headers() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    for path in [
        "/",
        "/jobs/web",
        "/api/v1/fleet",
        "/api/v1/nothing",
        "/metrics",
    ] {
        let response = send(&state, anonymous("GET", path)).await;
        let headers = response.headers();
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self' 'wasm-unsafe-eval';",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-"),
        ] {
            let got = headers.get(name).map(|value| value.to_str().expect("text"));
            assert!(
                got.is_some_and(|got| got.starts_with(value)),
                "{path}: {name}: {got:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_console_s_page_is_served_for_all_of_its_addresses() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist/index.html");
    for path in ["/", "/tasks/web.0", "/jobs?state=running"] {
        let (status, headers, page) = text(send(&state, anonymous("GET", path)).await).await;
        assert!(
            headers["content-type"]
                .to_str()
                .expect("text")
                .starts_with("text/html"),
            "{path}"
        );
        if built.exists() {
            assert_eq!(status, StatusCode::OK);
            assert_eq!(page, std::fs::read_to_string(&built).expect("the page"));
        } else {
            assert_eq!(status, StatusCode::NOT_FOUND);
            assert!(page.contains("make build"), "{page}");
        }
    }
}

#[tokio::test]
async fn metrics_tell_the_fleet() {
    let (cell, _) = MemoryCell::with_web();
    let state = cell.state();
    send(&state, request("GET", "/api/v1/jobs/web")).await;
    let (status, _, page) = text(send(&state, anonymous("GET", "/metrics")).await).await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        "muster_tasks{state=\"running\"} 1",
        "muster_tasks{state=\"queued\"} 1",
        "muster_hosts{reachable=\"true\"} 1",
        "muster_journal_seq 9",
        "muster_plan_held 0",
        "muster_drift{cause=\"scaled\"} 0",
        "muster_stops_left 20",
        "muster_queue_age_seconds_bucket{le=\"+Inf\"} 1",
        "muster_http_requests_total{method=\"GET\",route=\"/api/v1/jobs/{job}\",status=\"200\"}",
        "muster_http_request_seconds_bucket{method=\"GET\",route=\"/api/v1/jobs/{job}\",le=\"1\"}",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
    // From elsewhere a token is needed.
    let mut far = anonymous("GET", "/metrics");
    let peer: std::net::SocketAddr = "192.0.2.7:1234".parse().expect("an address");
    far.extensions_mut()
        .insert(axum::extract::ConnectInfo(peer));
    assert_eq!(problem(send(&state, far).await).await.0, 401);
}

#[tokio::test]
async fn readiness_says_what_is_wrong() {
    let cell = MemoryCell::new();
    let state = cell.state();
    assert_eq!(
        send(&state, anonymous("GET", "/readyz")).await.status(),
        StatusCode::OK
    );
    cell.health.lock().expect("the health").loop_silent_secs = 6.0;
    let answer = problem(send(&state, anonymous("GET", "/readyz")).await).await;
    assert_eq!(answer, (503, "not-ready".to_owned()));
    assert_eq!(
        send(&state, anonymous("GET", "/healthz")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let cell = MemoryCell::new();
    let state = cell.state();
    for value in ["Bearer wrong", "Bearer ", "Basic dGVzdA==", "Bearer"] {
        let request = with(anonymous("GET", "/api/v1/fleet"), "authorization", value);
        assert_eq!(
            problem(send(&state, request).await).await,
            (401, "unauthorized".to_owned()),
            "{value}"
        );
    }
}
