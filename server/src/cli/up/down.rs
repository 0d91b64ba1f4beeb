//! `muster down`: stops every container of the stack by stop orders, then the stack itself.

use super::lock::{self, Asked};
use super::settings::{Settings, StackArgs};
use super::stack::{Interrupted, Stack};
use crate::cli::client::{Client, Query};
use crate::cli::env_file;
use crate::cli::failure::Failure;
use crate::cli::parent;
use muster_schemas::api::{CommandAnswer, CommandRequest, FleetView, TaskView};
use muster_schemas::spec::Millis;
use muster_schemas::state::TaskState;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// `muster up` gives its children 10 seconds before it kills them.
const UP_ENDS_WITHIN: Duration = Duration::from_secs(20);
/// So many tasks that would not stop are named.
const NAMED: usize = 10;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DownArgs {
    #[command(flatten)]
    stack: StackArgs,
    /// Why; it stands in the journal
    #[arg(short, long, default_value = "muster down")]
    reason: String,
    /// How long to wait for the containers to end
    #[arg(long, default_value = "60s", value_name = "TIME")]
    timeout: Millis,
}

impl DownArgs {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.0)
    }
}

pub(in crate::cli) async fn run(args: DownArgs) -> anyhow::Result<ExitCode> {
    let settings = args.stack.resolve()?;
    if !settings.serve_home().join("journal.db").exists() {
        eprintln!("nothing was ever up in {}", settings.home.display());
        return Ok(ExitCode::SUCCESS);
    }
    match lock::take(&settings.home)? {
        Asked::Held(pid) => {
            let client = running(&settings)?;
            order(&client, &args.reason).await?;
            wait_till_stopped(&client, args.timeout()).await?;
            end_up(&settings, pid).await?;
        }
        Asked::Ours(_lock) => {
            settings.check_ports()?;
            eprintln!("no stack runs; one is started to stop what it left running");
            let mut stack = Stack::new(settings, parent::shutdown(false)?);
            let result = down_alone(&mut stack, &args.reason, args.timeout()).await;
            stack.end().await;
            match result {
                Ok(()) => {}
                Err(Interrupted::Told) => {
                    return Err(Failure::no("told to end before all was stopped", "").into());
                }
                Err(Interrupted::GaveUp(failure)) => return Err(failure.into()),
                Err(Interrupted::Failed(error)) => return Err(error),
            }
        }
    }
    eprintln!("Muster is down. `make up` brings the tasks back.");
    Ok(ExitCode::SUCCESS)
}

/// The order is durable before the agent connects, so nothing is started that would be stopped at once.
pub(super) async fn down_alone(
    stack: &mut Stack,
    reason: &str,
    timeout: Duration,
) -> Result<(), Interrupted> {
    let client = stack.start_serve().await?;
    order(&client, reason).await?;
    let fleet: FleetView = client
        .get(&["fleet"], &Query::new())
        .await
        .map_err(anyhow::Error::from)?;
    if living(&fleet) == 0 {
        return Ok(());
    }
    stack.start_agent(&client);
    stack.until(wait_till_stopped(&client, timeout)).await??;
    Ok(())
}

fn running(settings: &Settings) -> anyhow::Result<Client> {
    // A second home must not take down the first one's cell: this home's file alone says where.
    let path = settings.env_file();
    let values = env_file::read(&path).map_err(|error| {
        Failure::untried(
            format!(
                "a stack runs, but {} cannot be read: {error}",
                path.display()
            ),
            "It may be starting: try again in a moment.",
        )
    })?;
    let value = |name: &str| values.get(name).cloned().unwrap_or_default();
    Client::new(&value("MUSTER_URL"), Some(value("MUSTER_TOKEN")))
}

async fn order(client: &Client, reason: &str) -> anyhow::Result<()> {
    let fleet: FleetView = client.get(&["fleet"], &Query::new()).await?;
    if fleet.down {
        eprintln!("the cell is being taken down already");
        return Ok(());
    }
    let body = CommandRequest {
        reason: reason.to_owned(),
    };
    let answer: CommandAnswer = client.post(&["down"], &body, None).await?;
    eprintln!("{}", answer.message);
    Ok(())
}

/// Tasks that have a container, or may get one.
fn living(fleet: &FleetView) -> u64 {
    let with_container = [
        TaskState::Assigned,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Stopping,
    ];
    let count = |state: TaskState| fleet.tasks.get(state.word()).copied().unwrap_or(0);
    with_container.into_iter().map(count).sum()
}

async fn wait_till_stopped(client: &Client, timeout: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + timeout;
    let on_terminal = std::io::stderr().is_terminal();
    let mut shown = None;
    loop {
        let trouble = match client.get::<FleetView>(&["fleet"], &Query::new()).await {
            Ok(fleet) => {
                let left = living(&fleet);
                if shown != Some(left) {
                    progress(left, on_terminal);
                    shown = Some(left);
                }
                if left == 0 {
                    return Ok(());
                }
                None
            }
            // A control plane that died is started again.
            Err(error) => Some(error),
        };
        if Instant::now() > end {
            return Err(match trouble {
                Some(error) => error.into(),
                None => left_over(client, timeout).await.into(),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn progress(left: u64, on_terminal: bool) {
    let line = match left {
        0 => "no task runs any more".to_owned(),
        1 => "1 task still runs".to_owned(),
        left => format!("{left} tasks still run"),
    };
    if on_terminal {
        let end = if left == 0 { "\n" } else { "" };
        eprint!("\r\x1b[K{line}{end}");
        let _ = std::io::stderr().flush();
    } else {
        eprintln!("{line}");
    }
}

async fn left_over(client: &Client, timeout: Duration) -> Failure {
    let states = ["assigned", "starting", "running", "stopping"];
    let query: Query = states
        .iter()
        .map(|state| ("state", (*state).to_owned()))
        .collect();
    let tasks: Vec<TaskView> = match client.list(&["tasks"], &query, NAMED).await {
        Ok(listed) => listed.typed().unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let names: Vec<String> = tasks
        .iter()
        .map(|task| {
            let host = task.host.as_deref().unwrap_or("no host");
            let unreachable = if task.reachable { "" } else { ", unreachable" };
            format!("  {} on {host}{unreachable}: {}", task.id, task.reason)
        })
        .collect();
    Failure::no(
        format!("after {} s not all tasks have ended", timeout.as_secs()),
        format!(
            "{}\nTheir stop orders stand, and a stack that runs goes on to send them: it was left running.\n\
             `make down` waits again; `muster describe task` says more.",
            names.join("\n")
        ),
    )
}

/// Ends the `muster up` that holds the lock, and waits until it is gone.
async fn end_up(settings: &Settings, pid: Option<i32>) -> anyhow::Result<()> {
    let by_hand = || {
        Failure::no(
            "the stack's own process is not known",
            "End it with Ctrl-C where it runs.",
        )
    };
    let pid = pid
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(by_hand)?;
    let end = Instant::now() + UP_ENDS_WITHIN;
    // The lock was held a moment ago; if it is free now, the process has ended by itself and the number may be another's.
    if matches!(lock::take(&settings.home)?, Asked::Ours(_)) {
        return Ok(());
    }
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    while !matches!(lock::take(&settings.home)?, Asked::Ours(_)) {
        if Instant::now() > end {
            let pid = pid.as_raw_nonzero();
            return Err(Failure::no(
                format!("the tasks are stopped, but `muster up` (process {pid}) does not end"),
                format!("End it by hand:  kill -9 {pid}"),
            )
            .into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
