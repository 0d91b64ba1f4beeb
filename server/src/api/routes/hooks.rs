//! What forges send.

use super::Id;
use crate::api::hooks::payload::{Concern, concern, delivery_id};
use crate::api::hooks::signature::is_proven;
use crate::api::hooks::{Delivery, MAX_BYTES, READ_WITHIN};
use crate::api::problem::Failure;
use crate::api::state::ApiState;
use crate::notify::{ForgeKind, Offered};
use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use metrics::counter;
use muster_schemas::api::{CommandAnswer, Problem};

/// Takes a delivery of a forge.
#[utoipa::path(
    post, path = "/api/v1/hooks/{forge}", tag = "operations", operation_id = "hook", security(()),
    description = "What a forge sends after a push: it has the repository read now. No token is needed: the delivery proves itself by its signature over the raw body (GitHub `X-Hub-Signature-256`, Gitea `X-Gitea-Signature`, GitLab `X-Gitlab-Token` or `webhook-signature`). What it says is not believed; the repository is read.",
    params(("forge" = String, Path, description = "`github`, `gitlab` or `gitea`")),
    request_body(content = Object, description = "The delivery, as the forge makes it; at most 4 MiB", content_type = "application/json"),
    responses(
        (status = 202, description = "It is taken; the answer says what follows from it", body = CommandAnswer),
        (status = 401, description = "The signature is missing or wrong; nothing is read", body = Problem),
        (status = 404, description = "No secret was given to this control plane for such a forge", body = Problem),
        (status = 413, description = "It is too large; what was pushed is found by polling", body = Problem),
        (status = 429, description = "Too many deliveries come, and what was pushed is found by polling; or too many pull requests wait, and the delivery may come again", body = Problem),
    ),
)]
pub async fn receive(
    State(state): State<ApiState>,
    Id(forge): Id,
    request: Request,
) -> Result<(StatusCode, Json<CommandAnswer>), Failure> {
    let kind = ForgeKind::of_word(&forge).ok_or_else(|| {
        Failure::not_found(
            format!("there is no kind of forge `{forge}`"),
            "`github`, `gitlab` and `gitea` are there",
        )
    })?;
    let taken = take(&state, kind, request).await;
    let outcome = match &taken {
        Ok((outcome, _)) => outcome,
        Err(failure) => match failure.status {
            StatusCode::UNAUTHORIZED => "unproven",
            StatusCode::NOT_FOUND => "not_set_up",
            _ => "turned_away",
        },
    };
    counter!("muster_hooks_total", "forge" => kind.word(), "outcome" => outcome).increment(1);
    let (_, message) = taken?;
    let seq = state.read(|fleet| fleet.seq);
    Ok((StatusCode::ACCEPTED, Json(CommandAnswer { seq, message })))
}

/// What became of a delivery: a word to count it by, and a sentence.
async fn take(
    state: &ApiState,
    kind: ForgeKind,
    request: Request,
) -> Result<(&'static str, String), Failure> {
    let hooks = &state.hooks;
    if !hooks.secrets().listens_to(kind) {
        return Err(Failure::not_found(
            format!(
                "this control plane was given no secret for deliveries of {}",
                kind.word()
            ),
            format!(
                "write it to `hooks.{}` of the file that `muster serve --notify` names; docs/notifications.md says how",
                kind.word()
            ),
        ));
    }
    let (headers, body) = read(state, request).await?;
    if !is_proven(kind, hooks.secrets(), &headers, &body, state.now()) {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "unproven-delivery",
            "the delivery's signature is missing or wrong; nothing is read for it",
            "give the forge's webhook the same secret as this control plane has",
        ));
    }
    let delivery = Delivery::of(kind, delivery_id(kind, &headers), &body);
    if hooks.has_come(&delivery) {
        let message = "this delivery has come before; nothing follows from it".to_owned();
        return Ok(("repeated", message));
    }
    let done = act(state, concern(kind, hooks.branch(), &headers, &body))?;
    hooks.remember(delivery);
    Ok(done)
}

/// Does what follows from a delivery.
fn act(state: &ApiState, concern: Concern) -> Result<(&'static str, String), Failure> {
    Ok(match concern {
        Concern::Push => {
            state.cell.refresh();
            ("push", "the repository is being read".to_owned())
        }
        Concern::OtherBranch(pushed) => (
            "other_branch",
            format!("`{pushed}` is not followed; nothing follows from it"),
        ),
        Concern::Pull(pull) => {
            let number = pull.number;
            match state.hooks.plan(&pull) {
                Offered::Taken => (
                    "pull_request",
                    format!("pull request {number} is being planned"),
                ),
                Offered::NotOurs => (
                    "not_planned",
                    format!(
                        "pull request {number} is not planned: no forge with `pullRequests` has the repository `{}`",
                        pull.repository
                    ),
                ),
                Offered::Full => {
                    return Err(Failure::new(
                        StatusCode::TOO_MANY_REQUESTS,
                        "too-many-pull-requests",
                        format!("pull request {number} is not planned: too many wait"),
                        "deliver it again in a few minutes, or push to it again",
                    ));
                }
            }
        }
        Concern::Foreign(number) => (
            "not_planned",
            format!("pull request {number} is not planned: it comes from a copy of the repository"),
        ),
        Concern::Nothing => (
            "nothing",
            "nothing follows from this kind of delivery".to_owned(),
        ),
    })
}

/// The head and the body of a delivery, within bounds that hold before anything of it is looked at.
async fn read(
    state: &ApiState,
    request: Request,
) -> Result<(axum::http::HeaderMap, Bytes), Failure> {
    let busy = || {
        Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-deliveries",
            "more deliveries come than are looked at",
            "nothing is lost: what was pushed is found by polling",
        )
    };
    if !state.hooks.may_come() {
        return Err(busy());
    }
    let _reading = state.hooks.reading.try_acquire().map_err(|_| busy())?;
    let too_large = || {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("the delivery has more than {MAX_BYTES} bytes"),
            "nothing is lost: what was pushed is found by polling",
        )
    };
    let (parts, body) = request.into_parts();
    let told: Option<usize> = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if told.is_some_and(|bytes| bytes > MAX_BYTES) {
        return Err(too_large());
    }
    let unread = || Failure::bad_request("bad-body", "the body could not be read to its end", "");
    match tokio::time::timeout(READ_WITHIN, to_bytes(body, MAX_BYTES)).await {
        Ok(Ok(body)) => Ok((parts.headers, body)),
        Ok(Err(error)) => {
            let error: axum::Error = error;
            let source = std::error::Error::source(&error);
            let limited = source.is_some_and(|source| source.to_string().contains("length limit"));
            Err(if limited { too_large() } else { unread() })
        }
        Err(_) => Err(unread()),
    }
}
