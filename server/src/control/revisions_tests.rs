//! Readings that cannot be taken whole, against a registry that has nothing.

use super::*;
use crate::control::{ServeInfo, run, start};
use crate::journal::Journal;
use muster_core::specs::SpecFile;
use muster_schemas::plan::Revision;
use std::collections::BTreeMap;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

struct Rig {
    control: ControlHandle,
    readings: mpsc::Sender<Result<Reading, RepositoryTrouble>>,
    shutdown: CancellationToken,
    following: JoinHandle<()>,
    _home: TempDir,
}

impl Rig {
    async fn new(pace: Pace) -> Self {
        let home = tempfile::tempdir().unwrap();
        let opened = Journal::open(&home.path().join("journal.db"))
            .await
            .unwrap();
        let info = ServeInfo {
            cell: "test".to_owned(),
            version: "0".to_owned(),
            started_at: Timestamp::now(),
            repository: "/specs".to_owned(),
            branch: "main".to_owned(),
        };
        let started = start(opened, info).await.unwrap();
        let control = started.handle();
        let shutdown = CancellationToken::new();
        tokio::spawn(run(started, shutdown.clone()));
        let (readings, received) = mpsc::channel(2);
        let following = tokio::spawn(follow_repository(
            control.clone(),
            received,
            pace,
            shutdown.clone(),
        ));
        Self {
            control,
            readings,
            shutdown,
            following,
            _home: home,
        }
    }

    async fn read(&self, commit: &str, image: &str) {
        self.read_jobs(commit, &[("web", image)]).await;
    }

    async fn read_jobs(&self, commit: &str, jobs: &[(&str, &str)]) {
        let documents: Vec<String> = jobs
            .iter()
            .map(|(name, image)| format!(
                "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: team@example.com\nimage: {image}\nservice:\n  capacity:\n    desired: 1\n"
            ))
            .collect();
        let yaml = documents.join("---\n");
        let reading = Reading {
            revision: Revision {
                commit: commit.into(),
                author: "Ann <ann@example.com>".to_owned(),
                subject: commit.to_owned(),
                committed_at: Timestamp::now(),
            },
            files: vec![SpecFile {
                path: "web.yaml".to_owned(),
                bytes: yaml.into_bytes().into(),
            }],
            diagnostics: Vec::new(),
            removed_by: BTreeMap::new(),
            signed: muster_core::signatures::Signed::default(),
        };
        assert!(self.readings.send(Ok(reading)).await.is_ok());
    }

    /// How often a revision became a plan, and whether its document was refused the last time.
    fn plans_of(&self, commit: &str) -> (usize, bool) {
        self.control.read(|fleet| {
            let of = fleet
                .plans
                .iter()
                .filter(|entry| entry.plan.revision.commit.as_str() == commit);
            let plans: Vec<_> = of.collect();
            let refused = plans
                .last()
                .is_some_and(|entry| !entry.plan.refused.is_empty());
            (plans.len(), refused)
        })
    }

    async fn wait_for_plan(&self, commit: &str) {
        let wait = async {
            while self.plans_of(commit).0 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("a plan");
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.following.await.unwrap();
    }
}

/// A registry without images, and the name of one that it lacks.
async fn empty_registry() -> (MockServer, String) {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let image = format!("{}/example/web:1", server.address());
    (server, image)
}

/// How often the registry was asked.
async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[test]
fn a_failed_sync_backs_off() {
    let pauses: Vec<u64> = Pace::default()
        .pauses()
        .take(8)
        .map(|pause| pause.as_secs())
        .collect();
    assert_eq!(pauses, [15, 30, 60, 120, 240, 300, 300, 300]);
}

#[tokio::test]
async fn a_reading_whose_image_is_missing_is_tried_less_and_less_often() {
    let (server, image) = empty_registry().await;
    let rig = Rig::new(Pace {
        first: Duration::from_millis(200),
        last: Duration::from_secs(60),
    })
    .await;
    rig.read("one", &image).await;
    rig.wait_for_plan("one").await;
    assert_eq!(rig.plans_of("one"), (1, true));
    // At once, then after 0.2 s, 0.6 s, 1.4 s, 3 s, each a fifth more or less; at the first pace it would be twenty times.
    let of_one_try = asked(&server).await;
    tokio::time::sleep(Duration::from_millis(4000)).await;
    let tries = asked(&server).await / of_one_try;
    assert!((3..=6).contains(&tries), "{tries}");
    assert_eq!(rig.plans_of("one"), (1, true), "the same plan is told once");
    rig.end().await;
}

#[tokio::test]
async fn a_newer_commit_supersedes_one_that_is_being_tried_again() {
    let (server, image) = empty_registry().await;
    // The first would be tried again in an hour.
    let hour = Duration::from_secs(3600);
    let rig = Rig::new(Pace {
        first: hour,
        last: hour,
    })
    .await;
    rig.read("one", &image).await;
    rig.wait_for_plan("one").await;
    let pinned = format!("registry.example.com/web@sha256:{}", "a".repeat(64));
    rig.read("two", &pinned).await;
    rig.wait_for_plan("two").await;
    assert_eq!(rig.plans_of("two"), (1, false));
    assert_eq!(rig.plans_of("one").0, 1);
    rig.end().await;

    // Nor is the old one tried again once a newer one was taken.
    let rig = Rig::new(Pace {
        first: Duration::from_millis(400),
        last: Duration::from_millis(400),
    })
    .await;
    rig.read("one", &image).await;
    rig.wait_for_plan("one").await;
    rig.read("two", &pinned).await;
    rig.wait_for_plan("two").await;
    let tried = asked(&server).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(asked(&server).await, tried);
    assert_eq!(rig.plans_of("two").0, 1);
    rig.end().await;
}

/// A registry that takes connections and says nothing.
async fn silent_registry() -> (JoinHandle<()>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = format!("{}/example/slow:1", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    (held, image)
}

#[tokio::test]
async fn a_registry_that_says_nothing_keeps_neither_other_jobs_nor_the_next_commit_waiting() {
    let (registry, slow) = silent_registry().await;
    let pinned = format!("registry.example.com/web@sha256:{}", "a".repeat(64));
    let rig = Rig::new(Pace::default()).await;
    let began = Instant::now();
    rig.read_jobs("one", &[("web", &pinned), ("slow", &slow)])
        .await;
    rig.wait_for_plan("one").await;
    let is_there = |job: &str| {
        let job = muster_schemas::ids::JobId::from(job);
        rig.control.read(|fleet| fleet.jobs.contains_key(&job))
    };
    assert!(is_there("web"), "it needs no registry");
    assert!(!is_there("slow"));
    // It is waited for from here on, which keeps nobody waiting.
    rig.read("two", &pinned).await;
    rig.wait_for_plan("two").await;
    let took = began.elapsed();
    assert!(took < Patience::LONG.image, "it took {took:?}");
    rig.end().await;
    registry.abort();
}
