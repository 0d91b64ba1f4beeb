//! Reading a container's log.

use super::{DockerEngine, told};
use crate::runtime::{LogChunk, LogsFrom, RuntimeError};
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use muster_schemas::wire::LogStream;

pub(super) fn logs(
    engine: DockerEngine,
    container: String,
    from: LogsFrom,
) -> BoxStream<'static, Result<LogChunk, RuntimeError>> {
    let options = LogsOptions {
        follow: from.follow,
        stdout: true,
        stderr: true,
        // The engine takes whole seconds; the caller drops what is too early.
        since: from
            .since
            .and_then(|since| i32::try_from(since.as_second()).ok())
            .unwrap_or(0),
        until: 0,
        timestamps: true,
        tail: from
            .tail
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
    };
    futures::stream::once(async move {
        match engine.connection("logs").await {
            Ok(connection) => connection
                .client
                .logs(&container, Some(options))
                .filter_map(async |output| match output {
                    Ok(output) => chunk(output).map(Ok),
                    Err(error) => Some(Err(told("logs", error))),
                })
                .boxed(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    })
    .flatten()
    .boxed()
}

/// A frame is a time, a blank and the bytes; what lacks a line end is a part of a longer line.
fn chunk(output: LogOutput) -> Option<LogChunk> {
    let (stream, message) = match output {
        LogOutput::StdErr { message } => (LogStream::Stderr, message),
        LogOutput::StdOut { message } | LogOutput::Console { message } => {
            (LogStream::Stdout, message)
        }
        LogOutput::StdIn { .. } => return None,
    };
    let blank = message.iter().position(|byte| *byte == b' ')?;
    let at: Timestamp = std::str::from_utf8(&message[..blank]).ok()?.parse().ok()?;
    let rest = &message[blank + 1..];
    let line = rest.strip_suffix(b"\n");
    let bytes = line.unwrap_or(rest);
    Some(LogChunk {
        at,
        stream,
        bytes: bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec(),
        ends: line.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static [u8]) -> Option<LogChunk> {
        chunk(LogOutput::StdErr {
            message: bytes::Bytes::from_static(text),
        })
    }

    #[test]
    fn frames_are_read() {
        let whole = read(b"2026-11-23T10:00:00.5Z two words\n").unwrap();
        assert_eq!(whole.at.to_string(), "2026-11-23T10:00:00.5Z");
        assert_eq!(whole.stream, LogStream::Stderr);
        assert_eq!(whole.bytes, b"two words");
        assert!(whole.ends);

        let part = read(b"2026-11-23T10:00:00Z long").unwrap();
        assert!(!part.ends);
        let empty = read(b"2026-11-23T10:00:00Z \n").unwrap();
        assert_eq!(empty.bytes, b"");
        assert_eq!(read(b"nonsense\n"), None);
    }
}
