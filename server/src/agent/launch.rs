//! From a launch to the container to create, and how the agent's own containers are known.

use super::AgentConfig;
use super::markers::Marker;
use crate::runtime::{Container, CreateSpec, EngineInfo, PortSpec};
use muster_schemas::ids::{AttemptId, CellName, HostId};
use muster_schemas::wire::Launch;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The label with the cell.
pub const CELL_LABEL: &str = "muster.cell";
/// The label with the host's id: two agents may share an engine.
pub const HOST_LABEL: &str = "muster.host";
/// The label with the attempt.
pub const ATTEMPT_LABEL: &str = "muster.attempt";
/// The label with the task.
pub const TASK_LABEL: &str = "muster.task";

/// The name of an attempt's container. The engine has no two containers of one name: this, in the end, is what keeps an
/// attempt at one container.
pub fn container_name(attempt: AttemptId) -> String {
    format!("muster-{attempt}")
}

/// The attempt whose container this is: it bears this host's labels and the attempt's name.
pub fn attempt_of(container: &Container, cell: &CellName, host: HostId) -> Option<AttemptId> {
    let attempt = attempt_on_labels(container, cell, host)?;
    (container.name == container_name(attempt)).then_some(attempt)
}

/// The attempt whose container this is, also if somebody gave it another name: then its id is that of the container which was
/// started for the attempt. (Labels alone prove nothing: a container that was made from another's image has them, too.)
pub fn attempt_of_begun(
    container: &Container,
    cell: &CellName,
    host: HostId,
    markers: &BTreeMap<AttemptId, Arc<Marker>>,
) -> Option<AttemptId> {
    let attempt = attempt_on_labels(container, cell, host)?;
    let begun = markers
        .get(&attempt)
        .and_then(|marker| marker.container.as_deref());
    match begun {
        Some(begun) if begun == container.id => Some(attempt),
        Some(_) | None => (container.name == container_name(attempt)).then_some(attempt),
    }
}

fn attempt_on_labels(container: &Container, cell: &CellName, host: HostId) -> Option<AttemptId> {
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    let attempt: AttemptId = label(ATTEMPT_LABEL)?.parse().ok()?;
    let ours = label(CELL_LABEL) == Some(cell.as_str())
        && label(HOST_LABEL) == Some(host.to_string().as_str());
    ours.then_some(attempt)
}

/// The container to create for a launch.
pub fn create_spec(launch: &Launch, config: &AgentConfig, engine: &EngineInfo) -> CreateSpec {
    let task = launch.task.to_string();
    let host = config.host.to_string();
    let attempt = launch.attempt.to_string();
    let mut labels: BTreeMap<String, String> = launch
        .labels
        .iter()
        .map(|(key, value)| (format!("muster.label.{key}"), value.clone()))
        .chain(config.marks.clone())
        .collect();
    for (key, value) in [
        (CELL_LABEL, config.cell.as_str()),
        (HOST_LABEL, &host),
        (ATTEMPT_LABEL, &attempt),
        (TASK_LABEL, &task),
        ("muster.job", launch.job.as_str()),
        ("muster.version", &launch.version.to_string()),
        ("muster.app", &launch.app),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let mut env = launch.env.clone();
    for (key, value) in [
        ("MUSTER_CELL", config.cell.as_str()),
        ("MUSTER_JOB", launch.job.as_str()),
        ("MUSTER_TASK", &task),
        ("MUSTER_TASK_INDEX", &launch.task.index.to_string()),
        ("MUSTER_ATTEMPT", &attempt),
        ("MUSTER_HOST", &config.name),
        ("MUSTER_APP", &launch.app),
        // Always there, so that scripts need not ask whether it is.
        ("MUSTER_STACK", launch.stack.as_deref().unwrap_or_default()),
        (
            "MUSTER_DETAIL",
            launch.detail.as_deref().unwrap_or_default(),
        ),
    ] {
        env.insert(key.to_owned(), value.to_owned());
    }
    CreateSpec {
        name: container_name(launch.attempt),
        image: launch.image.clone(),
        entrypoint: launch.entrypoint.clone(),
        command: launch.command.clone(),
        env: env
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        labels,
        user: launch.user.clone(),
        cpu_millis: launch.resources.cpu.0,
        memory_bytes: launch.resources.memory.0,
        shm_bytes: launch.resources.shm.0,
        gpus: launch.resources.gpu,
        read_only_root: launch.read_only_root,
        capabilities: launch
            .capabilities
            .iter()
            .filter_map(|capability| {
                let name = serde_json::to_value(capability).ok()?;
                Some(name.as_str()?.to_owned())
            })
            .collect(),
        ports: launch
            .ports
            .iter()
            .map(|port| PortSpec {
                container: port.port,
                host: port.host_port,
            })
            .collect(),
        publish_address: publish_address(&config.address),
        stop_grace: Duration::from_millis(launch.kill_grace.0),
        init: engine.init,
    }
}

/// Where host ports are published: on the host's own address, so that a host that is known by its loopback address opens
/// nothing to the network. A name cannot be published on; then it is all addresses.
fn publish_address(address: &str) -> String {
    if address == "localhost" {
        return "127.0.0.1".to_owned();
    }
    match address.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => "127.0.0.1".to_owned(),
        Ok(ip) => ip.to_string(),
        Err(_) => "0.0.0.0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::{config, engine_info, launch};
    use crate::runtime::ContainerState;
    use muster_schemas::spec::{Capability, Port};

    #[test]
    fn labels_and_environment_say_what_it_is() {
        let mut launch = launch(7);
        launch.labels.insert("team".into(), "shop".into());
        launch.env.insert("LOG_LEVEL".into(), "info".into());
        // A job cannot write these; if one came by anyway, ours stand.
        launch.env.insert("MUSTER_CELL".into(), "elsewhere".into());
        launch.capabilities = vec![Capability::NetBindService];
        launch.ports = vec![Port {
            name: "http".into(),
            port: 8080,
            host_port: Some(18080),
        }];
        let spec = create_spec(&launch, &config(std::path::Path::new("/")), &engine_info());
        insta::assert_debug_snapshot!(spec, @r#"
        CreateSpec {
            name: "muster-00000000-0000-0000-0000-000000000007",
            image: "registry.example.com/shop/web@sha256:00",
            entrypoint: None,
            command: None,
            env: [
                "LOG_LEVEL=info",
                "MUSTER_APP=shop",
                "MUSTER_ATTEMPT=00000000-0000-0000-0000-000000000007",
                "MUSTER_CELL=test",
                "MUSTER_DETAIL=",
                "MUSTER_HOST=host-1",
                "MUSTER_JOB=web",
                "MUSTER_STACK=prod",
                "MUSTER_TASK=web.0",
                "MUSTER_TASK_INDEX=0",
            ],
            labels: {
                "muster.app": "shop",
                "muster.attempt": "00000000-0000-0000-0000-000000000007",
                "muster.cell": "test",
                "muster.host": "00000000-0000-0000-0000-000000000001",
                "muster.job": "web",
                "muster.label.team": "shop",
                "muster.task": "web.0",
                "muster.version": "3",
            },
            user: None,
            cpu_millis: 100,
            memory_bytes: 134217728,
            shm_bytes: 67108864,
            gpus: 0,
            read_only_root: true,
            capabilities: [
                "NET_BIND_SERVICE",
            ],
            ports: [
                PortSpec {
                    container: 8080,
                    host: Some(
                        18080,
                    ),
                },
            ],
            publish_address: "127.0.0.1",
            stop_grace: 10s,
            init: true,
        }
        "#);
    }

    #[test]
    fn ports_are_published_on_the_hosts_own_address() {
        for (address, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("::1", "127.0.0.1"),
            ("192.0.2.7", "192.0.2.7"),
            ("host-7.example.com", "0.0.0.0"),
        ] {
            assert_eq!(publish_address(address), expected);
        }
    }

    #[test]
    fn only_a_container_with_all_marks_is_ours() {
        let config = config(std::path::Path::new("/"));
        let launch = launch(7);
        let spec = create_spec(&launch, &config, &engine_info());
        let container = Container {
            id: "c".into(),
            name: spec.name,
            labels: spec.labels,
            state: ContainerState::Running,
            ip: None,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            oom: false,
            error: String::new(),
            hardening: None,
            settings: None,
        };
        let whose = |container: &Container| attempt_of(container, &config.cell, config.host);
        assert_eq!(whose(&container), Some(launch.attempt));
        let mut renamed = container.clone();
        renamed.name = "web".into();
        assert_eq!(whose(&renamed), None);
        // Unless it is the very container that was started.
        let begun = |id: &str| {
            let marker = Marker {
                container: Some(id.to_owned()),
                ..crate::agent::testing::marker(&launch, crate::agent::markers::Stage::Creating)
            };
            let markers = BTreeMap::from([(launch.attempt, Arc::new(marker))]);
            attempt_of_begun(&renamed, &config.cell, config.host, &markers)
        };
        assert_eq!(begun("c"), Some(launch.attempt));
        assert_eq!(begun("another"), None);
        for label in [CELL_LABEL, HOST_LABEL, ATTEMPT_LABEL] {
            let mut other = container.clone();
            other.labels.remove(label);
            assert_eq!(whose(&other), None, "{label}");
        }
    }
}
