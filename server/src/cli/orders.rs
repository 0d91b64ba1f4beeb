//! Commands that a person gives to the fleet: stop a task, let a host join.

use crate::cli::client::Client;
use crate::cli::env_file::quote;
use crate::cli::screen::{Screen, print, print_json};
use muster_schemas::api::{CommandAnswer, CommandRequest, EnrolmentToken};
use muster_schemas::ids::TaskId;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// The task, such as web.0
    task: TaskId,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn stop(
    args: StopArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let task = args.task.to_string();
    let body = CommandRequest {
        reason: args.reason,
    };
    let answer: CommandAnswer = client.post(&["tasks", &task, "stop"], &body, None).await?;
    if screen.is_json() {
        print_json(&answer)?;
    } else {
        print(&format!("{}\n", answer.message))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveHostArgs {
    /// The host's name or id
    host: String,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn remove_host(
    args: RemoveHostArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = CommandRequest {
        reason: args.reason,
    };
    let answer: CommandAnswer = client
        .post(&["hosts", &args.host, "remove"], &body, None)
        .await?;
    if screen.is_json() {
        print_json(&answer)?;
    } else {
        print(&format!("{}\n", answer.message))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command goes to standard output and the rest to standard error, so that it can be piped into ssh.
pub(super) async fn enrol_token(client: &Client, screen: &Screen) -> anyhow::Result<ExitCode> {
    let token: EnrolmentToken = client.post(&["enrolments"], &json!({}), None).await?;
    if screen.is_json() {
        print_json(&token)?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "Run this on the new host, once, before {}:",
        crate::cli::time::seconds(token.expires_at)
    );
    print(&format!(
        "muster agent --join {} {}\n",
        quote(&token.token),
        quote(&token.url)
    ))?;
    Ok(ExitCode::SUCCESS)
}
