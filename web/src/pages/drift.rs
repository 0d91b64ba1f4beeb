//! Where what runs is not what git says, and what will happen about it.

use crate::address;
use crate::components::answer::{empty, list_skeleton, not_fresh, of_now, present};
use crate::components::filters::{self, in_address};
use crate::components::rows::{self, Row, rows};
use crate::components::text;
use crate::format;
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question};
use leptos::prelude::*;
use muster_schemas::api::List;
use muster_schemas::drift::DriftView;

const KEYS: [&str; 2] = ["job", "cause"];

/// The causes, by what people call them.
const CAUSES: [(&str, &str); 7] = [
    ("on_host", "changed on a host"),
    ("scaled", "scaled"),
    ("held", "held"),
    ("plan_refused", "plan refused"),
    ("withheld", "kept back"),
    ("document_refused", "document refused"),
    ("undeclared", "undeclared"),
];

/// The page.
pub fn page() -> AnyView {
    text::page_title(|| "Drift".to_owned());
    let filters = in_address();
    let want = RwSignal::new(STEP);
    // What agents say of their containers is of now alone.
    let list: Query<List<DriftView>> = query::many_of_now(
        move || Question {
            path: filters.now.get().picked(&KEYS).on("/drift"),
            interest: Interest::All,
            keep: true,
        },
        want.into(),
    );
    view! {
        <div class="page-head">
            <h1>"Drift"</h1>
            <span class="page-count">{move || list.data.with(|list| list.as_ref().map(|list| format::count(list.total)))}</span>
        </div>
        <div class="filters">
            {filters::choice(filters, "cause", "Cause", &CAUSES)}
            {filters::given(filters, "job", "job")}
            {filters::clear(filters, &KEYS)}
        </div>
        {of_now()}
        {not_fresh(list)}
        {present(list, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=move || {
                    if filters.now.get().picked(&KEYS).0.is_empty() {
                        empty("What runs is what git says", "What somebody changes past git stands here within seconds, with who did it.".into_any())
                    } else {
                        empty("No drift that matches", "Take a filter away to see the rest, if there is any.".into_any())
                    }
                }
            >
                <div class="table-wrap">
                    <table class="table drift">
                        <thead>
                            <tr>
                                <th class="c-job">"Job or task"</th>
                                <th class="c-field">"Field"</th>
                                <th class="c-side">"Git says"</th>
                                <th class="c-side">"Runs"</th>
                                <th>"Who"</th>
                                <th class="spare">"What will happen"</th>
                                <th class="c-time right">"Since"</th>
                            </tr>
                        </thead>
                        <tbody>{rows(move || list.with(|list| list.items.clone()), |drift| drift.id.clone(), row)}</tbody>
                    </table>
                </div>
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
    }
    .into_any()
}

fn row(row: Row<DriftView>) -> AnyView {
    let id = row.id.clone();
    let data = row.data;
    view! { <tr data-test-drift=id>{move || data.with(cells)}</tr> }.into_any()
}

fn cells(drift: &DriftView) -> AnyView {
    let (to, name) = match &drift.task {
        Some(task) => (address::task(task), task.clone()),
        None => (address::job(&drift.job), drift.job.clone()),
    };
    let who = match &drift.plan {
        Some(plan) => {
            view! { <a class="link" href=address::plan(plan)>{format::sentence(&drift.who)}</a> }
                .into_any()
        }
        None => text::rich(&format::sentence(&drift.who)),
    };
    let outlook = format::sentence(&drift.outlook);
    view! {
        <td class="clip"><a class="row-link mono" data-row href=to>{name}</a></td>
        <td class="clip" title=drift.field.clone()><code>{drift.field.clone()}</code></td>
        <td class="clip" title=drift.wanted.clone() data-test-wanted>{drift.wanted.clone()}</td>
        <td class="clip" title=drift.found.clone() data-test-found>{drift.found.clone()}</td>
        <td class="clip" title=drift.who.clone() data-test-who>{who}</td>
        <td class="clip dim spare" title=outlook.clone()>{text::rich(&outlook)}</td>
        <td class="right">{text::time(drift.since)}</td>
    }
    .into_any()
}
