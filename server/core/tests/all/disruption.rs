//! Nothing automated takes more of a job than its disruption budget spares.

use crate::common::budgets::{per_interval, some_budget, some_rate, unhealthy};
use crate::common::laws::{Disruptions, Laws};
use crate::common::{World, batch, service, settings, with_image};
use jiff::SignedDuration;
use muster_core::decide::{Command, Input};
use muster_core::fleet::Fleet;
use muster_core::view::{alerts, job_detail, task_view};
use muster_schemas::event::Event;
use muster_schemas::ids::{JobId, TaskId};
use muster_schemas::spec::{
    Day, DisruptionBudget, DisruptionRate, DisruptionWindow, JobSpec, Millis, PercentagePerHour,
    PercentagePerInterval, Rollout, SelfManaged,
};
use muster_schemas::state::StopReason;
use proptest::prelude::*;

const ENOUGH: u32 = 12;

fn with_budget(mut spec: JobSpec, budget: DisruptionBudget) -> JobSpec {
    spec.disruption_budget = Some(budget);
    spec
}

/// A service whose rollout alone would take three tasks at once.
fn hasty(name: &str, desired: u32, budget: DisruptionBudget) -> JobSpec {
    let mut spec = with_budget(service(name, desired), budget);
    spec.service.as_mut().expect("a service").rollout = Rollout {
        max_surge: 1,
        max_unavailable: 3,
        min_healthy_time: Millis::secs(2),
        ..Rollout::default()
    };
    spec
}

fn next(spec: JobSpec) -> JobSpec {
    with_image(spec, "registry.example.com/app:2")
}

fn running(spec: JobSpec) -> World {
    let mut world = World::new(3);
    let desired = spec.size() as usize;
    let name = spec.name.to_string();
    world.commit(vec![spec], None);
    world.pass(ENOUGH);
    assert_eq!(world.healthy(&name), desired);
    world
}

/// So many seconds pass; the least number of healthy tasks meanwhile, and when stops were ordered.
fn watch(world: &mut World, job: &str, seconds: u32) -> usize {
    let mut least = world.healthy(job);
    for _ in 0..seconds {
        world.now += SignedDuration::from_secs(1);
        world.tick();
        least = least.min(world.healthy(job));
        world.agents();
    }
    least
}

fn detail(world: &World, job: &str) -> muster_schemas::api::JobDetail {
    job_detail(
        &world.fleet,
        &world.fleet.jobs[&JobId::from(job)],
        world.now,
    )
}

fn is_rolled_out(world: &World, job: &str) -> bool {
    detail(world, job).rollout.is_none()
}

fn is_stopping(world: &World, task: &str) -> bool {
    let id: TaskId = task.parse().expect("a task");
    let attempt = world.fleet.current_attempt(world.task(&id));
    attempt.is_some_and(|attempt| attempt.stop.is_some())
}

fn why(world: &World, task: &str) -> String {
    let id: TaskId = task.parse().expect("a task");
    let job = &world.fleet.jobs[&id.job];
    task_view(&world.fleet, job, world.task(&id), world.now).reason
}

#[test]
fn a_rollout_takes_no_task_that_the_budget_does_not_spare() {
    for (budget, least) in [
        (unhealthy(0), 4),
        (unhealthy(1), 3),
        (
            DisruptionBudget {
                availability_percentage_limit: Some(100),
                ..DisruptionBudget::default()
            },
            4,
        ),
        (
            // 60 % of four tasks are three whole ones.
            DisruptionBudget {
                availability_percentage_limit: Some(60),
                ..DisruptionBudget::default()
            },
            3,
        ),
    ] {
        let spec = hasty("web", 4, budget.clone());
        let mut world = running(spec.clone());
        world.commit(vec![next(spec)], None);
        assert_eq!(watch(&mut world, "web", 60), least, "{budget:?}");
        assert!(is_rolled_out(&world, "web"), "{budget:?}");
    }
    // Without a budget the same rollout takes three of four.
    let mut spec = hasty("web", 4, unhealthy(0));
    spec.disruption_budget = None;
    let mut world = running(spec.clone());
    world.commit(vec![next(spec)], None);
    assert_eq!(watch(&mut world, "web", 60), 1);
}

#[test]
fn a_plan_takes_away_no_more_than_the_budget_spares() {
    let spec = hasty("web", 4, unhealthy(1));
    let mut world = running(spec.clone());
    world.commit(vec![next(spec)], None);
    let plan = &world.fleet.plans.back().expect("a plan").plan;
    assert_eq!((plan.changes[0].replaces, plan.stops), (4, 1));
}

#[test]
fn what_a_rollout_waits_for_is_told() {
    let spec = hasty("web", 4, unhealthy(0));
    let mut world = running(spec.clone());
    // One task is not healthy by itself, and the budget spares none.
    let id: TaskId = "web.3".parse().expect("a task");
    let attempt = world
        .fleet
        .current_attempt(world.task(&id))
        .expect("it runs");
    let (id, host) = (attempt.id, attempt.host);
    let status = world.status(id, muster_schemas::state::Phase::Running, Some(false));
    world.report(host, status);
    let budget = detail(&world, "web").disruption_budget.expect("it has one");
    assert_eq!(budget.limit, "at most 0 of its tasks are unhealthy");
    assert_eq!((budget.healthy, budget.floor), (3, 4));
    assert_eq!(
        budget.waits_for.as_deref(),
        Some("its disruption budget: 3 tasks are healthy, and 4 have to stay so")
    );
    let slow = DisruptionBudget {
        rate: per_interval(1, 600),
        ..unhealthy(3)
    };
    let mut world = running(hasty("web", 4, slow.clone()));
    world.commit(vec![next(hasty("web", 4, slow))], None);
    world.pass(30);
    let rollout = detail(&world, "web").rollout.expect("it goes on");
    assert_eq!(
        rollout.waiting_for,
        "its disruption budget: 1 task may go in 10m; the next one is allowed at 12:10:12 UTC"
    );
}

#[test]
fn a_rate_holds_over_any_stretch_of_time_and_across_restarts() {
    let budget = DisruptionBudget {
        rate: per_interval(2, 60),
        ..unhealthy(3)
    };
    let spec = hasty("web", 6, budget);
    let mut world = running(spec.clone());
    world.commit(vec![next(spec)], None);
    let mut laws = Disruptions::default();
    for _ in 0..40 {
        world.pass(5);
        // Another control plane takes over, from a snapshot.
        let saved = serde_json::to_vec(&world.fleet).expect("a fleet is JSON");
        world.fleet = serde_json::from_slice(&saved).expect("a snapshot reads back");
        let (cell, version) = ("test".into(), "0.1.0".to_owned());
        world.give(Input::Lead { cell, version }).expect("a leader");
        world.connect();
    }
    assert!(is_rolled_out(&world, "web"));
    let mut fold = Fleet::default();
    for record in &world.journal {
        laws.look(&fold, record);
        fold.apply(record);
    }
    assert_eq!(laws.audited, 6);
    let stops: Vec<_> = world
        .journal
        .iter()
        .filter(|record| matches!(record.event, Event::StopOrdered { .. }))
        .map(|record| record.at)
        .collect();
    // Two, two, and two: a minute lies between each pair and the next.
    assert!(
        stops[2].duration_since(stops[0]).as_secs() >= 60,
        "{stops:?}"
    );
    assert!(
        stops[4].duration_since(stops[2]).as_secs() >= 60,
        "{stops:?}"
    );
    assert!(
        stops[5].duration_since(stops[0]).as_secs() < 140,
        "{stops:?}"
    );
}

#[test]
fn a_rate_in_parts_lets_at_least_one_task_go() {
    for rate in [
        DisruptionRate::PercentagePerHour(PercentagePerHour { percentage: 10 }),
        DisruptionRate::PercentagePerInterval(PercentagePerInterval {
            percentage: 50,
            interval: Millis::secs(3600),
        }),
    ] {
        let expected = if matches!(rate, DisruptionRate::PercentagePerHour(_)) {
            1
        } else {
            2
        };
        let spec = hasty(
            "web",
            4,
            DisruptionBudget {
                rate,
                ..unhealthy(3)
            },
        );
        let mut world = running(spec.clone());
        world.commit(vec![next(spec)], None);
        world.pass(300);
        assert_eq!(world.stops(), expected, "{rate:?}");
        // After the hour the next may go.
        world.now += SignedDuration::from_hours(1);
        world.pass(30);
        assert!(world.stops() > expected, "{rate:?}");
    }
}

#[test]
fn tasks_go_only_within_the_windows() {
    // The world begins on a Monday at noon in UTC, which is one o'clock in Vienna.
    let budget = DisruptionBudget {
        windows: vec![DisruptionWindow {
            days: vec![Day::Mon],
            from: "14:00".parse().expect("a time"),
            to: "15:00".parse().expect("a time"),
            time_zone: "Europe/Vienna".to_owned(),
        }],
        ..unhealthy(3)
    };
    let spec = hasty("web", 4, budget);
    let mut world = running(spec.clone());
    world.commit(vec![next(spec)], None);
    world.pass(60);
    assert_eq!(world.stops(), 0);
    let opens = "2026-11-23T13:00:00Z".parse().expect("a time");
    assert_eq!(world.due, Some(opens));
    let waits = detail(&world, "web")
        .rollout
        .expect("it goes on")
        .waiting_for;
    assert_eq!(
        waits,
        "its disruption budget: none of its windows is open; the next one is allowed at 13:00:00 UTC"
    );
    world.now = opens;
    world.pass(60);
    assert!(is_rolled_out(&world, "web"));
}

#[test]
fn fewer_tasks_are_measured_by_what_is_asked_for_from_here_on() {
    let closed = DisruptionBudget {
        rate: per_interval(1, 3600),
        ..unhealthy(0)
    };
    let mut world = running(hasty("web", 4, closed.clone()));
    world.commit(vec![hasty("web", 2, closed)], None);
    world.pass(ENOUGH);
    // Nobody wants the others any more: neither the limit nor the rate keeps them.
    assert_eq!((world.healthy("web"), world.stops()), (2, 2));
}

#[test]
fn a_task_that_serves_though_its_liveness_fails_waits_and_one_that_does_not_goes() {
    let mut world = running(with_budget(service("web", 2), unhealthy(0)));
    world.condemn("web.0");
    world.pass(30);
    assert_eq!((world.healthy("web"), world.stops()), (2, 0));
    assert!(
        why(&world, "web.0").ends_with(
            "it is not stopped yet, which waits for its disruption budget: 2 tasks are healthy, and 2 have to stay so"
        ),
        "{}",
        why(&world, "web.0")
    );
    // What serves nobody is restarted at once.
    world.sick.insert("web".to_owned());
    world.pass(2);
    world.sick.clear();
    world.pass(ENOUGH);
    assert_eq!((world.healthy("web"), world.stops()), (2, 1));
}

#[test]
fn a_task_is_relocated_so_often_and_no_more() {
    let budget = DisruptionBudget {
        relocation_limit: Some(1),
        ..DisruptionBudget::default()
    };
    let spec = with_budget(batch("sum", 1, 9), budget);
    let mut world = World::new(1);
    world.commit(vec![spec], None);
    world.pass(3);
    world.condemn("sum.0");
    world.pass(5);
    assert_eq!(world.stops(), 1);
    world.condemn("sum.0");
    world.pass(120);
    assert_eq!(world.stops(), 1);
    assert!(why(&world, "sum.0").contains("it was taken 1 time already, and no more is allowed"));
    // A rollout is the owner's own, and what it starts is counted anew.
    let budget = DisruptionBudget {
        relocation_limit: Some(0),
        ..DisruptionBudget::default()
    };
    let spec = with_budget(service("web", 2), budget);
    let mut world = running(spec.clone());
    world.commit(vec![next(spec)], None);
    world.pass(60);
    assert!(is_rolled_out(&world, "web"));
}

fn self_managed() -> World {
    let budget = DisruptionBudget {
        self_managed: Some(SelfManaged {
            relocation_time: Millis::secs(60),
        }),
        ..DisruptionBudget::default()
    };
    let mut world = running(with_budget(service("web", 2), budget));
    world.condemn("web.0");
    world.pass(30);
    assert!(!is_stopping(&world, "web.0"));
    assert_eq!(world.stops(), 0);
    let alerts = alerts(&world.fleet, None, world.now);
    let asked = alerts
        .iter()
        .find(|alert| alert.code == "owner-asked")
        .expect("the owner is asked");
    assert_eq!(
        asked.message,
        "web.0 has to be stopped: its liveness probe failed: . Do it when it suits (`muster stop web.0`); else it is done at 12:01:12 UTC."
    );
    world
}

fn announced(world: &World) -> usize {
    world
        .events(|event| matches!(event, Event::StopAnnounced { .. }).then_some(()))
        .len()
}

#[test]
fn an_owner_who_manages_it_is_asked_first_and_given_time() {
    let mut world = self_managed();
    assert_eq!(announced(&world), 1);
    // A restart does not ask anew.
    let (cell, version) = ("test".into(), "0.1.0".to_owned());
    world.give(Input::Lead { cell, version }).expect("a leader");
    world.connect();
    world.pass(20);
    assert_eq!((announced(&world), world.stops()), (1, 0));
    world.pass(20);
    assert_eq!((announced(&world), world.stops()), (1, 1));
    assert_eq!(world.healthy("web"), 2);
}

#[test]
fn an_owner_moves_the_task_when_it_suits() {
    let mut world = self_managed();
    let task = "web.0".parse().expect("a task");
    let reason = "between two requests".to_owned();
    world
        .command(Command::StopTask { task, reason })
        .expect("it runs");
    world.pass(120);
    let reasons = world.events(|event| match event {
        Event::StopOrdered { order } => Some(order.reason.clone()),
        _ => None,
    });
    assert!(
        matches!(&reasons[..], [StopReason::Asked { .. }]),
        "{reasons:?}"
    );
    assert_eq!(world.healthy("web"), 2);
}

#[test]
fn an_owner_need_not_move_what_is_well_again_and_is_asked_anew_later() {
    let mut world = self_managed();
    world.condemned.clear();
    world.pass(120);
    assert_eq!(world.stops(), 0);
    world.condemn("web.0");
    world.pass(50);
    assert_eq!((announced(&world), world.stops()), (2, 0));
    world.pass(20);
    assert_eq!(world.stops(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Commit {
        size: u32,
        image: u32,
        surge: u32,
        unavailable: u32,
        budget: DisruptionBudget,
    },
    Pass(u32),
    Condemn(usize),
    Mend,
    Exit(usize),
    Silent(usize),
    Connect,
    Sick(bool),
    Lead,
}

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6u32, 1..4u32, 0..3u32, 0..4u32, some_budget(some_rate())).prop_map(
            |(size, image, surge, unavailable, budget)| Step::Commit { size, image, surge, unavailable, budget }
        ),
        6 => (1..20u32).prop_map(Step::Pass),
        3 => any::<usize>().prop_map(Step::Condemn),
        1 => Just(Step::Mend),
        1 => any::<usize>().prop_map(Step::Exit),
        1 => any::<usize>().prop_map(Step::Silent),
        1 => Just(Step::Connect),
        1 => any::<bool>().prop_map(Step::Sick),
        2 => Just(Step::Lead),
    ]
}

proptest! {
    #![proptest_config(settings(96, "tests/all/disruption.regressions"))]

    /// Whatever is committed and whatever breaks: no sequence of automated stops goes beyond a budget.
    #[test]
    fn no_sequence_of_automated_stops_goes_beyond_a_budget(steps in prop::collection::vec(some_step(), 1..40)) {
        let mut world = World::new(3);
        let mut laws = Laws::default();
        for step in steps {
            match step {
                Step::Commit { size, image, surge, unavailable, budget } => {
                    let mut spec = with_budget(service("web", size), budget);
                    spec.service.as_mut().expect("a service").rollout = Rollout {
                        max_surge: surge,
                        max_unavailable: unavailable.max(u32::from(surge == 0)),
                        min_healthy_time: Millis::secs(2), ..Rollout::default() };
                    world.commit(vec![with_image(spec, &format!("registry.example.com/app:{image}"))], None);
                }
                Step::Pass(seconds) => world.pass(seconds),
                Step::Condemn(which) => {
                    if let Some(task) = crate::common::laws::pick_running(&world, which) {
                        world.condemn(&task.to_string());
                    }
                }
                Step::Mend => world.condemned.clear(),
                Step::Exit(which) => {
                    if let Some(task) = crate::common::laws::pick_running(&world, which) {
                        world.exit(&task.to_string(), 1);
                    }
                }
                Step::Silent(which) => {
                    let hosts: Vec<_> = world.fleet.hosts.keys().copied().collect();
                    let host = hosts[which % hosts.len()];
                    world.give(Input::Silent { host }).expect("a known host");
                }
                Step::Connect => world.connect(),
                Step::Sick(true) => drop(world.sick.insert("web".to_owned())),
                Step::Sick(false) => world.sick.clear(),
                Step::Lead => {
                    let (cell, version) = ("test".into(), "0.1.0".to_owned());
                    world.give(Input::Lead { cell, version }).expect("a leader");
                    world.connect();
                }
            }
            laws.look(&world);
        }
    }
}
