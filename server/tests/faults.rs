//! The fault table: what is done to the repository or to the journal, and the state that follows. In every row nothing is stopped, what
//! runs runs on, reads are answered, and what has to wait waits until somebody mends it.
//!
//! The control plane is a whole one in this process, on a real git repository and a real SQLite journal, with a host that is connected
//! over TLS and does all that it is told.

mod git_repo;
mod plane;
mod plane_host;

use git_repo::Repo;
use muster::agent::link::LinkState;
use muster::api::openapi;
use muster::control::ServeConfig;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::{AttemptStatus, Phase};
use muster_schemas::wire::Assignment;
use plane::{Plane, alert, pages};
use plane_host::{Engine, status};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time for what must not happen to happen: several readings of the repository, and several reports of the host.
const A_WHILE: Duration = Duration::from_millis(1200);

/// By its digest, so that no registry is asked.
const IMAGE: &str = "registry.example.com/app@sha256:0123456789012345678901234567890123456789012345678901234567890123";

const TASKS: usize = 3;

// ---- A cell with three running tasks.

/// What the host's engine has, and what it was ever told to stop.
#[derive(Debug, Default)]
struct Containers {
    running: BTreeSet<AttemptId>,
    stops: Vec<AttemptId>,
    /// The assignments that came.
    orders: usize,
}

impl Engine for Arc<Mutex<Containers>> {
    fn follow(&mut self, items: Vec<Assignment>) {
        let mut containers = self.lock().expect("no panic");
        containers.orders += 1;
        for item in items {
            let attempt = item.attempt();
            match item {
                Assignment::Run(_) => {
                    containers.running.insert(attempt);
                }
                Assignment::Stop { .. } => {
                    containers.running.remove(&attempt);
                    containers.stops.push(attempt);
                }
                Assignment::Keep { .. } | Assignment::Remove { .. } => {}
            }
        }
    }

    fn attempts(&self) -> Vec<AttemptStatus> {
        let containers = self.lock().expect("no panic");
        let running = containers.running.iter();
        running
            .map(|attempt| status(*attempt, 1, Phase::Running))
            .collect()
    }
}

/// A host that starts what it is to run and stops what it is ordered to stop.
struct Host {
    containers: Arc<Mutex<Containers>>,
    link: plane_host::Host,
}

impl Host {
    async fn start(plane: &Plane, home: &Path) -> Self {
        let (status, token) = plane.post("/api/v1/enrolments", json!({})).await;
        assert!(status.is_success(), "{token}");
        let token = token["token"].as_str().expect("a token");
        let url = format!("https://{}", plane.config.agent_listen);
        let containers = Arc::new(Mutex::new(Containers::default()));
        let every = Duration::from_millis(250);
        let engine = Arc::clone(&containers);
        let link = plane_host::Host::join(&url, token, home, every, engine).await;
        Self { containers, link }
    }

    fn running(&self) -> BTreeSet<AttemptId> {
        self.containers.lock().expect("no panic").running.clone()
    }

    fn stops(&self) -> Vec<AttemptId> {
        self.containers.lock().expect("no panic").stops.clone()
    }

    fn orders(&self) -> usize {
        self.containers.lock().expect("no panic").orders
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&LinkState) -> bool) {
        tokio::time::timeout(PATIENCE, self.link.state.wait_for(|state| is_so(state)))
            .await
            .unwrap_or_else(|_| panic!("{what}"))
            .expect("the link runs");
    }
}

fn job(name: &str, desired: usize) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: team@example.com\nimage: {IMAGE}\n\
         resources: {{cpu: 0.1, memory: 16MiB}}\nservice:\n  capacity: {{desired: {desired}}}\n"
    )
}

/// The policy under which every removal is at once a stop: what is spared is not spared by it.
const POLICY: &str = "apiVersion: muster/v1\nkind: Policy\nname: default\nprune: true\npruneGrace: 0s\nlimits:\n  \
                      stopsPerPlan: {count: 1000}\n  stopsPerMinute: {count: 1000}\n";

/// A cell in which three tasks run.
struct Town {
    repo: Repo,
    plane: Plane,
    host: Host,
    /// The revision that is applied.
    first: String,
    /// The attempts that run.
    running: BTreeSet<AttemptId>,
    _home: TempDir,
}

impl Town {
    async fn new() -> Self {
        let repo = Repo::new();
        repo.write("policy.yaml", POLICY.as_bytes());
        repo.write("jobs/web.yaml", job("web", TASKS).as_bytes());
        let first = repo.commit("three tasks");
        let home = tempfile::tempdir().expect("a folder");
        let remote = repo.remote();
        let config = plane::config(&home.path().join("control"), &remote.url);
        let plane = Plane::start(config).await;
        let host = Host::start(&plane, &home.path().join("host")).await;
        plane.until("three tasks run", is_well(&first)).await;
        let running = host.running();
        assert_eq!(running.len(), TASKS);
        Self {
            repo,
            plane,
            host,
            first,
            running,
            _home: home,
        }
    }

    /// What holds in every row of the table.
    async fn assert_nothing_is_stopped(&self, row: &str) {
        assert_eq!(self.host.stops(), [], "{row}: something was stopped");
        assert_eq!(
            self.host.running(),
            self.running,
            "{row}: something else runs"
        );
    }

    /// Reads are answered, and no stop was ever ordered.
    async fn assert_reads(&self, row: &str) {
        for path in [
            "/api/v1/jobs",
            "/api/v1/tasks",
            "/api/v1/hosts",
            "/api/v1/plans",
        ] {
            let (status, body) = self.plane.ask(Method::GET, path, None).await;
            assert_eq!(status, StatusCode::OK, "{row}: {path}: {body}");
        }
        let stops = self.plane.get("/api/v1/events?kind=stop_ordered").await;
        assert_eq!(stops["items"], json!([]), "{row}: a stop was ordered");
    }
}

fn is_well(revision: &str) -> impl Fn(&Value) -> bool {
    let revision = revision.to_owned();
    move |fleet| {
        fleet["revision"]["commit"] == revision.as_str()
            && fleet["healthy"] == TASKS
            && fleet["alerts"] == json!([])
    }
}

// ---- Faults of the repository.

/// What is expected of a fault of the repository.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The last good revision holds, and this alert pages until it is mended.
    Pages(&'static str),
    /// The revision is taken but for a document, whose job stays as it was; this diagnostic is told as an alert.
    KeepsJob(&'static str),
    /// It is taken as any other.
    Taken,
}

struct RepositoryRow {
    name: &'static str,
    fault: fn(&Repo),
    expected: Expected,
    /// What mends it; beside that the repository is set back to the first revision.
    mend: fn(&Repo),
}

fn nothing(_: &Repo) {}

fn hidden(repo: &Repo) -> PathBuf {
    repo.path().with_extension("away")
}

/// A commit of many files, each with a document of its own.
fn many(repo: &Repo, files: usize) {
    for number in 0..files {
        let name = format!("job-{number}");
        repo.write(
            &format!("many/{}/{name}.yaml", number % 100),
            job(&name, 0).as_bytes(),
        );
    }
    repo.commit("many files");
}

/// A commit that would change what runs if it were read, and what is wrong with it before the branch has it.
fn harmed(repo: &Repo, harm: impl FnOnce()) {
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("jobs/web.yaml", job("web", 1).as_bytes());
    let commit = repo.commit("one task");
    harm();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
}

const REPOSITORY: &[RepositoryRow] = &[
    RepositoryRow {
        name: "gone",
        fault: |repo| std::fs::rename(repo.path(), hidden(repo)).expect("it is moved"),
        expected: Expected::Pages("repository-unreachable"),
        mend: |repo| std::fs::rename(hidden(repo), repo.path()).expect("it is moved"),
    },
    RepositoryRow {
        name: "empty",
        fault: |repo| {
            repo.git(&["rm", "-q", "-r", "."]);
            repo.commit_staged("nothing is left");
        },
        expected: Expected::Pages("repository-empty"),
        mend: nothing,
    },
    RepositoryRow {
        name: "truncated",
        fault: |repo| {
            harmed(repo, || {
                // The file's beginning is there, as after a disk that was full.
                repo.cut_object(&repo.git(&["rev-parse", "HEAD:jobs/web.yaml"]), 2);
            });
        },
        expected: Expected::Pages("repository-unreadable"),
        mend: nothing,
    },
    RepositoryRow {
        name: "force-pushed",
        fault: |repo| {
            repo.git(&["checkout", "-q", "--orphan", "fresh"]);
            repo.write("jobs/web.yaml", job("web", 1).as_bytes());
            let other = repo.commit("another beginning");
            repo.git(&["branch", "-f", "main", &other]);
            repo.git(&["checkout", "-q", "main"]);
        },
        expected: Expected::Pages("repository-unrelated-history"),
        mend: nothing,
    },
    RepositoryRow {
        name: "renamed branch",
        fault: |repo| {
            repo.git(&["branch", "-m", "main", "trunk"]);
        },
        expected: Expected::Pages("repository-no-branch"),
        mend: |repo| {
            repo.git(&["branch", "-m", "trunk", "main"]);
        },
    },
    RepositoryRow {
        name: "half-written",
        fault: |repo| {
            harmed(repo, || {
                // The branch has moved, and the directory that it names never came to the disk.
                repo.lose_object(&repo.git(&["rev-parse", "HEAD:jobs"]));
            });
        },
        expected: Expected::Pages("repository-unreadable"),
        mend: nothing,
    },
    RepositoryRow {
        name: "10,000-file commit",
        fault: |repo| many(repo, 10_000),
        expected: Expected::Taken,
        mend: nothing,
    },
    RepositoryRow {
        name: "commit of more files than are read",
        fault: |repo| many(repo, 20_001),
        expected: Expected::Pages("repository-unreadable"),
        mend: nothing,
    },
    RepositoryRow {
        name: "submodule",
        fault: |repo| {
            repo.git(&["rm", "-q", "-r", "--cached", "jobs"]);
            let other = "160000,1234567890123456789012345678901234567890,jobs";
            repo.git(&["update-index", "--add", "--cacheinfo", other]);
            repo.commit_staged("the jobs live elsewhere now");
        },
        expected: Expected::KeepsJob("submodule"),
        mend: nothing,
    },
    RepositoryRow {
        name: "LFS pointer",
        fault: |repo| {
            let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n";
            repo.write("jobs/web.yaml", pointer);
            repo.commit("kept in LFS");
        },
        expected: Expected::KeepsJob("lfs-pointer"),
        mend: nothing,
    },
    RepositoryRow {
        name: "huge blob",
        fault: |repo| {
            repo.write("jobs/web.yaml", &vec![b'#'; (1 << 20) + 1]);
            repo.commit("a megabyte of comments");
        },
        expected: Expected::KeepsJob("file-too-large"),
        mend: nothing,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_repository_leaves_what_runs() {
    for row in REPOSITORY {
        let began = Instant::now();
        let name = row.name;
        let town = Town::new().await;
        (row.fault)(&town.repo);
        let head = || town.repo.git(&["rev-parse", "main"]);
        let revision = match row.expected {
            Expected::Pages(code) => {
                let fleet = town
                    .plane
                    .until(name, |fleet| pages(fleet).contains(&code))
                    .await;
                let message = alert(&fleet, code);
                assert!(
                    message.contains("the last good state holds and nothing is stopped"),
                    "{name}: {message}"
                );
                town.first.clone()
            }
            Expected::KeepsJob(code) => {
                let head = head();
                let fleet = town
                    .plane
                    .until(name, |fleet| fleet["revision"]["commit"] == head.as_str())
                    .await;
                let refused = fleet["refused"].as_array().expect("diagnostics");
                let codes: Vec<&Value> = refused.iter().map(|problem| &problem["code"]).collect();
                assert_eq!(codes, [code], "{name}");
                assert!(alert(&fleet, "document-refused").contains("stay as they were"));
                let web = town.plane.get("/api/v1/jobs/web").await;
                assert_eq!(web["declared"], true, "{name}: {web:#}");
                head
            }
            Expected::Taken => {
                let head = head();
                town.plane.until(name, is_well(&head)).await;
                head
            }
        };
        tokio::time::sleep(A_WHILE).await;
        let fleet = town.plane.fleet().await;
        assert_eq!(fleet["revision"]["commit"], revision.as_str(), "{name}");
        assert_eq!(fleet["healthy"], TASKS, "{name}");
        assert_eq!(fleet["held_plan"], Value::Null, "{name}");
        town.assert_nothing_is_stopped(name).await;
        town.assert_reads(name).await;

        // What was mended is followed, and has the same containers.
        (row.mend)(&town.repo);
        town.repo.git(&["reset", "-q", "--hard", &town.first]);
        town.repo.write("note.txt", b"mended");
        // Where the faulty revision was taken, history goes on from it.
        if !matches!(row.expected, Expected::Pages(_)) {
            town.repo.git(&["reset", "-q", "--soft", &revision]);
        }
        let mended = town.repo.commit("mended");
        town.plane.until(name, is_well(&mended)).await;
        town.assert_nothing_is_stopped(name).await;
        town.plane.stop().await;
        println!("{name}: {:.1?}", began.elapsed());
    }
}

// ---- Faults of the journal.

struct JournalRow {
    name: &'static str,
    fault: Fault,
    /// What the alert says is wrong, and what to do.
    says: &'static [&'static str],
    /// How many of the tasks are known from what can be trusted.
    known: Known,
    /// Whether the records themselves can be read at all.
    records: bool,
}

/// What is done to a journal that nobody has open.
enum Fault {
    /// To the file's bytes.
    Bytes(fn(&mut Vec<u8>)),
    /// By statements.
    Sql(&'static str),
    /// The copy that was made before the last commands takes its place.
    OldCopy,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    All,
    Nothing,
}

/// So many bytes of SQLite's file are one page.
const PAGE: usize = 4096;

const JOURNAL: &[JournalRow] = &[
    JournalRow {
        name: "torn tail",
        fault: Fault::Bytes(|bytes| {
            // The last pages are not there, as after a copy that was broken off.
            let pages = bytes.len() / PAGE;
            bytes.truncate((pages * 2 / 3) * PAGE + PAGE / 2);
        }),
        says: &["is damaged", "restore the file"],
        known: Known::Nothing,
        records: false,
    },
    JournalRow {
        name: "flipped bit",
        fault: Fault::Bytes(|bytes| {
            // In the last word of the person who spoke last, which is after all that the tasks came from.
            let word = b"flip me";
            let place = bytes
                .windows(word.len())
                .rposition(|window| window == word)
                .expect("the record is in the file");
            bytes[place] ^= 1;
        }),
        says: &["does not match its hash", "restore the file"],
        known: Known::All,
        records: true,
    },
    JournalRow {
        name: "missing rows",
        fault: Fault::Sql("DELETE FROM records WHERE seq = (SELECT MAX(seq) - 1 FROM records)"),
        says: &[
            "it is missing, though there are later ones",
            "restore the file",
        ],
        known: Known::All,
        records: true,
    },
    JournalRow {
        name: "old copy restored",
        fault: Fault::OldCopy,
        says: &["is an old copy", "restore the newest copy"],
        known: Known::All,
        records: true,
    },
];

/// The files of a journal, as somebody keeps them.
fn kept(config: &ServeConfig) -> BTreeMap<PathBuf, Vec<u8>> {
    ["journal.db", "journal.db.head"]
        .into_iter()
        .map(|name| {
            let path = plane::in_home(config, name);
            let bytes = std::fs::read(&path).expect("it reads");
            (path, bytes)
        })
        .collect()
}

fn put(files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        std::fs::write(path, bytes).expect("it writes");
    }
    for ending in ["-wal", "-shm"] {
        let path = files.keys().next().expect("a file");
        let mut name = path.clone().into_os_string();
        name.push(ending);
        let _ = std::fs::remove_file(name);
    }
}

/// Has SQLite write all of its log into the file, as its last connection does a moment after the control plane's end.
async fn written_out(path: &Path) {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .expect("SQLite opens the file");
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .await
        .expect("it writes");
    connection.close().await.expect("it closes");
}

async fn sql(path: &Path, statements: &str) {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .expect("SQLite opens the file");
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DROP TRIGGER records_are_not_changed; DROP TRIGGER records_are_not_removed; {statements}"
    )))
    .execute(&mut connection)
    .await
    .expect("the statements run");
    connection.close().await.expect("it closes");
}

/// All that changes something, as the API's own description lists it. Sessions change nothing of the fleet.
fn writes() -> Vec<(Method, String)> {
    let description: Value = serde_json::from_str(&openapi::json()).expect("the description");
    let mut writes = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        // Whatever is named: it is refused before anybody looks whether that is there.
        let path = path.replace('{', "some-").replace('}', "");
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            if method != Method::GET && path != "/api/v1/session" {
                writes.push((method, path.clone()));
            }
        }
    }
    assert!(writes.len() > 15, "{writes:?}");
    writes
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_journal_freezes_the_control_plane_and_leaves_what_runs() {
    for row in JOURNAL {
        let began = Instant::now();
        let name = row.name;
        let mut town = Town::new().await;
        let older = {
            let config = town.plane.stop().await;
            written_out(&plane::in_home(&config, "journal.db")).await;
            let older = kept(&config);
            town.plane = Plane::start(config).await;
            town.plane
                .until("it leads again", is_well(&town.first))
                .await;
            older
        };
        // Some words more, the last of which can be found in the file.
        for scope in ["one", "flip me"] {
            let freeze = json!({ "scope": { "scope": "cell" }, "reason": scope });
            let (status, answer) = town.plane.post("/api/v1/freeze", freeze).await;
            assert!(status.is_success(), "{answer}");
        }
        let before = town.plane.fleet().await;
        let config = town.plane.stop().await;
        let journal = plane::in_home(&config, "journal.db");
        // As after a kill: a control plane that ends in good order leaves a snapshot of its last record.
        sql(&journal, "PRAGMA secure_delete = ON; DELETE FROM snapshots").await;
        written_out(&journal).await;
        let good = kept(&config);
        match &row.fault {
            Fault::Bytes(harm) => {
                let mut bytes = std::fs::read(&journal).expect("it reads");
                harm(&mut bytes);
                std::fs::write(&journal, bytes).expect("it writes");
            }
            Fault::Sql(statement) => {
                let mut connection = SqliteConnectOptions::new()
                    .filename(&journal)
                    .connect()
                    .await
                    .expect("SQLite opens the file");
                sqlx::raw_sql(*statement)
                    .execute(&mut connection)
                    .await
                    .expect("the statement runs");
                connection.close().await.expect("it closes");
            }
            Fault::OldCopy => {
                std::fs::write(&journal, &older[&journal]).expect("it writes");
            }
        }
        let harmed = std::fs::read(&journal).expect("it reads");
        let orders = town.host.orders();

        town.plane = Plane::start(config).await;
        // Reads are up, and say what is wrong first of all.
        let fleet = town.plane.fleet().await;
        assert!(
            pages(&fleet).contains(&"journal-damaged"),
            "{name}: {fleet:#}"
        );
        let message = alert(&fleet, "journal-damaged");
        let freeze = &fleet["freezes"][0];
        assert_eq!(freeze["scope"]["scope"], "cell", "{name}: {freeze}");
        let frozen = freeze["reason"].as_str().expect("a reason");
        assert!(
            frozen.starts_with("frozen: journal damaged"),
            "{name}: {frozen}"
        );
        let (ready, why) = town.plane.ask(Method::GET, "/readyz", None).await;
        assert_eq!(ready, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        let why = why.to_string();
        for words in row.says {
            for said in [message, frozen, &why] {
                assert!(said.contains(words), "{name}: {words}: {said}");
            }
        }
        for path in [
            "/healthz",
            "/api/v1/jobs",
            "/api/v1/tasks",
            "/api/v1/hosts",
            "/metrics",
        ] {
            let (status, body) = town.plane.ask(Method::GET, path, None).await;
            assert_eq!(status, StatusCode::OK, "{name}: {path}: {body}");
        }
        let tasks = town.plane.get("/api/v1/tasks").await;
        let known = match row.known {
            Known::All => TASKS,
            Known::Nothing => 0,
        };
        assert_eq!(
            tasks["items"].as_array().map(Vec::len),
            Some(known),
            "{name}"
        );
        let (events, body) = town
            .plane
            .ask(Method::GET, "/api/v1/events?kind=stop_ordered", None)
            .await;
        assert_eq!(events.is_success(), row.records, "{name}: {body}");
        // It has not taken the leadership, and knows no later record than it can trust.
        assert!(
            fleet["epoch"].as_u64() <= before["epoch"].as_u64(),
            "{name}"
        );
        assert!(fleet["seq"].as_u64() <= before["seq"].as_u64(), "{name}");
        assert_eq!(fleet["hosts_reachable"], 0, "{name}");

        // No write is taken, by whatever way.
        for (method, path) in writes() {
            let body = json!({ "reason": "to see" });
            let (status, refused) = town.plane.ask(method.clone(), &path, Some(body)).await;
            assert_eq!(
                status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{name}: {method} {path}: {refused}"
            );
            assert_eq!(
                refused["code"], "journal-damaged",
                "{name}: {method} {path}: {refused}"
            );
            assert!(
                refused["hint"].to_string().contains("restore the journal"),
                "{name}: {refused}"
            );
        }

        // The host is told why, gets no orders, and has what it had.
        town.host
            .until("the host is told why", |state| {
                matches!(state, LinkState::Down { why } if why.contains("journal is damaged"))
            })
            .await;
        tokio::time::sleep(A_WHILE).await;
        town.assert_nothing_is_stopped(name).await;
        assert_eq!(town.host.orders(), orders, "{name}: it got orders");
        let (status, _) = town.plane.ask(Method::GET, "/healthz", None).await;
        assert_eq!(status, StatusCode::OK, "{name}: it stays up");

        // Nothing was written, and with the journal restored all goes on with the same containers.
        let config = town.plane.stop().await;
        assert!(
            std::fs::read(&journal).expect("it reads") == harmed,
            "{name}: the journal was written"
        );
        put(&good);
        town.plane = Plane::start(config).await;
        let resume = json!({ "scope": { "scope": "cell" }, "reason": "restored" });
        let (status, answer) = town.plane.post("/api/v1/resume", resume).await;
        assert!(status.is_success(), "{name}: {answer}");
        town.plane.until(name, is_well(&town.first)).await;
        town.assert_nothing_is_stopped(name).await;
        town.assert_reads(name).await;
        town.plane.stop().await;
        println!("{name}: {:.1?}", began.elapsed());
    }
}
