//! What is counted of each target, for `/metrics`.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// The counters of one target.
pub(super) struct Counts {
    sent: Counter,
    failed: Counter,
    skipped: Counter,
    behind: Gauge,
}

impl Counts {
    pub(super) fn of(target: &str) -> Self {
        let target = target.to_owned();
        let counts = Self {
            sent: counter!("muster_notify_sent_total", "target" => target.clone()),
            failed: counter!("muster_notify_failed_total", "target" => target.clone()),
            skipped: counter!("muster_notify_skipped_total", "target" => target.clone()),
            behind: gauge!("muster_notify_behind_events", "target" => target),
        };
        // There from the beginning, so that a rate of them has where to begin.
        counts.sent.absolute(0);
        counts.failed.absolute(0);
        counts.skipped.absolute(0);
        counts
    }

    pub(super) fn sent(&self) {
        self.sent.increment(1);
    }

    pub(super) fn failed(&self) {
        self.failed.increment(1);
    }

    pub(super) fn skipped(&self, count: u64) {
        self.skipped.increment(count);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are far below 2^52, and a metric is a float"
    )]
    pub(super) fn behind(&self, events: u64) {
        self.behind.set(events as f64);
    }
}

/// Says what each of them means.
pub(crate) fn describe() {
    describe_counter!(
        "muster_notify_sent_total",
        "Notifications that a target has taken."
    );
    describe_counter!(
        "muster_notify_failed_total",
        "Notifications that a target has not taken and is not sent again."
    );
    describe_counter!(
        "muster_notify_skipped_total",
        "Events that a target was not told, because it was away for too long."
    );
    describe_gauge!(
        "muster_notify_behind_events",
        "Events of the journal that are not done with for a target."
    );
}
