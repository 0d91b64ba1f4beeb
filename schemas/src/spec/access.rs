//! Who may do what in the cell.

use crate::access::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the bearer of a token may do besides reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// The token's name, as `muster token create` was given it.
    #[cfg_attr(feature = "describe", schemars(example = &"team-shop", length(min = 1, max = 64)))]
    pub who: String,
    /// Their part. An `owner` changes the jobs of `apps` and decides about plans that change nothing else; an `operator` changes every
    /// job, decides about every plan, freezes the cell and removes hosts; an `admin` lets hosts and people in, too, and takes the cell
    /// down; a `viewer` reads.
    pub role: Role,
    /// Of an `owner`: the apps, at most 256.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "describe", schemars(example = &["shop"], length(max = 256)))]
    pub apps: BTreeSet<String>,
}
