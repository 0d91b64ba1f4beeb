//! Errors as people and programs get them: a status and a [`Problem`] as JSON.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use muster_schemas::api::Problem;

/// An answer with a status of 400 or above.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The status.
    pub status: StatusCode,
    /// What it carries.
    pub problem: Problem,
}

impl Failure {
    /// A failure with a stable word, what happened, and what to do about it (which may be empty).
    pub fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            problem: Problem {
                code: code.to_owned(),
                message: message.into(),
                hint: hint.into(),
            },
        }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message, hint)
    }

    /// The request cannot be understood.
    pub fn bad_request(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, hint)
    }

    /// There is no path of the API with this address.
    pub fn no_route(path: &str) -> Self {
        Self::not_found(
            format!("there is no `{path}`"),
            "GET /api/v1/openapi.json describes every path there is",
        )
    }

    /// The journal did not answer.
    pub fn journal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "journal-unavailable",
            format!("the journal cannot be read: {}", message.into()),
            "try again; if it stays so, read the control plane's log",
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self.problem)).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
