//! Plans.

use super::filter::PlanFilter;
use super::page::{self, Page};
use crate::fleet::{Fleet, PlanEntry};
use jiff::Timestamp;
use muster_schemas::api::{JobChangeView, List, PlanStatus, PlanView};
use muster_schemas::plan::{HoldReason, JobChange, Plan};

/// How a plan stands. One that was made and is neither applied nor held yet counts as held: nothing of it has happened.
pub(super) fn status(fleet: &Fleet, entry: &PlanEntry) -> PlanStatus {
    if entry.applied_at.is_some() {
        return PlanStatus::Applied;
    }
    let is_latest = fleet
        .plans
        .back()
        .is_some_and(|latest| latest.plan.id == entry.plan.id);
    if is_latest {
        PlanStatus::Held
    } else {
        PlanStatus::Superseded
    }
}

/// A page of the plans that match and are still in memory, newest first.
pub fn plans(fleet: &Fleet, filter: &PlanFilter, page: &Page) -> List<PlanView> {
    // A cursor whose plan has left memory had only older ones after it, which are gone too: nothing is after it.
    let mut passed = page.after.is_none();
    page::take(
        fleet
            .plans
            .iter()
            .rev()
            .filter(|entry| filter.matches(fleet, entry)),
        page.limit,
        |entry| {
            let is_after = passed;
            passed |= page.after.as_deref() == Some(entry.plan.id.as_str());
            is_after
        },
        |entry| entry.plan.id.to_string(),
        |entry| plan_view(fleet, entry),
    )
}

/// A plan that is still in memory.
pub fn plan_view(fleet: &Fleet, entry: &PlanEntry) -> PlanView {
    plan_view_of(
        &entry.plan,
        status(fleet, entry),
        &entry.holds,
        entry.made_at,
    )
}

/// A plan from its parts, as the journal tells them.
pub fn plan_view_of(
    plan: &Plan,
    status: PlanStatus,
    holds: &[HoldReason],
    made_at: Timestamp,
) -> PlanView {
    PlanView {
        id: plan.id.to_string(),
        parent: plan.parent.as_ref().map(ToString::to_string),
        revision: plan.revision.clone(),
        status,
        holds: holds.iter().map(ToString::to_string).collect(),
        changes: plan.changes.iter().map(change_view).collect(),
        refused: plan.refused.clone(),
        starts: plan.starts,
        stops: plan.stops,
        replaces: plan
            .changes
            .iter()
            .fold(0, |sum: u32, change| sum.saturating_add(change.replaces)),
        running: plan.running,
        made_at,
    }
}

fn change_view(change: &JobChange) -> JobChangeView {
    JobChangeView {
        job: change.job.to_string(),
        action: change.action.word().to_owned(),
        fields: change.fields.clone(),
        starts: change.starts,
        stops: change.stops,
        replaces: change.replaces,
        notes: change.notes.clone(),
    }
}
