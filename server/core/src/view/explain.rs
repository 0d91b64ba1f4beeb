//! Why a task waits, and whether a host can take a task of a job: by the function that places.

use super::task::reason;
use crate::decide::schedule;
use crate::describe::reasons;
use crate::describe::remedies::remedy;
use crate::fleet::{Fleet, Host, Job, Task};
use crate::place::{Board, Class};
use jiff::Timestamp;
use muster_schemas::api::BlockedView;
use muster_schemas::explain::{Explanation, NearHost, Obstacle, WhyNot};
use muster_schemas::ids::HostId;
use muster_schemas::state::HostRefusal;

/// So many hosts that could take a task are named.
const COULD_TAKE: usize = 5;

/// So many of the hosts that are nearest to taking a task are told with all that is in the way.
const NEAREST: usize = 3;

/// Why a task is where it is; of one that waits for a host, what would let it start.
pub fn explain(fleet: &Fleet, job: &Job, task: &Task, now: Timestamp) -> Explanation {
    let mut explanation = Explanation {
        task: task.id.to_string(),
        state: fleet.task_state(task),
        says: reason(fleet, task, now),
        ahead: 0,
        blocked: None,
        could_take: Vec::new(),
        nearest: Vec::new(),
    };
    let Some(ahead) = schedule::ahead_of(fleet, &task.id, now).filter(|_| !fleet.down) else {
        return explanation;
    };
    explanation.ahead = ahead;
    let version = job
        .versions
        .get(&task.version)
        .unwrap_or_else(|| job.current());
    let mut board = Board::of(fleet, now);
    let class = Class::new(&mut board, &version.spec);
    let found = class.blocked(&board);
    let nearest = class.nearest(&board, NEAREST.max(COULD_TAKE));
    let (can, cannot): (Vec<_>, Vec<_>) = nearest
        .into_iter()
        .partition(|candidate| candidate.refusals.is_empty());
    explanation.could_take = can
        .iter()
        .map(|candidate| candidate.host.name.clone())
        .collect();
    if can.is_empty() {
        explanation.says = reasons::blocked(&found);
        let near = cannot.iter().take(NEAREST).map(|candidate| NearHost {
            host: candidate.host.name.clone(),
            zone: zone(candidate.host),
            obstacles: obstacles(candidate.host, &candidate.refusals),
        });
        explanation.nearest = near.collect();
    } else {
        explanation.says = reasons::has_room(&explanation.could_take, ahead);
    }
    explanation.blocked = (found.hosts > 0).then(|| BlockedView {
        hosts: found.hosts,
        reasons: reasons::blocked_reasons(&found),
    });
    explanation
}

/// Whether a host can take a task that a job would start now; none if there is no such host.
pub fn why_not(fleet: &Fleet, job: &Job, host: HostId, now: Timestamp) -> Option<WhyNot> {
    let known = fleet.hosts.get(&host)?;
    let mut board = Board::of(fleet, now);
    let at = board.at(host)?;
    let version = job
        .versions
        .get(&job.next_version(job.version))
        .unwrap_or_else(|| job.current());
    let class = Class::new(&mut board, &version.spec);
    let refusals = class.refusals(&board, at);
    let tasks = job
        .tasks
        .values()
        .filter_map(|task| fleet.current_attempt(task));
    let there = tasks.filter(|attempt| attempt.host == host && attempt.ended.is_none());
    Some(WhyNot {
        job: job.id.to_string(),
        host: known.name.clone(),
        version: version.number,
        can: refusals.is_empty(),
        tasks: u32::try_from(there.count()).unwrap_or(u32::MAX),
        obstacles: obstacles(known, &refusals),
    })
}

fn zone(host: &Host) -> String {
    let facts = host.facts.as_ref();
    facts.map_or(String::new(), |facts| facts.zone.clone())
}

fn obstacles(host: &Host, refusals: &[HostRefusal]) -> Vec<Obstacle> {
    let obstacle = |refusal: &HostRefusal| Obstacle {
        why: reasons::refusal(refusal),
        remedy: remedy(host, refusal),
    };
    refusals.iter().map(obstacle).collect()
}
