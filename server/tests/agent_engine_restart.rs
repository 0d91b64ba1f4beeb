//! The agent while its engine is killed: it needs root, `dockerd`, `containerd` and `ip`, and starts an engine of its own, so
//! that nobody else's containers are touched.

mod agent_docker_rig;

use agent_docker_rig::{Rig, docker_on, launch, registry, run_item};
use muster_schemas::state::Outcome;
use muster_schemas::wire::Launch;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// An engine with its own folders, socket and bridge, and with live-restore. Its `containerd` is a process of its own, as
/// where a service manager runs both.
struct Engine {
    folder: tempfile::TempDir,
    bridge: String,
    containerd: Option<Child>,
    dockerd: Option<Child>,
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "this test needs root and the ip command: ip {args:?}"
    );
}

impl Engine {
    fn new() -> Self {
        // Tests of one program run at once, and each needs a network of its own.
        static ENGINES: AtomicU8 = AtomicU8::new(0);
        let number = ENGINES.fetch_add(1, Ordering::Relaxed);
        let bridge = format!("mt{}n{number}", std::process::id() % 1_000_000);
        ip(&["link", "add", "name", &bridge, "type", "bridge"]);
        let mut engine = Self {
            folder: tempfile::tempdir().unwrap(),
            bridge,
            containerd: None,
            dockerd: None,
        };
        // A part of the range for benchmarks, which no network uses.
        let address = format!("198.18.{}.1/24", 77 + number);
        ip(&["addr", "add", &address, "dev", &engine.bridge]);
        ip(&["link", "set", &engine.bridge, "up"]);
        engine.start_containerd();
        engine.start();
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> File {
        let path = self.path("log");
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
    }

    fn start_containerd(&mut self) {
        let child = Command::new("containerd")
            .args(["--config", "/dev/null", "--log-level", "error"])
            .arg("--root")
            .arg(self.path("containerd-root"))
            .arg("--state")
            .arg(self.path("containerd-state"))
            .arg("--address")
            .arg(self.path("containerd.sock"))
            .stdout(self.log())
            .stderr(self.log())
            .spawn()
            .expect("this test needs containerd");
        self.containerd = Some(child);
    }

    fn socket(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    fn start(&mut self) {
        assert!(
            self.starts(),
            "dockerd does not start: {}",
            std::fs::read_to_string(self.path("log")).unwrap_or_default()
        );
    }

    /// Starts it and says whether it answers in time.
    fn starts(&mut self) -> bool {
        let _ = std::fs::remove_file(self.path("pid"));
        let child = Command::new("dockerd")
            .arg("--live-restore")
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .arg("--containerd")
            .arg(self.path("containerd.sock"))
            .args(["-H", &self.socket(), "--bridge", &self.bridge])
            .args(["--iptables=false", "--ip-masq=false"])
            .stdout(self.log())
            .stderr(self.log())
            .spawn()
            .expect("this test needs dockerd");
        self.dockerd = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.answers() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    }

    fn answers(&self) -> bool {
        let output = Command::new("docker")
            .args(["-H", &self.socket(), "info"])
            .output();
        output.is_ok_and(|output| output.status.success())
    }

    /// As by `kill -9`.
    fn kill(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            dockerd.kill().unwrap();
            dockerd.wait().unwrap();
        }
    }
}

impl Drop for Engine {
    /// Whatever happened in the test: no container, process, mount or bridge of its stays.
    fn drop(&mut self) {
        if self.dockerd.is_none() {
            self.starts();
        }
        let socket = self.socket();
        let engine = |args: &[&str]| {
            Command::new("docker")
                .args(["-H", &socket])
                .args(args)
                .output()
        };
        if let Ok(listed) = engine(&["ps", "-aq"]) {
            for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
                let _ = engine(&["rm", "-f", id]);
            }
        }
        for process in [&mut self.dockerd, &mut self.containerd] {
            if let Some(mut process) = process.take() {
                // A gentle end, so that it takes down what it mounted.
                let pid = process.id().to_string();
                let _ = Command::new("kill").args(["-TERM", &pid]).status();
                let _ = process.wait();
            }
        }
        // The engine's helpers for containers that it forgot are nobody's any more.
        let folder = self.folder.path().display().to_string();
        let _ = Command::new("pkill")
            .args(["-KILL", "-f", &folder])
            .status();
        let _ = Command::new("umount").arg(self.path("data")).output();
        let _ = Command::new("ip")
            .args(["link", "del", &self.bridge])
            .status();
    }
}

/// Pulls an image and returns its reference by digest.
fn pull(socket: &str, tag: &str) -> String {
    docker_on(socket, &["pull", "-q", tag]);
    let format = "{{index .RepoDigests 0}}";
    docker_on(socket, &["image", "inspect", "-f", format, tag])
}

/// How many of them run by the kernel's word, whatever the engine says. A container's environment names its attempt.
fn attempts_with_processes(launches: &[Launch]) -> usize {
    let environments: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("environ")).ok())
        .map(|environment| String::from_utf8_lossy(&environment).into_owned())
        .collect();
    launches
        .iter()
        .map(|launch| launch.attempt.to_string())
        .filter(|attempt| environments.iter().any(|text| text.contains(attempt)))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_loses_nothing_and_starts_nothing_twice() {
    let mut engine = Engine::new();
    let socket = engine.socket();
    let tag = format!("{}/example/web:1", registry());
    let image = pull(&socket, &tag);
    let mut rig = Rig::started_on(&socket, "restart").await;
    let launches: Vec<Launch> = (0..12).map(|index| launch(&image, index)).collect();
    let assign = |count: usize| launches[..count].iter().map(run_item).collect();
    let identities = |rig: &Rig, count: usize| -> Vec<_> {
        launches[..count]
            .iter()
            .map(|l| (rig.container(l), rig.attempts[&l.attempt].started_at))
            .collect()
    };

    rig.assign(assign(3)).await;
    rig.until("three run", |rig| launches[..3].iter().all(|l| rig.runs(l)))
        .await;
    let before = identities(&rig, 3);
    for round in 0..3 {
        // Three more are being launched when the engine dies.
        let count = 6 + round * 3;
        rig.assign(assign(count.min(12))).await;
        rig.idle(Duration::from_millis(150 * (round as u64 + 1)))
            .await;
        engine.kill();
        let ended = |rig: &Rig| launches.iter().filter(|l| rig.ended(l).is_some()).count();
        let ended_before = ended(&rig);
        rig.until("it is told that the engine is away", |rig| {
            rig.facts
                .as_ref()
                .is_some_and(|facts| facts.not_ready.is_some())
        })
        .await;
        assert_eq!(ended(&rig), ended_before, "{:#?}", rig.attempts);
        engine.start();
        rig.until("each runs, or is known not to have started", |rig| {
            launches[..count.min(12)]
                .iter()
                .all(|l| rig.runs(l) || rig.ended(l).is_some())
        })
        .await;
        // A start that the engine was killed in is not repeated.
        for launch in &launches {
            let Some(ended) = rig.ended(launch) else {
                continue;
            };
            if ended.outcome == Outcome::Failed && ended.system_error {
                continue;
            }
            panic!("{:#?}", rig.attempts[&launch.attempt]);
        }
        assert_eq!(before, identities(&rig, 3), "adopted, not started again");
    }
    let label = format!("label=muster.cell={}", rig.cell);
    let listed = docker_on(
        &socket,
        &["ps", "-a", "--filter", &label, "--format", "{{.Names}}"],
    );
    let names: Vec<&str> = listed.lines().collect();
    let distinct: BTreeSet<&&str> = names.iter().collect();
    assert_eq!(names.len(), distinct.len(), "{listed}");
    let running = launches.iter().filter(|l| rig.runs(l)).count();
    assert!((3..=names.len()).contains(&running), "{listed}");
    assert_eq!(attempts_with_processes(&launches), running);
    // The rig's containers go before their engine does.
    drop(rig);
    drop(engine);
}

/// What a daemon leaves behind that was killed between its word to containerd to start a container and its own note of it: a
/// process that no command of the engine reaches, of a container that it calls created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_of_a_start_that_the_engine_forgot_is_ended_before_it_is_told() {
    let mut engine = Engine::new();
    let socket = engine.socket();
    let image = pull(&socket, &format!("{}/example/web:1", registry()));
    let mut rig = Rig::started_on(&socket, "forgotten").await;
    let launches: Vec<Launch> = (0..2).map(|index| launch(&image, index)).collect();
    rig.assign(launches.iter().map(run_item).collect()).await;
    rig.until("both run", |rig| launches.iter().all(|l| rig.runs(l)))
        .await;
    let id = rig.container(&launches[0]);
    rig.kill().await;
    engine.kill();
    let note = engine.path(&format!("data/containers/{id}/config.v2.json"));
    let mut noted: Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    for (name, unstarted) in [
        ("Running", json!(false)),
        ("Pid", json!(0)),
        ("StartedAt", json!("0001-01-01T00:00:00Z")),
    ] {
        noted["State"][name] = unstarted;
    }
    std::fs::write(&note, noted.to_string()).unwrap();
    engine.start();
    let state = docker_on(&socket, &["inspect", "-f", "{{.State.Status}}", &id]);
    assert_eq!(state, "created");
    assert_eq!(attempts_with_processes(&launches), 2);

    rig.start().await;
    let ended = rig.end_of(&launches[0]).await;
    assert_eq!(ended.outcome, Outcome::Failed);
    assert!(ended.system_error, "{ended:?}");
    assert_eq!(attempts_with_processes(&launches), 1);
    assert!(rig.runs(&launches[1]));
    drop(rig);
    drop(engine);
}
