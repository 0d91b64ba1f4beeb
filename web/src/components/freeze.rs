//! What is frozen, and how to freeze and resume it.

use crate::components::answer::notice;
use crate::components::ask::{Ask, ask};
use crate::components::text;
use crate::tone::Shape;
use leptos::prelude::*;
use muster_schemas::access::{Needs, Role};
use muster_schemas::api::{FreezeView, OutOfTimeView};
use muster_schemas::plan::FreezeScope;
use serde_json::json;

/// A word above the page for each freeze, with the way to end it.
pub fn frozen(freezes: &[FreezeView]) -> AnyView {
    freezes.iter().map(one).collect_view().into_any()
}

fn one(freeze: &FreezeView) -> AnyView {
    let until = match freeze.until {
        Some(until) => view! { ", until "{text::time(until)} }.into_any(),
        None => ().into_any(),
    };
    // A freeze of the policy is ended by a commit.
    let by_policy = freeze.by.starts_with("the policy `");
    let end = if by_policy {
        view! { <p class="dim">"A commit that takes "<code>"freeze"</code>" out of the policy ends it."</p> }.into_any()
    } else {
        ask(Ask {
            word: "Resume",
            will: format!(
                "What was kept back of {} meanwhile is planned anew and goes ahead within the limits.",
                freeze.scope
            ),
            path: "/resume".to_owned(),
            body: json!({ "scope": freeze.scope }),
            needs: match &freeze.app {
                Some(app) => Needs::app(app),
                None => Needs::Role(Role::Operator),
            },
            primary: false,
        })
    };
    notice(
        "wait",
        Shape::Barred,
        format!("{} is frozen: no plan changes it, and nothing automated stops its containers.", capital(&freeze.scope)),
        view! {
            <p data-test-freeze=freeze.scope.to_string()>
                {text::rich(&freeze.reason)}
                <span class="dim">" — "{text::rich(&freeze.by)}", "{text::time(freeze.since)}{until}</span>
            </p>
            {end}
        }
        .into_any(),
    )
}

/// A word above the page while the policy's windows hold plans back.
pub fn out_of_time(shut: &OutOfTimeView) -> AnyView {
    let until = match shut.until {
        Some(until) => view! { "They go ahead by themselves "{text::time(until)}" ("<code>{until.to_string()}</code>"), " }.into_any(),
        None => view! { "They go ahead by themselves once the policy lets them, " }.into_any(),
    };
    let name = shut.window.clone().unwrap_or_else(|| "allow".to_owned());
    notice(
        "wait",
        Shape::Barred,
        format!("{}.", crate::format::sentence(&shut.message)),
        view! {
            <p class="dim" data-test-out-of-time=name>{until}"or as soon as somebody approves them."</p>
        }
        .into_any(),
    )
}

fn capital(scope: &FreezeScope) -> String {
    let words = scope.to_string();
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The button that freezes something.
pub fn freeze_button(scope: &FreezeScope, needs: Needs) -> AnyView {
    let word = match scope {
        FreezeScope::Cell => "Freeze the cell",
        FreezeScope::App { .. } => "Freeze the app",
        FreezeScope::Job { .. } => "Freeze",
    };
    ask(Ask {
        word,
        will: format!(
            "No plan changes {scope} and nothing automated stops its containers, until somebody resumes it. What dies is \
             replaced all the same."
        ),
        path: "/freeze".to_owned(),
        body: json!({ "scope": scope }),
        needs,
        primary: false,
    })
}
