//! Batch jobs: each of their tasks finishes once.

use crate::common::{World, batch, service, with_image};
use muster_core::fleet::TaskPhase;
use muster_core::view::task_detail;
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;
use muster_schemas::spec::{JobSpec, PolicySpec};
use muster_schemas::state::{FinishReason, Outcome, TaskState};

fn prune() -> Option<PolicySpec> {
    Some(PolicySpec {
        prune: true,
        prune_grace: muster_schemas::spec::Millis(0),
        ..PolicySpec::named("default")
    })
}

/// What is beyond the size is not asked for: it neither makes the job a failure nor counts as a part of its work.
#[test]
fn a_batch_that_was_made_smaller_is_done_when_what_is_left_of_it_is() {
    let mut world = World::new(2);
    world.commit(vec![batch("sum", 4, 0)], None);
    world.agents();
    world.exit("sum.3", 1);
    world.commit(vec![batch("sum", 2, 0)], None);
    world.pass(5);
    let status = |world: &World| {
        let job = &world.fleet.jobs[&JobId::from("sum")];
        muster_core::view::job_view(&world.fleet, job, world.now).status
    };
    assert_eq!(status(&world), muster_schemas::api::JobStatus::Running);
    world.exit("sum.0", 0);
    world.exit("sum.1", 0);
    world.pass(1);
    assert_eq!(status(&world), muster_schemas::api::JobStatus::Succeeded);
}

/// What is done is done, however the size goes: only what was given up for it begins again.
#[test]
fn a_batch_that_is_made_smaller_and_larger_does_nothing_twice() {
    let mut world = World::new(2);
    world.commit(vec![batch("sum", 4, 0)], None);
    world.agents();
    world.exit("sum.1", 1);
    world.exit("sum.2", 0);
    world.pass(5);
    world.commit(vec![batch("sum", 1, 0)], None);
    // Longer than anything that has finished is kept.
    world.pass(1500);
    world.commit(vec![batch("sum", 4, 0)], None);
    world.pass(5);
    let placed = |world: &World, index| {
        let of = |event: &Event| match event {
            Event::AttemptPlaced { task, .. } if task.index == index => Some(()),
            _ => None,
        };
        world.events(of).len()
    };
    assert_eq!(
        [0, 1, 2, 3].map(|index| placed(&world, index)),
        [1, 1, 1, 2]
    );
}

#[test]
fn each_batch_index_finishes_exactly_once() {
    let mut world = World::new(2);
    world.commit(vec![batch("sum", 20, 2)], None);
    world.agents();
    for _ in 0..100 {
        let living = world.living("sum");
        if living.is_empty() {
            break;
        }
        for (index, state) in living {
            if state == TaskState::Running {
                world.exit(&format!("sum.{index}"), i32::from(index % 5 == 0));
            }
        }
        world.pass(1);
    }
    let finished = world.events(|event| match event {
        Event::TaskFinished {
            task,
            outcome,
            reason,
        } => Some((task.index, *outcome, reason.clone())),
        _ => None,
    });
    assert_eq!(finished.len(), 20);
    for index in 0..20 {
        let own: Vec<_> = finished
            .iter()
            .filter(|(known, ..)| *known == index)
            .collect();
        assert_eq!(own.len(), 1, "index {index}");
        let attempts = world.events(|event| match event {
            Event::AttemptPlaced { task, .. } if task.index == index => Some(()),
            _ => None,
        });
        if index % 5 == 0 {
            assert_eq!(own[0].1, Outcome::Failed);
            assert!(matches!(
                own[0].2,
                FinishReason::RetriesExhausted { retries: 2, .. }
            ));
            assert_eq!(attempts.len(), 3);
        } else {
            assert_eq!(
                (own[0].1, &own[0].2),
                (Outcome::Succeeded, &FinishReason::Done)
            );
            assert_eq!(attempts.len(), 1);
        }
    }
    // Nothing begins again by itself, nor by a commit that only changes the image; a new `run` does it.
    world.pass(700);
    world.commit(
        vec![with_image(
            batch("sum", 20, 2),
            "registry.example.com/app:2",
        )],
        None,
    );
    world.pass(5);
    assert!(world.living("sum").is_empty());
    let mut again = with_image(batch("sum", 20, 2), "registry.example.com/app:2");
    again.batch.as_mut().unwrap().run = Some("second".to_owned());
    world.commit(vec![again], None);
    world.pass(2);
    assert_eq!(world.living("sum").len(), 20);
}

#[test]
fn a_batch_task_that_runs_too_long_is_stopped_and_has_failed() {
    let mut world = World::new(1);
    let mut spec = batch("slow", 1, 5);
    spec.batch.as_mut().unwrap().runtime_limit = muster_schemas::spec::Millis::secs(30);
    world.commit(vec![spec], None);
    world.pass(29);
    assert_eq!(world.stops(), 0);
    world.pass(5);
    let task = world.task(&"slow.0".parse().unwrap());
    assert!(
        matches!(
            &task.phase,
            TaskPhase::Finished {
                outcome: Outcome::Failed,
                reason: FinishReason::RuntimeLimit { .. },
                ..
            }
        ),
        "{task:?}"
    );
}

#[test]
fn what_became_of_a_batch_task_is_known_long_after_its_container_is_gone() {
    let mut world = World::new(1);
    world.commit(vec![batch("parts", 1, 5)], None);
    world.pass(1);
    for _ in 0..4 {
        world.exit("parts.0", 3);
        world.pass(1);
    }
    world.exit("parts.0", 0);
    world.pass(1);
    let view = |world: &World| {
        let job = &world.fleet.jobs[&JobId::from("parts")];
        task_detail(&world.fleet, job, &job.tasks[&0], world.now)
    };
    let before = view(&world);
    assert_eq!(before.task.exit_code, Some(0));
    world.pass(1_300);
    assert!(world.fleet.attempts.is_empty(), "its containers are gone");
    let after = view(&world);
    assert_eq!(after.task, before.task);
    let told: Vec<_> = after
        .attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.exit_code, attempt.has_log))
        .collect();
    assert_eq!(
        told,
        [
            (5, Some(0), false),
            (4, Some(3), false),
            (3, Some(3), false)
        ]
    );
}

#[test]
fn a_batch_job_that_is_removed_and_back_begins_a_new_run() {
    let mut world = World::new(1);
    let jobs = |more: Vec<JobSpec>| [vec![service("web", 1)], more].concat();
    world.commit(jobs(vec![batch("sum", 2, 0)]), prune());
    world.pass(2);
    world.exit("sum.0", 0);
    world.pass(1);
    world.commit(jobs(vec![]), prune());
    world.tick();
    // Back before the running one has ended.
    world.commit(jobs(vec![batch("sum", 2, 0)]), prune());
    assert_eq!(world.fleet.plans.back().unwrap().plan.starts, 2);
    world.pass(5);
    assert_eq!(
        world.living("sum"),
        [(0, TaskState::Running), (1, TaskState::Running)]
    );
    assert_eq!(world.fleet.jobs[&JobId::from("sum")].run, 2);
}
