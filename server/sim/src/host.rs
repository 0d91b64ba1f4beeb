//! A virtual host: an engine with containers, and an agent that converges on its assignments.

use crate::Mutant;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::ids::{AttemptId, HostId};
use muster_schemas::state::{AttemptStatus, Ended, HostFacts, Orphan, Outcome, Phase};
use muster_schemas::wire::{Assignment, Assignments, Fence, Launch, Report};
use std::collections::BTreeMap;

/// A container.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// What it was launched as.
    pub launch: Launch,
    /// When it started.
    pub started_at: Timestamp,
    /// How it ended.
    pub ended: Option<Ended>,
    /// When its readiness probe begins to say yes; never for some.
    pub ready_at: Option<Timestamp>,
}

/// What the agent did that the invariants look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// It started a container.
    Started(AttemptId),
    /// It stopped a container.
    Stopped(AttemptId),
}

/// A host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// Its facts.
    pub facts: HostFacts,
    /// Its containers, which outlive the agent.
    pub containers: BTreeMap<AttemptId, Container>,
    /// Attempts whose launch was begun, on the agent's disk.
    pub markers: BTreeMap<AttemptId, Launch>,
    /// The highest fence heard, on the agent's disk.
    pub highest: Fence,
    /// Whether the agent is there. (Its engine always is.)
    pub agent_up: bool,
    /// Whether the machine died for good: nothing runs on it, and nobody tells the control plane so.
    pub is_lost: bool,
    /// Whether the network between it and the control plane works.
    pub network_up: bool,
    /// The assignments that the agent converges on.
    pub assignments: Option<Assignments>,
    sequence: u64,
    mutant: Option<Mutant>,
}

impl Host {
    /// A host with nothing on it.
    pub fn new(id: HostId, facts: HostFacts, mutant: Option<Mutant>) -> Self {
        Self {
            id,
            facts,
            containers: BTreeMap::new(),
            markers: BTreeMap::new(),
            highest: Fence::default(),
            agent_up: true,
            is_lost: false,
            network_up: true,
            assignments: None,
            sequence: 0,
            mutant,
        }
    }

    /// Whether messages pass.
    pub fn is_connected(&self) -> bool {
        self.agent_up && self.network_up
    }

    /// The agent's process dies; its disk and the containers stay.
    pub fn crash_agent(&mut self) {
        self.agent_up = false;
        self.assignments = None;
    }

    /// The agent hears assignments: newer ones replace the older, stale ones are refused.
    pub fn hear(&mut self, assignments: Assignments) {
        let ignores_fence = self.mutant == Some(Mutant::AgentIgnoresFence);
        if assignments.host != self.id
            || !(assignments.fence.may_follow(self.highest) || ignores_fence)
        {
            return;
        }
        self.highest = assignments.fence;
        self.assignments = Some(assignments);
    }

    /// The agent converges; `ready_after` and `lives` are chance's word on each new container.
    pub fn converge(
        &mut self,
        now: Timestamp,
        mut ready_after: impl FnMut() -> Option<i64>,
    ) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let Some(assignments) = self.assignments.clone() else {
            return deeds;
        };
        if !self.agent_up {
            return deeds;
        }
        for item in &assignments.items {
            let id = item.attempt();
            match item {
                Assignment::Run(launch) => {
                    let begun = self.markers.contains_key(&id)
                        && self.mutant != Some(Mutant::AgentStartsTwice);
                    if !begun && !self.containers.contains_key(&id) {
                        self.markers.insert(id, (**launch).clone());
                        let ready_at =
                            ready_after().map(|seconds| now + SignedDuration::from_secs(seconds));
                        let container = Container {
                            launch: (**launch).clone(),
                            started_at: now,
                            ended: None,
                            ready_at,
                        };
                        self.containers.insert(id, container);
                        deeds.push(Deed::Started(id));
                    }
                }
                Assignment::Stop { launch, .. } => {
                    // An attempt that was never begun must not be begun any more.
                    self.markers.entry(id).or_insert_with(|| (**launch).clone());
                    if let Some(container) = self.containers.get_mut(&id)
                        && container.ended.is_none()
                    {
                        container.ended = Some(ended(Outcome::Stopped, Some(143), now));
                        deeds.push(Deed::Stopped(id));
                    }
                }
                Assignment::Keep { .. } => {}
                Assignment::Remove { .. } => {
                    if self
                        .containers
                        .get(&id)
                        .is_none_or(|container| container.ended.is_some())
                    {
                        self.containers.remove(&id);
                        self.markers.remove(&id);
                    }
                }
            }
        }
        if self.mutant == Some(Mutant::AgentStopsUnknown) {
            let named: Vec<AttemptId> = assignments.items.iter().map(Assignment::attempt).collect();
            for (id, container) in &mut self.containers {
                if !named.contains(id) && container.ended.is_none() {
                    container.ended = Some(ended(Outcome::Stopped, Some(143), now));
                    deeds.push(Deed::Stopped(*id));
                }
            }
        }
        deeds
    }

    /// All that the host has, as the agent tells it.
    pub fn report(&mut self, now: Timestamp) -> Report {
        let named: BTreeMap<AttemptId, bool> = self
            .assignments
            .iter()
            .flat_map(|assignments| &assignments.items)
            .map(|item| (item.attempt(), matches!(item, Assignment::Stop { .. })))
            .collect();
        let mut attempts = Vec::new();
        let mut orphans = Vec::new();
        let known: Vec<AttemptId> = self
            .containers
            .keys()
            .chain(self.markers.keys())
            .copied()
            .collect();
        for id in known {
            if attempts
                .iter()
                .any(|status: &AttemptStatus| status.attempt == id)
            {
                continue;
            }
            match named.get(&id) {
                Some(stopping) => attempts.push(self.status(id, *stopping, now)),
                None => {
                    if let Some(container) = self.containers.get(&id) {
                        orphans.push(Orphan {
                            container: id.to_string(),
                            attempt: Some(id),
                            task: container.launch.task.to_string(),
                            cell: "sim".to_owned(),
                            running: container.ended.is_none(),
                        });
                    }
                }
            }
        }
        let fence = self.highest;
        Report {
            complete: self.assignments.is_some(),
            fence,
            attempts,
            orphans,
        }
    }

    fn status(&mut self, id: AttemptId, stopping: bool, now: Timestamp) -> AttemptStatus {
        self.sequence += 1;
        let (phase, started_at, ready) = match self.containers.get(&id) {
            Some(container) => match &container.ended {
                Some(ended) => (
                    Phase::Ended(ended.clone()),
                    Some(container.started_at),
                    None,
                ),
                None => {
                    let ready = container.ready_at.is_some_and(|at| at <= now);
                    (Phase::Running, Some(container.started_at), Some(ready))
                }
            },
            None if stopping => (Phase::Ended(ended(Outcome::Stopped, None, now)), None, None),
            None => {
                let mut gone = ended(Outcome::Lost, None, now);
                gone.system_error = true;
                (Phase::Ended(gone), None, None)
            }
        };
        AttemptStatus {
            attempt: id,
            sequence: self.sequence,
            phase,
            container: None,
            ip: None,
            started_at,
            ready,
            live: None,
            probe_message: None,
            hardening: None,
            drift: Vec::new(),
        }
    }
}

/// How a container ended.
pub fn ended(outcome: Outcome, exit_code: Option<i32>, at: Timestamp) -> Ended {
    Ended {
        outcome,
        exit_code,
        signal: None,
        oom: false,
        at,
        message: format!("ended with {exit_code:?}"),
        system_error: false,
    }
}
