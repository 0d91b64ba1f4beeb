//! Small charts of a task's use over the last minutes, with their limits.

use crate::format;
use leptos::prelude::*;
use muster_schemas::api::UsageView;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 56.0;

/// The points of a line through the values, from left to right; `top` is the value at the upper edge.
pub fn points(values: &[f64], top: f64) -> String {
    let last = values.len().saturating_sub(1).max(1) as f64;
    let mut text = String::new();
    for (place, value) in values.iter().enumerate() {
        let x = place as f64 / last * WIDTH;
        let share = if top > 0.0 {
            (value / top).clamp(0.0, 1.0)
        } else {
            0.0
        };
        // A line at the very edge would be cut in half.
        let y = HEIGHT - 1.0 - share * (HEIGHT - 2.0);
        if place > 0 {
            text.push(' ');
        }
        text.push_str(&format!("{x:.1},{y:.1}"));
    }
    text
}

/// What the upper edge stands for: the limit where the use comes near it, else a little more than the most used, so
/// that a small use can still be read.
pub fn top(values: &[f64], limit: f64) -> f64 {
    let most = values.iter().copied().fold(0.0, f64::max);
    if limit > 0.0 && most > limit * 0.25 {
        most.max(limit) * 1.08
    } else if most > 0.0 {
        most * 1.25
    } else {
        1.0
    }
}

fn chart(
    name: &'static str,
    values: &[f64],
    second: Option<&[f64]>,
    limit: f64,
    now: String,
    of: String,
) -> AnyView {
    let all: Vec<f64> = values
        .iter()
        .chain(second.unwrap_or_default())
        .copied()
        .collect();
    let top = top(&all, limit);
    let line = points(values, top);
    let area = format!("0,{HEIGHT} {line} {WIDTH},{HEIGHT}");
    let limit_y =
        (limit > 0.0 && limit <= top).then(|| HEIGHT - 1.0 - limit / top * (HEIGHT - 2.0));
    view! {
        <figure class="spark" data-test-usage=name>
            <figcaption>
                <span class="spark-name">{name}</span>
                <span class="spark-now">{now}</span>
                <span class="faint">{of}</span>
            </figcaption>
            <svg viewBox="0 0 240 56" preserveAspectRatio="none" aria-hidden="true">
                {(values.len() > 1).then(|| view! {
                    <polygon class="spark-area" points=area.clone() />
                    <polyline class="spark-line" points=line.clone() />
                })}
                {second.filter(|second| second.len() > 1).map(|second| view! {
                    <polyline class="spark-line second" points=points(second, top) />
                })}
                {limit_y.map(|y| view! {
                    <line class="spark-limit" x1="0" x2="240" y1=format!("{y:.1}") y2=format!("{y:.1}") />
                })}
            </svg>
        </figure>
    }
    .into_any()
}

/// CPU, memory and network.
pub fn usage(view: &UsageView) -> AnyView {
    let readings = &view.readings;
    let Some(last) = readings.last() else {
        return view! { <p class="faint pad" data-test-usage="none">"No readings yet: they come every few seconds while the container runs."</p> }
            .into_any();
    };
    let of = |pick: fn(&muster_schemas::state::Usage) -> f64| {
        readings.iter().map(pick).collect::<Vec<f64>>()
    };
    let cpu = of(|one| f64::from(one.cpu_millis));
    let memory = of(|one| one.memory_bytes as f64);
    let received = of(|one| one.network_rx_bytes_per_sec as f64);
    let sent = of(|one| one.network_tx_bytes_per_sec as f64);
    view! {
        <div class="sparks">
            {chart(
                "CPU",
                &cpu,
                None,
                f64::from(view.cpu_limit_millis),
                format!("{} m", format::count(last.cpu_millis.into())),
                format!("of {} m", format::count(view.cpu_limit_millis.into())),
            )}
            {chart(
                "Memory",
                &memory,
                None,
                view.memory_limit_bytes as f64,
                format::bytes(last.memory_bytes),
                format!("of {}", format::bytes(view.memory_limit_bytes)),
            )}
            {chart(
                "Network",
                &received,
                Some(&sent),
                0.0,
                format!("↓ {}", format::rate(last.network_rx_bytes_per_sec)),
                format!("↑ {}", format::rate(last.network_tx_bytes_per_sec)),
            )}
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stay_inside_the_chart() {
        assert_eq!(points(&[], 1.0), "");
        assert_eq!(points(&[0.0], 0.0), "0.0,55.0");
        assert_eq!(
            points(&[0.0, 1.0, 9.0], 2.0),
            "0.0,55.0 120.0,28.0 240.0,1.0"
        );
    }

    #[test]
    fn a_small_use_is_drawn_large_and_a_large_one_under_its_limit() {
        assert_eq!(top(&[4.0], 100.0), 5.0);
        assert_eq!(top(&[50.0], 100.0), 108.0);
        assert_eq!(top(&[0.0], 0.0), 1.0);
    }
}
