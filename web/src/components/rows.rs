//! The rows of a table: each row's place in the document stays with its id, and only what changed is drawn anew.

use leptos::prelude::*;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// One row: its id and what it shows.
pub struct Row<T: 'static> {
    /// What it is known by.
    pub id: String,
    /// What it shows.
    pub data: ArcRwSignal<T>,
}

impl<T> Clone for Row<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            data: self.data.clone(),
        }
    }
}
impl<T> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
impl<T> Eq for Row<T> {}
impl<T> Hash for Row<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// The table's rows, for as long as `items` says so.
pub fn rows<T>(
    items: impl Fn() -> Vec<T> + Send + Sync + 'static,
    id: fn(&T) -> String,
    show: impl Fn(Row<T>) -> AnyView + Clone + Send + 'static,
) -> AnyView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let rows = Memo::new(move |last: Option<&Vec<Row<T>>>| {
        let mut known: HashMap<&str, &Row<T>> = last
            .map(|last| last.iter().map(|row| (row.id.as_str(), row)).collect())
            .unwrap_or_default();
        items()
            .into_iter()
            .map(|item| {
                let id = id(&item);
                match known.remove(id.as_str()) {
                    Some(row) => {
                        if row.data.with_untracked(|shown| *shown != item) {
                            row.data.set(item);
                        }
                        row.clone()
                    }
                    None => Row {
                        id,
                        data: ArcRwSignal::new(item),
                    },
                }
            })
            .collect::<Vec<_>>()
    });
    view! { <For each=move || rows.get() key=|row| row.id.clone() children=show /> }.into_any()
}

/// Moves the focus from row to row: what `j`, `k` and the arrows do.
pub fn step(by: i32) {
    use wasm_bindgen::JsCast;
    let Ok(links) = document().query_selector_all("main [data-row]") else {
        return;
    };
    let count = i32::try_from(links.length()).unwrap_or(0);
    if count == 0 {
        return;
    }
    let active = document().active_element();
    let at = (0..count).find(|place| {
        let link = links.item(place.unsigned_abs());
        link.zip(active.as_ref())
            .is_some_and(|(link, active)| link.is_same_node(Some(active)))
    });
    let next = match at {
        Some(at) => (at + by).clamp(0, count - 1),
        None if by < 0 => count - 1,
        None => 0,
    };
    if let Some(link) = links
        .item(next.unsigned_abs())
        .and_then(|node| node.dyn_into::<web_sys::HtmlElement>().ok())
    {
        let _ = link.focus();
        let options = web_sys::ScrollIntoViewOptions::new();
        options.set_block(web_sys::ScrollLogicalPosition::Nearest);
        link.scroll_into_view_with_scroll_into_view_options(&options);
    }
}

/// The most rows that a list shows: more would be slow to draw and nobody reads them; filters narrow a list down.
const MOST: usize = 5_000;

/// The foot of a list: how much of it is shown, and more. `shown` says how many rows there are, how many match in all,
/// and whether there are more to load.
pub fn foot(
    shown: impl Fn() -> (usize, u64, bool) + Copy + Send + Sync + 'static,
    want: RwSignal<usize>,
) -> AnyView {
    view! {
        <div class="list-foot">
            <span class="faint" data-test-shown>
                {move || {
                    let (here, total, _) = shown();
                    format!("{} of {} shown", crate::format::count(here as u64), crate::format::count(total))
                }}
            </span>
            <Show when=move || shown().2 && shown().0 < MOST>
                <button type="button" class="button" data-test-more on:click=move |_| want.update(|want| *want = (*want * 2).min(MOST))>
                    "Load more"
                </button>
            </Show>
        </div>
    }
    .into_any()
}
