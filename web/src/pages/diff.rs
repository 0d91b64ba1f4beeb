//! What has changed since a moment, and who did it.

use crate::address;
use crate::components::answer::{empty, list_skeleton, not_fresh, notice, present};
use crate::components::{changes, events, text};
use crate::format;
use crate::past::past;
use crate::query::{self, Interest, Query, Question};
use crate::tone::{self, Shape, Tone};
use leptos::prelude::*;
use muster_schemas::api::JobStatus;
use muster_schemas::past::{
    AppliedPlan, FleetDiff, HostDiff, JobDiff, Presence, TaskDiff, TaskTally, TaskThen,
};

/// A comparison with the fleet as it is now is made anew so often.
const EVERY_MILLIS: u32 = 30_000;

/// The page.
pub fn page() -> AnyView {
    let past = past();
    text::page_title(|| "What changed".to_owned());
    let diff: Query<FleetDiff> = query::one_of_now(
        move || Question {
            path: past.at().map_or_else(String::new, |at| {
                address::Filters::default().with("from", &at).on("/diff")
            }),
            interest: Interest::Nothing,
            keep: true,
        },
        EVERY_MILLIS,
    );
    view! {
        <div class="page-head">
            <h1>"What changed since"</h1>
            <span class="page-count">
                {move || diff.data.with(|diff| diff.as_ref().map(|diff| view! {
                    {text::time(diff.from.at)}
                    {format!(", records {} to {}", format::count(diff.from.seq), format::count(diff.to.seq))}
                }))}
            </span>
        </div>
        {not_fresh(diff)}
        {move || if past.is_now() {
            empty("Choose a time", "The clock in the top bar does: then this page shows what has changed since.".into_any())
        } else {
            present(diff, list_skeleton, differing)
        }}
    }
    .into_any()
}

/// What differs, drawn anew only when that changes: the later moment of a comparison with now is always another.
fn differing(diff: Signal<FleetDiff>) -> AnyView {
    let content = Memo::new(move |_| {
        let mut diff = diff.get();
        diff.to = diff.from;
        diff
    });
    view! { {move || content.with(body)} }.into_any()
}

fn body(diff: &FleetDiff) -> AnyView {
    if diff.is_empty() {
        return empty(
            "Nothing has changed",
            "Jobs, tasks and hosts are as they were, and nobody did anything.".into_any(),
        );
    }
    view! {
        {(!diff.complete).then(|| notice(
            "wait",
            Shape::Half,
            "Plans and commands are the latest of many; the page of events has the others.".to_owned(),
            ().into_any(),
        ))}
        {plans(&diff.plans)}
        {(!diff.acts.is_empty()).then(|| view! {
            <section data-test-diff="acts">
                <div class="section-head"><h2>"By command"</h2></div>
                <div class="panel pad">{events::timeline(&diff.acts)}</div>
            </section>
        })}
        {section("jobs", "Jobs", diff.jobs.len(), diff.jobs_differ, diff.jobs.iter().map(job).collect_view().into_any())}
        {section("tasks", "Tasks", diff.tasks.len(), diff.tasks_differ, tasks(&diff.tasks))}
        {section("hosts", "Hosts", diff.hosts.len(), diff.hosts_differ, hosts(&diff.hosts))}
    }
    .into_any()
}

fn section(
    name: &'static str,
    title: &'static str,
    listed: usize,
    all: u64,
    inside: AnyView,
) -> AnyView {
    if all == 0 {
        return ().into_any();
    }
    let more = (all > listed as u64)
        .then(|| format!("the first {} are listed", format::count(listed as u64)));
    view! {
        <section data-test-diff=name>
            <div class="section-head">
                <h2>{title}</h2>
                <span class="number" data-test-differ=all.to_string()>{format::count(all)}</span>
                <span class="faint">{more}</span>
            </div>
            {inside}
        </section>
    }
    .into_any()
}

fn plans(plans: &[AppliedPlan]) -> AnyView {
    if plans.is_empty() {
        return ().into_any();
    }
    let items = plans
        .iter()
        .map(|plan| {
            let revision = plan.revision.as_ref();
            view! {
                <li class="moment busy" data-test-diff-plan=plan.plan.clone()>
                    <span class="moment-mark" aria-hidden="true"></span>
                    <div class="moment-body">
                        <p>{revision.map_or_else(|| "A plan was applied".into_any(), text::revision)}</p>
                        <p class="faint">
                            {text::time(plan.applied_at)}
                            {revision.map(|revision| format!(" · {}", format::author(&revision.author)))}
                            {(plan.by != "guard").then(|| format!(" · let through by {}", plan.by))}
                            " · "
                            <a class="link" href=address::plan(&plan.plan)>"plan "<code>{format::short(&plan.plan).to_owned()}</code></a>
                        </p>
                    </div>
                </li>
            }
        })
        .collect_view();
    view! {
        <section data-test-diff="plans">
            <div class="section-head"><h2>"By commit"</h2></div>
            <div class="panel pad"><ol class="timeline">{items}</ol></div>
        </section>
    }
    .into_any()
}

fn presence(presence: Presence) -> AnyView {
    let tone = match presence {
        Presence::Appeared => Tone::Good,
        Presence::Gone => Tone::Bad,
        Presence::Changed => Tone::Busy,
    };
    view! { <span class=format!("action {}", tone.class())>{presence.word()}</span> }.into_any()
}

fn job(job: &JobDiff) -> AnyView {
    let status =
        |status: Option<JobStatus>| status.map(|status| tone::status(status).word.to_owned());
    let version = |version: Option<u64>| version.map(|version| format!("v{version}"));
    view! {
        <article class="panel change" data-test-diff-job=job.job.clone() data-test-presence=job.presence.word()>
            <div class="panel-head">
                {presence(job.presence)}
                <h3>{link("link", address::job(&job.job), &job.job, job.presence)}</h3>
                {step(version(job.version_from), version(job.version_to))}
                {step(status(job.status_from), status(job.status_to))}
                <span class="grow"></span>
                <span class="dim">{tally(&job.tasks)}</span>
            </div>
            {changes::fields(&job.fields)}
        </article>
    }
    .into_any()
}

/// To what it is now, or was, where it is no more.
fn link(class: &'static str, to: String, name: &str, presence: Presence) -> AnyView {
    let name = name.to_owned();
    match presence {
        Presence::Gone => {
            view! { <a class=class data-row href=to title="As it was">{name}</a> }.into_any()
        }
        Presence::Appeared | Presence::Changed => {
            view! { <a class=class data-row href=to title="As it is now" data-own-moment="">{name}</a> }.into_any()
        }
    }
}

/// `v1 → v2`; nothing where both are the same.
fn step(from: Option<String>, to: Option<String>) -> AnyView {
    if from == to {
        return ().into_any();
    }
    let word = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    view! { <span class="dim">{word(from)}" → "{word(to)}</span> }.into_any()
}

/// How a job's tasks differ, in words.
fn tally(tasks: &TaskTally) -> String {
    let parts: Vec<String> = [
        (tasks.appeared, "new"),
        (tasks.gone, "gone"),
        (tasks.state, "in another state"),
        (tasks.moved, "on another host"),
        (tasks.version, "on another version"),
        (tasks.restarted, "started anew"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{} {word}", format::count(number)))
    .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("tasks: {}", parts.join(", ")),
    }
}

fn then(then: Option<&TaskThen>) -> AnyView {
    let Some(then) = then else {
        return text::nothing();
    };
    let host = then.host.as_ref().map(|host| format!(" on {host}"));
    view! {
        <span>{then.state.word()}{host}</span>
        <span class="faint">{format!(" v{}, attempt {}", then.version, then.attempt_number)}</span>
    }
    .into_any()
}

fn tasks(tasks: &[TaskDiff]) -> AnyView {
    let rows = tasks
        .iter()
        .map(|task| {
            view! {
                <tr data-test-diff-task=task.task.clone() data-test-presence=task.presence.word()>
                    <td class="clip">{link("row-link", address::task(&task.task), &task.task, task.presence)}</td>
                    <td>{presence(task.presence)}</td>
                    <td class="clip">{then(task.from.as_ref())}</td>
                    <td class="clip">{then(task.to.as_ref())}</td>
                </tr>
            }
        })
        .collect_view();
    table("Task", rows.into_any())
}

fn hosts(hosts: &[HostDiff]) -> AnyView {
    let word = |reachable: Option<bool>, ready: Option<bool>| {
        reachable.map(|reachable| tone::host(reachable, ready == Some(true)).word)
    };
    let rows = hosts
        .iter()
        .map(|host| {
            view! {
                <tr data-test-diff-host=host.name.clone() data-test-presence=host.presence.word()>
                    <td class="clip">{link("row-link", address::host(&host.id), &host.name, host.presence)}</td>
                    <td>{presence(host.presence)}</td>
                    <td>{text::or_nothing(word(host.reachable_from, host.ready_from).map(str::to_owned))}</td>
                    <td>{text::or_nothing(word(host.reachable_to, host.ready_to).map(str::to_owned))}</td>
                </tr>
            }
        })
        .collect_view();
    table("Host", rows.into_any())
}

fn table(name: &'static str, rows: AnyView) -> AnyView {
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr><th class="c-job">{name}</th><th class="c-plan">"How"</th><th>"Then"</th><th>"Now"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_names_what_differs_and_nothing_else() {
        let none = TaskTally::default();
        assert_eq!(tally(&none), "");
        let some = TaskTally {
            appeared: 2,
            moved: 1,
            ..none
        };
        assert_eq!(tally(&some), "tasks: 2 new, 1 on another host");
    }
}
