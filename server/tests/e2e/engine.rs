//! Docker engines: the machine's, and engines of a test's own that may be killed.

use super::poll::{eventually, secs, so};
use super::process::Process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// An engine, asked through the `docker` command.
pub struct Engine {
    /// Its socket's address; none for the one that `docker` takes by itself.
    address: Option<String>,
    own: Option<Own>,
}

struct Own {
    daemon: Process,
    containerd: Process,
    bridge: String,
    directory: TempDir,
}

/// A container as `docker inspect` tells it.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: String,
    pub attempt: String,
    pub task: String,
    /// `created`, `running`, `exited`, …
    pub status: String,
    /// When it was last started.
    pub started_at: String,
    pub finished_at: String,
    pub inspect: Value,
}

impl Container {
    fn of(inspect: Value) -> Self {
        let text = |pointer: &str| {
            inspect
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            id: text("/Id"),
            attempt: text("/Config/Labels/muster.attempt"),
            task: text("/Config/Labels/muster.task"),
            status: text("/State/Status"),
            started_at: text("/State/StartedAt"),
            finished_at: text("/State/FinishedAt"),
            inspect,
        }
    }

    pub fn is_running(&self) -> bool {
        self.status == "running"
    }
}

impl Engine {
    /// The engine that runs on this machine.
    pub fn shared() -> Self {
        let engine = Self {
            address: None,
            own: None,
        };
        if let Err(why) = engine.docker(&["version"]) {
            panic!("these tests need a Docker engine (scripts/setup-docker.sh starts one): {why}");
        }
        engine
    }

    /// An engine of the test's own beside the machine's, with live-restore, on a bridge and in a folder of its own.
    pub fn own() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test starts a Docker engine, for which it has to run as root"
        );
        let directory = tempfile::Builder::new()
            .prefix("muster-engine-")
            .tempdir()
            .unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("daemon.json"), "{}").unwrap();
        let address = format!("unix://{}", path("docker.sock"));
        let bridge = make_bridge();
        // A containerd beside it, as on a machine with an init system: one that is the daemon's child dies with it, and a
        // new daemon takes what is left of it for alive where nobody reaps it.
        let config = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
        std::fs::write(path("containerd.toml"), config).unwrap();
        let containerd = Process::new(
            "the test's containerd",
            "containerd",
            directory.path().join("containerd.log"),
        )
        .arguments(["--log-level", "warn"])
        .arguments(["--config", &path("containerd.toml")])
        .arguments(["--root", &path("containerd"), "--state", &path("state")])
        .arguments(["--address", &path("containerd.sock")]);
        // A second engine must not touch the rules of the first: no iptables, no forwarding. Containers are reached from
        // this machine over the bridge, which needs neither.
        let daemon = Process::new(
            "the test's dockerd",
            "dockerd",
            directory.path().join("log"),
        )
        .arguments([
            "--live-restore",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ])
        .arguments([
            "--config-file",
            &path("daemon.json"),
            "--data-root",
            &path("data"),
            "--exec-root",
            &path("exec"),
            "--pidfile",
            &path("pid"),
            "--host",
            &address,
            "--bridge",
            &bridge,
            "--containerd",
            &path("containerd.sock"),
        ]);
        let mut engine = Self {
            address: Some(address),
            own: Some(Own {
                daemon,
                containerd,
                bridge,
                directory,
            }),
        };
        let own = engine.own.as_mut().expect("it was just made");
        own.containerd.start();
        eventually(secs(30), "containerd listens", || {
            so(
                own.directory.path().join("containerd.sock").exists(),
                || own.containerd.output(),
            )
        });
        engine.start();
        engine.wait();
        engine
    }

    /// The address that an agent is given.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    fn daemon(&mut self) -> &mut Process {
        let own = self.own.as_mut();
        &mut own
            .expect("only an engine of the test's own is killed")
            .daemon
    }

    /// `kill -9` of the daemon; its containers run on.
    pub fn kill(&mut self) {
        self.daemon().kill();
    }

    /// Starts the daemon (again), without waiting for it.
    pub fn start(&mut self) {
        let pid = self
            .own
            .as_ref()
            .map(|own| own.directory.path().join("pid"));
        // The file of a daemon that was killed keeps the next from starting where its number is taken again.
        let _ = std::fs::remove_file(pid.unwrap_or_default());
        self.daemon().start();
    }

    /// Waits until it answers.
    pub fn wait(&mut self) {
        eventually(secs(60), "the engine answers", || {
            if let Some(own) = &mut self.own
                && let Some(status) = own.daemon.ended()
            {
                own.daemon.tell();
                panic!("the test's dockerd ended by itself: {status}");
            }
            self.docker(&["version", "--format", "{{.Server.Version}}"])
        });
    }

    /// What `docker` says with these arguments, or its error.
    pub fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.ask(arguments);
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(format!(
                "docker {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))
        }
    }

    /// An engine can lock itself up for good; the machine's is started again then (`scripts/docker-watch.sh`), and the
    /// question is put to its successor.
    fn ask(&self, arguments: &[&str]) -> std::process::Output {
        const TRIES: u32 = 6;
        /// What `timeout` ends with.
        const TOO_LATE: i32 = 124;
        for number in 1.. {
            let mut docker = Command::new("timeout");
            docker.args(["60", "docker"]);
            if let Some(address) = &self.address {
                docker.args(["--host", address]);
            }
            let output = docker
                .args(arguments)
                .output()
                .expect("these tests need the docker command");
            let error = String::from_utf8_lossy(&output.stderr);
            let is_away = output.status.code() == Some(TOO_LATE)
                || error.contains("Cannot connect to the Docker daemon")
                || error.contains("error during connect");
            // A test's own engine is away when the test wants it so.
            if !is_away || self.own.is_some() || number == TRIES {
                return output;
            }
            std::thread::sleep(Duration::from_secs(5));
        }
        unreachable!("the last try returns")
    }

    /// The ids of all containers of a cell, also of those that ended.
    pub fn ids(&self, cell: &str) -> Result<Vec<String>, String> {
        let label = format!("label=muster.cell={cell}");
        let ids = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// All containers of a cell, also those that ended, by `docker inspect`.
    pub fn try_containers(&self, cell: &str) -> Result<Vec<Container>, String> {
        let ids = self.ids(cell)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec!["inspect", "--type", "container"];
        arguments.extend(ids.iter().map(String::as_str));
        // One that was removed since is an error beside an answer for the others.
        let output = self.ask(&arguments);
        let containers: Vec<Value> = serde_json::from_slice(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(containers.into_iter().map(Container::of).collect())
    }

    /// As [`Self::try_containers`], of an engine that answers.
    #[track_caller]
    pub fn containers(&self, cell: &str) -> Vec<Container> {
        self.try_containers(cell).unwrap()
    }

    /// The ids of a cell's running containers.
    #[track_caller]
    pub fn running(&self, cell: &str) -> BTreeSet<String> {
        self.containers(cell)
            .into_iter()
            .filter(Container::is_running)
            .map(|container| container.id)
            .collect()
    }

    /// Removes all containers of a cell; for the end of a test.
    pub fn remove_all(&self, cell: &str) {
        for _ in 0..3 {
            let ids = self.ids(cell).unwrap_or_default();
            if ids.is_empty() {
                return;
            }
            let mut arguments = vec!["rm", "--force"];
            arguments.extend(ids.iter().map(String::as_str));
            let _ = self.docker(&arguments);
        }
    }

    /// The daemon's last lines, if it is the test's own.
    pub fn tell(&self) {
        if let Some(own) = &self.own {
            own.daemon.tell();
        }
    }
}

/// A bridge on a subnet that nothing uses.
fn make_bridge() -> String {
    let ip = |arguments: &[&str]| {
        let output = Command::new("ip").args(arguments).output();
        let output = output.expect("these tests need the ip command");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("ip {arguments:?}: {error}"))
        }
    };
    let taken = ip(&["-4", "-o", "addr"]).unwrap();
    let (bridge, address) = (0..100)
        .map(|_| rand::random::<u16>())
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            (
                format!("mst{number:04x}"),
                format!("10.{}.{low}.1/24", 200 + high % 50),
            )
        })
        .find(|(_, address)| !taken.contains(address.trim_end_matches("1/24")))
        .expect("a free subnet");
    ip(&["link", "add", &bridge, "type", "bridge"]).unwrap();
    ip(&["addr", "add", &address, "dev", &bridge]).unwrap();
    ip(&["link", "set", &bridge, "up"]).unwrap();
    bridge
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.own.is_none() {
            return;
        }
        // All of its containers are the test's.
        let ids = self.docker(&["ps", "--all", "--quiet"]).unwrap_or_default();
        if !ids.is_empty() {
            let mut arguments = vec!["rm", "--force"];
            arguments.extend(ids.lines());
            let _ = self.docker(&arguments);
        }
        let Some(own) = &mut self.own else { return };
        own.daemon.end();
        own.containerd.end();
        end_all_of(own.directory.path());
        unmount_all_under(own.directory.path());
        let _ = Command::new("ip")
            .args(["link", "delete", &own.bridge])
            .output();
    }
}

/// Ends what an engine left behind, such as the keepers of its containers: their arguments name its folder, which those of
/// no other process do.
fn end_all_of(directory: &Path) {
    let folder = directory.display().to_string();
    let own_pid = std::process::id();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|pid| pid.parse().ok())
        else {
            continue;
        };
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if pid != own_pid.cast_signed() && String::from_utf8_lossy(&command).contains(&folder) {
            use rustix::process::{Pid, Signal, kill_process};
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// So that the folder can be removed.
fn unmount_all_under(directory: &Path) {
    let folder = directory.display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| point.starts_with(&folder))
        .collect();
    // The innermost first.
    points.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in points {
        let _ = Command::new("umount").args(["--lazy", point]).output();
    }
}
