//! How commits stand: what a forge shows beside each.

use super::job::JobTally;
use super::rollout;
use crate::describe::reasons::{clock, counted};
use crate::describe::short;
use crate::fleet::{Fleet, Job, PlanEntry};
use jiff::Timestamp;
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::{CommitId, JobId, PlanId};
use muster_schemas::plan::{Diagnostic, JobAction, JobChange};
use muster_schemas::spec::JobKind;
use std::collections::BTreeSet;

/// What a forge is told of a commit, in the words that all of them have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitState {
    /// It is under way, or waits for somebody.
    Pending,
    /// The fleet is as it asks.
    Success,
    /// It does not come about as it is.
    Failure,
}

/// How a commit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// The commit.
    pub commit: CommitId,
    /// How it stands.
    pub state: CommitState,
    /// Why, in a sentence without a full stop.
    pub sentence: String,
    /// The latest plan for it, where there is one.
    pub plan: Option<PlanId>,
    /// When that plan was made, or the trouble began.
    pub since: Timestamp,
}

/// How the commits stand for which the latest plans were made, oldest first, each once. History goes one way, so what a commit
/// changed goes on being in effect, or is changed again, when later ones have taken its place: it has settled once the jobs that
/// it changed have.
///
/// It is how they stand now: who tells it to others keeps in mind that a commit that has succeeded once has succeeded, although
/// the next one is under way. Commits that `is_done` names are left out, and cost nothing.
pub fn commit_statuses(
    fleet: &Fleet,
    is_done: &dyn Fn(&CommitId) -> bool,
    now: Timestamp,
) -> Vec<CommitStatus> {
    let mut statuses: Vec<CommitStatus> = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in fleet.plans.iter().rev() {
        let commit = &entry.plan.revision.commit;
        if !seen.insert(commit) || is_done(commit) {
            continue;
        }
        let (state, sentence) = standing(fleet, entry, now);
        statuses.push(CommitStatus {
            commit: commit.clone(),
            state,
            sentence,
            plan: Some(entry.plan.id.clone()),
            since: entry.made_at,
        });
    }
    statuses.reverse();
    if let Some((trouble, since)) = &fleet.trouble
        && let Some(commit) = commit_of(trouble)
        && !seen.contains(commit)
        && !is_done(commit)
    {
        statuses.push(CommitStatus {
            commit: commit.clone(),
            state: CommitState::Failure,
            sentence: trouble.to_string(),
            plan: None,
            since: *since,
        });
    }
    statuses
}

/// The commit that a trouble is about.
fn commit_of(trouble: &RepositoryTrouble) -> Option<&CommitId> {
    match trouble {
        RepositoryTrouble::Unreachable { .. } | RepositoryTrouble::NoBranch { .. } => None,
        RepositoryTrouble::Empty { commit }
        | RepositoryTrouble::UnrelatedHistory { commit, .. }
        | RepositoryTrouble::Unreadable { commit, .. }
        | RepositoryTrouble::Unsigned { commit, .. } => Some(commit),
    }
}

/// How a plan's commit stands by itself.
fn standing(fleet: &Fleet, entry: &PlanEntry, now: Timestamp) -> (CommitState, String) {
    let plan = &entry.plan;
    let name = short(plan.id.as_str());
    if let Some(refusal) = &entry.refusal {
        let sentence = format!(
            "plan {name} was refused by {}: {}",
            refusal.by, refusal.reason
        );
        return (CommitState::Failure, sentence);
    }
    // What is wrong with a document stays wrong however the plan goes on; an image may be pushed in a moment.
    let mut faults = plan.refused.iter();
    if let Some(fault) = faults.find(|fault| fault.code != "image-unresolved") {
        let count = u64::try_from(plan.refused.len()).unwrap_or(u64::MAX);
        let sentence = format!(
            "{} in documents that are not taken, such as {}:{}: {}",
            counted(count, "fault", "faults"),
            fault.path,
            fault.line,
            fault.message
        );
        return (CommitState::Failure, sentence);
    }
    let commit = &plan.revision.commit;
    let latest = fleet.plans.back();
    if let Some(later) = latest.filter(|latest| latest.plan.revision.commit != *commit) {
        // An image may have come since, with a later commit.
        let came = |fault: &Diagnostic| {
            let job = fault.job.as_ref().and_then(|job| fleet.jobs.get(job));
            job.is_some_and(|job| job.current().at > entry.made_at)
        };
        if let Some(fault) = plan.refused.iter().find(|fault| !came(fault)) {
            let (path, line, message) = (&fault.path, fault.line, &fault.message);
            let sentence = format!("its document was not taken: {path}:{line}: {message}");
            return (CommitState::Failure, sentence);
        }
        let by = short(later.plan.revision.commit.as_str());
        return match (entry.applied_at, later.applied_at) {
            (Some(_), _) => all_of(fleet, &changed_by(fleet, commit), now),
            // What is applied later may have it in it.
            (None, Some(_)) if holds_all_of(fleet, entry) => {
                all_of(fleet, &changed_by(fleet, commit), now)
            }
            (None, Some(_)) => {
                let sentence = format!("it was never applied: revision {by} took its place");
                (CommitState::Failure, sentence)
            }
            (None, None) => {
                let sentence = format!("revision {by} has taken its place, and is not applied yet");
                (CommitState::Pending, sentence)
            }
        };
    }
    if entry.applied_at.is_none() {
        let reasons: Vec<String> = entry.holds.iter().map(ToString::to_string).collect();
        let sentence = format!("plan {name} is held: {}", reasons.join("; "));
        return (CommitState::Pending, sentence);
    }
    if let Some(fault) = plan.refused.first() {
        let sentence = format!("{}:{}: {}", fault.path, fault.line, fault.message);
        return (CommitState::Pending, sentence);
    }
    if let Some(withheld) = plan.withheld.first() {
        let sentence = format!(
            "the change of {} is kept back: {}",
            withheld.change.job, withheld.reason
        );
        return (CommitState::Pending, sentence);
    }
    all_of(fleet, &changed_by(fleet, commit), now)
}

/// Whether what a plan asks for that was not applied by itself is in one that was applied later, or in what holds now.
fn holds_all_of(fleet: &Fleet, entry: &PlanEntry) -> bool {
    let wanted = &entry.plan;
    let mut later = fleet
        .plans
        .iter()
        .filter(|other| other.applied_at.is_some() && other.made_at >= entry.made_at);
    let is_in = |other: &PlanEntry| {
        let has = |change: &JobChange| {
            let mut others = other.plan.changes.iter();
            others.any(|other| other.job == change.job && other.action == change.action)
        };
        other.plan.policy == wanted.policy && wanted.changes.iter().all(has)
    };
    let policy_holds = !wanted.policy_changes || fleet.policy == wanted.policy;
    later.any(is_in)
        || policy_holds
            && wanted.changes.iter().all(|change| {
                let job = fleet.jobs.get(&change.job);
                match &change.action {
                    JobAction::Create { target } | JobAction::Update { target } => {
                        job.is_some_and(|job| *job.spec() == *target.spec)
                    }
                    JobAction::Prune { .. } | JobAction::Undeclare { .. } => {
                        job.is_none_or(|job| !job.declared)
                    }
                    JobAction::Redeclare { .. } | JobAction::Move { .. } => {
                        job.is_some_and(|job| job.declared)
                    }
                }
            })
}

/// The jobs whose tasks the plans for a commit change. There are several plans for one where something was kept back, or an
/// image was not there yet.
fn changed_by<'a>(fleet: &'a Fleet, commit: &CommitId) -> BTreeSet<&'a JobId> {
    let plans = fleet.plans.iter();
    plans
        .filter(|entry| entry.plan.revision.commit == *commit)
        .flat_map(|entry| &entry.plan.changes)
        .filter(|change| match change.action {
            JobAction::Create { .. } | JobAction::Update { .. } | JobAction::Prune { .. } => true,
            JobAction::Move { .. } | JobAction::Undeclare { .. } | JobAction::Redeclare { .. } => {
                false
            }
        })
        .map(|change| &change.job)
        .collect()
}

fn all_of(fleet: &Fleet, changed: &BTreeSet<&JobId>, now: Timestamp) -> (CommitState, String) {
    let mut settled = 0;
    let mut waits_for = None;
    for job in changed.iter().filter_map(|job| fleet.jobs.get(*job)) {
        let tally = JobTally::of(fleet, job, now);
        // What served before serves on, and nothing goes on by itself.
        if let Some(trouble) = rollout::trouble(job) {
            return (CommitState::Failure, format!("{}: {trouble}", job.id));
        }
        let looping = job
            .tasks
            .values()
            .find(|task| !job.is_outdated(task.version) && fleet.in_crash_loop(task, now));
        if let Some(task) = looping {
            let sentence = format!("{} is in a crash loop on version {}", task.id, job.version);
            return (CommitState::Failure, sentence);
        }
        match waits(job, &tally, now) {
            None => settled += 1,
            Some(why) => {
                waits_for.get_or_insert(why);
            }
        }
    }
    let jobs = u64::try_from(changed.len()).unwrap_or(u64::MAX);
    match waits_for {
        None if jobs == 0 => (
            CommitState::Success,
            "applied; it changes no tasks".to_owned(),
        ),
        None => (
            CommitState::Success,
            format!(
                "applied; {} as it asks",
                match jobs {
                    1 => "1 job is".to_owned(),
                    jobs => format!("{jobs} jobs are"),
                }
            ),
        ),
        Some(why) => (
            CommitState::Pending,
            format!(
                "applied; {settled} of {} as it asks; {why}",
                counted(jobs, "job", "jobs")
            ),
        ),
    }
}

/// What a job that was changed still waits for.
fn waits(job: &Job, tally: &JobTally<'_>, now: Timestamp) -> Option<String> {
    if let Some(tombstone) = &job.tombstone {
        let until = clock(tombstone.until, now);
        return Some(format!("the tasks of {} are stopped at {until}", job.id));
    }
    let desired = u64::from(job.desired());
    if job.spec().kind() == JobKind::Batch && !job.pruned {
        // It is as it is asked for once its next tasks take it; its work is not the commit's.
        return None;
    }
    (!tally.is_settled(job)).then(|| {
        format!(
            "{} has {} of {} healthy on version {}",
            job.id,
            tally.settled,
            counted(desired, "task", "tasks"),
            job.version
        )
    })
}
