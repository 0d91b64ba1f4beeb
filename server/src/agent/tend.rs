//! The agent's loop: the one place that knows all of a host's state. It waits for something to happen, takes note of it,
//! decides, begins what was decided as tasks of their own, and tells the control plane what changed. It never waits for the
//! engine or for the network itself.

use super::converge::{self, Action, Image, Retry, View};
use super::execute::{self, Hands, Outcome};
use super::facts::{Disk, facts};
use super::launch::{CELL_LABEL, attempt_of};
use super::logs::{LogStreams, Wanted};
use super::look::{Seen, look};
use super::markers::Markers;
use super::orders::{Orders, Verdict};
use super::probes::{Answer, Asked, Probes};
use super::status::{Statuses, launch_of};
use super::usage::{self, Before};
use super::{AgentConfig, AgentError, LinkState};
use crate::runtime::{
    Container, ContainerEvent, ContainerState, EngineInfo, PullProgress, Runtime, RuntimeError,
};
use futures::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::AttemptId;
use muster_schemas::state::{HostFacts, Phase};
use muster_schemas::wire::{Assignment, Assignments, FromAgent, Report, ToAgent};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::Path;
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
/// Facts hardly change.
const FACTS_EVERY: Duration = Duration::from_secs(30);
/// Launches at once: they are bound by the engine's locks and the disk; more only makes each slower.
const LAUNCHES_AT_ONCE: usize = 8;
/// Stops at once: they mostly wait for their grace to pass, so many cost little.
const STOPS_AT_ONCE: usize = 64;
/// Removals and notes at once.
const CHORES_AT_ONCE: usize = 8;
/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);
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

/// What kind of action is under way, for the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Launch,
    Stop,
    Chore,
}

impl Kind {
    fn of(action: &Action) -> Self {
        match action {
            Action::Launch { .. } | Action::Start { .. } => Kind::Launch,
            Action::Stop { .. } => Kind::Stop,
            Action::Fetch { .. }
            | Action::Settle { .. }
            | Action::Remove { .. }
            | Action::Forget { .. } => Kind::Chore,
        }
    }

    fn at_once(self) -> usize {
        match self {
            Kind::Launch => LAUNCHES_AT_ONCE,
            Kind::Stop => STOPS_AT_ONCE,
            Kind::Chore => CHORES_AT_ONCE,
        }
    }
}

struct Agent<R> {
    config: Arc<AgentConfig>,
    runtime: Arc<R>,
    hands: Arc<Hands<R>>,
    markers: Arc<Markers>,
    orders: Orders,
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
    /// Containers in which the kernel killed a process; engines sometimes forget.
    oom: BTreeSet<String>,

    images: BTreeMap<String, Image>,
    pulls: BTreeMap<String, watch::Receiver<PullProgress>>,
    /// Failures in a row.
    pull_tries: BTreeMap<String, u32>,
    retries: BTreeMap<AttemptId, Retry>,
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
        let facts = facts(&config, None, None, None);
        Self {
            config,
            runtime,
            hands: Arc::new(hands),
            markers,
            orders,
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
            oom: BTreeSet::new(),
            images: BTreeMap::new(),
            pulls: BTreeMap::new(),
            pull_tries: BTreeMap::new(),
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

    // What happens.

    async fn on_message(&mut self, message: ToAgent) {
        match message {
            ToAgent::Assignments(assignments) => self.on_assignments(assignments).await,
            ToAgent::LogOpen {
                stream,
                attempt,
                follow,
                tail,
                since,
            } => {
                let wanted = Wanted {
                    stream,
                    attempt,
                    follow,
                    tail,
                    since,
                };
                self.logs.open(wanted, &self.runtime, &self.to_control);
            }
            ToAgent::LogClose { stream } => self.logs.close(stream),
        }
    }

    async fn on_assignments(&mut self, assignments: Assignments) {
        match self.orders.judge(&assignments) {
            Verdict::Follow => {}
            Verdict::NotForUs => {
                tracing::error!(
                    cell = %assignments.cell,
                    host = %assignments.host,
                    own_host = %self.config.host,
                    "assignments for another host came; they are ignored"
                );
                return;
            }
            Verdict::Fenced => {
                let (got, highest) = (assignments.fence, self.orders.fence());
                tracing::warn!(?got, ?highest, "refusing assignments with an old fence");
                self.send(FromAgent::Fenced { got, highest });
                return;
            }
        }
        let before: BTreeMap<_, _> = self
            .items()
            .iter()
            .map(|item| (item.attempt(), std::mem::discriminant(item)))
            .collect();
        if let Err(error) = self.orders.take(assignments).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "new assignments cannot be kept, so they are not followed");
            return;
        }
        // A pause after a failed launch must not delay a stop order.
        let items = self.orders.assignments().map_or(&[][..], |a| &a.items);
        let wants: BTreeMap<_, _> = items
            .iter()
            .map(|item| (item.attempt(), std::mem::discriminant(item)))
            .collect();
        self.retries
            .retain(|attempt, _| before.get(attempt) == wants.get(attempt));
        let wanted_images: BTreeSet<&str> = items
            .iter()
            .filter_map(|item| match item {
                Assignment::Run(launch) => Some(launch.image.as_str()),
                Assignment::Stop { .. } | Assignment::Keep { .. } | Assignment::Remove { .. } => {
                    None
                }
            })
            .collect();
        self.images.retain(|image, state| {
            matches!(state, Image::Coming(_)) || wanted_images.contains(image.as_str())
        });
    }

    fn on_link(&mut self, state: LinkState) {
        match &state {
            LinkState::Up => {
                self.hello_due = true;
                self.complete_due = true;
            }
            LinkState::Down { why } | LinkState::Refused { why } => {
                tracing::debug!(why, "not connected; containers run on");
            }
        }
        self.link = state;
        self.logs.close_all();
    }

    fn on_hint(&mut self, hint: Hint) {
        match hint {
            Hint::Listening => {}
            Hint::Event(event) => {
                if event.oom {
                    self.oom.insert(event.container.clone());
                }
                self.stale.insert(event.container);
            }
        }
        self.look();
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Looked { number, seen } => self.on_looked(number, seen),
            Done::Acted { attempt, result } => self.on_acted(attempt, result),
            Done::Fetched { image, result } => {
                self.pulls.remove(&image);
                let tries = self.pull_tries.remove(&image).unwrap_or(0) + 1;
                let failed = match result.outcome {
                    Outcome::Done => None,
                    Outcome::Again(message) | Outcome::Unreachable(message) => Some(message),
                    Outcome::ImageMissing => {
                        Some(format!("the image {image} was pulled and is not there"))
                    }
                };
                let state = match failed {
                    None => Image::Here,
                    Some(message) => {
                        tracing::warn!(image, message, tries, "a pull failed");
                        self.pull_tries.insert(image.clone(), tries);
                        Image::Failed(retry(message, tries, Timestamp::now()))
                    }
                };
                self.images.insert(image, state);
            }
            Done::Read(readings) => {
                self.reading = false;
                let rates = usage::rates(&self.usage, &readings, Timestamp::now());
                self.usage = readings;
                if !rates.is_empty() {
                    self.send(FromAgent::Usage { readings: rates });
                }
            }
            Done::Informed { info, disk } => {
                match info {
                    Ok(info) => self.engine = Some(Arc::new(info)),
                    // The next look says whether it is away.
                    Err(error) => tracing::debug!(%error, "the engine did not say what it is"),
                }
                self.disk = disk;
                self.tell_facts();
            }
        }
    }

    fn on_looked(&mut self, number: u64, seen: Result<Seen, RuntimeError>) {
        self.looking = false;
        let look_again = std::mem::take(&mut self.look_again);
        match seen {
            Err(error) => {
                // Nothing is known anew, so nothing is told anew: what ran counts as running.
                if self.away.is_none() {
                    tracing::error!(%error, "the engine does not answer");
                }
                self.away = Some(error.message().to_owned());
                self.tell_facts();
            }
            Ok(mut seen) => {
                let first = self.seen.is_none();
                let back = self.away.take().is_some();
                if back {
                    tracing::info!("the engine answers again");
                }
                // What an action left behind after this look began is newer than the look.
                for (attempt, (from, _)) in &self.acted {
                    if *from > number {
                        seen.containers.retain(|_, container| {
                            attempt_of(container, &self.config.cell, self.config.host)
                                != Some(*attempt)
                        });
                        if let Some(container) = self.mine.get(attempt) {
                            seen.containers
                                .insert(container.id.clone(), container.clone());
                        }
                    }
                }
                self.acted.retain(|_, (from, _)| *from > number);
                self.oom.retain(|id| seen.containers.contains_key(id));
                for (id, container) in &mut seen.containers {
                    container.oom |= self.oom.contains(id);
                }
                self.seen = Some(seen);
                self.sort_containers();
                if first {
                    self.hold_until = Some(Instant::now() + FIRST_WORDS_WAIT);
                    self.complete_due = true;
                }
                if back || first {
                    self.inform();
                    self.tell_facts();
                }
            }
        }
        if look_again {
            self.look();
        }
    }

    fn on_acted(&mut self, attempt: AttemptId, result: execute::Result) {
        let kind = self.busy.remove(&attempt);
        let known = result.container.is_some();
        self.acted.insert(attempt, (self.looks + 1, known));
        if let Some(mut container) = result.container {
            container.oom |= self.oom.contains(&container.id);
            if let Some(seen) = &mut self.seen {
                seen.containers.insert(container.id.clone(), container);
            }
            self.sort_containers();
        } else {
            self.look();
        }
        let now = Timestamp::now();
        match result.outcome {
            Outcome::Done => {
                self.retries.remove(&attempt);
            }
            Outcome::Again(message) | Outcome::Unreachable(message) => {
                tracing::warn!(%attempt, ?kind, message, "an action failed and is tried again");
                self.try_again(attempt, message, now);
            }
            Outcome::ImageMissing => {
                let image = self.items().iter().find_map(|item| match item {
                    Assignment::Run(launch) if launch.attempt == attempt => {
                        Some(launch.image.clone())
                    }
                    Assignment::Run(_)
                    | Assignment::Stop { .. }
                    | Assignment::Keep { .. }
                    | Assignment::Remove { .. } => None,
                });
                if let Some(image) = image {
                    self.images.remove(&image);
                    let message = format!("the image {image} is not on the host any more");
                    self.try_again(attempt, message, now);
                }
            }
        }
    }

    fn try_again(&mut self, attempt: AttemptId, message: String, now: Timestamp) {
        let tries = self.retries.get(&attempt).map_or(0, |retry| retry.tries);
        self.retries.insert(attempt, retry(message, tries + 1, now));
    }

    // What is done.

    fn items(&self) -> &[Assignment] {
        self.orders
            .assignments()
            .map_or(&[][..], |assignments| &assignments.items)
    }

    fn sort_containers(&mut self) {
        if let Some(seen) = &self.seen {
            self.mine = seen.by_attempt(&self.config.cell, self.config.host);
        }
    }

    /// Runs a closure on the present view.
    fn with_view<T>(&self, use_it: impl FnOnce(&View<'_>) -> T) -> T {
        let markers = self.markers.all();
        let unsure = self
            .acted
            .iter()
            .filter(|(_, (_, known))| !known)
            .map(|(attempt, _)| *attempt);
        let busy = self.busy.keys().copied().chain(unsure).collect();
        use_it(&View {
            items: self.items(),
            containers: &self.mine,
            markers: &markers,
            images: &self.images,
            retries: &self.retries,
            busy: &busy,
            now: Timestamp::now(),
        })
    }

    fn converge(&mut self) {
        for (image, progress) in &self.pulls {
            if let Some(Image::Coming(known)) = self.images.get_mut(image) {
                *known = *progress.borrow();
            }
        }
        // Without the engine's word nothing is begun.
        if self.away.is_some() || self.seen.is_none() {
            return;
        }
        let Some(engine) = self.engine.clone() else {
            return;
        };
        for action in self.with_view(converge::decide) {
            let kind = Kind::of(&action);
            let (progress_in, progress) = watch::channel(PullProgress::default());
            let fetched = match (&action, action.attempt()) {
                (Action::Fetch { image }, _) => {
                    self.images
                        .insert(image.clone(), Image::Coming(PullProgress::default()));
                    self.pulls.insert(image.clone(), progress);
                    Err(image.clone())
                }
                (_, Some(attempt)) => {
                    let under_way = self.busy.values().filter(|other| **other == kind).count();
                    if under_way >= kind.at_once() {
                        continue;
                    }
                    self.busy.insert(attempt, kind);
                    Ok(attempt)
                }
                (_, None) => continue,
            };
            let hands = Arc::clone(&self.hands);
            let engine = Arc::clone(&engine);
            self.tasks.spawn(async move {
                let work = hands.execute(action, engine, progress_in);
                // An error of ours in one action must not leave its attempt busy for ever.
                let result = AssertUnwindSafe(work)
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| execute::Result::failed("an error in the agent"));
                match fetched {
                    Ok(attempt) => Done::Acted { attempt, result },
                    Err(image) => Done::Fetched { image, result },
                }
            });
        }
        let asked = self.asked();
        self.probes.sync(&asked, &self.runtime, &self.answers);
    }

    /// The containers to probe: those that run and whose launch is known.
    fn asked(&self) -> BTreeMap<AttemptId, Asked> {
        self.with_view(|view| {
            view.items
                .iter()
                .filter_map(|item| {
                    let container = view.containers.get(&item.attempt())?;
                    if converge::phase(view, item) != Some(Phase::Running) {
                        return None;
                    }
                    Some((
                        item.attempt(),
                        Asked {
                            container: container.id.clone(),
                            ip: container.ip.clone(),
                            started_at: container.started_at,
                            launch: launch_of(view, item)?.clone(),
                        },
                    ))
                })
                .collect()
        })
    }

    fn look(&mut self) {
        if self.looking {
            self.look_again = true;
            return;
        }
        self.looking = true;
        self.looks += 1;
        let number = self.looks;
        let runtime = Arc::clone(&self.runtime);
        let config = Arc::clone(&self.config);
        let known = self
            .seen
            .as_ref()
            .map(|seen| seen.containers.clone())
            .unwrap_or_default();
        let stale = std::mem::take(&mut self.stale);
        self.tasks.spawn(async move {
            let seen = look(&*runtime, &config.cell, config.host, &known, &stale).await;
            Done::Looked { number, seen }
        });
    }

    fn inform(&mut self) {
        let runtime = Arc::clone(&self.runtime);
        self.tasks.spawn(async move {
            let info = runtime.info().await;
            let disk = match &info {
                Ok(info) if !info.root_dir.is_empty() => {
                    let root = info.root_dir.clone();
                    // A network file system can hang.
                    tokio::task::spawn_blocking(move || Disk::of(Path::new(&root)))
                        .await
                        .unwrap_or(None)
                }
                Ok(_) | Err(_) => None,
            };
            Done::Informed { info, disk }
        });
    }

    fn read_usage(&mut self) {
        if self.reading || self.away.is_some() {
            return;
        }
        let running: BTreeMap<_, _> = self
            .mine
            .iter()
            .filter(|(_, container)| container.state == ContainerState::Running)
            .map(|(attempt, container)| (*attempt, container.id.clone()))
            .collect();
        if running.is_empty() {
            self.usage.clear();
            return;
        }
        self.reading = true;
        let runtime = Arc::clone(&self.runtime);
        self.tasks
            .spawn(async move { Done::Read(usage::read(runtime, running).await) });
    }

    // What is told.

    /// Sends a frame if there is a connection and room. Nothing waits here: what does not fit is made good by the next complete
    /// report.
    fn send(&mut self, frame: FromAgent) -> bool {
        if self.link != LinkState::Up {
            return false;
        }
        let sent = self.to_control.try_send(frame).is_ok();
        if !sent {
            self.complete_due = true;
        }
        sent
    }

    /// Sends the greeting if it is due and there is room.
    fn greet(&mut self) {
        if self.hello_due && self.link == LinkState::Up {
            let hello = FromAgent::Hello {
                facts: Box::new(self.facts.clone()),
                fence: self.orders.fence(),
            };
            self.hello_due = !self.send(hello);
        }
    }

    fn tell(&mut self) {
        self.greet();
        if self.hello_due || self.seen.is_none() || self.first_words_missing() {
            return;
        }
        let words = self.probes.words().clone();
        let mut statuses = std::mem::take(&mut self.statuses);
        let changed = self.with_view(|view| statuses.update(view, &words));
        self.statuses = statuses;
        let complete = self.complete_due && self.away.is_none();
        if (!complete && changed.is_empty()) || self.link != LinkState::Up {
            return;
        }
        let report = Report {
            complete,
            fence: self.orders.fence(),
            attempts: if complete {
                self.statuses.all()
            } else {
                changed
            },
            orphans: if complete { self.orphans() } else { Vec::new() },
        };
        if self.send(FromAgent::Report(report)) && complete {
            self.complete_due = false;
        }
    }

    fn orphans(&self) -> Vec<muster_schemas::state::Orphan> {
        let named = self.items().iter().map(Assignment::attempt).collect();
        self.seen.as_ref().map_or_else(Vec::new, |seen| {
            seen.orphans(&self.config.cell, self.config.host, &named)
        })
    }

    /// Whether the first report still waits for probes of containers that ran before the agent did.
    fn first_words_missing(&mut self) -> bool {
        let Some(until) = self.hold_until else {
            return false;
        };
        let words = self.probes.words();
        let missing = self.asked().iter().any(|(attempt, asked)| {
            asked.launch.readiness.is_some()
                && words.get(attempt).is_none_or(|word| word.ready.is_none())
        });
        let hold = missing && Instant::now() < until;
        if !hold {
            self.hold_until = None;
        }
        hold
    }

    fn tell_facts(&mut self) {
        let new = facts(
            &self.config,
            self.engine.as_deref(),
            self.disk,
            self.away.as_deref(),
        );
        if new != self.facts {
            self.facts = new;
            // Before the greeting there is nothing to correct.
            if !self.hello_due {
                let facts = Box::new(self.facts.clone());
                self.hello_due =
                    self.link == LinkState::Up && !self.send(FromAgent::Facts { facts });
            }
        }
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

/// The pause after a failure doubles with each; a little chance keeps hosts from asking a registry in step.
fn retry(message: String, tries: u32, now: Timestamp) -> Retry {
    let doublings = tries.saturating_sub(1).min(6);
    let pause = (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE);
    let chance = 1.0 + 0.2 * rand::random::<f64>();
    Retry {
        message,
        until: now + pause.mul_f64(chance).min(LONGEST_PAUSE),
        tries,
    }
}

#[cfg(test)]
#[path = "tend_tests.rs"]
mod tests;
