//! What happened, as a timeline.

use crate::components::text;
use crate::{address, format};
use leptos::prelude::*;
use muster_schemas::api::EventView;

/// Events of one task newest first, each with its time, what happened and who did it.
pub fn timeline(events: &[EventView]) -> AnyView {
    moments(events, false)
}

/// Events of something with several tasks, each with the task that it is about.
pub fn timeline_of_tasks(events: &[EventView]) -> AnyView {
    moments(events, true)
}

fn moments(events: &[EventView], with_task: bool) -> AnyView {
    let items = events
        .iter()
        .map(|event| {
            view! {
                <li class=format!("moment {}", tone(&event.kind)) data-test-event=event.kind.clone()>
                    <span class="moment-mark" aria-hidden="true"></span>
                    <div class="moment-body">
                        <p>
                            {event.task.as_ref().filter(|_| with_task).map(|task| view! {
                                <a class="link" href=address::task(task)><code>{task.clone()}</code></a>" "
                            })}
                            {text::rich(&format::sentence(&event.text))}
                        </p>
                        <p class="faint">
                            {text::time(event.at)}" · "{event.actor.clone()}
                            {event.plan.as_ref().map(|plan| view! {
                                " · "<a class="link" href=address::plan(plan)>"plan "<code>{format::short(plan).to_owned()}</code></a>
                            })}
                        </p>
                    </div>
                </li>
            }
        })
        .collect_view();
    view! { <ol class="timeline">{items}</ol> }.into_any()
}

/// Events that want somebody's eye are marked; the words say why.
pub fn tone(kind: &str) -> &'static str {
    match kind {
        "plan_held"
        | "repository_troubled"
        | "host_unreachable"
        | "orphans_seen"
        | "cell_taken_down" => "bad",
        "task_blocked" | "stop_ordered" => "wait",
        "plan_applied"
        | "attempt_placed"
        | "task_created"
        | "host_connected"
        | "repository_recovered" => "busy",
        _ => "quiet",
    }
}
