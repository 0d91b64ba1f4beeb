//! The choice of hosts for tasks that are alike.

use super::amounts::{self, Amounts};
use super::bits::{Bits, WORD, ones};
use super::board::{Board, FULLNESS_STEPS};
use muster_schemas::spec::{JobSpec, Tier};
use muster_schemas::state::Blocked;
use std::collections::BTreeMap;

/// Of the hosts that are equally good but for how full they are, so many are compared. More hardly find a better one, and each
/// costs as much as the first.
const COMPARED: usize = 16;

/// In a zone with more hosts than a word has, only so many steps of fullness are looked at from the first on which a host is found: what
/// is an eighth fuller or emptier is hardly the better one, and looking at all of them costs more than the rest of the choice.
const STEPS_COMPARED: usize = FULLNESS_STEPS / 8;

/// And no further step once so many are found.
const ENOUGH: usize = 4;

/// How the hosts of a job are chosen among those that can take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Over zones, then over hosts, then where most is left: so that no loss of a host or a zone takes much of it.
    Spread,
    /// Where least is left: so that large tasks find whole hosts.
    Pack,
}

impl Style {
    /// What is critical or a service is spread, and flex batch work is packed.
    pub fn of(spec: &JobSpec) -> Self {
        if spec.tier == Tier::Critical || spec.service.is_some() {
            Self::Spread
        } else {
            Self::Pack
        }
    }
}

/// How many tasks of a job are in each zone in which a task of it could be at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zones {
    counts: Vec<Option<u32>>,
    least: u32,
}

impl Zones {
    fn new(counts: Vec<Option<u32>>) -> Self {
        let least = counts.iter().flatten().min().copied().unwrap_or(0);
        Self { counts, least }
    }

    fn count(&self, zone: usize) -> u32 {
        self.counts[zone].unwrap_or(0)
    }

    /// Whether the zone has more than another one.
    pub(super) fn is_ahead(&self, zone: usize) -> bool {
        self.count(zone) > self.least
    }

    fn add(&mut self, zone: usize) {
        if let Some(count) = &mut self.counts[zone] {
            *count += 1;
            self.least = self.counts.iter().flatten().min().copied().unwrap_or(0);
        }
    }
}

/// Tasks that are alike: those of one version of a job. What was found out for the first of them is used for all, as long as
/// nothing is given back on the board.
pub struct Class<'a> {
    spec: &'a JobSpec,
    /// The job's number on the board.
    job: usize,
    needs: Amounts,
    style: Style,
    zones: Zones,
    /// The hosts that can still be considered, by how many of the soft constraints they do not meet whoever is there, and by how many
    /// tasks of the job they have.
    groups: BTreeMap<(u32, u32), Group>,
    /// So much of what has moved on the board is known.
    seen: usize,
    /// So many tasks of the job are known.
    known: u32,
}

/// Hosts that are equally good but for how full they are.
struct Group {
    hosts: Bits,
    by_zone: Vec<u32>,
    /// By zone, the step of fullness before which, in the order of the style, there is none of them.
    from: Vec<usize>,
}

/// What makes a host better than another, the first first. Less is better.
type Rank = (u32, u32, u32);

impl<'a> Class<'a> {
    /// The tasks of `spec`.
    pub fn new(board: &mut Board<'_>, spec: &'a JobSpec) -> Self {
        let job = board.number(&spec.name);
        let board = &*board;
        let words = board.rows.len() / WORD;
        let needs = amounts::of_task(spec);
        let mut hosts = board.reachable.clone();
        keep_constraints(board, spec, &mut hosts);
        let own = &board.jobs[job].hosts;
        let counts = board.zones.iter().enumerate().map(|(zone, of)| {
            hosts.any(of.words.clone()).then(|| {
                let here = own
                    .iter()
                    .filter(|(at, _)| board.rows[**at].zone == zone && hosts.has(**at));
                here.map(|(_, count)| count).sum()
            })
        });
        let zones = Zones::new(counts.collect());

        hosts.keep(&board.ready);
        hosts.remove(&board.busy);
        for (kind, needed) in needs
            .into_iter()
            .enumerate()
            .filter(|(_, needed)| *needed > 0)
        {
            match board.left[kind].get(amounts::step(kind, needed)) {
                Some(left) => hosts.keep(left),
                None => hosts = Bits::empty(words),
            }
        }
        let mut taken_by_others = board.occupied.clone();
        for at in own.keys().copied() {
            if board.rows[at].jobs.len() == 1 {
                taken_by_others.clear(at);
            }
        }
        if spec.constraints.hard.exclusive_host {
            hosts.remove(&taken_by_others);
        } else {
            let mut exclusive = board.exclusive.clone();
            exclusive.keep(&taken_by_others);
            hosts.remove(&exclusive);
        }

        let mut class = Self {
            spec,
            job,
            needs,
            style: Style::of(spec),
            zones,
            groups: BTreeMap::new(),
            seen: board.moved.len(),
            known: board.jobs[job].total,
        };
        for (unmet, mut hosts) in by_unmet(board, spec, hosts, &taken_by_others) {
            let mut with_own = Vec::new();
            for (at, count) in own {
                if hosts.has(*at) {
                    hosts.clear(*at);
                    with_own.push((*at, *count));
                }
            }
            let by_zone = board.zones.iter();
            let by_zone = by_zone.map(|zone| hosts.count(zone.words.clone()));
            let by_zone: Vec<u32> = by_zone.collect();
            if by_zone.iter().any(|count| *count > 0) {
                let from = vec![class.first_step(); by_zone.len()];
                let group = Group {
                    hosts,
                    by_zone,
                    from,
                };
                class.groups.insert((unmet, 0), group);
            }
            for (at, count) in with_own {
                class.consider(board, at, unmet, count);
            }
        }
        class
    }

    /// Considers a host that has so many tasks of the job.
    fn consider(&mut self, board: &Board<'_>, at: usize, unmet: u32, count: u32) {
        if self.spec.constraints.hard.unique_host && count > 0 {
            return;
        }
        let count = match self.style {
            Style::Spread => count,
            Style::Pack if self.spec.constraints.soft.unique_host => count.min(1),
            Style::Pack => 0,
        };
        let first = self.first_step();
        let group = self.groups.entry((unmet, count)).or_insert_with(|| Group {
            hosts: Bits::empty(board.rows.len() / WORD),
            by_zone: vec![0; board.zones.len()],
            from: vec![first; board.zones.len()],
        });
        if !group.hosts.has(at) {
            let (zone, step) = (board.rows[at].zone, board.rows[at].step);
            group.hosts.set(at);
            group.by_zone[zone] += 1;
            group.from[zone] = match self.style {
                Style::Spread => group.from[zone].min(step),
                Style::Pack => group.from[zone].max(step),
            };
        }
    }

    /// The step of fullness that is best by the style.
    fn first_step(&self) -> usize {
        match self.style {
            Style::Spread => 0,
            Style::Pack => FULLNESS_STEPS - 1,
        }
    }

    /// Hosts only get fuller. Where that is what is wanted, those that did since the last choice may come before what was the first.
    fn see_moves(&mut self, board: &Board<'_>) {
        let moved = &board.moved[self.seen..];
        self.seen = board.moved.len();
        if self.style == Style::Spread {
            return;
        }
        for at in moved {
            let (zone, step) = (board.rows[*at].zone, board.rows[*at].step);
            for group in self.groups.values_mut() {
                if group.hosts.has(*at) {
                    group.from[zone] = group.from[zone].max(step);
                }
            }
        }
    }

    /// Puts the next of the tasks on the host that is best for it, and gives its position; none if no host can take it.
    pub fn place(&mut self, board: &mut Board<'_>) -> Option<usize> {
        // Tasks of another version of the job were placed meanwhile: how it is spread has to be looked at anew.
        if board.jobs[self.job].total != self.known {
            *self = Self::new(board, self.spec);
        }
        self.see_moves(board);
        loop {
            let best = self.ranked(board).min()?;
            let places: Vec<((u32, u32), usize)> = self.places(best).collect();
            if let Some((of, at)) = self.best_of(board, &places) {
                let row = &board.rows[at];
                let (zone, count) = (row.zone, row.count(self.job));
                self.drop_from(of, zone, at);
                board.put_one_of(at, self.job, self.spec, &self.needs, true);
                self.known += 1;
                board.zones[zone].turn = at + 1;
                self.zones.add(zone);
                self.consider(board, at, of.0, count + 1);
                return Some(at);
            }
            // All of them turned out not to have what is needed, and are not considered any more.
        }
    }

    pub(super) fn spec(&self) -> &JobSpec {
        self.spec
    }

    pub(super) fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Why no host can take one of the tasks.
    pub fn blocked(&self, board: &Board<'_>) -> Blocked {
        board.blocked(self.spec, &self.zones)
    }

    /// The ranks of the hosts that can be considered now.
    fn ranked(&self, board: &Board<'_>) -> impl Iterator<Item = Rank> {
        let zones = 0..board.zones.len();
        self.groups.iter().flat_map(move |(of, group)| {
            let zones = zones.clone().filter(|zone| group.by_zone[*zone] > 0);
            zones.filter_map(|zone| self.rank(*of, zone))
        })
    }

    /// The groups and zones of a rank.
    fn places(&self, rank: Rank) -> impl Iterator<Item = ((u32, u32), usize)> {
        self.groups.iter().flat_map(move |(of, group)| {
            let zones = group.by_zone.iter().enumerate();
            let zones = zones.filter(|(_, count)| **count > 0);
            zones
                .filter(move |(zone, _)| self.rank(*of, *zone) == Some(rank))
                .map(|(zone, _)| (*of, zone))
        })
    }

    /// How good the hosts of a group in a zone are; none if they cannot take a task now.
    fn rank(&self, (unmet, count): (u32, u32), zone: usize) -> Option<Rank> {
        let constraints = &self.spec.constraints;
        let is_ahead = self.zones.is_ahead(zone);
        if constraints.hard.zone_balance && is_ahead {
            return None;
        }
        let unmet = unmet
            + u32::from(constraints.soft.unique_host && count > 0)
            + u32::from(constraints.soft.zone_balance && is_ahead);
        Some(match self.style {
            Style::Spread => (unmet, self.zones.count(zone), count),
            Style::Pack => (unmet, 0, 0),
        })
    }

    /// The best host in these groups and zones, with its group.
    fn best_of(
        &mut self,
        board: &Board<'_>,
        places: &[((u32, u32), usize)],
    ) -> Option<((u32, u32), usize)> {
        // What needs no GPU leaves hosts that have some to what does.
        let spares_gpus = self.needs[4] == 0;
        for with_gpus in [!spares_gpus, spares_gpus] {
            let mut best: Option<(u64, (u32, u32), usize)> = None;
            for (of, zone) in places {
                let of = *of;
                self.compare(board, of, *zone, with_gpus, |fullness, at| {
                    if best.is_none_or(|(known, ..)| fullness < known) {
                        best = Some((fullness, of, at));
                    }
                });
            }
            if let Some((_, of, at)) = best {
                return Some((of, at));
            }
        }
        None
    }

    /// Tells the first hosts of a group in a zone, by the style's order, that can take a task, with what is worse the more it is.
    fn compare(
        &mut self,
        board: &Board<'_>,
        of: (u32, u32),
        zone: usize,
        with_gpus: bool,
        mut tell: impl FnMut(u64, usize),
    ) {
        let Some(group) = self.groups.get_mut(&of) else {
            return;
        };
        let range = &board.zones[zone];
        let (first, within) = (range.turn / WORD, range.turn % WORD);
        let first = if range.words.contains(&first) {
            first
        } else {
            range.words.start
        };
        let below = (1u64 << within) - 1;
        let mut refused = Vec::new();
        let mut told = 0;
        let begin = group.from[zone];
        let steps: &mut dyn Iterator<Item = usize> = match self.style {
            Style::Spread => &mut (begin..FULLNESS_STEPS),
            Style::Pack => &mut (0..=begin).rev(),
        };
        let mut first_found = None;
        'steps: for step in steps {
            if range.steps[step] == 0 {
                continue;
            }
            let is_large = range.words.len() > 1;
            let is_far = |first: usize| is_large && first.abs_diff(step) > STEPS_COMPARED;
            if (told > 0 && first_found.is_some_and(is_far)) || (told >= ENOUGH && is_large) {
                break;
            }
            let as_full = &board.fullness[step];
            // From where it is its turn to the end, and round to there again.
            let turns = std::iter::once((first, !below))
                .chain((first + 1..range.words.end).map(|word| (word, u64::MAX)))
                .chain((range.words.start..first).map(|word| (word, u64::MAX)))
                .chain(std::iter::once((first, below)));
            for (word, mask) in turns {
                let hosts = group.hosts.word(word) & as_full.word(word) & mask;
                if hosts == 0 {
                    continue;
                }
                first_found.get_or_insert(step);
                let gpus = board.gpus.word(word);
                let hosts = hosts & if with_gpus { gpus } else { !gpus };
                for bit in ones(hosts) {
                    let at = word * WORD + bit;
                    let row = &board.rows[at];
                    let (job, spec) = (Some(self.job), self.spec);
                    let refusal = board.row_refuses(at, job, spec, &self.needs, &self.zones);
                    if refusal.is_some() {
                        refused.push(at);
                        continue;
                    }
                    let fullness = row.fullness_with(&self.needs) as u64;
                    let worse = match self.style {
                        Style::Spread => fullness,
                        Style::Pack => u64::MAX - fullness,
                    };
                    tell(worse, at);
                    told += 1;
                    if told == COMPARED {
                        break 'steps;
                    }
                }
            }
        }
        if let Some(step) = first_found {
            group.from[zone] = step;
        }
        for at in refused {
            group.hosts.clear(at);
            group.by_zone[zone] -= 1;
        }
        if group.by_zone.iter().all(|count| *count == 0) {
            self.groups.remove(&of);
        }
    }

    fn drop_from(&mut self, of: (u32, u32), zone: usize, at: usize) {
        let Some(group) = self.groups.get_mut(&of) else {
            return;
        };
        group.hosts.clear(at);
        group.by_zone[zone] -= 1;
        if group.by_zone.iter().all(|count| *count == 0) {
            self.groups.remove(&of);
        }
    }
}

/// Keeps the hosts that meet the hard constraints on the host itself.
fn keep_constraints(board: &Board<'_>, spec: &JobSpec, hosts: &mut Bits) {
    let hard = &spec.constraints.hard;
    if !hard.zones.is_empty() {
        hosts.keep(&in_zones(board, &hard.zones));
    }
    if !hard.hosts.is_empty() {
        hosts.keep(&named(board, &hard.hosts));
    }
    for (key, value) in &hard.host_labels {
        match board.labels.get(&(key.as_str(), value.as_str())) {
            Some(labelled) => hosts.keep(labelled),
            None => *hosts = Bits::empty(board.rows.len() / WORD),
        }
    }
}

fn in_zones(board: &Board<'_>, zones: &[String]) -> Bits {
    let mut hosts = Bits::empty(board.rows.len() / WORD);
    for zone in &board.zones {
        if zones.iter().any(|name| name == zone.name) {
            hosts.set_words(zone.words.clone());
        }
    }
    hosts
}

fn named(board: &Board<'_>, names: &[String]) -> Bits {
    let mut hosts = Bits::empty(board.rows.len() / WORD);
    for at in names.iter().flat_map(|name| board.named(name)) {
        hosts.set(*at);
    }
    hosts
}

/// The hosts by how many of the soft constraints they do not meet whatever else of the job is placed.
fn by_unmet(
    board: &Board<'_>,
    spec: &JobSpec,
    hosts: Bits,
    taken_by_others: &Bits,
) -> Vec<(u32, Bits)> {
    let soft = &spec.constraints.soft;
    let words = board.rows.len() / WORD;
    let mut meet = Vec::new();
    if !soft.zones.is_empty() {
        meet.push(in_zones(board, &soft.zones));
    }
    if !soft.hosts.is_empty() {
        meet.push(named(board, &soft.hosts));
    }
    for (key, value) in &soft.host_labels {
        let labelled = board.labels.get(&(key.as_str(), value.as_str()));
        meet.push(labelled.cloned().unwrap_or_else(|| Bits::empty(words)));
    }
    if soft.exclusive_host {
        let mut free = hosts.clone();
        free.remove(taken_by_others);
        meet.push(free);
    }
    let mut by_unmet = vec![hosts];
    for meets in meet {
        let mut next = vec![Bits::empty(words); by_unmet.len() + 1];
        for (unmet, hosts) in by_unmet.into_iter().enumerate() {
            let mut met = hosts.clone();
            met.keep(&meets);
            next[unmet].add(&met);
            let mut others = hosts;
            others.remove(&meets);
            next[unmet + 1].add(&others);
        }
        by_unmet = next;
    }
    (0..).zip(by_unmet).collect()
}
