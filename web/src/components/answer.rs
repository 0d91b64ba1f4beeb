//! What stands on a page while there is no answer, when there is nothing, and when something went wrong.

use crate::api::Trouble;
use crate::components::shape::shape;
use crate::components::text;
use crate::format;
use crate::past::past;
use crate::query::Query;
use crate::tone::Shape;
use leptos::prelude::*;

/// Shows the answer once it is there; until then the skeleton, or what went wrong.
///
/// `body` is built once and gets the answer as a signal, so that what has a state of its own (a log, a filter) keeps it
/// when the answer changes.
pub fn present<T>(
    query: Query<T>,
    skeleton: fn() -> AnyView,
    body: impl Fn(Signal<T>) -> AnyView + Send + Sync + 'static,
) -> AnyView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let there = Memo::new(move |_| query.data.with(Option::is_some));
    view! {
        {move || {
            if there.get() {
                let last = Memo::new(move |last: Option<&T>| {
                    query.data.get().or_else(|| last.cloned()).expect("this is only built once there is an answer")
                });
                body(last.into())
            } else {
                view! {
                    {move || match query.trouble.get() {
                        Some(trouble) => went_wrong(&trouble, move || query.again()),
                        None => skeleton(),
                    }}
                }
                    .into_any()
            }
        }}
    }
    .into_any()
}

/// A word above an answer that could not be asked for anew.
pub fn not_fresh<T: PartialEq + Send + Sync + 'static>(query: Query<T>) -> AnyView {
    view! {
        {move || {
            let trouble = query.trouble.get().filter(|trouble| !matches!(trouble, Trouble::Unreached))?;
            let shown = query.data.with(Option::is_some);
            shown.then(|| notice("wait", Shape::Warning, format!("Not up to date: {}", trouble.words().0), ().into_any()))
        }}
    }
    .into_any()
}

/// Something went wrong, and what to do.
pub fn went_wrong(trouble: &Trouble, again: impl Fn() + 'static) -> AnyView {
    let (message, hint) = trouble.words();
    let missing = trouble.is_missing();
    view! {
        <div class="blank" role="alert" data-test-error=if missing { "missing" } else { "trouble" }>
            <div class=if missing { "blank-mark quiet" } else { "blank-mark bad" }>
                {shape(if missing { Shape::Dash } else { Shape::Warning })}
            </div>
            <h2>{text::rich(&format::sentence(&message))}</h2>
            <p>{if missing {
                // The API's own hint names its paths, which helps those who call it.
                "It may have been removed, or the address mistyped.".into_any()
            } else {
                text::rich(&format::sentence(&hint))
            }}</p>
            <p class="blank-actions">
                <button type="button" class="button" data-test-retry on:click=move |_| again()>"Try again"</button>
                <a class="button plain" href="/jobs">"All jobs"</a>
            </p>
        </div>
    }
    .into_any()
}

/// Nothing is there, and what would make something be there.
pub fn empty(title: &'static str, hint: AnyView) -> AnyView {
    view! {
        <div class="blank" data-test-empty>
            <div class="blank-mark quiet">{shape(Shape::Ring)}</div>
            <h2>{title}</h2>
            <p>{hint}</p>
        </div>
    }
    .into_any()
}

/// A word above the page, in the colour of a tone.
pub fn notice(tone: &'static str, mark: Shape, message: String, more: AnyView) -> AnyView {
    view! {
        <div class=format!("notice {tone}") data-test-notice=tone>
            <span class=format!("state {tone}")>{shape(mark)}</span>
            <div class="notice-body">
                <p>{text::rich(&message)}</p>
                {more}
            </div>
        </div>
    }
    .into_any()
}

/// Says of a page that the API tells of the present alone that it is not that of the moment in the bar above.
pub fn of_now() -> AnyView {
    let past = past();
    view! {
        <p class="dim" data-test-of-now hidden=move || past.is_now()>
            "What is here is of now, not of the moment above."
        </p>
    }
    .into_any()
}

/// A list that is not there yet: rows of the height of real ones.
pub fn list_skeleton() -> AnyView {
    let rows = (0..12).map(|row| {
        let class = format!("skeleton-row w{}", row % 4);
        view! { <div class=class><span></span><span></span><span></span><span></span></div> }
    });
    view! {
        <div class="skeleton" aria-busy="true" aria-label="Loading" data-test-loading>
            {rows.collect_view()}
        </div>
    }
    .into_any()
}

/// A page that is not there yet.
pub fn page_skeleton() -> AnyView {
    view! {
        <div class="skeleton" aria-busy="true" aria-label="Loading" data-test-loading>
            <div class="skeleton-title"></div>
            <div class="skeleton-tiles"><span></span><span></span><span></span><span></span></div>
            <div class="skeleton-block"></div>
            <div class="skeleton-block tall"></div>
        </div>
    }
    .into_any()
}
