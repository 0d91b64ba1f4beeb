//! The engine's events, as hints that something is worth a look.

use super::{DockerEngine, told};
use crate::runtime::{ContainerEvent, RuntimeError};
use bollard::query_parameters::EventsOptions;
use futures::stream::{BoxStream, StreamExt};
use std::collections::HashMap;

/// What changes a container's state or settings. (Networks tell their own events, without its labels; listings show those.)
/// (Commands that probes run make events too, which nobody needs.)
const ACTIONS: [&str; 9] = [
    "create", "start", "die", "oom", "destroy", "pause", "unpause", "rename", "update",
];

pub(super) fn events(
    engine: DockerEngine,
    label: String,
) -> BoxStream<'static, Result<ContainerEvent, RuntimeError>> {
    let options = EventsOptions {
        filters: Some(HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![label]),
            (
                "event".to_owned(),
                ACTIONS.iter().map(|action| (*action).to_owned()).collect(),
            ),
        ])),
        ..EventsOptions::default()
    };
    futures::stream::once(async move {
        match engine.connection("events").await {
            Ok(connection) => connection
                .client
                .events(Some(options))
                .filter_map(async |event| match event {
                    Ok(event) => Some(Ok(ContainerEvent {
                        container: event.actor?.id?,
                        oom: event.action.as_deref() == Some("oom"),
                    })),
                    Err(error) => Some(Err(told("events", error))),
                })
                .boxed(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    })
    .flatten()
    .boxed()
}
