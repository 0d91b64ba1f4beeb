//! What automation may do unattended.

use serde::{Deserialize, Serialize};

/// The repository's policy. A repository holds at most one; without one the safe defaults hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// The policy's name, made like a job's.
    #[cfg_attr(feature = "describe", schemars(example = &"default", regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")))]
    pub name: String,
    /// Whether a job whose document is removed from the repository is stopped. Without it such a job runs on and is
    /// shown as undeclared.
    #[serde(default)]
    pub prune: bool,
}
