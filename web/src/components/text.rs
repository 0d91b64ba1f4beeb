//! Small texts: times, ids, links, facts.

use crate::clock::clock;
use crate::components::copy;
use crate::{address, format};
use jiff::Timestamp;
use leptos::prelude::*;
use muster_schemas::plan::Revision;

/// How long ago; when exactly on hover.
pub fn time(at: Timestamp) -> AnyView {
    let clock = clock();
    view! {
        <time datetime=at.to_string() title=format::absolute(at)>
            {move || format::ago(at, clock.now())}
        </time>
    }
    .into_any()
}

/// As [`time`], or a dash.
pub fn maybe_time(at: Option<Timestamp>) -> AnyView {
    at.map_or_else(nothing, time)
}

/// A sentence in which what stands between backticks is code.
pub fn rich(sentence: &str) -> AnyView {
    format::marked(sentence)
        .into_iter()
        .map(|(is_code, part)| {
            let part = part.to_owned();
            if is_code {
                view! { <code>{part}</code> }.into_any()
            } else {
                part.into_any()
            }
        })
        .collect_view()
        .into_any()
}

/// Where there is nothing to say.
pub fn nothing() -> AnyView {
    view! { <span class="faint">"–"</span> }.into_any()
}

/// A text, or a dash.
pub fn or_nothing(text: Option<String>) -> AnyView {
    match text {
        Some(text) if !text.is_empty() => view! { <span>{text}</span> }.into_any(),
        Some(_) | None => nothing(),
    }
}

/// A number with its unit, for the right side of a column.
pub fn number(value: u64) -> AnyView {
    view! { <span class="number">{format::count(value)}</span> }.into_any()
}

/// A link to a job.
pub fn job_link(id: &str) -> AnyView {
    view! { <a class="link" href=address::job(id)>{id.to_owned()}</a> }.into_any()
}

/// A link to a host by its id, under its name.
pub fn host_link(id: Option<&str>, name: Option<&str>) -> AnyView {
    match (id, name) {
        (Some(id), Some(name)) => {
            view! { <a class="link" href=address::host(id)>{name.to_owned()}</a> }.into_any()
        }
        (None, Some(name)) => view! { <span>{name.to_owned()}</span> }.into_any(),
        (_, None) => nothing(),
    }
}

/// An image as people call it, with its short digest; all of it on hover.
pub fn image(reference: &str, resolved: &str) -> AnyView {
    let digest = format::short_digest(resolved).map(str::to_owned);
    view! {
        <span class="image" title=format!("{reference}\n{resolved}")>
            <span class="clip">{format::image_name(reference).to_owned()}</span>
            {digest.map(|digest| view! { <code class="digest">{digest}</code> })}
        </span>
    }
    .into_any()
}

/// A revision: its short commit and its subject.
pub fn revision(revision: &Revision) -> AnyView {
    view! {
        <span class="revision" title=format::revision_title(revision)>
            <code class="digest">{format::short(revision.commit.as_str()).to_owned()}</code>
            <span class="clip">{revision.subject.clone()}</span>
        </span>
    }
    .into_any()
}

/// One fact of a list of facts.
pub fn fact(name: &'static str, value: AnyView) -> AnyView {
    view! {
        <div class="fact" data-test-fact=name>
            <dt>{name}</dt>
            <dd>{value}</dd>
        </div>
    }
    .into_any()
}

/// An id in full, with a button that copies it.
pub fn id(what: &'static str, id: &str) -> AnyView {
    view! {
        <span class="id">
            <code class="clip" title=id.to_owned()>{id.to_owned()}</code>
            {copy::button(what, id.to_owned())}
        </span>
    }
    .into_any()
}

/// As [`id`], or a dash.
pub fn maybe_id(what: &'static str, value: Option<&str>) -> AnyView {
    value.map_or_else(nothing, |value| id(what, value))
}

/// Names the page in the browser's tab.
pub fn page_title(title: impl Fn() -> String + 'static) {
    Effect::new(move |_| document().set_title(&format!("{} · Muster", title())));
}
