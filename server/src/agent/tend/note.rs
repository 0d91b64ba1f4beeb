//! Taking note of what happened. Nothing here waits, except for new assignments, and what has to stand before them, to be on the disk.

use super::act::Kind;
use super::{Agent, Done, FIRST_WORDS_WAIT, Hint, KEEP_AGAIN_AFTER, Unkept, put_back_of};
use crate::agent::LinkState;
use crate::agent::converge::{Image, Retry};
use crate::agent::execute::{self, Outcome};
use crate::agent::launch::attempt_of;
use crate::agent::logs::Wanted;
use crate::agent::look::Seen;
use crate::agent::markers::{Marker, Stage};
use crate::agent::orders::{OrdersError, Verdict};
use crate::agent::usage;
use crate::runtime::{Runtime, RuntimeError};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::AttemptId;
use muster_schemas::wire::{Assignment, Assignments, FromAgent, ToAgent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

impl<R: Runtime> Agent<R> {
    pub(super) async fn on_message(&mut self, message: ToAgent) {
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

    /// Before orders are followed that go back in history, as a person allowed: what they want to run may have run long ago, ended, and
    /// been removed with all that told of it. So each attempt of theirs counts as begun; one that has no container is lost.
    async fn begin_nothing_again(&self, assignments: &Assignments) -> Result<(), OrdersError> {
        if assignments.fence.may_follow(self.orders.fence()) {
            return Ok(());
        }
        for item in &assignments.items {
            let attempt = item.attempt();
            let (Assignment::Run(_) | Assignment::Stop { .. }) = item else {
                continue;
            };
            if self.markers.get(attempt).is_some() {
                continue;
            }
            let marker = Marker {
                attempt,
                launch: None,
                made_at: Timestamp::now(),
                stage: Stage::Starting {
                    since: Timestamp::UNIX_EPOCH,
                },
                stop_begun: None,
                container: None,
                settings: None,
            };
            let kept = self.markers.put(marker).await;
            kept.map_err(|source| OrdersError::Io {
                path: self.config.home.clone(),
                source,
            })?;
        }
        Ok(())
    }

    pub(super) async fn on_assignments(&mut self, assignments: Assignments) {
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
        let kept = match self.begin_nothing_again(&assignments).await {
            Ok(()) => self.orders.take(assignments.clone()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            if self.unkept.is_none() {
                tracing::error!(%error, cause, "new assignments cannot be kept, so they are not followed");
            }
            let why = format!(
                "the agent cannot write its orders down, so it follows none that are new: {error}: {}; make room or repair \
                 the disk",
                cause.unwrap_or_default()
            );
            self.unkept = Some(Unkept {
                assignments,
                why,
                since: Instant::now(),
            });
            self.tell_facts();
            return;
        }
        if self.unkept.take().is_some() {
            tracing::info!("new assignments can be kept again");
            self.tell_facts();
        }
        self.put_back = put_back_of(self.orders.assignments());
        let put_back = &self.put_back;
        self.mends
            .retain(|attempt, _| put_back.contains_key(attempt));
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

    /// Tries once more to write down what could not be.
    pub(super) async fn keep_again(&mut self) {
        let due = |unkept: &Unkept| unkept.since.elapsed() >= KEEP_AGAIN_AFTER;
        if let Some(assignments) = self
            .unkept
            .as_ref()
            .filter(|unkept| due(unkept))
            .map(|unkept| unkept.assignments.clone())
        {
            self.on_assignments(assignments).await;
        }
    }

    pub(super) fn on_link(&mut self, state: LinkState) {
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

    pub(super) fn on_hint(&mut self, hint: Hint) {
        match hint {
            // What happened while nobody listened is not told again.
            Hint::Listening => {
                let known = self.seen.iter().flat_map(|seen| seen.containers.keys());
                self.stale.extend(known.cloned());
            }
            Hint::Event(event) => {
                if event.oom {
                    self.oom.insert(event.container.clone());
                }
                self.stale.insert(event.container);
            }
        }
        self.look();
    }

    pub(super) fn on_done(&mut self, done: Done) {
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

    pub(super) fn on_looked(&mut self, number: u64, seen: Result<Seen, RuntimeError>) {
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

    pub(super) fn on_acted(&mut self, attempt: AttemptId, result: execute::Result) {
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
        if kind == Some(Kind::Mend) {
            return self.on_mended(attempt, result.outcome, now);
        }
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

    fn on_mended(&mut self, attempt: AttemptId, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Done => {
                self.mends.remove(&attempt);
            }
            // Whether it was done is seen once the engine answers.
            Outcome::Unreachable(_) | Outcome::ImageMissing => {}
            Outcome::Again(message) => {
                tracing::warn!(%attempt, message, "what somebody changed on a container cannot be put back");
                let tries = self.mends.get(&attempt).map_or(0, |retry| retry.tries);
                self.mends.insert(attempt, retry(message, tries + 1, now));
            }
        }
    }

    pub(super) fn try_again(&mut self, attempt: AttemptId, message: String, now: Timestamp) {
        let tries = self.retries.get(&attempt).map_or(0, |retry| retry.tries);
        self.retries.insert(attempt, retry(message, tries + 1, now));
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
