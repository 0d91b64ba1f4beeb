//! Names and values below each other, in sections.

use crate::cli::rows;
use crate::cli::screen::{Screen, tame};
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::time::age;
use jiff::Timestamp;
use muster_schemas::api::EventView;
use muster_schemas::plan::{Diagnostic, FieldChange};

/// As wide as the longest name that is used, with two blanks.
const NAME_WIDTH: usize = 15;

/// A description that grows line by line.
pub(in crate::cli) struct Sheet {
    text: String,
    color: bool,
}

impl Sheet {
    pub(in crate::cli) fn new(color: bool) -> Self {
        Self {
            text: String::new(),
            color,
        }
    }

    /// A name and its value. Empty values are left out: absence needs no line.
    pub(in crate::cli) fn field(&mut self, name: &str, value: impl AsRef<str>) {
        self.field_in(name, value, Tone::Plain);
    }

    pub(in crate::cli) fn field_in(&mut self, name: &str, value: impl AsRef<str>, tone: Tone) {
        let value = tame(value.as_ref());
        if value.is_empty() {
            return;
        }
        let value = tone.paint(&value, self.color);
        self.text.push_str(&format!("{name:<NAME_WIDTH$}{value}\n"));
    }

    pub(in crate::cli) fn section(&mut self, title: &str) {
        self.text.push_str(&format!("\n{title}\n"));
    }

    /// A line in a section.
    pub(in crate::cli) fn line(&mut self, line: &str, tone: Tone) {
        let line = tone.paint(&tame(line), self.color);
        self.text.push_str(&format!("  {line}\n"));
    }

    /// A table in a section.
    pub(in crate::cli) fn table(&mut self, table: &Table, screen: &Screen) {
        let narrower = Screen {
            width: screen.width.map(|width| width.saturating_sub(2)),
            ..*screen
        };
        for line in table.render(&narrower).lines() {
            self.text.push_str(&format!("  {line}\n"));
        }
    }

    pub(in crate::cli) fn diagnostics(&mut self, diagnostics: &[Diagnostic]) {
        for one in diagnostics {
            let place = match (one.line, one.column) {
                (0, _) => one.path.clone(),
                (line, 0) => format!("{}:{line}", one.path),
                (line, column) => format!("{}:{line}:{column}", one.path),
            };
            self.line(&format!("{place}: {}", one.message), Tone::Bad);
            if !one.help.is_empty() {
                self.line(&format!("  {}", one.help), Tone::Plain);
            }
        }
    }

    pub(in crate::cli) fn changes(&mut self, fields: &[FieldChange]) {
        for field in fields {
            self.line(&format!("  {}", field.line()), Tone::Plain);
        }
    }

    /// The latest events of one task, oldest first.
    pub(in crate::cli) fn events(&mut self, events: &[EventView], now: Timestamp, screen: &Screen) {
        self.event_table(events, false, now, screen);
    }

    /// The latest events of something with several tasks, oldest first, each with what it is about.
    pub(in crate::cli) fn events_of_tasks(
        &mut self,
        events: &[EventView],
        now: Timestamp,
        screen: &Screen,
    ) {
        self.event_table(events, true, now, screen);
    }

    fn event_table(&mut self, events: &[EventView], about: bool, now: Timestamp, screen: &Screen) {
        if events.is_empty() {
            return;
        }
        self.section("Latest events");
        let mut heads = vec!["AGE", "ACTOR", "WHAT"];
        if about {
            heads.insert(2, "ABOUT");
        }
        let mut table = Table::new(&heads);
        for event in events {
            let mut cells = vec![
                Cell::text(age(now, event.at)),
                Cell::text(&event.actor),
                Cell::text(&event.text),
            ];
            if about {
                cells.insert(2, Cell::text(rows::about(event)));
            }
            table.row(cells);
        }
        self.table(&table, screen);
    }

    pub(in crate::cli) fn tasks(
        &mut self,
        tasks: &[muster_schemas::api::TaskView],
        now: Timestamp,
        screen: &Screen,
    ) {
        if tasks.is_empty() {
            return;
        }
        self.section("Tasks");
        let table = rows::tasks(tasks, now, screen.is_wide());
        self.table(&table, screen);
    }

    pub(in crate::cli) fn finish(self) -> String {
        self.text
    }
}

/// A JSON object as `key value, key value`, for resources.
pub(super) fn pairs(value: &serde_json::Value) -> String {
    let Some(object) = value.as_object() else {
        return String::new();
    };
    let word = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let pairs: Vec<String> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| format!("{key} {}", word(value)))
        .collect();
    pairs.join(", ")
}
