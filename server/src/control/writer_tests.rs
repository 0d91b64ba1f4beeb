//! The order of the loop's last steps: nobody hears of an event before it is durable.

use super::*;
use crate::control::CommandError;
use crate::git::Followed;
use muster_core::plan::PlanInput;
use muster_core::specs::{Documents, Located};
use muster_schemas::ids::CommitId;
use muster_schemas::plan::{DocumentRef, Revision};
use muster_schemas::spec::{Bytes, CpuMillis, Mbps, Spec};
use muster_schemas::state::{HostFacts, HostResources};
use muster_schemas::wire::{Assignment, Assignments};
use std::collections::BTreeMap;
use tempfile::TempDir;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(100);

const IMAGE: &str = "registry.example.com/app:1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Shut,
    Broken,
}

/// A journal whose writes can be held up, and can fail.
struct Gate {
    journal: Journal,
    way: watch::Sender<Way>,
    begun: watch::Sender<usize>,
}

impl Append for Gate {
    async fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        self.begun.send_modify(|begun| *begun += 1);
        let mut way = self.way.subscribe();
        let way = *way
            .wait_for(|way| *way != Way::Shut)
            .await
            .expect("the gate outlives its writes");
        match way {
            Way::Open | Way::Shut => self.journal.append(records).await,
            Way::Broken => Err(JournalError::File {
                what: "write",
                path: "journal.db".into(),
                source: std::io::Error::other("the disk is full"),
            }),
        }
    }
}

/// A running loop over a gate, with one host, and everybody who might hear something.
struct Rig {
    gate: Arc<Gate>,
    control: ControlHandle,
    running: JoinHandle<Result<(), ControlError>>,
    watcher: broadcast::Receiver<Arc<Record>>,
    agent: watch::Receiver<Option<Arc<Assignments>>>,
    followed: watch::Receiver<Followed>,
    _home: TempDir,
}

impl Rig {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let opened = Journal::open(&home.path().join("journal.db"))
            .await
            .expect("a new journal");
        let gate = Arc::new(Gate {
            journal: opened.journal.clone(),
            way: watch::Sender::new(Way::Open),
            begun: watch::Sender::new(0),
        });
        let info = ServeInfo {
            cell: "test".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: Timestamp::now(),
            repository: "/specs.git".to_owned(),
            branch: "main".to_owned(),
        };
        let started = start(opened, info).await.expect("it starts");
        let control = started.handle();
        let running = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { run_on(&*gate, started, CancellationToken::new()).await })
        };
        let name = "host-1".to_owned();
        let Ok((Answer::Enrolled(host), _)) = control.take(Input::Enrol { name }).await else {
            panic!("a host enrols");
        };
        control.note_heard(host);
        let facts = Box::new(facts());
        control
            .take(Input::Connected { host, facts })
            .await
            .expect("a known host");
        let mut agent = control.assignments_of(host);
        agent.mark_unchanged();
        let mut followed = control.followed();
        followed.mark_unchanged();
        Self {
            watcher: control.records(),
            gate,
            control,
            running,
            agent,
            followed,
            _home: home,
        }
    }

    /// Pushes a job of one task while writes go this way; answers once the write has begun.
    async fn push(&self, way: Way) -> JoinHandle<Result<(Answer, u64), CommandError>> {
        self.gate.way.send_replace(way);
        let mut begun = self.gate.begun.subscribe();
        let before = *begun.borrow_and_update();
        let control = self.control.clone();
        let caller =
            tokio::spawn(async move { control.take(Input::Revision(Box::new(revision()))).await });
        tokio::time::timeout(PATIENCE, begun.wait_for(|begun| *begun > before))
            .await
            .expect("the loop writes")
            .expect("the gate is there");
        caller
    }

    fn assert_nobody_has_heard(&mut self, before: &Fleet) {
        let now = self.control.read(Clone::clone);
        assert_eq!(now.seq, before.seq, "a reader sees what is not durable");
        assert_eq!(now, *before);
        assert!(
            matches!(self.watcher.try_recv(), Err(TryRecvError::Empty)),
            "a watcher hears of what is not durable"
        );
        assert!(
            !self.agent.has_changed().expect("the handle is there"),
            "an agent gets orders that are not durable"
        );
        assert!(
            !self.followed.has_changed().expect("the handle is there"),
            "a commit counts as applied before it is durable"
        );
    }
}

#[tokio::test]
async fn nobody_hears_of_an_event_before_it_is_durable() {
    let mut rig = Rig::new().await;
    let before = rig.control.read(Clone::clone);
    let mut caller = rig.push(Way::Shut).await;
    tokio::time::sleep(A_WHILE).await;
    rig.assert_nobody_has_heard(&before);
    assert!(
        !caller.is_finished(),
        "the caller is answered before it is durable"
    );
    assert_eq!(
        rig.gate.journal.last_seq().await.expect("it reads"),
        before.seq
    );

    // When the disk has it, all of them hear of it, and the answer is the last.
    rig.gate.way.send_replace(Way::Open);
    let (_, seq) = tokio::time::timeout(PATIENCE, &mut caller)
        .await
        .expect("it is answered")
        .expect("no panic")
        .expect("a revision is taken");
    assert!(seq > before.seq);
    assert!(rig.gate.journal.last_seq().await.expect("it reads") >= seq);
    assert!(rig.control.read(|fleet| fleet.seq) >= seq);
    for expected in before.seq + 1..=seq {
        let record = rig
            .watcher
            .try_recv()
            .expect("it was told before the answer");
        assert_eq!(record.seq, expected);
    }
    let orders = rig.agent.borrow_and_update().clone().expect("orders");
    assert!(
        matches!(orders.items[..], [Assignment::Run(_)]),
        "{orders:?}"
    );
    assert_eq!(
        rig.followed.borrow_and_update().applied,
        Some(revision().revision.commit)
    );
    assert!(!rig.running.is_finished());
}

#[tokio::test]
async fn a_write_that_fails_ends_the_loop_and_was_never_shown() {
    let mut rig = Rig::new().await;
    let before = rig.control.read(Clone::clone);
    let caller = rig.push(Way::Broken).await;
    let answer = tokio::time::timeout(PATIENCE, caller)
        .await
        .expect("it ends")
        .expect("no panic");
    assert!(matches!(answer, Err(CommandError::Ended)), "{answer:?}");
    let ended = tokio::time::timeout(PATIENCE, &mut rig.running)
        .await
        .expect("it ends")
        .expect("no panic");
    assert!(
        matches!(ended, Err(ControlError::Journal(JournalError::File { .. }))),
        "{ended:?}"
    );
    rig.assert_nobody_has_heard(&before);
    assert_eq!(
        rig.gate.journal.last_seq().await.expect("it reads"),
        before.seq
    );
}

fn revision() -> PlanInput {
    let spec = serde_json::from_value(serde_json::json!({
        "name": "web", "owner": "team@example.com", "image": IMAGE,
        "service": { "capacity": { "desired": 1 } }
    }))
    .expect("a minimal job");
    let mut documents = Documents::default();
    documents.specs.push(Located {
        spec: Spec::Job(Arc::new(spec)),
        source: DocumentRef {
            path: "web.yaml".to_owned(),
            document: 0,
            line: 1,
        },
    });
    let digest = format!("registry.example.com/app@sha256:{}", "1".repeat(64));
    PlanInput {
        revision: Revision {
            commit: CommitId("1".repeat(40)),
            author: "Ann <ann@example.com>".to_owned(),
            subject: "web".to_owned(),
            committed_at: Timestamp::UNIX_EPOCH,
        },
        documents,
        images: BTreeMap::from([(IMAGE.to_owned(), Ok(digest))]),
        removed_by: BTreeMap::new(),
        signed: Default::default(),
    }
}

fn facts() -> HostFacts {
    HostFacts {
        name: "host-1".to_owned(),
        address: "127.0.0.1".to_owned(),
        zone: "a".to_owned(),
        labels: BTreeMap::new(),
        resources: HostResources {
            cpu: CpuMillis(8000),
            memory: Bytes(16 << 30),
            disk: Bytes(100 << 30),
            network: Mbps(1000),
            gpu: 0,
            containers: 100,
        },
        engine: "docker".to_owned(),
        system: "linux".to_owned(),
        agent_version: "0.1.0".to_owned(),
        warnings: Vec::new(),
        not_ready: None,
    }
}

/// A control plane that is started again within the second leads with a number that no other has led with; one on a copy of
/// the journal from before it, too.
#[test]
fn leaderships_of_the_same_second_have_epochs_of_their_own() {
    let begin: Timestamp = "2026-11-27T00:12:48.1Z".parse().unwrap();
    let later = |millis| begin + jiff::SignedDuration::from_millis(millis);
    let first = epoch_after(0, begin);
    let second = epoch_after(first, later(300));
    // On a copy that was made before the second.
    let copys = epoch_after(first, later(900));
    assert!(first < second && second < copys, "{first} {second} {copys}");
    // A clock that was set back.
    assert_eq!(epoch_after(second, begin), second + 1);
}
