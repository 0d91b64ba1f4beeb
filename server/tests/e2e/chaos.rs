//! `kill -9` of the control plane, the agent, both, and the engine's daemon, at random moments of a rolling update.
//!
//! The seed is printed; `MUSTER_CHAOS_SEED` takes it again (moments are real time, so a run comes near the one before and
//! is not the same), and `MUSTER_CHAOS_ROUNDS` sets how many rounds there are.

use super::engine::{Container, Engine};
use super::poll::{eventually, secs, so, throughout};
use super::specs::Service;
use super::stack::Stack;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const ROUNDS: u32 = 20;

/// Of the daemon's own making, for a container that never started.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Debug, Clone, Copy)]
enum Victim {
    ControlPlane,
    Agent,
    Both,
    Daemon,
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn twenty_rounds_of_killing_in_a_rolling_update_lose_nothing_and_start_nothing_twice() {
    let seed: u64 = setting("MUSTER_CHAOS_SEED").unwrap_or_else(rand::random);
    let rounds: u32 = setting("MUSTER_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    println!("MUSTER_CHAOS_SEED={seed} MUSTER_CHAOS_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut stack = Stack::on(|| vec![Engine::own()]);
    // Two tasks: every round stops two, and the stop budget lets ten rounds through in a minute.
    let mut service = Service::new("web", 2);
    stack.push(&service, "Add web");
    stack.wait_until_settled(&service, 1);
    let mut ledger = Ledger::default();
    ledger.take(&stack);

    for round in 1..=rounds {
        let began = Instant::now();
        // In turn, so that none is left out; the moment is what is random.
        let victim = match (round - 1) % 4 {
            0 => Victim::ControlPlane,
            1 => Victim::Agent,
            2 => Victim::Both,
            _ => Victim::Daemon,
        };
        let moment = Duration::from_millis(random.random_range(0..1800));
        let away = Duration::from_millis(random.random_range(0..1000));
        service.round = round;
        service.version = 1 + round % 2;
        stack.push(&service, &format!("Round {round}"));
        // The random moments are what this test is about: there is nothing to poll for.
        std::thread::sleep(moment.saturating_sub(began.elapsed()));
        match victim {
            Victim::ControlPlane => stack.serve.kill(),
            Victim::Agent => stack.agents[0].kill(),
            Victim::Both => {
                stack.serve.kill();
                stack.agents[0].kill();
            }
            Victim::Daemon => stack.engines[0].kill(),
        }
        std::thread::sleep(away);
        match victim {
            Victim::ControlPlane => stack.serve.start(),
            Victim::Agent => stack.agents[0].start(),
            Victim::Both => {
                stack.agents[0].start();
                stack.serve.start();
            }
            Victim::Daemon => {
                stack.engines[0].start();
                stack.engines[0].wait();
            }
        }
        println!("round {round}: {victim:?} killed {moment:?} after the push, away for {away:?}");
        let tasks = stack.wait_until_settled(&service, u64::from(round) + 1);
        ledger.take(&stack);
        let containers = stack.containers();
        for task in tasks {
            let container = containers
                .iter()
                .find(|container| Some(&container.id) == task.container.as_ref())
                .unwrap_or_else(|| panic!("{} has no container", task.id));
            let env = container.inspect["Config"]["Env"].to_string();
            assert!(env.contains(&format!("\"ROUND={round}\"")), "{env}");
        }
        println!(
            "round {round}: settled {:?} after the push",
            began.elapsed()
        );
    }
    println!("{} attempts in all", ledger.containers.len());
}

/// All that was seen of containers over the rounds. An attempt's container stays for its log longer than a round, so that
/// none comes and goes unseen.
#[derive(Default)]
struct Ledger {
    /// The containers of each attempt, each with the times at which it was seen to have started.
    containers: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Ledger {
    /// Looks at all containers, and at the journal for what became of them.
    fn take(&mut self, stack: &Stack) {
        let placed = attempts(stack, "attempt_placed");
        let ordered = attempts(stack, "stop_ordered");
        let unstarted = unstarted(stack);
        for container in stack.containers() {
            let Container {
                attempt,
                started_at,
                status,
                ..
            } = &container;
            assert!(placed.contains_key(attempt), "nobody placed {container:#?}");
            let seen = self.containers.entry(attempt.clone()).or_default();
            let starts = seen.entry(container.id.clone()).or_default();
            if started_at != NEVER {
                starts.insert(started_at.clone());
            }
            assert!(starts.len() <= 1, "{attempt} was started twice: {starts:?}");
            assert!(seen.len() == 1, "{attempt} has two containers: {seen:?}");
            assert_eq!(container.inspect["RestartCount"], 0);
            match status.as_str() {
                "running" => {}
                // The daemon was killed while it started this one, and its successor could not start it any more.
                "created" if unstarted.contains(attempt) && started_at == NEVER => {}
                "created" | "exited" | "dead" | "removing" => {
                    // Whatever does not run any more had its record before it was stopped.
                    let Some(order) = ordered.get(attempt) else {
                        panic!("{attempt} does not run and no stop order says so: {container:#?}");
                    };
                    if status == "exited" {
                        let finished: Timestamp = container.finished_at.parse().unwrap();
                        assert!(*order <= finished, "{attempt}: {order} {finished}");
                    }
                }
                other => panic!("{attempt} is {other}"),
            }
        }
        // Nothing runs that the engine does not know of. A daemon that is killed between its word to containerd to start a
        // container and its own note of that forgets the start; the agent ends what runs of it.
        eventually(
            secs(10),
            "what does not run by the engine's word has no process",
            || {
                let ghosts = ghosts(&placed, &stack.try_containers()?);
                so(ghosts.is_empty(), || format!("{ghosts:?}"))
            },
        );
        let hosts = stack.api.hosts().unwrap();
        assert!(
            hosts.iter().all(|host| host.orphans.is_empty()),
            "{hosts:#?}"
        );
    }
}

/// When an event of this kind was first told of each attempt.
fn attempts(stack: &Stack, kind: &str) -> BTreeMap<String, Timestamp> {
    let mut attempts = BTreeMap::new();
    for event in stack.api.events(&format!("kind={kind}")).unwrap() {
        attempts.entry(event.attempt.unwrap()).or_insert(event.at);
    }
    attempts
}

/// Attempts whose container never started, through no fault of theirs. Any other end but by a stop order fails the test:
/// none is lost, none ends by itself.
fn unstarted(stack: &Stack) -> BTreeSet<String> {
    let mut unstarted = BTreeSet::new();
    for event in stack.api.events("kind=attempt_reported").unwrap() {
        let status = &event.data["status"];
        if status["phase"] != "ended" || status["outcome"] == "stopped" {
            continue;
        }
        let is_of_the_engine = status["outcome"] == "failed" && status["system_error"] == true;
        assert!(is_of_the_engine, "{}: {status}", event.text);
        assert_eq!(status.get("started_at"), None, "{}: {status}", event.text);
        println!("not started: {}", event.text);
        unstarted.extend(event.attempt);
    }
    unstarted
}

/// Processes of attempts ever placed whose containers do not run by the engine's word, by attempt. A container's
/// environment names its attempt.
fn ghosts(placed: &BTreeMap<String, Timestamp>, containers: &[Container]) -> BTreeMap<String, u32> {
    let running: BTreeSet<&String> = containers
        .iter()
        .filter(|container| container.is_running())
        .map(|container| &container.attempt)
        .collect();
    let mut ghosts: BTreeMap<String, u32> = BTreeMap::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        // Not a process, or one that has just ended.
        let Ok(environment) = std::fs::read(process.path().join("environ")) else {
            continue;
        };
        let attempt = environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| std::str::from_utf8(variable).ok())
            .find_map(|variable| variable.strip_prefix("MUSTER_ATTEMPT="));
        if let Some(attempt) = attempt
            && placed.contains_key(attempt)
            && !running.contains(&attempt.to_owned())
        {
            *ghosts.entry(attempt.to_owned()).or_default() += 1;
        }
    }
    ghosts
}

#[test]
fn a_cell_with_its_control_plane_down_runs_on() {
    let mut stack = Stack::start();
    let service = Service::new("web", 2);
    stack.push(&service, "Add web");
    let tasks = stack.wait_until_settled(&service, 1);
    let running = stack.running();

    stack.serve.kill();
    let unchanged = |stack: &Stack| {
        let now = stack.running();
        so(now == running, || format!("{now:?}, before {running:?}"))
    };
    throughout(secs(3), "containers run without a control plane", || {
        unchanged(&stack)
    });
    // The agent is started anew meanwhile: it adopts what runs, with nobody to ask.
    stack.agents[0].kill();
    stack.agents[0].start();
    throughout(secs(3), "and with a new agent", || unchanged(&stack));

    stack.serve.start();
    stack.wait_for_api();
    let again = stack.wait_until_settled(&service, 1);
    let attempts = |tasks: &[muster_schemas::api::TaskView]| -> Vec<_> {
        tasks.iter().map(|task| task.attempt.clone()).collect()
    };
    assert_eq!(attempts(&again), attempts(&tasks));
    assert_eq!(unchanged(&stack), Ok(()));
}
