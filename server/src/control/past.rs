//! The fleet of the past: the fold of the journal's records up to a moment.
//!
//! It begins with the newest snapshot before the moment, or with a fleet that was folded for an earlier question, and reads
//! the journal's records from there in stretches. It stands beside the control loop and asks nothing of it: the journal's
//! readers give the records, and a blocking task folds them.
//!
//! One fold runs at a time, since each has a fleet of its own in memory; the others wait in a line that is bounded. One that
//! takes too long is broken off and kept, so that asking again goes on from there.

use crate::api::past::PastFleet;
use crate::journal::{Journal, JournalError};
use muster_core::fleet::Fleet;
use muster_schemas::event::Record;
use muster_schemas::past::{AsOf, Moment, PastRefusal};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::Semaphore;

/// So many questions wait for their fold at most: a console's pages ask for the same moment, which is folded once.
const WAITING: usize = 32;

/// So long one question folds. The console waits for 15 s, and may have waited for the fold before it.
const FOLD_WITHIN: Duration = Duration::from_secs(8);

/// So many folded fleets are kept: both ends of a comparison, and where one has looked before.
const KEPT: usize = 4;

/// What is kept beside the latest folded fleet has so many jobs, tasks and attempts in all: at some 1 KB each, 200 MB.
const KEPT_THINGS: usize = 200_000;

/// Why there is none.
#[derive(Debug, Error)]
pub enum PastError {
    /// The moment is one that cannot be shown, or not now.
    #[error("{0}")]
    Refused(PastRefusal),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<PastRefusal> for PastError {
    fn from(refusal: PastRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The past of one cell. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Past {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    within: Duration,
    folding: Semaphore,
    waiting: Semaphore,
    /// The latest that were asked for come first.
    kept: Mutex<VecDeque<Arc<Fleet>>>,
}

impl Past {
    /// The past that a journal tells.
    pub fn new(journal: Journal) -> Self {
        Self::within(journal, FOLD_WITHIN)
    }

    fn within(journal: Journal, within: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                journal,
                within,
                folding: Semaphore::new(1),
                waiting: Semaphore::new(WAITING),
                kept: Mutex::default(),
            }),
        }
    }

    /// The first and the last record; none while there is none.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn reach(&self) -> Result<Option<(AsOf, AsOf)>, PastError> {
        let ends = self.inner.journal.ends().await?;
        Ok(ends.map(|ends| {
            let (first, last) = ends;
            let as_of = |place: crate::journal::Place| AsOf {
                seq: place.seq,
                at: place.at,
            };
            (as_of(first), as_of(last))
        }))
    }

    /// The record that a moment comes down to.
    ///
    /// # Errors
    /// Where the journal does not reach so far, or cannot be read.
    pub async fn as_of(&self, moment: Moment) -> Result<AsOf, PastError> {
        let Some((first, last)) = self.reach().await? else {
            let (asked, last) = (1, 0);
            return Err(PastRefusal::AfterJournal { asked, last }.into());
        };
        match moment {
            Moment::At(at) => match self.inner.journal.last_at(at).await? {
                Some(place) => Ok(AsOf { seq: place.seq, at }),
                None => Err(PastRefusal::BeforeJournal { first }.into()),
            },
            Moment::Seq(seq) if seq < first.seq => Err(PastRefusal::BeforeJournal { first }.into()),
            Moment::Seq(seq) => match self.inner.journal.place_of(seq).await? {
                Some(place) => Ok(AsOf { seq, at: place.at }),
                None => {
                    let (asked, last) = (seq, last.seq);
                    Err(PastRefusal::AfterJournal { asked, last }.into())
                }
            },
        }
    }

    /// The fleet of a moment.
    ///
    /// # Errors
    /// Where the journal does not reach so far, cannot be read, or the fold would take too long now.
    pub async fn fleet(&self, moment: Moment) -> Result<PastFleet, PastError> {
        let as_of = self.as_of(moment).await?;
        let fleet = self.fold(as_of.seq).await?;
        Ok(PastFleet { fleet, as_of })
    }

    async fn fold(&self, seq: u64) -> Result<Arc<Fleet>, PastError> {
        if let Some(fleet) = self.kept(seq) {
            return Ok(fleet);
        }
        let inner = &self.inner;
        let waiting = PastRefusal::TooMany { waiting: WAITING };
        let _place = inner.waiting.try_acquire().map_err(|_| waiting)?;
        let _turn = inner
            .folding
            .acquire()
            .await
            .expect("the semaphore is never closed");
        // Who was before may have wanted the same.
        if let Some(fleet) = self.kept(seq) {
            return Ok(fleet);
        }
        let begun = Instant::now();
        let mut fleet = self.nearest(seq).await?;
        while fleet.seq < seq {
            let records = inner.journal.stretch(fleet.seq, seq).await?;
            fleet = apply(fleet, records).await;
            if fleet.seq < seq && begun.elapsed() >= inner.within {
                let (reached, wanted) = (fleet.seq, seq);
                self.keep(Arc::new(fleet));
                return Err(PastRefusal::TakesLonger { reached, wanted }.into());
            }
        }
        metrics::histogram!("muster_past_fold_seconds").record(begun.elapsed().as_secs_f64());
        let fleet = Arc::new(fleet);
        self.keep(Arc::clone(&fleet));
        Ok(fleet)
    }

    /// Where a fold begins: the latest fleet up to `seq` that is kept or of which there is a snapshot, or the empty one.
    async fn nearest(&self, seq: u64) -> Result<Fleet, PastError> {
        let kept = {
            let kept = self.lock();
            let before = kept.iter().filter(|fleet| fleet.seq <= seq);
            before.max_by_key(|fleet| fleet.seq).cloned()
        };
        let from = kept.as_ref().map_or(0, |fleet| fleet.seq);
        for place in self.inner.journal.snapshots().await? {
            if place > seq || place <= from {
                continue;
            }
            let Some(snapshot) = self.inner.journal.snapshot_of(place).await? else {
                continue;
            };
            let read = blocking(move || serde_json::from_slice::<Fleet>(&snapshot.fleet)).await;
            match read {
                Ok(fleet) => return Ok(fleet),
                Err(error) => tracing::warn!(
                    seq = place,
                    %error,
                    "a snapshot cannot be read by this version; the past is folded from an older one"
                ),
            }
        }
        Ok(match kept {
            Some(kept) => blocking(move || Fleet::clone(&kept)).await,
            None => Fleet::default(),
        })
    }

    fn kept(&self, seq: u64) -> Option<Arc<Fleet>> {
        let mut kept = self.lock();
        let place = kept.iter().position(|fleet| fleet.seq == seq)?;
        let fleet = kept.remove(place)?;
        kept.push_front(Arc::clone(&fleet));
        Some(fleet)
    }

    fn keep(&self, fleet: Arc<Fleet>) {
        let mut kept = self.lock();
        kept.push_front(fleet);
        kept.truncate(KEPT);
        while kept.len() > 1 && kept.iter().map(|fleet| things(fleet)).sum::<usize>() > KEPT_THINGS
        {
            kept.pop_back();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Fleet>>> {
        self.inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn apply(mut fleet: Fleet, records: Vec<Record>) -> Fleet {
    blocking(move || {
        for record in &records {
            fleet.apply(record);
        }
        fleet
    })
    .await
}

/// Runs what takes milliseconds to seconds where nobody else waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking tasks are cancelled only when the runtime ends, and who waits for them with it.
            Err(_) => std::future::pending().await,
        },
    }
}

fn things(fleet: &Fleet) -> usize {
    let tasks: usize = fleet.jobs.values().map(|job| 1 + job.tasks.len()).sum();
    tasks + fleet.attempts.len()
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
