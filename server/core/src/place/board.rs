//! What each host has left.

use super::LAUNCHES_AT_ONCE;
use super::amounts::{self, Amounts, KINDS};
use super::bits::{Bits, WORD};
use super::kept::{Kept, kept_on};
use crate::fleet::{Fleet, Host};
use jiff::Timestamp;
use muster_schemas::ids::{HostId, JobId};
use muster_schemas::spec::JobSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Hosts are told apart by how full they are in so many steps.
pub(super) const FULLNESS_STEPS: usize = 64;

/// All of a host, as fullness counts it: thousandths.
pub(super) const FULL: f64 = 1000.0;

/// All hosts, with what they have left.
///
/// A row belongs to one position. The positions of a zone are whole words of the sets, so that a zone is a range of them; some at its
/// end belong to no host and are in no set.
pub struct Board<'a> {
    pub(super) rows: Vec<Row<'a>>,
    at: BTreeMap<HostId, usize>,
    pub(super) zones: Vec<Zone<'a>>,
    /// Hosts that are connected and have told what they are.
    pub(super) reachable: Bits,
    /// Those of them that can take tasks.
    pub(super) ready: Bits,
    /// By label and value, the hosts that have it.
    pub(super) labels: BTreeMap<(&'a str, &'a str), Bits>,
    names: BTreeMap<&'a str, Vec<usize>>,
    /// By resource and step, the hosts that have at least that much left.
    pub(super) left: [Vec<Bits>; KINDS],
    /// By step, the hosts that are as full as that.
    pub(super) fullness: Vec<Bits>,
    /// Hosts with GPUs.
    pub(super) gpus: Bits,
    /// Hosts with a task of any job.
    pub(super) occupied: Bits,
    /// Hosts that a job has for itself.
    pub(super) exclusive: Bits,
    /// Hosts that have as many launches under way as they may.
    pub(super) busy: Bits,
    /// The positions on which tasks were put to be launched, in order: those hosts have got fuller.
    pub(super) moved: Vec<usize>,
    /// The number of each job: a name is looked up once for all of its tasks.
    numbers: BTreeMap<JobId, usize>,
    /// By number.
    pub(super) jobs: Vec<OnBoard>,
}

/// A job that is on the board.
pub(super) struct OnBoard {
    pub(super) name: JobId,
    /// Tasks by the position of their host.
    pub(super) hosts: BTreeMap<usize, u32>,
    /// All of them.
    pub(super) total: u32,
}

/// A job's tasks on one host.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnHost {
    /// The job's number.
    pub(super) job: usize,
    pub(super) count: u32,
    /// Whether it wants the host for itself.
    pub(super) exclusive: bool,
}

/// The hosts of a zone.
pub(super) struct Zone<'a> {
    pub(super) name: &'a str,
    pub(super) words: Range<usize>,
    /// By step of fullness, how many hosts are there.
    pub(super) steps: [u32; FULLNESS_STEPS],
    /// Where the next choice among equals begins, so that they take turns.
    pub(super) turn: usize,
}

/// A host with what it has left.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) host: Option<&'a Host>,
    pub(super) zone: usize,
    pub(super) has: Amounts,
    pub(super) taken: Amounts,
    /// What one unit of each resource makes of the host's fullness.
    weights: [f64; KINDS],
    pub(super) launching: u32,
    pub(super) ports: BTreeSet<u16>,
    /// The jobs on the host. They are few enough to be looked through.
    pub(super) jobs: Vec<OnHost>,
    pub(super) kept: Option<Box<Kept>>,
    /// The step of its fullness.
    pub(super) step: usize,
}

impl Row<'_> {
    /// How full the host is with so much more, of its scarcest resource, in thousandths.
    pub(super) fn fullness_with(&self, more: &Amounts) -> f64 {
        let sums = self.taken.iter().zip(more).zip(&self.weights);
        sums.map(|((taken, more), weight)| taken.saturating_add(*more) as f64 * weight)
            .fold(0.0, f64::max)
    }

    /// How many tasks of a job are on the host.
    pub(super) fn count(&self, job: usize) -> u32 {
        let mut jobs = self.jobs.iter();
        jobs.find(|on| on.job == job).map_or(0, |on| on.count)
    }

    fn left(&self, kind: usize) -> u64 {
        self.has[kind].saturating_sub(self.taken[kind])
    }
}

impl<'a> Board<'a> {
    /// The board of the fleet as it is at `now`.
    pub fn of(fleet: &'a Fleet, now: Timestamp) -> Self {
        let mut board = Self::with_hosts(fleet.hosts.values());
        let lives = |attempt: &&crate::fleet::Attempt| attempt.ended.is_none();
        for attempt in fleet.attempts.values().filter(lives) {
            let job = fleet.jobs.get(&attempt.task.job);
            let version = job.and_then(|job| job.versions.get(&attempt.version));
            if let (Some(at), Some(version)) = (board.at(attempt.host), version) {
                board.put(at, &version.spec, attempt.is_launching());
            }
        }
        for job in fleet.jobs.values() {
            for task in job.tasks.values() {
                if let Some(host) = kept_on(fleet, task, now)
                    && let Some(at) = board.at(host)
                    && let Some(version) = job.versions.get(&task.version)
                {
                    let kept = board.rows[at].kept.get_or_insert_default();
                    kept.keep(&version.spec, &task.id);
                }
            }
        }
        board
    }

    /// A board of these hosts, on which nothing runs.
    pub fn with_hosts(hosts: impl Iterator<Item = &'a Host>) -> Self {
        let mut by_zone: BTreeMap<&str, Vec<&Host>> = BTreeMap::new();
        for host in hosts {
            let zone = host.facts.as_ref().map_or("", |facts| facts.zone.as_str());
            by_zone.entry(zone).or_default().push(host);
        }
        let mut zones = Vec::new();
        let mut begin = 0;
        for (name, hosts) in &by_zone {
            let words = begin..begin + hosts.len().div_ceil(WORD);
            begin = words.end;
            zones.push(Zone {
                name,
                turn: words.start * WORD,
                words,
                steps: [0; FULLNESS_STEPS],
            });
        }
        let empty = || Bits::empty(begin);
        let mut board = Self {
            rows: std::iter::repeat_with(Row::default)
                .take(begin * WORD)
                .collect(),
            at: BTreeMap::new(),
            zones,
            reachable: empty(),
            ready: empty(),
            labels: BTreeMap::new(),
            names: BTreeMap::new(),
            left: std::array::from_fn(|_| Vec::new()),
            fullness: vec![empty(); FULLNESS_STEPS],
            gpus: empty(),
            occupied: empty(),
            exclusive: empty(),
            busy: empty(),
            moved: Vec::new(),
            numbers: BTreeMap::new(),
            jobs: Vec::new(),
        };
        for (zone, hosts) in by_zone.into_values().enumerate() {
            let begin = board.zones[zone].words.start * WORD;
            for (at, host) in hosts.into_iter().enumerate() {
                board.add(begin + at, zone, host);
            }
        }
        board
    }

    fn add(&mut self, at: usize, zone: usize, host: &'a Host) {
        self.at.insert(host.id, at);
        self.names.entry(&host.name).or_default().push(at);
        let row = &mut self.rows[at];
        row.host = Some(host);
        row.zone = zone;
        self.fullness[0].set(at);
        self.zones[zone].steps[0] += 1;
        let Some(facts) = &host.facts else {
            return;
        };
        row.has = amounts::of_host(&facts.resources);
        row.weights = row
            .has
            .map(|has| if has == 0 { 0.0 } else { FULL / has as f64 });
        if host.connected {
            self.reachable.set(at);
            if facts.not_ready.is_none() {
                self.ready.set(at);
            }
        }
        if facts.resources.gpu > 0 {
            self.gpus.set(at);
        }
        let words = self.rows.len() / WORD;
        for (key, value) in &facts.labels {
            let hosts = self.labels.entry((key, value));
            hosts.or_insert_with(|| Bits::empty(words)).set(at);
        }
        for kind in 0..KINDS {
            let step = amounts::step(kind, self.rows[at].has[kind]);
            self.raise(kind, at, 0, step);
        }
    }

    /// So many hosts.
    pub fn hosts(&self) -> usize {
        self.at.len()
    }

    /// The position of a host.
    pub fn at(&self, host: HostId) -> Option<usize> {
        self.at.get(&host).copied()
    }

    /// The positions of the hosts of a name.
    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// All hosts with their positions, by id.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &'a Host)> {
        let at = self.at.values();
        at.filter_map(|at| Some((*at, self.rows[*at].host?)))
    }

    /// The host at a position.
    pub fn host(&self, at: usize) -> Option<&'a Host> {
        self.rows[at].host
    }

    /// The number of a job, which it gets when it is first asked for.
    pub(super) fn number(&mut self, job: &JobId) -> usize {
        if let Some(number) = self.numbers.get(job) {
            return *number;
        }
        let number = self.jobs.len();
        self.numbers.insert(job.clone(), number);
        self.jobs.push(OnBoard {
            name: job.clone(),
            hosts: BTreeMap::new(),
            total: 0,
        });
        number
    }

    /// The number of a job that is on the board.
    pub(super) fn known_number(&self, job: &JobId) -> Option<usize> {
        self.numbers.get(job).copied()
    }

    /// Puts a task on a host, whether it fits or not: what runs runs.
    pub fn put(&mut self, at: usize, spec: &JobSpec, launching: bool) {
        let job = self.number(&spec.name);
        self.put_one_of(at, job, spec, &amounts::of_task(spec), launching);
    }

    /// Puts a task of a job on a host, of which the number and the needs are at hand.
    pub(super) fn put_one_of(
        &mut self,
        at: usize,
        job: usize,
        spec: &JobSpec,
        needs: &Amounts,
        launching: bool,
    ) {
        let row = &mut self.rows[at];
        let before: [u64; KINDS] = std::array::from_fn(|kind| row.left(kind));
        amounts::add(&mut row.taken, needs);
        row.launching += u32::from(launching);
        if launching {
            self.moved.push(at);
        }
        if row.launching >= LAUNCHES_AT_ONCE {
            self.busy.set(at);
        }
        row.ports
            .extend(spec.ports.iter().filter_map(|port| port.host_port));
        let exclusive = spec.constraints.hard.exclusive_host;
        match row.jobs.iter_mut().find(|on| on.job == job) {
            Some(on) => {
                on.count += 1;
                on.exclusive |= exclusive;
            }
            None => row.jobs.push(OnHost {
                job,
                count: 1,
                exclusive,
            }),
        }
        self.occupied.set(at);
        if exclusive {
            self.exclusive.set(at);
        }
        let of_job = &mut self.jobs[job];
        *of_job.hosts.entry(at).or_insert(0) += 1;
        of_job.total += 1;
        for (kind, before) in before.into_iter().enumerate() {
            let after = self.rows[at].left(kind);
            if before != after {
                let (before, after) = (amounts::step(kind, before), amounts::step(kind, after));
                self.lower(kind, at, before, after);
            }
        }
        self.note_fullness(at);
    }

    fn note_fullness(&mut self, at: usize) {
        let row = &mut self.rows[at];
        let step = step_of_fullness(row.fullness_with(&[0; KINDS]));
        if step != row.step {
            let zone = &mut self.zones[row.zone];
            zone.steps[row.step] -= 1;
            zone.steps[step] += 1;
            self.fullness[row.step].clear(at);
            self.fullness[step].set(at);
            row.step = step;
        }
    }

    fn raise(&mut self, kind: usize, at: usize, from: usize, to: usize) {
        let words = self.rows.len() / WORD;
        let steps = &mut self.left[kind];
        if steps.len() <= to {
            steps.resize_with(to + 1, || Bits::empty(words));
        }
        for hosts in &mut steps[from..=to] {
            hosts.set(at);
        }
    }

    fn lower(&mut self, kind: usize, at: usize, from: usize, to: usize) {
        for hosts in &mut self.left[kind][to + 1..=from] {
            hosts.clear(at);
        }
    }
}

/// The step of a fullness. What is more than full is full.
fn step_of_fullness(fullness: f64) -> usize {
    let step = fullness * FULLNESS_STEPS as f64 / FULL;
    (step as usize).min(FULLNESS_STEPS - 1)
}
