//! Side panels: the keys, and the alerts. They stand beside the page, which stays usable.

use crate::components::shape::{icon, icons, state};
use crate::components::text;
use crate::keys::PAGES;
use crate::tone;
use leptos::prelude::*;
use muster_schemas::api::Alert;

/// Which panel is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// None.
    Closed,
    /// The keys.
    Keys,
    /// The alerts.
    Alerts,
}

/// Keys that do the same, or are pressed one after the other, and what they do.
type Key = (&'static [&'static str], &'static str);

/// The keys and what they do, beside those that lead to pages.
const KEYS: [(&str, &[Key]); 2] = [
    (
        "In lists",
        &[
            (&["j", "↓"], "Next row"),
            (&["k", "↑"], "Row before"),
            (&["Enter"], "Open the row"),
            (&["f"], "Filter the list"),
        ],
    ),
    (
        "Everywhere",
        &[
            (&["?"], "Show or hide the keys"),
            (&["Esc"], "Close, or leave a field"),
            (&["d"], "Light, dark, system"),
        ],
    ),
];

/// The frame of a panel.
fn frame(open: RwSignal<Panel>, title: &'static str, name: &'static str, body: AnyView) -> AnyView {
    view! {
        <aside class="side-panel" aria-label=title data-test-panel=name>
            <div class="panel-head">
                <h2>{title}</h2>
                <span class="grow"></span>
                <button type="button" class="icon-button" aria-label="Close" on:click=move |_| open.set(Panel::Closed)>
                    {icon(icons::CLOSE)}
                </button>
            </div>
            {body}
        </aside>
    }
    .into_any()
}

/// The keys.
pub fn keys(open: RwSignal<Panel>) -> AnyView {
    let row = |keys: &[&'static str], words: &'static str| {
        let keys = keys
            .iter()
            .map(|key| view! { <kbd>{*key}</kbd> })
            .collect_view();
        view! { <div class="key-row"><span>{words}</span><span class="keys">{keys}</span></div> }
    };
    let pages = PAGES
        .iter()
        .map(|(key, _, name, _)| row(&["g", key], name))
        .collect_view();
    let search = row(&["/"], "Search jobs, tasks and hosts");
    let others = KEYS
        .iter()
        .map(|(title, keys)| {
            let rows = keys
                .iter()
                .map(|(keys, words)| row(keys, words))
                .collect_view();
            view! { <section><h3>{*title}</h3>{rows}</section> }
        })
        .collect_view();
    let groups = view! { <section><h3>"Go to"</h3>{pages}{search}</section>{others} };
    frame(
        open,
        "Keys",
        "keys",
        view! { <div class="panel-body key-groups">{groups}</div> }.into_any(),
    )
}

/// What needs somebody's eye.
pub fn alerts(open: RwSignal<Panel>, alerts: Signal<Vec<Alert>>) -> AnyView {
    let body = view! {
        <div class="panel-body">
            {move || {
                let alerts = alerts.get();
                if alerts.is_empty() {
                    return view! { <p class="faint pad">"Nothing needs your eye."</p> }.into_any();
                }
                let items = alerts.iter().map(|alert| alert_item(alert, open)).collect_view();
                view! { <ul class="alerts">{items}</ul> }.into_any()
            }}
        </div>
    };
    frame(open, "Alerts", "alerts", body.into_any())
}

fn alert_item(alert: &Alert, open: RwSignal<Panel>) -> AnyView {
    view! {
        <li data-test-alert=alert.code.clone()>
            <a href=alert.link.clone() on:click=move |_| open.set(Panel::Closed)>
                <span class="alert-head">
                    {state(tone::severity(alert.severity))}
                    <code class="faint">{alert.code.clone()}</code>
                    <span class="grow"></span>
                    <span class="faint">{alert.since.map(text::time)}</span>
                </span>
                <span class="alert-message">{text::rich(&alert.message)}</span>
            </a>
        </li>
    }
    .into_any()
}
