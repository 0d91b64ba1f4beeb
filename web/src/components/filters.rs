//! Filters that stand in the address, so that a link or a reload shows the same list.

use crate::address::Filters;
use crate::components::shape::{icon, icons};
use crate::past::{Past, past};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use std::time::Duration;

/// A person who types fast is not asked for after each letter.
const TYPING: Duration = Duration::from_millis(180);

/// Goes to an address.
type Go = Box<dyn Fn(&str)>;

/// The filters of the address, and the way to change them.
#[derive(Clone, Copy)]
pub struct InAddress {
    /// What they are.
    pub now: Memo<Filters>,
    path: Memo<String>,
    past: Past,
    go: StoredValue<Go, LocalStorage>,
}

/// The filters of this page's address.
pub fn in_address() -> InAddress {
    let location = use_location();
    let navigate = use_navigate();
    let now = Memo::new(move |_| {
        location.query.with(|query| {
            let pairs = query
                .latest_values()
                .map(|(key, _)| key.to_string())
                .collect::<Vec<_>>();
            let mut filters = Filters::default();
            for key in pairs {
                for value in query.get_all(&key).unwrap_or_default() {
                    filters.0.push((key.clone(), value));
                }
            }
            filters
        })
    });
    let options = NavigateOptions {
        replace: true,
        scroll: false,
        ..NavigateOptions::default()
    };
    InAddress {
        now,
        path: location.pathname,
        past: past(),
        go: StoredValue::new_local(Box::new(move |to| navigate(to, options.clone()))),
    }
}

impl InAddress {
    /// Shows the list with other filters.
    pub fn set(self, filters: &Filters) {
        let address = self.past.along(&filters.on(&self.path.get_untracked()));
        self.go.with_value(|go| go(&address));
    }
}

/// The field that filters by text (`q`).
pub fn search(filters: InAddress, label: &'static str) -> AnyView {
    let (typed, set_typed) = signal(None::<String>);
    let waiting = StoredValue::new(None::<TimeoutHandle>);
    let input = move |event: leptos::ev::Event| {
        let text = event_target_value(&event);
        set_typed.set(Some(text.clone()));
        if let Some(handle) = waiting.get_value() {
            handle.clear();
        }
        let handle = set_timeout_with_handle(
            move || {
                if let Some(now) = filters.now.try_get_untracked() {
                    filters.set(&now.with("q", &text));
                }
            },
            TYPING,
        );
        waiting.set_value(handle.ok());
    };
    view! {
        <label class="search">
            <span class="unseen">{label}</span>
            {icon(icons::SEARCH)}
            <input
                type="search"
                placeholder=label
                autocomplete="off"
                spellcheck="false"
                data-test-search
                prop:value=move || typed.get().unwrap_or_else(|| filters.now.get().first("q").to_owned())
                on:input=input
                on:blur=move |_| set_typed.set(None)
            />
        </label>
    }
    .into_any()
}

/// A filter that is on or off, with how many it would show.
pub fn chip(
    filters: InAddress,
    key: &'static str,
    value: &'static str,
    label: AnyView,
    count: impl Fn() -> Option<u64> + Send + Sync + 'static,
) -> AnyView {
    let on = move || filters.now.with(|now| now.has(key, value));
    view! {
        <button
            type="button"
            class="chip"
            class:on=on
            aria-pressed=move || on().to_string()
            data-test-chip=format!("{key}={value}")
            on:click=move |_| filters.set(&filters.now.get_untracked().toggled(key, value))
        >
            {label}
            <span class="chip-count">{move || count().map(crate::format::count)}</span>
        </button>
    }
    .into_any()
}

/// A choice of one value of a few, or any.
pub fn choice(
    filters: InAddress,
    key: &'static str,
    label: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> AnyView {
    let options = values
        .iter()
        .map(|(value, word)| {
            view! {
                <option value=*value selected=move || filters.now.with(|now| now.first(key) == *value)>{*word}</option>
            }
        })
        .collect_view();
    view! {
        <label class="choice" class:on=move || filters.now.with(|now| !now.first(key).is_empty())>
            <span class="unseen">{label}</span>
            <select
                data-test-choice=key
                on:change=move |event| {
                    filters.set(&filters.now.get_untracked().with(key, &event_target_value(&event)));
                }
            >
                <option value="" selected=move || filters.now.with(|now| now.first(key).is_empty())>
                    {format!("{label}: any")}
                </option>
                {options}
            </select>
        </label>
    }
    .into_any()
}

/// A filter that was given by a link, with a button that takes it away.
pub fn given(filters: InAddress, key: &'static str, label: &'static str) -> AnyView {
    view! {
        {move || {
            filters.now.get().all(key).map(|value| {
                let value = value.to_owned();
                let shown = value.clone();
                view! {
                    <button
                        type="button"
                        class="chip on"
                        title="Take this filter away"
                        data-test-given=key
                        on:click=move |_| filters.set(&filters.now.get_untracked().toggled(key, &value))
                    >
                        <span>{label}" "<code>{shown}</code></span>
                        {icon(icons::CLOSE)}
                    </button>
                }
            }).collect_view()
        }}
    }
    .into_any()
}

/// Takes all filters away, where there are any.
pub fn clear(filters: InAddress, keys: &'static [&'static str]) -> AnyView {
    view! {
        <Show when=move || filters.now.with(|now| !now.picked(keys).0.is_empty())>
            <button type="button" class="button plain" data-test-clear on:click=move |_| filters.set(&Filters::default())>
                "Clear"
            </button>
        </Show>
    }
    .into_any()
}
