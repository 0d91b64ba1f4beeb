//! Aligned columns for people, and what a colour means.

use crate::cli::screen::{Screen, tame};
use muster_schemas::text::cut;
use std::fmt::Write;

/// What a cell's colour says. The word beside it says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing to say.
    Plain,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Somebody should look.
    Bad,
    /// Of little interest.
    Quiet,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Good => Some("32"),
            Tone::Busy => Some("33"),
            Tone::Bad => Some("31"),
            Tone::Quiet => Some("2"),
        }
    }

    /// The text in the tone's colour, where the reader sees colours.
    pub(super) fn paint(self, text: &str, color: bool) -> String {
        match self.code().filter(|_| color) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// One cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    /// A text; an empty one is shown as `-`, so that columns can be told apart by programs too.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        let text = tame(text.as_ref());
        Self {
            text: if text.is_empty() {
                "-".to_owned()
            } else {
                text
            },
            tone: Tone::Plain,
            right: false,
        }
    }

    /// A number: aligned right.
    pub(super) fn number(number: impl std::fmt::Display) -> Self {
        Self {
            text: number.to_string(),
            tone: Tone::Plain,
            right: true,
        }
    }

    /// The same in another tone.
    pub(super) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings. Each row has as many cells.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.heads.len(), "a cell for each heading");
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table's lines. Columns are as wide as their widest cell; on a terminal the last one is cut to what is left, except
    /// in the wide form.
    pub(super) fn render(&self, screen: &Screen) -> String {
        let length = |text: &str| text.chars().count();
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| length(&cell.text)).max().unwrap_or(0);
                widest.max(length(self.heads[column]))
            })
            .collect();
        let right = |column: usize| self.rows.first().is_some_and(|row| row[column].right);
        let heads = self.heads.iter().enumerate().map(|(column, head)| Cell {
            text: (*head).to_owned(),
            tone: Tone::Quiet,
            right: right(column),
        });
        let heads: Vec<Cell> = heads.collect();
        let last = self.heads.len().saturating_sub(1);
        let before_last: usize = widths.iter().take(last).map(|width| width + 2).sum();
        // Below this many columns a cut sentence says nothing.
        let room = screen
            .width
            .filter(|_| !screen.is_wide())
            .map(|width| width.saturating_sub(before_last).max(20));

        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                let shown = match room.filter(|_| column == last) {
                    Some(room) => cut(&cell.text, room),
                    None => cell.text.clone(),
                };
                let pad = " ".repeat(widths[column].saturating_sub(length(&shown)));
                let painted = cell.tone.paint(&shown, screen.color);
                // No blanks at the end of a line.
                let result = match (cell.right, column == last) {
                    (true, true) => write!(text, "{pad}{painted}"),
                    (true, false) => write!(text, "{pad}{painted}  "),
                    (false, true) => write!(text, "{painted}"),
                    (false, false) => write!(text, "{painted}{pad}  "),
                };
                result.expect("writing to a string cannot fail");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::screen::Format;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "N", "REASON"]);
        table.row(vec![
            Cell::text("wéb"),
            Cell::number(7),
            Cell::text("a\x1b[2Jb\nc").tone(Tone::Bad),
        ]);
        table.row(vec![
            Cell::text("nightly"),
            Cell::number(1234),
            Cell::text("").tone(Tone::Good),
        ]);
        table
    }

    fn screen(color: bool, width: Option<usize>) -> Screen {
        Screen {
            format: Format::Table,
            color,
            width,
        }
    }

    #[test]
    fn columns_are_aligned_and_texts_are_tame() {
        insta::assert_snapshot!(table().render(&screen(false, None)), @r"
        NAME        N  REASON
        wéb         7  a�[2Jb c
        nightly  1234  -
        ");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let plain = table().render(&screen(false, None));
        let mut painted = table().render(&screen(true, None));
        assert!(painted.contains("\x1b[31m"));
        for code in ["\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"] {
            painted = painted.replace(code, "");
        }
        assert_eq!(painted, plain);
    }

    #[test]
    fn a_terminal_cuts_the_last_column_only() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![Cell::text("x".repeat(30)), Cell::text("y".repeat(60))]);
        let text = table.render(&screen(false, Some(60)));
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line.chars().count(), 60);
        assert!(line.ends_with('…'));
    }
}
