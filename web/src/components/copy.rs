//! A button that copies a text.

use crate::components::shape::{icon, icons};
use leptos::prelude::*;
use std::time::Duration;

/// How long the button says that it copied.
const SAID: Duration = Duration::from_millis(1_400);

/// The button; `what` names the thing for people who do not see the icon.
pub fn button(what: &'static str, text: String) -> AnyView {
    let done = RwSignal::new(false);
    let copy = move |_| {
        text_to_clipboard(text.clone(), move || {
            done.try_set(true);
            set_timeout(
                move || {
                    done.try_set(false);
                },
                SAID,
            );
        });
    };
    view! {
        <button
            type="button"
            class="icon-button copy"
            class:done=done
            title=format!("Copy the {what}")
            aria-label=move || if done.get() { format!("Copied the {what}") } else { format!("Copy the {what}") }
            data-test-copy=what
            on:click=copy
        >
            {move || icon(if done.get() { icons::DONE } else { icons::COPY })}
        </button>
    }
    .into_any()
}

/// Copies, and calls back when it is done. Browsers allow it on a person's gesture, over HTTPS or on this machine.
pub fn text_to_clipboard(text: String, done: impl FnOnce() + 'static) {
    let written = window().navigator().clipboard().write_text(&text);
    leptos::task::spawn_local(async move {
        if wasm_bindgen_futures::JsFuture::from(written).await.is_ok() {
            done();
        }
    });
}
