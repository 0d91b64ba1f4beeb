//! Plans.

use super::{Id, JsonBody, PastRefused, Refused};
use crate::api::auth::Caller;
use crate::api::past::Dated;
use crate::api::problem::Failure;
use crate::api::query::{Query, with_cursor};
use crate::api::state::{ApiState, EventQuery};
use axum::extract::State;
use axum::{Extension, Json};
use muster_core::fleet::Fleet;
use muster_core::guard::policy;
use muster_core::view::{PlanFilter, plan_status, plan_view, plan_view_of, plans};
use muster_schemas::api::{List, PlanPreview, PlanRequest, PlanStatus, PlanView, Problem};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::PlanId;

/// The latest plans, newest first.
#[utoipa::path(
    get, path = "/api/v1/plans", tag = "plans", operation_id = "plans",
    description = "The latest 50 plans, newest first. Older ones are found through `GET /api/v1/events?kind=plan_made` and read one by one.",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "So many at most, from 1 to 1000; default 100"),
        ("q" = Option<String>, Query, description = "Part of the id, or of the revision's commit, author or subject"),
        ("state" = Option<Vec<String>>, Query, description = "`applied`, `held`, `refused`, `superseded`"),
        ("job" = Option<Vec<String>>, Query, description = "Jobs of which it changes at least one"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses((status = 200, description = "A page of plans", body = List<PlanView>), Refused, PastRefused),
)]
pub async fn list_plans(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Dated<List<PlanView>>, Failure> {
    let page = query.page()?;
    let filter = PlanFilter {
        q: query.one("q")?,
        state: query.words("state", "applied, held, refused, superseded")?,
        job: query.all("job"),
    };
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    Ok(scene.answer(with_cursor(
        scene.look(|fleet, _| plans(fleet, &filter, &page)),
    )))
}

/// One plan, however old.
#[utoipa::path(
    get, path = "/api/v1/plans/{plan}", tag = "plans", operation_id = "plan",
    description = "A plan, however old.",
    params(
        ("plan" = String, Path, description = "The plan's id"),
        ("at" = Option<String>, Query, description = "The fleet as it was at this time (RFC 3339) or after this record (its number); now where it is left out. The headers `muster-as-of-seq` and `muster-as-of` say which record and time the answer is of"),
    ),
    responses(
        (status = 200, description = "The plan", body = PlanView),
        Refused,
        PastRefused,
        (status = 404, description = "There is no such plan", body = Problem),
    ),
)]
pub async fn get_plan(
    State(state): State<ApiState>,
    Id(id): Id,
    mut query: Query,
) -> Result<Dated<PlanView>, Failure> {
    let moment = query.moment()?;
    query.finish()?;
    let scene = state.scene(moment).await?;
    let id = PlanId::from(id);
    let known = scene.look(|fleet, _| fleet.plan(&id).map(|entry| plan_view(fleet, entry)));
    if let Some(view) = known {
        return Ok(scene.answer(view));
    }
    let records = state
        .cell
        .find(EventQuery {
            plan: Some(id.to_string()),
            kinds: [
                "plan_made",
                "plan_predicted",
                "plan_held",
                "plan_approved",
                "plan_refused",
                "plan_applied",
            ]
            .map(str::to_owned)
            .to_vec(),
            before: scene.before(),
            newest_first: true,
            // The latest of them: a plan with the same content can be made again.
            limit: 100,
            ..EventQuery::default()
        })
        .await
        .map_err(Failure::journal)?;
    let required = scene.look(|fleet, _| policy(fleet).approvals.required);
    let plan = from_journal(&records, required).map(|plan| scene.answer(plan));
    plan.ok_or_else(|| {
        Failure::not_found(
            format!("there is no plan `{id}`"),
            "GET /api/v1/plans lists the latest",
        )
    })
}

/// Works out a plan without doing any of it.
#[utoipa::path(
    post, path = "/api/v1/plan", tag = "plans", operation_id = "preview_plan",
    description = "Works out the plan for a revision, or for files that are sent along, against the fleet as it is now: what would change, whether the guard would hold it, and what it would lead to. Nothing is written and nothing is done. Four are worked out at a time. For who may only read, at most 10 images of registries that no job uses are looked up.",
    request_body = PlanRequest,
    responses(
        (status = 200, description = "The plan", body = PlanPreview),
        Refused,
        (status = 404, description = "There is no such revision", body = Problem),
        (status = 413, description = "The files are too large", body = Problem),
        (status = 429, description = "Too many plans are being worked out", body = Problem),
        (status = 503, description = "The repository cannot be read", body = Problem),
    ),
)]
pub async fn preview_plan(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<PlanRequest>,
) -> Result<Json<PlanPreview>, Failure> {
    if request.revision.is_some() && request.files.is_some() {
        return Err(Failure::bad_request(
            "bad-body",
            "`revision` and `files` are both there",
            "send one of them",
        ));
    }
    let preview = state.cell.preview(request, caller.name).await?;
    Ok(Json(preview))
}

/// A plan from its records, newest first. It has left memory, so later plans took its place.
fn from_journal(records: &[Record], approvals_required: u32) -> Option<PlanView> {
    // Of a plan that was made more than once, the last time.
    let made = records
        .iter()
        .position(|record| matches!(record.event, Event::PlanMade { .. }))?;
    let mut fleet = Fleet::default();
    // The fold knows what became of a plan; the rest of the fleet does not matter to it.
    for (seq, record) in (1..).zip(records[..=made].iter().rev()) {
        let record = Record {
            seq,
            ..record.clone()
        };
        fleet.apply(&record);
    }
    let entry = fleet.plans.back()?;
    let status = match plan_status(&fleet, entry) {
        PlanStatus::Held => PlanStatus::Superseded,
        status @ (PlanStatus::Applied
        | PlanStatus::Refused
        | PlanStatus::Superseded
        | PlanStatus::Proposed) => status,
    };
    Some(PlanView {
        // What came of it stands in events of many kinds; these records do not say it.
        outcome: None,
        ..plan_view_of(&fleet, entry, status, approvals_required)
    })
}
