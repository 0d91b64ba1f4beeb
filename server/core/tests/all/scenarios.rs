//! What the core decides in situations that people meet.

use crate::common::{World, batch, service, with_image};
use jiff::SignedDuration;
use muster_core::decide::Command;
use muster_core::fleet::TaskPhase;
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::{
    ConstraintSet, ExponentialBackoffRetry, ImmediateRetry, Limits, Millis, PolicySpec, RetryPolicy,
};
use muster_schemas::state::{
    FinishReason, HostRefusal, Outcome, QueueReason, StopReason, TaskState,
};

fn prune() -> Option<PolicySpec> {
    Some(PolicySpec {
        prune: true,
        prune_grace: muster_schemas::spec::Millis(0),
        ..PolicySpec::named("default")
    })
}

#[test]
fn a_commit_starts_what_it_asks_for_and_spreads_it() {
    let mut world = World::new(3);
    world.commit(vec![service("web", 3)], None);
    world.pass(2);
    assert_eq!(
        world.living("web"),
        [
            (0, TaskState::Running),
            (1, TaskState::Running),
            (2, TaskState::Running)
        ]
    );
    let hosts: std::collections::BTreeSet<_> = world.running.values().collect();
    assert_eq!(hosts.len(), 3, "one on each host");
    assert_eq!(world.healthy("web"), 3);
}

#[test]
fn planning_again_after_applying_changes_nothing() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 3)], None);
    world.pass(2);
    let before = world.journal.len();
    // The same documents under a new commit: a plan is told, but it is empty and nothing moves.
    world.commit(vec![service("web", 3)], None);
    let new: Vec<_> = world.journal[before..]
        .iter()
        .map(|record| &record.event)
        .collect();
    assert!(
        matches!(new[..], [Event::PlanMade { plan }, Event::PlanApplied { .. }] if plan.changes.is_empty()),
        "{new:?}"
    );
}

#[test]
fn a_rolling_update_never_drops_below_the_minimum() {
    for (surge, unavailable) in [(1, 0), (2, 0), (0, 1), (0, 2), (3, 3), (1, 1)] {
        let mut world = World::new(3);
        let mut spec = service("web", 4);
        let rollout = &mut spec.service.as_mut().unwrap().rollout;
        rollout.max_surge = surge;
        rollout.max_unavailable = unavailable;
        world.commit(vec![spec.clone()], None);
        world.pass(10);
        world.commit(vec![with_image(spec, "registry.example.com/app:2")], None);
        let mut done = false;
        for _ in 0..200 {
            world.pass(1);
            let living = world.living("web").len();
            assert!(
                world.healthy("web") >= (4 - unavailable as usize),
                "surge {surge}, unavailable {unavailable}"
            );
            assert!(
                living <= 4 + surge as usize,
                "surge {surge}, unavailable {unavailable}: {living} live"
            );
            let job = &world.fleet.jobs[&JobId::from("web")];
            if world.healthy("web") == 4
                && living == 4
                && job
                    .tasks
                    .values()
                    .all(|task| task.is_finished() || !job.is_outdated(task.version))
            {
                done = true;
                break;
            }
        }
        assert!(
            done,
            "surge {surge}, unavailable {unavailable}: the rollout ends"
        );
    }
}

#[test]
fn a_rollout_to_something_that_never_gets_healthy_stops_at_its_first_step() {
    let mut world = World::new(3);
    world.commit(vec![service("web", 3)], None);
    world.pass(10);
    let before: Vec<_> = world.running.keys().copied().collect();
    world.sick.insert("web".to_owned());
    world.commit(
        vec![with_image(service("web", 3), "registry.example.com/app:2")],
        None,
    );
    // Only what starts from here on is sick: the old ones keep their word.
    for _ in 0..60 {
        world.now += jiff::SignedDuration::from_secs(1);
        world.tick();
        let hosts: Vec<_> = world.fleet.hosts.keys().copied().collect();
        for host in hosts {
            for item in muster_core::assign::assignments(&world.fleet, host).items {
                if before.contains(&item.attempt()) {
                    assert!(
                        matches!(item, muster_schemas::wire::Assignment::Run(_)),
                        "an old task is stopped"
                    );
                }
            }
        }
    }
    assert_eq!(world.stops(), 0);
}

#[test]
fn removing_a_document_stops_nothing_without_prune() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 3), service("api", 2)], None);
    world.pass(5);
    world.commit(vec![service("api", 2)], None);
    world.pass(60);
    // Longer than any grace.
    world.now += SignedDuration::from_hours(48);
    world.pass(10);
    assert_eq!(world.healthy("web"), 3);
    assert!(!world.fleet.jobs[&JobId::from("web")].declared);
    assert_eq!(world.stops(), 0);
    // Back again: the same containers, and declared.
    world.commit(vec![service("web", 3), service("api", 2)], None);
    world.pass(5);
    assert!(world.fleet.jobs[&JobId::from("web")].declared);
    assert_eq!(world.stops(), 0);
}

#[test]
fn removing_a_document_with_prune_stops_its_tasks_and_forgets_the_job() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 3), service("api", 2)], prune());
    world.pass(5);
    world.commit(vec![service("api", 2)], prune());
    world.pass(5);
    assert_eq!(world.healthy("web"), 0);
    assert_eq!(world.healthy("api"), 2);
    let reasons = world.events(|event| match event {
        Event::StopOrdered { order } => Some((order.reason.clone(), order.plan.is_some())),
        _ => None,
    });
    assert_eq!(reasons, vec![(StopReason::Prune, true); 3]);
}

#[test]
fn an_empty_repository_is_trouble_and_not_a_wish() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 3)], prune());
    world.pass(5);
    world.commit(vec![], None);
    world.pass(30);
    assert_eq!(world.healthy("web"), 3);
    assert!(world.fleet.trouble.is_some());
    world.commit(vec![service("web", 3)], prune());
    assert!(world.fleet.trouble.is_none());
}

#[test]
fn a_document_that_cannot_be_read_is_not_a_deletion() {
    let problem = |job: Option<&str>, path: &str| Diagnostic {
        code: "unknown-field".to_owned(),
        path: path.to_owned(),
        line: 3,
        column: 1,
        source_line: String::new(),
        width: 0,
        message: "no such field".to_owned(),
        help: String::new(),
        job: job.map(JobId::from),
    };
    for diagnostic in [
        problem(Some("web"), "jobs/web.yaml"),
        problem(None, "jobs/web.yaml"),
        problem(None, "elsewhere.yaml"),
    ] {
        let mut world = World::new(2);
        world.commit(vec![service("web", 3), service("api", 1)], prune());
        world.pass(5);
        world.commit_with(vec![service("api", 2)], prune(), vec![diagnostic]);
        world.pass(5);
        assert_eq!(world.healthy("web"), 3, "the job stays on the spec it had");
        assert_eq!(world.healthy("api"), 2, "the others go ahead");
        assert!(world.fleet.jobs[&JobId::from("web")].declared);
    }
}

#[test]
fn a_plan_that_would_stop_too_much_stops_nothing() {
    let mut world = World::new(3);
    let jobs: Vec<_> = ["a", "b", "c"].map(|name| service(name, 4)).into();
    world.commit(jobs, prune());
    world.pass(5);
    world.commit(vec![service("a", 4), service("new", 1)], prune());
    world.pass(60);
    assert_eq!(world.stops(), 0);
    assert!(
        world.living("new").is_empty(),
        "a held plan does nothing at all"
    );
    assert!(world.fleet.held_plan().is_some());
    // The next commit that is within the limits takes its place.
    world.commit(
        vec![
            service("a", 4),
            service("b", 4),
            service("c", 4),
            service("new", 1),
        ],
        prune(),
    );
    world.pass(5);
    assert!(world.fleet.held_plan().is_none());
    assert_eq!(world.healthy("new"), 1);
    assert_eq!(world.stops(), 0);
}

#[test]
fn every_automated_stop_draws_on_one_budget() {
    let mut world = World::new(3);
    let mut spec = service("web", 60);
    let rollout = &mut spec.service.as_mut().unwrap().rollout;
    rollout.max_surge = 60;
    rollout.min_healthy_time = muster_schemas::spec::Millis(0);
    world.commit(vec![spec.clone()], None);
    world.pass(10);
    assert_eq!(world.healthy("web"), 60);
    world.commit(vec![with_image(spec, "registry.example.com/app:2")], None);
    for _ in 0..300 {
        world.pass(1);
        let recent = world
            .fleet
            .stops
            .iter()
            .filter(|stop| world.now.duration_since(stop.at).as_secs() < 60)
            .count();
        assert!(
            recent <= Limits::STOPS_PER_MINUTE.count as usize,
            "{recent} stops in a minute"
        );
    }
    assert_eq!(world.healthy("web"), 60);
}

#[test]
fn a_renamed_file_keeps_its_containers() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 2)], prune());
    world.pass(5);
    let before = world.running.clone();
    let mut documents = muster_core::specs::Documents::default();
    documents.specs.push(muster_core::specs::Located {
        spec: muster_schemas::spec::Spec::Job(std::sync::Arc::new(service("web", 2))),
        source: muster_schemas::plan::DocumentRef {
            path: "elsewhere/shop.yaml".to_owned(),
            document: 1,
            line: 7,
        },
    });
    let revision = muster_schemas::plan::Revision {
        commit: "f".repeat(40).into(),
        author: "Ann".to_owned(),
        subject: "move".to_owned(),
        committed_at: world.now,
    };
    let input = muster_core::plan::PlanInput {
        revision,
        documents,
        images: Default::default(),
        removed_by: Default::default(),
        signed: Default::default(),
    };
    world
        .give(muster_core::decide::Input::Revision(Box::new(input)))
        .unwrap();
    world.pass(20);
    assert_eq!(world.running, before);
    assert_eq!(
        world.fleet.jobs[&JobId::from("web")].source.path,
        "elsewhere/shop.yaml"
    );
}

#[test]
fn a_crash_loop_backs_off_and_is_named() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.agents();
    let mut delays = Vec::new();
    for _ in 0..12 {
        world.exit("web.0", 1);
        let id = "web.0".parse().unwrap();
        let TaskPhase::Queued { not_before, .. } = world.task(&id).phase.clone() else {
            panic!("queued")
        };
        delays.push(not_before.duration_since(world.now).as_secs());
        world.now = not_before;
        world.tick();
        world.agents();
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert!(
        world
            .fleet
            .in_crash_loop(world.task(&"web.0".parse().unwrap()), world.now)
    );
    let named = world.events(|event| match event {
        Event::TaskQueued {
            reason: QueueReason::CrashLoop { failures, .. },
            ..
        } => Some(*failures),
        _ => None,
    });
    assert_eq!(named[0], 3);
    // A quiet time resets it.
    world.now += jiff::SignedDuration::from_secs(400);
    world.tick();
    world.exit("web.0", 1);
    let TaskPhase::Queued { not_before, .. } = world.task(&"web.0".parse().unwrap()).phase.clone()
    else {
        panic!()
    };
    assert_eq!(not_before.duration_since(world.now).as_secs(), 1);
}

/// Who says how long the longest delay is means it; a policy that says nothing of the kind is stretched.
#[test]
fn a_crash_loop_waits_no_longer_than_its_policy_says() {
    let backoff = |max| {
        RetryPolicy::ExponentialBackoff(ExponentialBackoffRetry {
            initial: Millis::secs(1),
            max: Millis::secs(max),
            retries: None,
        })
    };
    let immediate = RetryPolicy::Immediate(ImmediateRetry { retries: None });
    for (retry, expected) in [
        (backoff(20), [1, 2, 4, 8, 16, 20, 20, 20, 20]),
        (immediate, [0, 0, 1, 2, 4, 8, 16, 32, 64]),
    ] {
        let mut world = World::new(1);
        let mut web = service("web", 1);
        if let Some(service) = &mut web.service {
            service.retry = retry.clone();
        }
        world.commit(vec![web], None);
        world.agents();
        let delays = expected.map(|_| {
            world.exit("web.0", 1);
            let phase = world.task(&"web.0".parse().unwrap()).phase.clone();
            let delay = match phase {
                TaskPhase::Queued { not_before, .. } => not_before.duration_since(world.now),
                TaskPhase::Active { .. } => jiff::SignedDuration::ZERO,
                TaskPhase::Finished { .. } => panic!("a service goes on"),
            };
            world.now += delay;
            world.tick();
            world.agents();
            delay.as_secs()
        });
        assert_eq!(delays, expected, "{retry:?}");
    }
}

#[test]
fn a_task_that_fits_nowhere_says_why() {
    let mut world = World::new(3);
    let mut spec = service("big", 1);
    spec.resources.cpu = muster_schemas::spec::CpuMillis(9000);
    spec.constraints.hard = ConstraintSet {
        zones: vec!["a".to_owned(), "b".to_owned()],
        ..ConstraintSet::default()
    };
    world.commit(vec![spec], None);
    world.pass(30);
    let task = world.task(&"big.0".parse().unwrap());
    let (blocked, _) = task.blocked.clone().expect("it says why");
    assert_eq!(blocked.hosts, 3);
    let reasons: Vec<_> = blocked
        .reasons
        .iter()
        .map(|by| (&by.refusal, by.count))
        .collect();
    assert!(
        matches!(
            reasons[..],
            [
                (
                    HostRefusal::TooLittle {
                        free: 8000,
                        needed: 9000,
                        ..
                    },
                    2
                ),
                (HostRefusal::WrongZone { .. }, 1)
            ]
        ),
        "{reasons:?}"
    );
    let told = world.events(|event| matches!(event, Event::TaskBlocked { .. }).then_some(()));
    assert_eq!(told.len(), 1, "told once, not at each pass");
}

#[test]
fn constraints_hold() {
    let mut world = World::new(3);
    let mut unique = service("unique", 5);
    unique.constraints.hard.unique_host = true;
    let mut alone = service("alone", 1);
    alone.constraints.hard.exclusive_host = true;
    let mut port = service("port", 5);
    port.ports = vec![muster_schemas::spec::Port {
        name: "http".to_owned(),
        port: 80,
        host_port: Some(8080),
    }];
    world.commit(vec![unique], None);
    world.pass(3);
    assert_eq!(world.healthy("unique"), 3);
    world.commit(vec![service("web", 1), alone], None);
    world.pass(3);
    assert_eq!(world.healthy("alone"), 0, "every host has somebody");
    let mut fresh = World::new(3);
    fresh.commit(vec![port], None);
    fresh.pass(3);
    assert_eq!(fresh.healthy("port"), 3, "one for each host's port");
}

#[test]
fn taken_down_everything_stops_and_comes_back_with_the_next_leadership() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 30), batch("sum", 3, 0)], None);
    world.pass(5);
    world
        .command(Command::TakeDown {
            reason: "make down".to_owned(),
        })
        .unwrap();
    world.pass(3);
    assert!(world.running.is_empty(), "a person's order needs no budget");
    world.pass(30);
    assert!(world.running.is_empty());
    world
        .give(muster_core::decide::Input::Lead {
            cell: "test".into(),
            version: "0.1.0".to_owned(),
        })
        .unwrap();
    let hosts: Vec<_> = world
        .fleet
        .hosts
        .values()
        .map(|host| (host.id, host.facts.clone().unwrap()))
        .collect();
    for (host, facts) in hosts {
        world
            .give(muster_core::decide::Input::Connected {
                host,
                facts: Box::new(facts),
            })
            .unwrap();
    }
    world.pass(5);
    assert_eq!(world.healthy("web"), 30);
}

#[test]
fn a_stopped_task_of_a_service_is_replaced_at_once() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.pass(5);
    let task: muster_schemas::ids::TaskId = "web.0".parse().unwrap();
    world
        .command(Command::StopTask {
            task: task.clone(),
            reason: "looks stuck".to_owned(),
        })
        .unwrap();
    world.pass(3);
    assert_eq!(world.healthy("web"), 1);
    assert_eq!(world.task(&task).attempts, 2);
    assert!(
        world
            .command(Command::StopTask {
                task: "web.7".parse().unwrap(),
                reason: String::new()
            })
            .is_err()
    );
}

#[test]
fn scaling_takes_the_surplus_and_nothing_else() {
    let mut world = World::new(3);
    world.commit(vec![service("web", 5)], None);
    world.pass(10);
    world.commit(vec![service("web", 2)], None);
    world.pass(10);
    assert_eq!(
        world.living("web"),
        [(0, TaskState::Running), (1, TaskState::Running)]
    );
    assert_eq!(world.stops(), 3);
    world.commit(vec![service("web", 4)], None);
    world.pass(10);
    assert_eq!(world.healthy("web"), 4);
    assert_eq!(world.stops(), 3);
}

#[test]
fn ended_containers_are_removed_after_a_while_and_the_task_forgotten() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 2)], None);
    world.pass(5);
    world.commit(vec![service("web", 1)], None);
    world.pass(700);
    assert_eq!(world.fleet.attempts.len(), 1);
    assert_eq!(world.fleet.jobs[&JobId::from("web")].tasks.len(), 1);
}

#[test]
fn a_new_leadership_does_not_renew_the_budget() {
    let mut world = World::new(3);
    let mut spec = service("web", 40);
    let rollout = &mut spec.service.as_mut().unwrap().rollout;
    rollout.max_surge = 40;
    rollout.min_healthy_time = muster_schemas::spec::Millis(0);
    world.commit(vec![spec.clone()], None);
    world.pass(10);
    world.commit(vec![with_image(spec, "registry.example.com/app:2")], None);
    for _ in 0..5 {
        world.pass(5);
        world
            .give(muster_core::decide::Input::Lead {
                cell: "test".into(),
                version: "0.1.0".to_owned(),
            })
            .unwrap();
        // The agents are there again at once: each report says so.
        world.connect();
    }
    assert_eq!(
        world.stops(),
        Limits::STOPS_PER_MINUTE.count as usize,
        "half a minute has one minute's budget, whoever leads"
    );
}

#[test]
fn a_service_task_whose_retries_are_exhausted_holds_its_place_until_the_job_changes() {
    let mut world = World::new(1);
    let mut spec = service("web", 2);
    spec.service.as_mut().unwrap().retry =
        RetryPolicy::Immediate(ImmediateRetry { retries: Some(1) });
    world.commit(vec![spec.clone()], None);
    world.pass(1);
    for _ in 0..2 {
        world.exit("web.0", 1);
        world.pass(1);
    }
    world.pass(700);
    assert_eq!(world.living("web"), [(1, TaskState::Running)]);
    assert!(matches!(
        &world.task(&"web.0".parse().unwrap()).phase,
        TaskPhase::Finished {
            reason: FinishReason::RetriesExhausted { retries: 1, .. },
            ..
        }
    ));
    // More tasks take other indexes; a change of what runs begins the exhausted one again.
    spec.service.as_mut().unwrap().capacity.desired = 3;
    world.commit(vec![spec.clone()], None);
    world.pass(3);
    assert_eq!(
        world.living("web"),
        [(1, TaskState::Running), (2, TaskState::Running)]
    );
    world.commit(vec![with_image(spec, "registry.example.com/app:2")], None);
    world.pass(60);
    assert_eq!(world.healthy("web"), 3);
}

#[test]
fn a_new_version_has_all_its_retries_whatever_the_one_before_has_used() {
    use muster_schemas::spec::{ImmediateRetry, RetryPolicy};
    let mut world = World::new(1);
    let mut spec = service("web", 1);
    spec.service.as_mut().unwrap().retry =
        RetryPolicy::Immediate(ImmediateRetry { retries: Some(1) });
    world.commit(vec![spec.clone()], None);
    world.pass(1);
    world.exit("web.0", 1);
    world.pass(60);
    assert_eq!(world.healthy("web"), 1);
    let id = "web.0".parse().unwrap();
    assert_eq!(world.task(&id).retries, 1);

    world.commit(vec![with_image(spec, "registry.example.com/app:2")], None);
    world.pass(60);
    assert_eq!(world.healthy("web"), 1);
    let living: Vec<u32> = world
        .living("web")
        .iter()
        .map(|(index, _)| *index)
        .collect();
    world.exit(&format!("web.{}", living[0]), 1);
    world.pass(60);
    assert_eq!(world.healthy("web"), 1, "its own first retry");
}

#[test]
fn evidence_of_a_loss_does_not_count_against_the_retries() {
    let mut world = World::new(1);
    world.commit(vec![batch("sum", 1, 1)], None);
    for round in 0..6u32 {
        world.pass(1);
        let task = world.task(&"sum.0".parse().unwrap());
        let attempt = world.fleet.current_attempt(task).expect("again").clone();
        assert_eq!((attempt.number, task.retries), (round + 1, 0));
        let mut ended = world.ended(Outcome::Lost, None);
        ended.system_error = true;
        let status = world.status(attempt.id, muster_schemas::state::Phase::Ended(ended), None);
        world.running.remove(&attempt.id);
        world.report(attempt.host, status);
    }
    for _ in 0..2 {
        world.pass(1);
        world.exit("sum.0", 1);
    }
    assert!(world.task(&"sum.0".parse().unwrap()).is_finished());
}

#[test]
fn it_says_when_to_ask_again() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 2)], None);
    assert_eq!(world.due, None, "nothing happens by itself");
    world.agents();
    let settled = world.now + jiff::SignedDuration::from_secs(5);
    assert_eq!(world.due, Some(settled), "the minimum healthy time");
    world.exit("web.0", 1);
    let TaskPhase::Queued { not_before, .. } = world.task(&"web.0".parse().unwrap()).phase else {
        panic!("queued")
    };
    assert_eq!(world.due, Some(not_before), "the retry is sooner");
    world.pass(20);
    assert_eq!(world.due, None);
}

/// What the console shows of a rollout, and what the next step rests on.
#[test]
fn a_rollout_knows_how_its_tasks_stand() {
    use muster_core::decide::rollout::ServiceView;
    let mut world = World::new(3);
    let spec = service("web", 4);
    world.commit(vec![spec.clone()], None);
    world.pass(10);
    let view = |world: &World| {
        let job = &world.fleet.jobs[&JobId::from("web")];
        let rollout = job.spec().service.as_ref().unwrap().rollout.clone();
        let view = ServiceView::of(&world.fleet, job, rollout, world.now);
        [
            ("present", view.present),
            ("settled", view.settled),
            ("unsettled", view.unsettled),
            ("old healthy", view.old_healthy.len() as u32),
            ("old unhealthy", view.old_unhealthy.len() as u32),
            ("old unreachable", view.old_unreachable),
            ("being replaced", view.being_replaced),
            ("to replace", view.to_replace()),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect::<Vec<_>>()
    };
    assert_eq!(view(&world), [("present", 4), ("settled", 4)]);
    let mut nowhere = World::new(0);
    nowhere.commit(vec![spec.clone()], None);
    assert_eq!(view(&nowhere), [("present", 4), ("unsettled", 4)]);
    // The host with two tasks, or one of those with one, is not heard of when the rollout begins.
    let host = *world.fleet.hosts.keys().next().unwrap();
    let hidden = world.running.values().filter(|on| **on == host).count() as u32;
    world
        .give(muster_core::decide::Input::Silent { host })
        .unwrap();
    world.commit(vec![with_image(spec, "registry.example.com/app:2")], None);
    assert_eq!(
        view(&world),
        [
            ("present", 5),
            ("unsettled", 1),
            ("old healthy", 4 - hidden),
            ("old unreachable", hidden),
            ("to replace", 4)
        ]
    );
    world.pass(2);
    let mut expected = view(&world);
    assert_eq!(
        expected[1],
        ("unsettled", 1),
        "healthy, but not for long enough"
    );
    world.pass(8);
    // The new one counts now; with one host out of sight there is still none to spare.
    expected[1].0 = "settled";
    assert_eq!(view(&world), expected);
    world.connect();
    assert_eq!(
        view(&world),
        [
            ("present", 5),
            ("settled", 1),
            ("old healthy", 3),
            ("being replaced", 1),
            ("to replace", 4)
        ]
    );
}

/// The reason for a retry says what happened, not merely how the container ended.
#[test]
fn a_retry_says_why_its_container_was_stopped() {
    let mut world = World::new(1);
    let mut slow = batch("slow", 1, 3);
    let limits = slow.batch.as_mut().unwrap();
    limits.runtime_limit = muster_schemas::spec::Millis::secs(30);
    limits.retry_on_runtime_limit = true;
    world.commit(vec![slow, service("web", 1)], None);
    world.pass(2);
    let task = world.task(&"web.0".parse().unwrap());
    let attempt = world.fleet.current_attempt(task).unwrap().clone();
    let mut status = world.status(
        attempt.id,
        muster_schemas::state::Phase::Running,
        Some(true),
    );
    status.live = Some(false);
    status.probe_message = Some("503".to_owned());
    world.report(attempt.host, status);
    world.pass(40);
    let messages = world.events(|event| match event {
        Event::TaskQueued {
            reason: QueueReason::Retry { message },
            ..
        } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(
        messages,
        [
            "its liveness probe failed: 503",
            "it ran longer than its runtime limit of 30s"
        ]
    );
}

#[test]
fn a_change_that_is_taken_back_keeps_the_containers_that_still_run() {
    let image = |number: u32| {
        with_image(
            service("web", 4),
            &format!("registry.example.com/app:{number}"),
        )
    };
    let mut world = World::new(2);
    world.commit(vec![image(1)], None);
    world.pass(12);
    let first: Vec<AttemptId> = world.running.keys().copied().collect();
    world.commit(vec![image(2)], None);
    while world.stops() < 2 {
        world.pass(1);
    }
    let kept: Vec<AttemptId> = first
        .iter()
        .copied()
        .filter(|attempt| world.fleet.attempts[attempt].stop.is_none())
        .collect();
    assert_eq!(kept.len(), 2);
    world.commit(vec![image(1)], None);
    let plan = &world.fleet.plans.back().unwrap().plan;
    assert!(plan.changes[0].replaces <= 3, "{:?}", plan.changes[0]);
    world.pass(90);
    assert_eq!(world.healthy("web"), 4);
    assert!(
        kept.iter()
            .all(|attempt| world.running.contains_key(attempt))
    );
    // All run the image that is asked for.
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(
        job.tasks
            .values()
            .all(|task| !job.is_outdated(task.version) || task.is_finished())
    );
}
