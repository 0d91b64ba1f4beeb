//! Telling the control plane: a greeting and all that there is on each connection, then what changes. Nothing here waits.

use super::Agent;
use crate::agent::LinkState;
use crate::agent::facts::facts;
use crate::runtime::Runtime;
use muster_schemas::state::Orphan;
use muster_schemas::wire::{Assignment, FromAgent, Report};
use tokio::time::Instant;

impl<R: Runtime> Agent<R> {
    /// Sends a frame if there is a connection and room. Nothing waits here: what does not fit is made good by the next complete
    /// report.
    pub(super) fn send(&mut self, frame: FromAgent) -> bool {
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
    pub(super) fn greet(&mut self) {
        if self.hello_due && self.link == LinkState::Up {
            let hello = FromAgent::Hello {
                facts: Box::new(self.facts.clone()),
                fence: self.orders.fence(),
            };
            self.hello_due = !self.send(hello);
        }
    }

    pub(super) fn tell(&mut self) {
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

    pub(super) fn orphans(&self) -> Vec<Orphan> {
        let named = self.items().iter().map(Assignment::attempt).collect();
        self.seen.as_ref().map_or_else(Vec::new, |seen| {
            let markers = self.markers.all();
            seen.orphans(&self.config.cell, self.config.host, &markers, &named)
        })
    }

    /// Whether the first report still waits for probes of containers that ran before the agent did.
    pub(super) fn first_words_missing(&mut self) -> bool {
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

    /// Why nothing can be begun on this host, if that is so.
    fn trouble(&self) -> Option<String> {
        let away = self.away.as_ref();
        let unkept = self.unkept.as_ref();
        away.map(|why| format!("the engine does not answer ({why})"))
            .or_else(|| unkept.map(|unkept| unkept.why.clone()))
    }

    pub(super) fn tell_facts(&mut self) {
        let new = facts(
            &self.config,
            self.engine.as_deref(),
            self.disk,
            self.seen.as_ref().is_some_and(|seen| seen.shared),
            self.trouble().as_deref(),
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
