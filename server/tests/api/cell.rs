//! A cell in memory: it folds the records that a test says, and keeps them as its journal.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use muster::api::auth::Tokens;
use muster::api::{
    ApiState, Cell, CommandFault, EventQuery, Health, LogFault, LogMessage, LogQuery, PastFault,
    PastFleet, PreviewFault, TaskHistoryQuery,
};
use muster::control::{Past, PastError};
use muster::journal::Journal;
use muster_core::decide::Command;
use muster_core::describe::subjects_in;
use muster_core::fleet::Fleet;
use muster_core::view::{Serving, plan_view};
use muster_schemas::api::{
    CommitAnswer, EnrolmentToken, List, PlanPreview, PlanRequest, RepositoryLook, TaskView,
};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, CellName, CommitId, HostId, JobId, PlanId, TaskId};
use muster_schemas::past::{AsOf, Moment};
use muster_schemas::plan::{DocumentRef, JobAction, JobChange, Plan, Revision, Target};
use muster_schemas::state::{Actor, AttemptStatus, Phase, Usage};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use tempfile::TempDir;
use tokio::sync::{OnceCell, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

/// Small, so that watchers lag and have to go back to the journal.
const LIVE: usize = 8;

pub const TOKEN: &str = "the-token-of-the-tests";

pub struct MemoryCell {
    pub fleet: RwLock<Fleet>,
    pub journal: RwLock<Vec<Record>>,
    pub live: broadcast::Sender<Arc<Record>>,
    pub commands: Mutex<Vec<(Command, Actor)>>,
    pub refreshes: AtomicUsize,
    /// What a look at the repository finds; none for one that does not end.
    pub look: Mutex<Option<RepositoryLook>>,
    pub health: Mutex<Health>,
    pub log: Mutex<Option<Vec<LogMessage>>>,
    pub asked_log: Mutex<Option<LogQuery>>,
    pub asked_events: Mutex<Option<EventQuery>>,
    /// The same records on the disk, for questions about the past.
    kept: OnceCell<Kept>,
}

struct Kept {
    journal: Journal,
    past: Past,
    _home: TempDir,
}

impl MemoryCell {
    pub fn new() -> Arc<Self> {
        let cell = Arc::new(Self {
            fleet: RwLock::default(),
            journal: RwLock::default(),
            live: broadcast::Sender::new(LIVE),
            commands: Mutex::default(),
            refreshes: AtomicUsize::new(0),
            look: Mutex::default(),
            health: Mutex::new(Health {
                journal: None,
                loop_silent_secs: 0.1,
            }),
            log: Mutex::default(),
            asked_log: Mutex::default(),
            asked_events: Mutex::default(),
            kept: OnceCell::new(),
        });
        cell.say(Event::LeadershipTaken {
            cell: CellName::from("test"),
            version: "0.1.0".to_owned(),
        });
        cell
    }

    /// A cell with the service `web` of two tasks, the first running on `host-a`.
    pub fn with_web() -> (Arc<Self>, AttemptId) {
        let cell = Self::new();
        let host: HostId = "00000000-0000-7000-8000-000000000001"
            .parse()
            .expect("an id");
        cell.say(Event::HostEnrolled {
            host,
            name: "host-a".to_owned(),
        });
        cell.say(Event::HostConnected { host });
        let spec: muster_schemas::spec::JobSpec = serde_json::from_value(serde_json::json!({
            "name": "web", "owner": "shop@example.com", "image": "registry.example.com/web:1",
            "service": {"capacity": {"desired": 2}}
        }))
        .expect("a spec");
        let source = DocumentRef {
            path: "web.yaml".to_owned(),
            document: 0,
            line: 1,
        };
        let plan = Plan {
            id: PlanId::from("aa11"),
            parent: None,
            revision: Revision {
                commit: CommitId::from("c0ffee"),
                author: "An Author <author@example.com>".to_owned(),
                subject: "Add web".to_owned(),
                committed_at: Timestamp::UNIX_EPOCH,
            },
            changes: vec![JobChange {
                job: JobId::from("web"),
                action: JobAction::Create {
                    target: Box::new(Target {
                        spec: Arc::new(spec),
                        image: "registry.example.com/web@sha256:aa".to_owned(),
                        source,
                        replaces_tasks: true,
                        same_as: None,
                    }),
                },
                fields: Vec::new(),
                starts: 2,
                stops: 0,
                replaces: 0,
                takes_away: 0,
                notes: Vec::new(),
            }],
            refused: Vec::new(),
            withheld: Vec::new(),
            policy: None,
            policy_changes: false,
            signed_by: None,
            running: 0,
            starts: 2,
            stops: 0,
        };
        cell.say(Event::PlanMade {
            plan: Box::new(plan),
        });
        cell.say(Event::PlanApplied {
            plan: PlanId::from("aa11"),
        });
        for task in ["web.0", "web.1"] {
            cell.say(Event::TaskCreated {
                task: task.parse().expect("a task"),
                version: 1,
                run: 0,
            });
        }
        let attempt: AttemptId = "00000000-0000-7000-8000-0000000000aa"
            .parse()
            .expect("an id");
        cell.say(Event::AttemptPlaced {
            attempt,
            task: "web.0".parse().expect("a task"),
            number: 1,
            host,
            version: 1,
        });
        cell.say(Event::AttemptReported {
            status: AttemptStatus {
                attempt,
                sequence: 1,
                phase: Phase::Running,
                container: Some("4b825dc642cb".to_owned()),
                ip: None,
                started_at: None,
                ready: Some(true),
                live: None,
                probe_message: None,
                hardening: None,
                drift: Vec::new(),
            },
        });
        (cell, attempt)
    }

    /// The past as a real journal on the disk tells it.
    pub async fn past(&self) -> Past {
        let open = async || {
            let home = tempfile::tempdir().expect("a folder");
            let opened = Journal::open(&home.path().join("journal.db")).await;
            let journal = opened.expect("a new journal").journal;
            let past = Past::new(journal.clone());
            Kept {
                journal,
                past,
                _home: home,
            }
        };
        let kept = self.kept.get_or_init(open).await;
        let last = kept.journal.last_seq().await.expect("it is read");
        let new: Vec<Record> = {
            let journal = self.journal.read().expect("the journal");
            journal[last as usize..].to_vec()
        };
        kept.journal.append(&new).await.expect("it appends");
        kept.past.clone()
    }

    /// Appends, applies, then tells, as the control loop does.
    pub fn say(&self, event: Event) {
        self.say_by(Actor::Automation("control".to_owned()), event);
    }

    /// The same in somebody's name.
    pub fn say_by(&self, actor: Actor, event: Event) {
        self.say_at(Timestamp::now(), actor, event);
    }

    /// The same at another time.
    pub fn say_at(&self, at: Timestamp, actor: Actor, event: Event) {
        let mut journal = self.journal.write().expect("the journal");
        let record = Record {
            seq: journal.len() as u64 + 1,
            at,
            epoch: 1,
            actor,
            event,
        };
        journal.push(record.clone());
        drop(journal);
        self.fleet.write().expect("the fleet").apply(&record);
        // Nobody may be listening.
        let _ = self.live.send(Arc::new(record));
    }

    pub fn state(self: &Arc<Self>) -> ApiState {
        ApiState::new(
            Arc::clone(self) as Arc<dyn Cell>,
            Tokens::admin(TOKEN),
            CancellationToken::new(),
        )
    }
}

fn fault(error: PastError) -> PastFault {
    error.into()
}

impl Cell for MemoryCell {
    fn roll_back(
        &self,
        to: String,
        _job: Option<JobId>,
        _reason: String,
        _by: String,
    ) -> BoxFuture<'_, Result<CommitAnswer, CommandFault>> {
        async move {
            Ok(CommitAnswer {
                commit: to,
                changed: true,
                message: "it goes back".to_owned(),
            })
        }
        .boxed()
    }

    fn preview(
        &self,
        request: PlanRequest,
        by: String,
    ) -> BoxFuture<'_, Result<PlanPreview, PreviewFault>> {
        let fleet = self.fleet.read().expect("the fleet");
        let answer = match request.revision {
            Some(revision) => Err(PreviewFault::NotFound(format!(
                "the repository has no revision `{revision}`"
            ))),
            None => {
                let entry = fleet.plans.back().expect("a plan was made");
                Ok(PlanPreview {
                    plan: plan_view(&fleet, entry),
                    changes: true,
                    would_be_held: false,
                    markdown: format!(
                        "asked by {by} with {:?} files",
                        request.files.map(|f| f.len())
                    ),
                })
            }
        };
        async { answer }.boxed()
    }

    fn read(&self, look: &mut dyn FnMut(&Fleet)) {
        look(&self.fleet.read().expect("the fleet"));
    }

    fn records(&self) -> broadcast::Receiver<Arc<Record>> {
        self.live.subscribe()
    }

    fn records_after(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Record>, String>> {
        async move {
            // A journal takes its time, in which more is appended.
            tokio::task::yield_now().await;
            let journal = self.journal.read().expect("the journal");
            Ok(journal
                .iter()
                .skip(after as usize)
                .take(limit as usize)
                .cloned()
                .collect())
        }
        .boxed()
    }

    fn find(&self, query: EventQuery) -> BoxFuture<'_, Result<Vec<Record>, String>> {
        *self.asked_events.lock().expect("the query") = Some(query.clone());
        let fleet = self.fleet.read().expect("the fleet");
        let is = |asked: &Option<String>, is: &Option<String>| asked.is_none() || asked == is;
        let mut found: Vec<Record> = self
            .journal
            .read()
            .expect("the journal")
            .iter()
            .filter(|record| {
                let subjects = subjects_in(&fleet, record);
                query.after.is_none_or(|after| record.seq > after)
                    && query.before.is_none_or(|before| record.seq < before)
                    && (query.kinds.is_empty()
                        || query.kinds.iter().any(|kind| kind == subjects.kind))
                    && is(&query.job, &subjects.job)
                    && is(&query.task, &subjects.task)
                    && is(&query.attempt, &subjects.attempt)
                    && is(&query.host, &subjects.host)
                    && is(&query.plan, &subjects.plan)
            })
            .cloned()
            .collect();
        if query.newest_first {
            found.reverse();
        }
        found.truncate(query.limit as usize);
        async move { Ok(found) }.boxed()
    }

    fn finished_tasks(
        &self,
        query: TaskHistoryQuery,
    ) -> BoxFuture<'_, Result<List<TaskView>, String>> {
        async move {
            Ok(List {
                items: Vec::new(),
                next: query.cursor,
                total: 0,
            })
        }
        .boxed()
    }

    fn reach(&self) -> BoxFuture<'_, Result<Option<(AsOf, AsOf)>, PastFault>> {
        async move { self.past().await.reach().await.map_err(fault) }.boxed()
    }

    fn as_of(&self, moment: Moment) -> BoxFuture<'_, Result<AsOf, PastFault>> {
        async move { self.past().await.as_of(moment).await.map_err(fault) }.boxed()
    }

    fn past(&self, moment: Moment) -> BoxFuture<'_, Result<PastFleet, PastFault>> {
        async move { self.past().await.fleet(moment).await.map_err(fault) }.boxed()
    }

    fn command(&self, command: Command, actor: Actor) -> BoxFuture<'_, Result<u64, CommandFault>> {
        async move {
            tokio::task::yield_now().await;
            if let Command::StopTask { task, .. } = &command
                && *task != TaskId::new(JobId::from("web"), 0)
            {
                return Err(CommandFault::NotFound(format!("there is no task `{task}`")));
            }
            let mut commands = self.commands.lock().expect("the commands");
            commands.push((command, actor));
            Ok(100 + commands.len() as u64)
        }
        .boxed()
    }

    fn refresh(&self) {
        self.refreshes.fetch_add(1, Ordering::SeqCst);
    }

    fn refreshed(&self) -> BoxFuture<'_, RepositoryLook> {
        self.refresh();
        let look = self.look.lock().expect("the look").clone();
        async {
            match look {
                Some(look) => look,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn mint_token(&self, by: String) -> BoxFuture<'_, Result<EnrolmentToken, String>> {
        async move {
            Ok(EnrolmentToken {
                token: format!("minted for {by}"),
                url: "https://127.0.0.1:7401".to_owned(),
                expires_at: Timestamp::UNIX_EPOCH,
            })
        }
        .boxed()
    }

    fn log(&self, query: LogQuery) -> BoxFuture<'_, Result<mpsc::Receiver<LogMessage>, LogFault>> {
        *self.asked_log.lock().expect("the query") = Some(query);
        let script = self.log.lock().expect("the script").clone();
        async move {
            let script = script
                .ok_or_else(|| LogFault::NotConnected("host-a is not connected".to_owned()))?;
            let (out, messages) = mpsc::channel(script.len().max(1));
            for message in script {
                out.try_send(message).expect("room for the script");
            }
            Ok(messages)
        }
        .boxed()
    }

    fn usage(&self, attempt: AttemptId) -> Vec<Usage> {
        vec![Usage {
            attempt,
            at: Timestamp::UNIX_EPOCH,
            cpu_millis: 12,
            memory_bytes: 34,
            network_rx_bytes_per_sec: 0,
            network_tx_bytes_per_sec: 0,
            pids: 1,
        }]
    }

    fn info(&self) -> Serving {
        Serving {
            version: "0.1.0".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            repository: "https://me:secret@git.example.com/specs.git".to_owned(),
            branch: "main".to_owned(),
            repository_read_at: None,
            journal_trouble: None,
        }
    }

    fn health(&self) -> Health {
        self.health.lock().expect("the health").clone()
    }
}
