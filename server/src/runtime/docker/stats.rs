//! What a container has used so far.

use super::{DockerEngine, QUESTION_LIMIT, too_slow};
use crate::runtime::{Counters, RuntimeError};
use bollard::Docker;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptions;
use futures::StreamExt;
use std::time::Instant;

pub(super) async fn stats(
    engine: &DockerEngine,
    container: &str,
) -> Result<Counters, RuntimeError> {
    let options = StatsOptions {
        stream: false,
        // Without it the engine waits a second for a reading to compare with; we have our own.
        one_shot: true,
    };
    let read = engine
        .ask("stats", QUESTION_LIMIT, async |client: Docker| {
            client
                .stats(container, Some(options))
                .boxed()
                .next()
                .await
                .transpose()
        })
        .await?;
    match read {
        Some(read) => Ok(counters(&read)),
        None => Err(too_slow("stats", QUESTION_LIMIT)),
    }
}

fn counters(read: &ContainerStatsResponse) -> Counters {
    let cpu_nanos = read
        .cpu_stats
        .as_ref()
        .and_then(|cpu| cpu.cpu_usage.as_ref())
        .and_then(|usage| usage.total_usage)
        .unwrap_or(0);
    let memory = read.memory_stats.clone().unwrap_or_default();
    let detail = memory.stats.unwrap_or_default();
    // The first name is cgroup v1's, where children count too; the second is v2's.
    let reclaimable = detail
        .get("total_inactive_file")
        .or_else(|| detail.get("inactive_file"))
        .copied()
        .unwrap_or(0);
    let networks = read.networks.clone().unwrap_or_default();
    Counters {
        at: Instant::now(),
        cpu_nanos,
        memory_bytes: memory.usage.unwrap_or(0).saturating_sub(reclaimable),
        rx_bytes: networks
            .values()
            .map(|network| network.rx_bytes.unwrap_or(0))
            .sum(),
        tx_bytes: networks
            .values()
            .map(|network| network.tx_bytes.unwrap_or(0))
            .sum(),
        pids: read
            .pids_stats
            .as_ref()
            .and_then(|pids| pids.current)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
    }
}
