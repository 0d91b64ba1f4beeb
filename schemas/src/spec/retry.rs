//! What happens after an attempt ends by itself.

use super::Millis;
use serde::{Deserialize, Serialize};

/// How the next attempt of a task follows one that ended. Exactly one of the three is written.
///
/// Starts that fail through no fault of the job (its host went, the image registry was away) use the same delays but are
/// not counted against `retries`.
///
/// A service whose attempts end soon after they began, three times in a row, is in a crash loop: from then on each delay is at least
/// one second, doubling up to five minutes whatever the policy; with `exponentialBackoff` up to its `max`. An attempt that
/// runs for a while ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RetryPolicy {
    /// At once.
    Immediate(ImmediateRetry),
    /// After the same delay each time.
    Delayed(DelayedRetry),
    /// After a delay that doubles from `initial` up to `max`.
    ExponentialBackoff(ExponentialBackoffRetry),
}

/// Retry at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImmediateRetry {
    /// How often at most. Without it: a service for ever, a batch task 3 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000), example = 3))]
    pub retries: Option<u32>,
}

/// Retry after a fixed delay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DelayedRetry {
    /// The delay before each retry.
    pub delay: Millis,
    /// How often at most. Without it: a service for ever, a batch task 3 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000), example = 3))]
    pub retries: Option<u32>,
}

/// Retry after a delay that doubles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExponentialBackoffRetry {
    /// The delay before the first retry.
    pub initial: Millis,
    /// The longest delay, in a crash loop, too.
    pub max: Millis,
    /// How often at most. Without it: a service for ever, a batch task 3 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000), example = 5))]
    pub retries: Option<u32>,
}

impl Default for RetryPolicy {
    /// One second, doubling up to five minutes.
    fn default() -> Self {
        RetryPolicy::ExponentialBackoff(ExponentialBackoffRetry {
            initial: Millis::secs(1),
            max: Millis::secs(300),
            retries: None,
        })
    }
}

impl RetryPolicy {
    /// The written bound on retries, if there is one.
    pub fn retries(&self) -> Option<u32> {
        match self {
            RetryPolicy::Immediate(policy) => policy.retries,
            RetryPolicy::Delayed(policy) => policy.retries,
            RetryPolicy::ExponentialBackoff(policy) => policy.retries,
        }
    }
}
