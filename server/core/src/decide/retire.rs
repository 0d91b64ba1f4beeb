//! How long what has ended is kept: containers for their logs, tasks and jobs in the fleet.

use super::scale::was_given_up_for_size;
use super::{Draft, automation};
use crate::fleet::TaskPhase;
use jiff::SignedDuration;
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId, TaskId};
use muster_schemas::spec::JobKind;
use std::collections::BTreeMap;

/// An ended attempt's container, and with it its log, stays on the host for so long …
const KEEP_ENDED: SignedDuration = SignedDuration::from_mins(10);

/// … but never more than so many of one task: a crash loop must not fill the disk.
const KEEP_ENDED_PER_TASK: usize = 3;

/// A finished task of a service stays in the fleet for so long, then only history has it. A batch job's stay as long as the
/// job, since they are its ledger.
const KEEP_FINISHED: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn follow_retention(draft: &mut Draft<'_>) {
    // With a removed host its containers are out of reach.
    let beyond_reach: Vec<AttemptId> = draft
        .fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_some() && !draft.fleet.hosts.contains_key(&attempt.host))
        .map(|attempt| attempt.id)
        .collect();
    for attempt in beyond_reach {
        draft.say(automation("retention"), Event::AttemptForgotten { attempt });
    }
    for attempt in attempts_to_retire(draft) {
        draft.say(automation("retention"), Event::AttemptRetired { attempt });
    }
    for task in tasks_to_forget(draft) {
        draft.say(automation("retention"), Event::TaskForgotten { task });
    }
    let jobs: Vec<JobId> = draft
        .fleet
        .jobs
        .values()
        .filter(|job| job.pruned && job.tasks.is_empty())
        .map(|job| job.id.clone())
        .collect();
    for job in jobs {
        draft.say(automation("retention"), Event::JobForgotten { job });
    }
}

fn attempts_to_retire(draft: &Draft<'_>) -> Vec<AttemptId> {
    let mut ended: BTreeMap<&TaskId, Vec<(u32, AttemptId, bool)>> = BTreeMap::new();
    for attempt in draft
        .fleet
        .attempts
        .values()
        .filter(|attempt| !attempt.retired)
    {
        if let Some((_, at)) = &attempt.ended {
            let old = draft.now.duration_since(*at) >= KEEP_ENDED;
            ended
                .entry(&attempt.task)
                .or_default()
                .push((attempt.number, attempt.id, old));
        }
    }
    let mut due = Vec::new();
    for attempts in ended.values_mut() {
        attempts.sort();
        let surplus = attempts.len().saturating_sub(KEEP_ENDED_PER_TASK);
        due.extend(
            attempts
                .iter()
                .enumerate()
                .filter(|(place, (_, _, old))| *place < surplus || *old)
                .map(|(_, (_, id, _))| *id),
        );
    }
    due
}

fn tasks_to_forget(draft: &Draft<'_>) -> Vec<TaskId> {
    let finished = draft.fleet.jobs.values().flat_map(|job| {
        job.tasks.values().filter(move |task| match &task.phase {
            TaskPhase::Finished { at, .. } => {
                // Also beyond the size, where it has done its work: a job that is made larger again does none of it twice.
                let is_ledger = job.spec().kind() == JobKind::Batch
                    && !job.pruned
                    && (task.id.index < job.desired() || !was_given_up_for_size(task));
                let is_old = draft.now.duration_since(*at) >= KEEP_FINISHED;
                // An index whose retries are exhausted stays, so that it is not begun again.
                let holds_place =
                    !is_ledger && !job.pruned && !crate::decide::scale::is_free(job, task);
                !is_ledger && !holds_place && (is_old || job.pruned)
            }
            TaskPhase::Queued { .. } | TaskPhase::Active { .. } => false,
        })
    });
    // While a container of it is still known, the task is, too.
    let with_attempts: std::collections::BTreeSet<&TaskId> = draft
        .fleet
        .attempts
        .values()
        .map(|attempt| &attempt.task)
        .collect();
    finished
        .filter(|task| !with_attempts.contains(&task.id))
        .map(|task| task.id.clone())
        .collect()
}
