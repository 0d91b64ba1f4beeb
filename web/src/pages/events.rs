//! All events: the journal for people.

use crate::address;
use crate::components::answer::{empty, list_skeleton, not_fresh, present};
use crate::components::filters::{self, in_address};
use crate::components::rows::{self, Row, rows};
use crate::components::{events, text};
use crate::format;
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question};
use leptos::prelude::*;
use muster_schemas::api::{EventView, List};

const KEYS: [&str; 6] = ["kind", "job", "task", "attempt", "host", "plan"];

/// The kinds that people look for.
const KINDS: [(&str, &str); 21] = [
    ("plan_made", "plan made"),
    ("plan_applied", "plan applied"),
    ("plan_held", "plan held"),
    ("job_scaled", "job scaled"),
    ("resize_ended", "size ended"),
    ("put_back_ordered", "put back"),
    ("repository_troubled", "repository troubled"),
    ("repository_recovered", "repository recovered"),
    ("task_created", "task created"),
    ("task_queued", "task queued"),
    ("task_blocked", "task blocked"),
    ("attempt_placed", "attempt placed"),
    ("attempt_reported", "attempt reported"),
    ("stop_ordered", "stop ordered"),
    ("task_finished", "task finished"),
    ("host_enrolled", "host enrolled"),
    ("host_connected", "host connected"),
    ("host_unreachable", "host unreachable"),
    ("orphans_seen", "orphans seen"),
    ("leadership_taken", "leadership taken"),
    ("cell_taken_down", "cell taken down"),
];

/// The page.
pub fn page() -> AnyView {
    text::page_title(|| "Events".to_owned());
    let filters = in_address();
    let want = RwSignal::new(STEP);
    let list: Query<List<EventView>> = query::many(
        move || Question {
            path: filters.now.get().picked(&KEYS).on("/events"),
            interest: Interest::All,
            keep: true,
        },
        want.into(),
    );
    view! {
        <div class="page-head">
            <h1>"Events"</h1>
            <span class="page-count">{move || list.data.with(|list| list.as_ref().map(|list| format::count(list.total)))}</span>
        </div>
        <div class="filters">
            {filters::choice(filters, "kind", "Kind", &KINDS)}
            {filters::given(filters, "job", "job")}
            {filters::given(filters, "task", "task")}
            {filters::given(filters, "attempt", "attempt")}
            {filters::given(filters, "host", "host")}
            {filters::given(filters, "plan", "plan")}
            {filters::clear(filters, &KEYS)}
        </div>
        {not_fresh(list)}
        {present(list, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=|| empty("No events", "Nothing that matches has happened, or all of it is older than the journal reaches.".into_any())
            >
                <div class="table-wrap">
                    <table class="table events">
                        <thead>
                            <tr>
                                <th class="c-seq right spare">"#"</th>
                                <th class="c-time">"When"</th>
                                <th class="c-kind-wide spare">"Kind"</th>
                                <th>"What happened"</th>
                                <th class="c-task">"About"</th>
                                <th class="c-owner">"Who"</th>
                            </tr>
                        </thead>
                        <tbody>{rows(move || list.with(|list| list.items.clone()), |event| event.seq.to_string(), row)}</tbody>
                    </table>
                </div>
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
    }
    .into_any()
}

/// An event never changes: it is drawn once.
fn row(row: Row<EventView>) -> AnyView {
    row.data.with_untracked(|event| {
        view! {
            <tr class=events::tone(&event.kind) data-test-event=event.kind.clone() data-test-seq=row.id.clone()>
                <td class="right number faint spare">{event.seq}</td>
                <td>{text::time(event.at)}</td>
                <td class="clip dim spare">{format::word(&event.kind)}</td>
                <td class="clip" title=event.text.clone()>{format::sentence(&event.text)}</td>
                <td class="clip">{about(event)}</td>
                <td class="clip dim">{event.actor.clone()}</td>
            </tr>
        }
        .into_any()
    })
}

fn about(event: &EventView) -> AnyView {
    let (to, name) = match (&event.task, &event.job, &event.plan, &event.host) {
        (Some(task), _, _, _) => (address::task(task), task.clone()),
        (None, Some(job), _, _) => (address::job(job), job.clone()),
        (None, None, Some(plan), _) => {
            (address::plan(plan), format!("plan {}", format::short(plan)))
        }
        (None, None, None, Some(host)) => (
            address::host(host),
            format!("host …{}", format::short_attempt(host)),
        ),
        (None, None, None, None) => return text::nothing(),
    };
    view! { <a class="link" data-row href=to>{name}</a> }.into_any()
}
