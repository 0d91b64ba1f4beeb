//! Texts of other people on one line, and what a plan changes in such lines: the command line and the console show the same.

use crate::api::{JobChangeView, PlanView};
use crate::plan::FieldChange;

/// A changed value longer than this is better read in the plan's JSON.
const MAX_VALUE: usize = 60;

/// The text in one line and without control characters: names and reasons come from files and containers of other people,
/// and must not steer the terminal.
pub fn one_line(text: &str) -> String {
    let tame = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.trim_end().chars().map(tame).collect()
}

/// The text in at most `room` characters.
pub fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}

impl FieldChange {
    /// The change in a line, such as `service.capacity.desired: 2 -> 3`.
    pub fn line(&self) -> String {
        let word = |value: &Option<serde_json::Value>| match value {
            None => "(none)".to_owned(),
            Some(serde_json::Value::String(text)) => cut(text, MAX_VALUE),
            Some(value) => cut(&value.to_string(), MAX_VALUE),
        };
        let line = format!("{}: {} -> {}", self.path, word(&self.from), word(&self.to));
        one_line(&line)
    }
}

impl JobChangeView {
    /// The change in lines: what is done to how many tasks, a line for each field, and a line for each note.
    pub fn lines(&self) -> Vec<String> {
        let mut counts = Vec::new();
        for (count, word) in [
            (self.starts, "start"),
            (self.stops, "stop"),
            (self.replaces, "replace"),
        ] {
            if count > 0 {
                counts.push(format!("{word} {count}"));
            }
        }
        let counts = match counts.is_empty() {
            true => String::new(),
            false => format!(" ({})", counts.join(", ")),
        };
        let mut lines = vec![one_line(&format!("{} {}{counts}", self.action, self.job))];
        lines.extend(
            self.fields
                .iter()
                .map(|field| format!("  {}", field.line())),
        );
        lines.extend(
            self.notes
                .iter()
                .map(|note| one_line(&format!("  note: {note}"))),
        );
        lines
    }
}

impl PlanView {
    /// What it changes, as `muster plan` and `muster describe plan` write it below `Changes`.
    pub fn changes_text(&self) -> String {
        let mut text = String::new();
        for line in self.changes.iter().flat_map(JobChangeView::lines) {
            text.push_str("  ");
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_told_in_lines_that_nobody_can_break() {
        let field = |path: &str, from, to| FieldChange {
            path: path.to_owned(),
            from,
            to,
        };
        let change = JobChangeView {
            job: "web".to_owned(),
            action: "update".to_owned(),
            fields: vec![
                field("service.capacity.desired", Some(json!(2)), Some(json!(3))),
                field("env.TEXT", None, Some(json!("one\ntwo\u{1b}[2J"))),
                field("labels", Some(json!({"a": "b"})), None),
                field("image", None, Some(json!("x".repeat(100)))),
            ],
            starts: 1,
            stops: 0,
            replaces: 2,
            notes: vec!["its disk is not moved".to_owned()],
        };
        let image = format!("  image: (none) -> {}…", "x".repeat(59));
        assert_eq!(
            change.lines(),
            [
                "update web (start 1, replace 2)",
                "  service.capacity.desired: 2 -> 3",
                "  env.TEXT: (none) -> one two\u{fffd}[2J",
                "  labels: {\"a\":\"b\"} -> (none)",
                image.as_str(),
                "  note: its disk is not moved",
            ]
        );
    }
}
