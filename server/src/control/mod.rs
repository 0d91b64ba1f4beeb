//! The control loop: the only writer of the fleet.
//!
//! The loop owns a fleet of its own. It takes inputs, lets the core decide, appends the events in one durable batch, and only
//! then shows them: readers, watchers and agents see nothing that is not on disk. If the journal cannot be written the loop
//! ends, and with it the process: what it had decided was shown to nobody, the containers run on, and the next start goes on
//! from what is durable.

mod agents;
mod canaries;
mod cell;
mod commits;
mod count;
mod deploys;
mod frozen;
mod handle;
mod notices;
mod past;
mod preview;
mod process;
mod revisions;
mod take_back;
mod verification;
mod writer;

pub use cell::RunningCell;
pub use commits::Committing;
pub use handle::{CommandError, ControlHandle, ServeInfo};
pub use past::{Past, PastError};
pub use process::{ServeConfig, plain_http, serve};
pub use revisions::{Pace, follow_repository};
pub use verification::verify_journal;
pub use writer::{ControlError, Started, run, start};
