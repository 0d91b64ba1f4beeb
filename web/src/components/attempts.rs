//! A task's attempts.

use crate::components::shape::state;
use crate::components::{copy, text};
use crate::{format, tone};
use leptos::prelude::*;
use muster_schemas::api::AttemptView;

/// The attempts, newest first.
pub fn table(attempts: &[AttemptView]) -> AnyView {
    if attempts.is_empty() {
        return view! { <p class="faint pad">"No attempt yet: the first follows when a host is chosen."</p> }.into_any();
    }
    let rows = attempts.iter().map(row).collect_view();
    view! {
        <div class="table-wrap">
            <table class="table attempts">
                <thead>
                    <tr>
                        <th class="c-n right">"#"</th>
                        <th class="c-state">"State"</th>
                        <th>"What happened"</th>
                        <th class="c-host">"Host"</th>
                        <th class="c-version right spare">"Version"</th>
                        <th class="c-exit right">"Exit"</th>
                        <th class="c-time right">"Ran"</th>
                        <th class="c-time right spare">"Placed"</th>
                        <th class="c-id">"Attempt"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(attempt: &AttemptView) -> AnyView {
    let look = match attempt.outcome {
        Some(outcome) => tone::outcome(Some(outcome)),
        None => tone::state(attempt.state),
    };
    let ran = match (attempt.started_at, attempt.finished_at) {
        (Some(from), Some(to)) => {
            view! { <span class="number">{format::between(from, to)}</span> }.into_any()
        }
        (Some(from), None) => {
            let clock = crate::clock::clock();
            view! { <span class="number">{move || format::between(from, clock.now())}</span> }
                .into_any()
        }
        (None, _) => text::nothing(),
    };
    let exit = match (attempt.exit_code, attempt.signal) {
        _ if attempt.oom => {
            view! { <span title="The kernel killed it for want of memory">"OOM"</span> }.into_any()
        }
        (_, Some(signal)) => {
            view! { <span title="The signal that ended it">{format!("signal {signal}")}</span> }
                .into_any()
        }
        (Some(code), None) => view! { <span class="number">{code}</span> }.into_any(),
        (None, None) => text::nothing(),
    };
    let words = attempt
        .stop
        .clone()
        .unwrap_or_else(|| attempt.message.clone());
    view! {
        <tr data-test-attempt=attempt.number.to_string()>
            <td class="right number">{attempt.number}</td>
            <td>{state(look)}</td>
            <td class="clip" title=words.clone()>{format::sentence(&words)}</td>
            <td class="clip">{attempt.host.clone()}</td>
            <td class="right number spare">{attempt.version}</td>
            <td class="right">{exit}</td>
            <td class="right">{ran}</td>
            <td class="right spare">{text::time(attempt.placed_at)}</td>
            <td>
                <span class="id">
                    <code title=attempt.id.clone()>{format!("…{}", format::short_attempt(&attempt.id))}</code>
                    {copy::button("attempt id", attempt.id.clone())}
                </span>
            </td>
        </tr>
    }
    .into_any()
}
