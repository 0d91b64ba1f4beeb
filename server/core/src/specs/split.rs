//! A file's bytes as text, and the text as documents.

use super::report::{self, Code, Place, Problem};
use super::{MAX_FILE_BYTES, SpecFile};
use muster_schemas::plan::Diagnostic;

/// One document's text and the number of its first line in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub text: &'a str,
    pub first_line: u32,
}

/// One line without its break, and where the next one begins.
pub(super) struct Line<'a> {
    pub text: &'a str,
    pub start: usize,
    pub next: usize,
}

/// The lines of a text, by YAML's rule: they end with `\n`, `\r\n` or `\r`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let breaks = if rest[end..].starts_with("\r\n") {
            2
        } else {
            usize::from(end < rest.len())
        };
        let line = Line {
            text: &rest[..end],
            start,
            next: start + end + breaks,
        };
        start = line.next;
        Some(line)
    })
}

/// The file's text, without a byte order mark; or why it is none. `wrong_path` is what is wrong with its path, if anything.
pub(super) fn decode<'a>(
    file: &'a SpecFile,
    wrong_path: Option<&str>,
) -> Result<&'a str, Box<Diagnostic>> {
    let refused = |code, place, line: String, message: String, help: &str| {
        let problem = Problem {
            code,
            place,
            message,
            help: help.to_owned(),
        };
        Box::new(report::diagnostic(&file.path, line, problem, None))
    };
    let whole = Place::default();
    if let Some(why) = wrong_path {
        return Err(refused(
            Code::BadPath,
            whole,
            String::new(),
            format!("the file's path {why}"),
            "specs lie under the repository's root, at plain relative paths such as jobs/web.yaml",
        ));
    }
    if file.bytes.len() > MAX_FILE_BYTES {
        return Err(refused(
            Code::TooLarge,
            whole,
            String::new(),
            format!(
                "the file has {} bytes; at most {MAX_FILE_BYTES} (1 MiB) are read",
                file.bytes.len()
            ),
            "put the documents into several files",
        ));
    }
    let (known, bad_byte) = match std::str::from_utf8(&file.bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let known = std::str::from_utf8(&file.bytes[..error.valid_up_to()])
                .expect("it is valid up to there");
            (known, Some(file.bytes[error.valid_up_to()]))
        }
    };
    let nul = known.find('\0');
    let (stop, code, message, help) = match (nul, bad_byte) {
        (Some(nul), _) => (
            nul,
            Code::Binary,
            "the file holds a NUL byte, so it is no text".to_owned(),
            "a spec is YAML, saved as UTF-8 (not UTF-16); rename the file if it is not meant to be a spec",
        ),
        (None, Some(byte)) => (
            known.len(),
            Code::NotUtf8,
            format!("the file is not UTF-8: the byte 0x{byte:02x} cannot stand here"),
            "save the file as UTF-8",
        ),
        (None, None) => return Ok(known.strip_prefix('\u{feff}').unwrap_or(known)),
    };
    let before = &known[..stop];
    let mut line_number = 0;
    let mut last = "";
    for line in lines(before) {
        line_number += 1;
        last = line.text;
    }
    if before.ends_with(['\n', '\r']) || line_number == 0 {
        line_number += 1;
        last = "";
    }
    let column = u32::try_from(last.chars().count() + 1).unwrap_or(u32::MAX);
    let place = Place {
        line: line_number,
        column,
        width: 1,
    };
    let rest: String = String::from_utf8_lossy(&file.bytes[stop..file.bytes.len().min(stop + 200)])
        .chars()
        .take_while(|c| !matches!(c, '\n' | '\r'))
        .collect();
    Err(refused(
        code,
        place,
        report::readable(&format!("{last}{rest}")),
        message,
        help,
    ))
}

/// What is wrong with a path in a repository, as the end of a sentence.
pub(super) fn wrong_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("is empty")
    } else if path.starts_with('/') {
        Some("is absolute")
    } else if path.contains('\\') {
        Some("contains a backslash")
    } else if path.chars().any(char::is_control) {
        Some("contains a control character")
    } else if path.split('/').any(|part| part == "..") {
        Some("contains `..`")
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("contains an empty part or `.`")
    } else {
        None
    }
}

/// The documents of a text. A line that begins with `---` or `...` ends a document wherever it stands: YAML allows it
/// neither in quoted nor in block text. So a document can be cut out without being understood.
pub(super) fn documents(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut first_line = 1;
    let mut number = 0;
    let mut push = |start: usize, end: usize, first_line: u32| {
        if says_something(&text[start..end]) {
            chunks.push(Chunk {
                text: &text[start..end],
                first_line,
            });
        }
    };
    for line in lines(text) {
        number += 1;
        let Some(rest) = line.text.get(3..) else {
            continue;
        };
        if !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            continue;
        }
        match &line.text[..3] {
            "---" => {
                push(start, line.start, first_line);
                (start, first_line) = (line.start, number);
            }
            "..." => {
                push(start, line.start, first_line);
                (start, first_line) = (line.next, number + 1);
            }
            _ => {}
        }
    }
    push(start, text.len(), first_line);
    chunks
}

/// The value of `key` where a line begins with it: what can still be told of a document that does not parse.
pub(super) fn plain_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut values = lines(text).filter_map(|line| {
        let value = line.text.strip_prefix(key)?.strip_prefix(':')?;
        let value = value.split(" #").next().unwrap_or(value).trim();
        Some(value.trim_matches(['"', '\'']))
    });
    let value = values.next()?;
    // With two of them nothing says which one is meant.
    values.next().is_none().then_some(value)
}

/// Whether there is more than a marker, white space and comments: a file of a million empty documents costs nothing then.
fn says_something(text: &str) -> bool {
    let rest = text.strip_prefix("---").unwrap_or(text);
    lines(rest).any(|line| {
        let line = line.text.trim_start();
        !line.is_empty() && !line.starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(u32, &str)]) {
        let found: Vec<(u32, &str)> = documents(text)
            .iter()
            .map(|chunk| (chunk.first_line, chunk.text))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn documents_are_cut_at_their_markers() {
        check("", &[]);
        check("\n\n", &[]);
        check("---\n--- # nothing\n# nothing\n  # nothing\n...\n", &[]);
        check("a: 1\n", &[(1, "a: 1\n")]);
        check("a: 1\n---\nb: 2\n", &[(1, "a: 1\n"), (2, "---\nb: 2\n")]);
        check(
            "a: 1\r\n--- # next\r\nb: 2",
            &[(1, "a: 1\r\n"), (2, "--- # next\r\nb: 2")],
        );
        check("a: 1\n...\n\nb: 2\n", &[(1, "a: 1\n"), (3, "\nb: 2\n")]);
        check(
            "a: |\n  ---\n  ...\n----\n",
            &[(1, "a: |\n  ---\n  ...\n----\n")],
        );
    }

    #[test]
    fn a_name_can_be_told_without_parsing() {
        assert_eq!(
            plain_value("kind: Job\nname: web # the shop\n  x: [", "name"),
            Some("web")
        );
        assert_eq!(plain_value("name: 'web'", "name"), Some("web"));
        assert_eq!(plain_value("name: a\nname: b\n", "name"), None);
        assert_eq!(plain_value("ports:\n  - name: http\n", "name"), None);
    }
}
