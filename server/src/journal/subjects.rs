//! The columns that the journal is searched by: what a record is about.

use muster_core::describe;
use muster_schemas::event::Record;

/// What a record is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subjects {
    pub job: Option<String>,
    pub task: Option<String>,
    pub attempt: Option<String>,
    pub host: Option<String>,
    pub plan: Option<String>,
}

/// A record's kind, as its JSON says it, and what the record itself names.
pub(super) fn subjects(record: &Record) -> (&'static str, Subjects) {
    let describe::Subjects {
        kind,
        job,
        task,
        attempt,
        host,
        plan,
    } = describe::subjects(record);
    let about = Subjects {
        job,
        task,
        attempt,
        host,
        plan,
    };
    (kind, about)
}
