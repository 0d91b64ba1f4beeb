//! One WebSocket to the control plane.

use super::failure::{self, with_causes};
use super::{Identity, LinkError};
use crate::hosts::{PING_EVERY, SILENCE};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use muster_schemas::wire::{FromAgent, MAX_FRAME_BYTES, ToAgent};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

/// TCP, TLS and the upgrade together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A frame that cannot be sent in this time has met a dead peer. The largest frame at a modest 10 Mbit/s takes 27 s.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The agent's loop has gone.
    LoopGone,
    /// The connection is lost, for this reason.
    Lost(String),
}

/// Opens the WebSocket as `identity`.
pub(super) async fn open(identity: &Identity) -> Result<Socket, LinkError> {
    let url = identity.url();
    let address = format!(
        "wss://{}/agent/v1/connect",
        url.trim_start_matches("https://")
    );
    let tls = Connector::Rustls(Arc::new(identity.tls()?));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let opening =
        tokio_tungstenite::connect_async_tls_with_config(address, Some(config), true, Some(tls));
    match timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => {
            let body = answer.body().as_deref().unwrap_or_default();
            Err(failure::of_answer(url, answer.status().as_u16(), body))
        }
        Ok(Err(error)) => Err(failure::of_connecting(url, &error)),
        Err(_) => Err(LinkError::Unreachable {
            url: url.to_owned(),
            why: format!("it did not answer within {} s", OPEN_TIMEOUT.as_secs()),
        }),
    }
}

/// Carries frames both ways until the connection is lost.
pub(super) async fn converse(
    socket: Socket,
    out: &mut mpsc::Receiver<FromAgent>,
    inn: &mpsc::Sender<ToAgent>,
) -> Ended {
    let (mut sink, mut stream) = socket.split();

    let reading = async {
        loop {
            // The silence is counted from here: while the agent's loop is busy with a frame, it is us who do not listen.
            let Ok(next) = timeout(SILENCE, stream.next()).await else {
                return Ended::Lost(format!("nothing was heard for {} s", SILENCE.as_secs()));
            };
            match next {
                None => return Ended::Lost("the connection was cut".to_owned()),
                Some(Err(error)) => return Ended::Lost(with_causes(&error)),
                Some(Ok(Message::Text(text))) => match serde_json::from_str::<ToAgent>(&text) {
                    Ok(frame) => {
                        if inn.send(frame).await.is_err() {
                            return Ended::LoopGone;
                        }
                    }
                    Err(error) => {
                        return Ended::Lost(format!(
                            "the control plane sent a frame that is not readable: {error}"
                        ));
                    }
                },
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Ended::Lost(format!(
                        "the control plane closed the connection: {} ({})",
                        frame.reason, frame.code
                    ));
                }
                Some(Ok(Message::Close(None))) => {
                    return Ended::Lost("the control plane closed the connection".to_owned());
                }
                Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                )) => {}
            }
        }
    };

    let writing = async {
        let mut greeted = false;
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                frame = out.recv() => match frame {
                    None => return Ended::LoopGone,
                    Some(frame) => match next_frame(frame, &mut greeted) {
                        None => continue,
                        Some(frame) => match encode(&frame) {
                            None => continue,
                            Some(message) => message,
                        },
                    },
                },
                _ = pings.tick() => Message::Ping(Bytes::new()),
            };
            match timeout(SEND_TIMEOUT, sink.send(message)).await {
                Ok(Ok(())) => {}
                // The reader often knows better why (a close frame), but only if it has not been read yet.
                Ok(Err(error)) => return Ended::Lost(with_causes(&error)),
                Err(_) => return Ended::Lost("a frame could not be sent in time".to_owned()),
            }
        }
    };

    tokio::select! {
        biased;
        ended = reading => ended,
        ended = writing => ended,
    }
}

/// What of the loop's frames goes on the wire. A connection begins with one hello. Frames before it are of an older
/// connection; a second one is the answer to an older connection that the loop learned of late, and carries facts only.
fn next_frame(frame: FromAgent, greeted: &mut bool) -> Option<FromAgent> {
    match frame {
        FromAgent::Hello { facts, .. } if *greeted => Some(FromAgent::Facts { facts }),
        FromAgent::Hello { .. } => {
            *greeted = true;
            Some(frame)
        }
        FromAgent::Report(_)
        | FromAgent::Facts { .. }
        | FromAgent::Usage { .. }
        | FromAgent::Log { .. }
        | FromAgent::Fenced { .. } => greeted.then_some(frame),
    }
}

fn encode(frame: &FromAgent) -> Option<Message> {
    match serde_json::to_string(frame) {
        Ok(text) if text.len() <= MAX_FRAME_BYTES => Some(Message::text(text)),
        Ok(text) => {
            tracing::error!(
                bytes = text.len(),
                "a frame is larger than the control plane would take, and is not sent"
            );
            None
        }
        Err(error) => {
            tracing::error!(%error, "a frame could not be written");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_schemas::state::{HostFacts, HostResources};
    use muster_schemas::wire::Fence;
    use std::collections::BTreeMap;

    fn hello() -> FromAgent {
        let facts = HostFacts {
            name: "a".to_owned(),
            address: String::new(),
            zone: String::new(),
            labels: BTreeMap::new(),
            resources: HostResources::default(),
            engine: String::new(),
            system: String::new(),
            agent_version: String::new(),
            warnings: Vec::new(),
            not_ready: None,
        };
        FromAgent::Hello {
            facts: Box::new(facts),
            fence: Fence::default(),
        }
    }

    #[test]
    fn a_connection_carries_one_hello_and_nothing_before_it() {
        let usage = FromAgent::Usage {
            readings: Vec::new(),
        };
        let mut greeted = false;
        assert_eq!(next_frame(usage.clone(), &mut greeted), None);
        assert_eq!(next_frame(hello(), &mut greeted), Some(hello()));
        assert_eq!(next_frame(usage.clone(), &mut greeted), Some(usage));
        assert!(matches!(
            next_frame(hello(), &mut greeted),
            Some(FromAgent::Facts { .. })
        ));
    }
}
