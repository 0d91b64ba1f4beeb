//! Which host takes a task.
//!
//! The [`Board`] has what each host has left, a row for each, with the sets of hosts that a choice reads: those of a zone, with a
//! label, with at least so much of a resource, as full as so much. Tasks that are alike are placed by one [`Class`]: what its hosts
//! have to be is looked up once, by sets, and each task then takes the best of a few.
//!
//! Whether a host can take a task is said by [`Board::refuses`] alone. A choice asks it of every host that it considers, and
//! so does the answer to "why not here?", so the two never disagree; the sets only spare it the hosts that it would refuse.

mod amounts;
mod bits;
mod board;
mod class;
mod explain;
mod kept;
mod refuse;

pub use board::Board;
pub use class::{Class, Style, Zones};
pub use explain::Candidate;
pub use refuse::{same_kind, total_of};

/// So many launches may be under way on one host: a Docker engine starts some ten containers a second, and a longer line in
/// front of one engine only hides from the scheduler that another host would be quicker.
pub const LAUNCHES_AT_ONCE: u32 = 32;
