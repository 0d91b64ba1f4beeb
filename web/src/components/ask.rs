//! An action of a person: a button that says what it will do, asks why, does it, and says what went wrong.

use crate::api::{self, Trouble};
use crate::components::shape::shape;
use crate::components::text;
use crate::format;
use crate::may::may;
use crate::past::past;
use crate::tone::Shape;
use leptos::prelude::*;
use muster_schemas::access::Needs;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// What is asked.
pub struct Ask {
    /// The button's word, such as `Approve`.
    pub word: &'static str,
    /// What it will do, in a sentence.
    pub will: String,
    /// Where it goes, under `/api/v1`.
    pub path: String,
    /// What goes there beside the reason.
    pub body: Value,
    /// What it takes: who may not is not offered it.
    pub needs: Needs,
    /// Whether it is what most people will want to do here.
    pub primary: bool,
}

/// So many were made; it tells their fields apart.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// The button, and the question once it was pressed.
pub fn ask(question: Ask) -> AnyView {
    let Ask {
        word,
        will,
        path,
        body,
        needs,
        primary,
    } = question;
    let past = past();
    let may = may(needs);
    let name = word.split(' ').next().unwrap_or(word).to_lowercase();
    // Several of the same word may stand on one page.
    let number = ASKED.fetch_add(1, Ordering::Relaxed);
    let field = format!("why-{name}-{number}");
    let open = RwSignal::new(false);
    let reason = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let trouble: RwSignal<Option<Trouble>> = RwSignal::new(None);
    let input = NodeRef::<leptos::html::Input>::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let words = reason.get_untracked().trim().to_owned();
        if busy.get_untracked() || words.is_empty() {
            return;
        }
        busy.set(true);
        let path = path.clone();
        let mut body = body.clone();
        if !body.is_object() {
            body = json!({});
        }
        body["reason"] = words.into();
        leptos::task::spawn_local(async move {
            // What a command answers is seen in what it changes.
            match api::post::<serde::de::IgnoredAny>(&path, &body).await {
                Ok(_) => {
                    open.try_set(false);
                    reason.try_set(String::new());
                    trouble.try_set(None);
                }
                Err(error) => {
                    trouble.try_set(Some(error));
                }
            }
            busy.try_set(false);
        });
    };
    let class = if primary { "button primary" } else { "button" };
    let (label, test, form_test) = (field.clone(), name.clone(), name);
    view! {
        // Who looks at the past must not act on the present by it.
        <div class="ask" class:open=open hidden=move || !past.is_now() || !may.get()>
            <button
                type="button"
                class=class
                hidden=move || open.get()
                data-test-ask=test
                on:click=move |_| {
                    open.set(true);
                    // The field is there only once it is open.
                    request_animation_frame(move || {
                        if let Some(input) = input.get_untracked() {
                            let _ = input.focus();
                        }
                    });
                }
            >
                {word}
            </button>
            <form
                class="ask-form"
                hidden=move || !open.get()
                data-test-ask-form=form_test
                on:submit=submit
                on:keydown=move |event| {
                    if event.key() == "Escape" {
                        event.stop_propagation();
                        open.set(false);
                    }
                }
            >
                <p>{text::rich(&will)}</p>
                <label for=label>"Why? It stands in the journal beside your name."</label>
                <div class="ask-row">
                    <input
                        id=field
                        class="field"
                        node_ref=input
                        maxlength="1000"
                        autocomplete="off"
                        required
                        prop:value=reason
                        on:input=move |event| reason.set(event_target_value(&event))
                    />
                    <button type="submit" class="button primary" disabled=move || busy.get() || reason.with(|text| text.trim().is_empty())>
                        {move || if busy.get() { "One moment …" } else { word }}
                    </button>
                    <button type="button" class="button plain" on:click=move |_| open.set(false)>"Cancel"</button>
                </div>
                <div role="alert">
                    {move || trouble.get().map(|trouble| {
                        let (message, hint) = trouble.words();
                        view! {
                            <p class="ask-trouble" data-test-ask-trouble>
                                <span class="state bad">{shape(Shape::Cross)}</span>
                                <span>{text::rich(&format::sentence(&message))}" "<span class="dim">{text::rich(&format::sentence(&hint))}</span></span>
                            </p>
                        }
                    })}
                </div>
            </form>
        </div>
    }
    .into_any()
}
