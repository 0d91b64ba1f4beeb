//! The loop itself: take inputs, decide, append, show.

use super::count;
use super::handle::{ControlHandle, Message, ServeInfo, Waiting, followed};
use crate::journal::{Journal, JournalError, Opened, Snapshot};
use jiff::Timestamp;
use muster_core::assign::assignments;
use muster_core::decide::{Answer, Draft, Input, Refusal, follow, take};
use muster_core::fleet::Fleet;
use muster_core::view::task_view;
use muster_schemas::api::TaskView;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, CellName, HostId};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Inputs that are decided and appended together. A larger batch has fewer waits for the disk, but each waits longer.
const BATCH: usize = 256;

/// Without anything to do the loop still goes round this often: time itself is an input.
const TICK: Duration = Duration::from_secs(1);

/// An agent sends something every few seconds; one that has not been heard for this long is unreachable.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// A decision may lead to the next (an ended attempt to a queued task to a placement). What has not settled after so many
/// passes goes on in the next round.
const PASSES: usize = 8;

/// After so many records the fleet is written down whole, so that the next start need not fold all of them.
const SNAPSHOT_EVERY: u64 = 5_000;

/// Why the control plane cannot start, or had to end.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot of the fleet cannot be read.
    #[error(
        "the snapshot at record {seq} cannot be read: {why}; remove it with `DELETE FROM snapshots WHERE seq = {seq}` to start from an older one"
    )]
    Snapshot {
        /// Where it was taken.
        seq: u64,
        /// What is wrong.
        why: String,
    },
}

/// Where the loop makes its records durable: the journal, or what stands in for it in a test that holds a write up.
pub(super) trait Append: Sync {
    /// Returns once the records are durable, all of them or none.
    fn append(&self, records: &[Record]) -> impl Future<Output = Result<(), JournalError>> + Send;
}

impl Append for Journal {
    async fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        Journal::append(self, records).await
    }
}

/// A loop that is ready to run.
pub struct Started {
    handle: ControlHandle,
    fleet: Fleet,
    epoch: u64,
    inputs: mpsc::Receiver<Message>,
    snapshot_at: u64,
    /// What the leadership's beginning made durable: it is counted when the loop runs, since nothing is counted before.
    begun: Vec<Record>,
}

impl Started {
    /// The way to the loop.
    pub fn handle(&self) -> ControlHandle {
        self.handle.clone()
    }
}

/// Folds the fleet from an opened journal and takes the leadership with the next epoch.
///
/// # Errors
///
/// A snapshot that cannot be read, or a journal that cannot be written.
pub async fn start(opened: Opened, info: ServeInfo) -> Result<Started, ControlError> {
    let Opened {
        journal,
        snapshot,
        tail,
        damaged_snapshots,
    } = opened;
    for seq in damaged_snapshots {
        tracing::error!(
            seq,
            "a snapshot does not match its checksum and was passed over; nothing is lost, but look at the disk"
        );
    }
    let mut working = folded(snapshot.as_ref(), &tail)?;
    let snapshot_at = snapshot.map_or(0, |snapshot| snapshot.seq);
    let epoch = epoch_after(working.epoch, Timestamp::now());
    let lead = Input::Lead {
        cell: CellName::from(info.cell.as_str()),
        version: info.version.clone(),
    };
    let mut new_id = Uuid::now_v7;
    let mut draft = Draft::new(&mut working, Timestamp::now(), epoch, &mut new_id);
    take(&mut draft, lead).expect("a leadership is never refused");
    let records = draft.into_records();
    journal.append(&records).await?;
    let (handle, inputs) = ControlHandle::new(working.clone(), journal, info);
    Ok(Started {
        handle,
        fleet: working,
        epoch,
        inputs,
        snapshot_at,
        begun: records,
    })
}

/// The fleet as of the last record.
pub(super) fn folded(snapshot: Option<&Snapshot>, tail: &[Record]) -> Result<Fleet, ControlError> {
    let mut fleet = match snapshot {
        None => Fleet::default(),
        Some(snapshot) => {
            serde_json::from_slice(&snapshot.fleet).map_err(|error| ControlError::Snapshot {
                seq: snapshot.seq,
                why: error.to_string(),
            })?
        }
    };
    for record in tail {
        fleet.apply(record);
    }
    Ok(fleet)
}

/// The epoch of a leadership that begins now: higher than the one before, and the microsecond of its beginning, so that no two
/// leaderships ever have the same. Were they counted, or begun in the same second, a control plane on an old copy of the journal
/// would lead with a number that another has led with, and could not be told from it.
pub(super) fn epoch_after(before: u64, now: Timestamp) -> u64 {
    before
        .saturating_add(1)
        .max(u64::try_from(now.as_microsecond()).unwrap_or(0))
}

/// Runs the loop until `shutdown`, or until the journal cannot be written.
///
/// # Errors
///
/// The journal's error; the process has to end then, since what was decided is not durable.
pub async fn run(started: Started, shutdown: CancellationToken) -> Result<(), ControlError> {
    let journal = started.handle.journal().clone();
    run_on(&journal, started, shutdown).await
}

async fn run_on(
    journal: &impl Append,
    started: Started,
    shutdown: CancellationToken,
) -> Result<(), ControlError> {
    let Started {
        handle,
        mut fleet,
        epoch,
        mut inputs,
        mut snapshot_at,
        begun,
    } = started;
    count::begin();
    count::count(&begun);
    let mut batch: Vec<Message> = Vec::with_capacity(BATCH);
    let mut due: Option<Timestamp> = None;
    loop {
        let now = Timestamp::now();
        let wait = due.map_or(TICK, |due| until(now, due).min(TICK));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            count = inputs.recv_many(&mut batch, BATCH) => if count == 0 { break },
            () = tokio::time::sleep(wait) => {}
        }
        *handle
            .shared
            .beat
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();

        let silent = silent_hosts(&handle, &fleet);
        let mut new_id = Uuid::now_v7;
        let mut draft = Draft::new(&mut fleet, Timestamp::now(), epoch, &mut new_id);
        let mut answers = Vec::with_capacity(batch.len());
        for message in batch.drain(..) {
            let answer = take(&mut draft, message.input);
            if let Some(waiting) = message.answer {
                answers.push((waiting, answer));
            }
        }
        for host in silent {
            // A host that is not known cannot fall silent.
            let _ = take(&mut draft, Input::Silent { host });
        }
        due = settle(&mut draft);
        let records = draft.into_records();
        show(journal, &handle, &records).await?;
        answer_all(answers, fleet.seq);
        if fleet.seq >= snapshot_at + SNAPSHOT_EVERY {
            snapshot_at = fleet.seq;
            save_snapshot(handle.journal(), &fleet).await;
        }
    }
    save_snapshot(handle.journal(), &fleet).await;
    Ok(())
}

/// Decides until nothing more follows.
fn settle(draft: &mut Draft<'_>) -> Option<Timestamp> {
    let mut due = None;
    for _ in 0..PASSES {
        let before = draft.fleet.seq;
        due = follow(draft);
        if draft.fleet.seq == before {
            return due;
        }
    }
    // Something is still moving: go round again at once.
    due.into_iter().chain([draft.now]).min()
}

/// Appends the records, and when they are durable shows them to readers, agents and watchers, in this order: whoever hears
/// of an event can see it in the fleet.
async fn show(
    journal: &impl Append,
    handle: &ControlHandle,
    records: &[Record],
) -> Result<(), ControlError> {
    if records.is_empty() {
        return Ok(());
    }
    let shared = &handle.shared;
    let started = Instant::now();
    journal.append(records).await?;
    metrics::histogram!(super::count::APPEND_SECONDS).record(started.elapsed().as_secs_f64());
    let mut touched = BTreeSet::new();
    let mut finished = Vec::new();
    {
        // Before anybody can see what has happened, so that no counter is behind what is shown.
        count::count(records);
        let mut fleet = shared.fleet.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            touched.extend(touched_host(&fleet, record));
            fleet.apply(record);
            finished.extend(finished_task(&fleet, record));
        }
    }
    // History repeats what the journal has, in another order: without it only searching suffers.
    if !finished.is_empty()
        && let Err(error) = shared.journal.archive_tasks(&finished).await
    {
        tracing::error!(%error, "finished tasks could not be written to history");
    }
    send_assignments(handle, &touched);
    let now = handle.read(followed);
    shared.followed.send_if_modified(|known| {
        let changed = *known != now;
        *known = now;
        changed
    });
    for record in records {
        // Without a watcher there is nobody to tell.
        let _ = shared.records.send(Arc::new(record.clone()));
    }
    Ok(())
}

/// A task that has just finished, as history keeps it: now its last attempt is still known.
fn finished_task(fleet: &Fleet, record: &Record) -> Option<TaskView> {
    let Event::TaskFinished { task, .. } = &record.event else {
        return None;
    };
    let job = fleet.jobs.get(&task.job)?;
    Some(task_view(
        fleet,
        job,
        job.tasks.get(&task.index)?,
        record.at,
    ))
}

/// The host whose assignments a record may change, as the fleet was before it.
fn touched_host(fleet: &Fleet, record: &Record) -> Option<HostId> {
    let host_of = |id: &AttemptId| fleet.attempts.get(id).map(|attempt| attempt.host);
    match &record.event {
        Event::AttemptPlaced { host, .. } => Some(*host),
        Event::AttemptReported { status } => host_of(&status.attempt),
        Event::StopOrdered { order } => host_of(&order.attempt),
        Event::AttemptRetired { attempt }
        | Event::AttemptForgotten { attempt }
        | Event::PutBackOrdered { attempt, .. } => host_of(attempt),
        Event::LeadershipTaken { .. }
        | Event::CellTakenDown { .. }
        | Event::HostEnrolled { .. }
        | Event::HostConnected { .. }
        | Event::HostUnreachable { .. }
        | Event::HostRemoved { .. }
        | Event::HostAhead { .. }
        | Event::HostTaken { .. }
        | Event::HostFollows { .. }
        | Event::HostReported { .. }
        | Event::OrphansSeen { .. }
        | Event::RepositoryTroubled { .. }
        | Event::RepositoryRecovered
        | Event::PlanMade { .. }
        | Event::PlanPredicted { .. }
        | Event::PlanApplied { .. }
        | Event::PlanHeld { .. }
        | Event::HooksBegan { .. }
        | Event::PlanApproved { .. }
        | Event::PlanRefused { .. }
        | Event::Frozen { .. }
        | Event::Resumed { .. }
        | Event::VersionBegan { .. }
        | Event::GraceEnded { .. }
        | Event::JobScaled { .. }
        | Event::ResizeEnded { .. }
        | Event::RolloutStepped { .. }
        | Event::RolloutSettled { .. }
        | Event::RolloutStalled { .. }
        | Event::RolloutAborted { .. }
        | Event::RolloutPromoted { .. }
        | Event::RolloutRetried { .. }
        | Event::RolloutFinished { .. }
        | Event::AnalysisMeasured { .. }
        | Event::DeployRequested { .. }
        | Event::DeployCommitted { .. }
        | Event::DeployCanceled { .. }
        | Event::DeployTakenBack { .. }
        | Event::DeployNotTakenBack { .. }
        | Event::DeployFinished { .. }
        | Event::TokenCreated { .. }
        | Event::TokenRevoked { .. }
        | Event::TaskCreated { .. }
        | Event::TaskQueued { .. }
        | Event::TaskBlocked { .. }
        | Event::StopAnnounced { .. }
        | Event::StopWithdrawn { .. }
        | Event::TaskFinished { .. }
        | Event::TaskForgotten { .. }
        | Event::JobForgotten { .. } => None,
    }
}

fn send_assignments(handle: &ControlHandle, hosts: &BTreeSet<HostId>) {
    let senders = handle
        .shared
        .assignments
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for host in hosts {
        let Some(sender) = senders.get(host) else {
            continue;
        };
        let now = handle.read(|fleet| assignments(fleet, *host));
        sender.send_if_modified(|known| {
            let changed = known
                .as_ref()
                .is_none_or(|known| known.items != now.items || known.put_back != now.put_back);
            if changed {
                *known = Some(Arc::new(now));
            }
            changed
        });
    }
}

fn answer_all(answers: Vec<(Waiting, Result<Answer, Refusal>)>, seq: u64) {
    for (waiting, answer) in answers {
        // Who no longer waits need not be told.
        let _ = waiting.send(answer.map(|answer| (answer, seq)));
    }
}

/// Hosts that count as connected and have not been heard for too long.
fn silent_hosts(handle: &ControlHandle, fleet: &Fleet) -> Vec<HostId> {
    let heard = handle
        .shared
        .heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    fleet
        .hosts
        .values()
        .filter(|host| host.connected)
        .filter(|host| {
            heard
                .get(&host.id)
                .is_none_or(|at| at.elapsed() >= SILENT_AFTER)
        })
        .map(|host| host.id)
        .collect()
}

fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// A snapshot only makes the next start quicker: without one it folds more records.
async fn save_snapshot(journal: &Journal, fleet: &Fleet) {
    match serde_json::to_vec(fleet) {
        Ok(bytes) => {
            if let Err(error) = journal.save_snapshot(fleet.seq, &bytes).await {
                tracing::warn!(%error, "the fleet's snapshot could not be saved; the next start takes longer");
            }
        }
        Err(error) => tracing::error!(%error, "the fleet cannot be written as JSON"),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
