//! Jobs.

use super::filter::JobFilter;
use super::fleet::{count, no_tasks};
use super::page::{self, Page};
use crate::decide::schedule::is_asked_for;
use crate::dependencies::waits_for;
use crate::describe::reasons::{self, counted};
use crate::describe::short;
use crate::drift::of_job;
use crate::fleet::{Attempt, Fleet, Job, JobRollout, Movement, Task, TaskPhase};
use jiff::Timestamp;
use muster_schemas::api::{JobDetail, JobHistoryView, JobStatus, JobView, List};
use muster_schemas::ids::JobId;
use muster_schemas::spec::{Hook, JobKind, Millis};
use muster_schemas::state::{FinishReason, Outcome, Phase, TaskState};
use muster_schemas::wait::WaitsFor;

/// A task that has run for so long without ever being healthy is not coming up any more: longer than a slow start of most
/// services, short enough for somebody to wait for.
const START_GRACE_SECS: i64 = 60;

/// Why the job is not as the repository now asks, if that is so: its document is refused, or a change of it is kept back.
fn not_taken(fleet: &Fleet, job: &Job) -> Option<String> {
    let refused = fleet
        .refused
        .iter()
        .find(|problem| problem.job.as_ref() == Some(&job.id));
    if let Some(problem) = refused {
        return Some(format!(
            "its document is refused, and it stays as it was: {}:{}: {}",
            problem.path, problem.line, problem.message
        ));
    }
    let latest = fleet.plans.back()?;
    let withheld = latest
        .plan
        .withheld
        .iter()
        .find(|withheld| withheld.change.job == job.id)?;
    Some(format!("a change of it is kept back: {}", withheld.reason))
}

/// A job's tasks, counted in one pass.
#[derive(Debug, Clone, Default)]
pub struct JobTally<'a> {
    /// Tasks in each state, in the order of [`TaskState::ALL`].
    pub states: [u64; TaskState::ALL.len()],
    /// Tasks that have not ended for good.
    pub living: u64,
    /// Running tasks that are healthy, without those that stand aside.
    pub healthy: u64,
    /// Living tasks that run, or are to run, what the current version asks for.
    pub updated: u64,
    /// Of these, healthy for the minimum healthy time.
    pub settled: u64,
    /// Living tasks that run something else.
    pub outdated: u64,
    /// Living tasks that are where they are not to stay: on another version than the one that is wanted in the end.
    pub astray: u64,
    /// Living tasks that stand beside those that serve: the new set of red/black while it is being started, the old one while
    /// it is kept.
    pub aside: u64,
    /// Tasks of the current run that finished well.
    pub succeeded: u64,
    /// Tasks of the current run that finished otherwise.
    pub failed: u64,
    /// Tasks that nothing under way will mend: unreachable, unhealthy and not just started, or out of retries.
    pub ailing: u64,
    /// The first of them.
    pub first_ailing: Option<&'a Task>,
    /// Tasks on hosts that are not connected.
    pub unreachable: u64,
    /// The first that has had its time and has not started, and why.
    pub first_not_started: Option<(&'a Task, &'a str)>,
    /// Tasks in a crash loop.
    pub crash_loops: u64,
    /// The first of them.
    pub first_crash_loop: Option<&'a Task>,
    /// Queued tasks that no host can take.
    pub blocked: u64,
    /// The first of them.
    pub first_blocked: Option<&'a Task>,
    /// What its current version waits for before it begins.
    pub waits_for: Vec<WaitsFor>,
}

impl<'a> JobTally<'a> {
    /// Whether a service is as it is asked for: as many tasks as are wanted, all of them where they are to be in the end and healthy
    /// for long enough. An old set that is only kept to go back to is beside that.
    pub fn is_settled(&self, job: &Job) -> bool {
        let desired = u64::from(job.desired());
        self.astray == 0 && self.settled >= desired && self.living - self.aside == desired
    }

    /// Counts a job's tasks.
    pub fn of(fleet: &'a Fleet, job: &'a Job, now: Timestamp) -> Self {
        let settle = job
            .spec()
            .service
            .as_ref()
            .map_or(Millis(0), |service| service.rollout.min_healthy_time);
        let mut tally = Self {
            waits_for: waits_for(fleet, job, now),
            ..Self::default()
        };
        let movement = job.movement();
        let promoted = job.rollout.as_ref().is_some_and(JobRollout::is_promoted);
        for task in job.tasks.values() {
            tally.states[fleet.task_state(task) as usize] += 1;
            if let TaskPhase::Finished {
                outcome, reason, ..
            } = &task.phase
            {
                // A service's index that has no retry left keeps its place, and nothing will run there.
                if job.spec().service.is_some()
                    && matches!(reason, FinishReason::RetriesExhausted { .. })
                {
                    tally.ailing += 1;
                    tally.first_ailing.get_or_insert(task);
                }
                // What is beyond the size may have been done, and is not asked for.
                if task.run == job.run && task.id.index < job.desired() {
                    match outcome {
                        Outcome::Succeeded => tally.succeeded += 1,
                        Outcome::Failed | Outcome::Stopped | Outcome::Lost => tally.failed += 1,
                    }
                }
                continue;
            }
            tally.living += 1;
            let attempt = fleet.current_attempt(task);
            let healthy = fleet.is_healthy(task);
            let is_outdated = job.is_outdated(task.version);
            let is_stable = job.is_stable(task.version);
            let aside =
                movement == Movement::RedBlack && if promoted { is_stable } else { !is_outdated };
            tally.aside += u64::from(aside);
            tally.healthy += u64::from(healthy && !aside);
            tally.astray += u64::from(match movement {
                Movement::Back => !is_stable,
                Movement::RedBlack if promoted => is_outdated && !is_stable,
                Movement::Rolling | Movement::RedBlack | Movement::Canary => is_outdated,
            });
            if is_outdated {
                tally.outdated += 1;
            } else {
                tally.updated += 1;
                let settled = healthy
                    && attempt
                        .and_then(|attempt| attempt.healthy_since)
                        .is_some_and(|since| now.duration_since(since) >= settle.signed());
                tally.settled += u64::from(settled);
            }
            if fleet.in_crash_loop(task, now) {
                tally.crash_loops += 1;
                tally.first_crash_loop.get_or_insert(task);
            }
            if task.is_queued() && task.blocked.is_some() && is_asked_for(job, task) {
                tally.blocked += 1;
                tally.first_blocked.get_or_insert(task);
            }
            let not_started = attempt.and_then(|attempt| why_not_started(attempt, now));
            if let Some(why) = not_started {
                tally.first_not_started.get_or_insert((task, why));
            }
            let is_reachable = fleet.is_reachable(task);
            tally.unreachable += u64::from(!is_reachable);
            let is_ailing = !is_reachable
                || not_started.is_some()
                || attempt.is_some_and(|attempt| is_ailing(attempt, now));
            if is_ailing {
                tally.ailing += 1;
                tally.first_ailing.get_or_insert(task);
            }
        }
        tally
    }

    pub(super) fn in_state(&self, state: TaskState) -> u64 {
        self.states[state as usize]
    }

    fn active(&self) -> u64 {
        self.living - self.in_state(TaskState::Queued)
    }

    /// How the job is, and why, in a sentence; empty where all is well. That its document is refused, a change of it kept
    /// back, or its rollout aborted, is said first: what runs is not what the repository asks for.
    pub fn status(&self, fleet: &Fleet, job: &Job) -> (JobStatus, String) {
        let (status, why) = self.status_of_tasks(fleet, job);
        let waits = (!self.waits_for.is_empty() && !fleet.down).then(|| {
            let waits = reasons::waits_for(&self.waits_for);
            format!("version {} waits for {waits}", job.version)
        });
        let parts = [
            not_taken(fleet, job),
            super::rollout::trouble(job),
            waits,
            Some(why),
        ];
        let said: Vec<String> = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        (status, said.join("; "))
    }

    fn status_of_tasks(&self, fleet: &Fleet, job: &Job) -> (JobStatus, String) {
        let desired = u64::from(job.desired());
        if let Some(tombstone) = &job.tombstone
            && !fleet.down
        {
            let by = tombstone.removed_by.as_ref().map_or(String::new(), |by| {
                format!(" by commit {} of {}", short(by.commit.as_str()), by.author)
            });
            let why = format!(
                "its document was removed{by}; its tasks run on until {:.0}, and a commit that puts the document back keeps them",
                tombstone.until
            );
            return (JobStatus::Tombstone, why);
        }
        if job.pruned || fleet.down {
            let why = if job.pruned {
                "its document was removed and the policy prunes"
            } else {
                "the cell was taken down"
            };
            let status = if self.active() > 0 {
                JobStatus::Stopping
            } else {
                JobStatus::Idle
            };
            return (status, why.to_owned());
        }
        let is_batch = job.spec().kind() == JobKind::Batch;
        if job.run == 0
            && let Some(hook) = job.spec().hook()
        {
            let when = match hook {
                Hook::BeforeSync => "before the next plan that changes other jobs",
                Hook::AfterSync => "after the next plan that changes other jobs",
            };
            return (JobStatus::Idle, format!("it is a hook and runs {when}"));
        }
        if is_batch && self.living == 0 && self.succeeded + self.failed >= desired.max(1) {
            return if self.failed == 0 {
                (JobStatus::Succeeded, String::new())
            } else {
                let tasks = counted(desired, "task", "tasks");
                (
                    JobStatus::Failed,
                    format!("{} of {tasks} did not succeed", self.failed),
                )
            };
        }
        if desired == 0 {
            return if self.living == 0 {
                (JobStatus::Idle, "it asks for no tasks".to_owned())
            } else {
                (
                    JobStatus::Stopping,
                    "it asks for no tasks any more".to_owned(),
                )
            };
        }
        if let Some(task) = self.first_crash_loop {
            let tasks = counted(self.crash_loops, "task is", "tasks are");
            return (
                JobStatus::CrashLoop,
                format!(
                    "{tasks} in a crash loop, such as {}: {} short attempts in a row",
                    task.id, task.failures
                ),
            );
        }
        if let Some(task) = self.first_blocked {
            let why = task.blocked.as_ref().map_or(String::new(), |(blocked, _)| {
                crate::describe::reasons::blocked(blocked)
            });
            let tasks = counted(self.blocked, "task waits", "tasks wait");
            return (
                JobStatus::Blocked,
                format!("{tasks} for a host, such as {}: {why}", task.id),
            );
        }
        if is_batch {
            return self.batch_at_work(desired);
        }
        if self.astray == 0 && self.healthy >= desired && self.living - self.aside == desired {
            return (JobStatus::Running, super::rollout::kept(job));
        }
        let stand = self.stand(desired);
        match self.first_ailing {
            Some(task) if self.healthy < desired => {
                let why = match self.first_not_started {
                    Some((task, why)) => format!("{} does not start: {why}", task.id),
                    None if self.unreachable > 0 => format!(
                        "{} on a host that is not heard of, and may well run on; see {}",
                        counted(self.unreachable, "task is", "tasks are"),
                        task.id
                    ),
                    None => format!("see {}", task.id),
                };
                (JobStatus::Degraded, format!("{stand}; {why}"))
            }
            Some(_) | None => (JobStatus::Progressing, stand),
        }
    }

    fn batch_at_work(&self, desired: u64) -> (JobStatus, String) {
        let done = self.succeeded + self.failed;
        let stand = format!("{done} of {} finished", counted(desired, "task", "tasks"));
        if let Some(task) = self.first_ailing {
            return (JobStatus::Degraded, format!("{stand}; see {}", task.id));
        }
        if self.in_state(TaskState::Running) > 0 {
            (JobStatus::Running, stand)
        } else {
            (JobStatus::Progressing, stand)
        }
    }

    /// How far the tasks are, such as `2 of 3 tasks are healthy, 1 starting, 1 on an older version`.
    fn stand(&self, desired: u64) -> String {
        let mut text = format!(
            "{} of {} healthy",
            self.healthy,
            counted(desired, "task is", "tasks are")
        );
        for state in [
            TaskState::Queued,
            TaskState::Assigned,
            TaskState::Starting,
            TaskState::Stopping,
        ] {
            match self.in_state(state) {
                0 => {}
                tasks => text.push_str(&format!(", {tasks} {}", state.word())),
            }
        }
        if self.outdated > 0 {
            text.push_str(&format!(", {} on an older version", self.outdated));
        }
        text
    }
}

/// Whether an attempt runs and is unhealthy without being about to become healthy: it was healthy before, or has had its
/// time. Batch tasks without a probe are healthy as soon as they run.
fn is_ailing(attempt: &Attempt, now: Timestamp) -> bool {
    attempt.state() == TaskState::Running
        && attempt.healthy_since.is_none()
        && (attempt.first_healthy_at.is_some()
            || attempt
                .running_at
                .is_some_and(|since| now.duration_since(since).as_secs() > START_GRACE_SECS))
}

/// Why an attempt has had its time and has not started: its image does not come, or its container cannot be created. Both are tried
/// again and again within the attempt.
fn why_not_started(attempt: &Attempt, now: Timestamp) -> Option<&str> {
    let status = attempt.status.as_ref()?;
    let has_had_its_time = now.duration_since(attempt.placed_at).as_secs() > START_GRACE_SECS;
    match &status.phase {
        Phase::Waiting { message, .. } if has_had_its_time => Some(message),
        // Between two failures it is pulled anew; one that has begun to come is on its way.
        Phase::Pulling { done: 0, .. } if has_had_its_time => Some("nothing of its image has come"),
        Phase::Accepted
        | Phase::Pulling { .. }
        | Phase::Waiting { .. }
        | Phase::Creating
        | Phase::Running
        | Phase::Ended(_) => None,
    }
}

/// A page of the jobs that match, by id.
pub fn jobs(fleet: &Fleet, filter: &JobFilter, page: &Page, now: Timestamp) -> List<JobView> {
    let after = page.after.as_deref().map(JobId::from);
    page::take(
        fleet
            .jobs
            .values()
            .filter(|job| filter.matches(fleet, job, now)),
        page.limit,
        |job| after.as_ref().is_none_or(|after| job.id > *after),
        |job| job.id.to_string(),
        |job| job_view(fleet, job, now),
    )
}

/// A job in a list.
pub fn job_view(fleet: &Fleet, job: &Job, now: Timestamp) -> JobView {
    view(fleet, job, &JobTally::of(fleet, job, now), now)
}

fn view(fleet: &Fleet, job: &Job, tally: &JobTally<'_>, now: Timestamp) -> JobView {
    let version = job.current();
    let spec = &version.spec;
    let (status, reason) = tally.status(fleet, job);
    let is_batch = spec.kind() == JobKind::Batch;
    let mut tasks = no_tasks();
    for state in TaskState::ALL {
        tasks.insert(state.word().to_owned(), tally.in_state(state));
    }
    JobView {
        id: job.id.to_string(),
        app: spec.app().to_owned(),
        stack: spec.stack.clone(),
        detail: spec.detail.clone(),
        owner: spec.owner.clone(),
        kind: spec.kind(),
        tier: spec.tier,
        capacity_group: spec.capacity_group.clone(),
        labels: spec.labels.clone(),
        status,
        reason,
        image: version.image.clone(),
        image_ref: spec.image.clone(),
        version: version.number,
        desired: u64::from(job.desired()),
        drift: count(of_job(fleet, job, now).len()),
        tasks,
        healthy: tally.healthy,
        updated: tally.updated,
        succeeded: if is_batch { tally.succeeded } else { 0 },
        failed: if is_batch { tally.failed } else { 0 },
        run: job.run,
        declared: job.declared,
        source: job.source.to_string(),
        revision: Some(version.revision.clone()),
        created_at: job.created_at,
        updated_at: job.updated_at,
    }
}

/// A job with all there is to know of it.
pub fn job_detail(fleet: &Fleet, job: &Job, now: Timestamp) -> JobDetail {
    let tally = JobTally::of(fleet, job, now);
    JobDetail {
        job: view(fleet, job, &tally, now),
        spec: serde_json::to_value(job.spec())
            .expect("a spec was read from a document with text keys, so it is always JSON"),
        rollout: super::rollout::rollout(fleet, job, &tally, now),
        disruption_budget: super::disruption::budget_view(fleet, job, now),
        history: job
            .history
            .iter()
            .rev()
            .map(|entry| JobHistoryView {
                plan: entry.plan.to_string(),
                version: entry.version,
                revision: entry.revision.clone(),
                action: entry.action.clone(),
                fields: entry.fields.clone(),
                at: entry.at,
            })
            .collect(),
    }
}
