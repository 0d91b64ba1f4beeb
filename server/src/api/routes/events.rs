//! Events.

use super::{PastRefused, Refused};
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::{ApiState, EventQuery};
use axum::extract::State;
use muster_core::view::event_view;
use muster_schemas::api::{EventView, List};
use muster_schemas::ids::TaskId;

/// What happened, newest first.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "events",
    description = "What happened, newest first; with `after`, oldest first from there on. `next` is the cursor of the page after, in the same order. `total` counts all events where nothing is filtered, else those on the page.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("after" = Option<u64>, Query, description = "Only events after this sequence number, oldest first"),
        ("before" = Option<u64>, Query, description = "Only events before this sequence number"),
        ("kind" = Option<Vec<String>>, Query, description = "Kinds, such as `attempt_placed`"),
        ("job" = Option<String>, Query, description = "About this job or its tasks"),
        ("task" = Option<String>, Query, description = "About this task or its attempts"),
        ("attempt" = Option<String>, Query, description = "About this attempt"),
        ("host" = Option<String>, Query, description = "About this host (id or name), or an attempt on it"),
        ("plan" = Option<String>, Query, description = "About this plan"),
        ("at" = Option<String>, Query, description = "Only what had happened by this time (RFC 3339) or record (its number)"),
    ),
    responses(
        (status = 200, description = "A page of events", body = List<EventView>),
        Refused,
        PastRefused,
    ),
)]
pub async fn list_events(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Dated<List<EventView>>, Failure> {
    let page = query.page()?;
    let asked_after: Option<u64> = query.read("after", "a sequence number")?;
    let asked_before: Option<u64> = query.read("before", "a sequence number")?;
    let mut asked = EventQuery {
        kinds: query.all("kind"),
        job: query.one("job")?,
        task: query.one("task")?,
        attempt: query.one("attempt")?,
        host: query.one("host")?,
        plan: query.one("plan")?,
        ..EventQuery::default()
    };
    let moment = query.moment()?;
    query.finish()?;
    let is_whole = asked == EventQuery::default();
    asked.host = asked.host.map(|host| host_id(&state, host));
    asked.after = asked_after;
    asked.before = asked_before;
    let as_of = match moment {
        None => None,
        Some(moment) => {
            state.has_come(moment)?;
            Some(state.cell.as_of(moment).await?)
        }
    };
    if let Some(as_of) = as_of {
        let end = as_of.seq + 1;
        asked.before = Some(asked.before.map_or(end, |before| before.min(end)));
    }
    asked.newest_first = asked_after.is_none();
    // One more than the page tells whether there is another.
    asked.limit = u32::try_from(page.limit + 1).unwrap_or(u32::MAX);
    if let Some(cursor) = page.after {
        let seq: u64 = cursor.parse().map_err(|_| {
            Failure::bad_request(
                "bad-parameter",
                "parameter `cursor`: it is not the `next` of an answer of this list",
                "",
            )
        })?;
        if asked.newest_first {
            asked.before = Some(asked.before.map_or(seq, |before| before.min(seq)));
        } else {
            asked.after = Some(asked.after.map_or(seq, |after| after.max(seq)));
        }
    }
    let mut records = state
        .cell
        .find(asked.clone())
        .await
        .map_err(Failure::journal)?;
    let more = records.len() > page.limit;
    records.truncate(page.limit);
    let next = records
        .last()
        .filter(|_| more)
        .map(|record| crate::api::query::cursor(record.seq.to_string()));
    let (mut items, seq): (Vec<EventView>, u64) = state.read(|fleet| {
        let items = records
            .iter()
            .map(|record| event_view(fleet, record))
            .collect();
        (items, fleet.seq)
    });
    for view in &mut items {
        name_what_was_asked(view, &asked);
    }
    let total = if is_whole && asked_after.is_none() && asked_before.is_none() {
        as_of.map_or(seq, |as_of| as_of.seq)
    } else {
        u64::try_from(items.len()).unwrap_or(u64::MAX)
    };
    let body = List { items, next, total };
    Ok(Dated { as_of, body })
}

/// The journal knows hosts by id; people know them by name.
fn host_id(state: &ApiState, host: String) -> String {
    let id = state.read(|fleet| {
        fleet
            .hosts
            .values()
            .rev()
            .find(|known| known.name == host)
            .map(|known| known.id.to_string())
    });
    id.unwrap_or(host)
}

/// An event of an attempt that the fleet has forgotten does not name its task, but the journal found it by that.
fn name_what_was_asked(view: &mut EventView, asked: &EventQuery) {
    if view.task.is_none() && view.attempt.is_some() {
        view.task.clone_from(&asked.task);
    }
    if view.job.is_none() && view.attempt.is_some() {
        view.job = asked.job.clone().or_else(|| {
            let task: TaskId = asked.task.as_deref()?.parse().ok()?;
            Some(task.job.to_string())
        });
    }
}
