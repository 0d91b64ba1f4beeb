//! Who is signed in.

use crate::address;
use crate::api::{self, Trouble};
use leptos::prelude::*;
use muster_schemas::api::SessionView;

/// Whether there is a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Session {
    /// Not known yet.
    Unknown,
    /// There is one.
    In,
    /// There is none; with why, where somebody tried.
    Out(Option<Trouble>),
}

/// The session, for every part of the console.
#[derive(Clone, Copy)]
pub struct Who(pub RwSignal<Session>);

impl Who {
    /// Signs in with the address's token if it has one, else asks whether there is a session already.
    pub fn begin() -> Self {
        let who = Self(RwSignal::new(Session::Unknown));
        let token = take_token();
        // A link that is pasted into a tab where the console is open changes nothing but the part behind the `#`.
        let on_hash = wasm_bindgen::closure::Closure::<dyn Fn()>::new(move || {
            if let Some(token) = take_token() {
                leptos::task::spawn_local(async move { who.sign_in_when_reached(&token).await });
            }
        });
        let _ = window().add_event_listener_with_callback(
            "hashchange",
            wasm_bindgen::JsCast::unchecked_ref(on_hash.as_ref()),
        );
        // It is there for as long as the page is.
        on_hash.forget();
        leptos::task::spawn_local(async move {
            match token {
                Some(token) => who.sign_in_when_reached(&token).await,
                None => who.look().await,
            }
        });
        who
    }

    /// Signs in.
    pub async fn sign_in(self, token: &str) {
        match api::sign_in(token).await {
            Ok(_) => self.0.set(Session::In),
            Err(trouble) => self.0.set(Session::Out(Some(trouble))),
        }
    }

    /// Signs in with the link's token, which is nowhere else to be had any more. While the control plane cannot be reached
    /// it tries again each second.
    async fn sign_in_when_reached(self, token: &str) {
        loop {
            self.sign_in(token).await;
            if self.0.get_untracked() != Session::Out(Some(Trouble::Unreached)) {
                return;
            }
            gloo_timers::future::TimeoutFuture::new(1_000).await;
        }
    }

    /// Asks whether there is a session. While the control plane cannot be reached it asks again each second.
    async fn look(self) {
        loop {
            match api::get::<SessionView>("/session").await {
                Ok(_) => return self.0.set(Session::In),
                Err(Trouble::SignedOut) => return self.0.set(Session::Out(None)),
                Err(trouble) => self.0.set(Session::Out(Some(trouble))),
            }
            gloo_timers::future::TimeoutFuture::new(1_000).await;
        }
    }

    /// An answer said that there is no session.
    pub fn ended(self) {
        if matches!(self.0.get_untracked(), Session::In) {
            self.0.set(Session::Out(Some(Trouble::SignedOut)));
        }
    }

    /// Signs out.
    pub fn sign_out(self) {
        leptos::task::spawn_local(async move {
            match api::sign_out().await {
                Ok(()) => self.0.set(Session::Out(None)),
                Err(trouble) => self.0.set(Session::Out(Some(trouble))),
            }
        });
    }
}

/// Takes the token out of the address bar, so that it is neither seen, bookmarked nor kept in the history.
fn take_token() -> Option<String> {
    let location = window().location();
    let token = address::token(&location.hash().ok()?)?;
    let path = location.pathname().ok()?;
    let query = location.search().unwrap_or_default();
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(
            &wasm_bindgen::JsValue::NULL,
            "",
            Some(&format!("{path}{query}")),
        );
    }
    Some(token)
}
