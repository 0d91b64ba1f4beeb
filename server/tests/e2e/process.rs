//! A process that a test starts, kills and starts again.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// So long may a process take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(20);

pub struct Process {
    pub name: String,
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub fn new(name: &str, program: &str, log: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            log,
            child: None,
        }
    }

    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts it. Its standard input is a pipe that ends with this test.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)
            .unwrap();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .env_remove("MUSTER_HOME")
            .env_remove("MUSTER_LOG")
            .env_remove("MUSTER_LOG_FORMAT")
            // A group of its own: a Ctrl-C is for the test, which then ends it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", self.program));
        self.child = Some(child);
    }

    /// `kill -9`, and waits for its end. Nothing if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
        let _ = kill_process(pid, Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < GRACE {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        child.wait().ok()
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// All that it wrote, over all of its lives.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its last lines, for whoever reads of a failure.
    pub fn tell(&self) {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        eprintln!("--- the last lines of {}:", self.name);
        for line in &lines[lines.len().saturating_sub(30)..] {
            eprintln!("{line}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
