//! A host for a person who asks what it has and what is wrong with it.

use super::sheet::Sheet;
use crate::cli::rows;
use crate::cli::screen::Screen;
use crate::cli::table::Tone;
use crate::cli::time::{age, with_age};
use jiff::Timestamp;
use muster_schemas::api::{EventView, HostView, TaskView};

pub(super) fn sheet(
    host: &HostView,
    tasks: &[TaskView],
    events: &[EventView],
    now: Timestamp,
    screen: &Screen,
) -> String {
    let mut sheet = Sheet::new(screen.color);
    sheet.field("Host", &host.name);
    sheet.field("Id", &host.id);
    let (state, tone) = rows::host_state(host);
    sheet.field_in(
        "State",
        format!("{state} (for {})", age(now, host.since)),
        tone,
    );
    sheet.field("Reason", &host.reason);
    sheet.field("Address", &host.address);
    sheet.field("Zone", &host.zone);
    let labels: Vec<String> = host
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    sheet.field("Labels", labels.join(", "));
    let (used, all) = (&host.allocated, &host.capacity);
    sheet.field("CPU", format!("{}/{}", used.cpu, all.cpu));
    sheet.field("Memory", rows::of(used.memory, all.memory));
    sheet.field("Disk", rows::of(used.disk, all.disk));
    sheet.field("Network", format!("{}/{}", used.network.0, all.network));
    sheet.field("GPUs", format!("{}/{}", used.gpu, all.gpu));
    sheet.field(
        "Containers",
        format!("{}/{}", used.containers, all.containers),
    );
    sheet.field("Engine", &host.engine);
    sheet.field("System", &host.system);
    sheet.field("Agent", &host.agent_version);
    sheet.field("Enrolled", with_age(now, host.enrolled_at));
    if !host.warnings.is_empty() {
        sheet.section("Warnings");
        for warning in &host.warnings {
            sheet.line(warning, Tone::Busy);
        }
    }
    if !host.orphans.is_empty() {
        sheet.section(
            "Orphans: containers that the control plane does not know; they are left running",
        );
        for orphan in &host.orphans {
            let runs = if orphan.running {
                "runs"
            } else {
                "does not run"
            };
            let line = format!(
                "{}  task {} of cell {}, {runs}",
                rows::short(&orphan.container),
                orphan.task,
                orphan.cell
            );
            sheet.line(&line, Tone::Bad);
        }
    }
    sheet.tasks(tasks, now, screen);
    sheet.events_of_tasks(events, now, screen);
    sheet.finish()
}
