//! `GET /metrics` for Prometheus, and the liveness and readiness probes.
//!
//! What the fleet is, is read from it at each scrape; what happens (requests, here and in other rooms) is counted as it
//! happens, and what the journal records when it is durable (`crate::control`).

use super::auth;
use super::problem::Failure;
use super::state::ApiState;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use muster_core::fleet::{Fleet, TaskPhase};
use muster_core::guard::stop_budget;
use muster_core::view::{drift_counts, task_counts};
use muster_schemas::api::Problem;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

/// Seconds: from what an answer out of memory takes to what a person gives up at.
const REQUEST_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Seconds from a read revision to its plan: from a small repository to one with images of a slow registry.
const SYNC_BUCKETS: [f64; 8] = [0.01, 0.05, 0.2, 0.5, 1.0, 5.0, 20.0, 60.0];

/// Seconds that queued tasks have waited: from a normal start to a working day.
const QUEUE_BUCKETS: [(f64, &str); 8] = [
    (1.0, "1"),
    (5.0, "5"),
    (30.0, "30"),
    (120.0, "120"),
    (600.0, "600"),
    (3_600.0, "3600"),
    (28_800.0, "28800"),
    (f64::INFINITY, "+Inf"),
];

/// The loop goes round at least every second; one that has not for so long hangs.
const LOOP_SILENT_SECS: f64 = 5.0;

/// Begins to count and to describe: what is said before is heard by nobody.
pub fn begin_metrics() {
    recorder();
}

/// The process's recorder; the first call installs it.
pub(super) fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(
                    Matcher::Full("muster_http_request_seconds".to_owned()),
                    &REQUEST_BUCKETS,
                )
                .and_then(|builder| {
                    builder.set_buckets_for_metric(
                        Matcher::Full("muster_journal_append_seconds".to_owned()),
                        &REQUEST_BUCKETS,
                    )
                })
                .and_then(|builder| {
                    builder.set_buckets_for_metric(
                        Matcher::Full("muster_sync_seconds".to_owned()),
                        &SYNC_BUCKETS,
                    )
                })
                .expect("the buckets are not empty")
                .build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::error!("another metrics recorder is installed; /metrics stays empty");
            }
            describe();
            handle
        })
        .clone()
}

fn describe() {
    describe_gauge!("muster_tasks", "Tasks in each state.");
    describe_gauge!("muster_tasks_healthy", "Running tasks that are healthy.");
    describe_gauge!("muster_jobs", "Jobs.");
    describe_gauge!(
        "muster_hosts",
        "Hosts, by whether their agent is connected."
    );
    describe_gauge!("muster_crash_loops", "Tasks in a crash loop.");
    describe_gauge!(
        "muster_orphans",
        "Containers that the control plane does not know."
    );
    describe_gauge!("muster_plan_held", "1 while a plan is held.");
    describe_gauge!(
        "muster_repository_trouble",
        "1 while the repository cannot be read or followed."
    );
    describe_gauge!(
        "muster_documents_refused",
        "Faults in documents of the applied revision that are not taken."
    );
    describe_gauge!(
        "muster_drift",
        "Fields in which what runs is not what git says, by cause."
    );
    describe_gauge!(
        "muster_queue_age_seconds_bucket",
        "Queued tasks that could be placed, by how long they have waited: so many for at most `le` seconds."
    );
    describe_gauge!(
        "muster_queue_age_seconds_max",
        "How long the queued task that has waited longest has waited, in seconds."
    );
    describe_gauge!(
        "muster_stops_left",
        "Automated stops that the stop budget still allows now."
    );
    describe_gauge!("muster_journal_seq", "The journal's last sequence number.");
    describe_gauge!("muster_epoch", "The leadership's number.");
    describe_gauge!("muster_streams", "Watches and log streams that are open.");
    crate::notify::count::describe();
    describe_counter!(
        "muster_hooks_total",
        "Deliveries of forges, by what became of them."
    );
    describe_counter!("muster_http_requests_total", "Requests answered.");
    describe_histogram!(
        "muster_http_request_seconds",
        "Time from a request to the head of its answer."
    );
}

/// Counts a request and how long its answer took, by route rather than by address, so that there are few series.
pub async fn count(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("console".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    counter!("muster_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("muster_http_request_seconds", "method" => method, "route" => route)
        .record(begun.elapsed().as_secs_f64());
    response
}

/// The metrics, for those on this machine; from elsewhere a token is needed.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics", security(()),
    description = "Metrics for Prometheus. From this machine no token is needed; from elsewhere one is.",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        (status = 401, description = "A token is required", body = Problem),
    ),
)]
pub async fn metrics_page(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Failure> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|ConnectInfo(peer)| !peer.ip().to_canonical().is_loopback()) {
        auth::caller(&state, request.method(), request.headers())?;
    }
    let now = state.now();
    state.read(|fleet| read(fleet, now));
    let streams = super::state::MAX_STREAMS - state.streams.available_permits();
    set("muster_streams", streams);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        state.metrics.render(),
    )
        .into_response())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^52, and a metric is a float"
)]
fn set(name: &'static str, value: usize) {
    gauge!(name).set(value as f64);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^52, and a metric is a float"
)]
fn read(fleet: &Fleet, now: Timestamp) {
    let (tasks, healthy) = task_counts(fleet);
    for (state, tasks) in tasks {
        gauge!("muster_tasks", "state" => state).set(tasks as f64);
    }
    gauge!("muster_tasks_healthy").set(healthy as f64);
    set("muster_jobs", fleet.jobs.len());
    let reachable = fleet.hosts.values().filter(|host| host.connected).count();
    gauge!("muster_hosts", "reachable" => "true").set(reachable as f64);
    gauge!("muster_hosts", "reachable" => "false").set((fleet.hosts.len() - reachable) as f64);
    let all_tasks = || fleet.jobs.values().flat_map(|job| job.tasks.values());
    set(
        "muster_crash_loops",
        all_tasks()
            .filter(|task| fleet.in_crash_loop(task, now))
            .count(),
    );
    set(
        "muster_orphans",
        fleet.hosts.values().map(|host| host.orphans.len()).sum(),
    );
    for (cause, fields) in drift_counts(fleet, now) {
        gauge!("muster_drift", "cause" => cause).set(fields as f64);
    }
    set("muster_plan_held", usize::from(fleet.held_plan().is_some()));
    set(
        "muster_repository_trouble",
        usize::from(fleet.trouble.is_some()),
    );
    set("muster_documents_refused", fleet.refused.len());
    gauge!("muster_stops_left").set(f64::from(stop_budget(fleet, now).left));
    gauge!("muster_journal_seq").set(fleet.seq as f64);
    gauge!("muster_epoch").set(fleet.epoch as f64);

    let ages: Vec<f64> = all_tasks()
        .filter_map(|task| match &task.phase {
            TaskPhase::Queued {
                since, not_before, ..
            } if *not_before <= now => {
                Some(now.duration_since(*since.max(not_before)).as_secs_f64())
            }
            TaskPhase::Queued { .. } | TaskPhase::Active { .. } | TaskPhase::Finished { .. } => {
                None
            }
        })
        .collect();
    for (bound, le) in QUEUE_BUCKETS {
        let waiting = ages.iter().filter(|age| **age <= bound).count();
        gauge!("muster_queue_age_seconds_bucket", "le" => le).set(waiting as f64);
    }
    gauge!("muster_queue_age_seconds_max").set(ages.iter().copied().fold(0.0, f64::max));
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz", security(()),
    description = "Whether the process lives. No token is needed.",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain")),
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the control plane does its work.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz", security(()),
    description = "Whether the control plane does its work: the journal is open and the control loop goes round. No token is needed.",
    responses(
        (status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 503, description = "It does not; the problem says why", body = Problem),
    ),
)]
pub async fn readyz(
    State(state): State<ApiState>,
    _headers: HeaderMap,
) -> Result<&'static str, Failure> {
    let health = state.cell.health();
    let mut reasons = Vec::new();
    if let Some(journal) = health.journal {
        reasons.push(format!("the journal is not usable: {journal}"));
    }
    if health.loop_silent_secs > LOOP_SILENT_SECS {
        reasons.push(format!(
            "the control loop has not gone round for {:.0} s",
            health.loop_silent_secs
        ));
    }
    if reasons.is_empty() {
        Ok("ready\n")
    } else {
        let code = match state.cell.frozen() {
            Some(_) => "journal-damaged",
            None => "not-ready",
        };
        Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            reasons.join("; "),
            "containers run on meanwhile; read the control plane's log",
        ))
    }
}
