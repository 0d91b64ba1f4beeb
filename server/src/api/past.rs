//! Questions about the past: `at` behind the `?`, and what an answer says about when it is of.
//!
//! A past fleet is looked at by the same views as the present one, with its own time as the time now. Its answers carry two
//! headers, [`AS_OF_SEQ`] and [`AS_OF`].

use super::problem::Failure;
use super::query::Query;
use super::state::ApiState;
use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use muster_core::fleet::Fleet;
use muster_core::view::Serving;
use muster_schemas::past::{AsOf, Moment, PastRefusal};
use serde::Serialize;
use std::sync::Arc;

/// The header that says which record an answer about the past includes last.
pub const AS_OF_SEQ: &str = "muster-as-of-seq";

/// The header that says as of which time it is.
pub const AS_OF: &str = "muster-as-of";

/// A fleet of the past.
#[derive(Debug, Clone)]
pub struct PastFleet {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// Its last record, and the time as of which it is looked at.
    pub as_of: AsOf,
}

/// Why a fleet of the past cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PastFault {
    /// The moment is one that cannot be shown, or not now.
    #[error("{0}")]
    Refused(PastRefusal),
    /// The journal cannot be read; a sentence for people.
    #[error("{0}")]
    Journal(String),
}

impl From<PastRefusal> for Failure {
    fn from(refusal: PastRefusal) -> Self {
        let (status, code, hint) = match refusal {
            PastRefusal::BeforeJournal { .. } => (
                StatusCode::GONE,
                "before-journal",
                "ask for a later time; GET /api/v1/journal says how far back one can look",
            ),
            PastRefusal::AfterJournal { .. } => (
                StatusCode::CONFLICT,
                "ahead-of-journal",
                "GET /api/v1/journal says what the last record is",
            ),
            PastRefusal::InTheFuture { .. } => (
                StatusCode::BAD_REQUEST,
                "in-the-future",
                "leave `at` out for the fleet as it is now",
            ),
            PastRefusal::TakesLonger { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "takes-longer",
                "ask again in a moment",
            ),
            PastRefusal::TooMany { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-questions",
                "try again in a moment",
            ),
        };
        Failure::new(status, code, refusal.to_string(), hint)
    }
}

impl From<PastFault> for Failure {
    fn from(fault: PastFault) -> Self {
        match fault {
            PastFault::Refused(refusal) => refusal.into(),
            PastFault::Journal(message) => Failure::journal(message),
        }
    }
}

/// What a moment looks like, for whoever wrote something else.
pub const A_MOMENT: &str = "a time such as 2026-11-20T14:00:00Z, or the number of a record";

impl Query {
    /// `at`, where it is given.
    pub fn moment(&mut self) -> Result<Option<Moment>, Failure> {
        self.read("at", A_MOMENT)
    }
}

/// The fleet that is asked about: as it is, or as it was.
pub struct Scene<'a> {
    state: &'a ApiState,
    past: Option<PastFleet>,
}

impl ApiState {
    /// The fleet as of a moment; as it is now where there is none.
    pub async fn scene(&self, moment: Option<Moment>) -> Result<Scene<'_>, Failure> {
        let past = match moment {
            None => None,
            Some(moment) => {
                self.has_come(moment)?;
                Some(self.cell.past(moment).await?)
            }
        };
        Ok(Scene { state: self, past })
    }

    /// Refuses a time that has not come.
    pub fn has_come(&self, moment: Moment) -> Result<(), Failure> {
        match moment {
            Moment::At(asked) if asked > self.now() => {
                Err(PastRefusal::InTheFuture { asked }.into())
            }
            Moment::At(_) | Moment::Seq(_) => Ok(()),
        }
    }
}

impl Scene<'_> {
    /// Looks at the fleet, with the time that is to count as now.
    pub fn look<R>(&self, look: impl FnOnce(&Fleet, Timestamp) -> R) -> R {
        match &self.past {
            None => {
                let now = self.state.now();
                self.state.read(|fleet| look(fleet, now))
            }
            Some(past) => look(&past.fleet, past.as_of.at),
        }
    }

    /// What the control plane knows of itself. Of an earlier one it does not know when it read the repository.
    pub fn serving(&self) -> Serving {
        let serving = self.state.cell.info();
        match &self.past {
            None => serving,
            Some(past) => Serving {
                started_at: past.fleet.led_since,
                repository_read_at: None,
                journal_trouble: None,
                ..serving
            },
        }
    }

    /// The record before which everything is in the past that is looked at; none for the present.
    pub fn before(&self) -> Option<u64> {
        self.past.as_ref().map(|past| past.as_of.seq + 1)
    }

    /// An answer that says when it is of.
    pub fn answer<T>(&self, body: T) -> Dated<T> {
        Dated {
            as_of: self.past.as_ref().map(|past| past.as_of),
            body,
        }
    }
}

/// An answer as JSON, with headers that say when it is of where that is not now.
#[derive(Debug)]
pub struct Dated<T> {
    /// The moment; none for now.
    pub as_of: Option<AsOf>,
    /// The answer.
    pub body: T,
}

impl<T: Serialize> IntoResponse for Dated<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Some(as_of) = self.as_of {
            let headers = response.headers_mut();
            headers.insert(AS_OF_SEQ, HeaderValue::from(as_of.seq));
            // A time in RFC 3339 has nothing that a header cannot hold.
            if let Ok(at) = HeaderValue::try_from(as_of.at.to_string()) {
                headers.insert(AS_OF, at);
            }
        }
        response
    }
}

/// Refuses commands that name a moment: who looks at the past and stops a task would stop the one that runs now.
pub async fn refuse_commands(request: Request, next: Next) -> Response {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let names_a_moment = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .is_ok_and(|pairs| pairs.iter().any(|(name, _)| name == "at"));
    if !reads && names_a_moment {
        return Failure::bad_request(
            "past-is-over",
            "a command holds now: the past cannot be changed",
            "leave `at` out",
        )
        .into_response();
    }
    next.run(request).await
}
