//! Drift: where what runs is not what git says, field by field, who made it so, and what will happen about it.
//!
//! Everything here is read from the fleet. What follows from it is decided in `decide`: what is put back while a container runs,
//! what is replaced, and which sizes end.

use crate::describe::short;
use crate::fleet::{Attempt, Fleet, Job, Movement, PlanEntry, Resize};
use crate::guard;
use crate::plan::changed_parts;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::drift::{DriftCause, DriftEntry, DriftField, FieldDrift, Healing};
use muster_schemas::plan::{FieldChange, JobAction, JobChange, Revision};
use muster_schemas::spec::{JobKind, JobSpec, PolicySpec};
use muster_schemas::state::Phase;
use muster_schemas::stop::StopRefusal;

/// A size that was set beside git ends after so long, unless the policy ignores the field: what overrides git must not be
/// forgotten, and an hour is enough to commit it.
pub const RESIZE_EXPIRES: SignedDuration = SignedDuration::from_hours(1);

/// Whether a policy says that a field of a job may differ from git.
pub fn is_ignored(policy: Option<&PolicySpec>, spec: &JobSpec, field: DriftField) -> bool {
    policy.is_some_and(|policy| {
        policy.ignored_fields.iter().any(|ignored| {
            let of_job = ignored
                .job
                .as_ref()
                .is_none_or(|job| job == spec.name.as_str());
            let of_app = ignored.app.as_ref().is_none_or(|app| app == spec.app());
            of_job && of_app && ignored.fields.contains(&field)
        })
    })
}

/// Whether the policy that holds has drift put back.
pub fn heals(fleet: &Fleet) -> bool {
    fleet.policy.as_ref().is_some_and(|policy| policy.self_heal)
}

/// When a size that was set beside git ends by itself; never where the policy ignores the field and nobody said until when.
pub fn resize_ends(fleet: &Fleet, job: &Job, resize: &Resize) -> Option<Timestamp> {
    let ignored = is_ignored(fleet.policy.as_ref(), job.spec(), DriftField::Desired);
    match resize.until {
        Some(until) => Some(until),
        None if ignored => None,
        // The policy ignored it when it was set, and does not any more.
        None => Some(resize.since + RESIZE_EXPIRES),
    }
}

/// Whether another policy ends a size that the one that holds lets stand: it ignores the field no more, or heals.
pub(crate) fn ends_resize(
    job: &Job,
    before: Option<&PolicySpec>,
    after: Option<&PolicySpec>,
) -> bool {
    let ignored = |policy| is_ignored(policy, job.spec(), DriftField::Desired);
    let heals = |policy: Option<&PolicySpec>| policy.is_some_and(|policy| policy.self_heal);
    let no_more_ignored = ignored(before) && !ignored(after);
    let heals_now = heals(after) && !heals(before) && !ignored(after);
    job.resize.is_some() && (no_more_ignored || heals_now)
}

/// What of an attempt's running container is not as it was created, without what the policy ignores.
fn on_container<'a>(
    fleet: &'a Fleet,
    job: &'a Job,
    attempt: &'a Attempt,
) -> impl Iterator<Item = &'a FieldDrift> {
    let spec = job
        .versions
        .get(&attempt.version)
        .map_or(job.spec(), |version| &version.spec);
    let runs = attempt
        .status
        .as_ref()
        .is_some_and(|status| matches!(status.phase, Phase::Running));
    attempt
        .drift()
        .iter()
        .filter(move |drift| runs && !is_ignored(fleet.policy.as_ref(), spec, drift.field))
}

/// What is to be put back on an attempt's running container at `now`.
pub(crate) fn to_put_back(fleet: &Fleet, attempt: &Attempt, now: Timestamp) -> Vec<DriftField> {
    let Some(job) = fleet.jobs.get(&attempt.task.job) else {
        return Vec::new();
    };
    if !heals(fleet) || fleet.down || attempt.stop.is_some() {
        return Vec::new();
    }
    let fields: Vec<DriftField> = on_container(fleet, job, attempt)
        .map(|drift| drift.field)
        .collect();
    if fields.is_empty() || guard::frozen_by(fleet, job, now).is_some() {
        return Vec::new();
    }
    fields
}

/// What of an attempt's container makes that it has to be replaced: it cannot be put back while the container runs. Tasks of
/// batch jobs are not replaced for it.
pub(crate) fn beyond_mending<'a>(
    fleet: &'a Fleet,
    job: &'a Job,
    attempt: &'a Attempt,
    now: Timestamp,
) -> Option<(DriftField, &'a str)> {
    if !heals(fleet) || job.spec().kind() == JobKind::Batch {
        return None;
    }
    let stuck = on_container(fleet, job, attempt)
        .find_map(|drift| Some((drift.field, drift.stuck.as_deref()?)))?;
    guard::frozen_by(fleet, job, now).is_none().then_some(stuck)
}

/// A freeze in words.
pub(crate) fn freeze_words(refusal: &StopRefusal, now: Timestamp) -> String {
    match refusal {
        StopRefusal::Frozen { freeze } => freeze.to_string(),
        StopRefusal::FrozenByPolicy { reason } => format!("the policy freezes the cell: {reason}"),
        other => crate::describe::reasons::stop_refusal(other, now),
    }
}

/// All drift at `now`, by job, task and field.
pub fn drift(fleet: &Fleet, now: Timestamp) -> Vec<DriftEntry> {
    let mut entries: Vec<DriftEntry> = fleet
        .jobs
        .values()
        .flat_map(|job| of_job(fleet, job, now))
        .collect();
    entries.extend(not_there(fleet));
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
    entries
}

fn order(entry: &DriftEntry) -> (&str, Option<u32>, &str, &str) {
    (
        entry.job.as_str(),
        // What concerns the whole job comes first.
        entry.task.as_ref().map(|task| task.index),
        &entry.field,
        entry.cause.word(),
    )
}

/// The drift of one job at `now`.
pub fn of_job(fleet: &Fleet, job: &Job, now: Timestamp) -> Vec<DriftEntry> {
    let mut entries = on_hosts(fleet, job, now);
    entries.extend(resized(fleet, job, now));
    let mut waits = kept_back(fleet, job);
    if let Some((entry, change)) = pending(fleet, job) {
        waits.extend(fields(change, not_applied(entry)));
    }
    // Where git asks for something newer, or for nothing any more, what was aborted is not what it asks for.
    if waits.is_empty() && job.declared {
        entries.extend(aborted(job));
    }
    entries.append(&mut waits);
    entries.extend(refused(fleet, job));
    entries.extend(undeclared(fleet, job));
    entries
}

/// What somebody changed past git: on running containers, and by scaling.
pub fn past_git(fleet: &Fleet, job: &Job, now: Timestamp) -> Vec<DriftEntry> {
    let mut entries = on_hosts(fleet, job, now);
    entries.extend(resized(fleet, job, now));
    entries
}

fn on_hosts(fleet: &Fleet, job: &Job, now: Timestamp) -> Vec<DriftEntry> {
    let mut entries = Vec::new();
    for attempt in job
        .tasks
        .values()
        .filter_map(|task| fleet.current_attempt(task))
    {
        let host = fleet
            .hosts
            .get(&attempt.host)
            .map_or_else(|| attempt.host.to_string(), |host| host.name.clone());
        for drift in on_container(fleet, job, attempt) {
            entries.push(DriftEntry {
                job: job.id.clone(),
                task: Some(attempt.task.clone()),
                field: drift.field.path().to_owned(),
                wanted: drift.wanted.clone(),
                found: drift.found.clone(),
                cause: DriftCause::OnHost { host: host.clone() },
                since: attempt.drifted.get(&drift.field).copied().unwrap_or(now),
                healing: on_host_healing(fleet, job, attempt, drift, now),
            });
        }
    }
    entries
}

fn on_host_healing(
    fleet: &Fleet,
    job: &Job,
    attempt: &Attempt,
    drift: &FieldDrift,
    now: Timestamp,
) -> Healing {
    if attempt.stop.is_some() {
        return Healing::Stopping;
    }
    if !heals(fleet) {
        return Healing::Shown;
    }
    if let Some(freeze) = guard::frozen_by(fleet, job, now) {
        return Healing::Frozen {
            message: freeze_words(&freeze, now),
        };
    }
    match (&drift.stuck, job.spec().kind()) {
        (None, _) => Healing::PutBack,
        (Some(message), JobKind::Service) => Healing::Replace {
            message: message.clone(),
        },
        (Some(message), JobKind::Batch) => Healing::UntilEnd {
            message: message.clone(),
        },
    }
}

fn resized(fleet: &Fleet, job: &Job, now: Timestamp) -> Option<DriftEntry> {
    let resize = job.resize.as_ref()?;
    let size = job.spec().size();
    if resize.desired == size
        || job.pruned
        || is_ignored(fleet.policy.as_ref(), job.spec(), DriftField::Desired)
    {
        return None;
    }
    let frozen = guard::frozen_by(fleet, job, now);
    Some(DriftEntry {
        job: job.id.clone(),
        task: None,
        field: DriftField::Desired.path().to_owned(),
        wanted: size.to_string(),
        found: resize.desired.to_string(),
        cause: DriftCause::Scaled {
            by: resize.by.clone(),
            reason: resize.reason.clone(),
        },
        since: resize.since,
        healing: match (frozen, resize_ends(fleet, job, resize)) {
            (Some(freeze), _) => Healing::Frozen {
                message: freeze_words(&freeze, now),
            },
            (None, Some(at)) => Healing::Expires { at },
            (None, None) => Healing::Shown,
        },
    })
}

/// The change of a job that stands in the latest plan, where that has not been applied.
fn pending<'a>(fleet: &'a Fleet, job: &Job) -> Option<(&'a PlanEntry, &'a JobChange)> {
    let latest = unapplied(fleet)?;
    let changes = &latest.plan.changes;
    let place = changes
        .binary_search_by(|change| change.job.cmp(&job.id))
        .ok()?;
    Some((latest, &changes[place]))
}

/// The latest plan, where it is held or was refused.
fn unapplied(fleet: &Fleet) -> Option<&PlanEntry> {
    let latest = fleet.plans.back()?;
    (latest.applied_at.is_none() && (latest.refusal.is_some() || !latest.holds.is_empty()))
        .then_some(latest)
}

/// Why the changes of a plan that was not applied are drift, since when, and what will happen.
fn not_applied(entry: &PlanEntry) -> (DriftCause, Timestamp, Healing) {
    let plan = entry.plan.id.clone();
    match &entry.refusal {
        Some(refusal) => (
            DriftCause::PlanRefused {
                plan,
                by: refusal.by.clone(),
                reason: refusal.reason.clone(),
            },
            refusal.at,
            Healing::NextCommit,
        ),
        None => (
            DriftCause::Held {
                plan,
                by: entry.plan.revision.author.clone(),
            },
            entry.made_at,
            Healing::AfterHold,
        ),
    }
}

/// Jobs that git asks for and that are not there at all: they stand in a plan that was not applied, or are kept back.
fn not_there(fleet: &Fleet) -> Vec<DriftEntry> {
    let mut entries = Vec::new();
    let is_new = |change: &JobChange| !fleet.jobs.contains_key(&change.job);
    if let Some(entry) = unapplied(fleet) {
        for change in entry.plan.changes.iter().filter(|change| is_new(change)) {
            entries.extend(fields(change, not_applied(entry)));
        }
    }
    if let Some(entry) = fleet.plans.back() {
        for withheld in &entry.plan.withheld {
            if is_new(&withheld.change) {
                let cause = DriftCause::Withheld {
                    plan: entry.plan.id.clone(),
                    reason: withheld.reason.clone(),
                };
                let about = (cause, entry.made_at, Healing::AfterFreeze);
                entries.extend(fields(&withheld.change, about));
            }
        }
    }
    entries
}

/// A change that did not happen, field by field.
fn fields(
    change: &JobChange,
    (cause, since, healing): (DriftCause, Timestamp, Healing),
) -> Vec<DriftEntry> {
    let entry = |field: String, wanted: String, found: String| DriftEntry {
        job: change.job.clone(),
        task: None,
        field,
        wanted,
        found,
        cause: cause.clone(),
        since,
        healing: healing.clone(),
    };
    let whole = |wanted: &str, found: &str| {
        entry("document".to_owned(), wanted.to_owned(), found.to_owned())
    };
    match &change.action {
        JobAction::Create { .. } => vec![whole("there", "not there")],
        JobAction::Update { .. } if change.fields.is_empty() => vec![whole("there", "removed")],
        JobAction::Update { .. } => change
            .fields
            .iter()
            .map(|field| {
                let FieldChange { path, from, to } = field;
                entry(path.clone(), value(to.as_ref()), value(from.as_ref()))
            })
            .collect(),
        JobAction::Move { source } => vec![whole(&source.to_string(), "elsewhere")],
        JobAction::Prune { .. } => vec![whole("removed", "runs")],
        JobAction::Undeclare { .. } => vec![whole("removed", "declared")],
        JobAction::Redeclare { .. } => vec![whole("there", "undeclared")],
    }
}

/// A field's value in words; what is long is cut, since whole lists and maps are one field.
fn value(value: Option<&serde_json::Value>) -> String {
    const MOST: usize = 200;
    let text = match value {
        None => return "nothing".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn kept_back(fleet: &Fleet, job: &Job) -> Vec<DriftEntry> {
    let Some(entry) = fleet.plans.back() else {
        return Vec::new();
    };
    entry
        .plan
        .withheld
        .iter()
        .filter(|withheld| withheld.change.job == job.id)
        .flat_map(|withheld| {
            let cause = DriftCause::Withheld {
                plan: entry.plan.id.clone(),
                reason: withheld.reason.clone(),
            };
            fields(
                &withheld.change,
                (cause, entry.made_at, Healing::AfterFreeze),
            )
        })
        .collect()
}

/// What the containers of a job are made of whose rollout was ended: the version before serves on.
fn aborted(job: &Job) -> Vec<DriftEntry> {
    let abort = job
        .rollout
        .as_ref()
        .and_then(|rollout| Some((rollout.aborted.as_ref()?, rollout.from)));
    let Some((abort, from)) = abort.filter(|_| job.movement() == Movement::Back) else {
        return Vec::new();
    };
    let Some(serves) = job.versions.get(&from) else {
        return Vec::new();
    };
    let wanted = job.current();
    let cause = DriftCause::RolloutAborted {
        by: abort.by.clone(),
        reason: abort.reason.clone(),
    };
    changed_parts(serves, wanted)
        .into_iter()
        .map(|FieldChange { path, from, to }| DriftEntry {
            job: job.id.clone(),
            task: None,
            field: path,
            wanted: value(to.as_ref()),
            found: value(from.as_ref()),
            cause: cause.clone(),
            since: abort.at,
            healing: Healing::Retry,
        })
        .collect()
}

/// The document of a job that is there and does not hold.
fn refused(fleet: &Fleet, job: &Job) -> Option<DriftEntry> {
    let problem = fleet
        .refused
        .iter()
        .find(|problem| problem.job.as_ref() == Some(&job.id))?;
    let revision = fleet.revision.as_ref();
    let since = fleet
        .applied_plan
        .as_ref()
        .and_then(|plan| fleet.plan(plan))
        .map_or(job.updated_at, |entry| entry.made_at);
    let version = job.current();
    Some(DriftEntry {
        job: job.id.clone(),
        task: None,
        field: "document".to_owned(),
        wanted: format!(
            "what {} says at {}",
            problem.path,
            revision.map_or("its revision", |revision| short(revision.commit.as_str()))
        ),
        found: format!("as at {}", short(version.revision.commit.as_str())),
        cause: DriftCause::DocumentRefused {
            at: format!("{}:{}", problem.path, problem.line),
            message: problem.message.clone(),
            by: revision.map_or(String::new(), |revision| revision.author.clone()),
        },
        since,
        healing: Healing::NextCommit,
    })
}

/// A job that runs although its document was removed.
fn undeclared(fleet: &Fleet, job: &Job) -> Option<DriftEntry> {
    if job.declared || job.pruned {
        return None;
    }
    let tombstone = job.tombstone.as_ref();
    let last = job.history.back();
    Some(DriftEntry {
        job: job.id.clone(),
        task: None,
        field: "document".to_owned(),
        wanted: "removed".to_owned(),
        found: "runs".to_owned(),
        cause: DriftCause::Undeclared {
            removed_by: removed_by(fleet, job).map(|by| (by.commit.clone(), by.author.clone())),
        },
        since: last.map_or(job.updated_at, |entry| entry.at),
        healing: match tombstone {
            Some(tombstone) => Healing::Pruned {
                at: tombstone.until,
            },
            None => Healing::NextCommit,
        },
    })
}

/// The commit that removed a job's document, as the plan that noticed it had it; plans leave memory after a while.
fn removed_by<'a>(fleet: &'a Fleet, job: &'a Job) -> Option<&'a Revision> {
    if let Some(tombstone) = &job.tombstone {
        return tombstone.removed_by.as_ref();
    }
    let noticed = fleet.plan(&job.history.back()?.plan)?;
    let mut changes = noticed.plan.changes.iter();
    match &changes.find(|change| change.job == job.id)?.action {
        JobAction::Undeclare { removed_by, .. } | JobAction::Prune { removed_by, .. } => {
            removed_by.as_ref()
        }
        JobAction::Create { .. }
        | JobAction::Update { .. }
        | JobAction::Move { .. }
        | JobAction::Redeclare { .. } => None,
    }
}
