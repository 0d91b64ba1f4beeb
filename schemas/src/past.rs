//! The past: how a moment of it is named, how far back one can look, and what differs between two moments.
//!
//! The fleet at a moment is the fold of the journal's records up to it, so a moment comes down to a record. Asked for by
//! time, it is the last record at or before that time.

use crate::api::{EventView, JobStatus};
use crate::plan::{FieldChange, Revision};
use crate::state::TaskState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A moment of the past, as somebody asks for it: a time in RFC 3339, or the number of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The fleet as it was at this time.
    At(Timestamp),
    /// The fleet as it was after this record.
    Seq(u64),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::At(at) => at.fmt(f),
            Moment::Seq(seq) => seq.fmt(f),
        }
    }
}

/// Why a text names no moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAMoment(pub String);

impl fmt::Display for NotAMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is neither a time such as `2026-11-20T14:00:00Z` nor the number of a record",
            self.0
        )
    }
}

impl std::error::Error for NotAMoment {}

impl FromStr for Moment {
    type Err = NotAMoment;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No time in RFC 3339 is digits alone.
        if let Ok(seq) = text.parse() {
            return Ok(Moment::Seq(seq));
        }
        text.parse()
            .map(Moment::At)
            .map_err(|_| NotAMoment(text.to_owned()))
    }
}

/// Which fleet an answer is of: the one after a record, looked at as of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct AsOf {
    /// The last record that it includes.
    pub seq: u64,
    /// The time: the one that was asked for, or that of the record.
    pub at: Timestamp,
}

/// How far back one can look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct JournalView {
    /// The journal's first record: there is nothing to be seen before it.
    pub first: AsOf,
    /// Its last.
    pub last: AsOf,
    /// The moment that was asked for, if one was.
    pub as_of: Option<AsOf>,
}

/// Why the fleet of a moment cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum PastRefusal {
    /// The moment is before the journal's first record.
    BeforeJournal {
        /// The first record.
        first: AsOf,
    },
    /// There is no such record yet.
    AfterJournal {
        /// The number that was asked for.
        asked: u64,
        /// The last record.
        last: u64,
    },
    /// The time has not come yet.
    InTheFuture {
        /// The time that was asked for.
        asked: Timestamp,
    },
    /// It takes longer than an answer may take. What was done is kept, so that asking again goes on from there.
    TakesLonger {
        /// The last record that has been folded.
        reached: u64,
        /// The record that is to be reached.
        wanted: u64,
    },
    /// Too many such questions wait already.
    TooMany {
        /// So many.
        waiting: usize,
    },
}

impl fmt::Display for PastRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PastRefusal::BeforeJournal { first } => write!(
                f,
                "the journal begins at {} with record {}: nothing is known of the time before",
                first.at, first.seq
            ),
            PastRefusal::AfterJournal { asked, last } => {
                write!(
                    f,
                    "there is no record {asked} yet: the journal ends at {last}"
                )
            }
            PastRefusal::InTheFuture { asked } => write!(f, "{asked} has not come yet"),
            PastRefusal::TakesLonger { reached, wanted } => write!(
                f,
                "the fleet of record {wanted} is not worked out yet: record {reached} is reached, and asking again goes on \
                 from there"
            ),
            PastRefusal::TooMany { waiting } => {
                write!(
                    f,
                    "{waiting} questions about the past wait for their answers already"
                )
            }
        }
    }
}

/// What differs between the fleet of two moments, and who did it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct FleetDiff {
    /// The earlier moment.
    pub from: AsOf,
    /// The later one.
    pub to: AsOf,
    /// The revision that was applied at the earlier moment.
    pub revision_from: Option<Revision>,
    /// The revision that was applied at the later one.
    pub revision_to: Option<Revision>,
    /// The jobs that differ, by id, at most [`FleetDiff::LISTED`].
    pub jobs: Vec<JobDiff>,
    /// So many jobs differ in all.
    pub jobs_differ: u64,
    /// The tasks that differ, by job and index, at most [`FleetDiff::LISTED`].
    pub tasks: Vec<TaskDiff>,
    /// So many tasks differ in all.
    pub tasks_differ: u64,
    /// The hosts that differ, in the order in which they enrolled, at most [`FleetDiff::LISTED`].
    pub hosts: Vec<HostDiff>,
    /// So many hosts differ in all.
    pub hosts_differ: u64,
    /// The plans that were applied between, oldest first.
    pub plans: Vec<AppliedPlan>,
    /// What people did by command between, oldest first: approvals, freezes, stops, deploys and the like.
    pub acts: Vec<EventView>,
    /// Whether `plans` and `acts` are all there are; else they are the latest.
    pub complete: bool,
}

impl FleetDiff {
    /// So many jobs, tasks and hosts are listed; more are only counted.
    pub const LISTED: usize = 1000;

    /// Whether nothing differs and nobody did anything.
    pub fn is_empty(&self) -> bool {
        self.jobs_differ == 0
            && self.tasks_differ == 0
            && self.hosts_differ == 0
            && self.plans.is_empty()
            && self.acts.is_empty()
    }
}

/// Whether something is there at both moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is there at the later one only.
    Appeared,
    /// It is there at the earlier one only.
    Gone,
    /// It is there at both, and is not the same.
    Changed,
}

impl Presence {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Presence::Appeared => "appeared",
            Presence::Gone => "gone",
            Presence::Changed => "changed",
        }
    }
}

/// How a job differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct JobDiff {
    /// The job.
    pub job: String,
    /// Whether it is there at both moments.
    pub presence: Presence,
    /// Its version at the earlier moment.
    pub version_from: Option<u64>,
    /// Its version at the later one.
    pub version_to: Option<u64>,
    /// How it was at the earlier moment.
    pub status_from: Option<JobStatus>,
    /// How it was at the later one.
    pub status_to: Option<JobStatus>,
    /// What differs in its spec and its image, field by field.
    pub fields: Vec<FieldChange>,
    /// Its tasks in each state at the earlier moment, all six of them.
    pub tasks_from: BTreeMap<String, u64>,
    /// Its tasks in each state at the later one.
    pub tasks_to: BTreeMap<String, u64>,
    /// How its tasks differ.
    pub tasks: TaskTally,
    /// Those of the plans between that changed it.
    pub plans: Vec<String>,
}

/// How many of a job's tasks differ, and in what. One task may count in several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct TaskTally {
    /// There at the later moment only.
    pub appeared: u64,
    /// There at the earlier moment only.
    pub gone: u64,
    /// In another state.
    pub state: u64,
    /// On another host.
    pub moved: u64,
    /// On another version of the job.
    pub version: u64,
    /// With another attempt: their container is another one.
    pub restarted: u64,
}

/// How a task differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct TaskDiff {
    /// The task.
    pub task: String,
    /// Whether it is there at both moments.
    pub presence: Presence,
    /// How it was at the earlier moment, if it was there.
    pub from: Option<TaskThen>,
    /// How it was at the later one, if it was there.
    pub to: Option<TaskThen>,
}

/// A task at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct TaskThen {
    /// Its state.
    pub state: TaskState,
    /// The name of the host that it was on.
    pub host: Option<String>,
    /// The version of the job that it ran, or was to run.
    pub version: u64,
    /// Which attempt of the task it was, from 1; 0 before the first.
    pub attempt_number: u32,
}

/// How a host differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct HostDiff {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is there at both moments.
    pub presence: Presence,
    /// Whether its agent was connected at the earlier moment, if it was there.
    pub reachable_from: Option<bool>,
    /// Whether its agent was connected at the later one, if it was there.
    pub reachable_to: Option<bool>,
    /// Whether it could take tasks at the earlier moment, if it was there.
    pub ready_from: Option<bool>,
    /// Whether it could take tasks at the later one, if it was there.
    pub ready_to: Option<bool>,
}

/// A plan that was applied between two moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct AppliedPlan {
    /// The plan.
    pub plan: String,
    /// The revision that it led to; null where the plan has left memory and no job's history names it.
    pub revision: Option<Revision>,
    /// Who let it through: `guard` where it went ahead by itself, else the person whose approval did.
    pub by: String,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// The record that says so.
    pub seq: u64,
    /// The jobs of the fleet that it changed, as far as their histories go back.
    pub jobs: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_number() {
        let check = |text: &str, expect: Result<Moment, NotAMoment>| {
            assert_eq!(text.parse::<Moment>(), expect, "{text}");
        };
        let at: Timestamp = "2026-11-20T13:00:00Z".parse().expect("a time");
        check("1234", Ok(Moment::Seq(1234)));
        check("2026-11-20T13:00:00Z", Ok(Moment::At(at)));
        check("2026-11-20T14:00:00+01:00", Ok(Moment::At(at)));
        for text in ["", "yesterday", "-1", "2026-11-20", "14:00"] {
            check(text, Err(NotAMoment(text.to_owned())));
        }
        assert_eq!(Moment::At(at).to_string().parse(), Ok(Moment::At(at)));
    }
}
