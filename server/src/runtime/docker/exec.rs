//! Running a command in a container.

use super::{DockerEngine, QUESTION_LIMIT, told};
use crate::runtime::{ExecEnd, RuntimeError};
use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures::StreamExt;

/// What is kept of a command's output: enough for a message.
const OUTPUT_LIMIT_BYTES: usize = 1024;

/// The caller bounds the time. A command that hangs keeps running in the container: engines have no way to end it.
pub(super) async fn exec(
    engine: &DockerEngine,
    container: &str,
    command: &[String],
) -> Result<ExecEnd, RuntimeError> {
    let config = ExecConfig {
        cmd: Some(command.to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let id = engine
        .ask("exec", QUESTION_LIMIT, async |client: Docker| {
            client.create_exec(container, config).await
        })
        .await?
        .id;
    let started = engine
        .ask("exec", QUESTION_LIMIT, async |client: Docker| {
            client.start_exec(&id, None).await
        })
        .await?;
    let mut output: Vec<u8> = Vec::new();
    match started {
        StartExecResults::Attached { output: lines, .. } => {
            let mut lines = lines;
            while let Some(chunk) = lines.next().await {
                let chunk = chunk.map_err(|error| told("exec", error))?.into_bytes();
                let room = OUTPUT_LIMIT_BYTES.saturating_sub(output.len());
                output.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
        }
        StartExecResults::Detached => {}
    }
    let code = engine
        .ask("exec", QUESTION_LIMIT, async |client: Docker| {
            client.inspect_exec(&id).await
        })
        .await?
        .exit_code
        .ok_or_else(|| RuntimeError::Failed {
            operation: "exec",
            message: "the command ended without an exit code".to_owned(),
        })?;
    Ok(ExecEnd {
        code,
        output: String::from_utf8_lossy(&output).trim().to_owned(),
    })
}
