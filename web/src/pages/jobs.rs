//! All jobs.

use crate::address;
use crate::components::answer::{empty, list_skeleton, not_fresh, present};
use crate::components::filters::{self, in_address};
use crate::components::rows::{self, Row, rows};
use crate::components::shape::state;
use crate::components::text;
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question};
use crate::{format, tone};
use leptos::prelude::*;
use muster_schemas::api::{FleetView, JobView, List};
use muster_schemas::spec::{JobKind, Tier};

const KEYS: [&str; 7] = [
    "q",
    "state",
    "kind",
    "tier",
    "app",
    "owner",
    "capacity_group",
];

/// The page.
pub fn page() -> AnyView {
    text::page_title(|| "Jobs".to_owned());
    let filters = in_address();
    let want = RwSignal::new(STEP);
    let jobs: Query<List<JobView>> = query::many(
        move || Question {
            path: filters.now.get().picked(&KEYS).on("/jobs"),
            interest: Interest::All,
            keep: true,
        },
        want.into(),
    );
    let filtered = move || filters.now.with(|now| !now.picked(&KEYS).0.is_empty());
    view! {
        <div class="page-head">
            <h1>"Jobs"</h1>
            {cell_strip()}
        </div>
        <div class="filters">
            {filters::search(filters, "Filter jobs")}
            {filters::choice(filters, "state", "Status", &[
                ("running", "running"), ("progressing", "progressing"), ("degraded", "degraded"), ("crash_loop", "crash loop"),
                ("blocked", "blocked"), ("stopping", "stopping"), ("succeeded", "succeeded"), ("failed", "failed"), ("idle", "idle"),
            ])}
            {filters::choice(filters, "kind", "Kind", &[("service", "service"), ("batch", "batch")])}
            {filters::choice(filters, "tier", "Tier", &[("critical", "critical"), ("flex", "flex")])}
            {filters::given(filters, "app", "app")}
            {filters::given(filters, "owner", "owner")}
            {filters::clear(filters, &KEYS)}
        </div>
        {not_fresh(jobs)}
        {present(jobs, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=move || if filtered() {
                    empty("No job matches", "Take a filter away to see more.".into_any())
                } else {
                    no_jobs()
                }
            >
                {table(list)}
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
    }
    .into_any()
}

fn no_jobs() -> AnyView {
    empty(
        "No jobs yet",
        view! { "Commit a job's document to the repository and push: it shows up here within seconds. "
            <code>"muster validate"</code>" checks it before." }
        .into_any(),
    )
}

/// The cell in a few numbers; each leads to what it counts.
fn cell_strip() -> AnyView {
    let fleet: Query<FleetView> = expect_context();
    view! {
        <div class="strip">
            {move || fleet.data.with(|fleet| {
                let fleet = fleet.as_ref()?;
                let of = |word: &str| fleet.tasks.get(word).copied().unwrap_or(0);
                let running = of("running");
                let waiting = of("queued") + of("assigned") + of("starting");
                let cpu = format::percent(fleet.allocated.cpu.0.into(), fleet.capacity.cpu.0.into());
                let memory = format::percent(fleet.allocated.memory.0, fleet.capacity.memory.0);
                Some(view! {
                    <a href="/tasks?state=running&healthy=true"><b>{format::count(fleet.healthy)}</b>" healthy of "{format::counted(running, "running task")}</a>
                    <a href="/tasks?state=queued&state=assigned&state=starting"><b>{format::count(waiting)}</b>" waiting"</a>
                    <a href="/hosts"><b>{format::count(fleet.hosts_reachable)}</b>" of "{format::counted(fleet.hosts, "host")}" reachable"</a>
                    <span title="Of what the reachable hosts have"><b>{format!("{cpu} %")}</b>" CPU, "<b>{format!("{memory} %")}</b>" memory given away"</span>
                    <span title="Automated stops that are allowed in a minute, and how many of them are left">
                        <b>{fleet.stops_left}</b>{format!(" of {} stops left", fleet.stops_per_minute)}
                    </span>
                })
            })}
        </div>
    }
    .into_any()
}

fn table(list: Signal<List<JobView>>) -> AnyView {
    view! {
        <div class="table-wrap">
            <table class="table jobs">
                <thead>
                    <tr>
                        <th class="c-job">"Job"</th>
                        <th class="c-state">"Status"</th>
                        <th class="c-progress right">"Tasks"</th>
                        <th>"Reason"</th>
                        <th class="c-image spare">"Image"</th>
                        <th class="c-version right spare">"Version"</th>
                        <th class="c-owner spare">"Owner"</th>
                        <th class="c-time right">"Updated"</th>
                    </tr>
                </thead>
                <tbody>{rows(move || list.with(|list| list.items.clone()), |job| job.id.clone(), row)}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(row: Row<JobView>) -> AnyView {
    let id = row.id.clone();
    let (job, word, declared) = (row.data.clone(), row.data.clone(), row.data);
    // A job never changes from one kind to the other.
    let batch = job.with_untracked(|job| job.kind == JobKind::Batch);
    view! {
        <tr data-test-job=id.clone() data-test-status=move || word.with(|job| tone::job(job).word)>
            <td>
                <span class="named">
                    <a class="row-link clip" data-row href=address::job(&id) title=id.clone()>{id.clone()}</a>
                    {batch.then(|| view! { <span class="tag after">"batch"</span> })}
                    {move || (!declared.with(|job| job.declared)).then(|| view! {
                        <span class="tag after" title="No document of the applied revision asks for it" data-test-undeclared>"undeclared"</span>
                    })}
                </span>
            </td>
            {move || job.with(cells)}
        </tr>
    }
    .into_any()
}

fn cells(job: &JobView) -> AnyView {
    view! {
        <td>{state(tone::job(job))}</td>
        <td class="right">{progress(job)}" "<span class="dim">{done(job.kind)}</span></td>
        <td class="clip dim" title=job.reason.clone()>{text::rich(&format::sentence(&job.reason))}</td>
        <td class="clip spare">{text::image(&job.image_ref, &job.image)}</td>
        <td class="right number spare">{job.version}</td>
        <td class="clip dim spare">{job.owner.clone()}</td>
        <td class="right">{text::time(job.updated_at)}</td>
    }
    .into_any()
}

/// How far a job is: healthy of desired, or finished of all.
pub fn progress(job: &JobView) -> AnyView {
    let (part, whole, title) = match job.kind {
        JobKind::Service => (job.healthy, job.desired, "healthy of desired"),
        JobKind::Batch => (job.succeeded, job.desired, "succeeded of all"),
    };
    view! {
        <span class="number" title=title data-test-progress=format!("{part}/{whole}")>
            {format::count(part)}<span class="faint">" / "{format::count(whole)}</span>
        </span>
    }
    .into_any()
}

/// What a task of the kind has to be to count.
fn done(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Service => "healthy",
        JobKind::Batch => "done",
    }
}

/// The kind's word.
pub fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Service => "service",
        JobKind::Batch => "batch",
    }
}

/// The tier's word.
pub fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Critical => "critical",
        Tier::Flex => "flex",
    }
}
