//! Where a token is given for a session.

use crate::address;
use crate::api::Trouble;
use crate::components::shape::shape;
use crate::components::text;
use crate::session::{Session, Who};
use crate::tone::Shape;
use leptos::prelude::*;

/// The page.
pub fn page(who: Who) -> AnyView {
    document().set_title("Sign in · Muster");
    let token = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        let token = address::pasted_token(&token.get_untracked());
        leptos::task::spawn_local(async move {
            who.sign_in(&token).await;
            busy.try_set(false);
        });
    };
    view! {
        <main class="sign-in">
            <form class="sign-in-box" on:submit=submit>
                <div class="sign-in-mark" aria-hidden="true">
                    <svg viewBox="0 0 32 32">
                        <rect x="7" y="7" width="5" height="18" rx="1.5" />
                        <rect x="13.5" y="12" width="5" height="13" rx="1.5" />
                        <rect x="20" y="7" width="5" height="18" rx="1.5" />
                    </svg>
                </div>
                <h1>"Sign in to Muster"</h1>
                <label for="token">"Token"</label>
                <input
                    id="token"
                    type="password"
                    autocomplete="current-password"
                    spellcheck="false"
                    autofocus
                    placeholder="Paste a token, or the whole console link"
                    data-test-token
                    prop:value=token
                    on:input=move |event| token.set(event_target_value(&event))
                />
                <div class="sign-in-words" role="alert">
                    {move || match who.0.get() {
                        Session::Out(Some(trouble)) => {
                            let (message, hint) = match &trouble {
                                Trouble::Unreached => (
                                    "The control plane does not answer.".to_owned(),
                                    "Containers run on without it. Is `muster serve` running?".to_owned(),
                                ),
                                Trouble::SignedOut | Trouble::Refused { .. } | Trouble::Unclear(_) => trouble.words(),
                            };
                            view! {
                                <p class="sign-in-trouble" data-test-sign-in-error>
                                    <span class="state bad">{shape(Shape::Cross)}</span>
                                    <span>{text::rich(&message)}<br/><span class="dim">{text::rich(&hint)}</span></span>
                                </p>
                            }
                                .into_any()
                        }
                        Session::Out(None) | Session::In | Session::Unknown => view! {
                            <p class="dim"><code>"muster up"</code>" prints a link that signs you in. The token also stands in "<code>"$MUSTER_HOME/env"</code>"."</p>
                        }
                            .into_any(),
                    }}
                </div>
                <button type="submit" class="button primary" disabled=busy data-test-sign-in>
                    {move || if busy.get() { "Signing in…" } else { "Sign in" }}
                </button>
            </form>
        </main>
    }
    .into_any()
}
