//! What containers use: the engine counts since their start, and people want rates.

use crate::runtime::{Counters, Runtime};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::Usage;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The engine reads cgroup files for each; more at once would only burden it.
const READINGS_AT_ONCE: usize = 4;

/// The readings before, by attempt and container.
pub type Before = BTreeMap<AttemptId, (String, Counters)>;

/// Reads all of these containers. One that cannot be read (it has just ended) is left out.
pub async fn read<R: Runtime>(runtime: Arc<R>, running: BTreeMap<AttemptId, String>) -> Before {
    stream::iter(running)
        .map(|(attempt, container)| {
            let runtime = Arc::clone(&runtime);
            async move {
                let counters = runtime.stats(&container).await.ok()?;
                Some((attempt, (container, counters)))
            }
        })
        .buffer_unordered(READINGS_AT_ONCE)
        .filter_map(async |reading| reading)
        .collect()
        .await
}

/// Rates between two readings of the same container; the first reading of a container gives none.
pub fn rates(before: &Before, after: &Before, now: Timestamp) -> Vec<Usage> {
    after
        .iter()
        .filter_map(|(attempt, (container, new))| {
            let (_, old) = before.get(attempt).filter(|(same, _)| same == container)?;
            let nanos = new.at.checked_duration_since(old.at)?.as_nanos();
            let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?;
            // Counters of a container that was restarted by hand begin anew; a rate of 0 is the least wrong.
            let per_second = |new: u64, old: u64| {
                let scaled =
                    u128::from(new.saturating_sub(old)) * 1_000_000_000 / u128::from(nanos);
                u64::try_from(scaled).unwrap_or(u64::MAX)
            };
            // A billion nanoseconds of CPU a second is one CPU, which is a thousand thousandths.
            let cpu = per_second(new.cpu_nanos, old.cpu_nanos) / 1_000_000;
            Some(Usage {
                attempt: *attempt,
                at: now,
                cpu_millis: u32::try_from(cpu).unwrap_or(u32::MAX),
                memory_bytes: new.memory_bytes,
                network_rx_bytes_per_sec: per_second(new.rx_bytes, old.rx_bytes),
                network_tx_bytes_per_sec: per_second(new.tx_bytes, old.tx_bytes),
                pids: new.pids,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::attempt;
    use std::time::{Duration, Instant};

    #[test]
    fn rates_are_between_two_readings_of_one_container() {
        let begin = Instant::now();
        let counters = |seconds: u64, cpu_nanos: u64, rx_bytes: u64| Counters {
            at: begin + Duration::from_secs(seconds),
            cpu_nanos,
            memory_bytes: 1 << 20,
            rx_bytes,
            tx_bytes: 0,
            pids: 3,
        };
        let reading = |container: &str, counters| {
            Before::from([(attempt(7), (container.to_owned(), counters))])
        };
        let now = Timestamp::UNIX_EPOCH;
        let old = reading("a", counters(0, 500_000_000, 100));
        let new = reading("a", counters(2, 1_500_000_000, 4100));
        let rate = &rates(&old, &new, now)[0];
        assert_eq!(rate.cpu_millis, 500);
        assert_eq!(rate.network_rx_bytes_per_sec, 2000);
        assert_eq!(rate.memory_bytes, 1 << 20);

        assert_eq!(rates(&Before::new(), &new, now), []);
        assert_eq!(rates(&reading("b", counters(0, 0, 0)), &new, now), []);
        assert_eq!(rates(&new, &new, now), []);
        let restarted = reading("a", counters(4, 10, 0));
        assert_eq!(rates(&new, &restarted, now)[0].cpu_millis, 0);
    }
}
