//! What is measured of a canary, and what follows from it.
//!
//! Restarts and health follow from the fleet; what Prometheus says comes in as an input. The verdict is made here in either
//! case. What cannot be judged is inconclusive: it holds the canary where it is.

use super::rollout_spec;
use super::sets::{Member, Sets, Standing, number};
use crate::decide::{Draft, automation};
use crate::fleet::{Fleet, Job, JobRollout, Movement};
use crate::guard;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;
use muster_schemas::rollout::{AbortReason, MeasureFault, Measured, StepHold, Verdict};
use muster_schemas::spec::{Analysis, Canary};

/// A measurement counts for so many intervals: one that is late, or was lost, does not hold a canary that is well.
const FRESH_INTERVALS: i32 = 3;

/// A query that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The job.
    pub job: JobId,
    /// The version that is rolled out.
    pub version: u64,
    /// The query's name.
    pub name: String,
    /// The query, with the job and the version put in.
    pub query: String,
    /// It is asked this often.
    pub interval: SignedDuration,
}

/// The queries that are due, over all canaries.
pub fn questions(fleet: &Fleet, now: Timestamp) -> Vec<Question> {
    fleet
        .jobs
        .values()
        .filter_map(|job| {
            let (rollout, canary) = measured(job)?;
            let interval = canary.analysis.interval.signed();
            let questions = canary
                .analysis
                .prometheus
                .iter()
                .filter(|query| is_due(rollout, &query.name, interval, now))
                .map(|query| Question {
                    job: job.id.clone(),
                    version: job.version,
                    name: query.name.clone(),
                    query: query
                        .query
                        .replace("${job}", job.id.as_str())
                        .replace("${version}", &job.version.to_string()),
                    interval,
                })
                .collect::<Vec<_>>();
            Some(questions)
        })
        .flatten()
        .collect()
}

/// A job's canary, if it is being measured.
fn measured(job: &Job) -> Option<(&JobRollout, &Canary)> {
    let rollout = job
        .rollout
        .as_ref()
        .filter(|rollout| rollout.is_measured())?;
    let canary = job.spec().service.as_ref()?.rollout.canary.as_ref()?;
    (job.movement() == Movement::Canary && job.tombstone.is_none()).then_some((rollout, canary))
}

fn is_due(rollout: &JobRollout, name: &str, interval: SignedDuration, now: Timestamp) -> bool {
    rollout
        .metrics
        .get(name)
        .is_none_or(|metric| now.duration_since(metric.at) >= interval)
}

/// Takes what a query gave. An answer to something that is not asked any more is passed over, and so is one that again
/// cannot be judged for the same reason.
pub(in crate::decide) fn take(
    draft: &mut Draft<'_>,
    id: JobId,
    version: u64,
    name: String,
    measured_now: Measured,
) {
    let Some(job) = draft
        .fleet
        .jobs
        .get(&id)
        .filter(|job| job.version == version)
    else {
        return;
    };
    let Some((rollout, canary)) = measured(job) else {
        return;
    };
    let queries = &canary.analysis.prometheus;
    let Some(query) = queries.iter().find(|query| query.name == name) else {
        return;
    };
    let verdict = match &measured_now {
        Measured::Value { value } if query.allows(*value) => Verdict::Passed,
        Measured::Value { .. } => Verdict::Failed,
        Measured::Nothing { .. } => Verdict::Inconclusive,
    };
    let says_the_same = verdict == Verdict::Inconclusive
        && rollout
            .metrics
            .get(&name)
            .is_some_and(|metric| metric.measured == measured_now);
    if says_the_same {
        return;
    }
    let event = Event::AnalysisMeasured {
        job: id,
        version,
        name,
        measured: measured_now,
        verdict,
    };
    draft.say(automation("analysis"), event);
}

/// Measures how many of the new tasks are healthy, when that is due.
pub(super) fn measure_health(draft: &mut Draft<'_>, id: &JobId) {
    let Some(job) = draft.fleet.jobs.get(id) else {
        return;
    };
    let Some((rollout, canary)) = measured(job) else {
        return;
    };
    // Between two steps new tasks come up: those are not to be healthy yet.
    let interval = canary.analysis.interval.signed();
    if rollout.settled_at.is_none_or(|settled| {
        rollout
            .metrics
            .get(Analysis::HEALTHY)
            .is_some_and(|metric| metric.at >= settled)
            && !is_due(rollout, Analysis::HEALTHY, interval, draft.now)
    }) {
        return;
    }
    let sets = Sets::of(draft.fleet, job, draft.now);
    let unseen = |member: &&Member| matches!(member.standing, Standing::Unseen { .. });
    let seen = sets.new.count() - number(sets.new.0.iter().filter(unseen).count());
    let (measured_now, verdict) = if seen == 0 {
        let fault = MeasureFault::Unseen;
        (Measured::Nothing { fault }, Verdict::Inconclusive)
    } else {
        let value = 100.0 * f64::from(sets.new.healthy()) / f64::from(seen);
        let passes = value >= f64::from(canary.analysis.min_healthy_percent);
        let verdict = if passes {
            Verdict::Passed
        } else {
            Verdict::Failed
        };
        (Measured::Value { value }, verdict)
    };
    let event = Event::AnalysisMeasured {
        job: id.clone(),
        version: job.version,
        name: Analysis::HEALTHY.to_owned(),
        measured: measured_now,
        verdict,
    };
    draft.say(automation("analysis"), event);
}

/// Why a canary has to be aborted, if it has.
pub(super) fn failure(job: &Job, rollout: &JobRollout) -> Option<AbortReason> {
    let spec = rollout_spec(job);
    let analysis = &spec.canary.as_ref()?.analysis;
    if rollout.restarts > analysis.max_restarts {
        return Some(AbortReason::Restarts {
            restarts: rollout.restarts,
            allowed: analysis.max_restarts,
        });
    }
    rollout.metrics.iter().find_map(|(name, metric)| {
        // A query that a commit took out meanwhile says nothing any more.
        let is_asked = name == Analysis::HEALTHY
            || analysis.prometheus.iter().any(|query| query.name == *name);
        let Measured::Value { value } = metric.measured else {
            return None;
        };
        let fails = is_asked && metric.failures >= analysis.failure_limit;
        fails.then(|| AbortReason::Measurement {
            name: name.clone(),
            value,
            failures: metric.failures,
        })
    })
}

/// Why a canary whose tasks are settled stays at its step; empty where it goes on.
pub fn holds(fleet: &Fleet, job: &Job, now: Timestamp) -> Vec<StepHold> {
    let (Some((rollout, canary)), Some(settled_at)) = (
        measured(job),
        job.rollout.as_ref().and_then(|rollout| rollout.settled_at),
    ) else {
        return Vec::new();
    };
    let mut holds = Vec::new();
    if guard::frozen_by(fleet, job, now).is_some() {
        holds.push(StepHold::Frozen);
    }
    if rollout.promoted {
        return holds;
    }
    let until = pause_end(rollout, canary, settled_at);
    if until > now {
        holds.push(StepHold::Pause { until });
    }
    let analysis = &canary.analysis;
    let fresh = analysis.interval.signed() * FRESH_INTERVALS;
    let names = analysis.prometheus.iter().map(|query| query.name.as_str());
    for name in std::iter::once(Analysis::HEALTHY).chain(names) {
        let name = name.to_owned();
        let Some(metric) = rollout.metrics.get(&name) else {
            holds.push(StepHold::NotMeasured { name });
            continue;
        };
        match (&metric.measured, metric.verdict) {
            (Measured::Nothing { fault }, _) => {
                let fault = fault.clone();
                holds.push(StepHold::Inconclusive { name, fault });
            }
            (Measured::Value { .. }, Verdict::Passed) => {
                if metric.at < settled_at || now.duration_since(metric.at) > fresh {
                    holds.push(StepHold::NotMeasured { name });
                }
            }
            (Measured::Value { value }, Verdict::Failed | Verdict::Inconclusive) => {
                holds.push(StepHold::Failing {
                    name,
                    value: *value,
                    failures: metric.failures,
                    limit: analysis.failure_limit,
                });
            }
        }
    }
    holds
}

fn pause_end(rollout: &JobRollout, canary: &Canary, settled_at: Timestamp) -> Timestamp {
    let step = usize::try_from(rollout.step()).unwrap_or(usize::MAX);
    let pause = canary
        .steps
        .get(step)
        .map_or(SignedDuration::ZERO, |step| step.pause.signed());
    settled_at.saturating_add(pause).unwrap_or(Timestamp::MAX)
}

/// When the pause of a canary's step ends, and when its health is measured again.
pub(super) fn next_due(job: &Job, rollout: &JobRollout) -> Vec<Timestamp> {
    let Some((_, canary)) = measured(job) else {
        return Vec::new();
    };
    let Some(settled_at) = rollout.settled_at else {
        return Vec::new();
    };
    let interval = canary.analysis.interval.signed();
    let again = rollout.metrics.values().map(|metric| metric.at + interval);
    again
        .chain([pause_end(rollout, canary, settled_at)])
        .collect()
}
