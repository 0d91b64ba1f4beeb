//! Who asks: bearers of a token, and those who hold one of the console's sessions.
//!
//! The console changes its token for a cookie that scripts cannot read and other sites cannot send.

use super::problem::Failure;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub use super::sessions::{MAX_SESSIONS, SESSION_HOURS, Sessions};
pub use super::tokens::{Tokens, load_or_create_token};

pub(super) type Hash = [u8; 32];

pub(super) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// 256 random bits as text.
pub fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Who asks, known by a token or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name.
    pub name: String,
    /// Whether they showed the token itself rather than a session's cookie.
    pub by_token: bool,
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Who asks.
///
/// # Errors
/// 401 where neither a token nor a session is shown, 403 where another site makes the browser ask for a change.
pub fn caller(state: &ApiState, method: &Method, headers: &HeaderMap) -> Result<Caller, Failure> {
    // A token that is shown decides: a wrong one is told, rather than covered by a session.
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers)
            .and_then(|token| state.tokens.name_of(token))
            .map(|name| Caller {
                name,
                by_token: true,
            })
            .ok_or_else(|| {
                unauthorized("the token in `Authorization` is not one of this control plane")
            });
    }
    let name = cookie(headers, state.tokens.cookie_name())
        .and_then(|id| state.sessions.name_of(id, state.now()))
        .filter(|name| state.tokens.has(name))
        .ok_or_else(|| unauthorized("a token is required"))?;
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe {
        let site = headers
            .get("sec-fetch-site")
            .map(|site| site.to_str().unwrap_or("?"));
        if !matches!(site, None | Some("same-origin" | "none")) {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                "cross-site",
                "a page of another site asked for this change",
                "use the console itself, or send a token in `Authorization`",
            ));
        }
    }
    Ok(Caller {
        name,
        by_token: false,
    })
}

fn unauthorized(message: &str) -> Failure {
    Failure::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        message,
        "send `Authorization: Bearer TOKEN`; the token is in the file `token` of the control plane's home, and the console's \
         link carries it",
    )
}

/// Lets through who may ask, and tells the handlers who it is.
pub async fn require(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    match caller(&state, request.method(), request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => axum::response::IntoResponse::into_response(failure),
    }
}
