//! `GET /api/v1/watch`: every event from a sequence number on, each once and in order, for as long as one listens.
//!
//! The watch subscribes first, then reads the journal up to the newest record, then goes on with live ones. Wherever a live
//! record is not the next one (the reader was slow, or the journal ran ahead), it goes back to the journal. So there is
//! one rule for what is sent: the record after the last.

use super::problem::Failure;
use super::query::Query;
use super::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use muster_core::view::event_view;
use muster_schemas::api::{EventView, Problem};
use muster_schemas::event::Record;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

/// So many records are read from the journal at once: one read is then a few milliseconds, and what a slow watcher holds in
/// memory stays below a few hundred KiB.
const PAGE: u32 = 256;

/// A comment is sent after so long without an event, so that proxies and clients see that the connection lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct Watcher {
    state: ApiState,
    live: broadcast::Receiver<Arc<Record>>,
    /// The last record that was taken over.
    last: u64,
    /// Taken over and not sent yet.
    pending: VecDeque<EventView>,
    /// Whether the journal may hold records after `last` that will not come live.
    behind: bool,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    fn take(&mut self, records: &[Record]) -> Result<(), u64> {
        for record in records {
            if record.seq != self.last + 1 {
                return Err(record.seq);
            }
            self.last = record.seq;
        }
        let views: Vec<EventView> = self.state.read(|fleet| {
            records
                .iter()
                .map(|record| event_view(fleet, record))
                .collect()
        });
        self.pending.extend(views);
        Ok(())
    }

    /// The next event; none where the watch has to end. Who listens connects again and goes on after the last one.
    async fn next(&mut self) -> Option<EventView> {
        loop {
            if let Some(view) = self.pending.pop_front() {
                return Some(view);
            }
            if self.behind {
                match self.state.cell.records_after(self.last, PAGE).await {
                    Ok(records) => {
                        self.behind = records.len() == PAGE as usize;
                        if let Err(seq) = self.take(&records) {
                            tracing::error!(
                                after = self.last,
                                got = seq,
                                "the journal skips a record; the watch ends"
                            );
                            return None;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the journal cannot be read; the watch ends");
                        return None;
                    }
                }
                continue;
            }
            match self.live.recv().await {
                Ok(record) if record.seq <= self.last => {}
                Ok(record) if record.seq == self.last + 1 => {
                    // It is the next one, so that taking it cannot fail.
                    self.take(std::slice::from_ref(&record)).ok()?;
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Every event after a sequence number, as it comes.
#[utoipa::path(
    get, path = "/api/v1/watch", tag = "events", operation_id = "watch",
    description = "Every event after a sequence number, then every new one as it comes: each once, in order. The `id` of a message is its sequence number; a client that connects again with `Last-Event-ID` goes on where it was. Without `after` and `Last-Event-ID` it begins now. A comment comes every 10 seconds without an event. At most 200 watches and log streams are open at once.",
    params(
        ("after" = Option<u64>, Query, description = "The sequence number to begin after; 0 for all there is"),
        ("Last-Event-ID" = Option<u64>, Header, description = "As `after`, and goes before it"),
    ),
    responses(
        (status = 200, description = "Messages with an EventView as data", body = EventView, content_type = "text/event-stream"),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 401, description = "A token is required", body = Problem),
        (status = 409, description = "The journal ends before that number: it is another, or an older copy", body = Problem),
        (status = 429, description = "Too many streams are open", body = Problem),
    ),
)]
pub async fn watch(
    State(state): State<ApiState>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Failure> {
    let after: Option<u64> = query.read("after", "a sequence number")?;
    query.finish()?;
    let last_event = match headers.get("last-event-id") {
        None => None,
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| {
                    Failure::bad_request(
                        "bad-parameter",
                        "`Last-Event-ID` is not a sequence number",
                        "",
                    )
                })?,
        ),
    };
    let permit = state.stream_permit()?;
    // Subscribed before anything is looked at: what is appended from here on comes live.
    let live = state.cell.records();
    let newest = state.read(|fleet| fleet.seq);
    let asked = last_event.or(after);
    if let Some(asked) = asked.filter(|asked| *asked > newest) {
        is_in_journal(&state, asked).await?;
    }
    let watcher = Watcher {
        live,
        last: asked.unwrap_or(newest),
        pending: VecDeque::new(),
        behind: true,
        _permit: permit,
        state: state.clone(),
    };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let view = watcher.next().await?;
        Some((view, watcher))
    })
    .map(|view| {
        Event::default()
            .id(view.seq.to_string())
            .json_data(&view)
            .unwrap_or_else(|error| {
                Event::default().comment(format!("event {} is not JSON: {error}", view.seq))
            })
    });
    Ok(sse(events, &state))
}

/// The fleet may be a moment behind the journal; a number that the journal does not have either is of another journal, and
/// to wait for it would be to wait in silence.
async fn is_in_journal(state: &ApiState, asked: u64) -> Result<(), Failure> {
    let records = state
        .cell
        .records_after(asked - 1, 1)
        .await
        .map_err(Failure::journal)?;
    if records.is_empty() {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "ahead-of-journal",
            format!("the journal has no event {asked} yet"),
            "this control plane has another journal than the one that you followed, or an older copy: read everything anew \
             and watch from the `seq` of GET /api/v1/fleet",
        ));
    }
    Ok(())
}

/// A stream of events as an answer that lives until the client goes or the server ends.
pub(super) fn sse(
    events: impl Stream<Item = Event> + Send + 'static,
    state: &ApiState,
) -> Response {
    let end = state.shutdown.clone().cancelled_owned();
    Sse::new(events.take_until(end).map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}
