//! Searching the records by what they are about.

use super::records::decode;
use super::{Journal, JournalError};
use muster_schemas::event::Record;
use sqlx::{QueryBuilder, Sqlite};

/// The most records that one read gives, whatever is asked for.
const READ_LIMIT: u32 = 10_000;

/// Which records are asked for. What is `None` or empty does not narrow the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// About this job or its tasks.
    pub job: Option<String>,
    /// About this task or its attempts.
    pub task: Option<String>,
    /// About this attempt.
    pub attempt: Option<String>,
    /// About this host, by its id, or an attempt on it.
    pub host: Option<String>,
    /// About this plan.
    pub plan: Option<String>,
    /// Of one of these kinds, such as `attempt_placed`.
    pub kinds: Vec<String>,
    /// Later than this record.
    pub after: Option<u64>,
    /// Earlier than this record.
    pub before: Option<u64>,
    /// Latest first; else earliest first.
    pub newest_first: bool,
    /// At most so many; at most 10,000.
    pub limit: u32,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self {
            job: None,
            task: None,
            attempt: None,
            host: None,
            plan: None,
            kinds: Vec::new(),
            after: None,
            before: None,
            newest_first: false,
            limit: 100,
        }
    }
}

impl Journal {
    /// The records after `after`, in order, at most `limit` (and at most 10,000).
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn records(&self, after: u64, limit: u32) -> Result<Vec<Record>, JournalError> {
        self.find(&EventFilter {
            after: Some(after),
            limit,
            ..EventFilter::default()
        })
        .await
    }

    /// The records that a filter asks for.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn find(&self, filter: &EventFilter) -> Result<Vec<Record>, JournalError> {
        let mut query = search(COLUMNS, filter);
        let rows = query
            .build()
            .fetch_all(&self.inner.readers)
            .await
            .map_err(|source| self.reading("records", filter.after.unwrap_or(0), source))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = decode(row).map_err(|(seq, damage)| self.damaged(seq, damage))?;
            found.push(self.record(&row).await?);
        }
        Ok(found)
    }
}

const COLUMNS: &str = "SELECT seq, at, epoch, kind, job, task, attempt, host, plan, body, hash";

fn search(select: &str, filter: &EventFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(format!("{select} FROM records WHERE TRUE"));
    let mut narrowed = false;
    for (column, wanted) in [
        ("attempt", &filter.attempt),
        ("task", &filter.task),
        ("job", &filter.job),
        ("host", &filter.host),
        ("plan", &filter.plan),
    ] {
        if let Some(wanted) = wanted {
            // The first column, the one with the fewest records, is searched by its index, the others are compared.
            let plus = if narrowed { "+" } else { "" };
            query.push(format_args!(" AND {plus}{column} = "));
            query.push_bind(wanted.clone());
            narrowed = true;
        }
    }
    if !filter.kinds.is_empty() {
        let plus = if narrowed { "+" } else { "" };
        query.push(format_args!(" AND {plus}kind IN ("));
        let mut kinds = query.separated(", ");
        for kind in &filter.kinds {
            kinds.push_bind(kind.clone());
        }
        query.push(")");
    }
    if let Some(after) = filter.after {
        query.push(" AND seq > ");
        query.push_bind(i64::try_from(after).unwrap_or(i64::MAX));
    }
    if let Some(before) = filter.before {
        query.push(" AND seq < ");
        query.push_bind(i64::try_from(before).unwrap_or(i64::MAX));
    }
    query.push(if filter.newest_first {
        " ORDER BY seq DESC LIMIT "
    } else {
        " ORDER BY seq LIMIT "
    });
    query.push_bind(filter.limit.min(READ_LIMIT));
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each search walks an index in its own order: with a sort, or over all records, a page of a large journal would take
    /// seconds.
    #[tokio::test]
    async fn searches_use_an_index() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal.db");
        let journal = Journal::open(&path).await.expect("it opens").journal;
        let some = || Some("x".to_owned());
        let all = || EventFilter {
            before: Some(5),
            newest_first: true,
            ..EventFilter::default()
        };
        let cases = [
            (all(), "INTEGER PRIMARY KEY"),
            (
                EventFilter {
                    job: some(),
                    ..all()
                },
                "records_job ",
            ),
            (
                EventFilter {
                    job: some(),
                    task: some(),
                    ..all()
                },
                "records_task ",
            ),
            (
                EventFilter {
                    attempt: some(),
                    host: some(),
                    ..all()
                },
                "records_attempt ",
            ),
            (
                EventFilter {
                    host: some(),
                    ..all()
                },
                "records_host ",
            ),
            (
                EventFilter {
                    plan: some(),
                    ..all()
                },
                "records_plan ",
            ),
            (
                EventFilter {
                    kinds: vec!["x".into()],
                    ..all()
                },
                "records_kind ",
            ),
            (
                EventFilter {
                    job: some(),
                    kinds: vec!["x".into(), "y".into()],
                    ..all()
                },
                "records_job ",
            ),
        ];
        for (filter, index) in cases {
            let steps: Vec<(i64, i64, i64, String)> =
                search("EXPLAIN QUERY PLAN SELECT *", &filter)
                    .build_query_as()
                    .fetch_all(&journal.inner.readers)
                    .await
                    .expect("it explains");
            let [(_, _, _, step)] = steps.as_slice() else {
                panic!("more than one step for {filter:?}: {steps:?}");
            };
            assert!(
                step.starts_with("SEARCH") && step.contains(index),
                "{filter:?}: {step}"
            );
        }
    }
}
