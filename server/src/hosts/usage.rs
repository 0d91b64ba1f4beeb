//! What containers used in the last ten minutes. It is for people to look at, so it lives in memory only and is lost with the
//! process.

use muster_schemas::ids::{AttemptId, HostId};
use muster_schemas::state::Usage;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Ten minutes of one reading every three seconds.
pub const READINGS_PER_ATTEMPT: usize = 200;

/// Readings older than this, by the host's clock, are dropped.
const READINGS_SPAN: Duration = Duration::from_secs(600);

/// An attempt that nothing is heard of for so long is dropped: it has ended, or its host is gone.
pub const FORGET_AFTER: Duration = Duration::from_secs(900);

/// So many attempts at most. With full rings of 64-byte readings that is 256 MB, which a cell of that size can spare.
pub const MAX_ATTEMPTS: usize = 20_000;

/// Looking for what can be forgotten takes a walk over all, so it is not done more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

struct Ring {
    /// Only this host's readings are taken: one host must not be able to write another's.
    host: HostId,
    heard: Instant,
    readings: VecDeque<Usage>,
}

/// The rings of all attempts.
pub struct UsageRings {
    rings: HashMap<AttemptId, Ring>,
    swept: Instant,
}

impl UsageRings {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self {
            rings: HashMap::new(),
            swept: now,
        }
    }

    /// Takes the readings that `host` sent. Those of attempts beyond [`MAX_ATTEMPTS`], of another host's attempts, and those
    /// that are not newer than what is there are dropped.
    pub fn record(&mut self, host: HostId, readings: Vec<Usage>, now: Instant) {
        if now.duration_since(self.swept) >= SWEEP_EVERY {
            self.sweep(now);
        }
        for reading in readings {
            let full = self.rings.len() >= MAX_ATTEMPTS;
            if full && !self.rings.contains_key(&reading.attempt) {
                continue;
            }
            let ring = self.rings.entry(reading.attempt).or_insert_with(|| Ring {
                host,
                heard: now,
                readings: VecDeque::new(),
            });
            if ring.host != host {
                continue;
            }
            ring.heard = now;
            if ring
                .readings
                .back()
                .is_some_and(|last| reading.at <= last.at)
            {
                continue;
            }
            let oldest = reading.at.as_second() - READINGS_SPAN.as_secs().cast_signed();
            ring.readings.push_back(reading);
            while ring.readings.len() > READINGS_PER_ATTEMPT
                || ring
                    .readings
                    .front()
                    .is_some_and(|first| first.at.as_second() < oldest)
            {
                ring.readings.pop_front();
            }
        }
    }

    /// The readings of one attempt, oldest first.
    pub fn of(&self, attempt: AttemptId, now: Instant) -> Vec<Usage> {
        self.rings
            .get(&attempt)
            .filter(|ring| now.duration_since(ring.heard) < FORGET_AFTER)
            .map(|ring| ring.readings.iter().cloned().collect())
            .unwrap_or_default()
    }

    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.rings
            .retain(|_, ring| now.duration_since(ring.heard) < FORGET_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn reading(attempt: AttemptId, second: i64) -> Usage {
        Usage {
            attempt,
            at: Timestamp::from_second(1_800_000_000 + second).expect("a time"),
            cpu_millis: 1,
            memory_bytes: 2,
            network_rx_bytes_per_sec: 3,
            network_tx_bytes_per_sec: 4,
            pids: 5,
        }
    }

    fn attempt(number: u128) -> AttemptId {
        AttemptId(uuid::Uuid::from_u128(number))
    }

    fn host(number: u128) -> HostId {
        HostId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_ring_keeps_ten_minutes() {
        let now = Instant::now();
        let mut rings = UsageRings::new(now);
        for second in 0..2000 {
            rings.record(host(1), vec![reading(attempt(1), second * 3)], now);
        }
        let kept = rings.of(attempt(1), now);
        assert_eq!(kept.len(), READINGS_PER_ATTEMPT);
        assert_eq!(kept.last(), Some(&reading(attempt(1), 5997)));
        rings.record(host(1), vec![reading(attempt(1), 6500)], now);
        let kept = rings.of(attempt(1), now);
        assert!(
            kept.iter()
                .all(|kept| kept.at >= reading(attempt(1), 5900).at)
        );
    }

    #[test]
    fn old_readings_and_other_hosts_change_nothing() {
        let now = Instant::now();
        let mut rings = UsageRings::new(now);
        rings.record(host(1), vec![reading(attempt(1), 10)], now);
        rings.record(host(1), vec![reading(attempt(1), 10)], now);
        rings.record(host(1), vec![reading(attempt(1), 5)], now);
        rings.record(host(2), vec![reading(attempt(1), 20)], now);
        assert_eq!(rings.of(attempt(1), now), vec![reading(attempt(1), 10)]);
    }

    #[test]
    fn what_is_not_heard_of_is_forgotten() {
        let start = Instant::now();
        let mut rings = UsageRings::new(start);
        rings.record(host(1), vec![reading(attempt(1), 1)], start);
        let later = start + FORGET_AFTER;
        assert!(rings.of(attempt(1), later).is_empty());
        rings.record(host(1), vec![reading(attempt(2), 1)], later);
        assert_eq!(rings.rings.len(), 1);
    }

    #[test]
    fn there_is_a_bound_on_attempts() {
        let now = Instant::now();
        let mut rings = UsageRings::new(now);
        for number in 0..MAX_ATTEMPTS as u128 + 10 {
            rings.record(host(1), vec![reading(attempt(number), 1)], now);
        }
        assert_eq!(rings.rings.len(), MAX_ATTEMPTS);
    }
}
