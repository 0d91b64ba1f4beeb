//! The table of tasks, on the page of all tasks, of a job and of a host.

use crate::components::rows::{Row, rows};
use crate::components::shape::state;
use crate::components::text;
use crate::{address, format, tone};
use leptos::prelude::*;
use muster_schemas::api::TaskView;

/// Whether the table says on which host each task is: on a host's own page that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// It says so.
    Shown,
    /// It does not.
    Known,
}

/// The table.
pub fn table(hosts: Hosts, tasks: impl Fn() -> Vec<TaskView> + Send + Sync + 'static) -> AnyView {
    view! {
        <div class="table-wrap">
            <table class="table tasks">
                <thead>
                    <tr>
                        <th class="c-task">"Task"</th>
                        <th class="c-state">"State"</th>
                        <th>"Reason"</th>
                        {(hosts == Hosts::Shown).then(|| view! { <th class="c-host">"Host"</th> })}
                        <th class="c-ip spare">"Address"</th>
                        <th class="c-version right">"Version"</th>
                        <th class="c-n right spare" title="Which attempt of the task it is">"Attempt"</th>
                        <th class="c-time right">"Started"</th>
                    </tr>
                </thead>
                <tbody>{rows(tasks, |task| task.id.clone(), move |one| row(hosts, one))}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(hosts: Hosts, row: Row<TaskView>) -> AnyView {
    let id = row.id.clone();
    let (task, class, state_word, healthy) = (
        row.data.clone(),
        row.data.clone(),
        row.data.clone(),
        row.data,
    );
    view! {
        <tr
            class:past=move || !class.with(|task| task.current_version)
            data-test-task=id.clone()
            data-test-state=move || state_word.with(|task| task.state.word())
            data-test-healthy=move || healthy.with(|task| task.healthy.to_string())
        >
            <td class="clip"><a class="row-link" data-row href=address::task(&id)>{id.clone()}</a></td>
            {move || task.with(|task| cells(hosts, task))}
        </tr>
    }
    .into_any()
}

fn cells(hosts: Hosts, task: &TaskView) -> AnyView {
    view! {
        <td>{state(tone::task(task))}</td>
        <td class="clip dim" title=task.reason.clone()>{text::rich(&format::sentence(&task.reason))}</td>
        {(hosts == Hosts::Shown).then(|| view! {
            <td class="clip">{text::host_link(task.host_id.as_deref(), task.host.as_deref())}</td>
        })}
        <td class="mono clip spare">{text::or_nothing(task.ip.clone())}</td>
        <td class="right">
            {(!task.current_version).then(|| view! { <span class="tag" title="Not the job's current version">"old"</span> })}
            <span class="number">{task.version}</span>
        </td>
        <td class="right number spare">{task.attempt_number}</td>
        <td class="right">{text::maybe_time(task.started_at)}</td>
    }
    .into_any()
}
