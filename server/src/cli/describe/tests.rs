use super::*;
use crate::cli::fixtures::{self, now, screen, with};
use crate::cli::screen::Format;
use serde::de::DeserializeOwned;
use serde_json::json;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn task_detail(task: Value) -> Value {
    with(
        task,
        json!({
            "app": "shop", "owner": "team-shop@example.com", "tier": "critical",
            "resources": {"cpu": 0.5, "memory": "256MiB", "gpu": null},
            "ports": [{"name": "http", "port": 8080, "host_port": null}, {"name": "admin", "port": 81, "host_port": 8081}],
            "hardening": null, "attempts": [], "blocked": null, "hops": [], "revision": fixtures::revision()
        }),
    )
}

#[test]
fn a_running_task() {
    let attempt = json!({
        "id": fixtures::ATTEMPT, "number": 2, "state": "running", "message": "runs", "host": "alpha", "version": 2,
        "ip": "172.17.0.5", "container": "c0ffee", "placed_at": "2026-11-22T09:54:00Z",
        "started_at": "2026-11-22T09:55:00Z", "finished_at": null, "exit_code": null, "signal": null, "oom": false,
        "outcome": null, "stop": null, "has_log": true
    });
    let stopped = with(
        attempt.clone(),
        json!({
            "number": 1, "state": "finished", "outcome": "stopped", "exit_code": 143, "signal": 15, "version": 1,
            "message": "exited with 143", "stop": "rollout to version 2, by rollout", "placed_at": "2026-11-22T07:00:00Z"
        }),
    );
    let detail = with(
        task_detail(fixtures::task("web.0")),
        json!({
            "attempts": [attempt, stopped],
            "hops": [{"name": "planned", "at": "2026-11-22T09:54:00Z", "millis": 40},
                     {"name": "placed", "at": "2026-11-22T09:54:00Z", "millis": 3}],
            "hardening": {
                "no_new_privileges": true, "capabilities": [], "read_only_root": true, "seccomp": "default",
                "apparmor": "none", "user_namespace": false, "pids_limit": 512, "memory_limit": 268435456,
                "cpu_limit_millis": 500, "user": "1000:1000"
            }
        }),
    );
    let events = read::<Vec<EventView>>(json!([fixtures::event(9, "web.0 goes to alpha")]));
    insta::assert_snapshot!(task::sheet(
        &read(detail),
        &events,
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn a_task_that_no_host_takes() {
    let waiting = with(
        fixtures::task("web.3"),
        json!({
            "state": "queued", "attempt": null, "attempt_number": 0, "healthy": false, "host": null, "ip": null,
            "container": null, "started_at": null, "reason": "no host takes it"
        }),
    );
    let detail = with(
        task_detail(waiting),
        json!({"blocked": {"hosts": 3, "reasons": ["2 hosts: too little memory is free (alpha, beta)", "1 host: unreachable (gamma)"]}}),
    );
    insta::assert_snapshot!(task::sheet(
        &read(detail),
        &[],
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn a_task_in_a_crash_loop() {
    let detail = task_detail(fixtures::crash_looping_task());
    insta::assert_snapshot!(task::sheet(
        &read(detail),
        &[],
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn a_job_in_a_rollout() {
    let detail = with(
        fixtures::job("web"),
        json!({
            "spec": {},
            "rollout": {"to_version": 2, "updated": 1, "settled": 0, "outdated": 2, "waiting_for": "web.0 to be healthy for 10s"},
            "history": [{
                "plan": "ab", "version": 2, "revision": fixtures::revision(), "action": "update",
                "fields": [{"path": "image", "from": "web:1", "to": "web:2"}], "at": "2026-11-22T09:50:10Z"
            }]
        }),
    );
    let tasks = read::<Vec<muster_schemas::api::TaskView>>(json!([fixtures::task("web.0")]));
    insta::assert_snapshot!(job::sheet(
        &read(detail),
        &tasks,
        &[],
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn a_host_with_an_orphan() {
    insta::assert_snapshot!(host::sheet(
        &read(fixtures::host()),
        &[],
        &[],
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn a_held_plan() {
    insta::assert_snapshot!(plan::sheet(
        &read(fixtures::plan()),
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn the_cell() {
    let fleet = read(fixtures::fleet());
    insta::assert_snapshot!(crate::cli::status::sheet(
        &fleet,
        now(),
        &screen(Format::Table)
    ));
}

#[test]
fn a_deploy_under_way_and_one_that_was_taken_back() {
    let sheet = |deploy: Value| deploy::sheet(&read(deploy), now(), &screen(Format::Table));
    let canceled = with(
        fixtures::deploy(),
        json!({
            "status": "CANCELED", "progress": "taken back by ada: too slow", "taken_back": fixtures::COMMIT,
            "finished_at": "2026-11-22T09:59:00Z", "image": null, "desired": null, "env": {}, "run": "second"
        }),
    );
    insta::assert_snapshot!(format!(
        "{}\n{}",
        sheet(fixtures::deploy()),
        sheet(canceled)
    ));
}

#[test]
fn a_task_with_more_attempts_than_are_kept_says_so() {
    let attempts = |numbers: &[u32]| {
        let attempts: Vec<Value> = numbers
            .iter()
            .map(|number| {
                json!({
                    "id": fixtures::ATTEMPT, "number": number, "state": "finished", "message": "exited with 1",
                    "host": "alpha", "version": 2, "ip": null, "container": null, "placed_at": "2026-11-22T09:54:00Z",
                    "started_at": null, "finished_at": null, "exit_code": 1, "signal": null, "oom": false,
                    "outcome": "failed", "stop": null, "has_log": false
                })
            })
            .collect();
        let detail = with(
            task_detail(fixtures::crash_looping_task()),
            json!({"attempts": attempts}),
        );
        task::sheet(&read(detail), &[], now(), &screen(Format::Table))
    };
    let id = &fixtures::crash_looping_task()["id"];
    let id = id.as_str().unwrap();
    let many = attempts(&[9, 8, 7]);
    let more = format!("and 6 earlier ones, see `muster get events --task {id}`");
    assert!(many.contains(&more), "{many}");
    assert!(attempts(&[3, 2]).contains("and 1 earlier one, see"));
    assert!(!attempts(&[2, 1]).contains("earlier"));
}
