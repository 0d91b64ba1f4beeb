//! A task for a person who asks why it is as it is.

use super::sheet::{Sheet, pairs};
use crate::cli::hardening::in_force;
use crate::cli::rows;
use crate::cli::screen::Screen;
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::time::{age, ahead, with_age};
use jiff::Timestamp;
use muster_schemas::api::{AttemptView, EventView, TaskDetail};
use muster_schemas::state::TaskState;

pub(super) fn sheet(
    detail: &TaskDetail,
    events: &[EventView],
    now: Timestamp,
    screen: &Screen,
) -> String {
    let task = &detail.task;
    let mut sheet = Sheet::new(screen.color);
    sheet.field("Task", &task.id);
    let (state, tone) = rows::task_state(task);
    sheet.field_in("State", state, tone);
    sheet.field("Reason", &task.reason);
    let waits_until = task.not_before.filter(|_| task.state == TaskState::Queued);
    sheet.field(
        "Next attempt",
        waits_until.map_or(String::new(), |at| ahead(now, at)),
    );
    let (health, tone) = rows::health(task);
    sheet.field_in("Health", health, tone);
    if task.failures > 0 {
        let times = if task.failures == 1 {
            "attempt"
        } else {
            "attempts in a row"
        };
        sheet.field_in("Failures", format!("{} {times}", task.failures), Tone::Bad);
    }
    sheet.field(
        "Exit code",
        rows::exit(task.exit_code, task.signal, task.oom),
    );
    sheet.field(
        "Job",
        format!(
            "{}, app {}, tier {}",
            task.job,
            detail.app,
            rows::tier(detail.tier)
        ),
    );
    sheet.field("Owner", &detail.owner);
    let old = if task.current_version {
        ""
    } else {
        " (not the job's current one)"
    };
    sheet.field("Version", format!("{}{old}", task.version));
    if let Some(revision) = &detail.revision {
        let commit = rows::short(revision.commit.as_str());
        sheet.field(
            "Revision",
            format!("{commit}  {}  ({})", revision.subject, revision.author),
        );
    }
    if task.run > 0 {
        sheet.field("Run", task.run.to_string());
    }
    sheet.field("Image", &task.image);
    sheet.field("Host", task.host.as_deref().unwrap_or_default());
    sheet.field("IP", task.ip.as_deref().unwrap_or_default());
    let ports: Vec<String> = detail
        .ports
        .iter()
        .map(|port| match port.host_port {
            Some(on_host) => format!("{} {} (host {on_host})", port.name, port.port),
            None => format!("{} {}", port.name, port.port),
        })
        .collect();
    sheet.field("Ports", ports.join(", "));
    sheet.field(
        "Container",
        task.container.as_deref().map_or("", rows::short),
    );
    sheet.field("Resources", pairs(&detail.resources));
    if let Some(hardening) = &detail.hardening {
        sheet.field("Hardening", in_force(hardening));
    }
    sheet.field("Created", with_age(now, task.created_at));
    sheet.field(
        "Started",
        task.started_at
            .map_or(String::new(), |at| with_age(now, at)),
    );
    sheet.field(
        "Finished",
        task.finished_at
            .map_or(String::new(), |at| with_age(now, at)),
    );
    let hops: Vec<String> = detail
        .hops
        .iter()
        .map(|hop| format!("{} +{} ms", hop.name, hop.millis))
        .collect();
    sheet.field("Way here", hops.join(", "));

    if let Some(blocked) = &detail.blocked {
        sheet.section(&match blocked.hosts {
            0 => "Why it is not placed: there are no hosts".to_owned(),
            1 => "Why it is not placed: the one host cannot take it".to_owned(),
            hosts => format!("Why it is not placed: none of {hosts} hosts can take it"),
        });
        for reason in &blocked.reasons {
            sheet.line(reason, Tone::Bad);
        }
    }
    if !detail.attempts.is_empty() {
        sheet.section("Attempts, newest first");
        sheet.table(&attempts(&detail.attempts, now), screen);
        // They are numbered from 1; the fleet keeps the latest.
        let oldest = detail.attempts.iter().map(|attempt| attempt.number).min();
        let earlier = oldest.map_or(0, |oldest| oldest.saturating_sub(1));
        if earlier > 0 {
            let ones = if earlier == 1 { "one" } else { "ones" };
            let task = &task.id;
            sheet.line(
                &format!("and {earlier} earlier {ones}, see `muster get events --task {task}`"),
                Tone::Quiet,
            );
        }
    }
    sheet.events(events, now, screen);
    sheet.finish()
}

fn attempts(attempts: &[AttemptView], now: Timestamp) -> Table {
    let mut table = Table::new(&["N", "STATE", "HOST", "VERSION", "AGE", "EXIT", "ID", "WHAT"]);
    for attempt in attempts {
        let (state, tone) = match attempt.outcome {
            Some(outcome) => rows::outcome(outcome),
            None => (attempt.state.word(), rows::state_tone(attempt.state)),
        };
        let mut what = attempt.message.clone();
        if let Some(stop) = &attempt.stop {
            let joint = if what.is_empty() { "" } else { "; " };
            what = format!("{what}{joint}stopped: {stop}");
        }
        table.row(vec![
            Cell::number(attempt.number),
            Cell::text(state).tone(tone),
            Cell::text(&attempt.host),
            Cell::number(attempt.version),
            Cell::text(age(now, attempt.placed_at)),
            Cell::text(rows::exit(attempt.exit_code, attempt.signal, attempt.oom)),
            Cell::text(&attempt.id),
            Cell::text(what),
        ]);
    }
    table
}
