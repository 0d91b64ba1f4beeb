//! The commands that people type.
//!
//! Those that show or change a fleet are clients of the public API and nothing else; `serve`, `agent`, `up` and `down` run
//! its processes. What they answer goes to standard output, everything else (progress, logs, errors) to standard error.
//!
//! Exit codes: 0 it was done; 1 the answer is no (the API refused, the thing is not there, a document is invalid); 2 it
//! could not be tried (wrong arguments, nothing answers, nothing may be written).

pub mod agent;
mod at;
mod bench;
pub mod client;
mod connection;
mod describe;
mod diff;
mod env_file;
mod events;
mod explain;
pub mod failure;
#[cfg(test)]
mod fixtures;
mod get;
mod hardening;
mod init;
mod logs;
mod moment;
mod orders;
pub mod parent;
mod plan;
mod refresh;
mod rows;
mod run;
mod screen;
pub mod serve;
mod sse;
mod status;
mod table;
mod time;
mod token;
mod up;
pub mod validate;

use crate::cli::connection::ConnectionArgs;
use crate::cli::screen::{OutputArgs, Screen};
use clap::{CommandFactory, Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Runs a fleet of containers from a git repository.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    max_term_width = 100,
    propagate_version = false
)]
pub struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the embedded stack in the foreground: control plane, one agent, a repository
    Up(up::UpArgs),
    /// Stop every container of the embedded stack by stop orders, then the stack
    Down(up::down::DownArgs),
    /// Run the control plane
    Serve(serve::ServeArgs),
    /// Run the agent on a host
    Agent(agent::AgentArgs),
    Init(init::InitArgs),
    Run(run::RunArgs),
    /// Check spec files before they are pushed
    Validate(validate::ValidateArgs),
    /// Show the cell at a glance
    Status,
    /// List jobs, tasks, hosts, plans, drift or events
    Get(get::GetArgs),
    /// Show all there is to know of one job, task, host or plan
    Describe(describe::DescribeArgs),
    At(at::AtArgs),
    /// Print what a task's container wrote
    Logs(logs::LogsArgs),
    /// Stop one task's container; a service's task comes back with a new attempt
    Stop(orders::StopArgs),
    Plan(plan::PlanArgs),
    Explain(explain::ExplainArgs),
    WhyNot(explain::WhyNotArgs),
    /// Let a held plan through: this one, and no other
    Approve(orders::PlanWordArgs),
    /// Say no to a held plan
    Refuse(orders::PlanWordArgs),
    /// Have no plan change something and nothing automated stop it
    Freeze(orders::FreezeArgs),
    /// End a freeze; what was kept back meanwhile is planned anew
    Resume(orders::ResumeArgs),
    /// Give a service another size beside git, for a time
    Scale(orders::ScaleArgs),
    /// Commit what goes back to an earlier revision, all of it or one job's document
    Rollback(orders::RollbackArgs),
    /// Have a job's rollout go on, go back to the version before, or begin again
    Rollout(orders::RolloutArgs),
    /// Say that a host is gone for good: its tasks get new attempts on other hosts
    RemoveHost(orders::RemoveHostArgs),
    TakeHost(orders::TakeHostArgs),
    /// Make a single-use token and print the command with which a host joins
    EnrolToken,
    Token(token::TokenArgs),
    /// Make the control plane read the repository now
    Refresh(refresh::RefreshArgs),
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Reads the arguments, does what they ask, tells what went wrong, and answers the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // What happens to the job is told by the command itself, in words for people.
    let level = match cli.command {
        Command::Run(_) => "warn",
        _ => "info",
    };
    begin_tracing(level);
    // One TLS implementation for all: the first to install it wins, and a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the operating system gives no threads: {error}");
            return ExitCode::from(2);
        }
    };
    let result = runtime.block_on(run_command(cli));
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failure::tell(&error),
    }
}

async fn run_command(cli: Cli) -> anyhow::Result<ExitCode> {
    let screen = Screen::new(&cli.output);
    let client = || cli.connection.client();
    match cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Down(args) => up::down::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Agent(args) => agent::run(args).await,
        Command::Init(args) => init::run(&args),
        Command::Run(args) => run::run(args, screen.color).await,
        Command::Validate(args) => validate::run(&args),
        Command::Status => status::run(&client()?, &screen).await,
        Command::Get(args) => get::run(args, &client()?, &screen).await,
        Command::Describe(args) => describe::run(args, &client()?, &screen).await,
        Command::Explain(args) => explain::explain(args, &client()?, &screen).await,
        Command::WhyNot(args) => Ok(explain::why_not(args, &client()?, &screen).await),
        Command::At(args) => at::run(args, &client()?, &screen).await,
        Command::Logs(args) => logs::run(args, &client()?).await,
        Command::Stop(args) => orders::stop(args, &client()?, &screen).await,
        Command::Plan(args) => Ok(plan::run(args, &client()?, &screen).await),
        Command::Approve(args) => orders::approve(args, &client()?, &screen).await,
        Command::Refuse(args) => orders::refuse(args, &client()?, &screen).await,
        Command::Freeze(args) => orders::freeze(args, &client()?, &screen).await,
        Command::Resume(args) => orders::resume(args, &client()?, &screen).await,
        Command::Scale(args) => orders::scale(args, &client()?, &screen).await,
        Command::Rollback(args) => orders::rollback(args, &client()?, &screen).await,
        Command::Rollout(args) => orders::rollout(args, &client()?, &screen).await,
        Command::RemoveHost(args) => orders::remove_host(args, &client()?, &screen).await,
        Command::TakeHost(args) => orders::take_host(args, &client()?, &screen).await,
        Command::Token(args) => token::token(args, &client()?, &screen).await,
        Command::EnrolToken => orders::enrol_token(&client()?, &screen).await,
        Command::Refresh(args) => refresh::run(args, &client()?).await,
        Command::Bench(args) => bench::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "muster", &mut script);
            screen::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Logs go to standard error: for people, or as JSON lines with `MUSTER_LOG_FORMAT=json`. `MUSTER_LOG` takes a level or
/// directives such as `info,muster::agent=debug`.
fn begin_tracing(level: &str) {
    use tracing_subscriber::EnvFilter;
    let wanted = std::env::var("MUSTER_LOG").unwrap_or_else(|_| level.to_owned());
    let (filter, complaint) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(level), Some(error)),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::env::var("MUSTER_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().init();
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).init();
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "MUSTER_LOG=`{wanted}` is no level and no directive; `{level}` holds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn the_arguments_contradict_nothing() {
        Cli::command().debug_assert();
    }

    /// `docs/cli.md` is the help texts, one section for each command.
    fn reference() -> String {
        let mut text = String::from(
            "# The `muster` command\n\nThis page is made from the program's own help \
             (`MUSTER_WRITE_DOCS=1 cargo test -p muster cli` writes it anew).\n\n\
             Exit codes: 0 it was done; 1 the answer is no; 2 it could not be tried.\n\n\
             Commands that ask a control plane find it, in this order: `--url` and `--token`; `MUSTER_URL` and `MUSTER_TOKEN`; \
             `$MUSTER_HOME/env`; the nearest `.muster/env` from the working directory upwards.\n\n\
             `MUSTER_LOG` sets the level of the logs on standard error (`info`), `MUSTER_LOG_FORMAT=json` their form.\n",
        );
        let mut root = Cli::command().term_width(100);
        root.build();
        section(&mut text, &mut root, "muster");
        text
    }

    fn section(text: &mut String, command: &mut clap::Command, name: &str) {
        let help = command
            .clone()
            .term_width(100)
            .render_long_help()
            .to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(
            text,
            "\n## {name}\n\n```text\n{}\n```\n",
            help.join("\n").trim_end()
        )
        .unwrap();
        for inner in command.get_subcommands_mut() {
            if inner.is_hide_set() || inner.get_name() == "help" {
                continue;
            }
            let name = format!("{name} {}", inner.get_name());
            section(text, inner, &name);
        }
    }

    #[test]
    fn the_reference_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let expected = reference();
        if std::env::var_os("MUSTER_WRITE_DOCS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/cli.md is stale: run `MUSTER_WRITE_DOCS=1 cargo test -p muster cli`"
        );
    }
}
