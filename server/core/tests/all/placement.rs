//! Which host takes which task, and why not another.

use crate::common::{World, facts, service};
use jiff::SignedDuration;
use muster_core::decide::{Answer, Command, Input};
use muster_core::fleet::TaskPhase;
use muster_core::place::LAUNCHES_AT_ONCE;
use muster_core::view::task_detail;
use muster_schemas::event::Event;
use muster_schemas::ids::{HostId, JobId};
use muster_schemas::spec::{
    Bytes, ConstraintSet, CpuMillis, JobSpec, Mbps, Millis, PolicySpec, Port, Tier,
};
use muster_schemas::state::{Blocked, HostFacts, HostRefusal, ResourceKind};
use std::collections::BTreeMap;

/// Tasks of a job by the name of their host.
fn places(world: &World, job: &str) -> BTreeMap<String, u32> {
    let mut places = BTreeMap::new();
    for attempt in world.fleet.attempts.values() {
        if attempt.task.job.as_str() == job && attempt.ended.is_none() {
            let host = &world.fleet.hosts[&attempt.host];
            *places.entry(host.name.clone()).or_insert(0) += 1;
        }
    }
    places
}

fn on(places: &[(&str, u32)]) -> BTreeMap<String, u32> {
    places
        .iter()
        .map(|(host, count)| ((*host).to_owned(), *count))
        .collect()
}

/// Why the first task of the job that has no host has none.
fn blocked(world: &World, job: &str) -> Blocked {
    world.fleet.jobs[&JobId::from(job)]
        .tasks
        .values()
        .find_map(|task| task.blocked.clone())
        .expect("a task is blocked")
        .0
}

fn with_cpus(mut spec: JobSpec, cpus: u32) -> JobSpec {
    spec.resources.cpu = CpuMillis(cpus * 1000);
    spec
}

fn hard(mut spec: JobSpec, constraints: ConstraintSet) -> JobSpec {
    spec.constraints.hard = constraints;
    spec
}

fn soft(mut spec: JobSpec, constraints: ConstraintSet) -> JobSpec {
    spec.constraints.soft = constraints;
    spec
}

fn host(world: &World, name: &str) -> HostId {
    world
        .fleet
        .hosts
        .values()
        .find(|host| host.name == name)
        .expect("a host of that name")
        .id
}

/// Changes what a host says of itself.
fn refit(world: &mut World, name: &str, change: impl FnOnce(&mut HostFacts)) {
    let host = host(world, name);
    let mut facts = world.fleet.hosts[&host].facts.clone().expect("it has told");
    change(&mut facts);
    let facts = Box::new(facts);
    world.give(Input::Facts { host, facts }).expect("known");
}

fn enrol(world: &mut World, name: &str, zone: &str) {
    let name = name.to_owned();
    let Ok(Answer::Enrolled(host)) = world.give(Input::Enrol { name: name.clone() }) else {
        panic!("a host enrols")
    };
    let facts = Box::new(facts(&name, zone));
    world.give(Input::Connected { host, facts }).expect("known");
}

#[test]
fn the_emptier_host_is_taken() {
    let mut world = World::new(2);
    let pin = ConstraintSet {
        hosts: vec!["host-0".to_owned()],
        ..ConstraintSet::default()
    };
    world.commit(vec![hard(with_cpus(service("first", 1), 2), pin)], None);
    world.pass(1);
    world.commit(vec![service("second", 1)], None);
    assert_eq!(places(&world, "second"), on(&[("host-1", 1)]));
}

/// What is scarcest on a host counts: half of its memory is more than a quarter of its CPUs.
#[test]
fn the_scarcest_resource_counts() {
    let mut world = World::new(2);
    let pin = |name: &str| ConstraintSet {
        hosts: vec![name.to_owned()],
        ..ConstraintSet::default()
    };
    let mut memory = hard(service("memory", 1), pin("host-0"));
    memory.resources.memory = Bytes(8 << 30);
    let cpu = hard(with_cpus(service("cpu", 1), 2), pin("host-1"));
    world.commit(vec![memory, cpu], None);
    world.pass(1);
    world.commit(vec![service("web", 1)], None);
    assert_eq!(places(&world, "web"), on(&[("host-1", 1)]));
}

#[test]
fn tasks_are_spread_over_zones_before_hosts() {
    // Zones a, b, c and a again.
    let mut world = World::new(4);
    world.commit(vec![service("web", 3)], None);
    let places = places(&world, "web");
    assert_eq!(places.len(), 3);
    assert!(
        !(places.contains_key("host-0") && places.contains_key("host-3")),
        "two in zone a while another zone has none: {places:?}"
    );
}

#[test]
fn what_is_wanted_softly_is_had_where_it_can_be() {
    let empty = ConstraintSet::default;
    let labels: BTreeMap<String, String> = [("disk".to_owned(), "ssd".to_owned())].into();
    for (wish, place) in [
        (
            ConstraintSet {
                zones: vec!["b".to_owned()],
                ..empty()
            },
            "host-1",
        ),
        (
            ConstraintSet {
                hosts: vec!["host-2".to_owned()],
                ..empty()
            },
            "host-2",
        ),
        (
            ConstraintSet {
                host_labels: labels.clone(),
                ..empty()
            },
            "host-1",
        ),
        (
            ConstraintSet {
                exclusive_host: true,
                ..empty()
            },
            "host-2",
        ),
    ] {
        let mut world = World::new(3);
        refit(&mut world, "host-1", |facts| facts.labels = labels.clone());
        let others = [0, 1].map(|number| {
            let pin = ConstraintSet {
                hosts: vec![format!("host-{number}")],
                ..empty()
            };
            hard(service(&format!("other{number}"), 1), pin)
        });
        world.commit(others.to_vec(), None);
        world.pass(1);
        let wanted = soft(service("web", 3), wish.clone());
        let jobs = [others.to_vec(), vec![wanted]].concat();
        world.commit(jobs, None);
        assert_eq!(places(&world, "web"), on(&[(place, 3)]), "{wish:?}");
    }
    // A wish that no host meets keeps nobody from running.
    let mut world = World::new(1);
    let wish = ConstraintSet {
        zones: vec!["nowhere".to_owned()],
        hosts: vec!["nobody".to_owned()],
        host_labels: labels,
        unique_host: true,
        ..empty()
    };
    world.commit(vec![soft(service("web", 2), wish)], None);
    assert_eq!(places(&world, "web"), on(&[("host-0", 2)]));
}

/// Three hosts in zone a, one in b: without the wish the fourth task would go to zone b, which has fewer.
#[test]
fn a_host_of_its_own_is_wished_for_before_an_even_zone() {
    let mut world = World::new(2);
    enrol(&mut world, "host-2", "a");
    enrol(&mut world, "host-3", "a");
    let wish = ConstraintSet {
        unique_host: true,
        ..ConstraintSet::default()
    };
    world.commit(vec![soft(service("web", 4), wish)], None);
    assert_eq!(
        places(&world, "web"),
        on(&[("host-0", 1), ("host-1", 1), ("host-2", 1), ("host-3", 1)])
    );
}

#[test]
fn zones_that_must_be_even_are() {
    // Zones a, b, c and a again; zone c has no room.
    let mut world = World::new(4);
    let full = hard(
        with_cpus(service("full", 1), 8),
        ConstraintSet {
            zones: vec!["c".to_owned()],
            ..ConstraintSet::default()
        },
    );
    world.commit(vec![full.clone()], None);
    world.pass(1);
    let even = ConstraintSet {
        zone_balance: true,
        ..ConstraintSet::default()
    };
    world.commit(vec![full, hard(service("web", 6), even)], None);
    let per_zone: Vec<u32> = ["host-0", "host-1", "host-2", "host-3"]
        .map(|host| places(&world, "web").get(host).copied().unwrap_or(0))
        .to_vec();
    assert_eq!(per_zone[0] + per_zone[3], 1, "zone a");
    assert_eq!(per_zone[1], 1, "zone b");
    let blocked = blocked(&world, "web");
    assert_eq!(blocked.hosts, 4);
    let counts: Vec<_> = blocked
        .reasons
        .iter()
        .map(|by| {
            (
                matches!(by.refusal, HostRefusal::ZoneUnbalanced { .. }),
                by.count,
            )
        })
        .collect();
    assert_eq!(counts, [(true, 3), (false, 1)]);
    assert_eq!(blocked.reasons[0].examples, ["host-0", "host-1", "host-3"]);
}

/// A zone where no task of the job could be at all is not waited for.
#[test]
fn zones_that_are_ruled_out_do_not_count_for_the_balance() {
    let mut world = World::new(3);
    let two = ConstraintSet {
        zone_balance: true,
        zones: vec!["a".to_owned(), "b".to_owned()],
        ..ConstraintSet::default()
    };
    world.commit(vec![hard(service("web", 4), two)], None);
    assert_eq!(places(&world, "web"), on(&[("host-0", 2), ("host-1", 2)]));
    let mut world = World::new(3);
    let silent = host(&world, "host-2");
    world.give(Input::Silent { host: silent }).expect("known");
    let even = ConstraintSet {
        zone_balance: true,
        ..ConstraintSet::default()
    };
    world.commit(vec![hard(service("web", 4), even)], None);
    assert_eq!(places(&world, "web"), on(&[("host-0", 2), ("host-1", 2)]));
}

#[test]
fn every_resource_is_counted() {
    type Ask = fn(&mut JobSpec);
    let asks: [(ResourceKind, Ask); 5] = [
        (ResourceKind::Cpu, |spec| {
            spec.resources.cpu = CpuMillis(5000)
        }),
        (ResourceKind::Memory, |spec| {
            spec.resources.memory = Bytes(9 << 30)
        }),
        (ResourceKind::Disk, |spec| {
            spec.resources.disk = Bytes(51 << 30)
        }),
        (ResourceKind::Network, |spec| {
            spec.resources.network = Mbps(501)
        }),
        (ResourceKind::Gpu, |spec| spec.resources.gpu = 1),
    ];
    for (kind, ask) in asks {
        let mut world = World::new(1);
        refit(&mut world, "host-0", |facts| facts.resources.gpu = 1);
        let mut spec = service("web", 2);
        ask(&mut spec);
        world.commit(vec![spec], None);
        world.pass(3);
        assert_eq!(world.healthy("web"), 1, "{kind:?}");
        let refusal = blocked(&world, "web").reasons[0].refusal.clone();
        let HostRefusal::TooLittle {
            resource,
            free,
            needed,
        } = refusal
        else {
            panic!("{refusal:?}")
        };
        assert_eq!(resource, kind);
        assert!(free < needed);
    }
    // Exactly what is left is enough; the number of containers counts, too.
    let mut world = World::new(1);
    refit(&mut world, "host-0", |facts| facts.resources.containers = 3);
    world.commit(
        vec![with_cpus(service("web", 2), 4), service("more", 3)],
        None,
    );
    world.pass(3);
    assert_eq!(world.healthy("more") + world.healthy("web"), 3);
    let mut world = World::new(1);
    world.commit(vec![with_cpus(service("web", 2), 4)], None);
    world.pass(3);
    assert_eq!(world.healthy("web"), 2);
}

#[test]
fn a_host_that_is_not_ready_or_has_said_nothing_takes_nothing() {
    let mut world = World::new(1);
    refit(&mut world, "host-0", |facts| {
        facts.not_ready = Some("the engine does not answer".to_owned());
    });
    world.commit(vec![service("web", 1)], None);
    assert!(matches!(
        &blocked(&world, "web").reasons[0].refusal,
        HostRefusal::NotReady { message } if message == "the engine does not answer"
    ));
    refit(&mut world, "host-0", |facts| facts.not_ready = None);
    world.pass(2);
    assert_eq!(world.healthy("web"), 1);

    let mut world = World::new(0);
    let name = "host-0".to_owned();
    world.give(Input::Enrol { name }).expect("it enrols");
    world.commit(vec![service("web", 1)], None);
    assert_eq!(
        blocked(&world, "web").reasons[0].refusal,
        HostRefusal::Unreachable
    );
}

#[test]
fn who_wants_a_host_alone_has_it_alone() {
    let mut world = World::new(2);
    let alone = hard(
        service("alone", 2),
        ConstraintSet {
            exclusive_host: true,
            hosts: vec!["host-0".to_owned()],
            ..ConstraintSet::default()
        },
    );
    world.commit(vec![alone.clone()], None);
    world.pass(2);
    // Tasks of its own job are no strangers.
    assert_eq!(places(&world, "alone"), on(&[("host-0", 2)]));
    world.commit(vec![alone, with_cpus(service("web", 3), 3)], None);
    world.pass(2);
    assert_eq!(places(&world, "web"), on(&[("host-1", 2)]));
    assert!(blocked(&world, "web").reasons.iter().any(|by| by.refusal
        == HostRefusal::TakenExclusively {
            job: JobId::from("alone")
        }));
}

#[test]
fn labels_must_match_in_key_and_value() {
    let mut world = World::new(3);
    refit(&mut world, "host-1", |facts| {
        facts.labels = [("disk".to_owned(), "hdd".to_owned())].into();
    });
    refit(&mut world, "host-2", |facts| {
        facts.labels = [("disk".to_owned(), "ssd".to_owned())].into();
    });
    let labels = ConstraintSet {
        host_labels: [("disk".to_owned(), "ssd".to_owned())].into(),
        ..ConstraintSet::default()
    };
    world.commit(vec![hard(service("web", 3), labels)], None);
    assert_eq!(places(&world, "web"), on(&[("host-2", 3)]));
}

#[test]
fn one_engine_is_not_given_too_many_launches_at_once() {
    let mut world = World::new(1);
    let mut spec = service("web", LAUNCHES_AT_ONCE + 8);
    spec.resources.cpu = CpuMillis(10);
    world.commit(vec![spec], None);
    assert_eq!(places(&world, "web"), on(&[("host-0", LAUNCHES_AT_ONCE)]));
    assert_eq!(
        blocked(&world, "web").reasons[0].refusal,
        HostRefusal::Busy {
            launching: LAUNCHES_AT_ONCE
        }
    );
    world.pass(2);
    assert_eq!(world.healthy("web"), LAUNCHES_AT_ONCE as usize + 8);
}

#[test]
fn what_is_critical_is_placed_first_and_then_what_has_waited_longest() {
    let mut world = World::new(0);
    let whole = |name: &str, tier| JobSpec {
        tier,
        ..with_cpus(service(name, 1), 8)
    };
    let late = whole("a-late", Tier::Flex);
    let early = whole("z-early", Tier::Flex);
    let critical = whole("m-critical", Tier::Critical);
    world.commit(vec![early.clone()], None);
    world.pass(1);
    world.commit(vec![early.clone(), late.clone()], None);
    world.pass(1);
    world.commit(vec![early, late, critical], None);
    for (number, job) in ["m-critical", "z-early", "a-late"].into_iter().enumerate() {
        enrol(&mut world, &format!("host-{number}"), "a");
        assert_eq!(places(&world, job).len(), 1, "{job}");
    }
}

/// A reason is told when it is another one, and not more often than every ten seconds.
#[test]
fn a_blocked_task_tells_what_is_new() {
    let mut world = World::new(1);
    world.commit(vec![with_cpus(service("web", 1), 9)], None);
    let told = |world: &World| {
        world
            .events(|event| matches!(event, Event::TaskBlocked { .. }).then_some(()))
            .len()
    };
    assert_eq!(told(&world), 1);
    world.pass(60);
    assert_eq!(told(&world), 1, "nothing is new");
    enrol(&mut world, "host-1", "b");
    assert_eq!(told(&world), 2, "another host");
    enrol(&mut world, "host-2", "c");
    world.pass(8);
    assert_eq!(told(&world), 2, "too soon");
    world.pass(3);
    assert_eq!(told(&world), 3);
    assert_eq!(blocked(&world, "web").hosts, 3);
}

#[test]
fn a_host_port_is_free_again_when_its_task_has_ended() {
    let mut world = World::new(1);
    let spec = |name: &str| {
        let mut spec = service(name, 1);
        spec.ports = vec![Port {
            name: "http".to_owned(),
            port: 80,
            host_port: Some(8080),
        }];
        spec
    };
    let policy = || {
        Some(PolicySpec {
            prune: true,
            prune_grace: Millis(0),
            ..PolicySpec::built_in()
        })
    };
    world.commit(vec![spec("other"), spec("web")], policy());
    world.pass(2);
    assert_eq!(world.healthy("other") + world.healthy("web"), 1);
    let placed = if world.healthy("web") == 1 {
        "web"
    } else {
        "other"
    };
    let waits = if placed == "web" { "other" } else { "web" };
    assert_eq!(
        blocked(&world, waits).reasons[0].refusal,
        HostRefusal::PortTaken { port: 8080 }
    );
    // Who dies comes back to it.
    world.exit(&format!("{placed}.0"), 1);
    world.pass(3);
    assert_eq!((world.healthy(placed), world.healthy(waits)), (1, 0));
    // Who is gone for good gives it up.
    world.commit(vec![spec(waits)], policy());
    world.pass(5);
    assert_eq!((world.healthy(placed), world.healthy(waits)), (0, 1));
}

#[test]
fn a_reason_names_five_hosts_and_counts_the_rest() {
    let mut world = World::new(7);
    world.commit(vec![with_cpus(service("web", 1), 9)], None);
    let blocked = blocked(&world, "web");
    assert_eq!((blocked.hosts, blocked.reasons[0].count), (7, 7));
    assert_eq!(
        blocked.reasons[0].examples,
        ["host-0", "host-1", "host-2", "host-3", "host-4"]
    );
}

fn in_tier(mut spec: JobSpec, tier: Tier) -> JobSpec {
    spec.tier = tier;
    spec
}

/// A full host of 8 CPUs with a task of 2 that has died twice already, and a job of 2 CPUs that waits.
fn full_host(tier: Tier, waiting: Tier) -> World {
    let mut world = World::new(1);
    let web = || in_tier(with_cpus(service("web", 1), 2), tier);
    let fill = || in_tier(with_cpus(service("fill", 1), 5), Tier::Critical);
    world.commit(vec![web(), fill()], None);
    world.pass(2);
    let late = in_tier(with_cpus(service("late", 1), 2), waiting);
    world.commit(vec![web(), fill(), late], None);
    world.pass(2);
    for _ in 0..5 {
        world.exit("web.0", 1);
        let task = world.task(&"web.0".parse().expect("a task id"));
        if matches!(&task.phase, TaskPhase::Queued { not_before, .. } if *not_before > world.now) {
            return world;
        }
        world.pass(1);
    }
    panic!("it has to wait for its next attempt");
}

#[test]
fn what_died_keeps_its_place_until_it_comes_back() {
    for tier in [Tier::Critical, Tier::Flex] {
        let mut world = full_host(tier, Tier::Flex);
        world.tick();
        assert_eq!(places(&world, "late"), on(&[]));
        let why = blocked(&world, "late");
        assert!(
            matches!(&why.reasons[0].refusal, HostRefusal::KeptFor { task } if task.to_string() == "web.0")
                || matches!(&why.reasons[0].refusal, HostRefusal::TooLittle { .. }),
            "{why:?}"
        );
        world.pass(40);
        assert_eq!(places(&world, "web"), on(&[("host-0", 1)]));
        assert_eq!(places(&world, "late"), on(&[]));
    }
    // Critical work need not wait for what is less.
    let mut world = full_host(Tier::Flex, Tier::Critical);
    world.tick();
    assert_eq!(places(&world, "late"), on(&[("host-0", 1)]));
}

#[test]
fn what_never_ran_is_not_started_once_its_document_is_gone() {
    let mut world = World::new(1);
    let fill = || with_cpus(service("fill", 1), 7);
    let late = || with_cpus(service("late", 2), 1);
    world.commit(vec![fill(), late()], None);
    world.pass(2);
    assert_eq!(places(&world, "late"), on(&[("host-0", 1)]));
    world.commit(vec![fill()], None);
    enrol(&mut world, "other", "b");
    world.pass(5);
    assert_eq!(
        places(&world, "late"),
        on(&[("host-0", 1)]),
        "one never ran"
    );
    let task = world.task(&"late.1".parse().expect("a task id"));
    let job = &world.fleet.jobs[&JobId::from("late")];
    let reason = task_detail(&world.fleet, job, task, world.now).task.reason;
    assert_eq!(
        reason,
        "no document asks for it any more, and it has never run: it is not started"
    );
    // What ran runs on, also when it dies.
    world.exit("late.0", 1);
    world.pass(5);
    assert_eq!(places(&world, "late").values().sum::<u32>(), 1);
    world.commit(vec![fill(), late()], None);
    world.pass(5);
    assert_eq!(places(&world, "late").values().sum::<u32>(), 2);
}

#[test]
fn a_host_that_comes_and_goes_is_not_told_by_all_that_wait() {
    let mut world = World::new(2);
    let many = |name: &str| with_cpus(service(name, 500), 8);
    world.commit(vec![many("one"), many("two")], None);
    world.pass(5);
    let told = |world: &World| {
        let blocked = |event| matches!(event, &Event::TaskBlocked { .. }).then_some(());
        world.events(blocked).len()
    };
    let first = told(&world);
    assert!(first >= 998, "each says it once: {first}");
    let flapping = host(&world, "host-1");
    for _ in 0..10 {
        world
            .give(Input::Silent { host: flapping })
            .expect("a known host");
        world.pass(15);
        let facts = world.fleet.hosts[&flapping].facts.clone();
        let facts = Box::new(facts.expect("it has told them"));
        world
            .give(Input::Connected {
                host: flapping,
                facts,
            })
            .expect("a known host");
        world.pass(15);
    }
    assert_eq!(told(&world), first, "they wait for the same as before");
}

#[test]
fn a_removed_document_takes_nothing_from_what_runs_on() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 4)], None);
    world.pass(12);
    world.commit(vec![service("web", 2), service("other", 1)], None);
    world.pass(12);
    assert_eq!(world.healthy("web"), 2);
    // The indexes that were given up are forgotten, and so is how often they ran.
    world.now += SignedDuration::from_hours(1);
    world.pass(2);
    world.commit(vec![service("other", 1)], None);
    world.pass(2);
    let scale = Command::Scale {
        job: JobId::from("web"),
        desired: 4,
        reason: "it is needed all the same".to_owned(),
        until: None,
    };
    world.command(scale).expect("it runs on, and can be scaled");
    world.pass(12);
    assert_eq!(world.healthy("web"), 4);
}

#[test]
fn a_host_of_its_own_is_kept_as_that() {
    let mut world = World::new(1);
    let alone = ConstraintSet {
        exclusive_host: true,
        ..ConstraintSet::default()
    };
    let db = || hard(with_cpus(service("db", 1), 1), alone.clone());
    world.commit(vec![db()], None);
    world.pass(2);
    world.commit(vec![db(), with_cpus(service("web", 1), 1)], None);
    world.pass(2);
    for _ in 0..5 {
        world.exit("db.0", 1);
        world.tick();
        assert_eq!(places(&world, "web"), on(&[]));
        world.pass(20);
        assert_eq!(places(&world, "db"), on(&[("host-0", 1)]));
    }
}
