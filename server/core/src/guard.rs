//! What automation may do unattended.
//!
//! Three bounds hold. A plan that takes too much away at once, asks for too much, or comes at the wrong time, becomes a hold, whole: nothing of it
//! happens until a human says yes to it ([`check`]). Every automated stop, whatever its reason, draws on one budget
//! ([`may_stop`]), which is counted from the journal and so survives a restart, and leaves of its job what the job's own
//! disruption budget wants left ([`crate::disruption`]). And what is frozen is left alone by both.
//!
//! The limits are the policy's that held *before* a plan: none can loosen what it is itself judged by.

use crate::decide::scale::graces_end_after;
use crate::disruption;
use crate::drift;
use crate::fleet::{Attempt, Fleet, Freeze, Job, STOP_WINDOW_SECS};
use crate::headroom;
use crate::hooks;
use crate::plan::{serving_tasks, takes_away_now};
use crate::signatures;
use crate::window;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::JobId;
use muster_schemas::plan::{
    FreezeScope, HoldReason, JobAction, JobChange, LimitScope, Plan, WithholdReason,
};
use muster_schemas::spec::{Bound, JobSpec, PolicySpec, ScopeLimits, Tier};
use muster_schemas::state::StopReason;
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
    reasons.extend(too_many_stops(fleet, plan, &policy));
    reasons.extend(headroom::too_little(fleet, plan, &policy.headroom));
    reasons
}

fn too_many_stops(fleet: &Fleet, plan: &Plan, policy: &PolicySpec) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    let mut judge = |part: Option<LimitScope>, bound: Bound, stops: u32, running: u32| {
        if bound.is_exceeded_by(stops, running) {
            reasons.push(HoldReason::TooManyStops {
                stops,
                running,
                limit_count: bound.count,
                limit_percent: bound.percent,
                part,
            });
        }
    };
    // What runs may have become less since the plan was made, and a part of it more.
    let running = fleet.running_tasks();
    let changed = plan
        .changes
        .iter()
        .filter_map(|change| Some((changed_spec(fleet, change)?, takes_away_now(fleet, change))));
    let takes_away: Vec<(&JobSpec, u32)> = changed
        .chain(shrunk_by_policy(fleet, plan))
        .filter(|(_, takes_away)| *takes_away > 0)
        .collect();
    let sum = |sum: u32, (_, takes_away): &(&JobSpec, u32)| sum.saturating_add(*takes_away);
    let stops = takes_away.iter().fold(0, sum);
    judge(None, policy.limits.stops_per_plan, stops, running);
    for (part, limits) in parts(policy) {
        let Some(bound) = limits.stops_per_plan else {
            continue;
        };
        let stops = takes_away
            .iter()
            .filter(|(spec, _)| is_in(spec, &part))
            .fold(0, sum);
        let running = running_in(fleet, &part);
        judge(Some(part), bound, stops, running);
    }
    reasons
}

/// The jobs that a new policy makes smaller, and by how much: it ends sizes that were set beside git and that no change of the plan
/// ends already.
fn shrunk_by_policy<'a>(
    fleet: &'a Fleet,
    plan: &'a Plan,
) -> impl Iterator<Item = (&'a JobSpec, u32)> {
    let jobs = fleet.jobs.values().filter(|_| plan.policy_changes);
    jobs.filter(|job| {
        drift::ends_resize(job, fleet.policy.as_ref(), plan.policy.as_ref())
            && !plan
                .changes
                .iter()
                .any(|change| change.job == job.id && ends_resize(job, change, plan))
    })
    .map(|job| {
        let spec = job.spec();
        (spec, serving_tasks(job).saturating_sub(spec.size()))
    })
}

/// Whether a change ends the job's size beside git itself, so that what it takes away has that in it.
fn ends_resize(job: &Job, change: &JobChange, plan: &Plan) -> bool {
    match &change.action {
        JobAction::Create { target } | JobAction::Update { target } => job
            .resize_under(&target.spec, plan.policy.as_ref())
            .is_none(),
        JobAction::Prune { .. } => true,
        JobAction::Move { .. } | JobAction::Undeclare { .. } | JobAction::Redeclare { .. } => false,
    }
}

/// The limit that taking so many tasks of one job away at once would exceed, if there is one: as [`HoldReason::TooManyStops`],
/// which a plan that does it would be held for.
pub fn too_many_of_job(fleet: &Fleet, job: &Job, stops: u32) -> Option<HoldReason> {
    let policy = policy(fleet);
    let exceeded = |part: Option<LimitScope>, bound: Bound, running: u32| {
        bound
            .is_exceeded_by(stops, running)
            .then_some(HoldReason::TooManyStops {
                stops,
                running,
                limit_count: bound.count,
                limit_percent: bound.percent,
                part,
            })
    };
    exceeded(None, policy.limits.stops_per_plan, fleet.running_tasks()).or_else(|| {
        parts(&policy)
            .into_iter()
            .filter(|(part, _)| is_in(job.spec(), part))
            .find_map(|(part, limits)| {
                let running = running_in(fleet, &part);
                exceeded(Some(part), limits.stops_per_plan?, running)
            })
    })
}

/// The parts of the cell that have limits of their own.
fn parts(policy: &PolicySpec) -> Vec<(LimitScope, ScopeLimits)> {
    let apps = policy
        .apps
        .iter()
        .map(|(app, limits)| (LimitScope::App { app: app.clone() }, *limits));
    let tiers = [
        (Tier::Critical, policy.tiers.critical),
        (Tier::Flex, policy.tiers.flex),
    ];
    let tiers = tiers
        .into_iter()
        .filter_map(|(tier, limits)| Some((LimitScope::Tier { tier }, limits?)));
    apps.chain(tiers).collect()
}

/// The spec by which a change belongs to an app and a tier: the one that holds until it is made.
fn changed_spec<'a>(fleet: &'a Fleet, change: &'a JobChange) -> Option<&'a JobSpec> {
    match fleet.jobs.get(&change.job) {
        Some(job) => Some(job.spec()),
        None => target_spec(change),
    }
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

fn is_in(spec: &JobSpec, part: &LimitScope) -> bool {
    match part {
        LimitScope::App { app } => spec.app() == app,
        LimitScope::Tier { tier } => spec.tier == *tier,
    }
}

fn running_in(fleet: &Fleet, part: &LimitScope) -> u32 {
    let is_in = |job: &JobId| {
        fleet
            .jobs
            .get(job)
            .is_some_and(|job| is_in(job.spec(), part))
    };
    let running = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.is_running() && is_in(&attempt.task.job))
        .count();
    u32::try_from(running).unwrap_or(u32::MAX)
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

/// The budget that every automated stop in the cell draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBudget {
    /// Automated stops allowed in any 60 seconds.
    pub per_minute: u32,
    /// How many of them are left now.
    pub left: u32,
}

/// The cell's stop budget as it stands at `now`.
pub fn stop_budget(fleet: &Fleet, now: Timestamp) -> StopBudget {
    let bound = policy(fleet).limits.stops_per_minute;
    budget(bound, fleet.running_tasks(), spent(fleet, now, |_| true))
}

fn budget(bound: Bound, running: u32, spent: u32) -> StopBudget {
    let per_minute = bound.of(running);
    StopBudget {
        per_minute,
        left: per_minute.saturating_sub(spent),
    }
}

fn spent(fleet: &Fleet, now: Timestamp, counts: impl Fn(&JobId) -> bool) -> u32 {
    let begin = now - SignedDuration::from_secs(STOP_WINDOW_SECS);
    let spent = fleet
        .stops
        .iter()
        .filter(|stop| stop.at > begin && counts(&stop.job))
        .count();
    u32::try_from(spent).unwrap_or(u32::MAX)
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

/// Whether automation may stop an attempt of a job now, for this reason.
///
/// # Errors
///
/// Why it may not.
pub fn may_stop(
    fleet: &Fleet,
    job: &Job,
    attempt: &Attempt,
    reason: &StopReason,
    now: Timestamp,
) -> Result<(), StopRefusal> {
    if let Some(refusal) = frozen_by(fleet, job, now) {
        return Err(refusal);
    }
    if let Some(refusal) = disruption::refuses_stop(fleet, job, attempt, reason, now) {
        return Err(refusal);
    }
    let policy = policy(fleet);
    let StopBudget { per_minute, left } = stop_budget(fleet, now);
    if left == 0 {
        let first = fleet.stops.front();
        let until = first.map(|stop| stop.at + SignedDuration::from_secs(STOP_WINDOW_SECS));
        return Err(StopRefusal::BudgetSpent { per_minute, until });
    }
    let spec = job.spec();
    for (part, limits) in parts(&policy) {
        let Some(bound) = limits.stops_per_minute.filter(|_| is_in(spec, &part)) else {
            continue;
        };
        let in_part = |job: &JobId| {
            fleet
                .jobs
                .get(job)
                .is_some_and(|job| is_in(job.spec(), &part))
        };
        let budget = budget(bound, running_in(fleet, &part), spent(fleet, now, in_part));
        if budget.left == 0 {
            let per_minute = budget.per_minute;
            return Err(StopRefusal::PartBudgetSpent { part, per_minute });
        }
    }
    Ok(())
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
