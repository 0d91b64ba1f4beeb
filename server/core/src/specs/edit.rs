//! Changing a field of a document in its file's text, and nothing else: comments, order and quotes stay as people wrote them.

mod restore;

use super::split;
use super::tree;
use muster_schemas::ids::JobId;
use serde_saphyr::granit_parser::{self, Event, Parser};
use std::ops::Range;
use thiserror::Error;

pub use restore::restore_field;

/// What a field is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
}

/// Why a document cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// The job's document is not in the file.
    #[error("there is no document of job `{0}` in it")]
    NoDocument(JobId),
    /// The document is no YAML.
    #[error("its document is no YAML: {0}")]
    Unreadable(String),
    /// The field is there with something else than one value, or there is no place to write it.
    #[error("its field `{0}` cannot be set: what is written there is no single value")]
    NoPlace(String),
}

/// Sets fields of one job's document. A field that is not there is added; so is the mapping around it, if that is missing at
/// the top.
///
/// # Errors
///
/// The document is not there, or a field cannot be set; then nothing is changed.
pub fn set_fields(
    text: &str,
    job: &JobId,
    fields: &[(Vec<String>, NewValue)],
) -> Result<String, EditError> {
    let mut text = text.to_owned();
    for (path, value) in fields {
        text = set_field(&text, job, path, value)?;
    }
    Ok(text)
}

/// Puts the text of a job's document in one file in the place of its text in another; it is appended where there is none.
///
/// # Errors
///
/// The first file has no document of the job.
pub fn take_document(from: &str, into: &str, job: &JobId) -> Result<String, EditError> {
    let chunk = document(from, job).ok_or_else(|| EditError::NoDocument(job.clone()))?;
    let chunk = &from[chunk];
    Ok(match document(into, job) {
        Some(old) => format!("{}{chunk}{}", &into[..old.start], &into[old.end..]),
        None if into.trim().is_empty() => chunk.to_owned(),
        None => {
            let end = if into.ends_with('\n') { "" } else { "\n" };
            let begin = if chunk.starts_with("---") {
                ""
            } else {
                "---\n"
            };
            format!("{into}{end}{begin}{chunk}")
        }
    })
}

/// Where the job's document stands in the text, in bytes.
fn document(text: &str, job: &JobId) -> Option<Range<usize>> {
    split::documents(text).into_iter().find_map(|chunk| {
        let root = tree::parse(chunk).root?;
        let is_job = root.entry("kind").and_then(|entry| entry.value.text()) == Some("Job");
        let name = root.entry("name").and_then(|entry| entry.value.text());
        (is_job && name == Some(job.as_str())).then(|| {
            let start = chunk.text.as_ptr() as usize - text.as_ptr() as usize;
            start..start + chunk.text.len()
        })
    })
}

fn set_field(
    text: &str,
    job: &JobId,
    path: &[String],
    value: &NewValue,
) -> Result<String, EditError> {
    let chunk = document(text, job).ok_or_else(|| EditError::NoDocument(job.clone()))?;
    let no_place = || EditError::NoPlace(path.join("."));
    let spans = spans(&text[chunk.clone()])?;
    let splice = |range: Range<usize>, with: &str| {
        format!(
            "{}{with}{}",
            &text[..chunk.start + range.start],
            &text[chunk.start + range.end..]
        )
    };
    if let Some(found) = spans.iter().find(|span| span.path == path) {
        return match &found.what {
            What::Scalar => Ok(splice(found.range.clone(), &written(value))),
            What::Map { .. } | What::List => Err(no_place()),
        };
    }
    let (name, around) = path.split_last().ok_or_else(no_place)?;
    let entry = format!("{}: {}", key(name), written(value));
    if let Some(found) = spans.iter().find(|span| span.path == around) {
        return match &found.what {
            // An empty one is written anew; in a flow mapping a line break would be a mistake.
            What::Map { first: None, .. } => {
                Ok(splice(found.range.clone(), &format!("{{{entry}}}")))
            }
            What::Map {
                first: Some(first),
                flow: true,
                ..
            } => Ok(splice(*first..*first, &format!("{entry}, "))),
            What::Map {
                first: Some(first),
                column,
                ..
            } => {
                let indent = " ".repeat(*column);
                Ok(splice(*first..*first, &format!("{entry}\n{indent}")))
            }
            // `env:` with nothing behind it; the place of nothing is before or after the colon.
            What::Scalar if found.range.is_empty() => {
                let colon = text[chunk.start..][found.range.start..].starts_with(':');
                let place = found.range.start + usize::from(colon);
                Ok(splice(place..place, &format!(" {{{entry}}}")))
            }
            What::Scalar | What::List => Err(no_place()),
        };
    }
    // The mapping is missing, too: it is added at the top.
    match (around, spans.iter().find(|span| span.path.is_empty())) {
        (
            [outer],
            Some(Found {
                what:
                    What::Map {
                        first: Some(first),
                        flow: false,
                        column,
                    },
                ..
            }),
        ) => {
            let indent = " ".repeat(*column);
            let added = format!("{}:\n{indent}  {entry}\n{indent}", key(outer));
            Ok(splice(*first..*first, &added))
        }
        _ => Err(no_place()),
    }
}

/// A value or collection and where it stands in the document's text, in bytes.
struct Found {
    path: Vec<String>,
    range: Range<usize>,
    what: What,
    /// Where its key begins; none for the items of lists and for the document itself.
    key: Option<usize>,
}

enum What {
    Scalar,
    List,
    /// `first` is where its first key begins, and `column` that key's column.
    Map {
        first: Option<usize>,
        column: usize,
        flow: bool,
    },
}

/// An open collection while a document is walked through.
enum Open {
    List {
        items: usize,
    },
    Map {
        /// The key whose value comes next.
        key: Option<String>,
    },
}

fn spans(text: &str) -> Result<Vec<Found>, EditError> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
    };
    let mut found: Vec<Found> = Vec::new();
    let mut open: Vec<(Open, usize)> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    // A value follows its key.
    let mut key_at: Option<usize> = None;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| EditError::Unreadable(error.to_string()))?;
        let range = span
            .byte_range()
            .ok_or_else(|| EditError::Unreadable("it has no places".to_owned()))?;
        match event {
            Event::Scalar(scalar, ..) => {
                // A key of a mapping, or else a value.
                if let Some((Open::Map { key: key @ None }, map)) = open.last_mut() {
                    if let What::Map { first, column, .. } = &mut found[*map].what
                        && first.is_none()
                    {
                        (*first, *column) = (Some(range.start), span.start.col());
                    }
                    *key = Some(scalar.clone().into_owned());
                    key_at = Some(range.start);
                    path.push(scalar.into_owned());
                } else {
                    begin(&mut open, &mut path);
                    found.push(Found {
                        path: path.clone(),
                        range,
                        what: What::Scalar,
                        key: key_at.take(),
                    });
                    end(&mut open, &mut path);
                }
            }
            Event::Alias(..) => {
                key_at = None;
                begin(&mut open, &mut path);
                end(&mut open, &mut path);
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                begin(&mut open, &mut path);
                let is_map = matches!(event, Event::MappingStart(..));
                let flow = text[range.start..].starts_with(['{', '[']);
                open.push((
                    if is_map {
                        Open::Map { key: None }
                    } else {
                        Open::List { items: 0 }
                    },
                    found.len(),
                ));
                found.push(Found {
                    path: path.clone(),
                    range,
                    what: if is_map {
                        What::Map {
                            first: None,
                            column: 0,
                            flow,
                        }
                    } else {
                        What::List
                    },
                    key: key_at.take(),
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((_, index)) = open.pop() {
                    found[index].range.end = range.end.max(found[index].range.start);
                }
                end(&mut open, &mut path);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A value begins: in a list its path is its number.
fn begin(open: &mut [(Open, usize)], path: &mut Vec<String>) {
    if let Some((Open::List { items }, _)) = open.last_mut() {
        path.push(items.to_string());
        *items += 1;
    }
}

/// A value ends, and with it the path to it.
fn end(open: &mut [(Open, usize)], path: &mut Vec<String>) {
    let has_step = match open.last_mut() {
        Some((Open::Map { key }, _)) => key.take().is_some(),
        Some((Open::List { .. }, _)) => true,
        None => false,
    };
    if has_step {
        path.pop();
    }
}

/// A value as YAML on one line.
fn written(value: &NewValue) -> String {
    match value {
        NewValue::Number(number) => number.to_string(),
        NewValue::Text(text) => {
            let plain = !text.is_empty()
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "./:@_-".contains(c))
                && !text.ends_with(':')
                && tree::meaning(text) == tree::Meaning::Text;
            if plain {
                text.clone()
            } else {
                // A JSON text is a YAML text.
                serde_json::to_string(text).expect("a text is JSON")
            }
        }
    }
}

fn key(name: &str) -> String {
    let plain = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && tree::meaning(name) == tree::Meaning::Text;
    if plain {
        name.to_owned()
    } else {
        serde_json::to_string(name).expect("a text is JSON")
    }
}
