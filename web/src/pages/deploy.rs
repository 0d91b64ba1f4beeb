//! One deploy: what was asked for, how far it is, and the way to take it back.

use crate::address::{self, Filters};
use crate::components::answer::{not_fresh, page_skeleton, present};
use crate::components::ask::{Ask, ask};
use crate::components::shape::state;
use crate::components::text;
use crate::format;
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone;
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use muster_schemas::access::{Needs, Role};
use muster_schemas::api::{DeployView, List, PlanView};
use muster_schemas::deploy::DeployStatus;
use serde_json::json;

/// The page.
pub fn page() -> AnyView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("deploy").unwrap_or_default()));
    text::page_title(move || format!("Deploy {}", id.get()));
    let deploy: Query<DeployView> = query::one_of_now(
        move || Question {
            path: address::deploy(&id.get()),
            interest: Interest::Deploys,
            keep: false,
        },
        SLOW_MILLIS,
    );
    view! {
        <nav class="crumbs" aria-label="Where you are">
            <a href="/deploys">"Deploys"</a><span aria-hidden="true">"/"</span><code>{id}</code>
        </nav>
        {not_fresh(deploy)}
        {present(deploy, page_skeleton, move |deploy| {
            // A question that somebody is answering must not be built anew by every step of the rollout.
            let to_cancel = Memo::new(move |_| deploy.with(|deploy| can_be_taken_back(deploy).then(|| (deploy.id.clone(), deploy.app.clone()))));
            let commit = Memo::new(move |_| deploy.with(|deploy| deploy.commit.clone()));
            view! {
                {move || deploy.with(show)}
                {move || commit.get().map(|commit| plans(&commit))}
                <div class="asks">{move || to_cancel.get().map(|(id, app)| cancel(&id, app.as_deref()))}</div>
            }
            .into_any()
        })}
    }
    .into_any()
}

/// What has succeeded stays as it is, and nothing is taken back twice.
fn can_be_taken_back(deploy: &DeployView) -> bool {
    match deploy.status {
        DeployStatus::Running => true,
        DeployStatus::Failed => deploy.commit.is_some() && deploy.taken_back.is_none(),
        DeployStatus::Succeeded | DeployStatus::Canceled => false,
    }
}

fn cancel(id: &str, app: Option<&str>) -> AnyView {
    ask(Ask {
        word: "Cancel the deploy",
        will: "Another commit puts the job's document back as it was, and the tasks that still run the version before are kept."
            .to_owned(),
        path: format!("{}/cancel", address::deploy(id)),
        body: json!({}),
        needs: app.map_or(Needs::Role(Role::Operator), Needs::app),
        primary: false,
    })
}

fn show(deploy: &DeployView) -> AnyView {
    let commit = |commit: Option<&str>| text::maybe_id("commit", commit);
    let desired = deploy
        .desired
        .map(|desired| text::fact("Tasks", text::number(desired.into())));
    let image = deploy.image.as_ref().map(|image| {
        view! {
            <div class="fact span-2" data-test-fact="Image"><dt>"Image"</dt><dd><code class="clip" title=image.clone()>{image.clone()}</code></dd></div>
        }
    });
    let run = deploy
        .run
        .as_ref()
        .map(|run| text::fact("Run", view! { <code>{run.clone()}</code> }.into_any()));
    let env = deploy
        .env
        .iter()
        .map(|(name, value)| view! { <div class="fact"><dt><code>{name.clone()}</code></dt><dd><code class="clip" title=value.clone()>{value.clone()}</code></dd></div> })
        .collect_view();
    view! {
        <div class="page-head detail" data-test-deploy=deploy.id.clone() data-test-status=tone::deploy(deploy.status).word>
            <h1>{deploy.id.clone()}</h1>
            {state(tone::deploy(deploy.status))}
            <span class="reason" data-test-progress-words>{text::rich(&format::sentence(&deploy.progress))}</span>
        </div>
        <dl class="panel facts wide">
            {text::fact("Job", text::job_link(&deploy.job))}
            {text::fact("Asked for by", deploy.requested_by.clone().into_any())}
            {text::fact("When", text::time(deploy.requested_at))}
            {text::fact("Ended", text::maybe_time(deploy.finished_at))}
            {text::fact("Has to be done by", text::time(deploy.deadline))}
            {text::fact("Execution", text::or_nothing(Some(deploy.execution.clone())))}
            {text::fact("Why", text::or_nothing(Some(deploy.reason.clone())))}
            {text::fact("Commit", commit(deploy.commit.as_deref()))}
            {text::fact("Taken back by", commit(deploy.taken_back.as_deref()))}
        </dl>
        <div class="section-head"><h2>"Asked for"</h2></div>
        <dl class="panel facts wide">{image}{desired}{run}{env}</dl>
        <p><a class="link" href=Filters::default().with("tab", "events").on(&address::job(&deploy.job))>"What happened to the job"</a></p>
    }
    .into_any()
}

/// The plan that its commit became.
fn plans(commit: &str) -> AnyView {
    let asked = commit.to_owned();
    let plans: Query<List<PlanView>> = query::many_of_now(
        move || Question {
            path: Filters::default().with("q", &asked).on("/plans"),
            interest: Interest::Plans,
            keep: true,
        },
        RwSignal::new(1usize).into(),
    );
    let plan = Memo::new(move |_| {
        let first = |list: &List<PlanView>| {
            list.items
                .first()
                .map(|plan| (plan.id.clone(), plan.status))
        };
        plans.data.with(|list| list.as_ref().and_then(first))
    });
    view! {
        {move || plan.get().map(|(id, status)| view! {
            <p data-test-deploy-plan=id.clone()>
                <a class="link" href=address::plan(&id)>"Its plan "<code>{format::short(&id).to_owned()}</code></a>" "{state(tone::plan(status))}
            </p>
        })}
    }
    .into_any()
}
