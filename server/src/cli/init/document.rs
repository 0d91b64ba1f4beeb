//! What is asked for, what of it holds, and the document that is written.

use crate::cli::failure::Failure;
use muster_core::specs::{SpecFile, read_local};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Something that is asked for, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Name,
    Owner,
    Image,
    Kind,
    Port,
    HealthPath,
    Count,
    Cpu,
    Memory,
}

/// The answer to a question that does without.
pub(super) const NONE: &str = "none";

impl Field {
    const ALL: [Field; 9] = [
        Field::Name,
        Field::Owner,
        Field::Image,
        Field::Kind,
        Field::Port,
        Field::HealthPath,
        Field::Count,
        Field::Cpu,
        Field::Memory,
    ];

    pub(super) fn flag(self) -> &'static str {
        match self {
            Field::Name => "--name",
            Field::Owner => "--owner",
            Field::Image => "--image",
            Field::Kind => "--kind",
            Field::Port => "--port",
            Field::HealthPath => "--health-path",
            Field::Count => "--count",
            Field::Cpu => "--cpu",
            Field::Memory => "--memory",
        }
    }

    pub(super) fn question(self) -> &'static str {
        match self {
            Field::Name => {
                "The job's name (it stays the same for ever; lower-case letters, digits, hyphens)"
            }
            Field::Owner => "Whom to ask about it (an e-mail address or a team)",
            Field::Image => "Its image, such as registry.example.com/shop/web:1",
            Field::Kind => {
                "A service, which runs on, or a batch job, which finishes (service, batch)"
            }
            Field::Port => "The port that the container listens on (or none)",
            Field::HealthPath => "A path that answers with 200 while it can serve (or none)",
            Field::Count => "How many tasks",
            Field::Cpu => "CPUs for each task",
            Field::Memory => "Memory for each task",
        }
    }

    /// An answer that holds, with which others can be checked before there is a real one.
    pub(super) fn sample(self) -> &'static str {
        match self {
            Field::Name => "web",
            Field::Owner => "you@example.com",
            Field::Image => "registry.example.com/web:1",
            Field::Kind => "service",
            Field::Port => "8080",
            Field::HealthPath => "/healthz",
            Field::Count => "1",
            Field::Cpu => "0.1",
            Field::Memory => "128MiB",
        }
    }
}

/// The answers so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(BTreeMap<Field, String>);

impl Answers {
    pub(super) fn set(&mut self, field: Field, answer: String) {
        self.0.insert(field, answer.trim().to_owned());
    }

    /// The first that is still open; none when all are answered that this kind of job has.
    pub(super) fn next(&self) -> Option<Field> {
        Field::ALL
            .into_iter()
            .find(|field| !self.0.contains_key(field) && self.has(*field))
    }

    /// Whether a job of this kind has the field.
    fn has(&self, field: Field) -> bool {
        match field {
            Field::Port => !self.is_batch(),
            Field::HealthPath => !self.is_batch() && self.get(Field::Port) != NONE,
            Field::Name
            | Field::Owner
            | Field::Image
            | Field::Kind
            | Field::Count
            | Field::Cpu
            | Field::Memory => true,
        }
    }

    /// The default, where there is one.
    pub(super) fn usual(&self, field: Field) -> Option<&'static str> {
        match field {
            Field::Name | Field::Owner | Field::Image => None,
            Field::Kind
            | Field::Port
            | Field::HealthPath
            | Field::Count
            | Field::Cpu
            | Field::Memory => Some(field.sample()),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.get(Field::Name)
    }

    fn get(&self, field: Field) -> &str {
        self.0.get(&field).map_or(field.sample(), String::as_str)
    }

    fn is_batch(&self) -> bool {
        self.get(Field::Kind) == "batch"
    }

    /// What is wrong with an answer, by the rules of specs; none if it holds.
    pub(super) fn fault(&self, field: Field, answer: &str) -> Option<String> {
        let answer = answer.trim();
        if field == Field::Kind && !matches!(answer, "service" | "batch") {
            return Some("it is `service` or `batch`".to_owned());
        }
        // Alone among answers that hold, so that what is told is about this one.
        let mut alone = Answers::default();
        if field != Field::Kind {
            alone.set(Field::Kind, self.get(Field::Kind).to_owned());
        }
        if field == Field::Port && alone.is_batch()
            || field == Field::HealthPath && !self.has(field)
        {
            return (answer != NONE).then(|| {
                "this job has none: a batch job, or one without a port, is not asked over the network".to_owned()
            });
        }
        alone.set(field, answer.to_owned());
        let file = SpecFile {
            path: "job.yaml".to_owned(),
            bytes: alone.document("").into_bytes().into(),
        };
        let found = read_local(&[file]);
        let first = found.diagnostics.first()?;
        Some(if first.help.is_empty() {
            first.message.clone()
        } else {
            format!("{}; {}", first.message, first.help)
        })
    }

    /// Checks what flags have set.
    ///
    /// # Errors
    ///
    /// The first that does not hold, with its flag.
    pub(super) fn check_given(&self) -> Result<(), Failure> {
        for (field, answer) in &self.0 {
            if let Some(fault) = self.fault(*field, answer) {
                return Err(Failure::no(
                    format!("{} {answer}: {fault}", field.flag()),
                    "",
                ));
            }
        }
        Ok(())
    }

    /// The document, with the way to the schema.
    pub(super) fn document(&self, schema: &str) -> String {
        let value = |field| scalar(self.get(field));
        let mut text = format!("# yaml-language-server: $schema={schema}\n");
        let mut line = |words: std::fmt::Arguments<'_>| {
            writeln!(text, "{words}").expect("a text takes everything");
        };
        line(format_args!("apiVersion: muster/v1"));
        line(format_args!("kind: Job"));
        line(format_args!(
            "# What the job is known by: another name is another job. The file may be moved."
        ));
        line(format_args!("name: {}", value(Field::Name)));
        line(format_args!("owner: {}", value(Field::Owner)));
        line(format_args!(
            "# A tag is turned into a digest when the change is planned; only a commit moves it."
        ));
        line(format_args!("image: {}", value(Field::Image)));
        line(format_args!("# env:"));
        line(format_args!("#   LOG_LEVEL: info"));
        line(format_args!(
            "# What each task may use; one that needs more memory is killed."
        ));
        line(format_args!("resources:"));
        line(format_args!("  cpu: {}", value(Field::Cpu)));
        line(format_args!("  memory: {}", value(Field::Memory)));
        let port = self.get(Field::Port);
        let path = self.get(Field::HealthPath);
        if !self.is_batch() && port != NONE {
            line(format_args!("ports:"));
            line(format_args!("  - name: http"));
            line(format_args!("    port: {}", value(Field::Port)));
            line(format_args!(
                "    # hostPort: 8080  # to reach it under the host's address"
            ));
            if path == NONE {
                line(format_args!(
                    "# A task counts as healthy while something listens on the port ..."
                ));
            } else {
                line(format_args!(
                    "# A task counts as healthy while this answers ..."
                ));
            }
            line(format_args!("readiness:"));
            if path == NONE {
                line(format_args!("  tcp:"));
                line(format_args!("    port: http"));
            } else {
                line(format_args!("  http:"));
                line(format_args!("    port: http"));
                line(format_args!("    path: {}", value(Field::HealthPath)));
            }
            line(format_args!(
                "# ... and is replaced once nothing listens any more."
            ));
            line(format_args!("liveness:"));
            line(format_args!("  tcp:"));
            line(format_args!("    port: http"));
            line(format_args!("  initialDelay: 10s"));
            line(format_args!("  interval: 5s"));
        }
        line(format_args!("# From the stop signal to the kill signal."));
        line(format_args!("killGrace: 10s"));
        if self.is_batch() {
            line(format_args!("batch:"));
            line(format_args!(
                "  # Each task finishes once. Change `run` to any other text to run all of them again."
            ));
            line(format_args!("  size: {}", value(Field::Count)));
            line(format_args!("  run: first"));
            line(format_args!("  # An attempt that runs longer has failed."));
            line(format_args!("  runtimeLimit: 1h"));
            line(format_args!("  retry:"));
            line(format_args!("    exponentialBackoff:"));
            line(format_args!("      initial: 1s"));
            line(format_args!("      max: 1m"));
            line(format_args!("      retries: 3"));
        } else {
            line(format_args!("service:"));
            line(format_args!("  capacity:"));
            line(format_args!("    desired: {}", value(Field::Count)));
            line(format_args!("  rollout:"));
            line(format_args!(
                "    # One more task than desired starts first; none is stopped before it is healthy."
            ));
            line(format_args!("    maxSurge: 1"));
            line(format_args!("    maxUnavailable: 0"));
        }
        text
    }
}

/// A value as YAML: bare where that can mean nothing else, else in quotes.
fn scalar(text: &str) -> String {
    let is_bare = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '@' | ':'))
        && !text.starts_with(['-', '@', ':'])
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if is_bare {
        return text.to_owned();
    }
    // JSON's quotes are YAML's.
    serde_json::Value::String(text.to_owned()).to_string()
}
