//! What is where: the session's gate, the frame, and the page of each address.

use crate::clock::Clock;
use crate::components::panels::Panel;
use crate::components::{shell, time};
use crate::live::{Link, Live};
use crate::may::May;
use crate::past::Past;
use crate::query::{self, Interest, Question, SLOW_MILLIS};
use crate::session::{Session, Who};
use crate::theme::Theme;
use crate::{keys, pages};
use jiff::Timestamp;
use leptos::prelude::*;
use leptos_router::components::{Redirect, Route, Router, Routes};
use leptos_router::path;
use muster_schemas::api::FleetView;

/// The console.
pub fn app() -> impl IntoView {
    // The system's choice is the browser's to follow; what a person chose is applied before the first paint.
    let theme = RwSignal::new(Theme::kept());
    provide_context(Clock::start());
    let who = Who::begin();
    provide_context(who);
    provide_context(Live::new());
    let gate = Memo::new(move |_| match who.0.get() {
        Session::Unknown => Gate::Waiting,
        Session::In => Gate::Open,
        Session::Out(_) => Gate::Closed,
    });
    view! {
        {move || match gate.get() {
            Gate::Waiting => view! { <div class="waiting" aria-busy="true"></div> }.into_any(),
            Gate::Open => view! { <Router>{frame(theme)}</Router> }.into_any(),
            Gate::Closed => pages::sign_in::page(who),
        }}
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Waiting,
    Open,
    Closed,
}

/// The frame around the page.
fn frame(theme: RwSignal<Theme>) -> AnyView {
    let live: Live = expect_context();
    let past = Past::begin();
    provide_context(past);
    let may = May::begin();
    provide_context(may);
    let panel = RwSignal::new(Panel::Closed);
    let choosing = RwSignal::new(false);
    let fleet = query::one::<FleetView>(
        || Question {
            path: "/fleet".to_owned(),
            interest: Interest::All,
            keep: true,
        },
        SLOW_MILLIS,
    );
    provide_context(fleet);
    // What is on the page may be of the past; the watch is about the present.
    let present = query::one_of_now::<FleetView>(
        || Question {
            path: "/fleet".to_owned(),
            interest: Interest::Nothing,
            keep: true,
        },
        SLOW_MILLIS,
    );
    // The watch begins where the first answer ends, so that nothing falls between the two.
    Effect::new(move |known: Option<Option<Timestamp>>| {
        let known = known.flatten();
        let Some((seq, started_at)) = present
            .data
            .with(|fleet| fleet.as_ref().map(|fleet| (fleet.seq, fleet.started_at)))
        else {
            return known;
        };
        match known {
            None => {
                live.begin_after(seq);
                live.connect();
            }
            Some(known) if known != started_at => live.begin_anew(seq),
            Some(_) => {}
        }
        Some(started_at)
    });
    on_cleanup(move || live.disconnect());
    keys::listen(panel, theme);
    // The page scrolls, not the window: another page begins at its top. Filters change the query only and keep the place.
    let main = NodeRef::<leptos::html::Main>::new();
    let path = leptos_router::hooks::use_location().pathname;
    Effect::new(move |_| {
        path.track();
        if let Some(main) = main.get() {
            main.set_scroll_top(0);
        }
    });
    view! {
        <a class="skip" href="#main">"Skip to the page"</a>
        <div class="frame" class:past=move || !past.is_now() data-link=move || shell::link_name(live.link.get())>
            {shell::rail(may)}
            {shell::top_bar(fleet, panel, theme, choosing)}
            {time::bar(choosing)}
            <main id="main" tabindex="-1" node_ref=main class:stale=move || matches!(live.link.get(), Link::Lost { .. }) || past.pending.get() != 0>
                <Routes fallback=pages::missing::page>
                    <Route path=path!("/") view=|| view! { <Redirect path="/jobs" /> } />
                    <Route path=path!("/jobs") view=pages::jobs::page />
                    <Route path=path!("/jobs/:job") view=pages::job::page />
                    <Route path=path!("/tasks") view=pages::tasks::page />
                    <Route path=path!("/tasks/:task") view=pages::task::page />
                    <Route path=path!("/hosts") view=pages::hosts::page />
                    <Route path=path!("/hosts/:host") view=pages::host::page />
                    <Route path=path!("/plans") view=pages::plans::page />
                    <Route path=path!("/plans/:plan") view=pages::plan::page />
                    <Route path=path!("/deploys") view=pages::deploys::page />
                    <Route path=path!("/deploys/:deploy") view=pages::deploy::page />
                    <Route path=path!("/drift") view=pages::drift::page />
                    <Route path=path!("/events") view=pages::events::page />
                    <Route path=path!("/diff") view=pages::diff::page />
                </Routes>
            </main>
        </div>
        {shell::lost_strip()}
    }
    .into_any()
}
