//! From what was read of the repository to an input for the loop: documents checked, images resolved.

use super::count;
use super::handle::ControlHandle;
use crate::git::Reading;
use crate::images::{self, ImageError, Patience};
use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use muster_core::decide::Input;
use muster_core::fleet::Fleet;
use muster_core::plan::{PlanInput, images_to_resolve, plan};
use muster_core::predict::predict;
use muster_core::specs::Reader;
use muster_schemas::event::RepositoryTrouble;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What could not be taken whole is tried again: somebody may be pushing its image just now. The first time after this long, then
/// after twice as long each time, so that a registry that is away, or an image that never comes, is not asked for ever at the
/// same pace.
const FIRST_AGAIN: Duration = Duration::from_secs(15);

/// The longest time between two tries.
const LAST_AGAIN: Duration = Duration::from_secs(300);

/// How the tries of one reading follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Before the second try.
    pub first: Duration,
    /// At most so long.
    pub last: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: FIRST_AGAIN,
            last: LAST_AGAIN,
        }
    }
}

impl Pace {
    /// The pauses before each further try: doubling, then for ever the longest.
    fn pauses(self) -> impl Iterator<Item = Duration> + Send {
        ExponentialBuilder::default()
            .with_min_delay(self.first)
            .with_max_delay(self.last)
            .with_factor(2.0)
            .without_max_times()
            .build()
    }
}

/// A reading that could not be taken whole, and how long it is until it is tried again.
struct Again {
    reading: Reading,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    due: Instant,
}

/// How much of a reading could be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it.
    Whole,
    /// All but what a slow registry has not told yet.
    Early,
    /// Not all of it.
    Part,
}

/// Gives each reading of the repository to the loop, and again, less and less often, while it could not be taken whole: images
/// of it are not resolved, or its documents could not be checked. A newer reading takes its place at once.
///
/// A commit is never kept waiting by a registry that does not answer: what of it needs no answer goes ahead after a few seconds,
/// and the rest is waited for beside what comes next.
pub async fn follow_repository(
    control: ControlHandle,
    mut readings: mpsc::Receiver<Result<Reading, RepositoryTrouble>>,
    pace: Pace,
    shutdown: CancellationToken,
) {
    let mut again: Option<Again> = None;
    let mut reader = Reader::default();
    let mut next: Option<Result<Reading, RepositoryTrouble>> = None;
    loop {
        let due = again.as_ref().map(|again| again.due);
        let (reading, pauses) = tokio::select! {
            () = shutdown.cancelled() => return,
            reading = waiting_or_next(&mut next, &mut readings) => match reading {
                None => return,
                Some(Ok(reading)) => (reading, None),
                Some(Err(trouble)) => {
                    tracing::error!(%trouble, "the last good state of the repository holds; nothing is stopped");
                    give(&control, Input::Trouble(trouble)).await;
                    continue;
                }
            },
            () = until(due), if next.is_none() => {
                let Some(Again { reading, pauses, .. }) = again.take() else { continue };
                (reading, Some(pauses))
            }
        };
        let began = Instant::now();
        let patience = match &pauses {
            None => Patience::SHORT,
            Some(_) => Patience::LONG,
        };
        let all = |_: &Fleet, wanted| (wanted, BTreeMap::new());
        let is_patient = pauses.is_some();
        let prepared = {
            let mut preparing = pin!(prepare(&control, &reading, &mut reader, patience, all));
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    prepared = &mut preparing => break Some(prepared),
                    // The first look is short, and is always finished: else who pushes often enough would never have a plan. A
                    // trouble of the repository makes no reading worse that is there.
                    newer = readings.recv(), if is_patient && next.is_none() => match newer {
                        None => return,
                        Some(newer) => {
                            let is_reading = newer.is_ok();
                            next = Some(newer);
                            if is_reading {
                                break None;
                            }
                        }
                    },
                }
            }
        };
        let Some(prepared) = prepared else { continue };
        let taken = prepared.as_ref().map_or(Taken::Part, |(_, taken)| *taken);
        again = (taken != Taken::Whole).then(|| {
            let mut pauses = pauses.unwrap_or_else(|| Box::new(pace.pauses()));
            let pause = match taken {
                // It is waited for at once, with more patience.
                Taken::Early => Duration::ZERO,
                Taken::Whole | Taken::Part => pauses.next().unwrap_or(pace.last),
            };
            // A fifth longer or shorter: many cells may wait for one registry.
            let spread = 0.8 + 0.4 * rand::rng().random::<f64>();
            Again {
                reading,
                pauses,
                due: Instant::now() + pause.mul_f64(spread),
            }
        });
        if let Some((input, _)) = prepared {
            predicted(&control, &input);
            if give(&control, Input::Revision(Box::new(input))).await {
                count::synced(began.elapsed());
            }
        }
    }
}

/// What came while something else was done, or what comes next.
async fn waiting_or_next<T>(waiting: &mut Option<T>, next: &mut mpsc::Receiver<T>) -> Option<T> {
    match waiting.take() {
        Some(waiting) => Some(waiting),
        None => next.recv().await,
    }
}

/// Until a time, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Gives what was read to the loop, and says whether it was taken.
async fn give(control: &ControlHandle, input: Input) -> bool {
    let taken = control.take(input).await;
    if let Err(error) = &taken {
        tracing::warn!(%error, "a reading of the repository was not taken");
    }
    taken.is_ok()
}

/// Works out beside the loop what the plan for the input will lead to, and gives that to the loop, where the plan came about as it
/// looks now.
fn predicted(control: &ControlHandle, input: &PlanInput) {
    let fleet = control.read(Clone::clone);
    let (control, input) = (control.clone(), input.clone());
    let now = Timestamp::now();
    tokio::spawn(async move {
        let worked_out = tokio::task::spawn_blocking(move || {
            let plan = plan(&fleet, &input, now);
            (!plan.changes.is_empty()).then(|| {
                let prediction = Box::new(predict(&fleet, &plan, now));
                (plan.id, prediction)
            })
        });
        if let Ok(Some((plan, prediction))) = worked_out.await
            && let Err(error) = control.take(Input::Predicted { plan, prediction }).await
        {
            tracing::debug!(%error, "a prediction was not taken");
        }
    });
}

/// Checks the documents, of which `reader` knows those of the revision before, and resolves those of the new images that `choose` lets
/// through; it says why it does not let the others. Says whether all of them could be.
pub(super) async fn prepare(
    control: &ControlHandle,
    reading: &Reading,
    reader: &mut Reader,
    patience: Patience,
    choose: impl FnOnce(&Fleet, BTreeSet<String>) -> (BTreeSet<String>, BTreeMap<String, String>),
) -> Option<(PlanInput, Taken)> {
    let (files, unread) = (reading.files.clone(), reading.diagnostics.clone());
    let mut reads = std::mem::take(reader);
    // Ten thousand documents take long enough to keep other work waiting.
    let documents = tokio::task::spawn_blocking(move || {
        let documents = reads.read_beside(&files, &unread);
        (documents, reads)
    })
    .await;
    let documents = match documents {
        Ok((documents, reads)) => {
            *reader = reads;
            documents
        }
        Err(error) => {
            tracing::error!(%error, "the documents of the revision could not be checked");
            return None;
        }
    };
    let (wanted, left_out) =
        control.read(|fleet| choose(fleet, images_to_resolve(fleet, &documents)));
    let resolved = images::resolve_all(wanted, patience).await;
    let is_slow = |error: &ImageError| matches!(error, ImageError::TooSlow { .. });
    let errors = || resolved.values().filter_map(|result| result.as_ref().err());
    let taken = if errors().next().is_none() && left_out.is_empty() {
        Taken::Whole
    } else if patience == Patience::SHORT && errors().any(is_slow) {
        Taken::Early
    } else {
        Taken::Part
    };
    let images = resolved
        .into_iter()
        .map(|(image, result)| (image, result.map_err(|error| error.to_string())))
        .chain(left_out.into_iter().map(|(image, why)| (image, Err(why))))
        .collect();
    Some((
        PlanInput {
            revision: reading.revision.clone(),
            documents,
            images,
            removed_by: reading.removed_by.clone(),
            signed: reading.signed.clone(),
        },
        taken,
    ))
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;
