//! The control loop as the agents' hub sees it.

use super::handle::ControlHandle;
use crate::hosts::Control;
use futures::future::BoxFuture;
use muster_core::decide::{Answer, Input};
use muster_core::describe::reasons;
use muster_core::fleet::Fleet;
use muster_schemas::ids::HostId;
use muster_schemas::state::HostFacts;
use muster_schemas::wire::{Assignments, Fence, Report};
use std::sync::Arc;
use tokio::sync::watch;

impl Control for ControlHandle {
    fn enrol(&self, name: String) -> BoxFuture<'_, Result<HostId, String>> {
        Box::pin(async move {
            match self.take(Input::Enrol { name }).await {
                Ok((Answer::Enrolled(host), _)) => Ok(host),
                Ok((Answer::Taken, _)) => Err("the control plane gave no id".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    fn knows(&self, host: HostId) -> bool {
        // Of a damaged journal it is not known who has enrolled, and nobody is told to enrol anew for that.
        self.why_frozen().is_some() || self.read(|fleet| fleet.hosts.contains_key(&host))
    }

    fn connected(
        &self,
        host: HostId,
        facts: HostFacts,
        fence: Fence,
    ) -> BoxFuture<'_, Result<watch::Receiver<Option<Arc<Assignments>>>, String>> {
        Box::pin(async move {
            // It has to fit into the frame that closes a connection; the control plane's own log says more.
            if self.why_frozen().is_some() {
                return Err(
                    "the control plane's journal is damaged: it gives no orders, and what runs here runs on"
                        .to_owned(),
                );
            }
            match self.standing(host, fence).await? {
                // Before its orders are read: they supersede nothing any more.
                Standing::Ours => self.use_up(host).await?,
                // It gets its orders, and is one of ours once it reports that it follows them: nothing is placed on it before.
                Standing::Taken => {
                    self.note_heard(host);
                    self.facts(host, facts).await;
                    return Ok(self.assignments_of(host));
                }
                Standing::Ahead => {
                    self.note_ahead(host, fence, false).await;
                    return Err(format!(
                        "the host's orders rest on {}, which this control plane's journal does not have: it is an old \
                         copy, or another control plane leads; restore the newest journal",
                        reasons::fence(fence)
                    ));
                }
            }
            self.note_heard(host);
            self.take(Input::Connected {
                host,
                facts: Box::new(facts),
            })
            .await
            .map_err(|error| error.to_string())?;
            Ok(self.assignments_of(host))
        })
    }

    fn reported(&self, host: HostId, report: Report) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self
                .take(Input::Report {
                    host,
                    report: Box::new(report),
                })
                .await
            {
                tracing::warn!(%host, %error, "a host's report was not taken");
            }
        })
    }

    fn facts(&self, host: HostId, facts: HostFacts) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self
                .take(Input::Facts {
                    host,
                    facts: Box::new(facts),
                })
                .await
            {
                tracing::warn!(%host, %error, "a host's facts were not taken");
            }
        })
    }

    fn heard(&self, host: HostId) {
        self.note_heard(host);
    }

    fn disconnected(&self, host: HostId) -> BoxFuture<'_, ()> {
        // It may be back within a second: the loop takes it for unreachable when it has not been heard for some time.
        tracing::info!(%host, "a host's connection ended");
        Box::pin(std::future::ready(()))
    }

    fn fenced(&self, host: HostId, got: Fence, highest: Fence) -> BoxFuture<'_, ()> {
        tracing::error!(%host, ?got, "a host refuses orders with this fence");
        Box::pin(self.note_ahead(host, highest, true))
    }
}

/// How what a host has heard stands to this journal.
enum Standing {
    /// Its orders rest on a record of this journal, or it has none yet.
    Ours,
    /// They do not, and a person has said that they may be superseded.
    Taken,
    /// They do not.
    Ahead,
}

impl ControlHandle {
    /// Whether a host follows another history than this journal's: then nothing that it says is taken and no order is sent to
    /// it, unless a person has said so of the very fence that it names. Numbers alone do not tell: an old copy of a journal
    /// grows, too, and soon reaches the number that the host has heard. What it cannot have is the very record that the host's
    /// orders rest on, for each leadership has an epoch of its own ([`epoch_after`](super::writer::epoch_after)).
    async fn standing(&self, host: HostId, fence: Fence) -> Result<Standing, String> {
        if fence == Fence::default() {
            return Ok(Standing::Ours);
        }
        let (own, taken) = self.read(|fleet| {
            let own = Fence {
                epoch: fleet.epoch,
                seq: fleet.seq,
            };
            (own, fleet.hosts.get(&host).and_then(|host| host.taken))
        });
        let rests_on = self
            .journal()
            .records(fence.seq.saturating_sub(1), 1)
            .await
            .map_err(|error| error.to_string())?;
        let is_ours = rests_on
            .first()
            .is_some_and(|record| record.seq == fence.seq && record.epoch == fence.epoch);
        Ok(if own.may_follow(fence) && is_ours {
            Standing::Ours
        } else if taken == Some(fence) {
            Standing::Taken
        } else {
            Standing::Ahead
        })
    }

    /// A host that was taken follows this journal: what a person allowed of it is used up.
    async fn use_up(&self, host: HostId) -> Result<(), String> {
        let was_taken = |fleet: &Fleet| fleet.hosts.get(&host).is_some_and(|h| h.taken.is_some());
        if self.read(was_taken) {
            self.take(Input::Follows { host })
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Says that a host follows another history, in the log each time and in the journal once.
    async fn note_ahead(&self, host: HostId, highest: Fence, refused: bool) {
        tracing::error!(
            %host, ?highest,
            "a host has heard of a later state than this control plane knows: another one leads, or this journal is an old \
             copy; the host follows no order of ours, and its containers run on"
        );
        metrics::counter!("muster_fenced_total").increment(1);
        if let Err(error) = self
            .take(Input::Ahead {
                host,
                highest,
                refused,
            })
            .await
        {
            tracing::warn!(%host, %error, "that a host is ahead of this control plane was not taken");
        }
    }
}
