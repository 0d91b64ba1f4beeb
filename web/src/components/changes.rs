//! What a plan changes, and what it refused.

use crate::components::shape::shape;
use crate::components::text;
use crate::tone::{self, Shape};
use crate::{address, format, yaml};
use leptos::prelude::*;
use muster_schemas::api::JobChangeView;
use muster_schemas::plan::{Diagnostic, FieldChange};
use serde_json::Value;

/// One job's change.
pub fn job_change(change: &JobChangeView) -> AnyView {
    let counts = [(change.starts, "starts", "+"), (change.replaces, "replaces", "~"), (change.stops, "stops", "−")]
        .into_iter()
        .filter(|(number, _, _)| *number > 0)
        .map(|(number, word, sign)| {
            view! { <span class="change-count"><span class="number">{sign}{format::count(number.into())}</span>" "{word}</span> }
        })
        .collect_view();
    view! {
        <article class="panel change" data-test-change=change.job.clone()>
            <div class="panel-head">
                <span class=format!("action {}", tone::action(&change.action).class())>{change.action.clone()}</span>
                <h3>{text::job_link(&change.job)}</h3>
                <span class="grow"></span>
                {counts}
            </div>
            {fields(&change.fields)}
            {(!change.notes.is_empty()).then(|| view! {
                <ul class="notes">{change.notes.iter().map(|note| view! { <li>{text::rich(&format::sentence(note))}</li> }).collect_view()}</ul>
            })}
        </article>
    }
    .into_any()
}

/// Fields, with what they were and will be.
pub fn fields(fields: &[FieldChange]) -> AnyView {
    if fields.is_empty() {
        return ().into_any();
    }
    let rows = fields
        .iter()
        .map(|field| {
            view! {
                <tr data-test-field=field.path.clone()>
                    <th scope="row"><code>{field.path.clone()}</code></th>
                    <td>{side(field.from.as_ref(), "was", "−")}</td>
                    <td>{side(field.to.as_ref(), "is", "+")}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <table class="diff">
            <thead class="unseen"><tr><th>"Field"</th><th>"From"</th><th>"To"</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

fn side(value: Option<&Value>, class: &'static str, sign: &'static str) -> AnyView {
    match value {
        Some(value) => {
            let text = match value {
                Value::Object(_) | Value::Array(_) => yaml::print(value).trim_end().to_owned(),
                // A text says itself; quotes would only be in the way of reading. An empty one needs them to be seen.
                Value::String(text) if !text.trim().is_empty() => text.clone(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    yaml::scalar(value)
                }
            };
            view! { <span class=format!("diff-side {class}")><span class="diff-sign">{sign}</span><code>{text}</code></span> }
                .into_any()
        }
        None => view! { <span class="diff-side none">"not set"</span> }.into_any(),
    }
}

/// A document that was refused: where, the line itself, what is wrong and what to do.
pub fn refused(diagnostic: &Diagnostic) -> AnyView {
    let place = if diagnostic.line == 0 {
        diagnostic.path.clone()
    } else if diagnostic.column == 0 {
        format!("{}:{}", diagnostic.path, diagnostic.line)
    } else {
        format!(
            "{}:{}:{}",
            diagnostic.path, diagnostic.line, diagnostic.column
        )
    };
    let source = (!diagnostic.source_line.is_empty()).then(|| {
        let (before, meant, after) = split(&diagnostic.source_line, diagnostic.column, diagnostic.width);
        view! {
            <pre class="source"><span class="source-number">{diagnostic.line}</span><code>{before}<mark>{meant}</mark>{after}</code></pre>
        }
    });
    view! {
        <article class="refused" data-test-refused=place.clone()>
            <p class="refused-head">
                <span class="state bad">{shape(Shape::Cross)}<span class="state-word">"refused"</span></span>
                <code>{place.clone()}</code>
                {diagnostic.job.as_ref().map(|job| view! {
                    <a class="link" href=address::job(job.as_str())>{job.as_str().to_owned()}</a>
                })}
            </p>
            <p class="refused-message">{text::rich(&format::sentence(&diagnostic.message))}</p>
            {source}
            {(!diagnostic.help.is_empty()).then(|| view! { <p class="faint">{text::rich(&format::sentence(&diagnostic.help))}</p> })}
        </article>
    }
    .into_any()
}

/// The line before, at and after what is meant; columns count characters from 1, and 0 means the whole line.
fn split(line: &str, column: u32, width: u32) -> (String, String, String) {
    if column == 0 {
        return (String::new(), String::new(), line.to_owned());
    }
    let before = column as usize - 1;
    let width = width.max(1) as usize;
    (
        line.chars().take(before).collect(),
        line.chars().skip(before).take(width).collect(),
        line.chars().skip(before.saturating_add(width)).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meant_part_of_a_line_is_marked() {
        let parts = |line, column, width| {
            let (before, meant, after) = split(line, column, width);
            format!("{before}[{meant}]{after}")
        };
        assert_eq!(parts("  memroy: 1", 3, 6), "  [memroy]: 1");
        assert_eq!(parts("größe: 1", 1, 5), "[größe]: 1");
        assert_eq!(parts("short", 99, 3), "short[]");
        assert_eq!(parts("all", 0, 0), "[]all");
        assert_eq!(parts("x", u32::MAX, u32::MAX), "x[]");
    }
}
