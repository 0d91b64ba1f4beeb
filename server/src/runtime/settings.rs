//! What of a container can be changed while it exists, by whoever may use the engine, and how it stands.

use muster_schemas::drift::DriftField;
use muster_schemas::spec::{Bytes, CpuMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The engine's weight of a container when CPUs are short, where nobody set one.
pub const DEFAULT_CPU_SHARES: i64 = 1024;

/// How a container's settings stand. Bounds are 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// The bound on CPU, in thousandths.
    pub cpu_millis: i64,
    /// The CPUs that it may run on, as the engine writes them; empty for all.
    pub cpuset: String,
    /// Its weight when CPUs are short.
    pub cpu_shares: i64,
    /// The bound on memory, in bytes.
    pub memory_bytes: i64,
    /// The bound on memory and swap together, in bytes; negative for no bound on swap.
    pub memory_swap_bytes: i64,
    /// The bound on processes.
    pub pids: i64,
    /// When the engine starts it again by itself: `no`, `always`, `unless-stopped`, or `on-failure` with a number of times.
    pub restart: String,
    /// Whether it is paused.
    pub paused: bool,
    /// The networks that it is connected to.
    pub networks: BTreeSet<String>,
}

impl Settings {
    /// The fields in which these differ from `found`, with both in words.
    pub fn differences(&self, found: &Settings) -> Vec<(DriftField, String, String)> {
        let fields = [
            DriftField::Cpu,
            DriftField::Cpuset,
            DriftField::CpuShares,
            DriftField::Memory,
            DriftField::MemorySwap,
            DriftField::Pids,
            DriftField::RestartPolicy,
            DriftField::Paused,
            DriftField::Name,
            DriftField::Networks,
        ];
        fields
            .into_iter()
            .filter_map(|field| {
                let (wanted, is) = (self.word(field), found.word(field));
                (wanted != is).then_some((field, wanted, is))
            })
            .collect()
    }

    /// A field in words. Words are equal where the settings are.
    fn word(&self, field: DriftField) -> String {
        let bytes = |bytes: i64| match u64::try_from(bytes) {
            Ok(0) | Err(_) => "without bound".to_owned(),
            Ok(bytes) => Bytes(bytes).to_string(),
        };
        match field {
            DriftField::Cpu => match u32::try_from(self.cpu_millis) {
                Ok(0) | Err(_) => "without bound".to_owned(),
                Ok(millis) => format!("{} CPUs", CpuMillis(millis)),
            },
            DriftField::Cpuset if self.cpuset.is_empty() => "all CPUs".to_owned(),
            DriftField::Cpuset => format!("CPUs {}", self.cpuset),
            DriftField::CpuShares => self.cpu_shares.to_string(),
            DriftField::Memory => bytes(self.memory_bytes),
            DriftField::MemorySwap => bytes(self.memory_swap_bytes),
            DriftField::Pids if self.pids <= 0 => "without bound".to_owned(),
            DriftField::Pids => self.pids.to_string(),
            DriftField::RestartPolicy => self.restart.clone(),
            DriftField::Paused if self.paused => "paused".to_owned(),
            DriftField::Paused => "running".to_owned(),
            DriftField::Name => self.name.clone(),
            DriftField::Networks => {
                let names: Vec<&str> = self.networks.iter().map(String::as_str).collect();
                match names.is_empty() {
                    true => "none".to_owned(),
                    false => names.join(", "),
                }
            }
            // The size of a service is no container's.
            DriftField::Desired => String::new(),
        }
    }
}

#[cfg(test)]
pub(crate) fn settings(name: &str) -> Settings {
    Settings {
        name: name.to_owned(),
        cpu_millis: 100,
        cpuset: String::new(),
        cpu_shares: DEFAULT_CPU_SHARES,
        memory_bytes: 128 << 20,
        memory_swap_bytes: 128 << 20,
        pids: 512,
        restart: "no".to_owned(),
        paused: false,
        networks: BTreeSet::from(["bridge".to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_that_can_be_changed_is_told_in_words() {
        let wanted = settings("muster-7");
        assert_eq!(wanted.differences(&wanted.clone()), []);
        let found = Settings {
            name: "web".to_owned(),
            cpu_millis: 2000,
            cpuset: "0".to_owned(),
            cpu_shares: 2,
            memory_bytes: 256 << 20,
            memory_swap_bytes: -1,
            pids: 0,
            restart: "always".to_owned(),
            paused: true,
            networks: BTreeSet::new(),
        };
        let told: Vec<String> = wanted
            .differences(&found)
            .into_iter()
            .map(|(field, wanted, found)| format!("{field}: {found}, not {wanted}"))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        container.cpu: 2 CPUs, not 0.1 CPUs
        container.cpuset: CPUs 0, not all CPUs
        container.cpuShares: 2, not 1024
        container.memory: 256MiB, not 128MiB
        container.memorySwap: without bound, not 128MiB
        container.pids: without bound, not 512
        container.restartPolicy: always, not no
        container.paused: paused, not running
        container.name: web, not muster-7
        container.networks: none, not bridge
        ");
        // All that an agent can tell of a container is told here.
        assert_eq!(told.len(), DriftField::ALL.len() - 1);
    }
}
