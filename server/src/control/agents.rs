//! The control loop as the agents' hub sees it.

use super::handle::ControlHandle;
use crate::hosts::Control;
use futures::future::BoxFuture;
use muster_core::decide::{Answer, Input};
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
            if let Some(why) = self.knows_less_than(host, fence).await? {
                return Err(why);
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
        self.tell_fenced(host, got, highest);
        Box::pin(std::future::ready(()))
    }
}

impl ControlHandle {
    /// Whether a host follows another history than this journal's, and why: then nothing that it says is taken and no order
    /// is sent to it. Numbers alone do not tell: an old copy of a journal grows, too, and soon reaches the number that the
    /// host has heard. What it cannot have is the very record that the host's orders rest on, for each leadership has an
    /// epoch of its own ([`epoch_after`](super::writer::epoch_after)).
    async fn knows_less_than(&self, host: HostId, fence: Fence) -> Result<Option<String>, String> {
        if fence == Fence::default() {
            return Ok(None);
        }
        let own = self.read(|fleet| Fence {
            epoch: fleet.epoch,
            seq: fleet.seq,
        });
        let rests_on = self
            .journal()
            .records(fence.seq.saturating_sub(1), 1)
            .await
            .map_err(|error| error.to_string())?;
        let is_ours = rests_on
            .first()
            .is_some_and(|record| record.seq == fence.seq && record.epoch == fence.epoch);
        if own.may_follow(fence) && is_ours {
            return Ok(None);
        }
        self.tell_fenced(host, own, fence);
        Ok(Some(format!(
            "the host's orders rest on record {} of epoch {}, which this control plane's journal does not have: it is an \
             old copy, or another control plane leads; restore the newest journal",
            fence.seq, fence.epoch
        )))
    }

    fn tell_fenced(&self, host: HostId, own: Fence, highest: Fence) {
        tracing::error!(
            %host, ?own, ?highest,
            "a host has heard of a later state than this control plane knows: another one leads, or this journal is an old \
             copy; the host follows no order of ours, and its containers run on"
        );
        metrics::counter!("muster_fenced_total").increment(1);
    }
}
