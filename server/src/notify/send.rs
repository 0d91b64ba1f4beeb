//! Requests that are sent: within bounds of time and size, without following redirects, and again where that may help.

use super::secret::Secret;
use backon::{ExponentialBuilder, Retryable as _};
use futures::StreamExt as _;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url, redirect};
use std::time::Duration;

/// A receiver that cannot be connected to within this is not there.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A receiver answers before it works; Slack and the forges do so within a second.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// What is read of an answer: the id of a comment stands in its first kilobytes.
const ANSWER_BYTES: usize = 256 << 10;

/// What is told of an answer that says no.
const SAID_CHARS: usize = 200;

/// A receiver that asks for a longer pause than this is asked sooner.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(600);

/// How a request is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The pause before the second try; each is up to twice as long as it says, by chance.
    pub first: Duration,
    /// The longest pause: what a receiver that comes back waits for at most.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
        }
    }
}

impl Pace {
    fn backoff(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_jitter()
            .without_max_times()
    }
}

/// A request. It has no `Debug`: its address, headers and body may hold secrets.
#[derive(Clone)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url, content_type: &str, body: Vec<u8>) -> Self {
        let request = Self {
            method,
            url,
            headers: HeaderMap::new(),
            body,
        };
        request.header("content-type", content_type)
    }

    pub(super) fn json(method: Method, url: Url, body: &serde_json::Value) -> Self {
        Self::new(
            method,
            url,
            "application/json",
            body.to_string().into_bytes(),
        )
    }

    /// With a header. A value that no header can have is left out: names of cells and kinds of events can be one.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With a header that is not shown in logs.
    pub(super) fn secret_header(mut self, name: &str, before: &str, secret: &Secret) -> Self {
        let value = format!("{before}{}", secret.expose());
        if let (Ok(name), Ok(mut value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }
}

/// Why a request was not taken. It names no address, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// It may be taken later.
    #[error("{why}")]
    Passing {
        /// What happened.
        why: String,
        /// The pause that the receiver asks for.
        after: Option<Duration>,
        /// The answer's status, where there was one.
        status: Option<StatusCode>,
    },
    /// It is never taken as it is.
    #[error("{why}")]
    Final {
        /// What happened.
        why: String,
    },
}

/// What sends. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    http: reqwest::Client,
    pace: Pace,
}

impl Sender {
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(pace: Pace) -> Result<Self, reqwest::Error> {
        // It may have been installed by another room; then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
            // What the operator wrote is where it goes: an answer does not lead elsewhere.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, pace })
    }

    /// Sends a request until it is taken or never will be, with pauses that grow; no more once `deadline` has passed.
    pub(super) async fn persist(
        &self,
        request: &Request,
        deadline: Timestamp,
        name: &str,
    ) -> Result<Vec<u8>, SendError> {
        (|| self.once(request))
            .retry(self.pace.backoff())
            .when(|error| match error {
                SendError::Passing { .. } => Timestamp::now() < deadline,
                SendError::Final { .. } => false,
            })
            .adjust(|error, pause| match error {
                SendError::Passing {
                    after: Some(after), ..
                } => pause.map(|pause| pause.max(*after)),
                SendError::Passing { after: None, .. } | SendError::Final { .. } => pause,
            })
            .notify(|error, pause| {
                tracing::warn!(name, %error, pause_secs = pause.as_secs_f64(), "a notification is sent again after a pause");
            })
            .await
    }

    /// Sends a request once, and gives the body of the answer.
    pub(super) async fn once(&self, request: &Request) -> Result<Vec<u8>, SendError> {
        let passing = |error: reqwest::Error| SendError::Passing {
            why: in_words(error),
            after: None,
            status: None,
        };
        let answer = self
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await
            .map_err(passing)?;
        let status = answer.status();
        let after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(|secs| Duration::from_secs(secs).min(LONGEST_ASKED_PAUSE));
        let mut body = Vec::new();
        let mut parts = answer.bytes_stream();
        while body.len() < ANSWER_BYTES
            && let Some(part) = parts.next().await
        {
            // The status has come: what cannot be read after it changes nothing about that.
            let Ok(part) = part else { break };
            body.extend_from_slice(&part);
        }
        body.truncate(ANSWER_BYTES);
        if status.is_success() {
            return Ok(body);
        }
        let why = format!("the answer is {status}{}", said(&body));
        Err(if is_final(status) {
            SendError::Final { why }
        } else {
            SendError::Passing {
                why,
                after,
                status: Some(status),
            }
        })
    }
}

/// Whether a status is about what was sent, rather than about what the receiver or its operator can still mend.
fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::URI_TOO_LONG
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

fn said(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&body[..body.len().min(SAID_CHARS * 4)])
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(SAID_CHARS)
        .collect();
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// The innermost cause, without the address.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "there was no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_mend_is_given_up() {
        for status in [400, 406, 413, 414, 415, 422] {
            assert!(is_final(StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for status in [
            301, 302, 401, 403, 404, 408, 409, 410, 425, 429, 500, 502, 503, 504,
        ] {
            assert!(!is_final(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }

    #[test]
    fn an_answer_cannot_steer_a_terminal() {
        assert_eq!(said(b""), "");
        assert_eq!(said(b" no\x1b[31m\n"), ": no [31m");
        assert_eq!(said("ä".repeat(5_000).as_bytes()).chars().count(), 202);
    }
}
