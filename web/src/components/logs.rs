//! The live log of an attempt.
//!
//! Lines are put into the document by hand rather than by a view: thousands of them come and go, and only at the ends.

use crate::address::escape;
use crate::components::copy;
use crate::components::shape::shape;
use crate::format;
use crate::lines::{self, Lines, Taken};
use crate::tone::Shape;
use gloo_timers::callback::Timeout;
use leptos::html::Div;
use leptos::prelude::*;
use muster_schemas::api::AttemptView;
use muster_schemas::wire::{LogEnd, LogLine, LogStream};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

/// How many lines a stream begins with.
const TAIL: u32 = 500;
/// Lines that come together are put into the document together: a flood costs a few layouts a second.
const GATHER_MILLIS: u32 = 80;
/// After a break the stream is resumed after so long, and twice as long after the next, up to the last.
const WAITS_MILLIS: [u32; 4] = [500, 1_000, 3_000, 8_000];

/// How the stream is.
#[derive(Debug, Clone, PartialEq)]
enum Flow {
    Opening,
    Following,
    Broken,
    Ended(String),
}

struct Stream {
    me: Weak<Stream>,
    task: String,
    attempt: String,
    pane: NodeRef<Div>,
    lines: RefCell<Lines>,
    fresh: RefCell<Vec<LogLine>>,
    source: RefCell<Option<Source>>,
    draw: RefCell<Option<Timeout>>,
    retry: RefCell<Option<Timeout>>,
    breaks: Cell<usize>,
    flow: RwSignal<Flow>,
    count: RwSignal<usize>,
    follow: RwSignal<bool>,
    filter: RwSignal<String>,
}

struct Source {
    source: EventSource,
    _closures: [Closure<dyn FnMut(MessageEvent)>; 4],
}

impl Drop for Source {
    fn drop(&mut self) {
        self.source.set_onopen(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}

impl Stream {
    fn open(&self) {
        let mut address = format!(
            "/api/v1/tasks/{}/logs?follow=true&attempt={}",
            escape(&self.task),
            escape(&self.attempt)
        );
        let since = self.lines.borrow().since();
        match since {
            // Everything since the last line, itself included: others may have been written in the same instant.
            Some(at) => address.push_str(&format!("&since={}", escape(&at.to_string()))),
            None => address.push_str(&format!("&tail={TAIL}")),
        }
        self.lines.borrow_mut().resume();
        let Ok(source) = EventSource::new(&address) else {
            return self.broke();
        };
        let on = |act: fn(&Stream, MessageEvent)| {
            let me = Weak::clone(&self.me);
            Closure::<dyn FnMut(MessageEvent)>::new(move |event| {
                if let Some(stream) = me.upgrade() {
                    act(&stream, event);
                }
            })
        };
        let line = on(|stream, event| stream.heard(&event));
        let end = on(|stream, event| stream.ended(&event));
        let opened = on(|stream, _| {
            stream.breaks.set(0);
            stream.flow.try_set(Flow::Following);
        });
        let broke = on(|stream, _| stream.broke());
        let _ = source.add_event_listener_with_callback("line", line.as_ref().unchecked_ref());
        let _ = source.add_event_listener_with_callback("end", end.as_ref().unchecked_ref());
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        source.set_onerror(Some(broke.as_ref().unchecked_ref()));
        *self.source.borrow_mut() = Some(Source { source, _closures: [line, end, opened, broke] });
    }

    /// Closes the source. Its closures may be running right now, so they are dropped a moment later.
    fn close(&self) {
        if let Some(source) = self.source.take() {
            source.source.close();
            Timeout::new(0, move || drop(source)).forget();
        }
    }

    fn broke(&self) {
        self.close();
        self.flow.try_set(Flow::Broken);
        let breaks = self.breaks.get();
        self.breaks.set(breaks + 1);
        let wait = WAITS_MILLIS.get(breaks).or(WAITS_MILLIS.last()).copied().unwrap_or(8_000);
        let me = Weak::clone(&self.me);
        *self.retry.borrow_mut() = Some(Timeout::new(wait, move || {
            if let Some(stream) = me.upgrade() {
                if let Some(timeout) = stream.retry.take() {
                    timeout.forget();
                }
                stream.open();
            }
        }));
    }

    fn ended(&self, event: &MessageEvent) {
        self.close();
        let end = event.data().as_string().and_then(|text| serde_json::from_str::<LogEnd>(&text).ok());
        let words = match end {
            Some(LogEnd::Complete) | None => "End of the log".to_owned(),
            Some(LogEnd::NoContainer) => "The host has no container of this attempt any more, and so no log".to_owned(),
            Some(LogEnd::Failed { message }) => format!("The log could not be read: {message}"),
        };
        self.flow.try_set(Flow::Ended(words));
    }

    fn heard(&self, event: &MessageEvent) {
        let Some(line) = event.data().as_string().and_then(|text| serde_json::from_str::<LogLine>(&text).ok()) else {
            return;
        };
        if self.lines.borrow_mut().take(line.clone()) == Taken::Known {
            return;
        }
        self.fresh.borrow_mut().push(line);
        let mut draw = self.draw.borrow_mut();
        if draw.is_none() {
            let me = Weak::clone(&self.me);
            *draw = Some(Timeout::new(GATHER_MILLIS, move || {
                if let Some(stream) = me.upgrade() {
                    if let Some(timeout) = stream.draw.take() {
                        timeout.forget();
                    }
                    stream.draw();
                }
            }));
        }
    }

    /// Puts the fresh lines at the end.
    fn draw(&self) {
        let fresh = self.fresh.take();
        let Some(pane) = self.pane.try_get_untracked().flatten() else { return };
        let filter = self.filter.try_get_untracked().unwrap_or_default();
        append(&pane, fresh.iter().filter(|line| lines::matches(line, &filter)));
        while pane.child_element_count() as usize > lines::MOST {
            if let Some(first) = pane.first_element_child() {
                first.remove();
            }
        }
        self.count.try_set(self.lines.borrow().count());
        self.to_end(&pane);
    }

    /// Draws all lines anew: the filter is another.
    fn redraw(&self) {
        self.fresh.take();
        let Some(pane) = self.pane.try_get_untracked().flatten() else { return };
        pane.set_text_content(None);
        let filter = self.filter.try_get_untracked().unwrap_or_default();
        append(&pane, self.lines.borrow().all().filter(|line| lines::matches(line, &filter)));
        self.count.try_set(self.lines.borrow().count());
        self.to_end(&pane);
    }

    fn to_end(&self, pane: &web_sys::HtmlElement) {
        if self.follow.try_get_untracked() == Some(true) {
            pane.set_scroll_top(pane.scroll_height());
        }
    }

    fn shown_text(&self) -> String {
        let filter = self.filter.get_untracked();
        lines::text(self.lines.borrow().all().filter(|line| lines::matches(line, &filter)))
    }
}

fn append<'a>(pane: &web_sys::HtmlElement, lines: impl Iterator<Item = &'a LogLine>) {
    let document = document();
    let fragment = document.create_document_fragment();
    for line in lines {
        let (Ok(row), Ok(time), Ok(text)) = (
            document.create_element("div"),
            document.create_element("time"),
            document.create_element("span"),
        ) else {
            return;
        };
        let stderr = line.stream == LogStream::Stderr;
        row.set_class_name(if stderr { "log-line err" } else { "log-line" });
        let _ = row.set_attribute("data-test-log-line", if stderr { "stderr" } else { "stdout" });
        let _ = time.set_attribute("title", &line.at.to_string());
        time.set_text_content(Some(&format::clock(line.at)));
        // As text, never as markup: what a container writes is not ours.
        text.set_text_content(Some(&lines::without_escapes(&line.text)));
        let _ = row.append_child(&time);
        let _ = row.append_child(&text);
        let _ = fragment.append_child(&row);
    }
    let _ = pane.append_child(&fragment);
}

/// The log panel of a task: of its current attempt, or of the one that is chosen.
pub fn panel(task: Signal<String>, current: Memo<Option<String>>, attempts: Signal<Vec<AttemptView>>) -> AnyView {
    let chosen = RwSignal::new(None::<String>);
    let follow = RwSignal::new(true);
    let wrap = RwSignal::new(false);
    let filter = RwSignal::new(String::new());
    let flow = RwSignal::new(Flow::Opening);
    let count = RwSignal::new(0);
    let pane = NodeRef::<Div>::new();
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
        let opened = Rc::new_cyclic(|me| Stream {
            me: Weak::clone(me),
            task,
            attempt,
            pane,
            lines: RefCell::default(),
            fresh: RefCell::default(),
            source: RefCell::default(),
            draw: RefCell::default(),
            retry: RefCell::default(),
            breaks: Cell::new(0),
            flow,
            count,
            follow,
            filter,
        });
        opened.open();
        stream.set_value(Some(opened));
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
    let text = move || stream.with_value(|stream| stream.as_ref().map(|stream| stream.shown_text()).unwrap_or_default());
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
                <button type="button" class="button" class:on=follow aria-pressed=move || follow.get().to_string()
                    data-test-log-follow on:click=toggle_follow>
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
                role="log"
                aria-live="off"
                tabindex="0"
                aria-label="Log lines"
                node_ref=pane
                on:scroll=scrolled
                data-test-log-pane
            ></div>
            <div class="log-foot faint">
                {move || match (attempt.get(), &flow.get(), count.get()) {
                    (None, _, _) => "No attempt yet: the log begins with the first container.".to_owned(),
                    (Some(_), Flow::Ended(words), 0) => format!("{words}. Nothing was written."),
                    (Some(_), Flow::Ended(words), count) => format!("{words} · {}", kept(count)),
                    (Some(_), _, 0) => "Nothing was written yet.".to_owned(),
                    (Some(_), _, count) => kept(count),
                }}
            </div>
        </section>
    }
    .into_any()
}

fn kept(count: usize) -> String {
    if count >= lines::MOST {
        format!("the last {} lines are kept here", format::count(lines::MOST as u64))
    } else {
        format::counted(count as u64, "line")
    }
}

fn flow_word(flow: &Flow, follow: bool, any: bool) -> AnyView {
    let (tone, mark, word) = match flow {
        _ if !any => ("quiet", Shape::Dash, "no log"),
        Flow::Opening => ("busy", Shape::Ring, "opening"),
        Flow::Following if follow => ("good", Shape::Disc, "live"),
        Flow::Following => ("quiet", Shape::Half, "paused"),
        Flow::Broken => ("wait", Shape::Warning, "connection lost, trying again"),
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
    let Ok(blob) = web_sys::Blob::new_with_str_sequence_and_options(&parts, &options) else { return };
    let Ok(address) = web_sys::Url::create_object_url_with_blob(&blob) else { return };
    if let Ok(link) = document().create_element("a") {
        let link: web_sys::HtmlAnchorElement = link.unchecked_into();
        link.set_href(&address);
        link.set_download(name);
        link.click();
    }
    let _ = web_sys::Url::revoke_object_url(&address);
}
