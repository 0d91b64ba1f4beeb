//! The console: a client of the public API under `/api/v1`, compiled to wasm and drawn in the browser.
//!
//! Reading order: [`app`] (what is where), [`query`] (how a page asks and stays fresh), [`live`] (how it hears what
//! happens), [`past`] (and how it shows what was), [`may`] (and what may be done), then `pages` and `components`. What is pure
//! ([`format`], [`tone`], [`address`], [`yaml`], [`lines`]) has its tests beside it and runs natively: `cargo test -p muster-web`.

mod address;
mod api;
mod app;
mod clock;
mod components;
mod format;
mod keys;
mod lines;
mod live;
mod may;
mod pages;
mod past;
mod query;
mod session;
mod theme;
mod tone;
mod yaml;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::app);
}
