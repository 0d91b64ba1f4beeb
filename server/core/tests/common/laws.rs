//! Laws that hold of every world after every step, whatever was done to it.

use super::World;
use muster_core::fleet::Fleet;
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, TaskId};
use muster_schemas::spec::Limits;
use muster_schemas::state::TaskState;
use std::collections::{BTreeMap, BTreeSet};

/// One of the tasks whose container runs and is not being stopped, if there is one.
pub fn pick_running(world: &World, which: usize) -> Option<TaskId> {
    let running: Vec<&TaskId> = world
        .running
        .keys()
        .filter_map(|id| world.fleet.attempts.get(id))
        .filter(|attempt| attempt.state() == TaskState::Running)
        .map(|attempt| &attempt.task)
        .filter(|task| {
            world
                .fleet
                .task(task)
                .and_then(|task| world.fleet.current_attempt(task))
                .is_some_and(|attempt| attempt.state() == TaskState::Running)
        })
        .collect();
    (!running.is_empty()).then(|| running[which % running.len()].clone())
}

/// What is remembered of a world from step to step.
#[derive(Default)]
pub struct Laws {
    states: BTreeMap<AttemptId, TaskState>,
    records: usize,
    /// The fold of the records that were looked at.
    fleet: Fleet,
    /// Tasks with the runs in which they have finished, since their job came to be.
    finished: BTreeSet<(TaskId, u32)>,
}

impl Laws {
    /// Looks at what has happened since the last time.
    pub fn look(&mut self, world: &World) {
        nothing_is_sold_twice(&world.fleet);
        for attempt in world.fleet.attempts.values() {
            let state = attempt.state();
            let before = self.states.insert(attempt.id, state);
            assert!(
                before.is_none_or(|before| before <= state),
                "{} goes back from {before:?} to {state:?}",
                attempt.task
            );
        }
        for record in &world.journal[self.records..] {
            if let Event::TaskFinished { task, .. } = &record.event {
                // As they were then: a later record may have begun the next run.
                let job = &self.fleet.jobs[&task.job];
                let run = job.tasks[&task.index].run;
                assert!(
                    run == 0 || self.finished.insert((task.clone(), run)),
                    "{task} finishes twice in run {run}"
                );
            }
            if let Event::JobForgotten { job } = &record.event {
                self.finished.retain(|(task, _)| task.job != *job);
            }
            self.fleet.apply(record);
        }
        self.records = world.journal.len();
        let recent = world
            .journal
            .iter()
            .rev()
            .take_while(|record| world.now.duration_since(record.at).as_secs() < 60)
            .filter(|record| {
                matches!(&record.event, Event::StopOrdered { order } if order.reason.is_automated())
            })
            .count();
        // The world runs too few tasks for the part of it to count for more than the floor.
        assert!(recent <= Limits::STOPS_PER_MINUTE.count as usize);
        let saved = serde_json::to_vec(&world.fleet).expect("a fleet is JSON");
        let read: Fleet = serde_json::from_slice(&saved).expect("a snapshot reads back");
        assert_eq!(read, world.fleet, "a snapshot is the fleet");
    }
}

/// The attempts that may have a container fit their hosts and keep to their jobs' hard constraints.
fn nothing_is_sold_twice(fleet: &Fleet) {
    for (host, taken) in fleet.allocated() {
        let facts = fleet.hosts[&host].facts.as_ref().expect("it has told them");
        assert!(taken.cpu <= facts.resources.cpu, "CPU of {}", facts.name);
        assert!(taken.memory <= facts.resources.memory);
        assert!(taken.containers <= facts.resources.containers);
        let living = || {
            fleet
                .attempts
                .values()
                .filter(|attempt| attempt.host == host && attempt.ended.is_none())
        };
        let mut ports = BTreeSet::new();
        for attempt in living() {
            let spec = &fleet.jobs[&attempt.task.job].versions[&attempt.version].spec;
            for port in spec.ports.iter().filter_map(|port| port.host_port) {
                assert!(ports.insert(port), "port {port} twice on {}", facts.name);
            }
            let hard = &spec.constraints.hard;
            if hard.unique_host {
                let newest = living()
                    .filter(|other| other.task.job == attempt.task.job)
                    .max_by_key(|other| (other.placed_at, other.id))
                    .expect("this one at least");
                // The constraint may be younger than its neighbours; the youngest of them was placed under its own rules.
                if newest.id == attempt.id {
                    assert!(
                        living()
                            .filter(|other| other.task.job == attempt.task.job)
                            .count()
                            == 1,
                        "{} is not alone of its job on {}",
                        attempt.task,
                        facts.name
                    );
                }
            }
            assert!(hard.zones.is_empty() || hard.zones.contains(&facts.zone));
            assert!(hard.hosts.is_empty() || hard.hosts.contains(&facts.name));
        }
    }
    let mut tasks = BTreeSet::new();
    for attempt in fleet
        .attempts
        .values()
        .filter(|known| known.ended.is_none())
    {
        assert!(tasks.insert(&attempt.task), "{} lives twice", attempt.task);
    }
}
