//! What is predicted of a plan is what comes about, where nothing else happens.

use crate::common::{World, batch, service, settings, with_image};
use muster_core::decide::Input;
use muster_core::fleet::PlanOutcome;
use muster_core::plan::plan;
use muster_core::predict::predict;
use muster_core::view::plan_view;
use muster_schemas::ids::PlanId;
use muster_schemas::plan::{Plan, Prediction};
use muster_schemas::spec::{Bytes, JobSpec, Millis, PolicySpec};
use proptest::prelude::*;

/// Commits, and answers with what was predicted just before and what came about.
fn commit(
    world: &mut World,
    jobs: Vec<JobSpec>,
    prune: bool,
    seconds: u32,
) -> (Prediction, PlanOutcome, Plan) {
    let before = world.fleet.clone();
    let now = world.now;
    world.commit(
        jobs,
        Some(PolicySpec {
            prune,
            prune_grace: muster_schemas::spec::Millis(0),
            ..PolicySpec::named("default")
        }),
    );
    let input = world.last_input.clone().expect("a commit was made");
    let made = plan(&before, &input, now);
    let prediction = predict(&before, &made, now);
    world
        .give(Input::Predicted {
            plan: made.id.clone(),
            prediction: Box::new(prediction.clone()),
        })
        .unwrap();
    world.pass(seconds);
    let entry = world.fleet.plan(&made.id).expect("the latest plan");
    (prediction, entry.outcome.clone(), made)
}

fn big(name: &str, desired: u32) -> JobSpec {
    let mut spec = service(name, desired);
    spec.resources.memory = Bytes::mib(3000);
    spec
}

#[test]
fn a_rollout_is_predicted_with_hosts_stops_and_time() {
    let mut world = World::new(3);
    commit(&mut world, vec![service("web", 3)], false, 20);
    let next = vec![with_image(service("web", 3), "registry.example.com/app:2")];
    let (prediction, outcome, made) = commit(&mut world, next, false, 60);
    assert_eq!((prediction.started, prediction.stopped), (3, 3));
    assert_eq!((outcome.started, outcome.stopped), (3, 3));
    assert!(!prediction.goes_on);
    let applied = world.fleet.plan(&made.id).unwrap().applied_at.unwrap();
    let took = outcome.last_at.unwrap().duration_since(applied).as_secs();
    assert!(
        (i64::from(prediction.seconds) - took).abs() <= 5,
        "{} s were predicted, it took {took} s",
        prediction.seconds
    );
    let view = plan_view(&world.fleet, world.fleet.plan(&made.id).unwrap());
    assert_eq!(view.outcome.unwrap().started, 3);
    insta::assert_json_snapshot!("rollout", prediction);
}

#[test]
fn what_will_find_no_host_is_told_with_the_reason() {
    let mut world = World::new(1);
    let (prediction, outcome, _) = commit(&mut world, vec![big("huge", 40)], false, 20);
    assert!(prediction.without_host > 0);
    assert_eq!(prediction.started + prediction.without_host, 40);
    assert_eq!(outcome.started, prediction.started);
    assert!(
        prediction.blocked[0].reason.contains("memory"),
        "{:?}",
        prediction.blocked[0]
    );
}

/// How long a program takes nobody knows: of a batch its starts are predicted, and not that it runs into its limit.
#[test]
fn a_batch_is_predicted_to_start_and_to_run_on() {
    let mut world = World::new(1);
    let mut job = batch("sum", 2, 0);
    job.batch.as_mut().unwrap().runtime_limit = Millis::secs(10);
    let (prediction, ..) = commit(&mut world, vec![job, service("web", 1)], false, 0);
    assert_eq!((prediction.started, prediction.stopped), (3, 0));
    assert!(!prediction.goes_on);
    assert_eq!(prediction.taken[0].after.containers, 3);
}

#[test]
fn predicting_changes_nothing_and_is_the_same_each_time() {
    let mut world = World::new(3);
    commit(&mut world, vec![service("web", 3)], false, 20);
    let before = world.fleet.clone();
    world.commit(vec![service("web", 5)], None);
    let input = world.last_input.clone().unwrap();
    let made = plan(&before, &input, world.now);
    let copy = before.clone();
    let once = predict(&before, &made, world.now);
    assert_eq!(once, predict(&before, &made, world.now));
    assert_eq!(before, copy);
    // Of a plan that is not the fleet's own nothing is kept.
    let stray = Input::Predicted {
        plan: PlanId::from("no such plan"),
        prediction: Box::new(once),
    };
    let seq = world.fleet.seq;
    world.give(stray).unwrap();
    assert_eq!(world.fleet.seq, seq);
}

proptest! {
    #![proptest_config(settings(64, "tests/all/predictions.regressions"))]

    /// Starts, stops and the tasks without a host are as many as predicted, and what is there at the end is taken as predicted.
    #[test]
    fn what_is_predicted_comes_about(
        hosts in 1..4u32,
        first in prop::collection::vec(1..4u32, 1..4),
        second in prop::collection::vec((0..5u32, any::<bool>()), 1..4),
        prune in any::<bool>(),
    ) {
        let mut world = World::new(hosts);
        let jobs = |sizes: Vec<(u32, bool)>| -> Vec<JobSpec> {
            sizes.into_iter().enumerate().filter(|(_, (size, _))| *size > 0).map(|(number, (size, other))| {
                let mut spec = service(&format!("job{number}"), size);
                spec.service.as_mut().unwrap().rollout.min_healthy_time = Millis::secs(3);
                if other { with_image(spec, "registry.example.com/app:2") } else { spec }
            }).collect()
        };
        let first = jobs(first.into_iter().map(|size| (size, false)).collect());
        let second = jobs(second);
        prop_assume!(!second.is_empty());
        commit(&mut world, first, prune, 40);
        let (prediction, outcome, made) = commit(&mut world, second, prune, 200);
        prop_assume!(world.fleet.held_plan().is_none());
        prop_assert_eq!(prediction.started, outcome.started, "{:#?}", made.changes);
        prop_assert_eq!(prediction.stopped, outcome.stopped, "{:#?}", made.changes);
        prop_assert!(!prediction.goes_on);
        // The taken resources of the end are those of the fleet as it now is.
        let nothing = plan(&world.fleet, &world.last_input.clone().unwrap(), world.now);
        let now = predict(&world.fleet, &nothing, world.now);
        for (then, now) in prediction.taken.iter().filter(|taken| taken.after != Default::default()).zip(&now.taken) {
            prop_assert_eq!((&then.part, then.after), (&now.part, now.before));
        }
    }
}
