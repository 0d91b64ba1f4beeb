//! The one connection over which the console hears what happens: `GET /api/v1/watch`.
//!
//! Every event goes to whoever listens. When the connection breaks, it is made anew from the last event heard, and
//! everybody who shows something is told to ask again once it stands.

use leptos::prelude::*;
use muster_schemas::api::EventView;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;
use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

/// Seconds from a break to the first, second, … attempt to connect; the last holds from there on. Short, because the
/// control plane restarts within seconds; bounded, so that a hundred open consoles do not hammer one that is down.
const WAITS: [u32; 5] = [1, 2, 4, 8, 10];

/// How the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Not yet made for the first time.
    Connecting,
    /// It stands.
    Live,
    /// It broke.
    Lost {
        /// Seconds until it is tried again; 0 while it is tried.
        retry_in: u32,
    },
}

/// Something that wants to hear of events.
pub trait Listener {
    /// Hears one event.
    fn hear(&self, event: &EventView);
}

/// The connection, for every part of the console.
#[derive(Clone, Copy)]
pub struct Live {
    /// How it is.
    pub link: RwSignal<Link>,
    /// Grows each time that it stands again after a break, and when somebody asks for everything anew.
    pub again: RwSignal<u32>,
    inner: StoredValue<Rc<Inner>, LocalStorage>,
}

struct Inner {
    source: RefCell<Option<Source>>,
    listeners: RefCell<Vec<Weak<dyn Listener>>>,
    /// The last event heard, or the sequence number that the first answer showed.
    seq: Cell<Option<u64>>,
    attempts: Cell<usize>,
}

struct Source {
    source: EventSource,
    // The closures live as long as the browser may call them.
    _heard: Closure<dyn FnMut(MessageEvent)>,
    _opened: Closure<dyn FnMut()>,
    _broke: Closure<dyn FnMut()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.source.set_onmessage(None);
        self.source.set_onopen(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}

impl Live {
    /// A connection that is made by [`Live::connect`].
    pub fn new() -> Self {
        let inner = Inner {
            source: RefCell::new(None),
            listeners: RefCell::new(Vec::new()),
            seq: Cell::new(None),
            attempts: Cell::new(0),
        };
        let live = Self {
            link: RwSignal::new(Link::Connecting),
            again: RwSignal::new(0),
            inner: StoredValue::new_local(Rc::new(inner)),
        };
        // Each second a wait grows shorter; at its end the connection is tried.
        set_interval(move || live.wait_a_second(), Duration::from_secs(1));
        let online = window_event_listener_untyped("online", move |_| live.connect());
        on_cleanup(move || online.remove());
        live
    }

    /// Makes the connection, from the last event heard on.
    pub fn connect(self) {
        let Some(inner) = self.inner.try_get_value() else {
            return;
        };
        let address = match inner.seq.get() {
            Some(seq) => format!("/api/v1/watch?after={seq}"),
            None => "/api/v1/watch".to_owned(),
        };
        let Ok(source) = EventSource::new(&address) else {
            return self.broke();
        };
        let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
            if let Some(text) = message.data().as_string() {
                self.heard(&text);
            }
        });
        let opened = Closure::<dyn FnMut()>::new(move || self.opened());
        let broke = Closure::<dyn FnMut()>::new(move || self.broke());
        source.set_onmessage(Some(heard.as_ref().unchecked_ref()));
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        source.set_onerror(Some(broke.as_ref().unchecked_ref()));
        *inner.source.borrow_mut() = Some(Source {
            source,
            _heard: heard,
            _opened: opened,
            _broke: broke,
        });
    }

    /// Ends the connection, for instance because nobody is signed in.
    pub fn disconnect(self) {
        if let Some(inner) = self.inner.try_get_value() {
            inner.source.take();
            inner.attempts.set(0);
        }
        self.link.set(Link::Connecting);
    }

    /// The events up to this one are known from elsewhere: the watch begins after it.
    pub fn begin_after(self, seq: u64) {
        if let Some(inner) = self.inner.try_get_value()
            && inner.seq.get().is_none()
        {
            inner.seq.set(Some(seq));
        }
    }

    /// The control plane is another process than before, and its last event is `seq`. If that is older than what was
    /// heard, its journal is another one too: the watch begins anew where that one stands.
    pub fn begin_anew(self, seq: u64) {
        if let Some(inner) = self.inner.try_get_value()
            && inner.seq.get().is_some_and(|heard| heard > seq)
        {
            inner.seq.set(Some(seq));
            self.connect();
        }
    }

    /// From now on the listener hears every event, until it is dropped.
    pub fn listen(self, listener: Weak<dyn Listener>) {
        if let Some(inner) = self.inner.try_get_value() {
            let mut listeners = inner.listeners.borrow_mut();
            listeners.retain(|one| one.strong_count() > 0);
            listeners.push(listener);
        }
    }

    /// A request did not reach the control plane: the connection may hang without the browser knowing it yet.
    pub fn doubt(self) {
        if self.link.get_untracked() == Link::Live {
            self.broke();
        }
    }

    /// Tries to connect at once.
    pub fn retry_now(self) {
        self.link.set(Link::Lost { retry_in: 0 });
        self.connect();
    }

    fn opened(self) {
        if let Some(inner) = self.inner.try_get_value() {
            inner.attempts.set(0);
        }
        let was = self.link.get_untracked();
        self.link.set(Link::Live);
        if matches!(was, Link::Lost { .. }) {
            self.again.update(|times| *times += 1);
        }
    }

    fn heard(self, text: &str) {
        let Some(inner) = self.inner.try_get_value() else {
            return;
        };
        let Ok(event) = serde_json::from_str::<EventView>(text) else {
            return;
        };
        // After a reconnect the same event could come twice; nobody is to hear it twice.
        if inner.seq.get().is_some_and(|seen| event.seq <= seen) {
            return;
        }
        inner.seq.set(Some(event.seq));
        let listeners: Vec<_> = inner
            .listeners
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for listener in listeners {
            listener.hear(&event);
        }
    }

    fn broke(self) {
        let Some(inner) = self.inner.try_get_value() else {
            return;
        };
        // The closures of the broken source may be running right now: they are dropped later.
        if let Some(source) = inner.source.take() {
            source.source.close();
            set_timeout(move || drop(source), Duration::ZERO);
        }
        let attempt = inner.attempts.get();
        inner.attempts.set(attempt + 1);
        let wait = WAITS.get(attempt).or(WAITS.last()).copied().unwrap_or(10);
        self.link.set(Link::Lost { retry_in: wait });
    }

    fn wait_a_second(self) {
        match self.link.try_get_untracked() {
            Some(Link::Lost { retry_in: 0 }) | Some(Link::Connecting | Link::Live) | None => {}
            Some(Link::Lost { retry_in: 1 }) => {
                self.link.set(Link::Lost { retry_in: 0 });
                self.connect();
            }
            Some(Link::Lost { retry_in }) => self.link.set(Link::Lost {
                retry_in: retry_in - 1,
            }),
        }
    }
}

/// The connection that the application made.
pub fn live() -> Live {
    expect_context()
}
