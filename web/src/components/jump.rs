//! Jump to anything: a field in the top bar that finds jobs, tasks and hosts.

use crate::address::{self, Filters};
use crate::api;
use crate::components::shape::{icon, icons, state};
use crate::keys::PAGES;
use crate::past::{Past, past};
use crate::tone::{self, Look};
use leptos::html::Input;
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use muster_schemas::api::{HostView, JobView, TaskView};
use std::time::Duration;

/// The field's id: the key `/` goes there.
pub const FIELD: &str = "jump";
/// So many of each kind are found.
const EACH: usize = 6;
const TYPING: Duration = Duration::from_millis(120);

/// Something to jump to.
#[derive(Clone, PartialEq)]
struct Place {
    kind: &'static str,
    name: String,
    beside: String,
    look: Option<Look>,
    address: String,
}

fn pages(query: &str) -> Vec<Place> {
    PAGES
        .into_iter()
        .filter(|(_, _, name, _)| name.to_lowercase().starts_with(&query.to_lowercase()))
        .map(|(key, address, name, _)| Place {
            kind: "Page",
            name: name.to_owned(),
            beside: format!("g {key}"),
            look: None,
            address: address.to_owned(),
        })
        .collect()
}

async fn find(query: String, past: Past) -> Vec<Place> {
    let on = |path: &str| past.along(&Filters::default().with("q", &query).on(path));
    let mut places = pages(&query);
    // The job of that very name comes first, however many others are only found by their image or owner.
    let named = past.along(&Filters::default().with("job", &query).on("/jobs"));
    for path in [named, on("/jobs")] {
        if let Ok(jobs) = api::list::<JobView>(&path, EACH).await {
            for job in &jobs.items {
                let place = Place {
                    kind: "Job",
                    name: job.id.clone(),
                    beside: job.owner.clone(),
                    look: Some(tone::job(job)),
                    address: address::job(&job.id),
                };
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    if let Ok(tasks) = api::list::<TaskView>(&on("/tasks"), EACH).await {
        places.extend(tasks.items.iter().map(|task| Place {
            kind: "Task",
            name: task.id.clone(),
            beside: task.host.clone().unwrap_or_default(),
            look: Some(tone::task(task)),
            address: address::task(&task.id),
        }));
    }
    if let Ok(hosts) = api::list::<HostView>(&on("/hosts"), EACH).await {
        places.extend(hosts.items.iter().map(|host| Place {
            kind: "Host",
            name: host.name.clone(),
            beside: host.address.clone(),
            look: Some(tone::host(host.reachable, host.ready)),
            address: address::host(&host.id),
        }));
    }
    // What is called so comes before what is only found by its owner or address.
    let wanted = query.to_lowercase();
    places.sort_by_key(|place| {
        let name = place.name.to_lowercase();
        match name.find(&wanted) {
            Some(0) if name == wanted => 0,
            Some(0) => 1,
            Some(_) => 2,
            None => 3,
        }
    });
    places
}

/// The field with its results.
pub fn field() -> AnyView {
    let query = RwSignal::new(String::new());
    let open = RwSignal::new(false);
    let places = RwSignal::new(pages(""));
    let at = RwSignal::new(0_usize);
    let asked = StoredValue::new(0_u64);
    let input = NodeRef::<Input>::new();
    let navigate = use_navigate();
    let past = past();

    let look = move || {
        let number = asked.get_value() + 1;
        asked.set_value(number);
        set_timeout(
            move || {
                if asked.get_value() != number {
                    return;
                }
                let text = query.get_untracked().trim().to_owned();
                leptos::task::spawn_local(async move {
                    let found = if text.is_empty() {
                        pages("")
                    } else {
                        find(text, past).await
                    };
                    // A slow answer to what was typed before is not shown.
                    if asked.get_value() == number {
                        at.set(0);
                        places.set(found);
                    }
                });
            },
            TYPING,
        );
    };
    let leave = move || {
        open.set(false);
        query.set(String::new());
        places.set(pages(""));
        at.set(0);
        if let Some(input) = input.get_untracked() {
            let _ = input.blur();
        }
    };
    let go = StoredValue::new_local(move |address: &str| {
        navigate(
            &past.along(address),
            leptos_router::NavigateOptions::default(),
        );
        leave();
    });
    let key = move |event: leptos::ev::KeyboardEvent| {
        let count = places.with_untracked(Vec::len);
        match event.key().as_str() {
            "ArrowDown" if count > 0 => at.update(|at| *at = (*at + 1) % count),
            "ArrowUp" if count > 0 => at.update(|at| *at = (*at + count - 1) % count),
            "Enter" => {
                if let Some(place) =
                    places.with_untracked(|places| places.get(at.get_untracked()).cloned())
                {
                    go.with_value(|go| go(&place.address));
                }
            }
            "Escape" => leave(),
            _ => return,
        }
        event.prevent_default();
    };
    let result = move |(place, found): (usize, Place)| {
        let address = found.address.clone();
        view! {
            <li
                id=format!("jump-{place}")
                role="option"
                class="jump-result"
                class:at=move || at.get() == place
                aria-selected=move || (at.get() == place).to_string()
                data-test-jump=found.address
                on:mousedown=move |event| {
                    event.prevent_default();
                    go.with_value(|go| go(&address));
                }
                on:mousemove=move |_| if at.get_untracked() != place { at.set(place) }
            >
                <span class="jump-kind">{found.kind}</span>
                <span class="jump-name">{found.name}</span>
                <span class="grow"></span>
                {found.look.map(state)}
                <span class="jump-beside clip">{found.beside}</span>
            </li>
        }
    };
    view! {
        <div class="jump">
            <label class="search">
                <span class="unseen">"Jump to a job, task or host"</span>
                {icon(icons::SEARCH)}
                <input
                    id=FIELD
                    node_ref=input
                    type="search"
                    role="combobox"
                    placeholder="Jump to a job, task or host"
                    autocomplete="off"
                    spellcheck="false"
                    aria-controls="jump-results"
                    aria-expanded=move || open.get().to_string()
                    aria-activedescendant=move || open.get().then(|| format!("jump-{}", at.get()))
                    data-test-jump-field
                    prop:value=query
                    on:input=move |event| {
                        query.set(event_target_value(&event));
                        open.set(true);
                        look();
                    }
                    on:focus=move |_| open.set(true)
                    on:blur=move |_| open.set(false)
                    on:keydown=key
                />
                <kbd>"/"</kbd>
            </label>
            <ul id="jump-results" class="jump-results" role="listbox" hidden=move || !open.get() data-test-jump-results>
                {move || {
                    let places = places.get();
                    if places.is_empty() {
                        return view! { <li class="faint pad">"Nothing is called so."</li> }.into_any();
                    }
                    places.into_iter().enumerate().map(result).collect_view().into_any()
                }}
            </ul>
        </div>
    }
    .into_any()
}
