//! What follows when a revision is read, or cannot be.

use super::{Draft, automation};
use crate::fleet::Fleet;
use crate::guard;
use crate::plan::{PlanInput, plan};
use muster_schemas::event::{Event, RepositoryTrouble};
use muster_schemas::plan::Plan;
use muster_schemas::state::Actor;

/// Plans the revision; applies the plan or holds it. A plan that says nothing new is not told again.
pub(super) fn take_revision(draft: &mut Draft<'_>, input: &PlanInput) {
    let documents = &input.documents;
    // A repository without a single document, although jobs are declared, is far more likely to be misread or overwritten
    // than meant. A mistaken freeze costs a commit, a mistaken prune the fleet.
    if documents.specs.is_empty()
        && documents.diagnostics.is_empty()
        && draft.fleet.jobs.values().any(|job| job.declared)
    {
        return take_trouble(
            draft,
            RepositoryTrouble::Empty {
                commit: input.revision.commit.clone(),
            },
        );
    }
    if draft.fleet.trouble.is_some() {
        draft.say(automation("git"), Event::RepositoryRecovered);
    }
    let plan = plan(draft.fleet, input);
    if is_known(draft.fleet, &plan) {
        return;
    }
    let id = plan.id.clone();
    let reasons = guard::check(&plan);
    let committer = Actor::Committer(plan.revision.author.clone());
    draft.say(
        committer,
        Event::PlanMade {
            plan: Box::new(plan),
        },
    );
    if reasons.is_empty() {
        draft.say(automation("guard"), Event::PlanApplied { plan: id });
    } else {
        draft.say(automation("guard"), Event::PlanHeld { plan: id, reasons });
    }
}

/// Whether the latest plan says the same already: it is held, or it was applied and nothing has to change any more.
fn is_known(fleet: &Fleet, plan: &Plan) -> bool {
    let Some(latest) = fleet.plans.back() else {
        return false;
    };
    let same_revision =
        latest.plan.revision.commit == plan.revision.commit && latest.plan.refused == plan.refused;
    let applied =
        latest.applied_at.is_some() && plan.changes.is_empty() && fleet.policy == plan.policy;
    let held = latest.applied_at.is_none()
        && latest.plan.changes == plan.changes
        && latest.plan.policy == plan.policy;
    same_revision && (applied || held)
}

/// Tells a trouble once, and again when it is another one.
pub(super) fn take_trouble(draft: &mut Draft<'_>, trouble: RepositoryTrouble) {
    if draft
        .fleet
        .trouble
        .as_ref()
        .is_none_or(|(known, _)| *known != trouble)
    {
        draft.say(automation("git"), Event::RepositoryTroubled { trouble });
    }
}
