//! What people say about a rollout.

use super::commands::{give, sentence};
use super::{Id, JsonBody, Refused};
use crate::api::auth::Caller;
use crate::api::problem::Failure;
use crate::api::state::ApiState;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use muster_core::decide::Command;
use muster_schemas::api::{CommandAnswer, Problem, RolloutRequest};
use muster_schemas::ids::JobId;
use muster_schemas::rollout::RolloutWord;

/// Has a rollout go on, go back, or begin again.
#[utoipa::path(
    post, path = "/api/v1/jobs/{job}/rollout", tag = "commands", operation_id = "tell_rollout",
    description = "Tells a job's rollout to go on (`promote`: a canary to its next step, whatever its pause and its analysis say; red/black without the old tasks), to go back (`abort`: the version before serves on, until a newer commit or `retry`), or to begin again after it was aborted (`retry`). `Idempotency-Key` works as for stopping a task.",
    params(
        ("job" = String, Path, description = "The job"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = RolloutRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such job", body = Problem),
        (status = 409, description = "Its rollout cannot be told that now", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn tell_rollout(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(job): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RolloutRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = sentence(&request.reason)?;
    let word = request.action;
    let message = match word {
        RolloutWord::Promote => format!("the rollout of {job} goes on"),
        RolloutWord::Abort => {
            format!("the rollout of {job} is aborted; the version before serves on")
        }
        RolloutWord::Retry => format!("the rollout of {job} begins again"),
    };
    let path = format!("/api/v1/jobs/{job}/rollout {}", word.word());
    let command = Command::Rollout {
        job: JobId::from(job.as_str()),
        word,
        reason: reason.clone(),
    };
    give(state, caller, &headers, path, command, reason, message).await
}
