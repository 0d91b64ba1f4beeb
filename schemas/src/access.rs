//! Who may do what: roles, what somebody may do by them, and what an act takes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The name of the token that may do everything, whatever the policy says: the way back from a policy that shuts everybody out.
pub const ADMIN: &str = "admin";

/// The most characters of a token's name.
pub const MAX_NAME: usize = 64;

/// Whether a token can have this name: 1 to [`MAX_NAME`] letters, digits, `.`, `_`, `@` and `-`.
pub fn is_token_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._@-".contains(letter);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits)
}

/// A part in running the cell. Each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema, utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything and changes nothing.
    Viewer,
    /// Changes the jobs of some apps: stops, scales, deploys, freezes, tells rollouts, and decides about plans that change nothing
    /// else.
    Owner,
    /// Changes every job, decides about every plan, freezes the cell, removes hosts and takes those that are ahead.
    Operator,
    /// Lets hosts and people in, and takes the cell down.
    Admin,
}

impl Role {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
pub struct Rights {
    /// Their role.
    pub role: Role,
    /// Of an owner: the apps.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apps: BTreeSet<String>,
}

impl Rights {
    /// Reads everything and changes nothing.
    pub fn viewer() -> Self {
        Self {
            role: Role::Viewer,
            apps: BTreeSet::new(),
        }
    }

    /// May do everything.
    pub fn admin() -> Self {
        Self {
            role: Role::Admin,
            apps: BTreeSet::new(),
        }
    }

    /// Whether what an act takes is there.
    pub fn allow(&self, needs: &Needs) -> bool {
        match needs {
            Needs::Apps(apps) => match self.role {
                Role::Viewer => false,
                Role::Owner => apps.is_subset(&self.apps),
                Role::Operator | Role::Admin => true,
            },
            Needs::Role(role) => self.role >= *role,
        }
    }
}

/// Behind a name: `may change what is of app shop, web`.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Viewer => f.write_str("may read and nothing else"),
            Role::Owner => write!(f, "may change what is of app {}", listed(&self.apps)),
            Role::Operator => f.write_str("is an operator"),
            Role::Admin => f.write_str("is an admin"),
        }
    }
}

/// What an act takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// To own all of these apps.
    Apps(BTreeSet<String>),
    /// To have this role, or one that may do more.
    Role(Role),
}

impl Needs {
    /// To own one app.
    pub fn app(app: &str) -> Self {
        Self::Apps(BTreeSet::from([app.to_owned()]))
    }

    /// To decide about a plan that changes jobs of these apps: a policy is everybody's, jobs are their apps'.
    pub fn of_plan(policy_changes: bool, apps: BTreeSet<String>) -> Self {
        if policy_changes || apps.is_empty() {
            return Self::Role(Role::Operator);
        }
        Self::Apps(apps)
    }
}

/// In a sentence's middle: `it takes an owner of app web`.
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apps(apps) if apps.is_empty() => f.write_str("it takes an owner of an app"),
            Self::Apps(apps) => write!(f, "it takes an owner of app {}", listed(apps)),
            Self::Role(Role::Viewer) => f.write_str("it takes a viewer"),
            Self::Role(role) => write!(f, "it takes an {}", role.word()),
        }
    }
}

fn listed(apps: &BTreeSet<String>) -> String {
    let apps: Vec<String> = apps.iter().map(|app| format!("`{app}`")).collect();
    apps.join(", ")
}
