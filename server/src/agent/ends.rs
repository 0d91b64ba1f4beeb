//! How attempts end, in words for people.

use super::markers::Marker;
use crate::runtime::Container;
use jiff::Timestamp;
use muster_schemas::spec::Bytes;
use muster_schemas::state::{Ended, Outcome, StopOrder, StopReason};

/// Exit codes above this one tell of a signal.
const SIGNAL_BASE: i32 = 128;
/// The highest signal that Linux has.
const LAST_SIGNAL: i32 = 64;

/// How the attempt of an exited container ended.
pub fn exited(container: &Container, marker: Option<&Marker>, now: Timestamp) -> Ended {
    let code = container.exit_code;
    let signal =
        (code > SIGNAL_BASE && code <= SIGNAL_BASE + LAST_SIGNAL).then(|| code - SIGNAL_BASE);
    let stopped = marker.is_some_and(|marker| marker.stop_begun.is_some());
    let how = if container.oom && code != 0 {
        let limit = container
            .hardening
            .as_ref()
            .and_then(|hardening| hardening.memory_limit)
            .and_then(|limit| u64::try_from(limit).ok());
        match limit {
            Some(limit) => format!("killed for want of memory (limit {})", size(limit)),
            None => "killed for want of memory".to_owned(),
        }
    } else {
        match (code, signal) {
            (_, Some(signal)) => format!("killed by signal {signal}"),
            (126, None) => "exited with 126 (the command could not be executed)".to_owned(),
            (127, None) => "exited with 127 (the command was not found)".to_owned(),
            (_, None) => format!("exited with {code}"),
        }
    };
    Ended {
        outcome: match (stopped, code) {
            (true, _) => Outcome::Stopped,
            (false, 0) => Outcome::Succeeded,
            (false, _) => Outcome::Failed,
        },
        exit_code: Some(code),
        signal,
        oom: container.oom,
        at: container.finished_at.unwrap_or(now),
        message: if stopped {
            format!("stopped, {how}")
        } else {
            how
        },
        system_error: false,
    }
}

/// The end of an attempt whose container the engine could not start or create.
pub fn not_started(
    message: &str,
    exit_code: Option<i32>,
    system_error: bool,
    now: Timestamp,
) -> Ended {
    Ended {
        outcome: Outcome::Failed,
        exit_code,
        signal: None,
        oom: false,
        at: now,
        message: message.to_owned(),
        system_error,
    }
}

/// The end of an attempt whose start was asked for and, by the engine's word, did not happen.
pub fn start_unknown(now: Timestamp) -> Ended {
    let message = "the container did not start: the engine or the agent was interrupted while it was being started";
    not_started(message, None, true, now)
}

/// The end of an attempt that a stop order met before its container ever started.
pub fn never_started(order: &StopOrder, now: Timestamp) -> Ended {
    Ended {
        outcome: Outcome::Stopped,
        exit_code: None,
        signal: None,
        oom: false,
        at: now,
        message: format!("stopped before it started: {}", reason(&order.reason)),
        system_error: false,
    }
}

/// The end of an attempt whose container is gone.
pub fn lost(now: Timestamp) -> Ended {
    Ended {
        outcome: Outcome::Lost,
        exit_code: None,
        signal: None,
        oom: false,
        at: now,
        message: "its container was removed outside Muster".to_owned(),
        system_error: true,
    }
}

/// Why the engine could not start a container, and whether the cause lies outside the job.
pub fn start_error(message: &str, exit_code: i32) -> (String, bool) {
    // 126 and 127 are the engine's way to say that the job's command is no program; the words are of wishes in the spec
    // that the image cannot meet.
    let of_the_job = matches!(exit_code, 126 | 127)
        || [
            "executable file not found",
            "no such file or directory",
            "permission denied",
            "exec format error",
            "is a directory",
            "unable to find user",
            "unable to find group",
            "no matching entries in passwd file",
            "no matching entries in group file",
        ]
        .iter()
        .any(|words| message.contains(words));
    (
        format!("the container could not start: {}", tidy(message)),
        !of_the_job,
    )
}

/// The engine's words on one line, without the layers of its runtime in front.
pub fn tidy(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = message.as_str();
    for layer in [
        "failed to create task for container: ",
        "failed to create shim task: ",
        "failed to create shim: ",
        "OCI runtime create failed: ",
        "runc create failed: ",
        "container_linux.go:380: ",
        "unable to start container process: ",
        "starting container process caused: ",
    ] {
        if let Some((_, rest)) = text.split_once(layer) {
            text = rest;
        }
    }
    text.strip_suffix(": unknown").unwrap_or(text).to_owned()
}

fn reason(reason: &StopReason) -> String {
    match reason {
        StopReason::Rollout { to_version } => format!("version {to_version} replaces it"),
        StopReason::ScaleIn => "the job asks for fewer tasks".to_owned(),
        StopReason::Prune => "the job's document was removed".to_owned(),
        StopReason::Liveness { message } => format!("its liveness probe failed ({message})"),
        StopReason::RuntimeLimit { limit } => format!("it ran longer than {limit}"),
        StopReason::Drift { field, message } => {
            format!("somebody changed its {field}, and it could not be put back: {message}")
        }
        StopReason::Asked { message } => message.clone(),
        StopReason::Down => "the cell is taken down".to_owned(),
    }
}

pub(super) fn size(bytes: u64) -> String {
    let text = Bytes(bytes).to_string();
    match text.find(|c: char| !c.is_ascii_digit()) {
        Some(unit) => format!("{} {}", &text[..unit], &text[unit..]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::markers::Stage;
    use crate::agent::testing::{container, launch, marker};
    use crate::runtime::ContainerState;

    #[test]
    fn ends_are_told_in_words() {
        let now = Timestamp::UNIX_EPOCH;
        let mut lines = Vec::new();
        for (code, oom, stopped) in [
            (0, false, false),
            (1, false, false),
            (127, false, false),
            (137, false, false),
            (143, false, true),
            (0, false, true),
            (137, true, false),
            // A child of the first process was killed, and the first process went on to a good end.
            (0, true, false),
        ] {
            let mut container = container(&launch(7), ContainerState::Exited);
            container.exit_code = code;
            container.oom = oom;
            let mut marker = marker(&launch(7), Stage::Creating);
            marker.stop_begun = stopped.then_some(now);
            let ended = exited(&container, Some(&marker), now);
            lines.push(format!(
                "{code} oom={oom} stopped={stopped}: {:?} signal={:?} `{}`",
                ended.outcome, ended.signal, ended.message
            ));
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
        0 oom=false stopped=false: Succeeded signal=None `exited with 0`
        1 oom=false stopped=false: Failed signal=None `exited with 1`
        127 oom=false stopped=false: Failed signal=None `exited with 127 (the command was not found)`
        137 oom=false stopped=false: Failed signal=Some(9) `killed by signal 9`
        143 oom=false stopped=true: Stopped signal=Some(15) `stopped, killed by signal 15`
        0 oom=false stopped=true: Stopped signal=None `stopped, exited with 0`
        137 oom=true stopped=false: Failed signal=Some(9) `killed for want of memory (limit 128 MiB)`
        0 oom=true stopped=false: Succeeded signal=None `exited with 0`
        "#);
    }

    #[test]
    fn start_errors_are_told_in_words() {
        let lines: Vec<String> = [
            (
                127,
                "failed to create shim: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown",
            ),
            (
                128,
                "driver failed programming external connectivity on endpoint muster-7: Bind for 127.0.0.1:8080 failed: port is already allocated",
            ),
            (128, "unable to find user ada: no matching entries in passwd file"),
        ]
        .into_iter()
        .map(|(code, message)| format!("{:?}", start_error(message, code)))
        .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        ("the container could not start: exec: \"nope\": executable file not found in $PATH", false)
        ("the container could not start: driver failed programming external connectivity on endpoint muster-7: Bind for 127.0.0.1:8080 failed: port is already allocated", true)
        ("the container could not start: unable to find user ada: no matching entries in passwd file", false)
        "#);
    }
}
