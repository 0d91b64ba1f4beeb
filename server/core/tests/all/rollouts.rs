//! Rollouts of every strategy: what they bring, what they leave serving, and what people can say about them.

use crate::common::laws::{Laws, pick_running};
use crate::common::{World, service, settings, with_image};
use jiff::SignedDuration;
use muster_core::decide::rollout::analysis::{holds, questions};
use muster_core::decide::{Command, Input, Refusal};
use muster_core::fleet::{Job, Movement};
use muster_core::view::{alerts, job_detail};
use muster_schemas::api::{JobStatus, RolloutState, RolloutView};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::rollout::{
    AbortReason, MeasureFault, Measured, RolloutWord, StepHold, Stuck, Verdict,
};
use muster_schemas::spec::{
    Analysis, Canary, CanaryStep, JobSpec, Millis, PolicySpec, PrometheusQuery, RedBlack,
};
use muster_schemas::state::{FinishReason, Outcome, StopReason, TaskState};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

const V1: &str = "registry.example.com/web:1";
const V2: &str = "registry.example.com/web:2";
const V3: &str = "registry.example.com/web:3";

fn red_black(image: &str, desired: u32, keep_secs: u64) -> JobSpec {
    let mut spec = with_image(service("web", desired), image);
    spec.service.as_mut().expect("a service").rollout.red_black = Some(RedBlack {
        keep_old: Millis::secs(keep_secs),
    });
    spec
}

fn step(tasks: u32, pause_secs: u64) -> CanaryStep {
    CanaryStep {
        tasks: Some(tasks),
        percent: None,
        pause: Millis::secs(pause_secs),
    }
}

fn canary(image: &str, desired: u32, steps: Vec<CanaryStep>) -> JobSpec {
    let mut spec = with_image(service("web", desired), image);
    let analysis = Analysis {
        interval: Millis::secs(5),
        ..Analysis::default()
    };
    spec.service.as_mut().expect("a service").rollout.canary = Some(Canary { steps, analysis });
    spec
}

fn with_query(mut spec: JobSpec) -> JobSpec {
    let canary = spec
        .service
        .as_mut()
        .and_then(|service| service.rollout.canary.as_mut());
    canary.expect("a canary").analysis.prometheus = vec![PrometheusQuery {
        name: "errors".to_owned(),
        query: "sum(rate(errors{job=\"${job}\",v=\"${version}\"}[1m]))".to_owned(),
        max: Some(0.05),
        min: None,
    }];
    spec
}

fn job(world: &World) -> &Job {
    &world.fleet.jobs[&JobId::from("web")]
}

fn rollout(world: &World) -> RolloutView {
    let detail = job_detail(&world.fleet, job(world), world.now);
    detail.rollout.expect("a rollout")
}

/// Healthy tasks that run this image.
fn healthy_on(world: &World, image: &str) -> usize {
    let job = job(world);
    job.tasks
        .values()
        .filter(|task| world.fleet.is_healthy(task))
        .filter_map(|task| world.fleet.current_attempt(task))
        .filter(|attempt| job.versions[&attempt.version].spec.image == image)
        .count()
}

fn containers(world: &World) -> BTreeSet<AttemptId> {
    world.running.keys().copied().collect()
}

/// Seconds pass, and at no moment are fewer tasks healthy.
fn pass_with_at_least(world: &mut World, seconds: u32, least: usize) {
    for second in 0..seconds {
        world.pass(1);
        let healthy = world.healthy("web");
        assert!(healthy >= least, "{healthy} healthy after {second} s");
    }
}

fn tell(world: &mut World, word: RolloutWord) -> Result<(), Refusal> {
    let command = Command::Rollout {
        job: JobId::from("web"),
        word,
        reason: "I have looked".to_owned(),
    };
    world.command(command).map(|_| ())
}

fn measure(world: &mut World, measured: Measured) {
    let version = job(world).version;
    let input = Input::Measured {
        job: JobId::from("web"),
        version,
        name: "errors".to_owned(),
        measured,
    };
    world.give(input).expect("a measurement is always taken");
}

fn aborted(world: &World) -> AbortReason {
    let rollout = job(world).rollout.as_ref().expect("a rollout");
    rollout.aborted.clone().expect("it was aborted").reason
}

fn finished(world: &World) -> usize {
    world
        .events(|event| matches!(event, Event::RolloutFinished { .. }).then_some(()))
        .len()
}

#[test]
fn red_black_has_all_new_tasks_healthy_before_an_old_one_leaves() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 4, 60)], None);
    world.pass(10);
    let old = containers(&world);
    assert_eq!(old.len(), 4);

    world.commit(vec![red_black(V2, 4, 60)], None);
    // Four beside four: the old ones are untouched until the new are settled, and for a minute after that.
    pass_with_at_least(&mut world, 10, 4);
    assert_eq!(world.running.len(), 8);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 4));
    assert_eq!(world.stops(), 0);
    let view = rollout(&world);
    assert_eq!((view.state, view.settled), (RolloutState::Keeping, 4));
    assert_eq!(view.strategy, "redBlack");
    let detail = job_detail(&world.fleet, job(&world), world.now);
    assert_eq!(
        detail.job.status,
        JobStatus::Running,
        "{}",
        detail.job.reason
    );
    assert_eq!((detail.job.healthy, detail.job.desired), (4, 4));

    pass_with_at_least(&mut world, 70, 4);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 4));
    assert!(containers(&world).is_disjoint(&old));
    assert_eq!(world.stops(), 4);
    assert_eq!(job(&world).rollout, None);
    assert_eq!(finished(&world), 1);
    let reasons = world.events(|event| match event {
        Event::TaskFinished { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let replaced = FinishReason::Stopped {
        reason: StopReason::Rollout { to_version: 2 },
    };
    assert_eq!(reasons, vec![replaced; 4]);
}

#[test]
fn going_back_while_the_old_tasks_are_kept_has_the_same_containers_at_once() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 3, 600)], None);
    world.pass(10);
    let old = containers(&world);
    world.commit(vec![red_black(V2, 3, 600)], None);
    world.pass(15);
    assert_eq!(rollout(&world).state, RolloutState::Keeping);
    let plan_stops = |world: &World| world.fleet.plans.back().expect("a plan").plan.stops;

    world.commit(vec![red_black(V1, 3, 600)], None);
    assert_eq!(plan_stops(&world), 0, "what is kept is not taken away");
    // In the very moment of the commit: nothing had to be started, and nothing stopped.
    assert!(containers(&world).is_superset(&old));
    let current: BTreeSet<AttemptId> = job(&world)
        .tasks
        .values()
        .filter_map(|task| world.fleet.current_attempt(task))
        .filter(|attempt| !job(&world).is_outdated(attempt.version))
        .map(|attempt| attempt.id)
        .collect();
    assert_eq!(current, old);
    let view = rollout(&world);
    assert_eq!((view.state, view.settled), (RolloutState::Keeping, 3));
    assert_eq!(world.stops(), 0);

    // And the version that was wrong is kept in its turn, then leaves.
    pass_with_at_least(&mut world, 590, 6);
    pass_with_at_least(&mut world, 30, 3);
    assert_eq!(containers(&world), old);
    assert_eq!(job(&world).rollout, None);
}

#[test]
fn red_black_to_something_that_never_gets_healthy_leaves_the_old_and_says_so() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 3, 60)], None);
    world.pass(10);
    let old = containers(&world);
    world.commit(vec![red_black(V2, 3, 60)], None);
    // The agents of the new ones say nothing.
    let mut known = Vec::new();
    for _ in 0..620 {
        world.now += SignedDuration::from_secs(1);
        world.tick();
        let job = job(&world);
        known = job
            .tasks
            .values()
            .filter_map(|task| world.fleet.current_attempt(task))
            .filter(|attempt| attempt.version == 2)
            .map(|attempt| attempt.id)
            .collect();
    }
    assert_eq!(known.len(), 3, "they are placed");
    assert_eq!(world.stops(), 0);
    assert_eq!(containers(&world), old);
    let view = rollout(&world);
    assert_eq!(view.state, RolloutState::Stalled);
    assert!(
        view.reason.contains("got no further for 10m"),
        "{}",
        view.reason
    );
    let alerts = alerts(&world.fleet, None, world.now);
    assert!(
        alerts.iter().any(|alert| alert.code == "rollout-stalled"),
        "{alerts:?}"
    );

    // What stalled goes on when it can.
    world.pass(15);
    assert_eq!(rollout(&world).state, RolloutState::Keeping);
    assert!(alerts_of(&world).is_empty(), "{:?}", alerts_of(&world));
}

fn alerts_of(world: &World) -> Vec<String> {
    let alerts = alerts(&world.fleet, None, world.now);
    alerts.into_iter().map(|alert| alert.code).collect()
}

#[test]
fn where_there_is_no_room_for_both_the_new_tasks_say_so_and_the_old_serve_on() {
    let mut world = World::new(1);
    let big = |image| {
        let mut spec = red_black(image, 2, 60);
        spec.resources.cpu.0 = 3000;
        spec
    };
    world.commit(vec![big(V1)], None);
    world.pass(10);
    world.commit(vec![big(V2)], None);
    pass_with_at_least(&mut world, 700, 2);
    assert_eq!(healthy_on(&world, V1), 2);
    assert_eq!(world.stops(), 0);
    let detail = job_detail(&world.fleet, job(&world), world.now);
    assert_eq!(detail.job.status, JobStatus::Blocked);
    assert!(detail.job.reason.contains("CPU"), "{}", detail.job.reason);
    let stalled = world.events(|event| match event {
        Event::RolloutStalled { stuck, .. } => Some(stuck.clone()),
        _ => None,
    });
    assert!(
        matches!(&stalled[..], [Stuck::NoHost { .. }]),
        "{stalled:?}"
    );
}

#[test]
fn what_dies_of_the_old_set_comes_up_again_as_it_was() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 2, 60)], None);
    world.pass(10);
    world.commit(vec![red_black(V2, 2, 60)], None);
    world.exit("web.0", 1);
    world.pass(4);
    assert_eq!(healthy_on(&world, V1), 2);
    world.pass(100);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 2));
}

#[test]
fn a_commit_that_supersedes_red_black_keeps_what_served_before_both() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 3, 60)], None);
    world.pass(10);
    let old = containers(&world);
    world.commit(vec![red_black(V2, 3, 60)], None);
    world.pass(3);
    assert_eq!(world.running.len(), 6);
    world.commit(vec![red_black(V3, 3, 60)], None);
    pass_with_at_least(&mut world, 15, 3);
    // Neither one nor the other: version 2 is gone, and 1 is kept beside 3.
    assert_eq!(
        [V1, V2, V3].map(|image| healthy_on(&world, image)),
        [3, 0, 3]
    );
    assert!(containers(&world).is_superset(&old));
    pass_with_at_least(&mut world, 80, 3);
    assert_eq!(
        [V1, V2, V3].map(|image| healthy_on(&world, image)),
        [0, 0, 3]
    );
}

/// Three versions in a few seconds: what is being stopped of the first counts for nobody, and the second serves on.
#[test]
fn going_back_in_the_middle_of_two_rollouts_takes_nothing_away() {
    let mut world = World::new(4);
    world.commit(vec![red_black(V1, 2, 30)], None);
    world.pass(15);
    world.commit(vec![red_black(V2, 2, 30)], None);
    world.pass(6);
    assert_eq!(rollout(&world).state, RolloutState::Keeping);
    world.commit(vec![red_black(V3, 2, 30)], None);
    world.commit(vec![red_black(V2, 2, 30)], None);
    assert_eq!(healthy_on(&world, V2), 2);
    pass_with_at_least(&mut world, 60, 2);
    assert_eq!(healthy_on(&world, V2), 2);
    assert_eq!(world.living("web").len(), 2);
}

/// What `maxUnavailable` says does not matter with red/black, also not on the way back: one of the old tasks is stopped by name
/// in that moment, and the new one beside it serves until it is up again.
#[test]
fn red_black_takes_nothing_away_on_the_way_back_whatever_may_be_unavailable() {
    let spec = |image| {
        let mut spec = red_black(image, 1, 60);
        let service = spec.service.as_mut().expect("a service");
        (service.rollout.max_surge, service.rollout.max_unavailable) = (0, 1);
        spec
    };
    for is_aborted in [false, true] {
        let mut world = World::new(2);
        world.commit(vec![spec(V1)], None);
        world.pass(10);
        world.commit(vec![spec(V2)], None);
        world.pass(2);
        assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (1, 1));
        world
            .command(Command::StopTask {
                task: "web.0".parse().expect("a task id"),
                reason: "it looks stuck".to_owned(),
            })
            .expect("it runs");
        if is_aborted {
            tell(&mut world, RolloutWord::Abort).expect("it can be aborted");
        } else {
            world.commit(vec![spec(V1)], None);
        }
        assert_eq!(healthy_on(&world, V2), 1, "aborted: {is_aborted}");
        pass_with_at_least(&mut world, 30, 1);
        assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (1, 0));
    }
}

/// One of two is being stopped by name, and comes back, when only one is asked for any more; of the old set none is healthy.
#[test]
fn red_black_gives_up_no_healthy_task_for_one_that_comes_back() {
    let mut world = World::new(2);
    world.commit(vec![red_black(V1, 2, 600)], None);
    world.pass(10);
    world.commit(vec![red_black(V2, 2, 600)], None);
    world.pass(15);
    assert_eq!(rollout(&world).state, RolloutState::Keeping);
    world.exit("web.0", 1);
    world.exit("web.1", 1);
    world
        .command(Command::StopTask {
            task: "web.3".parse().expect("a task id"),
            reason: "it looks stuck".to_owned(),
        })
        .expect("it runs");
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 1));
    world.commit(vec![red_black(V2, 1, 600)], None);
    assert_eq!(world.healthy("web"), 1);
    pass_with_at_least(&mut world, 30, 1);
    assert_eq!(healthy_on(&world, V2), 1);
}

/// The one before was not through its steps: both its tasks and those that it was to replace are there.
#[test]
fn a_canary_that_supersedes_another_comes_to_its_end() {
    for make in [
        (|image| canary(image, 3, vec![step(1, 5), step(3, 5)])) as fn(&str) -> JobSpec,
        |image| canary(image, 3, vec![step(2, 5)]),
        |image| canary(image, 3, vec![step(2, 600)]),
    ] {
        for wait in 0..25 {
            let mut world = World::new(4);
            world.commit(vec![make(V1)], None);
            world.commit(vec![make(V3)], None);
            world.pass(wait);
            world.commit(vec![make(V2)], None);
            world.pass(60);
            let on = |world: &World| [V1, V2, V3].map(|image| healthy_on(world, image));
            let settled = job(&world)
                .rollout
                .as_ref()
                .is_none_or(|known| known.settled_at.is_some());
            let now = on(&world);
            assert!(
                settled && now.iter().sum::<usize>() == 3 && now[2] == 0,
                "after {wait} s: {now:?}, {:#?}",
                job(&world)
            );
        }
    }
}

#[test]
fn a_person_ends_the_keeping_or_goes_back() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 2, 600)], None);
    world.pass(10);
    assert!(tell(&mut world, RolloutWord::Promote).is_err());
    world.commit(vec![red_black(V2, 2, 600)], None);
    let refused = tell(&mut world, RolloutWord::Promote).expect_err("nothing is settled yet");
    assert!(refused.to_string().contains("not all healthy"), "{refused}");
    world.pass(15);
    let retry = tell(&mut world, RolloutWord::Retry).expect_err("it was not aborted");
    assert!(retry.to_string().contains("not aborted"), "{retry}");
    assert_eq!(
        rollout(&world).actions,
        [RolloutWord::Promote, RolloutWord::Abort]
    );

    // Back to the version before, whose containers are there.
    tell(&mut world, RolloutWord::Abort).expect("it can be aborted");
    pass_with_at_least(&mut world, 10, 2);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (2, 0));
    let view = rollout(&world);
    assert_eq!(view.state, RolloutState::Aborted);
    assert!(
        view.reason
            .contains("aborted by ann: I have looked; version 1 serves on"),
        "{}",
        view.reason
    );
    assert_eq!(view.actions, [RolloutWord::Retry]);

    tell(&mut world, RolloutWord::Retry).expect("it can be retried");
    world.pass(15);
    tell(&mut world, RolloutWord::Promote).expect("it is settled");
    pass_with_at_least(&mut world, 10, 2);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 2));
    assert_eq!(job(&world).rollout, None);
}

#[test]
fn a_canary_goes_step_by_step() {
    let mut world = World::new(3);
    let steps = || {
        let half = CanaryStep {
            tasks: None,
            percent: Some(50),
            pause: Millis::secs(60),
        };
        vec![step(1, 60), half]
    };
    world.commit(vec![canary(V1, 5, steps())], None);
    world.pass(10);
    world.commit(vec![canary(V2, 5, steps())], None);
    let notes = world.fleet.plans.back().expect("a plan").plan.changes[0]
        .notes
        .clone();
    assert_eq!(notes, ["replaces 5 tasks, canary 1 → 50 % → all"]);
    assert_eq!(job(&world).movement(), Movement::Canary);

    pass_with_at_least(&mut world, 50, 5);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 1));
    let view = rollout(&world);
    assert_eq!(view.state, RolloutState::Holding);
    let at = view
        .step
        .as_ref()
        .map(|step| (step.step, step.of, step.tasks));
    assert_eq!(at, Some((1, 2, 1)));
    assert!(
        view.waiting_for.contains("its pause"),
        "{}",
        view.waiting_for
    );

    // What dies comes up as what it was: the canary stays one task.
    world.exit("web.1", 1);
    world.pass(5);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 1));

    pass_with_at_least(&mut world, 60, 5);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (2, 3));
    pass_with_at_least(&mut world, 90, 5);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 5));
    assert_eq!(job(&world).rollout, None);
    assert_eq!(world.living("web").len(), 5);
    let steps = world.events(|event| match event {
        Event::RolloutStepped { step, tasks, .. } => Some((*step, *tasks)),
        _ => None,
    });
    assert_eq!(steps, [(1, 3), (2, 5)]);
}

#[test]
fn a_canary_that_restarts_too_often_is_aborted_and_stays_so() {
    let mut world = World::new(3);
    let steps = || vec![step(2, 600)];
    world.commit(vec![canary(V1, 4, steps())], None);
    world.pass(10);
    world.commit(vec![canary(V2, 4, steps())], None);
    world.pass(30);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (2, 2));
    for _ in 0..3 {
        let job = job(&world);
        let task = job
            .tasks
            .values()
            .find(|task| !job.is_outdated(task.version) && world.fleet.is_healthy(task))
            .expect("a canary")
            .id
            .to_string();
        world.exit(&task, 1);
        world.pass(5);
    }
    assert_eq!(
        aborted(&world),
        AbortReason::Restarts {
            restarts: 3,
            allowed: 2
        }
    );
    world.pass(60);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 0));
    let detail = job_detail(&world.fleet, job(&world), world.now);
    assert_eq!(detail.job.status, JobStatus::Running);
    assert!(
        detail.job.reason.contains("version 1 serves on"),
        "{}",
        detail.job.reason
    );
    assert!(alerts_of(&world).contains(&"rollout-aborted".to_owned()));

    // Nothing tries it again by itself: not time, not another leadership, not a container that dies.
    world
        .give(Input::Lead {
            cell: "test".into(),
            version: "0.1.0".to_owned(),
        })
        .expect("a leader");
    world.connect();
    world.exit("web.0", 1);
    world.pass(120);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 0));
    // A commit that leaves the containers as they are is no newer one of them.
    let mut labelled = canary(V2, 4, steps());
    labelled.owner = "other@example.com".to_owned();
    world.commit(vec![labelled], None);
    world.pass(30);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 0));

    // Nor is one that asks for no tasks, and then for some again.
    for desired in [0, 4] {
        world.commit(vec![canary(V2, desired, steps())], None);
        world.pass(30);
        assert_eq!(healthy_on(&world, V1), desired as usize);
        assert_eq!(healthy_on(&world, V2), 0);
    }

    // A newer commit supersedes it at once.
    world.commit(vec![canary(V3, 4, steps())], None);
    pass_with_at_least(&mut world, 30, 4);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V3)), (2, 2));
    world.commit(vec![canary(V1, 4, steps())], None);
    pass_with_at_least(&mut world, 60, 4);
    assert_eq!(healthy_on(&world, V1), 4);
    assert_eq!(job(&world).rollout, None);
}

#[test]
fn an_abort_replaces_the_new_tasks_before_it_stops_them() {
    let mut world = World::new(3);
    let steps = || vec![step(3, 600)];
    world.commit(vec![canary(V1, 4, steps())], None);
    world.pass(10);
    world.commit(vec![canary(V2, 4, steps())], None);
    world.pass(40);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (1, 3));
    tell(&mut world, RolloutWord::Abort).expect("it can be aborted");
    pass_with_at_least(&mut world, 60, 4);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (4, 0));
    assert_eq!(world.living("web").len(), 4);
}

#[test]
fn a_canary_asks_prometheus_and_goes_on_only_when_it_says_so() {
    let mut world = World::new(3);
    let spec = |image| with_query(canary(image, 3, vec![step(1, 10)]));
    world.commit(vec![spec(V1)], None);
    world.pass(10);
    world.commit(vec![spec(V2)], None);
    assert_eq!(questions(&world.fleet, world.now), []);
    world.pass(15);
    let asked = questions(&world.fleet, world.now);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].query, "sum(rate(errors{job=\"web\",v=\"2\"}[1m]))");

    // Never unseen, and never back for want of data.
    let nothing = |fault| Measured::Nothing { fault };
    measure(&mut world, nothing(MeasureFault::NotConfigured));
    world.pass(300);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (2, 1));
    let held = holds(&world.fleet, job(&world), world.now);
    let fault = MeasureFault::NotConfigured;
    let name = "errors".to_owned();
    assert_eq!(held, [StepHold::Inconclusive { name, fault }]);
    assert!(rollout(&world).waiting_for.contains("--prometheus"));
    let before = world.journal.len();
    measure(&mut world, nothing(MeasureFault::NotConfigured));
    assert_eq!(world.journal.len(), before, "the same again is no news");

    // An old number does not count, nor one that is not as it should be.
    measure(&mut world, Measured::Value { value: 0.2 });
    assert!(matches!(
        &holds(&world.fleet, job(&world), world.now)[..],
        [StepHold::Failing {
            failures: 1,
            limit: 3,
            ..
        }]
    ));
    world.pass(5);
    measure(&mut world, nothing(MeasureFault::NoData));
    assert_eq!(
        job(&world).rollout.as_ref().expect("one").metrics["errors"].failures,
        1
    );
    measure(&mut world, Measured::Value { value: 0.05 });
    let verdicts = world.events(|event| match event {
        Event::AnalysisMeasured { name, verdict, .. } if name == "errors" => Some(*verdict),
        _ => None,
    });
    assert_eq!(
        verdicts,
        [
            Verdict::Inconclusive,
            Verdict::Failed,
            Verdict::Inconclusive,
            Verdict::Passed
        ]
    );
    pass_with_at_least(&mut world, 60, 3);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 3));
    assert_eq!(job(&world).rollout, None);
}

#[test]
fn measurements_that_fail_in_a_row_abort_a_canary() {
    let mut world = World::new(3);
    let spec = |image| with_query(canary(image, 3, vec![step(1, 600)]));
    world.commit(vec![spec(V1)], None);
    world.pass(10);
    world.commit(vec![spec(V2)], None);
    world.pass(15);
    for failures in 1..=3 {
        assert!(job(&world).rollout.as_ref().expect("one").aborted.is_none());
        measure(
            &mut world,
            Measured::Value {
                value: 0.5 + f64::from(failures),
            },
        );
        world.pass(5);
    }
    assert_eq!(
        aborted(&world),
        AbortReason::Measurement {
            name: "errors".to_owned(),
            value: 3.5,
            failures: 3
        }
    );
    pass_with_at_least(&mut world, 30, 3);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (3, 0));
    assert_eq!(questions(&world.fleet, world.now), []);
    // An answer that comes late changes nothing.
    let before = world.journal.len();
    measure(&mut world, Measured::Value { value: 0.0 });
    assert_eq!(world.journal.len(), before);
}

#[test]
fn a_canary_that_is_not_healthy_while_it_is_held_is_aborted_and_one_that_cannot_be_seen_is_not() {
    let held = |world: &mut World| {
        let steps = || vec![step(1, 600)];
        world.commit(vec![canary(V1, 3, steps())], None);
        world.pass(10);
        world.commit(vec![canary(V2, 3, steps())], None);
        world.pass(20);
        assert_eq!(healthy_on(world, V2), 1);
        let job = job(world);
        job.tasks
            .values()
            .filter_map(|task| world.fleet.current_attempt(task))
            .find(|attempt| attempt.version == 2)
            .map(|attempt| (attempt.id, attempt.host))
            .expect("a canary")
    };
    let mut world = World::new(4);
    let (attempt, host) = held(&mut world);
    for _ in 0..20 {
        let status = world.status(attempt, muster_schemas::state::Phase::Running, Some(false));
        world.report(host, status);
        world.now += SignedDuration::from_secs(1);
        world.tick();
    }
    let failures = 3;
    let reason = aborted(&world);
    assert!(
        matches!(&reason, AbortReason::Measurement { name, value, failures: known } if name == "healthy" && *value == 0.0 && *known == failures),
        "{reason:?}"
    );

    let mut world = World::new(4);
    let (_, host) = held(&mut world);
    world.give(Input::Silent { host }).expect("a known host");
    for _ in 0..900 {
        world.now += SignedDuration::from_secs(1);
        world.tick();
        world.agents();
    }
    assert_eq!(job(&world).rollout.as_ref().expect("one").aborted, None);
    let waits = rollout(&world).waiting_for;
    assert!(waits.contains("cannot be seen"), "{waits}");
}

#[test]
fn a_canary_that_never_comes_up_is_aborted_at_its_deadline() {
    let mut world = World::new(3);
    let spec = |image| {
        let mut spec = canary(image, 3, vec![step(1, 0)]);
        spec.service
            .as_mut()
            .expect("a service")
            .rollout
            .progress_deadline = Millis::secs(60);
        spec
    };
    world.commit(vec![spec(V1)], None);
    world.pass(10);
    world.commit(vec![spec(V2)], None);
    for _ in 0..60 {
        world.now += SignedDuration::from_secs(1);
        world.tick();
    }
    assert_eq!(job(&world).rollout.as_ref().expect("one").aborted, None);
    // What is frozen gets no further, and that is no fault of its own.
    let scope = muster_schemas::plan::FreezeScope::Cell;
    let reason = "a fair".to_owned();
    let freeze = Command::Freeze {
        scope: scope.clone(),
        reason: reason.clone(),
        until: None,
    };
    world.command(freeze).expect("it can be frozen");
    for _ in 0..300 {
        world.now += SignedDuration::from_secs(1);
        world.tick();
    }
    assert_eq!(job(&world).rollout.as_ref().expect("one").aborted, None);
    world
        .command(Command::Resume { scope, reason })
        .expect("it can be resumed");
    for _ in 0..70 {
        world.now += SignedDuration::from_secs(1);
        world.tick();
    }
    assert!(matches!(
        aborted(&world),
        AbortReason::NoProgress {
            stuck: Stuck::NotHealthy { .. },
            ..
        }
    ));
    world.pass(30);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (3, 0));
}

/// A canary of `web` that has a minute to get any further, half of which is over.
fn canary_half_way() -> (World, JobSpec) {
    let mut world = World::new(3);
    let spec = |image| {
        let mut spec = canary(image, 3, vec![step(1, 0)]);
        let service = spec.service.as_mut().expect("a service");
        service.rollout.progress_deadline = Millis::secs(60);
        spec
    };
    world.commit(vec![spec(V1), service("other", 1)], None);
    world.pass(10);
    world.commit(vec![spec(V2), service("other", 1)], None);
    alone(&mut world, 40);
    (world, spec(V2))
}

/// Seconds pass in which no agent does anything.
fn alone(world: &mut World, seconds: u32) {
    for _ in 0..seconds {
        world.now += SignedDuration::from_secs(1);
        world.tick();
    }
}

fn is_aborted(world: &World) -> bool {
    job(world).rollout.as_ref().expect("one").aborted.is_some()
}

#[test]
fn a_canary_that_the_policy_froze_has_its_time_again_when_that_ends() {
    let (mut world, spec) = canary_half_way();
    let jobs = || vec![spec.clone(), service("other", 1)];
    let frozen = PolicySpec {
        freeze: Some("a fair".to_owned()),
        ..PolicySpec::built_in()
    };
    world.commit(jobs(), Some(frozen));
    alone(&mut world, 300);
    world.commit(jobs(), Some(PolicySpec::built_in()));
    assert!(!is_aborted(&world), "it could not get any further");
    alone(&mut world, 50);
    assert!(!is_aborted(&world), "it has its time again");
    alone(&mut world, 30);
    assert!(is_aborted(&world));
}

#[test]
fn the_end_of_a_freeze_gives_time_to_what_was_frozen_alone() {
    let (mut world, _) = canary_half_way();
    let scope = muster_schemas::plan::FreezeScope::Job {
        job: JobId::from("other"),
    };
    let reason = "looking".to_owned();
    let freeze = Command::Freeze {
        scope: scope.clone(),
        reason: reason.clone(),
        until: None,
    };
    world.command(freeze).expect("it can be frozen");
    let resume = Command::Resume { scope, reason };
    world.command(resume).expect("it can be resumed");
    alone(&mut world, 40);
    assert!(is_aborted(&world), "it was never frozen");
}

#[test]
fn a_canary_that_comes_back_from_its_grace_has_its_time_again() {
    let (mut world, spec) = canary_half_way();
    let prunes = || {
        Some(PolicySpec {
            prune: true,
            prune_grace: Millis::secs(3600),
            ..PolicySpec::built_in()
        })
    };
    world.commit(vec![spec.clone(), service("other", 1)], prunes());
    world.commit(vec![service("other", 1)], prunes());
    assert!(job(&world).tombstone.is_some());
    alone(&mut world, 300);
    world.commit(vec![spec, service("other", 1)], prunes());
    alone(&mut world, 50);
    assert!(!is_aborted(&world), "it was left as it is meanwhile");
    alone(&mut world, 30);
    assert!(is_aborted(&world));
}

#[test]
fn a_person_lets_a_canary_go_on_whatever_holds_it() {
    let mut world = World::new(3);
    let spec = |image| with_query(canary(image, 3, vec![step(1, 600)]));
    world.commit(vec![spec(V1)], None);
    world.pass(10);
    world.commit(vec![spec(V2)], None);
    assert!(tell(&mut world, RolloutWord::Promote).is_err());
    world.pass(20);
    tell(&mut world, RolloutWord::Promote).expect("its step is settled");
    pass_with_at_least(&mut world, 60, 3);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 3));
}

#[test]
fn a_rolling_update_stalls_and_says_so_and_can_be_aborted() {
    let mut world = World::new(1);
    let big = |image, cpu| {
        let mut spec = with_image(service("web", 2), image);
        spec.resources.cpu.0 = cpu;
        spec
    };
    world.commit(vec![big(V1, 3000)], None);
    world.pass(10);
    world.commit(vec![big(V2, 7000)], None);
    pass_with_at_least(&mut world, 700, 2);
    let view = rollout(&world);
    assert_eq!(
        (view.state, view.strategy.as_str()),
        (RolloutState::Stalled, "rolling")
    );
    tell(&mut world, RolloutWord::Abort).expect("it can be aborted");
    pass_with_at_least(&mut world, 30, 2);
    let living = world.living("web");
    let states: Vec<TaskState> = living.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [TaskState::Running, TaskState::Running]);
    assert_eq!(rollout(&world).state, RolloutState::Aborted);
    assert_eq!(world.stops(), 0);
}

#[test]
fn a_rollout_stands_where_it_stood_after_a_restart() {
    let mut world = World::new(3);
    let steps = || vec![step(1, 120)];
    world.commit(vec![canary(V1, 3, steps())], None);
    world.pass(10);
    world.commit(vec![canary(V2, 3, steps())], None);
    world.pass(20);
    let before = job(&world).rollout.clone().expect("a rollout");
    world
        .give(Input::Lead {
            cell: "test".into(),
            version: "0.1.0".to_owned(),
        })
        .expect("a leader");
    let saved = serde_json::to_vec(&world.fleet).expect("a fleet is JSON");
    world.fleet = serde_json::from_slice(&saved).expect("a snapshot reads back");
    assert_eq!(job(&world).rollout.as_ref(), Some(&before));
    world.connect();
    pass_with_at_least(&mut world, 100, 3);
    assert_eq!(
        healthy_on(&world, V2),
        1,
        "its pause goes on from where it was"
    );
    pass_with_at_least(&mut world, 60, 3);
    assert_eq!(healthy_on(&world, V2), 3);
}

#[test]
fn stops_of_the_old_set_draw_on_the_stop_budget() {
    let mut world = World::new(3);
    world.commit(vec![red_black(V1, 30, 0)], None);
    world.pass(10);
    world.commit(vec![red_black(V2, 30, 0)], None);
    world.pass(15);
    assert_eq!(world.stops(), 20, "so many in any minute");
    pass_with_at_least(&mut world, 80, 30);
    assert_eq!(world.stops(), 30);
    assert_eq!((healthy_on(&world, V1), healthy_on(&world, V2)), (0, 30));
    let ended = world.events(|event| match event {
        Event::TaskFinished { outcome, .. } => Some(*outcome),
        _ => None,
    });
    assert_eq!(ended, vec![Outcome::Stopped; 30]);
}

/// Something that happens during rollouts. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A commit of one of three images.
    Commit(u8),
    Pass(u32),
    /// A running container ends by itself.
    Exit(usize),
    /// One says that it is not healthy, until it is asked again.
    Sicken(usize),
    Silent(usize),
    Connect,
    Tell(RolloutWord),
    Measure(Option<f64>),
    Lead,
}

fn some_step() -> impl Strategy<Value = Step> {
    let words = vec![RolloutWord::Promote, RolloutWord::Abort, RolloutWord::Retry];
    let value = prop_oneof![Just(None), Just(Some(0.0)), Just(Some(1.0))];
    prop_oneof![
        3 => (0..3u8).prop_map(Step::Commit),
        8 => (1..20u32).prop_map(Step::Pass),
        2 => any::<usize>().prop_map(Step::Exit),
        2 => any::<usize>().prop_map(Step::Sicken),
        1 => any::<usize>().prop_map(Step::Silent),
        2 => Just(Step::Connect),
        2 => prop::sample::select(words).prop_map(Step::Tell),
        2 => value.prop_map(Step::Measure),
        1 => Just(Step::Lead),
    ]
}

fn some_strategy() -> impl Strategy<Value = fn(&str, u32) -> JobSpec> {
    prop::sample::select(vec![
        (|image, size| red_black(image, size, 30)) as fn(&str, u32) -> JobSpec,
        |image, size| canary(image, size, vec![step(1, 5), step(3, 5)]),
        |image, size| with_query(canary(image, size, vec![step(2, 5)])),
    ])
}

impl Step {
    fn play(self, world: &mut World, spec: impl Fn(&str) -> JobSpec) {
        match self {
            Step::Commit(image) => {
                world.commit(vec![spec([V1, V2, V3][usize::from(image)])], None);
            }
            Step::Pass(seconds) => world.pass(seconds),
            Step::Exit(which) => {
                if let Some(task) = pick_running(world, which) {
                    world.exit(&task.to_string(), 1);
                }
            }
            Step::Sicken(which) => {
                if let Some(task) = pick_running(world, which) {
                    sicken(world, &task.to_string());
                }
            }
            Step::Silent(which) => {
                let hosts: Vec<_> = world.fleet.hosts.keys().copied().collect();
                let host = hosts[which % hosts.len()];
                world.give(Input::Silent { host }).expect("a known host");
            }
            Step::Connect => world.connect(),
            // It may have nothing to be told.
            Step::Tell(word) => drop(tell(world, word)),
            Step::Measure(value) => measure(
                world,
                value.map_or(
                    Measured::Nothing {
                        fault: MeasureFault::NoData,
                    },
                    |value| Measured::Value { value },
                ),
            ),
            Step::Lead => {
                let cell = "test".into();
                let version = "0.1.0".to_owned();
                world.give(Input::Lead { cell, version }).expect("a leader");
                world.connect();
            }
        }
    }
}

fn sicken(world: &mut World, task: &str) {
    let task = task.parse().expect("a task id");
    let attempt = world.fleet.current_attempt(world.task(&task));
    let (id, host) = attempt
        .map(|known| (known.id, known.host))
        .expect("it runs");
    let status = world.status(id, muster_schemas::state::Phase::Running, Some(false));
    world.report(host, status);
}

proptest! {
    #![proptest_config(settings(48, "tests/all/rollouts.regressions"))]

    /// Whatever ends, falls ill or goes out of sight meanwhile: no rollout stops a healthy task where that would leave fewer
    /// than desired ([`Laws`] looks at each order). And when all is well again, all that is asked for runs.
    #[test]
    fn a_rollout_never_leaves_too_few_healthy_tasks(
        make in some_strategy(),
        size in 1..6u32,
        steps in vec(some_step(), 1..40),
    ) {
        let mut world = World::new(4);
        let mut laws = Laws::default();
        world.commit(vec![make(V1, size)], None);
        for step in steps {
            step.play(&mut world, |image| make(image, size));
            laws.look(&world);
        }
        world.connect();
        for _ in 0..30 {
            world.pass(20);
            measure(&mut world, Measured::Value { value: 0.0 });
            laws.look(&world);
        }
        prop_assert_eq!(world.healthy("web"), size as usize, "{:#?}", job(&world).rollout);
        prop_assert_eq!(world.living("web").len(), size as usize);
    }

    /// As long as only what has not proved itself fails, at no moment are fewer tasks healthy than were desired before: feature
    /// 14 of what people expect. It holds of aborts and of commits that supersede each other, too.
    #[test]
    fn healthy_tasks_never_drop_below_the_old_desired_count(
        make in some_strategy(),
        size in 1..6u32,
        steps in vec(some_step(), 1..40),
    ) {
        let mut world = World::new(4);
        let mut laws = Laws::default();
        world.commit(vec![make(V1, size)], None);
        world.pass(15);
        for step in steps {
            let healthy = |world: &World| world.healthy("web");
            match step {
                Step::Pass(seconds) => {
                    for _ in 0..seconds {
                        world.pass(1);
                        prop_assert!(healthy(&world) >= size as usize);
                    }
                }
                // Tasks beside as many healthy ones as are desired: their end is what a rollout is to bear.
                Step::Exit(which) | Step::Sicken(which) if healthy(&world) > size as usize => {
                    let unproved: Vec<String> = job(&world)
                        .tasks
                        .values()
                        .filter(|task| world.fleet.is_healthy(task) && !job(&world).is_stable(task.version))
                        .map(|task| task.id.to_string())
                        .collect();
                    if job(&world).movement() != Movement::Rolling && !unproved.is_empty() {
                        world.exit(&unproved[which % unproved.len()], 1);
                    }
                }
                Step::Exit(_) | Step::Sicken(_) | Step::Silent(_) | Step::Connect | Step::Lead => {}
                step => step.play(&mut world, |image| make(image, size)),
            }
            prop_assert!(healthy(&world) >= size as usize);
            laws.look(&world);
        }
    }
}

/// What a document with this under `service.rollout` is refused for.
fn refusals(rollout: &str) -> Vec<String> {
    let yaml = format!(
        "apiVersion: muster/v1\nkind: Job\nname: web\nowner: team@example.com\nimage: registry.example.com/web:1\nservice:\n  capacity: {{desired: 3}}\n  rollout: {rollout}\n"
    );
    let file = muster_core::specs::SpecFile {
        path: "web.yaml".to_owned(),
        bytes: yaml.into_bytes().into(),
    };
    let documents = muster_core::specs::read(&[file]);
    assert_eq!(
        documents.specs.len() + documents.diagnostics.len().min(1),
        1
    );
    let diagnostics = documents.diagnostics.into_iter();
    diagnostics.map(|problem| problem.message).collect()
}

#[test]
fn a_rollout_is_written_one_way_and_within_its_bounds() {
    for sound in [
        "{redBlack: {}}",
        "{redBlack: {keepOld: 1h}, maxSurge: 0}",
        "{progressDeadline: 1h, minHealthyTime: 2h}",
        "{canary: {steps: [{tasks: 1, pause: 5m}, {percent: 50}, {percent: 100, pause: 1h}]}}",
        "{canary: {steps: [{tasks: 1}], analysis: {prometheus: [{name: errors, query: up, min: 1, max: 2.5}]}}}",
    ] {
        assert_eq!(refusals(sound), Vec::<String>::new(), "{sound}");
    }
    let query = |query: &str| {
        format!("{{canary: {{steps: [{{tasks: 1}}], analysis: {{prometheus: [{query}]}}}}}}")
    };
    for (wrong, words) in [
        ("{redBlack: {keepOld: 2d}}".to_owned(), "keepOld"),
        (
            "{redBlack: {}, canary: {steps: [{tasks: 1}]}}".to_owned(),
            "goes one way",
        ),
        ("{canary: {steps: []}}".to_owned(), "0 steps"),
        ("{canary: {}}".to_owned(), "steps"),
        (
            "{canary: {steps: [{tasks: 1, percent: 5}]}}".to_owned(),
            "has both",
        ),
        (
            "{canary: {steps: [{pause: 5m}]}}".to_owned(),
            "does not say how many",
        ),
        ("{canary: {steps: [{percent: 101}]}}".to_owned(), "percent"),
        (
            "{canary: {steps: [{tasks: 3}, {tasks: 2}]}}".to_owned(),
            "fewer tasks",
        ),
        (
            "{canary: {steps: [{tasks: 1, pause: 25h}]}}".to_owned(),
            "pause",
        ),
        (
            "{canary: {steps: [{tasks: 1}], analysis: {interval: 1s}}}".to_owned(),
            "interval",
        ),
        (
            "{canary: {steps: [{tasks: 1}], analysis: {failureLimit: 0}}}".to_owned(),
            "failureLimit",
        ),
        (
            query("{name: healthy, query: up, max: 1}"),
            "cannot be called",
        ),
        (query("{name: errors, query: up}"), "may be"),
        (query("{name: errors, query: '', max: 1}"), "empty"),
        (
            query("{name: errors, query: up, max: 1, min: 2}"),
            "more than",
        ),
        (
            query("{name: a, query: up, max: 1}, {name: a, query: up, max: 1}"),
            "two queries",
        ),
        ("{progressDeadline: 1s}".to_owned(), "progressDeadline"),
    ] {
        let refusals = refusals(&wrong);
        assert!(
            refusals.iter().any(|message| message.contains(words)),
            "{wrong}: {refusals:?}"
        );
    }
}

/// A pipeline hears of it: what a rollout ends as, its deploy ends as.
#[test]
fn a_deploy_ends_as_its_rollout_does() {
    use muster_core::decide::deploy::{Standing, standing};
    use muster_schemas::deploy::{DeploySpec, DeployStatus};
    let under_way = |make: &dyn Fn(&str) -> JobSpec| {
        let mut world = World::new(3);
        world.commit(vec![make(V1)], None);
        world.pass(10);
        let spec: DeploySpec = serde_json::from_value(serde_json::json!({
            "job": "web", "image": V2, "deadline": "2026-11-24T12:00:00Z"
        }))
        .expect("a deploy");
        let deploy = "d1".into();
        world
            .command(Command::Deploy { deploy, spec })
            .expect("it is taken");
        world.commit(vec![make(V2)], None);
        let commit = world.fleet.revision.clone().expect("a revision").commit;
        let deploy = "d1".into();
        world
            .give(Input::DeployCommitted { deploy, commit })
            .expect("it is taken");
        world
    };
    let ended = |world: &World| {
        let deploy = world.fleet.deploys.back().expect("a deploy");
        (deploy.status, deploy.message.clone())
    };

    // Red/black: when the new set is settled, not when the old one is gone.
    let mut world = under_way(&|image| red_black(image, 3, 600));
    world.pass(3);
    let deploy = world.fleet.deploys.back().expect("a deploy");
    let stand = standing(&world.fleet, deploy, world.now);
    assert!(matches!(stand, Standing::UnderWay(_)), "{stand:?}");
    world.pass(10);
    assert_eq!(ended(&world).0, DeployStatus::Succeeded);
    assert_eq!(healthy_on(&world, V1), 3);

    let mut world = under_way(&|image| canary(image, 3, vec![step(1, 600)]));
    world.pass(15);
    assert_eq!(ended(&world).0, DeployStatus::Running);
    tell(&mut world, RolloutWord::Abort).expect("it can be aborted");
    let (status, message) = ended(&world);
    assert_eq!(status, DeployStatus::Failed);
    assert!(message.contains("version 1 serves on"), "{message}");
}

#[test]
fn a_service_can_be_scaled_up_while_red_black_keeps_two_sets() {
    let mut world = World::new(4);
    world.commit(vec![red_black(V1, 12, 600)], None);
    world.pass(40);
    world.commit(vec![red_black(V2, 12, 600)], None);
    world.pass(40);
    assert!(world.healthy("web") > 12, "both sets are there");
    let scale = |world: &mut World, desired: u32| {
        let command = Command::Scale {
            job: JobId::from("web"),
            desired,
            reason: "a test".to_owned(),
            until: None,
        };
        world.command(command).map(drop)
    };
    scale(&mut world, 13).expect("nothing stops for it");
    // Going down takes of both.
    assert!(matches!(
        scale(&mut world, 2),
        Err(Refusal::TooManyStops { .. })
    ));
}
