//! Questions about the past, answered from a real journal.

use crate::cell::MemoryCell;
use crate::http::{get, post, problem, request, send, text};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, HostId, PlanId};
use muster_schemas::plan::{JobAction, Plan};
use muster_schemas::state::{Actor, StopOrder, StopReason};
use serde_json::{Value, json};
use std::sync::Arc;

fn seq(cell: &MemoryCell) -> u64 {
    cell.journal.read().expect("the journal").len() as u64
}

fn at(cell: &MemoryCell, seq: u64) -> Timestamp {
    cell.journal.read().expect("the journal")[seq as usize - 1].at
}

/// Later than everything before, so that times tell records apart.
async fn a_moment_passes() {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
}

/// `web` as it ran; then its host is gone and a second version was committed. Answers the last record before that.
async fn changed() -> (Arc<MemoryCell>, AttemptId, u64) {
    let (cell, attempt) = MemoryCell::with_web();
    let before = seq(&cell);
    a_moment_passes().await;
    let host: HostId = "00000000-0000-7000-8000-000000000001"
        .parse()
        .expect("an id");
    cell.say(Event::HostUnreachable { host });
    let mut plan: Plan = {
        let fleet = cell.fleet.read().expect("the fleet");
        let entry = fleet.plans.back().expect("a plan was made");
        (*entry.plan).clone()
    };
    plan.id = PlanId::from("bb22");
    let JobAction::Create { target } = plan.changes[0].action.clone() else {
        panic!("the first plan creates it");
    };
    let mut target = target;
    target.image = "registry.example.com/web@sha256:bb".to_owned();
    Arc::make_mut(&mut target.spec).image = "registry.example.com/web:2".to_owned();
    plan.changes[0].action = JobAction::Update { target };
    cell.say(Event::PlanMade {
        plan: Box::new(plan),
    });
    cell.say(Event::PlanApplied {
        plan: PlanId::from("bb22"),
    });
    (cell, attempt, before)
}

#[tokio::test]
async fn reads_answer_from_the_fleet_as_it_was() {
    let (cell, _, before) = changed().await;
    let state = cell.state();
    let time = at(&cell, before);
    for moment in [before.to_string(), time.to_string()] {
        let (_, fleet) = get(&state, &format!("/api/v1/fleet?at={moment}")).await;
        assert_eq!(
            (&fleet["seq"], &fleet["hosts_reachable"]),
            (&json!(before), &json!(1))
        );
        let (_, job) = get(&state, &format!("/api/v1/jobs/web?at={moment}")).await;
        assert_eq!(
            (&job["version"], &job["image_ref"]),
            (&json!(1), &json!("registry.example.com/web:1"))
        );
        let (_, jobs) = get(&state, &format!("/api/v1/jobs?at={moment}")).await;
        assert_eq!(jobs["items"][0]["healthy"], 1);
        let (_, task) = get(&state, &format!("/api/v1/tasks/web.0?at={moment}")).await;
        assert_eq!(
            (&task["reachable"], &task["state"]),
            (&json!(true), &json!("running"))
        );
        let (_, tasks) = get(
            &state,
            &format!("/api/v1/tasks?reachable=true&host=host-a&at={moment}"),
        )
        .await;
        assert_eq!(tasks["total"], 1);
        let (_, hosts) = get(&state, &format!("/api/v1/hosts?at={moment}")).await;
        assert_eq!(hosts["items"][0]["reachable"], true);
        let (_, host) = get(&state, &format!("/api/v1/hosts/host-a?at={moment}")).await;
        assert_eq!(host["reachable"], true);
        let (_, plans) = get(&state, &format!("/api/v1/plans?at={moment}")).await;
        assert_eq!(plans["total"], 1);
        let (status, plan) = get(&state, &format!("/api/v1/plans/bb22?at={moment}")).await;
        assert_eq!(
            (status, &plan["code"]),
            (StatusCode::NOT_FOUND, &json!("not-found"))
        );
        let (_, events) = get(&state, &format!("/api/v1/events?limit=1&at={moment}")).await;
        assert_eq!(
            (&events["items"][0]["seq"], &events["total"]),
            (&json!(before), &json!(before))
        );
    }
    let (_, now) = get(&state, "/api/v1/jobs/web").await;
    assert_eq!(now["version"], 2);
    let (_, now) = get(&state, "/api/v1/hosts/host-a").await;
    assert_eq!(now["reachable"], false);
}

#[tokio::test]
async fn the_past_of_the_first_records_is_that_of_nothing() {
    let (cell, ..) = changed().await;
    let state = cell.state();
    let (_, jobs) = get(&state, "/api/v1/jobs?at=1").await;
    assert_eq!(jobs, json!({"items": [], "next": null, "total": 0}));
    let (status, _) = get(&state, "/api/v1/jobs/web?at=1").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_answer_says_when_it_is_of() {
    let (cell, _, before) = changed().await;
    let state = cell.state();
    let time = at(&cell, before) + SignedDuration::from_nanos(1);
    for path in [
        "jobs",
        "jobs/web",
        "tasks",
        "tasks/web.0",
        "hosts",
        "hosts/host-a",
        "plans",
        "plans/aa11",
        "fleet",
        "events",
    ] {
        let (status, headers, _) =
            text(send(&state, request("GET", &format!("/api/v1/{path}?at={time}"))).await).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let header = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(
            header("muster-as-of-seq"),
            Some(before.to_string()),
            "{path}"
        );
        assert_eq!(header("muster-as-of"), Some(time.to_string()), "{path}");
        let (_, headers, _) =
            text(send(&state, request("GET", &format!("/api/v1/{path}"))).await).await;
        assert!(
            headers.get("muster-as-of-seq").is_none(),
            "{path}: now is not the past"
        );
    }
    let (_, reach) = get(&state, &format!("/api/v1/journal?at={time}")).await;
    assert_eq!(reach["first"]["seq"], 1);
    assert_eq!(reach["last"]["seq"], seq(&cell));
    assert_eq!(reach["as_of"], json!({"seq": before, "at": time}));
    let (_, reach) = get(&state, "/api/v1/journal").await;
    assert_eq!(reach["as_of"], Value::Null);
}

#[tokio::test]
async fn what_is_not_known_is_told_with_a_reason() {
    let (cell, ..) = changed().await;
    let state = cell.state();
    let early = at(&cell, 1) - SignedDuration::from_secs(1);
    let future = Timestamp::now() + SignedDuration::from_hours(1);
    let cases = [
        (early.to_string(), 410, "before-journal"),
        ("0".to_owned(), 410, "before-journal"),
        ("99999".to_owned(), 409, "ahead-of-journal"),
        (future.to_string(), 400, "in-the-future"),
        ("yesterday".to_owned(), 400, "bad-parameter"),
    ];
    for (moment, status, code) in cases {
        for path in ["jobs?at=", "events?at=", "journal?at=", "diff?from="] {
            let response = send(&state, request("GET", &format!("/api/v1/{path}{moment}"))).await;
            assert_eq!(
                problem(response).await,
                (status, code.to_owned()),
                "{path}{moment}"
            );
        }
    }
    let (_, before) = get(&state, "/api/v1/jobs?at=0").await;
    let message = before["message"].as_str().expect("a message");
    assert!(
        message.contains(&at(&cell, 1).to_string()),
        "it says from when on: {message}"
    );
}

#[tokio::test]
async fn the_past_takes_no_commands_and_no_watch() {
    let (cell, _, before) = changed().await;
    let state = cell.state();
    let reason = json!({"reason": "it looks stuck"});
    let paths = [
        "/api/v1/tasks/web.0/stop",
        "/api/v1/down",
        "/api/v1/freeze",
        "/api/v1/repository/refresh",
    ];
    for path in paths {
        let response = send(&state, post(&format!("{path}?at={before}"), &reason)).await;
        assert_eq!(
            problem(response).await,
            (400, "past-is-over".to_owned()),
            "{path}"
        );
    }
    assert_eq!(cell.commands.lock().expect("the commands").len(), 0);
    assert_eq!(cell.refreshes.load(std::sync::atomic::Ordering::SeqCst), 0);
    for path in ["watch", "tasks/web.0/usage", "tasks/web.0/logs", "deploys"] {
        let response = send(
            &state,
            request("GET", &format!("/api/v1/{path}?at={before}")),
        )
        .await;
        assert_eq!(problem(response).await.1, "unknown-parameter", "{path}");
    }
    let response = send(&state, post("/api/v1/tasks/web.0/stop", &reason)).await;
    assert_eq!(response.status(), StatusCode::OK, "without `at` it is done");
}

#[tokio::test]
async fn a_comparison_says_what_differs_and_who_did_it() {
    let (cell, attempt, before) = changed().await;
    let order = StopOrder {
        attempt,
        reason: StopReason::Asked {
            message: "it looks stuck".to_owned(),
        },
        actor: Actor::Person("ann".to_owned()),
        plan: None,
        grace: muster_schemas::spec::Millis::secs(10),
    };
    cell.say_by(
        Actor::Person("ann".to_owned()),
        Event::StopOrdered { order },
    );
    let state = cell.state();
    let (status, diff) = get(&state, &format!("/api/v1/diff?from={before}")).await;
    assert_eq!(status, StatusCode::OK, "{diff}");
    assert_eq!(
        (&diff["from"]["seq"], &diff["to"]["seq"]),
        (&json!(before), &json!(seq(&cell)))
    );
    let job = &diff["jobs"][0];
    assert_eq!(
        (&job["job"], &job["presence"]),
        (&json!("web"), &json!("changed"))
    );
    assert_eq!(
        (&job["version_from"], &job["version_to"]),
        (&json!(1), &json!(2))
    );
    let fields: Vec<&str> = job["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter_map(|field| field["path"].as_str())
        .collect();
    assert_eq!(fields, ["image", "image (digest)"]);
    assert_eq!(job["plans"], json!(["bb22"]));
    assert_eq!(diff["tasks"][0]["task"], "web.0");
    assert_eq!(
        (
            &diff["tasks"][0]["from"]["state"],
            &diff["tasks"][0]["to"]["state"]
        ),
        (&json!("running"), &json!("stopping"))
    );
    assert_eq!(
        (&diff["hosts"][0]["name"], &diff["hosts"][0]["reachable_to"]),
        (&json!("host-a"), &json!(false))
    );
    assert_eq!(
        (
            &diff["plans"][0]["plan"],
            &diff["plans"][0]["revision"]["subject"]
        ),
        (&json!("bb22"), &json!("Add web"))
    );
    assert_eq!(
        (&diff["acts"][0]["actor"], &diff["acts"][0]["task"]),
        (&json!("ann"), &json!("web.0"))
    );
    assert_eq!(diff["complete"], true);

    let (_, same) = get(&state, &format!("/api/v1/diff?from={before}&to={before}")).await;
    assert_eq!(
        (&same["jobs"], &same["tasks"], &same["acts"]),
        (&json!([]), &json!([]), &json!([]))
    );
    let response = send(
        &state,
        request("GET", &format!("/api/v1/diff?from={before}&to=1")),
    )
    .await;
    assert_eq!(problem(response).await, (400, "bad-parameter".to_owned()));
    let response = send(&state, request("GET", "/api/v1/diff")).await;
    assert_eq!(problem(response).await, (400, "bad-parameter".to_owned()));
}
