//! Log streams that the control plane opens: bounded in number, in lines under way and in time that a slow reader is waited for.

use super::launch::container_name;
use crate::agent::converge::refused_to_start;
use crate::runtime::{ContainerState, LogChunk, LogsFrom, Runtime};
use futures::StreamExt;
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::wire::{FromAgent, LogEnd, LogLine, LogStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// A host has some hundred containers, and people look at a few; each stream costs the engine a reader.
const STREAMS_AT_ONCE: usize = 64;
/// Longer lines are cut; engines write them in parts of this size.
const LINE_LIMIT_BYTES: usize = 16 * 1024;
/// A batch is sent when it has so many lines …
const BATCH_LINES: usize = 256;
/// … or so many bytes, so that 256 of the longest lines do not make one frame of 4 MiB …
const BATCH_BYTES: usize = 256 * 1024;
/// … or when its first line has waited so long.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// A reader that takes nothing for so long has lost interest; the stream ends rather than growing.
const SLOW_READER: Duration = Duration::from_secs(10);

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The stream's number.
    pub stream: u64,
    /// Whose log.
    pub attempt: AttemptId,
    /// Whether to go on as lines come.
    pub follow: bool,
    /// At most so many of the last lines.
    pub tail: Option<u32>,
    /// Only lines after this time.
    pub since: Option<Timestamp>,
}

/// The open streams.
#[derive(Debug)]
pub struct LogStreams {
    open: BTreeMap<u64, AbortHandle>,
    slow_reader: Duration,
}

impl Default for LogStreams {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            slow_reader: SLOW_READER,
        }
    }
}

impl LogStreams {
    /// Opens a stream. One with the same number is closed.
    pub fn open<R: Runtime>(
        &mut self,
        wanted: Wanted,
        runtime: &Arc<R>,
        out: &mpsc::Sender<FromAgent>,
    ) {
        self.close(wanted.stream);
        self.open.retain(|_, task| !task.is_finished());
        let too_many = self.open.len() >= STREAMS_AT_ONCE;
        let (runtime, out) = (Arc::clone(runtime), out.clone());
        let slow_reader = self.slow_reader;
        let task = tokio::spawn(async move {
            let mut sender = Sender {
                stream: wanted.stream,
                out,
                lines: Vec::new(),
                bytes: 0,
                slow_reader,
            };
            let end = if too_many {
                Some(LogEnd::Failed {
                    message: format!(
                        "{STREAMS_AT_ONCE} logs of this host are being read already; close one"
                    ),
                })
            } else {
                read(&*runtime, wanted, &mut sender).await
            };
            // Without an end the reader is gone, and there is nobody to tell.
            if let Some(end) = end {
                let _ = sender.send(Some(end)).await;
            }
        });
        // A refusal holds no stream.
        if !too_many {
            self.open.insert(wanted.stream, task.abort_handle());
        }
    }

    /// Closes a stream; nothing more is sent.
    pub fn close(&mut self, stream: u64) {
        if let Some(task) = self.open.remove(&stream) {
            task.abort();
        }
    }

    /// Closes all: the connection over which they were asked for is gone.
    pub fn close_all(&mut self) {
        for (_, task) in std::mem::take(&mut self.open) {
            task.abort();
        }
    }
}

impl Drop for LogStreams {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// The reader of the stream is gone or too slow.
struct Gone;

struct Sender {
    stream: u64,
    out: mpsc::Sender<FromAgent>,
    lines: Vec<LogLine>,
    bytes: usize,
    slow_reader: Duration,
}

impl Sender {
    fn add(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push(line);
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES
    }

    async fn send(&mut self, end: Option<LogEnd>) -> Result<(), Gone> {
        if self.lines.is_empty() && end.is_none() {
            return Ok(());
        }
        self.bytes = 0;
        let frame = FromAgent::Log {
            stream: self.stream,
            lines: std::mem::take(&mut self.lines),
            end,
        };
        match self.out.send_timeout(frame, self.slow_reader).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Gone),
        }
    }
}

/// Reads to the end; none if the reader is gone for good.
async fn read<R: Runtime>(runtime: &R, wanted: Wanted, sender: &mut Sender) -> Option<LogEnd> {
    let name = container_name(wanted.attempt);
    let failed = |message: String| Some(LogEnd::Failed { message });
    let container = match runtime.inspect(&name).await {
        Ok(Some(container)) => container.id,
        Ok(None) => return Some(LogEnd::NoContainer),
        Err(error) => return failed(error.to_string()),
    };
    let from = LogsFrom {
        follow: wanted.follow,
        tail: wanted.tail,
        since: wanted.since,
    };
    let mut chunks = runtime.logs(&container, from);
    let mut cut = Cut::default();
    loop {
        // With lines in hand the wait for more is short, so that they are not held back.
        let next = if sender.lines.is_empty() {
            Ok(chunks.next().await)
        } else {
            tokio::time::timeout(BATCH_WAIT, chunks.next()).await
        };
        let flush = match next {
            Ok(Some(Ok(chunk))) => {
                if let Some(line) = cut.line(chunk)
                    && wanted.since.is_none_or(|since| line.at > since)
                {
                    sender.add(line);
                }
                sender.is_full()
            }
            Ok(Some(Err(error))) => return failed(error.to_string()),
            Ok(None) => break,
            Err(_) => true,
        };
        if flush && sender.send(None).await.is_err() {
            return failed(format!(
                "the reader took nothing for {:?}",
                sender.slow_reader
            ));
        }
    }
    // An engine that goes away ends its streams as if all had been read.
    match runtime.inspect(&container).await {
        Ok(Some(container)) if wanted.follow && container.state == ContainerState::Running => {
            failed(
                "the engine closed the log although the container runs; open it again".to_owned(),
            )
        }
        // Before it is started a container has no log to follow: who asks again later finds one.
        Ok(Some(container))
            if wanted.follow
                && container.state == ContainerState::Created
                && !refused_to_start(&container) =>
        {
            Some(LogEnd::NoContainer)
        }
        Ok(_) => Some(LogEnd::Complete),
        Err(error) => failed(error.to_string()),
    }
}

/// Cuts long lines: of a line in parts, the first part is the line and the others are dropped.
#[derive(Debug, Default)]
struct Cut {
    in_stdout_line: bool,
    in_stderr_line: bool,
}

impl Cut {
    fn line(&mut self, chunk: LogChunk) -> Option<LogLine> {
        let inside = match chunk.stream {
            LogStream::Stdout => &mut self.in_stdout_line,
            LogStream::Stderr => &mut self.in_stderr_line,
        };
        let continues = std::mem::replace(inside, !chunk.ends);
        if continues {
            return None;
        }
        let bytes = &chunk.bytes[..chunk.bytes.len().min(LINE_LIMIT_BYTES)];
        Some(LogLine {
            at: chunk.at,
            stream: chunk.stream,
            text: String::from_utf8_lossy(bytes).into_owned(),
        })
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
