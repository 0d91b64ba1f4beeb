//! Tasks.

use super::jobs::spec_filter;
use super::{Id, PastRefused, Refused, no_task, task_id};
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::{ApiState, TaskHistoryQuery};
use axum::Json;
use axum::extract::State;
use muster_core::view::{TaskFilter, task_detail, tasks};
use muster_schemas::api::{List, Problem, TaskDetail, TaskView, UsageView};
use muster_schemas::state::Outcome;

/// Tasks by job and index.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "tasks",
    description = "Tasks of the fleet by job and index. With `archived=true` those that have ended and left the fleet, last finished first; of the filters only `job`, `task`, `outcome` and `q` are taken then, `job` and `task` once.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("q" = Option<String>, Query, description = "Part of the id, attempt, host, address, container or image; of archived tasks, of the id"),
        ("state" = Option<Vec<String>>, Query, description = "`queued`, `assigned`, `starting`, `running`, `stopping`, `finished`"),
        ("host" = Option<Vec<String>>, Query, description = "Hosts, by id or name"),
        ("healthy" = Option<Vec<bool>>, Query, description = "Whether it is healthy"),
        ("reachable" = Option<Vec<bool>>, Query, description = "Whether its host's agent is connected"),
        ("crash_loop" = Option<Vec<bool>>, Query, description = "Whether it is in a crash loop"),
        ("job" = Option<Vec<String>>, Query, description = "Jobs"),
        ("app" = Option<Vec<String>>, Query, description = "Applications"),
        ("tier" = Option<Vec<String>>, Query, description = "`critical` or `flex`"),
        ("kind" = Option<Vec<String>>, Query, description = "`service` or `batch`"),
        ("owner" = Option<Vec<String>>, Query, description = "Owners"),
        ("capacity_group" = Option<Vec<String>>, Query, description = "Capacity groups"),
        ("label" = Option<Vec<String>>, Query, description = "Labels, as `key=value`"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
        ("archived" = Option<bool>, Query, description = "Whether to list history rather than the fleet; default false"),
        ("task" = Option<String>, Query, description = "Only with `archived`: the task's id"),
        ("outcome" = Option<Vec<String>>, Query, description = "Only with `archived`: `succeeded`, `failed`, `stopped`, `lost`"),
    ),
    responses(
        (status = 200, description = "A page of tasks", body = List<TaskView>),
        Refused,
        PastRefused,
    ),
)]
pub async fn list_tasks(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Dated<List<TaskView>>, Failure> {
    if query.read("archived", "true or false")?.unwrap_or(false) {
        return history(&state, query).await;
    }
    let page = query.page()?;
    let filter = TaskFilter {
        q: query.one("q")?,
        state: query.words(
            "state",
            "queued, assigned, starting, running, stopping, finished",
        )?,
        host: query.all("host"),
        healthy: query.flags("healthy")?,
        reachable: query.flags("reachable")?,
        crash_loop: query.flags("crash_loop")?,
        job: spec_filter(&mut query)?,
    };
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    Ok(scene.answer(with_cursor(
        scene.look(|fleet, now| tasks(fleet, &filter, &page, now)),
    )))
}

async fn history(state: &ApiState, mut query: Query) -> Result<Dated<List<TaskView>>, Failure> {
    let outcomes: Vec<Outcome> = query.words("outcome", "succeeded, failed, stopped, lost")?;
    let asked = TaskHistoryQuery {
        job: query.one("job")?,
        task: query.one("task")?,
        outcomes: outcomes
            .into_iter()
            .map(|outcome| muster_core::describe::outcome_word(outcome).to_owned())
            .collect(),
        contains: query.one("q")?,
        cursor: query.one("cursor")?,
        limit: u32::try_from(query.limit()?).unwrap_or(u32::MAX),
    };
    query.finish()?;
    state
        .cell
        .finished_tasks(asked)
        .await
        .map(|body| Dated { as_of: None, body })
        .map_err(Failure::journal)
}

/// One task.
#[utoipa::path(
    get, path = "/api/v1/tasks/{task}", tag = "tasks", operation_id = "task",
    description = "A task with its attempts, what is in force on its container, why no host takes it, and how long each step to healthy took.",
    params(
        ("task" = String, Path, description = "The task, such as `web.0`"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses(
        (status = 200, description = "The task", body = TaskDetail),
        Refused,
        PastRefused,
        (status = 404, description = "There is no such task", body = Problem),
    ),
)]
pub async fn get_task(
    State(state): State<ApiState>,
    Id(id): Id,
    mut query: Query,
) -> Result<Dated<TaskDetail>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let id = task_id(&id)?;
    let scene = state.scene(moment).await?;
    scene
        .look(|fleet, now| {
            let job = fleet.jobs.get(&id.job)?;
            let task = job.tasks.get(&id.index)?;
            Some(task_detail(fleet, job, task, now))
        })
        .map(|task| scene.answer(task))
        .ok_or_else(|| no_task(&id))
}

/// What a task uses.
#[utoipa::path(
    get, path = "/api/v1/tasks/{task}/usage", tag = "tasks", operation_id = "task_usage",
    description = "Readings of the current or last attempt's container, oldest first: those of the last ten minutes.",
    params(("task" = String, Path, description = "The task, such as `web.0`")),
    responses(
        (status = 200, description = "The readings; none for a container that has not run lately", body = UsageView),
        Refused,
        (status = 404, description = "There is no such task", body = Problem),
    ),
)]
pub async fn get_usage(
    State(state): State<ApiState>,
    Id(id): Id,
    query: Query,
) -> Result<Json<UsageView>, Failure> {
    query.finish()?;
    let id = task_id(&id)?;
    let (attempt, resources) = state
        .read(|fleet| {
            let job = fleet.jobs.get(&id.job)?;
            let task = job.tasks.get(&id.index)?;
            let version = job
                .versions
                .get(&task.version)
                .unwrap_or_else(|| job.current());
            Some((task.last_attempt, version.spec.resources))
        })
        .ok_or_else(|| no_task(&id))?;
    Ok(Json(UsageView {
        task: id.to_string(),
        cpu_limit_millis: resources.cpu.0,
        memory_limit_bytes: resources.memory.0,
        readings: attempt.map_or_else(Vec::new, |attempt| state.cell.usage(attempt)),
    }))
}
