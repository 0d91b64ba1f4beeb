//! How rollouts stand, in words.

use super::reasons::{clock, counted};
use jiff::Timestamp;
use muster_schemas::rollout::{AbortReason, MeasureFault, Measured, StepHold, Stuck, Verdict};

/// Why a rollout was ended, after "was aborted by …: ".
pub fn abort(reason: &AbortReason) -> String {
    match reason {
        AbortReason::Asked { message } => message.clone(),
        AbortReason::Restarts { restarts, allowed } => format!(
            "its new tasks ended {} by themselves, and {allowed} are allowed",
            counted(u64::from(*restarts), "time", "times")
        ),
        AbortReason::Measurement {
            name,
            value,
            failures,
        } => format!(
            "{name} was {} and failed {} in a row",
            number(*value),
            counted(u64::from(*failures), "time", "times")
        ),
        AbortReason::NoProgress { deadline, stuck } => {
            format!("it got no further for {deadline}: {}", stuck_on(stuck))
        }
    }
}

/// What a rollout is stuck on.
pub fn stuck_on(stuck: &Stuck) -> String {
    match stuck {
        Stuck::NoHost { task } => format!("no host can take {task}"),
        Stuck::CrashLoop { task, failures } => {
            format!("{task} is in a crash loop: {failures} short attempts in a row")
        }
        Stuck::NotHealthy { task } => format!("{task} does not get healthy"),
        Stuck::Stops => "the tasks of the version before cannot be stopped yet".to_owned(),
    }
}

/// What a measurement gave.
pub fn measured(measured: &Measured) -> String {
    match measured {
        Measured::Value { value } => number(*value),
        Measured::Nothing { fault } => measure_fault(fault),
    }
}

/// Why a measurement gave nothing.
pub fn measure_fault(fault: &MeasureFault) -> String {
    match fault {
        MeasureFault::NotConfigured => {
            "the control plane does not know where Prometheus is: start it with `muster serve --prometheus URL`"
                .to_owned()
        }
        MeasureFault::Unreachable { message } => format!("Prometheus does not answer: {message}"),
        MeasureFault::Refused { message } => format!("Prometheus refuses the query: {message}"),
        MeasureFault::NoData => "Prometheus has no data for it".to_owned(),
        MeasureFault::NotOneNumber { message } => {
            format!("the answer is not one number but {message}")
        }
        MeasureFault::Unseen => "the hosts of the new tasks cannot be seen".to_owned(),
    }
}

/// What a verdict says of a measurement.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "that is as it should be",
        Verdict::Failed => "that is not as it should be",
        Verdict::Inconclusive => "nothing follows from it",
    }
}

/// Why a canary stays at its step, after "waits for ".
pub fn hold(hold: &StepHold, now: Timestamp) -> String {
    match hold {
        StepHold::Pause { until } => {
            format!("the end of its pause at {}", clock(*until, now))
        }
        StepHold::NotMeasured { name } => format!("a measurement of {name}"),
        StepHold::Inconclusive { name, fault } => {
            format!("{name} to be measured: {}", measure_fault(fault))
        }
        StepHold::Failing {
            name,
            value,
            failures,
            limit,
        } => format!(
            "{name} to be well: it is {} and has failed {failures} of {limit} times in a row",
            number(*value)
        ),
        StepHold::Frozen => "the job to be resumed: it is frozen".to_owned(),
    }
}

/// A number as people write it: not more digits than anybody reads.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
