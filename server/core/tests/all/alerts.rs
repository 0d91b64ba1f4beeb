//! What needs somebody's eye.

use crate::common::{World, batch, service};
use jiff::{SignedDuration, Timestamp};
use muster_core::view::alerts;
use muster_schemas::state::Phase;

fn told(world: &World) -> Vec<(String, String)> {
    alerts(&world.fleet, None, world.now)
        .into_iter()
        .map(|alert| (alert.code, alert.message))
        .collect()
}

#[test]
fn an_image_that_never_comes_is_told() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    let task = "web.0".parse().expect("a task id");
    let says = |world: &mut World, phase: Phase| {
        let attempt = world.fleet.current_attempt(world.task(&task)).cloned();
        let attempt = attempt.expect("it is placed");
        let mut status = world.status(attempt.id, phase, None);
        status.started_at = None;
        world.report(attempt.host, status);
    };
    let waiting = || Phase::Waiting {
        message: "the image could not be pulled: not found".to_owned(),
        until: Timestamp::UNIX_EPOCH,
    };
    let pulling = |done| Phase::Pulling { done, total: 0 };
    says(&mut world, waiting());
    assert_eq!(told(&world), [], "once is no news");

    world.now += SignedDuration::from_secs(120);
    let said = |why: &str| {
        let text = format!(
            "web is degraded: 0 of 1 task is healthy, 1 starting; web.0 does not start: {why}."
        );
        [("job-degraded".to_owned(), text)]
    };
    assert_eq!(
        told(&world),
        said("the image could not be pulled: not found")
    );
    // It is tried again, which is no progress.
    says(&mut world, pulling(0));
    assert_eq!(told(&world), said("nothing of its image has come"));
    // A large image takes its time.
    says(&mut world, pulling(1 << 20));
    assert_eq!(told(&world), []);
    world.pass(20);
    assert_eq!(world.healthy("web"), 1);
    assert_eq!(told(&world), []);
}

#[test]
fn a_batch_job_that_failed_is_told() {
    let mut world = World::new(1);
    world.commit(vec![batch("nightly", 2, 0)], None);
    world.pass(1);
    world.exit("nightly.0", 0);
    world.exit("nightly.1", 3);
    world.pass(1);
    let said = "nightly did not succeed: 1 of 2 tasks did not succeed. Read its log.";
    assert_eq!(told(&world), [("job-failed".to_owned(), said.to_owned())]);
}

#[test]
fn a_job_that_nobody_asks_for_is_told_while_it_runs_on() {
    let mut world = World::new(1);
    let others = || service("other", 1);
    world.commit(
        vec![service("web", 1), batch("nightly", 1, 0), others()],
        None,
    );
    world.pass(2);
    world.exit("nightly.0", 0);
    world.commit(vec![others()], None);
    let codes: Vec<_> = told(&world).into_iter().map(|(code, _)| code).collect();
    assert_eq!(
        codes,
        ["job-undeclared"],
        "nothing of the batch job runs on"
    );
}
