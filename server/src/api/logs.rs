//! `GET /api/v1/tasks/{task}/logs`: what a task's container wrote, as text or as events.
//!
//! As `text/plain` the bytes go out as they were written, terminal escapes and all: that is for terminals and files. As
//! events each line is JSON, in which control characters are escaped.

use super::problem::Failure;
use super::query::Query;
use super::routes::{Id, task_id};
use super::state::{ApiState, LogFault, LogMessage, LogQuery};
use super::watch::sse;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use muster_schemas::api::Problem;
use muster_schemas::ids::{AttemptId, HostId, TaskId};
use muster_schemas::wire::{LogEnd, LogLine};
use std::io;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The most lines that `tail` can ask for; without `tail` all that the engine keeps is sent.
const MAX_TAIL: u32 = 100_000;

/// So long the answer waits for the first word of the host, so that a log that cannot be read is told with a status. One that
/// is followed may be silent for longer and is begun then.
const FIRST_WORD: Duration = Duration::from_secs(1);

struct Log {
    first: Option<LogMessage>,
    rest: mpsc::Receiver<LogMessage>,
    done: bool,
    _permit: OwnedSemaphorePermit,
}

impl Log {
    /// The next part; a stream that breaks off without an end has failed.
    async fn next(&mut self) -> Option<LogMessage> {
        if self.done {
            return None;
        }
        let message = match self.first.take() {
            Some(message) => message,
            None => self.rest.recv().await.unwrap_or_else(|| {
                LogMessage::End(LogEnd::Failed {
                    message: "the connection to the host's agent was lost".to_owned(),
                })
            }),
        };
        self.done = matches!(message, LogMessage::End(_));
        Some(message)
    }
}

/// What a task's container wrote.
#[utoipa::path(
    get, path = "/api/v1/tasks/{task}/logs", tag = "tasks", operation_id = "task_logs",
    description = "What a task's container wrote. As `text/plain` (the default) the lines as they were written, with terminal escapes; with `Accept: text/event-stream` an event `line` with a LogLine for each and an event `end`. A text stream that breaks off without its proper end means that the log could not be read to its end.",
    params(
        ("task" = String, Path, description = "The task, such as `web.0`"),
        ("follow" = Option<bool>, Query, description = "Whether to go on with new lines as they come; default false"),
        ("tail" = Option<u32>, Query, description = "At most so many of the last lines; default all that the engine keeps"),
        ("attempt" = Option<String>, Query, description = "The attempt; default the current or last one"),
        ("since" = Option<String>, Query, description = "Only lines after this time (RFC 3339)"),
    ),
    responses(
        (status = 200, description = "The lines", content((String = "text/plain"), (LogLine = "text/event-stream"))),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 401, description = "A token is required", body = Problem),
        (status = 404, description = "There is no such task, attempt or container", body = Problem),
        (status = 429, description = "Too many streams are open", body = Problem),
        (status = 502, description = "The host's agent could not read it", body = Problem),
        (status = 503, description = "The host's agent is not connected", body = Problem),
    ),
)]
pub async fn logs(
    State(state): State<ApiState>,
    Id(task): Id,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Failure> {
    let task = task_id(&task)?;
    let follow = query.read("follow", "true or false")?.unwrap_or(false);
    let tail: Option<u32> = query.read("tail", "a whole number")?;
    let attempt: Option<AttemptId> = query.read("attempt", "an attempt's id")?;
    let since: Option<Timestamp> = query.read("since", "a time such as 2026-11-23T15:04:05Z")?;
    query.finish()?;
    if tail.is_some_and(|tail| tail > MAX_TAIL) {
        return Err(Failure::bad_request(
            "bad-parameter",
            format!("parameter `tail`: at most {MAX_TAIL} lines can be asked for"),
            "leave it out for all that the engine keeps",
        ));
    }
    let (host, attempt) = find(&state, &task, attempt)?;
    let permit = state.stream_permit()?;
    let mut rest = state
        .cell
        .log(LogQuery {
            host,
            attempt,
            follow,
            tail,
            since,
        })
        .await
        .map_err(|fault| {
            let (status, code) = match fault {
                LogFault::NotConnected(_) => (StatusCode::SERVICE_UNAVAILABLE, "host-unreachable"),
                LogFault::Failed(_) => (StatusCode::BAD_GATEWAY, "log-failed"),
            };
            Failure::new(status, code, fault.to_string(), "")
        })?;
    let first = tokio::time::timeout(FIRST_WORD, rest.recv()).await.ok();
    match &first {
        Some(None) => return Err(unreadable("the connection to the host's agent was lost")),
        Some(Some(LogMessage::End(LogEnd::NoContainer))) => {
            return Err(Failure::not_found(
                format!("the host has no container for attempt {attempt} of {task}"),
                "it has not been created yet, or was removed",
            ));
        }
        Some(Some(LogMessage::End(LogEnd::Failed { message }))) => {
            return Err(unreadable(message));
        }
        None | Some(Some(LogMessage::Lines(_) | LogMessage::End(LogEnd::Complete))) => {}
    }
    let log = Log {
        first: first.flatten(),
        rest,
        done: false,
        _permit: permit,
    };
    if wants_events(&headers) {
        Ok(as_events(log, &state))
    } else {
        Ok(as_text(log, &state))
    }
}

fn unreadable(message: &str) -> Failure {
    Failure::new(
        StatusCode::BAD_GATEWAY,
        "log-failed",
        format!("the host's agent could not read the log: {message}"),
        "try again; if it stays so, look at the host's warnings",
    )
}

fn find(
    state: &ApiState,
    task: &TaskId,
    attempt: Option<AttemptId>,
) -> Result<(HostId, AttemptId), Failure> {
    state.read(|fleet| {
        let known = fleet
            .task(task)
            .ok_or_else(|| super::routes::no_task(task))?;
        let id = match attempt.or(known.last_attempt) {
            Some(id) => id,
            None => {
                return Err(Failure::not_found(
                    format!("{task} has had no attempt yet"),
                    "it has a log as soon as its container starts",
                ));
            }
        };
        match fleet.attempts.get(&id) {
            Some(attempt) if attempt.task == *task => Ok((attempt.host, id)),
            None if known.past.iter().any(|past| past.id == id) => Err(Failure::not_found(
                format!("the container of this attempt of {task} was removed, and its log with it"),
                "containers that have ended are kept for ten minutes",
            )),
            Some(_) | None => Err(Failure::not_found(
                format!("{task} has no attempt {id}, or its container was removed"),
                format!("GET /api/v1/tasks/{task} names the attempts whose log is there"),
            )),
        }
    })
}

fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/event-stream"))
}

fn as_text(log: Log, state: &ApiState) -> Response {
    let parts = stream::unfold(log, |mut log| async move {
        let part = match log.next().await? {
            LogMessage::Lines(lines) => Ok(text(&lines)),
            LogMessage::End(LogEnd::Complete) => return None,
            // Headers are sent already: only a broken stream tells the client that this is not all.
            LogMessage::End(LogEnd::NoContainer) => Err(io::Error::other("the container is gone")),
            LogMessage::End(LogEnd::Failed { message }) => Err(io::Error::other(message)),
        };
        Some((part, log))
    });
    let end = state.shutdown.clone().cancelled_owned();
    (
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        Body::from_stream(parts.take_until(end)),
    )
        .into_response()
}

fn text(lines: &[LogLine]) -> Bytes {
    let length = lines.iter().map(|line| line.text.len() + 1).sum();
    let mut bytes = BytesMut::with_capacity(length);
    for line in lines {
        bytes.put_slice(line.text.as_bytes());
        bytes.put_u8(b'\n');
    }
    bytes.freeze()
}

fn as_events(log: Log, state: &ApiState) -> Response {
    let events = stream::unfold(log, |mut log| async move {
        let events = match log.next().await? {
            LogMessage::Lines(lines) => lines
                .iter()
                .map(|line| json_event("line", line))
                .collect::<Vec<_>>(),
            LogMessage::End(end) => vec![json_event("end", &end)],
        };
        Some((stream::iter(events), log))
    })
    .flatten();
    sse(events, state)
}

fn json_event(name: &str, data: &impl serde::Serialize) -> Event {
    Event::default()
        .event(name)
        .json_data(data)
        .unwrap_or_else(|error| Event::default().comment(format!("not JSON: {error}")))
}
