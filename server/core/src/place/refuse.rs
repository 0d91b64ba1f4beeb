//! Why a host cannot take a task.

use super::LAUNCHES_AT_ONCE;
use super::amounts::{self, Amounts, KINDS, RESOURCES};
use super::board::Board;
use super::class::Zones;
use crate::fleet::Host;
use muster_schemas::spec::JobSpec;
use muster_schemas::state::{Blocked, BlockedBy, HostRefusal, ResourceKind};
use std::mem::discriminant;
use std::ops::ControlFlow;

/// At most so many host names are given as examples of a reason.
const EXAMPLES: usize = 5;

/// What is done with something that rules a host out: the next is looked for, or not.
type Next = ControlFlow<()>;

impl Board<'_> {
    /// Why the host at a position cannot take a task of `spec`, of which `zones` has how many are where; none if it can.
    pub fn refuses(&self, at: usize, spec: &JobSpec, zones: &Zones) -> Option<HostRefusal> {
        let mut first = None;
        let _ = self.each_refusal(at, spec, zones, &mut |refusal| {
            first = Some(refusal);
            Next::Break(())
        });
        first
    }

    /// All that keeps the host at a position from taking a task of `spec`. The first of it is what [`Board::refuses`] says.
    pub fn refusals(&self, at: usize, spec: &JobSpec, zones: &Zones) -> Vec<HostRefusal> {
        let mut all = Vec::new();
        let _ = self.each_refusal(at, spec, zones, &mut |refusal| {
            all.push(refusal);
            Next::Continue(())
        });
        all
    }

    fn each_refusal(
        &self,
        at: usize,
        spec: &JobSpec,
        zones: &Zones,
        found: &mut impl FnMut(HostRefusal) -> Next,
    ) -> Next {
        let Some(host) = self.rows[at].host else {
            return Next::Continue(());
        };
        each_of_host(host, spec, found)?;
        if host.facts.is_none() {
            // What it has is not known.
            return Next::Continue(());
        }
        let own = self.known_number(&spec.name);
        self.each_of_row(at, own, spec, &amounts::of_task(spec), zones, found)
    }

    /// Why none of the hosts can take a task of `spec`.
    pub fn blocked(&self, spec: &JobSpec, zones: &Zones) -> Blocked {
        let hosts = self.all().filter_map(|(at, host)| {
            let refusal = self.refuses(at, spec, zones)?;
            Some((refusal, host.name.as_str()))
        });
        summarise(hosts.collect())
    }
}

/// What rules a host out by what it is, whoever is there.
fn each_of_host(host: &Host, spec: &JobSpec, found: &mut impl FnMut(HostRefusal) -> Next) -> Next {
    if !host.connected {
        found(HostRefusal::Unreachable)?;
    }
    let Some(facts) = &host.facts else {
        return found(HostRefusal::NotReady {
            message: "its agent has not told its resources yet".to_owned(),
        });
    };
    if let Some(message) = &facts.not_ready {
        found(HostRefusal::NotReady {
            message: message.clone(),
        })?;
    }
    let hard = &spec.constraints.hard;
    if !hard.zones.is_empty() && !hard.zones.contains(&facts.zone) {
        found(HostRefusal::WrongZone {
            zone: facts.zone.clone(),
        })?;
    }
    if !hard.hosts.is_empty() && !hard.hosts.contains(&host.name) {
        found(HostRefusal::WrongHost)?;
    }
    for (key, value) in &hard.host_labels {
        if facts.labels.get(key) != Some(value) {
            found(HostRefusal::LabelMissing {
                label: format!("{key}={value}"),
            })?;
        }
    }
    Next::Continue(())
}

impl Board<'_> {
    /// What rules a host out for a task of the job `own` by who is there.
    pub(super) fn row_refuses(
        &self,
        at: usize,
        own: Option<usize>,
        spec: &JobSpec,
        needs: &Amounts,
        zones: &Zones,
    ) -> Option<HostRefusal> {
        let mut first = None;
        let _ = self.each_of_row(at, own, spec, needs, zones, &mut |refusal| {
            first = Some(refusal);
            Next::Break(())
        });
        first
    }

    // The choice of hosts asks this of every host that it considers, and only for the first refusal: within it the closure folds away.
    #[inline(always)]
    fn each_of_row(
        &self,
        at: usize,
        own: Option<usize>,
        spec: &JobSpec,
        needs: &Amounts,
        zones: &Zones,
        found: &mut impl FnMut(HostRefusal) -> Next,
    ) -> Next {
        let row = &self.rows[at];
        let hard = &spec.constraints.hard;
        let others = || row.jobs.iter().filter(|on| Some(on.job) != own);
        if self.exclusive.has(at)
            && let Some(other) = others().find(|on| on.exclusive)
        {
            let job = self.jobs[other.job].name.clone();
            found(HostRefusal::TakenExclusively { job })?;
        }
        if hard.exclusive_host && others().next().is_some() {
            found(HostRefusal::NotExclusive)?;
        }
        if hard.unique_host && own.is_some_and(|own| row.count(own) > 0) {
            found(HostRefusal::NotUnique)?;
        }
        if hard.zone_balance && zones.is_ahead(row.zone) {
            let facts = row.host.and_then(|host| host.facts.as_ref());
            let zone = facts.map_or(String::new(), |facts| facts.zone.clone());
            found(HostRefusal::ZoneUnbalanced { zone })?;
        }
        for port in spec.ports.iter().filter_map(|port| port.host_port) {
            if row.ports.contains(&port) {
                found(HostRefusal::PortTaken { port })?;
            }
        }
        let mut has_room = true;
        for kind in 0..KINDS {
            let (free, needed) = (row.has[kind].saturating_sub(row.taken[kind]), needs[kind]);
            if needed > free {
                has_room = false;
                found(HostRefusal::TooLittle {
                    resource: RESOURCES[kind],
                    free,
                    needed,
                })?;
            }
        }
        // What is too little as it is need not be said to be kept, too.
        let kept = row.kept.as_ref().filter(|_| has_room);
        if let Some(task) = kept.and_then(|kept| kept.from(&row.has, &row.taken, spec)) {
            found(HostRefusal::KeptFor { task: task.clone() })?;
        }
        if row.launching >= LAUNCHES_AT_ONCE {
            found(HostRefusal::Busy {
                launching: row.launching,
            })?;
        }
        Next::Continue(())
    }
}

/// How much of a resource a host has in all; nothing while its agent has not told it.
pub fn total_of(host: &Host, resource: ResourceKind) -> u64 {
    let has = host
        .facts
        .as_ref()
        .map_or_else(Amounts::default, |facts| amounts::of_host(&facts.resources));
    let kind = RESOURCES.iter().position(|known| *known == resource);
    kind.map_or(0, |kind| has[kind])
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

/// Whether two refusals say the same, but for their figures.
pub fn same_kind(a: &HostRefusal, b: &HostRefusal) -> bool {
    match (a, b) {
        (
            HostRefusal::TooLittle { resource: a, .. },
            HostRefusal::TooLittle { resource: b, .. },
        ) => a == b,
        (a, b) => discriminant(a) == discriminant(b),
    }
}
