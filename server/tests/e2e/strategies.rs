//! Rollouts that are no rolling updates: red/black with a way back at once, and a canary that a Prometheus speaks against.

use super::poll::{eventually, secs, so, throughout};
use super::sample::{Sample, Sampler, ask};
use super::specs::Service;
use super::stack::Stack;
use muster_schemas::api::{CommandAnswer, JobDetail, RolloutState, RolloutView};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// Commits a service with more lines under `service.rollout`.
fn push(stack: &Stack, service: &Service, rollout: &str, message: &str) {
    let yaml = format!("{}{rollout}", service.yaml());
    stack.repo.write(&service.file(), &yaml);
    stack.repo.push(message);
}

fn rollout(stack: &Stack) -> Result<Option<RolloutView>, String> {
    let job: JobDetail = stack.api.get("/jobs/web")?;
    Ok(job.rollout)
}

#[track_caller]
fn wait_for_state(stack: &Stack, version: u64, state: RolloutState) {
    let what = format!("the rollout of version {version} is {state:?}");
    eventually(secs(60), &what, || {
        let rollout = rollout(stack)?;
        so(
            rollout
                .as_ref()
                .is_some_and(|rollout| rollout.to_version == version && rollout.state == state),
            || format!("{rollout:#?}"),
        )
    });
}

fn tell(stack: &Stack, action: &str) {
    let body = json!({"action": action, "reason": "we have looked"}).to_string();
    let _: CommandAnswer = stack.api.post("/jobs/web/rollout", &body).unwrap();
}

/// At each moment that a look tells of, at least so many were healthy, by the API and by asking them.
#[track_caller]
fn assert_at_least(samples: &[Sample], least: usize) {
    // A look that took longer than the minimum healthy time tells nothing of one moment.
    let telling: Vec<_> = samples
        .iter()
        .filter(|sample| sample.took < secs(1))
        .collect();
    println!("{} samples of {} tell", telling.len(), samples.len());
    assert!(telling.len() >= 20, "{}", telling.len());
    for sample in telling {
        assert!(
            sample.by_api >= least && sample.by_asking >= least,
            "{sample:?}"
        );
    }
}

#[test]
fn red_black_never_has_fewer_healthy_than_before() {
    let stack = Stack::start();
    let mut web = Service::new("web", 3);
    web.min_healthy = "1s";
    let keep = "    redBlack: {keepOld: 10m}\n";
    push(&stack, &web, keep, "Add web");
    stack.wait_until_settled(&web, 1);
    let old = stack.running();

    let sampler = Sampler::start(&stack.api, "web");
    web.version = 2;
    push(&stack, &web, keep, "Version 2");
    wait_for_state(&stack, 2, RolloutState::Keeping);
    let both = stack.running();
    assert_eq!(both.len(), 6);
    assert!(both.is_superset(&old), "the old ones are untouched");

    // Back within the time: the same containers count at once, and nothing is started or stopped for it.
    web.version = 1;
    push(&stack, &web, keep, "Back to version 1");
    wait_for_state(&stack, 3, RolloutState::Keeping);
    assert_eq!(stack.running(), both);
    assert!(
        stack
            .api
            .events("kind=stop_ordered&job=web")
            .unwrap()
            .is_empty()
    );

    // And without waiting for the end of the time.
    tell(&stack, "promote");
    let tasks = stack.wait_until_settled(&web, 3);
    let samples = sampler.finish();
    assert_eq!(stack.running(), old);
    for task in &tasks {
        assert_eq!(
            ask(task.ip.as_deref().unwrap(), "/version"),
            Ok("1".to_owned())
        );
    }
    assert_at_least(&samples, 3);
    assert!(samples.iter().any(|sample| sample.by_api == 6));
}

/// A server that answers each query with the number that it is told.
struct FakePrometheus {
    url: String,
    number: Arc<Mutex<String>>,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl FakePrometheus {
    fn start(number: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let number = Arc::new(Mutex::new(number.to_owned()));
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let (told, heard) = (Arc::clone(&number), Arc::clone(&asked));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut lines = BufReader::new(&stream).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                for line in lines.map_while(Result::ok) {
                    if line.is_empty() {
                        break;
                    }
                }
                heard.lock().unwrap().insert(first);
                let number = told.lock().unwrap().clone();
                let body = json!({"status": "success", "data": {"resultType": "vector", "result": [
                    {"metric": {}, "value": [1_795_000_000, number]}]}})
                .to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { url, number, asked }
    }

    fn says(&self, number: &str) {
        number.clone_into(&mut self.number.lock().unwrap());
    }
}

#[test]
fn a_canary_is_aborted_by_what_prometheus_says() {
    let prometheus = FakePrometheus::start("0.01");
    let stack = Stack::told(&["--prometheus", &prometheus.url]);
    let mut web = Service::new("web", 3);
    web.min_healthy = "1s";
    let canary = "    canary:
      steps:
        - {tasks: 1, pause: 1s}
        - {tasks: 2, pause: 10m}
      analysis:
        interval: 5s
        failureLimit: 2
        prometheus:
          - {name: errors, query: 'rate(errors{job=\"${job}\",v=\"${version}\"}[1m])', max: 0.05}
";
    push(&stack, &web, canary, "Add web");
    stack.wait_until_settled(&web, 1);
    let sampler = Sampler::start(&stack.api, "web");
    web.version = 2;
    push(&stack, &web, canary, "Version 2");

    // What is measured is well: the first step leads to the second.
    eventually(secs(60), "the canary holds its second step", || {
        let rollout = rollout(&stack)?;
        let step = rollout.as_ref().and_then(|rollout| rollout.step.as_ref());
        so(
            step.is_some_and(|step| step.step == 2)
                && rollout
                    .as_ref()
                    .is_some_and(|rollout| rollout.state == RolloutState::Holding),
            || format!("{rollout:#?}"),
        )
    });
    let versions = || -> Vec<String> {
        let tasks = stack.api.tasks("web").unwrap();
        let mut versions: Vec<String> = tasks
            .iter()
            .filter_map(|task| ask(task.ip.as_deref()?, "/version").ok())
            .collect();
        versions.sort();
        versions
    };
    assert_eq!(versions(), ["1", "2", "2"]);
    let asked = prometheus.asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .all(|line| line.starts_with("GET /api/v1/query?query=rate")
                && line.contains("web")
                && line.contains("%222%22")),
        "{asked:?}"
    );

    // Then it is not: the version before takes over again, and nothing tries it once more.
    prometheus.says("0.9");
    wait_for_state(&stack, 2, RolloutState::Aborted);
    eventually(secs(60), "the version before serves alone", || {
        let versions = versions();
        so(
            versions == ["1", "1", "1"] && stack.running().len() == 3,
            || format!("{versions:?}"),
        )
    });
    prometheus.says("0.01");
    throughout(secs(7), "it stays aborted", || {
        let rollout = rollout(&stack)?;
        so(
            rollout
                .as_ref()
                .is_some_and(|rollout| rollout.state == RolloutState::Aborted),
            || format!("{rollout:#?}"),
        )
    });
    assert_at_least(&sampler.finish(), 3);
    let events = stack.api.events("kind=rollout_aborted&job=web").unwrap();
    assert_eq!(events.len(), 1);
    assert!(
        events[0].text.contains("errors was 0.9"),
        "{}",
        events[0].text
    );
    let fleet = stack.api.fleet().unwrap();
    assert!(
        fleet
            .alerts
            .iter()
            .any(|alert| alert.code == "rollout-aborted"),
        "{:?}",
        fleet.alerts
    );
    tell(&stack, "retry");
    wait_for_state(&stack, 2, RolloutState::Holding);
}
