//! What automation may do unattended.
//!
//! Three bounds hold. A plan that takes too much away, by itself or with what was taken away shortly before, that asks for too
//! much, or comes at the wrong time, becomes a hold, whole: nothing of it happens until a human says yes to it ([`check`]). Every automated stop, whatever its reason, draws on one budget
//! ([`may_stop`]), which is counted from the journal and so survives a restart, and leaves of its job what the job's own
//! disruption budget wants left ([`crate::disruption`]). And what is frozen is left alone by both.
//!
//! The limits are the policy's that held *before* a plan: none can loosen what it is itself judged by.

mod budget;
mod limits;

pub use budget::{StopBudget, may_stop, stop_budget};
pub use limits::too_many_of_job;

use crate::decide::scale::graces_end_after;
use crate::disruption;
use crate::fleet::{Fleet, Freeze, Job};
use crate::headroom;
use crate::hooks;
use crate::signatures;
use crate::window;
use jiff::Timestamp;
use muster_schemas::ids::JobId;
use muster_schemas::plan::{FreezeScope, HoldReason, JobAction, JobChange, Plan, WithholdReason};
use muster_schemas::spec::{JobSpec, PolicySpec};
use muster_schemas::stop::StopRefusal;
use std::borrow::Cow;

/// The policy that holds: the repository's, or the built-in one.
pub fn policy(fleet: &Fleet) -> Cow<'_, PolicySpec> {
    match &fleet.policy {
        Some(policy) => Cow::Borrowed(policy),
        None => Cow::Owned(PolicySpec::built_in()),
    }
}

/// Why a plan may not go ahead by itself now; empty if it may.
pub fn check(fleet: &Fleet, plan: &Plan, now: Timestamp) -> Vec<HoldReason> {
    let policy = policy(fleet);
    let mut reasons = Vec::new();
    if let Some(freeze) = fleet.freeze(&FreezeScope::Cell, now)
        && !plan.changes.is_empty()
    {
        reasons.push(HoldReason::Frozen {
            scope: freeze.scope.clone(),
            by: freeze.by.clone(),
            reason: freeze.reason.clone(),
        });
    }
    // What is frozen while a plan is made is kept back from it. This is what was frozen since.
    for change in &plan.changes {
        let Some(WithholdReason::Frozen { scope, by, reason }) =
            withhold(fleet, &change.job, target_spec(change), now)
        else {
            continue;
        };
        let reason = HoldReason::Frozen { scope, by, reason };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    // Nobody touches a hook that is frozen, so what waits for it waits.
    for job in hooks::before(fleet, plan) {
        let Some(WithholdReason::Frozen { scope, by, reason }) = withhold(fleet, &job, None, now)
        else {
            continue;
        };
        let reason = HoldReason::Frozen { scope, by, reason };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    // The freeze of the plan's own policy: so the commit that ends a freeze is not held by it.
    if let Some(reason) = plan
        .policy
        .as_ref()
        .and_then(|policy| policy.freeze.clone())
        && !plan.changes.is_empty()
    {
        reasons.push(HoldReason::FrozenByPolicy { reason });
    }
    let anything = !plan.changes.is_empty() || plan.policy_changes;
    if anything && let Err(shut) = window::open_at(&policy.windows, now) {
        reasons.push(HoldReason::OutOfTime {
            window: shut.window,
            until: shut.until,
        });
    }
    if plan.policy_changes && policy.approvals.for_policy {
        reasons.push(HoldReason::PolicyChanges);
    }
    if plan.policy_changes && !signatures::may_change_policy(fleet, plan) {
        reasons.push(HoldReason::PolicySigner {
            signed_by: plan.signed_by.clone(),
        });
    }
    reasons.extend(limits::too_many_stops(fleet, plan, &policy, now));
    reasons.extend(headroom::too_little(fleet, plan, &policy.headroom));
    reasons
}

/// What a change asks for from here on, where it says so.
pub(crate) fn target_spec(change: &JobChange) -> Option<&JobSpec> {
    match &change.action {
        JobAction::Create { target } | JobAction::Update { target } => Some(&target.spec),
        JobAction::Move { .. }
        | JobAction::Prune { .. }
        | JobAction::Undeclare { .. }
        | JobAction::Redeclare { .. } => None,
    }
}

/// Whether a plan that is held for `reasons` may go ahead by people's word.
pub fn is_approved(fleet: &Fleet, plan: &Plan, reasons: &[HoldReason], now: Timestamp) -> bool {
    reasons.iter().all(HoldReason::can_be_approved)
        && fleet.plan(&plan.id).is_some_and(|entry| {
            let people = entry.approvers(now).len();
            // Nobody can have said yes to a failure that nobody has been told of.
            let fails = reasons
                .iter()
                .any(|reason| matches!(reason, HoldReason::HookFailed { .. }));
            let is_told = !fails || entry.approved_before.is_some();
            is_told
                && people >= usize::try_from(policy(fleet).approvals.required).unwrap_or(usize::MAX)
        })
}

/// Why a change of a job has to be kept back now, if it has.
pub fn withhold(
    fleet: &Fleet,
    job: &JobId,
    spec: Option<&JobSpec>,
    now: Timestamp,
) -> Option<WithholdReason> {
    let job_scope = FreezeScope::Job { job: job.clone() };
    let apps = [fleet.jobs.get(job).map(Job::spec), spec];
    let app_scopes = apps.into_iter().flatten().map(|spec| FreezeScope::App {
        app: spec.app().to_owned(),
    });
    let freeze = std::iter::once(job_scope)
        .chain(app_scopes)
        .find_map(|scope| fleet.freeze(&scope, now))?;
    Some(frozen(freeze))
}

fn frozen(freeze: &Freeze) -> WithholdReason {
    WithholdReason::Frozen {
        scope: freeze.scope.clone(),
        by: freeze.by.clone(),
        reason: freeze.reason.clone(),
    }
}

/// The freeze that keeps automation from taking anything of a job away, if there is one.
pub fn frozen_by(fleet: &Fleet, job: &Job, now: Timestamp) -> Option<StopRefusal> {
    if let Some(freeze) = fleet.freeze(&FreezeScope::Cell, now) {
        return Some(StopRefusal::Frozen {
            freeze: frozen(freeze),
        });
    }
    if let Some(freeze) = withhold(fleet, &job.id, None, now) {
        return Some(StopRefusal::Frozen { freeze });
    }
    let policy = fleet.policy.as_ref()?;
    let reason = policy.freeze.clone()?;
    Some(StopRefusal::FrozenByPolicy { reason })
}

/// The next time at which a held plan is to be looked at again, or a freeze or the grace of a pruned job ends, if nothing comes in before.
pub fn next_due(fleet: &Fleet, now: Timestamp) -> Option<Timestamp> {
    let held = fleet
        .held_plan()
        .into_iter()
        .flat_map(|entry| &entry.holds)
        .filter_map(|reason| match reason {
            HoldReason::OutOfTime { until, .. } => *until,
            HoldReason::TooManyStops { .. }
            | HoldReason::Frozen { .. }
            | HoldReason::FrozenByPolicy { .. }
            | HoldReason::TooLittleHeadroom { .. }
            | HoldReason::PolicyChanges
            | HoldReason::PolicySigner { .. }
            | HoldReason::RepositoryInTrouble
            | HoldReason::HookRuns { .. }
            | HoldReason::HookFailed { .. } => None,
        });
    let freezes = fleet.freezes.iter().filter_map(|freeze| freeze.until);
    let graces = fleet
        .jobs
        .values()
        .filter_map(|job| job.tombstone.as_ref())
        .map(|tombstone| tombstone.until.max(graces_end_after(fleet)));
    held.chain(freezes)
        .chain(graces)
        .chain(disruption::next_due(fleet, now))
        .filter(|due| *due > now)
        .min()
}
