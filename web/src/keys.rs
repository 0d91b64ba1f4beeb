//! The keyboard: what a key does where no field has the focus.

use crate::components::panels::Panel;
use crate::components::shape::icons;
use crate::components::{jump, rows};
use crate::past::past;
use crate::theme::Theme;
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use wasm_bindgen::JsCast;

/// The pages that the rail leads to: the key that follows `g`, the address, the name and the drawing.
pub const PAGES: [(&str, &str, &str, &str); 7] = [
    ("j", "/jobs", "Jobs", icons::JOBS),
    ("t", "/tasks", "Tasks", icons::TASKS),
    ("h", "/hosts", "Hosts", icons::HOSTS),
    ("p", "/plans", "Plans", icons::PLANS),
    ("d", "/deploys", "Deploys", icons::DEPLOYS),
    ("r", "/drift", "Drift", icons::DRIFT),
    ("e", "/events", "Events", icons::EVENTS),
];

/// `g` waits so long for the key that follows it.
const CHORD_MILLIS: f64 = 1_200.0;

/// Listens to the keys for as long as the page that calls it lives.
pub fn listen(panel: RwSignal<Panel>, theme: RwSignal<Theme>) {
    let navigate = use_navigate();
    let past = past();
    let went = StoredValue::new(f64::MIN);
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        if event.ctrl_key() || event.meta_key() || event.alt_key() || event.default_prevented() {
            return;
        }
        let key = event.key();
        if let Some(field) = typing_in() {
            if key == "Escape" {
                let _ = field.blur();
            }
            return;
        }
        let chord = event.time_stamp() - went.get_value() < CHORD_MILLIS;
        went.set_value(f64::MIN);
        let page = PAGES.iter().find(|(letter, ..)| *letter == key);
        if let Some((_, to, ..)) = page.filter(|_| chord) {
            event.prevent_default();
            return navigate(&past.along(to), leptos_router::NavigateOptions::default());
        }
        match key.as_str() {
            "g" => went.set_value(event.time_stamp()),
            "/" => focus(&format!("#{}", jump::FIELD)),
            "f" => focus("main [data-test-search]"),
            "?" => panel.update(|now| {
                *now = if *now == Panel::Keys {
                    Panel::Closed
                } else {
                    Panel::Keys
                }
            }),
            "d" => {
                theme.update(|theme| *theme = theme.next());
                theme.get_untracked().choose();
            }
            "Escape" => panel.set(Panel::Closed),
            "j" => rows::step(1),
            "k" => rows::step(-1),
            "ArrowDown" if on_row() => rows::step(1),
            "ArrowUp" if on_row() => rows::step(-1),
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || handle.remove());
}

/// The field that has the focus, if one has.
fn typing_in() -> Option<web_sys::HtmlElement> {
    let active = document()
        .active_element()?
        .dyn_into::<web_sys::HtmlElement>()
        .ok()?;
    matches!(active.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT").then_some(active)
}

/// Arrows scroll the page unless a row has the focus.
fn on_row() -> bool {
    document()
        .active_element()
        .is_some_and(|active| active.has_attribute("data-row"))
}

fn focus(selector: &str) {
    if let Ok(Some(element)) = document().query_selector(selector)
        && let Ok(element) = element.dyn_into::<web_sys::HtmlElement>()
    {
        let _ = element.focus();
        if let Some(input) = element.dyn_ref::<web_sys::HtmlInputElement>() {
            input.select();
        }
    }
}
