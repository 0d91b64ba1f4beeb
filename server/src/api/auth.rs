//! Who asks: bearers of a token, and those who hold one of the console's sessions.
//!
//! A token is 256 random bits, so that it can be neither guessed nor found from its hash; only hashes are compared and kept
//! in memory. The console changes its token for a cookie that scripts cannot read and other sites cannot send.

use super::problem::Failure;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::io::{self, Write as _};
use std::path::Path;

pub use super::sessions::{MAX_SESSIONS, SESSION_HOURS, Sessions};

pub(super) type Hash = [u8; 32];

pub(super) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Looks at every byte whatever the outcome, so that the time taken tells nothing.
fn same(a: &Hash, b: &Hash) -> bool {
    a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// 256 random bits as text.
pub fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The tokens that are taken, by name.
#[derive(Debug, Clone)]
pub struct Tokens {
    hashes: Vec<(String, Hash)>,
    cookie: String,
}

impl Tokens {
    /// One token, named `admin`.
    pub fn admin(token: &str) -> Self {
        let admin = hash(token);
        // Cookies know no ports: the name keeps the sessions of several cells on one machine apart.
        let cookie = format!(
            "muster_session_{}",
            hex::encode(&hash(&hex::encode(admin))[..4])
        );
        Self {
            hashes: vec![("admin".to_owned(), admin)],
            cookie,
        }
    }

    /// The name of the token, if it is one of them.
    fn name_of(&self, token: &str) -> Option<&str> {
        let asked = hash(token);
        let mut found = None;
        for (name, hash) in &self.hashes {
            if same(hash, &asked) {
                found = Some(name.as_str());
            }
        }
        found
    }

    /// The name of the console's cookie.
    pub fn cookie_name(&self) -> &str {
        &self.cookie
    }
}

/// Reads the token of `home/token`, or makes one, readable by its owner alone.
///
/// # Errors
/// The file cannot be read or made, or is empty.
pub fn load_or_create_token(home: &Path) -> io::Result<String> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let path = home.join("token");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim();
            if token.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "{} is empty; remove it, and the next start makes a new token",
                        path.display()
                    ),
                ));
            }
            if path.metadata()?.permissions().mode() & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "the token could be read by others; its mode is now 0600");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            }
            Ok(token.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = new_secret();
            // Written beside and renamed, so that a crash leaves no half a token.
            let draft = home.join("token.new");
            match std::fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            writeln!(file, "{token}")?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
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
                name: name.to_owned(),
                by_token: true,
            })
            .ok_or_else(|| {
                unauthorized("the token in `Authorization` is not one of this control plane")
            });
    }
    let name = cookie(headers, state.tokens.cookie_name())
        .and_then(|id| state.sessions.name_of(id, state.now()))
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
