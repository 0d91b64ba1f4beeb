//! What follows when an attempt ends.

/// From so many short attempts in a row on, a task is said to be in a crash loop.
pub const CRASH_LOOP_FAILURES: u32 = 3;
