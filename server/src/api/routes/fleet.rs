//! The cell at a glance.

use super::{PastRefused, Refused};
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::ApiState;
use axum::extract::State;
use muster_core::view::fleet_view;
use muster_schemas::api::FleetView;

/// The cell at a glance.
#[utoipa::path(
    get, path = "/api/v1/fleet", tag = "fleet", operation_id = "fleet",
    description = "The cell at a glance: revision, alerts, counts, capacity. A watch after its `seq` misses nothing that it does not show. Of the past, version, repository and branch are those of the control plane that answers.",
    params(
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses((status = 200, description = "The cell", body = FleetView), Refused, PastRefused),
)]
pub async fn get_fleet(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Dated<FleetView>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    let serving = scene.serving();
    Ok(scene.answer(scene.look(|fleet, now| fleet_view(fleet, &serving, now))))
}
