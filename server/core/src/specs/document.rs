//! One document: its header, its kind, and everything that is wrong with it.

use super::check;
use super::report::{Code, Place, Problem, quoted};
use super::split::{Chunk, plain_value};
use super::tree::{self, Entry, MAX_PROBLEMS, Node, Value};
use super::typed::{Misread, What, from_tree, one_of};
use super::words;
use muster_schemas::ids::JobId;
use muster_schemas::spec::{API_VERSION, JobSpec, PolicySpec, Spec};
use serde::de::DeserializeOwned;

/// The kinds that can be read.
const KINDS: [&str; 2] = ["Job", "Policy"];

/// Kinds that people may have read about and that cannot be read yet.
const LATER_KINDS: [&str; 1] = ["CapacityGroup"];

/// A document that holds by itself.
pub(super) struct Accepted {
    pub spec: Spec,
    /// The line of its first field.
    pub line: u32,
    /// Where its name stands.
    pub name_place: Place,
}

/// What came of a document. One without content has neither.
#[derive(Default)]
pub(super) struct Read {
    pub accepted: Option<Accepted>,
    pub problems: Vec<Problem>,
    /// The job that it is about, where that could be read.
    pub job: Option<JobId>,
}

impl Read {
    pub fn is_empty(&self) -> bool {
        self.accepted.is_none() && self.problems.is_empty()
    }
}

/// Reads one document and finds what is wrong with it: at most [`MAX_PROBLEMS`] problems, at least one unless it is
/// accepted or empty.
pub(super) fn read(chunk: Chunk<'_>) -> Read {
    let parsed = tree::parse(chunk);
    let mut problems = parsed.problems;
    let Some(mut root) = parsed.root else {
        let job = unread_job(
            plain_value(chunk.text, "kind"),
            plain_value(chunk.text, "name"),
        );
        return Read {
            accepted: None,
            problems,
            job,
        };
    };
    if matches!(&root.value, Value::Scalar { text, plain: true } if tree::meaning(text) == tree::Meaning::Nothing)
    {
        return Read {
            accepted: None,
            problems,
            job: None,
        };
    }
    if !matches!(root.value, Value::Map(_)) {
        if problems.is_empty() {
            problems.push(Problem {
                code: Code::NotADocument,
                place: root.place,
                message: "a spec is a mapping, and this is none".to_owned(),
                help: format!("begin with `apiVersion: {API_VERSION}`, `kind:` and `name:`, each on its own line"),
            });
        }
        return Read {
            accepted: None,
            problems,
            job: None,
        };
    }

    let written_twice = |key: &str| {
        problems.iter().any(|problem| {
            problem.code == Code::DuplicateKey && problem.message.contains(&format!("`{key}`"))
        })
    };
    let told = |key: &str| {
        root.entry(key)
            .filter(|_| !written_twice(key))
            .and_then(|entry| entry.value.text())
    };
    let job = unread_job(told("kind"), told("name"));
    // A document without fields has no place; then its own begin is meant.
    let line = root
        .entries()
        .first()
        .map_or(root.place.line, |entry| entry.key_place.line);
    let kind = read_header(&mut root, &mut problems);
    let name_place = root
        .entry("name")
        .map_or(root.place, |entry| entry.value.place);
    let spec = match kind {
        Some(Kind::Job) => read_kind::<JobSpec>(&mut root, &mut problems, check::job)
            .map(|job| Spec::Job(Box::new(job))),
        Some(Kind::Policy) => {
            read_kind::<PolicySpec>(&mut root, &mut problems, check::policy).map(Spec::Policy)
        }
        None => None,
    };
    problems.sort_by_key(|problem| problem.place);
    problems.truncate(MAX_PROBLEMS);
    let accepted = spec.filter(|_| problems.is_empty()).map(|spec| Accepted {
        spec,
        line,
        name_place,
    });
    Read {
        accepted,
        problems,
        job,
    }
}

/// The job that a document is about which cannot be taken: only where it is no other kind, and the name is one that a job
/// can have, so that a slip in the name does not make a running job look removed.
fn unread_job(kind: Option<&str>, name: Option<&str>) -> Option<JobId> {
    let other_kind = kind.is_some_and(|kind| kind == "Policy" || LATER_KINDS.contains(&kind));
    if other_kind {
        None
    } else {
        name.and_then(super::job_named)
    }
}

enum Kind {
    Job,
    Policy,
}

/// Checks `apiVersion` and `kind`, and takes them out of the tree.
fn read_header(root: &mut Node, problems: &mut Vec<Problem>) -> Option<Kind> {
    let first = root
        .entries()
        .first()
        .map_or(root.place, |entry| entry.key_place);
    let version = take(root, "apiVersion");
    let kind = take(root, "kind");
    let misspelled = |root: &Node, wanted: &str| {
        let entry = root
            .entries()
            .iter()
            .find(|entry| words::nearest(&entry.key, &[wanted]).is_some())?;
        Some((
            entry.key_place,
            format!("did you mean `{wanted}` by {}?", quoted(&entry.key)),
        ))
    };
    match version {
        None => {
            let (place, help) = misspelled(root, "apiVersion").unwrap_or_else(|| {
                (
                    first,
                    format!("begin the document with `apiVersion: {API_VERSION}`"),
                )
            });
            // The misspelled field would be told again as an unknown one.
            take_misspelled(root, "apiVersion");
            problems.push(missing("apiVersion", place, help));
        }
        Some(entry) if entry.value.text() == Some(API_VERSION) => {}
        Some(Entry {
            value: Node {
                value: Value::Refused,
                ..
            },
            ..
        }) => {}
        Some(entry) => problems.push(Problem {
            code: Code::WrongVersion,
            place: entry.value.place,
            message: "this `apiVersion` is not known".to_owned(),
            help: format!("write `apiVersion: {API_VERSION}`: it is the only one so far"),
        }),
    }
    let Some(kind) = kind else {
        let (place, help) = misspelled(root, "kind").unwrap_or_else(|| {
            (
                first,
                format!("write `kind:` and one of {}", one_of(&KINDS)),
            )
        });
        problems.push(missing("kind", place, help));
        return None;
    };
    match kind.value.text() {
        Some("Job") => Some(Kind::Job),
        Some("Policy") => Some(Kind::Policy),
        Some(word) => {
            let help = if LATER_KINDS.contains(&word) {
                format!(
                    "this version of Muster cannot read it yet; it reads {}",
                    one_of(&KINDS)
                )
            } else {
                expected_word(word, &KINDS)
            };
            problems.push(Problem {
                code: Code::UnknownKind,
                place: kind.value.place,
                message: format!("there is no kind {}", quoted(word)),
                help,
            });
            None
        }
        None => {
            if !matches!(kind.value.value, Value::Refused) {
                problems.push(Problem {
                    code: Code::WrongType,
                    place: place_of(&kind),
                    message: "`kind` is not a word".to_owned(),
                    help: format!("write one of {}", one_of(&KINDS)),
                });
            }
            None
        }
    }
}

fn missing(field: &str, place: Place, help: String) -> Problem {
    Problem {
        code: Code::MissingField,
        place,
        message: format!("`{field}` is missing"),
        help,
    }
}

fn take(root: &mut Node, key: &str) -> Option<Entry> {
    let Value::Map(entries) = &mut root.value else {
        return None;
    };
    let index = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(index))
}

fn take_misspelled(root: &mut Node, wanted: &str) {
    if let Value::Map(entries) = &mut root.value
        && let Some(index) = entries
            .iter()
            .position(|entry| words::nearest(&entry.key, &[wanted]).is_some())
    {
        entries.remove(index);
    }
}

/// What is meant of an entry: its value, or its key where the value is not one scalar.
pub(super) fn place_of(entry: &Entry) -> Place {
    match &entry.value.value {
        Value::Scalar { text, .. } if !text.is_empty() && entry.value.place.width > 0 => {
            entry.value.place
        }
        Value::Scalar { .. }
        | Value::List(_)
        | Value::Map(_)
        | Value::Refused
        | Value::Gone
        | Value::Placeholder => entry.key_place,
    }
}

/// Reads the fields of a kind. After an error the tree is mended (the field taken out, or a placeholder put in), so that
/// the next error can be found; the rules of `check` are then asked of everything that was sound.
fn read_kind<T: DeserializeOwned>(
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
fn expected_word(word: &str, known: &[&str]) -> String {
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
        "delay" | "initial" => ", such as `5s`",
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

/// The node at a path of indexes.
fn at<'a>(root: &'a Node, path: &[usize]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, index| match &node.value {
        Value::Map(entries) => entries.get(*index).map(|entry| &entry.value),
        Value::List(items) => items.get(*index),
        Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
    })
}

/// The names along a path of indexes: keys, and indexes of items.
fn names(root: &Node, path: &[usize]) -> Vec<String> {
    let mut names = Vec::new();
    for (depth, index) in path.iter().enumerate() {
        names.push(match at(root, &path[..depth]).map(|node| &node.value) {
            Some(Value::Map(entries)) => entries
                .get(*index)
                .map(|entry| entry.key.clone())
                .unwrap_or_default(),
            Some(
                Value::List(_)
                | Value::Scalar { .. }
                | Value::Refused
                | Value::Gone
                | Value::Placeholder,
            )
            | None => index.to_string(),
        });
    }
    names
}

/// The place of the innermost key on a path; the first field where the path is the root.
fn key_place(root: &Node, path: &[usize]) -> Place {
    let first = root
        .entries()
        .first()
        .map_or(root.place, |entry| entry.key_place);
    (0..path.len())
        .rev()
        .find_map(|depth| match &at(root, &path[..depth])?.value {
            Value::Map(entries) => entries.get(path[depth]).map(|entry| entry.key_place),
            Value::List(items) => items.get(path[depth]).map(|item| Place {
                width: 0,
                ..item.place
            }),
            Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
        })
        .unwrap_or(first)
}

/// The place of the value at a path, or of its key where it is not one scalar.
fn value_place(root: &Node, path: &[usize]) -> Place {
    match at(root, path) {
        Some(Node {
            value: Value::Scalar { text, .. },
            place,
        }) if !text.is_empty() && place.width > 0 => *place,
        Some(_) | None => key_place(root, path),
    }
}

/// Takes out the entry or item at a path.
fn remove(root: &mut Node, path: &[usize]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    match at_mut(root, parents).map(|node| &mut node.value) {
        Some(Value::Map(entries)) if *last < entries.len() => {
            entries.remove(*last);
            true
        }
        Some(Value::List(items)) if *last < items.len() => {
            items[*last].value = Value::Gone;
            true
        }
        Some(_) | None => false,
    }
}

fn put_placeholder(root: &mut Node, path: &[usize], field: &str) -> bool {
    match at_mut(root, path) {
        Some(Node {
            value: Value::Map(entries),
            place,
        }) => {
            let place = *place;
            entries.push(Entry {
                key: field.to_owned(),
                key_place: place,
                value: Node {
                    place,
                    value: Value::Placeholder,
                },
            });
            true
        }
        Some(_) | None => false,
    }
}

fn at_mut<'a>(root: &'a mut Node, path: &[usize]) -> Option<&'a mut Node> {
    path.iter()
        .try_fold(root, |node, index| match &mut node.value {
            Value::Map(entries) => entries.get_mut(*index).map(|entry| &mut entry.value),
            Value::List(items) => items.get_mut(*index),
            Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
        })
}
