//! The past: how far back one can look, and what differs between two moments.

use super::{PastRefused, Refused};
use crate::api::past::{A_MOMENT, PastFleet};
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::{ApiState, EventQuery};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use muster_core::view::{ACTS, diff};
use muster_schemas::event::Record;
use muster_schemas::past::{AsOf, FleetDiff, JournalView, Moment, PastRefusal};

/// So many records of who did what are read for a comparison, and as many stop orders: more than a team does in a month, and
/// a few MB.
const ACTS_READ: u32 = 2_000;

/// How far back one can look.
#[utoipa::path(
    get, path = "/api/v1/journal", tag = "past", operation_id = "journal",
    description = "The journal's first and last record: how far back `at` can go. With `at`, also the record that it comes down to; this is quick, since no fleet is worked out.",
    params(("at" = Option<String>, Query, description = "A time (RFC 3339) or the number of a record")),
    responses((status = 200, description = "The journal's reach", body = JournalView), Refused, PastRefused),
)]
pub async fn get_journal(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<JournalView>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let (first, last) = reach(&state).await?;
    let as_of = match moment {
        None => None,
        Some(moment) => {
            state.has_come(moment)?;
            Some(state.cell.as_of(moment).await?)
        }
    };
    Ok(Json(JournalView { first, last, as_of }))
}

async fn reach(state: &ApiState) -> Result<(AsOf, AsOf), Failure> {
    let none = PastRefusal::AfterJournal { asked: 1, last: 0 };
    Ok(state.cell.reach().await?.ok_or(none)?)
}

/// What differs between two moments.
#[utoipa::path(
    get, path = "/api/v1/diff", tag = "past", operation_id = "diff",
    description = "What differs between the fleet of two moments: jobs that appeared, went or changed (field by field), tasks that are in another state, on another host or on another version, hosts; and who did it: the plans that were applied between, with their commits, and what people did by command.",
    params(
        ("from" = String, Query, description = "The earlier moment: a time (RFC 3339) or the number of a record"),
        ("to" = Option<String>, Query, description = "The later moment; now where it is left out"),
    ),
    responses((status = 200, description = "What differs", body = FleetDiff), Refused, PastRefused),
)]
pub async fn get_diff(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<FleetDiff>, Failure> {
    let from: Option<Moment> = query.read("from", A_MOMENT)?;
    let to: Option<Moment> = query.read("to", A_MOMENT)?;
    query.finish()?;
    let from = from.ok_or_else(|| {
        Failure::bad_request(
            "bad-parameter",
            "parameter `from` is missing",
            format!("it is {A_MOMENT}"),
        )
    })?;
    for moment in [Some(from), to].into_iter().flatten() {
        state.has_come(moment)?;
    }
    let from = state.cell.past(from).await?;
    let to = match to {
        Some(to) => state.cell.past(to).await?,
        // Folded as any other: a comparison with the fleet itself would hold its lock for as long as it takes.
        None => {
            let (_, last) = reach(&state).await?;
            let mut now = state.cell.past(Moment::Seq(last.seq)).await?;
            now.as_of.at = state.now().max(last.at);
            now
        }
    };
    if from.as_of.seq > to.as_of.seq || from.as_of.at > to.as_of.at {
        return Err(Failure::bad_request(
            "bad-parameter",
            format!(
                "parameter `from`: {} comes after {}",
                from.as_of.at, to.as_of.at
            ),
            "swap the two",
        ));
    }
    let (records, complete) = acts(&state, &from, &to).await?;
    let compare = move || {
        diff(
            (&from.fleet, from.as_of),
            (&to.fleet, to.as_of),
            &records,
            complete,
        )
    };
    // A large fleet takes a while, in which this thread has others to serve.
    let compared = tokio::task::spawn_blocking(compare).await;
    compared.map(Json).map_err(|error| {
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the comparison ended before its time: {error}"),
            "the control plane's log says more",
        )
    })
}

/// The records between that say who did what, in order, and whether they are all there are.
async fn acts(
    state: &ApiState,
    from: &PastFleet,
    to: &PastFleet,
) -> Result<(Vec<Record>, bool), Failure> {
    let find = |kinds: Vec<String>| {
        state.cell.find(EventQuery {
            kinds,
            after: Some(from.as_of.seq),
            before: Some(to.as_of.seq + 1),
            newest_first: true,
            limit: ACTS_READ,
            ..EventQuery::default()
        })
    };
    let acts = find(ACTS.map(str::to_owned).to_vec());
    let mut records = acts.await.map_err(Failure::journal)?;
    // Apart from the others, so that the stops of a large rollout do not take their place.
    let stops = find(vec!["stop_ordered".to_owned()]);
    let stops = stops.await.map_err(Failure::journal)?;
    let complete = [&records, &stops]
        .iter()
        .all(|found| found.len() < ACTS_READ as usize);
    records.extend(stops);
    records.sort_by_key(|record| record.seq);
    Ok((records, complete))
}
