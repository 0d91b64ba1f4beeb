//! Jobs.

use super::{Id, PastRefused, Refused, no_job};
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::ApiState;
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
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses((status = 200, description = "A page of jobs", body = List<JobView>), Refused, PastRefused),
)]
pub async fn list_jobs(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Dated<List<JobView>>, Failure> {
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
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    Ok(scene.answer(with_cursor(
        scene.look(|fleet, now| jobs(fleet, &filter, &page, now)),
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
    params(
        ("job" = String, Path, description = "The job"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses(
        (status = 200, description = "The job", body = JobDetail),
        Refused,
        PastRefused,
        (status = 404, description = "There is no such job", body = Problem),
    ),
)]
pub async fn get_job(
    State(state): State<ApiState>,
    Id(id): Id,
    mut query: Query,
) -> Result<Dated<JobDetail>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    let job = JobId::from(id);
    scene
        .look(|fleet, now| fleet.jobs.get(&job).map(|job| job_detail(fleet, job, now)))
        .map(|job| scene.answer(job))
        .ok_or_else(|| no_job(&job))
}
