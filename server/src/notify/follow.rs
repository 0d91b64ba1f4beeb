//! One target of events: it is told every event that it asks for, in order, from where it was left.
//!
//! Each target reads the journal by itself, so one that is down holds up no other, and what waits for it waits on the disk.
//! It is told at least once: after a crash, the message that was under way is sent again under the same delivery id.

use super::count::Counts;
use super::message::{MessageContext, requests, see};
use super::place::{Found, PlaceFile};
use super::send::Sender;
use super::settings::EventTarget;
use super::{Bounds, Source, look};
use jiff::Timestamp;
use muster_core::describe::subjects;
use muster_schemas::event::Record;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// So many events are read from the journal at once: a plan can be large, and each target has a page in memory.
const PAGE: u32 = 32;

/// A journal that cannot be read now may be so in a moment.
const AGAIN: Duration = Duration::from_secs(5);

/// Events that a target does not ask for are passed over in memory; after so many the place is written all the same, so that
/// a restart does not look at them again.
const UNWRITTEN: u64 = 1000;

/// How far a target has been served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// All events up to this one are done with.
    pub seq: u64,
    /// Of the event after it that is under way: its number, and how many of its messages were sent.
    #[serde(default)]
    pub under_way: Option<(u64, usize)>,
}

/// What follows the journal for one target.
pub(super) struct Follower {
    pub target: EventTarget,
    pub source: Arc<dyn Source>,
    pub sender: Sender,
    pub context: MessageContext,
    pub file: PlaceFile<Place>,
    pub bounds: Bounds,
    pub shutdown: CancellationToken,
}

/// The target has to end now.
struct Ended;

impl Follower {
    /// Tells the target what happens, until the control plane ends.
    pub(super) async fn run(self) {
        let counts = Counts::of(&self.target.name);
        let kinds: Vec<String> = self.target.filter.kinds.iter().cloned().collect();
        // Subscribed before the first look: what comes after it wakes.
        let mut live = self.source.records();
        let mut place = self.begin().await;
        let mut written = place;
        loop {
            let newest = self.newest();
            self.keep_in_bounds(&mut place, newest, &counts);
            counts.behind(newest - place.seq);
            let mut read_all = true;
            if place.seq < newest {
                match self
                    .source
                    .records_after(place.seq, kinds.clone(), PAGE)
                    .await
                {
                    Ok(mut records) => {
                        read_all = records.len() < PAGE as usize;
                        // The journal runs ahead of the fleet for a moment; what follows from a record is seen with it.
                        let before = records.len();
                        records.retain(|record| record.seq <= newest);
                        read_all &= records.len() == before;
                        if self
                            .serve(&mut place, &mut written, &records, &counts)
                            .await
                            .is_err()
                        {
                            return;
                        }
                        if read_all {
                            place.seq = place.seq.max(newest);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(
                            target = self.target.name, %error,
                            "the journal cannot be read for a notification; it is tried again"
                        );
                        tokio::select! {
                            () = self.shutdown.cancelled() => return,
                            () = tokio::time::sleep(AGAIN) => continue,
                        }
                    }
                }
            }
            if place.seq - written.seq >= UNWRITTEN {
                self.write(place, &mut written).await;
            }
            if !read_all {
                continue;
            }
            counts.behind(0);
            tokio::select! {
                () = self.shutdown.cancelled() => {
                    if place != written {
                        self.write(place, &mut written).await;
                    }
                    return;
                }
                () = wanted(&mut live, &self.target) => {}
            }
        }
    }

    /// Where the target was left. A new one is told what happens from now on.
    async fn begin(&self) -> Place {
        let newest = self.newest();
        let place = match self.file.read().await {
            Found::Place(place) if place.seq <= newest => return place,
            Found::Place(place) => {
                tracing::warn!(
                    target = self.target.name,
                    seq = place.seq,
                    newest,
                    "the journal ends before the event up to which this target was told: it is an older copy. The target is \
                     told what happens from now on"
                );
                newest
            }
            Found::Damaged(error) => {
                tracing::error!(
                    target = self.target.name,
                    error,
                    "how far this target was told of events cannot be read. It is told what happens from now on; look at the disk"
                );
                newest
            }
            Found::Nothing => newest,
        };
        let place = Place {
            seq: place,
            under_way: None,
        };
        self.file.write(&place).await;
        place
    }

    fn newest(&self) -> u64 {
        look(self.source.as_ref(), |fleet| fleet.seq)
    }

    async fn write(&self, place: Place, written: &mut Place) {
        self.file.write(&place).await;
        *written = place;
    }

    /// Passes over what a target that is far behind is not told any more.
    fn keep_in_bounds(&self, place: &mut Place, newest: u64, counts: &Counts) {
        let oldest = newest.saturating_sub(self.bounds.behind);
        if place.seq < oldest {
            let passed_over = oldest - place.seq;
            tracing::warn!(
                target = self.target.name,
                from = place.seq + 1,
                to = oldest,
                "this target is {} events behind; the oldest of them are passed over",
                newest - place.seq
            );
            counts.skipped(passed_over);
            *place = Place {
                seq: oldest,
                under_way: None,
            };
        }
    }

    async fn serve(
        &self,
        place: &mut Place,
        written: &mut Place,
        records: &[Record],
        counts: &Counts,
    ) -> Result<(), Ended> {
        let mut too_old = 0;
        for record in records {
            let gives_up = record
                .at
                .saturating_add(self.bounds.age)
                .unwrap_or(Timestamp::MAX);
            if gives_up < Timestamp::now() {
                too_old += u64::from(self.wants(record));
                *place = Place {
                    seq: record.seq,
                    under_way: None,
                };
                continue;
            }
            let sent = self.tell(place, written, record, gives_up, counts).await?;
            *place = Place {
                seq: record.seq,
                under_way: None,
            };
            if sent {
                self.write(*place, written).await;
            }
        }
        if too_old > 0 {
            counts.skipped(too_old);
            tracing::warn!(
                target = self.target.name,
                events = too_old,
                "events are passed over: they are too old to be told to this target, which was not there for long"
            );
        }
        Ok(())
    }

    fn wants(&self, record: &Record) -> bool {
        look(self.source.as_ref(), |fleet| {
            self.target.filter.wants(fleet, record)
        })
    }

    /// Sends what a record comes to. Says whether that was anything.
    async fn tell(
        &self,
        place: &mut Place,
        written: &mut Place,
        record: &Record,
        gives_up: Timestamp,
        counts: &Counts,
    ) -> Result<bool, Ended> {
        // What is sent is made once the fleet is let go: a template may take a while.
        let seen = look(self.source.as_ref(), |fleet| {
            self.target
                .filter
                .wants(fleet, record)
                .then(|| see(&self.target, fleet, record, &self.context))
        });
        let Some(seen) = seen else {
            return Ok(false);
        };
        let requests = match requests(&self.target, &seen, &self.context) {
            Ok(requests) => requests,
            Err(why) => {
                counts.failed();
                tracing::error!(
                    target = self.target.name,
                    seq = record.seq,
                    why,
                    "an event cannot be told"
                );
                return Ok(true);
            }
        };
        let done = match place.under_way {
            Some((seq, done)) if seq == record.seq => done,
            Some(_) | None => 0,
        };
        let several = requests.len() > 1;
        for (number, request) in requests.iter().enumerate().skip(done) {
            let name = &self.target.name;
            let sent = tokio::select! {
                () = self.shutdown.cancelled() => return Err(Ended),
                sent = self.sender.persist(request, gives_up, name) => sent,
            };
            match sent {
                Ok(_) => counts.sent(),
                Err(error) => {
                    counts.failed();
                    tracing::error!(target = name, seq = record.seq, %error, "an event was not taken and is passed over");
                }
            }
            if several {
                place.under_way = Some((record.seq, number + 1));
                self.write(*place, written).await;
            }
        }
        Ok(true)
    }
}

/// Returns once there may be an event that the target asks for, or so many others that the place has to follow: a target that asks
/// for little is not behind because much happens.
async fn wanted(live: &mut broadcast::Receiver<Arc<Record>>, target: &EventTarget) {
    for _ in 0..UNWRITTEN {
        match live.recv().await {
            Ok(record) if target.filter.wants_kind(subjects(&record).kind) => return,
            Ok(_) => {}
            // Something was missed: look.
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
