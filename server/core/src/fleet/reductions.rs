//! What was made smaller lately, so that many small plans are judged as the one that they add up to.

use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::JobId;
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
    size: u32,
}

impl Reduced {
    /// The most tasks that it had after `begin`.
    fn most_since(&self, begin: Timestamp) -> u32 {
        let within = self.steps.iter().filter(|step| step.last > begin);
        within.map(|step| step.size).max().unwrap_or(0)
    }
}

impl Reductions {
    pub(super) fn is_empty(&self) -> bool {
        self.by_job.is_empty()
    }

    /// The jobs that were made smaller after `begin`, each with the most tasks that it had since.
    pub fn since(&self, begin: Timestamp) -> impl Iterator<Item = (&JobId, &Reduced, u32)> {
        self.by_job
            .iter()
            .map(move |(job, reduced)| (job, reduced, reduced.most_since(begin)))
            .filter(|(_, _, most)| *most > 0)
    }

    /// A job with so many tasks was made smaller.
    pub(super) fn note(&mut self, at: Timestamp, job: &JobId, app: &str, tier: Tier, size: u32) {
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
                step.size = size.max(step.size);
            }
            _ => reduced.steps.push_back(Step {
                first: at,
                last: at,
                size,
            }),
        }
    }

    /// People have seen all of it and said yes: from here on it is counted anew.
    pub(super) fn clear(&mut self) {
        self.by_job.clear();
    }
}
