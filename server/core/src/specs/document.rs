//! One document: its header, its kind, and everything that is wrong with it.

use super::check;
use super::mend::{expected_word, missing, read_kind};
use super::report::{Code, Place, Problem, quoted};
use super::split::{Chunk, plain_value};
use super::tree::{self, Entry, MAX_PROBLEMS, Node, Value};
use super::typed::one_of;
use super::walk::place_of;
use super::words;
use muster_schemas::ids::JobId;
use muster_schemas::spec::{API_VERSION, JobSpec, PolicySpec, Spec};

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
    /// Where each of the jobs that it depends on stands.
    pub dependency_places: Vec<Place>,
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
    let dependency_places = match root.entry("dependsOn").map(|entry| &entry.value.value) {
        Some(Value::List(items)) => items.iter().map(|item| item.place).collect(),
        Some(_) | None => Vec::new(),
    };
    let spec = match kind {
        Some(Kind::Job) => read_kind::<JobSpec>(&mut root, &mut problems, check::job)
            .map(|job| Spec::Job(std::sync::Arc::new(job))),
        Some(Kind::Policy) => read_kind::<PolicySpec>(&mut root, &mut problems, check::policy)
            .map(|policy| Spec::Policy(Box::new(policy))),
        None => None,
    };
    problems.sort_by_key(|problem| problem.place);
    problems.truncate(MAX_PROBLEMS);
    let accepted = spec.filter(|_| problems.is_empty()).map(|spec| Accepted {
        spec,
        line,
        name_place,
        dependency_places,
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
