//! Drift: what is shown of it, what ends or is put back by itself, and what is not touched.

use crate::common::{World, batch, service, with_image};
use jiff::SignedDuration;
use muster_core::assign::assignments;
use muster_core::decide::{Command, Refusal};
use muster_core::drift::drift;
use muster_core::plan::plan;
use muster_core::view::{DriftFilter, Page, drift_view, drifts};
use muster_schemas::drift::{DriftCause, DriftField, FieldDrift, Healing, ResizeEnd};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::plan::{Diagnostic, FreezeScope};
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::{CpuMillis, Headroom, IgnoredFields, JobSpec, PolicySpec, RedBlack};
use muster_schemas::state::{Actor, AttemptStatus, StopOrder, StopReason};
use muster_schemas::wire::{Assignments, PutBack};
use std::collections::BTreeSet;

/// Enough for a few tasks to be healthy for long enough.
const ENOUGH: u32 = 12;

fn policy(self_heal: bool, ignored: &[DriftField]) -> PolicySpec {
    let ignored = (!ignored.is_empty()).then(|| IgnoredFields {
        job: Some("web".to_owned()),
        app: None,
        fields: ignored.to_vec(),
    });
    PolicySpec {
        self_heal,
        ignored_fields: ignored.into_iter().collect(),
        ..PolicySpec::named("default")
    }
}

fn web(desired: u32, policy: Option<PolicySpec>) -> World {
    let mut world = World::new(3);
    world.commit(vec![service("web", desired)], policy);
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), desired as usize);
    world
}

fn scale(world: &mut World, desired: u32) -> Result<(), Refusal> {
    let command = Command::Scale {
        job: "web".into(),
        desired,
        reason: "the sale begins".to_owned(),
        until: None,
    };
    world.command_by("bob", command).map(drop)
}

fn attempt_of(world: &World, task: &str) -> AttemptId {
    let task = task.parse().expect("a task id");
    let attempt = world.fleet.current_attempt(world.task(&task));
    attempt.expect("it is active").id
}

/// Somebody on the host changes the memory of a task's container.
fn change(world: &mut World, task: &str, stuck: Option<&str>) -> AttemptId {
    let attempt = attempt_of(world, task);
    let found = FieldDrift {
        field: DriftField::Memory,
        wanted: "128 MiB".to_owned(),
        found: "256 MiB".to_owned(),
        stuck: stuck.map(str::to_owned),
    };
    world.drift.insert(attempt, vec![found]);
    attempt
}

fn put_back_orders(world: &World) -> Vec<PutBack> {
    let hosts = world.fleet.hosts.keys();
    hosts
        .flat_map(|host| assignments(&world.fleet, *host).put_back)
        .collect()
}

fn stop_orders(world: &World) -> Vec<StopOrder> {
    world.events(|event| match event {
        Event::StopOrdered { order } => Some(order.clone()),
        _ => None,
    })
}

fn ends_of_sizes(world: &World) -> Vec<(String, u32, ResizeEnd)> {
    world.events(|event| match event {
        Event::ResizeEnded {
            by, desired, end, ..
        } => Some((by.clone(), *desired, *end)),
        _ => None,
    })
}

#[test]
fn a_size_beside_git_is_drift_of_its_actor_and_ends_by_itself() {
    let mut world = web(3, None);
    let scaled_at = world.now;
    scale(&mut world, 5).unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 5);

    let found = drift(&world.fleet, world.now);
    let [entry] = &found[..] else {
        panic!("one drift, not {found:?}")
    };
    assert_eq!(entry.field, "service.capacity.desired");
    assert_eq!((entry.wanted.as_str(), entry.found.as_str()), ("3", "5"));
    assert_eq!(
        entry.cause,
        DriftCause::Scaled {
            by: "bob".to_owned(),
            reason: "the sale begins".to_owned()
        }
    );
    assert_eq!(entry.since, scaled_at);
    let end = scaled_at + SignedDuration::from_hours(1);
    assert_eq!(entry.healing, Healing::Expires { at: end });

    // The loop is told when to come back for it.
    world.tick();
    assert!(world.due.is_some_and(|due| due <= end));
    world.now = end;
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 3);
    assert_eq!(drift(&world.fleet, world.now), []);
    assert_eq!(
        ends_of_sizes(&world),
        [("bob".to_owned(), 5, ResizeEnd::Expired)]
    );
}

#[test]
fn a_healing_policy_takes_a_size_back_within_ten_seconds_and_names_whose_it_was() {
    let mut world = web(3, Some(policy(true, &[])));
    scale(&mut world, 5).unwrap();
    world.pass(10);
    assert_eq!(
        ends_of_sizes(&world),
        [("bob".to_owned(), 5, ResizeEnd::SelfHealed)]
    );
    assert_eq!(world.healthy("web"), 3);
    assert_eq!(drift(&world.fleet, world.now), []);
    // It was taken back before a container was started or stopped for it.
    assert_eq!(world.started.len(), 3);
    assert_eq!(world.stops(), 0);
}

#[test]
fn an_ignored_size_neither_shows_nor_goes_and_a_commit_keeps_the_count() {
    let heals = policy(true, &[DriftField::Desired]);
    let mut world = web(3, Some(heals.clone()));
    scale(&mut world, 6).unwrap();
    world.pass(ENOUGH);
    world.now += SignedDuration::from_hours(48);
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 6);
    assert_eq!(drift(&world.fleet, world.now), []);
    assert_eq!(world.fleet.jobs[&JobId::from("web")].current().number, 1);

    // A commit that changes something else: the plan takes nothing away, and all six are rolled out.
    let changed = with_image(service("web", 3), "registry.example.com/app:2");
    world.commit(vec![changed.clone()], Some(heals.clone()));
    let latest = world.fleet.plans.back().expect("a plan").plan.clone();
    assert_eq!((latest.stops, latest.starts), (0, 0));
    assert_eq!(latest.changes[0].replaces, 6);
    for _ in 0..90 {
        world.pass(1);
        assert!(world.healthy("web") >= 6, "never fewer than run now");
    }
    assert_eq!(world.healthy("web"), 6);
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(
        job.tasks
            .values()
            .all(|task| !job.is_outdated(task.version))
    );
    // Planned anew there is nothing to do.
    let input = world.last_input.clone().expect("a commit");
    assert_eq!(plan(&world.fleet, &input, world.now).changes, []);

    // Nor does one that changes `desired` itself, but new bounds hold.
    let bounded = |max| {
        let mut spec = changed.clone();
        let service = spec.service.as_mut().expect("a service");
        (service.capacity.desired, service.capacity.max) = (2, max);
        spec
    };
    world.commit(vec![bounded(9)], Some(heals.clone()));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 6);
    world.commit(vec![bounded(4)], Some(heals));
    let latest = &world.fleet.plans.back().expect("a plan").plan;
    assert_eq!(latest.stops, 2, "the plan knows what it takes away");
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 4);
}

#[test]
fn a_size_stays_through_other_changes_and_goes_with_gits_own_word() {
    let mut world = web(3, None);
    scale(&mut world, 5).unwrap();
    let changed = with_image(service("web", 3), "registry.example.com/app:2");
    world.commit(vec![changed], None);
    world.pass(60);
    assert_eq!(world.healthy("web"), 5);
    let four = with_image(service("web", 4), "registry.example.com/app:2");
    world.commit(vec![four], None);
    let latest = &world.fleet.plans.back().expect("a plan").plan;
    assert_eq!(latest.stops, 1, "of five that run");
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 4);
    assert_eq!(drift(&world.fleet, world.now), []);
}

#[test]
fn what_a_size_beside_git_stops_is_no_plans_doing() {
    let mut world = web(4, None);
    scale(&mut world, 3).unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 3);
    let plans = world.events(|event| match event {
        Event::StopOrdered { order } => Some(order.plan.clone()),
        _ => None,
    });
    assert_eq!(plans, [None]);
    let outcome = &world.fleet.plans.back().expect("a plan").outcome;
    assert_eq!(outcome.stopped, 0);
    world.commit(vec![service("web", 2)], None);
    world.pass(ENOUGH);
    let outcome = &world.fleet.plans.back().expect("a plan").outcome;
    assert_eq!(outcome.stopped, 1, "the commit asks for that one");
}

#[test]
fn a_field_that_is_not_ignored_any_more_is_drift_again() {
    let mut world = web(3, Some(policy(false, &[DriftField::Desired])));
    scale(&mut world, 4).unwrap();
    world.now += SignedDuration::from_hours(2);
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 4);
    world.commit(vec![service("web", 3)], Some(policy(false, &[])));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 3);
    assert_eq!(
        ends_of_sizes(&world),
        [("bob".to_owned(), 4, ResizeEnd::Expired)]
    );
}

#[test]
fn a_size_beside_git_keeps_to_bounds_freezes_and_the_guards_limit() {
    let mut bounded: JobSpec = service("web", 12);
    if let Some(service) = &mut bounded.service {
        (service.capacity.min, service.capacity.max) = (2, 14);
    }
    let mut world = World::new(3);
    let nightly = batch("nightly", 1, 0);
    world.commit(vec![bounded.clone(), nightly], None);
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 12);
    for desired in [1, 15] {
        assert!(matches!(
            scale(&mut world, desired),
            Err(Refusal::OutsideCapacity {
                min: 2,
                max: 14,
                ..
            })
        ));
    }
    // A plan that did this would be held, and a command must not get round that.
    assert!(matches!(
        scale(&mut world, 6),
        Err(Refusal::TooManyStops { .. })
    ));
    let of = |job: &str, until| Command::Scale {
        job: job.into(),
        desired: 3,
        reason: "less".to_owned(),
        until,
    };
    assert!(matches!(
        world.command(of("nightly", None)),
        Err(Refusal::NotForThisJob { .. })
    ));
    assert!(matches!(
        world.command(of("nobody", None)),
        Err(Refusal::UnknownJob(_))
    ));
    let long = world.now + SignedDuration::from_hours(24 * 8);
    for until in [world.now, long] {
        assert_eq!(
            world.command(of("web", Some(until))),
            Err(Refusal::BadEndOfResize(until))
        );
    }
    let scope = FreezeScope::Job { job: "web".into() };
    let freeze = Command::Freeze {
        scope: scope.clone(),
        reason: "we look".to_owned(),
        until: None,
    };
    world.command(freeze.clone()).unwrap();
    assert!(matches!(
        scale(&mut world, 13),
        Err(Refusal::JobIsFrozen { .. })
    ));
    assert_eq!(world.fleet.jobs[&JobId::from("web")].resize, None);

    // What was scaled before a freeze stays so until it is over, also beyond its time.
    let resume = Command::Resume {
        scope,
        reason: "seen".to_owned(),
    };
    world.command(resume.clone()).unwrap();
    scale(&mut world, 13).unwrap();
    world.pass(ENOUGH);
    world.command(freeze).unwrap();
    world.now += SignedDuration::from_hours(2);
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 13);
    world.command(resume).unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 12);
}

#[test]
fn a_smaller_size_is_stopped_within_the_budget_and_taking_it_back_needs_nobody() {
    let mut policy = policy(false, &[]);
    policy.limits.stops_per_minute.count = 2;
    policy.limits.stops_per_minute.percent = 0;
    let mut world = web(8, Some(policy));
    scale(&mut world, 4).unwrap();
    world.pass(30);
    assert_eq!(world.healthy("web"), 6, "two in a minute");
    // The size that git says is no override: it ends the one there is.
    scale(&mut world, 8).unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 8);
    assert_eq!(
        ends_of_sizes(&world),
        [("bob".to_owned(), 4, ResizeEnd::TakenBack)]
    );
    let last = world
        .journal
        .iter()
        .rfind(|record| matches!(record.event, Event::ResizeEnded { .. }));
    let by_bob = Actor::Person("bob".to_owned());
    assert_eq!(last.map(|record| record.actor.clone()), Some(by_bob));
}

#[test]
fn a_changed_container_is_shown_with_its_host_and_only_shown() {
    let mut world = web(2, None);
    let attempt = change(&mut world, "web.1", None);
    world.pass(1);
    let seen_at = world.now;
    world.pass(30);
    let found = drift(&world.fleet, world.now);
    let [entry] = &found[..] else {
        panic!("one drift, not {found:?}")
    };
    assert_eq!(entry.task, Some("web.1".parse().unwrap()));
    assert_eq!(entry.field, "container.memory");
    assert_eq!(entry.wanted, "128 MiB");
    assert_eq!(entry.found, "256 MiB");
    assert_eq!(entry.since, seen_at);
    assert_eq!(entry.healing, Healing::Shown);
    let host = &world.fleet.hosts[&world.fleet.attempts[&attempt].host].name;
    assert_eq!(entry.cause, DriftCause::OnHost { host: host.clone() });
    assert_eq!(put_back_orders(&world), []);
    assert_eq!(world.stops(), 0);
}

#[test]
fn a_healing_policy_has_it_put_back_by_a_record_and_an_order_and_stops_nothing() {
    let mut world = web(2, Some(policy(true, &[])));
    let attempt = change(&mut world, "web.1", None);
    // The agent tells; the order follows in the same round and stands until it is done.
    world.agents();
    let order = PutBack {
        attempt,
        fields: vec![DriftField::Memory],
    };
    assert_eq!(put_back_orders(&world), [order]);
    world.pass(2);
    assert_eq!(drift(&world.fleet, world.now), []);
    assert_eq!(put_back_orders(&world), []);
    let orders = |world: &World| {
        let orders = world.events(|event| match event {
            Event::PutBackOrdered { attempt, fields } if !fields.is_empty() => Some(*attempt),
            _ => None,
        });
        orders.len()
    };
    assert_eq!(orders(&world), 1);
    assert_eq!(world.stops(), 0);
    assert_eq!(attempt_of(&world, "web.1"), attempt);

    // Who changes it again and again is answered, but not faster than every five seconds.
    for _ in 0..20 {
        change(&mut world, "web.1", None);
        world.pass(1);
    }
    assert!((3..=5).contains(&orders(&world)), "{}", orders(&world));
}

#[test]
fn an_ignored_field_of_a_container_neither_shows_nor_is_put_back() {
    let mut world = web(2, Some(policy(true, &[DriftField::Memory])));
    let attempt = change(&mut world, "web.0", Some("it uses more"));
    let mut both = world.drift[&attempt].clone();
    both.push(FieldDrift {
        field: DriftField::Cpu,
        wanted: "0.1".to_owned(),
        found: "2".to_owned(),
        stuck: None,
    });
    world.drift.insert(attempt, both);
    world.pass(30);
    // The other field was put back all the same.
    let left: Vec<DriftField> = world.drift[&attempt]
        .iter()
        .map(|drift| drift.field)
        .collect();
    assert_eq!(left, [DriftField::Memory]);
    assert_eq!(drift(&world.fleet, world.now), []);
    assert_eq!(world.stops(), 0);
}

#[test]
fn what_cannot_be_put_back_is_replaced_one_at_a_time_above_the_minimum() {
    let mut world = web(4, Some(policy(true, &[])));
    for index in 0..4 {
        change(&mut world, &format!("web.{index}"), Some("it uses more"));
    }
    let mut most = 0;
    for _ in 0..120 {
        world.pass(1);
        assert!(world.healthy("web") >= 4, "the minimum healthy");
        let stopping = world
            .fleet
            .attempts
            .values()
            .filter(|attempt| attempt.stop.is_some() && attempt.ended.is_none())
            .count();
        most = most.max(stopping);
    }
    assert!(most <= 1);
    assert_eq!(drift(&world.fleet, world.now), []);
    assert_eq!(world.healthy("web"), 4);
    assert_eq!(world.living("web").len(), 4);
    let drifted = stop_orders(&world)
        .into_iter()
        .filter(|order| {
            assert!(order.reason.is_automated());
            matches!(order.reason, StopReason::Drift { .. })
        })
        .count();
    assert_eq!(drifted, 4);
}

#[test]
fn a_batch_task_that_cannot_be_put_back_runs_on() {
    let mut world = World::new(1);
    world.commit(vec![batch("nightly", 1, 0)], Some(policy(true, &[])));
    world.pass(3);
    change(&mut world, "nightly.0", Some("it uses more"));
    world.pass(60);
    assert_eq!(world.stops(), 0);
    let found = drift(&world.fleet, world.now);
    assert!(matches!(found[0].healing, Healing::UntilEnd { .. }));
}

#[test]
fn what_is_frozen_is_neither_put_back_nor_replaced_until_it_is_resumed() {
    let mut world = web(3, Some(policy(true, &[])));
    let scope = FreezeScope::Job { job: "web".into() };
    world
        .command(Command::Freeze {
            scope: scope.clone(),
            reason: "we look".to_owned(),
            until: None,
        })
        .unwrap();
    change(&mut world, "web.0", None);
    change(&mut world, "web.1", Some("it uses more"));
    world.pass(60);
    assert_eq!(put_back_orders(&world), []);
    assert_eq!(world.stops(), 0);
    assert_eq!(world.living("web").len(), 3, "nothing is started for it");
    let found = drift(&world.fleet, world.now);
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|entry| matches!(entry.healing, Healing::Frozen { .. }))
    );
    world
        .command(Command::Resume {
            scope,
            reason: "seen".to_owned(),
        })
        .unwrap();
    world.pass(60);
    assert_eq!(drift(&world.fleet, world.now), []);
    assert_eq!(world.healthy("web"), 3);
}

#[test]
fn an_order_is_taken_back_when_the_policy_does_not_heal_any_more() {
    let mut world = web(2, Some(policy(true, &[])));
    change(&mut world, "web.0", Some("the engine refuses"));
    let attempt = attempt_of(&world, "web.0");
    world.agents();
    assert_eq!(put_back_orders(&world).len(), 1);
    world.commit(vec![service("web", 2)], Some(policy(false, &[])));
    world.pass(1);
    assert_eq!(put_back_orders(&world), []);
    assert_eq!(world.fleet.attempts[&attempt].put_back, []);
}

#[test]
fn what_git_asks_for_in_vain_is_drift_with_its_cause() {
    let mut world = World::new(2);
    let jobs = || vec![service("api", 2), service("web", 8)];
    let prune = PolicySpec {
        prune: true,
        ..PolicySpec::named("default")
    };
    world.commit(jobs(), Some(prune.clone()));
    world.pass(ENOUGH);
    let causes = |world: &World| -> Vec<(String, String, &'static str)> {
        drift(&world.fleet, world.now)
            .iter()
            .map(|entry| {
                (
                    entry.job.to_string(),
                    entry.field.clone(),
                    entry.cause.word(),
                )
            })
            .collect()
    };
    let one = |job: &str, field: &str, cause| vec![(job.to_owned(), field.to_owned(), cause)];

    // A plan that is held, and one that somebody refused.
    world.commit(
        vec![service("api", 2), service("web", 1)],
        Some(prune.clone()),
    );
    assert_eq!(
        causes(&world),
        one("web", "service.capacity.desired", "held")
    );
    let entry = &drift(&world.fleet, world.now)[0];
    assert_eq!((entry.wanted.as_str(), entry.found.as_str()), ("1", "8"));
    assert!(matches!(&entry.cause, DriftCause::Held { by, .. } if by.starts_with("Ann")));
    let held = world.fleet.held_plan().expect("held").plan.id.clone();
    world
        .command_by(
            "bob",
            Command::RefusePlan {
                plan: held,
                reason: "no".to_owned(),
            },
        )
        .unwrap();
    assert_eq!(
        causes(&world),
        one("web", "service.capacity.desired", "plan_refused")
    );

    // A change that is kept back.
    world.commit(jobs(), Some(prune.clone()));
    assert_eq!(causes(&world), []);
    let scope = FreezeScope::Job { job: "api".into() };
    world
        .command(Command::Freeze {
            scope: scope.clone(),
            reason: "we look".to_owned(),
            until: None,
        })
        .unwrap();
    world.commit(
        vec![service("api", 3), service("web", 8)],
        Some(prune.clone()),
    );
    assert_eq!(
        causes(&world),
        one("api", "service.capacity.desired", "withheld")
    );
    world
        .command(Command::Resume {
            scope,
            reason: "seen".to_owned(),
        })
        .unwrap();
    world.pass(ENOUGH);
    assert_eq!(causes(&world), []);

    // A document that does not hold, and one that is gone.
    let broken = Diagnostic {
        code: "unknown-field".to_owned(),
        path: "jobs/web.yaml".to_owned(),
        line: 3,
        column: 1,
        source_line: String::new(),
        width: 0,
        message: "no such field".to_owned(),
        help: String::new(),
        job: Some("web".into()),
    };
    world.commit_with(vec![service("api", 3)], Some(prune), vec![broken]);
    assert_eq!(causes(&world), one("web", "document", "document_refused"));
    world.commit(vec![service("web", 8)], None);
    assert_eq!(causes(&world), one("api", "document", "undeclared"));
}

/// Of an aborted rollout git says one thing and another serves: in what containers are made of, since the rest holds already.
#[test]
fn an_aborted_rollout_is_drift_until_it_is_tried_again() {
    let mut world = World::new(2);
    let of = |image: &str, owner: &str| {
        let mut spec = with_image(service("web", 2), image);
        spec.owner = owner.to_owned();
        spec
    };
    world.commit(
        vec![of("registry.example.com/app:1", "shop@example.com")],
        None,
    );
    world.pass(20);
    world.commit(
        vec![of("registry.example.com/app:2", "web@example.com")],
        None,
    );
    world.pass(2);
    let tell = |world: &mut World, word| {
        let command = Command::Rollout {
            job: JobId::from("web"),
            word,
            reason: "it is slow".to_owned(),
        };
        world.command(command).expect("there is a rollout");
    };
    assert_eq!(drift(&world.fleet, world.now), []);
    tell(&mut world, RolloutWord::Abort);
    world.pass(30);
    let entries = drift(&world.fleet, world.now);
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let view = drift_view(entry, world.now);
            (view.field, view.wanted, view.found, view.cause, view.who)
        })
        .collect();
    let first = [
        "image",
        "registry.example.com/app:2",
        "registry.example.com/app:1",
        "rollout_aborted",
        "ann, by aborting its rollout: it is slow",
    ];
    let (field, wanted, found, cause, who) = &told[0];
    assert_eq!([field, wanted, found, cause, who], first);
    assert_eq!((told[1].0.as_str(), told.len()), ("image (digest)", 2));

    // What git asks for meanwhile and is kept back takes its place: the aborted version is not asked for any more.
    let scope = FreezeScope::Job { job: "web".into() };
    let freeze = Command::Freeze {
        scope: scope.clone(),
        reason: "we look".to_owned(),
        until: None,
    };
    world.command(freeze).expect("it can be frozen");
    world.commit(
        vec![of("registry.example.com/app:3", "web@example.com")],
        None,
    );
    let causes = |world: &World| -> BTreeSet<&'static str> {
        let entries = drift(&world.fleet, world.now);
        entries.iter().map(|entry| entry.cause.word()).collect()
    };
    assert_eq!(causes(&world), BTreeSet::from(["withheld"]));
    world.commit(
        vec![of("registry.example.com/app:2", "web@example.com")],
        None,
    );
    assert_eq!(causes(&world), BTreeSet::from(["rollout_aborted"]));
    let resume = Command::Resume {
        scope,
        reason: "seen".to_owned(),
    };
    world.command(resume).expect("it is frozen");
    tell(&mut world, RolloutWord::Retry);
    assert_eq!(drift(&world.fleet, world.now), []);
}

/// Red/black sets no `maxSurge`: another task stands in all the same for the one that cannot be put back.
#[test]
fn what_was_changed_of_a_red_black_service_is_replaced_before_it_goes() {
    let mut spec = service("web", 2);
    let rollout = &mut spec.service.as_mut().expect("a service").rollout;
    rollout.red_black = Some(RedBlack::default());
    (rollout.max_surge, rollout.max_unavailable) = (0, 0);
    let mut world = World::new(2);
    world.commit(vec![spec], Some(policy(true, &[])));
    world.pass(ENOUGH);
    let changed = change(&mut world, "web.0", Some("it uses more"));
    for _ in 0..2 * ENOUGH {
        world.pass(1);
        assert!(world.healthy("web") >= 2);
    }
    assert!(!world.running.contains_key(&changed), "it was replaced");
    assert_eq!(drift(&world.fleet, world.now), vec![]);
    assert_eq!(world.living("web").len(), 2);
}

#[test]
fn the_list_has_filters_and_pages() {
    let mut world = web(3, None);
    for index in 0..3 {
        change(&mut world, &format!("web.{index}"), None);
    }
    scale(&mut world, 4).unwrap();
    world.pass(2);
    let list = |filter: &DriftFilter, after: Option<String>, limit| {
        drifts(&world.fleet, filter, &Page { after, limit }, world.now)
    };
    let all = DriftFilter::default();
    let first = list(&all, None, 3);
    assert_eq!((first.items.len(), first.total), (3, 4));
    let rest = list(&all, first.next.clone(), 3);
    assert_eq!((rest.items.len(), rest.next.clone()), (1, None));
    let fields: Vec<(Option<String>, String)> = first
        .items
        .into_iter()
        .chain(rest.items)
        .map(|item| (item.task, item.field))
        .collect();
    let memory = |task: &str| (Some(task.to_owned()), "container.memory".to_owned());
    assert_eq!(
        fields,
        [
            (None, "service.capacity.desired".to_owned()),
            memory("web.0"),
            memory("web.1"),
            memory("web.2"),
        ]
    );
    let scaled = DriftFilter {
        cause: vec!["scaled".to_owned()],
        ..all.clone()
    };
    assert_eq!(list(&scaled, None, 9).total, 1);
    let others = DriftFilter {
        job: vec!["api".to_owned()],
        ..all
    };
    assert_eq!(list(&others, None, 9).total, 0);
}

#[test]
fn agents_of_the_version_before_are_understood_and_understand() {
    let status: AttemptStatus = serde_json::from_value(serde_json::json!({
        "attempt": "00000000-0000-7000-8000-0000000000aa", "sequence": 7, "phase": "running", "ready": true
    }))
    .expect("what an agent said that does not look for drift");
    assert_eq!(status.drift, []);
    // Without anything to put back, what agents are told is as it was.
    let world = web(1, Some(policy(true, &[])));
    let host = world.fleet.attempts.values().next().expect("one").host;
    let told = serde_json::to_value(assignments(&world.fleet, host)).expect("JSON");
    assert!(told.get("put_back").is_none());
    let read: Assignments = serde_json::from_value(told).expect("it reads back");
    assert_eq!(read.put_back, []);
}

#[test]
fn a_size_beside_git_leaves_the_headroom_that_plans_leave() {
    let rules = PolicySpec {
        headroom: Headroom {
            percent: Some(50),
            ..Headroom::default()
        },
        ..PolicySpec::named("default")
    };
    let mut spec = service("web", 2);
    // Three hosts have 24 CPUs, of which 12 may be asked for.
    spec.resources.cpu = CpuMillis(2000);
    let capacity = &mut spec.service.as_mut().expect("a service").capacity;
    capacity.max = 20;
    let mut world = World::new(3);
    world.commit(vec![spec.clone()], Some(rules.clone()));
    world.pass(ENOUGH);
    scale(&mut world, 6).expect("that is half of it");
    let refusal = scale(&mut world, 7).expect_err("that is more");
    assert_eq!(
        refusal.to_string(),
        "job `web` is not scaled: all jobs together would ask for 59 % of the hosts' CPU; more than 50 % needs a human; \
         choose a smaller size, or commit it, so that somebody can approve the plan"
    );
    // Down is always possible, and what somebody scaled up counts for the next plan.
    scale(&mut world, 5).expect("it asks for less");
    let other = service("other", 25);
    world.commit(vec![spec, other], Some(rules));
    world.pass(1);
    assert!(
        world.fleet.held_plan().is_some(),
        "10 CPUs and 2.5 are too much"
    );
}

#[test]
fn a_policy_that_would_end_a_large_size_is_held() {
    let ignoring = policy(false, &[DriftField::Desired]);
    let mut world = web(2, Some(ignoring));
    scale(&mut world, 20).expect("it scales by load");
    world.pass(60);
    assert_eq!(world.healthy("web"), 20);
    // The size is drift from here on, and ends within the hour: as if a plan scaled it down.
    world.commit(vec![service("web", 2)], Some(policy(false, &[])));
    world.pass(2);
    assert!(world.fleet.held_plan().is_some());
    world.commit(vec![service("web", 2)], Some(policy(true, &[])));
    world.pass(ENOUGH);
    assert!(world.fleet.held_plan().is_some());
    assert_eq!((world.healthy("web"), world.stops()), (20, 0));
}

#[test]
fn a_change_of_the_job_does_not_hide_what_its_policy_ends() {
    let ignoring = policy(false, &[DriftField::Desired]);
    let mut world = web(2, Some(ignoring));
    scale(&mut world, 20).expect("it scales by load");
    world.pass(60);
    // The owner's change keeps the size for now; the policy ends it.
    let mut spec = service("web", 2);
    spec.owner = "others@example.com".to_owned();
    world.commit(vec![spec], Some(policy(true, &[])));
    world.pass(ENOUGH);
    assert!(world.fleet.held_plan().is_some());
    assert_eq!((world.healthy("web"), world.stops()), (20, 0));
}
