//! Hosts and pods of the openb trace: a production cluster's, published by Alibaba.

use super::workload::{Tasks, job, made_host};
use anyhow::Context as _;
use muster_core::fleet::Host;
use muster_schemas::spec::{Bytes, CpuMillis, Mbps, Tier};
use muster_schemas::state::HostResources;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Pods of one shape are jobs of at most so many tasks: who runs thousands of one shape has not one job of them.
const TASKS_PER_JOB: u32 = 50;

#[derive(Debug, Deserialize)]
struct Node {
    cpu_milli: u32,
    memory_mib: u64,
    gpu: u32,
    model: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    cpu_milli: u32,
    memory_mib: u64,
    num_gpu: u32,
    qos: String,
}

/// The hosts of a node list, `scale` times, in three zones. The trace tells neither disk nor network, so there is plenty of both.
///
/// # Errors
///
/// What cannot be read, and where.
pub fn hosts(path: &Path, scale: u32) -> anyhow::Result<Vec<Host>> {
    let mut nodes = Vec::new();
    for node in rows(path)? {
        let node: Node = node.with_context(|| cannot_read(path))?;
        nodes.push(node);
    }
    let all = std::iter::repeat_n(&nodes, scale as usize).flatten();
    let hosts = (0..).zip(all).map(|(number, node)| {
        let zone = ["zone-a", "zone-b", "zone-c"][number as usize % 3];
        let resources = HostResources {
            cpu: CpuMillis(node.cpu_milli),
            memory: Bytes(node.memory_mib << 20),
            disk: Bytes(10 << 40),
            network: Mbps(100_000),
            gpu: node.gpu,
            containers: 1000,
        };
        let labels = [("gpu", node.model.as_str()), ("trace", "openb")];
        made_host(number, zone, resources, labels)
    });
    Ok(hosts.collect())
}

/// The pods of a list, `scale` times, as jobs. Those that want a part of a GPU take a whole one: parts are not sold. What the trace
/// calls latency sensitive or guaranteed is a critical service, what it calls burstable a flex one, all else flex batch work.
///
/// # Errors
///
/// What cannot be read, and where.
pub fn jobs(path: &Path, scale: u32) -> anyhow::Result<Vec<Tasks>> {
    let mut shapes: BTreeMap<Shape, u32> = BTreeMap::new();
    for shape in rows(path)? {
        let shape: Shape = shape.with_context(|| cannot_read(path))?;
        *shapes.entry(shape).or_insert(0) += scale;
    }
    let mut jobs = Vec::new();
    for (shape, count) in shapes {
        let mut left = count;
        while left > 0 {
            let count = left.min(TASKS_PER_JOB);
            left -= count;
            let (is_service, tier) = match shape.qos.as_str() {
                "LS" | "Guaranteed" => (true, Tier::Critical),
                "Burstable" => (true, Tier::Flex),
                _ => (false, Tier::Flex),
            };
            let mut spec = job(&format!("openb-{}", jobs.len()), is_service, tier);
            spec.resources.cpu = CpuMillis(shape.cpu_milli);
            spec.resources.memory = Bytes(shape.memory_mib << 20);
            spec.resources.gpu = shape.num_gpu;
            jobs.push(Tasks { spec, count });
        }
    }
    Ok(jobs)
}

fn rows<T: for<'a> Deserialize<'a>>(
    path: &Path,
) -> anyhow::Result<impl Iterator<Item = Result<T, csv::Error>>> {
    let reader = csv::Reader::from_path(path).with_context(|| cannot_read(path))?;
    Ok(reader.into_deserialize())
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read the trace {}", path.display())
}
