//! Where output goes, and in which form.

use std::io::{self, IsTerminal, Write};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutputArgs {
    /// How to show what is asked for
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    output: Format,
    /// Show states without colour (so does NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Aligned columns for people
    Table,
    /// The same with more columns
    Wide,
    /// JSON for programs: the object as the API answers it; of lists the items of all pages, as one array
    Json,
}

/// What is known of the reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub(super) format: Format,
    pub(super) color: bool,
    /// The terminal's columns; none where the reader is no terminal: then nothing is cut.
    pub(super) width: Option<usize>,
}

impl Screen {
    pub(super) fn new(args: &OutputArgs) -> Self {
        let terminal = io::stdout().is_terminal();
        let unwanted =
            args.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = || rustix::termios::tcgetwinsize(io::stdout()).ok();
        Self {
            format: args.output,
            color: terminal && !unwanted,
            width: terminal
                .then(width)
                .flatten()
                .map(|size| usize::from(size.ws_col))
                .filter(|columns| *columns > 0),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(super) fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }
}

/// Writes to standard output; an error is told to the caller instead of a panic.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes JSON to standard output, indented.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)?;
    Ok(())
}

/// The text in one line and without control characters: names and reasons come from files and containers of other people,
/// and must not steer the terminal.
pub(super) fn tame(text: &str) -> String {
    muster_schemas::text::one_line(text)
}
