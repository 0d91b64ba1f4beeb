//! One document as a tree of nodes that know their place.
//!
//! This is YAML less what a spec has no use for: anchors, aliases, merge keys, tags and directives are told and not read,
//! so a document is never larger than its text.

use super::report::{Code, Place, Problem, quoted};
use super::split::Chunk;
use super::syntax;
use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};
use std::collections::BTreeMap;

/// How deep collections may lie in each other. The deepest place of a spec is some five deep; the bound keeps everything
/// that walks a tree off the end of the stack.
const MAX_DEPTH: usize = 16;

/// So many values may be in one document: a job with as many variables and labels as are allowed has a tenth of it.
const MAX_NODES: usize = 20_000;

/// So many problems of one document are told at once.
pub(super) const MAX_PROBLEMS: usize = 20;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A text, a number, or nothing; `plain` if it stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// What was refused already, such as an alias.
    Refused,
    /// An item of a list that was refused and told of. It keeps its place, so that the others keep their index.
    Gone,
    /// Stands for a required value that is missing or was refused, so that the rest can be read and checked.
    Placeholder,
}

/// A field of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

/// What a plain scalar means, by YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    Nothing,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// What a scalar that stands without quotes means.
pub(super) fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Nothing,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Only what begins like a number is one; the float parser below knows words such as `nan` too.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Meaning::Text;
    }
    if let Some(hex) = text.strip_prefix("0x")
        && let Ok(number) = u64::from_str_radix(hex, 16)
    {
        return Meaning::Unsigned(number);
    }
    if let Some(octal) = text.strip_prefix("0o")
        && let Ok(number) = u64::from_str_radix(octal, 8)
    {
        return Meaning::Unsigned(number);
    }
    if let Ok(number) = text.parse::<u64>() {
        return Meaning::Unsigned(number);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Meaning::Signed(number);
    }
    match text.parse::<f64>() {
        Ok(number) => Meaning::Float(number),
        Err(_) => Meaning::Text,
    }
}

impl Node {
    fn new(place: Place, value: Value) -> Self {
        Self { place, value }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. }
            | Value::List(_)
            | Value::Refused
            | Value::Gone
            | Value::Placeholder => &[],
        }
    }

    /// A mapping's entry of that key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The text of a scalar that is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain } if !*plain || meaning(text) == Meaning::Text => {
                Some(text)
            }
            Value::Scalar { .. }
            | Value::List(_)
            | Value::Map(_)
            | Value::Refused
            | Value::Gone
            | Value::Placeholder => None,
        }
    }
}

/// What parsing gives: the root, unless the document is empty or cannot be parsed, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub root: Option<Node>,
    pub problems: Vec<Problem>,
}

/// A collection that is being read.
enum Open {
    List {
        place: Place,
        refused: bool,
        items: Vec<Node>,
    },
    Map {
        place: Place,
        refused: bool,
        entries: Vec<Entry>,
        /// The lines of the keys so far. A map, because comparing each key with all others takes seconds on a large file.
        seen: BTreeMap<String, u32>,
        key: Option<Key>,
    },
}

/// A key whose value is awaited; `name` is none where the entry has to be left out.
struct Key {
    name: Option<String>,
    place: Place,
}

/// Parses one document.
pub(super) fn parse(chunk: Chunk<'_>) -> Parsed {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
    };
    let mut builder = Builder {
        first_line: chunk.first_line,
        open: Vec::new(),
        root: None,
        nodes: 0,
        problems: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(chunk.text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(Box::new(syntax::problem(&error, chunk))),
        };
        // What comes after so many is not worth its memory: an alias takes three bytes.
        if builder.problems.len() >= MAX_PROBLEMS {
            return Parsed {
                root: None,
                problems: builder.problems,
            };
        }
        if let Err(problem) = step {
            builder.problems.push(*problem);
            return Parsed {
                root: None,
                problems: builder.problems,
            };
        }
    }
    Parsed {
        root: builder.root,
        problems: builder.problems,
    }
}

struct Builder {
    first_line: u32,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Problem>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        let place = place(span, self.first_line);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let refused = self.decorated(place, span, anchor, tag.is_some())?;
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                let value = if refused {
                    Value::Refused
                } else {
                    Value::Scalar { text, plain }
                };
                self.put(Node::new(place, value));
            }
            Event::SequenceStart(_, anchor, tag) => {
                let refused = self.decorated(place, span, anchor, tag.is_some())?;
                self.deeper(place)?;
                self.open.push(Open::List {
                    place,
                    refused,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(_, anchor, tag) => {
                let refused = self.decorated(place, span, anchor, tag.is_some())?;
                self.deeper(place)?;
                self.open.push(Open::Map {
                    place,
                    refused,
                    entries: Vec::new(),
                    seen: BTreeMap::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (place, refused, value) = match self.open.pop() {
                    Some(Open::List {
                        place,
                        refused,
                        items,
                    }) => (place, refused, Value::List(items)),
                    Some(Open::Map {
                        place,
                        refused,
                        entries,
                        ..
                    }) => (place, refused, Value::Map(entries)),
                    None => return Ok(()),
                };
                self.put(Node::new(
                    place,
                    if refused { Value::Refused } else { value },
                ));
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.count(place)?;
                self.tell(
                    Code::Alias,
                    place,
                    "aliases are not read".to_owned(),
                    "write the value itself here: a spec says everything where it stands",
                );
                self.put(Node::new(place, Value::Refused));
            }
            // Nothing of a spec: the stream's and the documents' own marks.
            Event::DocumentStart(..) if self.root.is_some() => {
                return Err(Box::new(Problem {
                    code: Code::Syntax,
                    place,
                    message: "another document begins here, and is not told from the one before"
                        .to_owned(),
                    help: "put `---` alone on the line between two documents".to_owned(),
                }));
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..) => {}
            // The parser's enum may grow; whatever else it tells carries no value.
            _ => {}
        }
        Ok(())
    }

    /// Counts a node, and tells of an anchor or a tag on it; then the node is refused.
    fn decorated(
        &mut self,
        place: Place,
        span: Span,
        anchor: usize,
        tagged: bool,
    ) -> Result<bool, Box<Problem>> {
        self.count(place)?;
        if anchor != 0 {
            self.tell(
                Code::Alias,
                place,
                "anchors are not read".to_owned(),
                "delete the `&name`, and write the value itself wherever `*name` stands",
            );
        }
        if tagged {
            let place = span
                .tag_span()
                .map_or(place, |tag| self::place(tag, self.first_line));
            self.tell(
                Code::Tag,
                place,
                "YAML tags are not read".to_owned(),
                "delete the `!…`; a field's type is known without it",
            );
        }
        Ok(anchor != 0 || tagged)
    }

    fn count(&mut self, place: Place) -> Result<(), Box<Problem>> {
        self.nodes += 1;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(Box::new(Problem {
            code: Code::TooManyNodes,
            place,
            message: format!("the document holds more than {MAX_NODES} values"),
            help: "no spec needs as many; split it, or check how it was generated".to_owned(),
        }))
    }

    fn deeper(&self, place: Place) -> Result<(), Box<Problem>> {
        if self.open.len() < MAX_DEPTH {
            return Ok(());
        }
        Err(Box::new(too_deep(place)))
    }

    fn tell(&mut self, code: Code, place: Place, message: String, help: &str) {
        self.problems.push(Problem {
            code,
            place,
            message,
            help: help.to_owned(),
        });
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                entries, seen, key, ..
            }) => match key.take() {
                Some(Key {
                    name: Some(name),
                    place,
                }) => {
                    entries.push(Entry {
                        key: name,
                        key_place: place,
                        value: node,
                    });
                }
                Some(Key { name: None, .. }) => {}
                None => {
                    let (read, problem) = read_key(node, seen);
                    *key = Some(read);
                    self.problems.extend(problem);
                }
            },
        }
    }
}

/// Reads a node as a key of a mapping whose keys so far are `seen`.
fn read_key(node: Node, seen: &mut BTreeMap<String, u32>) -> (Key, Option<Problem>) {
    let place = node.place;
    let left_out = |problem| (Key { name: None, place }, problem);
    let problem = |code, message: String, help: &str| Problem {
        code,
        place,
        message,
        help: help.to_owned(),
    };
    match node.value {
        Value::Scalar { text, .. } => {
            if text == "<<" {
                return left_out(Some(problem(
                    Code::Alias,
                    "merge keys are not read".to_owned(),
                    "write the fields themselves here",
                )));
            }
            if let Some(first) = seen.get(&text) {
                let message = format!("{} is written twice", quoted(&text));
                let help = format!("it stands on line {first} already: keep one of them");
                return left_out(Some(problem(Code::DuplicateKey, message, &help)));
            }
            seen.insert(text.clone(), place.line);
            (
                Key {
                    name: Some(text),
                    place,
                },
                None,
            )
        }
        // It has been told already.
        Value::Refused | Value::Gone => left_out(None),
        Value::List(_) | Value::Map(_) | Value::Placeholder => left_out(Some(problem(
            Code::BadKey,
            "a list or mapping stands where a field's name is expected".to_owned(),
            "write `name: value`; text that begins with `[` or `{` has to be put in quotes",
        ))),
    }
}

pub(super) fn place(span: Span, first_line: u32) -> Place {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let width = if span.start.line() == span.end.line() {
        small(span.end.col().saturating_sub(span.start.col()))
    } else {
        0
    };
    Place {
        line: first_line.saturating_add(small(span.start.line().saturating_sub(1))),
        column: small(span.start.col()).saturating_add(1),
        width,
    }
}

pub(super) fn too_deep(place: Place) -> Problem {
    Problem {
        code: Code::TooDeep,
        place,
        message: format!("lists and mappings lie in each other more than {MAX_DEPTH} deep here"),
        help: "no field of a spec lies as deep; look for brackets that are not closed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_mean_what_yaml_1_2_says() {
        for (text, expect) in [
            ("", Meaning::Nothing),
            ("null", Meaning::Nothing),
            ("true", Meaning::Bool(true)),
            ("yes", Meaning::Text),
            ("on", Meaning::Text),
            ("12", Meaning::Unsigned(12)),
            ("-3", Meaning::Signed(-3)),
            ("0x1F", Meaning::Unsigned(31)),
            ("0o17", Meaning::Unsigned(15)),
            ("0.5", Meaning::Float(0.5)),
            ("1e3", Meaning::Float(1000.0)),
            ("nan", Meaning::Text),
            ("infinity", Meaning::Text),
            ("1.2.3", Meaning::Text),
            ("256MiB", Meaning::Text),
            ("2026-11-23", Meaning::Text),
        ] {
            assert_eq!(meaning(text), expect, "{text}");
        }
    }
}
