//! What is placed, in which order, and what is told of what is not.

use super::{Draft, automation};
use crate::fleet::{Fleet, Job, Task, TaskPhase};
use crate::place::{Board, Class, same_kind};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, HostId, JobId, TaskId};
use muster_schemas::spec::Tier;
use muster_schemas::state::{Blocked, BlockedBy, HostRefusal, QueueReason};
use std::collections::BTreeMap;

/// A blocked task tells its reasons again after this time at the soonest, and only if they are others.
const BLOCKED_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// So many tasks may tell theirs in that time: where more wait, each tells them more seldom, so that a host that comes and goes
/// does not fill the journal with what thousands have to say of it.
const BLOCKED_AT_ONCE: usize = 100;

/// The tasks of one version of a job that are due.
struct Due<'a> {
    class: Class<'a>,
    /// Whether one of them found no host. Then none of the others will: nothing is given back within one pass.
    is_blocked: bool,
    /// Why, once somebody has to be told.
    why: Option<Blocked>,
}

/// Places what is queued and due: critical work first, then what ran before and comes back, then what has waited longest.
pub(super) fn place_queued(draft: &mut Draft<'_>) {
    let now = draft.now;
    let queue = due_tasks(draft.fleet, now);
    if queue.is_empty() {
        return;
    }
    for (task, choice) in choose(draft.fleet, &queue, now) {
        match choice {
            Ok(host) => {
                let attempt = AttemptId(draft.id());
                let Some(known) = draft.fleet.task(&task) else {
                    continue;
                };
                let (number, version) = (known.attempts + 1, known.version);
                draft.say(
                    automation("schedule"),
                    Event::AttemptPlaced {
                        attempt,
                        task,
                        number,
                        host,
                        version,
                    },
                );
            }
            Err(blocked) => draft.say(automation("schedule"), Event::TaskBlocked { task, blocked }),
        }
    }
}

/// The host of each task of the queue, or why it has none where that has to be told.
fn choose(
    fleet: &Fleet,
    queue: &[TaskId],
    now: Timestamp,
) -> Vec<(TaskId, Result<HostId, Blocked>)> {
    let mut choices = Vec::new();
    let mut board = Board::of(fleet, now);
    let mut due: BTreeMap<(&JobId, u64), Due<'_>> = BTreeMap::new();
    for id in queue {
        let Some(job) = fleet.jobs.get(&id.job) else {
            continue;
        };
        // In a rollout two versions may be asked for, which may need different room.
        let number = job
            .tasks
            .get(&id.index)
            .map_or(job.version, |task| task.version);
        let due = due.entry((&job.id, number)).or_insert_with(|| {
            let version = job.versions.get(&number).unwrap_or_else(|| job.current());
            Due {
                class: Class::new(&mut board, &version.spec),
                is_blocked: false,
                why: None,
            }
        });
        if !due.is_blocked {
            let at = due.class.place(&mut board);
            if let Some(host) = at.and_then(|at| board.host(at)) {
                choices.push((id.clone(), Ok(host.id)));
                continue;
            }
            due.is_blocked = true;
        }
        // To say why takes a look at every host: it is done for those who may tell it alone.
        let Some(known) = may_tell(job, id, queue.len(), now) else {
            continue;
        };
        let blocked = due.why.get_or_insert_with(|| due.class.blocked(&board));
        if known.is_none_or(|known| !says_the_same(known, blocked, many_wait(queue.len()))) {
            choices.push((id.clone(), Err(blocked.clone())));
        }
    }
    choices
}

/// Whether a task was told the same. Where many wait, how many hosts are out of the question for a reason is no news as long as the
/// foremost reason is the same, other than that one of them is not heard of for a moment.
fn says_the_same(known: &Blocked, blocked: &Blocked, many_wait: bool) -> bool {
    if many_wait {
        let foremost = |blocked: &Blocked| {
            let seen = |by: &&BlockedBy| by.refusal != HostRefusal::Unreachable;
            let reasons = &blocked.reasons;
            let found = reasons.iter().find(seen).or(reasons.first());
            found.map(|by| by.refusal.clone())
        };
        return match (foremost(known), foremost(blocked)) {
            (Some(a), Some(b)) => same_kind(&a, &b),
            (a, b) => a.is_none() == b.is_none(),
        };
    }
    known.hosts == blocked.hosts
        && known.reasons.len() == blocked.reasons.len()
        && known
            .reasons
            .iter()
            .zip(&blocked.reasons)
            .all(|(a, b)| a.count == b.count && same_kind(&a.refusal, &b.refusal))
}

fn due_tasks(fleet: &Fleet, now: Timestamp) -> Vec<TaskId> {
    let mut queue: Vec<_> = in_line(fleet, now).collect();
    queue.sort();
    queue.into_iter().map(|(.., id)| id.clone()).collect()
}

/// The tasks that are due, in no order, each with what its place in the queue follows from.
fn in_line(
    fleet: &Fleet,
    now: Timestamp,
) -> impl Iterator<Item = (Tier, bool, Timestamp, &TaskId)> {
    fleet
        .jobs
        .values()
        .flat_map(|job| job.tasks.values().map(move |task| (job, task)))
        .filter(|(job, task)| is_asked_for(job, task))
        .filter_map(move |(job, task)| match &task.phase {
            TaskPhase::Queued {
                reason,
                since,
                not_before,
            } if *not_before <= now => {
                // A new run of a batch, or an index that is wanted again, is new as well.
                let is_new = *reason == QueueReason::New;
                Some((job.spec().tier, is_new, *since, &task.id))
            }
            TaskPhase::Queued { .. } | TaskPhase::Active { .. } | TaskPhase::Finished { .. } => {
                None
            }
        })
}

/// How many tasks are placed before one that is due; none if it is not due to be placed.
pub fn ahead_of(fleet: &Fleet, task: &TaskId, now: Timestamp) -> Option<u32> {
    let own = in_line(fleet, now).find(|(.., id)| *id == task)?;
    let before = in_line(fleet, now).filter(|other| *other < own).count();
    Some(u32::try_from(before).unwrap_or(u32::MAX))
}

/// Whether a task may start. That nothing stops when a document is removed starts nothing that has never run: who takes back a
/// slip takes back what had not begun.
///
/// What runs on has what it needs: tasks that came to be since then, by its rollout or by somebody's word, are started.
pub fn is_asked_for(job: &Job, task: &Task) -> bool {
    let removed = job.history.back();
    job.declared || task.attempts > 0 || removed.is_some_and(|removed| task.created_at > removed.at)
}

/// Whether a blocked task may tell why now, and what it told last.
fn may_tell<'a>(
    job: &'a Job,
    id: &TaskId,
    waiting: usize,
    now: Timestamp,
) -> Option<Option<&'a Blocked>> {
    let task = job.tasks.get(&id.index);
    let Some((known, at)) = task.and_then(|task| task.blocked.as_ref()) else {
        return Some(None);
    };
    let rounds = i32::try_from(waiting / BLOCKED_AT_ONCE).unwrap_or(i32::MAX);
    let again = BLOCKED_AGAIN * rounds.max(1);
    (now.duration_since(*at) >= again).then_some(Some(known))
}

/// Whether so many wait that what each has to say has to be little.
fn many_wait(waiting: usize) -> bool {
    waiting / BLOCKED_AT_ONCE > 1
}
