//! There is no such page.

use leptos::prelude::*;

/// The page.
pub fn page() -> AnyView {
    crate::components::text::page_title(|| "No such page".to_owned());
    view! {
        <div class="blank" data-test-missing>
            <h1>"There is no such page"</h1>
            <p>"The address may be from another version of the console, or mistyped. Press "<kbd>"/"</kbd>" to find a job, task or host."</p>
            <p class="blank-actions"><a class="button" href="/jobs">"All jobs"</a></p>
        </div>
    }
    .into_any()
}
