//! Hosts that come, go, cannot be seen or are ahead, and what their agents tell.

use crate::common::{World, service, with_image};
use muster_core::assign::assignments;
use muster_core::decide::{Command, Input, Refusal};
use muster_schemas::api::Severity;
use muster_schemas::event::Event;
use muster_schemas::ids::{CellName, TaskId};
use muster_schemas::state::{Orphan, Phase};
use muster_schemas::wire::{Fence, Report};

#[test]
fn a_host_that_cannot_be_seen_keeps_its_tasks() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 4)], None);
    world.pass(5);
    let host = *world.fleet.hosts.keys().next().unwrap();
    world
        .give(muster_core::decide::Input::Silent { host })
        .unwrap();
    world.pass(3600);
    assert_eq!(
        world.living("web").len(),
        4,
        "nothing is replaced without evidence"
    );
    assert_eq!(world.healthy("web"), 2);
    assert_eq!(world.stops(), 0);
    // A rollout meanwhile keeps off the healthy ones that are left.
    world.commit(
        vec![with_image(service("web", 4), "registry.example.com/app:2")],
        None,
    );
    world.pass(60);
    assert!(world.healthy("web") >= 2);
}

#[test]
fn a_host_that_a_person_removes_gives_its_tasks_to_others() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 4)], None);
    world.pass(5);
    let host = *world.fleet.hosts.keys().next().unwrap();
    let remove = Command::RemoveHost {
        host,
        reason: "its disk died".to_owned(),
    };
    assert!(
        world.command(remove.clone()).is_err(),
        "a host whose containers run is not removed"
    );
    world
        .give(muster_core::decide::Input::Silent { host })
        .unwrap();
    world.command(remove).unwrap();
    world.running.retain(|_, on| *on != host);
    world.pass(5);
    assert_eq!(world.healthy("web"), 4);
    assert_eq!(world.stops(), 0);
    assert!(
        world
            .fleet
            .attempts
            .values()
            .all(|attempt| attempt.host != host),
        "nothing is kept of what is out of reach"
    );
}

#[test]
fn a_host_that_is_ahead_is_told_once_and_follows_again_only_by_a_persons_word() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 4)], None);
    world.pass(5);
    let host = *world.fleet.hosts.keys().next().unwrap();
    let facts = world.fleet.hosts[&host].facts.clone().unwrap();
    let pages = |world: &World| -> Vec<String> {
        let alerts = muster_core::view::alerts(&world.fleet, None, world.now);
        let pages = alerts.into_iter().filter(|a| a.severity == Severity::Page);
        pages
            .map(|alert| format!("{}: {}", alert.code, alert.message))
            .collect()
    };
    let take = |reason: &str| Command::TakeHost {
        host,
        reason: reason.to_owned(),
    };
    assert_eq!(
        world.command(take("by mistake")),
        Err(Refusal::HostIsNotAhead("host-0".to_owned()))
    );

    // Its agent dials again and again.
    let highest = Fence { epoch: 9, seq: 500 };
    for _ in 0..3 {
        world
            .give(Input::Ahead {
                host,
                highest,
                refused: false,
            })
            .unwrap();
    }
    let told = world.events(|event| match event {
        Event::HostAhead { host, highest } => Some((*host, *highest)),
        _ => None,
    });
    assert_eq!(told, [(host, highest)]);
    insta::assert_snapshot!(pages(&world).join("\n"), @"host-ahead: host-0 follows orders that rest on record 500 of epoch 9, which this control plane's journal does not have: an older copy of its home was restored, or another control plane leads; it takes no orders from here, and its containers run on. Restore the newest copy of the control plane's home; if there is none, and no other control plane leads, `muster take-host host-0 --reason …` has it follow this one.");
    assert!(
        !world.fleet.hosts[&host].connected,
        "nothing is placed there"
    );
    let seen = muster_core::view::host_view(&world.fleet, &world.fleet.hosts[&host], world.now);
    assert!(!seen.ready && !seen.reachable);
    assert!(
        seen.reason.contains("record 500 of epoch 9")
            && seen.reason.contains("`muster take-host host-0"),
        "{}",
        seen.reason
    );
    let before = world.journal.len();
    let report = muster_schemas::wire::Report {
        complete: true,
        fence: highest,
        attempts: Vec::new(),
        orphans: Vec::new(),
    };
    let report = Box::new(report);
    world.give(Input::Report { host, report }).unwrap();
    assert_eq!(
        world.journal.len(),
        before,
        "what it says is of another history"
    );

    let remove = Command::RemoveHost {
        host,
        reason: "it is gone".to_owned(),
    };
    assert_eq!(
        world.command(remove),
        Err(Refusal::HostIsAhead("host-0".to_owned())),
        "its containers may well run"
    );

    // The word holds for the fence that it was given for.
    world.command(take("the newest copy is lost")).unwrap();
    assert_eq!(pages(&world), [""; 0]);
    let crossing = Input::Ahead {
        host,
        highest,
        refused: false,
    };
    world.give(crossing).unwrap();
    assert_eq!(assignments(&world.fleet, host).supersedes, Some(highest));
    world.command(take("the newest copy is lost")).unwrap();
    let newer = Fence { epoch: 9, seq: 501 };
    world
        .give(Input::Ahead {
            host,
            highest: newer,
            refused: false,
        })
        .unwrap();
    assert_eq!(assignments(&world.fleet, host).supersedes, None);
    assert_eq!(pages(&world).len(), 1);
    world.command(take("the newest copy is lost")).unwrap();
    assert_eq!(assignments(&world.fleet, host).supersedes, Some(newer));
    let taken = world.events(|event| match event {
        Event::HostTaken { highest, .. } => Some(*highest),
        _ => None,
    });
    assert_eq!(taken, [highest, newer]);

    // It is used up once the host follows.
    let facts = Box::new(facts);
    world.give(Input::Facts { host, facts }).unwrap();
    let report = |fence| Input::Report {
        host,
        report: Box::new(muster_schemas::wire::Report {
            complete: true,
            fence,
            attempts: Vec::new(),
            orphans: Vec::new(),
        }),
    };
    world.give(report(newer)).unwrap();
    assert_eq!(assignments(&world.fleet, host).supersedes, Some(newer));
    assert!(!world.fleet.hosts[&host].connected);
    let own = Fence {
        epoch: world.fleet.epoch,
        seq: world.fleet.seq,
    };
    world.give(report(own)).unwrap();
    assert!(world.fleet.hosts[&host].connected);
    assert_eq!(pages(&world), [""; 0]);
    assert_eq!(assignments(&world.fleet, host).supersedes, None);
    assert!(world.command(take("again")).is_err());
    world.pass(5);
    assert_eq!(world.healthy("web"), 4);
    assert_eq!(world.stops(), 0);
}

#[test]
fn more_hosts_ahead_than_a_few_are_one_alert() {
    let mut world = World::new(4);
    let hosts: Vec<_> = world.fleet.hosts.keys().copied().collect();
    let highest = Fence { epoch: 9, seq: 500 };
    for (count, told) in [(1, 1), (2, 2), (3, 3), (4, 1)] {
        let host = hosts[count - 1];
        world
            .give(Input::Ahead {
                host,
                highest,
                refused: false,
            })
            .unwrap();
        let alerts = muster_core::view::alerts(&world.fleet, None, world.now);
        assert!(
            alerts.iter().all(|alert| alert.code == "host-ahead"),
            "{alerts:?}"
        );
        assert_eq!(alerts.len(), told, "{count} hosts");
        if count == 4 {
            insta::assert_snapshot!(alerts[0].message, @"4 hosts, such as host-0, host-1, host-2, follow orders that this control plane's journal does not have: an older copy of its home was restored, or another control plane leads. They take no orders from here, and their containers run on. Restore the newest copy of the control plane's home; if there is none, and no other control plane leads, `muster take-host HOST --reason …` has it follow this one.");
        }
    }
}

#[test]
fn names_that_no_host_can_have_are_refused() {
    use muster_core::decide::{Answer, Input, Refusal};
    let mut world = World::new(0);
    let mut enrol = |name: &str| {
        world.give(Input::Enrol {
            name: name.to_owned(),
        })
    };
    for name in ["", "a b", "a/b", "a_b", "hôte", &"a".repeat(254)] {
        assert_eq!(enrol(name), Err(Refusal::BadHostName(name.to_owned())));
    }
    for name in ["a", "host-1.example.com", &"a".repeat(253)] {
        assert!(matches!(enrol(name), Ok(Answer::Enrolled(_))), "{name}");
    }
}

/// Agents repeat what they said, under new numbers; the journal keeps it once.
#[test]
fn a_report_of_nothing_new_leaves_no_record() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.pass(2);
    let before = world.journal.len();
    world.restless = true;
    world.pass(30);
    assert_eq!(world.journal.len(), before);
    // Of a pull, tenths are told.
    world.commit(vec![service("web", 2)], None);
    let (id, host) = world
        .fleet
        .attempts
        .values()
        .find(|attempt| attempt.status.is_none())
        .map(|attempt| (attempt.id, attempt.host))
        .unwrap();
    let before = world.journal.len();
    for done in 0..=100 {
        let phase = muster_schemas::state::Phase::Pulling { done, total: 100 };
        let status = world.status(id, phase, None);
        world.report(host, status);
    }
    assert_eq!(world.journal.len(), before + 11);
}

#[test]
fn a_smaller_size_read_before_any_host_is_heard_of_keeps_what_serves() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 5)], None);
    world.pass(40);
    // The three lowest get sick, the others serve on.
    let sick: Vec<_> = (0..3)
        .map(|index| {
            let task: TaskId = format!("web.{index}").parse().expect("a task id");
            let attempt = world.fleet.current_attempt(world.task(&task));
            let attempt = attempt.expect("an attempt");
            (attempt.id, attempt.host)
        })
        .collect();
    for (attempt, host) in sick {
        let status = world.status(attempt, Phase::Running, Some(false));
        world.report(host, status);
    }
    assert_eq!(world.healthy("web"), 2);
    world
        .give(Input::Lead {
            cell: CellName::from("test"),
            version: "0.1.0".to_owned(),
        })
        .expect("a leader");
    assert_eq!(world.healthy("web"), 0, "nothing can be seen");
    world.commit(vec![service("web", 3)], None);
    let stopped = world.events(|event| match event {
        Event::StopOrdered { order } => Some(world.fleet.attempts[&order.attempt].task.index),
        _ => None,
    });
    assert_eq!(stopped, [2, 1], "what served is kept");
}

/// Somebody starts a container with the labels of an attempt that has its own: that is an orphan, and nothing is done to either.
#[test]
fn a_copy_of_an_attempts_container_is_an_orphan_and_the_attempts_own_is_not() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.pass(10);
    let attempt = world.fleet.attempts.values().next().expect("one").clone();
    let mut tell = |containers: &[&str]| {
        let mut own = world.status(attempt.id, Phase::Running, Some(true));
        own.container = Some("own".to_owned());
        let orphan = |container: &&str| Orphan {
            container: (*container).to_owned(),
            attempt: Some(attempt.id),
            task: "web.0".to_owned(),
            cell: "test".to_owned(),
            running: true,
        };
        let report = Report {
            complete: true,
            fence: Fence::default(),
            attempts: vec![own],
            orphans: containers.iter().map(orphan).collect(),
        };
        world
            .give(Input::Report {
                host: attempt.host,
                report: Box::new(report),
            })
            .expect("a known host");
        let orphans = &world.fleet.hosts[&attempt.host].orphans;
        orphans
            .iter()
            .map(|orphan| orphan.container.clone())
            .collect::<Vec<_>>()
    };
    // As an agent tells it that has not heard of the assignment yet.
    assert!(tell(&["own"]).is_empty());
    assert_eq!(tell(&["copy"]), ["copy"]);
    assert_eq!(tell(&["copy", "own"]), ["copy"]);
    assert!(tell(&[]).is_empty());
    assert_eq!(world.stops(), 0);
}
