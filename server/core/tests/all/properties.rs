//! What holds of every decision, whatever happens: worlds, reports and plans that are made at random.

use crate::common::laws::{Laws, pick_running};
use crate::common::{World, batch, random_job, service, settings};
use muster_core::decide::{Command, Input};
use muster_core::fleet::Fleet;
use muster_core::plan::plan;
use muster_core::view::{Page, TaskFilter, diff, tasks};
use muster_schemas::api::TaskView;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::past::{AsOf, TaskDiff, TaskThen};
use muster_schemas::spec::{JobSpec, Limits, PolicySpec, Port};
use muster_schemas::state::{AttemptStatus, Outcome, Phase};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Something that happens to a cell. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A commit of these jobs, which may drop others.
    Commit(Vec<JobSpec>, bool),
    /// Seconds pass; agents do as they are told.
    Pass(u32),
    /// A running container exits by itself.
    Exit(usize, i32),
    /// A running container's liveness probe says no.
    Condemn(usize),
    /// A host is not heard any more.
    Silent(usize),
    /// All hosts are heard again.
    Connect,
    /// A person stops a task.
    Stop(usize),
    /// Another control plane takes over.
    Lead,
}

fn some_job() -> impl Strategy<Value = JobSpec> {
    (
        prop::sample::select(vec!["api", "shop", "web", "nightly"]),
        1..8u32,
        1..4u32,
        1..4u32,
        0..3u32,
        0..2u32,
        0..6u32,
    )
        .prop_map(
            |(name, size, image, cpus, surge, unavailable, constraint)| {
                let mut spec = random_job(name, size, image, surge, unavailable);
                spec.resources.cpu.0 = cpus * 1000;
                let hard = &mut spec.constraints.hard;
                match constraint {
                    0 => hard.unique_host = true,
                    1 => hard.zones = vec!["a".to_owned(), "b".to_owned()],
                    2 => hard.hosts = vec!["host-0".to_owned(), "host-2".to_owned()],
                    3 => {
                        spec.ports = vec![Port {
                            name: "http".to_owned(),
                            port: 80,
                            host_port: Some(8080),
                        }];
                    }
                    _ => {}
                }
                spec
            },
        )
}

fn some_jobs() -> impl Strategy<Value = Vec<JobSpec>> {
    vec(some_job(), 1..4).prop_map(|specs| {
        let by_name: BTreeMap<JobId, JobSpec> = specs
            .into_iter()
            .map(|spec| (spec.name.clone(), spec))
            .collect();
        by_name.into_values().collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (some_jobs(), any::<bool>()).prop_map(|(jobs, prune)| Step::Commit(jobs, prune)),
        6 => (1..12u32).prop_map(Step::Pass),
        3 => (any::<usize>(), 0..2i32).prop_map(|(which, code)| Step::Exit(which, code)),
        1 => any::<usize>().prop_map(Step::Condemn),
        1 => any::<usize>().prop_map(Step::Silent),
        2 => Just(Step::Connect),
        1 => any::<usize>().prop_map(Step::Stop),
        1 => Just(Step::Lead),
    ]
}

fn play(world: &mut World, step: Step) {
    match step {
        Step::Commit(jobs, prune) => {
            let policy = PolicySpec {
                prune,
                prune_grace: muster_schemas::spec::Millis(0),
                ..PolicySpec::named("default")
            };
            world.commit(jobs, Some(policy));
        }
        Step::Pass(seconds) => world.pass(seconds),
        Step::Exit(which, code) => {
            if let Some(task) = pick_running(world, which) {
                world.exit(&task.to_string(), code);
            }
        }
        Step::Condemn(which) => {
            if let Some(task) = pick_running(world, which) {
                let attempt = world.fleet.current_attempt(world.task(&task));
                let (id, host) = attempt
                    .map(|known| (known.id, known.host))
                    .expect("it runs");
                let mut status = world.status(id, Phase::Running, Some(true));
                status.live = Some(false);
                world.report(host, status);
            }
        }
        Step::Silent(which) => {
            let hosts: Vec<_> = world.fleet.hosts.keys().copied().collect();
            let host = hosts[which % hosts.len()];
            world.give(Input::Silent { host }).expect("a known host");
        }
        Step::Connect => world.connect(),
        Step::Stop(which) => {
            if let Some(task) = pick_running(world, which) {
                let reason = "it looks stuck".to_owned();
                // It may be stopping already.
                let _ = world.command(Command::StopTask { task, reason });
            }
        }
        Step::Lead => {
            world
                .give(Input::Lead {
                    cell: "test".into(),
                    version: "0.1.0".to_owned(),
                })
                .expect("a leader");
            world.connect();
        }
    }
}

proptest! {
    #![proptest_config(settings(32, "tests/all/properties.regressions"))]

    /// Also that the fleet is the fold of its journal, and that decisions come to rest: `World` looks after each input.
    #[test]
    fn whatever_happens_the_laws_hold(hosts in 1..4u32, steps in vec(step(), 1..25), restless in any::<bool>()) {
        let mut world = World::new(hosts);
        world.restless = restless;
        let mut laws = Laws::default();
        for step in steps {
            play(&mut world, step);
            laws.look(&world);
        }
    }

    /// Wherever the fold begins, with the first record or with a snapshot, it comes to the fleet that was shown then; and what
    /// differs between two moments is what their lists of tasks show.
    #[test]
    fn the_fleet_of_a_moment_is_the_one_that_was_shown_then(
        hosts in 1..4u32,
        steps in vec(step(), 1..15),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new(hosts);
        let mut shown = vec![(world.fleet.clone(), world.now)];
        for step in steps {
            play(&mut world, step);
            shown.push((world.fleet.clone(), world.now));
        }
        let (from, to) = (from.index(shown.len()), to.index(shown.len()));
        let [(before, then), (after, later)] = [from.min(to), from.max(to)].map(|place| shown[place].clone());
        let snapshot = serde_json::to_vec(&before).expect("a fleet is JSON");
        for mut fleet in [Fleet::default(), serde_json::from_slice(&snapshot).expect("it reads back")] {
            for record in &world.journal[fleet.seq as usize..after.seq as usize] {
                fleet.apply(record);
            }
            prop_assert_eq!(&fleet, &after);
        }

        let [from, to] = [(&before, then), (&after, later)]
            .map(|(fleet, at)| (fleet, AsOf { seq: fleet.seq, at }));
        let found = diff(from, to, &[], true);
        prop_assert!(diff(to, to, &[], true).is_empty(), "nothing differs from itself");
        let page = Page { after: None, limit: usize::MAX };
        let listed = |(fleet, as_of): (&Fleet, AsOf)| -> BTreeMap<String, TaskView> {
            let list = tasks(fleet, &TaskFilter::default(), &page, as_of.at);
            list.items.into_iter().map(|task| (task.id.clone(), task)).collect()
        };
        let (old, new) = (listed(from), listed(to));
        let said: BTreeMap<&str, &TaskDiff> = found.tasks.iter().map(|task| (task.task.as_str(), task)).collect();
        prop_assert_eq!(said.len() as u64, found.tasks_differ);
        for id in old.keys().chain(new.keys()) {
            let look = |task: &TaskView| (task.state, task.host.clone(), task.version, task.attempt.clone());
            let (was, is) = (old.get(id).map(look), new.get(id).map(look));
            match said.get(id.as_str()) {
                Some(task) => {
                    let look = |then: &TaskThen| (then.state, then.host.clone(), then.version);
                    prop_assert_eq!(task.from.as_ref().map(look), was.map(|(state, host, version, _)| (state, host, version)));
                    prop_assert_eq!(task.to.as_ref().map(look), is.map(|(state, host, version, _)| (state, host, version)));
                }
                None => prop_assert_eq!(was, is, "{} differs and is not said to", id),
            }
        }
    }

    #[test]
    fn a_plan_made_again_after_it_was_applied_is_empty(
        commits in vec((some_jobs(), any::<bool>()), 1..5),
        passes in 0..10u32,
    ) {
        let mut world = World::new(3);
        for (jobs, prune) in commits {
            play(&mut world, Step::Commit(jobs, prune));
            let input = world.last_input.clone().expect("a commit was made");
            if world.fleet.held_plan().is_none() {
                let again = plan(&world.fleet, &input, world.now);
                prop_assert_eq!(&again.changes, &vec![]);
                prop_assert_eq!((again.starts, again.stops), (0, 0));
                prop_assert_eq!(&again, &plan(&world.fleet, &input, world.now), "the same plan from the same state");
            }
            world.pass(passes);
        }
    }

    /// What a plan says that it starts, in a fleet where nothing else happens, is what comes to run, where it fits.
    #[test]
    fn a_plan_for_an_empty_fleet_is_what_comes_to_run(sizes in vec(1..5u32, 1..4)) {
        let mut world = World::new(3);
        let jobs = sizes.iter().enumerate().map(|(number, size)| service(&format!("job{number}"), *size)).collect();
        world.commit(jobs, None);
        let starts = world.fleet.plans.back().expect("a plan").plan.starts;
        prop_assert_eq!(starts, sizes.iter().sum::<u32>());
        world.pass(3);
        prop_assert_eq!(world.running.len(), starts as usize);
        prop_assert_eq!(world.fleet.running_tasks(), starts);
    }

    #[test]
    fn the_guard_is_monotone(stops in 0..400u32, running in 0..2000u32, more in 0..400u32) {
        let held = |stops, running| Limits::STOPS_PER_PLAN.is_exceeded_by(stops, running);
        prop_assert_eq!(
            held(stops, running),
            stops > 5 && u64::from(stops) * 5 > u64::from(running)
        );
        if held(stops, running) {
            prop_assert!(held(stops + more, running), "asking for more is not safer");
        } else {
            prop_assert!(!held(stops, running + more), "the same stops in a larger fleet are not worse");
        }
    }

    /// Reports may be repeated, delayed and reordered: once the newest has come, it is as if all had come in order.
    #[test]
    fn reports_in_any_order_lead_to_the_same(
        (length, order) in (1..=6usize)
            .prop_flat_map(|length| (Just(length), Just((0..length).collect::<Vec<_>>()).prop_shuffle())),
        again in vec(0..6usize, 0..6),
        code in 0..2i32,
        is_batch in any::<bool>(),
    ) {
        let end = |order: &[usize]| {
            let mut world = World::new(1);
            world.commit(vec![if is_batch { batch("job", 1, 3) } else { service("job", 1) }], None);
            let (id, host) = world.fleet.attempts.values().next().map(|known| (known.id, known.host)).expect("placed");
            let history = history(&mut world, id, code);
            for place in order {
                world.report(host, history[*place].clone());
            }
            let attempt = &world.fleet.attempts[&id];
            let task = world.task(&attempt.task);
            (
                attempt.status.clone(), attempt.ended.clone(), attempt.running_at.is_some(),
                attempt.healthy_since.is_some(), task.attempts,
                world.fleet.task_state(task), task.failures, task.retries,
            )
        };
        let in_order: Vec<usize> = (0..length).collect();
        let again = again.into_iter().map(|place| place % length).collect();
        prop_assert_eq!(end(&[order, again].concat()), end(&in_order));
    }

    /// A host that says less than it has loses nothing by it.
    #[test]
    fn what_a_report_does_not_mention_stays_as_it_was(size in 1..6u32, kept in vec(any::<bool>(), 6)) {
        let mut world = World::new(1);
        world.commit(vec![service("web", size), batch("sum", size, 0)], None);
        world.pass(2);
        let host = *world.fleet.hosts.keys().next().expect("a host");
        let attempts: Vec<AttemptStatus> = world.fleet.attempts.values()
            .zip(kept.iter().cycle())
            .filter(|(_, kept)| **kept)
            .filter_map(|(attempt, _)| attempt.status.clone())
            .collect();
        let before = world.fleet.attempts.clone();
        let report = muster_schemas::wire::Report {
            complete: true,
            fence: Default::default(),
            attempts,
            orphans: Vec::new(),
        };
        world.give(Input::Report { host, report: Box::new(report) }).expect("a known host");
        prop_assert_eq!(&world.fleet.attempts, &before);
        prop_assert_eq!(world.stops(), 0);
    }
}

/// The life of an attempt as its agent tells it.
fn history(world: &mut World, id: AttemptId, code: i32) -> Vec<AttemptStatus> {
    let outcome = if code == 0 {
        Outcome::Succeeded
    } else {
        Outcome::Failed
    };
    let ended = world.ended(outcome, Some(code));
    let mut statuses: Vec<AttemptStatus> = [
        (Phase::Accepted, None),
        (
            Phase::Pulling {
                done: 10,
                total: 100,
            },
            None,
        ),
        (Phase::Creating, None),
        (Phase::Running, Some(false)),
        (Phase::Running, Some(true)),
        (Phase::Ended(ended), None),
    ]
    .into_iter()
    .map(|(phase, ready)| world.status(id, phase, ready))
    .collect();
    for status in &mut statuses[..3] {
        status.started_at = None;
    }
    statuses
}
