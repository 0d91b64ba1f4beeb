//! The rules of a probe.

use super::Checks;
use super::job::command_words;
use crate::specs::report::{Code, quoted};
use crate::specs::typed::one_of;
use crate::specs::words;
use muster_schemas::spec::{JobSpec, Millis, PortRef, Probe};

/// Each probe costs the host a connection or a process.
const MIN_INTERVAL: Millis = Millis(100);
const MAX_INTERVAL: Millis = Millis::secs(3600);
const MAX_TIMEOUT: Millis = Millis::secs(300);
const MAX_COUNT: u32 = 100;
/// A path and query as long as servers commonly take.
const MAX_PATH_CHARS: usize = 2048;

/// Checks the probe that stands at `field` of the job.
pub(super) fn check(field: &str, probe: &Probe, job: &JobSpec, checks: &mut Checks<'_>) {
    target(field, probe, checks);
    if let Some(http) = &probe.http {
        port(&[field, "http", "port"], &http.port, job, checks);
        let path = &[field, "http", "path"];
        if !http.path.starts_with('/') {
            let message = format!("the path {} does not begin with `/`", quoted(&http.path));
            checks.refuse(
                path,
                Code::BadValue,
                message,
                "write the path alone, such as /healthz",
            );
        } else if http
            .path
            .chars()
            .any(|c| c.is_whitespace() || c.is_control())
        {
            let message = "the path holds white space or a control character";
            checks.refuse(path, Code::BadValue, message, "write white space as %20");
        } else if http.path.chars().nth(MAX_PATH_CHARS).is_some() {
            let help = format!("it can have at most {MAX_PATH_CHARS} characters");
            checks.refuse(path, Code::OutOfRange, "the path is too long", help);
        }
    }
    if let Some(tcp) = &probe.tcp {
        port(&[field, "tcp", "port"], &tcp.port, job, checks);
    }
    if let Some(exec) = &probe.exec {
        let path = [field, "exec", "command"];
        if exec.command.is_empty() && checks.sound(&path) {
            let message = "the probe's command is empty";
            checks.refuse(
                &path,
                Code::BadValue,
                message,
                "write the program and its arguments",
            );
        }
        command_words(&path, &exec.command, checks);
    }
    checks.within(
        &[field, "interval"],
        probe.interval,
        MIN_INTERVAL,
        MAX_INTERVAL,
    );
    checks.within(&[field, "timeout"], probe.timeout, Millis(1), MAX_TIMEOUT);
    checks.within(
        &[field, "initialDelay"],
        probe.initial_delay,
        Millis(0),
        MAX_INTERVAL,
    );
    checks.within(&[field, "successes"], probe.successes, 1, MAX_COUNT);
    checks.within(&[field, "failures"], probe.failures, 1, MAX_COUNT);
}

/// Exactly one target.
fn target(field: &str, probe: &Probe, checks: &mut Checks<'_>) {
    let targets = [
        ("http", probe.http.is_some()),
        ("tcp", probe.tcp.is_some()),
        ("exec", probe.exec.is_some()),
    ];
    let written: Vec<&str> = targets
        .iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| *name)
        .collect();
    match written.as_slice() {
        [_] => {}
        // One of them may have been refused already.
        [] if targets.iter().any(|(name, _)| !checks.sound(&[field, name])) => {}
        [] => checks.refuse_key(
            &[field],
            Code::MissingField,
            format!("`{field}` does not say what to ask"),
            "add one of `http: {port: 8080, path: /healthz}`, `tcp: {port: 8080}` and `exec: {command: [\"/bin/check\"]}`",
        ),
        [_, second, ..] => checks.refuse_key(
            &[field, second],
            Code::Contradiction,
            format!("`{field}` has {} targets", written.len()),
            format!("keep one of {}", one_of(&written)),
        ),
    }
}

/// A port that the job has, by name; by number any.
fn port(path: &[&str], port: &PortRef, job: &JobSpec, checks: &mut Checks<'_>) {
    match port {
        PortRef::Number(0) => checks.within(path, 0, 1, u16::MAX),
        PortRef::Number(_) => {}
        PortRef::Name(name) => {
            let known: Vec<&str> = job.ports.iter().map(|port| port.name.as_str()).collect();
            if known.contains(&name.as_str()) || !checks.sound(&["ports"]) {
                return;
            }
            let help = match (words::nearest(name, &known), known.as_slice()) {
                (Some(meant), _) => format!("did you mean `{meant}`?"),
                (None, []) => format!(
                    "add it under `ports`, such as `ports: [{{name: {}, port: 8080}}]`, or write its number",
                    quoted(name).trim_matches('`')
                ),
                (None, known) => format!("write {}, or the port's number", one_of(known)),
            };
            checks.refuse(
                path,
                Code::UnknownPort,
                format!("the job has no port named {}", quoted(name)),
                help,
            );
        }
    }
}
