//! Who asks, and the console's cookie.

use super::Refused;
use crate::api::auth::{Caller, SESSION_HOURS, cookie};
use crate::api::problem::Failure;
use crate::api::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use muster_schemas::api::{Problem, SessionView};

/// Who asks.
#[utoipa::path(
    get, path = "/api/v1/session", tag = "session", operation_id = "session",
    description = "Whose token, or whose session, the request shows.",
    responses((status = 200, description = "Who asks", body = SessionView), Refused),
)]
pub async fn get_session(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
) -> Json<SessionView> {
    let rights = state.rights(&caller);
    Json(SessionView {
        name: caller.name,
        rights,
    })
}

/// Changes a token for a cookie.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "session", operation_id = "open_session", security(("token" = [])),
    description = "Changes the token in `Authorization` for a session cookie that lasts 12 hours.",
    responses(
        (status = 200, description = "Who asks; `Set-Cookie` carries the session", body = SessionView),
        Refused,
        (status = 403, description = "A session cannot be opened with a session", body = Problem),
    ),
)]
pub async fn open_session(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    if !caller.by_token {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "token-required",
            "a session is opened with a token, not with another session",
            "send `Authorization: Bearer TOKEN`",
        ));
    }
    let id = state.sessions.open(&caller.name, state.now());
    let rights = state.rights(&caller);
    let view = Json(SessionView {
        name: caller.name,
        rights,
    });
    Ok(with_cookie(
        &state,
        &id,
        SESSION_HOURS * 3600,
        view.into_response(),
    ))
}

/// Ends the session.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session", operation_id = "close_session",
    description = "Ends the session that the cookie names.",
    responses(
        (status = 204, description = "It is ended"),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
    ),
)]
pub async fn close_session(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    if let Some(id) = cookie(&headers, state.tokens.cookie_name()) {
        state.sessions.close(id);
    }
    with_cookie(&state, "", 0, StatusCode::NO_CONTENT.into_response())
}

fn with_cookie(state: &ApiState, id: &str, seconds: i64, mut response: Response) -> Response {
    let name = state.tokens.cookie_name();
    let secure = if state.secure_cookie { "; Secure" } else { "" };
    let text = format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let value =
        HeaderValue::from_str(&text).expect("name and id are letters, digits, - and _ alone");
    response.headers_mut().insert(header::SET_COOKIE, value);
    response
}
