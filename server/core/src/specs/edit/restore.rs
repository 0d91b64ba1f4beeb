//! A field of a document put back to what it was in another text of it.

use super::{EditError, Found, What, document, spans};
use muster_schemas::ids::JobId;

/// Puts one field of a job's document in `into` back to what it is in `from`, in the words that stand there. Where `from` does not have
/// it, it is taken out, and with it the mapping around it if that has nothing else and `from` does not have that either. Where `into`
/// does not have it, there is nothing to put back.
///
/// # Errors
///
/// One of the documents is not there, or what is written in the field's place is no single value on one line.
pub fn restore_field(
    from: &str,
    into: &str,
    job: &JobId,
    path: &[String],
) -> Result<String, EditError> {
    let missing = || EditError::NoDocument(job.clone());
    let then = &from[document(from, job).ok_or_else(missing)?];
    let place = document(into, job).ok_or_else(missing)?;
    let now = &into[place.clone()];
    let (then_spans, now_spans) = (spans(then)?, spans(now)?);
    let no_place = || EditError::NoPlace(path.join("."));
    let Some(field) = now_spans.iter().find(|span| span.path == path) else {
        return Ok(into.to_owned());
    };
    let is_value = |found: &Found, text: &str| {
        matches!(found.what, What::Scalar) && !text[found.range.clone()].contains('\n')
    };
    if !is_value(field, now) {
        return Err(no_place());
    }
    let edited = match then_spans.iter().find(|span| span.path == path) {
        Some(known) if is_value(known, then) => {
            let range = &field.range;
            let words = &then[known.range.clone()];
            format!("{}{words}{}", &now[..range.start], &now[range.end..])
        }
        Some(_) => return Err(no_place()),
        None => without(now, &now_spans, &then_spans, field).ok_or_else(no_place)?,
    };
    Ok(format!(
        "{}{edited}{}",
        &into[..place.start],
        &into[place.end..]
    ))
}

/// The text without an entry of a mapping; none where the entry cannot be told from what is around it.
fn without(text: &str, spans: &[Found], then: &[Found], entry: &Found) -> Option<String> {
    let (_, around) = entry.path.split_last()?;
    let start = entry.key?;
    let map = spans.iter().find(|span| span.path == around)?;
    let What::Map { flow, .. } = map.what else {
        return None;
    };
    let siblings: Vec<usize> = spans
        .iter()
        .filter(|span| span.path.len() == entry.path.len() && span.path.starts_with(around))
        .filter_map(|span| span.key)
        .collect();
    let end = end_of(spans, entry);
    let cut =
        |from: usize, to: usize, with: &str| format!("{}{with}{}", &text[..from], &text[to..]);
    if siblings.len() == 1 {
        let was_there = then.iter().any(|span| span.path == around);
        if !was_there && !around.is_empty() {
            return without(text, spans, then, map);
        }
        // A mapping without entries is written in braces.
        return Some(cut(start, end, if flow { "" } else { "{}" }));
    }
    if flow {
        return Some(match siblings.iter().find(|key| **key > start) {
            Some(next) => cut(start, *next, ""),
            // The last one takes the comma before it along.
            None => cut(text[..start].rfind(',')?, end, ""),
        });
    }
    // Whole lines, with what is remarked behind the value.
    let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
    if !text[line..start].trim().is_empty() {
        return None;
    }
    let after = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    Some(cut(line, after, ""))
}

/// Where an entry ends. A mapping over several lines ends with its last value: what the parser takes for its end is where the next
/// thing begins, with the remarks in between.
fn end_of(spans: &[Found], entry: &Found) -> usize {
    let in_lines = matches!(entry.what, What::Map { flow: false, .. });
    let last = spans
        .iter()
        .filter(|span| matches!(span.what, What::Scalar) && span.path.starts_with(&entry.path))
        .map(|span| span.range.end)
        .max();
    match last {
        Some(last) if in_lines => last,
        Some(_) | None => entry.range.end,
    }
}
