//! The moment that the console shows: now, or one of the past, as the address says (`?at=…`).
//!
//! The address is the only place where it stands, so that a reload, a link and the browser's own back and forward keep it.
//! Every link within the console takes it along, until somebody goes back to now.

use crate::address;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

/// A link with this attribute names a moment of its own, or none, and is left as it is.
pub const OWN_MOMENT: &str = "data-own-moment";

/// Goes to an address; in the place of the one before, or as a step that the browser's back takes back.
type Go = Box<dyn Fn(&str, bool)>;

/// The moment that is shown.
#[derive(Clone, Copy)]
pub struct Past {
    at: Memo<Option<String>>,
    here: Memo<String>,
    go: StoredValue<Go, LocalStorage>,
    /// So many answers about another moment than before are under way.
    pub pending: RwSignal<u32>,
}

impl Past {
    /// The moment of the address, for everything within the router.
    pub fn begin() -> Self {
        let location = use_location();
        let navigate = use_navigate();
        let at = Memo::new(move |_| {
            let at = location.query.with(|query| query.get(address::MOMENT));
            at.filter(|at| !at.trim().is_empty())
        });
        let here = Memo::new(move |_| {
            let (path, search) = (location.pathname.get(), location.search.get());
            match search.trim_start_matches('?') {
                "" => path,
                search => format!("{path}?{search}"),
            }
        });
        let past = Self {
            at,
            here,
            go: StoredValue::new_local(Box::new(move |to, replace| {
                let options = NavigateOptions {
                    replace,
                    scroll: false,
                    ..NavigateOptions::default()
                };
                navigate(to, options);
            })),
            pending: RwSignal::new(0),
        };
        past.take_along();
        past
    }

    /// The moment, as the address has it; none for now. Whoever asks is told again when it changes.
    pub fn at(self) -> Option<String> {
        self.at.get()
    }

    /// Whether it is now that is shown.
    pub fn is_now(self) -> bool {
        self.at.with(Option::is_none)
    }

    /// Shows this page at another moment; none for now.
    pub fn show(self, at: Option<&str>) {
        let here = self.here.get_untracked();
        let to = address::at_moment(&here, at);
        if to != here {
            // From one moment of the past to the next: each step of the slider would else be one of the way back.
            let replace = at.is_some() && self.at.with_untracked(Option::is_some);
            self.go.with_value(|go| go(&to, replace));
        }
    }

    /// An address of the console at the moment that is shown.
    pub fn along(self, to: &str) -> String {
        self.at
            .with_untracked(|at| address::at_moment(to, at.as_deref()))
    }

    /// Gives each link the moment just before it is followed, whichever part of the console made it.
    fn take_along(self) {
        let listener = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
            let link = event
                .target()
                .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
                .and_then(|element| element.closest("a[href]").ok().flatten());
            let Some(link) = link.filter(|link| !link.has_attribute(OWN_MOMENT)) else {
                return;
            };
            let Some(to) = link.get_attribute("href") else {
                return;
            };
            // Other addresses are not the console's.
            if to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/api/") {
                let there = self.along(&to);
                if there != to {
                    let _ = link.set_attribute("href", &there);
                }
            }
        });
        // While the event is on its way down, so before the router takes it. A link that is opened in another tab or copied
        // is pressed first, too.
        for name in ["pointerdown", "click"] {
            let _ = document().add_event_listener_with_callback_and_bool(
                name,
                listener.as_ref().unchecked_ref(),
                true,
            );
        }
        let listener = StoredValue::new_local(listener);
        on_cleanup(move || {
            listener.with_value(|listener| {
                for name in ["pointerdown", "click"] {
                    let _ = document().remove_event_listener_with_callback_and_bool(
                        name,
                        listener.as_ref().unchecked_ref(),
                        true,
                    );
                }
            });
        });
    }
}

/// The moment that the application shows.
pub fn past() -> Past {
    expect_context()
}
