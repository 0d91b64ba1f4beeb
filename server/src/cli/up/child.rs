//! A child process that is watched: its log, its restarts, its end.

use futures::future::BoxFuture;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The first wait before a child that died is started again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest: a machine that mends itself is noticed within half a minute.
const LAST_WAIT: Duration = Duration::from_secs(30);
/// Who ran for so long has mended: the next wait is the first one again.
const MENDED_AFTER: Duration = Duration::from_secs(60);
/// A log larger than this is put aside at the next start; the one put aside before is dropped.
const MAX_LOG_BYTES: u64 = 50 << 20;
/// So much of a dead child's log is shown.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 16 << 10;

/// Makes a child's arguments, anew for each start: an enrolment token serves once.
pub(super) type Arguments =
    Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<Vec<OsString>>> + Send + Sync>;

/// What is run.
pub(super) struct Program {
    /// How it is called in messages.
    pub(super) name: &'static str,
    pub(super) file: PathBuf,
    pub(super) arguments: Arguments,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// From the request to end until it is killed.
    pub(super) grace: Duration,
}

/// A child died, or could not be started.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) name: &'static str,
    /// How, as the end of a sentence: `exited with 1`.
    pub(super) how: String,
    /// Its last lines.
    pub(super) tail: Vec<String>,
    pub(super) log: PathBuf,
    /// When it is started again.
    pub(super) again_in: Duration,
}

/// Keeps the program running until `shutdown`, then ends it: by SIGTERM, and by SIGKILL after its grace.
///
/// The child has a process group of its own, so that a Ctrl-C in the terminal reaches `muster up` alone, which ends it in good
/// order. Its standard input is a pipe that we hold: it ends when we do.
pub(super) async fn watch(
    program: Program,
    deaths: mpsc::Sender<Death>,
    shutdown: CancellationToken,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        let started = tokio::select! {
            started = start(&program) => started,
            () = shutdown.cancelled() => return,
        };
        let (how, tail) = match started {
            Err(error) => (format!("cannot be started: {error:#}"), Vec::new()),
            Ok(Started {
                mut child,
                lifeline,
                log_begin,
            }) => {
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    () = shutdown.cancelled() => {
                        end(child, &program).await;
                        return;
                    }
                };
                drop(lifeline);
                let how = ended.map_or_else(|error| format!("is lost: {error}"), describe);
                (how, last_lines(&program.log, log_begin).unwrap_or_default())
            }
        };
        if began.elapsed() > MENDED_AFTER {
            wait = FIRST_WAIT;
        }
        let death = Death {
            name: program.name,
            how,
            tail,
            log: program.log.clone(),
            again_in: wait,
        };
        // Nobody listens any more only when everything ends.
        let _ = deaths.send(death).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
        wait = (wait * 2).min(LAST_WAIT);
    }
}

struct Started {
    child: Child,
    /// The child ends when this is dropped. It is kept apart from the child, since waiting for one closes the standard input
    /// that it holds.
    lifeline: Option<ChildStdin>,
    /// Where its part of the log begins.
    log_begin: u64,
}

async fn start(program: &Program) -> anyhow::Result<Started> {
    let arguments = (program.arguments)().await?;
    let (log, log_begin) = open_log(&program.log)?;
    let mut child = Command::new(&program.file)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok(Started {
        lifeline: child.stdin.take(),
        child,
        log_begin,
    })
}

/// The log, opened to be appended to, and where this start's part of it begins.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|there| there.len() > MAX_LOG_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(path)?;
    let begin = log.metadata()?.len();
    Ok((log, begin))
}

async fn end(mut child: Child, program: &Program) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It fails only for a child that has ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(program.grace, child.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            "{} did not end within {:?} and is killed",
            program.name,
            program.grace
        );
        let _ = child.kill().await;
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn last_lines(path: &Path, begin: u64) -> io::Result<Vec<String>> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(
        begin.max(length.saturating_sub(TAIL_BYTES)),
    ))?;
    let mut bytes = Vec::new();
    log.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines[from..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script in place of a program.
    fn program(folder: &Path, script: &str, grace: Duration) -> Program {
        let script = script.to_owned();
        Program {
            name: "test",
            file: PathBuf::from("sh"),
            arguments: Box::new(move || {
                let arguments = vec![OsString::from("-c"), OsString::from(&script)];
                Box::pin(async { Ok(arguments) })
            }),
            log: folder.join("test.log"),
            grace,
        }
    }

    async fn read_when_there(path: &Path) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => {
                    assert!(Instant::now() < end, "{} does not come", path.display());
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    #[tokio::test]
    async fn a_death_is_told_with_its_last_lines_and_followed_by_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test.log"), "from before\n").unwrap();
        let script =
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo line $i >&2; done; exit 3";
        let program = program(folder.path(), script, Duration::from_secs(5));
        let (sender, mut deaths) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let watching = tokio::spawn(watch(program, sender, shutdown.clone()));
        let first = deaths.recv().await.unwrap();
        assert_eq!((first.name, first.how.as_str()), ("test", "exited with 3"));
        assert_eq!(first.tail.len(), TAIL_LINES);
        assert_eq!(first.tail.last().unwrap(), "line 15");
        let second = deaths.recv().await.unwrap();
        assert_eq!(
            (first.again_in, second.again_in),
            (FIRST_WAIT, FIRST_WAIT * 2)
        );
        shutdown.cancel();
        watching.await.unwrap();
    }

    #[tokio::test]
    async fn it_is_asked_to_end_before_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (ready, ended) = (folder.path().join("ready"), folder.path().join("ended"));
        for (trap, grace, gracefully) in [
            (
                format!("trap 'echo yes >{}; exit 0' TERM;", ended.display()),
                Duration::from_secs(10),
                true,
            ),
            (
                "trap '' TERM;".to_owned(),
                Duration::from_millis(200),
                false,
            ),
        ] {
            let _ = fs::remove_file(&ready);
            let _ = fs::remove_file(&ended);
            let script = format!(
                "{trap} echo $$ >{}; while :; do sleep 0.02; done",
                ready.display()
            );
            let program = program(folder.path(), &script, grace);
            let (sender, _deaths) = mpsc::channel(8);
            let shutdown = CancellationToken::new();
            let watching = tokio::spawn(watch(program, sender, shutdown.clone()));
            let pid: i32 = read_when_there(&ready).await.trim().parse().unwrap();
            shutdown.cancel();
            watching.await.unwrap();
            assert_eq!(ended.exists(), gracefully);
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            assert!(
                rustix::process::test_kill_process(pid).is_err(),
                "it is gone"
            );
        }
    }

    #[tokio::test]
    async fn it_sees_the_end_of_its_standard_input_when_we_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (ready, ended) = (folder.path().join("ready"), folder.path().join("ended"));
        let script = format!(
            "echo >{}; cat >/dev/null; echo yes >{}",
            ready.display(),
            ended.display()
        );
        let program = program(folder.path(), &script, Duration::from_secs(5));
        let mut started = start(&program).await.unwrap();
        read_when_there(&ready).await;
        // Waiting for it must not be what ends it.
        let early = tokio::time::timeout(Duration::from_millis(200), started.child.wait()).await;
        assert!(early.is_err() && !ended.exists());
        // What the kernel does with the files of a killed process.
        drop(started.lifeline);
        read_when_there(&ended).await;
        started.child.wait().await.unwrap();
    }

    #[test]
    fn a_large_log_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.log");
        File::create(&path)
            .unwrap()
            .set_len(MAX_LOG_BYTES + 1)
            .unwrap();
        let (_, begin) = open_log(&path).unwrap();
        assert_eq!(begin, 0);
        assert!(folder.path().join("serve.log.1").exists());
    }
}
