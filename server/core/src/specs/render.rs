//! A diagnostic as people see it.

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};
use muster_schemas::plan::Diagnostic;
use std::fmt;

/// How a diagnostic is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Frames and colours, for a terminal of that many columns.
    Terminal {
        /// The terminal's width.
        columns: usize,
        /// Whether it shows colours.
        colour: bool,
    },
    /// Plain text whose first line is `path:line:column: message`, for files, pipes and hooks.
    Plain,
}

/// Shows a diagnostic: what, where, the line itself, and what was expected. Ends with a line break.
pub fn render(diagnostic: &Diagnostic, look: Look) -> String {
    match look {
        Look::Plain => plain(diagnostic),
        Look::Terminal { columns, colour } => {
            let theme = if colour {
                GraphicalTheme::unicode()
            } else {
                GraphicalTheme::unicode_nocolor()
            };
            let mut shown = String::new();
            // Below some 40 columns nothing can be laid out.
            let handler = GraphicalReportHandler::new_themed(theme)
                .with_width(columns.max(40))
                .with_links(false);
            match handler.render_report(&mut shown, &Report::new(diagnostic)) {
                Ok(()) => shown,
                // A text that cannot be laid out is still to be read.
                Err(fmt::Error) => plain(diagnostic),
            }
        }
    }
}

fn plain(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        code,
        path,
        line,
        column,
        source_line,
        message,
        help,
        ..
    } = diagnostic;
    let mut shown = path.clone();
    for number in [line, column] {
        if *number > 0 {
            shown.push_str(&format!(":{number}"));
        }
    }
    shown.push_str(&format!(": {message} [{code}]\n"));
    if *line > 0 && !source_line.is_empty() {
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        shown.push_str(&format!("  {number} | {source_line}\n"));
        if *column > 0 {
            let (before, marked) = span(diagnostic);
            // Tabs are kept, so that the marks stand under what they mean.
            let indent: String = source_line[..before]
                .chars()
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let width = source_line[before..before + marked].chars().count().max(1);
            shown.push_str(&format!("  {gutter} | {indent}{}\n", "^".repeat(width)));
        }
    }
    if !help.is_empty() {
        shown.push_str(&format!("  help: {help}\n"));
    }
    shown
}

/// The marked part of the source line, in bytes: where it begins and how long it is.
fn span(diagnostic: &Diagnostic) -> (usize, usize) {
    let line = &diagnostic.source_line;
    let start = line
        .char_indices()
        .nth(diagnostic.column.saturating_sub(1) as usize)
        .map_or(line.len(), |(offset, _)| offset);
    let rest = &line[start..];
    let length = match diagnostic.width {
        0 => rest.trim_end().len(),
        width => rest
            .char_indices()
            .nth(width as usize)
            .map_or(rest.len(), |(offset, _)| offset),
    };
    (start, length)
}

/// A diagnostic in miette's terms. It has the one line that it is about, not the file.
#[derive(Debug)]
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    label: Option<LabeledSpan>,
}

impl<'a> Report<'a> {
    fn new(diagnostic: &'a Diagnostic) -> Self {
        let label = (diagnostic.line > 0).then(|| {
            let (start, length) = span(diagnostic);
            LabeledSpan::new_primary_with_span(None, (start, length))
        });
        Self { diagnostic, label }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.label.is_none() {
            write!(f, "{}: ", self.diagnostic.path)?;
        }
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(&self.diagnostic.code))
    }
    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let help = &self.diagnostic.help;
        (!help.is_empty()).then(|| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.label.as_ref().map(|_| self as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = self.label.clone()?;
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Report<'_> {
    fn read_span<'b>(
        &'b self,
        _: &SourceSpan,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let line = self.diagnostic.source_line.as_bytes();
        Ok(Box::new(MietteSpanContents::new_named(
            self.diagnostic.path.clone(),
            line,
            (0, line.len()).into(),
            self.diagnostic.line.saturating_sub(1) as usize,
            self.diagnostic.column.saturating_sub(1) as usize,
            1,
        )))
    }
}
