//! Asking containers whether they are ready and alive. What follows from the answers is the control plane's to decide.

use super::status::ProbeWord;
use crate::runtime::Runtime;
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::spec::{ExecProbe, HttpProbe, Port, PortRef, Probe};
use muster_schemas::wire::Launch;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Until its first good answer a container is asked more often than its interval says, beginning with this pause and doubling
/// it: most are ready within a fraction of a second. Bad answers to these extra questions are not counted.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// What is read of an HTTP answer: the status line.
const ANSWER_LIMIT_BYTES: usize = 256;

/// Which question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Can it serve?
    Readiness,
    /// Does it still work?
    Liveness,
}

/// A probe's word has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The attempt.
    pub attempt: AttemptId,
    /// The container that was asked.
    pub container: String,
    /// The question.
    pub kind: Kind,
    /// The word.
    pub good: bool,
    /// What a bad one said.
    pub message: Option<String>,
}

/// A container to be asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The engine's id.
    pub container: String,
    /// Its address.
    pub ip: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// What it was launched from.
    pub launch: Launch,
}

/// The probes under way, and what they said.
#[derive(Debug, Default)]
pub struct Probes {
    running: BTreeMap<(AttemptId, Kind), (String, AbortHandle)>,
    words: BTreeMap<AttemptId, ProbeWord>,
}

impl Probes {
    /// Asks these containers from now on, and no others.
    pub fn sync<R: Runtime>(
        &mut self,
        asked: &BTreeMap<AttemptId, Asked>,
        runtime: &Arc<R>,
        answers: &mpsc::Sender<Answer>,
    ) {
        self.running.retain(|(attempt, _), (container, task)| {
            let keep = asked
                .get(attempt)
                .is_some_and(|asked| asked.container == *container);
            if !keep {
                task.abort();
            }
            keep
        });
        self.words.retain(|attempt, word| {
            asked
                .get(attempt)
                .is_some_and(|asked| asked.container == word.container)
        });
        for (attempt, asked) in asked {
            for (kind, probe) in [
                (Kind::Readiness, &asked.launch.readiness),
                (Kind::Liveness, &asked.launch.liveness),
            ] {
                let Some(probe) = probe else { continue };
                self.running.entry((*attempt, kind)).or_insert_with(|| {
                    let task = tokio::spawn(ask_for_ever(
                        Arc::clone(runtime),
                        *attempt,
                        kind,
                        probe.clone(),
                        asked.clone(),
                        answers.clone(),
                    ));
                    (asked.container.clone(), task.abort_handle())
                });
            }
        }
    }

    /// Takes note of an answer.
    pub fn note(&mut self, answer: Answer) {
        let current = self
            .running
            .get(&(answer.attempt, answer.kind))
            .is_some_and(|(container, _)| *container == answer.container);
        if !current {
            return;
        }
        let word = self.words.entry(answer.attempt).or_default();
        word.container = answer.container;
        match answer.kind {
            Kind::Readiness => word.ready = Some(answer.good),
            Kind::Liveness => word.live = Some(answer.good),
        }
        let all_good = word.ready != Some(false) && word.live != Some(false);
        if !answer.good {
            word.message = answer.message;
        } else if all_good {
            word.message = None;
        }
    }

    /// What they said.
    pub fn words(&self) -> &BTreeMap<AttemptId, ProbeWord> {
        &self.words
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for (_, task) in self.running.values() {
            task.abort();
        }
    }
}

/// Counts answers up to the probe's thresholds.
#[derive(Debug, Default)]
struct Count {
    word: Option<bool>,
    good_in_row: u32,
    bad_in_row: u32,
}

impl Count {
    /// The new word, if this answer changes it. Uncounted bad answers only end a row of good ones.
    fn note(&mut self, probe: &Probe, good: bool, counted: bool) -> Option<bool> {
        if good {
            self.bad_in_row = 0;
            self.good_in_row = self.good_in_row.saturating_add(1);
        } else {
            self.good_in_row = 0;
            self.bad_in_row = self.bad_in_row.saturating_add(u32::from(counted));
        }
        let word = if self.good_in_row >= probe.successes.max(1) {
            Some(true)
        } else if self.bad_in_row >= probe.failures.max(1) {
            Some(false)
        } else {
            self.word
        };
        let changed = word != self.word;
        self.word = word;
        word.filter(|_| changed)
    }
}

async fn ask_for_ever<R: Runtime>(
    runtime: Arc<R>,
    attempt: AttemptId,
    kind: Kind,
    probe: Probe,
    asked: Asked,
    answers: mpsc::Sender<Answer>,
) {
    let age = asked
        .started_at
        .and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok())
        .unwrap_or_default();
    let initial_delay = Duration::from_millis(probe.initial_delay.0);
    tokio::time::sleep(initial_delay.saturating_sub(age)).await;
    // At least a pause, so that a spec without one cannot make the agent spin.
    let interval = Duration::from_millis(probe.interval.0).max(FIRST_PAUSE);
    let mut count = Count::default();
    let mut first_pause = FIRST_PAUSE;
    let mut counted_at = tokio::time::Instant::now();
    let mut last_message = None;
    loop {
        let begun = tokio::time::Instant::now();
        let Ok(answer) = ask_once(&*runtime, &probe, &asked).await else {
            tokio::time::sleep(interval).await;
            continue;
        };
        let good = answer.is_ok();
        let counted = begun.duration_since(counted_at) >= interval || count.word.is_some();
        if counted {
            counted_at = begun;
        }
        let changed = count.note(&probe, good, counted);
        let message = answer.err();
        // While the word stays bad, what it says may still change.
        let news = changed.is_some() || (count.word == Some(false) && message != last_message);
        if let (true, Some(word)) = (news, count.word) {
            let answer = Answer {
                attempt,
                container: asked.container.clone(),
                kind,
                good: word,
                message: message.clone(),
            };
            if answers.send(answer).await.is_err() {
                return;
            }
        }
        last_message = message;
        let pause = if count.word.is_none() && first_pause < interval {
            let pause = first_pause;
            first_pause *= 2;
            pause
        } else {
            interval
        };
        tokio::time::sleep(pause).await;
    }
}

/// The question never got to the container, so that there is no answer, good or bad.
#[derive(Debug, PartialEq, Eq)]
struct Unasked;

/// One question; the inner error is what to tell people.
async fn ask_once<R: Runtime>(
    runtime: &R,
    probe: &Probe,
    asked: &Asked,
) -> Result<Result<(), String>, Unasked> {
    let limit = Duration::from_millis(probe.timeout.0.max(1));
    let question = async {
        match (&probe.http, &probe.tcp, &probe.exec) {
            (Some(http), _, _) => Ok(ask_http(http, asked).await),
            (None, Some(tcp), _) => Ok(connect(&tcp.port, asked).await.map(|_| ())),
            (None, None, Some(exec)) => ask_exec(runtime, exec, asked).await,
            (None, None, None) => Ok(Err("the probe asks nothing".to_owned())),
        }
    };
    match tokio::time::timeout(limit, question).await {
        Ok(answer) => answer,
        Err(_) => Ok(Err(format!("no answer within {}", probe.timeout))),
    }
}

async fn connect(port: &PortRef, asked: &Asked) -> Result<TcpStream, String> {
    let ip = asked
        .ip
        .as_deref()
        .ok_or_else(|| "the container has no address".to_owned())?;
    let port = number(port, &asked.launch.ports)?;
    TcpStream::connect((ip, port))
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                format!("nothing listens on port {port}")
            }
            _ => format!("port {port}: {error}"),
        })
}

async fn ask_http(http: &HttpProbe, asked: &Asked) -> Result<(), String> {
    // What would end the request line early never gets to the container.
    if !http.path.starts_with('/') || http.path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(format!(
            "`{}` is no path to ask for",
            http.path.escape_debug()
        ));
    }
    let mut stream = connect(&http.port, asked).await?;
    let failed = |error: std::io::Error| format!("GET {}: {error}", http.path);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: muster-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        http.path,
        asked.ip.as_deref().unwrap_or_default(),
    );
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::with_capacity(ANSWER_LIMIT_BYTES);
    let mut part = [0u8; ANSWER_LIMIT_BYTES];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_LIMIT_BYTES {
        let count = stream.read(&mut part).await.map_err(failed)?;
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&part[..count]);
    }
    let status =
        status_of(&answer).ok_or_else(|| format!("GET {}: the answer is not HTTP", http.path))?;
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(format!("GET {} answered {status}", http.path))
    }
}

/// The status in an answer's first line, `HTTP/1.1 200 OK`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next()?.starts_with("HTTP/1.").then_some(())?;
    words.next()?.parse().ok()
}

async fn ask_exec<R: Runtime>(
    runtime: &R,
    exec: &ExecProbe,
    asked: &Asked,
) -> Result<Result<(), String>, Unasked> {
    let end = match runtime.exec(&asked.container, &exec.command).await {
        Ok(end) => end,
        Err(error) if error.is_unreachable() => return Err(Unasked),
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(match (end.code, end.output.is_empty()) {
        (0, _) => Ok(()),
        (code, true) => Err(format!("the command exited with {code}")),
        (code, false) => Err(format!("the command exited with {code}: {}", end.output)),
    })
}

fn number(port: &PortRef, ports: &[Port]) -> Result<u16, String> {
    match port {
        PortRef::Number(number) => Ok(*number),
        PortRef::Name(name) => ports
            .iter()
            .find(|port| port.name == *name)
            .map(|port| port.port)
            .ok_or_else(|| format!("the job has no port named `{name}`")),
    }
}

#[cfg(test)]
#[path = "probes_tests.rs"]
mod tests;
