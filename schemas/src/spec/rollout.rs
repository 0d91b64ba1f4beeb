//! How a change reaches the running tasks of a service.

use super::Millis;
use serde::{Deserialize, Serialize};

/// How a change reaches the running tasks of a service: index by index, or as `redBlack` or `canary` say, of which at most one
/// is written. Never are fewer than `desired − maxUnavailable` healthy on its account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// So many tasks more than `desired` may exist meanwhile. With `redBlack` it does not matter.
    #[serde(default = "Rollout::default_max_surge")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000)))]
    pub max_surge: u32,
    /// So many tasks fewer than `desired` may be healthy meanwhile. With `redBlack` it does not matter.
    #[serde(default)]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000)))]
    pub max_unavailable: u32,
    /// A new task counts once it has been healthy for so long.
    #[serde(default = "Rollout::default_min_healthy_time")]
    pub min_healthy_time: Millis,
    /// A rollout in which for so long no task has become healthy and none has given way is stalled: it is shown, and a deploy
    /// that waits for it has failed. It goes on when it can. A canary is aborted instead. Pauses, freezes and `minHealthyTime` do
    /// not count, and a job whose disruption budget has windows or a rate has no deadline. From 10 seconds to a day.
    #[serde(
        default = "Rollout::default_progress_deadline",
        skip_serializing_if = "Rollout::is_default_progress_deadline"
    )]
    pub progress_deadline: Millis,
    /// All new tasks are started beside the old ones, which give way together once all of the new are healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red_black: Option<RedBlack>,
    /// The change goes to a few tasks first, and to more of them step by step while the analysis finds nothing wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

impl Rollout {
    fn default_max_surge() -> u32 {
        1
    }
    fn default_min_healthy_time() -> Millis {
        Millis::secs(5)
    }
    /// As in Kubernetes: longer than any start of a task that still comes up by itself, pulls of large images apart, which
    /// count as progress.
    fn default_progress_deadline() -> Millis {
        Millis::secs(600)
    }
    fn is_default_progress_deadline(deadline: &Millis) -> bool {
        *deadline == Self::default_progress_deadline()
    }

    /// Which of the three it is.
    pub fn strategy(&self) -> Strategy<'_> {
        match (&self.red_black, &self.canary) {
            (Some(red_black), _) => Strategy::RedBlack(red_black),
            (None, Some(canary)) => Strategy::Canary(canary),
            (None, None) => Strategy::Rolling,
        }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: Self::default_max_surge(),
            max_unavailable: 0,
            min_healthy_time: Self::default_min_healthy_time(),
            progress_deadline: Self::default_progress_deadline(),
            red_black: None,
            canary: None,
        }
    }
}

/// The way that a rollout goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strategy<'a> {
    /// Task by task.
    Rolling,
    /// All new ones beside all old ones.
    RedBlack(&'a RedBlack),
    /// A few first.
    Canary(&'a Canary),
}

impl Strategy<'_> {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Strategy::Rolling => "rolling",
            Strategy::RedBlack(_) => "redBlack",
            Strategy::Canary(_) => "canary",
        }
    }
}

/// All new tasks beside the old ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedBlack {
    /// The old tasks are kept for so long after all new ones are healthy: a commit that goes back within this time has them
    /// again at once, the same containers. At most a day.
    #[serde(default = "RedBlack::default_keep_old")]
    pub keep_old: Millis,
}

impl RedBlack {
    /// Long enough to see that a change is wrong.
    fn default_keep_old() -> Millis {
        Millis::secs(600)
    }
}

impl Default for RedBlack {
    fn default() -> Self {
        Self {
            keep_old: Self::default_keep_old(),
        }
    }
}

/// A few tasks first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// How many tasks have the new version, one after another, at most 20 steps of which none has fewer than the one before. After the last all have it.
    #[cfg_attr(feature = "describe", schemars(length(min = 1, max = 20)))]
    pub steps: Vec<CanaryStep>,
    /// What is looked at before each further step, and what ends the rollout.
    #[serde(default)]
    pub analysis: Analysis,
}

impl Canary {
    /// Tasks that have the new version at a step, of `desired`; past the last step it is all.
    pub fn tasks_at(&self, step: u32, desired: u32) -> u32 {
        let step = usize::try_from(step).ok().and_then(|at| self.steps.get(at));
        step.map_or(desired, |step| step.tasks_of(desired))
    }
}

/// One step of a canary: exactly one of `tasks` and `percent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryStep {
    /// So many tasks, or all if there are not so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "describe",
        schemars(range(min = 1, max = 10_000), example = 1)
    )]
    pub tasks: Option<u32>,
    /// So many of a hundred, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "describe",
        schemars(range(min = 1, max = 100), example = 50)
    )]
    pub percent: Option<u32>,
    /// The step is held for so long after its tasks have been healthy for `minHealthyTime`; at most a day.
    #[serde(default = "CanaryStep::default_pause")]
    pub pause: Millis,
}

impl CanaryStep {
    fn default_pause() -> Millis {
        Millis(0)
    }

    /// How many tasks of `desired` it has; at least one, where there are any.
    pub fn tasks_of(&self, desired: u32) -> u32 {
        let tasks = match (self.tasks, self.percent) {
            (Some(tasks), _) => u64::from(tasks),
            (None, Some(percent)) => (u64::from(desired) * u64::from(percent)).div_ceil(100),
            (None, None) => u64::from(desired),
        };
        u32::try_from(tasks)
            .unwrap_or(u32::MAX)
            .clamp(desired.min(1), desired)
    }
}

/// What of a canary is looked at. A failure that it finds aborts the rollout: the new tasks give way to the version before, which
/// serves on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Analysis {
    /// New tasks may end by themselves, or be stopped by their liveness probe, so many times in all.
    #[serde(default = "Analysis::default_max_restarts")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000)))]
    pub max_restarts: u32,
    /// At least so many of a hundred new tasks are healthy while a step is held.
    #[serde(default = "Analysis::default_min_healthy_percent")]
    #[cfg_attr(feature = "describe", schemars(range(max = 100)))]
    pub min_healthy_percent: u32,
    /// Queries to Prometheus, at most 10. The control plane has to be told where it is (`muster serve --prometheus`); while a
    /// query has no answer, the canary stays at its step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 10)))]
    pub prometheus: Vec<PrometheusQuery>,
    /// The time from one measurement to the next; from 5 seconds to an hour.
    #[serde(default = "Analysis::default_interval")]
    pub interval: Millis,
    /// So many failed measurements of one kind in a row abort the rollout.
    #[serde(default = "Analysis::default_failure_limit")]
    #[cfg_attr(feature = "describe", schemars(range(min = 1, max = 100)))]
    pub failure_limit: u32,
}

impl Analysis {
    /// The measurement of `minHealthyPercent` has this name; queries have others.
    pub const HEALTHY: &'static str = "healthy";

    /// One is chance, two may be a bad moment: the third is the beginning of a crash loop.
    fn default_max_restarts() -> u32 {
        2
    }
    fn default_min_healthy_percent() -> u32 {
        100
    }
    fn default_interval() -> Millis {
        Millis::secs(30)
    }
    fn default_failure_limit() -> u32 {
        3
    }
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            max_restarts: Self::default_max_restarts(),
            min_healthy_percent: Self::default_min_healthy_percent(),
            prometheus: Vec::new(),
            interval: Self::default_interval(),
            failure_limit: Self::default_failure_limit(),
        }
    }
}

/// A query to Prometheus and what its answer may be: at least one of `max` and `min`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusQuery {
    /// What it is called in the console and the journal; made like a job's name, and not `healthy`.
    #[cfg_attr(feature = "describe", schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"), example = &"error-rate"))]
    pub name: String,
    /// The query, at most 4096 characters. Its answer has to be one number. `${job}` and `${version}` stand for the job's name
    /// and the number of the new version.
    #[cfg_attr(feature = "describe", schemars(example = &"sum(rate(http_errors{job=\"${job}\"}[1m]))"))]
    pub query: String,
    /// The number is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The number is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
}

impl PrometheusQuery {
    /// Whether a number is within the bounds.
    pub fn allows(&self, value: f64) -> bool {
        self.max.is_none_or(|max| value <= max) && self.min.is_none_or(|min| value >= min)
    }
}
