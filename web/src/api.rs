//! The public API as the console calls it: one GET for everything that is read, one POST for all commands, and the session.

use gloo_net::http::{Request, Response};
use gloo_timers::callback::Timeout;
use muster_schemas::api::{List, Problem, SessionView};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;

/// A request that has no answer after this time has none to come: the control plane answers from memory.
const PATIENCE_MILLIS: u32 = 15_000;

/// The most items that the API gives at once.
const PAGE: usize = 1000;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The control plane was not reached, or did not answer in time.
    Unreached,
    /// It wants a session.
    SignedOut,
    /// It says no, and why.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        problem: Problem,
    },
    /// Its answer makes no sense to this console.
    Unclear(String),
}

impl Trouble {
    /// What happened and what to do, for people.
    pub fn words(&self) -> (String, String) {
        match self {
            Trouble::Unreached => (
                "The control plane does not answer.".to_owned(),
                "Containers run on without it. The console tries again by itself.".to_owned(),
            ),
            Trouble::SignedOut => (
                "The session has ended.".to_owned(),
                "Sign in again with a token of this cell.".to_owned(),
            ),
            Trouble::Refused { problem, .. } => (problem.message.clone(), problem.hint.clone()),
            Trouble::Unclear(what) => (
                format!("The answer could not be read: {what}"),
                "Console and control plane may be of different versions: reload the page."
                    .to_owned(),
            ),
        }
    }

    /// Whether the thing asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Trouble::Refused { status: 404, .. })
    }
}

/// A request under way.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Trouble>>>>;

/// `GET /api/v1{path}`.
pub async fn get<T: DeserializeOwned>(path: &str) -> Result<T, Trouble> {
    let request = Request::get(&format!("/api/v1{path}"));
    send(request, |request| request.build()).await
}

/// `POST /api/v1{path}`. A key of its own keeps a command that is sent twice from being done twice.
pub async fn post<T: DeserializeOwned>(path: &str, body: &serde_json::Value) -> Result<T, Trouble> {
    let key = uuid::Uuid::now_v7().to_string();
    let request = Request::post(&format!("/api/v1{path}")).header("Idempotency-Key", &key);
    send(request, |request| request.json(body)).await
}

/// The first `want` items of a list, over as many pages as that takes.
pub async fn list<T: DeserializeOwned>(path: &str, want: usize) -> Result<List<T>, Trouble> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let limit = want.clamp(1, PAGE);
    let mut list: List<T> = get(&format!("{path}{joint}limit={limit}")).await?;
    while list.items.len() < want
        && let Some(cursor) = list.next.take()
    {
        let limit = (want - list.items.len()).min(PAGE);
        let cursor = crate::address::escape(&cursor);
        let more: List<T> = get(&format!("{path}{joint}limit={limit}&cursor={cursor}")).await?;
        if more.items.is_empty() {
            break;
        }
        list.items.extend(more.items);
        list.next = more.next;
        list.total = more.total;
    }
    Ok(list)
}

/// Gives the token for a session cookie.
pub async fn sign_in(token: &str) -> Result<SessionView, Trouble> {
    // What cannot stand in a header is no token, and would be an error of the request rather than an answer.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Trouble::Refused {
            status: 401,
            problem: Problem {
                code: "unauthorized".to_owned(),
                message: "That is not a token: a token is one word of letters, digits and signs."
                    .to_owned(),
                hint: "Copy it from the link that `muster up` prints.".to_owned(),
            },
        });
    }
    let request =
        Request::post("/api/v1/session").header("Authorization", &format!("Bearer {token}"));
    let signed_in = send(request, |request| request.build()).await;
    match signed_in {
        Err(Trouble::SignedOut) => Err(Trouble::Refused {
            status: 401,
            problem: Problem {
                code: "unauthorized".to_owned(),
                message: "This cell does not know that token.".to_owned(),
                hint: "Copy it again from the link that `muster up` prints, or from `MUSTER_TOKEN` in `$MUSTER_HOME/env`."
                    .to_owned(),
            },
        }),
        other => other,
    }
}

/// Ends the session.
pub async fn sign_out() -> Result<(), Trouble> {
    Request::delete("/api/v1/session")
        .send()
        .await
        .map(|_| ())
        .map_err(|_| Trouble::Unreached)
}

/// Why the API refuses a path whose answer is not JSON; none where it does not, or is not reached.
pub async fn refusal(path: &str) -> Option<String> {
    match get::<serde::de::IgnoredAny>(path).await {
        Err(Trouble::Refused { problem, .. }) => Some(problem.message),
        Ok(_) | Err(Trouble::Unreached | Trouble::SignedOut | Trouble::Unclear(_)) => None,
    }
}

async fn send<T: DeserializeOwned>(
    request: gloo_net::http::RequestBuilder,
    build: impl FnOnce(gloo_net::http::RequestBuilder) -> Result<Request, gloo_net::Error>,
) -> Result<T, Trouble> {
    let abort = web_sys::AbortController::new().map_err(|_| Trouble::Unreached)?;
    let request = build(request.abort_signal(Some(&abort.signal())))
        .map_err(|error| Trouble::Unclear(error.to_string()))?;
    let patience = Timeout::new(PATIENCE_MILLIS, move || abort.abort());
    let response = request.send().await.map_err(|_| Trouble::Unreached)?;
    let answer = read(response).await;
    drop(patience);
    answer
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Trouble> {
    let status = response.status();
    let body = response.text().await.map_err(|_| Trouble::Unreached)?;
    if response.ok() {
        return serde_json::from_str(&body).map_err(|error| Trouble::Unclear(error.to_string()));
    }
    if status == 401 {
        return Err(Trouble::SignedOut);
    }
    let problem = serde_json::from_str(&body).unwrap_or_else(|_| Problem {
        code: format!("http-{status}"),
        message: format!("The control plane answered with the status {status}."),
        hint: "Try again; if it stays so, look at the control plane's log.".to_owned(),
    });
    Err(Trouble::Refused { status, problem })
}
