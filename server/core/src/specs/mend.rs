//! Reading a tree as a kind, to the last error: what is wrong is told, and the tree is mended so that reading can go on.

use super::check;
use super::report::{Code, Place, Problem, quoted};
use super::tree::{self, MAX_PROBLEMS, Node, Value};
use super::typed::{Misread, What, from_tree, one_of};
use super::walk::{at, key_place, names, put_placeholder, remove, value_place};
use super::words;
use serde::de::DeserializeOwned;

/// Reads the fields of a kind. After an error the tree is mended (the field taken out, or a placeholder put in), so that
/// the next error can be found; the rules of `check` are then asked of everything that was sound.
pub(super) fn read_kind<T: DeserializeOwned>(
    root: &mut Node,
    problems: &mut Vec<Problem>,
    check: fn(&T, &mut check::Checks<'_>),
) -> Option<T> {
    let mut unsound: Vec<Vec<String>> = Vec::new();
    // Each turn takes out a value or puts in a placeholder, which can itself be taken out: it ends. The bound is for us.
    for _ in 0..4 * MAX_PROBLEMS {
        if problems.len() >= MAX_PROBLEMS {
            return None;
        }
        match from_tree::<T>(root) {
            Ok(spec) => {
                check(&spec, &mut check::Checks::new(root, &unsound, problems));
                return Some(spec);
            }
            Err(misread) => {
                if !mend(root, &misread, &mut unsound, problems) {
                    return None;
                }
            }
        }
    }
    None
}

/// Tells of a misread and mends the tree; false where it cannot be mended.
fn mend(
    root: &mut Node,
    misread: &Misread,
    unsound: &mut Vec<Vec<String>>,
    problems: &mut Vec<Problem>,
) -> bool {
    let path = misread.path();
    let names = names(root, &path);
    let under_unsound = |names: &[String]| unsound.iter().any(|other| names.starts_with(other));
    match &misread.what {
        What::MissingField { field } => {
            let mut full = names.clone();
            full.push((*field).to_owned());
            if !under_unsound(&full) {
                problems.push(missing(
                    field,
                    key_place(root, &path),
                    missing_help(field, &names),
                ));
            }
            unsound.push(full);
            put_placeholder(root, &path, field)
        }
        What::UnknownField { field, known } => {
            let place = key_place(root, &path);
            let parent = &names[..names.len().saturating_sub(1)];
            let mut known: Vec<&str> = known.to_vec();
            if parent.is_empty() {
                known.extend(["apiVersion", "kind"]);
            }
            let meant = words::nearest(field, &known);
            let help = match (meant, words::place_of(field)) {
                (Some(meant), _) => format!("did you mean `{meant}`?"),
                (None, Some(place)) => format!("did you mean `{place}`?"),
                (None, None) => format!("known here: {}", known.join(", ")),
            };
            let message = if parent.is_empty() {
                format!("there is no field {}", quoted(field))
            } else {
                format!(
                    "there is no field {} in `{}`",
                    quoted(field),
                    shown_path(parent)
                )
            };
            problems.push(Problem {
                code: Code::UnknownField,
                place,
                message,
                help,
            });
            // What was meant was written, so it is neither missing nor complete.
            if let Some(meant) = meant {
                let mut full = parent.to_vec();
                full.push(meant.to_owned());
                unsound.push(full);
            } else if let Some(place) = words::place_of(field) {
                unsound.push(place.split('.').map(str::to_owned).collect());
            }
            remove(root, &path)
        }
        What::UnknownWord { .. }
        | What::WrongType { .. }
        | What::BadValue { .. }
        | What::Refused => {
            if matches!(
                at(root, &path).map(|node| &node.value),
                Some(Value::Placeholder)
            ) {
                // Nothing stands for this type: its parent goes, which was told of already.
                let parent = &path[..path.len().saturating_sub(1)];
                unsound.push(names[..parent.len()].to_vec());
                return !parent.is_empty() && remove(root, parent);
            }
            // A word that is the only key of a mapping: the mapping goes with it.
            let (path, names) = match misread.at_key {
                true => (
                    &path[..path.len().saturating_sub(1)],
                    &names[..names.len().saturating_sub(1)],
                ),
                false => (&path[..], &names[..]),
            };
            // Where something was taken out already, what is left may be wrong for want of it.
            let mended = unsound.iter().any(|other| other.starts_with(names));
            if !mended && let Some(problem) = misread_problem(root, misread, names) {
                problems.push(problem);
            }
            // What is read of a list lacks the item, so its indexes are not the written ones: nothing more is said about it.
            let in_list = names
                .last()
                .is_some_and(|name| name.parse::<usize>().is_ok());
            let deep = names.len() - usize::from(in_list && !names.is_empty());
            unsound.push(names[..deep].to_vec());
            !path.is_empty() && remove(root, path)
        }
    }
}

/// The words for a value that is not what it should be; none where it has been told.
fn misread_problem(root: &Node, misread: &Misread, names: &[String]) -> Option<Problem> {
    let path = &misread.path()[..];
    let field = shown_path(names);
    let place = if misread.at_key {
        key_place(root, path)
    } else {
        value_place(root, path)
    };
    let written = at(root, path).and_then(|node| match &node.value {
        Value::Scalar { text, plain } => Some((text.as_str(), *plain)),
        Value::List(_) | Value::Map(_) | Value::Refused | Value::Gone | Value::Placeholder => None,
    });
    let (code, message, help) = match &misread.what {
        What::Refused | What::MissingField { .. } | What::UnknownField { .. } => return None,
        What::UnknownWord { word, known } => (
            Code::UnknownWord,
            format!("`{field}` cannot be {}", quoted(word)),
            expected_word(word, known),
        ),
        What::WrongType { found, expected } if found == "nothing" => (
            Code::WrongType,
            format!("`{field}` has no value"),
            format!("write {expected} after the colon, or delete the line"),
        ),
        What::WrongType { expected, found } => {
            let help = match written {
                Some((text, true)) if expected == "text" => format!(
                    "YAML reads {} as {}; put it in quotes: \"{text}\"",
                    quoted(text),
                    if matches!(tree::meaning(text), tree::Meaning::Bool(_)) {
                        "true or false"
                    } else {
                        "a number"
                    },
                ),
                Some((text, false)) if tree::meaning(text) != tree::Meaning::Text => {
                    format!("take the quotes away: {text}")
                }
                Some(("yes" | "on" | "Yes" | "On" | "y", _)) if expected.contains("true") => {
                    "did you mean `true`?".to_owned()
                }
                Some(("no" | "off" | "No" | "Off" | "n", _)) if expected.contains("true") => {
                    "did you mean `false`?".to_owned()
                }
                None if found == "a mapping" && expected == "a list" => {
                    "write one item per line, each beginning with `- `".to_owned()
                }
                Some((text, _)) if expected == "a list" => {
                    format!(
                        "write {}",
                        as_list(text, names.last().map_or("", String::as_str))
                    )
                }
                Some((text, _)) if expected == "a mapping with one field" => {
                    format!("write `{text}: {{}}`")
                }
                Some(_) | None => format!("write {expected}"),
            };
            (
                Code::WrongType,
                format!("`{field}` cannot be {found}"),
                help,
            )
        }
        What::BadValue { message } => {
            // Amounts say themselves what they want, after a colon.
            let (message, help) = match message.split_once(": ") {
                Some((what, help)) => (what, help),
                None => (message.as_str(), ""),
            };
            (
                Code::BadValue,
                format!("`{field}`: {message}"),
                help.to_owned(),
            )
        }
    };
    Some(Problem {
        code,
        place,
        message,
        help,
    })
}

/// A text as the list that was probably meant: a command is a list of its words, and needs a shell for a shell's signs.
fn as_list(text: &str, field: &str) -> String {
    let words: Vec<&str> = match field {
        "command" | "entrypoint"
            if text.contains(['|', '&', ';', '<', '>', '$', '"', '\'', '*']) =>
        {
            vec!["sh", "-c", text]
        }
        "command" | "entrypoint" => text.split_whitespace().collect(),
        _ => vec![text],
    };
    // JSON's way to write a list of texts is YAML's too.
    serde_json::to_string(&words)
        .unwrap_or_default()
        .replace("\",\"", "\", \"")
}

/// Which word was expected.
pub(super) fn expected_word(word: &str, known: &[&str]) -> String {
    match words::nearest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write one of {}", one_of(known)),
    }
}

/// What to write where a field is missing.
fn missing_help(field: &str, parent: &[String]) -> String {
    let under = match parent {
        [] => String::new(),
        parent => format!(" under `{}`", shown_path(parent)),
    };
    let example = match field {
        "name" if parent.is_empty() => ", such as `name: web`",
        "name" => ", such as `name: http`",
        "owner" => ", such as `owner: web-team@example.com`: whom to ask about the job",
        "image" => ", such as `image: registry.example.com/web:1.4.2`",
        "capacity" => ", such as `capacity: {desired: 3}`",
        "desired" => ", such as `desired: 3`",
        "port" => ", such as `port: 8080`",
        "command" => ", such as `command: [\"/bin/check\"]`",
        "delay" | "initial" | "relocationTime" => ", such as `5s`",
        "max" => ", such as `5m`",
        _ => "",
    };
    format!("add `{field}:`{under}{example}")
}

/// A path as people write it: `service.capacity`, `ports[0].name`.
fn shown_path(names: &[String]) -> String {
    let mut shown = String::new();
    for name in names {
        if name.parse::<usize>().is_ok() && !shown.is_empty() {
            shown.push_str(&format!("[{name}]"));
        } else {
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(quoted(name).trim_matches('`'));
        }
    }
    shown
}

pub(super) fn missing(field: &str, place: Place, help: String) -> Problem {
    Problem {
        code: Code::MissingField,
        place,
        message: format!("`{field}` is missing"),
        help,
    }
}
