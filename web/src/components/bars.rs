//! How much of something is taken: bars with their numbers.

use crate::format;
use leptos::prelude::*;
use muster_schemas::state::HostResources;

/// A bar with its name and numbers. Colour means state here too: nearly full is said in a word as well.
pub fn bar(name: &'static str, part: u64, whole: u64, text: String) -> AnyView {
    let percent = format::percent(part, whole);
    let full = percent >= 95;
    view! {
        <div class="bar-row" data-test-bar=name>
            <span class="bar-name">{name}</span>
            <span
                class="bar"
                class:full=full
                role="meter"
                aria-label=name
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=percent.to_string()
            >
                <span class="bar-fill" style:width=format!("{percent}%")></span>
            </span>
            <span class="bar-text">{text}</span>
            <span class="bar-percent">{if whole == 0 { "–".to_owned() } else { format!("{percent} %") }}</span>
        </div>
    }
    .into_any()
}

/// All that a host, or all hosts, have and have given away.
pub fn capacity(allocated: &HostResources, capacity: &HostResources) -> AnyView {
    let of = |part: String, whole: String| format!("{part} of {whole}");
    let mut bars = vec![
        bar(
            "CPU",
            allocated.cpu.0.into(),
            capacity.cpu.0.into(),
            of(
                format::cpus(allocated.cpu.0),
                format!("{} CPUs", format::cpus(capacity.cpu.0)),
            ),
        ),
        bar(
            "Memory",
            allocated.memory.0,
            capacity.memory.0,
            of(
                format::bytes(allocated.memory.0),
                format::bytes(capacity.memory.0),
            ),
        ),
        bar(
            "Disk",
            allocated.disk.0,
            capacity.disk.0,
            of(
                format::bytes(allocated.disk.0),
                format::bytes(capacity.disk.0),
            ),
        ),
        bar(
            "Network",
            allocated.network.0.into(),
            capacity.network.0.into(),
            of(
                format::bandwidth(allocated.network),
                format::bandwidth(capacity.network),
            ),
        ),
    ];
    if capacity.gpu > 0 {
        bars.push(bar(
            "GPU",
            allocated.gpu.into(),
            capacity.gpu.into(),
            of(allocated.gpu.to_string(), capacity.gpu.to_string()),
        ));
    }
    bars.push(bar(
        "Containers",
        allocated.containers.into(),
        capacity.containers.into(),
        of(
            allocated.containers.to_string(),
            capacity.containers.to_string(),
        ),
    ));
    view! { <div class="bars">{bars}</div> }.into_any()
}

/// A small bar for a table's cell.
pub fn cell_bar(part: u64, whole: u64, text: String) -> AnyView {
    let percent = format::percent(part, whole);
    let full = percent >= 95;
    view! {
        <span class="cell-bar">
            <span class="bar" class:full=full aria-hidden="true">
                <span class="bar-fill" style:width=format!("{percent}%")></span>
            </span>
            <span class="number">{text}</span>
        </span>
    }
    .into_any()
}
