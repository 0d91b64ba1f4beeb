//! Commit statuses: a forge shows beside each commit how it stands.
//!
//! What is told follows from how the commits stand now, not from events: a control plane that was away tells how things are, and
//! each state of a commit is told once. What was told is on the disk.

use super::count::Counts;
use super::forge::Forge;
use super::place::{Found, PlaceFile};
use super::send::{SendError, Sender};
use super::{Bounds, Source, look};
use jiff::Timestamp;
use muster_core::view::{CommitState, CommitStatus, commit_statuses};
use muster_schemas::ids::CommitId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked at how commits stand. That tasks have been healthy for long enough is no event: time has to be asked.
const LOOK: Duration = Duration::from_secs(2);

/// The longest pause after a forge has not taken a status.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// One commit's states are told so often at most: forges keep each, and one that goes to and fro says nothing new.
const MOST_TIMES: u32 = 20;

/// What a forge was told, by commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told(BTreeMap<String, ToldState>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ToldState {
    state: Word,
    times: u32,
}

/// A state as it is kept on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Pending,
    Success,
    Failure,
}

impl From<CommitState> for Word {
    fn from(state: CommitState) -> Self {
        match state {
            CommitState::Pending => Self::Pending,
            CommitState::Success => Self::Success,
            CommitState::Failure => Self::Failure,
        }
    }
}

impl Told {
    /// What a forge that is new counts as told: how the commits stand that had ended before it was there. The newest is told.
    fn before(statuses: &[CommitStatus]) -> Self {
        let mut told = Self::default();
        for status in statuses.iter().rev().skip(1) {
            if status.state != CommitState::Pending {
                told.note(status);
            }
        }
        told
    }

    /// Whether a commit has succeeded: then it has, although the next one is under way.
    fn is_done(&self, commit: &CommitId) -> bool {
        let told = self.0.get(commit.as_str());
        told.is_some_and(|told| told.state == Word::Success)
    }

    /// What is to be told now, oldest first.
    fn due(&self, statuses: Vec<CommitStatus>) -> Vec<CommitStatus> {
        let is_due = |status: &CommitStatus| match self.0.get(status.commit.as_str()) {
            None => true,
            Some(told) => told.state != status.state.into() && told.times < MOST_TIMES,
        };
        let open = |status: &CommitStatus| !self.is_done(&status.commit) && is_due(status);
        statuses.into_iter().filter(open).collect()
    }

    fn note(&mut self, status: &CommitStatus) {
        let told = self.0.entry(status.commit.to_string());
        let told = told.or_insert(ToldState {
            state: status.state.into(),
            times: 0,
        });
        told.state = status.state.into();
        told.times = told.times.saturating_add(1);
    }

    /// Forgets commits that the fleet does not know any more.
    fn retain(&mut self, known: &BTreeSet<String>) {
        self.0.retain(|commit, _| known.contains(commit));
    }
}

/// What tells one forge how commits stand.
pub(super) struct StatusTeller {
    pub forge: Forge,
    pub source: Arc<dyn Source>,
    pub sender: Sender,
    pub console_url: String,
    pub file: PlaceFile<Told>,
    pub bounds: Bounds,
    pub look_every: Duration,
    pub shutdown: CancellationToken,
}

/// What a look at the fleet gives.
struct Looked {
    cell: String,
    /// How the commits stand that are not done with.
    statuses: Vec<CommitStatus>,
    /// All commits that the fleet knows something of.
    known: BTreeSet<String>,
}

/// How often it is looked at how commits stand, where nothing else is said.
pub(super) fn look_every() -> Duration {
    LOOK
}

impl StatusTeller {
    /// Tells how commits stand until the control plane ends.
    pub(super) async fn run(self) {
        let counts = Counts::of(&self.forge.name);
        let mut told = match self.file.read().await {
            Found::Place(told) => told,
            Found::Nothing => {
                let told = Told::before(&self.look(&Told::default()).statuses);
                self.file.write(&told).await;
                told
            }
            Found::Damaged(error) => {
                tracing::error!(
                    forge = self.forge.name,
                    error,
                    "what this forge was told cannot be read; it is told again how the latest commits stand. Look at the disk"
                );
                Told::before(&self.look(&Told::default()).statuses)
            }
        };
        let mut pause = self.look_every;
        loop {
            let Looked {
                cell,
                statuses,
                known,
            } = self.look(&told);
            told.retain(&known);
            let mut failed = false;
            for status in told.due(statuses) {
                let taken = tokio::select! {
                    () = self.shutdown.cancelled() => return,
                    taken = self.tell(&cell, &status, &counts) => taken,
                };
                if taken {
                    told.note(&status);
                    self.file.write(&told).await;
                }
                failed |= !taken;
            }
            pause = if failed {
                (pause * 2).min(LONGEST_PAUSE)
            } else {
                self.look_every
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn look(&self, told: &Told) -> Looked {
        look(self.source.as_ref(), |fleet| {
            let statuses = commit_statuses(fleet, &|commit| told.is_done(commit), Timestamp::now());
            let planned = fleet.plans.iter().map(|entry| &entry.plan.revision.commit);
            let known = planned.chain(statuses.iter().map(|status| &status.commit));
            Looked {
                cell: fleet.cell.to_string(),
                known: known.map(ToString::to_string).collect(),
                statuses,
            }
        })
    }

    /// Tells how a commit stands. Says whether it is done with.
    async fn tell(&self, cell: &str, status: &CommitStatus, counts: &Counts) -> bool {
        let (forge, commit) = (&self.forge.name, &status.commit);
        let gives_up = status.since.saturating_add(self.bounds.age);
        let too_old = gives_up.is_ok_and(|gives_up| gives_up < Timestamp::now());
        if too_old && status.state == CommitState::Pending {
            // It has been so for long: whoever follows the commit knows, and how it ends is told.
            counts.skipped(1);
            return true;
        }
        let page = match &status.plan {
            Some(plan) => format!("{}/plans/{plan}", self.console_url),
            None => format!("{}/plans", self.console_url),
        };
        let request = self.forge.status_request(cell, status, &page);
        match self.sender.once(&request).await {
            Ok(_) => {
                counts.sent();
                tracing::debug!(forge, %commit, state = ?status.state, "the forge shows how a commit stands");
                true
            }
            Err(error @ SendError::Final { .. }) => {
                counts.failed();
                tracing::warn!(
                    forge, %commit, %error,
                    "the forge does not take how a commit stands; does it have the commit?"
                );
                true
            }
            Err(error @ SendError::Passing { .. }) => {
                counts.failed();
                tracing::warn!(
                    forge, %commit, %error, gives_up = too_old,
                    "the forge was not told how a commit stands; may the token set statuses, and does the forge have the commit?"
                );
                too_old
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(commit: &str, state: CommitState) -> CommitStatus {
        CommitStatus {
            commit: CommitId::from(commit),
            state,
            sentence: String::new(),
            plan: None,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    fn due(told: &Told, statuses: &[CommitStatus]) -> Vec<(String, CommitState)> {
        let due = told.due(statuses.to_vec());
        due.iter()
            .map(|status| (status.commit.to_string(), status.state))
            .collect()
    }

    #[test]
    fn each_state_of_a_commit_is_told_once_and_success_is_the_last() {
        use CommitState::{Failure, Pending, Success};
        let mut told = Told::default();
        for (state, is_due) in [
            (Pending, true),
            (Pending, false),
            (Failure, true),
            (Pending, true),
            (Success, true),
            (Success, false),
            (Pending, false),
            (Failure, false),
        ] {
            let statuses = [status("c1", state)];
            assert_eq!(
                due(&told, &statuses).len(),
                usize::from(is_due),
                "{state:?}"
            );
            for status in told.due(statuses.to_vec()) {
                told.note(&status);
            }
        }
        told.retain(&BTreeSet::from(["c2".to_owned()]));
        assert_eq!(told, Told::default());
    }

    #[test]
    fn a_commit_that_goes_to_and_fro_is_left_alone_in_the_end() {
        let mut told = Told::default();
        for round in 0..100 {
            let state = [CommitState::Pending, CommitState::Failure][round % 2];
            for status in told.due(vec![status("c1", state)]) {
                told.note(&status);
            }
        }
        assert_eq!(told.0["c1"].times, MOST_TIMES);
    }

    #[test]
    fn a_new_forge_is_told_of_the_newest_commit_and_of_what_is_under_way() {
        use CommitState::{Failure, Pending, Success};
        let statuses = [
            status("c1", Success),
            status("c2", Failure),
            status("c3", Pending),
            status("c4", Success),
        ];
        let told = Told::before(&statuses);
        let expected = [("c3".to_owned(), Pending), ("c4".to_owned(), Success)];
        assert_eq!(due(&told, &statuses), expected);
    }
}
