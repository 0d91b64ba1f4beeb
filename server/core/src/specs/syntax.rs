//! The YAML parser's errors in words for people: what is wrong with the line, and what to do about it.

use super::report::{Code, Place, Problem, quoted};
use super::split::Chunk;
use super::tree::{place, too_deep};
use serde_saphyr::granit_parser::{ErrorKind, ScanError, Span};

/// The problem that an error of the parser is.
pub(super) fn problem(error: &ScanError, chunk: Chunk<'_>) -> Problem {
    let at = place(Span::empty(*error.marker()), chunk.first_line);
    let at = Place { width: 1, ..at };
    let (code, message, help): (Code, String, &str) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return too_deep(at),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar
        | ErrorKind::InvalidBlockEntryWhitespace
        | ErrorKind::InvalidMappingValueWhitespace => (
            Code::Tab,
            "a tab stands where YAML wants spaces".to_owned(),
            "indent with spaces, two for each level",
        ),
        ErrorKind::DirectiveDisallowed => (
            Code::Syntax,
            "lines that begin with `%` (YAML directives) are not read".to_owned(),
            "delete the line",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => (
            Code::Syntax,
            "a quoted text has no end".to_owned(),
            "put the closing quote; inside double quotes, write `\\\"` for a quote",
        ),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => (
            Code::Syntax,
            "the brackets do not match".to_owned(),
            "close each `[` with `]` and each `{` with `}`; put text that holds one of them in quotes",
        ),
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => (
            Code::Syntax,
            "a comma or a closing bracket is expected here".to_owned(),
            "put a comma between the items, and close each bracket; put text that holds one of them in quotes",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            Code::Syntax,
            "a `:` is missing".to_owned(),
            "write `name: value`, with a space after the colon; check that the line is indented like its neighbours",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::MappingKeyNotAllowed => (
            Code::Syntax,
            "a `name: value` cannot stand here".to_owned(),
            "check the indentation of this line and the one before it; put text that holds `: ` in quotes",
        ),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence => (
            Code::Syntax,
            "this line is not indented like its neighbours".to_owned(),
            "fields of one mapping begin in one column, and so do the dashes of one list",
        ),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => (
            Code::Syntax,
            "a control character cannot stand here".to_owned(),
            "delete it, or write it as an escape in double quotes, such as \"\\x1b\"",
        ),
        ErrorKind::UnexpectedCharacter { character } => (
            Code::Syntax,
            format!(
                "a value cannot begin with {}",
                quoted(&character.to_string())
            ),
            "put the value in quotes",
        ),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => (
            Code::Syntax,
            "this escape is not known".to_owned(),
            "inside double quotes, write `\\\\` for a backslash, or use single quotes",
        ),
        other => (
            Code::Syntax,
            format!("this is not YAML: {other}"),
            "check the indentation, quotes and brackets around this line",
        ),
    };
    Problem {
        code,
        place: at,
        message,
        help: help.to_owned(),
    }
}
