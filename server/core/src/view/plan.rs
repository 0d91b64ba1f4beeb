//! Plans.

use super::filter::PlanFilter;
use super::page::{self, Page};
use crate::access;
use crate::fleet::{Fleet, PlanEntry, PlanWord};
use crate::guard;
use jiff::Timestamp;
use muster_schemas::api::{
    JobChangeView, List, PlanOutcomeView, PlanStatus, PlanView, PlanWordView, WithheldView,
};
use muster_schemas::plan::{HoldReason, JobChange, Plan};

/// How a plan stands. One that was made and is neither applied nor held yet counts as held: nothing of it has happened.
pub fn status(fleet: &Fleet, entry: &PlanEntry) -> PlanStatus {
    if entry.applied_at.is_some() {
        return PlanStatus::Applied;
    }
    if entry.refusal.is_some() {
        return PlanStatus::Refused;
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
    let status = status(fleet, entry);
    let required = guard::policy(fleet).approvals.required;
    plan_view_of(fleet, entry, status, required)
}

/// A plan from its parts, as the journal tells them, for a fleet as it was.
pub fn plan_view_of(
    fleet: &Fleet,
    entry: &PlanEntry,
    status: PlanStatus,
    approvals_required: u32,
) -> PlanView {
    let plan: &Plan = &entry.plan;
    PlanView {
        id: plan.id.to_string(),
        parent: plan.parent.as_ref().map(ToString::to_string),
        revision: plan.revision.clone(),
        signed_by: plan.signed_by.clone(),
        status,
        holds: entry.holds.iter().map(ToString::to_string).collect(),
        can_be_approved: status == PlanStatus::Held
            && entry.holds.iter().all(HoldReason::can_be_approved),
        approvals_required,
        approvals: entry.approvals.iter().map(word_view).collect(),
        refusal: entry.refusal.as_ref().map(word_view),
        withheld: plan
            .withheld
            .iter()
            .map(|withheld| WithheldView {
                change: change_view(&withheld.change),
                reason: withheld.reason.to_string(),
            })
            .collect(),
        policy_changes: plan.policy_changes,
        apps: access::apps_of(fleet, plan).into_iter().collect(),
        prediction: entry.prediction.as_deref().cloned(),
        outcome: entry.applied_at.map(|applied| outcome(entry, applied)),
        changes: plan.changes.iter().map(change_view).collect(),
        refused: plan.refused.clone(),
        starts: plan.starts,
        stops: plan.stops,
        replaces: plan
            .changes
            .iter()
            .fold(0, |sum: u32, change| sum.saturating_add(change.replaces)),
        running: plan.running,
        made_at: entry.made_at,
        applied_at: entry.applied_at,
    }
}

fn outcome(entry: &PlanEntry, applied: Timestamp) -> PlanOutcomeView {
    let outcome = &entry.outcome;
    let mut starts: Vec<_> = outcome.starts.iter().collect();
    starts.sort_unstable();
    let mut as_predicted = 0;
    // A task can start more than once; each start makes one prediction true.
    for predicted in entry.prediction.iter().flat_map(|known| &known.starts) {
        if let Ok(place) = starts.binary_search(&predicted) {
            starts.remove(place);
            as_predicted += 1;
        }
    }
    PlanOutcomeView {
        started: outcome.started,
        as_predicted,
        stopped: outcome.stopped,
        seconds: outcome
            .last_at
            .and_then(|last| u32::try_from(last.duration_since(applied).as_secs()).ok()),
    }
}

fn word_view(word: &PlanWord) -> PlanWordView {
    PlanWordView {
        by: word.by.clone(),
        reason: word.reason.clone(),
        at: word.at,
        expires_at: word.expires_at,
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
