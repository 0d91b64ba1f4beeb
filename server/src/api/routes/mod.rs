//! The handlers, one file for each thing that the API has.

pub mod commands;
pub mod deploys;
pub mod drift;
pub mod events;
pub mod explain;
pub mod fleet;
pub mod hooks;
pub mod hosts;
pub mod jobs;
pub mod past;
pub mod plans;
pub mod rollouts;
pub mod session;
pub mod tasks;
pub mod tokens;

use super::problem::Failure;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use muster_schemas::api::Problem;
use muster_schemas::ids::{JobId, TaskId};
use serde::de::DeserializeOwned;

/// What every route that takes a token may answer.
#[derive(utoipa::IntoResponses)]
pub enum Refused {
    /// A parameter cannot be read, or does not exist.
    #[response(status = 400)]
    BadRequest(#[to_schema] Problem),
    /// A token is required.
    #[response(status = 401)]
    Unauthorized(#[to_schema] Problem),
}

/// What every route that takes `at` may answer.
#[derive(utoipa::IntoResponses)]
pub enum PastRefused {
    /// There is no such record yet.
    #[response(status = 409)]
    AfterJournal(#[to_schema] Problem),
    /// The journal begins later; the message says when.
    #[response(status = 410)]
    BeforeJournal(#[to_schema] Problem),
    /// Too many questions about the past wait already.
    #[response(status = 429)]
    TooMany(#[to_schema] Problem),
    /// The journal does not answer, or its records take longer to fold: ask again, and it goes on from there.
    #[response(status = 503)]
    Unavailable(#[to_schema] Problem),
}

/// The id in an address, or several of them.
pub struct Id<T = String>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Failure::no_route(parts.uri.path())),
        }
    }
}

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(unread_body)?;
        let read: Result<T, serde_json::Error> = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|error| {
            Failure::bad_request(
                "bad-body",
                format!("the body is not what is expected: {error}"),
                "GET /api/v1/openapi.json describes it",
            )
        })
    }
}

fn unread_body(rejection: BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!(
                "the body has more than {} bytes",
                super::server::MAX_BODY_BYTES
            ),
            "",
        );
    }
    Failure::bad_request("bad-body", "the body could not be read to its end", "")
}

/// The task that an address names.
pub(super) fn task_id(text: &str) -> Result<TaskId, Failure> {
    text.parse()
        .map_err(|error: muster_schemas::ids::NotATaskId| {
            Failure::not_found(error.to_string(), "GET /api/v1/tasks lists the tasks")
        })
}

pub(super) fn no_job(job: &JobId) -> Failure {
    Failure::not_found(
        format!("there is no job `{job}` in the fleet"),
        format!("GET /api/v1/jobs lists the jobs, GET /api/v1/events?job={job} what happened"),
    )
}

pub(super) fn no_task(task: &TaskId) -> Failure {
    Failure::not_found(
        format!("there is no task `{task}` in the fleet"),
        format!(
            "GET /api/v1/tasks?archived=true&job={job} lists those that have ended, GET /api/v1/events?task={task} what \
             happened",
            job = task.job
        ),
    )
}
