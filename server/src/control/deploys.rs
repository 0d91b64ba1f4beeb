//! Deploys that were asked for become commits, and those that were taken back are undone. What has to be done follows from the
//! fleet, so that it goes on after a restart.

use super::commits::{Committing, deploy, take_back};
use super::handle::ControlHandle;
use crate::api::state::CommandFault;
use muster_core::decide::Input;
use muster_core::fleet::Deploy;
use muster_schemas::event::Event;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// A repository that cannot be written now may be so in a moment.
const AGAIN: Duration = Duration::from_secs(5);

/// Commits and undoes, one after the other, until `shutdown`.
pub(super) async fn follow_deploys(
    control: ControlHandle,
    repository: Committing,
    shutdown: CancellationToken,
) {
    let mut records = control.records();
    loop {
        let due: Vec<Deploy> = control.read(|fleet| {
            let deploys = fleet.deploys.iter();
            deploys
                .filter(|deploy| deploy.wants_commit() || deploy.wants_back())
                .cloned()
                .collect()
        });
        let mut failed = false;
        for deploy in due {
            failed |= !one(&control, &repository, &deploy).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(AGAIN), if failed => {}
            () = asked_for(&mut records) => {}
        }
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

/// Does what is due for one deploy. Says whether it needs no other try.
async fn one(control: &ControlHandle, repository: &Committing, due: &Deploy) -> bool {
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
        Some((commit, _)) => match take_back(control, repository, due, commit).await {
            Ok(committed) => (
                true,
                Input::DeployTakenBack {
                    deploy: id,
                    commit: committed.commit,
                },
            ),
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
