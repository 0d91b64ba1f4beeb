//! Why a task waits, and why a host takes no task of a job.

use super::hosts::known_host;
use super::{Id, PastRefused, Refused, no_task, task_id};
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::ApiState;
use axum::extract::State;
use muster_core::view::{explain, why_not};
use muster_schemas::api::Problem;
use muster_schemas::explain::{Explanation, WhyNot};
use muster_schemas::ids::JobId;
use tokio::sync::Semaphore;

/// So many answers are worked out at a time: each is as much work as a pass of the scheduler.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Why a task waits.
#[utoipa::path(
    get, path = "/api/v1/tasks/{task}/explain", tag = "tasks", operation_id = "explain_task",
    description = "Why a task is where it is. Of one that waits for a host: why each host cannot take it, and of the nearest ones all that is in the way and what would remove it. It is worked out when it is asked for, by the function that places tasks.",
    params(
        ("task" = String, Path, description = "The task, such as `web.0`"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses(
        (status = 200, description = "The explanation", body = Explanation),
        Refused,
        PastRefused,
        (status = 404, description = "There is no such task", body = Problem),
    ),
)]
pub async fn explain_task(
    State(state): State<ApiState>,
    Id(id): Id,
    mut query: Query,
) -> Result<Dated<Explanation>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let id = task_id(&id)?;
    let scene = state.scene(moment).await?;
    let _place = PLACES.acquire().await;
    scene
        .look(|fleet, now| {
            let job = fleet.jobs.get(&id.job)?;
            let task = job.tasks.get(&id.index)?;
            Some(explain(fleet, job, task, now))
        })
        .map(|explanation| scene.answer(explanation))
        .ok_or_else(|| no_task(&id))
}

/// Why a host takes no task of a job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{job}/why-not/{host}", tag = "jobs", operation_id = "why_not",
    description = "Whether a host can take a task that the job would start now; if not, all that is in the way and what would remove it. It is worked out when it is asked for, by the function that places tasks.",
    params(
        ("job" = String, Path, description = "The job"),
        ("host" = String, Path, description = "The host's id, or its name"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses(
        (status = 200, description = "The answer", body = WhyNot),
        Refused,
        PastRefused,
        (status = 404, description = "There is no such job or host", body = Problem),
    ),
)]
pub async fn why_not_host(
    State(state): State<ApiState>,
    Id((job, host)): Id<(String, String)>,
    mut query: Query,
) -> Result<Dated<WhyNot>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let job = JobId::from(job);
    let scene = state.scene(moment).await?;
    let _place = PLACES.acquire().await;
    let answer = scene.look(|fleet, now| {
        let host = known_host(fleet, &host)?;
        let known = fleet.jobs.get(&job).ok_or_else(|| super::no_job(&job))?;
        why_not(fleet, known, host.id, now).ok_or_else(|| super::no_job(&job))
    });
    answer.map(|answer| scene.answer(answer))
}
