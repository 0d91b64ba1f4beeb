//! Creating containers, hardened.

use super::{DEED_LIMIT, DockerEngine};
use crate::runtime::{CreateSpec, RuntimeError};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::CreateContainerOptions;
use std::collections::HashMap;

/// Enough for a busy service with a thread for each connection, and far from what a fork bomb needs to hurt the host.
const PIDS_LIMIT: i64 = 512;
/// `/tmp` of a container with a read-only root; it counts against the container's memory.
const TMP_OPTIONS: &str = "rw,noexec,nosuid,nodev,size=64m,mode=1777";
/// Logs stay readable and cannot fill the host's disk: 30 MB a container at most.
const LOG_MAX_SIZE: &str = "10m";
const LOG_MAX_FILES: &str = "3";
/// The engine refuses less than a hundredth of a CPU.
const LEAST_CPU_MILLIS: u32 = 10;

pub(super) async fn create(
    engine: &DockerEngine,
    spec: &CreateSpec,
) -> Result<String, RuntimeError> {
    let cpus = engine.connection("create").await?.info.cpus;
    let options = CreateContainerOptions {
        name: Some(spec.name.clone()),
        ..CreateContainerOptions::default()
    };
    let body = body(spec, cpus);
    let created = engine
        .ask("create", DEED_LIMIT, async |client: Docker| {
            client.create_container(Some(options), body).await
        })
        .await;
    match created {
        Ok(created) => Ok(created.id),
        // Nothing else that creating names can be missing.
        Err(RuntimeError::NotFound { message, .. }) => Err(RuntimeError::ImageMissing { message }),
        Err(error) => Err(error),
    }
}

fn body(spec: &CreateSpec, engine_cpus: u32) -> ContainerCreateBody {
    let exposed = spec
        .ports
        .iter()
        .map(|port| format!("{}/tcp", port.container))
        .collect();
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        env: Some(spec.env.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        user: spec.user.clone(),
        exposed_ports: Some(exposed),
        stop_timeout: i64::try_from(spec.stop_grace.as_secs()).ok(),
        // Muster's probes are the only ones: the image's own would cost CPU and tell nobody.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(host_config(spec, engine_cpus)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &CreateSpec, engine_cpus: u32) -> HostConfig {
    let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
    // The engine refuses a bound above what the machine has; there it would bound nothing anyway.
    let cpu_millis = spec
        .cpu_millis
        .clamp(LEAST_CPU_MILLIS, engine_cpus.max(1).saturating_mul(1000));
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &spec.ports {
        if let Some(host) = port.host {
            let binding = PortBinding {
                host_ip: Some(spec.publish_address.clone()),
                host_port: Some(host.to_string()),
            };
            bindings
                .entry(format!("{}/tcp", port.container))
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
    }
    let gpus = (spec.gpus > 0).then(|| {
        vec![DeviceRequest {
            count: Some(i64::from(spec.gpus)),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..DeviceRequest::default()
        }]
    });
    HostConfig {
        nano_cpus: Some(i64::from(cpu_millis) * 1_000_000),
        memory: Some(memory),
        // The same number as the memory: none in swap.
        memory_swap: Some(memory),
        pids_limit: Some(PIDS_LIMIT),
        shm_size: i64::try_from(spec.shm_bytes).ok().filter(|size| *size > 0),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: (!spec.capabilities.is_empty()).then(|| spec.capabilities.clone()),
        readonly_rootfs: Some(spec.read_only_root),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), TMP_OPTIONS.to_owned())])),
        privileged: Some(false),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_MAX_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_MAX_FILES.to_owned()),
            ])),
        }),
        // The control plane decides what follows an end; the engine never does.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        init: Some(spec.init),
        network_mode: Some("bridge".to_owned()),
        port_bindings: Some(bindings),
        device_requests: gpus,
        ..HostConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::PortSpec;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn the_request_is_hardened_and_bounded() {
        let spec = CreateSpec {
            name: "muster-0198".into(),
            image: "registry.example.com/shop/web@sha256:00".into(),
            entrypoint: None,
            command: Some(vec!["serve".into()]),
            env: vec!["A=1".into()],
            labels: BTreeMap::from([("muster.cell".into(), "test".into())]),
            user: None,
            cpu_millis: 5000,
            memory_bytes: 128 << 20,
            shm_bytes: 64 << 20,
            gpus: 1,
            read_only_root: true,
            capabilities: vec!["NET_BIND_SERVICE".into()],
            ports: vec![
                PortSpec {
                    container: 8080,
                    host: Some(18080),
                },
                PortSpec {
                    container: 9090,
                    host: None,
                },
            ],
            publish_address: "127.0.0.1".into(),
            stop_grace: Duration::from_secs(10),
            init: true,
        };
        // Through a value, so that maps are printed in order.
        let value = serde_json::to_value(body(&spec, 2)).unwrap();
        insta::assert_json_snapshot!(value, @r#"
        {
          "Cmd": [
            "serve"
          ],
          "Env": [
            "A=1"
          ],
          "ExposedPorts": {
            "8080/tcp": {},
            "9090/tcp": {}
          },
          "Healthcheck": {
            "Test": [
              "NONE"
            ]
          },
          "HostConfig": {
            "CapAdd": [
              "NET_BIND_SERVICE"
            ],
            "CapDrop": [
              "ALL"
            ],
            "DeviceRequests": [
              {
                "Capabilities": [
                  [
                    "gpu"
                  ]
                ],
                "Count": 1
              }
            ],
            "Init": true,
            "LogConfig": {
              "Config": {
                "max-file": "3",
                "max-size": "10m"
              },
              "Type": "json-file"
            },
            "Memory": 134217728,
            "MemorySwap": 134217728,
            "NanoCpus": 2000000000,
            "NetworkMode": "bridge",
            "PidsLimit": 512,
            "PortBindings": {
              "8080/tcp": [
                {
                  "HostIp": "127.0.0.1",
                  "HostPort": "18080"
                }
              ]
            },
            "Privileged": false,
            "ReadonlyRootfs": true,
            "RestartPolicy": {
              "Name": "no"
            },
            "SecurityOpt": [
              "no-new-privileges"
            ],
            "ShmSize": 67108864,
            "Tmpfs": {
              "/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"
            }
          },
          "Image": "registry.example.com/shop/web@sha256:00",
          "Labels": {
            "muster.cell": "test"
          },
          "StopTimeout": 10
        }
        "#);
    }
}
