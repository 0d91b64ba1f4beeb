//! Doing what was decided, one action at a time for each attempt. Each step is written down before it is taken.

use super::converge::{Action, refused_to_start};
use super::launch::{attempt_of, container_name, create_spec};
use super::markers::{Marker, Markers, Stage};
use super::{AgentConfig, ends};
use crate::runtime::{Container, ContainerState, EngineInfo, PullProgress, Runtime, RuntimeError};
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::state::{Ended, StopOrder};
use muster_schemas::wire::Launch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Pulls share the host's network and disk; more at once would only make each slower.
const PULLS_AT_ONCE: usize = 3;

/// All that actions need.
#[derive(Debug)]
pub struct Hands<R> {
    /// The engine.
    pub runtime: Arc<R>,
    /// What was begun.
    pub markers: Arc<Markers>,
    /// The agent's settings.
    pub config: Arc<AgentConfig>,
    pulls: Semaphore,
}

/// What came of an action.
#[derive(Debug)]
pub enum Outcome {
    /// It was done, or is not needed any more.
    Done,
    /// It failed and is to be tried again later; the message is for people.
    Again(String),
    /// The image is not here, although it was.
    ImageMissing,
    /// The engine does not answer: look at what it has when it does.
    Unreachable(String),
}

/// An action's result, with the container as it is after it where that is known.
#[derive(Debug)]
pub struct Result {
    /// What came of it.
    pub outcome: Outcome,
    /// The container after it.
    pub container: Option<Container>,
}

impl Result {
    fn bare(outcome: Outcome) -> Self {
        Self {
            outcome,
            container: None,
        }
    }
    /// That of an action that failed for a reason of its own.
    pub fn failed(message: &str) -> Self {
        Self::bare(Outcome::Again(message.to_owned()))
    }
    fn with(container: Option<Container>) -> Self {
        Self {
            outcome: Outcome::Done,
            container,
        }
    }
}

/// Steps end early with what came of them.
pub(super) type Step<T> = std::result::Result<T, Outcome>;

pub(super) fn from_engine(error: &RuntimeError, what: &str) -> Outcome {
    let message = format!("{what}: {}", ends::tidy(error.message()));
    match error {
        RuntimeError::Unreachable { .. } => Outcome::Unreachable(message),
        RuntimeError::ImageMissing { .. } => Outcome::ImageMissing,
        RuntimeError::NotFound { .. }
        | RuntimeError::Conflict { .. }
        | RuntimeError::Refused { .. }
        | RuntimeError::Failed { .. } => Outcome::Again(message),
    }
}

fn from_disk(error: std::io::Error) -> Outcome {
    Outcome::Again(format!(
        "the agent cannot write under its home: {error}; make room or repair the disk"
    ))
}

impl<R: Runtime> Hands<R> {
    /// Hands that do nothing yet.
    pub fn new(runtime: Arc<R>, markers: Arc<Markers>, config: Arc<AgentConfig>) -> Self {
        Self {
            runtime,
            markers,
            config,
            pulls: Semaphore::new(PULLS_AT_ONCE),
        }
    }

    /// Does one action. A fetch tells its progress; the others do not.
    pub async fn execute(
        &self,
        action: Action,
        engine: Arc<EngineInfo>,
        progress: watch::Sender<PullProgress>,
    ) -> Result {
        let done = match action {
            Action::Fetch { image } => self.fetch(&image, progress).await.map(|()| None),
            Action::Launch { launch } => self.launch(&launch, &engine).await,
            Action::Start { launch, container } => self.start(&launch, &container).await,
            Action::Stop {
                launch,
                container,
                order,
            } => self.stop(&launch, &container, &order).await,
            Action::PutBack {
                launch,
                container,
                fields,
            } => self.put_back(&launch, &container, fields).await,
            Action::Undo {
                launch,
                container,
                ended,
            } => self.undo(&launch, &container, ended).await,
            Action::Settle {
                attempt,
                launch,
                ended,
            } => self
                .settle(attempt, launch.as_deref(), ended)
                .await
                .map(|()| None),
            Action::Remove { attempt, container } => {
                self.remove(attempt, &container).await.map(|()| None)
            }
            Action::Forget { attempt } => self
                .markers
                .remove(attempt)
                .await
                .map_err(from_disk)
                .map(|()| None),
        };
        match done {
            Ok(container) => Result::with(container),
            Err(outcome) => Result::bare(outcome),
        }
    }

    async fn fetch(&self, image: &str, progress: watch::Sender<PullProgress>) -> Step<()> {
        let failed = |error: RuntimeError| from_engine(&error, "the image could not be looked up");
        if self.runtime.has_image(image).await.map_err(failed)? {
            return Ok(());
        }
        let _turn = self
            .pulls
            .acquire()
            .await
            .map_err(|closed| Outcome::Again(closed.to_string()))?;
        let pulled = self.runtime.pull(image, progress).await;
        pulled.map_err(|error| {
            let message = format!(
                "the image {image} could not be pulled: {}",
                ends::tidy(error.message())
            );
            if error.is_unreachable() {
                Outcome::Unreachable(message)
            } else {
                Outcome::Again(message)
            }
        })
    }

    async fn launch(&self, launch: &Launch, engine: &EngineInfo) -> Step<Option<Container>> {
        self.mark(launch, |stage| match stage {
            // It never goes back: a start that may have happened stays on record.
            Some(Stage::Starting { .. } | Stage::Undoing { .. } | Stage::Ended { .. }) => None,
            Some(Stage::Creating) | None => Some(Stage::Creating),
        })
        .await?;
        let spec = create_spec(launch, &self.config, engine);
        match self.runtime.create(&spec).await {
            Ok(container) => self.start(launch, &container).await,
            Err(RuntimeError::Conflict { message, .. }) => self.take_over(launch, &message).await,
            Err(error @ RuntimeError::Refused { .. }) => {
                let message = format!(
                    "the container could not be created: {}",
                    ends::tidy(error.message())
                );
                // The engine blames the request, and that is the spec's.
                let ended = ends::not_started(&message, None, false, Timestamp::now());
                self.settle(launch.attempt, Some(launch), ended).await?;
                Ok(None)
            }
            Err(error) => Err(from_engine(&error, "the container could not be created")),
        }
    }

    /// The name is taken. By an earlier try whose answer was lost: go on with that container. By another: say so.
    async fn take_over(&self, launch: &Launch, message: &str) -> Step<Option<Container>> {
        let name = container_name(launch.attempt);
        let Some(found) = self.look(&name).await? else {
            // The name is taken, yet there is no container: the engine is still at an earlier request.
            return Err(Outcome::Again(format!(
                "the container could not be created: {message}"
            )));
        };
        if attempt_of(&found, &self.config.cell, self.config.host) != Some(launch.attempt) {
            let message = format!(
                "the container could not be created: a container named {name} is there that this host's agent did not make"
            );
            let ended = ends::not_started(&message, None, true, Timestamp::now());
            self.settle(launch.attempt, Some(launch), ended).await?;
            return Ok(None);
        }
        match found.state {
            ContainerState::Created if !refused_to_start(&found) => {
                self.start(launch, &found.id).await
            }
            ContainerState::Created | ContainerState::Running | ContainerState::Exited => {
                Ok(Some(found))
            }
        }
    }

    async fn start(&self, launch: &Launch, container: &str) -> Step<Option<Container>> {
        let created = self
            .look(container)
            .await?
            .filter(|found| found.state == ContainerState::Created);
        self.mark_with(launch, created, |stage| match stage {
            Some(Stage::Undoing { .. } | Stage::Ended { .. }) => None,
            Some(Stage::Creating | Stage::Starting { .. }) | None => Some(Stage::Starting {
                since: Timestamp::now(),
            }),
        })
        .await?;
        let started = self.runtime.start(container).await;
        let found = self.look(container).await?;
        let Err(error) = started else {
            return Ok(found);
        };
        match found {
            // The answer was lost or wrong, the container speaks for itself.
            Some(found) if found.state != ContainerState::Created => Ok(Some(found)),
            Some(found)
                if refused_to_start(&found) || matches!(error, RuntimeError::Refused { .. }) =>
            {
                let words = if found.error.is_empty() {
                    error.message()
                } else {
                    &found.error
                };
                let (message, system_error) = ends::start_error(words, found.exit_code);
                let code = (found.exit_code != 0).then_some(found.exit_code);
                let ended = ends::not_started(&message, code, system_error, Timestamp::now());
                self.settle(launch.attempt, Some(launch), ended).await?;
                Ok(Some(found))
            }
            Some(_) | None => Err(from_engine(&error, "the container could not be started")),
        }
    }

    async fn stop(
        &self,
        launch: &Launch,
        container: &str,
        order: &StopOrder,
    ) -> Step<Option<Container>> {
        // Written first: an end that follows is the order's doing, also if the agent dies in between.
        let mut marker = self.marker(launch);
        if marker.stop_begun.is_none() {
            marker.stop_begun = Some(Timestamp::now());
            self.markers.put(marker).await.map_err(from_disk)?;
        }
        tracing::info!(
            attempt = %launch.attempt,
            task = %launch.task,
            reason = ?order.reason,
            actor = %order.actor,
            "stopping a container by a stop order"
        );
        let stopped = self
            .runtime
            .stop(container, Duration::from_millis(order.grace.0))
            .await;
        let mut found = self.look(container).await?;
        if let Err(error) = stopped {
            if error.is_unreachable() {
                return Err(from_engine(&error, "the container could not be stopped"));
            }
            tracing::warn!(attempt = %launch.attempt, %error, "stopping failed; killing");
            self.runtime
                .kill(container)
                .await
                .map_err(|error| from_engine(&error, "the container could not be killed"))?;
            found = self.look(container).await?;
        }
        let Some(found) = found else {
            // Somebody removed it meanwhile. What is seen next time decides.
            return Ok(None);
        };
        if found.state != ContainerState::Exited {
            return Err(Outcome::Again(
                "the container was told to stop and still runs".to_owned(),
            ));
        }
        let marker = self.marker(launch);
        let ended = ends::exited(&found, Some(&marker), Timestamp::now());
        self.settle(launch.attempt, Some(launch), ended).await?;
        Ok(Some(found))
    }

    /// What runs of it is ended, and the container removed, before its end is written down: what is removed cannot start any more.
    /// If it has started after all by the first look, it is let run.
    async fn undo(
        &self,
        launch: &Launch,
        container: &str,
        ended: Ended,
    ) -> Step<Option<Container>> {
        let end_forgotten = async || {
            let ended = self.runtime.end_forgotten(container).await;
            let processes = ended.map_err(|error| {
                from_engine(&error, "what was started of it could not be ended")
            })?;
            if processes > 0 {
                tracing::error!(
                    attempt = %launch.attempt,
                    container,
                    processes,
                    "the engine forgot that it had started a container; what ran of it was ended"
                );
            }
            Ok(())
        };
        let begun = self
            .markers
            .get(launch.attempt)
            .is_some_and(|marker| matches!(marker.stage, Stage::Undoing { .. }));
        if !begun
            && let Some(found) = self.look(container).await?
            && found.state != ContainerState::Created
        {
            return Ok(Some(found));
        }
        // Written first: what the engine says of the container from here on is this undoing's doing.
        self.mark(launch, |stage| match stage {
            Some(Stage::Ended { .. }) => None,
            Some(Stage::Creating | Stage::Starting { .. } | Stage::Undoing { .. }) | None => {
                Some(Stage::Undoing {
                    container: container.to_owned(),
                    ended: ended.clone(),
                })
            }
        })
        .await?;
        end_forgotten().await?;
        let removed = self.runtime.remove(container).await;
        if let Err(RuntimeError::Conflict { .. }) = removed {
            // It began to run between the look and here; nobody was told of it.
            self.runtime
                .kill(container)
                .await
                .map_err(|error| from_engine(&error, "the container could not be ended"))?;
        }
        removed.map_err(|error| from_engine(&error, "the container could not be removed"))?;
        // It may have begun between the first look and the removal.
        end_forgotten().await?;
        self.settle(launch.attempt, Some(launch), ended).await?;
        Ok(None)
    }

    async fn remove(&self, attempt: AttemptId, container: &str) -> Step<()> {
        self.runtime
            .remove(container)
            .await
            .map_err(|error| from_engine(&error, "the container could not be removed"))?;
        self.markers.remove(attempt).await.map_err(from_disk)
    }

    async fn settle(&self, attempt: AttemptId, launch: Option<&Launch>, ended: Ended) -> Step<()> {
        tracing::info!(%attempt, outcome = ?ended.outcome, message = ended.message, "an attempt ended");
        let old = self.markers.get(attempt);
        let marker = Marker {
            attempt,
            launch: launch
                .cloned()
                .or_else(|| old.as_ref().and_then(|old| old.launch.clone())),
            made_at: old.as_ref().map_or_else(Timestamp::now, |old| old.made_at),
            stage: Stage::Ended { ended },
            stop_begun: old.as_ref().and_then(|old| old.stop_begun),
            container: old.as_ref().and_then(|old| old.container.clone()),
            settings: old.as_ref().and_then(|old| old.settings.clone()),
        };
        self.markers.put(marker).await.map_err(from_disk)
    }

    /// Moves the marker to the stage that `next` gives for the one that it is at; an end is never undone.
    async fn mark(
        &self,
        launch: &Launch,
        next: impl FnOnce(Option<&Stage>) -> Option<Stage>,
    ) -> Step<()> {
        self.mark_with(launch, None, next).await
    }

    /// As [`Hands::mark`], and notes the container as the engine has it before it is started.
    async fn mark_with(
        &self,
        launch: &Launch,
        created: Option<Container>,
        next: impl FnOnce(Option<&Stage>) -> Option<Stage>,
    ) -> Step<()> {
        let old = self.markers.get(launch.attempt);
        let Some(stage) = next(old.as_ref().map(|old| &old.stage)) else {
            // A decision on an older view; the next one sees the marker.
            return Err(Outcome::Done);
        };
        let mut marker = self.marker(launch);
        if old.is_some_and(|old| old.stage == stage) {
            return Ok(());
        }
        if let Some(created) = created {
            marker.container = Some(created.id);
            marker.settings = created.settings;
        }
        marker.stage = stage;
        self.markers.put(marker).await.map_err(from_disk)
    }

    /// The launch's marker, or the first one for it.
    fn marker(&self, launch: &Launch) -> Marker {
        match self.markers.get(launch.attempt) {
            Some(marker) => Marker {
                launch: Some(launch.clone()),
                ..(*marker).clone()
            },
            None => Marker {
                attempt: launch.attempt,
                launch: Some(launch.clone()),
                made_at: Timestamp::now(),
                stage: Stage::Creating,
                stop_begun: None,
                container: None,
                settings: None,
            },
        }
    }

    pub(super) async fn look(&self, container: &str) -> Step<Option<Container>> {
        self.runtime
            .inspect(container)
            .await
            .map_err(|error| from_engine(&error, "the container could not be looked at"))
    }
}
