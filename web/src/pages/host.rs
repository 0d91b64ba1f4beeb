//! One host: what it has and has given away, what is not as it should be, and the tasks on it.

use crate::address::{self, Filters};
use crate::components::answer::{empty, list_skeleton, not_fresh, notice, page_skeleton, present};
use crate::components::shape::state;
use crate::components::{bars, rows, task_table, text};
use crate::pages::{STEP, job};
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone::{self, Shape};
use crate::{components::copy, format};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use muster_schemas::api::{HostView, List, TaskView};

/// The page.
pub fn page() -> AnyView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("host").unwrap_or_default()));
    let host: Query<HostView> = query::one(
        move || Question {
            path: address::host(&id.get()),
            interest: Interest::All,
            keep: false,
        },
        SLOW_MILLIS,
    );
    let name = move || {
        host.data
            .with(|host| host.as_ref().map(|host| host.name.clone()))
            .unwrap_or_else(|| id.get())
    };
    text::page_title(name);
    view! {
        <nav class="crumbs" aria-label="Where you are"><a href="/hosts">"Hosts"</a><span aria-hidden="true">"/"</span><span>{name}</span></nav>
        {not_fresh(host)}
        {present(host, page_skeleton, move |host| view! {
            {move || host.with(head)}
            <div class="columns">
                <div class="column">
                    <section class="panel">
                        <div class="panel-head"><h2>"Capacity given away"</h2></div>
                        {move || host.with(|host| bars::capacity(&host.allocated, &host.capacity))}
                    </section>
                    {move || host.with(orphans)}
                    <section>
                        <div class="section-head"><h2>"Tasks on it"</h2></div>
                        {tasks(id)}
                    </section>
                </div>
                <div class="column side">{move || host.with(facts)}</div>
            </div>
        }.into_any())}
    }
    .into_any()
}

fn head(host: &HostView) -> AnyView {
    let warnings = host
        .warnings
        .iter()
        .map(|warning| {
            notice(
                "wait",
                Shape::Half,
                format::sentence(warning),
                ().into_any(),
            )
        })
        .collect_view();
    view! {
        <div class="page-head detail" data-test-host=host.name.clone() data-test-reachable=host.reachable.to_string()>
            <h1>{host.name.clone()}</h1>
            {state(tone::host(host.reachable, host.ready))}
            {(!host.reason.is_empty()).then(|| view! { <span class="reason">{text::rich(&format::sentence(&host.reason))}</span> })}
        </div>
        {warnings}
    }
    .into_any()
}

fn facts(host: &HostView) -> AnyView {
    view! {
        <section class="panel">
            <div class="panel-head"><h2>"Host"</h2></div>
            <dl class="facts">
                {text::fact("Address", text::id("address", &host.address))}
                {text::fact("Zone", view! { <a class="link" href=Filters::default().with("zone", &host.zone).on("/hosts")>{host.zone.clone()}</a> }.into_any())}
                {text::fact("Labels", if host.labels.is_empty() { text::nothing() } else { job::labels(&host.labels) })}
                {text::fact("Living tasks", text::number(host.tasks))}
                {text::fact(if host.reachable { "Connected" } else { "Lost" }, text::time(host.since))}
                {text::fact("Enrolled", text::time(host.enrolled_at))}
                {text::fact("Engine", host.engine.clone().into_any())}
                {text::fact("System", host.system.clone().into_any())}
                {text::fact("Agent", host.agent_version.clone().into_any())}
                {text::fact("Host id", text::id("host id", &host.id))}
            </dl>
        </section>
    }
    .into_any()
}

fn orphans(host: &HostView) -> AnyView {
    if host.orphans.is_empty() {
        return ().into_any();
    }
    let rows = host
        .orphans
        .iter()
        .map(|orphan| {
            view! {
                <tr data-test-orphan=orphan.container.clone()>
                    <td>
                        <span class="id">
                            <code>{format::short(&orphan.container).to_owned()}</code>
                            {copy::button("container id", orphan.container.clone())}
                        </span>
                    </td>
                    <td>{orphan.task.clone()}</td>
                    <td>{orphan.cell.clone()}</td>
                    <td>{if orphan.running { "runs" } else { "has ended" }}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <section class="panel" data-test-orphans>
            <div class="panel-head">
                <h2>"Orphans"</h2>
                <span class="dim">"Containers that the control plane does not know. They are left running until somebody decides."</span>
            </div>
            <table class="table">
                <thead><tr><th>"Container"</th><th>"Task on its label"</th><th>"Cell on its label"</th><th>"State"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </section>
    }
    .into_any()
}

fn tasks(id: Memo<String>) -> AnyView {
    let want = RwSignal::new(STEP);
    let tasks: Query<List<TaskView>> = query::many(
        move || Question {
            path: Filters::default().with("host", &id.get()).on("/tasks"),
            interest: Interest::All,
            keep: false,
        },
        want.into(),
    );
    present(tasks, list_skeleton, move |list| {
        view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=|| empty("No tasks on this host", "The scheduler chooses it as soon as it suits a task.".into_any())
            >
                {task_table::table(task_table::Hosts::Known, move || list.with(|list| list.items.clone()))}
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }
        .into_any()
    })
}
