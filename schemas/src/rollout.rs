//! How rollouts stand: their stages, what is measured of them, and why one does not go on.

use crate::ids::TaskId;
use crate::spec::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum RolloutStage {
    /// Tasks are being replaced one after another, or (red/black) all new ones are being started beside the old.
    Replacing,
    /// A canary is at a step, counted from 0; past its last step all tasks get the new version.
    Step {
        /// The step.
        step: u32,
    },
    /// Red/black: all new tasks are healthy, and the old ones are kept.
    Keeping {
        /// Until then.
        until: Timestamp,
    },
}

/// Why a rollout was ended before all tasks had the new version. The version before serves on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum AbortReason {
    /// A person asked for it.
    Asked {
        /// Their words.
        message: String,
    },
    /// New tasks ended by themselves too often.
    Restarts {
        /// So often.
        restarts: u32,
        /// So often they might.
        allowed: u32,
    },
    /// A measurement failed too often in a row.
    Measurement {
        /// Which.
        name: String,
        /// What it was last.
        value: f64,
        /// So many failed in a row.
        failures: u32,
    },
    /// A canary got no further within its `progressDeadline`.
    NoProgress {
        /// The deadline.
        deadline: Millis,
        /// What it was stuck on.
        stuck: Stuck,
    },
}

/// What a rollout that gets no further is stuck on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum Stuck {
    /// No host can take a new task.
    NoHost {
        /// The task.
        task: TaskId,
    },
    /// A new task's attempts keep ending.
    CrashLoop {
        /// The task.
        task: TaskId,
        /// So many short attempts in a row.
        failures: u32,
    },
    /// A new task is not healthy.
    NotHealthy {
        /// The task.
        task: TaskId,
    },
    /// Tasks of the version before cannot be stopped yet: the stop budget, a freeze, or a host that cannot be seen.
    Stops,
}

/// What a measurement gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measured", rename_all = "snake_case")]
pub enum Measured {
    /// A number.
    Value {
        /// The number; never infinite, never "not a number".
        value: f64,
    },
    /// Nothing that could be judged.
    Nothing {
        /// Why.
        fault: MeasureFault,
    },
}

/// Why a measurement gave nothing that could be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum MeasureFault {
    /// The control plane was not told where Prometheus is.
    NotConfigured,
    /// It did not answer in time, or not at all.
    Unreachable {
        /// What went wrong.
        message: String,
    },
    /// It refused the query.
    Refused {
        /// What it said.
        message: String,
    },
    /// There is no data.
    NoData,
    /// The answer is not one number.
    NotOneNumber {
        /// What it is.
        message: String,
    },
    /// The hosts of the new tasks cannot be seen.
    Unseen,
}

/// What follows from a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is within its bounds.
    Passed,
    /// It is not.
    Failed,
    /// Nothing can be said: the canary neither goes on nor back on its account.
    Inconclusive,
}

impl Verdict {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// Why a canary whose tasks are settled stays at its step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum StepHold {
    /// The step's pause is not over.
    Pause {
        /// It is then.
        until: Timestamp,
    },
    /// Something has not been measured since the step's tasks settled, or not for too long.
    NotMeasured {
        /// What.
        name: String,
    },
    /// Something cannot be judged.
    Inconclusive {
        /// What.
        name: String,
        /// Why.
        fault: MeasureFault,
    },
    /// Something is not as it should be.
    Failing {
        /// What.
        name: String,
        /// What it is.
        value: f64,
        /// So many measurements failed in a row.
        failures: u32,
        /// With so many the rollout is aborted.
        limit: u32,
    },
    /// The job is frozen.
    Frozen,
}

/// What a person can tell a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RolloutWord {
    /// Go on: a canary to its next step, whatever its pause and its analysis say; red/black without the old tasks.
    Promote,
    /// Go back to the version before.
    Abort,
    /// Begin an aborted rollout again.
    Retry,
}

impl RolloutWord {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            RolloutWord::Promote => "promote",
            RolloutWord::Abort => "abort",
            RolloutWord::Retry => "retry",
        }
    }
}
