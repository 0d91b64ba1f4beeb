//! How much a plan may take away without a person's word: by itself, and with what was taken away shortly before it.

use super::{policy, target_spec};
use crate::drift;
use crate::fleet::{Fleet, Job, Task};
use crate::plan::{serving_tasks, surplus_tasks, takes_away_now};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::JobId;
use muster_schemas::plan::{HoldReason, JobAction, JobChange, LimitScope, Plan};
use muster_schemas::spec::{JobSpec, PolicySpec, ScopeLimits, Strategy, Tier};
use std::collections::BTreeMap;

/// What is taken away of one job.
struct Takes<'a> {
    app: &'a str,
    tier: Tier,
    /// Tasks that what is judged takes.
    now: u32,
    /// Those of them that are what runs beyond the size that is asked for, be it left from before.
    beyond: u32,
    /// Tasks that were taken shortly before, and are not given back by it.
    before: u32,
    /// Those of them that do not run any more.
    gone: u32,
}

impl<'a> Takes<'a> {
    fn of(spec: &'a JobSpec, now: u32, beyond: u32) -> Self {
        Self {
            app: spec.app(),
            tier: spec.tier,
            now,
            beyond,
            before: 0,
            gone: 0,
        }
    }

    fn is_in(&self, part: Option<&LimitScope>) -> bool {
        part.is_none_or(|part| is_in(self.app, self.tier, part))
    }
}

/// The limits that a plan exceeds.
pub(super) fn too_many_stops(
    fleet: &Fleet,
    plan: &Plan,
    policy: &PolicySpec,
    now: Timestamp,
) -> Vec<HoldReason> {
    // What runs may have become less since the plan was made, and a part of it more.
    let changed = plan.changes.iter().filter_map(|change| {
        let takes = takes_away_now(fleet, change);
        let spec = changed_spec(fleet, change)?;
        // Of a service that gets smaller only the change of its size counts.
        let is_resized =
            matches!(change.action, JobAction::Update { .. }) && spec.service.is_some();
        let beyond = if is_resized { 0 } else { takes };
        Some((&change.job, Takes::of(spec, takes, beyond)))
    });
    let mut takes: BTreeMap<&JobId, Takes<'_>> = changed.collect();
    for (job, shrinks_by) in shrunk_by_policy(fleet, plan) {
        let entry = takes.entry(&job.id);
        let entry = entry.or_insert_with(|| Takes::of(job.spec(), 0, 0));
        entry.now += shrinks_by;
        entry.beyond += shrinks_by;
    }
    let size_after = |job: &Job| {
        let change = plan.changes.iter().find(|change| change.job == job.id);
        change.map_or_else(
            || job.size_asked_for(),
            |change| size_after(job, change, plan),
        )
    };
    add_before(fleet, &mut takes, policy, now, size_after);
    judge(fleet, &takes, policy)
}

/// The limits that taking so many tasks of one job away at once, so that `desired` are left, would exceed: as
/// [`HoldReason::TooManyStops`], which a plan that does it would be held for.
pub fn too_many_of_job(
    fleet: &Fleet,
    job: &Job,
    stops: u32,
    desired: u32,
    now: Timestamp,
) -> Vec<HoldReason> {
    let policy = policy(fleet);
    let mut takes = BTreeMap::from([(&job.id, Takes::of(job.spec(), stops, stops))]);
    add_before(fleet, &mut takes, &policy, now, |other| {
        if other.id == job.id {
            desired
        } else {
            other.size_asked_for()
        }
    });
    judge(fleet, &takes, &policy)
}

/// Adds what was taken away shortly before and is not given back, where `size_after` is what is asked for of a job from here on.
fn add_before<'a>(
    fleet: &'a Fleet,
    takes: &mut BTreeMap<&'a JobId, Takes<'a>>,
    policy: &PolicySpec,
    now: Timestamp,
    size_after: impl Fn(&Job) -> u32,
) {
    let begin = now
        .checked_sub(policy.limits.plan_window.signed())
        .unwrap_or(Timestamp::MIN);
    for (id, reduced, taken) in fleet.reductions.since(begin) {
        let job = fleet.jobs.get(id);
        let asked_for = job.map_or(0, Job::size_asked_for);
        // What is asked for again is given back once it runs.
        let runs = job.map_or(0, |job| running_tasks(fleet, job));
        let back = runs.min(asked_for.max(job.map_or(0, &size_after)));
        let before = taken.most.saturating_sub(taken.least.max(back));
        let before = before.saturating_add(taken.given_up);
        // Not all of it need have stopped yet. What runs on is in what runs, and in what is taken of the job now.
        let runs_on = job.map_or(0, |job| surplus_tasks(job, asked_for));
        let entry = takes.entry(id).or_insert(Takes {
            app: &reduced.app,
            tier: reduced.tier,
            now: 0,
            beyond: 0,
            before: 0,
            gone: 0,
        });
        entry.before = before.saturating_sub(runs_on.min(entry.beyond));
        entry.gone = before.saturating_sub(runs_on);
    }
    for job in fleet.jobs.values() {
        let down = down_by_rollout(fleet, job, begin, now);
        if down > 0 {
            let entry = takes.entry(&job.id);
            let entry = entry.or_insert_with(|| Takes::of(job.spec(), 0, 0));
            // What is judged may take the same ones.
            let more = down.saturating_sub(entry.now);
            entry.before = entry.before.saturating_add(more);
        }
    }
}

/// A rollout that has begun so lately takes what it may take down in a moment.
const BEGINS: SignedDuration = SignedDuration::from_secs(60);

/// So many tasks of a job its rollout has down, or takes down in a moment, which nobody approved: what began within the window counts
/// until its tasks are healthy, so that a series of rollouts is judged as the one that they add up to.
fn down_by_rollout(fleet: &Fleet, job: &Job, begin: Timestamp, now: Timestamp) -> u32 {
    let Some(rollout) = job.rollout.as_ref().filter(|rollout| rollout.since > begin) else {
        return 0;
    };
    // A later version that makes the same containers may say something else.
    let brought = job.versions.get(&job.current().template);
    let brought = brought.unwrap_or_else(|| job.current());
    let is_approved = fleet.plan(&brought.plan).is_some_and(|entry| {
        !entry.approved_stops.is_empty() || !entry.parts_approved().is_empty()
    });
    let may_be_down = |spec: &JobSpec| {
        let service = spec.service.as_ref();
        service.map_or(0, |service| match service.rollout.strategy() {
            Strategy::RedBlack(_) => 0,
            Strategy::Rolling | Strategy::Canary(_) => service.rollout.max_unavailable,
        })
    };
    let may_be_down = may_be_down(&brought.spec).max(may_be_down(job.spec()));
    if may_be_down == 0 || is_approved {
        return 0;
    }
    let desired = job.desired();
    let spares = job.spec().disruption_budget.as_ref();
    let spares = spares.map_or(desired, |budget| {
        desired.saturating_sub(budget.floor(desired))
    });
    let begins = rollout.aborted.is_none() && now.duration_since(rollout.since) < BEGINS;
    let serves =
        |task: &&Task| fleet.is_healthy(task) && (!begins || !job.is_outdated(task.version));
    let serving = job.tasks.values().filter(serves).count();
    let serving = u32::try_from(serving).unwrap_or(u32::MAX);
    may_be_down.min(spares).min(desired.saturating_sub(serving))
}

/// Tasks of a job whose containers run and are not being stopped.
fn running_tasks(fleet: &Fleet, job: &Job) -> u32 {
    let attempts = job.tasks.values();
    let attempts = attempts.filter_map(|task| fleet.current_attempt(task));
    let running = attempts.filter(|attempt| attempt.is_running() && attempt.stop.is_none());
    u32::try_from(running.count()).unwrap_or(u32::MAX)
}

fn judge(
    fleet: &Fleet,
    takes: &BTreeMap<&JobId, Takes<'_>>,
    policy: &PolicySpec,
) -> Vec<HoldReason> {
    let cell = (None, policy.limits.stops_per_plan);
    let parts = parts(policy).into_iter();
    let parts = parts.filter_map(|(part, limits)| Some((Some(part), limits.stops_per_plan?)));
    let mut reasons = Vec::new();
    for (part, bound) in std::iter::once(cell).chain(parts) {
        let sum = |count: fn(&Takes<'_>) -> u32| {
            let within = takes.values().filter(|takes| takes.is_in(part.as_ref()));
            within.map(count).fold(0, u32::saturating_add)
        };
        let (now, before) = (sum(|takes| takes.now), sum(|takes| takes.before));
        let runs = match &part {
            Some(part) => running_in(fleet, part),
            None => fleet.running_tasks(),
        };
        let running = runs.saturating_add(sum(|takes| takes.gone));
        let stops = now.saturating_add(before);
        if now > 0 && bound.is_exceeded_by(stops, running) {
            reasons.push(HoldReason::TooManyStops {
                stops,
                before,
                running,
                limit_count: bound.count,
                limit_percent: bound.percent,
                part,
            });
        }
    }
    reasons
}

/// The size that a plan leaves a job with.
fn size_after(job: &Job, change: &JobChange, plan: &Plan) -> u32 {
    match &change.action {
        JobAction::Create { target } | JobAction::Update { target } => job
            .resize_under(&target.spec, plan.policy.as_ref())
            .map_or_else(|| target.spec.size(), |resize| resize.desired),
        JobAction::Prune { .. } => 0,
        // Also what has a grace runs on once nothing is pruned any more.
        JobAction::Redeclare { .. } | JobAction::Undeclare { .. } => job.desired(),
        JobAction::Move { .. } => job.size_asked_for(),
    }
}

/// The jobs that a new policy makes smaller, and by how much: it ends sizes that were set beside git and that no change of the plan
/// ends already.
fn shrunk_by_policy<'a>(fleet: &'a Fleet, plan: &'a Plan) -> impl Iterator<Item = (&'a Job, u32)> {
    let jobs = fleet.jobs.values().filter(|_| plan.policy_changes);
    jobs.filter(|job| {
        drift::ends_resize(job, fleet.policy.as_ref(), plan.policy.as_ref())
            && !plan
                .changes
                .iter()
                .any(|change| change.job == job.id && ends_resize(job, change, plan))
    })
    .map(|job| (job, serving_tasks(job).saturating_sub(job.spec().size())))
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

/// The spec by which a change belongs to an app and a tier: the one that holds until it is made.
fn changed_spec<'a>(fleet: &'a Fleet, change: &'a JobChange) -> Option<&'a JobSpec> {
    match fleet.jobs.get(&change.job) {
        Some(job) => Some(job.spec()),
        None => target_spec(change),
    }
}

/// The parts of the cell that have limits of their own.
pub(super) fn parts(policy: &PolicySpec) -> Vec<(LimitScope, ScopeLimits)> {
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

fn is_in(app: &str, tier: Tier, part: &LimitScope) -> bool {
    match part {
        LimitScope::App { app: part } => app == part,
        LimitScope::Tier { tier: part } => tier == *part,
    }
}

/// Whether a job is in a part of the cell.
pub(super) fn has(fleet: &Fleet, part: &LimitScope, job: &JobId) -> bool {
    fleet.jobs.get(job).is_some_and(|job| {
        let spec = job.spec();
        is_in(spec.app(), spec.tier, part)
    })
}

/// Tasks of a part of the cell that run.
pub(super) fn running_in(fleet: &Fleet, part: &LimitScope) -> u32 {
    let running = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.is_running() && has(fleet, part, &attempt.task.job))
        .count();
    u32::try_from(running).unwrap_or(u32::MAX)
}
