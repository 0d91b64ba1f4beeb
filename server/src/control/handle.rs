//! What the rest of the process holds of the control loop.

use super::past::Past;
use crate::git::Followed;
use crate::journal::Journal;
use jiff::Timestamp;
use muster_core::assign::assignments;
use muster_core::decide::{Answer, Command, Input, Refusal};
use muster_core::fleet::Fleet;
use muster_schemas::event::Record;
use muster_schemas::ids::HostId;
use muster_schemas::state::Actor;
use muster_schemas::wire::Assignments;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot, watch};

/// So many inputs may wait for the loop; beyond that the senders wait.
pub(super) const INPUTS: usize = 1024;

/// So many plans are worked out at a time, of those that somebody only looks at: each has a copy of the fleet and a reading of the
/// repository in memory, and takes a processor for as long as it is worked out.
const PREVIEWS: usize = 4;

/// So many heads of pull requests are fetched at a time, into a mirror that they share. They take no place of a preview: a slow
/// forge keeps nobody's `muster plan` waiting.
const PULLS: usize = 1;

/// So many records a watcher may lag behind before it has to read on from the journal.
const WATCH_BUFFER: usize = 4096;

/// What does not change while the control plane runs.
#[derive(Debug, Clone)]
pub struct ServeInfo {
    /// The cell's name.
    pub cell: String,
    /// The control plane's version.
    pub version: String,
    /// When this process started to lead.
    pub started_at: Timestamp,
    /// The repository's address.
    pub repository: String,
    /// The branch that is followed.
    pub branch: String,
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal is damaged, so nothing is decided.
    #[error(
        "nothing is done while the journal is damaged: {0}; then start the control plane again"
    )]
    Frozen(String),
    /// The control loop has ended; the process is about to.
    #[error("the control plane is shutting down; try again in a moment")]
    Ended,
}

/// Who waits for an answer: it comes with the journal's sequence number once all that it led to is durable.
pub(super) type Waiting = oneshot::Sender<Result<(Answer, u64), Refusal>>;

pub(super) struct Message {
    pub(super) input: Input,
    pub(super) answer: Option<Waiting>,
}

/// The way to the control loop, and what it shows. Cheap to clone.
#[derive(Clone)]
pub struct ControlHandle {
    pub(super) shared: Arc<Shared>,
}

type AssignmentsSender = watch::Sender<Option<Arc<Assignments>>>;

pub(super) struct Shared {
    pub(super) fleet: RwLock<Fleet>,
    pub(super) inputs: mpsc::Sender<Message>,
    pub(super) records: broadcast::Sender<Arc<Record>>,
    pub(super) journal: Journal,
    pub(super) past: Past,
    pub(super) info: ServeInfo,
    pub(super) assignments: Mutex<BTreeMap<HostId, AssignmentsSender>>,
    pub(super) heard: Mutex<BTreeMap<HostId, Instant>>,
    pub(super) followed: watch::Sender<Followed>,
    pub(super) refresh: Arc<Notify>,
    pub(super) beat: Mutex<Instant>,
    /// What a check of the whole journal found wrong.
    pub(super) journal_trouble: Mutex<Option<String>>,
    /// The plans that are worked out at a time.
    pub(super) previews: Arc<Semaphore>,
    /// Places for heads of pull requests that are being fetched.
    pub(super) pulls: Arc<Semaphore>,
    /// Why nothing is decided: the journal is not as it was written. There is no loop then.
    pub(super) frozen: Option<String>,
}

/// What a fleet follows.
pub(super) fn followed(fleet: &Fleet) -> Followed {
    Followed {
        applied: fleet
            .revision
            .as_ref()
            .map(|revision| revision.commit.clone()),
        signatures: fleet
            .policy
            .as_ref()
            .and_then(|policy| policy.signatures.clone()),
    }
}

impl ControlHandle {
    pub(super) fn new(
        fleet: Fleet,
        journal: Journal,
        info: ServeInfo,
    ) -> (Self, mpsc::Receiver<Message>) {
        Self::over(fleet, journal, info, None)
    }

    /// A handle of no loop: what it shows stays as it is, and nothing is taken.
    pub(super) fn frozen(fleet: Fleet, journal: Journal, info: ServeInfo, why: String) -> Self {
        Self::over(fleet, journal, info, Some(why)).0
    }

    fn over(
        fleet: Fleet,
        journal: Journal,
        info: ServeInfo,
        frozen: Option<String>,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (inputs, received) = mpsc::channel(INPUTS);
        let followed = watch::Sender::new(followed(&fleet));
        let shared = Shared {
            fleet: RwLock::new(fleet),
            inputs,
            records: broadcast::Sender::new(WATCH_BUFFER),
            past: Past::new(journal.clone()),
            journal,
            info,
            assignments: Mutex::default(),
            heard: Mutex::default(),
            followed,
            refresh: Arc::new(Notify::new()),
            beat: Mutex::new(Instant::now()),
            journal_trouble: Mutex::default(),
            previews: Arc::new(Semaphore::new(PREVIEWS)),
            pulls: Arc::new(Semaphore::new(PULLS)),
            frozen,
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            received,
        )
    }

    /// Looks at the fleet. The loop waits meanwhile, so the look must be short and must not block.
    pub fn read<R>(&self, look: impl FnOnce(&Fleet) -> R) -> R {
        look(
            &self
                .shared
                .fleet
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Gives an input to the loop and waits until what follows from it is durable. Answers the journal's sequence number
    /// then.
    ///
    /// # Errors
    ///
    /// The core's refusal, or that the loop has ended.
    pub async fn take(&self, input: Input) -> Result<(Answer, u64), CommandError> {
        if let Some(why) = &self.shared.frozen {
            return Err(CommandError::Frozen(why.clone()));
        }
        let (answer, answered) = oneshot::channel();
        let message = Message {
            input,
            answer: Some(answer),
        };
        self.shared
            .inputs
            .send(message)
            .await
            .map_err(|_| CommandError::Ended)?;
        Ok(answered.await.map_err(|_| CommandError::Ended)??)
    }

    /// Carries out a person's command; answers the journal's sequence number once it is durable.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub async fn command(&self, command: Command, actor: Actor) -> Result<u64, CommandError> {
        self.take(Input::Command { actor, command })
            .await
            .map(|(_, seq)| seq)
    }

    /// Durable records as they come. A receiver that lags reads on from the journal.
    pub fn records(&self) -> broadcast::Receiver<Arc<Record>> {
        self.shared.records.subscribe()
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// The fleet as it was.
    pub fn past(&self) -> &Past {
        &self.shared.past
    }

    /// Why nothing is decided, if the journal was not one to act on when this process started.
    pub fn why_frozen(&self) -> Option<&str> {
        self.shared.frozen.as_deref()
    }

    /// What is wrong with the journal, if it was not one to act on, or the check of all of it found something.
    pub fn journal_trouble(&self) -> Option<String> {
        if let Some(why) = self.why_frozen() {
            return Some(format!(
                "this control plane is frozen and only shows what it could read: {why}; then start the control plane again"
            ));
        }
        self.shared
            .journal_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Wakes the reading of the repository.
    pub fn refresh(&self) {
        self.shared.refresh.notify_one();
    }

    /// What is woken by [`Self::refresh`].
    pub fn refreshes(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.refresh)
    }

    /// The applied revision's commit, and the signatures that its policy asks of the next, as they change.
    pub fn followed(&self) -> watch::Receiver<Followed> {
        self.shared.followed.subscribe()
    }

    /// What does not change while the control plane runs.
    pub fn info(&self) -> &ServeInfo {
        &self.shared.info
    }

    /// How long ago the loop last went round, in seconds; 0 where there is none that should.
    pub fn seconds_since_beat(&self) -> f64 {
        if self.shared.frozen.is_some() {
            return 0.0;
        }
        self.shared
            .beat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
            .as_secs_f64()
    }

    /// What a host is to do, at once and on every change.
    pub(super) fn assignments_of(&self, host: HostId) -> watch::Receiver<Option<Arc<Assignments>>> {
        let mut senders = self
            .shared
            .assignments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, as the loop does when it sends: else what is read here could take the place of newer ones.
        let now = Arc::new(self.read(|fleet| assignments(fleet, host)));
        let sender = senders
            .entry(host)
            .or_insert_with(|| watch::Sender::new(None));
        sender.send_replace(Some(now));
        sender.subscribe()
    }

    /// Notes that a host's agent was heard.
    pub(super) fn note_heard(&self, host: HostId) {
        self.shared
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host, Instant::now());
    }
}
