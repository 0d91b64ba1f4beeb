//! Hosts and jobs that are as different from each other as those of a company, from a seed.

use jiff::Timestamp;
use muster_core::fleet::Host;
use muster_schemas::ids::HostId;
use muster_schemas::spec::{Bytes, CpuMillis, JobSpec, Mbps, Tier};
use muster_schemas::state::{HostFacts, HostResources};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// Services and batch jobs of many sizes, some with constraints, ports or GPUs
    Mixed,
    /// The same without constraints, ports and GPUs
    Plain,
    /// One service with an even number in each zone, and a host of its own for each task where that can be
    Service,
}

/// Tasks of one shape.
#[derive(Debug)]
pub struct Tasks {
    /// Their job.
    pub spec: JobSpec,
    /// So many.
    pub count: u32,
}

/// A machine that is sold: CPUs, GiB of memory and of disk, Mbit/s, GPUs, and in how many of a hundred hosts it is that one.
struct Machine(&'static str, u32, u64, u64, u32, u32, u32);

const MACHINES: &[Machine] = &[
    Machine("m-large", 32, 128, 500, 10_000, 0, 35),
    Machine("m-huge", 96, 384, 1000, 25_000, 0, 20),
    Machine("c-large", 64, 128, 300, 12_500, 0, 15),
    Machine("r-large", 48, 384, 300, 12_500, 0, 15),
    Machine("m-old", 16, 64, 200, 5_000, 0, 10),
    Machine("g-large", 48, 192, 900, 25_000, 4, 5),
];

/// So many hosts in three zones.
pub fn hosts(count: u32, seed: u64) -> Vec<Host> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut host = |number: u32| {
        let mut of = chance.random_range(0..100);
        let machine = MACHINES.iter().find(|machine| {
            let is_it = of < machine.6;
            of = of.saturating_sub(machine.6);
            is_it
        });
        let Machine(kind, cpus, memory, disk, network, gpus, _) =
            machine.expect("the hundredths add up to a hundred");
        let disks = if chance.random_ratio(2, 3) {
            "ssd"
        } else {
            "hdd"
        };
        made_host(
            number,
            ["zone-a", "zone-b", "zone-c"][number as usize % 3],
            HostResources {
                cpu: CpuMillis(cpus * 1000),
                memory: Bytes(memory << 30),
                disk: Bytes(disk << 30),
                network: Mbps(*network),
                gpu: *gpus,
                containers: 250,
            },
            [("machine", kind), ("disk", &disks)],
        )
    };
    (0..count).map(&mut host).collect()
}

pub(super) fn made_host(
    number: u32,
    zone: &str,
    resources: HostResources,
    labels: [(&str, &str); 2],
) -> Host {
    let name = format!("host-{number}");
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Host {
        id: HostId(Uuid::from_u128(u128::from(number) + 1)),
        enrolled_at: Timestamp::UNIX_EPOCH,
        connected: true,
        since: Timestamp::UNIX_EPOCH,
        facts: Some(HostFacts {
            name: name.clone(),
            address: "127.0.0.1".to_owned(),
            zone: zone.to_owned(),
            labels: BTreeMap::from(labels),
            resources,
            engine: String::new(),
            system: String::new(),
            agent_version: String::new(),
            warnings: Vec::new(),
            not_ready: None,
        }),
        name,
        orphans: Vec::new(),
        orphans_since: None,
        ahead: None,
        taken: None,
    }
}

/// Jobs that together have so many tasks; their names begin with `prefix`.
pub fn jobs(mix: Mix, tasks: u32, prefix: &str, seed: u64) -> Vec<Tasks> {
    let mut chance = StdRng::seed_from_u64(seed);
    if mix == Mix::Service {
        let mut spec = job(&format!("{prefix}-service"), true, Tier::Critical);
        spec.resources.cpu = CpuMillis(1000);
        spec.resources.memory = Bytes(2 << 30);
        spec.constraints.hard.zone_balance = true;
        spec.constraints.soft.unique_host = true;
        return vec![Tasks { spec, count: tasks }];
    }
    let mut jobs = Vec::new();
    let mut left = tasks;
    while left > 0 {
        let name = format!("{prefix}-{}", jobs.len());
        let is_service = chance.random_ratio(1, 2);
        // Most jobs are small, and a few have hundreds of tasks.
        let size = 1 << chance.random_range(0..=if is_service { 6 } else { 9 });
        let count = chance.random_range(1..=size).min(left);
        left -= count;
        let tier = if is_service && chance.random_ratio(2, 3) {
            Tier::Critical
        } else {
            Tier::Flex
        };
        let mut spec = job(&name, is_service, tier);
        spec.resources.cpu =
            CpuMillis(100 * chance.random_range(1..=20) * chance.random_range(1..=3));
        let per_cpu = chance.random_range(1..=8);
        let memory = u64::from(spec.resources.cpu.0) * per_cpu / 1000;
        spec.resources.memory = Bytes(memory.max(1) << 29);
        spec.resources.disk = Bytes(chance.random_range(1..=20) << 30);
        spec.resources.network = Mbps(chance.random_range(0..=100));
        if mix == Mix::Mixed {
            constrain(&mut spec, &mut chance);
        }
        jobs.push(Tasks { spec, count });
    }
    jobs
}

fn constrain(spec: &mut JobSpec, chance: &mut StdRng) {
    let constraints = &mut spec.constraints;
    let mut percent = |of| chance.random_ratio(of, 100);
    constraints.hard.zone_balance = percent(15);
    constraints.soft.zone_balance = percent(15);
    constraints.hard.unique_host = percent(5);
    constraints.soft.unique_host = percent(30);
    if percent(10) {
        constraints.hard.zones = vec!["zone-a".to_owned(), "zone-b".to_owned()];
    }
    if percent(15) {
        let ssd = ("disk".to_owned(), "ssd".to_owned());
        constraints.hard.host_labels = [ssd].into();
    }
    if percent(10) {
        let machine = ("machine".to_owned(), "m-huge".to_owned());
        constraints.soft.host_labels = [machine].into();
    }
    if percent(3) {
        spec.resources.gpu = 1;
    }
    if percent(2) {
        let port = json!([{"name": "web", "port": 80, "hostPort": 8080}]);
        spec.ports = serde_json::from_value(port).expect("a port as a document has it");
    }
}

/// A job with what every job has to say.
pub(super) fn job(name: &str, is_service: bool, tier: Tier) -> JobSpec {
    let (kind, of_kind) = if is_service {
        ("service", json!({"capacity": {"desired": 1}}))
    } else {
        ("batch", json!({}))
    };
    let mut spec: JobSpec = serde_json::from_value(json!({
        "name": name,
        "owner": "team@example.com",
        "image": "registry.example.com/app:1",
        kind: of_kind,
    }))
    .expect("a job as a document has it");
    spec.tier = tier;
    spec
}
