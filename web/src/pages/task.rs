//! One task: its state and why, its instance, log, use, attempts and timeline.

use crate::address::{self, Filters};
use crate::components::answer::{list_skeleton, not_fresh, notice, page_skeleton, present};
use crate::components::shape::state;
use crate::components::{attempts, events, logs, spark, text};
use crate::pages::instance;
use crate::past::past;
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone::{self, Shape};
use crate::{clock, format};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use muster_schemas::api::{EventView, List, TaskDetail, UsageView};
use muster_schemas::explain::{Explanation, NearHost};

/// Readings come every few seconds.
const USAGE_MILLIS: u32 = 5_000;
/// So much of the timeline stands on the page; the rest is a link away.
const MOMENTS: usize = 50;

/// The page.
pub fn page() -> AnyView {
    let past = past();
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("task").unwrap_or_default()));
    text::page_title(move || id.get());
    let task: Query<TaskDetail> = query::one(
        move || Question {
            path: address::task(&id.get()),
            interest: Interest::Task(id.get()),
            keep: false,
        },
        SLOW_MILLIS,
    );
    view! {
        {move || {
            let id = id.get();
            let job = id.rsplit_once('.').map_or_else(|| id.clone(), |(job, _)| job.to_owned());
            view! {
                <nav class="crumbs" aria-label="Where you are">
                    <a href="/jobs">"Jobs"</a><span aria-hidden="true">"/"</span>
                    <a href=address::job(&job)>{job.clone()}</a><span aria-hidden="true">"/"</span>
                    <span>{id}</span>
                </nav>
            }
        }}
        {not_fresh(task)}
        {present(task, page_skeleton, move |task| {
            let current = Memo::new(move |_| task.with(|task| task.task.attempt.clone()));
            let all = Signal::derive(move || task.with(|task| task.attempts.clone()));
            view! {
                {move || task.with(head)}
                {move || task.with(blocked)}
                {
                    let is_blocked = Memo::new(move |_| task.with(|task| task.blocked.is_some()));
                    move || is_blocked.get().then(|| nearest(id))
                }
                <div class="columns">
                    <div class="column">
                        // Both are of the container that runs now.
                        {move || past.is_now().then(|| view! {
                            {usage(id)}
                            {logs::panel(id.into(), current, all)}
                        })}
                        <section class="panel" data-test-attempts>
                            <div class="panel-head"><h2>"Attempts"</h2></div>
                            {move || task.with(|task| attempts::table(&task.attempts))}
                        </section>
                    </div>
                    <div class="column side">
                        {move || task.with(instance::panel)}
                        {move || task.with(hops)}
                        {timeline(id)}
                        {move || task.with(|task| task.hardening.as_ref().map(instance::hardening))}
                    </div>
                </div>
            }.into_any()
        })}
    }
    .into_any()
}

fn head(detail: &TaskDetail) -> AnyView {
    let task = &detail.task;
    let clock = clock::clock();
    let next = task.not_before.map(|at| {
        view! {
            <span class="reason">
                {move || if at > clock.now() { format!("Next attempt in {}", format::between(clock.now(), at)) } else { String::new() }}
            </span>
        }
    });
    view! {
        <div
            class="page-head detail"
            data-test-task=task.id.clone()
            data-test-state=task.state.word()
            data-test-healthy=task.healthy.to_string()
        >
            <h1>{task.id.clone()}</h1>
            {state(tone::task(task))}
            // Where no host takes it, the notice below says more.
            {(!task.reason.is_empty() && detail.blocked.is_none()).then(|| view! {
                <span class="reason" data-test-reason>{text::rich(&format::sentence(&task.reason))}</span>
            })}
            {next}
        </div>
        {(!task.reachable && task.finished_at.is_none()).then(|| notice(
            "wait",
            Shape::Barred,
            "Its host's agent is not connected: what is shown here is the last that was heard.".to_owned(),
            view! { <p class="dim">"The container may well run on. Nothing is stopped or started in its place without evidence."</p> }.into_any(),
        ))}
    }
    .into_any()
}

fn blocked(detail: &TaskDetail) -> AnyView {
    let Some(blocked) = &detail.blocked else {
        return ().into_any();
    };
    let reasons = blocked
        .reasons
        .iter()
        .map(|reason| view! { <li>{reason.clone()}</li> })
        .collect_view();
    notice(
        "bad",
        Shape::Barred,
        format!(
            "No host takes it: {} looked at.",
            format::counted(blocked.hosts.into(), "host")
        ),
        view! { <ul class="notes" data-test-blocked>{reasons}</ul> }.into_any(),
    )
}

/// The hosts that are nearest to taking a task that waits, with what would let it start.
fn nearest(id: Memo<String>) -> AnyView {
    let explanation: Query<Explanation> = query::one(
        move || Question {
            path: format!("{}/explain", address::task(&id.get())),
            interest: Interest::Task(id.get()),
            keep: false,
        },
        USAGE_MILLIS,
    );
    let host = |near: &NearHost| {
        let obstacles = near
            .obstacles
            .iter()
            .map(|obstacle| {
                view! {
                    <li>
                        {text::rich(&format::sentence(&obstacle.why))}
                        <p class="dim">{text::rich(&format::sentence(&obstacle.remedy))}</p>
                    </li>
                }
            })
            .collect_view();
        let zone = (!near.zone.is_empty()).then(|| format!(" in zone {}", near.zone));
        view! {
            <div class="near" data-test-near=near.host.clone()>
                <h3><a href=address::host(&near.host)>{near.host.clone()}</a><span class="dim">{zone}</span></h3>
                <ul class="notes">{obstacles}</ul>
            </div>
        }
    };
    view! {
        {move || explanation.data.get().filter(|found| !found.nearest.is_empty()).map(|found| view! {
            <section class="panel apart" aria-label="Nearest hosts" data-test-nearest>
                <div class="panel-head"><h2>"What would let it start"</h2><span class="grow"></span><span class="dim">"the nearest hosts"</span></div>
                <div class="nearest">{found.nearest.iter().map(host).collect_view()}</div>
            </section>
        })}
    }
    .into_any()
}

fn usage(id: Memo<String>) -> AnyView {
    let usage: Query<UsageView> = query::one(
        move || Question {
            path: format!("{}/usage", address::task(&id.get())),
            interest: Interest::Nothing,
            keep: false,
        },
        USAGE_MILLIS,
    );
    view! {
        <section class="panel usage" aria-label="Use">
            {move || match usage.data.get() {
                Some(view) => spark::usage(&view),
                None => match usage.trouble.get() {
                    Some(trouble) => view! { <p class="faint pad">{trouble.words().0}</p> }.into_any(),
                    None => ().into_any(),
                },
            }}
        </section>
    }
    .into_any()
}

/// How long each step from the push to healthy took.
fn hops(detail: &TaskDetail) -> AnyView {
    // The first attempt's way begins with the push. That of a later one begins with its host: the time before it was that of
    // the attempts before.
    let is_first = detail.task.attempt_number <= 1;
    let has = |name: &str| detail.hops.iter().any(|hop| hop.name == name);
    let title = match (is_first, has("healthy")) {
        (true, true) => "From push to healthy",
        (true, false) => "Since the push, so far",
        (false, true) => "From its host to healthy",
        (false, false) => "Since its host was chosen, so far",
    };
    let hops: Vec<_> = detail
        .hops
        .iter()
        .filter(|hop| is_first || !matches!(hop.name.as_str(), "planned" | "placed"))
        .collect();
    if hops.is_empty() {
        return ().into_any();
    }
    let total: u64 = hops.iter().map(|hop| hop.millis).sum();
    let most = hops.iter().map(|hop| hop.millis).max().unwrap_or(0);
    let rows = hops
        .iter()
        .map(|hop| {
            view! {
                <li data-test-hop=hop.name.clone()>
                    <span>{format::word(&hop.name)}</span>
                    <span class="bar" aria-hidden="true">
                        <span class="bar-fill" style:width=format!("{}%", format::percent(hop.millis, most))></span>
                    </span>
                    <span class="number">{format::duration(hop.millis)}</span>
                </li>
            }
        })
        .collect_view();
    view! {
        <section class="panel">
            <div class="panel-head"><h2>{title}</h2><span class="grow"></span><span class="number">{format::duration(total)}</span></div>
            <ol class="hops">{rows}</ol>
        </section>
    }
    .into_any()
}

fn timeline(id: Memo<String>) -> AnyView {
    let want = Signal::stored(MOMENTS);
    let list: Query<List<EventView>> = query::many(
        move || Question {
            path: Filters::default().with("task", &id.get()).on("/events"),
            interest: Interest::Task(id.get()),
            keep: false,
        },
        want,
    );
    view! {
        <section class="panel" data-test-timeline>
            <div class="panel-head">
                <h2>"Timeline"</h2>
                <span class="grow"></span>
                <a class="link faint" href=move || Filters::default().with("task", &id.get()).on("/events")>"All events"</a>
            </div>
            <div class="pad">{present(list, list_skeleton, move |list| view! {
                {move || list.with(|list| if list.items.is_empty() {
                    view! { <p class="faint">"Nothing has happened yet."</p> }.into_any()
                } else {
                    events::timeline(&list.items)
                })}
            }.into_any())}</div>
        </section>
    }
    .into_any()
}
