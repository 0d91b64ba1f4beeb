//! Telling others: events to webhooks, pipelines and chats, alerts to Alertmanagers, and to forges how commits stand.
//!
//! All of it follows from the journal and the fleet, and none of it leads back: a target that is down, slow or wrong costs its own
//! notifications and nothing else. What is sent is decided by pure functions ([`message`], `alerts`, [`statuses`], [`forge`]); the
//! rest is sending it ([`send`]), at least once, and keeping on the disk how far each target has been served ([`place`]).
//!
//! Who is told is the operator's matter and stands in a file outside the repository of specs, which holds secrets ([`settings`]).
//!
//! Read in this order: `file`, `fields`, `check`, `settings`, `filter`, `message`, `follow`, `alerts`, `forge`, `statuses`, `pulls`, `page`, `send`, `place`.

mod alerts;
mod check;
pub(crate) mod count;
mod fields;
mod file;
mod filter;
mod follow;
mod forge;
mod message;
mod page;
mod place;
mod pulls;
mod secret;
mod send;
mod settings;
mod statuses;
mod template;

pub use filter::Filter;
pub use forge::{Forge, ForgeKind};
pub use message::SIGNATURE_HEADER;
pub use page::Pager;
pub use pulls::{Offered, PullLines, PullQueues, PullRequest, QUEUE as PULL_QUEUE};
pub use secret::Secret;
pub(crate) use secret::mac;
pub use send::Pace;
pub use settings::{AlertTarget, EventTarget, Format, HookSecrets, Settings, SettingsError};
pub use template::Template;

use alerts::AlertTeller;
use follow::Follower;
use futures::future::BoxFuture;
use jiff::SignedDuration;
use message::MessageContext;
use muster_core::fleet::Fleet;
use muster_schemas::api::PlanPreview;
use muster_schemas::event::Record;
use place::PlaceFile;
use pulls::PullCommenter;
use send::Sender;
use statuses::StatusTeller;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What this room needs of the control plane.
pub trait Source: Send + Sync + 'static {
    /// Looks at the fleet, once, under its read lock: `look` must be short and must not block.
    fn read(&self, look: &mut dyn FnMut(&Fleet));

    /// Each record once it is durable and applied, in order. Who lags reads on with [`Source::records_after`].
    fn records(&self) -> broadcast::Receiver<Arc<Record>>;

    /// The journal's records of these kinds after `after`, or of all kinds where none is named; oldest first, at most `limit`.
    fn records_after(
        &self,
        after: u64,
        kinds: Vec<String>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Record>, String>>;

    /// What is wrong with the journal, if something is.
    fn journal_trouble(&self) -> Option<String>;

    /// Works out the plan for what a reference of the repository, such as `refs/pull/7/head`, names. Nothing is done.
    fn preview(&self, reference: String) -> BoxFuture<'_, Result<PlanPreview, String>>;
}

/// How much a target is owed.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A target that is further behind than so many events is not told the oldest of them: it would hear of yesterday for hours.
    pub behind: u64,
    /// What is older is not told any more.
    pub age: SignedDuration,
    /// A comment is tried for so long; the next push writes another.
    pub comment: SignedDuration,
    /// A pull request is planned within this time: its head is fetched, and registries are asked for its images.
    pub plan: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            behind: 10_000,
            age: SignedDuration::from_hours(24),
            comment: SignedDuration::from_mins(10),
            plan: Duration::from_secs(180),
        }
    }
}

/// How often it is looked at what is no event.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// At how commits stand.
    pub commits: Duration,
    /// At the alerts.
    pub alerts: Duration,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            commits: statuses::look_every(),
            alerts: alerts::look_every(),
        }
    }
}

/// All that tells others.
pub struct Notifier {
    /// Who is told what.
    pub settings: Settings,
    /// The control plane.
    pub source: Arc<dyn Source>,
    /// The control plane's home; how far each target has been served is kept in `notify/` in it.
    pub home: PathBuf,
    /// The branch that is followed.
    pub branch: String,
    /// How what was not taken is sent again.
    pub pace: Pace,
    /// How much a target is owed.
    pub bounds: Bounds,
    /// How often it is looked at what is no event.
    pub looks: Looks,
    /// Pull requests that forges tell of.
    pub pulls: PullQueues,
    /// Ends it.
    pub shutdown: CancellationToken,
}

/// What keeps anybody from being told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The folder of the places cannot be made.
    #[error("the folder `notify` in {} cannot be made", home.display())]
    Folder {
        /// The control plane's home.
        home: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("notifications cannot be sent: no client for HTTP can be made")]
    Client(#[source] reqwest::Error),
}

impl Notifier {
    /// Tells others until `shutdown`.
    ///
    /// # Errors
    /// What keeps anybody from being told at all. That a target cannot be told is none: it is logged, counted and tried again.
    pub async fn run(self) -> Result<(), NotifyError> {
        let Self {
            settings,
            source,
            home,
            branch,
            pace,
            bounds,
            looks,
            mut pulls,
            shutdown,
        } = self;
        if settings.tells_nobody() {
            shutdown.cancelled().await;
            return Ok(());
        }
        let folder = place::folder(&home).map_err(|error| NotifyError::Folder {
            home: home.clone(),
            source: error,
        })?;
        let sender = Sender::new(pace).map_err(NotifyError::Client)?;
        let context = MessageContext {
            console_url: settings.console_url.clone(),
            branch,
        };
        let mut targets = JoinSet::new();
        for target in settings.events {
            let follower = Follower {
                file: PlaceFile::of(&folder, &target.name),
                target,
                source: Arc::clone(&source),
                sender: sender.clone(),
                context: context.clone(),
                bounds,
                shutdown: shutdown.clone(),
            };
            targets.spawn(follower.run());
        }
        for target in settings.alerts {
            let teller = AlertTeller {
                file: PlaceFile::of(&folder, &target.name),
                target,
                sender: sender.clone(),
                console_url: settings.console_url.clone(),
                look_every: looks.alerts,
                shutdown: shutdown.clone(),
            };
            targets.spawn(teller.run(Arc::clone(&source)));
        }
        for forge in settings.forges {
            if let Some(told) = pulls.remove(&forge.name) {
                let commenter = PullCommenter {
                    file: PlaceFile::of(&folder, &format!("{}.comments", forge.name)),
                    forge: forge.clone(),
                    source: Arc::clone(&source),
                    sender: sender.clone(),
                    bounds,
                    told,
                    shutdown: shutdown.clone(),
                };
                targets.spawn(commenter.run());
            }
            let teller = StatusTeller {
                file: PlaceFile::of(&folder, &forge.name),
                forge,
                source: Arc::clone(&source),
                sender: sender.clone(),
                console_url: settings.console_url.clone().unwrap_or_default(),
                bounds,
                look_every: looks.commits,
                shutdown: shutdown.clone(),
            };
            targets.spawn(teller.run());
        }
        while let Some(ended) = targets.join_next().await {
            if let Err(panic) = ended {
                // The fleet is not worse looked after because a chat is not told.
                tracing::error!(%panic, "a notification's task ended by a bug; its target is told nothing until the next start");
            }
        }
        shutdown.cancelled().await;
        Ok(())
    }
}

/// Looks at the fleet and answers what `look` answers.
fn look<R>(source: &dyn Source, look: impl FnOnce(&Fleet) -> R) -> R {
    let mut look = Some(look);
    let mut answer = None;
    source.read(&mut |fleet| {
        if let Some(look) = look.take() {
            answer = Some(look(fleet));
        }
    });
    answer.expect("a source looks at its fleet when it is asked to")
}
