//! Hosts.

use super::filter::HostFilter;
use super::page::{self, Page};
use crate::describe::reasons::{ahead, ahead_advice, clock};
use crate::fleet::{Fleet, Host};
use jiff::Timestamp;
use muster_schemas::api::{HostView, List};
use muster_schemas::ids::HostId;
use muster_schemas::state::HostResources;
use std::collections::BTreeMap;

/// Whether a host can take tasks: its agent is connected and its engine answers.
pub(super) fn is_ready(host: &Host) -> bool {
    host.connected
        && host
            .facts
            .as_ref()
            .is_some_and(|facts| facts.not_ready.is_none())
}

/// What is taken of each host, and how many attempts that have not ended it has.
struct Taken {
    resources: BTreeMap<HostId, HostResources>,
    tasks: BTreeMap<HostId, u64>,
}

impl Taken {
    fn of(fleet: &Fleet) -> Self {
        let mut tasks = BTreeMap::new();
        for attempt in fleet
            .attempts
            .values()
            .filter(|attempt| attempt.ended.is_none())
        {
            *tasks.entry(attempt.host).or_insert(0) += 1;
        }
        Self {
            resources: fleet.allocated(),
            tasks,
        }
    }
}

/// A page of the hosts that match, in the order in which they enrolled.
pub fn hosts(fleet: &Fleet, filter: &HostFilter, page: &Page, now: Timestamp) -> List<HostView> {
    let taken = Taken::of(fleet);
    let after: Option<HostId> = page.after.as_deref().and_then(|after| after.parse().ok());
    page::take(
        fleet.hosts.values().filter(|host| filter.matches(host)),
        page.limit,
        |host| after.is_none_or(|after| host.id > after),
        |host| host.id.to_string(),
        |host| view(host, &taken, now),
    )
}

/// One host.
pub fn host_view(fleet: &Fleet, host: &Host, now: Timestamp) -> HostView {
    view(host, &Taken::of(fleet), now)
}

fn view(host: &Host, taken: &Taken, now: Timestamp) -> HostView {
    let facts = host.facts.clone();
    let reason = match (host.ahead, &facts) {
        (Some(highest), _) => format!("it {}; {}", ahead(highest), ahead_advice(&host.name)),
        (None, _) if !host.connected => format!(
            "its agent has not been heard of since {}",
            clock(host.since, now)
        ),
        (None, None) => "its agent has not told its resources yet".to_owned(),
        (None, Some(facts)) => facts.not_ready.clone().unwrap_or_default(),
    };
    let (address, zone, labels, warnings, capacity, engine, system, agent_version) = facts
        .map_or_else(Default::default, |facts| {
            (
                facts.address,
                facts.zone,
                facts.labels,
                facts.warnings,
                facts.resources,
                facts.engine,
                facts.system,
                facts.agent_version,
            )
        });
    HostView {
        id: host.id.to_string(),
        name: host.name.clone(),
        address,
        zone,
        labels,
        reachable: host.connected,
        ready: is_ready(host),
        reason,
        warnings,
        capacity,
        allocated: taken.resources.get(&host.id).copied().unwrap_or_default(),
        tasks: taken.tasks.get(&host.id).copied().unwrap_or_default(),
        orphans: host.orphans.clone(),
        engine,
        system,
        agent_version,
        enrolled_at: host.enrolled_at,
        since: host.since,
    }
}
