//! What the API stands on: the cell behind it, who may ask, and what it remembers between requests.

use super::auth::{Sessions, Tokens};
use super::hooks::Hooks;
use super::idempotency::Replies;
use super::metrics;
use super::past::{PastFault, PastFleet};
use super::problem::Failure;
use axum::http::StatusCode;
use futures::future::BoxFuture;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use muster_core::decide::Command;
use muster_core::fleet::Fleet;
use muster_core::view::Serving;
use muster_schemas::api::{
    CommitAnswer, EnrolmentToken, List, PlanPreview, PlanRequest, RepositoryLook, TaskView,
};
use muster_schemas::event::Record;
use muster_schemas::ids::{AttemptId, HostId, JobId};
use muster_schemas::past::{AsOf, Moment};
use muster_schemas::state::{Actor, Usage};
use muster_schemas::wire::{LogEnd, LogLine};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

/// So many watches and log streams are open at once at most. A browser tab has two; each holds one connection and a page of
/// events, and 200 of them are more than a team has tabs.
pub const MAX_STREAMS: usize = 200;

/// What the API needs of the control plane. The control loop, the journal and the agents' hub are behind it.
pub trait Cell: Send + Sync + 'static {
    /// Looks at the fleet, once, under its read lock: `look` must be short and must not block.
    fn read(&self, look: &mut dyn FnMut(&Fleet));

    /// Each record once it is durable and applied, in order. Who lags reads on with [`Cell::records_after`].
    fn records(&self) -> broadcast::Receiver<Arc<Record>>;

    /// The journal's records after `after`, oldest first, at most `limit`.
    fn records_after(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Record>, String>>;

    /// The journal's records that match.
    fn find(&self, query: EventQuery) -> BoxFuture<'_, Result<Vec<Record>, String>>;

    /// Tasks that have left the fleet, last finished first.
    fn finished_tasks(
        &self,
        query: TaskHistoryQuery,
    ) -> BoxFuture<'_, Result<List<TaskView>, String>>;

    /// The journal's first and last record; none while there is none.
    fn reach(&self) -> BoxFuture<'_, Result<Option<(AsOf, AsOf)>, PastFault>>;

    /// The record that a moment comes down to.
    fn as_of(&self, moment: Moment) -> BoxFuture<'_, Result<AsOf, PastFault>>;

    /// The fleet of a moment, folded from the journal.
    fn past(&self, moment: Moment) -> BoxFuture<'_, Result<PastFleet, PastFault>>;

    /// Gives a command; answers with the journal's last sequence number once it is durable.
    fn command(&self, command: Command, actor: Actor) -> BoxFuture<'_, Result<u64, CommandFault>>;

    /// Works out a plan without doing any of it, for `by`.
    fn preview(
        &self,
        request: PlanRequest,
        by: String,
    ) -> BoxFuture<'_, Result<PlanPreview, PreviewFault>>;

    /// Commits what goes back to an earlier revision, all of it or one job's document, for `by`.
    fn roll_back(
        &self,
        to: String,
        job: Option<JobId>,
        reason: String,
        by: String,
    ) -> BoxFuture<'_, Result<CommitAnswer, CommandFault>>;

    /// Has the repository read now.
    fn refresh(&self);

    /// Has the repository read now, and answers what that found.
    fn refreshed(&self) -> BoxFuture<'_, RepositoryLook>;

    /// Makes a single-use token with which an agent enrols, for the person `by`.
    fn mint_token(&self, by: String) -> BoxFuture<'_, Result<EnrolmentToken, String>>;

    /// Opens an attempt's log on its host. The stream ends with [`LogMessage::End`]; dropping the receiver closes it.
    fn log(&self, query: LogQuery) -> BoxFuture<'_, Result<mpsc::Receiver<LogMessage>, LogFault>>;

    /// The readings of an attempt's container that are kept in memory, oldest first.
    fn usage(&self, attempt: AttemptId) -> Vec<Usage>;

    /// What the control plane knows of itself.
    fn info(&self) -> Serving;

    /// Why nothing may be changed, if the journal is not one to act on: then only reads are answered.
    fn frozen(&self) -> Option<String> {
        None
    }

    /// How the control plane is.
    fn health(&self) -> Health;
}

/// Which records of the journal are asked for: those that match all that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// About this job or its tasks.
    pub job: Option<String>,
    /// About this task or its attempts.
    pub task: Option<String>,
    /// About this attempt.
    pub attempt: Option<String>,
    /// About this host, by id, or an attempt on it.
    pub host: Option<String>,
    /// About this plan.
    pub plan: Option<String>,
    /// Of one of these kinds, such as `attempt_placed`; of all where empty.
    pub kinds: Vec<String>,
    /// Only records after this sequence number.
    pub after: Option<u64>,
    /// Only records before this sequence number.
    pub before: Option<u64>,
    /// Whether the newest come first, rather than the oldest.
    pub newest_first: bool,
    /// So many at most.
    pub limit: u32,
}

/// Which tasks of history are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskHistoryQuery {
    /// Only tasks of this job.
    pub job: Option<String>,
    /// Only the task with this id, of which there can be several one after another.
    pub task: Option<String>,
    /// Only tasks with one of these outcomes, such as `failed`; with any where empty.
    pub outcomes: Vec<String>,
    /// Only tasks with this in their id.
    pub contains: Option<String>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// So many at most.
    pub limit: u32,
}

/// Why a command was not done. Each carries a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandFault {
    /// What it is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// What it is about is in no state for it.
    #[error("{0}")]
    Conflict(String),
    /// It could not be made durable, or this control plane does not lead.
    #[error("{0}")]
    Unavailable(String),
    /// The journal is damaged: nothing may be changed.
    #[error("{0}")]
    Frozen(String),
}

impl From<CommandFault> for Failure {
    fn from(fault: CommandFault) -> Self {
        let (status, code, hint) = match &fault {
            CommandFault::NotFound(_) => (StatusCode::NOT_FOUND, "not-found", ""),
            CommandFault::Conflict(_) => (StatusCode::CONFLICT, "conflict", ""),
            CommandFault::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "nothing was done; try again, and read the control plane's log if it stays so",
            ),
            CommandFault::Frozen(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "journal-damaged",
                "nothing was done, and containers run on; restore the journal, then start the control plane again",
            ),
        };
        Failure::new(status, code, fault.to_string(), hint)
    }
}

/// Why a plan could not be worked out. Each carries a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreviewFault {
    /// There is no such revision.
    #[error("{0}")]
    NotFound(String),
    /// Too many are being worked out.
    #[error("more plans are asked for than are worked out at a time")]
    TooMany,
    /// The repository cannot be read, or something else failed.
    #[error("{0}")]
    Failed(String),
}

impl From<PreviewFault> for Failure {
    fn from(fault: PreviewFault) -> Self {
        let (status, code, hint) = match &fault {
            PreviewFault::NotFound(_) => (
                StatusCode::NOT_FOUND,
                "not-found",
                "name a commit, branch or tag of the repository that is followed",
            ),
            PreviewFault::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-previews",
                "ask again in a few seconds",
            ),
            PreviewFault::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", ""),
        };
        Failure::new(status, code, fault.to_string(), hint)
    }
}

/// Which log is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// The host that the attempt is on.
    pub host: HostId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Whether to go on with new lines as they come.
    pub follow: bool,
    /// At most so many of the last lines; none for all that the engine keeps.
    pub tail: Option<u32>,
    /// Only lines after this time.
    pub since: Option<Timestamp>,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogMessage {
    /// Lines, in order.
    Lines(Vec<LogLine>),
    /// No more will follow.
    End(LogEnd),
}

/// Why a log cannot be opened. Each carries a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The host's agent is not connected.
    #[error("{0}")]
    NotConnected(String),
    /// Something else failed.
    #[error("{0}")]
    Failed(String),
}

/// How the control plane is.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What is wrong with the journal, if something is.
    pub journal: Option<String>,
    /// How long ago the control loop last went round, in seconds.
    pub loop_silent_secs: f64,
}

/// What each request is answered with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The control plane.
    pub cell: Arc<dyn Cell>,
    /// Who may ask.
    pub tokens: Arc<Tokens>,
    /// The console's sessions.
    pub sessions: Arc<Sessions>,
    /// What commands with an idempotency key were answered.
    pub replies: Arc<Replies>,
    /// What forges send, and how they prove themselves.
    pub hooks: Arc<Hooks>,
    /// Whether the console is reached over TLS: its cookie is then sent over nothing else.
    pub secure_cookie: bool,
    /// The time.
    pub clock: fn() -> Timestamp,
    /// Ends the open streams.
    pub shutdown: CancellationToken,
    pub(super) streams: Arc<Semaphore>,
    pub(super) metrics: PrometheusHandle,
}

impl ApiState {
    /// An API over `cell` for the bearers of `tokens`.
    pub fn new(cell: Arc<dyn Cell>, tokens: Tokens, shutdown: CancellationToken) -> Self {
        Self {
            cell,
            tokens: Arc::new(tokens),
            sessions: Arc::new(Sessions::default()),
            replies: Arc::new(Replies::default()),
            hooks: Arc::new(Hooks::default()),
            secure_cookie: false,
            clock: Timestamp::now,
            shutdown,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            metrics: metrics::recorder(),
        }
    }

    /// Looks at the fleet and answers what `look` answers.
    pub fn read<R>(&self, look: impl FnOnce(&Fleet) -> R) -> R {
        let mut look = Some(look);
        let mut answer = None;
        self.cell.read(&mut |fleet| {
            if let Some(look) = look.take() {
                answer = Some(look(fleet));
            }
        });
        answer.expect("a cell looks at its fleet when it is asked to")
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// A place among the open streams; it is free again when the permit is dropped.
    pub fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-streams",
                format!("{MAX_STREAMS} watches and log streams are open already"),
                "close some, or try again later",
            )
        })
    }
}
