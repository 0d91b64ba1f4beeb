//! Server-sent events: bytes in, messages out.

use crate::cli::client::ClientError;
use std::time::Duration;

/// A message is one event of the journal, or one line of a log; a spec in it has at most 256 KiB.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// The server sends a comment every 10 seconds; three missed in a row mean that nobody is there.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// Its name; empty where it has none.
    pub(super) event: String,
    /// Its data.
    pub(super) data: String,
    /// Its id, where it has one.
    pub(super) id: Option<String>,
}

/// Puts messages together from bytes that come in any pieces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    message: Message,
    has_data: bool,
}

/// A message that is larger than any that the API sends.
#[derive(Debug, thiserror::Error)]
#[error("a message has more than {MAX_MESSAGE_BYTES} bytes")]
pub(super) struct TooLarge;

impl Parser {
    /// The messages that are complete with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLarge> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.buffer[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &self.buffer[begin..begin + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = String::from_utf8_lossy(line).into_owned();
            begin += length + 1;
            messages.extend(self.line(&line));
            if self.message.data.len() > MAX_MESSAGE_BYTES {
                return Err(TooLarge);
            }
        }
        self.buffer.drain(..begin);
        if self.buffer.len() > MAX_MESSAGE_BYTES {
            return Err(TooLarge);
        }
        Ok(messages)
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "id" => self.message.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
                self.has_data = true;
            }
            // A comment (an empty field), or a field that we have no use for.
            _ => {}
        }
        None
    }
}

/// What came of waiting for more.
#[derive(Debug)]
pub(super) enum Next {
    /// Messages; perhaps none, if only a comment came.
    Messages(Vec<Message>),
    /// The server ended the stream, the connection broke, or nothing came for too long.
    Lost(String),
}

/// An open stream.
pub(super) struct Stream {
    answer: reqwest::Response,
    parser: Parser,
}

impl Stream {
    pub(super) fn new(answer: reqwest::Response) -> Self {
        Self {
            answer,
            parser: Parser::default(),
        }
    }

    /// Waits for what comes next. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Next, ClientError> {
        let piece = match tokio::time::timeout(IDLE_TIMEOUT, self.answer.chunk()).await {
            Err(_) => return Ok(Next::Lost("nothing was heard for 30 s".to_owned())),
            Ok(Err(error)) => return Ok(Next::Lost(error.to_string())),
            Ok(Ok(None)) => return Ok(Next::Lost("the control plane ended it".to_owned())),
            Ok(Ok(Some(piece))) => piece,
        };
        match self.parser.push(&piece) {
            Ok(messages) => Ok(Next::Messages(messages)),
            Err(error) => Err(ClientError::NotOurs {
                url: self.answer.url().to_string(),
                what: error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = ": hello\n\nevent: line\r\ndata: {\"a\":1}\r\n\r\nid: 7\ndata: one\ndata:two\n\nretry: 5\n\nevent: end\ndata\n\n";

    fn expected() -> Vec<Message> {
        let message = |event: &str, data: &str, id: Option<&str>| Message {
            event: event.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        };
        vec![
            message("line", "{\"a\":1}", None),
            message("", "one\ntwo", Some("7")),
            message("end", "", None),
        ]
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut messages = Vec::new();
            for piece in cuts.windows(2) {
                messages.extend(parser.push(&STREAM.as_bytes()[piece[0]..piece[1]]).unwrap());
            }
            prop_assert_eq!(messages, expected());
        }
    }

    #[test]
    fn a_message_without_end_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..8).any(|_| parser.push(&piece).is_err());
        assert!(refused);
    }
}
