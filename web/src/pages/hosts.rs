//! All hosts.

use crate::address;
use crate::components::answer::{empty, list_skeleton, not_fresh, present};
use crate::components::bars::cell_bar;
use crate::components::filters::{self, in_address};
use crate::components::rows::{self, Row, rows};
use crate::components::shape::state;
use crate::components::text;
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question};
use crate::{format, tone};
use leptos::prelude::*;
use muster_schemas::api::{HostView, List};

const KEYS: [&str; 3] = ["q", "reachable", "zone"];

/// The page.
pub fn page() -> AnyView {
    text::page_title(|| "Hosts".to_owned());
    let filters = in_address();
    let want = RwSignal::new(STEP);
    let hosts: Query<List<HostView>> = query::many(
        move || Question {
            path: filters.now.get().picked(&KEYS).on("/hosts"),
            interest: Interest::All,
            keep: true,
        },
        want.into(),
    );
    let filtered = move || filters.now.with(|now| !now.picked(&KEYS).0.is_empty());
    view! {
        <div class="page-head">
            <h1>"Hosts"</h1>
            <span class="page-count">{move || hosts.data.with(|list| list.as_ref().map(|list| format::count(list.total)))}</span>
        </div>
        <div class="filters">
            {filters::search(filters, "Filter hosts")}
            {filters::choice(filters, "reachable", "Reachable", &[("true", "reachable"), ("false", "unreachable")])}
            {filters::given(filters, "zone", "zone")}
            {filters::clear(filters, &KEYS)}
        </div>
        {not_fresh(hosts)}
        {present(hosts, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=move || if filtered() {
                    empty("No host matches", "Take a filter away to see more.".into_any())
                } else {
                    empty("No hosts yet", view! { "Enrol one: "<code>"muster agent --join TOKEN URL"</code>" on the machine that is to run containers." }.into_any())
                }
            >
                {table(list)}
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
    }
    .into_any()
}

fn table(list: Signal<List<HostView>>) -> AnyView {
    view! {
        <div class="table-wrap">
            <table class="table hosts">
                <thead>
                    <tr>
                        <th class="c-task">"Host"</th>
                        <th class="c-state">"State"</th>
                        <th class="c-kind spare">"Zone"</th>
                        <th class="c-ip spare">"Address"</th>
                        <th class="c-n right">"Tasks"</th>
                        <th class="c-bar">"CPU"</th>
                        <th class="c-bar">"Memory"</th>
                        <th>"Remarks"</th>
                        <th class="c-time right spare">"Since"</th>
                    </tr>
                </thead>
                <tbody>{rows(move || list.with(|list| list.items.clone()), |host| host.id.clone(), row)}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(row: Row<HostView>) -> AnyView {
    let id = row.id.clone();
    let (name, host, reachable, shown) = (
        row.data.clone(),
        row.data.clone(),
        row.data.clone(),
        row.data,
    );
    view! {
        <tr
            data-test-host=move || shown.with(|host| host.name.clone())
            data-test-reachable=move || reachable.with(|host| host.reachable.to_string())
        >
            <td class="clip">
                <a class="row-link" data-row href=address::host(&id)>{move || name.with(|host| host.name.clone())}</a>
            </td>
            {move || host.with(cells)}
        </tr>
    }
    .into_any()
}

fn cells(host: &HostView) -> AnyView {
    let (cpu, memory) = (
        (host.allocated.cpu.0, host.capacity.cpu.0),
        (host.allocated.memory.0, host.capacity.memory.0),
    );
    let mut remarks = Vec::new();
    if !host.reason.is_empty() {
        remarks.push(format::sentence(&host.reason));
    }
    if !host.orphans.is_empty() {
        remarks.push(format::counted(host.orphans.len() as u64, "orphan"));
    }
    remarks.extend(
        host.warnings
            .iter()
            .map(|warning| format::sentence(warning)),
    );
    let remarks = remarks.join(" · ");
    view! {
        <td>{state(tone::host(host.reachable, host.ready))}</td>
        <td class="spare">{host.zone.clone()}</td>
        <td class="mono clip spare">{host.address.clone()}</td>
        <td class="right number">{format::count(host.tasks)}</td>
        <td>{cell_bar(cpu.0.into(), cpu.1.into(), format!("{} / {}", format::cpus(cpu.0), format::cpus(cpu.1)))}</td>
        <td>{cell_bar(memory.0, memory.1, format::bytes_of(memory.0, memory.1))}</td>
        <td class="clip dim" title=remarks.clone()>{remarks.clone()}</td>
        <td class="right spare">{text::time(host.since)}</td>
    }
    .into_any()
}
