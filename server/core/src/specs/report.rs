//! How a problem becomes a diagnostic: its place in the file and the line that it is about.

use muster_schemas::ids::JobId;
use muster_schemas::plan::Diagnostic;
use std::cell::OnceCell;

/// A source line is cut to so many characters: what fits on a wide terminal.
const MAX_LINE_CHARS: usize = 160;

/// The stable words for what can be wrong. They are part of the interface: people search for them and pipelines match them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each one's word says it")]
pub enum Code {
    BadPath,
    TooLarge,
    Binary,
    NotUtf8,
    EmptyFile,
    TooManyProblems,
    Syntax,
    Tab,
    Alias,
    Tag,
    TooDeep,
    TooManyNodes,
    DuplicateKey,
    BadKey,
    NotADocument,
    WrongVersion,
    UnknownKind,
    MissingField,
    UnknownField,
    UnknownWord,
    WrongType,
    BadValue,
    BadName,
    BadImage,
    OutOfRange,
    Contradiction,
    Reserved,
    UnknownPort,
    DuplicateValue,
    DuplicateName,
    SecondPolicy,
    UnknownJob,
    DependencyCycle,
}

/// The word of [`Code::EmptyFile`], which says less than others: that there is nothing to read.
pub const EMPTY_FILE: &str = "empty-file";

impl Code {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadPath => "bad-path",
            Code::TooLarge => "too-large",
            Code::Binary => "binary",
            Code::NotUtf8 => "not-utf8",
            Code::EmptyFile => EMPTY_FILE,
            Code::TooManyProblems => "too-many-problems",
            Code::Syntax => "syntax",
            Code::Tab => "tab",
            Code::Alias => "alias",
            Code::Tag => "tag",
            Code::TooDeep => "too-deep",
            Code::TooManyNodes => "too-many-values",
            Code::DuplicateKey => "duplicate-key",
            Code::BadKey => "bad-key",
            Code::NotADocument => "not-a-document",
            Code::WrongVersion => "wrong-version",
            Code::UnknownKind => "unknown-kind",
            Code::MissingField => "missing-field",
            Code::UnknownField => "unknown-field",
            Code::UnknownWord => "unknown-word",
            Code::WrongType => "wrong-type",
            Code::BadValue => "bad-value",
            Code::BadName => "bad-name",
            Code::BadImage => "bad-image",
            Code::OutOfRange => "out-of-range",
            Code::Contradiction => "contradiction",
            Code::Reserved => "reserved",
            Code::UnknownPort => "unknown-port",
            Code::DuplicateValue => "duplicate-value",
            Code::DuplicateName => "duplicate-name",
            Code::SecondPolicy => "second-policy",
            Code::UnknownJob => "unknown-job",
            Code::DependencyCycle => "dependency-cycle",
        }
    }
}

/// Where in a file: the line and column from 1 (0: all of it), and how many characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
    pub width: u32,
}

/// Something wrong, before the file's path and text are put to it.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub code: Code,
    pub place: Place,
    pub message: String,
    pub help: String,
}

/// A file's text, from which lines are taken once there is something to say about one.
pub(super) struct Source<'a> {
    path: &'a str,
    text: &'a str,
    lines: OnceCell<Vec<&'a str>>,
}

impl<'a> Source<'a> {
    pub fn new(path: &'a str, text: &'a str) -> Self {
        Self {
            path,
            text,
            lines: OnceCell::new(),
        }
    }

    /// The line of that number, from 1, cut to a readable length.
    pub fn line(&self, number: u32) -> String {
        let lines = self.lines.get_or_init(|| {
            super::split::lines(self.text)
                .map(|line| line.text)
                .collect()
        });
        let line = (number as usize)
            .checked_sub(1)
            .and_then(|index| lines.get(index))
            .copied()
            .unwrap_or_default();
        readable(line)
    }

    pub fn diagnostic(&self, problem: Problem, job: Option<JobId>) -> Diagnostic {
        diagnostic(self.path, self.line(problem.place.line), problem, job)
    }
}

/// A line as it can be shown: cut, and with nothing in it that a terminal would obey.
pub(super) fn readable(line: &str) -> String {
    let mut shown: String = line
        .chars()
        .take(MAX_LINE_CHARS)
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if line.chars().nth(MAX_LINE_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

pub(super) fn diagnostic(
    path: &str,
    source_line: String,
    problem: Problem,
    job: Option<JobId>,
) -> Diagnostic {
    Diagnostic {
        code: problem.code.as_str().to_owned(),
        path: readable(path),
        line: problem.place.line,
        column: problem.place.column,
        source_line,
        width: problem.place.width,
        message: problem.message,
        help: problem.help,
        job,
    }
}

/// A value as a message quotes it: on one line, and short.
pub(super) fn quoted(text: &str) -> String {
    /// Long enough to know the value again.
    const MAX_QUOTED_CHARS: usize = 60;
    let mut shown: String = text
        .chars()
        .take(MAX_QUOTED_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
