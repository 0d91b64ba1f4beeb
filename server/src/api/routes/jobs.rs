//! Jobs.

use super::{Id, Refused};
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::ApiState;
use axum::Json;
use axum::extract::State;
use muster_core::view::{JobFilter, job_detail, jobs};
use muster_schemas::api::{JobDetail, JobView, List, Problem};
use muster_schemas::ids::JobId;

/// Jobs by id.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs", operation_id = "jobs",
    description = "Jobs by id.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("q" = Option<String>, Query, description = "Part of the id, app, stack, detail, owner or image"),
        ("job" = Option<Vec<String>>, Query, description = "Ids"),
        ("state" = Option<Vec<String>>, Query, description = "Statuses, such as `crash_loop`"),
        ("app" = Option<Vec<String>>, Query, description = "Applications"),
        ("tier" = Option<Vec<String>>, Query, description = "`critical` or `flex`"),
        ("kind" = Option<Vec<String>>, Query, description = "`service` or `batch`"),
        ("owner" = Option<Vec<String>>, Query, description = "Owners"),
        ("capacity_group" = Option<Vec<String>>, Query, description = "Capacity groups"),
        ("label" = Option<Vec<String>>, Query, description = "Labels, as `key=value`"),
        ("declared" = Option<Vec<bool>>, Query, description = "Whether a document asks for it"),
    ),
    responses((status = 200, description = "A page of jobs", body = List<JobView>), Refused),
)]
pub async fn list_jobs(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<List<JobView>>, Failure> {
    let page = query.page()?;
    let filter = JobFilter {
        q: query.one("q")?,
        state: query.words(
            "state",
            "running, progressing, degraded, crash_loop, blocked, tombstone, stopping, succeeded, failed, idle",
        )?,
        declared: query.flags("declared")?,
        ..spec_filter(&mut query)?
    };
    query.finish()?;
    let now = state.now();
    Ok(Json(with_cursor(
        state.read(|fleet| jobs(fleet, &filter, &page, now)),
    )))
}

/// The filters on a job's own fields, which tasks can be filtered by as well.
pub(super) fn spec_filter(query: &mut Query) -> Result<JobFilter, Failure> {
    Ok(JobFilter {
        job: query.all("job"),
        app: query.all("app"),
        tier: query.words("tier", "critical, flex")?,
        kind: query.words("kind", "service, batch")?,
        owner: query.all("owner"),
        capacity_group: query.all("capacity_group"),
        label: query.labels()?,
        ..JobFilter::default()
    })
}

/// One job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{job}", tag = "jobs", operation_id = "job",
    description = "A job with its spec, its rollout and its latest changes.",
    params(("job" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = JobDetail),
        Refused,
        (status = 404, description = "There is no such job", body = Problem),
    ),
)]
pub async fn get_job(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<JobDetail>, Failure> {
    query.finish()?;
    let now = state.now();
    let job = JobId::from(id);
    state
        .read(|fleet| fleet.jobs.get(&job).map(|job| job_detail(fleet, job, now)))
        .map(Json)
        .ok_or_else(|| {
            Failure::not_found(
                format!("there is no job `{job}` in the fleet"),
                format!(
                    "GET /api/v1/jobs lists the jobs, GET /api/v1/events?job={job} what happened"
                ),
            )
        })
}
