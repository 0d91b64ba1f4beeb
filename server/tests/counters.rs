//! The counters of `/metrics` against the journal: after a hundred commits, and after a control plane that was killed.
//!
//! The control plane is the real binary's process on a real git repository, with a host that is connected over TLS and does all that it
//! is told. Both sides are read by the public API alone.

mod git_repo;
mod plane_host;
mod ports;

use git_repo::Repo;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::{AttemptStatus, Ended, Outcome, Phase};
use muster_schemas::wire::{Assignment, Launch};
use plane_host::{Engine, Host, status};
use ports::free_address;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);

// ---- A control plane as a process of its own: the counters are the process's, and end with it.

struct Plane {
    home: PathBuf,
    repository: String,
    listen: String,
    agent_listen: String,
    http: reqwest::Client,
    child: Option<Child>,
}

impl Plane {
    fn new(home: &Path, repository: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::fs::create_dir_all(home).expect("a folder");
        Self {
            home: home.to_owned(),
            repository: repository.to_owned(),
            listen: free_address().to_string(),
            agent_listen: free_address().to_string(),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(30))
                .build()
                .expect("a client"),
            child: None,
        }
    }

    /// Starts it, and waits until it does its work.
    async fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("serve.log"))
            .expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_muster"))
            // It is told of each commit, so that it need not look by itself.
            .args(["serve", "--cell", "test", "--poll", "1h"])
            .args(["--repo", &self.repository])
            .args(["--home", "serve"])
            .args(["--listen", &self.listen])
            .args(["--agent-listen", &self.agent_listen])
            .current_dir(&self.home)
            .env_remove("MUSTER_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("muster starts");
        self.child = Some(child);
        let began = Instant::now();
        loop {
            let answer = self
                .http
                .get(format!("http://{}/readyz", self.listen))
                .send()
                .await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "it is not ready");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends it without a chance to put anything in order, as a crash does.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    async fn text(&self, method: Method, path: &str, body: Option<Value>) -> String {
        let token = std::fs::read_to_string(self.home.join("serve/token")).expect("a token");
        let url = format!("http://{}{path}", self.listen);
        let mut request = self.http.request(method, url).bearer_auth(token.trim());
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("an answer's text");
        assert!(status.is_success(), "{path}: {status}: {text}");
        text
    }

    async fn get(&self, path: &str) -> Value {
        let text = self.text(Method::GET, path, None).await;
        serde_json::from_str(&text).expect("JSON")
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let text = self.text(Method::POST, path, Some(body)).await;
        serde_json::from_str(&text).expect("JSON")
    }

    /// Tells it that the repository has moved, and waits until the journal says what became of the commit.
    async fn follow(&self, commit: &str) {
        self.post("/api/v1/repository/refresh", json!({})).await;
        let path = "/api/v1/events?kind=plan_made&kind=repository_troubled&limit=1";
        let began = Instant::now();
        loop {
            let page = self.get(path).await;
            let data = &page["items"][0]["data"];
            if data["plan"]["revision"]["commit"] == commit || data["trouble"]["commit"] == commit {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "nothing is told of {commit}: {page:#}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the fleet is as it should be.
    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let fleet = self.get("/api/v1/fleet").await;
            if is_so(&fleet) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {fleet:#}");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn metrics(&self) -> String {
        self.text(Method::GET, "/metrics", None).await
    }

    /// All events there are, oldest first, page by page.
    async fn events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/events?after=0&limit=100{cursor}");
            let mut page = self.get(&path).await;
            if let Some(items) = page["items"].as_array_mut() {
                events.append(items);
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return events,
            }
        }
    }

    /// Compares each counter with the records that it is of, and gives what they say.
    async fn assert_counted(&self) -> Counts {
        let began = Instant::now();
        loop {
            let before = self.metrics().await;
            let events = self.events().await;
            let after = self.metrics().await;
            // Where something happened meanwhile, the pages are of different moments.
            let is_one_moment = counted(&before) == counted(&after)
                && journal_seq(&before) == journal_seq(&after)
                && events.last().map(|event| event["seq"].to_string()) == Some(journal_seq(&after));
            if is_one_moment {
                for (place, event) in (1_u64..).zip(&events) {
                    assert_eq!(event["seq"], place, "a page of events has a gap");
                }
                let leads = events
                    .iter()
                    .rposition(|event| event["kind"] == "leadership_taken")
                    .expect("somebody leads");
                let recorded = recorded(&events[leads..]);
                assert_eq!(counted(&after), recorded, "counted, and recorded");
                return recorded;
            }
            assert!(began.elapsed() < PATIENCE, "it does not come to rest");
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.home.join("serve.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(60);
            eprintln!(
                "--- the end of the control plane's log:\n{}",
                lines[last..].join("\n")
            );
        }
    }
}

// ---- The two sides.

/// Counters that are not 0, by their names with labels.
type Counts = BTreeMap<String, u64>;

/// The counters that are of records.
const COUNTERS: [&str; 6] = [
    "muster_events_total",
    "muster_plans_total",
    "muster_syncs_total",
    "muster_stops_total",
    "muster_attempts_ended_total",
    "muster_tasks_finished_total",
];

/// What `/metrics` says.
fn counted(page: &str) -> Counts {
    let mut counts = Counts::new();
    for line in page.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let name = series.split('{').next().unwrap_or_default();
        if COUNTERS.contains(&name) {
            let value: u64 = value.parse().expect("a counter is a whole number");
            if value > 0 {
                counts.insert(series.to_owned(), value);
            }
        }
    }
    counts
}

/// Each metric says what it is.
fn assert_described(page: &str) {
    let of = |word: &str| -> BTreeSet<String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(word));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        names.map(str::to_owned).collect()
    };
    let (typed, described) = (of("# TYPE "), of("# HELP "));
    assert!(typed.contains("muster_journal_append_seconds"), "{typed:?}");
    let missing: Vec<&String> = typed.difference(&described).collect();
    assert!(missing.is_empty(), "without a description: {missing:?}");
}

/// The value of the one series of a metric without labels.
fn value_of<'p>(page: &'p str, name: &str) -> &'p str {
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("there is no {name} in\n{page}"))
}

fn journal_seq(page: &str) -> String {
    value_of(page, "muster_journal_seq").to_owned()
}

/// What the journal says, by the words that stand in it.
fn recorded(events: &[Value]) -> Counts {
    let mut counts = Counts::new();
    let mut add = |name: &str, label: &str, word: &Value| {
        let word = word.as_str().unwrap_or_else(|| panic!("{name}: {word}"));
        *counts
            .entry(format!("{name}{{{label}=\"{word}\"}}"))
            .or_default() += 1;
    };
    for event in events {
        let data = &event["data"];
        let kind = event["kind"].as_str().expect("a kind");
        add("muster_events_total", "kind", &event["kind"]);
        match kind {
            "plan_made" => {
                let has_none =
                    |field: &str| data["plan"][field].as_array().is_none_or(Vec::is_empty);
                let is_whole = has_none("refused") && has_none("withheld");
                let taken = if is_whole { "whole" } else { "in_part" };
                add("muster_plans_total", "taken", &json!(taken));
            }
            "plan_applied" => add("muster_syncs_total", "result", &json!("applied")),
            "plan_held" => add("muster_syncs_total", "result", &json!("held")),
            "plan_refused" => add("muster_syncs_total", "result", &json!("refused")),
            "repository_troubled" => {
                add("muster_syncs_total", "result", &data["trouble"]["trouble"]);
            }
            "stop_ordered" => {
                add(
                    "muster_stops_total",
                    "reason",
                    &data["order"]["reason"]["reason"],
                );
            }
            "attempt_reported" if data["status"]["phase"] == "ended" => {
                add(
                    "muster_attempts_ended_total",
                    "outcome",
                    &data["status"]["outcome"],
                );
            }
            "task_finished" => {
                add("muster_tasks_finished_total", "outcome", &data["outcome"]);
            }
            _ => {}
        }
    }
    counts
}

// ---- A host.

/// What a host has of an attempt.
struct Container {
    job: String,
    phase: Phase,
    /// Grows with each change.
    sequence: u64,
    /// Whether it was told of as it is.
    is_told: bool,
}

impl Container {
    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.sequence += 1;
        self.is_told = false;
    }

    fn end(&mut self, outcome: Outcome, exit_code: i32, message: &str) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.turn(Phase::Ended(Ended {
            outcome,
            exit_code: Some(exit_code),
            signal: None,
            oom: false,
            at: jiff::Timestamp::now(),
            message: message.to_owned(),
            system_error: false,
        }));
    }
}

/// An engine that starts what it is to run and stops what it is ordered to stop. The tasks of `done-…` end well by themselves, and those
/// of `fails-…` do not.
#[derive(Default)]
struct Containers(BTreeMap<AttemptId, Container>);

impl Engine for Containers {
    fn follow(&mut self, items: Vec<Assignment>) {
        for item in items {
            let attempt = item.attempt();
            match item {
                Assignment::Run(launch) => {
                    self.of(attempt, &launch, Phase::Running);
                }
                Assignment::Stop { launch, .. } => self.of(attempt, &launch, Phase::Accepted).end(
                    Outcome::Stopped,
                    143,
                    "exited with 143",
                ),
                Assignment::Keep { .. } => {}
                Assignment::Remove { .. } => {
                    self.0.remove(&attempt);
                }
            }
        }
    }

    fn attempts(&self) -> Vec<AttemptStatus> {
        let containers = self.0.iter();
        containers
            .map(|(attempt, one)| status(*attempt, one.sequence, one.phase.clone()))
            .collect()
    }

    /// What becomes of a container by itself, once it was told that it runs.
    fn told(&mut self) {
        for container in self.0.values_mut() {
            if !container.is_told {
                container.is_told = true;
            } else if container.job.starts_with("done-") {
                container.end(Outcome::Succeeded, 0, "exited with 0");
            } else if container.job.starts_with("fails-") {
                container.end(Outcome::Failed, 1, "exited with 1");
            }
        }
    }
}

impl Containers {
    /// The attempt's container, as it is, or a new one in this phase.
    fn of(&mut self, attempt: AttemptId, launch: &Launch, phase: Phase) -> &mut Container {
        self.0.entry(attempt).or_insert_with(|| Container {
            job: launch.job.to_string(),
            phase,
            sequence: 1,
            is_told: false,
        })
    }
}

async fn host(plane: &Plane, home: &Path) -> Host {
    let token = plane.post("/api/v1/enrolments", json!({})).await;
    let token = token["token"].as_str().expect("a token");
    let url = format!("https://{}", plane.agent_listen);
    Host::join(
        &url,
        token,
        home,
        Duration::from_millis(50),
        Containers::default(),
    )
    .await
}

// ---- A hundred commits.

/// Removals are stops, and only what takes away many tasks at once is held.
const POLICY: &str = "apiVersion: muster/v1\nkind: Policy\nname: default\nprune: true\npruneGrace: 0s\nlimits:\n  \
                      stopsPerPlan: {count: 5, percent: 20}\n  planWindow: 0s\n  stopsPerMinute: {count: 1000}\n";

/// The tasks of the job that is there from the first commit to the last.
const WALL: usize = 6;

/// An image by its digest, so that no registry is asked.
fn image(number: usize) -> String {
    format!("registry.example.com/app@sha256:{number:064x}")
}

fn head(name: &str, number: usize, note: &str) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: team@example.com\nimage: {}\n\
         env: {{NOTE: \"{note}\"}}\nresources: {{cpu: 0.1, memory: 16MiB}}\n",
        image(number)
    )
}

fn service(name: &str, desired: usize, number: usize, note: &str) -> String {
    format!(
        "{}service:\n  capacity: {{desired: {desired}}}\n  rollout: {{minHealthyTime: 0s}}\n",
        head(name, number, note)
    )
}

fn batch(name: &str, size: usize) -> String {
    format!(
        "{}batch:\n  size: {size}\n  retry: {{immediate: {{retries: 1}}}}\n",
        head(name, 1, "once")
    )
}

fn write(repo: &Repo, name: &str, text: &str) {
    repo.write(&format!("jobs/{name}.yaml"), text.as_bytes());
}

fn remove(repo: &Repo, name: &str) {
    repo.git(&["rm", "-q", &format!("jobs/{name}.yaml")]);
}

/// Ten commits, each followed before the next, with all that people and disks do to a repository; gives the last.
async fn ten_commits(plane: &Plane, repo: &Repo, round: usize) -> Vec<String> {
    let mut commits = Vec::new();
    let name = format!("svc-{round}");
    let mut follow = async |commit: String| {
        plane.follow(&commit).await;
        commits.push(commit);
    };

    // A new service. The first commit brings the policy, too; after the held plan its documents are put back.
    write(repo, &name, &service(&name, 2, 1, "new"));
    repo.write("policy.yaml", POLICY.as_bytes());
    write(repo, "wall", &service("wall", WALL, 1, "it stays"));
    follow(repo.commit("a new service")).await;

    write(repo, &name, &service(&name, 2, 2, "new"));
    follow(repo.commit("a new image")).await;

    write(repo, &name, &service(&name, 3, 2, "new"));
    follow(repo.commit("more tasks")).await;

    let done = format!("done-{round}");
    write(repo, &done, &batch(&done, 2));
    follow(repo.commit("a batch that does its work")).await;

    let fails = format!("fails-{round}");
    write(repo, &fails, &batch(&fails, 1));
    follow(repo.commit("a batch that fails")).await;

    write(
        repo,
        "broken",
        "apiVersion: muster/v1\nkind: Job\nname: broken\nimgae: x\n",
    );
    follow(repo.commit("a document that does not hold")).await;

    remove(repo, "broken");
    write(repo, &name, &service(&name, 1, 2, "new"));
    follow(repo.commit("fewer tasks")).await;

    let sound = repo.git(&["rev-parse", "HEAD"]);
    if round.is_multiple_of(2) {
        // The disk keeps half of a file before the branch has its commit.
        repo.git(&["checkout", "-q", "-b", &format!("side-{round}")]);
        let note = format!("cut {round}");
        write(repo, &name, &service(&name, 1, 2, &note));
        let commit = repo.commit("a file that cannot be read");
        let object = repo.git(&["rev-parse", &format!("HEAD:jobs/{name}.yaml")]);
        repo.cut_object(&object, 2);
        repo.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
        repo.git(&["update-ref", "refs/heads/main", &commit]);
        follow(commit).await;
        repo.git(&["reset", "-q", "--hard", &sound]);
    } else {
        repo.git(&["rm", "-q", "-r", "."]);
        follow(repo.commit_staged("nothing is left")).await;
        repo.git(&["checkout", "-q", &sound, "--", "."]);
    }

    write(repo, &name, &service(&name, 1, 2, "mended"));
    follow(repo.commit("another variable")).await;

    match round.checked_sub(1) {
        None => repo.write("README.md", b"What runs here.\n"),
        Some(before) => remove(repo, &format!("svc-{before}")),
    }
    if round == HELD {
        remove(repo, "wall");
    }
    follow(repo.commit("what is not needed any more is removed")).await;
    commits
}

/// The round whose last commit takes too much away.
const HELD: usize = 4;

/// The tasks of the last service and of the wall run, and nothing else is under way.
fn is_at_rest(commit: &str) -> impl Fn(&Value) -> bool {
    let commit = commit.to_owned();
    move |fleet| {
        let tasks = &fleet["tasks"];
        fleet["revision"]["commit"] == commit.as_str()
            && fleet["hosts_reachable"] == 1
            && fleet["healthy"] == WALL + 1
            && tasks["running"] == WALL + 1
            && ["queued", "assigned", "starting", "stopping"]
                .iter()
                .all(|state| tasks[*state] == 0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counters_say_what_the_journal_holds_after_a_hundred_commits() {
    let repo = Repo::new();
    let home = tempfile::tempdir().expect("a folder");
    let mut plane = Plane::new(&home.path().join("control"), &repo.remote().url);
    plane.start().await;
    let _host = host(&plane, &home.path().join("host")).await;

    let mut commits = Vec::new();
    for round in 0..10 {
        commits.extend(ten_commits(&plane, &repo, round).await);
    }
    assert_eq!(commits.len(), 100);
    let last = commits.last().expect("a hundred");
    plane
        .until("the last commit stands", is_at_rest(last))
        .await;
    let counts = plane.assert_counted().await;

    // That both sides say the same is worth something where they say what was done.
    let count = |series: &str| counts.get(series).copied().unwrap_or(0);
    let unreadable = count("muster_syncs_total{result=\"unreadable\"}");
    let empty = count("muster_syncs_total{result=\"empty\"}");
    assert_eq!((unreadable, empty), (5, 5), "{counts:#?}");
    assert_eq!(count("muster_events_total{kind=\"plan_made\"}"), 90);
    assert_eq!(count("muster_plans_total{taken=\"in_part\"}"), 10);
    assert_eq!(count("muster_plans_total{taken=\"whole\"}"), 80);
    assert_eq!(count("muster_syncs_total{result=\"applied\"}"), 89);
    for series in [
        "muster_events_total{kind=\"attempt_placed\"}",
        "muster_syncs_total{result=\"held\"}",
        "muster_stops_total{reason=\"rollout\"}",
        "muster_stops_total{reason=\"scale_in\"}",
        "muster_stops_total{reason=\"prune\"}",
        "muster_attempts_ended_total{outcome=\"succeeded\"}",
        "muster_attempts_ended_total{outcome=\"failed\"}",
        "muster_attempts_ended_total{outcome=\"stopped\"}",
        "muster_tasks_finished_total{outcome=\"succeeded\"}",
        "muster_tasks_finished_total{outcome=\"failed\"}",
        "muster_tasks_finished_total{outcome=\"stopped\"}",
    ] {
        assert!(count(series) > 0, "no {series} in {counts:#?}");
    }
    let page = plane.metrics().await;
    assert_described(&page);
    let timed: u64 = value_of(&page, "muster_sync_seconds_count")
        .parse()
        .expect("a whole number");
    assert!(timed >= 90, "{timed} readings were timed");
    assert!(
        page.contains("muster_stops_total{reason=\"drift\"} 0"),
        "what has not happened yet is there as 0"
    );

    // The counters are the process's: after a crash they count from the new leadership's record on, and that as truly.
    plane.kill();
    plane.start().await;
    plane.until("it leads again", is_at_rest(last)).await;
    let again = plane.assert_counted().await;
    let leaderships = again.get("muster_events_total{kind=\"leadership_taken\"}");
    assert_eq!(leaderships, Some(&1), "{again:#?}");
    assert_eq!(again.get("muster_syncs_total{result=\"applied\"}"), None);
    write(&repo, "svc-9", &service("svc-9", 1, 3, "after the crash"));
    let after = repo.commit("after the crash");
    plane.follow(&after).await;
    plane
        .until("the commit after it stands", is_at_rest(&after))
        .await;
    let again = plane.assert_counted().await;
    let applied = again.get("muster_syncs_total{result=\"applied\"}");
    assert_eq!(applied, Some(&1), "{again:#?}");
}
