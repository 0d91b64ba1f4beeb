//! Listing and inspecting containers.

use super::hardening::{self, KernelFacts};
use super::{DockerEngine, QUESTION_LIMIT, settings};
use crate::runtime::{Container, ContainerState, EngineInfo, Listed, RuntimeError};
use bollard::Docker;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status,
    ContainerSummaryStateEnum as Summary,
};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use jiff::Timestamp;
use std::collections::HashMap;

pub(super) async fn list(
    engine: &DockerEngine,
    labels: &[(&str, &str)],
) -> Result<Vec<Listed>, RuntimeError> {
    let wanted = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), wanted)])),
        ..ListContainersOptions::default()
    };
    let listed = engine
        .ask("list", QUESTION_LIMIT, async |client: Docker| {
            client.list_containers(Some(options)).await
        })
        .await?;
    Ok(listed
        .into_iter()
        .filter_map(|container| {
            Some(Listed {
                id: container.id?,
                name: plain_name(
                    container
                        .names
                        .unwrap_or_default()
                        .first()
                        .map_or("", |n| n),
                ),
                labels: container.labels.unwrap_or_default().into_iter().collect(),
                paused: container.state == Some(Summary::PAUSED),
                networks: container
                    .network_settings
                    .and_then(|settings| settings.networks)
                    .map(|networks| networks.into_keys().collect())
                    .unwrap_or_default(),
                state: match container.state {
                    Some(Summary::CREATED) => ContainerState::Created,
                    Some(Summary::EXITED | Summary::DEAD | Summary::REMOVING) => {
                        ContainerState::Exited
                    }
                    // What is not known to have ended counts as running: that is the side on which nothing is removed.
                    Some(
                        Summary::RUNNING
                        | Summary::PAUSED
                        | Summary::RESTARTING
                        | Summary::STOPPING
                        | Summary::EMPTY,
                    )
                    | None => ContainerState::Running,
                },
            })
        })
        .collect())
}

pub(super) async fn inspect(
    engine: &DockerEngine,
    container: &str,
) -> Result<Option<Container>, RuntimeError> {
    let info = engine.connection("inspect").await?.info;
    let inspected = engine
        .ask("inspect", QUESTION_LIMIT, async |client: Docker| {
            client
                .inspect_container(container, None::<InspectContainerOptions>)
                .await
        })
        .await;
    match inspected {
        Ok(inspected) => Ok(Some(read(inspected, &info))),
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(inspected: ContainerInspectResponse, info: &EngineInfo) -> Container {
    let hardening = hardening::read(&inspected, &KernelFacts::of(info));
    let settings = settings::read(&inspected, info);
    let state = inspected.state.unwrap_or_default();
    let ip = inspected
        .network_settings
        .and_then(|settings| settings.networks)
        .and_then(|networks| {
            // Somebody may have connected it to others: the one that it was created on comes first, and else the order is fixed.
            let mut networks: Vec<_> = networks.into_iter().collect();
            networks.sort_by(|(a, _), (b, _)| (a != "bridge", a).cmp(&(b != "bridge", b)));
            networks
                .into_iter()
                .filter_map(|(_, network)| network.ip_address)
                .find(|ip| !ip.is_empty())
        });
    Container {
        id: inspected.id.unwrap_or_default(),
        name: plain_name(&inspected.name.unwrap_or_default()),
        labels: inspected
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        state: match state.status {
            Some(Status::CREATED) => ContainerState::Created,
            Some(Status::EXITED | Status::DEAD | Status::REMOVING) => ContainerState::Exited,
            Some(
                Status::RUNNING
                | Status::PAUSED
                | Status::RESTARTING
                | Status::STOPPING
                | Status::EMPTY,
            )
            | None => ContainerState::Running,
        },
        ip,
        started_at: time(state.started_at.as_deref()),
        finished_at: time(state.finished_at.as_deref()),
        exit_code: state
            .exit_code
            .and_then(|code| i32::try_from(code).ok())
            .unwrap_or(0),
        oom: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        hardening: Some(hardening),
        settings: Some(settings),
    }
}

/// The engine writes names with a slash in front.
pub(super) fn plain_name(name: &str) -> String {
    name.strip_prefix('/').unwrap_or(name).to_owned()
}

/// The engine writes the year 1 for `never`.
fn time(text: Option<&str>) -> Option<Timestamp> {
    let at: Timestamp = text?.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}
