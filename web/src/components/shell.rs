//! The frame of every page: the rail, the top bar, and the strip that says that the connection is lost.

use crate::components::panels::{self, Panel};
use crate::components::shape::{icon, icons, shape};
use crate::components::{jump, text, time};
use crate::keys::PAGES;
use crate::live::{Link, live};
use crate::may::May;
use crate::past::past;
use crate::query::Query;
use crate::session::Who;
use crate::theme::Theme;
use crate::tone::Shape;
use crate::{address, format};
use leptos::prelude::*;
use leptos_router::hooks::use_location;
use muster_schemas::api::{FleetView, Severity};
use muster_schemas::plan::FreezeScope;

/// The rail on the left.
pub fn rail(may: May) -> AnyView {
    let whose = move || match may.session() {
        Some(session) => {
            format!("End the session: {} {}", session.name, session.rights).replace('`', "")
        }
        None => "End the session".to_owned(),
    };
    let path = use_location().pathname;
    let who: Who = expect_context();
    let links = PAGES
        .into_iter()
        .map(|(_, to, name, drawing)| {
            let here = move || {
                path.with(|path| {
                    path == to
                        || path
                            .strip_prefix(to)
                            .is_some_and(|rest| rest.starts_with('/'))
                })
            };
            view! {
                <a
                    class="rail-link"
                    href=to
                    aria-current=move || here().then_some("page")
                    data-test-rail=to.trim_start_matches('/')
                >
                    {icon(drawing)}
                    <span>{name}</span>
                </a>
            }
        })
        .collect_view();
    view! {
        <nav class="rail" aria-label="Pages">
            <a class="rail-mark" href="/jobs" aria-label="Muster">
                <svg viewBox="0 0 32 32" aria-hidden="true">
                    <rect x="7" y="7" width="5" height="18" rx="1.5" />
                    <rect x="13.5" y="12" width="5" height="13" rx="1.5" />
                    <rect x="20" y="7" width="5" height="18" rx="1.5" />
                </svg>
            </a>
            {links}
            <span class="grow"></span>
            <button type="button" class="rail-link" title=whose data-test-sign-out on:click=move |_| who.sign_out()>
                {icon(icons::LEAVE)}
                <span>"Sign out"</span>
            </button>
        </nav>
    }
    .into_any()
}

/// The bar at the top.
pub fn top_bar(
    fleet: Query<FleetView>,
    panel: RwSignal<Panel>,
    theme: RwSignal<Theme>,
    choosing: RwSignal<bool>,
) -> AnyView {
    let toggle =
        move |which| panel.update(|now| *now = if *now == which { Panel::Closed } else { which });
    let alerts = move || {
        fleet.data.with(|fleet| {
            let alerts = fleet.as_ref()?.alerts.as_slice();
            Some((
                alerts.len(),
                alerts.iter().any(|alert| alert.severity == Severity::Page),
            ))
        })
    };
    view! {
        <header class="top-bar">
            <div class="top-left">{move || fleet.data.with(|fleet| cell(fleet.as_ref()))}</div>
            {jump::field()}
            <div class="top-right">
                {link_word()}
                {time::button(choosing)}
                <button
                    type="button"
                    class="button plain"
                    aria-expanded=move || (panel.get() == Panel::Alerts).to_string()
                    data-test-alerts=move || alerts().map(|(number, _)| number.to_string()).unwrap_or_default()
                    on:click=move |_| toggle(Panel::Alerts)
                >
                    {move || match alerts() {
                        None => view! { {icon(icons::ALERTS)}<span>"Alerts"</span> }.into_any(),
                        Some((0, _)) => view! { {icon(icons::ALERTS)}<span>"No alerts"</span> }.into_any(),
                        Some((number, page)) => {
                            let tone = if page { "bad" } else { "wait" };
                            view! {
                                <span class=format!("state {tone}")>
                                    {shape(if page { Shape::Warning } else { Shape::Half })}
                                    <span class="state-word">{format::counted(number as u64, "alert")}</span>
                                </span>
                            }
                                .into_any()
                        }
                    }}
                </button>
                <button
                    type="button"
                    class="icon-button"
                    title=move || format!("Colours: {}", theme.get().word())
                    aria-label=move || format!("Colours: {}. Change", theme.get().word())
                    data-test-theme=move || theme.get().word()
                    on:click=move |_| {
                        theme.update(|theme| *theme = theme.next());
                        theme.get_untracked().choose();
                    }
                >
                    {move || icon(match theme.get() {
                        Theme::System => icons::SYSTEM,
                        Theme::Light => icons::LIGHT,
                        Theme::Dark => icons::DARK,
                    })}
                </button>
                <button
                    type="button"
                    class="icon-button"
                    title="Keys"
                    aria-label="Show the keys"
                    aria-expanded=move || (panel.get() == Panel::Keys).to_string()
                    on:click=move |_| toggle(Panel::Keys)
                >
                    <span class="question">"?"</span>
                </button>
            </div>
        </header>
        {move || match panel.get() {
            Panel::Closed => ().into_any(),
            Panel::Keys => panels::keys(panel),
            Panel::Alerts => {
                let list = Signal::derive(move || {
                    fleet.data.with(|fleet| fleet.as_ref().map(|fleet| fleet.alerts.clone()).unwrap_or_default())
                });
                panels::alerts(panel, list)
            }
        }}
    }
    .into_any()
}

/// The cell and its applied revision.
fn cell(fleet: Option<&FleetView>) -> AnyView {
    let Some(fleet) = fleet else {
        return view! { <span class="cell-name faint">"…"</span> }.into_any();
    };
    let revision = match &fleet.revision {
        Some(revision) => view! {
            <a class="applied" href="/plans" title=format::revision_title(revision) data-test-revision=revision.commit.as_str().to_owned()>
                <code class="digest">{format::short(revision.commit.as_str()).to_owned()}</code>
                <span class="clip">{revision.subject.clone()}</span>
                <span class="faint applied-when">
                    {format::author(&revision.author).to_owned()}", "{text::time(revision.committed_at)}
                </span>
            </a>
        }
        .into_any(),
        None => view! { <span class="faint">"no revision applied yet"</span> }.into_any(),
    };
    let held = fleet.held_plan.as_ref().map(|plan| {
        view! {
            <a class="held" href=address::plan(plan) data-test-held>
                <span class="state bad">{shape(Shape::Barred)}<span class="state-word">"plan held"</span></span>
            </a>
        }
    });
    let frozen = fleet.freezes.first().map(|freeze| {
        let word = match (&freeze.scope, fleet.freezes.len()) {
            (FreezeScope::Cell, _) => "frozen".to_owned(),
            (scope, 1) => format!("{scope} frozen"),
            (_, number) => format!("{number} frozen"),
        };
        view! {
            <a class="held" href="/plans" title=freeze.reason.clone() data-test-frozen>
                <span class="state wait">{shape(Shape::Barred)}<span class="state-word">{word}</span></span>
            </a>
        }
    });
    let out_of_time = fleet.out_of_time.as_ref().map(|shut| {
        view! {
            <a class="held" href="/plans" title=shut.message.clone() data-test-out-of-time-chip>
                <span class="state wait">{shape(Shape::Barred)}<span class="state-word">"plans wait"</span></span>
            </a>
        }
    });
    let down = fleet.down.then(|| {
        view! { <span class="state wait">{shape(Shape::Square)}<span class="state-word">"taken down"</span></span> }
    });
    view! {
        <span class="cell-name" title="The cell" data-test-cell=fleet.cell.clone()>{fleet.cell.clone()}</span>
        {down}
        {revision}
        {held}
        {frozen}
        {out_of_time}
    }
    .into_any()
}

fn link_word() -> AnyView {
    let link = live().link;
    let past = past();
    view! {
        <span class="link-word" data-test-connection=move || if past.is_now() { link_name(link.get()) } else { "past" }>
            {move || {
                let (tone, mark, word) = match link.get() {
                    Link::Connecting | Link::Live if !past.is_now() => ("quiet", Shape::Square, "paused"),
                    Link::Connecting => ("busy", Shape::Ring, "connecting"),
                    Link::Live => ("good", Shape::Disc, "live"),
                    Link::Lost { .. } => ("wait", Shape::Warning, "lost"),
                };
                view! { <span class=format!("state {tone}")>{shape(mark)}<span class="state-word">{word}</span></span> }
            }}
        </span>
    }
    .into_any()
}

/// The connection's word for tests and styles.
pub fn link_name(link: Link) -> &'static str {
    match link {
        Link::Connecting => "connecting",
        Link::Live => "live",
        Link::Lost { .. } => "lost",
    }
}

/// The strip that says that the connection is lost. It lies over the page's foot, so that nothing moves.
pub fn lost_strip() -> AnyView {
    let live = live();
    let lost = Memo::new(move |_| matches!(live.link.get(), Link::Lost { .. }));
    // A connection that comes back at once is not worth a word.
    let shown = RwSignal::new(false);
    Effect::new(move |_| {
        if lost.get() {
            set_timeout(
                move || {
                    if lost.try_get_untracked() == Some(true) {
                        shown.try_set(true);
                    }
                },
                std::time::Duration::from_millis(400),
            );
        } else {
            shown.set(false);
        }
    });
    view! {
        <div class="lost-holder" role="status" aria-live="polite">
            <Show when=move || shown.get()>
                <div class="lost" data-test-lost>
                    <span class="state wait">{shape(Shape::Warning)}<span class="state-word">"Connection lost"</span></span>
                    <span>
                        {move || match live.link.get() {
                            Link::Lost { retry_in: 0 } => "Trying again now. What you see may be out of date.".to_owned(),
                            Link::Lost { retry_in } => format!("Trying again in {retry_in} s. What you see may be out of date."),
                            Link::Live | Link::Connecting => String::new(),
                        }}
                    </span>
                    <button type="button" class="button" on:click=move |_| live.retry_now()>"Try now"</button>
                </div>
            </Show>
        </div>
    }
    .into_any()
}
