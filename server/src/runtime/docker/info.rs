//! What the engine and its machine are.

use super::hardening;
use crate::runtime::EngineInfo;
use bollard::Docker;
use bollard::errors::Error;

pub(super) async fn read(client: &Docker) -> Result<EngineInfo, Error> {
    let version = client.version().await?;
    let info = client.info().await?;
    let options = info.security_options.unwrap_or_default();
    let has = |name: &str| {
        options
            .iter()
            .any(|option| option.split(',').any(|part| part == format!("name={name}")))
    };
    let seccomp = options.iter().find_map(|option| {
        option.starts_with("name=seccomp").then(|| {
            option
                .split(',')
                .find_map(|part| part.strip_prefix("profile="))
                .unwrap_or("default")
                .to_owned()
        })
    });
    // What is missing here cannot be bounded by this engine on this kernel.
    let unenforced = [
        (info.memory_limit, "memory"),
        (info.swap_limit, "swap"),
        (info.cpu_cfs_quota, "CPU"),
        (info.pids_limit, "processes"),
    ]
    .into_iter()
    .filter(|(enforced, _)| *enforced != Some(true))
    .map(|(_, name)| name.to_owned())
    .collect();
    let text = |part: Option<String>| part.unwrap_or_else(|| "?".to_owned());
    Ok(EngineInfo {
        engine: format!(
            "docker {} (API {})",
            text(info.server_version),
            text(version.api_version)
        ),
        system: format!(
            "Linux {} · {} · {} · cgroup v{}",
            text(info.kernel_version),
            text(info.operating_system),
            text(info.architecture),
            info.cgroup_version
                .map_or_else(|| "1".to_owned(), |version| version.to_string())
        ),
        cpus: info
            .ncpu
            .and_then(|cpus| u32::try_from(cpus).ok())
            .unwrap_or(0),
        memory_bytes: info
            .mem_total
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0),
        root_dir: info.docker_root_dir.unwrap_or_default(),
        live_restore: info.live_restore_enabled.unwrap_or(false),
        seccomp,
        apparmor: has("apparmor") && hardening::kernel_has_apparmor(),
        user_namespaces: has("userns") || has("rootless"),
        // Engines write `N/A` where they did not find their init program.
        init: info
            .init_commit
            .and_then(|commit| commit.id)
            .is_none_or(|id| id != "N/A"),
        unenforced,
    })
}
