//! A cell for one test: a control plane, agents, a repository; each of them a real process that can be killed by itself.

use super::api::Api;
use super::engine::{Container, Engine};
use super::poll::{eventually, secs, so};
use super::ports::free_address;
use super::process::Process;
use super::repo::Repo;
use super::specs::Service;
use muster_schemas::api::{EnrolmentToken, JobStatus, TaskView};
use muster_schemas::state::TaskState;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

static TURN: Mutex<()> = Mutex::new(());

/// Waits until no other test of this program runs.
pub fn turn() -> MutexGuard<'static, ()> {
    // A test that failed has cleaned up after itself all the same.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Stack {
    pub cell: String,
    pub api: Api,
    pub repo: Repo,
    pub serve: Process,
    /// One for each engine, in order.
    pub agents: Vec<Process>,
    pub engines: Vec<Engine>,
    home: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Stack {
    /// A cell on the machine's engine.
    pub fn start() -> Self {
        Self::on(|| vec![Engine::shared()])
    }

    /// A cell on the machine's engine whose control plane is told more.
    pub fn told(arguments: &[&str]) -> Self {
        Self::new(|| vec![Engine::shared()], arguments)
    }

    /// A cell with an agent, named `host-0`, `host-1`, …, on each of these engines.
    pub fn on(engines: impl FnOnce() -> Vec<Engine>) -> Self {
        Self::new(engines, &[])
    }

    fn new(engines: impl FnOnce() -> Vec<Engine>, arguments: &[&str]) -> Self {
        let turn = turn();
        let engines = engines();
        let home = tempfile::Builder::new()
            .prefix("muster-e2e-")
            .tempdir()
            .unwrap();
        let cell = format!("e2e-{:08x}", rand::random::<u32>());
        let (listen, agent_listen) = (free_address().to_string(), free_address().to_string());
        let env = home.path().join("env");
        let repo = Repo::new(home.path(), &env);
        let serve_home = home.path().join("serve");
        let mut serve = Process::new(
            "muster serve",
            env!("CARGO_BIN_EXE_muster"),
            home.path().join("serve.log"),
        )
        .arguments(["serve", "--exit-with-parent", "--cell", &cell])
        .arguments(["--listen", &listen, "--agent-listen", &agent_listen])
        .arguments(["--poll", "1s", "--repo", &repo.bare.display().to_string()])
        .arguments(["--home", &serve_home.display().to_string()])
        .arguments(arguments.iter().copied());
        serve.start();
        let url = format!("http://{listen}");
        let api = eventually(secs(20), "the control plane answers", || {
            if let Some(status) = serve.ended() {
                serve.tell();
                panic!("the control plane ended: {status}");
            }
            let api = Api::new(&url, &serve_home)?;
            api.fleet().map(|_| api)
        });
        let told = format!("MUSTER_URL={url}\nMUSTER_TOKEN={}\n", api.token());
        std::fs::write(env, told).unwrap();
        let mut stack = Self {
            cell,
            api,
            repo,
            serve,
            agents: Vec::new(),
            engines,
            home,
            _turn: turn,
        };
        for number in 0..stack.engines.len() {
            stack.enrol(number);
        }
        stack.wait_for_hosts();
        stack
    }

    fn enrol(&mut self, number: usize) {
        let EnrolmentToken { token, url, .. } = self.api.post("/enrolments", "{}").unwrap();
        let name = format!("host-{number}");
        let home = self.home.path().join(&name);
        let mut agent = Process::new(
            &format!("the agent of {name}"),
            env!("CARGO_BIN_EXE_muster"),
            self.home.path().join(format!("{name}.log")),
        )
        .arguments(["agent", "--exit-with-parent", "--name", &name])
        .arguments(["--join", &token, &url])
        // More than the machine has: what these tests are about must not wait for room.
        .arguments(["--cpu", "64", "--memory", "16GiB"])
        .arguments(["--home", &home.display().to_string()]);
        if let Some(address) = self.engines[number].address() {
            agent = agent.arguments(["--docker", address]);
        }
        agent.start();
        self.agents.push(agent);
    }

    /// The control plane's home.
    pub fn serve_home(&self) -> PathBuf {
        self.home.path().join("serve")
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until all hosts are ready to take tasks.
    #[track_caller]
    pub fn wait_for_hosts(&self) {
        let expected = self.engines.len();
        eventually(secs(40), "all hosts are ready", || {
            let hosts = self.api.hosts()?;
            let ready = hosts
                .iter()
                .filter(|host| host.reachable && host.ready)
                .count();
            so(ready == expected, || format!("{hosts:#?}"))
        });
    }

    /// Waits until the control plane answers (again).
    #[track_caller]
    pub fn wait_for_api(&self) {
        eventually(secs(30), "the control plane answers", || {
            self.api.fleet().map(drop)
        });
    }

    /// Writes a service's document and pushes it.
    #[track_caller]
    pub fn push(&self, service: &Service, message: &str) -> String {
        self.repo.write(&service.file(), &service.yaml());
        self.repo.push(message)
    }

    /// Waits until a service is as `service` says: all tasks healthy on the version, and no other container of it running.
    #[track_caller]
    pub fn wait_until_settled(&self, service: &Service, version: u64) -> Vec<TaskView> {
        let what = format!("{} settles on version {version}", service.name);
        let tasks = eventually(secs(90), &what, || {
            let job = self.api.job(service.name)?;
            let tasks = self.api.tasks(service.name)?;
            let desired = usize::try_from(service.desired).unwrap();
            let all_well = tasks.len() == desired
                && tasks.iter().all(|task| {
                    task.state == TaskState::Running
                        && task.healthy
                        && task.reachable
                        && task.current_version
                });
            so(
                job.version == version && job.status == JobStatus::Running && all_well,
                || {
                    let lines: Vec<String> = tasks.iter().map(line).collect();
                    format!(
                        "version {}, {:?} ({})\n{}",
                        job.version,
                        job.status,
                        job.reason,
                        lines.join("\n")
                    )
                },
            )?;
            Ok(tasks)
        });
        let expected: BTreeSet<String> = tasks
            .iter()
            .filter_map(|task| task.container.clone())
            .collect();
        eventually(secs(20), "only its containers run", || {
            let running: BTreeSet<String> = self
                .try_containers()?
                .into_iter()
                .filter(|container| container.is_running() && is_of(container, service.name))
                .map(|container| container.id)
                .collect();
            so(running == expected, || {
                format!("running {running:?}, expected {expected:?}")
            })
        });
        tasks
    }

    /// The cell's containers on all engines.
    pub fn try_containers(&self) -> Result<Vec<Container>, String> {
        let mut all = Vec::new();
        for engine in &self.engines {
            all.extend(engine.try_containers(&self.cell)?);
        }
        Ok(all)
    }

    #[track_caller]
    pub fn containers(&self) -> Vec<Container> {
        self.try_containers().unwrap()
    }

    /// Running containers with the time of their start: what must stay the same where nothing is to happen.
    #[track_caller]
    pub fn running(&self) -> BTreeSet<(String, String)> {
        self.containers()
            .into_iter()
            .filter(Container::is_running)
            .map(|container| (container.id, container.started_at))
            .collect()
    }
}

/// Whether a container is of a job.
pub fn is_of(container: &Container, job: &str) -> bool {
    container
        .task
        .rsplit_once('.')
        .is_some_and(|(of, _)| of == job)
}

/// A task on a line.
pub fn line(task: &TaskView) -> String {
    format!(
        "{} {:?} healthy={} reachable={} version={} attempt={:?} container={:?}: {}",
        task.id,
        task.state,
        task.healthy,
        task.reachable,
        task.version,
        task.attempt,
        task.container,
        task.reason
    )
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.serve.tell();
            for agent in &self.agents {
                agent.tell();
            }
            for engine in &self.engines {
                engine.tell();
            }
        }
        for agent in &mut self.agents {
            agent.kill();
        }
        self.serve.kill();
        for engine in &self.engines {
            engine.remove_all(&self.cell);
        }
    }
}
