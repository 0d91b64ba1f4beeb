//! Deploys as a pipeline drives them. [`Stage`] stands in for the webhook stage of Spinnaker and keeps to its contract to the
//! letter: how often it polls, what it takes for running, when it cancels.

use super::poll::{eventually, secs, so};
use super::specs::{Service, registry};
use super::stack::Stack;
use muster_schemas::api::JobStatus;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// In its first minute the stage polls every second.
const POLL: Duration = Duration::from_secs(1);

/// How a stage ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Succeeded,
    Canceled,
    Terminal(String),
}

struct Stage<'a> {
    stack: &'a Stack,
    url: String,
    payload: Value,
    /// After so long the stage gives up, by itself or by a person's hand.
    cancel_after: Option<Duration>,
}

impl<'a> Stage<'a> {
    fn new(stack: &'a Stack, execution: &str, payload: Value) -> Self {
        Self {
            stack,
            url: format!("{}/api/v1/deploys/{execution}-web", stack.api.url()),
            payload,
            cancel_after: None,
        }
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value, Option<String>) {
        self.stack.api.raw(method, url, body)
    }

    fn run(&self) -> (End, Vec<String>) {
        let began = Instant::now();
        // Create: any 2xx or 3xx is an answer, other 4xx are terminal. `statusUrlResolution: locationHeader`.
        let (status, body, location) = self.send(Method::POST, &self.url, Some(&self.payload));
        if !status.is_success() {
            return (End::Terminal(format!("{status}: {body}")), Vec::new());
        }
        assert_eq!(status, StatusCode::ACCEPTED);
        let poll = location.expect("the status URL is told");
        assert!(poll.starts_with("http://"), "it is absolute: {poll}");
        let mut seen = Vec::new();
        loop {
            std::thread::sleep(POLL);
            let (status, body, _) = self.send(Method::GET, &poll, None);
            assert!(status.is_success(), "{status} {body}");
            // `statusJsonPath: $.status`; a path that is missing, or no text, number or truth, is terminal.
            let Some(word) = body.get("status").and_then(Value::as_str) else {
                return (End::Terminal(format!("no status: {body}")), seen);
            };
            let Some(progress) = body.get("progress").and_then(Value::as_str) else {
                return (End::Terminal(format!("no progress: {body}")), seen);
            };
            seen.push(progress.to_owned());
            // Lists are compared without regard to case; what is in none of them is running.
            let is = |list: &str| {
                list.split(',')
                    .any(|one| one.trim().eq_ignore_ascii_case(word))
            };
            if is("succeeded") {
                return (End::Succeeded, seen);
            }
            if is("canceled") {
                return (End::Canceled, seen);
            }
            if is("failed") {
                // On failure the stage cancels, too.
                self.cancel();
                return (End::Terminal(progress.to_owned()), seen);
            }
            if self
                .cancel_after
                .is_some_and(|after| began.elapsed() >= after)
            {
                self.cancel();
                return (End::Canceled, seen);
            }
            assert!(began.elapsed() < secs(120), "{seen:?}");
        }
    }

    fn cancel(&self) {
        let url = format!("{}/cancel", self.url);
        for _ in 0..2 {
            let (status, body, _) = self.send(Method::POST, &url, Some(&json!({})));
            assert!(
                status.is_success(),
                "cancelling can be repeated: {status} {body}"
            );
        }
    }
}

fn image(name: &str) -> String {
    format!("{}/example/{name}", registry())
}

#[test]
fn a_pipeline_deploys_fails_cancels_and_runs_out_of_time() {
    let stack = Stack::start();
    let web = Service::new("web", 3);
    stack.push(&web, "Add web");
    stack.wait_until_settled(&web, 1);

    // Deploy: a commit in the pipeline's name, then a rollout that it waits for.
    let payload = json!({"job": "web", "image": image("web:2"), "desired": 4, "execution": "01JABC", "reason": "release 7"});
    let (end, seen) = Stage::new(&stack, "01JABC", payload.clone()).run();
    assert_eq!(end, End::Succeeded, "{seen:#?}");
    stack
        .repo
        .git(&["pull", "-q", "--rebase", "origin", "main"]);
    let message = stack.repo.git(&["log", "-1", "--format=%B"]);
    for line in [
        "Deploy web: ",
        "Muster-Deploy: 01JABC-web",
        "Muster-Execution: 01JABC",
        "Muster-Reason: release 7",
        "Muster-Actor: ",
    ] {
        assert!(message.contains(line), "{message}");
    }
    let job = stack.api.job("web").unwrap();
    assert_eq!((job.status, job.desired), (JobStatus::Running, 4));
    // Asked for again it is the same deploy, with another wish it is refused.
    let commits = stack.repo.git(&["rev-list", "--count", "HEAD"]);
    assert_eq!(
        Stage::new(&stack, "01JABC", payload).run().0,
        End::Succeeded
    );
    let other = Stage::new(&stack, "01JABC", json!({"job": "web", "desired": 1}))
        .run()
        .0;
    assert!(
        matches!(&other, End::Terminal(words) if words.starts_with("409")),
        "{other:?}"
    );
    stack
        .repo
        .git(&["pull", "-q", "--rebase", "origin", "main"]);
    assert_eq!(commits, stack.repo.git(&["rev-list", "--count", "HEAD"]));

    // Fail: it never gets healthy, and what was healthy serves on; the stage's cancel takes the commit back.
    let healthy = stack.running();
    let bad = json!({"job": "web", "image": image("crash:1")});
    let (end, seen) = Stage::new(&stack, "01JBAD", bad).run();
    assert!(
        matches!(&end, End::Terminal(words) if words.contains("crash loop")),
        "{end:?} {seen:#?}"
    );
    assert!(
        stack.running().is_superset(&healthy),
        "the version before serves on"
    );
    back_to(&stack, "web:2");
    assert!(stack.running().is_superset(&healthy), "the same containers");

    // Cancel, in the middle of a rollout to something that is slow to get ready.
    let slow = json!({"job": "web", "image": image("web:1"), "env": {"START_DELAY": "60"}});
    let mut stage = Stage::new(&stack, "01JCAN", slow);
    stage.cancel_after = Some(Duration::from_secs(2));
    let (end, seen) = stage.run();
    assert_eq!(end, End::Canceled, "{seen:#?}");
    let canceled: Value = stack.api.get("/deploys/01JCAN-web").unwrap();
    assert_eq!(canceled["status"], "CANCELED", "{canceled:#} {seen:#?}");
    back_to(&stack, "web:2");
    assert!(
        stack.running().is_superset(&healthy),
        "the version before serves on"
    );

    // Run out of time: an image that is not there keeps it waiting.
    let late = json!({"job": "web", "image": image("web:nowhere"), "timeout_seconds": 10});
    let (end, seen) = Stage::new(&stack, "01JLAT", late).run();
    assert!(
        matches!(&end, End::Terminal(words) if words.contains("not done in time")),
        "{end:?} {seen:#?}"
    );
    back_to(&stack, "web:2");

    // What cannot be asked for.
    for (payload, status) in [
        (json!({"job": "nowhere", "desired": 1}), "404"),
        (json!({"job": "web"}), "400"),
        (json!({"job": "web", "image": "x", "imgae": "y"}), "400"),
        (json!({"job": "web", "run": "again"}), "409"),
    ] {
        let end = Stage::new(&stack, "01JNOT", payload).run().0;
        assert!(
            matches!(&end, End::Terminal(words) if words.starts_with(status)),
            "{end:?}"
        );
    }
    let events = stack.api.events("kind=deploy_finished").unwrap();
    assert_eq!(events.len(), 3, "{events:#?}");
}

/// The job runs this image again, in git and in the fleet.
fn back_to(stack: &Stack, tag: &str) {
    eventually(secs(60), "the version before is back", || {
        let job = stack.api.job("web")?;
        so(
            job.status == JobStatus::Running && job.image_ref.ends_with(tag),
            || format!("{job:?}"),
        )
    });
    stack
        .repo
        .git(&["pull", "-q", "--rebase", "origin", "main"]);
    let text =
        std::fs::read_to_string(stack.repo.folder().join(Service::new("web", 3).file())).unwrap();
    assert!(text.contains(tag), "{text}");
}

#[test]
fn one_command_goes_back_to_an_earlier_revision() {
    let stack = Stack::start();
    let mut web = Service::new("web", 2);
    let first = stack.push(&web, "Add web");
    stack.wait_until_settled(&web, 1);
    web.desired = 3;
    web.version = 2;
    let extra = Service::new("extra", 1);
    stack.repo.write(&extra.file(), &extra.yaml());
    stack.push(&web, "More of web, and extra");
    stack.wait_until_settled(&web, 2);

    // One job's document.
    let answer: Value = stack
        .api
        .post(
            "/rollback",
            &json!({"to": first, "job": "web", "reason": "2 is slow"}).to_string(),
        )
        .unwrap();
    assert_eq!(answer["changed"], true);
    web.desired = 2;
    web.version = 1;
    stack.wait_until_settled(&web, 3);
    stack
        .repo
        .git(&["pull", "-q", "--rebase", "origin", "main"]);
    let message = stack.repo.git(&["log", "-1", "--format=%B"]);
    assert!(
        message.contains(&format!("Muster-Rollback-To: {first}")) && message.contains("2 is slow"),
        "{message}"
    );
    assert!(stack.repo.folder().join(extra.file()).exists());

    // All of it: the files are those of that commit.
    let _: Value = stack
        .api
        .post(
            "/rollback",
            &json!({"to": &first[..10], "reason": "all of it"}).to_string(),
        )
        .unwrap();
    stack
        .repo
        .git(&["pull", "-q", "--rebase", "origin", "main"]);
    assert_eq!(
        stack.repo.git(&["rev-parse", "HEAD^{tree}"]),
        stack.repo.git(&["rev-parse", &format!("{first}^{{tree}}")])
    );
    // Again, it is so already; and what was never there is refused.
    let again: Value = stack
        .api
        .post(
            "/rollback",
            &json!({"to": first, "reason": "again"}).to_string(),
        )
        .unwrap();
    assert_eq!(again["changed"], false);
    let nowhere = json!({"to": "f".repeat(40), "reason": "no"}).to_string();
    assert!(stack.api.post::<Value>("/rollback", &nowhere).is_err());
}
