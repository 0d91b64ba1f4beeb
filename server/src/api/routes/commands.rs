//! What people do besides committing. Each command is durable before it is answered.

use super::hosts::known_host;
use super::{Id, JsonBody, Refused, task_id};
use crate::api::auth::Caller;
use crate::api::idempotency::{ReplyKey, key, reused};
use crate::api::problem::Failure;
use crate::api::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use muster_core::decide::Command;
use muster_schemas::api::{CommandAnswer, CommandRequest, EnrolmentToken, Problem};
use muster_schemas::state::Actor;

/// The longest reason, in characters: a paragraph.
const MAX_REASON: usize = 1000;

/// Stops a task's container.
#[utoipa::path(
    post, path = "/api/v1/tasks/{task}/stop", tag = "commands", operation_id = "stop_task",
    description = "Stops a task's current attempt. A service's task goes on with a new one; a batch task is finished. With an `Idempotency-Key` a repeated request is answered as the first was and stops nothing more (the latest 1,000 keys are remembered until the control plane restarts).",
    params(
        ("task" = String, Path, description = "The task, such as `web.0`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "The stop order is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "A page of another site asked", body = Problem),
        (status = 404, description = "There is no such task", body = Problem),
        (status = 409, description = "It has no container to stop", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn stop_task(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(task): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let task = task_id(&task)?;
    let reason = reason(&request)?;
    let command = Command::StopTask {
        task: task.clone(),
        reason: reason.clone(),
    };
    let message = format!("the current attempt of {task} is being stopped");
    let path = format!("/api/v1/tasks/{task}/stop");
    give(state, caller, &headers, path, command, reason, message).await
}

/// Takes a host that is gone out of the fleet.
#[utoipa::path(
    post, path = "/api/v1/hosts/{host}/remove", tag = "commands", operation_id = "remove_host",
    description = "Says that a host is gone for good, and its containers with it: its tasks count as lost and get new attempts on other hosts. Only a host whose agent is not connected can be removed. It has to enrol anew to come back. `Idempotency-Key` works as for stopping a task.",
    params(
        ("host" = String, Path, description = "The host's id or name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "A page of another site asked", body = Problem),
        (status = 404, description = "There is no such host", body = Problem),
        (status = 409, description = "Its agent is connected", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn remove_host(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(host): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let path = format!("/api/v1/hosts/{host}/remove");
    let (host, name) =
        state.read(|fleet| known_host(fleet, &host).map(|host| (host.id, host.name.clone())))?;
    let command = Command::RemoveHost {
        host,
        reason: reason.clone(),
    };
    let message = format!("{name} is removed; its tasks get new attempts elsewhere");
    give(state, caller, &headers, path, command, reason, message).await
}

/// Takes the cell down.
#[utoipa::path(
    post, path = "/api/v1/down", tag = "commands", operation_id = "down",
    description = "Stops every container of the cell and starts nothing until the control plane is started again. `Idempotency-Key` works as for stopping a task.",
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID")),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "A page of another site asked", body = Problem),
        (status = 409, description = "It is down already", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn down(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let command = Command::TakeDown {
        reason: reason.clone(),
    };
    let message = "the cell is being taken down: every container is stopped".to_owned();
    let path = "/api/v1/down".to_owned();
    give(state, caller, &headers, path, command, reason, message).await
}

fn reason(request: &CommandRequest) -> Result<String, Failure> {
    let reason = request.reason.trim();
    let length = reason.chars().count();
    if length == 0 {
        return Err(Failure::bad_request(
            "reason-missing",
            "a reason is required",
            "say in a sentence why: it stands in the journal, and others read it",
        ));
    }
    if length > MAX_REASON {
        return Err(Failure::bad_request(
            "reason-too-long",
            format!("the reason has {length} characters; {MAX_REASON} are allowed"),
            "",
        ));
    }
    Ok(reason.to_owned())
}

async fn give(
    state: ApiState,
    caller: Caller,
    headers: &HeaderMap,
    path: String,
    command: Command,
    reason: String,
    message: String,
) -> Result<Json<CommandAnswer>, Failure> {
    let key = key(headers)?;
    let name = caller.name.clone();
    let give = async move {
        tracing::info!(by = %name, path = %path, %reason, "command");
        let slot = key.map(|key| {
            state.replies.slot(ReplyKey {
                caller: name.clone(),
                path,
                key,
            })
        });
        let mut kept = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        if let Some((asked, answer)) = kept.as_ref().and_then(|kept| kept.as_ref()) {
            return if *asked == reason {
                Ok(answer.clone())
            } else {
                Err(reused())
            };
        }
        let seq = state.cell.command(command, Actor::Person(name)).await?;
        let answer = CommandAnswer { seq, message };
        if let Some(kept) = &mut kept {
            **kept = Some((reason, answer.clone()));
        }
        Ok(answer)
    };
    // A client that goes away must not leave a command done and its answer not kept: it goes on by itself.
    let given = tokio::spawn(give).await;
    given
        .unwrap_or_else(|error| {
            Err(Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                format!("the command's task ended before its time: {error}"),
                "look whether it was done before you repeat it; the control plane's log says more",
            ))
        })
        .map(Json)
}

/// Makes a token for a new host.
#[utoipa::path(
    post, path = "/api/v1/enrolments", tag = "commands", operation_id = "enrol",
    description = "Makes a single-use token with which an agent enrols within ten minutes.",
    responses(
        (status = 201, description = "The token; it is shown this once", body = EnrolmentToken),
        Refused,
        (status = 403, description = "A page of another site asked", body = Problem),
        (status = 503, description = "No token can be made now", body = Problem),
    ),
)]
pub async fn enrol(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
) -> Result<(StatusCode, Json<EnrolmentToken>), Failure> {
    let token = state.cell.mint_token(caller.name).await.map_err(|error| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            format!("no token can be made now: {error}"),
            "",
        )
    })?;
    Ok((StatusCode::CREATED, Json(token)))
}

/// Has the repository read now.
#[utoipa::path(
    post, path = "/api/v1/repository/refresh", tag = "commands", operation_id = "refresh",
    description = "Has the repository read now rather than at the next poll: for a hook after a push. What comes of it is seen on the watch.",
    responses(
        (status = 202, description = "It is being read", body = CommandAnswer),
        Refused,
        (status = 403, description = "A page of another site asked", body = Problem),
    ),
)]
pub async fn refresh(State(state): State<ApiState>) -> (StatusCode, Json<CommandAnswer>) {
    let seq = state.read(|fleet| fleet.seq);
    state.cell.refresh();
    (
        StatusCode::ACCEPTED,
        Json(CommandAnswer {
            seq,
            message: "the repository is being read".to_owned(),
        }),
    )
}
