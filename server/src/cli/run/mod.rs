//! `muster run`: one job on this machine's engine, as the fleet would run it.
//!
//! The container's standard output goes to standard output, its standard error and Muster's own words to standard error.

mod spec;
mod tell;

use crate::cli::failure::Failure;
use crate::local::{self, Base, End, Interrupt, TaskEnd, Wishes, Work};
use crate::runtime::docker::DockerEngine;
use crate::runtime::{EngineInfo, Runtime};
use muster_schemas::ids::JobId;
use muster_schemas::spec::{JobKind, JobSpec};
use muster_schemas::state::Outcome;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tell::Tell;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// More tasks of one job than this are no try-out any more, and one engine would take minutes to start them.
const MOST_TASKS: i64 = 50;
/// What ends for another reason than its own code has this one, as with the `docker` command: its container could not be started.
const NOT_STARTED: u8 = 125;
/// A process that a signal ends has this more than the signal's number.
const SIGNAL_BASE: u8 = 128;
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// Run one job on this machine's engine as the fleet would, without a control plane
///
/// The container gets the same limits, hardening, probes and environment, and what ends is retried, restarted or called a crash
/// loop as in the fleet. What differs is told before it starts. Ctrl-C stops it with the job's grace, a second one kills it; then,
/// or when a batch job is done, its containers are removed. What a killed `muster run` left is removed by the next one.
///
/// Exits with the container's exit code (of several batch tasks: of the first that failed), 125 if it could not be started, 128
/// and the signal's number if a batch job was interrupted, 0 when a service was stopped, 1 if the spec does not hold, and 2 if it
/// could not be tried.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The file with the job's document, or a folder of specs
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which job, where there are several
    #[arg(long, value_name = "NAME")]
    job: Option<JobId>,
    /// Run this image rather than the one that the spec names
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Set a variable of the spec's `env`; may be repeated
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// So many tasks, rather than what the spec asks for
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_TASKS))]
    task_count: u32,
    /// Take the image from its registry, also where this machine has another one of that name
    #[arg(long)]
    pull: bool,
    /// End with the first attempt of each task: retry nothing
    #[arg(long)]
    once: bool,
    /// The container engine's socket; without it DOCKER_HOST's, or unix:///var/run/docker.sock
    #[arg(long, env = "MUSTER_DOCKER", hide_env_values = true)]
    docker: Option<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write a variable as NAME=value, such as LOG_LEVEL=debug".to_owned()),
    }
}

pub(super) async fn run(args: RunArgs, color: bool) -> anyhow::Result<ExitCode> {
    let env: BTreeMap<String, String> = args.env.into_iter().collect();
    let Some(read) = spec::read(&args.file, args.job.as_ref(), args.image.as_deref(), &env)? else {
        return Ok(ExitCode::from(1));
    };
    // From here on nothing ends without its containers being removed.
    let (last_signal, mut interrupts) = hear_signals()?;
    let runtime = DockerEngine::new(&socket(args.docker, std::env::var("DOCKER_HOST").ok())?);
    let engine = runtime.info().await.map_err(|error| {
        Failure::untried(
            error.to_string(),
            "Start Docker, or name its socket: --docker unix:///path/to/docker.sock",
        )
    })?;
    let base = Base::of_user();
    let color = color && std::io::stderr().is_terminal();
    sweep(&runtime, &base, color).await;

    let chosen = tokio::select! {
        chosen = local::choose(&runtime, &read.job.image, args.pull) => chosen,
        _ = interrupts.recv() => {
            let signal = last_signal.borrow().unwrap_or(0);
            return Ok(ExitCode::from(SIGNAL_BASE + signal));
        }
    };
    let chosen = chosen.map_err(|fault| {
        Failure::no(
            format!("{:#}", anyhow::Error::from(fault)),
            "Build it (docker build -t IMAGE .) or push it, or run another one: --image IMAGE",
        )
    })?;
    let wishes = Wishes {
        tasks: args.task_count,
        once: args.once,
        set: read.set,
    };
    let adapted = local::adapt(read.job, &wishes, &engine, &local::machine_name());
    let mut differences = adapted.differences;
    differences.extend(chosen.difference);
    let job = adapted.job;
    let mut tell = Tell::new(&job, &chosen.reference, args.once, color);
    tell.begin(&differences, &engine_line(&engine));
    let work = Work {
        job: job.clone(),
        image: chosen.reference,
        once: args.once,
    };
    let end = local::run(runtime, &base, work, interrupts, &mut tell).await?;
    tell.finish()?;
    let signal = *last_signal.borrow();
    Ok(ExitCode::from(exit_code(&job, &end, signal)))
}

fn engine_line(engine: &EngineInfo) -> String {
    format!("{}, {}", engine.engine, engine.system)
}

/// What killed commands left does not keep this one from running: it is tried again at the next start.
async fn sweep(runtime: &DockerEngine, base: &Base, color: bool) {
    match local::sweep(runtime, base).await {
        Ok(swept) if swept.tasks.is_empty() => {}
        Ok(swept) => tell::say(
            &format!(
                "removed what a killed `muster run` left: {}",
                swept.tasks.join(", ")
            ),
            color,
        ),
        Err(error) => tell::say(
            &format!("what a killed `muster run` left could not be removed: {error}"),
            color,
        ),
    }
}

/// The engine's socket.
///
/// # Errors
/// The environment names an engine on another machine.
pub(in crate::cli) fn socket(
    wanted: Option<String>,
    docker_host: Option<String>,
) -> anyhow::Result<String> {
    match (wanted, docker_host.filter(|host| !host.is_empty())) {
        (Some(wanted), _) => Ok(wanted),
        (None, Some(host)) if host.starts_with("unix://") => Ok(host),
        (None, Some(host)) => Err(Failure::untried(
            format!("DOCKER_HOST is {host}, which is no socket of this machine; probes could not reach containers elsewhere"),
            "Name a socket: --docker unix:///var/run/docker.sock",
        )
        .into()),
        (None, None) => Ok(DEFAULT_SOCKET.to_owned()),
    }
}

/// Signals become interrupts: the first stops, any further one kills. Also answers which signal came last.
fn hear_signals() -> std::io::Result<(watch::Receiver<Option<u8>>, mpsc::Receiver<Interrupt>)> {
    const INTERRUPT: u8 = 2;
    const TERMINATE: u8 = 15;
    const HANG_UP: u8 = 1;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (last_in, last) = watch::channel(None);
    let (out, interrupts) = mpsc::channel(2);
    tokio::spawn(async move {
        for number in 0.. {
            let signal = tokio::select! {
                _ = interrupt.recv() => INTERRUPT,
                _ = terminate.recv() => TERMINATE,
                _ = hang_up.recv() => HANG_UP,
            };
            last_in.send_if_modified(|last| last.is_none() && last.replace(signal).is_none());
            let wanted = if number == 0 {
                Interrupt::Stop
            } else {
                Interrupt::Kill
            };
            // Two wait at most; what comes on top of them asks for nothing new.
            if let Err(mpsc::error::TrySendError::Closed(_)) = out.try_send(wanted) {
                return;
            }
        }
    });
    Ok((last, interrupts))
}

fn exit_code(job: &JobSpec, end: &End, signal: Option<u8>) -> u8 {
    if end.interrupted {
        return match job.kind() {
            JobKind::Service => 0,
            JobKind::Batch => SIGNAL_BASE + signal.unwrap_or(0),
        };
    }
    let failed = end
        .tasks
        .iter()
        .find(|task| task.outcome != Some(Outcome::Succeeded));
    failed.map_or(0, code_of)
}

fn code_of(task: &TaskEnd) -> u8 {
    let code = task.ended.as_ref().and_then(|ended| ended.exit_code);
    match (task.started, code) {
        // It ended well and has failed all the same, by its runtime limit.
        (true, Some(0)) => 1,
        (true, Some(code)) => u8::try_from(code).unwrap_or(1),
        // The engine's way to say that the command is no program.
        (false, Some(code @ (126 | 127))) => u8::try_from(code).unwrap_or(NOT_STARTED),
        (_, Some(_) | None) => NOT_STARTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use muster_schemas::ids::TaskId;
    use muster_schemas::state::Ended;

    fn job(kind: &str) -> JobSpec {
        let text = format!(r#"{{"name":"a","owner":"a","image":"a:1",{kind}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn task(index: u32, outcome: Option<Outcome>, code: Option<i32>) -> TaskEnd {
        TaskEnd {
            task: TaskId::new(JobId::from("a"), index),
            outcome,
            ended: Some(Ended {
                outcome: outcome.unwrap_or(Outcome::Stopped),
                exit_code: code,
                signal: None,
                oom: false,
                at: Timestamp::UNIX_EPOCH,
                message: String::new(),
                system_error: false,
            }),
            started: true,
        }
    }

    #[test]
    fn the_exit_code_is_the_containers() {
        let batch = job(r#""batch":{}"#);
        let service = job(r#""service":{"capacity":{"desired":1}}"#);
        let done = task(0, Some(Outcome::Succeeded), Some(0));
        let code = |job: &JobSpec, tasks: Vec<TaskEnd>, signal: Option<u8>| {
            let interrupted = signal.is_some();
            exit_code(job, &End { tasks, interrupted }, signal)
        };
        assert_eq!(code(&batch, vec![done.clone()], None), 0);
        let failed = |code| task(1, Some(Outcome::Failed), code);
        assert_eq!(code(&batch, vec![done.clone(), failed(Some(7))], None), 7);
        assert_eq!(code(&batch, vec![failed(Some(137))], None), 137);
        let not_started = |code| TaskEnd {
            started: false,
            ..failed(code)
        };
        assert_eq!(code(&batch, vec![not_started(None)], None), 125);
        assert_eq!(code(&batch, vec![not_started(Some(128))], None), 125);
        assert_eq!(code(&batch, vec![not_started(Some(127))], None), 127);
        assert_eq!(code(&batch, vec![failed(Some(0))], None), 1);
        assert_eq!(code(&batch, vec![task(0, None, Some(0))], Some(2)), 130);
        assert_eq!(code(&batch, vec![], Some(15)), 143);
        assert_eq!(code(&service, vec![task(0, None, Some(143))], Some(2)), 0);
        assert_eq!(code(&service, vec![failed(Some(3))], None), 3);
    }

    #[test]
    fn the_socket_is_one_of_this_machine() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(socket(None, None).unwrap(), DEFAULT_SOCKET);
        assert_eq!(socket(None, text("")).unwrap(), DEFAULT_SOCKET);
        assert_eq!(socket(None, text("unix:///a")).unwrap(), "unix:///a");
        assert_eq!(socket(text("/b"), text("tcp://c:1")).unwrap(), "/b");
        assert!(socket(None, text("tcp://c:1")).is_err());
    }
}
