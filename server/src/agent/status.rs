//! What the agent has told about each attempt, so that it tells only what changed, with a number that grows.

use super::converge::{self, View};
use super::drift;
use crate::runtime::{Container, ContainerState};
use jiff::Timestamp;
use muster_schemas::ids::AttemptId;
use muster_schemas::spec::Probe;
use muster_schemas::state::{AttemptStatus, Phase};
use muster_schemas::wire::{Assignment, Launch};
use std::collections::BTreeMap;

/// What the probes say about one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeWord {
    /// The container that was asked.
    pub container: String,
    /// The readiness probe's word.
    pub ready: Option<bool>,
    /// The liveness probe's word.
    pub live: Option<bool>,
    /// What the last failing probe said.
    pub message: Option<String>,
}

/// The statuses as last told.
#[derive(Debug, Default)]
pub struct Statuses {
    told: BTreeMap<AttemptId, AttemptStatus>,
    last_sequence: u64,
}

impl Statuses {
    /// Brings the statuses up to date and returns those that changed.
    pub fn update(
        &mut self,
        view: &View<'_>,
        probes: &BTreeMap<AttemptId, ProbeWord>,
    ) -> Vec<AttemptStatus> {
        let mut changed = Vec::new();
        let mut now_told = BTreeMap::new();
        for item in view.items {
            let attempt = item.attempt();
            let Some(mut status) = status(view, probes, item) else {
                continue;
            };
            match self.told.remove(&attempt) {
                Some(old) if same(&old, &status) => {
                    now_told.insert(attempt, old);
                }
                Some(_) | None => {
                    status.sequence = self.next_sequence(view.now);
                    changed.push(status.clone());
                    now_told.insert(attempt, status);
                }
            }
        }
        self.told = now_told;
        changed
    }

    /// All of them.
    pub fn all(&self) -> Vec<AttemptStatus> {
        self.told.values().cloned().collect()
    }

    /// Grows with each change; the clock in microseconds keeps it growing over restarts.
    fn next_sequence(&mut self, now: Timestamp) -> u64 {
        let clock = u64::try_from(now.as_microsecond()).unwrap_or(0);
        self.last_sequence = clock.max(self.last_sequence + 1);
        self.last_sequence
    }
}

fn same(old: &AttemptStatus, new: &AttemptStatus) -> bool {
    let mut renumbered = new.clone();
    renumbered.sequence = old.sequence;
    // An end that is not on the disk yet has no time of its own where the engine has none.
    *old == renumbered
}

fn status(
    view: &View<'_>,
    probes: &BTreeMap<AttemptId, ProbeWord>,
    item: &Assignment,
) -> Option<AttemptStatus> {
    let attempt = item.attempt();
    let phase = converge::phase(view, item)?;
    let container = view.containers.get(&attempt);
    let running = container
        .filter(|container| container.state == ContainerState::Running && phase == Phase::Running);
    let launch = launch_of(view, item);
    let word = running
        .and_then(|container| {
            probes
                .get(&attempt)
                .filter(|word| word.container == container.id)
        })
        .cloned()
        .unwrap_or_default();
    let has = |probe: fn(&Launch) -> Option<&Probe>| launch.is_some_and(|l| probe(l).is_some());
    let ready = match (running, has(|launch| launch.readiness.as_ref())) {
        (None, _) => None,
        (Some(_), true) => word.ready,
        (Some(_), false) => Some(true),
    };
    Some(AttemptStatus {
        attempt,
        sequence: 0,
        phase,
        container: container.map(|container| container.id.clone()),
        ip: running.and_then(|container| container.ip.clone()),
        started_at: container.and_then(|container| container.started_at),
        ready,
        live: word.live,
        probe_message: word.message,
        hardening: container.and_then(|container: &Container| container.hardening.clone()),
        drift: running.map_or_else(Vec::new, |container| drift::drift(view, attempt, container)),
    })
}

/// What an attempt's container was launched from, as far as it is known.
pub fn launch_of<'a>(view: &'a View<'_>, item: &'a Assignment) -> Option<&'a Launch> {
    match item {
        Assignment::Run(launch) | Assignment::Stop { launch, .. } => Some(launch),
        Assignment::Keep { attempt } | Assignment::Remove { attempt } => view
            .markers
            .get(attempt)
            .and_then(|marker| marker.launch.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::{World, container, launch};

    #[test]
    fn only_changes_are_told_and_numbers_grow() {
        let launch = launch(7);
        let mut world = World::assigned(vec![Assignment::Run(Box::new(launch.clone()))]);
        let mut statuses = Statuses::default();
        let none = BTreeMap::new();
        let first = statuses.update(&world.view(), &none);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].phase, Phase::Accepted);
        assert_eq!(statuses.update(&world.view(), &none), []);

        world
            .containers
            .insert(launch.attempt, container(&launch, ContainerState::Running));
        // The clock stands still or goes back; the number grows all the same.
        world.now = Timestamp::UNIX_EPOCH;
        let second = statuses.update(&world.view(), &none);
        assert_eq!(second[0].phase, Phase::Running);
        assert_eq!(second[0].ready, Some(true));
        assert!(second[0].sequence > first[0].sequence);
    }

    #[test]
    fn another_containers_probe_is_not_believed() {
        let mut launch = launch(7);
        launch.readiness = Some(serde_json::from_str(r#"{"tcp":{"port":8080}}"#).unwrap());
        let mut world = World::assigned(vec![Assignment::Run(Box::new(launch.clone()))]);
        world
            .containers
            .insert(launch.attempt, container(&launch, ContainerState::Running));
        let mut word = ProbeWord {
            container: "another".into(),
            ready: Some(true),
            ..ProbeWord::default()
        };
        let mut statuses = Statuses::default();
        let told = statuses.update(
            &world.view(),
            &BTreeMap::from([(launch.attempt, word.clone())]),
        );
        assert_eq!(told[0].ready, None);
        word.container = container(&launch, ContainerState::Running).id;
        let told = statuses.update(&world.view(), &BTreeMap::from([(launch.attempt, word)]));
        assert_eq!(told[0].ready, Some(true));
    }
}
