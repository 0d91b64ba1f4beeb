//! What automation may do unattended.

use super::{Access, Millis, Signatures, TimeOfDay};
use crate::drift::DriftField;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The repository's policy. A repository holds at most one; without one the safe defaults hold. Limits and rules of a revision
/// hold for the revisions after it: none can loosen what it is itself judged by.
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
    /// For so long a pruned job runs on before it is stopped, so that a commit that puts its document back keeps its
    /// containers; at most 30 days.
    #[serde(
        default = "PolicySpec::default_prune_grace",
        skip_serializing_if = "PolicySpec::is_default_prune_grace"
    )]
    pub prune_grace: Millis,
    /// How much automation may stop in the whole cell.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Further limits, on what may be stopped of one application, by its name. The cell's limits hold beside them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<String, ScopeLimits>,
    /// Further limits, on what may be stopped of a tier.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// How much of the hosts' CPU and memory plans leave free. A plan that asks for more is held until a person approves it.
    #[serde(default, skip_serializing_if = "Headroom::is_empty")]
    pub headroom: Headroom,
    /// What it takes to let a held plan through.
    #[serde(default, skip_serializing_if = "Approvals::is_default")]
    pub approvals: Approvals,
    /// When plans may go ahead by themselves, at most 64. A plan made at another time waits until it may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 64)))]
    pub windows: Vec<Window>,
    /// Which commits have to be signed, and by whom. Without it a signature is neither asked for nor looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// Who may do what besides reading, at most 1,000 entries. The token `admin` may do everything; every other token that is not here
    /// reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 1000)))]
    pub access: Vec<Access>,
    /// Whether what somebody changed beside git is put back. Without it, drift is only shown. Limits, pauses, names and networks
    /// are put back while the container runs; what cannot be is replaced, one task of a service at a time. A size that was set
    /// by `muster scale` ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub self_heal: bool,
    /// What may differ from git, at most 1,000 entries: it is neither shown as drift nor put back. So the `desired` of a job that
    /// something scales by its load is no drift, and stays through commits that change something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 1000)))]
    pub ignored_fields: Vec<IgnoredFields>,
    /// Freezes the cell, for the reason that stands here: no plan that changes a job goes ahead, and nothing automated stops a
    /// container. Commit it by itself; a commit without it ends the freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"we move the registry until noon", length(min = 1, max = 1000)))]
    pub freeze: Option<String>,
}

impl PolicySpec {
    fn default_prune_grace() -> Millis {
        Millis::secs(600)
    }

    fn is_default_prune_grace(grace: &Millis) -> bool {
        *grace == Self::default_prune_grace()
    }

    /// The policy that holds where there is none.
    pub fn built_in() -> Self {
        Self::named("built-in")
    }

    /// A policy that says nothing but its name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            prune: false,
            prune_grace: Self::default_prune_grace(),
            limits: Limits::default(),
            apps: BTreeMap::new(),
            tiers: Tiers::default(),
            headroom: Headroom::default(),
            approvals: Approvals::default(),
            windows: Vec::new(),
            signatures: None,
            access: Vec::new(),
            self_heal: false,
            ignored_fields: Vec::new(),
            freeze: None,
        }
    }
}

/// How many containers automation may stop. A bound has a count and a part of what runs; both have to be exceeded, so that
/// small fleets stay workable and large ones are not held to a handful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// A plan that would take away more is held until a person approves it.
    #[serde(default = "Limits::default_stops_per_plan")]
    pub stops_per_plan: Bound,
    /// What plans and `muster scale` took away in this time before a plan, without a person's approval, counts with what the plan
    /// takes away: so many small commits are judged as the one that they add up to. At most an hour; `0s` judges each by itself.
    #[serde(
        default = "Limits::default_plan_window",
        skip_serializing_if = "Limits::is_default_plan_window"
    )]
    #[cfg_attr(feature = "describe", schemars(example = &"10m"))]
    pub plan_window: Millis,
    /// Automated stops in any 60 seconds, whatever their reason. What is beyond it waits.
    #[serde(default = "Limits::default_stops_per_minute")]
    pub stops_per_minute: Bound,
}

impl Limits {
    /// Without a policy: a small fleet stays workable without a human for each change, and of a large one a fifth may go.
    pub const STOPS_PER_PLAN: Bound = Bound {
        count: 5,
        percent: 20,
    };
    /// Without a policy. At this pace a mistake takes a large fleet down in 20 minutes rather than in the one that Titus had,
    /// which leaves time to see it; and the rollout of a small service ends within minutes.
    pub const STOPS_PER_MINUTE: Bound = Bound {
        count: 20,
        percent: 5,
    };

    /// Without a policy. A person who removes things one by one takes longer; a script that runs wild does not.
    pub const PLAN_WINDOW: Millis = Millis::secs(600);
    /// What was taken away longer ago than this counts for nothing.
    pub const LONGEST_PLAN_WINDOW: Millis = Millis::secs(3600);

    fn default_plan_window() -> Millis {
        Self::PLAN_WINDOW
    }

    fn is_default_plan_window(window: &Millis) -> bool {
        *window == Self::PLAN_WINDOW
    }

    fn default_stops_per_plan() -> Bound {
        Self::STOPS_PER_PLAN
    }

    fn default_stops_per_minute() -> Bound {
        Self::STOPS_PER_MINUTE
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stops_per_plan: Self::STOPS_PER_PLAN,
            plan_window: Self::PLAN_WINDOW,
            stops_per_minute: Self::STOPS_PER_MINUTE,
        }
    }
}

/// Limits on a part of the cell. What is left out is not limited there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeLimits {
    /// A plan that would take away more of it is held until a person approves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops_per_plan: Option<Bound>,
    /// Automated stops in any 60 seconds of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops_per_minute: Option<Bound>,
}

/// So many containers, or this part of those that run if that is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bound {
    /// Containers.
    #[cfg_attr(feature = "describe", schemars(range(max = 100_000), example = 5))]
    pub count: u32,
    /// Hundredths of what runs.
    #[serde(default)]
    #[cfg_attr(feature = "describe", schemars(range(max = 100), example = 20))]
    pub percent: u32,
}

impl Bound {
    /// Whether so many of so many that run are beyond it.
    pub fn is_exceeded_by(self, stops: u32, running: u32) -> bool {
        stops > self.of(running)
    }

    /// So many it allows where so many run.
    pub fn of(self, running: u32) -> u32 {
        let part = u64::from(running) * u64::from(self.percent) / 100;
        self.count.max(u32::try_from(part).unwrap_or(u32::MAX))
    }
}

/// Limits by tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tiers {
    /// On critical work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<ScopeLimits>,
    /// On flexible work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex: Option<ScopeLimits>,
}

impl Tiers {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How much of the CPU and memory of all hosts jobs may ask for together. A plan that asks for less than what is asked for now is
/// never held for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Headroom {
    /// Hundredths of the hosts' CPU, and of their memory, that all jobs together leave free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(max = 100), example = 10))]
    pub percent: Option<u32>,
    /// The part of the hosts that the jobs of a capacity group may ask for, by the group's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, GroupShare>,
}

impl Headroom {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The part of the hosts that a capacity group may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupShare {
    /// Hundredths of the hosts' CPU, and of their memory, that its jobs may ask for at most.
    #[cfg_attr(feature = "describe", schemars(range(max = 100), example = 40))]
    pub at_most: u32,
}

/// What it takes to let a held plan through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approvals {
    /// So many different people have to approve it.
    #[serde(default = "Approvals::default_required")]
    #[cfg_attr(feature = "describe", schemars(range(min = 1, max = 10)))]
    pub required: u32,
    /// An approval counts for so long; from 1 minute to 30 days.
    #[serde(default = "Approvals::default_expire_after")]
    pub expire_after: Millis,
    /// Whether a plan that changes the policy is held until it is approved.
    #[serde(default)]
    pub for_policy: bool,
}

impl Approvals {
    fn default_required() -> u32 {
        1
    }

    fn default_expire_after() -> Millis {
        Millis::secs(3600)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            required: Self::default_required(),
            expire_after: Self::default_expire_after(),
            for_policy: false,
        }
    }
}

/// Fields that may differ from git, of one job, of the jobs of an app, or of every job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IgnoredFields {
    /// Of this job. Without a job and an app: of every job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"web"))]
    pub job: Option<String>,
    /// Of the jobs of this app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"shop"))]
    pub app: Option<String>,
    /// The fields.
    #[cfg_attr(feature = "describe", schemars(length(min = 1, max = 11)))]
    pub fields: Vec<DriftField>,
}

/// A recurring stretch of time in which plans go ahead by themselves, or do not. Where there are `allow` windows, plans go
/// ahead only within one of them; within a `deny` window none does, whatever allows it. An approval lets a plan through at
/// any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// What people call it, made like a job's name.
    #[cfg_attr(feature = "describe", schemars(example = &"weekend", regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")))]
    pub name: String,
    /// What plans may do within it.
    pub effect: WindowEffect,
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

impl Window {
    pub(super) fn default_time_zone() -> String {
        "UTC".to_owned()
    }
}

/// What plans may do within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WindowEffect {
    /// Plans go ahead by themselves.
    Allow,
    /// Plans wait.
    Deny,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// The day's word, as it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}
