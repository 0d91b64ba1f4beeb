//! Why a host cannot take a task.

use super::LAUNCHES_AT_ONCE;
use super::amounts::{self, Amounts, KINDS, RESOURCES};
use super::board::Board;
use super::class::Zones;
use crate::fleet::Host;
use muster_schemas::spec::{ConstraintSet, JobSpec};
use muster_schemas::state::{Blocked, BlockedBy, HostFacts, HostRefusal};
use std::mem::discriminant;

/// At most so many host names are given as examples of a reason.
const EXAMPLES: usize = 5;

impl Board<'_> {
    /// Why the host at a position cannot take a task of `spec`, of which `zones` has how many are where; none if it can.
    pub fn refuses(&self, at: usize, spec: &JobSpec, zones: &Zones) -> Option<HostRefusal> {
        let host = self.rows[at].host?;
        host_refuses(host, spec).or_else(|| {
            let own = self.known_number(&spec.name);
            self.row_refuses(at, own, spec, &amounts::of_task(spec), zones)
        })
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
fn host_refuses(host: &Host, spec: &JobSpec) -> Option<HostRefusal> {
    if !host.connected {
        return Some(HostRefusal::Unreachable);
    }
    let Some(facts) = &host.facts else {
        return Some(HostRefusal::NotReady {
            message: "its agent has not told its resources yet".to_owned(),
        });
    };
    if let Some(message) = &facts.not_ready {
        return Some(HostRefusal::NotReady {
            message: message.clone(),
        });
    }
    constraints_refuse(host, facts, &spec.constraints.hard)
}

fn constraints_refuse(host: &Host, facts: &HostFacts, hard: &ConstraintSet) -> Option<HostRefusal> {
    if !hard.zones.is_empty() && !hard.zones.contains(&facts.zone) {
        return Some(HostRefusal::WrongZone {
            zone: facts.zone.clone(),
        });
    }
    if !hard.hosts.is_empty() && !hard.hosts.contains(&host.name) {
        return Some(HostRefusal::WrongHost);
    }
    hard.host_labels
        .iter()
        .find(|(key, value)| facts.labels.get(*key) != Some(value))
        .map(|(key, value)| HostRefusal::LabelMissing {
            label: format!("{key}={value}"),
        })
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
        let row = &self.rows[at];
        let hard = &spec.constraints.hard;
        let others = || row.jobs.iter().filter(|on| Some(on.job) != own);
        if self.exclusive.has(at)
            && let Some(other) = others().find(|on| on.exclusive)
        {
            let job = self.jobs[other.job].name.clone();
            return Some(HostRefusal::TakenExclusively { job });
        }
        if hard.exclusive_host && others().next().is_some() {
            return Some(HostRefusal::NotExclusive);
        }
        if hard.unique_host && own.is_some_and(|own| row.count(own) > 0) {
            return Some(HostRefusal::NotUnique);
        }
        if hard.zone_balance && zones.is_ahead(row.zone) {
            let facts = row.host.and_then(|host| host.facts.as_ref());
            let zone = facts.map_or(String::new(), |facts| facts.zone.clone());
            return Some(HostRefusal::ZoneUnbalanced { zone });
        }
        let mut ports = spec.ports.iter().filter_map(|port| port.host_port);
        if let Some(port) = ports.find(|port| row.ports.contains(port)) {
            return Some(HostRefusal::PortTaken { port });
        }
        for kind in 0..KINDS {
            let (free, needed) = (row.has[kind].saturating_sub(row.taken[kind]), needs[kind]);
            if needed > free {
                return Some(HostRefusal::TooLittle {
                    resource: RESOURCES[kind],
                    free,
                    needed,
                });
            }
        }
        let kept = row.kept.as_ref();
        if let Some(task) = kept.and_then(|kept| kept.from(&row.has, &row.taken, spec)) {
            return Some(HostRefusal::KeptFor { task: task.clone() });
        }
        (row.launching >= LAUNCHES_AT_ONCE).then_some(HostRefusal::Busy {
            launching: row.launching,
        })
    }
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
