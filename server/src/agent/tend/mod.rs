//! The agent's loop: the one place that knows all of a host's state. It waits for something to happen, takes note of it,
//! decides, begins what was decided as tasks of their own, and tells the control plane what changed. It never waits for the
//! engine or for the network itself.
//!
//! [`note`] takes note, [`act`] begins, [`tell`] tells.

mod act;
mod note;
mod tell;

use super::converge::{Image, Retry};
use super::execute::{self, Hands};
use super::facts::{Disk, facts};
use super::launch::CELL_LABEL;
use super::logs::LogStreams;
use super::look::Seen;
use super::markers::Markers;
use super::orders::Orders;
use super::probes::{Answer, Probes};
use super::status::Statuses;
use super::usage::Before;
use super::{AgentConfig, AgentError, LinkState};
use crate::runtime::{Container, ContainerEvent, EngineInfo, PullProgress, Runtime, RuntimeError};
use act::Kind;
use futures::StreamExt;
use muster_schemas::drift::DriftField;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::HostFacts;
use muster_schemas::wire::{Assignments, FromAgent, ToAgent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Retries become due and pulls move without an event; this is how late the loop may notice.
const TICK: Duration = Duration::from_millis(200);
/// Events tell of changes at once; listing is what the agent relies on when one is lost.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// An engine that is away is looked for more often: tasks wait for it.
const LOOK_EVERY_WHILE_AWAY: Duration = Duration::from_millis(500);
/// A complete report repairs whatever was lost or misread.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Usage is for people's eyes.
const USAGE_EVERY: Duration = Duration::from_secs(3);
/// A disk that was full may have room again. The control plane does not repeat what it has sent, so the agent tries again itself.
const KEEP_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Facts hardly change.
const FACTS_EVERY: Duration = Duration::from_secs(30);
/// After the agent's start, the first report waits so long at most for the readiness of containers that ran before: a healthy
/// task should not look unready because its agent was replaced.
const FIRST_WORDS_WAIT: Duration = Duration::from_secs(2);
/// On shutdown, begun actions may end within this time. Whatever does not is taken up again at the next start.
const LAST_ACTIONS_WAIT: Duration = Duration::from_secs(1);
/// Hints and answers under way to the loop; who fills it waits.
const QUEUE: usize = 256;

/// Runs an agent until `shutdown`; containers run on. It returns early only if its home cannot be used.
pub async fn run(
    config: AgentConfig,
    runtime: impl Runtime,
    to_control: mpsc::Sender<FromAgent>,
    from_control: mpsc::Receiver<ToAgent>,
    link: watch::Receiver<LinkState>,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    let orders = Orders::open(&config.home, &config.cell, config.host)?;
    let markers = Markers::open(&config.home).map_err(|source| AgentError::Markers {
        path: config.home.clone(),
        source,
    })?;
    let (answers_in, answers) = mpsc::channel(QUEUE);
    let agent = Agent::new(config, runtime, orders, markers, to_control, answers_in);
    agent.tend(from_control, link, answers, shutdown).await;
    Ok(())
}

/// The end of something that the loop began.
enum Done {
    Looked {
        number: u64,
        seen: Result<Seen, RuntimeError>,
    },
    Acted {
        attempt: AttemptId,
        result: execute::Result,
    },
    Fetched {
        image: String,
        result: execute::Result,
    },
    Read(Before),
    Informed {
        info: Result<EngineInfo, RuntimeError>,
        disk: Option<Disk>,
    },
}

/// Assignments that could not be written down, so that they are not followed yet.
struct Unkept {
    assignments: Assignments,
    why: String,
    since: Instant,
}

struct Agent<R> {
    config: Arc<AgentConfig>,
    runtime: Arc<R>,
    hands: Arc<Hands<R>>,
    markers: Arc<Markers>,
    orders: Orders,
    unkept: Option<Unkept>,
    to_control: mpsc::Sender<FromAgent>,
    answers: mpsc::Sender<Answer>,
    tasks: JoinSet<Done>,

    /// What the engine last said of itself.
    engine: Option<Arc<EngineInfo>>,
    disk: Option<Disk>,
    /// Why the engine does not answer, if it does not.
    away: Option<String>,
    /// What the engine has; none until it first answered.
    seen: Option<Seen>,
    /// This host's containers in `seen`, by attempt.
    mine: BTreeMap<AttemptId, Container>,
    /// Looks begun, which numbers them.
    looks: u64,
    looking: bool,
    look_again: bool,
    /// Containers to inspect again at the next look.
    stale: BTreeSet<String>,
    /// The last container that was inspected in its turn; none where the next turn begins anew.
    inspected_up_to: Option<String>,
    /// When the last turn was.
    inspected_at: Option<Instant>,
    /// Containers in which the kernel killed a process; engines sometimes forget.
    oom: BTreeSet<String>,

    images: BTreeMap<String, Image>,
    pulls: BTreeMap<String, watch::Receiver<PullProgress>>,
    /// Failures in a row.
    pull_tries: BTreeMap<String, u32>,
    retries: BTreeMap<AttemptId, Retry>,
    /// What is to be put back on running containers, by the orders.
    put_back: BTreeMap<AttemptId, Vec<DriftField>>,
    /// Attempts on whose container something could not be put back. Apart from the other failures: they must not delay an end.
    mends: BTreeMap<AttemptId, Retry>,
    busy: BTreeMap<AttemptId, Kind>,
    /// Attempts whose last action ended after the last look began: by the look from which on it is seen, and whether what
    /// the action left behind is known.
    acted: BTreeMap<AttemptId, (u64, bool)>,

    probes: Probes,
    logs: LogStreams,
    statuses: Statuses,
    usage: Before,
    reading: bool,
    facts: HostFacts,
    link: LinkState,
    hello_due: bool,
    complete_due: bool,
    /// Until when the first report waits for first words of probes.
    hold_until: Option<Instant>,
}

impl<R: Runtime> Agent<R> {
    fn new(
        config: AgentConfig,
        runtime: R,
        orders: Orders,
        markers: Markers,
        to_control: mpsc::Sender<FromAgent>,
        answers: mpsc::Sender<Answer>,
    ) -> Self {
        let config = Arc::new(config);
        let runtime = Arc::new(runtime);
        let markers = Arc::new(markers);
        let hands = Hands::new(
            Arc::clone(&runtime),
            Arc::clone(&markers),
            Arc::clone(&config),
        );
        let facts = facts(&config, None, None, false, None);
        let put_back = put_back_of(orders.assignments());
        Self {
            config,
            runtime,
            hands: Arc::new(hands),
            markers,
            orders,
            unkept: None,
            to_control,
            answers,
            tasks: JoinSet::new(),
            engine: None,
            disk: None,
            away: None,
            seen: None,
            mine: BTreeMap::new(),
            looks: 0,
            looking: false,
            look_again: false,
            stale: BTreeSet::new(),
            inspected_up_to: None,
            inspected_at: None,
            oom: BTreeSet::new(),
            images: BTreeMap::new(),
            pulls: BTreeMap::new(),
            pull_tries: BTreeMap::new(),
            put_back,
            mends: BTreeMap::new(),
            retries: BTreeMap::new(),
            busy: BTreeMap::new(),
            acted: BTreeMap::new(),
            probes: Probes::default(),
            logs: LogStreams::default(),
            statuses: Statuses::default(),
            usage: Before::new(),
            reading: false,
            facts,
            link: LinkState::Down {
                why: "it has not connected yet".to_owned(),
            },
            hello_due: false,
            complete_due: false,
            hold_until: None,
        }
    }

    async fn tend(
        mut self,
        from_control: mpsc::Receiver<ToAgent>,
        mut link: watch::Receiver<LinkState>,
        mut answers: mpsc::Receiver<Answer>,
        shutdown: CancellationToken,
    ) {
        let (hints_in, mut hints) = mpsc::channel(QUEUE);
        let cell = self.config.cell.to_string();
        let listener = Arc::clone(&self.runtime);
        let mut listening = JoinSet::new();
        listening.spawn(async move { listen(&*listener, &cell, hints_in).await });

        let mut from_control = Some(from_control);
        let mut link_open = true;
        let mut tick = every(TICK);
        let mut report = every(REPORT_EVERY);
        let mut usage = every(USAGE_EVERY);
        let mut facts = every(FACTS_EVERY);
        let mut looked_at = Instant::now();
        link.mark_changed();
        self.look();
        loop {
            let mut told = None;
            tokio::select! {
                () = shutdown.cancelled() => break,
                message = receive(&mut from_control) => match message {
                    Some(message) => told = Some(message),
                    // The link ended; containers are tended all the same.
                    None => from_control = None,
                },
                changed = link.changed(), if link_open => match changed {
                    Ok(()) => {
                        let state = link.borrow_and_update().clone();
                        self.on_link(state);
                    }
                    Err(_) => link_open = false,
                },
                Some(hint) = hints.recv() => self.on_hint(hint),
                Some(answer) = answers.recv() => self.probes.note(answer),
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(done) => self.on_done(done),
                    Err(error) => tracing::error!(%error, "a task of the agent's failed; this is an error in Muster"),
                },
                _ = tick.tick() => {
                    let pause = if self.away.is_some() { LOOK_EVERY_WHILE_AWAY } else { LOOK_EVERY };
                    if looked_at.elapsed() >= pause {
                        looked_at = Instant::now();
                        self.look();
                    }
                    self.keep_again().await;
                }
                _ = report.tick() => self.complete_due = true,
                _ = usage.tick() => self.read_usage(),
                _ = facts.tick() => self.inform(),
            }
            if let Some(message) = told {
                // What came over a connection is answered after its greeting.
                if link_open && link.has_changed().unwrap_or(false) {
                    let state = link.borrow_and_update().clone();
                    self.on_link(state);
                    self.greet();
                }
                self.on_message(message).await;
            }
            self.converge();
            self.tell();
        }
        let last_actions = async {
            while self.busy.values().any(|kind| *kind != Kind::Stop) {
                match self.tasks.join_next().await {
                    Some(Ok(done)) => self.on_done(done),
                    Some(Err(_)) => {}
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(LAST_ACTIONS_WAIT, last_actions).await;
    }
}

/// Something happened in the engine, or may have while nobody listened.
enum Hint {
    Listening,
    Event(ContainerEvent),
}

/// Listens to the engine's events for ever.
async fn listen<R: Runtime>(runtime: &R, cell: &str, hints: mpsc::Sender<Hint>) {
    /// Listening anew costs one request; the engine is looked for at the same pace.
    const PAUSE: Duration = LOOK_EVERY_WHILE_AWAY;
    loop {
        let mut events = runtime.events((CELL_LABEL, cell));
        if hints.send(Hint::Listening).await.is_err() {
            return;
        }
        while let Some(Ok(event)) = events.next().await {
            if hints.send(Hint::Event(event)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is to be put back, by attempt.
fn put_back_of(assignments: Option<&Assignments>) -> BTreeMap<AttemptId, Vec<DriftField>> {
    let orders = assignments.map_or(&[][..], |assignments| &assignments.put_back);
    orders
        .iter()
        .map(|order| (order.attempt, order.fields.clone()))
        .collect()
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn receive(from_control: &mut Option<mpsc::Receiver<ToAgent>>) -> Option<ToAgent> {
    match from_control {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
