//! The latest deploys.

use crate::address::{self, Filters};
use crate::components::answer::{empty, list_skeleton, not_fresh, of_now, present};
use crate::components::rows::{self, Row, rows};
use crate::components::shape::state;
use crate::components::text;
use crate::format;
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question};
use crate::tone;
use leptos::prelude::*;
use leptos_router::hooks::use_location;
use muster_schemas::api::{DeployView, List};

/// The page. Deploys are shown as they stand now, whatever moment the console shows: those that have ended are listed, too. An address such as `/deploys?job=web` narrows it down.
pub fn page() -> AnyView {
    text::page_title(|| "Deploys".to_owned());
    let want = RwSignal::new(STEP);
    let search = use_location().query;
    let job = Memo::new(move |_| search.with(|query| query.get("job").unwrap_or_default()));
    let deploys: Query<List<DeployView>> = query::many_of_now(
        move || Question {
            path: Filters::default().with("job", &job.get()).on("/deploys"),
            interest: Interest::Deploys,
            keep: true,
        },
        want.into(),
    );
    view! {
        <div class="page-head">
            <h1>"Deploys"</h1>
            <span class="page-count">{move || deploys.data.with(|list| list.as_ref().map(|list| format::count(list.total)))}</span>
            <div class="strip">{move || (!job.with(String::is_empty)).then(|| view! {
                <span>"of "{text::job_link(&job.get())}", "<a class="link" href="/deploys">"show all"</a></span>
            })}</div>
        </div>
        {of_now()}
        {not_fresh(deploys)}
        {present(deploys, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=|| empty("No deploys yet", "A pipeline makes one with POST /api/v1/deploys/{id}.".into_any())
            >
                <div class="table-wrap">
                    <table class="table deploys">
                        <thead>
                            <tr>
                                <th class="c-task">"Deploy"</th>
                                <th class="c-state">"Status"</th>
                                <th class="c-job">"Job"</th>
                                <th>"Progress"</th>
                                <th class="c-plan">"Commit"</th>
                                <th class="c-owner spare">"Asked for by"</th>
                                <th class="c-time right">"When"</th>
                            </tr>
                        </thead>
                        <tbody>{rows(move || list.with(|list| list.items.clone()), |deploy| deploy.id.clone(), row)}</tbody>
                    </table>
                </div>
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
    }
    .into_any()
}

fn row(row: Row<DeployView>) -> AnyView {
    let id = row.id.clone();
    let (deploy, word) = (row.data.clone(), row.data);
    view! {
        <tr data-test-deploy=id.clone() data-test-status=move || word.with(|deploy| tone::deploy(deploy.status).word)>
            <td class="clip"><a class="row-link mono" data-row href=address::deploy(&id) title=id.clone()>{id.clone()}</a></td>
            {move || deploy.with(cells)}
        </tr>
    }
    .into_any()
}

fn cells(deploy: &DeployView) -> AnyView {
    let commit = deploy.commit.as_deref().map_or_else(text::nothing, |commit| {
        view! { <code class="digest" title=commit.to_owned()>{format::short(commit).to_owned()}</code> }.into_any()
    });
    view! {
        <td>{state(tone::deploy(deploy.status))}</td>
        <td class="clip">{text::job_link(&deploy.job)}</td>
        <td class="clip" title=deploy.progress.clone()>{text::rich(&format::sentence(&deploy.progress))}</td>
        <td>{commit}</td>
        <td class="clip dim spare">{deploy.requested_by.clone()}</td>
        <td class="right">{text::time(deploy.requested_at)}</td>
    }
    .into_any()
}
