//! The lines of a log as the console keeps them: bounded, and without duplicates after a reconnect.

use jiff::Timestamp;
use muster_schemas::wire::LogLine;
use std::collections::VecDeque;

/// The most lines that are kept. More would make the page slow and nobody scrolls through them; `muster logs` and the
/// API give all.
pub const MOST: usize = 5_000;

/// The last lines of a log.
#[derive(Debug, Default)]
pub struct Lines {
    kept: VecDeque<LogLine>,
    /// After a reconnect: the lines of the last instant seen, which the server sends again because it is asked for all
    /// since that instant. Each is crossed out once.
    again: Option<(Timestamp, Vec<LogLine>)>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was kept.
    Kept,
    /// It was kept, and the oldest one was let go.
    KeptForOldest,
    /// It was there already.
    Known,
}

impl Lines {
    /// The lines, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &LogLine> {
        self.kept.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// The instant from which a broken stream is to be resumed; none while there is no line.
    pub fn since(&self) -> Option<Timestamp> {
        self.kept.back().map(|line| line.at)
    }

    /// The stream begins again at [`Lines::since`]: what it repeats is to be left out.
    pub fn resume(&mut self) {
        self.again = self.since().map(|last| {
            let repeated = self
                .kept
                .iter()
                .rev()
                .take_while(|line| line.at == last)
                .cloned()
                .collect();
            (last, repeated)
        });
    }

    /// Takes a line.
    pub fn take(&mut self, line: LogLine) -> Taken {
        if let Some((last, repeated)) = &mut self.again {
            if line.at < *last {
                return Taken::Known;
            }
            if line.at == *last {
                if let Some(place) = repeated.iter().position(|one| *one == line) {
                    repeated.swap_remove(place);
                    return Taken::Known;
                }
            } else {
                self.again = None;
            }
        }
        self.kept.push_back(line);
        if self.kept.len() > MOST {
            self.kept.pop_front();
            Taken::KeptForOldest
        } else {
            Taken::Kept
        }
    }
}

/// Whether a line is shown under a filter: it holds every word, in any letter case.
pub fn matches(line: &LogLine, filter: &str) -> bool {
    if filter.trim().is_empty() {
        return true;
    }
    let text = line.text.to_lowercase();
    filter
        .to_lowercase()
        .split_whitespace()
        .all(|word| text.contains(word))
}

/// The lines as text, each with its time: what is copied and downloaded.
pub fn text<'a>(lines: impl Iterator<Item = &'a LogLine>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("{} {}\n", line.at, line.text));
    }
    text
}

/// A line without the escape sequences with which programs colour their output on terminals.
pub fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        if characters.next_if_eq(&'[').is_some() {
            // Parameters, then one final byte from `@` to `~`.
            for one in characters.by_ref() {
                if ('@'..='~').contains(&one) {
                    break;
                }
            }
        } else {
            characters.next();
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_schemas::wire::LogStream;

    fn line(second: i64, text: &str) -> LogLine {
        LogLine {
            at: Timestamp::from_second(second).expect("in range"),
            stream: LogStream::Stdout,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_resumed_stream_repeats_nothing_and_loses_nothing() {
        let sent = [
            line(1, "a"),
            line(2, "b"),
            line(2, "b"),
            line(2, "c"),
            line(2, "b"),
            line(3, "d"),
        ];
        // Wherever the stream breaks, it is resumed from the last instant, and the result is the same.
        for cut in 1..=sent.len() {
            let mut lines = Lines::default();
            for one in &sent[..cut] {
                lines.take(one.clone());
            }
            let since = lines.since().expect("there are lines");
            lines.resume();
            for one in sent.iter().filter(|one| one.at >= since) {
                lines.take(one.clone());
            }
            assert!(lines.all().eq(sent.iter()), "cut after {cut}: {lines:?}");
        }
    }

    #[test]
    fn the_oldest_line_goes_when_there_are_too_many() {
        let mut lines = Lines::default();
        for second in 0..MOST as i64 {
            assert_eq!(lines.take(line(second, "x")), Taken::Kept);
        }
        assert_eq!(lines.take(line(MOST as i64, "y")), Taken::KeptForOldest);
        assert_eq!(lines.count(), MOST);
        assert_eq!(lines.all().next(), Some(&line(1, "x")));
    }

    #[test]
    fn a_filter_wants_all_of_its_words() {
        let one = line(0, "GET /cart 200 OK");
        assert!(matches(&one, ""));
        assert!(matches(&one, "cart get"));
        assert!(!matches(&one, "cart 500"));
    }

    #[test]
    fn colours_are_left_out() {
        assert_eq!(
            without_escapes("\u{1b}[31;1mred\u{1b}[0m plain"),
            "red plain"
        );
        assert_eq!(without_escapes("\u{1b}["), "");
        assert_eq!(without_escapes("\u{1b}"), "");
        assert_eq!(without_escapes("\u{1b}(Bx"), "Bx");
    }
}
