//! Removing containers of `muster run`: a command's own when it ends, and at the next start those of one that was killed.
//!
//! Never is anything removed that does not bear this machine's mark and a home of this user's: the engine may be a fleet's host too,
//! and be shared with other people.

use super::home::Base;
use super::{CELL, HOME_LABEL, MACHINE_LABEL, machine_name};
use crate::agent::launch::{CELL_LABEL, HOST_LABEL, TASK_LABEL};
use crate::runtime::{ContainerState, Listed, Runtime, RuntimeError};
use muster_schemas::ids::HostId;
use std::path::PathBuf;
use std::time::Duration;

/// A container whose command was killed is asked to end, and killed after this time: nobody waits for what it might still do.
const GRACE: Duration = Duration::from_secs(5);
/// A container that was just killed may look as if it ran for a moment; then it is looked at again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// The tasks whose containers were removed, as their labels name them.
    pub tasks: Vec<String>,
}

/// Removes what commands of this user left behind that were killed.
///
/// # Errors
///
/// The engine does not do it; what is left is tried again at the next start.
pub async fn sweep<R: Runtime>(runtime: &R, base: &Base) -> Result<Swept, RuntimeError> {
    let mut swept = Swept::default();
    let machine = machine_name();
    let listed = runtime
        .list(&[(CELL_LABEL, CELL), (MACHINE_LABEL, &machine)])
        .await?;
    let mut of_no_home = Vec::new();
    let mut homes = base.homes();
    for container in listed {
        let Some(home) = container.labels.get(HOME_LABEL).map(PathBuf::from) else {
            continue;
        };
        // A command makes its home before its containers and removes it after them.
        if base.has(&home) && !homes.contains(&home) && !home.exists() {
            of_no_home.push(container);
        }
    }
    for container in &of_no_home {
        end(runtime, container, GRACE).await?;
        swept.note(container);
    }
    for path in homes.drain(..) {
        let Some(home) = base.take_over(&path) else {
            continue;
        };
        let label = path.to_string_lossy();
        let listed = runtime
            .list(&[
                (CELL_LABEL, CELL),
                (MACHINE_LABEL, &machine),
                (HOME_LABEL, &label),
            ])
            .await?;
        for container in &listed {
            end(runtime, container, GRACE).await?;
            swept.note(container);
        }
        if let Err(error) = home.remove() {
            tracing::warn!(path = %path.display(), %error, "what a killed `muster run` noted cannot be removed");
        }
    }
    Ok(swept)
}

impl Swept {
    fn note(&mut self, container: &Listed) {
        let task = container.labels.get(TASK_LABEL);
        self.tasks
            .push(task.cloned().unwrap_or_else(|| container.name.clone()));
    }
}

/// Removes all containers of a host whose command ends. What still runs is killed: it had its grace before.
pub(super) async fn clear<R: Runtime>(runtime: &R, host: HostId) -> Result<(), RuntimeError> {
    let host = host.to_string();
    for container in runtime
        .list(&[(CELL_LABEL, CELL), (HOST_LABEL, &host)])
        .await?
    {
        end(runtime, &container, Duration::ZERO).await?;
    }
    Ok(())
}

async fn end<R: Runtime>(
    runtime: &R,
    container: &Listed,
    grace: Duration,
) -> Result<(), RuntimeError> {
    let id = &container.id;
    if container.state == ContainerState::Running && !grace.is_zero() {
        unless_gone(runtime.stop(id, grace).await)?;
    }
    for number in 1.. {
        match runtime.remove(id).await {
            // It runs, or the engine has not yet noticed that it does not any more.
            Err(RuntimeError::Conflict { .. }) if number < TRIES => {
                unless_gone(runtime.kill(id).await)?;
                tokio::time::sleep(PAUSE).await;
            }
            other => return unless_gone(other),
        }
    }
    unreachable!("the last try returns")
}

fn unless_gone(done: Result<(), RuntimeError>) -> Result<(), RuntimeError> {
    match done {
        Err(RuntimeError::NotFound { .. }) => Ok(()),
        other => other,
    }
}
