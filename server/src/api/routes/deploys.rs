//! Deploys: what a pipeline's webhook stage drives. Creating answers at once with where to poll; polling always has `status` and
//! `progress`; cancelling can be repeated.

use super::commands::sentence;
use super::{Id, JsonBody, Refused};
use crate::api::auth::Caller;
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use jiff::SignedDuration;
use muster_core::decide::Command;
use muster_core::view::{DeployFilter, deploy_view, deploys};
use muster_schemas::api::{CommandRequest, DeployRequest, DeployView, List, Problem};
use muster_schemas::deploy::DeploySpec;
use muster_schemas::ids::{DeployId, JobId};

/// A pipeline that waits for longer than half an hour says so.
const DEFAULT_TIMEOUT_SECS: u32 = 1800;
const TIMEOUT_SECS: std::ops::RangeInclusive<u32> = 10..=86_400;

/// The longest id; a pipeline's execution with a name behind it is half of that.
const MAX_ID: usize = 128;

/// The most tasks of a service, and the most variables at once.
const MAX_VARIABLES: usize = 100;

/// Asks for a deploy.
#[utoipa::path(
    post, path = "/api/v1/deploys/{deploy}", tag = "deploys", operation_id = "create_deploy",
    description = "Has a change of one job committed and rolled out. The id is the caller's choice: asked for again with the same body it is the same deploy. Answers at once; `Location` is the absolute address to poll.",
    params(("deploy" = String, Path, description = "An id of your choice: 1 to 128 letters, digits, `.`, `_` and `-`; not `.` or `..`")),
    request_body = DeployRequest,
    responses(
        (status = 202, description = "It is in the journal and goes on by itself", body = DeployView),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such job", body = Problem),
        (status = 409, description = "The id is that of a deploy that asks for something else, or the job has no such field", body = Problem),
        (status = 503, description = "It could not be made durable, or too many deploys are under way", body = Problem),
    ),
)]
pub async fn create_deploy(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<DeployRequest>,
) -> Result<Response, Failure> {
    let id = deploy_id(&id)?;
    let spec = spec(&state, request)?;
    let command = Command::Deploy {
        deploy: id.clone(),
        spec,
    };
    state.command(command, &caller).await?;
    let view = view(&state, &id)?;
    let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
    if let Some(location) = location(&headers, &id)
        && let Ok(location) = location.parse()
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// How a deploy stands.
#[utoipa::path(
    get, path = "/api/v1/deploys/{deploy}", tag = "deploys", operation_id = "deploy",
    description = "How a deploy stands. `status` and `progress` are always there.",
    params(("deploy" = String, Path, description = "The deploy's id")),
    responses(
        (status = 200, description = "The deploy", body = DeployView),
        Refused,
        (status = 404, description = "There is no such deploy among the latest", body = Problem),
    ),
)]
pub async fn get_deploy(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<DeployView>, Failure> {
    query.finish()?;
    Ok(Json(view(&state, &deploy_id(&id)?)?))
}

/// The latest deploys, newest first.
#[utoipa::path(
    get, path = "/api/v1/deploys", tag = "deploys", operation_id = "deploys",
    description = "The latest deploys, newest first: those that are under way, and the last 200 that have ended.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("q" = Option<String>, Query, description = "Part of the id, job, execution or commit, or of who asked for it"),
        ("state" = Option<Vec<String>>, Query, description = "`RUNNING`, `SUCCEEDED`, `FAILED`, `CANCELED`"),
        ("job" = Option<Vec<String>>, Query, description = "Only deploys of these jobs"),
    ),
    responses((status = 200, description = "A page of deploys", body = List<DeployView>), Refused),
)]
pub async fn list_deploys(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<List<DeployView>>, Failure> {
    let page = query.page()?;
    let filter = DeployFilter {
        q: query.one("q")?,
        state: query.words("state", "RUNNING, SUCCEEDED, FAILED, CANCELED")?,
        job: query.all("job"),
    };
    query.finish()?;
    let now = state.now();
    Ok(Json(with_cursor(
        state.read(|fleet| deploys(fleet, &filter, &page, now)),
    )))
}

/// Takes a deploy back.
#[utoipa::path(
    post, path = "/api/v1/deploys/{deploy}/cancel", tag = "deploys", operation_id = "cancel_deploy",
    description = "Takes a deploy back: another commit undoes it, and the version before serves on. A body with a `reason` may be sent. It can be repeated; one that has succeeded, or was taken back, stays as it is.",
    params(("deploy" = String, Path, description = "The deploy's id")),
    responses(
        (status = 200, description = "The deploy as it stands", body = DeployView),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such deploy among the latest", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn cancel_deploy(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    body: Bytes,
) -> Result<Json<DeployView>, Failure> {
    let id = deploy_id(&id)?;
    // A pipeline's cancel has an empty body, or none, or one of its own.
    let reason = serde_json::from_slice::<CommandRequest>(&body)
        .ok()
        .and_then(|request| sentence(&request.reason).ok())
        .unwrap_or_else(|| "the pipeline was canceled or has failed".to_owned());
    let command = Command::CancelDeploy {
        deploy: id.clone(),
        reason,
    };
    state.command(command, &caller).await?;
    Ok(Json(view(&state, &id)?))
}

fn view(state: &ApiState, id: &DeployId) -> Result<DeployView, Failure> {
    let now = state.now();
    state
        .read(|fleet| {
            let deploy = fleet.deploy(id)?;
            Some(deploy_view(fleet, deploy, now))
        })
        .ok_or_else(|| {
            Failure::not_found(
                format!("there is no deploy `{id}` among the latest"),
                "GET /api/v1/deploys lists them",
            )
        })
}

fn deploy_id(text: &str) -> Result<DeployId, Failure> {
    // In an address the two mean the place itself and the one above: nobody could ask for such a deploy again.
    let is_place = matches!(text, "." | "..");
    let fits = !is_place
        && (1..=MAX_ID).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
    if fits {
        return Ok(DeployId::from(text));
    }
    Err(Failure::bad_request(
        "bad-id",
        "that is no id of a deploy",
        "choose 1 to 128 letters, digits, `.`, `_` and `-`, not `.` or `..` alone, such as the pipeline's execution and the job's name",
    ))
}

fn spec(state: &ApiState, request: DeployRequest) -> Result<DeploySpec, Failure> {
    let bad = |message: String, hint: &str| Err(Failure::bad_request("bad-deploy", message, hint));
    let timeout = request.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECS);
    if !TIMEOUT_SECS.contains(&timeout) {
        return bad(
            format!("`timeout_seconds` cannot be {timeout}"),
            "it can be from 10 to 86400",
        );
    }
    if request.env.len() > MAX_VARIABLES {
        return bad(
            format!("there are {} variables", request.env.len()),
            "at most 100 can be set at once",
        );
    }
    let asks = request.image.is_some()
        || request.desired.is_some()
        || request.run.is_some()
        || !request.env.is_empty();
    if !asks {
        return bad(
            "the deploy asks for nothing".to_owned(),
            "set at least one of `image`, `desired`, `env` and `run`",
        );
    }
    Ok(DeploySpec {
        job: JobId::from(request.job),
        image: request.image,
        desired: request.desired,
        env: request.env,
        run: request.run,
        deadline: state.now() + SignedDuration::from_secs(i64::from(timeout)),
        execution: request.execution.unwrap_or_default(),
        reason: request.reason.unwrap_or_default(),
    })
}

/// The absolute address of a deploy, by the name under which this one was asked.
fn location(headers: &HeaderMap, id: &DeployId) -> Option<String> {
    // Each proxy on the way adds its own; the first is what was asked for.
    let text = |name: &str| {
        let all = headers.get(name)?.to_str().ok()?;
        all.split(',')
            .next()
            .map(str::trim)
            .filter(|first| !first.is_empty())
    };
    let is_host = |host: &&str| {
        let mut letters = host.chars();
        letters.all(|letter| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter))
    };
    let host = text("x-forwarded-host").or_else(|| text("host"));
    let host = host.filter(is_host)?;
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        Some(_) | None => "http",
    };
    Some(format!("{scheme}://{host}/api/v1/deploys/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_was_asked_for_first() {
        let id = DeployId::from("d1");
        let made = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().expect("a header"));
            }
            location(&headers, &id)
        };
        let at = |base: &str| Some(format!("{base}/api/v1/deploys/d1"));
        let own = ("host", "127.0.0.1:7400");
        assert_eq!(made(&[own]), at("http://127.0.0.1:7400"));
        let proxies = [
            own,
            ("x-forwarded-host", "muster.example.com, inner.example.com"),
            ("x-forwarded-proto", "https, http"),
        ];
        assert_eq!(made(&proxies), at("https://muster.example.com"));
        let odd = [own, ("x-forwarded-proto", "javascript")];
        assert_eq!(made(&odd), at("http://127.0.0.1:7400"));
        assert_eq!(made(&[("x-forwarded-host", "a/b")]), None);
        assert_eq!(made(&[]), None);
    }
}
