//! The router with all that is around the routes, and the server.

use super::problem::Failure;
use super::routes::{
    commands, deploys, drift, events, explain, fleet, hooks, hosts, jobs, past, plans, rollouts,
    session, tasks, tokens,
};
use super::state::{ApiState, CommandFault};
use super::{access, auth, console, logs, metrics, openapi, watch};
use crate::git::MAX_TOTAL_BYTES;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum_server::Handle;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// No request of this API needs a body of more than this; a command is a sentence.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// All files of a working tree: as many bytes as a repository may have, with what JSON adds.
const MAX_FILES_BYTES: usize = MAX_TOTAL_BYTES + MAX_TOTAL_BYTES / 4;

/// So long a handler may take to the head of its answer. The slowest waits for the disk, which is milliseconds; what takes
/// longer than this hangs, and its client has long gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// So long a client may take to send the head of a request, so that half-open connections end.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// So long open requests may go on once the server is to end; streams are ended at once.
const DRAIN: Duration = Duration::from_secs(3);

/// Histograms hold every value until they are folded; without a scraper that has to be done all the same.
const UPKEEP: Duration = Duration::from_secs(5);

/// All routes that are described.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    openapi::described()
        .routes(routes!(fleet::get_fleet))
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::get_job))
        .routes(routes!(drift::list_drift))
        .routes(routes!(tasks::list_tasks))
        .routes(routes!(tasks::get_task))
        .routes(routes!(tasks::get_usage))
        .routes(routes!(logs::logs))
        .routes(routes!(commands::stop_task))
        .routes(routes!(commands::remove_host))
        .routes(routes!(commands::take_host))
        .routes(routes!(commands::approve_plan))
        .routes(routes!(commands::refuse_plan))
        .routes(routes!(commands::freeze))
        .routes(routes!(commands::resume))
        .routes(routes!(commands::scale))
        .routes(routes!(commands::rollback))
        .routes(routes!(rollouts::tell_rollout))
        .routes(routes!(deploys::list_deploys))
        .routes(routes!(deploys::create_deploy, deploys::get_deploy))
        .routes(routes!(deploys::cancel_deploy))
        .routes(routes!(explain::explain_task))
        .routes(routes!(explain::why_not_host))
        .routes(routes!(hosts::list_hosts))
        .routes(routes!(hosts::get_host))
        .routes(routes!(plans::list_plans))
        .routes(routes!(plans::get_plan))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(plans::preview_plan))
                .layer(DefaultBodyLimit::max(MAX_FILES_BYTES)),
        )
        .routes(routes!(events::list_events))
        .routes(routes!(watch::watch))
        .routes(routes!(past::get_journal))
        .routes(routes!(past::get_diff))
        .routes(routes!(
            session::get_session,
            session::open_session,
            session::close_session
        ))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(commands::enrol))
        .routes(routes!(commands::refresh))
        .routes(routes!(commands::down))
        .routes(routes!(hooks::receive))
        .routes(routes!(get_openapi))
        .routes(routes!(metrics::healthz))
        .routes(routes!(metrics::readyz))
        .routes(routes!(metrics::metrics_page))
}

/// What is answered to anybody.
const OPEN: [&str; 4] = ["/api/v1/openapi.json", "/healthz", "/readyz", "/metrics"];

/// What forges send proves itself by its signature.
const HOOKS: &str = "/api/v1/hooks/";

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "operations", operation_id = "openapi", security(()),
    description = "This description. No token is needed.",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn get_openapi() -> Response {
    static JSON: LazyLock<String> = LazyLock::new(openapi::json);
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}

/// The API and the console over one cell.
pub fn router(state: ApiState) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .method_not_allowed_fallback(|| async { console::wrong_method() })
        .layer(middleware::from_fn(super::past::refuse_commands))
        .layer(middleware::from_fn_with_state(state.clone(), only_reads))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            access::viewers_read,
        ))
        .layer(middleware::from_fn_with_state(state.clone(), guard))
        .fallback(console::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn(metrics::count))
        .layer(middleware::from_fn(console::guard_headers))
        .with_state(state)
}

/// Every route but the open ones is for those who may ask.
async fn guard(state: axum::extract::State<ApiState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if OPEN.contains(&path) || path.starts_with(HOOKS) {
        return next.run(request).await;
    }
    auth::require(state, request, next).await
}

/// While nothing may be changed, what asks for a change is refused before anything of it is done. To open and to close a session changes
/// nothing of the fleet.
async fn only_reads(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let reads = request.method().is_safe() || request.uri().path() == "/api/v1/session";
    match state.cell.frozen() {
        Some(why) if !reads => Failure::from(CommandFault::Frozen(format!(
            "nothing is done while the journal is damaged: {why}"
        )))
        .into_response(),
        Some(_) | None => next.run(request).await,
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_WITHIN, next.run(request))
        .await
        .unwrap_or_else(|_| {
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                format!(
                    "there was no answer within {} s",
                    ANSWER_WITHIN.as_secs()
                ),
                "try again; a command may have been done, so look before you repeat it without an Idempotency-Key",
            )
            .into_response()
        })
}

/// Serves until `shutdown`, then ends streams at once and lets other requests finish for a moment.
///
/// # Errors
/// The listener cannot be served from.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let handle: Handle<SocketAddr> = Handle::new();
    let ender = handle.clone();
    let streams = state.shutdown.clone();
    let recorder = state.metrics.clone();
    let background = tokio::spawn(async move {
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = upkeep.tick() => recorder.run_upkeep(),
            }
        }
        streams.cancel();
        ender.graceful_shutdown(Some(DRAIN));
    });
    let mut server = axum_server::from_tcp(listener.into_std()?)?
        .handle(handle)
        .first_request_timeout(HEAD_WITHIN);
    server
        .http_builder()
        .http1()
        .header_read_timeout(HEAD_WITHIN);
    let served = server
        .serve(router(state).into_make_service_with_connect_info::<SocketAddr>())
        .await;
    background.abort();
    served
}
