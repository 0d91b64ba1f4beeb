//! `muster run`: what runs on a developer's machine is what runs in the fleet, and nothing of it is left behind.

use super::engine::{Container, Engine};
use super::poll::{eventually, secs, so, throughout};
use super::specs::{Service, batch, registry};
use super::stack::{Stack, turn};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

const CELL: &str = "muster-run";

/// A developer's machine: a folder with specs, and one for what `muster run` notes.
struct Desk {
    engine: Engine,
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("muster-desk-").tempdir();
        Self {
            engine: Engine::shared(),
            folder: folder.unwrap(),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let number = rand::random::<u32>();
        let file = |name: &str| self.folder.path().join(format!("{number:08x}.{name}"));
        let (out, err) = (file("out"), file("err"));
        let child = Command::new(env!("CARGO_BIN_EXE_muster"))
            .arg("run")
            .args(arguments)
            .env("XDG_STATE_HOME", self.state())
            .env_remove("MUSTER_LOG")
            .env_remove("MUSTER_DOCKER")
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        Run { child, out, err }
    }

    /// Runs it to its end: the exit code, and what it wrote.
    fn run_to_end(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut run = self.run(arguments);
        let status = run.wait();
        (status.code(), run.out(), run.err())
    }

    /// The containers that commands of this desk made.
    fn try_containers(&self) -> Result<Vec<Container>, String> {
        let base = self.state().display().to_string();
        let containers = self.engine.try_containers(CELL)?.into_iter();
        let ours = containers.filter(|container| {
            container.inspect["Config"]["Labels"]["muster.run.home"]
                .as_str()
                .is_some_and(|home| home.starts_with(&base))
        });
        Ok(ours.collect())
    }

    fn running(&self, task: &str) -> Result<Container, String> {
        let containers = self.try_containers()?;
        let found = containers
            .iter()
            .find(|container| container.task == task && container.is_running());
        found
            .cloned()
            .ok_or_else(|| format!("{task} does not run: {containers:#?}"))
    }

    /// Neither containers nor notes.
    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let left = self.try_containers().unwrap();
        assert!(left.is_empty(), "{left:#?}");
        let notes = std::fs::read_dir(self.state().join("muster").join("run"));
        let notes: Vec<PathBuf> = notes
            .map(|notes| notes.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert!(notes.is_empty(), "{notes:?}");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for container in self.try_containers().unwrap_or_default() {
            let _ = self.engine.docker(&["rm", "--force", &container.id]);
        }
    }
}

/// A command under way.
struct Run {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Run {
    fn text(path: &Path) -> String {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    fn out(&self) -> String {
        Self::text(&self.out)
    }

    fn err(&self) -> String {
        Self::text(&self.err)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    #[track_caller]
    fn says(&self, words: &str) {
        eventually(secs(40), &format!("it says `{words}`"), || {
            so(self.err().contains(words), || self.err())
        });
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        eventually(secs(60), "the command ends", || {
            self.child
                .try_wait()
                .unwrap()
                .ok_or_else(|| format!("{}\n{}", Self::text(&self.out), Self::text(&self.err)))
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A container's environment but for what names the very attempt, host and cell.
fn environment(container: &Container) -> BTreeMap<String, String> {
    let env = container.inspect["Config"]["Env"].as_array().unwrap();
    let pairs = env.iter().map(|pair| {
        let (name, value) = pair.as_str().unwrap().split_once('=').unwrap();
        let is_own = ["MUSTER_ATTEMPT", "MUSTER_CELL", "MUSTER_HOST"].contains(&name);
        (name.to_owned(), if is_own { "…" } else { value }.to_owned())
    });
    pairs.collect()
}

#[test]
fn a_job_runs_here_as_it_does_in_the_fleet_and_leaves_the_fleet_alone() {
    let stack = Stack::start();
    let desk = Desk::new();
    let service = Service::new("web", 1);
    let document = format!(
        "{}stack: prod\nliveness:\n  tcp:\n    port: http\nsecurity:\n  capabilities: [CHOWN]\n  user: \"1000:1000\"\n",
        service.yaml()
    );
    stack.repo.write(&service.file(), &document);
    stack.repo.push("Add web");
    stack.wait_until_settled(&service, 1);
    let in_fleet = stack.containers();
    let before = stack.running();

    let file = desk.write("web.yaml", &document);
    let mut run = desk.run(&[&file]);
    run.says("web.0: healthy: its readiness probe answers (GET /healthz on port http)");
    run.says("web.0: alive: its liveness probe answers (a connection to port http)");
    let here = desk.running("web.0").unwrap();
    let there = &in_fleet[0];
    assert_eq!(here.inspect["HostConfig"], there.inspect["HostConfig"]);
    for field in [
        "User",
        "Cmd",
        "Entrypoint",
        "ExposedPorts",
        "Healthcheck",
        "StopTimeout",
        "Image",
        "WorkingDir",
    ] {
        assert_eq!(
            here.inspect["Config"][field], there.inspect["Config"][field],
            "{field}"
        );
    }
    assert_eq!(here.inspect["Image"], there.inspect["Image"]);
    assert_eq!(environment(&here), environment(there));
    let said = run.err();
    let ip = here.inspect["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].clone();
    for words in [
        "limits: 0.2 CPUs, 16 MiB of memory and none in swap, 64 MiB of /dev/shm",
        "in force: user 1000:1000, capabilities CHOWN, no new privileges, read-only root",
        "MUSTER_CELL is muster-run",
        &format!("port http is at {}:8080", ip.as_str().unwrap()),
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    // A line is on its way for a moment, and may come after the probe's first answer.
    eventually(secs(20), "its log comes", || {
        let out = run.out();
        so(out.contains("example/web:1 listens on port 8080"), || out)
    });

    // The fleet's agent on the same engine takes no notice, over several of its looks.
    throughout(secs(5), "the fleet is left alone", || {
        let hosts = stack.api.hosts()?;
        so(hosts[0].orphans.is_empty(), || format!("{hosts:#?}"))?;
        let alerts = stack.api.fleet()?.alerts;
        so(alerts.is_empty(), || format!("{alerts:#?}"))
    });
    run.signal(Signal::INT);
    assert_eq!(run.wait().code(), Some(0), "{}", run.err());
    for words in [
        "stopping web, which has 2s to end by itself",
        "web.0: stopped, exited with 0",
    ] {
        assert!(run.err().contains(words), "{words}:\n{}", run.err());
    }
    desk.assert_nothing_is_left();
    assert_eq!(stack.running(), before);
}

#[test]
fn a_batch_job_ends_with_its_containers_code() {
    let _turn = turn();
    let desk = Desk::new();
    let file = desk.write("work.yaml", &batch("work", 20, &[0], 1));

    let (code, out, err) = desk.run_to_end(&[&file]);
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(
        out.matches("index 0 ends with exit code 1").count(),
        2,
        "{out}"
    );
    for words in [
        "1 of its 20 tasks runs here (--task-count)",
        "exited with 1; the next attempt comes at",
        "finished (failed): exited with 1; its policy allows no more than 1 retry",
    ] {
        assert!(err.contains(words), "{words}:\n{err}");
    }
    desk.assert_nothing_is_left();

    let (code, out, err) = desk.run_to_end(&[&file, "--once", "--env", "FAIL_CODE=7"]);
    assert_eq!(code, Some(7), "{err}");
    assert_eq!(out.matches("ends with exit code 7").count(), 1, "{out}");
    assert!(
        err.contains("set on the command line: env.FAIL_CODE"),
        "{err}"
    );

    let (code, out, err) = desk.run_to_end(&[&file, "--env=FAIL_INDEXES=", "--task-count=2"]);
    assert_eq!(code, Some(0), "{err}");
    for index in 0..2 {
        let line = format!("work.{index} | index {index} ends with exit code 0");
        assert!(out.contains(&line), "{line}:\n{out}");
    }
    desk.assert_nothing_is_left();

    // What the fleet would say of ends that are not the program's own.
    let ends = |name: &str, entrypoint: &str| {
        let text = batch("work", 1, &[], 0) + &format!("entrypoint: {entrypoint}\n");
        desk.run_to_end(&[&desk.write(name, &text)])
    };
    let (code, _, err) = ends("memory.yaml", "[tail, /dev/zero]");
    assert_eq!(code, Some(137), "{err}");
    assert!(
        err.contains("killed for want of memory (limit 16 MiB)"),
        "{err}"
    );
    let (code, _, err) = ends("nothing.yaml", "[nothing-of-that-name]");
    assert_eq!(code, Some(127), "{err}");
    assert!(
        err.contains("exited with 127 (the command was not found)"),
        "{err}"
    );
    // Somebody else has the port; by itself that would be tried again for ever, since it is not the job's fault.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = batch("work", 1, &[], 0)
        + &format!("ports:\n  - name: http\n    port: 80\n    hostPort: {port}\n");
    let (code, _, err) = desk.run_to_end(&[&desk.write("port.yaml", &text), "--once"]);
    assert_eq!(code, Some(125), "{err}");
    assert!(err.contains("the container could not start"), "{err}");
    desk.assert_nothing_is_left();

    // What does not hold is told as by `muster validate`, and nothing is tried.
    let wrong = desk.write(
        "wrong.yaml",
        &batch("work", 1, &[], 0).replace("owner", "ownr"),
    );
    let (code, _, err) = desk.run_to_end(&[&wrong]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("did you mean `owner`?"), "{err}");
    let (code, _, err) = desk.run_to_end(&[&file, "--docker", "unix:///nowhere/docker.sock"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("the engine does not answer"), "{err}");
    desk.assert_nothing_is_left();
}

#[test]
fn probes_and_images_are_told_as_they_are() {
    let _turn = turn();
    let desk = Desk::new();
    let file = desk.write("web.yaml", &Service::new("web", 3).yaml());
    let mut run = desk.run(&[&file, "--env", "UNHEALTHY=1"]);
    run.says("web.0: its readiness probe has not answered yet (GET /healthz on port http)");
    run.says("web.0: not healthy: its readiness probe fails (GET /healthz answered 404)");
    run.signal(Signal::TERM);
    assert_eq!(run.wait().code(), Some(0), "{}", run.err());

    // Just built, and in no registry.
    let image = format!("{}/example/desk:{:08x}", registry(), rand::random::<u32>());
    let (code, _, err) = desk.run_to_end(&[&file, "--image", &image]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("this machine's engine has no image"), "{err}");
    let web = format!("{}/example/web", registry());
    desk.engine.docker(&["pull", &format!("{web}:2")]).unwrap();
    desk.engine
        .docker(&["tag", &format!("{web}:2"), &image])
        .unwrap();
    let mut run = desk.run(&[&file, "--image", &image]);
    run.says("the fleet needs it in a registry");
    run.says("web.0: healthy:");
    run.signal(Signal::INT);
    assert_eq!(run.wait().code(), Some(0), "{}", run.err());
    assert!(run.out().contains("example/web:2 starts"), "{}", run.out());
    desk.engine.docker(&["rmi", &image]).unwrap();
    desk.assert_nothing_is_left();
}

#[test]
fn a_second_interrupt_kills() {
    let _turn = turn();
    let desk = Desk::new();
    let stubborn = batch("stubborn", 1, &[], 0)
        + "entrypoint: [sh, -c, \"trap '' TERM; echo begun; while :; do sleep 1; done\"]\nkillGrace: 2m\n";
    let file = desk.write("stubborn.yaml", &stubborn);
    let mut run = desk.run(&[&file]);
    eventually(secs(40), "it has begun", || {
        so(run.out().contains("begun"), || run.err())
    });
    run.signal(Signal::INT);
    run.says("stopping stubborn, which has 2m to end by itself; Ctrl-C again kills it now");
    throughout(secs(2), "it has its grace", || {
        desk.running("stubborn.0").map(drop)
    });
    run.signal(Signal::INT);
    run.says("killing stubborn");
    assert_eq!(run.wait().code(), Some(130), "{}", run.err());
    desk.assert_nothing_is_left();
}

#[test]
fn what_a_killed_command_left_is_removed_by_the_next_and_nothing_else() {
    let _turn = turn();
    let desk = Desk::new();
    let file = desk.write("web.yaml", &Service::new("web", 1).yaml());
    let other = desk.write("other.yaml", &Service::new("other", 1).yaml());
    let mut killed = desk.run(&[&file]);
    let mut living = desk.run(&[&other]);
    let left = eventually(secs(40), "both run", || {
        desk.running("other.0")?;
        desk.running("web.0")
    });
    killed.signal(Signal::KILL);
    killed.wait();
    assert_eq!(desk.running("web.0").unwrap().id, left.id);

    let work = desk.write("work.yaml", &batch("work", 1, &[], 0));
    let (code, _, err) = desk.run_to_end(&[&work]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.contains("removed what a killed `muster run` left: web.0"),
        "{err}"
    );
    let tasks: Vec<String> = desk
        .try_containers()
        .unwrap()
        .into_iter()
        .map(|container| container.task)
        .collect();
    assert_eq!(tasks, ["other.0"]);
    assert!(
        living.child.try_wait().unwrap().is_none(),
        "{}",
        living.err()
    );
    living.signal(Signal::INT);
    assert_eq!(living.wait().code(), Some(0), "{}", living.err());
    desk.assert_nothing_is_left();
}
