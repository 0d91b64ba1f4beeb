//! The time, as a signal: what is told as "3 min ago" ages without a reload.

use jiff::Timestamp;
use leptos::prelude::*;
use std::time::Duration;

/// The time now, to the second.
#[derive(Clone, Copy)]
pub struct Clock(ReadSignal<Timestamp>);

impl Clock {
    /// Starts the clock; it ticks each second.
    pub fn start() -> Self {
        let (now, set_now) = signal(Timestamp::now());
        set_interval(
            move || set_now.set(Timestamp::now()),
            Duration::from_secs(1),
        );
        Self(now)
    }

    /// The time now; whoever asks is told again when it changes.
    pub fn now(self) -> Timestamp {
        self.0.get()
    }
}

/// The clock that the application started.
pub fn clock() -> Clock {
    expect_context()
}
