//! The cell as the API sees it: the control loop, its journal and its agents.

use super::commits::{self, Committing};
use super::handle::{CommandError, ControlHandle};
use super::past::PastError;
use super::preview::preview;
use crate::api::past::{PastFault, PastFleet};
use crate::api::state::{
    Cell, CommandFault, EventQuery, Health, LogFault, LogMessage, LogQuery, PreviewFault,
    TaskHistoryQuery,
};
use crate::git::Looks;
use crate::hosts::{self, Hub, LogError};
use crate::journal::{EventFilter, HistoryFilter};
use futures::future::BoxFuture;
use jiff::Timestamp;
use muster_core::decide::{Command, Refusal};
use muster_core::describe::reasons::repository_trouble;
use muster_core::describe::short;
use muster_core::fleet::Fleet;
use muster_core::view::Serving;
use muster_schemas::api::{
    CommitAnswer, EnrolmentToken, List, PlanPreview, PlanRequest, RepositoryLook, TaskView,
};
use muster_schemas::event::Record;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::past::{AsOf, Moment};
use muster_schemas::state::{Actor, Usage};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};

/// Log messages that wait for a reader of the API; behind it the hub has a bounded queue of its own.
const LOG_MESSAGES: usize = 8;

impl From<PastError> for PastFault {
    fn from(error: PastError) -> Self {
        match error {
            PastError::Refused(refusal) => PastFault::Refused(refusal),
            PastError::Journal(error) => PastFault::Journal(error.to_string()),
        }
    }
}

/// A running cell.
pub struct RunningCell {
    /// The control loop.
    pub control: ControlHandle,
    /// The agents.
    pub hub: Hub,
    /// The address that agents are told to dial.
    pub agent_url: String,
    /// The repository of specs.
    pub repository: Committing,
    /// When the repository was last read.
    pub repository_read_at: watch::Receiver<Option<Timestamp>>,
    /// The looks at the repository.
    pub looks: watch::Receiver<Looks>,
}

impl Cell for RunningCell {
    fn read(&self, look: &mut dyn FnMut(&Fleet)) {
        self.control.read(look);
    }

    fn records(&self) -> broadcast::Receiver<Arc<Record>> {
        self.control.records()
    }

    fn records_after(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Record>, String>> {
        Box::pin(async move {
            self.control
                .journal()
                .records(after, limit)
                .await
                .map_err(|error| error.to_string())
        })
    }

    fn find(&self, query: EventQuery) -> BoxFuture<'_, Result<Vec<Record>, String>> {
        let filter = EventFilter {
            job: query.job,
            task: query.task,
            attempt: query.attempt,
            host: query.host,
            plan: query.plan,
            kinds: query.kinds,
            after: query.after,
            before: query.before,
            newest_first: query.newest_first,
            limit: query.limit,
        };
        Box::pin(async move {
            self.control
                .journal()
                .find(&filter)
                .await
                .map_err(|error| error.to_string())
        })
    }

    fn finished_tasks(
        &self,
        query: TaskHistoryQuery,
    ) -> BoxFuture<'_, Result<List<TaskView>, String>> {
        let filter = HistoryFilter {
            job: query.job,
            task: query.task,
            outcomes: query.outcomes,
            contains: query.contains,
        };
        Box::pin(async move {
            let page = self
                .control
                .journal()
                .finished_tasks(&filter, query.cursor.as_deref(), query.limit)
                .await
                .map_err(|error| error.to_string())?;
            Ok(List {
                items: page.tasks,
                next: page.next,
                total: page.total,
            })
        })
    }

    fn reach(&self) -> BoxFuture<'_, Result<Option<(AsOf, AsOf)>, PastFault>> {
        Box::pin(async move { Ok(self.control.past().reach().await?) })
    }

    fn as_of(&self, moment: Moment) -> BoxFuture<'_, Result<AsOf, PastFault>> {
        Box::pin(async move { Ok(self.control.past().as_of(moment).await?) })
    }

    fn past(&self, moment: Moment) -> BoxFuture<'_, Result<PastFleet, PastFault>> {
        Box::pin(async move { Ok(self.control.past().fleet(moment).await?) })
    }

    fn command(&self, command: Command, actor: Actor) -> BoxFuture<'_, Result<u64, CommandFault>> {
        Box::pin(async move {
            self.control
                .command(command, actor)
                .await
                .map_err(|error| match error {
                    CommandError::Refused(
                        refusal @ (Refusal::UnknownTask(_)
                        | Refusal::UnknownHost(_)
                        | Refusal::UnknownPlan(_)
                        | Refusal::NothingToFreeze(_)
                        | Refusal::UnknownJob(_)
                        | Refusal::UnknownDeploy(_)),
                    ) => CommandFault::NotFound(refusal.to_string()),
                    CommandError::Refused(
                        refusal @ (Refusal::NothingToStop { .. }
                        | Refusal::PlanNotHeld { .. }
                        | Refusal::DeployIsAnother(_)
                        | Refusal::NotForThisJob { .. }
                        | Refusal::NotForThisRollout { .. }
                        | Refusal::NotFrozen(_)
                        | Refusal::FrozenForLonger(_)
                        | Refusal::JobIsLeaving(_)
                        | Refusal::OutsideCapacity { .. }
                        | Refusal::JobIsFrozen { .. }
                        | Refusal::TooManyStops { .. }
                        | Refusal::TooLittleHeadroom { .. }
                        | Refusal::BadEndOfResize(_)
                        | Refusal::FreezeIsOver(_)
                        | Refusal::HostIsConnected(_)
                        | Refusal::HostIsNotAhead(_)
                        | Refusal::HostIsAhead(_)
                        | Refusal::BadHostName(_)),
                    ) => CommandFault::Conflict(refusal.to_string()),
                    CommandError::Refused(refusal @ Refusal::TooManyDeploys) => {
                        CommandFault::Unavailable(refusal.to_string())
                    }
                    CommandError::Frozen(_) => CommandFault::Frozen(error.to_string()),
                    CommandError::Ended => CommandFault::Unavailable(error.to_string()),
                })
        })
    }

    fn preview(
        &self,
        request: PlanRequest,
        by: String,
    ) -> BoxFuture<'_, Result<PlanPreview, PreviewFault>> {
        Box::pin(preview(&self.control, &self.repository.remote, request, by))
    }

    fn roll_back(
        &self,
        to: String,
        job: Option<JobId>,
        reason: String,
        by: String,
    ) -> BoxFuture<'_, Result<CommitAnswer, CommandFault>> {
        Box::pin(async move {
            let committed =
                commits::roll_back(&self.control, &self.repository, by, to, job, reason).await?;
            let message = if committed.changed {
                format!("commit {} goes back", short(committed.commit.as_str()))
            } else {
                "it is as it was then already".to_owned()
            };
            Ok(CommitAnswer {
                commit: committed.commit.to_string(),
                changed: committed.changed,
                message,
            })
        })
    }

    fn refresh(&self) {
        self.control.refresh();
    }

    fn refreshed(&self) -> BoxFuture<'_, RepositoryLook> {
        let mut looks = self.looks.clone();
        let asked_for = looks.borrow().begun + 1;
        self.control.refresh();
        Box::pin(async move {
            let ended = looks.wait_for(|looks| looks.ended >= asked_for).await;
            let found = ended.ok().and_then(|looks| looks.found.clone());
            match found {
                Some(Ok(commit)) => RepositoryLook {
                    commit: Some(commit.to_string()),
                    trouble: None,
                },
                Some(Err(trouble)) => RepositoryLook {
                    commit: None,
                    trouble: Some(repository_trouble(&trouble)),
                },
                // Nobody looks any more: the control plane ends.
                None => std::future::pending().await,
            }
        })
    }

    fn mint_token(&self, by: String) -> BoxFuture<'_, Result<EnrolmentToken, String>> {
        Box::pin(async move {
            let token = self
                .hub
                .mint_token(&by)
                .await
                .map_err(|error| error.to_string())?;
            Ok(EnrolmentToken {
                token: token.token,
                url: self.agent_url.clone(),
                expires_at: token.expires_at,
            })
        })
    }

    fn log(&self, query: LogQuery) -> BoxFuture<'_, Result<mpsc::Receiver<LogMessage>, LogFault>> {
        Box::pin(async move {
            let mut lines = self
                .hub
                .log(
                    query.host,
                    query.attempt,
                    query.follow,
                    query.tail,
                    query.since,
                )
                .await
                .map_err(|error| match error {
                    LogError::NotConnected { .. } => LogFault::NotConnected(error.to_string()),
                    LogError::TooMany { .. } => LogFault::Failed(error.to_string()),
                })?;
            let (out, messages) = mpsc::channel(LOG_MESSAGES);
            tokio::spawn(async move {
                loop {
                    let message = tokio::select! {
                        message = lines.recv() => message,
                        // The reader has gone; with this the stream to the host closes, too.
                        () = out.closed() => return,
                    };
                    let message = match message {
                        None => return,
                        Some(hosts::LogMessage::Lines(lines)) => LogMessage::Lines(lines),
                        Some(hosts::LogMessage::End(end)) => LogMessage::End(end),
                    };
                    if out.send(message).await.is_err() {
                        return;
                    }
                }
            });
            Ok(messages)
        })
    }

    fn usage(&self, attempt: AttemptId) -> Vec<Usage> {
        self.hub.usage(attempt)
    }

    fn info(&self) -> Serving {
        let info = self.control.info();
        Serving {
            version: info.version.clone(),
            started_at: info.started_at,
            repository: info.repository.clone(),
            branch: info.branch.clone(),
            repository_read_at: *self.repository_read_at.borrow(),
            journal_trouble: self.control.journal_trouble(),
        }
    }

    fn frozen(&self) -> Option<String> {
        self.control.why_frozen().map(str::to_owned)
    }

    fn health(&self) -> Health {
        Health {
            journal: self.control.journal_trouble(),
            loop_silent_secs: self.control.seconds_since_beat(),
        }
    }
}
