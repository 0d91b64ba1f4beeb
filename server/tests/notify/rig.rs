//! A notifier over a cell in memory, which can be ended and started again on the same home.

use crate::cell::MemoryCell;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use muster::notify::{
    Bounds, Looks, Notifier, Offered, Pace, PullLines, PullRequest, Settings, Source,
};
use muster_core::describe::subjects;
use muster_core::fleet::Fleet;
use muster_core::view::plan_view;
use muster_schemas::api::PlanPreview;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{CommitId, PlanId};
use muster_schemas::plan::{HoldReason, Plan, Revision};
use sha2::Sha256;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wiremock::{MockServer, Request};

/// So long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is never done with being planned, as where a registry hangs.
pub const NEVER_PLANNED: &str = "refs/pull/404/head";

/// The cell as the notify room sees it, with the longest that the fleet was looked at.
pub struct Memory(pub Arc<MemoryCell>, Arc<Mutex<Duration>>);

impl Source for Memory {
    fn read(&self, look: &mut dyn FnMut(&Fleet)) {
        let fleet = self.0.fleet.read().expect("the fleet");
        let began = Instant::now();
        look(&fleet);
        let mut longest = self.1.lock().expect("the longest");
        *longest = longest.max(began.elapsed());
    }

    fn records(&self) -> broadcast::Receiver<Arc<Record>> {
        self.0.live.subscribe()
    }

    fn records_after(
        &self,
        after: u64,
        kinds: Vec<String>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Record>, String>> {
        async move {
            let journal = self.0.journal.read().expect("the journal");
            let wanted = journal.iter().filter(|record| {
                let kind = subjects(record).kind;
                record.seq > after
                    && (kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind))
            });
            Ok(wanted.take(limit as usize).cloned().collect())
        }
        .boxed()
    }

    fn journal_trouble(&self) -> Option<String> {
        None
    }

    fn preview(&self, reference: String) -> BoxFuture<'_, Result<PlanPreview, String>> {
        let fleet = self.0.fleet.read().expect("the fleet");
        let plan = plan_view(&fleet, fleet.plans.back().expect("a plan"));
        let made = fleet.plans.len();
        async move {
            if reference == NEVER_PLANNED {
                std::future::pending::<()>().await;
            }
            Ok(PlanPreview {
                plan,
                changes: true,
                would_be_held: false,
                markdown: format!("## The plan of {reference}, after {made}\n"),
            })
        }
        .boxed()
    }
}

pub struct Rig {
    pub cell: Arc<MemoryCell>,
    pub home: TempDir,
    pub bounds: Bounds,
    pub longest_look: Arc<Mutex<Duration>>,
    file: String,
    running: Option<Running>,
}

struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    pulls: PullLines,
}

impl Rig {
    /// A cell with the service `web`, and a notifier with this file, not started yet.
    pub fn new(file: &str) -> Self {
        let (cell, _) = MemoryCell::with_web();
        Self {
            cell,
            home: tempfile::tempdir().expect("a folder"),
            bounds: Bounds::default(),
            longest_look: Arc::default(),
            file: file.to_owned(),
            running: None,
        }
    }

    pub fn start(&mut self) {
        let path = self.home.path().join("notify.yaml");
        std::fs::write(&path, &self.file).expect("the file");
        let settings = Settings::load(&path).unwrap_or_else(|error| panic!("{error}"));
        let (pulls, told) = PullLines::new(&settings.forges, 8);
        let shutdown = CancellationToken::new();
        let notifier = Notifier {
            settings,
            source: Arc::new(Memory(
                Arc::clone(&self.cell),
                Arc::clone(&self.longest_look),
            )),
            home: self.home.path().to_owned(),
            branch: "main".to_owned(),
            pace: Pace {
                first: Duration::from_millis(5),
                longest: Duration::from_millis(50),
            },
            bounds: self.bounds,
            looks: Looks {
                commits: Duration::from_millis(10),
                alerts: Duration::from_millis(10),
            },
            pulls: told,
            shutdown: shutdown.clone(),
        };
        let task = tokio::spawn(async move { notifier.run().await.expect("it runs") });
        self.running = Some(Running {
            shutdown,
            task,
            pulls,
        });
    }

    /// Ends it, as a control plane that is told to end does.
    pub async fn end(&mut self) {
        let running = self.running.take().expect("it runs");
        running.shutdown.cancel();
        running.task.await.expect("it does not panic");
    }

    /// Ends it in the middle of whatever it does, as a crash does.
    pub async fn crash(&mut self) {
        let running = self.running.take().expect("it runs");
        running.task.abort();
        let _ = running.task.await;
        // What was on its way to a receiver still arrives there.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    pub fn pull_request(&self, pull: &PullRequest) -> Offered {
        self.running.as_ref().expect("it runs").pulls.offer(pull)
    }

    /// Waits until the targets have found where they begin.
    pub async fn wait_until_begun(&self, targets: &[&str]) {
        let folder = self.home.path().join("notify");
        for target in targets {
            let path = folder.join(format!("{target}.json"));
            eventually(&format!("{target} has begun"), async || path.exists()).await;
        }
    }

    /// A plan is made for a commit of its own, and held.
    pub fn hold(&self, number: u32) {
        let plan = self.plan(number);
        self.cell.say(Event::PlanHeld {
            plan,
            reasons: vec![HoldReason::PolicyChanges],
        });
    }

    /// A plan is made for a commit of its own, and applied.
    pub fn apply(&self, number: u32) {
        let plan = self.plan(number);
        self.cell.say(Event::PlanApplied { plan });
    }

    fn plan(&self, number: u32) -> PlanId {
        let id = PlanId::from(format!("{number:064x}"));
        self.cell.say(Event::PlanMade {
            plan: Box::new(Plan {
                id: id.clone(),
                parent: None,
                revision: Revision {
                    commit: CommitId(commit(number)),
                    author: "Ann <ann@example.com>".to_owned(),
                    subject: format!("Change {number}"),
                    committed_at: Timestamp::UNIX_EPOCH,
                },
                changes: Vec::new(),
                refused: Vec::new(),
                withheld: Vec::new(),
                policy: None,
                policy_changes: true,
                signed_by: None,
                running: 1,
                starts: 0,
                stops: 0,
            }),
        });
        id
    }

    /// Something that is told by the kind `frozen`.
    pub fn freeze(&self, reason: &str) -> u64 {
        self.cell.say(Event::Frozen {
            scope: muster_schemas::plan::FreezeScope::Cell,
            reason: reason.to_owned(),
            until: None,
        });
        self.cell.journal.read().expect("the journal").len() as u64
    }
}

pub fn commit(number: u32) -> String {
    format!("{number:040x}")
}

/// Waits for something.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a server was sent.
pub async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("they are recorded")
}

/// Waits until a server was sent so many requests, and a moment longer for one too many.
pub async fn wait_for(server: &MockServer, count: usize) -> Vec<Request> {
    let what = format!("{count} requests");
    eventually(&what, async || requests(server).await.len() >= count).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let requests = requests(server).await;
    assert_eq!(requests.len(), count, "{requests:#?}");
    requests
}

pub fn json(request: &Request) -> serde_json::Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

pub fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let value = request.headers.get(name);
    let value = value.unwrap_or_else(|| panic!("{name} is missing: {:?}", request.headers));
    value.to_str().expect("text")
}

/// Checks the signature as a receiver does, by the library rather than by the code under test.
#[track_caller]
pub fn assert_signed(request: &Request, secret: &[u8]) {
    let signature = header(request, "x-muster-signature-256");
    let signature = signature.strip_prefix("sha256=").expect("its prefix");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key");
    mac.update(&request.body);
    mac.verify_slice(&hex::decode(signature).expect("hex"))
        .expect("the signature is that of the body");
}
