//! What is really in force on a container: by the engine's inspection, and where the container's first process can be seen,
//! by the kernel's own account of it.

use crate::runtime::EngineInfo;
use bollard::models::ContainerInspectResponse;
use muster_schemas::state::Hardening;

/// Capabilities by their number in the kernel; only the first forty exist today.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What the machine itself can enforce.
#[derive(Debug, Clone, Default)]
pub(super) struct KernelFacts {
    pub apparmor: bool,
    pub user_namespaces: bool,
    pub seccomp: bool,
}

impl KernelFacts {
    pub(super) fn of(info: &EngineInfo) -> Self {
        Self {
            apparmor: info.apparmor,
            user_namespaces: info.user_namespaces,
            seccomp: info.seccomp.is_some(),
        }
    }
}

/// Whether the kernel runs AppArmor. The engine accepts AppArmor options silently where the kernel has none.
pub(super) fn kernel_has_apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with('Y'))
}

/// What is in force.
pub(super) fn read(inspected: &ContainerInspectResponse, kernel: &KernelFacts) -> Hardening {
    let host = inspected.host_config.clone().unwrap_or_default();
    let options = host.security_opt.unwrap_or_default();
    let privileged = host.privileged == Some(true);
    let option = |name: &str| {
        options.iter().find_map(|option| {
            let rest = option.strip_prefix(name)?;
            rest.strip_prefix('=').or_else(|| rest.strip_prefix(':'))
        })
    };
    let process = inspected
        .state
        .as_ref()
        .and_then(|state| state.pid)
        .filter(|pid| *pid > 0)
        .and_then(|pid| first_process(pid, inspected.id.as_deref().unwrap_or_default()));

    let asked_no_new_privileges = options.iter().any(|option| {
        option == "no-new-privileges"
            || option == "no-new-privileges=true"
            || option == "no-new-privileges:true"
    });
    let seccomp_asked = option("seccomp").unwrap_or("default");
    let seccomp = if !kernel.seccomp {
        "none"
    } else if privileged || seccomp_asked == "unconfined" {
        "unconfined"
    } else if process
        .as_ref()
        .is_some_and(|process| process.seccomp == Some(0))
    {
        // The engine says that there is a filter, the kernel says that there is none.
        "unconfined"
    } else if seccomp_asked == "default" {
        "default"
    } else {
        "custom"
    };
    let apparmor = if kernel.apparmor {
        match inspected.app_armor_profile.as_deref() {
            Some("") | None => "unconfined".to_owned(),
            Some(profile) => profile.to_owned(),
        }
    } else {
        "none".to_owned()
    };
    let listed_capabilities = || {
        let drops_all = host
            .cap_drop
            .iter()
            .flatten()
            .any(|capability| capability.eq_ignore_ascii_case("ALL"));
        let mut capabilities: Vec<String> = host
            .cap_add
            .iter()
            .flatten()
            .map(|capability| bare(capability))
            .collect();
        if !drops_all || privileged {
            capabilities.push(if privileged { "ALL" } else { "engine defaults" }.to_owned());
        }
        capabilities
    };
    let cpu_limit_millis = match (host.nano_cpus, host.cpu_quota, host.cpu_period) {
        (Some(nano), _, _) if nano > 0 => Some(nano / 1_000_000),
        (_, Some(quota), Some(period)) if quota > 0 && period > 0 => Some(quota * 1000 / period),
        _ => None,
    };
    Hardening {
        no_new_privileges: process
            .as_ref()
            .and_then(|process| process.no_new_privileges)
            .unwrap_or(asked_no_new_privileges),
        capabilities: process
            .and_then(|process| process.capabilities)
            .unwrap_or_else(listed_capabilities),
        read_only_root: host.readonly_rootfs.unwrap_or(false),
        seccomp: seccomp.to_owned(),
        apparmor,
        user_namespace: kernel.user_namespaces && host.userns_mode.as_deref() != Some("host"),
        pids_limit: host.pids_limit.filter(|limit| *limit > 0),
        memory_limit: host.memory.filter(|limit| *limit > 0),
        cpu_limit_millis,
        user: inspected
            .config
            .as_ref()
            .and_then(|config| config.user.clone())
            .unwrap_or_default(),
    }
}

fn bare(capability: &str) -> String {
    capability
        .strip_prefix("CAP_")
        .unwrap_or(capability)
        .to_owned()
}

/// The kernel's account of a process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    no_new_privileges: Option<bool>,
    seccomp: Option<u32>,
    /// The bounding set: what the process, or anything that it starts, can ever have.
    capabilities: Option<Vec<String>>,
}

/// Reads `/proc` of a container's first process, if it is really that: an agent in a container of its own, or on another
/// machine than the engine, sees other processes under the same number.
fn first_process(pid: i64, container: &str) -> Option<Process> {
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    if container.is_empty() || !cgroup.contains(container) {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(read_status(&status))
}

fn read_status(status: &str) -> Process {
    let field = |name: &str| {
        status.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key == name).then(|| value.trim())
        })
    };
    Process {
        no_new_privileges: field("NoNewPrivs").map(|value| value == "1"),
        seccomp: field("Seccomp").and_then(|value| value.parse().ok()),
        capabilities: field("CapBnd")
            .and_then(|value| u64::from_str_radix(value, 16).ok())
            .map(|bits| {
                (0..64)
                    .filter(|number| bits & (1 << number) != 0)
                    .map(|number| {
                        CAPABILITIES.get(number).map_or_else(
                            || format!("capability {number}"),
                            |name| (*name).to_owned(),
                        )
                    })
                    .collect()
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerConfig, HostConfig};

    #[test]
    fn the_kernels_account_is_read() {
        let process =
            read_status("Name:\tweb\nNoNewPrivs:\t1\nSeccomp:\t2\nCapBnd:\t0000000000000401\n");
        assert_eq!(
            process,
            Process {
                no_new_privileges: Some(true),
                seccomp: Some(2),
                capabilities: Some(vec!["CHOWN".into(), "NET_BIND_SERVICE".into()]),
            }
        );
    }

    #[test]
    fn what_was_asked_is_not_taken_for_what_is_in_force() {
        let inspected = ContainerInspectResponse {
            app_armor_profile: Some("docker-default".into()),
            config: Some(ContainerConfig {
                user: Some("1000".into()),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig {
                security_opt: Some(vec!["no-new-privileges".into()]),
                cap_drop: Some(vec!["ALL".into()]),
                cap_add: Some(vec!["CAP_CHOWN".into()]),
                nano_cpus: Some(250_000_000),
                ..HostConfig::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let bare_machine = read(&inspected, &KernelFacts::default());
        assert_eq!(bare_machine.apparmor, "none");
        assert_eq!(bare_machine.seccomp, "none");
        assert!(!bare_machine.user_namespace);
        assert!(bare_machine.no_new_privileges);
        assert_eq!(bare_machine.capabilities, ["CHOWN"]);
        assert_eq!(bare_machine.cpu_limit_millis, Some(250));

        let full = KernelFacts {
            apparmor: true,
            user_namespaces: true,
            seccomp: true,
        };
        let other = read(&inspected, &full);
        assert_eq!(other.apparmor, "docker-default");
        assert_eq!(other.seccomp, "default");
        assert!(other.user_namespace);
    }

    #[test]
    fn a_privileged_container_is_told() {
        let inspected = ContainerInspectResponse {
            host_config: Some(HostConfig {
                privileged: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let facts = KernelFacts {
            seccomp: true,
            ..KernelFacts::default()
        };
        let found = read(&inspected, &facts);
        assert_eq!(found.seccomp, "unconfined");
        assert_eq!(found.capabilities, ["ALL"]);
        assert!(!found.no_new_privileges);
    }
}
