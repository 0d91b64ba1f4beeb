//! The choice of hosts, against a plain model that looks at every host for every task.

use crate::common::{batch, facts, service, settings};
use jiff::Timestamp;
use muster_core::fleet::Host;
use muster_core::place::{Board, Class, LAUNCHES_AT_ONCE, Style};
use muster_schemas::ids::HostId;
use muster_schemas::spec::{Bytes, ConstraintSet, CpuMillis, JobSpec, Port, Tier};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A host of the model, with the tasks that it has.
struct Place {
    host: Host,
    tasks: Vec<JobSpec>,
}

impl Place {
    fn zone(&self) -> &str {
        &self.host.facts.as_ref().expect("it has told").zone
    }

    fn has(&self, job: &JobSpec) -> u32 {
        let own = self.tasks.iter().filter(|task| task.name == job.name);
        u32::try_from(own.count()).unwrap()
    }

    fn has_others(&self, job: &JobSpec) -> bool {
        self.tasks.iter().any(|task| task.name != job.name)
    }

    fn meets(&self, set: &ConstraintSet) -> [bool; 2] {
        let zone = set.zones.is_empty() || set.zones.iter().any(|zone| zone == self.zone());
        let host = set.hosts.is_empty() || set.hosts.contains(&self.host.name);
        [zone, host]
    }

    fn lacks(&self, set: &ConstraintSet) -> u32 {
        let labels = &self.host.facts.as_ref().expect("it has told").labels;
        let lacking = set.host_labels.iter();
        let lacking = lacking.filter(|(key, value)| labels.get(*key) != Some(value));
        u32::try_from(lacking.count()).unwrap()
    }

    /// Whether a task could be here at all, whoever is here.
    fn could_have(&self, job: &JobSpec) -> bool {
        let hard = &job.constraints.hard;
        self.host.connected && self.meets(hard).iter().all(|met| *met) && self.lacks(hard) == 0
    }

    /// What is taken of each resource with one more task, and what there is.
    fn with(&self, job: &JobSpec) -> [(u64, u64); 5] {
        let all = || self.tasks.iter().chain([job]);
        let sum = |of: fn(&JobSpec) -> u64| all().map(of).sum::<u64>();
        let has = &self.host.facts.as_ref().expect("it has told").resources;
        [
            (
                sum(|job| u64::from(job.resources.cpu.0)),
                u64::from(has.cpu.0),
            ),
            (sum(|job| job.resources.memory.0), has.memory.0),
            (sum(|job| job.resources.disk.0), has.disk.0),
            (sum(|job| u64::from(job.resources.gpu)), u64::from(has.gpu)),
            (sum(|_| 1), u64::from(has.containers)),
        ]
    }

    fn can_take(&self, job: &JobSpec, is_ahead: bool) -> bool {
        let hard = &job.constraints.hard;
        let ready = self
            .host
            .facts
            .as_ref()
            .expect("it has told")
            .not_ready
            .is_none();
        let wants_alone = |task: &JobSpec| task.constraints.hard.exclusive_host;
        let others = || self.tasks.iter().filter(|task| task.name != job.name);
        let port = |job: &JobSpec| job.ports.iter().find_map(|port| port.host_port);
        let ports: BTreeSet<u16> = self.tasks.iter().filter_map(port).collect();
        ready
            && self.could_have(job)
            && !others().any(wants_alone)
            && !(hard.exclusive_host && self.has_others(job))
            && !(hard.unique_host && self.has(job) > 0)
            && !(hard.zone_balance && is_ahead)
            && port(job).is_none_or(|port| !ports.contains(&port))
            && self.with(job).iter().all(|(taken, has)| taken <= has)
            && u32::try_from(self.tasks.len()).unwrap() < LAUNCHES_AT_ONCE
    }

    fn fullness_with(&self, job: &JobSpec) -> u64 {
        let all = self.with(job).into_iter().filter(|(_, has)| *has > 0);
        all.map(|(taken, has)| taken * 1000 / has)
            .max()
            .unwrap_or(0)
    }
}

/// How good each host is for a task of the job; what cannot take it is not there.
fn ranks(places: &[Place], job: &JobSpec) -> BTreeMap<HostId, [u64; 5]> {
    let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
    for place in places.iter().filter(|place| place.could_have(job)) {
        *zones.entry(place.zone()).or_insert(0) += place.has(job);
    }
    let least = zones.values().min().copied().unwrap_or(0);
    let soft = &job.constraints.soft;
    let rank = |place: &Place| {
        let in_zone = zones.get(place.zone()).copied().unwrap_or(0);
        let is_ahead = in_zone > least;
        if !place.can_take(job, is_ahead) {
            return None;
        }
        let unmet = [
            soft.unique_host && place.has(job) > 0,
            soft.exclusive_host && place.has_others(job),
            soft.zone_balance && is_ahead,
            !place.meets(soft)[0],
            !place.meets(soft)[1],
        ];
        let unmet = unmet.into_iter().filter(|unmet| *unmet).count();
        let unmet = u64::try_from(unmet).unwrap() + u64::from(place.lacks(soft));
        let has_gpus = place
            .host
            .facts
            .as_ref()
            .expect("it has told")
            .resources
            .gpu
            > 0;
        let wastes = u64::from(job.resources.gpu == 0 && has_gpus);
        let fullness = place.fullness_with(job);
        Some(match Style::of(job) {
            Style::Spread => [
                unmet,
                u64::from(in_zone),
                u64::from(place.has(job)),
                wastes,
                fullness,
            ],
            Style::Pack => [unmet, 0, 0, wastes, 1_000_000 - fullness],
        })
    };
    let ranked = places
        .iter()
        .filter_map(|place| Some((place.host.id, rank(place)?)));
    ranked.collect()
}

fn host(number: u128, zone: u8, cpus: u32, gpus: u32, kind: u8) -> Host {
    let name = format!("host-{number}");
    let mut facts = facts(&name, ["a", "b", "c"][usize::from(zone % 3)]);
    facts.resources.cpu = CpuMillis(cpus * 1000);
    facts.resources.gpu = gpus;
    facts.labels = [(
        "disk".to_owned(),
        ["ssd", "hdd"][usize::from(kind % 2)].to_owned(),
    )]
    .into();
    facts.not_ready = (kind % 16 == 7).then(|| "the engine does not answer".to_owned());
    Host {
        id: HostId(Uuid::from_u128(number + 1)),
        name,
        enrolled_at: Timestamp::UNIX_EPOCH,
        connected: kind % 16 != 9,
        since: Timestamp::UNIX_EPOCH,
        facts: Some(facts),
        orphans: Vec::new(),
        orphans_since: None,
        ahead: None,
        taken: None,
    }
}

fn hosts() -> impl Strategy<Value = Vec<Host>> {
    fleet(1..14)
}

fn fleet(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Host>> {
    let host_of = (
        0u8..3,
        2u32..40,
        prop_oneof![4 => Just(0u32), 1 => 1u32..5],
        0u8..32,
    );
    proptest::collection::vec(host_of, size).prop_map(|hosts| {
        let numbered = (0u128..).zip(hosts);
        numbered
            .map(|(number, (zone, cpus, gpus, kind))| host(number, zone, cpus, gpus, kind))
            .collect()
    })
}

fn constraints() -> impl Strategy<Value = ConstraintSet> {
    let flags = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.25),
    );
    let named = (0u8..12, 0u8..12, 0u8..12);
    (flags, named).prop_map(
        |((unique_host, exclusive_host, zone_balance), (zone, host, disk))| ConstraintSet {
            unique_host,
            exclusive_host,
            zone_balance,
            zones: match zone {
                0 => vec!["a".to_owned()],
                1 => vec!["b".to_owned(), "c".to_owned()],
                _ => Vec::new(),
            },
            hosts: match host {
                0 => vec!["host-0".to_owned(), "host-2".to_owned()],
                _ => Vec::new(),
            },
            host_labels: match disk {
                0 => [("disk".to_owned(), "ssd".to_owned())].into(),
                1 => [("disk".to_owned(), "nvme".to_owned())].into(),
                _ => BTreeMap::new(),
            },
        },
    )
}

fn job() -> impl Strategy<Value = JobSpec> {
    let needs = (
        50u32..6000,
        64u64..8192,
        prop_oneof![5 => Just(0u32), 1 => 1u32..3],
    );
    let kind = (
        0u8..6,
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.1),
    );
    (needs, kind, constraints(), constraints()).prop_map(
        |((cpu, mib, gpu), (name, is_batch, critical, port), hard, soft)| {
            let name = format!("job-{name}");
            let mut spec = if is_batch {
                batch(&name, 1, 0)
            } else {
                service(&name, 1)
            };
            spec.tier = if critical { Tier::Critical } else { Tier::Flex };
            spec.resources.cpu = CpuMillis(cpu);
            spec.resources.memory = Bytes(mib << 20);
            spec.resources.gpu = gpu;
            if port {
                spec.ports = vec![Port {
                    name: "web".to_owned(),
                    port: 80,
                    host_port: Some(8080),
                }];
            }
            spec.constraints.hard = hard;
            spec.constraints.soft = soft;
            spec
        },
    )
}

proptest! {
    #![proptest_config(settings(512, "tests/all/place.regressions"))]

    /// A task is placed if and only if a host can take it, and on one of the best.
    #[test]
    fn each_task_gets_one_of_the_best_hosts(hosts in hosts(), jobs in proptest::collection::vec((job(), 1usize..12), 1..8)) {
        let mut places: Vec<Place> = hosts.iter().map(|host| Place { host: host.clone(), tasks: Vec::new() }).collect();
        let mut board = Board::with_hosts(hosts.iter());
        for (job, count) in &jobs {
            let mut class = Class::new(&mut board, job);
            for _ in 0..*count {
                let ranks = ranks(&places, job);
                let nearest = class.nearest(&board, 1);
                let can = nearest.first().is_some_and(|nearest| nearest.refusals.is_empty());
                prop_assert_eq!(can, !ranks.is_empty(), "{}: {:?}", &job.name, nearest);
                let Some(at) = class.place(&mut board) else {
                    prop_assert!(ranks.is_empty(), "{} could have been placed: {ranks:?}", job.name);
                    let blocked = class.blocked(&board);
                    prop_assert_eq!(usize::try_from(blocked.hosts).unwrap(), hosts.len());
                    break;
                };
                let id = board.host(at).unwrap().id;
                let best = ranks.values().min();
                prop_assert_eq!(ranks.get(&id), best, "{}: {:?}", &job.name, &ranks);
                let place = places.iter_mut().find(|place| place.host.id == id).unwrap();
                place.tasks.push(job.clone());
            }
        }
    }

    /// Whatever else is placed between two tasks of a job, also of another version of it, a host that is chosen can take it, and what is not placed no host can take.
    #[test]
    fn jobs_that_take_turns_are_placed_where_they_can_be(
        hosts in hosts(),
        jobs in proptest::collection::vec(job(), 2..8),
        turns in proptest::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let mut places: Vec<Place> = hosts.iter().map(|host| Place { host: host.clone(), tasks: Vec::new() }).collect();
        let mut board = Board::with_hosts(hosts.iter());
        let mut classes: Vec<Class<'_>> = jobs.iter().map(|job| Class::new(&mut board, job)).collect();
        for turn in turns {
            let nth = turn.index(jobs.len());
            let ranks = ranks(&places, &jobs[nth]);
            match classes[nth].place(&mut board) {
                None => prop_assert!(ranks.is_empty(), "{}: {ranks:?}", jobs[nth].name),
                Some(at) => {
                    let id = board.host(at).unwrap().id;
                    prop_assert!(ranks.contains_key(&id), "{} on {id}: {ranks:?}", jobs[nth].name);
                    let place = places.iter_mut().find(|place| place.host.id == id).unwrap();
                    place.tasks.push(jobs[nth].clone());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(settings(24, "tests/all/place.regressions"))]

    /// In a fleet with more hosts than are compared with each other, a task is still placed if and only if a host can take it, and
    /// where its constraints say.
    #[test]
    fn in_a_large_fleet_each_task_that_can_be_placed_is(
        hosts in fleet(250..400),
        jobs in proptest::collection::vec(job(), 4..8),
        turns in proptest::collection::vec((any::<prop::sample::Index>(), 1usize..40), 8..24),
    ) {
        let mut jobs = jobs;
        for (nth, job) in jobs.iter_mut().enumerate() {
            job.name = format!("job-{nth}").into();
        }
        let mut places: Vec<Place> = hosts.iter().map(|host| Place { host: host.clone(), tasks: Vec::new() }).collect();
        let mut board = Board::with_hosts(hosts.iter());
        let mut classes: Vec<Class<'_>> = jobs.iter().map(|job| Class::new(&mut board, job)).collect();
        for (turn, count) in turns {
            let nth = turn.index(jobs.len());
            for _ in 0..count {
                let ranks = ranks(&places, &jobs[nth]);
                let Some(at) = classes[nth].place(&mut board) else {
                    prop_assert!(ranks.is_empty(), "{}: {ranks:?}", jobs[nth].name);
                    break;
                };
                let id = board.host(at).unwrap().id;
                let rank = ranks.get(&id);
                prop_assert!(rank.is_some(), "{} on {id}", jobs[nth].name);
                // What the constraints say and how the tasks are spread is exact; only how full the host is need not be. A wish for
                // a host without others is looked up once for all tasks of a job.
                if !jobs[nth].constraints.soft.exclusive_host {
                    let first = |rank: &[u64; 5]| rank[..3].to_vec();
                    prop_assert_eq!(rank.map(first), ranks.values().map(first).min());
                }
                let place = places.iter_mut().find(|place| place.host.id == id).unwrap();
                place.tasks.push(jobs[nth].clone());
            }
        }
    }
}
