//! What differs between two moments, as people read it.

use crate::common::{World, batch, service, with_image};
use muster_core::decide::Command;
use muster_core::fleet::Fleet;
use muster_core::view::{ACTS, diff};
use muster_schemas::event::{Event, Record};
use muster_schemas::past::{AsOf, FleetDiff, Presence};
use muster_schemas::plan::FreezeScope;
use muster_schemas::spec::{Millis, PolicySpec};

fn now(world: &World) -> (Fleet, AsOf) {
    let as_of = AsOf {
        seq: world.fleet.seq,
        at: world.now,
    };
    (world.fleet.clone(), as_of)
}

/// From a moment to now, with the records that the control plane would look up.
fn since(world: &World, (before, from): &(Fleet, AsOf)) -> FleetDiff {
    let records: Vec<Record> = world.journal[from.seq as usize..]
        .iter()
        .filter(|record| {
            let kind = muster_core::describe::subjects(record).kind;
            ACTS.contains(&kind) || kind == "stop_ordered"
        })
        .cloned()
        .collect();
    let (after, to) = now(world);
    diff((before, *from), (&after, to), &records, true)
}

/// One line for each thing that differs.
fn lines(diff: &FleetDiff) -> String {
    let mut lines = Vec::new();
    let at = |version: Option<u64>| version.map_or("-".to_owned(), |version| version.to_string());
    for job in &diff.jobs {
        lines.push(format!(
            "job {} {}: version {} -> {}, {:?} -> {:?}, {:?}, by {} plans",
            job.job,
            job.presence.word(),
            at(job.version_from),
            at(job.version_to),
            job.status_from,
            job.status_to,
            job.tasks,
            job.plans.len()
        ));
        for field in &job.fields {
            lines.push(format!(
                "  {}: {} -> {}",
                field.path,
                field
                    .from
                    .as_ref()
                    .map_or("-".to_owned(), ToString::to_string),
                field
                    .to
                    .as_ref()
                    .map_or("-".to_owned(), ToString::to_string)
            ));
        }
    }
    for task in &diff.tasks {
        let then = |then: &Option<muster_schemas::past::TaskThen>| {
            then.as_ref().map_or("-".to_owned(), |then| {
                format!(
                    "{} on {} v{} #{}",
                    then.state.word(),
                    then.host.as_deref().unwrap_or("-"),
                    then.version,
                    then.attempt_number
                )
            })
        };
        lines.push(format!(
            "task {} {}: {} -> {}",
            task.task,
            task.presence.word(),
            then(&task.from),
            then(&task.to)
        ));
    }
    for host in &diff.hosts {
        lines.push(format!(
            "host {} {}: reachable {:?} -> {:?}",
            host.name,
            host.presence.word(),
            host.reachable_from,
            host.reachable_to
        ));
    }
    for plan in &diff.plans {
        let subject = plan
            .revision
            .as_ref()
            .map(|revision| format!("{} by {}", revision.subject, revision.author));
        lines.push(format!(
            "plan by {}: {:?}, jobs {:?}",
            plan.by, subject, plan.jobs
        ));
    }
    for act in &diff.acts {
        lines.push(format!("{} {}: {}", act.actor, act.kind, act.text));
    }
    lines.join("\n")
}

#[test]
fn a_new_image_says_the_fields_the_tasks_and_the_commit() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 2), service("api", 1)], None);
    world.pass(10);
    let before = now(&world);
    world.commit(
        vec![
            with_image(service("web", 2), "registry.example.com/app:2"),
            service("api", 1),
        ],
        None,
    );
    world.pass(60);
    insta::assert_snapshot!(lines(&since(&world, &before)));
}

#[test]
fn jobs_come_and_go_and_people_are_named() {
    let mut world = World::new(1);
    let policy = PolicySpec {
        prune: true,
        prune_grace: Millis(0),
        ..PolicySpec::named("default")
    };
    world.commit(vec![service("web", 2)], Some(policy.clone()));
    world.pass(10);
    let before = now(&world);
    world.commit(vec![batch("sum", 1, 0)], Some(policy));
    world.pass(30);
    world
        .command(Command::StopTask {
            task: "sum.0".parse().expect("a task"),
            reason: "it looks stuck".to_owned(),
        })
        .expect("it runs");
    world
        .command(Command::Freeze {
            scope: FreezeScope::Cell,
            reason: "we look at it".to_owned(),
            until: None,
        })
        .expect("it can be frozen");
    world.pass(5);
    let found = since(&world, &before);
    insta::assert_snapshot!(lines(&found));
    let job = |name: &str| {
        let job = found.jobs.iter().find(|job| job.job == name);
        job.map(|job| {
            (
                job.presence,
                job.tasks_from["running"],
                job.tasks_to["running"],
            )
        })
    };
    assert_eq!(job("sum"), Some((Presence::Appeared, 0, 0)));
    assert!(
        matches!(job("web"), Some((Presence::Gone | Presence::Changed, 2, 0))),
        "{:?}",
        job("web")
    );
}

#[test]
fn a_stop_that_nobody_asked_for_is_nobody_s_act() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 3)], None);
    world.pass(10);
    let before = now(&world);
    world.commit(vec![service("web", 1)], None);
    world.pass(10);
    let found = since(&world, &before);
    let stops = world.events(|event| matches!(event, Event::StopOrdered { .. }).then_some(()));
    assert_eq!(stops.len(), 2, "it gets smaller");
    assert_eq!(found.acts, []);
    assert_eq!(found.jobs[0].tasks.state + found.jobs[0].tasks.gone, 2);
    assert_eq!(found.jobs[0].plans, [found.plans[0].plan.clone()]);
}

#[test]
fn more_than_can_be_listed_is_counted() {
    let mut world = World::new(0);
    let before = now(&world);
    let jobs = (0..FleetDiff::LISTED + 5)
        .map(|number| service(&format!("job-{number:04}"), 1))
        .collect();
    world.commit(jobs, None);
    let found = since(&world, &before);
    assert_eq!(found.jobs.len(), FleetDiff::LISTED);
    assert_eq!(found.jobs_differ as usize, FleetDiff::LISTED + 5);
    assert_eq!(found.tasks.len(), FleetDiff::LISTED);
    assert_eq!(found.tasks_differ as usize, FleetDiff::LISTED + 5);
}
