//! What people do besides committing. Each command is durable before it is answered.

use super::hosts::the_host;
use super::{Id, JsonBody, Refused, task_id};
use crate::api::auth::Caller;
use crate::api::idempotency::{ReplyKey, key, reused};
use crate::api::problem::Failure;
use crate::api::query::Query;
use crate::api::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use jiff::Timestamp;
use muster_core::access;
use muster_core::decide::Command;
use muster_core::describe::short;
use muster_core::fleet::Fleet;
use muster_core::guard;
use muster_schemas::access::{Needs, Role};
use muster_schemas::api::{
    CommandAnswer, CommandRequest, CommitAnswer, EnrolmentToken, FreezeRequest, Problem,
    RefreshAnswer, ResumeRequest, RollbackRequest, ScaleRequest,
};
use muster_schemas::ids::{JobId, PlanId};
use std::collections::BTreeSet;
use std::time::Duration;

/// The longest reason, in characters: a paragraph.
const MAX_REASON: usize = 1000;

/// Stops a task's container.
#[utoipa::path(
    post, path = "/api/v1/tasks/{task}/stop", tag = "commands", operation_id = "stop_task",
    description = "Stops a task's current attempt. A service's task goes on with a new one; a batch task is finished. With an `Idempotency-Key` a repeated request is answered as the first was and stops nothing more (the latest 1,000 keys are remembered until the control plane restarts).",
    params(
        ("task" = String, Path, description = "The task, such as `web.0`"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "The stop order is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such task", body = Problem),
        (status = 409, description = "It has no container to stop", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn stop_task(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(task): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let task = task_id(&task)?;
    let reason = reason(&request)?;
    let command = Command::StopTask {
        task: task.clone(),
        reason: reason.clone(),
    };
    let message = format!("the current attempt of {task} is being stopped");
    let path = format!("/api/v1/tasks/{task}/stop");
    give(state, caller, &headers, path, command, reason, message).await
}

/// Takes a host that is gone out of the fleet.
#[utoipa::path(
    post, path = "/api/v1/hosts/{host}/remove", tag = "commands", operation_id = "remove_host",
    description = "Says that a host is gone for good, and its containers with it: its tasks count as lost and get new attempts on other hosts. Only a host whose agent is not connected can be removed. It has to enrol anew to come back. `Idempotency-Key` works as for stopping a task.",
    params(
        ("host" = String, Path, description = "The host's id or name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such host", body = Problem),
        (status = 409, description = "Its agent is connected, or several hosts have that name", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn remove_host(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(host): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let path = format!("/api/v1/hosts/{host}/remove");
    let (host, name) =
        state.read(|fleet| the_host(fleet, &host).map(|host| (host.id, host.name.clone())))?;
    let command = Command::RemoveHost {
        host,
        reason: reason.clone(),
    };
    let message = format!("{name} is removed; its tasks get new attempts elsewhere");
    give(state, caller, &headers, path, command, reason, message).await
}

/// Has a host that is ahead follow this control plane.
#[utoipa::path(
    post, path = "/api/v1/hosts/{host}/take", tag = "commands", operation_id = "take_host",
    description = "Has a host follow this control plane although it has heard orders that the journal here does not have, as after an older copy of the control plane's home was restored. It holds for exactly the orders that the host has named, and is used up once it follows. Containers on it that this control plane does not know are shown as orphans and left running. `Idempotency-Key` works as for stopping a task.",
    params(
        ("host" = String, Path, description = "The host's id or name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such host", body = Problem),
        (status = 409, description = "The host is not ahead, or several hosts have that name", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn take_host(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(host): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let path = format!("/api/v1/hosts/{host}/take");
    let (host, name) =
        state.read(|fleet| the_host(fleet, &host).map(|host| (host.id, host.name.clone())))?;
    let command = Command::TakeHost {
        host,
        reason: reason.clone(),
    };
    let message = format!("{name} follows this control plane once its agent dials again");
    give(state, caller, &headers, path, command, reason, message).await
}

/// Lets a held plan through.
#[utoipa::path(
    post, path = "/api/v1/plans/{plan}/approve", tag = "commands", operation_id = "approve_plan",
    description = "Says yes to a held plan: to this one and to no other. It goes ahead once as many different people have said so as the policy wants, and nothing holds it that approval cannot overcome. An approval expires. `Idempotency-Key` works as for stopping a task.",
    params(
        ("plan" = String, Path, description = "The plan's id, or its first 8 characters or more"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such plan among the latest", body = Problem),
        (status = 409, description = "It is not held", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn approve_plan(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(plan): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let plan = known_plan(&state, &plan)?;
    let path = format!("/api/v1/plans/{plan}/approve");
    let message = state.read(|fleet| approval(fleet, &plan, &caller.name, state.now()));
    let command = Command::ApprovePlan {
        plan,
        reason: reason.clone(),
    };
    give(state, caller, &headers, path, command, reason, message).await
}

/// What an approval by `name` comes to: the plan is approved, or waits for more people.
fn approval(fleet: &Fleet, plan: &PlanId, name: &str, now: Timestamp) -> String {
    let mut people = fleet
        .plan(plan)
        .map_or(BTreeSet::new(), |entry| entry.approvers(now));
    people.insert(name);
    let required = guard::policy(fleet).approvals.required;
    let short = short(plan.as_str());
    if people.len() >= usize::try_from(required).unwrap_or(usize::MAX) {
        return format!("plan {short} is approved");
    }
    format!(
        "plan {short} has {} of the {required} approvals by different people that the policy wants",
        people.len()
    )
}

/// Says no to a held plan.
#[utoipa::path(
    post, path = "/api/v1/plans/{plan}/refuse", tag = "commands", operation_id = "refuse_plan",
    description = "Says no to a held plan: nothing of it happens, whatever approves it. The next commit makes another plan. `Idempotency-Key` works as for stopping a task.",
    params(
        ("plan" = String, Path, description = "The plan's id, or its first 8 characters or more"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such plan among the latest", body = Problem),
        (status = 409, description = "It is not held", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn refuse_plan(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(plan): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let plan = known_plan(&state, &plan)?;
    let path = format!("/api/v1/plans/{plan}/refuse");
    let message = format!("plan {} is refused", short(plan.as_str()));
    let command = Command::RefusePlan {
        plan,
        reason: reason.clone(),
    };
    give(state, caller, &headers, path, command, reason, message).await
}

/// Fewer characters of a plan's id are too easily another's.
const LEAST_OF_PLAN_ID: usize = 8;

/// A plan among the latest, by its id or by what it begins with.
fn known_plan(state: &ApiState, text: &str) -> Result<PlanId, Failure> {
    let found: Vec<PlanId> = state.read(|fleet| {
        let plans = fleet.plans.iter().map(|entry| &entry.plan.id);
        plans
            .filter(|id| {
                id.as_str() == text
                    || (text.len() >= LEAST_OF_PLAN_ID && id.as_str().starts_with(text))
            })
            .cloned()
            .collect()
    });
    match &found[..] {
        [plan, rest @ ..] if rest.iter().all(|other| other == plan) => Ok(plan.clone()),
        _ => Err(Failure::not_found(
            format!("there is no plan `{text}` among the latest"),
            "GET /api/v1/plans lists them; write the whole id, or at least its first 8 characters",
        )),
    }
}

/// Freezes something.
#[utoipa::path(
    post, path = "/api/v1/freeze", tag = "commands", operation_id = "freeze",
    description = "Freezes the cell, an app or a job: no plan changes it, and nothing automated stops its containers, until somebody resumes it or `until` has come. What dies is replaced all the same. `Idempotency-Key` works as for stopping a task.",
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID")),
    request_body = FreezeRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such job or app", body = Problem),
        (status = 409, description = "`until` is over", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn freeze(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<FreezeRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = sentence(&request.reason)?;
    let message = format!("{} is frozen", request.scope);
    let path = format!("/api/v1/freeze {} {:?}", request.scope, request.until);
    let command = Command::Freeze {
        scope: request.scope,
        reason: reason.clone(),
        until: request.until,
    };
    give(state, caller, &headers, path, command, reason, message).await
}

/// Ends a freeze.
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "commands", operation_id = "resume",
    description = "Ends a freeze: what was kept back meanwhile is planned anew. `Idempotency-Key` works as for stopping a task.",
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID")),
    request_body = ResumeRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 409, description = "It is not frozen by a command", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn resume(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ResumeRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = sentence(&request.reason)?;
    let message = format!("{} is resumed", request.scope);
    let path = format!("/api/v1/resume {}", request.scope);
    let command = Command::Resume {
        scope: request.scope,
        reason: reason.clone(),
    };
    give(state, caller, &headers, path, command, reason, message).await
}

/// Gives a service another size beside git.
#[utoipa::path(
    post, path = "/api/v1/jobs/{job}/scale", tag = "commands", operation_id = "scale",
    description = "Gives a service another size beside git, within its `min` and `max`: what an autoscaler does, or an operator in a hurry. It is drift until git says the same, and ends after an hour or at `until`; where the policy ignores `service.capacity.desired` it is no drift, and stays. The size that git says ends it. Tasks that are too many are stopped within the stop budget; a step that would stop more than a plan may, or ask for more than the policy's headroom leaves, is refused. `Idempotency-Key` works as for stopping a task.",
    params(
        ("job" = String, Path, description = "The job"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID"),
    ),
    request_body = ScaleRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such job", body = Problem),
        (status = 409, description = "It is no service, is frozen, or is not to have that size", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn scale(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Id(job): Id,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ScaleRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = sentence(&request.reason)?;
    let ScaleRequest { desired, until, .. } = request;
    let path = format!("/api/v1/jobs/{job}/scale {desired} {until:?}");
    let message = format!("{job} is scaled to {desired}");
    let command = Command::Scale {
        job: JobId::from(job),
        desired,
        reason: reason.clone(),
        until,
    };
    give(state, caller, &headers, path, command, reason, message).await
}

/// Goes back to an earlier revision.
#[utoipa::path(
    post, path = "/api/v1/rollback", tag = "commands", operation_id = "rollback",
    description = "Makes a commit on the followed branch that goes back to what an earlier revision held: all files, or one job's document. It is a commit like any other: it is planned, and the guard looks at it. Asked for again it changes nothing.",
    request_body = RollbackRequest,
    responses(
        (status = 200, description = "It is committed, or was so already", body = CommitAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 404, description = "There is no such revision in the branch's history, or it has no such job", body = Problem),
        (status = 409, description = "The job would not hold", body = Problem),
        (status = 503, description = "The repository cannot be read or does not take the commit", body = Problem),
    ),
)]
pub async fn rollback(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<RollbackRequest>,
) -> Result<Json<CommitAnswer>, Failure> {
    let reason = sentence(&request.reason)?;
    tracing::info!(by = %caller.name, to = %request.to, job = ?request.job, %reason, "rollback");
    let job = request.job.map(JobId::from);
    let needs = state.read(|fleet| access::of_rollback(fleet, job.as_ref()));
    state.allow(&caller, &needs)?;
    let answer = state
        .cell
        .roll_back(request.to, job, reason, caller.name)
        .await?;
    Ok(Json(answer))
}

/// Takes the cell down.
#[utoipa::path(
    post, path = "/api/v1/down", tag = "commands", operation_id = "down",
    description = "Stops every container of the cell and starts nothing until the control plane is started again. `Idempotency-Key` works as for stopping a task.",
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of your choice, such as a UUID")),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "It is in the journal", body = CommandAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 409, description = "It is down already", body = Problem),
        (status = 422, description = "The key was used for a command with another reason", body = Problem),
        (status = 503, description = "It could not be made durable", body = Problem),
    ),
)]
pub async fn down(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Json<CommandAnswer>, Failure> {
    let reason = reason(&request)?;
    let command = Command::TakeDown {
        reason: reason.clone(),
    };
    let message = "the cell is being taken down: every container is stopped".to_owned();
    let path = "/api/v1/down".to_owned();
    give(state, caller, &headers, path, command, reason, message).await
}

fn reason(request: &CommandRequest) -> Result<String, Failure> {
    sentence(&request.reason)
}

pub(super) fn sentence(reason: &str) -> Result<String, Failure> {
    let reason = reason.trim();
    let length = reason.chars().count();
    if length == 0 {
        return Err(Failure::bad_request(
            "reason-missing",
            "a reason is required",
            "say in a sentence why: it stands in the journal, and others read it",
        ));
    }
    if length > MAX_REASON {
        return Err(Failure::bad_request(
            "reason-too-long",
            format!("the reason has {length} characters; {MAX_REASON} are allowed"),
            "",
        ));
    }
    Ok(reason.to_owned())
}

pub(super) async fn give(
    state: ApiState,
    caller: Caller,
    headers: &HeaderMap,
    path: String,
    command: Command,
    reason: String,
    message: String,
) -> Result<Json<CommandAnswer>, Failure> {
    let key = key(headers)?;
    let give = async move {
        tracing::info!(by = %caller.name, path = %path, %reason, "command");
        let slot = key.map(|key| {
            state.replies.slot(ReplyKey {
                caller: caller.name.clone(),
                path,
                key,
            })
        });
        let mut kept = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        if let Some((asked, answer)) = kept.as_ref().and_then(|kept| kept.as_ref()) {
            return if *asked == reason {
                Ok(answer.clone())
            } else {
                Err(reused())
            };
        }
        let seq = state.command(command, &caller).await?;
        let answer = CommandAnswer { seq, message };
        if let Some(kept) = &mut kept {
            **kept = Some((reason, answer.clone()));
        }
        Ok(answer)
    };
    // A client that goes away must not leave a command done and its answer not kept: it goes on by itself.
    let given = tokio::spawn(give).await;
    given
        .unwrap_or_else(|error| {
            Err(Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                format!("the command's task ended before its time: {error}"),
                "look whether it was done before you repeat it; the control plane's log says more",
            ))
        })
        .map(Json)
}

/// Makes a token for a new host.
#[utoipa::path(
    post, path = "/api/v1/enrolments", tag = "commands", operation_id = "enrol",
    description = "Makes a single-use token with which an agent enrols within ten minutes.",
    responses(
        (status = 201, description = "The token; it is shown this once", body = EnrolmentToken),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
        (status = 503, description = "No token can be made now", body = Problem),
    ),
)]
pub async fn enrol(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
) -> Result<(StatusCode, Json<EnrolmentToken>), Failure> {
    state.allow(&caller, &Needs::Role(Role::Admin))?;
    let token = state.cell.mint_token(caller.name).await.map_err(|error| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            format!("no token can be made now: {error}"),
            "",
        )
    })?;
    Ok((StatusCode::CREATED, Json(token)))
}

/// A look is waited for so long at most, in seconds: well within the time that every answer has.
const LONGEST_WAIT: u64 = 20;

/// Has the repository read now.
#[utoipa::path(
    post, path = "/api/v1/repository/refresh", tag = "commands", operation_id = "refresh",
    description = "Has the repository read now rather than at the next poll: for a hook after a push. With `wait` the answer comes once that has ended, with the head that it found or what is wrong; what follows from a new head is seen on the watch.",
    params(("wait" = Option<u64>, Query, description = "So many seconds to wait for what the look finds, at most 20; default 0")),
    responses(
        (status = 202, description = "It is being read, or was, where `look` is not null", body = RefreshAnswer),
        Refused,
        (status = 403, description = "The policy does not let them, or a page of another site asked", body = Problem),
    ),
)]
pub async fn refresh(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<(StatusCode, Json<RefreshAnswer>), Failure> {
    let wait: Option<u64> = query.read("wait", "a number of seconds from 0 to 20")?;
    query.finish()?;
    let wait = wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Failure::bad_request(
            "bad-query",
            format!("`wait={wait}` is more than {LONGEST_WAIT} seconds"),
            "Wait for less, and ask again.",
        ));
    }
    let seq = state.read(|fleet| fleet.seq);
    let look = if wait == 0 {
        state.cell.refresh();
        None
    } else {
        let look = state.cell.refreshed();
        tokio::time::timeout(Duration::from_secs(wait), look)
            .await
            .ok()
    };
    let message = match &look {
        None => "the repository is being read",
        Some(look) if look.trouble.is_some() => "the repository cannot be followed",
        Some(_) => "the repository was read",
    };
    Ok((
        StatusCode::ACCEPTED,
        Json(RefreshAnswer {
            seq,
            message: message.to_owned(),
            look,
        }),
    ))
}
