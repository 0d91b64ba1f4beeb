//! The developer's own machine: one job in a cell of one host that lives as long as one command.
//!
//! It is no second way to run containers. The fleet's agent makes, probes, reads and stops them ([`crate::agent`]), and the core
//! decides what follows ([`muster_core::decide`]): retries, crash loops, liveness, runtime limits. Left out is what one command
//! does not need: journal, repository, API and network. What differs from the fleet is a value ([`Difference`]) that is told.
//!
//! [`adapt`] makes the job one for this machine; [`image`] chooses its image; [`home`] is where the agent keeps its notes, and
//! how a command that was killed is told from one that runs; [`cell`] runs it; [`leftovers`] removes containers, its own at its
//! end and those of killed ones at the next start.

mod adapt;
mod cell;
mod home;
mod image;
mod leftovers;

pub use adapt::{Adapted, Difference, Wishes, adapt};
pub use cell::{End, Interrupt, Listener, LocalError, TaskEnd, Work, run};
pub use home::{Base, HomeError};
pub use image::{Chosen, ImageFault, choose};
pub use leftovers::{Swept, sweep};

use muster_schemas::ids::CellName;

/// What the cell is called, in labels and in `MUSTER_CELL`. An agent looks at containers of its own cell alone, and there at none
/// that bears another host's label: even in a cell of this name, these are nobody's but the command's.
pub const CELL: &str = "muster-run";

/// The label with the home of the command that made a container.
const HOME_LABEL: &str = "muster.run.home";
/// The label with the machine that the command runs on: the engine may be shared with others that have a folder of that name.
const MACHINE_LABEL: &str = "muster.run.machine";

fn cell_name() -> CellName {
    CellName::from(CELL)
}

/// This machine's name, as it can stand as a host's.
pub fn machine_name() -> String {
    let uname = rustix::system::uname();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let name = uname.nodename().to_string_lossy();
    let name: String = name.chars().map(plain).take(253).collect();
    if name.is_empty() {
        "this-machine".to_owned()
    } else {
        name
    }
}
