//! Errors for the people who type commands: what happened, what to do, and the exit code that follows.

use crate::cli::client::ClientError;
use std::process::ExitCode;

/// Something that ends a command.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What happened, in a sentence.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// The exit code: 1 for a no, 2 for what could not be tried.
    pub code: u8,
}

impl Failure {
    /// The answer is no.
    pub fn no(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
            code: 1,
        }
    }

    /// It could not be tried.
    pub fn untried(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
            code: 2,
        }
    }
}

/// Prints the error on standard error and answers its exit code. A reader that went away (`muster get tasks | head`) is no
/// error.
pub(super) fn tell(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let (text, code) = words(error);
    eprint!("{text}");
    ExitCode::from(code)
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn words(error: &anyhow::Error) -> (String, u8) {
    let (hint, code) = if let Some(failure) = error.downcast_ref::<Failure>() {
        (failure.hint.clone(), failure.code)
    } else if let Some(error) = error.downcast_ref::<ClientError>() {
        (error.hint(), error.exit_code())
    } else {
        (String::new(), 2)
    };
    let mut text = format!("error: {error:#}\n");
    for line in hint.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    (text, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_with_its_hint_and_code() {
        let error = anyhow::Error::from(Failure::untried("the port is taken", "use another"));
        assert_eq!(
            words(&error),
            ("error: the port is taken\n  use another\n".to_owned(), 2)
        );
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let error = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(error.chain().any(is_broken_pipe));
    }
}
