//! The cell at a glance.

use super::Refused;
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::ApiState;
use axum::Json;
use axum::extract::State;
use muster_core::view::fleet_view;
use muster_schemas::api::FleetView;

/// The cell at a glance.
#[utoipa::path(
    get, path = "/api/v1/fleet", tag = "fleet", operation_id = "fleet",
    description = "The cell at a glance: revision, alerts, counts, capacity. A watch after its `seq` misses nothing that it does not show.",
    responses((status = 200, description = "The cell", body = FleetView), Refused),
)]
pub async fn get_fleet(
    State(state): State<ApiState>,
    query: Query,
) -> Result<Json<FleetView>, Failure> {
    query.finish()?;
    let serving = state.cell.info();
    let now = state.now();
    Ok(Json(state.read(|fleet| fleet_view(fleet, &serving, now))))
}
