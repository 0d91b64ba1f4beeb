//! A cell of one host and one job: the core decides, the agent does, and a listener hears of it.

use super::home::{Base, HomeError};
use super::leftovers::clear;
use super::{HOME_LABEL, MACHINE_LABEL, cell_name, machine_name};
use crate::agent::launch::container_name;
use crate::agent::{self, AgentConfig, AgentError, LinkState};
use crate::runtime::{Runtime, RuntimeError};
use jiff::Timestamp;
use muster_core::assign::assignments;
use muster_core::decide::{Answer, Command, Draft, Input, follow, take};
use muster_core::fleet::{Attempt, Fleet, Task, TaskPhase};
use muster_core::plan::PlanInput;
use muster_core::specs::{Documents, Located};
use muster_schemas::event::Record;
use muster_schemas::ids::{AttemptId, CommitId, HostId, TaskId};
use muster_schemas::plan::{DocumentRef, Revision};
use muster_schemas::spec::{Bytes, CpuMillis, JobSpec, Mbps, Spec};
use muster_schemas::state::{Actor, Ended, Outcome, Phase};
use muster_schemas::wire::{FromAgent, LogEnd, LogLine, ToAgent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Frames that wait between the agent's loop and this one.
const FRAMES: usize = 256;
/// Time itself is an input: a retry becomes due without an event.
const TICK: Duration = Duration::from_millis(200);
/// A decision may lead to the next; what has not settled after so many passes goes on with the next tick.
const PASSES: usize = 8;
/// When all has ended, the last lines of the logs are waited for so long.
const LAST_LINES_WAIT: Duration = Duration::from_secs(5);
/// A log that broke off is opened again after this pause.
const LOG_AGAIN: Duration = Duration::from_secs(1);
/// What was killed is seen to have ended within moments, unless the engine does not answer; then it is not waited for.
const KILLED_WAIT: Duration = Duration::from_secs(10);
/// The job is given to a host that is ready, so that nothing is said of it that only the first moments make so; but what is not
/// ready after this time is told.
const READY_WAIT: Duration = Duration::from_secs(3);
/// The one leadership that this cell has.
const EPOCH: u64 = 1;

/// Who hears what happens.
pub trait Listener {
    /// Something happened. `before` is the cell as it was.
    fn record(&mut self, before: &Fleet, record: &Record);
    /// A task's container wrote a line.
    fn line(&mut self, task: &TaskId, line: &LogLine);
    /// The job is being stopped: by its grace, or at once.
    fn stopping(&mut self, fleet: &Fleet, interrupt: Interrupt);
}

/// Somebody wants it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// With the job's grace.
    Stop,
    /// At once.
    Kill,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Each task, in order.
    pub tasks: Vec<TaskEnd>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// How one task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// The task.
    pub task: TaskId,
    /// How it finished; none where it was interrupted.
    pub outcome: Option<Outcome>,
    /// How its last attempt ended; none where there was no attempt.
    pub ended: Option<Ended>,
    /// Whether that attempt's container ever started.
    pub started: bool,
}

/// Why a job could not be run to its end.
#[derive(Debug, Error)]
pub enum LocalError {
    /// There is no place for notes.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The agent cannot work.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The agent's task failed; an error in Muster.
    #[error("the agent ended by an error in Muster: {0}")]
    AgentFailed(String),
    /// Containers may be left.
    #[error("the engine did not remove what ran; the next `muster run` on this machine does")]
    Left(#[source] RuntimeError),
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The job.
    pub job: JobSpec,
    /// What its image is taken for.
    pub image: String,
    /// Whether the first attempt of each task is its last, whatever it ended of.
    pub once: bool,
}

/// Runs a job to its end, or until it is interrupted, and leaves nothing behind.
///
/// # Errors
///
/// It could not be run, or what ran could not be removed.
pub async fn run<R: Runtime + Clone>(
    runtime: R,
    base: &Base,
    work: Work,
    interrupts: mpsc::Receiver<Interrupt>,
    listener: &mut impl Listener,
) -> Result<End, LocalError> {
    let mut cell = Cell::begin(listener);
    let home = base.make(cell.host)?;
    let config = config(&work.job, cell.host, base);
    let (to_control, from_agent) = mpsc::channel(FRAMES);
    let (to_agent, from_control) = mpsc::channel(FRAMES);
    let (_link, link) = watch::channel(LinkState::Up);
    let shutdown = CancellationToken::new();
    let agent = tokio::spawn(agent::run(
        config,
        runtime.clone(),
        to_control,
        from_control,
        link,
        shutdown.clone(),
    ));
    let mut tending = Tending {
        runtime: &runtime,
        to_agent,
        agent,
        logs: Logs::default(),
        interrupts,
        once: work.once,
        wanted: Some(work),
        interrupted: false,
        killed: None,
    };
    let ended = tending.tend(&mut cell, from_agent, listener).await;
    shutdown.cancel();
    if !tending.agent.is_finished() {
        let _ = (&mut tending.agent).await;
    }
    clear(&runtime, cell.host).await.map_err(LocalError::Left)?;
    if let Err(error) = home.remove() {
        tracing::warn!(%error, "the notes of this run cannot be removed; the next one tries again");
    }
    ended?;
    Ok(cell.end(tending.interrupted))
}

/// The agent's settings: a host on which just this job has room. What the job asks for and the machine does not have, is told
/// beforehand.
fn config(job: &JobSpec, host: HostId, base: &Base) -> AgentConfig {
    let tasks = u64::from(job.size().max(1));
    let needs = &job.resources;
    let small = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    let all_of = |one: u64| one.saturating_mul(tasks);
    let home = base.home_of(host);
    AgentConfig {
        host,
        cell: cell_name(),
        name: machine_name(),
        address: "127.0.0.1".to_owned(),
        zone: "local".to_owned(),
        labels: BTreeMap::new(),
        reserve_cpu: CpuMillis(0),
        reserve_memory: Bytes(0),
        sell_cpu: Some(CpuMillis(small(all_of(u64::from(needs.cpu.0))))),
        sell_memory: Some(Bytes(all_of(needs.memory.0))),
        sell_disk: Some(Bytes(all_of(needs.disk.0))),
        network: Mbps(small(all_of(u64::from(needs.network.0)))),
        gpus: small(all_of(u64::from(needs.gpu))),
        max_containers: small(tasks),
        marks: BTreeMap::from([
            (HOME_LABEL.to_owned(), home.to_string_lossy().into_owned()),
            (MACHINE_LABEL.to_owned(), machine_name()),
        ]),
        home,
    }
}

/// The cell: what the control plane is in a fleet, without anything durable.
struct Cell {
    /// The fleet, ahead of `shown` by what is being told.
    fleet: Fleet,
    shown: Fleet,
    host: HostId,
}

impl Cell {
    fn begin(listener: &mut impl Listener) -> Self {
        let mut cell = Self {
            fleet: Fleet::default(),
            shown: Fleet::default(),
            host: HostId(Uuid::nil()),
        };
        let lead = Input::Lead {
            cell: cell_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        cell.give(lead, listener);
        let name = machine_name();
        if let Some(Answer::Enrolled(host)) = cell.give(Input::Enrol { name }, listener) {
            cell.host = host;
        }
        cell
    }

    /// Has the job be what the cell is to run.
    fn declare(&mut self, job: JobSpec, image: String, listener: &mut impl Listener) {
        let images = BTreeMap::from([(job.image.clone(), Ok(image))]);
        let document = Located {
            spec: Spec::Job(Arc::new(job)),
            source: DocumentRef {
                path: String::new(),
                document: 0,
                line: 1,
            },
        };
        let input = PlanInput {
            revision: Revision {
                commit: CommitId::from("working-tree"),
                author: "you".to_owned(),
                subject: "what is not committed yet".to_owned(),
                committed_at: Timestamp::now(),
            },
            documents: Documents {
                specs: vec![document],
                diagnostics: Vec::new(),
            },
            images,
            removed_by: BTreeMap::new(),
            signed: Default::default(),
        };
        self.give(Input::Revision(Box::new(input)), listener);
    }

    /// Takes an input, decides what follows, and tells it. Answers what came of it; none where it was refused.
    fn give(&mut self, input: Input, listener: &mut impl Listener) -> Option<Answer> {
        self.decide(listener, |draft| match take(draft, input) {
            Ok(answer) => Some(answer),
            Err(refusal) => {
                tracing::error!(%refusal, "an input was refused; this is an error in Muster");
                None
            }
        })
    }

    /// Decides what follows from the time that has passed.
    fn tick(&mut self, listener: &mut impl Listener) {
        self.decide(listener, |_| ());
    }

    fn decide<T>(
        &mut self,
        listener: &mut impl Listener,
        first: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> T {
        let mut new_id = Uuid::now_v7;
        let mut draft = Draft::new(&mut self.fleet, Timestamp::now(), EPOCH, &mut new_id);
        let answer = first(&mut draft);
        for _ in 0..PASSES {
            let before = draft.fleet.seq;
            follow(&mut draft);
            if draft.fleet.seq == before {
                break;
            }
        }
        for record in draft.into_records() {
            listener.record(&self.shown, &record);
            self.shown.apply(&record);
        }
        answer
    }

    /// Whether the host can take tasks.
    fn is_ready(&self) -> bool {
        self.fleet.hosts.get(&self.host).is_some_and(|host| {
            host.connected
                && host
                    .facts
                    .as_ref()
                    .is_some_and(|facts| facts.not_ready.is_none())
        })
    }

    /// Whether nothing runs any more, and nothing will, or is to.
    fn is_over(&self, once: bool) -> bool {
        let nothing_runs = self
            .fleet
            .attempts
            .values()
            .all(|attempt| attempt.ended.is_some());
        let tasks = || self.fleet.jobs.values().flat_map(|job| job.tasks.values());
        let is_done = |task: &Task| task.is_finished() || (once && task.attempts > 0);
        nothing_runs && (self.fleet.down || tasks().all(is_done))
    }

    fn end(&self, interrupted: bool) -> End {
        let tasks = self.fleet.jobs.values().flat_map(|job| job.tasks.values());
        let last = |task: &Task| self.fleet.attempts.get(&task.last_attempt?);
        let tasks = tasks
            .map(|task| TaskEnd {
                task: task.id.clone(),
                outcome: match &task.phase {
                    TaskPhase::Finished { outcome, .. } => Some(*outcome),
                    TaskPhase::Queued { .. } | TaskPhase::Active { .. } => None,
                },
                ended: last(task)
                    .and_then(|attempt| attempt.ended.clone())
                    .map(|(ended, _)| ended),
                started: last(task).is_some_and(has_started),
            })
            .collect();
        End { tasks, interrupted }
    }
}

fn has_started(attempt: &Attempt) -> bool {
    let status = attempt.status.as_ref();
    status.is_some_and(|status| status.started_at.is_some())
}

/// The loop around the cell.
struct Tending<'a, R> {
    runtime: &'a R,
    to_agent: mpsc::Sender<ToAgent>,
    agent: JoinHandle<Result<(), AgentError>>,
    logs: Logs,
    interrupts: mpsc::Receiver<Interrupt>,
    once: bool,
    /// What is to be run, until the cell is given it.
    wanted: Option<Work>,
    interrupted: bool,
    killed: Option<Instant>,
}

impl<R: Runtime> Tending<'_, R> {
    async fn tend(
        &mut self,
        cell: &mut Cell,
        mut from_agent: mpsc::Receiver<FromAgent>,
        listener: &mut impl Listener,
    ) -> Result<(), LocalError> {
        let began = Instant::now();
        let mut sent = 0;
        let mut over: Option<Instant> = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if (cell.is_ready() || began.elapsed() > READY_WAIT)
                && let Some(work) = self.wanted.take()
            {
                cell.declare(work.job, work.image, listener);
            }
            if cell.fleet.seq != sent {
                sent = cell.fleet.seq;
                let orders = assignments(&cell.fleet, cell.host);
                self.tell_agent(ToAgent::Assignments(orders)).await;
            }
            self.open_logs(cell).await;
            if (self.wanted.is_none() || self.interrupted) && cell.is_over(self.once) {
                let since = *over.get_or_insert_with(Instant::now);
                let waited = since.elapsed() > LAST_LINES_WAIT || self.killed.is_some();
                if self.logs.all_read() || waited {
                    return Ok(());
                }
            }
            if self.killed.is_some_and(|at| at.elapsed() > KILLED_WAIT) {
                return Ok(());
            }
            tokio::select! {
                frame = from_agent.recv() => match frame {
                    Some(frame) => self.hear(cell, frame, listener),
                    None => return self.agent_ended().await,
                },
                Some(interrupt) = self.interrupts.recv() => {
                    self.interrupt(cell, interrupt, listener).await;
                }
                _ = tick.tick() => cell.tick(listener),
            }
        }
    }

    fn hear(&mut self, cell: &mut Cell, frame: FromAgent, listener: &mut impl Listener) {
        let host = cell.host;
        match frame {
            FromAgent::Hello { facts, .. } => {
                cell.give(Input::Connected { host, facts }, listener);
            }
            FromAgent::Facts { facts } => {
                cell.give(Input::Facts { host, facts }, listener);
            }
            FromAgent::Report(report) => {
                let report = Box::new(report);
                cell.give(Input::Report { host, report }, listener);
            }
            FromAgent::Log { stream, lines, end } => {
                self.logs.hear(stream, &lines, end, listener);
            }
            FromAgent::Usage { .. } => {}
            FromAgent::Fenced { got, highest } => {
                tracing::error!(
                    ?got,
                    ?highest,
                    "the agent refuses its orders; this is an error in Muster"
                );
            }
        }
    }

    async fn interrupt(
        &mut self,
        cell: &mut Cell,
        interrupt: Interrupt,
        listener: &mut impl Listener,
    ) {
        if self.killed.is_some() {
            return;
        }
        listener.stopping(&cell.fleet, interrupt);
        if !std::mem::replace(&mut self.interrupted, true) {
            let command = Input::Command {
                actor: Actor::Person("you".to_owned()),
                command: Command::TakeDown {
                    reason: "it was interrupted".to_owned(),
                },
            };
            cell.give(command, listener);
        }
        if interrupt == Interrupt::Kill {
            self.killed = Some(Instant::now());
            for attempt in cell.fleet.attempts.values() {
                if attempt.ended.is_none()
                    && let Err(error) = self.runtime.kill(&container_name(attempt.id)).await
                    && !matches!(error, RuntimeError::NotFound { .. })
                {
                    tracing::warn!(task = %attempt.task, %error, "a container could not be killed; it is tried again at the end");
                }
            }
        }
    }

    /// Opens the log of each container that has begun.
    async fn open_logs(&mut self, cell: &Cell) {
        let begun: Vec<(AttemptId, TaskId)> = cell
            .fleet
            .attempts
            .values()
            .filter(|attempt| {
                let status = attempt.status.as_ref();
                has_started(attempt)
                    && status.is_some_and(|status| {
                        matches!(status.phase, Phase::Running | Phase::Ended(_))
                    })
            })
            .map(|attempt| (attempt.id, attempt.task.clone()))
            .collect();
        for request in self.logs.requests(&begun, Instant::now()) {
            self.tell_agent(request).await;
        }
    }

    /// An agent that is gone hears nothing; that is told by its end.
    async fn tell_agent(&self, message: ToAgent) {
        let _ = self.to_agent.send(message).await;
    }

    async fn agent_ended(&mut self) -> Result<(), LocalError> {
        match (&mut self.agent).await {
            Ok(Ok(())) => Err(LocalError::AgentFailed("it was not asked to".to_owned())),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(LocalError::AgentFailed(error.to_string())),
        }
    }
}

/// The logs of all attempts, by their streams' numbers.
#[derive(Default)]
struct Logs {
    streams: BTreeMap<u64, Log>,
    opened: u64,
}

struct Log {
    attempt: AttemptId,
    task: TaskId,
    /// The time of the last line.
    last: Option<Timestamp>,
    state: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// It is asked for as soon as this time comes.
    Due(Instant),
    Open,
    Read,
}

impl Logs {
    fn all_read(&self) -> bool {
        self.streams.values().all(|log| log.state == Reading::Read)
    }

    /// What to ask of the agent, now that these attempts have begun. Those that the cell has forgotten are forgotten here.
    fn requests(&mut self, begun: &[(AttemptId, TaskId)], now: Instant) -> Vec<ToAgent> {
        self.streams.retain(|_, log| {
            log.state != Reading::Read || begun.iter().any(|(attempt, _)| *attempt == log.attempt)
        });
        for (attempt, task) in begun {
            if !self.streams.values().any(|log| log.attempt == *attempt) {
                self.opened += 1;
                let log = Log {
                    attempt: *attempt,
                    task: task.clone(),
                    last: None,
                    state: Reading::Due(now),
                };
                self.streams.insert(self.opened, log);
            }
        }
        let mut requests = Vec::new();
        for (stream, log) in &mut self.streams {
            if matches!(log.state, Reading::Due(at) if at <= now) {
                log.state = Reading::Open;
                requests.push(ToAgent::LogOpen {
                    stream: *stream,
                    attempt: log.attempt,
                    follow: true,
                    tail: None,
                    since: log.last,
                });
            }
        }
        requests
    }

    fn hear(
        &mut self,
        stream: u64,
        lines: &[LogLine],
        end: Option<LogEnd>,
        listener: &mut impl Listener,
    ) {
        let Some(log) = self.streams.get_mut(&stream) else {
            return;
        };
        for line in lines {
            log.last = log.last.max(Some(line.at));
            listener.line(&log.task, line);
        }
        match end {
            None => {}
            Some(LogEnd::Complete | LogEnd::NoContainer) => log.state = Reading::Read,
            Some(LogEnd::Failed { message }) => {
                tracing::warn!(task = %log.task, message, "the log broke off; it is read again from there");
                log.state = Reading::Due(Instant::now() + LOG_AGAIN);
            }
        }
    }
}
