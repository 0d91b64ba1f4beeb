//! Drift.

use super::Refused;
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::ApiState;
use axum::Json;
use axum::extract::State;
use muster_core::view::{DriftFilter, drifts};
use muster_schemas::api::List;
use muster_schemas::drift::{DriftCause, DriftView};

/// Where what runs is not what git says.
#[utoipa::path(
    get, path = "/api/v1/drift", tag = "jobs", operation_id = "drift",
    description = "Where what runs is not what git says, field by field, with who made it so and what will happen. What the policy has ignored is not in it.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("job" = Option<Vec<String>>, Query, description = "Jobs"),
        ("cause" = Option<Vec<String>>, Query, description = "Causes: `on_host`, `scaled`, `held`, `plan_refused`, `withheld`, `rollout_aborted`, `document_refused`, `undeclared`"),
    ),
    responses((status = 200, description = "A page of drift, by job, task and field", body = List<DriftView>), Refused),
)]
pub async fn list_drift(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<List<DriftView>>, Failure> {
    let page = query.page()?;
    let filter = DriftFilter {
        job: query.all("job"),
        cause: query.all("cause"),
    };
    if let Some(unknown) = filter
        .cause
        .iter()
        .find(|cause| !DriftCause::WORDS.contains(&cause.as_str()))
    {
        return Err(Failure::bad_request(
            "bad-query",
            format!(
                "`cause`: `{unknown}` is not one of {}",
                DriftCause::WORDS.join(", ")
            ),
            "",
        ));
    }
    query.finish()?;
    let now = state.now();
    Ok(Json(with_cursor(
        state.read(|fleet| drifts(fleet, &filter, &page, now)),
    )))
}
