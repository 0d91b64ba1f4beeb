//! Names of things. Each id is its own type, so that one cannot stand where another belongs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

text_id! {
    /// A job, by the `name` of its spec. It says nothing of the file that the spec stands in, so a job keeps its id
    /// (and its containers) when the file is renamed or moved.
    JobId
}
text_id! {
    /// A commit of the specs repository: 40 or 64 lower-case hexadecimal digits.
    CommitId
}
text_id! {
    /// A deploy, by the name that whoever asked for it chose.
    DeployId
}
text_id! {
    /// A plan, by the SHA-256 of its content: 64 lower-case hexadecimal digits.
    PlanId
}
text_id! {
    /// A cell: one control plane with its fleet.
    CellName
}
uuid_id! {
    /// One container launch for a task (UUIDv7, minted by the control plane).
    AttemptId
}
uuid_id! {
    /// A host (UUIDv7, minted when it enrols; its certificate carries it).
    HostId
}

/// One index of a job, written `job.index`, as in `web.0`. A task lives through many attempts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// The index in the job, from 0.
    pub index: u32,
}

impl TaskId {
    /// The task at `index` of `job`.
    pub fn new(job: JobId, index: u32) -> Self {
        Self { job, index }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.index)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a task id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotATaskId(pub String);

impl fmt::Display for NotATaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a task id; one looks like `web.0`: the job's name, a dot, the index",
            self.0
        )
    }
}

impl std::error::Error for NotATaskId {}

impl FromStr for TaskId {
    type Err = NotATaskId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (job, index) = text
            .rsplit_once('.')
            .ok_or_else(|| NotATaskId(text.to_owned()))?;
        let index = index.parse().map_err(|_| NotATaskId(text.to_owned()))?;
        if job.is_empty() {
            return Err(NotATaskId(text.to_owned()));
        }
        Ok(Self::new(JobId::from(job), index))
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
