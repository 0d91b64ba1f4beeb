//! What differs between two moments, for a person who asks what happened since.

use crate::cli::describe::Sheet;
use crate::cli::moment::local;
use crate::cli::rows;
use crate::cli::screen::Screen;
use crate::cli::table::{Cell, Table, Tone};
use jiff::Zoned;
use muster_schemas::api::JobStatus;
use muster_schemas::past::{FleetDiff, HostDiff, JobDiff, Presence, TaskDiff, TaskThen};
use muster_schemas::plan::Revision;
use std::fmt::Write as _;

pub(super) fn sheet(diff: &FleetDiff, now: &Zoned, screen: &Screen) -> String {
    let mut sheet = Sheet::new(screen.color);
    let moment = |as_of: &muster_schemas::past::AsOf| {
        format!("{}, record {}", local(as_of.at, now), as_of.seq)
    };
    sheet.field("From", moment(&diff.from));
    sheet.field("To", moment(&diff.to));
    sheet.field("Revision", revisions(diff));
    if diff.is_empty() {
        sheet.section("Nothing differs");
        return sheet.finish();
    }
    plans(&mut sheet, diff, now);
    if !diff.acts.is_empty() {
        sheet.section("What people did by command");
        let mut table = Table::new(&["WHEN", "WHO", "ABOUT", "WHAT"]);
        for act in &diff.acts {
            table.row(vec![
                Cell::text(local(act.at, now)),
                Cell::text(&act.actor),
                Cell::text(rows::about(act)),
                Cell::text(&act.text),
            ]);
        }
        sheet.table(&table, screen);
    }
    if !diff.complete {
        sheet.line(
            "these are the latest; `muster get events` shows more",
            Tone::Quiet,
        );
    }
    if !diff.jobs.is_empty() {
        sheet.section(&head("Jobs", diff.jobs.len(), diff.jobs_differ));
        for job in &diff.jobs {
            self::job(&mut sheet, job);
        }
    }
    if !diff.tasks.is_empty() {
        sheet.section(&head("Tasks", diff.tasks.len(), diff.tasks_differ));
        let mut table = Table::new(&["TASK", "", "THEN", "LATER"]);
        for task in &diff.tasks {
            table.row(self::task(task));
        }
        sheet.table(&table, screen);
    }
    if !diff.hosts.is_empty() {
        sheet.section(&head("Hosts", diff.hosts.len(), diff.hosts_differ));
        let mut table = Table::new(&["HOST", "", "THEN", "LATER"]);
        for host in &diff.hosts {
            table.row(self::host(host));
        }
        sheet.table(&table, screen);
    }
    sheet.finish()
}

fn head(what: &str, listed: usize, all: u64) -> String {
    match all > listed as u64 {
        true => format!("{what} that differ: the first {listed} of {all}"),
        false => format!("{what} that differ: {all}"),
    }
}

fn revisions(diff: &FleetDiff) -> String {
    let word = |revision: &Option<Revision>| {
        revision.as_ref().map_or("none".to_owned(), |revision| {
            let commit = rows::short(revision.commit.as_str());
            format!("{commit}  {}", revision.subject)
        })
    };
    let (from, to) = (word(&diff.revision_from), word(&diff.revision_to));
    match from == to {
        true => format!("{to} (the same)"),
        false => format!("{from}  ->  {to}"),
    }
}

fn plans(sheet: &mut Sheet, diff: &FleetDiff, now: &Zoned) {
    if diff.plans.is_empty() {
        return;
    }
    sheet.section("Plans that were applied");
    for plan in &diff.plans {
        let mut line = format!(
            "{}  plan {}",
            local(plan.applied_at, now),
            rows::short(&plan.plan)
        );
        if let Some(revision) = &plan.revision {
            let commit = rows::short(revision.commit.as_str());
            let _ = write!(
                line,
                "  {commit}  {}  ({})",
                revision.subject, revision.author
            );
        }
        if plan.by != "guard" {
            let _ = write!(line, ", let through by {}", plan.by);
        }
        sheet.line(&line, Tone::Plain);
    }
}

fn job(sheet: &mut Sheet, job: &JobDiff) {
    let mut line = match job.presence {
        Presence::Appeared => format!("+ {}", job.job),
        Presence::Gone => format!("- {}", job.job),
        Presence::Changed => format!("~ {}", job.job),
    };
    let status = |status: Option<JobStatus>| status.map(|status| rows::job_status(status).0);
    let steps = [
        step("version", job.version_from, job.version_to),
        step("", status(job.status_from), status(job.status_to)),
    ];
    for step in steps.into_iter().flatten() {
        let _ = write!(line, "  {step}");
    }
    let tally = &job.tasks;
    let counts: Vec<String> = [
        (tally.appeared, "appeared"),
        (tally.gone, "gone"),
        (tally.state, "in another state"),
        (tally.moved, "on another host"),
        (tally.version, "on another version"),
        (tally.restarted, "with a new attempt"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if !counts.is_empty() {
        let _ = write!(line, "  tasks: {}", counts.join(", "));
    }
    let tone = match job.presence {
        Presence::Appeared => Tone::Good,
        Presence::Gone => Tone::Bad,
        Presence::Changed => Tone::Busy,
    };
    sheet.line(&line, tone);
    sheet.changes(&job.fields);
}

/// `version 1 -> 2`; nothing where both are the same.
fn step<T: PartialEq + ToString>(name: &str, from: Option<T>, to: Option<T>) -> Option<String> {
    if from == to {
        return None;
    }
    let word = |value: Option<T>| value.map_or("none".to_owned(), |value| value.to_string());
    let step = format!("{} -> {}", word(from), word(to));
    Some(match name.is_empty() {
        true => step,
        false => format!("{name} {step}"),
    })
}

fn task(task: &TaskDiff) -> Vec<Cell> {
    let then = |then: &Option<TaskThen>| {
        then.as_ref().map_or("-".to_owned(), |then| {
            let host = then
                .host
                .as_ref()
                .map_or(String::new(), |host| format!(" on {host}"));
            format!(
                "{}{host}, version {}, attempt {}",
                then.state.word(),
                then.version,
                then.attempt_number
            )
        })
    };
    vec![
        Cell::text(&task.task),
        Cell::text(task.presence.word()),
        Cell::text(then(&task.from)),
        Cell::text(then(&task.to)),
    ]
}

fn host(host: &HostDiff) -> Vec<Cell> {
    let word = |reachable: Option<bool>, ready: Option<bool>| match (reachable, ready) {
        (None, _) => "-",
        (Some(false), _) => "unreachable",
        (Some(true), Some(true)) => "ready",
        (Some(true), _) => "not ready",
    };
    vec![
        Cell::text(&host.name),
        Cell::text(host.presence.word()),
        Cell::text(word(host.reachable_from, host.ready_from)),
        Cell::text(word(host.reachable_to, host.ready_to)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{self, screen};
    use crate::cli::screen::Format;

    fn now() -> Zoned {
        "2026-11-22T10:00:00+00:00[UTC]".parse().unwrap()
    }

    #[test]
    fn what_differs_and_who_did_it() {
        let diff: FleetDiff = serde_json::from_value(fixtures::diff()).unwrap();
        insta::assert_snapshot!(sheet(&diff, &now(), &screen(Format::Table)));
    }

    #[test]
    fn nothing_differs() {
        let mut diff: FleetDiff = serde_json::from_value(fixtures::diff()).unwrap();
        (diff.jobs, diff.tasks, diff.hosts) = Default::default();
        (diff.plans, diff.acts) = Default::default();
        (diff.jobs_differ, diff.tasks_differ, diff.hosts_differ) = (0, 0, 0);
        diff.revision_from.clone_from(&diff.revision_to);
        insta::assert_snapshot!(sheet(&diff, &now(), &screen(Format::Table)));
    }
}
