//! Things of a small fleet for the tests of tables and descriptions, as JSON, as the API would answer them.

use crate::cli::screen::{Format, Screen};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) const ATTEMPT: &str = "019a0000-0000-7000-8000-000000000001";
pub(super) const HOST: &str = "019a0000-0000-7000-8000-0000000000aa";
pub(super) const COMMIT: &str = "4f1c0de4f1c0de4f1c0de4f1c0de4f1c0de4f1c0";

pub(super) fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub(super) fn screen(format: Format) -> Screen {
    Screen {
        format,
        color: false,
        width: None,
    }
}

/// The value with some fields replaced.
pub(super) fn with(mut value: Value, fields: Value) -> Value {
    let (Value::Object(value_fields), Value::Object(fields)) = (&mut value, fields) else {
        panic!("both are objects");
    };
    value_fields.extend(fields);
    value
}

pub(super) fn revision() -> Value {
    json!({
        "commit": COMMIT, "author": "Ada <ada@example.com>", "subject": "Take version 2 of web",
        "committed_at": "2026-11-22T09:50:00Z"
    })
}

pub(super) fn task(id: &str) -> Value {
    let (job, index) = id.rsplit_once('.').unwrap();
    json!({
        "id": id, "job": job, "index": index.parse::<u32>().unwrap(), "attempt": ATTEMPT, "attempt_number": 1,
        "state": "running", "reason": "", "healthy": true, "reachable": true, "crash_loop": false, "failures": 0,
        "not_before": null, "host": "alpha", "host_id": HOST, "ip": "172.17.0.5",
        "image": "127.0.0.1:5000/example/web@sha256:aa", "version": 2, "current_version": true, "run": 0,
        "container": "c0ffee00c0ffee00c0ffee00", "created_at": "2026-11-22T07:00:00Z",
        "started_at": "2026-11-22T09:55:00Z", "finished_at": null, "exit_code": null, "signal": null, "oom": false,
        "outcome": null
    })
}

pub(super) fn crash_looping_task() -> Value {
    with(
        task("crash.0"),
        json!({
            "state": "queued", "reason": "crash loop: exited with 1, 5 times in a row", "healthy": false,
            "crash_loop": true, "failures": 5, "not_before": "2026-11-22T10:00:40Z", "attempt_number": 5,
            "exit_code": 1, "host": null, "host_id": null, "ip": null, "finished_at": "2026-11-22T09:59:20Z"
        }),
    )
}

pub(super) fn tasks() -> Value {
    json!([
        task("web.0"),
        with(
            task("web.1"),
            json!({"reachable": false, "reason": "its host beta is unreachable for 2m", "host": "beta"})
        ),
        with(
            task("web.2"),
            json!({"healthy": false, "version": 1, "current_version": false})
        ),
        crash_looping_task(),
        with(
            task("etl.0"),
            json!({
                "state": "finished", "outcome": "failed", "healthy": false, "exit_code": 137, "signal": 9, "oom": true,
                "reason": "retries exhausted (2): exited with 137", "finished_at": "2026-11-22T09:59:00Z", "run": 1
            })
        ),
    ])
}

pub(super) fn job(id: &str) -> Value {
    json!({
        "id": id, "app": "shop", "stack": "prod", "detail": null, "owner": "team-shop@example.com", "kind": "service",
        "tier": "critical", "capacity_group": "shop", "labels": {"cost": "42"}, "status": "progressing",
        "reason": "rollout to version 2: 1 of 3", "image": "127.0.0.1:5000/example/web@sha256:aa",
        "image_ref": "127.0.0.1:5000/example/web:2", "version": 2, "desired": 3, "tasks": {"running": 3}, "healthy": 3,
        "updated": 1, "succeeded": 0, "failed": 0, "run": 0, "declared": true, "source": "shop/web.yaml:1",
        "revision": revision(), "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-22T09:50:10Z"
    })
}

pub(super) fn host() -> Value {
    let resources = |cpu: f64, memory: &str, containers: u32| json!({"cpu": cpu, "memory": memory, "disk": "10GiB", "network": "1000Mbps", "gpu": 0, "containers": containers});
    json!({
        "id": HOST, "name": "alpha", "address": "10.0.0.7", "zone": "a", "labels": {"disk": "ssd"}, "reachable": true,
        "ready": true, "reason": "", "warnings": ["live-restore is off"], "capacity": resources(8.0, "16GiB", 100),
        "allocated": resources(1.5, "1536MiB", 3), "tasks": 3,
        "orphans": [{"container": "deadbeefdeadbeef", "attempt": null, "task": "old.0", "cell": "local", "running": true}],
        "engine": "docker 28.2.2 (API 1.50)", "system": "Linux 6.12 x86_64", "agent_version": "0.1.0",
        "enrolled_at": "2026-11-20T10:00:00Z", "since": "2026-11-22T08:00:00Z"
    })
}

pub(super) fn event(seq: u64, text: &str) -> Value {
    json!({
        "seq": seq, "at": "2026-11-22T09:59:00Z", "actor": "schedule", "kind": "attempt_placed", "text": text,
        "job": "web", "task": "web.0", "attempt": ATTEMPT, "host": HOST, "plan": null, "data": {}
    })
}

pub(super) fn plan() -> Value {
    json!({
        "id": "ab".repeat(32), "parent": "cd".repeat(32), "revision": revision(), "status": "held",
        "holds": ["it would stop 6 of 10 running tasks; more than 5 tasks and more than 20 % of what runs need a human"],
        "changes": [{
            "job": "web", "action": "update", "starts": 0, "stops": 6, "replaces": 3, "notes": ["its disk is not moved"],
            "fields": [
                {"path": "service.capacity.desired", "from": 9, "to": 3},
                {"path": "image", "from": null, "to": "x".repeat(80)}
            ]
        }],
        "refused": [{
            "code": "unknown-field", "path": "shop/api.yaml", "line": 3, "column": 1, "source_line": "imgae: x", "width": 5,
            "message": "`imgae` is no field of a job", "help": "did you mean `image`?", "job": "api"
        }],
        "starts": 0, "stops": 6, "replaces": 3, "running": 10, "made_at": "2026-11-22T09:58:00Z", "applied_at": null,
        "prediction": {
            "starts": [{"task": "web.9", "host": "alpha"}], "started": 3,
            "stops": [{"task": "web.0", "host": "alpha", "reason": "replaced by version 2"}], "stopped": 9,
            "blocked": [{"task": "web.10", "reason": "no host has 4 CPUs free"}], "without_host": 1,
            "seconds": 75, "goes_on": false, "taken": [], "capacity": host()["capacity"]
        },
        "outcome": {"started": 2, "as_predicted": 1, "stopped": 4, "seconds": 31},
        "can_be_approved": true, "approvals_required": 2, "policy_changes": false, "apps": ["web"], "signed_by": null, "refusal": null,
        "approvals": [{
            "by": "ada", "reason": "nobody uses them", "at": "2026-11-22T09:58:30Z", "expires_at": "2026-11-22T10:58:30Z"
        }],
        "withheld": [{
            "change": {
                "job": "api", "action": "update", "starts": 1, "stops": 0, "replaces": 0, "notes": [],
                "fields": [{"path": "service.capacity.desired", "from": 1, "to": 2}]
            },
            "reason": "job api is frozen by ada: we look at it"
        }]
    })
}

pub(super) fn deploy() -> Value {
    json!({
        "id": "01JABC-web", "job": "web", "status": "RUNNING", "progress": "1 of 3 tasks run version 7", "commit": COMMIT,
        "taken_back": null, "image": "registry.example.com/shop/web:1.5.0", "desired": 3, "env": {"LOG_LEVEL": "info"},
        "run": null, "reason": "the new cart", "execution": "01JABC", "requested_by": "spinnaker",
        "requested_at": "2026-11-22T09:58:00Z", "deadline": "2026-11-22T10:28:00Z", "finished_at": null
    })
}

pub(super) fn fleet() -> Value {
    let host = host();
    json!({
        "cell": "local", "version": "0.1.0", "seq": 1234, "epoch": 3, "started_at": "2026-11-22T08:00:00Z",
        "revision": revision(), "repository": "/home/ada/.muster/repo.git", "branch": "main",
        "repository_read_at": "2026-11-22T09:59:50Z", "held_plan": "ab".repeat(32), "down": false,
        "freezes": [{
            "scope": {"scope": "app", "app": "shop"}, "by": "ada", "reason": "the registry moves",
            "since": "2026-11-22T09:50:00Z", "until": "2026-11-22T11:00:00Z"
        }],
        "alerts": [
            {"severity": "page", "code": "host-unreachable", "message": "beta does not answer", "link": "/hosts/x",
             "since": "2026-11-22T09:58:00Z"},
            {"severity": "warning", "code": "crash-loop", "message": "crash.0 is in a crash loop", "link": "/tasks/crash.0",
             "since": null}
        ],
        "refused": plan()["refused"], "jobs": 3, "tasks": {"queued": 1, "running": 3, "finished": 0}, "healthy": 2,
        "hosts": 2, "hosts_reachable": 1, "capacity": host["capacity"], "allocated": host["allocated"],
        "stops_left": 9, "stops_per_minute": 10
    })
}

pub(super) fn diff() -> Value {
    let counts = json!({"queued": 0, "assigned": 0, "starting": 0, "running": 2, "stopping": 0, "finished": 0});
    let tally = |state: u64, moved: u64| json!({"appeared": 0, "gone": 0, "state": state, "moved": moved, "version": 1, "restarted": 1});
    let then = |state: &str, host: Value, version: u64, attempt: u64| json!({"state": state, "host": host, "version": version, "attempt_number": attempt});
    json!({
        "from": {"seq": 1200, "at": "2026-11-22T09:00:00Z"}, "to": {"seq": 1234, "at": "2026-11-22T10:00:00Z"},
        "revision_from": null, "revision_to": revision(),
        "jobs": [
            {
                "job": "api", "presence": "gone", "version_from": 3, "version_to": null, "status_from": "running",
                "status_to": null, "fields": [], "tasks_from": counts, "tasks_to": counts,
                "tasks": {"appeared": 0, "gone": 2, "state": 0, "moved": 0, "version": 0, "restarted": 0}, "plans": []
            },
            {
                "job": "web", "presence": "changed", "version_from": 1, "version_to": 2, "status_from": "running",
                "status_to": "degraded", "tasks_from": counts, "tasks_to": counts, "tasks": tally(1, 1),
                "plans": ["ab".repeat(32)],
                "fields": [{"path": "service.capacity.desired", "from": 9, "to": 3}]
            }
        ],
        "jobs_differ": 2,
        "tasks": [
            {"task": "api.0", "presence": "gone", "from": then("running", json!("alpha"), 3, 1), "to": null},
            {
                "task": "web.0", "presence": "changed", "from": then("running", json!("alpha"), 1, 1),
                "to": then("queued", Value::Null, 2, 2)
            }
        ],
        "tasks_differ": 1500,
        "hosts": [{
            "id": HOST, "name": "beta", "presence": "changed", "reachable_from": true, "reachable_to": false,
            "ready_from": true, "ready_to": false
        }],
        "hosts_differ": 1,
        "plans": [{
            "plan": "ab".repeat(32), "revision": revision(), "by": "ada", "applied_at": "2026-11-22T09:30:00Z", "seq": 1210,
            "jobs": ["web"]
        }],
        "acts": [with(event(1220, "web.0 is to stop, by ada: it looks stuck"), json!({"actor": "ada", "kind": "stop_ordered"}))],
        "complete": false
    })
}
