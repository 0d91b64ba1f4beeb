//! Waiting for what should come, and watching that something does not.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Looks until the look succeeds, and answers what it found.
///
/// # Panics
///
/// When the time has passed, with what the last look said.
#[track_caller]
pub fn eventually<T>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) if began.elapsed() >= within => {
                panic!("not within {within:?}: {what}\nthe last look: {why}")
            }
            Err(_) => std::thread::sleep(EVERY),
        }
    }
}

/// Looks again and again for so long, and every look must succeed. For what must not happen, an end has to be set to the
/// waiting; nothing that could be polled for tells that it will not happen later.
#[track_caller]
pub fn throughout(during: Duration, what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    while began.elapsed() < during {
        if let Err(why) = look() {
            panic!("{:?} on, no longer: {what}\n{why}", began.elapsed());
        }
        std::thread::sleep(EVERY);
    }
}

/// `Ok` if it is so, else the words.
pub fn so(is_so: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(why()) }
}

/// Seconds, in short.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
