//! Docker, through `bollard` over its Unix socket. It asks the engine for its API version and speaks that one.

mod create;
mod events;
mod exec;
mod forgotten;
mod hardening;
mod info;
mod inspect;
mod logs;
mod pull;
mod settings;
mod stats;

use super::{
    Container, ContainerEvent, Counters, CreateSpec, EngineInfo, ExecEnd, Listed, LocalImage,
    LogChunk, LogsFrom, PullProgress, Runtime, RuntimeError, Settings,
};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptions, StartContainerOptions, StopContainerOptions,
};
use futures::stream::BoxStream;
use muster_schemas::drift::DriftField;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// Questions are answered in milliseconds; an engine that takes this long is as good as away.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);
/// Creating and starting waits for disks and for the engine's own locks under load.
const DEED_LIMIT: Duration = Duration::from_secs(120);
/// What stopping may take beyond the grace that was asked for.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// A Docker engine. It need not be there yet: each call connects anew if the last one failed.
#[derive(Clone)]
pub struct DockerEngine {
    socket: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

#[derive(Clone)]
struct Connection {
    client: Docker,
    /// What the engine said when it was connected to: enough to read inspections by.
    info: Arc<EngineInfo>,
}

impl DockerEngine {
    /// The engine behind a socket: a path, or a `unix://` URL.
    pub fn new(socket: &str) -> Self {
        let path = socket.strip_prefix("unix://").unwrap_or(socket);
        Self {
            socket: PathBuf::from(path),
            connection: Arc::new(Mutex::new(None)),
        }
    }

    /// A connection that speaks the engine's API version.
    async fn connection(&self, operation: &'static str) -> Result<Connection, RuntimeError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = &*slot {
            return Ok(connection.clone());
        }
        let connect = async {
            let client = Docker::connect_with_unix(
                &self.socket.to_string_lossy(),
                DEED_LIMIT.as_secs(),
                bollard::API_DEFAULT_VERSION,
            )?
            .negotiate_version()
            .await?;
            let info = Arc::new(info::read(&client).await?);
            Ok(Connection { client, info })
        };
        let connection = tokio::time::timeout(QUESTION_LIMIT, connect)
            .await
            .map_err(|_| too_slow(operation, QUESTION_LIMIT))?
            .map_err(|error| told(operation, error))?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Asks within a time limit. An engine that does not answer is asked for its version again the next time, because what
    /// comes back may be another release.
    async fn ask<T, F>(
        &self,
        operation: &'static str,
        limit: Duration,
        question: impl FnOnce(Docker) -> F,
    ) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.connection(operation).await?.client;
        let answer = match tokio::time::timeout(limit, question(client)).await {
            Ok(answer) => answer.map_err(|error| told(operation, error)),
            Err(_) => Err(too_slow(operation, limit)),
        };
        if let Err(error) = &answer
            && error.is_unreachable()
        {
            *self.connection.lock().await = None;
        }
        answer
    }
}

fn too_slow(operation: &'static str, limit: Duration) -> RuntimeError {
    RuntimeError::Unreachable {
        operation,
        message: format!("no answer within {} s", limit.as_secs()),
    }
}

/// The engine's error in our words.
fn told(operation: &'static str, error: Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => {
            let message = message.trim().to_owned();
            match status_code {
                404 => RuntimeError::NotFound { operation, message },
                409 => RuntimeError::Conflict { operation, message },
                // Anything else that the engine blames on the request will be refused again.
                400..=499 => RuntimeError::Refused { operation, message },
                _ => RuntimeError::Failed { operation, message },
            }
        }
        Error::DockerStreamError { error } => RuntimeError::Failed {
            operation,
            message: error.trim().to_owned(),
        },
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => RuntimeError::Failed {
            operation,
            message: format!("its answer cannot be read: {error}"),
        },
        // All others are of the connection. (Not our enum: it grows with the library.)
        other => RuntimeError::Unreachable {
            operation,
            message: at_bottom(&other),
        },
    }
}

/// The error at the bottom of others, which says what matters (`Connection refused`); those above it name parts of libraries.
fn at_bottom(error: &dyn std::error::Error) -> String {
    let mut bottom = error;
    while let Some(inner) = bottom.source() {
        bottom = inner;
    }
    bottom.to_string()
}

impl Runtime for DockerEngine {
    async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Listed>, RuntimeError> {
        inspect::list(self, labels).await
    }

    async fn inspect(&self, container: &str) -> Result<Option<Container>, RuntimeError> {
        inspect::inspect(self, container).await
    }

    async fn has_image(&self, image: &str) -> Result<bool, RuntimeError> {
        Ok(pull::local_image(self, image).await?.is_some())
    }

    async fn local_image(&self, image: &str) -> Result<Option<LocalImage>, RuntimeError> {
        pull::local_image(self, image).await
    }

    async fn pull(
        &self,
        image: &str,
        progress: watch::Sender<PullProgress>,
    ) -> Result<(), RuntimeError> {
        pull::pull(self, image, progress).await
    }

    async fn create(&self, spec: &CreateSpec) -> Result<String, RuntimeError> {
        create::create(self, spec).await
    }

    async fn start(&self, container: &str) -> Result<(), RuntimeError> {
        self.ask("start", DEED_LIMIT, async |client: Docker| {
            client
                .start_container(container, None::<StartContainerOptions>)
                .await
        })
        .await
    }

    async fn stop(&self, container: &str, grace: Duration) -> Result<(), RuntimeError> {
        // The engine counts in whole seconds; rounding up never takes from the grace that was promised.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let options = StopContainerOptions {
            signal: None,
            t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
        };
        let limit = grace.saturating_add(STOP_MARGIN);
        self.ask("stop", limit, async |client: Docker| {
            client
                .with_timeout(limit)
                .stop_container(container, Some(options))
                .await
        })
        .await
    }

    async fn kill(&self, container: &str) -> Result<(), RuntimeError> {
        let options = KillContainerOptions {
            signal: "KILL".to_owned(),
        };
        let killed = self
            .ask("kill", DEED_LIMIT, async |client: Docker| {
                client.kill_container(container, Some(options)).await
            })
            .await;
        match killed {
            // It has ended meanwhile.
            Err(RuntimeError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    async fn put_back(
        &self,
        container: &str,
        wanted: &Settings,
        fields: &[DriftField],
    ) -> Result<(), RuntimeError> {
        settings::put_back(self, container, wanted, fields).await
    }

    async fn remove(&self, container: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptions {
            // Anonymous volumes of the image go with it; nothing else would ever remove them.
            v: true,
            // Never: this is what makes removing a running container impossible.
            force: false,
            link: false,
        };
        let removed = self
            .ask("remove", DEED_LIMIT, async |client: Docker| {
                client.remove_container(container, Some(options)).await
            })
            .await;
        match removed {
            Err(RuntimeError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    async fn end_forgotten(&self, container: &str) -> Result<usize, RuntimeError> {
        forgotten::end(container).await
    }

    fn logs(
        &self,
        container: &str,
        from: LogsFrom,
    ) -> BoxStream<'static, Result<LogChunk, RuntimeError>> {
        logs::logs(self.clone(), container.to_owned(), from)
    }

    async fn stats(&self, container: &str) -> Result<Counters, RuntimeError> {
        stats::stats(self, container).await
    }

    async fn exec(&self, container: &str, command: &[String]) -> Result<ExecEnd, RuntimeError> {
        exec::exec(self, container, command).await
    }

    fn events(
        &self,
        label: (&str, &str),
    ) -> BoxStream<'static, Result<ContainerEvent, RuntimeError>> {
        events::events(self.clone(), format!("{}={}", label.0, label.1))
    }

    async fn info(&self) -> Result<EngineInfo, RuntimeError> {
        self.ask("info", QUESTION_LIMIT, async |client: Docker| {
            info::read(&client).await
        })
        .await
    }
}
