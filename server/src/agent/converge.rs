//! What to do next: a pure function of the assignments and of what the host has.
//!
//! Laws, each with a property test below: nothing is stopped without a stop order for that very attempt; nothing is created or
//! started again once it may have been started; nothing is removed that runs or that is not ours; what no assignment names is
//! left alone.

use super::drift;
use super::ends;
use super::markers::{Marker, Stage};
use crate::runtime::{Container, ContainerState, PullProgress};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::drift::DriftField;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::{Ended, Phase, StopOrder};
use muster_schemas::wire::{Assignment, Launch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// After asking the engine to start a container, an answer may be lost (either side was killed). For so long the container
/// that still looks unstarted may be starting. After that the start has failed: it is undone and not tried again, since an
/// engine that was killed can call a container unstarted that ran.
pub const START_SETTLES: SignedDuration = SignedDuration::from_secs(5);
/// Markers of attempts that no assignment names and that have no container are forgotten after this time. They cost a few
/// kilobytes each; a day is longer than any control plane takes to tell its assignments again.
pub const MARKER_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// All that the decision rests on.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The assignments.
    pub items: &'a [Assignment],
    /// This host's containers.
    pub containers: &'a BTreeMap<AttemptId, Container>,
    /// What was begun.
    pub markers: &'a BTreeMap<AttemptId, Arc<Marker>>,
    /// Images that were asked about.
    pub images: &'a BTreeMap<String, Image>,
    /// Attempts whose last action failed.
    pub retries: &'a BTreeMap<AttemptId, Retry>,
    /// What is to be put back on running containers.
    pub put_back: &'a BTreeMap<AttemptId, Vec<DriftField>>,
    /// Attempts on whose container something could not be put back.
    pub mends: &'a BTreeMap<AttemptId, Retry>,
    /// Attempts with an action under way, or whose container was listed before their last action ended.
    pub busy: &'a BTreeSet<AttemptId>,
    /// The time.
    pub now: Timestamp,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// It is looked for, or pulled.
    Coming(PullProgress),
    /// The engine has it.
    Here,
    /// It could not be pulled.
    Failed(Retry),
}

/// Something failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// What failed, in one sentence.
    pub message: String,
    /// When it is tried again.
    pub until: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Look for an image and pull it if it is not here.
    Fetch {
        /// The image.
        image: String,
    },
    /// Create and start an attempt's container.
    Launch {
        /// What to launch.
        launch: Box<Launch>,
    },
    /// Start a container that was created and that nobody asked the engine to start.
    Start {
        /// What was to be launched.
        launch: Box<Launch>,
        /// Its container.
        container: String,
    },
    /// Stop a running container.
    Stop {
        /// What runs.
        launch: Box<Launch>,
        /// Its container.
        container: String,
        /// The order.
        order: StopOrder,
    },
    /// Put back what somebody changed on a running container, without stopping it.
    PutBack {
        /// What runs.
        launch: Box<Launch>,
        /// Its container.
        container: String,
        /// What of it.
        fields: Vec<DriftField>,
    },
    /// Undo a start that the engine did not carry out, or has forgotten: end what runs of it, remove the container, and write
    /// down how the attempt ended.
    Undo {
        /// What was to be launched.
        launch: Box<Launch>,
        /// Its container.
        container: String,
        /// How it ended.
        ended: Ended,
    },
    /// Write down how an attempt ended.
    Settle {
        /// The attempt.
        attempt: AttemptId,
        /// What was launched, where it is known.
        launch: Option<Box<Launch>>,
        /// How it ended.
        ended: Ended,
    },
    /// Remove a container that does not run, and its marker.
    Remove {
        /// The attempt.
        attempt: AttemptId,
        /// Its container.
        container: String,
    },
    /// Remove a marker.
    Forget {
        /// The attempt.
        attempt: AttemptId,
    },
}

impl Action {
    /// The attempt that it is about; none for an image.
    pub fn attempt(&self) -> Option<AttemptId> {
        match self {
            Action::Fetch { .. } => None,
            Action::Launch { launch }
            | Action::Start { launch, .. }
            | Action::Stop { launch, .. }
            | Action::PutBack { launch, .. }
            | Action::Undo { launch, .. } => Some(launch.attempt),
            Action::Settle { attempt, .. }
            | Action::Remove { attempt, .. }
            | Action::Forget { attempt } => Some(*attempt),
        }
    }
}

/// What to do now, at most one action for each attempt and image.
pub fn decide(view: &View<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut seen = BTreeSet::new();
    let mut fetched = BTreeSet::new();
    for item in view.items {
        let attempt = item.attempt();
        // Two entries for one attempt are an error of the control plane; the first one counts.
        if !seen.insert(attempt) || view.busy.contains(&attempt) {
            continue;
        }
        if view
            .retries
            .get(&attempt)
            .is_some_and(|retry| retry.until > view.now)
        {
            continue;
        }
        match one(view, item) {
            Some(Action::Fetch { image }) if !fetched.insert(image.clone()) => {}
            Some(action) => actions.push(action),
            None => {}
        }
    }
    for (attempt, marker) in view.markers {
        let unnamed = !seen.contains(attempt)
            && !view.busy.contains(attempt)
            && !view.containers.contains_key(attempt);
        if unnamed && view.now.duration_since(marker.made_at) > MARKER_KEPT {
            actions.push(Action::Forget { attempt: *attempt });
        }
    }
    actions
}

fn one(view: &View<'_>, item: &Assignment) -> Option<Action> {
    let attempt = item.attempt();
    let container = view.containers.get(&attempt);
    let marker = view.markers.get(&attempt).map(Arc::as_ref);
    match item {
        Assignment::Run(launch) => run(view, launch, container, marker),
        Assignment::Stop { launch, order } => stop(view, launch, order, container, marker),
        Assignment::Keep { .. } => settle_exited(view, attempt, None, container, marker),
        Assignment::Remove { .. } => match (container, marker) {
            (Some(container), _) => match container.state {
                ContainerState::Running => None,
                ContainerState::Created | ContainerState::Exited => Some(Action::Remove {
                    attempt,
                    container: container.id.clone(),
                }),
            },
            (None, Some(_)) => Some(Action::Forget { attempt }),
            (None, None) => None,
        },
    }
}

fn run(
    view: &View<'_>,
    launch: &Launch,
    container: Option<&Container>,
    marker: Option<&Marker>,
) -> Option<Action> {
    let attempt = launch.attempt;
    let settle = |ended| {
        Some(Action::Settle {
            attempt,
            launch: Some(Box::new(launch.clone())),
            ended,
        })
    };
    match (container, marker.map(|marker| &marker.stage)) {
        (_, Some(Stage::Ended { .. })) => None,
        (_, Some(Stage::Undoing { container, ended })) => undo(launch, container, ended.clone()),
        (Some(container), stage) => match container.state {
            ContainerState::Running => {
                let fields = drift::to_put_back(view, attempt, container);
                (!fields.is_empty()).then(|| Action::PutBack {
                    launch: Box::new(launch.clone()),
                    container: container.id.clone(),
                    fields,
                })
            }
            ContainerState::Exited => {
                settle_exited(view, attempt, Some(launch), Some(container), marker)
            }
            ContainerState::Created if refused_to_start(container) => {
                let (message, system_error) =
                    ends::start_error(&container.error, container.exit_code);
                settle(ends::not_started(
                    &message,
                    Some(container.exit_code),
                    system_error,
                    view.now,
                ))
            }
            ContainerState::Created if may_be_starting(view, stage) => None,
            ContainerState::Created if matches!(stage, Some(Stage::Starting { .. })) => {
                undo(launch, &container.id, ends::start_unknown(view.now))
            }
            ContainerState::Created => Some(Action::Start {
                launch: Box::new(launch.clone()),
                container: container.id.clone(),
            }),
        },
        // It was there and may have run: it is not made again.
        (None, Some(Stage::Starting { .. })) => settle(ends::lost(view.now)),
        (None, Some(Stage::Creating) | None) => match view.images.get(&launch.image) {
            Some(Image::Here) => Some(Action::Launch {
                launch: Box::new(launch.clone()),
            }),
            Some(Image::Coming(_)) => None,
            Some(Image::Failed(retry)) if retry.until > view.now => None,
            Some(Image::Failed(_)) | None => Some(Action::Fetch {
                image: launch.image.clone(),
            }),
        },
    }
}

fn stop(
    view: &View<'_>,
    launch: &Launch,
    order: &StopOrder,
    container: Option<&Container>,
    marker: Option<&Marker>,
) -> Option<Action> {
    // An entry whose order is for another attempt orders nothing.
    if order.attempt != launch.attempt {
        return None;
    }
    let attempt = launch.attempt;
    let stage = marker.map(|marker| &marker.stage);
    if let Some(Stage::Undoing { container, ended }) = stage {
        return undo(launch, container, ended.clone());
    }
    let settle = |ended| {
        Some(Action::Settle {
            attempt,
            launch: Some(Box::new(launch.clone())),
            ended,
        })
    };
    match container.map(|container| (container, container.state)) {
        Some((container, ContainerState::Running)) => Some(Action::Stop {
            launch: Box::new(launch.clone()),
            container: container.id.clone(),
            order: order.clone(),
        }),
        Some((container, ContainerState::Exited)) => {
            settle_exited(view, attempt, Some(launch), Some(container), marker)
        }
        Some((container, ContainerState::Created)) => match stage {
            Some(Stage::Ended { .. }) => None,
            Some(Stage::Starting { .. }) if may_be_starting(view, stage) => None,
            Some(Stage::Starting { .. }) => {
                undo(launch, &container.id, ends::never_started(order, view.now))
            }
            Some(Stage::Creating | Stage::Undoing { .. }) | None => {
                settle(ends::never_started(order, view.now))
            }
        },
        None => match stage {
            Some(Stage::Ended { .. }) => None,
            Some(Stage::Starting { .. }) => settle(ends::lost(view.now)),
            Some(Stage::Creating | Stage::Undoing { .. }) | None => {
                settle(ends::never_started(order, view.now))
            }
        },
    }
}

fn undo(launch: &Launch, container: &str, ended: Ended) -> Option<Action> {
    Some(Action::Undo {
        launch: Box::new(launch.clone()),
        container: container.to_owned(),
        ended,
    })
}

/// An exited container's end is written down, so that it is still known when the container has been removed.
fn settle_exited(
    view: &View<'_>,
    attempt: AttemptId,
    launch: Option<&Launch>,
    container: Option<&Container>,
    marker: Option<&Marker>,
) -> Option<Action> {
    let container = container?;
    if container.state != ContainerState::Exited
        || marker.is_some_and(|marker| {
            matches!(marker.stage, Stage::Undoing { .. } | Stage::Ended { .. })
        })
    {
        return None;
    }
    Some(Action::Settle {
        attempt,
        launch: launch.cloned().map(Box::new),
        ended: ends::exited(container, marker, view.now),
    })
}

/// Engines leave a container that they could not start as created, with the error beside it.
pub fn refused_to_start(container: &Container) -> bool {
    container.state == ContainerState::Created
        && (container.exit_code != 0 || !container.error.is_empty())
}

fn may_be_starting(view: &View<'_>, stage: Option<&Stage>) -> bool {
    match stage {
        Some(Stage::Starting { since }) => {
            let age = view.now.duration_since(*since);
            // A clock that was set back must not keep it waiting for ever.
            age < START_SETTLES && !age.is_negative()
        }
        Some(Stage::Creating | Stage::Undoing { .. } | Stage::Ended { .. }) | None => false,
    }
}

/// How far the attempt of an assignment is; none where there is nothing to tell.
pub fn phase(view: &View<'_>, item: &Assignment) -> Option<Phase> {
    let attempt = item.attempt();
    let container = view.containers.get(&attempt);
    let marker = view.markers.get(&attempt).map(Arc::as_ref);
    if let Some(Stage::Ended { ended }) = marker.map(|marker| &marker.stage) {
        return Some(Phase::Ended(ended.clone()));
    }
    let undoing = marker.is_some_and(|marker| matches!(marker.stage, Stage::Undoing { .. }));
    match container.map(|container| (container, container.state)) {
        // What the engine says of it now is no end of its own.
        _ if undoing => {}
        Some((container, ContainerState::Exited)) => {
            return Some(Phase::Ended(ends::exited(container, marker, view.now)));
        }
        Some((_, ContainerState::Running)) => return Some(Phase::Running),
        Some((_, ContainerState::Created)) | None => {}
    }
    let launch = match item {
        Assignment::Run(launch) | Assignment::Stop { launch, .. } => launch,
        Assignment::Keep { .. } | Assignment::Remove { .. } => return None,
    };
    if let Some(retry) = view.retries.get(&attempt) {
        return Some(waiting(retry));
    }
    if marker.is_some() || container.is_some() || view.busy.contains(&attempt) {
        return Some(Phase::Creating);
    }
    Some(match view.images.get(&launch.image) {
        Some(Image::Coming(progress)) => Phase::Pulling {
            done: progress.done,
            total: progress.total,
        },
        Some(Image::Failed(retry)) => waiting(retry),
        Some(Image::Here) | None => Phase::Accepted,
    })
}

fn waiting(retry: &Retry) -> Phase {
    Phase::Waiting {
        message: retry.message.clone(),
        until: retry.until,
    }
}

#[cfg(test)]
#[path = "converge_tests.rs"]
mod tests;
