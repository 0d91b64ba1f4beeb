//! How much of a job automation may disturb, and when.

use super::{Day, Millis, TimeOfDay, Window};
use serde::{Deserialize, Serialize};

/// How much of a job anything automated may disturb at once, how fast, and when. Exactly one of `availabilityPercentageLimit`,
/// `unhealthyTasksLimit`, `relocationLimit` and `selfManaged` is written. What a person asks for by name is not held by it, nor
/// is what ends by itself or by its own `runtimeLimit`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisruptionBudget {
    /// At least so many hundredths of the tasks that the job asks for stay healthy, rounded up to whole tasks. With 100, a task
    /// is replaced only once another stands in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 100), example = 90))]
    pub availability_percentage_limit: Option<u32>,
    /// At most so many of the tasks that the job asks for are not healthy. What is unhealthy by itself counts, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000), example = 1))]
    pub unhealthy_tasks_limit: Option<u32>,
    /// Muster takes each healthy task away at most so often on its own account, counted anew when a rollout replaces it or a run
    /// begins. Meant for batch tasks, which lose their work each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000), example = 2))]
    pub relocation_limit: Option<u32>,
    /// Muster asks the owner first before it takes a healthy task away on its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_managed: Option<SelfManaged>,
    /// How many healthy tasks may be taken to be replaced within a stretch of time, rollouts included: `unlimited`, which holds
    /// without it, or one of the rates below.
    #[serde(default, skip_serializing_if = "DisruptionRate::is_unlimited")]
    pub rate: DisruptionRate,
    /// When healthy tasks may be taken to be replaced, rollouts included; at most 64. Without any: at all times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 64)))]
    pub windows: Vec<DisruptionWindow>,
}

impl DisruptionBudget {
    /// Whether it says when tasks may be taken, or how many in a time: then it sets the pace of a rollout.
    pub fn sets_pace(&self) -> bool {
        !self.windows.is_empty() || !self.rate.is_unlimited()
    }

    /// Of so many tasks that are wanted, so many have to stay healthy.
    pub fn floor(&self, wanted: u32) -> u32 {
        if let Some(percent) = self.availability_percentage_limit {
            let floor = (u64::from(wanted) * u64::from(percent.min(100))).div_ceil(100);
            u32::try_from(floor).unwrap_or(wanted)
        } else if let Some(unhealthy) = self.unhealthy_tasks_limit {
            wanted.saturating_sub(unhealthy)
        } else {
            0
        }
    }
}

/// The owner moves the job's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelfManaged {
    /// For so long the owner can stop a task that has to go (`muster stop`) when it suits; then Muster does it. From 1 second to
    /// 30 days.
    pub relocation_time: Millis,
}

/// How many healthy tasks may be taken within a stretch of time. Any stretch of that length counts, also across restarts of the
/// control plane; of a percentage at least one task may go. A count begins with the commit that writes the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum DisruptionRate {
    /// As many as the budget's limit lets go.
    #[default]
    Unlimited,
    /// So many hundredths of the tasks that the job asks for in any hour.
    PercentagePerHour(PercentagePerHour),
    /// So many tasks in any stretch of so long.
    PerInterval(PerInterval),
    /// So many hundredths of the tasks that the job asks for in any stretch of so long.
    PercentagePerInterval(PercentagePerInterval),
}

/// A part of a job in any hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PercentagePerHour {
    /// Hundredths of the tasks that the job asks for, rounded down, but at least one task.
    #[cfg_attr(
        feature = "describe",
        schemars(range(min = 1, max = 100), example = 20)
    )]
    pub percentage: u32,
}

/// So many tasks in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PerInterval {
    /// Tasks.
    #[cfg_attr(
        feature = "describe",
        schemars(range(min = 1, max = 10_000), example = 5)
    )]
    pub limit: u32,
    /// How long the stretch is; from 1 second to 7 days.
    pub interval: Millis,
}

/// A part of a job in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PercentagePerInterval {
    /// Hundredths of the tasks that the job asks for, rounded down, but at least one task.
    #[cfg_attr(
        feature = "describe",
        schemars(range(min = 1, max = 100), example = 10)
    )]
    pub percentage: u32,
    /// How long the stretch is; from 1 second to 7 days.
    pub interval: Millis,
}

impl DisruptionRate {
    /// The longest stretch of time that a rate can count over. What is longer ago is forgotten.
    pub const LONGEST: Millis = Millis::secs(7 * 86_400);

    /// Whether there is none.
    pub fn is_unlimited(&self) -> bool {
        *self == DisruptionRate::Unlimited
    }

    /// So many of so many tasks that are wanted may be taken within a stretch of so long; none where it is not limited.
    pub fn allowed(&self, wanted: u32) -> Option<(u32, Millis)> {
        let part = |percentage: u32| {
            let part = u64::from(wanted) * u64::from(percentage) / 100;
            // A part of a small job is less than a task, and then it could never change.
            u32::try_from(part).unwrap_or(wanted).max(1)
        };
        match self {
            DisruptionRate::Unlimited => None,
            DisruptionRate::PercentagePerHour(rate) => {
                Some((part(rate.percentage), Millis::secs(3600)))
            }
            DisruptionRate::PerInterval(rate) => Some((rate.limit, rate.interval)),
            DisruptionRate::PercentagePerInterval(rate) => {
                Some((part(rate.percentage), rate.interval))
            }
        }
    }
}

/// A recurring stretch of time in which healthy tasks may be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisruptionWindow {
    /// The days on which it begins. Without them: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 7)))]
    pub days: Vec<Day>,
    /// When it begins.
    pub from: TimeOfDay,
    /// When it ends: on the same day, or on the next one where that is not later than `from`.
    pub to: TimeOfDay,
    /// The time zone by which days and times are meant, by its IANA name.
    #[serde(default = "Window::default_time_zone")]
    #[cfg_attr(feature = "describe", schemars(example = &"Europe/Vienna"))]
    pub time_zone: String,
}
