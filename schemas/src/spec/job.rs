//! The `Job` kind: a service or a batch job.

use super::{
    Bytes, Constraints, CpuMillis, DisruptionBudget, Mbps, Millis, Probe, RetryPolicy, Rollout,
};
use crate::ids::JobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one job asks for. Exactly one of `service` and `batch` is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// The job's name, and its identity: renaming or moving the file changes nothing, changing the name makes another job.
    /// Lower-case letters, digits and hyphens, beginning with a letter; at most 63 characters.
    #[cfg_attr(feature = "describe", schemars(with = "String", regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"), example = &"shop-web"))]
    pub name: JobId,
    /// The application that the job belongs to. Without it: the job's name. Made of letters, digits, and `.`, `_`, `-` between
    /// them; at most 63 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"), example = &"shop"))]
    pub app: Option<String>,
    /// The stack, such as `prod` or `test`; made like `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"), example = &"prod"))]
    pub stack: Option<String>,
    /// What tells this job from others of the same application and stack; made like `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"), example = &"canary"))]
    pub detail: Option<String>,
    /// Whom to ask about the job: an e-mail address or a team's name.
    #[cfg_attr(feature = "describe", schemars(example = &"shop-team@example.com", length(min = 1, max = 254)))]
    pub owner: String,
    /// `critical` work is placed before `flex` work.
    #[serde(default)]
    pub tier: Tier,
    /// The capacity group that the job is counted in; made like `name`.
    #[serde(default = "default_capacity_group")]
    #[cfg_attr(feature = "describe", schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"), example = &"default"))]
    pub capacity_group: String,
    /// Free labels, at most 64. They are shown, can be filtered by, and stand on the containers as `muster.label.<key>`. A key
    /// is made of letters, digits, and `.`, `_`, `-`, `/` between them, and does not begin with `muster.`; a value is one line
    /// of at most 256 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "describe", schemars(example = BTreeMap::from([("team", "web")])))]
    pub labels: BTreeMap<String, String>,

    /// The image: `registry/name:tag` or `registry/name@sha256:…`. A tag is resolved to a digest when the plan is made, and
    /// stays on that digest until a commit changes this field.
    #[cfg_attr(feature = "describe", schemars(example = &"registry.example.com/shop/web:1.4.2"))]
    pub image: String,
    /// Replaces the image's entrypoint. Entrypoint and command have at most 16 KiB together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(length(min = 1), example = ["/bin/server"]))]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(length(min = 1), example = ["sh", "-c", "echo hello"]))]
    pub command: Option<Vec<String>>,
    /// Environment variables, at most 32 KiB in all. Numbers, `true` and `false` have to be put in quotes. `MUSTER_*` is set
    /// by Muster and cannot be written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "describe", schemars(example = BTreeMap::from([("LOG_LEVEL", "info")])))]
    pub env: BTreeMap<String, String>,
    /// What each task needs.
    #[serde(default)]
    pub resources: Resources,
    /// Ports that the container listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 64)))]
    pub ports: Vec<Port>,
    /// Tells whether a task can serve. Without it a running task counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// Tells whether a task still works. One that fails it is stopped and replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// What the container may do beyond the hardened defaults.
    #[serde(default, skip_serializing_if = "Security::is_default")]
    pub security: Security,
    /// Where tasks may and should run.
    #[serde(default, skip_serializing_if = "Constraints::is_empty")]
    pub constraints: Constraints,
    /// Time from the stop signal to the kill signal; at most 10 minutes.
    #[serde(default = "default_kill_grace")]
    pub kill_grace: Millis,
    /// Jobs that have to stand before a change of this one begins, at most 32: services with all tasks healthy on their current
    /// version, batch jobs with all tasks of their current run succeeded. New tasks of a new job, a rollout and a new run wait for
    /// that; what has begun goes on, and what dies is started again whatever becomes of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "describe", schemars(length(max = 32), with = "Vec<String>", example = ["db", "cache"]))]
    pub depends_on: Vec<JobId>,
    /// How much of the job automation may disturb at once, how fast, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,

    /// Makes the job a service: so many tasks that run until they are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Makes the job a batch job: so many tasks that each finish once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
}

fn default_capacity_group() -> String {
    "default".to_owned()
}

fn default_kill_grace() -> Millis {
    Millis::secs(10)
}

impl JobSpec {
    /// The application: `app`, or the job's name.
    pub fn app(&self) -> &str {
        self.app.as_deref().unwrap_or(self.name.as_str())
    }

    /// The retry policy of its kind.
    pub fn retry(&self) -> RetryPolicy {
        match (&self.service, &self.batch) {
            (Some(service), _) => service.retry.clone(),
            (None, Some(batch)) => batch.retry.clone(),
            (None, None) => RetryPolicy::default(),
        }
    }

    /// How many tasks it asks for.
    pub fn size(&self) -> u32 {
        match (&self.service, &self.batch) {
            (Some(service), _) => service.capacity.desired,
            (None, Some(batch)) => batch.size,
            (None, None) => 0,
        }
    }

    /// When it runs as a hook, if it is one.
    pub fn hook(&self) -> Option<Hook> {
        self.batch.as_ref()?.hook
    }

    /// `service` or `batch`.
    pub fn kind(&self) -> JobKind {
        if self.batch.is_some() {
            JobKind::Batch
        } else {
            JobKind::Service
        }
    }
}

/// Whether a job is a service or a batch job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Tasks run until they are replaced.
    Service,
    /// Tasks each finish once.
    Batch,
}

/// How much a job matters when there is not enough for all.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema, utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Placed first.
    Critical,
    /// Placed after critical work.
    #[default]
    Flex,
}

/// What each task of a job needs. A task is placed only where all of it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// CPUs, at least 0.01; fractions are allowed. Enforced as the container's CPU quota.
    #[serde(default = "Resources::default_cpu")]
    pub cpu: CpuMillis,
    /// Memory, at least 6MiB. A container that needs more is killed and says so (OOM).
    #[serde(default = "Resources::default_memory")]
    pub memory: Bytes,
    /// Disk for the container's own files and logs. Reserved on the host.
    #[serde(default = "Resources::default_disk")]
    pub disk: Bytes,
    /// Network bandwidth. Reserved on the host.
    #[serde(default)]
    pub network: Mbps,
    /// Whole GPUs.
    #[serde(default)]
    #[cfg_attr(feature = "describe", schemars(range(max = 16)))]
    pub gpu: u32,
    /// Size of `/dev/shm`, at least 64KiB; it counts against the memory and cannot be more, but for the default.
    #[serde(default = "Resources::default_shm")]
    pub shm: Bytes,
}

impl Resources {
    fn default_cpu() -> CpuMillis {
        CpuMillis(100)
    }
    fn default_memory() -> Bytes {
        Bytes::mib(128)
    }
    fn default_disk() -> Bytes {
        Bytes::mib(256)
    }
    fn default_shm() -> Bytes {
        Bytes::mib(64)
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu: Self::default_cpu(),
            memory: Self::default_memory(),
            disk: Self::default_disk(),
            network: Mbps(0),
            gpu: 0,
            shm: Self::default_shm(),
        }
    }
}

/// A port that the container listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// Its name, for probes and links.
    #[cfg_attr(feature = "describe", schemars(example = &"http", regex(pattern = r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$")))]
    pub name: String,
    /// Its number in the container.
    #[cfg_attr(feature = "describe", schemars(range(min = 1), example = 8080))]
    pub port: u16,
    /// Its number on the host, if it is to be reached from outside under the host's address. Two tasks that want the same
    /// one are never placed on one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(range(min = 1)))]
    pub host_port: Option<u16>,
}

/// What a container may do beyond the hardened defaults: no new privileges, no capabilities, a read-only root file system
/// with a small writable `/tmp`, seccomp, and bounds on processes, memory and CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Security {
    /// Whether the root file system is read-only.
    #[serde(default = "yes")]
    pub read_only_root: bool,
    /// The user and group that the container runs as, as `user` or `user:group`. Without it: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"1000:1000"))]
    pub user: Option<String>,
    /// Capabilities given back of those that are all dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
}

fn yes() -> bool {
    true
}

impl Default for Security {
    fn default() -> Self {
        Self {
            read_only_root: true,
            user: None,
            capabilities: Vec::new(),
        }
    }
}

impl Security {
    /// Whether nothing beyond the defaults is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The Linux capabilities that a job may ask for; none of them reaches beyond the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Change owners of files.
    Chown,
    /// Pass over file permissions.
    DacOverride,
    /// Pass over checks on a file's owner.
    Fowner,
    /// Signal any process of the container.
    Kill,
    /// Listen on ports below 1024.
    NetBindService,
    /// Change the group.
    Setgid,
    /// Change the user.
    Setuid,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// How many tasks.
    pub capacity: Capacity,
    /// How the next attempt follows one that ended by itself.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// How a change reaches the running tasks.
    #[serde(default)]
    pub rollout: Rollout,
}

/// How many tasks a service has: `min` ≤ `desired` ≤ `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// The least that `desired` may be.
    #[serde(default)]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000)))]
    pub min: u32,
    /// So many tasks run.
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000), example = 3))]
    pub desired: u32,
    /// The most that `desired` may be.
    #[serde(default = "Capacity::default_max")]
    #[cfg_attr(feature = "describe", schemars(range(max = 10_000)))]
    pub max: u32,
}

impl Capacity {
    /// The most tasks that one service can have, as in Titus.
    pub const LIMIT: u32 = 10_000;

    fn default_max() -> u32 {
        Self::LIMIT
    }
}

/// A batch job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// How many tasks; each finishes once.
    #[serde(default = "Batch::default_size")]
    #[cfg_attr(
        feature = "describe",
        schemars(range(min = 1, max = 1000), example = 20)
    )]
    pub size: u32,
    /// A finished batch job runs again when a commit changes this text. Any text will do: a date, a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"2026-11-23"))]
    pub run: Option<String>,
    /// Makes the job a hook, which runs by itself with each plan that changes what other jobs run, and at no other time.
    /// `beforeSync`: before the plan's changes take effect, and if it does not succeed, none of them does. `afterSync`: once the
    /// services that the plan changed are healthy on what it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
    /// An attempt that runs longer is stopped and has failed. It counts from the container's start; from 1 second to 10 days.
    #[serde(default = "Batch::default_runtime_limit")]
    pub runtime_limit: Millis,
    /// Whether an attempt that ran into `runtimeLimit` is retried.
    #[serde(default)]
    pub retry_on_runtime_limit: bool,
    /// How the next attempt follows one that failed.
    #[serde(default)]
    pub retry: RetryPolicy,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// Before the plan's changes take effect; if it does not succeed, none of them does.
    BeforeSync,
    /// Once the services that the plan changed are healthy on what it asks for.
    AfterSync,
}

impl Batch {
    /// How often a batch task is retried where the policy does not say.
    pub const DEFAULT_RETRIES: u32 = 3;
    /// The most tasks that one batch job can have, as in Titus.
    pub const LIMIT: u32 = 1000;

    fn default_size() -> u32 {
        1
    }
    /// Five days, as in Titus.
    fn default_runtime_limit() -> Millis {
        Millis::secs(5 * 86_400)
    }
}
