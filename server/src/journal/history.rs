//! History tables: tasks that ended and left the fleet.

use super::{Journal, JournalError};
use jiff::Timestamp;
use muster_schemas::api::TaskView;
use sqlx::{QueryBuilder, Sqlite};

/// The most tasks of one page, whatever is asked for.
const PAGE: u32 = 1_000;

/// Tasks that are removed in one transaction, so that a large clean-up never keeps an append waiting for long.
const PRUNED_AT_ONCE: u32 = 1_000;

/// Which finished tasks are asked for. What is `None` or empty does not narrow the search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Of this job.
    pub job: Option<String>,
    /// With this id. There can be several: an index that was scaled away and came back is a task again.
    pub task: Option<String>,
    /// With one of these outcomes, such as `failed`.
    pub outcomes: Vec<String>,
    /// With this in their id.
    pub contains: Option<String>,
}

/// One page of finished tasks, the last to finish first.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskView>,
    /// The cursor of the next page; none on the last.
    pub next: Option<String>,
    /// So many tasks match in all.
    pub total: u64,
}

impl Journal {
    /// Keeps finished tasks in the history. Doing so again with the same task changes nothing, so that a caller that does
    /// not know whether it came through can repeat it.
    ///
    /// # Errors
    /// `Write` when the disk does not take them: none of them is kept then.
    pub async fn archive_tasks(&self, tasks: &[TaskView]) -> Result<(), JournalError> {
        let mut bodies = Vec::with_capacity(tasks.len());
        for task in tasks {
            let body = serde_json::to_string(task).map_err(|source| JournalError::Encode {
                what: format!("task {}", task.id),
                source,
            })?;
            bodies.push(body);
        }
        let write = async {
            let mut transaction = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
            for (task, body) in tasks.iter().zip(bodies) {
                sqlx::query(
                    "INSERT INTO finished_tasks (id, job, outcome, created_at, finished_at, body)
                     VALUES (?, ?, ?, ?, ?, ?)
                     ON CONFLICT (id, created_at) DO UPDATE SET
                         outcome = excluded.outcome, finished_at = excluded.finished_at, body = excluded.body",
                )
                .bind(&task.id)
                .bind(&task.job)
                .bind(task.outcome.map(outcome_word))
                .bind(task.created_at.as_microsecond())
                // One that never ran ended when it was not needed any more, which is not told; its beginning has to do.
                .bind(task.finished_at.unwrap_or(task.created_at).as_microsecond())
                .bind(body)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        write.await.map_err(|source| JournalError::Write {
            what: "finished tasks",
            source,
        })
    }

    /// A page of finished tasks, from `cursor` on, the last to finish first; at most `limit` of them (and at most 1,000).
    ///
    /// # Errors
    /// `NotACursor`, or when they cannot be read.
    pub async fn finished_tasks(
        &self,
        filter: &HistoryFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<TaskPage, JournalError> {
        let limit = limit.clamp(1, PAGE);
        let from = cursor.map(parse_cursor).transpose()?;

        let mut count = QueryBuilder::new("SELECT count(*) FROM finished_tasks WHERE TRUE");
        narrow(&mut count, filter);
        let total: i64 = count
            .build_query_scalar()
            .fetch_one(&self.inner.readers)
            .await
            .map_err(|source| self.reading("the number of finished tasks", 0, source))?;

        let mut query =
            QueryBuilder::new("SELECT id, finished_at, place, body FROM finished_tasks WHERE TRUE");
        narrow(&mut query, filter);
        if let Some((finished_at, place)) = from {
            query.push(" AND (finished_at, place) < (");
            query.push_bind(finished_at);
            query.push(", ");
            query.push_bind(place);
            query.push(")");
        }
        query.push(" ORDER BY finished_at DESC, place DESC LIMIT ");
        // One more than asked for tells whether there is a next page.
        query.push_bind(limit + 1);
        let mut rows: Vec<(String, i64, i64, String)> = query
            .build_query_as()
            .fetch_all(&self.inner.readers)
            .await
            .map_err(|source| self.reading("finished tasks", 0, source))?;

        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = match rows.last() {
            Some((_, finished_at, place, _)) if more => Some(format!("{finished_at}.{place}")),
            _ => None,
        };
        let tasks = rows
            .into_iter()
            .map(|(task, _, _, body)| {
                serde_json::from_str(&body).map_err(|source| JournalError::History { task, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(TaskPage {
            tasks,
            next,
            total: total as u64,
        })
    }

    /// Forgets the tasks that finished before a time, and says how many there were.
    ///
    /// # Errors
    /// `Write`; what was forgotten until then stays so.
    pub async fn prune_history(&self, before: Timestamp) -> Result<u64, JournalError> {
        let mut pruned = 0;
        loop {
            let done = sqlx::query(
                "DELETE FROM finished_tasks WHERE place IN
                     (SELECT place FROM finished_tasks WHERE finished_at < ? ORDER BY finished_at LIMIT ?)",
            )
            .bind(before.as_microsecond())
            .bind(PRUNED_AT_ONCE)
            .execute(&self.inner.writer)
            .await
            .map_err(|source| JournalError::Write {
                what: "the history's retention",
                source,
            })?
            .rows_affected();
            pruned += done;
            if done < u64::from(PRUNED_AT_ONCE) {
                return Ok(pruned);
            }
        }
    }
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &HistoryFilter) {
    for (column, wanted) in [("job", &filter.job), ("id", &filter.task)] {
        if let Some(wanted) = wanted {
            query.push(format_args!(" AND {column} = "));
            query.push_bind(wanted.clone());
        }
    }
    if !filter.outcomes.is_empty() {
        query.push(" AND outcome IN (");
        let mut outcomes = query.separated(", ");
        for outcome in &filter.outcomes {
            outcomes.push_bind(outcome.clone());
        }
        query.push(")");
    }
    if let Some(text) = &filter.contains {
        query.push(" AND instr(id, ");
        query.push_bind(text.clone());
        query.push(") > 0");
    }
}

fn outcome_word(outcome: muster_schemas::state::Outcome) -> &'static str {
    use muster_schemas::state::Outcome;
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Stopped => "stopped",
        Outcome::Lost => "lost",
    }
}

fn parse_cursor(cursor: &str) -> Result<(i64, i64), JournalError> {
    cursor
        .split_once('.')
        .and_then(|(finished_at, place)| Some((finished_at.parse().ok()?, place.parse().ok()?)))
        .ok_or_else(|| JournalError::NotACursor {
            cursor: cursor.to_owned(),
        })
}
