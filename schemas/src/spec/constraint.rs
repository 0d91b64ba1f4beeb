//! Where tasks may and should run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Hard constraints are never broken; soft ones are preferred.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Constraints {
    /// What must hold: a task that no host satisfies stays queued and says why. A change of it replaces the tasks that run by a rollout.
    #[serde(default, skip_serializing_if = "ConstraintSet::is_empty")]
    pub hard: ConstraintSet,
    /// What should hold: hosts that satisfy more of it are chosen first. What runs stays where it is when it changes.
    #[serde(default, skip_serializing_if = "ConstraintSet::is_empty")]
    pub soft: ConstraintSet,
}

impl Constraints {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.hard.is_empty() && self.soft.is_empty()
    }
}

/// What can be asked of the host that a task is placed on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConstraintSet {
    /// No two tasks of this job on one host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique_host: bool,
    /// No task of any other job on the same host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclusive_host: bool,
    /// The job's tasks are spread evenly over zones: no zone has two more than another that could take one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zone_balance: bool,
    /// One of these zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(example = ["a", "b"]))]
    pub zones: Vec<String>,
    /// One of these hosts, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// All of these host labels, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host_labels: BTreeMap<String, String>,
}

impl ConstraintSet {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
