//! The stream of a log's lines into the document.
//!
//! Lines are put there by hand rather than by a view: thousands of them come and go, and only at the ends.

use crate::address::escape;
use crate::api;
use crate::format;
use crate::lines::{self, Lines, Taken};
use gloo_timers::callback::Timeout;
use leptos::html::Div;
use leptos::prelude::*;
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
pub enum Flow {
    /// Not yet open.
    Opening,
    /// There is no log yet, or none any more, and why; it is asked for again and again.
    Waiting(String),
    /// Lines come as they are written.
    Following,
    /// It broke, and is resumed soon.
    Broken,
    /// No more will come, and why.
    Ended(String),
}

/// What the stream tells the panel around it, and what the panel asks of it.
#[derive(Clone, Copy)]
pub struct Shared {
    /// Where the lines are put.
    pub pane: NodeRef<Div>,
    /// How the stream is.
    pub flow: RwSignal<Flow>,
    /// How many lines are kept.
    pub count: RwSignal<usize>,
    /// Whether the newest line is kept in sight.
    pub follow: RwSignal<bool>,
    /// Which lines are shown.
    pub filter: RwSignal<String>,
}

/// The stream of one attempt's log. It closes when it is dropped.
pub struct Stream {
    me: Weak<Stream>,
    task: String,
    attempt: String,
    shared: Shared,
    lines: RefCell<Lines>,
    fresh: RefCell<Vec<LogLine>>,
    source: RefCell<Option<Source>>,
    draw: RefCell<Option<Timeout>>,
    retry: RefCell<Option<Timeout>>,
    breaks: Cell<usize>,
    /// Whether this source was open: one that never was may have been refused.
    opened: Cell<bool>,
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
    /// Opens the log of an attempt of a task.
    pub fn begin(task: String, attempt: String, shared: Shared) -> Rc<Self> {
        let stream = Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            task,
            attempt,
            shared,
            lines: RefCell::default(),
            fresh: RefCell::default(),
            source: RefCell::default(),
            draw: RefCell::default(),
            retry: RefCell::default(),
            breaks: Cell::new(0),
            opened: Cell::new(false),
        });
        stream.open();
        stream
    }

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
            stream.opened.set(true);
            stream.shared.flow.try_set(Flow::Following);
        });
        let broke = on(|stream, _| stream.broke());
        let _ = source.add_event_listener_with_callback("line", line.as_ref().unchecked_ref());
        let _ = source.add_event_listener_with_callback("end", end.as_ref().unchecked_ref());
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        source.set_onerror(Some(broke.as_ref().unchecked_ref()));
        *self.source.borrow_mut() = Some(Source {
            source,
            _closures: [line, end, opened, broke],
        });
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
        if self.opened.replace(false) {
            self.shared.flow.try_set(Flow::Broken);
        } else {
            self.ask_why();
        }
        self.open_again();
    }

    fn open_again(&self) {
        let breaks = self.breaks.get();
        self.breaks.set(breaks + 1);
        let wait = WAITS_MILLIS
            .get(breaks)
            .or(WAITS_MILLIS.last())
            .copied()
            .unwrap_or(8_000);
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

    /// A source that was refused does not say why; the same question, asked once without following, does.
    fn ask_why(&self) {
        let me = Weak::clone(&self.me);
        let path = format!(
            "/tasks/{}/logs?tail=1&attempt={}",
            escape(&self.task),
            escape(&self.attempt)
        );
        leptos::task::spawn_local(async move {
            let why = api::refusal(&path).await;
            if let Some(stream) = me.upgrade().filter(|stream| !stream.opened.get()) {
                stream.shared.flow.try_set(match why {
                    Some(message) => Flow::Waiting(format::sentence(&message)),
                    None => Flow::Broken,
                });
            }
        });
    }

    fn ended(&self, event: &MessageEvent) {
        self.close();
        self.opened.set(false);
        let end = event
            .data()
            .as_string()
            .and_then(|text| serde_json::from_str::<LogEnd>(&text).ok());
        let words = match end {
            Some(LogEnd::Complete) | None => "End of the log".to_owned(),
            Some(LogEnd::NoContainer) => {
                "The host has no container of this attempt any more, and so no log".to_owned()
            }
            // The way to the host broke, not the log: the agent may be back in a moment.
            Some(LogEnd::Failed { message }) => {
                let words = format::sentence(&format!("the log cannot be read now: {message}"));
                self.shared.flow.try_set(Flow::Waiting(words));
                return self.open_again();
            }
        };
        self.shared.flow.try_set(Flow::Ended(words));
    }

    fn heard(&self, event: &MessageEvent) {
        let Some(line) = event
            .data()
            .as_string()
            .and_then(|text| serde_json::from_str::<LogLine>(&text).ok())
        else {
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
        let Some(pane) = self.shared.pane.try_get_untracked().flatten() else {
            return;
        };
        let filter = self.shared.filter.try_get_untracked().unwrap_or_default();
        append(
            &pane,
            fresh.iter().filter(|line| lines::matches(line, &filter)),
        );
        while pane.child_element_count() as usize > lines::MOST {
            if let Some(first) = pane.first_element_child() {
                first.remove();
            }
        }
        self.shared.count.try_set(self.lines.borrow().count());
        self.to_end(&pane);
    }

    /// Draws all lines anew: the filter is another.
    pub fn redraw(&self) {
        self.fresh.take();
        let Some(pane) = self.shared.pane.try_get_untracked().flatten() else {
            return;
        };
        pane.set_text_content(None);
        let filter = self.shared.filter.try_get_untracked().unwrap_or_default();
        append(
            &pane,
            self.lines
                .borrow()
                .all()
                .filter(|line| lines::matches(line, &filter)),
        );
        self.shared.count.try_set(self.lines.borrow().count());
        self.to_end(&pane);
    }

    fn to_end(&self, pane: &web_sys::HtmlElement) {
        if self.shared.follow.try_get_untracked() == Some(true) {
            pane.set_scroll_top(pane.scroll_height());
        }
    }

    /// The shown lines as text.
    pub fn shown_text(&self) -> String {
        let filter = self.shared.filter.get_untracked();
        lines::text(
            self.lines
                .borrow()
                .all()
                .filter(|line| lines::matches(line, &filter)),
        )
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
        row.set_class_name(if stderr {
            "log-line stderr"
        } else {
            "log-line"
        });
        let _ = row.set_attribute(
            "data-test-log-line",
            if stderr { "stderr" } else { "stdout" },
        );
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
