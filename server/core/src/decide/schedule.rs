//! Which host takes which queued task, and why not another.
//!
//! One function ([`Room::refuses`]) says whether a host can take a task; placement and the answer to "why not here?" both
//! come from it, so they never disagree. Of the hosts that can, the one with the best [`Score`] is chosen: what is critical or
//! a service is spread, and so is all the rest for now.

use super::{Draft, automation};
use crate::fleet::{Fleet, Host, Job, Task, TaskPhase, add_resources};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, HostId, JobId, TaskId};
use muster_schemas::spec::{ConstraintSet, JobSpec, Tier};
use muster_schemas::state::{
    Blocked, BlockedBy, HostRefusal, HostResources, QueueReason, ResourceKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

/// So many launches may be under way on one host: a Docker engine starts some ten containers a second, and a longer line in
/// front of one engine only hides from the scheduler that another host would be quicker.
pub const LAUNCHES_AT_ONCE: u32 = 32;

/// A blocked task tells its reasons again after this time at the soonest, and only if they are others.
const BLOCKED_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// So many tasks may tell theirs in that time: where more wait, each tells them more seldom, so that a host that comes and goes
/// does not fill the journal with what thousands have to say of it.
const BLOCKED_AT_ONCE: usize = 100;

/// Room is kept for a task whose delay is no longer than this: the longest of a crash loop.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(5);

/// At most so many host names are given as examples of a reason.
const EXAMPLES: usize = 5;

/// What a host has left, and who is on it, while placements are being made.
pub struct Room<'a> {
    host: &'a Host,
    taken: HostResources,
    ports: BTreeSet<u16>,
    launching: u32,
    /// By tier and job, what is kept for tasks that ran on the host and come back in a moment.
    kept: BTreeMap<(Tier, JobId), Kept>,
    /// Tasks of each job on the host, and whether that job wants the host for itself.
    jobs: BTreeMap<JobId, (u32, bool)>,
}

/// What is kept of a host.
struct Kept {
    resources: HostResources,
    ports: BTreeSet<u16>,
    /// Whether one of them wants the host for itself.
    exclusive: bool,
    /// The first task that it is kept for.
    first: TaskId,
}

/// All hosts, with what they have left.
pub struct Rooms<'a> {
    rooms: BTreeMap<HostId, Room<'a>>,
}

impl<'a> Rooms<'a> {
    /// The rooms of the fleet as it is at `now`.
    pub fn of(fleet: &'a Fleet, now: Timestamp) -> Self {
        let mut rooms: BTreeMap<HostId, Room<'a>> = fleet
            .hosts
            .values()
            .map(|host| {
                let room = Room {
                    host,
                    taken: HostResources::default(),
                    ports: BTreeSet::new(),
                    launching: 0,
                    kept: BTreeMap::new(),
                    jobs: BTreeMap::new(),
                };
                (host.id, room)
            })
            .collect();
        for attempt in fleet
            .attempts
            .values()
            .filter(|attempt| attempt.ended.is_none())
        {
            let Some(room) = rooms.get_mut(&attempt.host) else {
                continue;
            };
            let Some(job) = fleet.jobs.get(&attempt.task.job) else {
                continue;
            };
            let Some(version) = job.versions.get(&attempt.version) else {
                continue;
            };
            room.take(&version.spec, attempt.is_launching());
        }
        for job in fleet.jobs.values() {
            for task in job.tasks.values() {
                if let Some(host) = kept_on(fleet, task, now)
                    && let Some(room) = rooms.get_mut(&host)
                    && let Some(version) = job.versions.get(&task.version)
                {
                    room.keep(&version.spec, &task.id);
                }
            }
        }
        Self { rooms }
    }

    /// Tasks of the job in each zone where a task of it could be at all.
    fn zone_counts(&self, spec: &JobSpec) -> BTreeMap<&'a str, u32> {
        let mut counts = BTreeMap::new();
        for room in self.rooms.values() {
            let Some(facts) = &room.host.facts else {
                continue;
            };
            if room.host.connected && room.hard_refusal(&spec.constraints.hard).is_none() {
                let here = room.jobs.get(&spec.name).map_or(0, |(count, _)| *count);
                *counts.entry(facts.zone.as_str()).or_insert(0) += here;
            }
        }
        counts
    }

    /// The best host for a task of `spec`, or why there is none.
    ///
    /// # Errors
    ///
    /// The reasons of all hosts, when none can take it.
    pub fn choose(&self, spec: &JobSpec) -> Result<HostId, Blocked> {
        let zones = self.zone_counts(spec);
        let mut best: Option<(Score, HostId)> = None;
        let mut refusals: Vec<(HostRefusal, &str)> = Vec::new();
        for (id, room) in &self.rooms {
            match room.refuses(spec, &zones) {
                Some(refusal) => refusals.push((refusal, room.host.name.as_str())),
                None => {
                    let score = room.score(spec, &zones);
                    if best.as_ref().is_none_or(|(known, _)| score < *known) {
                        best = Some((score, *id));
                    }
                }
            }
        }
        best.map(|(_, id)| id).ok_or_else(|| summarise(refusals))
    }

    fn take(&mut self, host: HostId, spec: &JobSpec) {
        if let Some(room) = self.rooms.get_mut(&host) {
            room.take(spec, true);
        }
    }
}

/// Lower is better; earlier fields count first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Soft constraints that are not met.
    soft_unmet: u32,
    /// Tasks of the job in the host's zone.
    in_zone: u32,
    /// Tasks of the job on the host.
    on_host: u32,
    /// What would be taken of its scarcest resource, in thousandths.
    fullness: u64,
}

impl Room<'_> {
    fn take(&mut self, spec: &JobSpec, launching: bool) {
        add_resources(&mut self.taken, spec);
        self.ports
            .extend(spec.ports.iter().filter_map(|port| port.host_port));
        self.launching += u32::from(launching);
        let exclusive = spec.constraints.hard.exclusive_host;
        let entry = self.jobs.entry(spec.name.clone()).or_insert((0, exclusive));
        entry.0 += 1;
        entry.1 |= exclusive;
    }

    fn keep(&mut self, spec: &JobSpec, task: &TaskId) {
        let of = (spec.tier, spec.name.clone());
        let kept = self.kept.entry(of).or_insert_with(|| Kept {
            resources: HostResources::default(),
            ports: BTreeSet::new(),
            exclusive: spec.constraints.hard.exclusive_host,
            first: task.clone(),
        });
        kept.exclusive |= spec.constraints.hard.exclusive_host;
        add_resources(&mut kept.resources, spec);
        kept.ports
            .extend(spec.ports.iter().filter_map(|port| port.host_port));
    }

    /// Whether a task of `spec` would take what is kept for others. What is kept for flex work is free for critical work, and what
    /// is kept for one task of a job for its others: one is as good as the other, and it need not wait.
    fn kept_from(&self, has: &HostResources, spec: &JobSpec) -> Option<HostRefusal> {
        let mut taken = self.taken;
        let others = self.kept.iter();
        let mut others = others.filter(|((tier, job), _)| *tier <= spec.tier && *job != spec.name);
        others.find_map(|(_, kept)| {
            let mut with = taken;
            sum(&mut with, &kept.resources);
            // What would not fit any more is kept for nobody.
            let fits = |((_, has), (_, with)): ((_, u64), (_, u64))| with <= has;
            if !dimensions(has).into_iter().zip(dimensions(&with)).all(fits) {
                return None;
            }
            taken = with;
            let mut ports = spec.ports.iter().filter_map(|port| port.host_port);
            let takes = too_little(has, &taken, spec).is_some()
                || kept.exclusive
                || spec.constraints.hard.exclusive_host
                || ports.any(|port| kept.ports.contains(&port));
            let task = kept.first.clone();
            takes.then_some(HostRefusal::KeptFor { task })
        })
    }

    /// Why the host cannot take a task of `spec`; none if it can.
    pub fn refuses(&self, spec: &JobSpec, zones: &BTreeMap<&str, u32>) -> Option<HostRefusal> {
        if !self.host.connected {
            return Some(HostRefusal::Unreachable);
        }
        let Some(facts) = &self.host.facts else {
            return Some(HostRefusal::NotReady {
                message: "its agent has not told its resources yet".to_owned(),
            });
        };
        if let Some(message) = &facts.not_ready {
            return Some(HostRefusal::NotReady {
                message: message.clone(),
            });
        }
        if let Some(refusal) = self.hard_refusal(&spec.constraints.hard) {
            return Some(refusal);
        }
        if let Some((job, _)) = self
            .jobs
            .iter()
            .find(|(job, (_, exclusive))| *exclusive && **job != spec.name)
        {
            return Some(HostRefusal::TakenExclusively { job: job.clone() });
        }
        if spec.constraints.hard.exclusive_host && self.jobs.keys().any(|job| *job != spec.name) {
            return Some(HostRefusal::NotExclusive);
        }
        if spec.constraints.hard.unique_host && self.jobs.contains_key(&spec.name) {
            return Some(HostRefusal::NotUnique);
        }
        if spec.constraints.hard.zone_balance {
            let here = zones.get(facts.zone.as_str()).copied().unwrap_or(0);
            let least = zones.values().copied().min().unwrap_or(0);
            if here > least {
                return Some(HostRefusal::ZoneUnbalanced {
                    zone: facts.zone.clone(),
                });
            }
        }
        if let Some(port) = spec
            .ports
            .iter()
            .filter_map(|port| port.host_port)
            .find(|port| self.ports.contains(port))
        {
            return Some(HostRefusal::PortTaken { port });
        }
        if let Some(refusal) = too_little(&facts.resources, &self.taken, spec) {
            return Some(refusal);
        }
        if let Some(refusal) = self.kept_from(&facts.resources, spec) {
            return Some(refusal);
        }
        (self.launching >= LAUNCHES_AT_ONCE).then_some(HostRefusal::Busy {
            launching: self.launching,
        })
    }

    /// What of the hard constraints on the host itself, not on who is there, is not met.
    fn hard_refusal(&self, hard: &ConstraintSet) -> Option<HostRefusal> {
        let facts = self.host.facts.as_ref()?;
        if !hard.zones.is_empty() && !hard.zones.contains(&facts.zone) {
            return Some(HostRefusal::WrongZone {
                zone: facts.zone.clone(),
            });
        }
        if !hard.hosts.is_empty() && !hard.hosts.contains(&self.host.name) {
            return Some(HostRefusal::WrongHost);
        }
        hard.host_labels
            .iter()
            .find(|(key, value)| facts.labels.get(*key) != Some(value))
            .map(|(key, value)| HostRefusal::LabelMissing {
                label: format!("{key}={value}"),
            })
    }

    fn score(&self, spec: &JobSpec, zones: &BTreeMap<&str, u32>) -> Score {
        let soft = &spec.constraints.soft;
        let facts = self.host.facts.as_ref();
        let zone = facts.map_or("", |facts| facts.zone.as_str());
        let in_zone = zones.get(zone).copied().unwrap_or(0);
        let least = zones.values().copied().min().unwrap_or(0);
        let unmet = [
            soft.unique_host && self.jobs.contains_key(&spec.name),
            soft.exclusive_host && self.jobs.keys().any(|job| *job != spec.name),
            soft.zone_balance && in_zone > least,
            !soft.zones.is_empty() && !soft.zones.iter().any(|wanted| wanted == zone),
            !soft.hosts.is_empty() && !soft.hosts.contains(&self.host.name),
        ];
        let labels_unmet = soft
            .host_labels
            .iter()
            .filter(|(key, value)| facts.and_then(|facts| facts.labels.get(*key)) != Some(value))
            .count();
        let soft_unmet = unmet.into_iter().filter(|unmet| *unmet).count() + labels_unmet;
        Score {
            soft_unmet: u32::try_from(soft_unmet).unwrap_or(u32::MAX),
            in_zone,
            on_host: self.jobs.get(&spec.name).map_or(0, |(count, _)| *count),
            fullness: self.fullness(spec),
        }
    }

    fn fullness(&self, spec: &JobSpec) -> u64 {
        let Some(facts) = &self.host.facts else {
            return u64::MAX;
        };
        let mut taken = self.taken;
        add_resources(&mut taken, spec);
        dimensions(&facts.resources)
            .into_iter()
            .zip(dimensions(&taken))
            .filter(|((_, has), _)| *has > 0)
            .map(|((_, has), (_, taken))| (u128::from(taken) * 1000 / u128::from(has)) as u64)
            .max()
            .unwrap_or(0)
    }
}

/// The host that keeps room for a task: it ran there, ended by itself, and waits only for its delay to be over. It was placed once,
/// and must not lose that to what came after it.
fn kept_on(fleet: &Fleet, task: &Task, now: Timestamp) -> Option<HostId> {
    let TaskPhase::Queued {
        since, not_before, ..
    } = &task.phase
    else {
        return None;
    };
    if *not_before <= now || not_before.duration_since(*since) > KEPT_FOR {
        return None;
    }
    let attempt = fleet.last_attempt(task)?;
    attempt.running_at.is_some().then_some(attempt.host)
}

fn sum(taken: &mut HostResources, more: &HostResources) {
    taken.cpu.0 = taken.cpu.0.saturating_add(more.cpu.0);
    taken.memory.0 = taken.memory.0.saturating_add(more.memory.0);
    taken.disk.0 = taken.disk.0.saturating_add(more.disk.0);
    taken.network.0 = taken.network.0.saturating_add(more.network.0);
    taken.gpu = taken.gpu.saturating_add(more.gpu);
    taken.containers = taken.containers.saturating_add(more.containers);
}

fn dimensions(resources: &HostResources) -> [(ResourceKind, u64); 6] {
    [
        (ResourceKind::Cpu, u64::from(resources.cpu.0)),
        (ResourceKind::Memory, resources.memory.0),
        (ResourceKind::Disk, resources.disk.0),
        (ResourceKind::Network, u64::from(resources.network.0)),
        (ResourceKind::Gpu, u64::from(resources.gpu)),
        (ResourceKind::Containers, u64::from(resources.containers)),
    ]
}

fn too_little(has: &HostResources, taken: &HostResources, spec: &JobSpec) -> Option<HostRefusal> {
    let mut needs = HostResources::default();
    add_resources(&mut needs, spec);
    dimensions(has)
        .into_iter()
        .zip(dimensions(taken))
        .zip(dimensions(&needs))
        .find_map(|(((resource, has), (_, taken)), (_, needed))| {
            let free = has.saturating_sub(taken);
            (needed > free).then_some(HostRefusal::TooLittle {
                resource,
                free,
                needed,
            })
        })
}

/// Counts the refusals by kind, most frequent first.
fn summarise(refusals: Vec<(HostRefusal, &str)>) -> Blocked {
    let hosts = u32::try_from(refusals.len()).unwrap_or(u32::MAX);
    let mut reasons: Vec<BlockedBy> = Vec::new();
    for (refusal, name) in refusals {
        match reasons
            .iter_mut()
            .find(|known| same_kind(&known.refusal, &refusal))
        {
            Some(known) => {
                known.count += 1;
                if known.examples.len() < EXAMPLES {
                    known.examples.push(name.to_owned());
                }
            }
            None => reasons.push(BlockedBy {
                refusal,
                count: 1,
                examples: vec![name.to_owned()],
            }),
        }
    }
    reasons.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| a.refusal.cmp(&b.refusal))
    });
    Blocked { hosts, reasons }
}

fn same_kind(a: &HostRefusal, b: &HostRefusal) -> bool {
    match (a, b) {
        (
            HostRefusal::TooLittle { resource: a, .. },
            HostRefusal::TooLittle { resource: b, .. },
        ) => a == b,
        (a, b) => discriminant(a) == discriminant(b),
    }
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

/// Places what is queued and due: critical work first, then what ran before and comes back, then what has waited longest.
pub(super) fn place_queued(draft: &mut Draft<'_>) {
    let now = draft.now;
    let queue = due_tasks(draft.fleet, now);
    if queue.is_empty() {
        return;
    }
    let mut events = Vec::new();
    {
        let fleet: &Fleet = draft.fleet;
        let mut rooms = Rooms::of(fleet, now);
        let waiting = queue.len();
        // Once a task of a job found no host, none of its others will on that version: nothing is given back within one pass.
        let mut blocked_jobs: BTreeMap<(&JobId, u64), Blocked> = BTreeMap::new();
        for id in &queue {
            let Some(job) = fleet.jobs.get(&id.job) else {
                continue;
            };
            // In a rollout two versions may be asked for, which may need different room.
            let number = job
                .tasks
                .get(&id.index)
                .map_or(job.version, |task| task.version);
            let version = job.versions.get(&number).unwrap_or_else(|| job.current());
            let choice = match blocked_jobs.get(&(&id.job, number)) {
                Some(blocked) => Err(blocked.clone()),
                None => rooms.choose(&version.spec),
            };
            match choice {
                Ok(host) => {
                    rooms.take(host, &version.spec);
                    events.push((id.clone(), Ok(host)));
                }
                Err(blocked) => {
                    if is_news(job, id, &blocked, waiting, now) {
                        events.push((id.clone(), Err(blocked.clone())));
                    }
                    blocked_jobs.insert((&job.id, number), blocked);
                }
            }
        }
    }
    for (task, choice) in events {
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

fn due_tasks(fleet: &Fleet, now: Timestamp) -> Vec<TaskId> {
    let mut queue: Vec<(Tier, bool, Timestamp, &TaskId)> = fleet
        .jobs
        .values()
        .flat_map(|job| job.tasks.values().map(move |task| (job, task)))
        .filter(|(job, task)| is_asked_for(job, task))
        .filter_map(|(job, task)| match &task.phase {
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
        .collect();
    queue.sort();
    queue.into_iter().map(|(.., id)| id.clone()).collect()
}

/// Whether a task may start. That nothing stops when a document is removed starts nothing that has never run: who takes back a
/// slip takes back what had not begun.
///
/// What runs on has what it needs: tasks that came to be since then, by its rollout or by somebody's word, are started.
pub fn is_asked_for(job: &Job, task: &Task) -> bool {
    let removed = job.history.back();
    job.declared || task.attempts > 0 || removed.is_some_and(|removed| task.created_at > removed.at)
}

fn is_news(job: &Job, id: &TaskId, blocked: &Blocked, waiting: usize, now: Timestamp) -> bool {
    let rounds = i32::try_from(waiting / BLOCKED_AT_ONCE).unwrap_or(i32::MAX);
    let again = BLOCKED_AGAIN * rounds.max(1);
    match job
        .tasks
        .get(&id.index)
        .and_then(|task| task.blocked.as_ref())
    {
        None => true,
        Some((known, at)) => {
            !says_the_same(known, blocked, rounds > 1) && now.duration_since(*at) >= again
        }
    }
}
