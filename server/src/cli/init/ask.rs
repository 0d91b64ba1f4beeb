//! The conversation: a question with its default, an answer, and what is wrong with it.

use super::document::{Answers, Field};
use crate::cli::failure::Failure;
use std::io::{self, BufRead, Write};

/// Who cannot give an answer that holds within so many tries is better served by the documentation.
const TRIES: u32 = 10;
/// The longest answer that is read.
const LONGEST_ANSWER: u64 = 4096;

/// Where questions are asked and answers come from.
pub(super) struct Conversation<I, O> {
    pub(super) input: I,
    pub(super) output: O,
}

impl<I: BufRead, O: Write> Conversation<I, O> {
    /// Asks until an answer holds.
    pub(super) fn ask(
        &mut self,
        answers: &Answers,
        field: Field,
        default: Option<&str>,
    ) -> anyhow::Result<String> {
        let shown = default.map_or(String::new(), |default| format!(" [{default}]"));
        for _ in 0..TRIES {
            write!(self.output, "{}{shown}: ", field.question())?;
            self.output.flush()?;
            let answer = self.answer()?;
            let answer = match (answer.is_empty(), default) {
                (false, _) => answer,
                (true, Some(default)) => default.to_owned(),
                (true, None) => {
                    writeln!(self.output, "  there is no default for this")?;
                    continue;
                }
            };
            match answers.fault(field, &answer) {
                None => return Ok(answer),
                Some(fault) => writeln!(self.output, "  {fault}")?,
            }
        }
        Err(Failure::untried(
            format!("no answer that holds in {TRIES} tries"),
            "docs/specs.md has every field, its meaning and bounds.",
        )
        .into())
    }

    /// Asks for a yes or no; no unless it is said.
    pub(super) fn confirm(&mut self, question: &str) -> anyhow::Result<bool> {
        write!(self.output, "{question} [y/N]: ")?;
        self.output.flush()?;
        let answer = self.answer()?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = io::Read::take(&mut self.input, LONGEST_ANSWER).read_line(&mut line)?;
        if read == 0 {
            return Err(Failure::untried(
                "the input ended before all was answered",
                "Give the rest as flags: `muster init --help`",
            )
            .into());
        }
        Ok(line.trim().to_owned())
    }
}
