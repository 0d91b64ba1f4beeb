//! What follows when containers end.

use super::poll::{eventually, secs, so};
use super::specs::{Service, batch, crashing};
use super::stack::{Stack, line};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::api::JobStatus;
use std::collections::BTreeMap;

#[test]
fn a_killed_container_is_replaced() {
    let stack = Stack::start();
    let service = Service::new("web", 3);
    stack.push(&service, "Add web");
    let before = stack.wait_until_settled(&service, 1);
    let others = stack.running();
    let killed = &before[1];
    let container = killed.container.clone().unwrap();
    stack.engines[0].docker(&["kill", &container]).unwrap();

    eventually(secs(30), "the task runs again in another container", || {
        let task = stack.api.task(&killed.id)?.task;
        so(task.healthy && task.attempt != killed.attempt, || {
            line(&task)
        })
    });
    let tasks = stack.wait_until_settled(&service, 1);
    assert_eq!(tasks[1].attempt_number, 2);
    let after = stack.running();
    assert_eq!(
        others.intersection(&after).count(),
        2,
        "the other two run on"
    );
    // How the first attempt ended is told as it was.
    let detail = stack.api.task(&killed.id).unwrap();
    let first = detail
        .attempts
        .iter()
        .find(|attempt| Some(&attempt.id) == killed.attempt.as_ref())
        .unwrap();
    assert_eq!((first.exit_code, first.signal), (Some(137), Some(9)));
    assert_eq!(first.stop, None);
    assert_eq!(stack.api.events("kind=stop_ordered").unwrap(), []);
}

#[test]
fn a_crash_loop_backs_off_and_is_named_so() {
    let stack = Stack::start();
    stack.repo.write("jobs/broken.yaml", &crashing("broken"));
    stack.repo.push("Add broken");
    let queued = eventually(secs(90), "it failed five times", || {
        let queued = stack.api.events("kind=task_queued&task=broken.0")?;
        so(queued.len() >= 5, || format!("{queued:#?}"))?;
        Ok(queued)
    });
    // By its policy: half a second, doubling.
    let delays: Vec<SignedDuration> = queued
        .iter()
        .take(5)
        .map(|event| {
            let not_before: Timestamp = event.data["not_before"].as_str().unwrap().parse().unwrap();
            not_before.duration_since(event.at)
        })
        .collect();
    assert_eq!(
        delays,
        [500, 1000, 2000, 4000, 8000].map(SignedDuration::from_millis)
    );
    // And no attempt came before its time.
    let placed = stack
        .api
        .events("kind=attempt_placed&task=broken.0")
        .unwrap();
    for (delay, pair) in delays.iter().zip(placed.windows(2)) {
        assert!(pair[1].at.duration_since(pair[0].at) >= *delay, "{pair:?}");
    }

    let task = stack.api.task("broken.0").unwrap().task;
    assert!(task.crash_loop && task.failures >= 3, "{}", line(&task));
    assert!(task.reason.contains("crash loop"), "{}", task.reason);
    let job = stack.api.job("broken").unwrap();
    assert_eq!(job.status, JobStatus::CrashLoop);
    let alerts = stack.api.fleet().unwrap().alerts;
    let alert = alerts.iter().find(|alert| alert.code == "crash-loop");
    assert!(
        alert.is_some_and(
            |alert| alert.message.contains("broken.0") && alert.link == "/tasks/broken.0"
        ),
        "{alerts:#?}"
    );
    // The remains of a crash loop do not fill the disk.
    let containers = stack.containers();
    assert!(containers.len() <= 5, "{containers:#?}");
}

#[test]
fn each_index_of_a_batch_finishes_once_in_the_ledger() {
    let mut stack = Stack::start();
    let failing = [3, 7, 11];
    stack
        .repo
        .write("jobs/nightly.yaml", &batch("nightly", 20, &failing, 2));
    stack.repo.push("Add nightly");
    // In the middle of it, both ends of the way from a container to the ledger go.
    eventually(secs(60), "the first finish", || {
        let finished = stack.api.events("kind=task_finished&job=nightly")?;
        so(!finished.is_empty(), || "none yet".to_owned())
    });
    stack.serve.kill();
    stack.agents[0].kill();
    stack.agents[0].start();
    stack.serve.start();
    stack.wait_for_api();

    let job = eventually(secs(90), "the batch is finished", || {
        let job = stack.api.job("nightly")?;
        so(job.status == JobStatus::Failed, || format!("{job:?}"))?;
        Ok(job)
    });
    assert_eq!((job.succeeded, job.failed), (17, 3));
    let mut ledger: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in stack.api.events("kind=task_finished&job=nightly").unwrap() {
        let outcome = event.data["outcome"].as_str().unwrap().to_owned();
        ledger.entry(event.task.unwrap()).or_default().push(outcome);
    }
    let mut attempts: BTreeMap<String, u32> = BTreeMap::new();
    for event in stack.api.events("kind=attempt_placed&job=nightly").unwrap() {
        *attempts.entry(event.task.unwrap()).or_default() += 1;
    }
    assert_eq!(ledger.len(), 20);
    for index in 0..20 {
        let task = format!("nightly.{index}");
        // Two retries: three attempts.
        let (outcome, tries) = if failing.contains(&index) {
            ("failed", 3)
        } else {
            ("succeeded", 1)
        };
        assert_eq!(ledger[&task], [outcome], "{task}");
        assert_eq!(attempts[&task], tries, "{task}");
    }
    // The engine's word: no container beyond the attempts, each started once, ended as the ledger says.
    let containers = stack.containers();
    assert!(containers.len() <= 17 + 3 * 3);
    for container in &containers {
        let index: u32 = container.task.rsplit_once('.').unwrap().1.parse().unwrap();
        let code = i64::from(failing.contains(&index));
        assert_eq!(
            container.inspect["State"]["ExitCode"], code,
            "{}",
            container.task
        );
    }
}
