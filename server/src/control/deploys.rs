//! Deploys that were asked for become commits, and those that were taken back are undone. What has to be done follows from the
//! fleet, so that it goes on after a restart.

use super::commits::{Committing, deploy, take_back};
use super::handle::ControlHandle;
use crate::api::state::CommandFault;
use muster_core::decide::Input;
use muster_core::fleet::Deploy;
use muster_schemas::deploy::TakeBackTrouble;
use muster_schemas::event::Event;
use muster_schemas::ids::DeployId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How what cannot be done now is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tries {
    /// A repository that cannot be written now may be so in a moment.
    pub first: Duration,
    /// The pauses grow to this: what is wrong for so long is mended by a person, who should not wait for us.
    pub longest: Duration,
    /// A deploy that cannot be taken back is tried for so long; then people are told that it stands. Deploys that cannot be committed
    /// have a deadline of their own.
    pub gives_up: Duration,
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(120),
            gives_up: Duration::from_secs(15 * 60),
        }
    }
}

/// A deploy that could not be committed or undone so far.
struct Failing {
    since: Instant,
    pause: Duration,
    next: Instant,
}

/// Commits and undoes, one after the other, until `shutdown`.
pub(super) async fn follow_deploys(
    control: ControlHandle,
    repository: Committing,
    tries: Tries,
    shutdown: CancellationToken,
) {
    let mut records = control.records();
    // Those that fail wait, each for itself. A restart tries them anew.
    let mut failing: BTreeMap<DeployId, Failing> = BTreeMap::new();
    loop {
        let due: Vec<Deploy> = control.read(|fleet| {
            let deploys = fleet.deploys.iter();
            deploys
                .filter(|deploy| deploy.wants_commit() || deploy.wants_back())
                .cloned()
                .collect()
        });
        failing.retain(|id, _| due.iter().any(|deploy| deploy.id == *id));
        for deploy in due {
            let now = Instant::now();
            let known = failing.get(&deploy.id);
            if known.is_some_and(|known| now < known.next) {
                continue;
            }
            let gives_up = known.is_some_and(|known| now - known.since >= tries.gives_up);
            if one(&control, &repository, &deploy, gives_up).await {
                failing.remove(&deploy.id);
                continue;
            }
            let now = Instant::now();
            let failing = failing.entry(deploy.id).or_insert(Failing {
                since: now,
                pause: tries.first / 2,
                next: now,
            });
            failing.pause = (failing.pause * 2).min(tries.longest);
            failing.next = now + failing.pause;
        }
        let next = failing.values().map(|failing| failing.next).min();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = until(next) => {}
            () = asked_for(&mut records) => {}
        }
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Returns once somebody asks for a deploy or takes one back.
async fn asked_for(
    records: &mut tokio::sync::broadcast::Receiver<std::sync::Arc<muster_schemas::event::Record>>,
) {
    loop {
        match records.recv().await {
            Ok(record) => {
                if let Event::DeployRequested { .. } | Event::DeployCanceled { .. } = &record.event
                {
                    return;
                }
            }
            // Something was missed: look.
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Does what is due for one deploy. Says whether it needs no other try; one that is to be undone needs none where this is the last.
async fn one(
    control: &ControlHandle,
    repository: &Committing,
    due: &Deploy,
    gives_up: bool,
) -> bool {
    let id = due.id.clone();
    let (done, input) = match &due.commit {
        None => match deploy(control, repository, due).await {
            Ok(committed) => (
                true,
                Input::DeployCommitted {
                    deploy: id,
                    commit: committed.commit,
                },
            ),
            Err(CommandFault::Unavailable(message) | CommandFault::Frozen(message)) => {
                tracing::warn!(deploy = %due.id, message, "a deploy could not be committed and is tried again");
                return false;
            }
            Err(fault @ (CommandFault::NotFound(_) | CommandFault::Conflict(_))) => (
                true,
                Input::DeployFailed {
                    deploy: id,
                    message: fault.to_string(),
                },
            ),
        },
        Some(_) => match take_back(control, repository, due).await {
            Ok(committed) => (
                true,
                Input::DeployTakenBack {
                    deploy: id,
                    commit: committed.commit,
                },
            ),
            Err(fault) if gives_up => {
                tracing::error!(deploy = %due.id, %fault, "a deploy could not be undone for long; it stands until it is taken back again");
                let trouble = trouble(fault);
                (
                    true,
                    Input::DeployNotTakenBack {
                        deploy: id,
                        trouble,
                    },
                )
            }
            Err(fault) => {
                tracing::warn!(deploy = %due.id, %fault, "a deploy could not be undone and is tried again");
                return false;
            }
        },
    };
    if let Err(error) = control.take(input).await {
        tracing::warn!(%error, deploy = %due.id, "what became of a deploy was not taken");
        return false;
    }
    done
}

fn trouble(fault: CommandFault) -> TakeBackTrouble {
    match fault {
        CommandFault::Unavailable(message) | CommandFault::Frozen(message) => {
            TakeBackTrouble::Repository { message }
        }
        CommandFault::Conflict(message) => TakeBackTrouble::Conflict { message },
        CommandFault::NotFound(message) => TakeBackTrouble::Missing { message },
    }
}

#[cfg(test)]
#[path = "deploys_tests.rs"]
mod tests;
