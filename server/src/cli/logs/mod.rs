//! `muster logs`: what a task's container wrote, and what it writes.
//!
//! One attempt's log is read at a time. A lost connection is taken up again shortly before the last line, and lines that were
//! printed already are left out, so nothing is missed and nothing comes twice.

use crate::cli::client::{Client, ClientError, Query};
use crate::cli::failure::Failure;
use crate::cli::screen::print;
use crate::cli::sse::{Message, Next, Stream};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::api::{JobView, TaskView};
use muster_schemas::ids::TaskId;
use muster_schemas::spec::{JobKind, Millis};
use muster_schemas::state::TaskState;
use muster_schemas::wire::{LogEnd, LogLine};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

/// After a lost connection the log is read again from so long before the last line: the two streams of a container are
/// timed by two writers, and may be out of order by less than that.
const OVERLAP: SignedDuration = SignedDuration::from_secs(1);
/// So many printed lines are remembered, to know them again after a lost connection. Who writes more in the overlap has a
/// shorter one.
const REMEMBERED: usize = 8192;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// After so long without an answer the command says so and ends.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// The task, such as web.0
    task: TaskId,
    /// Go on with new lines as they come, until the attempt ends; of a batch task, until the task is finished
    #[arg(short, long)]
    follow: bool,
    /// At most so many of the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// An earlier attempt's log (its id, from `muster describe task`)
    #[arg(long, value_name = "ID")]
    attempt: Option<String>,
    /// Only lines after this time: an age such as 10m, or a time such as 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Print each line's time before it
    #[arg(short, long)]
    timestamps: bool,
}

#[derive(Debug, Clone, Copy)]
enum Since {
    Ago(Millis),
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(age) = text.parse::<Millis>() {
        return Ok(Since::Ago(age));
    }
    text.parse::<Timestamp>().map(Since::At).map_err(|_| {
        "write an age, such as 10m or 1h30m, or a time with its zone, such as 2026-11-22T10:00:00Z".to_owned()
    })
}

/// How the reading of one attempt's log ended.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// All there is was printed.
    Complete,
    /// The host has no container (any more, or yet).
    NoContainer,
}

pub(super) async fn run(args: LogsArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let id = args.task.to_string();
    let from = args.since.map(|since| match since {
        Since::Ago(age) => Timestamp::now() - age.signed(),
        Since::At(at) => at,
    });
    let task: TaskView = client.get(&["tasks", &id], &Query::new()).await?;
    let current = task.attempt.clone();
    if !args.follow || (args.attempt.is_some() && args.attempt != current) {
        // An earlier attempt's log does not grow.
        let Some(attempt) = args.attempt.or(current) else {
            return Err(Failure::no(
                format!(
                    "{id} has no attempt yet, so there is no log: {}",
                    task.reason
                ),
                "`-f` waits for it.",
            )
            .into());
        };
        return read_once(client, &id, attempt, args.tail, from, args.timestamps).await;
    }
    let mut attempt = match current {
        Some(attempt) => attempt,
        None => wait_for_attempt(client, &id, None).await?,
    };
    let mut log = Log::new(args.tail, from, args.timestamps);
    loop {
        let reading = log.follow(client, &id, &attempt).await?;
        let task: TaskView = client.get(&["tasks", &id], &Query::new()).await?;
        let moved_on = task.attempt.as_ref() != Some(&attempt);
        let ended = moved_on || task.state == TaskState::Finished || task.finished_at.is_some();
        if reading == Reading::NoContainer && !ended && task.state < TaskState::Running {
            // It is not created yet.
            tokio::time::sleep(FIRST_WAIT).await;
            continue;
        }
        if reading == Reading::NoContainer {
            return Err(gone(&id).into());
        }
        if task.state == TaskState::Finished {
            return Ok(ExitCode::SUCCESS);
        }
        let job: JobView = client.get(&["jobs", &task.job], &Query::new()).await?;
        if job.kind == JobKind::Service {
            eprintln!("this attempt of {id} has ended; `muster logs {id} -f` follows the next");
            return Ok(ExitCode::SUCCESS);
        }
        attempt = wait_for_attempt(client, &id, Some(attempt)).await?;
        eprintln!("{id} goes on with another attempt");
        log = Log::new(None, None, args.timestamps);
    }
}

async fn read_once(
    client: &Client,
    task: &str,
    attempt: String,
    tail: Option<u32>,
    since: Option<Timestamp>,
    timestamps: bool,
) -> anyhow::Result<ExitCode> {
    let mut log = Log::new(tail, since, timestamps);
    log.follows = false;
    match log.follow(client, task, &attempt).await? {
        Reading::Complete => Ok(ExitCode::SUCCESS),
        Reading::NoContainer => Err(gone(task).into()),
    }
}

fn gone(task: &str) -> Failure {
    Failure::no(
        format!("the host has no container for this attempt of {task}, so there is no log"),
        "Logs stay as long as their container: the latest attempts' are listed by `muster describe task`.",
    )
}

/// Waits for an attempt other than the given one; a finished task has no further one.
async fn wait_for_attempt(
    client: &Client,
    task: &str,
    other_than: Option<String>,
) -> anyhow::Result<String> {
    loop {
        let now: TaskView = client.get(&["tasks", task], &Query::new()).await?;
        match now.attempt {
            Some(attempt) if Some(&attempt) != other_than.as_ref() => return Ok(attempt),
            _ if now.state == TaskState::Finished => {
                return Err(Failure::no(format!("{task} is finished: {}", now.reason), "").into());
            }
            _ => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// One attempt's log as far as it was printed.
struct Log {
    tail: Option<u32>,
    since: Option<Timestamp>,
    timestamps: bool,
    follows: bool,
    out: fn(&str) -> std::io::Result<()>,
    printed: VecDeque<LogLine>,
    /// What was printed before the connection was lost and is to be left out when it comes again.
    again: Vec<LogLine>,
}

impl Log {
    fn new(tail: Option<u32>, since: Option<Timestamp>, timestamps: bool) -> Self {
        Self {
            tail,
            since,
            timestamps,
            follows: true,
            out: print,
            printed: VecDeque::new(),
            again: Vec::new(),
        }
    }

    /// Prints the log until it ends.
    async fn follow(
        &mut self,
        client: &Client,
        task: &str,
        attempt: &str,
    ) -> anyhow::Result<Reading> {
        let mut first = true;
        let mut heard = tokio::time::Instant::now();
        let mut wait = FIRST_WAIT;
        let mut told = false;
        loop {
            let trouble = match client
                .stream(&["tasks", task, "logs"], &self.query(attempt))
                .await
            {
                Ok(answer) => {
                    let mut stream = Stream::new(answer);
                    if std::mem::take(&mut told) {
                        eprintln!("connected again");
                    }
                    loop {
                        match stream.next().await? {
                            Next::Messages(messages) => {
                                (heard, wait, first) =
                                    (tokio::time::Instant::now(), FIRST_WAIT, false);
                                match self.take(&messages)? {
                                    None => {}
                                    Some(LogEnd::Complete) => return Ok(Reading::Complete),
                                    Some(LogEnd::NoContainer) => return Ok(Reading::NoContainer),
                                    Some(LogEnd::Failed { message }) => break message,
                                }
                            }
                            Next::Lost(why) => break why,
                        }
                    }
                }
                Err(ClientError::Refused(problem)) if problem.code == "not-found" => {
                    return Ok(Reading::NoContainer);
                }
                // Not even once: whatever it is, it is told at once.
                Err(error) if first => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if !self.follows || heard.elapsed() > GIVE_UP_AFTER {
                return Err(Failure::untried(
                    format!("the log of {task} broke off: {trouble}"),
                    "Ask again; `muster get hosts` shows whether the host is reachable.",
                )
                .into());
            }
            // The first loss is taken up silently: most are a stream that was quiet for long.
            if wait > FIRST_WAIT && !std::mem::replace(&mut told, true) {
                eprintln!("the log broke off ({trouble}); trying again");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
            self.again = self.printed.iter().cloned().collect();
        }
    }

    fn query(&self, attempt: &str) -> Query {
        let mut query = vec![
            ("follow", self.follows.to_string()),
            ("attempt", attempt.to_owned()),
        ];
        // What is asked for the second time goes on from where the first broke off.
        let from = self
            .printed
            .front()
            .map(|line| line.at - SignedDuration::from_nanos(1));
        match from {
            Some(from) => query.push(("since", from.to_string())),
            None => {
                query.extend(self.since.map(|since| ("since", since.to_string())));
                query.extend(self.tail.map(|tail| ("tail", tail.to_string())));
            }
        }
        query
    }

    /// Prints the lines; answers how the log ends, if it does.
    fn take(&mut self, messages: &[Message]) -> anyhow::Result<Option<LogEnd>> {
        let mut text = String::new();
        let mut end = None;
        for message in messages {
            match message.event.as_str() {
                "line" => {
                    let line: LogLine = serde_json::from_str(&message.data)?;
                    if self.is_new(&line) {
                        if self.timestamps {
                            text.push_str(&format!("{}  ", line.at));
                        }
                        text.push_str(&line.text);
                        text.push('\n');
                        self.remember(line);
                    }
                }
                "end" => end = Some(serde_json::from_str(&message.data)?),
                other => tracing::debug!(event = other, "passed over in a log stream"),
            }
        }
        (self.out)(&text)?;
        Ok(end)
    }

    fn is_new(&mut self, line: &LogLine) -> bool {
        // Each printed line takes away one that comes again; equal lines are counted.
        match self.again.iter().position(|printed| printed == line) {
            Some(at) => {
                self.again.swap_remove(at);
                false
            }
            None => true,
        }
    }

    fn remember(&mut self, line: LogLine) {
        let horizon = line.at - OVERLAP;
        self.printed.push_back(line);
        while self.printed.len() > REMEMBERED
            || self
                .printed
                .front()
                .is_some_and(|printed| printed.at < horizon)
        {
            self.printed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
