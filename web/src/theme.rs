//! Light, dark, or what the system says. `static/theme.js` applies the choice before the first paint.

use leptos::prelude::*;

/// Which colours are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// What the system says.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Where the choice is kept; `static/theme.js` reads it.
const KEY: &str = "muster-theme";

impl Theme {
    /// The choice's word.
    pub fn word(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The choice that follows when the button is pressed.
    pub fn next(self) -> Self {
        match self {
            Theme::System => Theme::Light,
            Theme::Light => Theme::Dark,
            Theme::Dark => Theme::System,
        }
    }

    /// The choice that was kept.
    pub fn kept() -> Self {
        let kept = window()
            .local_storage()
            .ok()
            .flatten()
            .and_then(|storage| storage.get_item(KEY).ok().flatten());
        match kept.as_deref() {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::System,
        }
    }

    /// Keeps the choice and applies it.
    pub fn choose(self) {
        if let Ok(Some(storage)) = window().local_storage() {
            // Where nothing can be kept, such as in a private window, the choice holds for the page.
            let _ = storage.set_item(KEY, self.word());
        }
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", self.word());
        }
    }
}
