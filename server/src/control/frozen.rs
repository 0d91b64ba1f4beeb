//! A control plane on a journal that is not as it was written: it shows what can be trusted of it, and does nothing.
//!
//! It takes no leadership, appends nothing, sends no orders, and takes no command. Agents are told why and are left as they are: their
//! containers run on, as they do while there is no control plane at all. What it is for is that people see the fleet, and what to do,
//! while they restore the journal; that ends with a new start.

use super::handle::{ControlHandle, ServeInfo};
use super::writer::{ControlError, folded};
use crate::journal::{Journal, JournalError, Salvaged};
use jiff::Timestamp;
use muster_core::fleet::{Fleet, Freeze};
use muster_schemas::plan::FreezeScope;
use std::path::Path;

/// Folds what can be trusted of a journal that was not opened because of `damage`.
///
/// # Errors
/// The journal is in use by another process, or a snapshot of it cannot be read by this version.
pub(super) async fn frozen(
    path: &Path,
    damage: &JournalError,
    info: ServeInfo,
) -> Result<ControlHandle, ControlError> {
    let Salvaged {
        journal,
        snapshot,
        tail,
    } = Journal::salvage(path).await?;
    let mut fleet = folded(snapshot.as_ref(), &tail)?;
    let why = damage.to_string();
    tracing::error!(
        records = fleet.seq,
        error = why,
        "frozen: what the journal's records say up to here is shown, and nothing is decided; containers run on"
    );
    freeze(&mut fleet, &why, info.started_at);
    Ok(ControlHandle::frozen(fleet, journal, info, why))
}

/// The fleet as a control plane shows it that hears of nobody and changes nothing.
fn freeze(fleet: &mut Fleet, why: &str, now: Timestamp) {
    let whole = Freeze {
        scope: FreezeScope::Cell,
        by: "Muster".to_owned(),
        reason: format!("frozen: journal damaged: {why}"),
        since: now,
        until: None,
    };
    // It takes the place of a freeze by a person, which it includes, and stands first.
    fleet.freezes.retain(|freeze| !freeze.scope.is_cell());
    fleet.freezes.insert(0, whole);
    for host in fleet.hosts.values_mut().filter(|host| host.connected) {
        host.connected = false;
        host.since = now;
    }
}
