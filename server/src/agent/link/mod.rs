//! The host's end of the connection to the control plane.
//!
//! [`Identity::enrol`] turns a single-use token into a certificate; [`run`] keeps one WebSocket open, for ever: it reconnects
//! with growing, jittered pauses, and renews the certificate at half of its life. It never touches a container. While there
//! is no connection, containers run on and this room only tries again.

mod connection;
mod failure;
mod identity;
mod renewal;
mod trust;

pub use identity::{Identity, enrol};

use connection::Ended;
use muster_schemas::wire::{FromAgent, ToAgent};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the agent's loop knows of the connection. Each change of the watched value that reads `Up` is a new connection, on
/// which the loop sends [`FromAgent::Hello`] and then a complete report; frames of before were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// There is no connection; it is tried again soon.
    Down {
        /// Why, in one sentence.
        why: String,
    },
    /// The control plane does not want this host (any more). It is tried again slowly; a person has to look.
    Refused {
        /// Why, in one sentence.
        why: String,
    },
    /// There is a connection, and it waits for the hello.
    Up,
}

/// How long the link waits for what.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// The longest pause after the first failure; it doubles with each further one. The pause is drawn evenly from nothing
    /// to that, so that the hosts of a cell do not come back all at once.
    pub first_pause: Duration,
    /// The longest pause after many failures.
    pub longest_pause: Duration,
    /// The pause after the control plane has refused the host.
    pub refused_pause: Duration,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            refused_pause: Duration::from_secs(60),
        }
    }
}

/// A connection that lasted so long was a good one: the next failure counts as the first again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// What went wrong on the host's end of the link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The token is not one.
    #[error(transparent)]
    Token(#[from] crate::hosts::NotAToken),
    /// The control plane's address is not one.
    #[error(
        "`{url}` is not the address of a control plane; one looks like `https://10.0.0.1:7401`"
    )]
    Address {
        /// What was given.
        url: String,
    },
    /// The host has enrolled before.
    #[error(
        "this host has enrolled already ({path}); to enrol it as a new host, stop the agent and remove that file"
    )]
    AlreadyEnrolled {
        /// The identity's file.
        path: PathBuf,
    },
    /// The host has not enrolled.
    #[error(
        "this host has not enrolled: there is no {path}; start the agent with `--join TOKEN URL` once"
    )]
    NotEnrolled {
        /// The identity's file.
        path: PathBuf,
    },
    /// The identity's file cannot be read or written.
    #[error("the host's identity {path} could not be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The identity's file is not what was written there.
    #[error(
        "the host's identity {path} is damaged ({problem}); restore it, or remove it and enrol the host again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The control plane could not be reached, or did not prove that it is the right one.
    #[error("the control plane at {url} could not be reached: {why}")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        why: String,
    },
    /// The control plane said no.
    #[error("the control plane refused: {message}{}{hint}", if hint.is_empty() { "" } else { "; " })]
    Refused {
        /// A stable word.
        code: String,
        /// Why.
        message: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// The control plane's answer makes no sense.
    #[error("the control plane at {url} answered with something else than expected: {why}")]
    Answer {
        /// Its address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A key or a TLS configuration could not be made.
    #[error("a key or certificate could not be used: {0}")]
    Cryptography(String),
}

impl LinkError {
    /// Whether trying again will not help until a person has done something.
    pub fn is_refusal(&self) -> bool {
        match self {
            // 4xx other than these are about the request; the control plane may well take the next one.
            LinkError::Refused { code, .. } => {
                matches!(
                    code.as_str(),
                    "unknown-host" | "other-cell" | "not-a-host" | "no-certificate" | "foreign"
                )
            }
            LinkError::Token(_)
            | LinkError::Address { .. }
            | LinkError::AlreadyEnrolled { .. }
            | LinkError::NotEnrolled { .. }
            | LinkError::File { .. }
            | LinkError::Damaged { .. }
            | LinkError::Unreachable { .. }
            | LinkError::Answer { .. }
            | LinkError::Cryptography(_) => false,
        }
    }
}

/// Keeps the host connected until `shutdown`, or until the agent's loop drops its end of `out` or `inn`.
///
/// Frames that come on `out` while there is no connection are dropped: on each new one the loop says everything again.
pub async fn run(
    identity: Identity,
    out: mpsc::Receiver<FromAgent>,
    inn: mpsc::Sender<ToAgent>,
    state: watch::Sender<LinkState>,
    shutdown: CancellationToken,
) {
    run_with(LinkSettings::default(), identity, out, inn, state, shutdown).await;
}

/// Like [`run`], with other pauses.
pub async fn run_with(
    settings: LinkSettings,
    identity: Identity,
    out: mpsc::Receiver<FromAgent>,
    inn: mpsc::Sender<ToAgent>,
    state: watch::Sender<LinkState>,
    shutdown: CancellationToken,
) {
    let (renewed, current) = watch::channel(identity);
    tokio::select! {
        () = stay_connected(&settings, current, out, inn, state) => {}
        () = renewal::stay_valid(&settings, renewed) => {}
        () = shutdown.cancelled() => {}
    }
}

async fn stay_connected(
    settings: &LinkSettings,
    identity: watch::Receiver<Identity>,
    mut out: mpsc::Receiver<FromAgent>,
    inn: mpsc::Sender<ToAgent>,
    state: watch::Sender<LinkState>,
) {
    let mut failures: u32 = 0;
    loop {
        let newest = identity.borrow().clone();
        let began = Instant::now();
        let opened = tokio::select! {
            opened = connection::open(&newest) => opened,
            () = drop_frames(&mut out) => return,
        };
        let error = match opened {
            Ok(socket) => {
                // What the loop said before it knew of this connection would only confuse.
                while out.try_recv().is_ok() {}
                tracing::info!(url = newest.url(), host = %newest.host(), "connected to the control plane");
                state.send_replace(LinkState::Up);
                let opened_at = Instant::now();
                match connection::converse(socket, &mut out, &inn).await {
                    Ended::LoopGone => return,
                    Ended::Lost(why) => {
                        if opened_at.elapsed() >= GOOD_CONNECTION {
                            failures = 0;
                        }
                        LinkError::Unreachable {
                            url: newest.url().to_owned(),
                            why,
                        }
                    }
                }
            }
            Err(error) => error,
        };
        failures = failures.saturating_add(1);
        let why = error.to_string();
        let pause = if error.is_refusal() {
            tracing::error!(
                why,
                retry_in_secs = settings.refused_pause.as_secs(),
                "the control plane does not want this host; its containers run on, but somebody has to look"
            );
            state.send_replace(LinkState::Refused { why });
            settings.refused_pause
        } else {
            let pause = pause_after(settings, failures, rand::random());
            tracing::warn!(
                why,
                failures,
                tried_for_ms = began.elapsed().as_millis(),
                retry_in_ms = pause.as_millis(),
                "not connected to the control plane"
            );
            state.send_replace(LinkState::Down { why });
            pause
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = drop_frames(&mut out) => return,
        }
    }
}

/// Keeps the loop from waiting on a full queue while nobody is connected. Ends when the loop is gone.
async fn drop_frames(out: &mut mpsc::Receiver<FromAgent>) {
    while out.recv().await.is_some() {}
}

/// The pause after so many failures in a row, for a `draw` from 0 to 1.
fn pause_after(settings: &LinkSettings, failures: u32, draw: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let most = settings
        .first_pause
        .saturating_mul(1 << doublings)
        .min(settings.longest_pause);
    most.mul_f64(draw.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let settings = LinkSettings::default();
        let longest = |failures| pause_after(&settings, failures, 1.0).as_millis();
        assert_eq!(
            [1, 2, 3, 6, 7, 1000, u32::MAX].map(longest),
            [200, 400, 800, 6400, 10_000, 10_000, 10_000]
        );
        assert_eq!(pause_after(&settings, 5, 0.0), Duration::ZERO);
    }

    #[test]
    fn what_the_control_plane_refuses_is_said_with_its_hint() {
        let refused = |hint: &str| LinkError::Refused {
            code: "unknown-host".to_owned(),
            message: "host 1 is not known".to_owned(),
            hint: hint.to_owned(),
        };
        insta::assert_snapshot!(refused("enrol it"), @"the control plane refused: host 1 is not known; enrol it");
        insta::assert_snapshot!(refused(""), @"the control plane refused: host 1 is not known");
        assert!(refused("").is_refusal());
    }
}
