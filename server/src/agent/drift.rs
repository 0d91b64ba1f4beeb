//! What somebody changed on running containers, beside Muster.
//!
//! A container is compared with what the engine said of it before it was started, which its marker keeps. So what an engine
//! makes of a request by itself, or a later version of the agent asks for otherwise, is never taken for somebody's change.

use super::converge::View;
use crate::runtime::{Container, ContainerState};
use muster_schemas::drift::{DriftField, FieldDrift};
use muster_schemas::ids::AttemptId;

/// What of an attempt's running container is not as it was created.
pub fn drift(view: &View<'_>, attempt: AttemptId, container: &Container) -> Vec<FieldDrift> {
    if container.state != ContainerState::Running {
        return Vec::new();
    }
    let wanted = view
        .markers
        .get(&attempt)
        .and_then(|marker| marker.settings.as_ref());
    let (Some(wanted), Some(found)) = (wanted, &container.settings) else {
        return Vec::new();
    };
    let stuck = view.mends.get(&attempt);
    let ordered = view.put_back.get(&attempt);
    wanted
        .differences(found)
        .into_iter()
        .map(|(field, wanted, found)| FieldDrift {
            field,
            wanted,
            found,
            stuck: stuck
                .filter(|_| ordered.is_some_and(|fields| fields.contains(&field)))
                .map(|retry| retry.message.clone()),
        })
        .collect()
}

/// The fields that are to be put back now.
pub fn to_put_back(view: &View<'_>, attempt: AttemptId, container: &Container) -> Vec<DriftField> {
    let Some(ordered) = view.put_back.get(&attempt) else {
        return Vec::new();
    };
    let waits = |retry: &super::converge::Retry| retry.until > view.now;
    if view.mends.get(&attempt).is_some_and(waits) {
        return Vec::new();
    }
    drift(view, attempt, container)
        .into_iter()
        .map(|drift| drift.field)
        .filter(|field| ordered.contains(field))
        .collect()
}
