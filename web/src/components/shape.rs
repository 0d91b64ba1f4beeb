//! A state as a shape, a colour and a word.

use crate::tone::{Look, Shape};
use leptos::prelude::*;

/// The state with its word.
pub fn state(look: Look) -> AnyView {
    view! {
        <span class=format!("state {}", look.tone.class())>
            {shape(look.shape)}
            <span class="state-word">{look.word}</span>
        </span>
    }
    .into_any()
}

/// The shape alone, for where the word stands beside it anyway.
pub fn shape(shape: Shape) -> AnyView {
    // Drawn on a field of 12 by 12; the style sheet gives size and colour.
    let (path, filled) = match shape {
        Shape::Disc => ("M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9z", true),
        Shape::Half => (
            "M6 .75a5.25 5.25 0 1 0 0 10.5a5.25 5.25 0 0 0 0-10.5zM6 2.25a3.75 3.75 0 0 1 0 7.5z",
            true,
        ),
        Shape::Ring => ("M6 2a4 4 0 1 0 0 8a4 4 0 0 0 0-8z", false),
        Shape::Play => ("M3 1.6v8.8L10.5 6z", true),
        Shape::Square => ("M2.25 2.25h7.5v7.5h-7.5z", true),
        Shape::Check => ("M2 6.4l2.8 2.8L10 3.4", false),
        Shape::Cross => ("M2.75 2.75l6.5 6.5M9.25 2.75l-6.5 6.5", false),
        Shape::Warning => (
            "M6 .8L11.6 10.8H.4zM5.3 4.2l.2 3.2h1l.2-3.2zM6 8.1a.75.75 0 1 0 0 1.5a.75.75 0 0 0 0-1.5z",
            true,
        ),
        Shape::Barred => (
            "M6 1.75a4.25 4.25 0 1 0 0 8.5a4.25 4.25 0 0 0 0-8.5zM3.1 3.1l5.8 5.8",
            false,
        ),
        Shape::Dash => ("M2.5 6h7", false),
    };
    let class = if filled { "shape filled" } else { "shape" };
    view! {
        <svg class=class viewBox="0 0 12 12" aria-hidden="true">
            <path d=path fill-rule="evenodd" />
        </svg>
    }
    .into_any()
}

/// An icon of the rail and of buttons, drawn on a field of 16 by 16 with a stroke.
pub fn icon(path: &'static str) -> AnyView {
    view! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d=path />
        </svg>
    }
    .into_any()
}

/// The icons' paths.
pub mod icons {
    /// Jobs: stacked layers.
    pub const JOBS: &str = "M8 1.5l6 3-6 3-6-3zM2 8l6 3 6-3M2 11.5l6 3 6-3";
    /// Tasks: a box.
    pub const TASKS: &str = "M8 1.5l5.5 3v7L8 14.5l-5.5-3v-7zM2.5 4.5L8 7.5l5.5-3M8 7.5v7";
    /// Hosts: two machines.
    pub const HOSTS: &str =
        "M2 2.5h12v4.5H2zM2 9h12v4.5H2zM4.5 4.75h.01M4.5 11.25h.01M7 4.75h4.5M7 11.25h4.5";
    /// Plans: two branches.
    pub const PLANS: &str = "M4 5.5v5M4 5.5a1.75 1.75 0 1 0 0-3.5a1.75 1.75 0 0 0 0 3.5zM4 14a1.75 1.75 0 1 0 0-3.5A1.75 1.75 0 0 0 4 14zM12 5.5a1.75 1.75 0 1 0 0-3.5a1.75 1.75 0 0 0 0 3.5zM12 5.5c0 3-3 3.5-6.3 5.6";
    /// Deploys: a way up.
    pub const DEPLOYS: &str = "M8 10.5V2M4.5 5.5L8 2l3.5 3.5M2.5 10v3.5h11V10";
    /// Drift: a line that leaves another.
    pub const DRIFT: &str = "M2 13.5h12M2 10.5c4 0 4-7.5 12-8M11 1.5l3 1-1.5 2.8";
    /// Events: a pulse.
    pub const EVENTS: &str = "M1.5 8.5h3l2-6 3 11 2-5h3";
    /// Copy.
    pub const COPY: &str = "M5.5 5.5h8v8h-8zM3.5 10.5h-1v-8h8v1";
    /// A check mark, when something was copied.
    pub const DONE: &str = "M2.5 8.5l3.5 3.5 7.5-8";
    /// The sun.
    pub const LIGHT: &str = "M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9L13 13M3 13l1.1-1.1M11.9 4.1L13 3";
    /// The moon.
    pub const DARK: &str = "M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1z";
    /// A screen: as the system says.
    pub const SYSTEM: &str = "M1.5 2.5h13v8.5h-13zM5.5 14h5M8 11v3";
    /// A clock.
    pub const TIME: &str =
        "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 0 0 0-12.5zM8 4.5V8l2.5 1.75";
    /// A bell.
    pub const ALERTS: &str =
        "M3.5 11.5c1-1 1-2 1-4.5a3.5 3.5 0 0 1 7 0c0 2.5 0 3.5 1 4.5zM6.5 13.5a1.6 1.6 0 0 0 3 0";
    /// A way out.
    pub const LEAVE: &str = "M9.5 2.5h-6v11h6M6.5 8h8M12 5.5L14.5 8 12 10.5";
    /// A magnifying glass.
    pub const SEARCH: &str = "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.3 10.3l3.4 3.4";
    /// A cross, to close.
    pub const CLOSE: &str = "M4 4l8 8M12 4l-8 8";
}
