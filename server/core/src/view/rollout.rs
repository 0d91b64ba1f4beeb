//! How a job's rollout stands.

use super::job::JobTally;
use super::task::reason;
use crate::decide::rollout::{analysis, words_for};
use crate::describe::reasons::{self, clock, counted, stop_refusal};
use crate::describe::rollout as words;
use crate::fleet::{Fleet, Job, JobRollout, Movement};
use crate::guard::may_stop;
use jiff::Timestamp;
use muster_schemas::api::{MeasurementView, RolloutState, RolloutStepView, RolloutView};
use muster_schemas::rollout::{Measured, RolloutStage, StepHold};
use muster_schemas::spec::{Millis, Strategy};
use muster_schemas::state::{StopReason, TaskState};
use muster_schemas::stop::StopRefusal;

/// How the rollout stands; there is one while a service that is wanted has tasks of an older version, and until it is finished
/// or superseded.
pub(super) fn rollout(
    fleet: &Fleet,
    job: &Job,
    tally: &JobTally<'_>,
    now: Timestamp,
) -> Option<RolloutView> {
    let service = job.spec().service.as_ref()?;
    if job.pruned || (tally.outdated == 0 && job.rollout.is_none()) {
        return None;
    }
    let strategy = service.rollout.strategy();
    let rollout = job.rollout.as_ref();
    let holds = match job.movement() {
        Movement::Canary => analysis::holds(fleet, job, now),
        Movement::Rolling | Movement::RedBlack | Movement::Back => Vec::new(),
    };
    let paused = holds.iter().find_map(|hold| match hold {
        StepHold::Pause { until } => Some(*until),
        StepHold::NotMeasured { .. }
        | StepHold::Inconclusive { .. }
        | StepHold::Failing { .. }
        | StepHold::Frozen => None,
    });
    let kept = rollout.and_then(|rollout| match rollout.stage {
        RolloutStage::Keeping { until } if rollout.aborted.is_none() => Some(until),
        RolloutStage::Keeping { .. } | RolloutStage::Replacing | RolloutStage::Step { .. } => None,
    });
    let step = match (strategy, rollout) {
        (Strategy::Canary(canary), Some(rollout)) => Some(RolloutStepView {
            step: rollout.step() + 1,
            of: u32::try_from(canary.steps.len()).unwrap_or(u32::MAX),
            tasks: canary.tasks_at(rollout.step(), job.desired()),
        }),
        (Strategy::Rolling | Strategy::RedBlack(_) | Strategy::Canary(_), _) => None,
    };
    Some(RolloutView {
        to_version: job.version,
        updated: tally.updated,
        settled: tally.settled,
        outdated: tally.outdated,
        waiting_for: waits_for(fleet, job, tally, &holds, now),
        strategy: strategy.word().to_owned(),
        state: match rollout {
            Some(rollout) if rollout.aborted.is_some() => RolloutState::Aborted,
            Some(rollout) if rollout.stalled.is_some() => RolloutState::Stalled,
            _ if kept.is_some() => RolloutState::Keeping,
            _ if !holds.is_empty() => RolloutState::Holding,
            Some(_) | None => RolloutState::Progressing,
        },
        from_version: rollout.map(|rollout| rollout.from),
        since: rollout.map(|rollout| rollout.since),
        step,
        reason: trouble(job).unwrap_or_default(),
        until: kept.or(paused),
        measurements: rollout.map_or_else(Vec::new, measurements),
        actions: words_for(job),
    })
}

fn measurements(rollout: &JobRollout) -> Vec<MeasurementView> {
    rollout
        .metrics
        .iter()
        .map(|(name, metric)| MeasurementView {
            name: name.clone(),
            at: metric.at,
            value: match metric.measured {
                Measured::Value { value } => Some(value),
                Measured::Nothing { .. } => None,
            },
            message: words::measured(&metric.measured),
            verdict: metric.verdict,
            failures: metric.failures,
        })
        .collect()
}

/// That a rollout was aborted, or gets no further, and why.
pub fn trouble(job: &Job) -> Option<String> {
    let rollout = job.rollout.as_ref()?;
    let (version, from) = (job.version, rollout.from);
    if let Some(abort) = &rollout.aborted {
        return Some(format!(
            "the rollout of version {version} was aborted by {}: {}; version {from} serves on",
            abort.by,
            words::abort(&abort.reason)
        ));
    }
    let stall = rollout.stalled.as_ref()?;
    Some(format!(
        "the rollout of version {version} has got no further for {}: {}; version {from} serves on",
        stall.deadline,
        words::stuck_on(&stall.stuck)
    ))
}

/// That the old tasks are kept, where all is well; else nothing.
pub(super) fn kept(job: &Job) -> String {
    match &job.rollout {
        Some(rollout) if job.movement() == Movement::RedBlack => match rollout.stage {
            RolloutStage::Keeping { until } => format!(
                "the tasks of version {} are kept until {until:.0}: a commit that goes back has them again",
                rollout.from
            ),
            RolloutStage::Replacing | RolloutStage::Step { .. } => String::new(),
        },
        Some(_) | None => String::new(),
    }
}

fn waits_for(
    fleet: &Fleet,
    job: &Job,
    tally: &JobTally<'_>,
    holds: &[StepHold],
    now: Timestamp,
) -> String {
    let aborted = job
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.aborted.is_some());
    if aborted && !fleet.down {
        return match tally.astray {
            0 => "a newer commit, or somebody to retry it".to_owned(),
            tasks => format!(
                "{} to give way to the version before",
                counted(tasks, "task", "tasks")
            ),
        };
    }
    if let Some(RolloutStage::Keeping { until }) = job.rollout.as_ref().map(|known| &known.stage)
        && *until > now
        && tally.settled >= u64::from(job.desired())
    {
        return format!(
            "the end of the time for which the old tasks are kept, at {}",
            clock(*until, now)
        );
    }
    if !holds.is_empty() && !fleet.down {
        let holds: Vec<String> = holds.iter().map(|hold| words::hold(hold, now)).collect();
        return holds.join("; ");
    }
    waiting_for(fleet, job, tally, now)
}

fn waiting_for(fleet: &Fleet, job: &Job, tally: &JobTally<'_>, now: Timestamp) -> String {
    if fleet.down {
        return "the cell to be started again".to_owned();
    }
    if !tally.waits_for.is_empty() {
        return reasons::waits_for(&tally.waits_for);
    }
    let new_tasks = || {
        job.tasks
            .values()
            .filter(|task| !task.is_finished() && !job.is_outdated(task.version))
    };
    // A new task that cannot come up holds the rollout; of several, one that needs a person comes first.
    let stuck = new_tasks()
        .find(|task| fleet.in_crash_loop(task, now))
        .or_else(|| new_tasks().find(|task| task.is_queued() && task.blocked.is_some()))
        .or_else(|| new_tasks().find(|task| !fleet.is_healthy(task)));
    if let Some(task) = stuck {
        let what = if fleet.in_crash_loop(task, now) {
            "to leave its crash loop"
        } else if task.is_queued() {
            "to be placed"
        } else {
            "to be healthy"
        };
        return format!("{} {what}: {}", task.id, reason(fleet, task, now));
    }
    if tally.settled < tally.updated {
        let settle = job
            .spec()
            .service
            .as_ref()
            .map_or(Millis(0), |service| service.rollout.min_healthy_time);
        let waits = counted(tally.updated - tally.settled, "new task", "new tasks");
        return format!("{waits} to have been healthy for {settle}");
    }
    let stopping = tally.in_state(TaskState::Stopping);
    if stopping > 0 {
        return format!("{} to stop", counted(stopping, "task", "tasks"));
    }
    if let Some(refusal) = rollout_refusal(fleet, job, now) {
        return stop_refusal(&refusal, now);
    }
    "its next step, which comes at once".to_owned()
}

/// Why the next task of an older version is not stopped now, if one waits for that.
fn rollout_refusal(fleet: &Fleet, job: &Job, now: Timestamp) -> Option<StopRefusal> {
    let reason = StopReason::Rollout {
        to_version: job.version,
    };
    let next = job
        .tasks
        .values()
        .filter(|task| job.is_outdated(task.version))
        .find_map(|task| fleet.current_attempt(task))?;
    may_stop(fleet, job, next, &reason, now).err()
}
