//! The fleet as it was, by the command that people type, through a restart of the control plane.

use super::specs::Service;
use super::stack::Stack;
use muster_schemas::api::TaskView;
use muster_schemas::past::{FleetDiff, Presence};
use std::process::{Command, Output};

/// `muster at` with these arguments.
fn muster_at(stack: &Stack, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("at")
        .args(arguments)
        .env("MUSTER_URL", stack.api.url())
        .env("MUSTER_TOKEN", stack.api.token())
        .output()
        .unwrap()
}

fn json<T: serde::de::DeserializeOwned>(output: &Output) -> T {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_fleet_is_shown_as_it_was_and_who_changed_it() {
    let mut stack = Stack::start();
    let mut web = Service::new("web", 2);
    stack.push(&web, "Add web");
    let then = stack.wait_until_settled(&web, 1);
    let seq = stack.api.fleet().unwrap().seq;
    let moment = jiff::Timestamp::now();

    web.version = 2;
    web.desired = 1;
    stack.push(&web, "Less of a newer web");
    stack.wait_until_settled(&web, 2);
    // A control plane that ends takes a snapshot, from which the next begins; the moment lies before it.
    stack.serve.end();
    stack.serve.start();
    stack.wait_for_api();

    let by_number = seq.to_string();
    for at in [moment.to_string(), by_number.clone()] {
        let output = muster_at(&stack, &[&at, "get", "tasks", "-o", "json"]);
        let header = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(header.starts_with("as of "), "{header}");
        let tasks: Vec<TaskView> = json(&output);
        let look = |task: &TaskView| {
            (
                task.id.clone(),
                task.state,
                task.host.clone(),
                task.attempt.clone(),
            )
        };
        assert_eq!(
            tasks.iter().map(look).collect::<Vec<_>>(),
            then.iter().map(look).collect::<Vec<_>>(),
            "at {at}"
        );
        assert!(tasks.iter().all(|task| task.healthy && task.version == 1));
    }
    let output = muster_at(&stack, &[&by_number, "describe", "job", "web"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("2/2 healthy") && !text.contains("newer"),
        "{text}"
    );

    let diff: FleetDiff = json(&muster_at(&stack, &[&by_number, "diff", "-o", "json"]));
    assert_eq!(diff.jobs.len(), 1);
    let job = &diff.jobs[0];
    assert_eq!(
        (job.presence, job.version_from, job.version_to),
        (Presence::Changed, Some(1), Some(2))
    );
    let fields: Vec<&str> = job.fields.iter().map(|field| field.path.as_str()).collect();
    assert!(fields.contains(&"service.capacity.desired"), "{fields:?}");
    let subjects: Vec<&str> = diff
        .plans
        .iter()
        .filter_map(|plan| plan.revision.as_ref())
        .map(|revision| revision.subject.as_str())
        .collect();
    assert_eq!(subjects, ["Less of a newer web"]);
    assert!(diff.tasks.iter().any(|task| task.task == "web.1"));

    let output = muster_at(&stack, &["2001-01-01", "get", "jobs"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the journal begins at"), "{text}");
}
