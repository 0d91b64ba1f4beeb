//! The time that is shown: the bar that says so while it is not now, and the ways to choose one.

use crate::clock::clock;
use crate::components::shape::{icon, icons, shape};
use crate::past::past;
use crate::query::{self, Interest, Query, Question, SLOW_MILLIS};
use crate::tone::Shape;
use crate::{address, format};
use jiff::Timestamp;
use leptos::prelude::*;
use muster_schemas::past::{AsOf, JournalView, Moment};
use std::time::Duration;

/// The slider's way has so many steps: one for each pixel or two.
const STEPS: i64 = 500;

/// While the slider moves nothing is asked; so long after it stands still its moment is shown.
const SETTLE: Duration = Duration::from_millis(250);

/// How far back the slider reaches: seconds and their words.
const SPANS: [(i64, &str); 5] = [
    (3_600, "last hour"),
    (6 * 3_600, "last 6 hours"),
    (24 * 3_600, "last day"),
    (7 * 24 * 3_600, "last 7 days"),
    (0, "all there is"),
];

/// The slider's range, in seconds since 1970. Its upper end is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    min: i64,
    max: i64,
    step: i64,
}

impl Scale {
    /// From `span` seconds before `now` to `now`; all there is since `first` where it is 0 or longer than that.
    fn new(first: i64, now: i64, span: i64) -> Self {
        let whole = (now - first).max(1);
        let span = if span == 0 { whole } else { span.min(whole) };
        // Rounded up, so that the range is so many steps exactly and its upper end can be reached.
        let step = (span + STEPS - 1) / STEPS;
        let steps = (span + step - 1) / step;
        Self {
            min: now - steps * step,
            max: now,
            step,
        }
    }
}

/// The moment that a place of the slider stands for; none for its upper end, which is now. The lower end may lie before the
/// first record, because whole steps do not fit.
fn moment(place: i64, scale: Scale, first: Timestamp) -> Option<Timestamp> {
    if place >= scale.max {
        return None;
    }
    let at = Timestamp::from_second(place).ok()?;
    Some(at.max(first))
}

/// A moment as it stands in an address: to the second, but not before the first record, which has a part of one.
fn in_address(at: Timestamp, first: Timestamp) -> String {
    let second = Timestamp::from_second(at.as_second()).unwrap_or(at);
    if second < first { first } else { second }.to_string()
}

/// An instant on this browser's clock.
fn local(at: Timestamp) -> String {
    let millis = at.as_millisecond() as f64;
    let date = js_sys::Date::new(&wasm_bindgen::JsValue::from_f64(millis));
    // It counts the minutes that UTC is ahead of the clock.
    format::on_clock(at, -(date.get_timezone_offset() as i32))
}

/// What a field for date and time holds, which is on this browser's clock.
fn read_field(text: &str) -> Option<Timestamp> {
    // Without a zone the browser reads it on its own clock.
    let millis = js_sys::Date::parse(text);
    if millis.is_nan() {
        return None;
    }
    Timestamp::from_millisecond(millis as i64).ok()
}

/// The button that opens and closes the ways to choose a time.
pub fn button(choosing: RwSignal<bool>) -> AnyView {
    let past = past();
    let word = move || {
        if past.is_now() {
            "Show the fleet as it was"
        } else {
            "Back to now"
        }
    };
    view! {
        <button
            type="button"
            class="icon-button"
            title=word
            aria-label=word
            aria-expanded=move || (choosing.get() || !past.is_now()).to_string()
            data-test-time
            on:click=move |_| {
                if past.is_now() {
                    choosing.update(|choosing| *choosing = !*choosing);
                } else {
                    past.show(None);
                    choosing.set(false);
                }
            }
        >
            {icon(icons::TIME)}
        </button>
    }
    .into_any()
}

/// The bar. It is there while another time than now is shown, and while one is being chosen.
pub fn bar(choosing: RwSignal<bool>) -> AnyView {
    let past = past();
    let there = Memo::new(move |_| choosing.get() || !past.is_now());
    view! {
        <Show when=move || there.get()>
            <section
                class="as-of"
                class:past=move || !past.is_now()
                aria-label="The time that is shown"
                data-test-as-of=move || past.at().unwrap_or_else(|| "now".to_owned())
            >
                {inside(choosing)}
            </section>
        </Show>
    }
    .into_any()
}

fn inside(choosing: RwSignal<bool>) -> AnyView {
    let past = past();
    let reach: Query<JournalView> = query::one_of_now(
        move || Question {
            path: match past.at() {
                Some(at) => address::at_moment("/journal", Some(&at)),
                None => "/journal".to_owned(),
            },
            interest: Interest::Nothing,
            keep: true,
        },
        SLOW_MILLIS,
    );
    // What the words are about alone: the journal grows meanwhile, and nothing is to be drawn anew for it.
    let as_of = Memo::new(move |_| {
        reach
            .data
            .with(|reach| reach.as_ref().and_then(|reach| reach.as_of))
    });
    let trouble = Memo::new(move |_| reach.trouble.get().map(|trouble| trouble.words().0));
    view! {
        <div class="as-of-words" role="status">
            {move || match past.at() {
                Some(asked) => words(&asked, as_of.get(), trouble.get(), choosing),
                None => invitation(choosing),
            }}
        </div>
        {ways(reach)}
    }
    .into_any()
}

/// Whether what is known is of the moment that an address names.
fn is_of(asked: &str, as_of: AsOf) -> bool {
    match asked.parse() {
        Ok(Moment::At(at)) => at == as_of.at,
        Ok(Moment::Seq(seq)) => seq == as_of.seq,
        Err(_) => false,
    }
}

/// While one is being chosen.
fn invitation(choosing: RwSignal<bool>) -> AnyView {
    view! {
        <span>"Now. Move the slider or give a time to see the fleet as it was."</span>
        <button type="button" class="button plain" data-test-as-of-close on:click=move |_| choosing.set(false)>"Close"</button>
    }
    .into_any()
}

/// What is shown, in words.
fn words(
    asked: &str,
    as_of: Option<AsOf>,
    trouble: Option<String>,
    choosing: RwSignal<bool>,
) -> AnyView {
    let (past, clock) = (past(), clock());
    // What is known may still be of the moment before: that of this one is on its way, or refused.
    let words = match as_of.filter(|as_of| trouble.is_none() && is_of(asked, *as_of)) {
        Some(as_of) => view! {
            <b title=format::absolute(as_of.at)>"As of "{local(as_of.at)}</b>
            <span data-test-as-of-record=as_of.seq.to_string()>"record "<span class="number">{format::count(as_of.seq)}</span></span>
            <span class="as-of-when" aria-live="off">{move || format::ago(as_of.at, clock.now())}</span>
        }
        .into_any(),
        None => view! { <b>"As of "{asked.to_owned()}</b> }.into_any(),
    };
    let trouble = trouble.map(|trouble| {
        view! { <span data-test-as-of-trouble>{format::sentence(&trouble)}</span> }
    });
    view! {
        <span class="state wait">{shape(Shape::Half)}<span class="state-word">"Not now"</span></span>
        {words}
        {trouble}
        <button
            type="button"
            class="button"
            data-test-now
            on:click=move |_| {
                choosing.set(false);
                past.show(None);
            }
        >
            "Back to now"
        </button>
        <a class="button plain" href=address::diff(asked) data-own-moment="" data-test-since>"What changed since"</a>
    }
    .into_any()
}

/// The slider and the field.
fn ways(reach: Query<JournalView>) -> AnyView {
    let past = past();
    let span = RwSignal::new(SPANS[0].0);
    // Where the slider's upper end is: it stands still while somebody looks, and is taken anew with the span.
    let edge = Memo::new(move |_| {
        span.track();
        Timestamp::now()
    });
    let first = Memo::new(move |_| {
        reach
            .data
            .with(|reach| reach.as_ref().map(|reach| reach.first.at))
    });
    let shown = Memo::new(move |_| {
        past.at()?;
        reach
            .data
            .with(|reach| reach.as_ref()?.as_of.map(|as_of| as_of.at))
    });
    let scale = Memo::new(move |_| {
        let edge = edge.get().as_second();
        let first = first.get().map_or(edge - SPANS[0].0, Timestamp::as_second);
        Scale::new(first, edge, span.get())
    });
    // What the slider says while it moves, before that is shown.
    let moved = RwSignal::new(None::<i64>);
    let place = Memo::new(move |_| {
        let scale = scale.get();
        let shown = shown.get().map_or(scale.max, Timestamp::as_second);
        moved.get().unwrap_or(shown).clamp(scale.min, scale.max)
    });
    let waiting = StoredValue::new(None::<TimeoutHandle>);
    let settle = move |to: i64| {
        moved.set(Some(to));
        if let Some(handle) = waiting.get_value() {
            handle.clear();
        }
        let handle = set_timeout_with_handle(
            move || {
                let Some(Some(first)) = first.try_get_untracked() else {
                    return;
                };
                let at = moment(to, scale.get_untracked(), first);
                past.show(at.map(|at| in_address(at, first)).as_deref());
                moved.set(None);
            },
            SETTLE,
        );
        waiting.set_value(handle.ok());
    };
    let slide = move |event: leptos::ev::Event| {
        if let Ok(to) = event_target_value(&event).parse::<i64>() {
            settle(to);
        }
    };
    let said = move || match Timestamp::from_second(place.get()) {
        Ok(at) if place.get() < scale.get().max => local(at),
        Ok(_) | Err(_) => "now".to_owned(),
    };
    let field = NodeRef::<leptos::html::Input>::new();
    let wrong = RwSignal::new("");
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let text = field.get_untracked().map(|field| field.value());
        match (text.as_deref().and_then(read_field), first.get_untracked()) {
            (None, _) => wrong.set("That is no date and time."),
            (Some(at), _) if at > Timestamp::now() => wrong.set("That has not come yet."),
            (Some(at), first) => {
                wrong.set("");
                // Before the first record the API says from when on there is something to see.
                past.show(Some(&in_address(
                    at,
                    first.map_or(at, |first| first.min(at)),
                )));
            }
        }
    };
    let spans = SPANS
        .iter()
        .map(|(seconds, word)| {
            view! { <option value=seconds.to_string() selected=move || span.get() == *seconds>{*word}</option> }
        })
        .collect_view();
    view! {
        <div class="as-of-ways">
            <label class="choice">
                <span class="unseen">"How far back the slider reaches"</span>
                <select
                    data-test-as-of-span
                    on:change=move |event| span.set(event_target_value(&event).parse().unwrap_or(SPANS[0].0))
                >
                    {spans}
                </select>
            </label>
            <input
                type="range"
                aria-label="The time that is shown"
                aria-valuetext=said
                title=said
                data-test-as-of-slider
                disabled=move || first.get().is_none()
                min=move || scale.get().min.to_string()
                max=move || scale.get().max.to_string()
                step=move || scale.get().step.to_string()
                prop:value=move || { scale.track(); place.get().to_string() }
                on:input=slide
            />
            <form on:submit=submit>
                <label>
                    <span class="unseen">"The time that is shown, on this machine's clock"</span>
                    <input
                        node_ref=field
                        type="datetime-local"
                        step="1"
                        required
                        data-test-as-of-field
                        prop:value=move || shown.get().map(|at| local(at).replace(' ', "T")).unwrap_or_default()
                    />
                </label>
                <button type="submit" class="button" data-test-as-of-go>"Show"</button>
            </form>
            <span role="alert" class="faint">{move || wrong.get()}</span>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slider_reaches_from_the_span_to_now_in_whole_steps() {
        let check = |first: i64, now: i64, span: i64| {
            let scale = Scale::new(first, now, span);
            assert_eq!((scale.max - scale.min) % scale.step, 0, "{scale:?}");
            assert_eq!(scale.max, now);
            assert!((scale.max - scale.min) / scale.step <= STEPS, "{scale:?}");
            scale
        };
        assert_eq!(
            check(0, 100_000, 3_600),
            Scale {
                min: 96_400,
                max: 100_000,
                step: 8
            }
        );
        assert_eq!(
            check(0, 500_000, 0),
            Scale {
                min: 0,
                max: 500_000,
                step: 1_000
            }
        );
        // A cell that is younger than the span, and one that has only just begun.
        assert_eq!(
            check(99_000, 100_000, 3_600),
            Scale {
                min: 99_000,
                max: 100_000,
                step: 2
            }
        );
        assert_eq!(
            check(100_000, 100_000, 3_600),
            Scale {
                min: 99_999,
                max: 100_000,
                step: 1
            }
        );
        // Its first record lies within the first step.
        let odd = check(0, 1_000_003, 0);
        assert!(odd.min <= 0 && odd.min > -odd.step, "{odd:?}");
    }

    #[test]
    fn a_bar_says_only_what_is_of_its_own_moment() {
        let at = "2026-11-20T14:00:00Z".parse().expect("a time");
        let as_of = AsOf { seq: 12, at };
        assert!(is_of("2026-11-20T15:00:00+01:00", as_of) && is_of("12", as_of));
        assert!(!is_of("2026-11-20T14:00:01Z", as_of) && !is_of("13", as_of) && !is_of("x", as_of));
    }

    #[test]
    fn a_place_is_a_moment_not_before_the_first_record_and_the_end_is_now() {
        let scale = Scale {
            min: 1_000,
            max: 2_000,
            step: 10,
        };
        let first: Timestamp = "1970-01-01T00:17:00.5Z".parse().expect("a time");
        let at = |place| moment(place, scale, first).map(|at| in_address(at, first));
        assert_eq!(at(2_000), None);
        assert_eq!(at(1_990).as_deref(), Some("1970-01-01T00:33:10Z"));
        assert_eq!(at(1_000).as_deref(), Some("1970-01-01T00:17:00.5Z"));
    }
}
