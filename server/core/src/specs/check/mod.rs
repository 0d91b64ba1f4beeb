//! The rules that a type cannot hold: bounds, names, and what has to fit together.
//!
//! Bounds follow what the container engine takes and, where it takes anything, what one job can sensibly want.

mod disruption;
mod host;
mod job;
mod policy;
mod probe;
mod rollout;

pub(super) use job::job;
pub(super) use policy::policy;

use super::report::{Code, Place, Problem, quoted};
use super::tree::{Node, Value};
use super::walk::place_of;
use std::fmt::Display;

/// Collects what is wrong with one document that could be read as its kind.
pub(super) struct Checks<'a> {
    root: &'a Node,
    /// The paths of values that were refused already: nothing is said about them or what lies in them, and nothing that
    /// depends on them.
    unsound: &'a [Vec<String>],
    problems: &'a mut Vec<Problem>,
}

impl<'a> Checks<'a> {
    pub fn new(root: &'a Node, unsound: &'a [Vec<String>], problems: &'a mut Vec<Problem>) -> Self {
        Self {
            root,
            unsound,
            problems,
        }
    }

    /// Whether the value at `path` is what was written, with all that lies in it.
    pub fn sound<T: AsRef<str>>(&self, path: &[T]) -> bool {
        !self
            .unsound
            .iter()
            .any(|other| other.iter().zip(path).all(|(a, b)| a == b.as_ref()))
    }

    /// Refuses the value at `path`, unless it was refused already. Where the value is not written (it has its default), the
    /// nearest field around it is shown.
    pub fn refuse<T: AsRef<str>>(
        &mut self,
        path: &[T],
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.sound(path) {
            let place = self.place(path, false);
            self.push(place, code, message.into(), help.into());
        }
    }

    /// Refuses the key at the end of `path`.
    pub fn refuse_key<T: AsRef<str>>(
        &mut self,
        path: &[T],
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.sound(path) {
            let place = self.place(path, true);
            self.push(place, code, message.into(), help.into());
        }
    }

    fn push(&mut self, place: Place, code: Code, message: String, help: String) {
        // The caller keeps as many of them; more are only counted against memory.
        if self.problems.len() < 4 * super::tree::MAX_PROBLEMS {
            self.problems.push(Problem {
                code,
                place,
                message,
                help,
            });
        }
    }

    fn place<T: AsRef<str>>(&self, path: &[T], key: bool) -> Place {
        let mut place = self
            .root
            .entry("name")
            .or_else(|| self.root.entries().first())
            .map_or(self.root.place, |entry| entry.key_place);
        let mut node = self.root;
        for (depth, name) in path.iter().enumerate() {
            match &node.value {
                Value::Map(_) => {
                    let Some(entry) = node.entry(name.as_ref()) else {
                        break;
                    };
                    let last = depth + 1 == path.len();
                    place = if last && !key {
                        place_of(entry)
                    } else {
                        entry.key_place
                    };
                    node = &entry.value;
                }
                Value::List(items) => {
                    let item = name
                        .as_ref()
                        .parse::<usize>()
                        .ok()
                        .and_then(|index| items.get(index));
                    let Some(item) = item else { break };
                    place = match &item.value {
                        Value::Scalar { .. } => item.place,
                        Value::Map(entries) => {
                            entries.first().map_or(item.place, |entry| entry.key_place)
                        }
                        Value::List(_) | Value::Refused | Value::Gone | Value::Placeholder => {
                            item.place
                        }
                    };
                    node = item;
                }
                Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => break,
            }
        }
        place
    }

    /// The text of the scalar at `path`, as it is written.
    fn written(&self, path: &[&str]) -> Option<&'a str> {
        let node = path
            .iter()
            .try_fold(self.root, |node, name| match &node.value {
                Value::List(items) => items.get(name.parse::<usize>().ok()?),
                Value::Map(_) => Some(&node.entry(name)?.value),
                Value::Scalar { .. } | Value::Refused | Value::Gone | Value::Placeholder => None,
            })?;
        match &node.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) | Value::Refused | Value::Gone | Value::Placeholder => {
                None
            }
        }
    }

    /// Refuses a value outside `least..=most`.
    pub fn within<V: PartialOrd + Display>(&mut self, path: &[&str], value: V, least: V, most: V) {
        if value < least || value > most {
            let field = shown(path);
            let message = match self.written(path) {
                Some(text) => format!("`{field}` cannot be {}", quoted(text)),
                None => format!("`{field}` cannot be {value}"),
            };
            let code = Code::OutOfRange;
            self.refuse(
                path,
                code,
                message,
                format!("it can be from {least} to {most}"),
            );
        }
    }

    /// Refuses a text that is empty, longer than `most` characters, or holds control characters.
    pub fn short_text(&mut self, path: &[&str], text: &str, most: usize) {
        let field = shown(path);
        if text.trim().is_empty() {
            self.refuse(
                path,
                Code::BadValue,
                format!("`{field}` is empty"),
                "write a text, or delete the line",
            );
        } else if text.chars().nth(most).is_some() {
            let message = format!("`{field}` is too long");
            self.refuse(
                path,
                Code::BadValue,
                message,
                format!("it can have at most {most} characters"),
            );
        } else if text.chars().any(char::is_control) {
            let message = format!("`{field}` holds a control character");
            self.refuse(
                path,
                Code::BadValue,
                message,
                "write it on one line of plain text",
            );
        }
    }

    /// Refuses a text that is not made of letters, digits, and `.`, `_`, `-` inside; at most 63 characters.
    pub fn label_text(&mut self, path: &[&str], text: &str) {
        if !is_label_text(text, 63, &['.', '_', '-']) {
            let (field, written) = (shown(path), quoted(text));
            self.refuse(
                path,
                Code::BadName,
                format!("`{field}` cannot be {written}"),
                "it is made of letters, digits, and `.`, `_`, `-` between them; at most 63 characters",
            );
        }
    }

    /// Refuses a text that is not a name like a job's.
    pub fn name(&mut self, path: &[&str], text: &str) {
        if !super::is_name(text) {
            let field = shown(path);
            let fitting = fitting_name(text);
            let help = "it is made of lower-case letters, digits and hyphens, begins with a letter and does not end with a \
                        hyphen; at most 63 characters";
            let help = match fitting {
                Some(name) => format!("{help}; `{name}` would do"),
                None => help.to_owned(),
            };
            self.refuse(
                path,
                Code::BadName,
                format!("`{field}` cannot be {}", quoted(text)),
                help,
            );
        }
    }
}

/// The name that a text becomes by the usual substitutions, if it becomes one.
fn fitting_name(text: &str) -> Option<String> {
    let name: String = text
        .trim()
        .chars()
        .take(64)
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_matches('-').to_owned();
    super::is_name(&name).then_some(name)
}

/// A path as people write it: `service.capacity`, `ports[0].name`.
fn shown(path: &[&str]) -> String {
    let mut shown = String::new();
    for name in path {
        if name.starts_with(|c: char| c.is_ascii_digit()) && !shown.is_empty() {
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

/// Whether a text is made of ASCII letters and digits, with `inner` characters between them only; 1 to `most` characters.
fn is_label_text(text: &str, most: usize, inner: &[char]) -> bool {
    text.len() <= most
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || inner.contains(&c))
}
