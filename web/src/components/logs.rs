//! The live log of an attempt.

use crate::components::copy;
use crate::components::log_stream::{Flow, Shared, Stream};
use crate::components::shape::shape;
use crate::format;
use crate::lines;
use crate::tone::Shape;
use leptos::html::Div;
use leptos::prelude::*;
use muster_schemas::api::AttemptView;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// The log panel of a task: of its current attempt, or of the one that is chosen.
pub fn panel(
    task: Signal<String>,
    current: Memo<Option<String>>,
    attempts: Signal<Vec<AttemptView>>,
) -> AnyView {
    let chosen = RwSignal::new(None::<String>);
    let follow = RwSignal::new(true);
    let wrap = RwSignal::new(false);
    let filter = RwSignal::new(String::new());
    let flow = RwSignal::new(Flow::Opening);
    let count = RwSignal::new(0);
    let pane = NodeRef::<Div>::new();
    let shared = Shared {
        pane,
        flow,
        count,
        follow,
        filter,
    };
    let stream = StoredValue::new_local(None::<Rc<Stream>>);
    let attempt = Memo::new(move |_| chosen.get().or_else(|| current.get()));

    Effect::new(move |_| {
        let (task, attempt) = (task.get(), attempt.get());
        stream.set_value(None);
        count.set(0);
        let Some(element) = pane.get() else { return };
        element.set_text_content(None);
        let Some(attempt) = attempt else { return };
        flow.set(Flow::Opening);
        stream.set_value(Some(Stream::begin(task, attempt, shared)));
    });
    Effect::new(move |_| {
        filter.track();
        stream.with_value(|stream| stream.iter().for_each(|stream| stream.redraw()));
    });
    // Who scrolls up wants to read: following stops, and goes on at the end.
    let scrolled = move |_| {
        if let Some(pane) = pane.get_untracked() {
            let rest = pane.scroll_height() - pane.scroll_top() - pane.client_height();
            let at_end = rest < 24;
            if follow.get_untracked() != at_end {
                follow.set(at_end);
            }
        }
    };
    let toggle_follow = move |_| {
        follow.update(|follow| *follow = !*follow);
        if follow.get_untracked()
            && let Some(pane) = pane.get_untracked()
        {
            pane.set_scroll_top(pane.scroll_height());
        }
    };
    let text = move || {
        stream.with_value(|stream| {
            stream
                .as_ref()
                .map(|stream| stream.shown_text())
                .unwrap_or_default()
        })
    };
    let copied = RwSignal::new(false);
    let copy_all = move |_| {
        copy::text_to_clipboard(text(), move || {
            copied.try_set(true);
            set_timeout(
                move || {
                    copied.try_set(false);
                },
                std::time::Duration::from_millis(1_400),
            );
        });
    };
    let download = move |_| save(&format!("{}.log", task.get_untracked()), &text());

    view! {
        <section class="panel log" aria-label="Log" data-test-logs>
            <div class="panel-head">
                <h2>"Log"</h2>
                {move || flow_word(&flow.get(), follow.get(), attempt.get().is_some())}
                <span class="grow"></span>
                <label class="choice">
                    <span class="unseen">"Attempt"</span>
                    <select
                        data-test-log-attempt
                        on:change=move |event| {
                            let value = event_target_value(&event);
                            chosen.set((!value.is_empty()).then_some(value));
                        }
                    >
                        <option value="" selected=move || chosen.get().is_none()>"Current attempt"</option>
                        {move || attempts.get().into_iter().filter(|attempt| attempt.has_log).map(|attempt| {
                            let id = attempt.id.clone();
                            view! {
                                <option value=attempt.id.clone() selected=move || chosen.get().as_ref() == Some(&id)>
                                    {format!("Attempt {} on {}", attempt.number, attempt.host)}
                                </option>
                            }
                        }).collect_view()}
                    </select>
                </label>
                <label class="search small">
                    <span class="unseen">"Filter the log"</span>
                    <input
                        type="search"
                        placeholder="Filter"
                        spellcheck="false"
                        data-test-log-filter
                        on:input=move |event| filter.set(event_target_value(&event))
                    />
                </label>
                <button type="button" class="button" data-test-log-follow on:click=toggle_follow>
                    {move || if follow.get() { "Pause" } else { "Follow" }}
                </button>
                <button type="button" class="button" class:on=wrap aria-pressed=move || wrap.get().to_string()
                    data-test-log-wrap on:click=move |_| wrap.update(|wrap| *wrap = !*wrap)>
                    "Wrap"
                </button>
                <button type="button" class="button" data-test-log-copy on:click=copy_all>
                    {move || if copied.get() { "Copied" } else { "Copy" }}
                </button>
                <button type="button" class="button" data-test-log-download on:click=download>"Download"</button>
            </div>
            <div
                class="log-pane"
                class:wrap=wrap
                class:none=move || attempt.get().is_none()
                role="log"
                aria-live="off"
                tabindex="0"
                aria-label="Log lines"
                data-empty=move || match (attempt.get(), flow.get()) {
                    (None, _) => "No attempt yet: the log begins with the first container.".to_owned(),
                    (Some(_), Flow::Ended(words)) => format!("{words}. Nothing was written."),
                    (Some(_), Flow::Waiting(words)) => format!("{words}."),
                    (Some(_), _) if !filter.get().trim().is_empty() => "No line matches the filter.".to_owned(),
                    (Some(_), Flow::Opening) => "Opening the log …".to_owned(),
                    (Some(_), Flow::Following | Flow::Broken) => "Nothing was written yet.".to_owned(),
                }
                node_ref=pane
                on:scroll=scrolled
                data-test-log-pane
            ></div>
            <div class="log-foot faint">
                {move || match (flow.get(), count.get()) {
                    (Flow::Ended(words), count) => format!("{words} · {}", kept(count)),
                    (Flow::Opening | Flow::Waiting(_) | Flow::Following | Flow::Broken, count) => kept(count),
                }}
            </div>
        </section>
    }
    .into_any()
}

fn kept(count: usize) -> String {
    if count >= lines::MOST {
        format!(
            "the last {} lines are kept here",
            format::count(lines::MOST as u64)
        )
    } else {
        format::counted(count as u64, "line")
    }
}

fn flow_word(flow: &Flow, follow: bool, any: bool) -> AnyView {
    let (tone, mark, word) = match flow {
        _ if !any => ("quiet", Shape::Dash, "no log"),
        Flow::Opening => ("busy", Shape::Ring, "opening"),
        Flow::Waiting(_) => ("wait", Shape::Ring, "waiting"),
        Flow::Following if follow => ("good", Shape::Disc, "live"),
        Flow::Following => ("quiet", Shape::Half, "paused"),
        Flow::Broken => ("wait", Shape::Warning, "lost, trying again"),
        Flow::Ended(_) => ("quiet", Shape::Dash, "ended"),
    };
    view! { <span class=format!("state {tone}") data-test-log-flow=word>{shape(mark)}<span class="state-word">{word}</span></span> }
        .into_any()
}

/// Gives the text to the browser as a file.
fn save(name: &str, text: &str) {
    let parts = js_sys::Array::of1(&JsValue::from_str(text));
    let options = web_sys::BlobPropertyBag::new();
    options.set_type("text/plain;charset=utf-8");
    let Ok(blob) = web_sys::Blob::new_with_str_sequence_and_options(&parts, &options) else {
        return;
    };
    let Ok(address) = web_sys::Url::create_object_url_with_blob(&blob) else {
        return;
    };
    if let Ok(link) = document().create_element("a") {
        let link: web_sys::HtmlAnchorElement = link.unchecked_into();
        link.set_href(&address);
        link.set_download(name);
        link.click();
    }
    let _ = web_sys::Url::revoke_object_url(&address);
}
