//! What happens to the job, in words: the containers' lines as they are, and Muster's own on standard error.

use crate::cli::hardening::in_force;
use crate::cli::screen::tame;
use crate::cli::table::Tone;
use crate::local::{Difference, Interrupt, Listener};
use muster_core::describe::reasons::{counted, size};
use muster_core::describe::{sentence, short, status_sentence};
use muster_core::fleet::Fleet;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::TaskId;
use muster_schemas::spec::{JobKind, JobSpec, Port, PortRef, Probe};
use muster_schemas::state::{AttemptStatus, Hardening, HostFacts, Phase, StopReason};
use muster_schemas::wire::{LogLine, LogStream};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Says a line in the command's own name.
pub(super) fn say(text: &str, color: bool) {
    let line = line_of(text, color);
    // Who closed standard error wants to hear nothing.
    let _ = io::stderr().write_all(line.as_bytes());
}

fn line_of(text: &str, color: bool) -> String {
    let text = format!("muster: {}", tame(text));
    format!("{}\n", Tone::Quiet.paint(&text, color))
}

/// Where lines go.
trait Out {
    /// What a container wrote to its standard output.
    fn out(&mut self, text: &str) -> io::Result<()>;
    /// Everything else.
    fn err(&mut self, text: &str) -> io::Result<()>;
}

struct Terminal;

impl Out for Terminal {
    fn out(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn err(&mut self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }
}

/// Tells of one job.
pub(super) struct Tell {
    job: JobSpec,
    image: String,
    once: bool,
    color: bool,
    out: Box<dyn Out + Send>,
    /// What was last said of a task: what is the same is not said again.
    last: BTreeMap<TaskId, String>,
    not_ready: Option<String>,
    /// The first line that could not be written.
    lost: Option<io::Error>,
}

impl Tell {
    /// `image` is what is run for the job's image; with `once`, no next attempt follows an end.
    pub(super) fn new(job: &JobSpec, image: &str, once: bool, color: bool) -> Self {
        Self {
            job: job.clone(),
            image: image.to_owned(),
            once,
            color,
            out: Box::new(Terminal),
            last: BTreeMap::new(),
            not_ready: None,
            lost: None,
        }
    }

    /// What is going to be run, and in what that differs from the fleet.
    pub(super) fn begin(&mut self, differences: &[Difference], engine: &str) {
        let job = &self.job;
        let tasks = counted(u64::from(job.size()), "task", "tasks");
        let kind = match job.kind() {
            JobKind::Service => "service",
            JobKind::Batch => "batch job",
        };
        let mut lines = vec![
            format!("{kind} {}, {tasks}, image {}", job.name, self.image),
            format!("on {engine}"),
        ];
        lines.push("otherwise than in the fleet:".to_owned());
        lines.extend(
            differences
                .iter()
                .map(|difference| format!("  {difference}")),
        );
        for line in lines {
            self.say(&line);
        }
    }

    /// An error if a line could not be written.
    pub(super) fn finish(self) -> io::Result<()> {
        self.lost.map_or(Ok(()), Err)
    }

    fn say(&mut self, text: &str) {
        let line = line_of(text, self.color);
        // Lines of the command's own are missed by nobody who closed standard error.
        let _ = self.out.err(&line);
    }

    fn say_of(&mut self, task: &TaskId, text: &str) {
        if self.last.get(task).is_some_and(|last| last == text) {
            return;
        }
        self.last.insert(task.clone(), text.to_owned());
        self.say(&format!("{task}: {text}"));
    }

    fn reported(&mut self, before: &Fleet, record: &Record, status: &AttemptStatus) {
        let Some(attempt) = before.attempts.get(&status.attempt) else {
            return;
        };
        let task = attempt.task.clone();
        let known = attempt.status.as_ref();
        match &status.phase {
            Phase::Accepted | Phase::Creating => {}
            // It looks whether the image is here.
            Phase::Pulling { done: 0, total: 0 } => {}
            Phase::Pulling { .. } | Phase::Waiting { .. } => {
                self.say_of(&task, &status_sentence(status, record.at));
            }
            Phase::Running => {
                if !known.is_some_and(|known| known.phase == Phase::Running) {
                    let mut lines = self.began(attempt.number, status);
                    lines.extend(self.reached(status));
                    for line in lines {
                        self.say_of(&task, &line);
                    }
                }
                for line in probes(&self.job, known, status) {
                    self.say_of(&task, &line);
                }
            }
            Phase::Ended(ended) => {
                // One that ended at once was never seen to run.
                if known.is_none_or(|known| known.phase != Phase::Running)
                    && status.hardening.is_some()
                    && status.started_at.is_some()
                {
                    for line in self.began(attempt.number, status) {
                        self.say_of(&task, &line);
                    }
                }
                self.say_of(&task, &ended.message);
            }
        }
    }

    fn began(&self, number: u32, status: &AttemptStatus) -> Vec<String> {
        let container = status.container.as_deref().map_or("", short);
        let mut lines = vec![format!("runs as container {container}, attempt {number}")];
        if let Some(hardening) = &status.hardening {
            lines.push(limits(hardening, &self.job));
            lines.push(format!("in force: {}", in_force(hardening)));
        }
        lines
    }

    fn reached(&self, status: &AttemptStatus) -> Vec<String> {
        let ip = status.ip.as_deref();
        let ports = self.job.ports.iter();
        let mut lines: Vec<String> = ports.filter_map(|port| reached(port, ip)).collect();
        if self.job.readiness.is_none() && self.job.kind() == JobKind::Service {
            lines.push("healthy: it runs, and has no readiness probe".to_owned());
        }
        lines
    }

    fn host(&mut self, facts: &HostFacts) {
        if facts.not_ready == self.not_ready {
            return;
        }
        self.not_ready.clone_from(&facts.not_ready);
        match &facts.not_ready {
            // Before its first answer there is nothing to say.
            Some(_) if facts.engine == "unknown" => {}
            Some(why) => self.say(&format!("nothing can be started: {why}")),
            None => {}
        }
    }
}

impl Listener for Tell {
    fn record(&mut self, before: &Fleet, record: &Record) {
        let sentence = || sentence(record, &|_| Some("this machine".to_owned()));
        match &record.event {
            Event::AttemptReported { status } => self.reported(before, record, status),
            Event::HostReported { facts, .. } => self.host(facts),
            Event::TaskQueued { task, reason, .. } => {
                use muster_schemas::state::QueueReason;
                if self.once {
                    return;
                }
                let text = match reason {
                    QueueReason::New => return,
                    QueueReason::Stopped {
                        reason: StopReason::Down,
                    } => return,
                    QueueReason::Retry { .. }
                    | QueueReason::CrashLoop { .. }
                    | QueueReason::Stopped { .. } => sentence(),
                };
                self.say_of(task, &text);
            }
            Event::TaskBlocked { task, .. } | Event::TaskFinished { task, .. } => {
                self.say_of(task, &sentence());
            }
            Event::StopOrdered { order } => {
                if order.reason != StopReason::Down
                    && let Some(attempt) = before.attempts.get(&order.attempt)
                {
                    self.say_of(&attempt.task, &sentence());
                }
            }
            Event::PlanHeld { .. } => self.say(&sentence()),
            // What the fleet's operators want to know, and what is about hosts, plans and retention.
            Event::LeadershipTaken { .. }
            | Event::CellTakenDown { .. }
            | Event::HostEnrolled { .. }
            | Event::HostConnected { .. }
            | Event::HostUnreachable { .. }
            | Event::HostRemoved { .. }
            | Event::HostAhead { .. }
            | Event::HostTaken { .. }
            | Event::HostFollows { .. }
            | Event::OrphansSeen { .. }
            | Event::RepositoryTroubled { .. }
            | Event::RepositoryRecovered
            | Event::PlanMade { .. }
            | Event::PlanPredicted { .. }
            | Event::PlanApplied { .. }
            | Event::PlanApproved { .. }
            | Event::PlanRefused { .. }
            | Event::Frozen { .. }
            | Event::Resumed { .. }
            | Event::GraceEnded { .. }
            | Event::HooksBegan { .. }
            | Event::RolloutStepped { .. }
            | Event::RolloutSettled { .. }
            | Event::RolloutStalled { .. }
            | Event::RolloutAborted { .. }
            | Event::RolloutPromoted { .. }
            | Event::RolloutRetried { .. }
            | Event::RolloutFinished { .. }
            | Event::AnalysisMeasured { .. }
            | Event::JobScaled { .. }
            | Event::ResizeEnded { .. }
            | Event::PutBackOrdered { .. }
            | Event::VersionBegan { .. }
            | Event::StopAnnounced { .. }
            | Event::StopWithdrawn { .. }
            | Event::DeployRequested { .. }
            | Event::DeployCommitted { .. }
            | Event::DeployCanceled { .. }
            | Event::DeployTakenBack { .. }
            | Event::DeployNotTakenBack { .. }
            | Event::DeployFinished { .. }
            | Event::TokenCreated { .. }
            | Event::TokenRevoked { .. }
            | Event::TaskCreated { .. }
            | Event::AttemptPlaced { .. }
            | Event::AttemptRetired { .. }
            | Event::AttemptForgotten { .. }
            | Event::TaskForgotten { .. }
            | Event::JobForgotten { .. } => {}
        }
    }

    fn line(&mut self, task: &TaskId, line: &LogLine) {
        // With one task its lines are all there is, and programs may read them.
        let text = match (self.job.size(), line.stream) {
            (0 | 1, _) => format!("{}\n", line.text),
            (_, LogStream::Stdout) => format!("{task} | {}\n", line.text),
            (_, LogStream::Stderr) => format!("{task} ! {}\n", line.text),
        };
        let written = match line.stream {
            LogStream::Stdout => self.out.out(&text),
            LogStream::Stderr => self.out.err(&text),
        };
        if let Err(error) = written {
            self.lost.get_or_insert(error);
        }
    }

    fn stopping(&mut self, fleet: &Fleet, interrupt: Interrupt) {
        let mut attempts = fleet.attempts.values();
        if attempts.all(|attempt| attempt.ended.is_some()) {
            return;
        }
        let text = match interrupt {
            Interrupt::Stop => format!(
                "stopping {}, which has {} to end by itself; Ctrl-C again kills it now",
                self.job.name, self.job.kill_grace
            ),
            Interrupt::Kill => format!("killing {}", self.job.name),
        };
        self.say(&text);
    }
}

/// The bounds on CPU and memory, as the engine has them.
fn limits(hardening: &Hardening, job: &JobSpec) -> String {
    let cpu = match hardening.cpu_limit_millis {
        Some(millis) => {
            let text = format!("{}.{:03}", millis / 1000, millis % 1000);
            format!("{} CPUs", text.trim_end_matches('0').trim_end_matches('.'))
        }
        None => "no limit on CPU".to_owned(),
    };
    let memory = match hardening
        .memory_limit
        .and_then(|limit| u64::try_from(limit).ok())
    {
        Some(limit) => format!("{} of memory and none in swap", size(limit)),
        None => "no limit on memory".to_owned(),
    };
    let shm = size(job.resources.shm.0);
    format!("limits: {cpu}, {memory}, {shm} of /dev/shm")
}

/// Where a port is reached.
fn reached(port: &Port, ip: Option<&str>) -> Option<String> {
    let inside = ip.map(|ip| format!("{ip}:{}", port.port));
    let outside = port.host_port.map(|number| format!("127.0.0.1:{number}"));
    let places: Vec<String> = [outside, inside].into_iter().flatten().collect();
    (!places.is_empty()).then(|| format!("port {} is at {}", port.name, places.join(" and ")))
}

/// What the probes say that they did not say before.
fn probes(job: &JobSpec, known: Option<&AttemptStatus>, now: &AttemptStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let message = now.probe_message.as_deref().unwrap_or("no answer");
    // What a failing probe says may change while it fails.
    let other_words = known.is_none_or(|known| known.probe_message != now.probe_message);
    if let Some(probe) = &job.readiness {
        let before = known.and_then(|known| known.ready);
        let asked = question(probe);
        match now.ready {
            Some(true) if before != Some(true) => {
                lines.push(format!("healthy: its readiness probe answers ({asked})"));
            }
            Some(false) if before != Some(false) || other_words => {
                lines.push(format!(
                    "not healthy: its readiness probe fails ({message})"
                ));
            }
            None if before.is_none() && known.is_none_or(|known| known.phase != Phase::Running) => {
                lines.push(format!(
                    "its readiness probe has not answered yet ({asked})"
                ));
            }
            Some(_) | None => {}
        }
    }
    if let Some(probe) = &job.liveness {
        let before = known.and_then(|known| known.live);
        match now.live {
            Some(true) if before != Some(true) => {
                lines.push(format!(
                    "alive: its liveness probe answers ({})",
                    question(probe)
                ));
            }
            Some(false) if before != Some(false) || other_words => {
                lines.push(format!("not alive: its liveness probe fails ({message})"));
            }
            Some(_) | None => {}
        }
    }
    lines
}

fn question(probe: &Probe) -> String {
    let port = |port: &PortRef| match port {
        PortRef::Number(number) => number.to_string(),
        PortRef::Name(name) => name.clone(),
    };
    match (&probe.http, &probe.tcp, &probe.exec) {
        (Some(http), _, _) => format!("GET {} on port {}", http.path, port(&http.port)),
        (None, Some(tcp), _) => format!("a connection to port {}", port(&tcp.port)),
        (None, None, Some(exec)) => exec.command.join(" "),
        (None, None, None) => "it asks nothing".to_owned(),
    }
}

#[cfg(test)]
#[path = "tell_tests.rs"]
mod tests;
