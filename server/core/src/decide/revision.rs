//! What follows when a revision is read, or cannot be.

use super::{Draft, automation};
use crate::fleet::Fleet;
use crate::guard;
use crate::hooks;
use crate::plan::{PlanInput, plan, plan_released};
use crate::signatures::{self, Verdict};
use jiff::Timestamp;
use muster_schemas::event::{Event, RepositoryTrouble};
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{FreezeScope, HoldReason, JobAction, JobChange, Plan};
use muster_schemas::spec::{Hook, JobSpec};
use muster_schemas::state::Actor;
use std::sync::Arc;

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
    match signatures::judge(draft.fleet.policy.as_ref(), &input.signed, draft.now) {
        Verdict::Signed => {}
        Verdict::Refused(trouble) => return take_trouble(draft, trouble),
        // The policy has changed since the revision was read. Whoever reads it sees that, too, and reads it again.
        Verdict::Outdated => return,
    }
    if draft.fleet.trouble.is_some() {
        draft.say(automation("git"), Event::RepositoryRecovered);
    }
    let plan = plan(draft.fleet, input, draft.now);
    if is_known(draft.fleet, &plan) {
        return;
    }
    let committer = Actor::Committer(plan.revision.author.clone());
    submit(draft, committer, plan);
}

/// Tells a plan, and applies or holds it.
fn submit(draft: &mut Draft<'_>, actor: Actor, plan: Plan) {
    let id = plan.id.clone();
    let reasons = guard::check(draft.fleet, &plan, draft.now);
    draft.say(
        actor,
        Event::PlanMade {
            plan: Box::new(plan),
        },
    );
    if reasons.is_empty() {
        go_ahead(draft, automation("guard"), &id);
    } else {
        draft.say(automation("guard"), Event::PlanHeld { plan: id, reasons });
    }
}

/// Applies a plan that may go ahead, after its hooks where they have not run yet.
pub(crate) fn go_ahead(draft: &mut Draft<'_>, actor: Actor, id: &PlanId) {
    let Some(entry) = draft.fleet.plan(id) else {
        return;
    };
    let plan = id.clone();
    let jobs = match &entry.before_hooks {
        Some(_) => Vec::new(),
        None => hooks::before(draft.fleet, &entry.plan),
    };
    if jobs.is_empty() {
        return draft.say(actor, Event::PlanApplied { plan });
    }
    let hook = Hook::BeforeSync;
    draft.say(actor, Event::HooksBegan { plan, hook, jobs });
    let entry = draft.fleet.plan(id);
    let reasons = entry.map_or(Vec::new(), |entry| hooks::reasons(draft.fleet, entry));
    let plan = id.clone();
    draft.say(automation("guard"), Event::PlanHeld { plan, reasons });
}

/// Lets a held plan through when it is approved or its time has come, ends freezes whose time is over, and plans what is not
/// kept back any more.
pub(super) fn follow_plans(draft: &mut Draft<'_>) {
    end_freezes(draft);
    let held = draft
        .fleet
        .held_plan()
        .map(|entry| (Arc::clone(&entry.plan), entry.holds.clone()));
    let Some((plan, holds)) = held else {
        // What was kept back may not be asked for any more.
        let is_known = draft.fleet.trouble.is_none();
        if let Some(plan) = plan_released(draft.fleet, draft.now).filter(|_| is_known) {
            submit(draft, automation("guard"), plan);
        }
        return;
    };
    let id = plan.id.clone();
    let reasons = reasons_now(draft.fleet, &plan, &holds, draft.now);
    if reasons.is_empty() {
        go_ahead(draft, automation("guard"), &id);
    } else if guard::is_approved(draft.fleet, &plan, &reasons, draft.now) {
        let by = draft
            .fleet
            .plan(&id)
            .and_then(|entry| entry.approvals.last())
            .map_or_else(
                || automation("guard"),
                |word| Actor::Person(word.by.clone()),
            );
        go_ahead(draft, by, &id);
    } else if reasons != holds {
        draft.say(automation("guard"), Event::PlanHeld { plan: id, reasons });
    }
}

/// Why a held plan is held now. What needs a human goes on needing one, although the fleet may have grown meanwhile: nobody
/// expects a plan of last week to go ahead by itself. What is about time or a freeze passes with it.
fn reasons_now(
    fleet: &Fleet,
    plan: &Plan,
    holds: &[HoldReason],
    now: Timestamp,
) -> Vec<HoldReason> {
    let needs_human = |reason: &&HoldReason| match reason {
        HoldReason::TooManyStops { .. }
        | HoldReason::PolicyChanges
        | HoldReason::PolicySigner { .. } => true,
        // Hosts may have come since, which is all that it takes.
        HoldReason::TooLittleHeadroom { .. }
        | HoldReason::Frozen { .. }
        | HoldReason::FrozenByPolicy { .. }
        | HoldReason::OutOfTime { .. }
        | HoldReason::RepositoryInTrouble
        | HoldReason::HookRuns { .. }
        | HoldReason::HookFailed { .. } => false,
    };
    let same = |a: &HoldReason, b: &HoldReason| match (a, b) {
        (HoldReason::TooManyStops { part: a, .. }, HoldReason::TooManyStops { part: b, .. }) => {
            a == b
        }
        (a, b) => a == b,
    };
    let found = guard::check(fleet, plan, now);
    let kept: Vec<&HoldReason> = holds.iter().filter(needs_human).collect();
    let is_kept = |reason: &&HoldReason| kept.iter().any(|kept| same(kept, reason));
    let others = found.iter().filter(|reason| !is_kept(reason));
    let mut reasons: Vec<HoldReason> = others.cloned().collect();
    reasons.extend(kept.iter().map(|kept| {
        // It may be more by now than when it was told.
        let is_more =
            |reason: &&HoldReason| same(kept, reason) && stops_of(reason) > stops_of(kept);
        let more = found.iter().find(is_more);
        more.map_or_else(|| (*kept).clone(), Clone::clone)
    }));
    let entry = fleet.plan(&plan.id);
    if let Some(entry) = entry.filter(|entry| entry.before_hooks.is_some()) {
        // It was let through when its hooks began. Its time need not be now, and what people said yes to then they need not say
        // yes to again; what is frozen since, or is too much only now, holds it.
        let approved = entry.was_approved(guard::policy(fleet).approvals.required);
        reasons.retain(|reason| match reason {
            HoldReason::OutOfTime { .. } => false,
            HoldReason::TooManyStops { .. }
            | HoldReason::TooLittleHeadroom { .. }
            | HoldReason::PolicySigner { .. }
            | HoldReason::PolicyChanges => !approved,
            HoldReason::Frozen { .. }
            | HoldReason::FrozenByPolicy { .. }
            | HoldReason::RepositoryInTrouble
            | HoldReason::HookRuns { .. }
            | HoldReason::HookFailed { .. } => true,
        });
        reasons.extend(hooks::reasons(fleet, entry));
    }
    // The last good state holds: what has not gone ahead waits until it is known whether git still asks for it.
    if fleet.trouble.is_some() {
        reasons.push(HoldReason::RepositoryInTrouble);
    }
    reasons
}

fn stops_of(reason: &HoldReason) -> u32 {
    match reason {
        HoldReason::TooManyStops { stops, .. } => *stops,
        _ => 0,
    }
}

fn end_freezes(draft: &mut Draft<'_>) {
    let over: Vec<FreezeScope> = draft
        .fleet
        .freezes
        .iter()
        .filter(|freeze| freeze.until.is_some_and(|until| until <= draft.now))
        .map(|freeze| freeze.scope.clone())
        .collect();
    for scope in over {
        let reason = "its time is over".to_owned();
        draft.say(automation("guard"), Event::Resumed { scope, reason });
    }
}

/// Whether the latest plan says the same already: it is held, or it was applied and nothing has to change any more.
fn is_known(fleet: &Fleet, plan: &Plan) -> bool {
    let Some(latest) = fleet.plans.back() else {
        return false;
    };
    let same_revision =
        latest.plan.revision.commit == plan.revision.commit && latest.plan.refused == plan.refused;
    let kept_back = |plan: &Plan| -> Vec<_> {
        let changes = plan.withheld.iter();
        changes
            .map(|withheld| asked_for(&withheld.change))
            .collect()
    };
    let same_kept_back = kept_back(&latest.plan) == kept_back(plan);
    let applied =
        latest.applied_at.is_some() && plan.changes.is_empty() && fleet.policy == plan.policy;
    // The hooks' own changes hold already.
    let hooks = latest.before_hooks.as_ref();
    let by_hook = |job: &JobId| hooks.is_some_and(|began| began.jobs.contains(job));
    let changes = |plan: &Plan| -> Vec<_> {
        let others = plan.changes.iter();
        let others = others.filter(|change| !by_hook(&change.job));
        others.map(asked_for).collect()
    };
    let same_changes = changes(&latest.plan) == changes(plan);
    let held = latest.applied_at.is_none() && same_changes && latest.plan.policy == plan.policy;
    same_revision && same_kept_back && (applied || held)
}

/// What a change asks for, without how many tasks that concerns now: tasks come and go while a plan is held, and what somebody said of
/// it is said of what it asks for.
fn asked_for(change: &JobChange) -> (JobId, &'static str, Option<(Arc<JobSpec>, String)>) {
    let target = match &change.action {
        JobAction::Create { target } | JobAction::Update { target } => {
            Some((Arc::clone(&target.spec), target.image.clone()))
        }
        JobAction::Move { .. }
        | JobAction::Prune { .. }
        | JobAction::Undeclare { .. }
        | JobAction::Redeclare { .. } => None,
    };
    (change.job.clone(), change.action.word(), target)
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
