//! Log streams: many readers share a host's one connection. Each stream has a number; its lines wait in a queue that is
//! bounded by bytes, because a reader that stands still must hold up neither the host's reports nor the memory of all.

use muster_schemas::ids::{AttemptId, HostId};
use muster_schemas::wire::{LogEnd, LogLine, ToAgent};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// So many open streams to one host. A console page with a dozen logs, for some dozens of people.
pub const MAX_STREAMS_PER_HOST: usize = 512;

/// So many bytes of lines wait for a reader. It covers a burst, and a network that stalls for a moment.
pub const MAX_WAITING_BYTES: usize = 8 << 20;

/// So many messages lie between the stream and its reader, beside those that wait.
const READER_QUEUE: usize = 8;

/// What a line costs beside its text.
const LINE_OVERHEAD_BYTES: usize = 64;

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogMessage {
    /// Lines, in order.
    Lines(Vec<LogLine>),
    /// The last message.
    End(LogEnd),
}

/// Why a log cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The host's agent is not connected.
    #[error(
        "host {host} is not connected, so its logs cannot be read; they stay on the host, try again when it is back"
    )]
    NotConnected {
        /// The host.
        host: HostId,
    },
    /// Too many streams are open.
    #[error("{MAX_STREAMS_PER_HOST} logs of host {host} are being read; close some first")]
    TooMany {
        /// The host.
        host: HostId,
    },
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogRequest {
    pub attempt: AttemptId,
    pub follow: bool,
    pub tail: Option<u32>,
    pub since: Option<jiff::Timestamp>,
}

/// What waits for a reader.
struct Waiting {
    message: LogMessage,
    /// Whether the message is ours rather than the agent's, which then must be told that the stream is closed.
    cut: bool,
}

struct Stream {
    /// Bounded by `waiting_bytes`.
    waiting: mpsc::UnboundedSender<Waiting>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// The open streams of one session.
pub(super) struct Streams {
    host: HostId,
    outgoing: mpsc::Sender<ToAgent>,
    /// None once the session has ended.
    open: Mutex<Option<HashMap<u64, Stream>>>,
}

impl Streams {
    pub fn new(host: HostId, outgoing: mpsc::Sender<ToAgent>) -> Self {
        Self {
            host,
            outgoing,
            open: Mutex::new(Some(HashMap::new())),
        }
    }

    /// Opens a stream under `number`, which no other stream of this process has had: a late line of an old stream then
    /// never turns up in a new one.
    pub async fn open(
        self: &Arc<Self>,
        number: u64,
        request: LogRequest,
    ) -> Result<mpsc::Receiver<LogMessage>, LogError> {
        let (waiting, queue) = mpsc::unbounded_channel();
        let (reader, receiver) = mpsc::channel(READER_QUEUE);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        {
            let mut open = self.lock();
            let streams = open
                .as_mut()
                .ok_or(LogError::NotConnected { host: self.host })?;
            if streams.len() >= MAX_STREAMS_PER_HOST {
                return Err(LogError::TooMany { host: self.host });
            }
            streams.insert(
                number,
                Stream {
                    waiting,
                    waiting_bytes: waiting_bytes.clone(),
                },
            );
        }
        let asked = ToAgent::LogOpen {
            stream: number,
            attempt: request.attempt,
            follow: request.follow,
            tail: request.tail,
            since: request.since,
        };
        if self.outgoing.send(asked).await.is_err() {
            self.remove(number);
            return Err(LogError::NotConnected { host: self.host });
        }
        let streams = self.clone();
        tokio::spawn(async move {
            let cut = match pump(queue, &reader, &waiting_bytes).await {
                Pumped::Ended { cut } => cut,
                // If it is not in the list any more, the agent has ended it meanwhile.
                Pumped::ReaderGone => streams.remove(number),
            };
            if cut {
                // A failure means that the session has ended, and the stream with it.
                let _ = streams
                    .outgoing
                    .send(ToAgent::LogClose { stream: number })
                    .await;
            }
        });
        Ok(receiver)
    }

    /// Takes lines from the agent. It never waits.
    pub fn deliver(&self, number: u64, lines: Vec<LogLine>, end: Option<LogEnd>) {
        let mut open = self.lock();
        let Some(streams) = open.as_mut() else {
            return;
        };
        // An unknown number is a stream that was closed a moment ago.
        let Some(stream) = streams.get(&number) else {
            return;
        };
        let bytes = cost(&lines);
        let before = stream.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let too_slow = before > 0 && before + bytes > MAX_WAITING_BYTES;
        if too_slow {
            let message =
                "the log came faster than it was read; read it again from the last line's time";
            stream.end(
                LogEnd::Failed {
                    message: message.to_owned(),
                },
                true,
            );
            streams.remove(&number);
            return;
        }
        if !lines.is_empty() {
            let _ = stream.waiting.send(Waiting {
                message: LogMessage::Lines(lines),
                cut: false,
            });
        }
        if let Some(end) = end {
            stream.end(end, false);
            streams.remove(&number);
        }
    }

    /// Ends all streams, because the session has ended.
    pub fn end_all(&self) {
        if let Some(streams) = self.lock().take() {
            for stream in streams.into_values() {
                let message = "the host's agent is no longer connected; the log stays on the host";
                stream.end(
                    LogEnd::Failed {
                        message: message.to_owned(),
                    },
                    false,
                );
            }
        }
    }

    /// So many streams are open.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.lock().as_ref().map_or(0, HashMap::len)
    }

    fn remove(&self, number: u64) -> bool {
        self.lock()
            .as_mut()
            .is_some_and(|streams| streams.remove(&number).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Stream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn end(&self, end: LogEnd, cut: bool) {
        // A failure means that the reader has gone already.
        let _ = self.waiting.send(Waiting {
            message: LogMessage::End(end),
            cut,
        });
    }
}

enum Pumped {
    ReaderGone,
    Ended { cut: bool },
}

/// Hands the waiting messages to the reader until the last one, or until the reader is gone.
async fn pump(
    mut queue: mpsc::UnboundedReceiver<Waiting>,
    reader: &mpsc::Sender<LogMessage>,
    waiting_bytes: &AtomicUsize,
) -> Pumped {
    loop {
        let waiting = tokio::select! {
            waiting = queue.recv() => waiting,
            () = reader.closed() => return Pumped::ReaderGone,
        };
        let Some(Waiting { message, cut }) = waiting else {
            // A stream leaves the list only with its last message, or because its reader has gone.
            return Pumped::ReaderGone;
        };
        let (bytes, is_last) = match &message {
            LogMessage::Lines(lines) => (cost(lines), false),
            LogMessage::End(_) => (0, true),
        };
        if reader.send(message).await.is_err() && !is_last {
            return Pumped::ReaderGone;
        }
        if is_last {
            return Pumped::Ended { cut };
        }
        waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn cost(lines: &[LogLine]) -> usize {
    lines
        .iter()
        .map(|line| line.text.len() + LINE_OVERHEAD_BYTES)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use muster_schemas::wire::LogStream;

    fn lines(count: usize, bytes: usize) -> Vec<LogLine> {
        (0..count)
            .map(|_| LogLine {
                at: Timestamp::UNIX_EPOCH,
                stream: LogStream::Stdout,
                text: "x".repeat(bytes),
            })
            .collect()
    }

    fn streams() -> (Arc<Streams>, mpsc::Receiver<ToAgent>) {
        let (outgoing, sent) = mpsc::channel(16);
        let host = HostId(uuid::Uuid::from_u128(1));
        (Arc::new(Streams::new(host, outgoing)), sent)
    }

    const REQUEST: LogRequest = LogRequest {
        attempt: AttemptId(uuid::Uuid::from_u128(2)),
        follow: true,
        tail: None,
        since: None,
    };

    async fn read_to_end(mut receiver: mpsc::Receiver<LogMessage>) -> (usize, LogEnd) {
        let mut count = 0;
        loop {
            match receiver.recv().await.expect("a stream ends with its End") {
                LogMessage::Lines(lines) => count += lines.len(),
                LogMessage::End(end) => return (count, end),
            }
        }
    }

    #[tokio::test]
    async fn a_stream_that_the_agent_ends_is_not_closed_again() {
        let (streams, mut sent) = streams();
        let receiver = streams.open(1, REQUEST).await.expect("opened");
        assert!(matches!(
            sent.recv().await,
            Some(ToAgent::LogOpen { stream: 1, .. })
        ));
        streams.deliver(1, lines(3, 10), None);
        streams.deliver(1, lines(2, 10), Some(LogEnd::Complete));
        streams.deliver(1, lines(9, 10), None);
        assert_eq!(read_to_end(receiver).await, (5, LogEnd::Complete));
        assert_eq!(streams.count(), 0);
        drop(streams);
        assert_eq!(sent.recv().await, None);
    }

    #[tokio::test]
    async fn a_reader_that_goes_closes_the_stream() {
        let (streams, mut sent) = streams();
        drop(streams.open(7, REQUEST).await.expect("opened"));
        sent.recv().await.expect("the opening");
        assert_eq!(sent.recv().await, Some(ToAgent::LogClose { stream: 7 }));
        assert_eq!(streams.count(), 0);
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_is_cut_off_with_what_came_before() {
        let (streams, mut sent) = streams();
        let receiver = streams.open(1, REQUEST).await.expect("opened");
        let frames = MAX_WAITING_BYTES / (100 * (10_000 + LINE_OVERHEAD_BYTES)) + READER_QUEUE + 5;
        for _ in 0..frames {
            streams.deliver(1, lines(100, 10_000), None);
        }
        assert_eq!(streams.count(), 0);
        let (count, end) = read_to_end(receiver).await;
        assert!(count > 0 && count < frames * 100, "{count}");
        let LogEnd::Failed { message } = end else {
            panic!("{end:?}");
        };
        assert!(message.contains("faster than it was read"));
        sent.recv().await.expect("the opening");
        assert_eq!(sent.recv().await, Some(ToAgent::LogClose { stream: 1 }));
    }

    #[tokio::test]
    async fn all_streams_end_with_the_session_and_none_opens_after_it() {
        let (streams, _sent) = streams();
        let first = streams.open(1, REQUEST).await.expect("opened");
        let second = streams.open(2, REQUEST).await.expect("opened");
        streams.end_all();
        for receiver in [first, second] {
            let (_, end) = read_to_end(receiver).await;
            assert!(matches!(end, LogEnd::Failed { .. }), "{end:?}");
        }
        let late = streams.open(3, REQUEST).await;
        assert!(matches!(late, Err(LogError::NotConnected { .. })));
    }

    #[tokio::test]
    async fn streams_are_bounded() {
        let (outgoing, _sent) = mpsc::channel(MAX_STREAMS_PER_HOST + 1);
        let streams = Arc::new(Streams::new(HostId(uuid::Uuid::from_u128(1)), outgoing));
        let mut open = Vec::new();
        for number in 0..MAX_STREAMS_PER_HOST as u64 {
            open.push(streams.open(number, REQUEST).await.expect("opened"));
        }
        let refused = streams.open(u64::MAX, REQUEST).await;
        assert!(matches!(refused, Err(LogError::TooMany { .. })));
    }
}
