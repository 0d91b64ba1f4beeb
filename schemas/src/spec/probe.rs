//! Questions that the agent asks a container.

use super::Millis;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// A question asked of the container again and again: exactly one of `http`, `tcp` and `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// A GET that must answer with a status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A TCP connection that must be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// A command inside the container that must exit with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProbe>,
    /// Time from one probe to the next; from 100ms to 1h.
    #[serde(default = "Probe::default_interval")]
    pub interval: Millis,
    /// After this time an unanswered probe has failed; at most 5m.
    #[serde(default = "Probe::default_timeout")]
    pub timeout: Millis,
    /// Time after the container's start before the first probe; at most 1h.
    #[serde(default)]
    pub initial_delay: Millis,
    /// So many answers in a row turn it good.
    #[serde(default = "Probe::default_successes")]
    #[cfg_attr(feature = "describe", schemars(range(min = 1, max = 100)))]
    pub successes: u32,
    /// So many failures in a row turn it bad.
    #[serde(default = "Probe::default_failures")]
    #[cfg_attr(feature = "describe", schemars(range(min = 1, max = 100)))]
    pub failures: u32,
}

impl Probe {
    fn default_interval() -> Millis {
        Millis::secs(2)
    }
    fn default_timeout() -> Millis {
        Millis::secs(1)
    }
    fn default_successes() -> u32 {
        1
    }
    fn default_failures() -> u32 {
        3
    }
}

/// The target of an HTTP probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// The port: its name under `ports`, or its number.
    pub port: PortRef,
    /// The path, beginning with `/`.
    #[serde(default = "HttpProbe::default_path")]
    #[cfg_attr(feature = "describe", schemars(regex(pattern = r"^/\S*$"), example = &"/healthz"))]
    pub path: String,
}

impl HttpProbe {
    fn default_path() -> String {
        "/".to_owned()
    }
}

/// The target of a TCP probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpProbe {
    /// The port: its name under `ports`, or its number.
    pub port: PortRef,
}

/// The command of an exec probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecProbe {
    /// The program and its arguments; no shell is put around it.
    #[cfg_attr(feature = "describe", schemars(length(min = 1), example = ["/bin/check"]))]
    pub command: Vec<String>,
}

/// A port, by its name under `ports` or by its number in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PortRef {
    /// The port's number in the container.
    Number(u16),
    /// The port's name under `ports`.
    Name(String),
}

// By hand, for serde's own way with untagged enums forgets what was wrong.
impl<'de> Deserialize<'de> for PortRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrName;
        impl de::Visitor<'_> for NumberOrName {
            type Value = PortRef;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port's name or its number from 1 to 65535")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<PortRef, E> {
                u16::try_from(number)
                    .map(PortRef::Number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<PortRef, E> {
                Ok(PortRef::Name(name.to_owned()))
            }
        }
        deserializer.deserialize_any(NumberOrName)
    }
}

#[cfg(feature = "describe")]
impl schemars::JsonSchema for PortRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PortRef".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A port, by its name under `ports` or by its number in the container.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 65535 },
                { "type": "string", "pattern": "^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$" }
            ],
            "examples": ["http", 8080]
        })
    }
}
