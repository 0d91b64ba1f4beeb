//! One job: what it is, how its rollout stands, its tasks, spec, history and events.

use crate::address::{self, Filters};
use crate::components::answer::{empty, list_skeleton, not_fresh, notice, page_skeleton, present};
use crate::components::ask::{Ask, ask};
use crate::components::rollback::{self, Chosen, Target};
use crate::components::shape::state;
use crate::components::{changes, copy, events, freeze, rows, task_table, text};
use crate::pages::{STEP, jobs};
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone::{self, Shape};
use crate::{format, yaml};
use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_params_map};
use muster_schemas::access::Needs;
use muster_schemas::api::{
    DisruptionBudgetView, EventView, FleetView, JobDetail, JobStatus, List, MeasurementView,
    RolloutState, RolloutView, TaskView,
};
use muster_schemas::plan::FreezeScope;
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::JobKind;
use serde_json::json;

/// The page's parts that are shown one at a time; the address says which.
const TABS: [(&str, &str); 4] = [
    ("tasks", "Tasks"),
    ("history", "History"),
    ("spec", "Spec"),
    ("events", "Events"),
];

/// The page.
pub fn page() -> AnyView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("job").unwrap_or_default()));
    text::page_title(move || id.get());
    let job: Query<JobDetail> = query::one(
        move || Question {
            path: address::job(&id.get()),
            interest: Interest::Job(id.get()),
            keep: false,
        },
        SLOW_MILLIS,
    );
    let query = use_location().query;
    let tab = Memo::new(move |_| {
        let asked = query.with(|query| query.get("tab").unwrap_or_default());
        TABS.iter()
            .find(|(name, _)| *name == asked)
            .map_or("tasks", |(name, _)| *name)
    });
    let chosen: Chosen = RwSignal::new(None);
    // Another job's page is another question.
    Effect::new(move |_| {
        id.track();
        chosen.set(None);
    });
    view! {
        <nav class="crumbs" aria-label="Where you are"><a href="/jobs">"Jobs"</a><span aria-hidden="true">"/"</span><span>{id}</span></nav>
        {not_fresh(job)}
        {present(job, page_skeleton, move |job| view! {
            {move || job.with(head)}
        {frozen_job(job)}
            {move || job.with(|job| job.rollout.as_ref().map(|one| rollout(one, job.job.desired)))}
            {move || job.with(|job| job.disruption_budget.as_ref().map(disruption_budget))}
            {tell_rollout(job)}
            {move || job.with(facts)}
            <nav class="tabs" aria-label="Parts of the job">
                {TABS.into_iter().map(|(name, word)| view! {
                    <a
                        class="tab"
                        href=move || Filters::default().with("tab", name).on(&address::job(&id.get()))
                        aria-current=move || (tab.get() == name).then_some("true")
                        data-test-tab=name
                    >
                        {word}
                        <span class="tab-count">{move || count(name, job)}</span>
                    </a>
                }).collect_view()}
            </nav>
            {move || match tab.get() {
                "history" => job.with(|job| history(job, chosen)),
                "spec" => job.with(spec),
                "events" => job_events(id),
                _ => job_tasks(id),
            }}
        }.into_any())}
        {rollback::panel(chosen)}
    }
    .into_any()
}

fn count(tab: &str, job: Signal<JobDetail>) -> Option<String> {
    job.with(|job| match tab {
        "tasks" => Some(format::count(job.job.tasks.values().sum())),
        "history" => Some(format::count(job.history.len() as u64)),
        _ => None,
    })
}

fn head(detail: &JobDetail) -> AnyView {
    let job = &detail.job;
    view! {
        <div class="page-head detail">
            <h1>{job.id.clone()}</h1>
            <span data-test-status=tone::job(job).word>{state(tone::job(job))}</span>
            {(job.drift > 0).then(|| view! {
                <a class="link" href=Filters::default().with("job", &job.id).on("/drift") data-test-job-drift=job.drift.to_string()>
                    {format!("{} not as git says", format::counted(job.drift, "field"))}
                </a>
            })}
            {(!job.reason.is_empty()).then(|| view! { <span class="reason" data-test-reason>{text::rich(&format::sentence(&job.reason))}</span> })}
        </div>
        {(!job.declared).then(|| notice(
            "wait",
            Shape::Half,
            "No document of the applied revision asks for this job.".to_owned(),
            // A job that is pruned says in its reason until when it runs on.
            view! { <p class="dim">{if job.status == JobStatus::Tombstone || job.status == JobStatus::Stopping {
                "The policy prunes. Put its document back before its time is over, and it keeps its containers."
            } else {
                "It runs on, since the policy does not prune. Put its document back to have it declared again."
            }}</p> }.into_any(),
        ))}
    }
    .into_any()
}

/// The freezes that keep the job as it is, and the button that makes one.
fn frozen_job(job: Signal<JobDetail>) -> AnyView {
    let fleet: Query<FleetView> = expect_context();
    // A question that somebody is answering must not be built anew by every event.
    let id = Memo::new(move |_| job.with(|job| (job.job.id.clone(), job.job.app.clone())));
    let freezes = Memo::new(move |_| {
        let (id, app) = id.get();
        fleet.data.with(|fleet| {
            let freezes = fleet.iter().flat_map(|fleet| &fleet.freezes);
            freezes
                .filter(|freeze| match &freeze.scope {
                    FreezeScope::Cell => true,
                    FreezeScope::App { app: frozen } => *frozen == app,
                    FreezeScope::Job { job } => job.as_str() == id,
                })
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    view! {
        {move || freezes.with(|freezes| freeze::frozen(freezes))}
        {move || freezes.with(Vec::is_empty).then(|| {
            let (job, app) = id.get();
            let job = job.as_str().into();
            view! { <div class="asks">{freeze::freeze_button(&FreezeScope::Job { job }, Needs::app(&app))}</div> }
        })}
    }
    .into_any()
}

/// A rollout of a job that asks for `desired` tasks. What is on the new version is counted against these, as the facts below do:
/// with a surge, or with two sets beside each other, more live than are asked for.
fn rollout(rollout: &RolloutView, desired: u64) -> AnyView {
    let percent = format::percent(rollout.settled, desired);
    let updated = format::percent(rollout.updated, desired);
    view! {
        <section class="panel rollout" data-test-rollout=rollout.to_version.to_string()>
            <div class="rollout-head">
                <h2>{rollout_title(rollout)}</h2>
                <span class="dim" data-test-strategy=rollout.strategy.clone()>{rollout.strategy.clone()}</span>
                <span class="grow"></span>
                <span data-test-rollout-updated=rollout.updated.to_string()>
                    <b class="number">{rollout.updated}</b>{format!(" of {} on it, ", format::counted(desired, "task"))}
                    <b class="number">{rollout.settled}</b>
                    <span title="Healthy for the minimum healthy time">" settled, "</span>
                    <b class="number">{rollout.outdated}</b>
                    <span title="They stop as those on the new version settle">" on older versions"</span>
                </span>
            </div>
            <div class="rollout-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow=percent.to_string()
                aria-label="Rollout">
                <span class="rollout-updated" style:width=format!("{updated}%")></span>
                <span class="rollout-settled" style:width=format!("{percent}%")></span>
            </div>
            {rollout.step.as_ref().map(|step| view! {
                <p data-test-step=step.step.to_string()>
                    {format!("Step {} of {}: {} on the new version", step.step.min(step.of), step.of, format::counted(step.tasks.into(), "task"))}
                    {rollout.until.map(|until| view! { <span class="dim">", paused until "{text::time(until)}</span> })}
                </p>
            })}
            {(!rollout.reason.is_empty()).then(|| view! {
                <p class="reason" data-test-rollout-reason>{text::rich(&format::sentence(&rollout.reason))}</p>
            })}
            {(!rollout.measurements.is_empty()).then(|| view! {
                <ul class="notes">{rollout.measurements.iter().map(measurement).collect_view()}</ul>
            })}
            {(!rollout.waiting_for.is_empty()).then(|| view! {
                <p class="dim" data-test-waiting>"Waits for "{rollout.waiting_for.clone()}</p>
            })}
        </section>
    }
    .into_any()
}

fn disruption_budget(budget: &DisruptionBudgetView) -> AnyView {
    view! {
        <section class="panel pad" data-test-disruption-budget>
            <h2>"Disruption budget"</h2>
            <p>
                {format::sentence(&budget.limit)}" "
                <b class="number" data-test-budget-healthy>{budget.healthy}</b>" are healthy, "
                <b class="number" data-test-budget-floor>{budget.floor}</b>" have to be."
            </p>
            {budget.rate.as_ref().map(|rate| view! { <p>{format::sentence(rate)}</p> })}
            {(!budget.windows.is_empty()).then(|| view! { <p>"Only "{budget.windows.join("; ")}"."</p> })}
            {budget.waits_for.as_ref().map(|waits| view! {
                <p class="dim" data-test-budget-waits>"Waits for "{waits.clone()}</p>
            })}
        </section>
    }
    .into_any()
}

fn rollout_title(rollout: &RolloutView) -> String {
    let version = rollout.to_version;
    match rollout.state {
        RolloutState::Progressing => format!("Rolling out version {version}"),
        RolloutState::Holding => format!("Rolling out version {version}: the step is held"),
        RolloutState::Keeping => {
            format!("Version {version} is rolled out, and the old tasks are kept")
        }
        RolloutState::Stalled => format!("The rollout of version {version} gets no further"),
        RolloutState::Aborted => format!("The rollout of version {version} was aborted"),
    }
}

fn measurement(measured: &MeasurementView) -> AnyView {
    view! {
        <li data-test-measurement=measured.name.clone()>
            <b>{measured.name.clone()}</b>" "{measured.verdict.word()}" "{text::time(measured.at)}": "
            {text::rich(&measured.message)}
        </li>
    }
    .into_any()
}

/// What a person can tell the rollout.
fn tell_rollout(job: Signal<JobDetail>) -> AnyView {
    // A question that somebody is answering must not be built anew by every event.
    let actions = Memo::new(move |_| {
        job.with(|job| {
            let actions = job
                .rollout
                .as_ref()
                .map_or_else(Vec::new, |rollout| rollout.actions.clone());
            (job.job.id.clone(), job.job.app.clone(), actions)
        })
    });
    view! {
        {move || actions.with(|(id, app, actions)| (!actions.is_empty()).then(|| view! {
            <div class="asks">{actions.iter().map(|word| tell_button(id, app, *word)).collect_view()}</div>
        }))}
    }
    .into_any()
}

fn tell_button(id: &str, app: &str, action: RolloutWord) -> AnyView {
    let (word, will) = match action {
        RolloutWord::Promote => (
            "Promote",
            "The rollout goes on now, whatever its pause and its analysis say; tasks that were kept to go back leave.",
        ),
        RolloutWord::Abort => (
            "Abort",
            "The version before serves on: its tasks take the place of the new ones, until a newer commit or a retry.",
        ),
        RolloutWord::Retry => ("Retry", "The rollout begins again from its first step."),
    };
    ask(Ask {
        word,
        will: will.to_owned(),
        path: format!("/jobs/{id}/rollout"),
        body: json!({ "action": action }),
        needs: Needs::app(app),
        primary: false,
    })
}

fn facts(detail: &JobDetail) -> AnyView {
    let job = &detail.job;
    let ends = match job.kind {
        JobKind::Service => view! {
            {text::fact("Healthy", jobs::progress(job))}
            {text::fact("Up to date", view! { <span class="number">{job.updated}" of "{job.desired}</span> }.into_any())}
        }
        .into_any(),
        JobKind::Batch => view! {
            {text::fact("Succeeded", jobs::progress(job))}
            {text::fact("Failed", text::number(job.failed))}
            {text::fact("Run", text::number(job.run.into()))}
        }
        .into_any(),
    };
    let name = [
        Some(job.app.as_str()),
        job.stack.as_deref(),
        job.detail.as_deref(),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(" / ");
    view! {
        <dl class="panel facts wide">
            {ends}
            {text::fact("Version", text::number(job.version))}
            {text::fact("Updated", text::time(job.updated_at))}
            {text::fact("Created", text::time(job.created_at))}
            {text::fact("Kind", jobs::kind(job.kind).into_any())}
            {text::fact("Tier", jobs::tier(job.tier).into_any())}
            {text::fact("Capacity group", job.capacity_group.clone().into_any())}
            {text::fact("Application", view! { <a class="link" href=Filters::default().with("app", &job.app).on("/jobs")>{name}</a> }.into_any())}
            {text::fact("Owner", view! { <a class="link" href=Filters::default().with("owner", &job.owner).on("/jobs")>{job.owner.clone()}</a> }.into_any())}
            {text::fact("Document", view! { <code class="clip" title=job.source.clone()>{job.source.clone()}</code> }.into_any())}
            {text::fact("Changed by", job.revision.as_ref().map_or_else(text::nothing, text::revision))}
            <div class="fact span-2" data-test-fact="Image">
                <dt>"Image"</dt>
                <dd><span class="id"><code class="clip" title=job.image.clone()>{job.image_ref.clone()}</code>{copy::button("image by digest", job.image.clone())}</span></dd>
            </div>
            {(!job.labels.is_empty()).then(|| view! {
                <div class="fact span-2" data-test-fact="Labels"><dt>"Labels"</dt><dd class="tags">{labels(&job.labels)}</dd></div>
            })}
        </dl>
    }
    .into_any()
}

/// Labels as tags.
pub fn labels(labels: &std::collections::BTreeMap<String, String>) -> AnyView {
    labels
        .iter()
        .map(|(key, value)| view! { <span class="tag">{format!("{key}={value}")}</span> })
        .collect_view()
        .into_any()
}

fn job_tasks(id: Memo<String>) -> AnyView {
    let want = RwSignal::new(STEP);
    let tasks: Query<List<TaskView>> = query::many(
        move || Question {
            path: Filters::default().with("job", &id.get()).on("/tasks"),
            interest: Interest::Job(id.get()),
            keep: false,
        },
        want.into(),
    );
    present(tasks, list_skeleton, move |list| {
        view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=|| empty("No tasks", "The job asks for none, or its first are about to be made.".into_any())
            >
                {task_table::table(task_table::Hosts::Shown, move || list.with(|list| list.items.clone()))}
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }
        .into_any()
    })
}

fn history(detail: &JobDetail, chosen: Chosen) -> AnyView {
    if detail.history.is_empty() {
        return empty(
            "No history yet",
            "Each plan that changes the job is listed here.".into_any(),
        );
    }
    detail
        .history
        .iter()
        .map(|entry| {
            // There is nothing to go back to in the version that holds.
            let back = (entry.version != detail.job.version).then(|| {
                let target = Target {
                    revision: entry.revision.clone(),
                    job: Some(detail.job.id.clone()),
                    needs: Needs::app(&detail.job.app),
                };
                rollback::button(chosen, target)
            });
            view! {
                <article class="panel change" data-test-version=entry.version.to_string()>
                    <div class="panel-head">
                        <span class="version-mark number">{format!("v{}", entry.version)}</span>
                        <span class=format!("action {}", tone::action(&entry.action).class())>{entry.action.clone()}</span>
                        <span class="clip">{text::revision(&entry.revision)}</span>
                        <span class="grow"></span>
                        <span class="faint">{format::author(&entry.revision.author).to_owned()}", "{text::time(entry.at)}</span>
                        <a class="link" href=address::plan(&entry.plan)>"plan "<code>{format::short(&entry.plan).to_owned()}</code></a>
                        {back}
                    </div>
                    {changes::fields(&entry.fields)}
                </article>
            }
        })
        .collect_view()
        .into_any()
}

fn spec(detail: &JobDetail) -> AnyView {
    let text = yaml::print(&detail.spec);
    view! {
        <section class="panel" data-test-spec>
            <div class="panel-head">
                <h2>"Spec"</h2>
                <span class="faint">{format!("version {}, from {}", detail.job.version, detail.job.source)}</span>
                <span class="grow"></span>
                {copy::button("spec", text.clone())}
            </div>
            <pre class="code"><code>{text}</code></pre>
        </section>
    }
    .into_any()
}

fn job_events(id: Memo<String>) -> AnyView {
    let want = RwSignal::new(STEP);
    let list: Query<List<EventView>> = query::many(
        move || Question {
            path: Filters::default().with("job", &id.get()).on("/events"),
            interest: Interest::Job(id.get()),
            keep: false,
        },
        want.into(),
    );
    present(list, list_skeleton, move |list| {
        view! {
            <section class="panel pad">{move || list.with(|list| events::timeline_of_tasks(&list.items))}</section>
            {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
        }
        .into_any()
    })
}
