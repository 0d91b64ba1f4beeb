//! A plain look at every host: what was placed where it may not be.

use super::workload::Tasks;
use muster_core::fleet::Host;
use muster_schemas::ids::HostId;
use muster_schemas::spec::JobSpec;
use std::collections::{BTreeMap, BTreeSet};

/// Tasks with their hosts.
pub type Placed<'a> = Vec<(&'a JobSpec, HostId)>;

/// So many hard constraints do not hold: a resource or a port that is sold twice, a task on a host that it does not want, two tasks
/// of a job that wants a host for each, a zone that has two more of a job than another. All that is `placed` counts, of which the
/// `jobs` are those that zones are counted for.
pub fn violations<'a>(
    hosts: &[Host],
    placed: &Placed<'_>,
    jobs: impl Iterator<Item = &'a Tasks>,
) -> u64 {
    let mut on: BTreeMap<HostId, Vec<&JobSpec>> = BTreeMap::new();
    for (spec, host) in placed {
        on.entry(*host).or_default().push(spec);
    }
    let mut violations = 0;
    for host in hosts {
        violations += of_host(host, on.get(&host.id).map_or(&[], Vec::as_slice));
    }
    let zones: BTreeMap<HostId, &str> = hosts.iter().map(|host| (host.id, zone(host))).collect();
    let mut by_job: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for (spec, host) in placed {
        let of_job = by_job.entry(spec.name.as_str()).or_default();
        *of_job.entry(zones[host]).or_insert(0) += 1;
    }
    for job in jobs.filter(|job| job.spec.constraints.hard.zone_balance) {
        let could = |host: &&Host| wants(&job.spec, host);
        let could: BTreeSet<&str> = hosts.iter().filter(could).map(zone).collect();
        let none = BTreeMap::new();
        let of_job = by_job.get(job.spec.name.as_str()).unwrap_or(&none);
        let counts = could
            .iter()
            .map(|zone| of_job.get(zone).copied().unwrap_or(0));
        let (least, most) = (counts.clone().min(), counts.max());
        violations += u64::from(most > least.map(|least| least + 1));
    }
    violations
}

fn zone(host: &Host) -> &str {
    host.facts.as_ref().map_or("", |facts| &facts.zone)
}

/// Whether a job lets its tasks be on a host.
fn wants(job: &JobSpec, host: &Host) -> bool {
    let hard = &job.constraints.hard;
    let has = |(key, value): (&String, &String)| {
        let labels = host.facts.as_ref().map(|facts| &facts.labels);
        labels.and_then(|labels| labels.get(key)) == Some(value)
    };
    (hard.zones.is_empty() || hard.zones.iter().any(|name| name == zone(host)))
        && (hard.hosts.is_empty() || hard.hosts.contains(&host.name))
        && hard.host_labels.iter().all(has)
}

fn of_host(host: &Host, tasks: &[&JobSpec]) -> u64 {
    let Some(facts) = &host.facts else {
        return tasks.len() as u64;
    };
    let has = &facts.resources;
    let sum = |of: fn(&JobSpec) -> u64| tasks.iter().map(|task| of(task)).sum::<u64>();
    let sold_twice = [
        sum(|task| u64::from(task.resources.cpu.0)) > u64::from(has.cpu.0),
        sum(|task| task.resources.memory.0) > has.memory.0,
        sum(|task| task.resources.disk.0) > has.disk.0,
        sum(|task| u64::from(task.resources.network.0)) > u64::from(has.network.0),
        sum(|task| u64::from(task.resources.gpu)) > u64::from(has.gpu),
        sum(|_| 1) > u64::from(has.containers),
    ];
    let mut violations = sold_twice.into_iter().filter(|twice| *twice).count();
    let mut ports = BTreeSet::new();
    let mut unique = BTreeSet::new();
    for task in tasks {
        let hard = &task.constraints.hard;
        let others = tasks.iter().any(|other| other.name != task.name);
        let mut own = task.ports.iter().filter_map(|port| port.host_port);
        violations += usize::from(!wants(task, host))
            + usize::from(hard.exclusive_host && others)
            + usize::from(own.any(|port| !ports.insert(port)))
            + usize::from(hard.unique_host && !unique.insert(&task.name));
    }
    violations as u64
}
