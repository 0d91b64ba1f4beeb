//! Seeing what the engine has. Listings are cheap and whole; containers are inspected only when something about them is new.

use super::launch::{ATTEMPT_LABEL, CELL_LABEL, HOST_LABEL, TASK_LABEL, attempt_of_begun};
use super::markers::Marker;
use crate::runtime::{Container, ContainerState, Listed, Runtime, RuntimeError};
use futures::stream::{self, StreamExt, TryStreamExt};
use muster_schemas::ids::{AttemptId, CellName, HostId};
use muster_schemas::state::Orphan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Inspections at once: enough to see 500 containers within a second after a start.
const INSPECTIONS_AT_ONCE: usize = 8;

/// What the engine has of this host's, as of one listing.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Containers by the engine's id, this host's and those of the cell that bear no host's label.
    pub containers: BTreeMap<String, Container>,
    /// Whether containers of the cell run here that are another host's.
    pub shared: bool,
}

/// Lists the cell's containers and inspects those that are new, in another state than `known`, or `stale`.
pub async fn look<R: Runtime>(
    runtime: &R,
    cell: &CellName,
    host: HostId,
    known: &BTreeMap<String, Container>,
    stale: &BTreeSet<String>,
) -> Result<Seen, RuntimeError> {
    let host = host.to_string();
    let listed = runtime.list(&[(CELL_LABEL, cell.as_str())]).await?;
    // Another host's agent may share the engine; its containers are its own business.
    let (mine, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|listed| {
        listed
            .labels
            .get(HOST_LABEL)
            .is_none_or(|label| *label == host)
    });
    let shared = others
        .iter()
        .any(|listed| listed.state == ContainerState::Running);
    let containers = stream::iter(mine)
        .map(|listed| async move { one(runtime, listed, known, stale).await })
        .buffer_unordered(INSPECTIONS_AT_ONCE)
        .try_filter_map(async |container| Ok(container))
        .map_ok(|container| (container.id.clone(), container))
        .try_collect()
        .await?;
    Ok(Seen { containers, shared })
}

async fn one<R: Runtime>(
    runtime: &R,
    listed: Listed,
    known: &BTreeMap<String, Container>,
    stale: &BTreeSet<String>,
) -> Result<Option<Container>, RuntimeError> {
    match known.get(&listed.id) {
        Some(container)
            if container.state == listed.state
                && container.name == listed.name
                && container.settings.as_ref().is_none_or(|settings| {
                    settings.paused == listed.paused && settings.networks == listed.networks
                })
                && !stale.contains(&listed.id) =>
        {
            Ok(Some(container.clone()))
        }
        // Gone between the two questions: as if it had not been listed.
        Some(_) | None => runtime.inspect(&listed.id).await,
    }
}

impl Seen {
    /// This host's containers by attempt.
    pub fn by_attempt(
        &self,
        cell: &CellName,
        host: HostId,
        markers: &BTreeMap<AttemptId, Arc<Marker>>,
    ) -> BTreeMap<AttemptId, Container> {
        let mut mine: BTreeMap<AttemptId, Container> = BTreeMap::new();
        for container in self.containers.values() {
            let Some(attempt) = attempt_of_begun(container, cell, host, markers) else {
                continue;
            };
            // Somebody may have renamed an attempt's container and given its name to another: the one that was started is meant.
            let begun = markers
                .get(&attempt)
                .and_then(|marker| marker.container.as_ref());
            if begun == Some(&container.id) || !mine.contains_key(&attempt) {
                mine.insert(attempt, container.clone());
            }
        }
        mine
    }

    /// Containers of no attempt that is named.
    pub fn orphans(
        &self,
        cell: &CellName,
        host: HostId,
        markers: &BTreeMap<AttemptId, Arc<Marker>>,
        named: &BTreeSet<AttemptId>,
    ) -> Vec<Orphan> {
        self.containers
            .values()
            .filter(|container| {
                attempt_of_begun(container, cell, host, markers)
                    .is_none_or(|attempt| !named.contains(&attempt))
            })
            .map(|container| {
                let label = |name: &str| container.labels.get(name).cloned().unwrap_or_default();
                Orphan {
                    container: container.id.clone(),
                    attempt: label(ATTEMPT_LABEL).parse().ok(),
                    task: label(TASK_LABEL),
                    cell: label(CELL_LABEL),
                    running: container.state == ContainerState::Running,
                }
            })
            .collect()
    }
}
