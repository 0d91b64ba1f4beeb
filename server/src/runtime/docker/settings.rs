//! Reading a container's settings, and putting them back while it runs.

use super::{DEED_LIMIT, DockerEngine, inspect};
use crate::runtime::settings::{DEFAULT_CPU_SHARES, Settings};
use crate::runtime::{EngineInfo, RuntimeError};
use bollard::Docker;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, ContainerUpdateBody,
    NetworkConnectRequest, NetworkDisconnectRequest, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::RenameContainerOptions;
use muster_schemas::drift::DriftField;

/// The settings by an inspection.
pub(super) fn read(inspected: &ContainerInspectResponse, info: &EngineInfo) -> Settings {
    let host = inspected.host_config.clone().unwrap_or_default();
    let cpu_millis = match (host.nano_cpus, host.cpu_quota, host.cpu_period) {
        (Some(nano), _, _) if nano > 0 => nano / 1_000_000,
        // Without a period the engine takes 100 ms.
        (_, Some(quota), period) if quota > 0 => {
            quota * 1000 / period.filter(|period| *period > 0).unwrap_or(100_000)
        }
        _ => 0,
    };
    let cpuset = host.cpuset_cpus.unwrap_or_default();
    let paused = inspected
        .state
        .as_ref()
        .is_some_and(|state| state.status == Some(Status::PAUSED) || state.paused == Some(true));
    let networks = inspected
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref())
        .map(|networks| networks.keys().cloned().collect())
        .unwrap_or_default();
    Settings {
        name: inspect::plain_name(inspected.name.as_deref().unwrap_or_default()),
        cpu_millis,
        // Being put back writes all of them out: engines cannot take a set away.
        cpuset: if cpuset == every_cpu(info.cpus) {
            String::new()
        } else {
            cpuset
        },
        cpu_shares: host
            .cpu_shares
            .filter(|shares| *shares > 0)
            .unwrap_or(DEFAULT_CPU_SHARES),
        memory_bytes: host.memory.unwrap_or(0),
        memory_swap_bytes: host.memory_swap.unwrap_or(0),
        pids: host.pids_limit.filter(|limit| *limit > 0).unwrap_or(0),
        restart: restart_word(host.restart_policy.as_ref()),
        paused,
        networks,
    }
}

fn every_cpu(cpus: u32) -> String {
    match cpus {
        0 | 1 => "0".to_owned(),
        cpus => format!("0-{}", cpus - 1),
    }
}

fn restart_word(policy: Option<&RestartPolicy>) -> String {
    let times = policy.and_then(|policy| policy.maximum_retry_count);
    match policy.and_then(|policy| policy.name) {
        None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO) => "no".to_owned(),
        Some(RestartPolicyNameEnum::ALWAYS) => "always".to_owned(),
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => "unless-stopped".to_owned(),
        Some(RestartPolicyNameEnum::ON_FAILURE) => match times {
            Some(times) if times > 0 => format!("on-failure, {times} times"),
            Some(_) | None => "on-failure".to_owned(),
        },
    }
}

/// Makes `fields` of a container as `wanted` says, without stopping it.
pub(super) async fn put_back(
    engine: &DockerEngine,
    container: &str,
    wanted: &Settings,
    fields: &[DriftField],
) -> Result<(), RuntimeError> {
    let cpus = engine.connection("put back").await?.info.cpus;
    if let Some(body) = update_of(wanted, fields, cpus) {
        engine
            .ask("update", DEED_LIMIT, async |client: Docker| {
                client.update_container(container, body).await
            })
            .await?;
    }
    if fields.contains(&DriftField::Networks) {
        networks(engine, container, wanted).await?;
    }
    if fields.contains(&DriftField::Name) {
        let options = RenameContainerOptions {
            name: wanted.name.clone(),
        };
        engine
            .ask("rename", DEED_LIMIT, async |client: Docker| {
                client.rename_container(container, options).await
            })
            .await?;
    }
    if fields.contains(&DriftField::Paused) {
        let answer = engine
            .ask("unpause", DEED_LIMIT, async |client: Docker| {
                client.unpause_container(container).await
            })
            .await;
        match answer {
            // Somebody was quicker. (Old engines call this a failure.)
            Err(RuntimeError::Conflict { .. }) => {}
            Err(RuntimeError::Failed { message, .. }) if message.contains("is not paused") => {}
            other => other?,
        }
    }
    Ok(())
}

/// What to ask for in one update; none where nothing of it is to be put back.
fn update_of(wanted: &Settings, fields: &[DriftField], cpus: u32) -> Option<ContainerUpdateBody> {
    let mut body = ContainerUpdateBody::default();
    let mut anything = false;
    for field in fields {
        match field {
            DriftField::Cpu => body.nano_cpus = Some(wanted.cpu_millis * 1_000_000),
            DriftField::Cpuset if wanted.cpuset.is_empty() => {
                body.cpuset_cpus = Some(every_cpu(cpus));
            }
            DriftField::Cpuset => body.cpuset_cpus = Some(wanted.cpuset.clone()),
            DriftField::CpuShares => body.cpu_shares = Some(wanted.cpu_shares),
            // The one must never be above the other, so both go together.
            DriftField::Memory | DriftField::MemorySwap => {
                body.memory = Some(wanted.memory_bytes);
                body.memory_swap = Some(wanted.memory_swap_bytes);
            }
            DriftField::Pids => {
                body.pids_limit = Some(if wanted.pids > 0 { wanted.pids } else { -1 });
            }
            DriftField::RestartPolicy => {
                body.restart_policy = Some(RestartPolicy {
                    // Muster creates containers with this one and no other.
                    name: Some(RestartPolicyNameEnum::NO),
                    maximum_retry_count: None,
                });
            }
            DriftField::Paused | DriftField::Name | DriftField::Networks | DriftField::Desired => {
                continue;
            }
        }
        anything = true;
    }
    anything.then_some(body)
}

async fn networks(
    engine: &DockerEngine,
    container: &str,
    wanted: &Settings,
) -> Result<(), RuntimeError> {
    let found = inspect::inspect(engine, container)
        .await?
        .and_then(|container| container.settings)
        .map(|settings| settings.networks)
        .unwrap_or_default();
    // First what is missing: so it is never without any.
    for network in wanted.networks.difference(&found) {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: None,
        };
        engine
            .ask("connect", DEED_LIMIT, async |client: Docker| {
                client.connect_network(network, request).await
            })
            .await?;
    }
    for network in found.difference(&wanted.networks) {
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(false),
        };
        engine
            .ask("disconnect", DEED_LIMIT, async |client: Docker| {
                client.disconnect_network(network, request).await
            })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::settings::settings;

    #[test]
    fn one_update_holds_what_is_to_be_put_back_and_nothing_else() {
        let wanted = settings("muster-7");
        let all = update_of(&wanted, &DriftField::ALL, 4).expect("there is something");
        insta::assert_json_snapshot!(serde_json::to_value(&all).unwrap(), @r#"
        {
          "CpuShares": 1024,
          "CpusetCpus": "0-3",
          "Memory": 134217728,
          "MemorySwap": 134217728,
          "NanoCpus": 100000000,
          "PidsLimit": 512,
          "RestartPolicy": {
            "Name": "no"
          }
        }
        "#);
        let one = update_of(&wanted, &[DriftField::Pids], 4).expect("there is something");
        assert_eq!(one.pids_limit, Some(512));
        assert_eq!(one.memory, None);
        let elsewhere = [DriftField::Paused, DriftField::Name, DriftField::Networks];
        assert_eq!(update_of(&wanted, &elsewhere, 4), None);
    }

    #[test]
    fn settings_are_read_with_the_engines_ways_of_saying_nothing() {
        let bare = read(
            &ContainerInspectResponse::default(),
            &EngineInfo {
                cpus: 2,
                ..crate::agent::testing::engine_info()
            },
        );
        assert_eq!(bare.cpu_shares, DEFAULT_CPU_SHARES);
        assert_eq!(bare.restart, "no");
        let mut inspected = ContainerInspectResponse::default();
        let host = inspected.host_config.get_or_insert_default();
        host.cpuset_cpus = Some("0-1".to_owned());
        host.cpu_quota = Some(50_000);
        host.pids_limit = Some(-1);
        let info = EngineInfo {
            cpus: 2,
            ..crate::agent::testing::engine_info()
        };
        let found = read(&inspected, &info);
        // All of two CPUs are as good as none named.
        assert_eq!(found.cpuset, "");
        assert_eq!(found.cpu_millis, 500);
        assert_eq!(found.pids, 0);
    }
}
