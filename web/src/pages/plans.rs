//! All plans, and the documents that are refused now.

use crate::address;
use crate::components::answer::{empty, list_skeleton, not_fresh, notice, present};
use crate::components::rollback::{self, Chosen, Target};
use crate::components::rows::{self, Row, rows};
use crate::components::shape::state;
use crate::components::{changes, freeze, text};
use crate::format;
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question};
use crate::tone::{self, Shape};
use leptos::prelude::*;
use muster_schemas::access::{Needs, Role};
use muster_schemas::api::{FleetView, List, PlanStatus, PlanView};
use muster_schemas::ids::CommitId;
use muster_schemas::plan::FreezeScope;

/// The page.
pub fn page() -> AnyView {
    text::page_title(|| "Plans".to_owned());
    let want = RwSignal::new(STEP);
    let plans: Query<List<PlanView>> = query::many(
        || Question {
            path: "/plans".to_owned(),
            interest: Interest::Plans,
            keep: true,
        },
        want.into(),
    );
    let fleet: Query<FleetView> = expect_context();
    // The question that somebody is answering must not be built anew by every event.
    let freezes = Memo::new(move |_| {
        fleet.data.with(|fleet| {
            let freezes = fleet.as_ref().map(|fleet| fleet.freezes.clone());
            freezes.unwrap_or_default()
        })
    });
    let cell_runs = Memo::new(move |_| {
        freezes.with(|freezes| {
            freezes
                .iter()
                .all(|freeze| freeze.scope != FreezeScope::Cell)
        })
    });
    let applied = Memo::new(move |_| {
        fleet.data.with(|fleet| {
            let revision = fleet.as_ref().and_then(|fleet| fleet.revision.as_ref());
            revision.map(|revision| revision.commit.clone())
        })
    });
    let out_of_time = Memo::new(move |_| {
        fleet
            .data
            .with(|fleet| fleet.as_ref().and_then(|fleet| fleet.out_of_time.clone()))
    });
    let troubles = Memo::new(move |_| {
        fleet.data.with(|fleet| {
            let alerts = fleet.iter().flat_map(|fleet| &fleet.alerts);
            alerts
                .filter(|alert| alert.code.starts_with("repository-"))
                .map(|alert| (alert.message.clone(), alert.since))
                .collect::<Vec<_>>()
        })
    });
    let chosen: Chosen = RwSignal::new(None);
    view! {
        <div class="page-head">
            <h1>"Plans"</h1>
            <span class="page-count">{move || plans.data.with(|list| list.as_ref().map(|list| format::count(list.total)))}</span>
            <div class="strip">{move || fleet.data.with(|fleet| fleet.as_ref().map(repository))}</div>
        </div>
        <div class="asks">{move || cell_runs.get().then(|| freeze::freeze_button(&FreezeScope::Cell, Needs::Role(Role::Operator)))}</div>
        {move || fleet.data.with(|fleet| fleet.as_ref().and_then(|fleet| fleet.held_plan.clone())).map(|plan| notice(
            "bad",
            Shape::Barred,
            "A plan is held: nothing of it happens.".to_owned(),
            view! { <p><a class="link strong" href=address::plan(&plan)>"See why, and what it would do"</a></p> }.into_any(),
        ))}
        {move || troubles.get().into_iter().map(|(message, since)| notice(
            "bad",
            Shape::Barred,
            "The repository is not followed: what runs, runs on.".to_owned(),
            view! { <p>{text::rich(&message)}{since.map(|since| view! { " Since "{text::time(since)}"." })}</p> }.into_any(),
        )).collect_view()}
        {move || out_of_time.get().map(|shut| freeze::out_of_time(&shut))}
        {move || freezes.with(|freezes| freeze::frozen(freezes))}
        {move || fleet.data.with(|fleet| fleet.as_ref().map(|fleet| refused(&fleet.refused)))}
        {not_fresh(plans)}
        {present(plans, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=|| empty("No plans yet", "The first is made when the repository has a commit with job documents.".into_any())
            >
                <div class="table-wrap">
                    <table class="table plans">
                        <thead>
                            <tr>
                                <th class="c-plan">"Plan"</th>
                                <th class="c-state">"Status"</th>
                                <th>"Revision"</th>
                                <th class="c-owner spare roomy">"Author"</th>
                                <th class="c-n right spare roomy">"Jobs"</th>
                                <th class="c-n right">"Starts"</th>
                                <th class="c-n right">"Replaces"</th>
                                <th class="c-n right">"Stops"</th>
                                <th class="c-n right spare roomy">"Refused"</th>
                                <th class="c-time right">"Made"</th>
                                <th class="c-back spare"><span class="unseen">"Way back"</span></th>
                            </tr>
                        </thead>
                        <tbody>{rows(move || list.with(|list| list.items.clone()), |plan| plan.id.clone(), move |plan| row(plan, chosen, applied))}</tbody>
                    </table>
                </div>
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
        {rollback::panel(chosen)}
    }
    .into_any()
}

fn repository(fleet: &FleetView) -> AnyView {
    view! {
        <span title="The repository that is followed"><code>{fleet.repository.clone()}</code>" "{fleet.branch.clone()}</span>
        <span>"read "{text::maybe_time(fleet.repository_read_at)}</span>
    }
    .into_any()
}

/// The documents that are refused now.
fn refused(refused: &[muster_schemas::plan::Diagnostic]) -> AnyView {
    if refused.is_empty() {
        return ().into_any();
    }
    view! {
        <section class="panel" data-test-refused-documents>
            <div class="panel-head">
                <h2>{format!("{} in documents of the applied revision", format::counted(refused.len() as u64, "fault"))}</h2>
                <span class="dim">"Those documents are refused and their jobs stay as they were; the others went ahead."</span>
            </div>
            {refused.iter().map(changes::refused).collect_view()}
        </section>
    }
    .into_any()
}

fn row(row: Row<PlanView>, chosen: Chosen, applied: Memo<Option<CommitId>>) -> AnyView {
    let id = row.id.clone();
    let (plan, word, back) = (row.data.clone(), row.data.clone(), row.data);
    let target = Memo::new(move |_| back.with(|plan| way_back(plan, applied.get().as_ref())));
    view! {
        <tr data-test-plan=id.clone() data-test-status=move || word.with(|plan| tone::plan(plan.status).word)>
            <td><a class="row-link mono" data-row href=address::plan(&id)>{format::short(&id).to_owned()}</a></td>
            {move || plan.with(cells)}
            <td class="right spare">{move || target.get().map(|target| rollback::button(chosen, target))}</td>
        </tr>
    }
    .into_any()
}

/// Only what was applied once can be gone back to, and not what holds.
fn way_back(plan: &PlanView, applied: Option<&CommitId>) -> Option<Target> {
    let is_back = plan.status == PlanStatus::Applied
        && applied.is_some_and(|applied| *applied != plan.revision.commit);
    is_back.then(|| Target {
        revision: plan.revision.clone(),
        job: None,
        needs: Needs::Role(Role::Operator),
    })
}

fn cells(plan: &PlanView) -> AnyView {
    let number = |value: u64| {
        if value == 0 {
            text::nothing()
        } else {
            text::number(value)
        }
    };
    view! {
        <td>{state(tone::plan(plan.status))}</td>
        <td class="clip">{text::revision(&plan.revision)}</td>
        <td class="clip dim spare roomy">{format::author(&plan.revision.author).to_owned()}</td>
        <td class="right spare roomy">{number(plan.changes.len() as u64)}</td>
        <td class="right">{number(plan.starts.into())}</td>
        <td class="right">{number(plan.replaces.into())}</td>
        <td class="right">{number(plan.stops.into())}</td>
        <td class="right spare roomy">{number(plan.refused.len() as u64)}</td>
        <td class="right">{text::time(plan.made_at)}</td>
    }
    .into_any()
}
