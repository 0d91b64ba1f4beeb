//! A task's instance: what runs, where, from what, with which bounds, and what is in force on it.

use crate::components::text;
use crate::pages::jobs;
use crate::{format, yaml};
use leptos::prelude::*;
use muster_schemas::api::{PortView, TaskDetail};
use muster_schemas::state::Hardening;
use serde_json::Value;

/// The facts.
pub fn panel(detail: &TaskDetail) -> AnyView {
    let task = &detail.task;
    let exit = match (task.exit_code, task.signal) {
        (_, Some(signal)) => Some(format!(
            "signal {signal}{}",
            if task.oom { ", out of memory" } else { "" }
        )),
        (Some(code), None) => Some(format!(
            "exit code {code}{}",
            if task.oom { ", out of memory" } else { "" }
        )),
        (None, None) => None,
    };
    view! {
        <section class="panel" data-test-instance>
            <div class="panel-head"><h2>"Instance"</h2></div>
            <dl class="facts">
                {text::fact("Launched", text::maybe_time(task.started_at))}
                {task.finished_at.map(|at| text::fact("Ended", text::time(at)))}
                {exit.map(|exit| text::fact("Exit", exit.into_any()))}
                {text::fact("Job", text::job_link(&task.job))}
                {text::fact("Attempt", view! {
                    {if task.attempt_number > 0 { text::number(task.attempt_number.into()) } else { text::nothing() }}
                    {(task.failures > 0).then(|| view! { <span class="dim">{format!(" after {} in a row", format::counted(task.failures.into(), "failure"))}</span> })}
                }.into_any())}
                {text::fact("Attempt id", text::maybe_id("attempt id", task.attempt.as_deref()))}
                {text::fact("Container id", text::maybe_id("container id", task.container.as_deref()))}
                {text::fact("Host", text::host_link(task.host_id.as_deref(), task.host.as_deref()))}
                {text::fact("Container IP", text::maybe_id("container's address", task.ip.as_deref()))}
                {text::fact("Ports", ports(&detail.ports))}
                {text::fact("Image", text::id("image", &task.image))}
                {text::fact("Version", view! {
                    <span class="number">{task.version}</span>
                    {(!task.current_version).then(|| view! { <span class="tag">"not the current one"</span> })}
                }.into_any())}
                {text::fact("Revision", detail.revision.as_ref().map_or_else(text::nothing, text::revision))}
                {(task.run > 0).then(|| text::fact("Run", text::number(task.run.into())))}
                {text::fact("Application", detail.app.clone().into_any())}
                {text::fact("Owner", detail.owner.clone().into_any())}
                {text::fact("Tier", jobs::tier(detail.tier).into_any())}
                {text::fact("Resources", resources(&detail.resources))}
                {text::fact("Created", text::time(task.created_at))}
            </dl>
        </section>
    }
    .into_any()
}

fn ports(ports: &[PortView]) -> AnyView {
    if ports.is_empty() {
        return text::nothing();
    }
    ports
        .iter()
        .map(|port| {
            let host = port.host_port.map(|host| format!(" ← host {host}")).unwrap_or_default();
            view! { <span class="port"><span class="dim">{port.name.clone()}</span>" "<code>{format!("{}{host}", port.port)}</code></span> }
        })
        .collect_view()
        .into_any()
}

/// What the task needs, without what it needs nothing of.
fn resources(resources: &Value) -> AnyView {
    let Value::Object(fields) = resources else {
        return text::nothing();
    };
    fields
        .iter()
        .filter(|(_, value)| !matches!(yaml::scalar(value).as_str(), "0" | "0.0" | "0B" | "0Mbps" | "null"))
        .map(|(name, value)| {
            view! { <span class="port"><span class="dim">{name.clone()}</span>" "<code>{yaml::scalar(value)}</code></span> }
        })
        .collect_view()
        .into_any()
}

/// What is in force on the container, as the engine and the kernel say.
pub fn hardening(hardening: &Hardening) -> AnyView {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    let capabilities = if hardening.capabilities.is_empty() {
        "none".to_owned()
    } else {
        hardening.capabilities.join(", ")
    };
    let bound = |value: Option<i64>, show: fn(u64) -> String| {
        value
            .and_then(|value| u64::try_from(value).ok())
            .map_or_else(|| "none".to_owned(), show)
    };
    let user = if hardening.user.is_empty() {
        "the image's".to_owned()
    } else {
        hardening.user.clone()
    };
    view! {
        <section class="panel" data-test-hardening>
            <div class="panel-head"><h2>"In force on the container"</h2></div>
            <dl class="facts">
                {text::fact("New privileges", (if hardening.no_new_privileges { "refused" } else { "possible" }).into_any())}
                {text::fact("Capabilities", capabilities.into_any())}
                {text::fact("Read-only root", yes_no(hardening.read_only_root).into_any())}
                {text::fact("Seccomp", hardening.seccomp.clone().into_any())}
                {text::fact("AppArmor", hardening.apparmor.clone().into_any())}
                {text::fact("User namespace", yes_no(hardening.user_namespace).into_any())}
                {text::fact("User", user.into_any())}
                {text::fact("Processes", bound(hardening.pids_limit, format::count).into_any())}
                {text::fact("Memory", bound(hardening.memory_limit, format::bytes).into_any())}
                {text::fact("CPU", bound(hardening.cpu_limit_millis, |millis| format!("{} m", format::count(millis))).into_any())}
            </dl>
        </section>
    }
    .into_any()
}
