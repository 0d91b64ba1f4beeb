//! All tasks.

use crate::address::Filters;
use crate::components::answer::{empty, list_skeleton, not_fresh, present};
use crate::components::filters::{self, InAddress, in_address};
use crate::components::shape::shape;
use crate::components::{rows, task_table, text};
use crate::pages::STEP;
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone;
use leptos::prelude::*;
use muster_schemas::api::{FleetView, List, TaskView};
use muster_schemas::state::TaskState;

const KEYS: [&str; 7] = ["q", "state", "job", "host", "healthy", "reachable", "app"];

/// The page.
pub fn page() -> AnyView {
    text::page_title(|| "Tasks".to_owned());
    let filters = in_address();
    let want = RwSignal::new(STEP);
    let tasks: Query<List<TaskView>> = query::many(
        move || Question {
            path: filters.now.get().picked(&KEYS).on("/tasks"),
            interest: Interest::All,
            keep: true,
        },
        want.into(),
    );
    let filtered = move || filters.now.with(|now| !now.picked(&KEYS).0.is_empty());
    view! {
        <div class="page-head">
            <h1>"Tasks"</h1>
            <span class="page-count" data-test-total>
                {move || tasks.data.with(|list| list.as_ref().map(|list| crate::format::count(list.total)))}
            </span>
        </div>
        <div class="filters">
            {filters::search(filters, "Filter tasks")}
            {state_chips(filters)}
            {filters::choice(filters, "healthy", "Healthy", &[("true", "healthy"), ("false", "not healthy")])}
            {filters::choice(filters, "reachable", "Reachable", &[("true", "reachable"), ("false", "unreachable")])}
            {filters::given(filters, "job", "job")}
            {filters::given(filters, "host", "host")}
            {filters::given(filters, "app", "app")}
            {filters::clear(filters, &KEYS)}
        </div>
        {not_fresh(tasks)}
        {present(tasks, list_skeleton, move |list| view! {
            <Show
                when=move || list.with(|list| !list.items.is_empty())
                fallback=move || if filtered() {
                    empty("No task matches", "Take a filter away to see more.".into_any())
                } else {
                    empty("No tasks yet", "A job's tasks appear here as soon as its document is committed and its plan applied.".into_any())
                }
            >
                {task_table::table(task_table::Hosts::Shown, move || list.with(|list| list.items.clone()))}
                {rows::foot(move || list.with(|list| (list.items.len(), list.total, list.next.is_some())), want)}
            </Show>
        }.into_any())}
    }
    .into_any()
}

/// A chip for each state, with how many tasks it has under the other filters.
fn state_chips(filters: InAddress) -> AnyView {
    let fleet: Query<FleetView> = expect_context();
    let others = Memo::new(move |_| filters.now.get().picked(&KEYS).with("state", ""));
    TaskState::ALL
        .into_iter()
        .map(|state| {
            let counted = counted(others, state);
            let count = move || {
                if others.with(|others| others.0.is_empty()) {
                    // Without other filters the fleet's own answer has the numbers.
                    fleet.data.with(|fleet| fleet.as_ref().and_then(|fleet| fleet.tasks.get(state.word()).copied()))
                } else {
                    counted.data.with(|list| list.as_ref().map(|list| list.total))
                }
            };
            let look = tone::state(state);
            let label = view! {
                <span class=format!("state {}", look.tone.class())>{shape(look.shape)}<span class="state-word">{look.word}</span></span>
            };
            filters::chip(filters, "state", state.word(), label.into_any(), count)
        })
        .collect_view()
        .into_any()
}

/// How many tasks of a state there are under the other filters. The list itself says so in its `total`.
fn counted(others: Memo<Filters>, state: TaskState) -> Query<List<TaskView>> {
    query::one(
        move || {
            let others = others.get();
            let busy = !others.0.is_empty();
            Question {
                path: if busy {
                    format!(
                        "{}&limit=1",
                        others.with("state", state.word()).on("/tasks")
                    )
                } else {
                    String::new()
                },
                interest: if busy {
                    Interest::All
                } else {
                    Interest::Nothing
                },
                keep: true,
            }
        },
        SLOW_MILLIS,
    )
}
