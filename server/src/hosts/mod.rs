//! The control plane's side of its agents: their certificates, connections, logs and usage.
//!
//! Agents dial in. [`Hub::serve`] listens with TLS and knows three routes: an agent enrols with a single-use token and gets a
//! certificate; it renews that certificate; and it opens the WebSocket over which everything else goes. What an agent says
//! goes to the [`Control`] in the order in which it came; what the control plane wants of the host is a watched value, and
//! each change of it goes out at once.
//!
//! This room decides nothing about containers and keeps nothing about them: a host that is not connected is only that.
//!
//! Read in this order: `authority` (who may speak), `token` (how one gets in), `tls`, `routes`, `session` (one connection),
//! `logs`, `usage`.

mod authority;
mod logs;
pub(crate) mod private_file;
mod routes;
mod session;
pub(crate) mod tls;
pub(crate) mod token;
mod usage;

pub(crate) use authority::fingerprint;
pub use authority::{
    Authority, AuthorityError, AuthoritySettings, HostCertificate, HostIdentity,
    LONGEST_HOST_LIFETIME, identify,
};
pub use logs::{LogError, LogMessage, MAX_STREAMS_PER_HOST};
pub use token::{
    EnrolmentToken, MAX_OPEN_TOKENS, MintError, NotAToken, TOKEN_LIFETIME, TokenParts,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use logs::{LogRequest, Streams};
use muster_schemas::ids::{AttemptId, CellName, HostId};
use muster_schemas::state::{HostFacts, Usage};
use muster_schemas::wire::{Assignments, Fence, Report};
use session::Live;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use token::{TokenRefusal, Tokens};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Either end sends a ping this often.
pub const PING_EVERY: Duration = Duration::from_secs(3);

/// A connection on which nothing is heard for so long is dead: three pings were lost.
pub const SILENCE: Duration = Duration::from_secs(10);

/// The close code with which a session is refused by the control loop; the reason says why.
pub const CLOSE_REFUSED: u16 = 4403;
/// The close code of a session that a newer one of the same host replaced.
pub const CLOSE_REPLACED: u16 = 4409;
/// The close code for a frame that cannot be understood, or comes out of turn.
pub const CLOSE_BAD_FRAME: u16 = 4400;
/// The close code for a peer that was silent for [`SILENCE`].
pub const CLOSE_SILENT: u16 = 4408;
/// The close code of a control plane that ends.
pub const CLOSE_GOING_AWAY: u16 = 1001;

/// What the hub needs of the control loop.
pub trait Control: Send + Sync + 'static {
    /// A new host asks in under `name`. It is durable when this answers with the host's id.
    ///
    /// # Errors
    /// One sentence on why not, for the person at the new host.
    fn enrol(&self, name: String) -> BoxFuture<'_, Result<HostId, String>>;

    /// Whether the host has enrolled and has not been removed since. A host that is not known may neither connect nor renew.
    fn knows(&self, host: HostId) -> bool;

    /// A host's agent has connected. The hub sends the current value and each new one; the session ends when the sender is
    /// dropped.
    ///
    /// # Errors
    /// One sentence on why the session is refused, for the agent's log. It tries again.
    fn connected(
        &self,
        host: HostId,
        facts: HostFacts,
        fence: Fence,
    ) -> BoxFuture<'_, Result<watch::Receiver<Option<Arc<Assignments>>>, String>>;

    /// A host reports. The next report of the host waits until this is done.
    fn reported(&self, host: HostId, report: Report) -> BoxFuture<'_, ()>;

    /// A host's facts have changed.
    fn facts(&self, host: HostId, facts: HostFacts) -> BoxFuture<'_, ()>;

    /// A frame of any kind came: the host is reachable.
    fn heard(&self, host: HostId);

    /// The host's connection has ended and no newer one has replaced it. It is not called when the control plane itself ends.
    fn disconnected(&self, host: HostId) -> BoxFuture<'_, ()>;

    /// The agent refuses this control plane's assignments: it has heard a newer fence. Either another control plane leads,
    /// or this one runs on an old copy of its store. The session ends, and the host greets anew.
    fn fenced(&self, host: HostId, got: Fence, highest: Fence) -> BoxFuture<'_, ()> {
        let _ = (host, got, highest);
        Box::pin(std::future::ready(()))
    }
}

/// The control plane's side of all agents. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    control: Arc<dyn Control>,
    authority: Authority,
    cell: CellName,
    tokens: tokio::sync::Mutex<Tokens>,
    live: Mutex<HashMap<HostId, Arc<Live>>>,
    /// Held while a host's session begins or ends, so that the control loop hears of a host's connections in one order.
    /// There is one for each host that ever connected to this process; the control plane knows all of these hosts.
    turns: Mutex<HashMap<HostId, Arc<tokio::sync::Mutex<()>>>>,
    usage: Mutex<usage::UsageRings>,
    next_stream: AtomicU64,
    next_session: AtomicU64,
    sessions: TaskTracker,
    /// Ends all sessions.
    shutdown: CancellationToken,
}

impl Hub {
    /// A hub that reports to `control` and vouches with `authority`. It does nothing until it serves.
    pub fn new(control: Arc<dyn Control>, authority: Authority, cell: CellName) -> Self {
        metrics::describe_gauge!(
            "muster_agent_connections",
            "Agents that are connected to this control plane."
        );
        metrics::describe_counter!(
            "muster_agent_frames_total",
            "Frames that agents and this control plane have sent each other, by direction."
        );
        let tokens = Tokens::open(authority.directory());
        Self(Arc::new(Inner {
            control,
            authority,
            cell,
            tokens: tokio::sync::Mutex::new(tokens),
            live: Mutex::default(),
            turns: Mutex::default(),
            usage: Mutex::new(usage::UsageRings::new(Instant::now())),
            next_stream: AtomicU64::new(1),
            next_session: AtomicU64::new(1),
            sessions: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }))
    }

    /// Listens on `listen` until `shutdown`, then closes all sessions.
    ///
    /// # Errors
    /// The address is taken, or a name for the certificate is not one.
    pub async fn serve(
        self,
        listen: SocketAddr,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        use anyhow::Context as _;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("agents cannot be listened for on {listen}"))?;
        self.serve_on(listener, shutdown).await
    }

    /// Like [`Hub::serve`], on a listener that is there already.
    ///
    /// # Errors
    /// A name for the certificate is not one, or the listener fails.
    pub async fn serve_on(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        routes::serve(self, listener, shutdown).await
    }

    /// Mints a token with which one agent can enrol. `by` is who asked for it, for the log.
    ///
    /// # Errors
    /// [`MAX_OPEN_TOKENS`] are open, or it could not be kept.
    pub async fn mint_token(&self, by: &str) -> Result<EnrolmentToken, MintError> {
        let fingerprint = self.0.authority.fingerprint();
        let token = self
            .0
            .tokens
            .lock()
            .await
            .mint(fingerprint, Timestamp::now())?;
        tracing::info!(by, expires_at = %token.expires_at, "minted an enrolment token");
        Ok(token)
    }

    /// Reads an attempt's log from its host. The stream ends when the receiver is dropped.
    ///
    /// # Errors
    /// The host is not connected, or too many of its logs are being read.
    pub async fn log(
        &self,
        host: HostId,
        attempt: AttemptId,
        follow: bool,
        tail: Option<u32>,
        since: Option<Timestamp>,
    ) -> Result<mpsc::Receiver<LogMessage>, LogError> {
        let streams = self
            .live()
            .get(&host)
            .map(|live| live.streams.clone())
            .ok_or(LogError::NotConnected { host })?;
        let number = self.0.next_stream.fetch_add(1, Ordering::Relaxed);
        let request = LogRequest {
            attempt,
            follow,
            tail,
            since,
        };
        Streams::open(&streams, number, request).await
    }

    /// What an attempt used in the last ten minutes, oldest first; empty if nothing is known.
    pub fn usage(&self, attempt: AttemptId) -> Vec<Usage> {
        self.usage_rings().of(attempt, Instant::now())
    }

    /// The hosts whose agents are connected now, in the order of their ids.
    pub fn connected_hosts(&self) -> Vec<HostId> {
        let mut hosts: Vec<HostId> = self.live().keys().copied().collect();
        hosts.sort_unstable();
        hosts
    }

    fn live(&self) -> MutexGuard<'_, HashMap<HostId, Arc<Live>>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usage_rings(&self) -> MutexGuard<'_, usage::UsageRings> {
        self.0.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, host: HostId) -> Arc<tokio::sync::Mutex<()>> {
        self.0
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(host)
            .or_default()
            .clone()
    }
}
