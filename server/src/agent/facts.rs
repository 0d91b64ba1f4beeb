//! What the agent says about its host.

use super::AgentConfig;
use crate::runtime::EngineInfo;
use muster_schemas::spec::{Bytes, CpuMillis};
use muster_schemas::state::{HostFacts, HostResources};
use std::path::Path;

/// Kept back of the disk: the engine and the system write there too, and a full disk hurts every container.
const DISK_KEPT_PERCENT: u64 = 10;
/// With less than this free the disk is as good as full, and nothing new is to be put on the host.
const DISK_FULL_PERCENT: u64 = 3;

/// The disk under the engine's folder, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// In all.
    pub total: u64,
    /// Free.
    pub free: u64,
}

impl Disk {
    /// Of the file system with this folder; none if it cannot be seen from here.
    pub fn of(folder: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

/// The facts. `engine` is what the engine last said, `shared` whether containers of another host of the cell run on it; `trouble` is why
/// nothing can be begun on the host now.
pub fn facts(
    config: &AgentConfig,
    engine: Option<&EngineInfo>,
    disk: Option<Disk>,
    shared: bool,
    trouble: Option<&str>,
) -> HostFacts {
    let machine_cpu = engine.map_or(0, |engine| engine.cpus.saturating_mul(1000));
    let machine_memory = engine.map_or(0, |engine| engine.memory_bytes);
    let machine_disk = disk.map_or(0, |disk| disk.total - disk.total / 100 * DISK_KEPT_PERCENT);
    let resources = HostResources {
        cpu: config
            .sell_cpu
            .unwrap_or(CpuMillis(machine_cpu.saturating_sub(config.reserve_cpu.0))),
        memory: config.sell_memory.unwrap_or(Bytes(
            machine_memory.saturating_sub(config.reserve_memory.0),
        )),
        disk: config.sell_disk.unwrap_or(Bytes(machine_disk)),
        network: config.network,
        gpu: config.gpus,
        containers: config.max_containers,
    };
    let full = disk.is_some_and(|disk| disk.free < disk.total / 100 * DISK_FULL_PERCENT);
    let root = engine.map_or("", |engine| engine.root_dir.as_str());
    let not_ready = match (trouble, engine, full) {
        (Some(why), _, _) => Some(why.to_owned()),
        (None, None, _) => Some("the engine has not answered yet".to_owned()),
        (None, Some(_), true) => Some(format!(
            "the disk under {root} is full: less than {DISK_FULL_PERCENT} % is free"
        )),
        (None, Some(_), false) => None,
    };
    HostFacts {
        name: config.name.clone(),
        address: config.address.clone(),
        zone: config.zone.clone(),
        labels: config.labels.clone(),
        resources,
        engine: engine.map_or_else(|| "unknown".to_owned(), |engine| engine.engine.clone()),
        system: engine.map_or_else(|| "unknown".to_owned(), |engine| engine.system.clone()),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        warnings: engine.map_or_else(Vec::new, |engine| warnings(config, engine, disk, shared)),
        not_ready,
    }
}

fn warnings(
    config: &AgentConfig,
    engine: &EngineInfo,
    disk: Option<Disk>,
    shared: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if shared {
        warnings.push(format!(
            "containers of another host of cell `{}` run on this engine, and its CPU and memory are counted twice: give each stack on one \
             machine a cell of its own; what a host left that is gone can be removed by `docker rm`",
            config.cell
        ));
    }
    if !engine.live_restore {
        warnings.push(
            "live-restore is off: containers end when the engine restarts; set \"live-restore\": true in daemon.json"
                .to_owned(),
        );
    }
    if engine.seccomp.is_none() {
        warnings.push("the engine has no seccomp: system calls are not filtered".to_owned());
    }
    if !engine.apparmor {
        warnings.push("the kernel runs no AppArmor: containers have no profile".to_owned());
    }
    if !engine.user_namespaces {
        warnings.push(
            "user namespaces are off: root in a container is root on the host, without its capabilities"
                .to_owned(),
        );
    }
    if !engine.init {
        warnings.push(
            "the engine has no docker-init: orphaned processes in containers are not reaped"
                .to_owned(),
        );
    }
    for bound in &engine.unenforced {
        warnings.push(format!("the engine cannot bound {bound} on this kernel"));
    }
    match disk {
        None if config.sell_disk.is_none() => warnings.push(format!(
            "the disk under {} cannot be seen, so none is sold; set it by --disk",
            engine.root_dir
        )),
        Some(disk) if disk.free < disk.total / 100 * DISK_KEPT_PERCENT => {
            warnings.push(format!("the disk under {} is nearly full", engine.root_dir))
        }
        None | Some(_) => {}
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::{config, engine_info};

    #[test]
    fn what_is_kept_back_is_not_sold() {
        let mut config = config(Path::new("/"));
        config.sell_disk = None;
        config.reserve_cpu = CpuMillis(500);
        config.reserve_memory = Bytes::mib(1024);
        let disk = Disk {
            total: 1000,
            free: 500,
        };
        let engine = engine_info();
        let told = facts(&config, Some(&engine), Some(disk), false, None);
        assert_eq!(told.resources.cpu, CpuMillis(3500));
        assert_eq!(told.resources.memory, Bytes::mib(7 * 1024));
        assert_eq!(told.resources.disk, Bytes(900));
        assert_eq!(told.not_ready, None);
        assert_eq!(told.warnings, Vec::<String>::new());

        config.sell_cpu = Some(CpuMillis(16_000));
        let told = facts(&config, Some(&engine), Some(disk), false, None);
        assert_eq!(told.resources.cpu, CpuMillis(16_000));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut config = config(Path::new("/"));
        config.sell_disk = None;
        let mut engine = engine_info();
        engine.live_restore = false;
        engine.seccomp = None;
        engine.apparmor = false;
        engine.user_namespaces = false;
        engine.init = false;
        engine.unenforced = vec!["swap".into()];
        let full = Disk {
            total: 1000,
            free: 10,
        };
        let mut lines = facts(&config, Some(&engine), None, true, None).warnings;
        let told = facts(&config, Some(&engine), Some(full), false, None);
        lines.extend(told.warnings.last().cloned());
        lines.extend(told.not_ready);
        lines.extend(facts(&config, None, None, false, None).not_ready);
        lines.extend(
            facts(
                &config,
                Some(&engine),
                None,
                false,
                Some("its disk is gone"),
            )
            .not_ready,
        );
        insta::assert_snapshot!(lines.join("\n"), @r#"
        containers of another host of cell `test` run on this engine, and its CPU and memory are counted twice: give each stack on one machine a cell of its own; what a host left that is gone can be removed by `docker rm`
        live-restore is off: containers end when the engine restarts; set "live-restore": true in daemon.json
        the engine has no seccomp: system calls are not filtered
        the kernel runs no AppArmor: containers have no profile
        user namespaces are off: root in a container is root on the host, without its capabilities
        the engine has no docker-init: orphaned processes in containers are not reaped
        the engine cannot bound swap on this kernel
        the disk under / cannot be seen, so none is sold; set it by --disk
        the disk under / is nearly full
        the disk under / is full: less than 3 % is free
        the engine has not answered yet
        its disk is gone
        "#);
    }
}
