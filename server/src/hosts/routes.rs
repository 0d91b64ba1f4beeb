//! The three routes that agents know: enrol, renew, connect.

use super::authority::{AuthorityError, HostIdentity, identify};
use super::{Hub, TokenRefusal, session, tls};
use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, State, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls::TlsInfo;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use bytes::Bytes;
use jiff::Timestamp;
use muster_schemas::api::Problem;
use muster_schemas::ids::HostId;
use muster_schemas::wire::{EnrolRequest, EnrolResponse, MAX_FRAME_BYTES, RenewRequest};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections that have not become a session yet. Each costs some tens of kilobytes before anybody has said who they are;
/// a fleet that comes back all at once waits a moment longer.
const MAX_UNKNOWN_CONNECTIONS: usize = 2048;

/// An agent has its request ready when it connects.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests are a name, a token and a key.
const MAX_BODY_BYTES: usize = 64 << 10;

/// So long do sessions get to say goodbye when the control plane ends.
const GOODBYE: Duration = Duration::from_secs(3);

/// As long as a host name may be.
const MAX_NAME_BYTES: usize = 253;

/// Listens until `shutdown`, then ends all sessions.
pub(super) async fn serve(
    hub: Hub,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let mut names = hub.0.authority.settings().names.clone();
    let own = address.ip().to_string();
    if !address.ip().is_unspecified() && !names.contains(&own) {
        names.push(own);
    }
    let config = tls::server_config(&hub.0.authority, names)
        .context("the agents' listener cannot have a certificate; are its names right?")?;
    let handle = Handle::new();
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(config))
        .handshake_timeout(REQUEST_TIMEOUT)
        .acceptor(Bounded(handle.clone()));
    let mut server = axum_server::Server::<SocketAddr>::from_listener(listener)
        .handle(handle.clone())
        .acceptor(acceptor)
        .first_request_timeout(REQUEST_TIMEOUT)
        .accept_error_handler(|peer: Option<&SocketAddr>, error: &std::io::Error| {
            // Anybody can cause these, so they are no warnings; a person who looks for why an agent does not connect
            // finds them at `info`.
            tracing::info!(peer = peer.map(tracing::field::display), %error, "an agent's connection was refused");
        });
    server
        .http_builder()
        .http1()
        .header_read_timeout(REQUEST_TIMEOUT);
    let router = Router::new()
        .route("/agent/v1/enrol", post(enrol))
        .route("/agent/v1/renew", post(renew))
        .route("/agent/v1/connect", get(connect))
        .layer(map_response(one_request))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(hub.clone());
    tracing::info!(%address, "listening for agents");
    let serving = server.serve(router.into_make_service());
    let result = tokio::select! {
        result = serving => result.context("the agents' listener failed"),
        () = shutdown.cancelled() => Ok(()),
    };
    // The listener is dropped by now, so that no session begins after those are closed.
    handle.shutdown();
    hub.0.shutdown.cancel();
    hub.0.sessions.close();
    if tokio::time::timeout(GOODBYE, hub.0.sessions.wait())
        .await
        .is_err()
    {
        tracing::warn!("some agents' connections were cut");
    }
    result
}

/// One request to a connection: nothing idle is kept open for those who have not said who they are.
async fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Turns connections away while too many are being looked at, and sends small frames at once.
#[derive(Clone)]
struct Bounded(Handle<SocketAddr>);

impl<S> Accept<TcpStream, S> for Bounded {
    type Stream = TcpStream;
    type Service = S;
    type Future = std::future::Ready<std::io::Result<(TcpStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        std::future::ready(if self.0.connection_count() > MAX_UNKNOWN_CONNECTIONS {
            Err(std::io::Error::other("too many connections at once"))
        } else {
            stream.set_nodelay(true).map(|()| (stream, service))
        })
    }
}

/// An answer that is a no.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: &'static str,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            hint: "",
        }
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    fn bad_request(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            code: self.code.to_owned(),
            message: self.message,
            hint: self.hint.to_owned(),
        };
        (self.status, Json(problem)).into_response()
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("the request is not readable: {error}")))
}

async fn enrol(State(hub): State<Hub>, body: Bytes) -> Result<Json<EnrolResponse>, Refusal> {
    let request: EnrolRequest = read(&body)?;
    if request.name.is_empty()
        || request.name.len() > MAX_NAME_BYTES
        || !request.name.chars().all(|c| c.is_ascii_graphic())
    {
        return Err(Refusal::bad_request(format!(
            "a host's name has 1 to {MAX_NAME_BYTES} visible ASCII characters and no spaces"
        )));
    }
    let refuse = |refusal| refuse_token(&request.name, &refusal);
    let now = Timestamp::now();
    // Who has no token gets no further. The signing request is tried before the token is used up, so that a broken agent
    // does not cost a token.
    hub.0
        .tokens
        .lock()
        .await
        .check(&request.token, now)
        .map_err(refuse)?;
    certify(&hub, HostId(uuid::Uuid::nil()), &request.csr_pem)?;
    hub.0
        .tokens
        .lock()
        .await
        .take(&request.token, now)
        .map_err(refuse)?;
    // From here on the enrolment goes on even if the agent goes away, so that the token's state is never left in the air.
    let finishing = tokio::spawn(async move {
        let host = match hub.0.control.enrol(request.name.clone()).await {
            Ok(host) => host,
            Err(why) => {
                tracing::warn!(name = request.name, why, "a host was not enrolled");
                if let Err(error) = hub.0.tokens.lock().await.give_back(&request.token) {
                    tracing::warn!(%error, "its token stays used");
                }
                return Err(Refusal::new(StatusCode::CONFLICT, "not-enrolled", why));
            }
        };
        tracing::info!(name = request.name, %host, "a host enrolled");
        certify(&hub, host, &request.csr_pem)
    });
    finishing
        .await
        .map_err(|error| {
            tracing::error!(%error, "an enrolment broke off");
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the enrolment broke off",
            )
        })?
        .map(Json)
}

fn refuse_token(name: &str, refusal: &TokenRefusal) -> Refusal {
    tracing::warn!(name, why = %refusal, "an enrolment token was refused");
    match refusal {
        TokenRefusal::Unknown => Refusal::new(StatusCode::FORBIDDEN, "token-unknown", refusal),
        TokenRefusal::Used => Refusal::new(StatusCode::FORBIDDEN, "token-used", refusal),
        TokenRefusal::Ended => Refusal::new(StatusCode::FORBIDDEN, "token-ended", refusal),
        TokenRefusal::Keep { .. } => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not-kept", refusal)
        }
    }
}

async fn renew(
    State(hub): State<Hub>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    body: Bytes,
) -> Result<Json<EnrolResponse>, Refusal> {
    let identity = caller(&hub, &tls)?;
    let request: RenewRequest = read(&body)?;
    let renewed = certify(&hub, identity.host, &request.csr_pem)?;
    tracing::debug!(host = %identity.host, expires_at = %renewed.expires_at, "renewed a host's certificate");
    Ok(Json(renewed))
}

async fn connect(
    State(hub): State<Hub>,
    Extension(tls): Extension<Arc<TlsInfo>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let identity = caller(&hub, &tls)?;
    if identity.expires_at <= Timestamp::now() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "certificate-ended",
            format!("the host's certificate ended at {}", identity.expires_at),
        )
        .hint("renew it first"));
    }
    let upgrade = upgrade.map_err(Refusal::bad_request)?;
    Ok(upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .on_upgrade(move |socket| {
            let tracked = hub.0.sessions.clone();
            tracked.track_future(session::run(hub, identity.host, socket))
        }))
}

/// Who calls, by the client certificate that TLS has checked.
fn caller(hub: &Hub, tls: &TlsInfo) -> Result<HostIdentity, Refusal> {
    let certificate = tls.peer_certificates.first().ok_or_else(|| {
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "no-certificate",
            "a client certificate is needed here",
        )
        .hint("enrol the host first")
    })?;
    let identity = identify(certificate)
        .map_err(|why| Refusal::new(StatusCode::FORBIDDEN, "not-a-host", why))?;
    if identity.cell != hub.0.cell {
        let message = format!(
            "the host belongs to cell {}, and this is cell {}",
            identity.cell, hub.0.cell
        );
        tracing::warn!(host = %identity.host, message, "an agent was refused");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "other-cell", message)
            .hint("enrol the host in this cell, or check the agent's address"));
    }
    if !hub.0.control.knows(identity.host) {
        tracing::warn!(host = %identity.host, "an agent was refused: the host is not known, or was removed");
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "unknown-host",
            format!(
                "host {} is not known to cell {}, or was removed",
                identity.host, hub.0.cell
            ),
        )
        .hint("enrol the host again with a new token"));
    }
    Ok(identity)
}

fn certify(hub: &Hub, host: HostId, csr_pem: &str) -> Result<EnrolResponse, Refusal> {
    let authority = &hub.0.authority;
    let made = authority
        .certify_host(&hub.0.cell, host, csr_pem, Timestamp::now())
        .map_err(|error| match error {
            AuthorityError::Request(_) => Refusal::bad_request(error),
            AuthorityError::File { .. }
            | AuthorityError::Damaged { .. }
            | AuthorityError::Make(_)
            | AuthorityError::Tls(_) => {
                tracing::error!(%error, %host, "a host certificate could not be made");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error)
            }
        })?;
    Ok(EnrolResponse {
        host,
        cell: hub.0.cell.clone(),
        certificate_pem: made.pem,
        authority_pem: authority.certificate_pem().to_owned(),
        expires_at: made.expires_at,
    })
}
