//! `muster status`: the cell at a glance.

use crate::cli::client::{Client, Query};
use crate::cli::describe::Sheet;
use crate::cli::rows;
use crate::cli::screen::{Screen, print, print_json};
use crate::cli::table::Tone;
use crate::cli::time::age;
use jiff::Timestamp;
use muster_schemas::api::{FleetView, Severity};
use std::process::ExitCode;

/// Exit code 1 says that somebody is to look now, so that scripts can ask.
pub(super) async fn run(client: &Client, screen: &Screen) -> anyhow::Result<ExitCode> {
    let raw: serde_json::Value = client.get(&["fleet"], &Query::new()).await?;
    let fleet: FleetView = serde_json::from_value(raw.clone())?;
    if screen.is_json() {
        print_json(&raw)?;
    } else {
        print(&sheet(&fleet, Timestamp::now(), screen))?;
    }
    let page = |severity| severity == Severity::Page;
    let paged = fleet.alerts.iter().any(|alert| page(alert.severity));
    Ok(ExitCode::from(u8::from(paged)))
}

pub(super) fn sheet(fleet: &FleetView, now: Timestamp, screen: &Screen) -> String {
    let mut sheet = Sheet::new(screen.color);
    let down = if fleet.down {
        "  (taken down by a person)"
    } else {
        ""
    };
    sheet.field("Cell", format!("{}{down}", fleet.cell));
    sheet.field(
        "Control plane",
        format!(
            "version {}, up {}, epoch {}, event {}",
            fleet.version,
            age(now, fleet.started_at),
            fleet.epoch,
            fleet.seq
        ),
    );
    let read = match fleet.repository_read_at {
        Some(at) => format!("read {} ago", age(now, at)),
        None => "never read yet".to_owned(),
    };
    sheet.field(
        "Repository",
        format!("{} ({}), {read}", fleet.repository, fleet.branch),
    );
    sheet.field(
        "Revision",
        match &fleet.revision {
            Some(revision) => format!(
                "{}  {}  ({}, {} ago)",
                rows::short(revision.commit.as_str()),
                revision.subject,
                revision.author,
                age(now, revision.committed_at)
            ),
            None => "none applied yet".to_owned(),
        },
    );
    if let Some(plan) = &fleet.held_plan {
        sheet.field_in("Held plan", rows::short(plan), Tone::Bad);
    }
    if let Some(shut) = &fleet.out_of_time {
        let until = shut
            .until
            .map_or(String::new(), |until| format!(" until {until:.0}"));
        sheet.field_in("Plans wait", format!("{}{until}", shut.message), Tone::Busy);
    }
    for freeze in &fleet.freezes {
        let until = freeze
            .until
            .map_or(String::new(), |until| format!(", until {until:.0}"));
        sheet.field_in(
            "Frozen",
            format!(
                "{} by {}, {} ago{until}: {}",
                freeze.scope,
                freeze.by,
                age(now, freeze.since),
                freeze.reason
            ),
            Tone::Busy,
        );
    }
    let hosts = if fleet.hosts == fleet.hosts_reachable {
        Tone::Plain
    } else {
        Tone::Bad
    };
    sheet.field_in(
        "Hosts",
        format!("{} of {} reachable", fleet.hosts_reachable, fleet.hosts),
        hosts,
    );
    sheet.field(
        "In use",
        format!(
            "CPU {}/{}, memory {}, {} of {} containers",
            fleet.allocated.cpu,
            fleet.capacity.cpu,
            rows::of(fleet.allocated.memory, fleet.capacity.memory),
            fleet.allocated.containers,
            fleet.capacity.containers
        ),
    );
    sheet.field("Jobs", fleet.jobs.to_string());
    let states: Vec<String> = muster_schemas::state::TaskState::ALL
        .iter()
        .map(|state| {
            (
                state.word(),
                fleet.tasks.get(state.word()).copied().unwrap_or(0),
            )
        })
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    sheet.field(
        "Tasks",
        match states.is_empty() {
            true => "none".to_owned(),
            false => format!("{}; {} healthy", states.join(", "), fleet.healthy),
        },
    );
    sheet.field(
        "Stop budget",
        format!(
            "{} left of {} a minute",
            fleet.stops_left, fleet.stops_per_minute
        ),
    );
    if !fleet.alerts.is_empty() {
        sheet.section("Alerts");
        for alert in &fleet.alerts {
            let (word, tone) = match alert.severity {
                Severity::Page => ("look now", Tone::Bad),
                Severity::Warning => ("warning", Tone::Busy),
            };
            let since = alert
                .since
                .map_or(String::new(), |at| format!(" ({})", age(now, at)));
            sheet.line(&format!("{word}: {}{since}", alert.message), tone);
        }
    }
    if !fleet.refused.is_empty() {
        sheet.section("Refused documents");
        sheet.diagnostics(&fleet.refused);
    }
    sheet.finish()
}
