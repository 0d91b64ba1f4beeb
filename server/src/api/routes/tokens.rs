//! The tokens of people and pipelines.

use super::{Id, JsonBody, Refused};
use crate::api::auth::Caller;
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::ApiState;
use crate::api::tokens::TokenFault;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use muster_core::access::rights;
use muster_core::decide::Command;
use muster_schemas::access::{ADMIN, Needs, Role};
use muster_schemas::api::{List, NewToken, Problem, TokenRequest, TokenView};

/// What the tokens are and may.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "session", operation_id = "tokens",
    description = "The tokens that are taken, and what their bearers may do now. The tokens themselves are told to nobody. At most 1,001; all on one page.",
    responses(
        (status = 200, description = "The tokens, by name", body = List<TokenView>),
        Refused,
        (status = 403, description = "It takes an admin", body = Problem),
    ),
)]
pub async fn list_tokens(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Query,
) -> Result<Json<List<TokenView>>, Failure> {
    query.finish()?;
    state.allow(&caller, &Needs::Role(Role::Admin))?;
    let named = state.tokens.list();
    let items: Vec<TokenView> = state.read(|fleet| {
        let admin = TokenView {
            name: ADMIN.to_owned(),
            rights: rights(fleet, ADMIN),
            made_by: None,
            made_at: None,
        };
        let named = named.into_iter().map(|(name, token)| TokenView {
            rights: rights(fleet, &name),
            name,
            made_by: Some(token.made_by),
            made_at: Some(token.made_at),
        });
        std::iter::once(admin).chain(named).collect()
    });
    let total = u64::try_from(items.len()).unwrap_or(u64::MAX);
    Ok(Json(List {
        items,
        next: None,
        total,
    }))
}

/// Makes a token.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "session", operation_id = "create_token",
    description = "Makes a token. What its bearer may do besides reading is said by the policy's `access`, under the token's name.",
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token; it is shown this once", body = NewToken),
        Refused,
        (status = 403, description = "It takes an admin", body = Problem),
        (status = 409, description = "The name is taken, or there are too many tokens", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn create_token(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<(StatusCode, Json<NewToken>), Failure> {
    state.allow(&caller, &Needs::Role(Role::Admin))?;
    let name = request.name;
    tracing::info!(by = %caller.name, %name, "a token is made");
    let (tokens, by, now) = (state.tokens.clone(), caller.name.clone(), state.now());
    let asked = name.clone();
    let token = on_disk(move || tokens.create(&asked, &by, now)).await?;
    let made = Command::NoteToken {
        name: name.clone(),
        made_at: Some(now),
    };
    if let Err(failure) = state.command(made, &caller).await {
        // Nobody has heard of it: it is as if it had not been made.
        let (tokens, made) = (state.tokens.clone(), name.clone());
        on_disk(move || tokens.revoke(&made)).await?;
        return Err(failure);
    }
    Ok((StatusCode::CREATED, Json(NewToken { name, token })))
}

/// Takes a token no more.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", tag = "session", operation_id = "revoke_token",
    description = "Takes a token no more, and ends the sessions that were opened with it.",
    params(("token" = String, Path, description = "The token's name")),
    responses(
        (status = 204, description = "It is taken no more"),
        Refused,
        (status = 403, description = "It takes an admin", body = Problem),
        (status = 404, description = "There is no such token", body = Problem),
        (status = 409, description = "It is `admin`", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn revoke_token(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
) -> Result<StatusCode, Failure> {
    state.allow(&caller, &Needs::Role(Role::Admin))?;
    tracing::info!(by = %caller.name, %name, "a token is revoked");
    let tokens = state.tokens.clone();
    let revoked = name.clone();
    on_disk(move || tokens.revoke(&revoked)).await?;
    // A token of the same name that is made later must not bring them back.
    state.sessions.close_those_of(&name);
    // It is taken no more, whatever becomes of the record: the next start makes good for one that is missing.
    let revoked = Command::NoteToken {
        name,
        made_at: None,
    };
    if let Err(error) = state.command(revoked, &caller).await {
        tracing::error!(?error, "that a token was revoked is not in the journal yet");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Waits for what writes a file, away from the threads that answer others.
async fn on_disk<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, TokenFault> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(TokenFault::NotKept(error.to_string())))
        .map_err(failure)
}

fn failure(fault: TokenFault) -> Failure {
    let (status, code, hint) = match &fault {
        TokenFault::BadName(_) => (
            StatusCode::BAD_REQUEST,
            "bad-name",
            "choose 1 to 64 letters, digits, `.`, `_`, `@` and `-`, such as team-shop",
        ),
        TokenFault::Taken(_) => (
            StatusCode::CONFLICT,
            "taken",
            "revoke that one first, or choose another name",
        ),
        TokenFault::Admin => (
            StatusCode::CONFLICT,
            "admin",
            "it is in the file `token` of the control plane's home; with another file there, or none, the next start takes another",
        ),
        TokenFault::Unknown(_) => (
            StatusCode::NOT_FOUND,
            "not-found",
            "GET /api/v1/tokens lists them",
        ),
        TokenFault::TooMany => (
            StatusCode::CONFLICT,
            "too-many",
            "revoke those that nobody uses any more",
        ),
        TokenFault::NotKept(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "mend what is said, then try again",
        ),
    };
    Failure::new(status, code, fault.to_string(), hint)
}
