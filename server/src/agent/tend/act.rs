//! Beginning what was decided, as tasks of their own: actions, looks at the engine, readings.

use super::{Agent, Done, LOOK_EVERY};
use crate::agent::converge::{self, Action, Image, View};
use crate::agent::execute;
use crate::agent::facts::Disk;
use crate::agent::look::look;
use crate::agent::probes::Asked;
use crate::agent::status::launch_of;
use crate::agent::usage;
use crate::runtime::{ContainerState, PullProgress, Runtime};
use futures::FutureExt;
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::Phase;
use muster_schemas::wire::Assignment;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Launches at once: they are bound by the engine's locks and the disk; more only makes each slower.
const LAUNCHES_AT_ONCE: usize = 8;
/// Stops at once: they mostly wait for their grace to pass, so many cost little.
const STOPS_AT_ONCE: usize = 64;
/// Containers on which something is put back at once: few questions each, and nobody waits.
const MENDS_AT_ONCE: usize = 8;
/// Events tell of changes, but can be lost: at each look so many running containers are inspected anew, in turn. On a host with
/// up to a hundred, each is seen again within 5 s; it costs the engine a hundredth of a CPU.
const INSPECTED_IN_TURN: usize = 40;
/// Removals and notes at once.
const CHORES_AT_ONCE: usize = 8;

/// What kind of action is under way, for the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Launch,
    Stop,
    Mend,
    Chore,
}

impl Kind {
    fn of(action: &Action) -> Self {
        match action {
            Action::Launch { .. } | Action::Start { .. } => Kind::Launch,
            Action::Stop { .. } => Kind::Stop,
            Action::PutBack { .. } => Kind::Mend,
            Action::Fetch { .. }
            | Action::Undo { .. }
            | Action::Settle { .. }
            | Action::Remove { .. }
            | Action::Forget { .. } => Kind::Chore,
        }
    }

    fn at_once(self) -> usize {
        match self {
            Kind::Launch => LAUNCHES_AT_ONCE,
            Kind::Stop => STOPS_AT_ONCE,
            Kind::Mend => MENDS_AT_ONCE,
            Kind::Chore => CHORES_AT_ONCE,
        }
    }
}

impl<R: Runtime> Agent<R> {
    pub(super) fn items(&self) -> &[Assignment] {
        self.orders
            .assignments()
            .map_or(&[][..], |assignments| &assignments.items)
    }

    pub(super) fn sort_containers(&mut self) {
        if let Some(seen) = &self.seen {
            let markers = self.markers.all();
            self.mine = seen.by_attempt(&self.config.cell, self.config.host, &markers);
        }
    }

    /// Runs a closure on the present view.
    pub(super) fn with_view<T>(&self, use_it: impl FnOnce(&View<'_>) -> T) -> T {
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
            put_back: &self.put_back,
            mends: &self.mends,
            busy: &busy,
            now: Timestamp::now(),
        })
    }

    pub(super) fn converge(&mut self) {
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
    pub(super) fn asked(&self) -> BTreeMap<AttemptId, Asked> {
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

    pub(super) fn look(&mut self) {
        if self.looking {
            self.look_again = true;
            return;
        }
        self.looking = true;
        self.looks += 1;
        let number = self.looks;
        let runtime = Arc::clone(&self.runtime);
        let config = Arc::clone(&self.config);
        // An engine that was away may have restarted: what was known of its containers is asked anew.
        let known = match (&self.away, &self.seen) {
            (None, Some(seen)) => seen.containers.clone(),
            (Some(_), _) | (None, None) => BTreeMap::new(),
        };
        let mut stale = std::mem::take(&mut self.stale);
        stale.extend(self.in_turn());
        self.tasks.spawn(async move {
            let seen = look(&*runtime, &config.cell, config.host, &known, &stale).await;
            Done::Looked { number, seen }
        });
    }

    /// The running containers whose turn it is to be inspected anew.
    fn in_turn(&mut self) -> Vec<String> {
        let Some(seen) = &self.seen else {
            return Vec::new();
        };
        // Looks that events bring come as often as those do.
        let early = |last: Instant| last.elapsed() < LOOK_EVERY.mul_f64(0.9);
        if self.inspected_at.is_some_and(early) {
            return Vec::new();
        }
        self.inspected_at = Some(Instant::now());
        let running = || {
            seen.containers
                .values()
                .filter(|container| container.state == ContainerState::Running)
                .map(|container| &container.id)
        };
        let after = self.inspected_up_to.take();
        let rest = running().filter(|id| after.as_ref().is_none_or(|after| *id > after));
        let turn: Vec<String> = rest.take(INSPECTED_IN_TURN).cloned().collect();
        // The end is reached: the next turn begins anew.
        self.inspected_up_to = turn
            .last()
            .filter(|_| turn.len() == INSPECTED_IN_TURN)
            .cloned();
        turn
    }

    pub(super) fn inform(&mut self) {
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

    pub(super) fn read_usage(&mut self) {
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
}
