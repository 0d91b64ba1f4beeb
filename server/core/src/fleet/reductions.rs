//! What was made smaller lately, so that many small plans are judged as the one that they add up to.

use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::JobId;
use muster_schemas::plan::LimitScope;
use muster_schemas::spec::{Limits, Tier};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Reductions of a job within so many seconds of each other are remembered as one, so that a job that is made smaller all the
/// time is remembered by a bounded number of them.
const TOGETHER_SECS: i64 = 60;

/// The jobs that were made smaller, or removed, by nobody's approval in the last [`Limits::LONGEST_PLAN_WINDOW`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reductions {
    by_job: BTreeMap<JobId, Reduced>,
}

/// A job that was made smaller. It may be gone from the fleet by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduced {
    /// Its app.
    pub app: String,
    /// Its tier.
    pub tier: Tier,
    /// How, oldest first.
    steps: VecDeque<Step>,
}

/// Reductions of a job within [`TOGETHER_SECS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    first: Timestamp,
    last: Timestamp,
    /// So many tasks it had before, at most.
    most: u32,
    /// So many it was left with, at least.
    least: u32,
    /// So many tasks of a batch were given up. They do not come back by a larger size: that begins others.
    given_up: u32,
}

/// What was taken of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenAway {
    /// The most tasks that it had.
    pub most: u32,
    /// The fewest that it was left with.
    pub least: u32,
    /// Tasks of a batch that were given up.
    pub given_up: u32,
}

impl Reduced {
    fn since(&self, begin: Timestamp) -> Option<TakenAway> {
        let within = self.steps.iter().filter(|step| step.last > begin);
        let taken = within.map(|step| TakenAway {
            most: step.most,
            least: step.least,
            given_up: step.given_up,
        });
        taken.reduce(|sum, step| TakenAway {
            most: sum.most.max(step.most),
            least: sum.least.min(step.least),
            given_up: sum.given_up.saturating_add(step.given_up),
        })
    }
}

impl Reductions {
    pub(super) fn is_empty(&self) -> bool {
        self.by_job.is_empty()
    }

    /// The jobs that were made smaller after `begin`, each with what was taken of it.
    pub fn since(&self, begin: Timestamp) -> impl Iterator<Item = (&JobId, &Reduced, TakenAway)> {
        let jobs = self.by_job.iter();
        jobs.filter_map(move |(job, reduced)| Some((job, reduced, reduced.since(begin)?)))
    }

    /// Something was taken of a job.
    pub(super) fn note(
        &mut self,
        at: Timestamp,
        job: &JobId,
        app: &str,
        tier: Tier,
        taken: TakenAway,
    ) {
        let begin = at
            .checked_sub(Limits::LONGEST_PLAN_WINDOW.signed())
            .unwrap_or(Timestamp::MIN);
        self.by_job.retain(|_, reduced| {
            reduced.steps.retain(|step| step.last > begin);
            !reduced.steps.is_empty()
        });
        let reduced = self.by_job.entry(job.clone()).or_insert_with(|| Reduced {
            app: String::new(),
            tier,
            steps: VecDeque::new(),
        });
        app.clone_into(&mut reduced.app);
        reduced.tier = tier;
        let together = SignedDuration::from_secs(TOGETHER_SECS);
        match reduced.steps.back_mut() {
            Some(step) if at.duration_since(step.first) < together => {
                step.last = at;
                step.most = taken.most.max(step.most);
                step.least = taken.least.min(step.least);
                step.given_up = step.given_up.saturating_add(taken.given_up);
            }
            _ => reduced.steps.push_back(Step {
                first: at,
                last: at,
                most: taken.most,
                least: taken.least,
                given_up: taken.given_up,
            }),
        }
    }

    /// People have seen what was taken in these parts of the cell, of all of it where it says none, and said yes: from here on it
    /// is counted anew.
    pub(super) fn clear(&mut self, parts: &[Option<LimitScope>]) {
        self.by_job.retain(|_, reduced| {
            !parts.iter().any(|part| match part {
                None => true,
                Some(LimitScope::App { app }) => reduced.app == *app,
                Some(LimitScope::Tier { tier }) => reduced.tier == *tier,
            })
        });
    }
}
