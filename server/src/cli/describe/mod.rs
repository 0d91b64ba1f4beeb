//! `muster describe`: all there is to know of one thing, for a person who wants to understand it.

mod deploy;
mod host;
mod job;
mod plan;
mod sheet;
mod task;

pub(super) use plan::sheet as plan_sheet;
pub(super) use sheet::Sheet;

use crate::cli::client::{Client, Query};
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, print, print_json};
use clap::{Args, Subcommand};
use muster_schemas::api::EventView;
use serde_json::Value;
use std::process::ExitCode;

/// So many of the latest events stand below a description.
const EVENTS: usize = 10;
/// A plan's id is a SHA-256 in hexadecimal digits.
const PLAN_ID_DIGITS: usize = 64;

#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A job: its spec's state, rollout, tasks, history
    Job {
        /// Its name
        name: String,
    },
    /// A task: where it runs, why it is in its state, its attempts
    Task {
        /// Its id, such as web.0
        name: String,
    },
    /// A host: what it has, what is taken, what is wrong
    Host {
        /// Its name or id
        name: String,
    },
    /// A plan: what changes, what is refused, why it is held
    Plan {
        /// Its id, or the beginning of it
        name: String,
    },
    /// A deploy: what was asked for, how far it is, its commits
    Deploy {
        /// Its id
        name: String,
    },
}

pub(super) async fn run(
    args: DescribeArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let now = client.now();
    let none = Query::new();
    let text = match args.what {
        What::Job { name } => {
            let raw: Value = client.get(&["jobs", &name], &none).await?;
            if screen.is_json() {
                return json(&raw);
            }
            let of_job = vec![("job", name)];
            let tasks = client.list(&["tasks"], &of_job, 1000).await?;
            let events = latest(client, of_job).await?;
            job::sheet(
                &serde_json::from_value(raw)?,
                &tasks.typed()?,
                &events,
                now,
                screen,
            )
        }
        What::Task { name } => {
            let raw: Value = client.get(&["tasks", &name], &none).await?;
            if screen.is_json() {
                return json(&raw);
            }
            let events = latest(client, vec![("task", name)]).await?;
            task::sheet(&serde_json::from_value(raw)?, &events, now, screen)
        }
        What::Host { name } => {
            let raw: Value = client.get(&["hosts", &name], &none).await?;
            if screen.is_json() {
                return json(&raw);
            }
            let host: muster_schemas::api::HostView = serde_json::from_value(raw)?;
            let tasks = client
                .list(&["tasks"], &vec![("host", host.name.clone())], 1000)
                .await?;
            let events = latest(client, vec![("host", host.id.clone())]).await?;
            host::sheet(&host, &tasks.typed()?, &events, now, screen)
        }
        What::Plan { name } => {
            let id = plan_id(client, name).await?;
            let raw: Value = client.get(&["plans", &id], &none).await?;
            if screen.is_json() {
                return json(&raw);
            }
            plan::sheet(&serde_json::from_value(raw)?, now, screen)
        }
        What::Deploy { name } => {
            let raw: Value = client.get(&["deploys", &name], &none).await?;
            if screen.is_json() {
                return json(&raw);
            }
            deploy::sheet(&serde_json::from_value(raw)?, now, screen)
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Lists show the first digits of a plan's id; those are enough here too.
async fn plan_id(client: &Client, name: String) -> anyhow::Result<String> {
    if name.len() >= PLAN_ID_DIGITS {
        return Ok(name);
    }
    let listed = client
        .list(&["plans"], &vec![("q", name.clone())], 1000)
        .await?;
    let plans: Vec<muster_schemas::api::PlanView> = listed.typed()?;
    let mut ids = plans
        .into_iter()
        .map(|plan| plan.id)
        .filter(|id| id.starts_with(&name));
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Failure::no(
            format!("several plans begin with `{name}`"),
            "Write more of its id: `muster get plans -o wide` shows all of it.",
        )
        .into()),
        // An old plan is known by its whole id only; the API says what there is to say.
        (None, _) => Ok(name),
    }
}

fn json(raw: &Value) -> anyhow::Result<ExitCode> {
    print_json(raw)?;
    Ok(ExitCode::SUCCESS)
}

async fn latest(client: &Client, query: Query) -> anyhow::Result<Vec<EventView>> {
    let listed = client.list(&["events"], &query, EVENTS).await?;
    let mut events: Vec<EventView> = listed.typed()?;
    events.sort_by_key(|event| event.seq);
    Ok(events)
}

#[cfg(test)]
mod tests;
