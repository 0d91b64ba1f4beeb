//! One agent's connection, from its first frame to its end.
//!
//! A session is a reader and a writer. The reader hands each frame on before it takes the next, so that the control loop
//! hears of a host in order; the writer sends the newest assignments, log requests and pings, and is never held up by the
//! reader.

use super::logs::Streams;
use super::{
    CLOSE_BAD_FRAME, CLOSE_GOING_AWAY, CLOSE_REFUSED, CLOSE_REPLACED, CLOSE_SILENT, Hub,
    PING_EVERY, SILENCE,
};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use muster_schemas::ids::HostId;
use muster_schemas::state::HostFacts;
use muster_schemas::wire::{Assignments, Fence, FromAgent, MAX_FRAME_BYTES, ToAgent};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Log requests that wait to be sent. They are small; whoever opens one waits while it is full.
const OUTGOING_QUEUE: usize = 256;

/// A frame that cannot be sent in this time has met a dead peer. The largest frame at a modest 10 Mbit/s takes 27 s.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Longer close reasons are cut; the protocol's limit is 123 bytes.
const MAX_REASON_BYTES: usize = 120;

/// A session that the rest of the hub can reach.
pub(super) struct Live {
    number: u64,
    pub streams: Arc<Streams>,
    /// Ends the session, because a newer one of the same host has come.
    replaced: CancellationToken,
    /// Nothing of this session reaches the control loop any more.
    quiet: CancellationToken,
}

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The agent closed it, or the network did.
    Gone(String),
    Silent,
    Replaced,
    ShuttingDown,
    /// The control loop refuses the host (any more).
    Refused(String),
    BadFrame(String),
}

impl End {
    /// What the agent is told.
    fn close(&self) -> Option<(u16, String)> {
        match self {
            End::Gone(_) => None,
            End::Silent => Some((
                CLOSE_SILENT,
                format!("nothing was heard for {} s", SILENCE.as_secs()),
            )),
            End::Replaced => Some((
                CLOSE_REPLACED,
                "a newer connection of this host has replaced this one".to_owned(),
            )),
            End::ShuttingDown => Some((CLOSE_GOING_AWAY, "the control plane ends".to_owned())),
            End::Refused(why) => Some((CLOSE_REFUSED, why.clone())),
            End::BadFrame(why) => Some((CLOSE_BAD_FRAME, why.clone())),
        }
    }
}

/// Runs a connection of `host` to its end.
pub(super) async fn run(hub: Hub, host: HostId, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let end = match first_frame(&hub, host, &mut stream).await {
        Ok((facts, fence)) => {
            let (returned, end) = converse(&hub, host, facts, fence, sink, stream).await;
            let Some(returned) = returned else {
                return;
            };
            sink = returned;
            end
        }
        Err(end) => end,
    };
    if let Some((code, reason)) = end.close() {
        let frame = CloseFrame {
            code,
            reason: cut(reason).into(),
        };
        // The peer may be gone, and is not waited for.
        let _ = timeout(
            Duration::from_secs(1),
            sink.send(Message::Close(Some(frame))),
        )
        .await;
    }
    match end {
        End::Gone(why) => tracing::info!(%host, why, "an agent's connection ended"),
        End::Silent => tracing::warn!(%host, "an agent is silent; its connection was closed"),
        End::Replaced => tracing::info!(%host, "an agent's connection was replaced by a newer one"),
        End::ShuttingDown => {}
        End::Refused(why) => tracing::warn!(%host, why, "an agent's session was refused"),
        End::BadFrame(why) => {
            tracing::warn!(%host, why, "an agent sent what cannot be understood; its connection was closed");
        }
    }
}

async fn first_frame(
    hub: &Hub,
    host: HostId,
    stream: &mut SplitStream<WebSocket>,
) -> Result<(HostFacts, Fence), End> {
    let first = timeout(SILENCE, async {
        loop {
            if let Some(frame) = frame_of(stream.next().await)? {
                return Ok(frame);
            }
        }
    });
    let frame = tokio::select! {
        frame = first => frame.map_err(|_| End::Silent)??,
        () = hub.0.shutdown.cancelled() => return Err(End::ShuttingDown),
    };
    hub.0.control.heard(host);
    match frame {
        FromAgent::Hello { facts, fence } => Ok((*facts, fence)),
        FromAgent::Report(_)
        | FromAgent::Facts { .. }
        | FromAgent::Usage { .. }
        | FromAgent::Log { .. }
        | FromAgent::Fenced { .. } => {
            Err(End::BadFrame("the first frame must be a hello".to_owned()))
        }
    }
}

/// A session proper. Returns the sink for a last word, unless the writer broke on it.
async fn converse(
    hub: &Hub,
    host: HostId,
    facts: HostFacts,
    fence: Fence,
    sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
) -> (Option<SplitSink<WebSocket, Message>>, End) {
    let (outgoing, queue) = mpsc::channel(OUTGOING_QUEUE);
    let live = Arc::new(Live {
        number: hub.0.next_session.fetch_add(1, Ordering::Relaxed),
        streams: Arc::new(Streams::new(host, outgoing)),
        replaced: CancellationToken::new(),
        quiet: CancellationToken::new(),
    });
    // Also if the control loop panics: the host's next session waits for it.
    let quiet = live.quiet.clone().drop_guard();
    let answer = begin(hub, host, &live, facts, fence).await;
    let assignments = match answer {
        Ok(assignments) => assignments,
        Err(why) => return (Some(sink), End::Refused(why)),
    };
    tracing::info!(%host, "an agent connected");
    metrics::gauge!("muster_agent_connections").increment(1.0);

    let stop_reading = CancellationToken::new();
    let stop_writing = CancellationToken::new();
    let writer = tokio::spawn({
        let stop_writing = stop_writing.clone();
        let stop_reading = stop_reading.clone().drop_guard();
        async move {
            let written = write(sink, queue, assignments, stop_writing).await;
            drop(stop_reading);
            written
        }
    });
    let reading = AssertUnwindSafe(read(hub, host, &live, stream, &stop_reading)).catch_unwind();
    let read_end = reading.await.unwrap_or_else(|_| {
        tracing::error!(%host, "the control loop panicked on a frame");
        Some(End::Gone(
            "the control plane could not take a frame".to_owned(),
        ))
    });
    drop(quiet);
    stop_writing.cancel();
    finish(hub, host, &live).await;
    let (sink, write_end) = writer
        .await
        .unwrap_or_else(|error| (None, End::Gone(format!("the writer broke: {error}"))));
    (sink, read_end.unwrap_or(write_end))
}

/// Puts the session in the place of an older one of the same host, and tells the control loop.
async fn begin(
    hub: &Hub,
    host: HostId,
    live: &Arc<Live>,
    facts: HostFacts,
    fence: Fence,
) -> Result<watch::Receiver<Option<Arc<Assignments>>>, String> {
    let turn = hub.turn(host);
    let _turn = turn.lock().await;
    let older = hub.live().insert(host, live.clone());
    let had_older = older.is_some();
    if let Some(older) = older {
        older.replaced.cancel();
        older.quiet.cancelled().await;
    }
    let answer = hub.0.control.connected(host, facts, fence).await;
    if answer.is_err() {
        hub.live().remove(&host);
        live.streams.end_all();
        if had_older {
            // The older session is gone, and will not say so: it was replaced.
            hub.0.control.disconnected(host).await;
        }
    }
    answer
}

/// Takes the session out of the hub and, if no newer one has replaced it, says that the host is gone.
async fn finish(hub: &Hub, host: HostId, live: &Live) {
    metrics::gauge!("muster_agent_connections").decrement(1.0);
    live.streams.end_all();
    let turn = hub.turn(host);
    let _turn = turn.lock().await;
    {
        let mut sessions = hub.live();
        let is_current = sessions
            .get(&host)
            .is_some_and(|current| current.number == live.number);
        if !is_current {
            return;
        }
        sessions.remove(&host);
    }
    // When the control plane ends, it is not the host that is gone.
    if !hub.0.shutdown.is_cancelled() {
        hub.0.control.disconnected(host).await;
    }
}

/// Reads until the end. None if it was told to stop because the writer has ended.
async fn read(
    hub: &Hub,
    host: HostId,
    live: &Live,
    mut stream: SplitStream<WebSocket>,
    stop: &CancellationToken,
) -> Option<End> {
    let frames = metrics::counter!("muster_agent_frames_total", "direction" => "in");
    let control = &hub.0.control;
    loop {
        // The silence is counted from here: while the control loop is busy with a frame, it is us who do not listen.
        let next = tokio::select! {
            biased;
            () = live.replaced.cancelled() => return Some(End::Replaced),
            () = hub.0.shutdown.cancelled() => return Some(End::ShuttingDown),
            () = stop.cancelled() => return None,
            next = timeout(SILENCE, stream.next()) => next,
        };
        let Ok(next) = next else {
            return Some(End::Silent);
        };
        let frame = match frame_of(next) {
            Ok(frame) => frame,
            Err(end) => return Some(end),
        };
        control.heard(host);
        let Some(frame) = frame else {
            continue;
        };
        frames.increment(1);
        match frame {
            FromAgent::Hello { .. } => {
                return Some(End::BadFrame("a second hello on one connection".to_owned()));
            }
            FromAgent::Report(report) => control.reported(host, report).await,
            FromAgent::Facts { facts } => control.facts(host, *facts).await,
            FromAgent::Usage { readings } => {
                hub.usage_rings().record(host, readings, Instant::now());
            }
            FromAgent::Log { stream, lines, end } => live.streams.deliver(stream, lines, end),
            FromAgent::Fenced { got, highest } => {
                tracing::error!(
                    %host, ?got, ?highest,
                    "the agent refuses this control plane's orders: it has heard a newer fence; is this an old copy of the store, or does another control plane lead?"
                );
                control.fenced(host, got, highest).await;
                // Its next greeting says where it stands, and until then nothing that it says is about this history.
                return Some(End::Refused(
                    "the host has heard newer orders than these; it has to greet anew".to_owned(),
                ));
            }
        }
    }
}

/// The frame in a message; none for a ping or pong, which only show that the peer is there.
fn frame_of(next: Option<Result<Message, axum::Error>>) -> Result<Option<FromAgent>, End> {
    match next {
        None => Err(End::Gone("the connection was cut".to_owned())),
        Some(Err(error)) => Err(End::Gone(error.to_string())),
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| End::BadFrame(format!("a frame is not readable: {error}"))),
        Some(Ok(Message::Binary(_))) => {
            Err(End::BadFrame("a binary frame; frames are text".to_owned()))
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(Some(frame)))) => Err(End::Gone(format!(
            "the agent closed it: {} ({})",
            frame.reason, frame.code
        ))),
        Some(Ok(Message::Close(None))) => Err(End::Gone("the agent closed it".to_owned())),
    }
}

type Sink = SplitSink<WebSocket, Message>;

async fn write(
    mut sink: Sink,
    mut queue: mpsc::Receiver<ToAgent>,
    mut assignments: watch::Receiver<Option<Arc<Assignments>>>,
    stop: CancellationToken,
) -> (Option<Sink>, End) {
    let frames = metrics::counter!("muster_agent_frames_total", "direction" => "out");
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The value that is there already is sent too.
    assignments.mark_changed();
    loop {
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => return (Some(sink), End::Gone("the session ended".to_owned())),
            changed = assignments.changed() => {
                if changed.is_err() {
                    let why = "the control plane does not want this host any more";
                    return (Some(sink), End::Refused(why.to_owned()));
                }
                // Values that came meanwhile are skipped: each is whole.
                let newest = assignments.borrow_and_update().clone();
                newest.and_then(|newest| encode(&ToAgent::Assignments(Assignments::clone(&newest))))
            }
            asked = queue.recv() => asked.and_then(|asked| encode(&asked)),
            _ = pings.tick() => Some(Message::Ping(Bytes::new())),
        };
        let Some(message) = message else {
            continue;
        };
        if matches!(message, Message::Text(_)) {
            frames.increment(1);
        }
        match timeout(SEND_TIMEOUT, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return (None, End::Gone(error.to_string())),
            Err(_) => {
                return (
                    None,
                    End::Gone("a frame could not be sent in time".to_owned()),
                );
            }
        }
    }
}

fn encode(frame: &ToAgent) -> Option<Message> {
    let text = match serde_json::to_string(frame) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "a frame could not be written");
            return None;
        }
    };
    if text.len() > MAX_FRAME_BYTES {
        tracing::error!(
            bytes = text.len(),
            "the host's assignments are larger than the agent would take, and are not sent"
        );
        return None;
    }
    Some(Message::Text(Utf8Bytes::from(text)))
}

/// At most [`MAX_REASON_BYTES`] of `reason`, and whole characters.
fn cut(mut reason: String) -> String {
    let end = reason.floor_char_boundary(MAX_REASON_BYTES);
    reason.truncate(end);
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        assert_eq!(cut("é".repeat(100)).len(), 120);
        assert_eq!(cut(format!("x{}", "é".repeat(100))).len(), 119);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
