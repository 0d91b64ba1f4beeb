//! Laws that hold of every world after every step, whatever was done to it.

use super::World;
use jiff::{SignedDuration, Timestamp};
use muster_core::fleet::{Attempt, Fleet, Job, Task};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, JobId, TaskId};
use muster_schemas::spec::{DisruptionRate, Limits, Strategy};
use muster_schemas::state::{FinishReason, StopReason, TaskState};
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
    disruptions: Disruptions,
}

/// What is given up as its job is made smaller may begin again.
fn is_for_size(reason: &FinishReason) -> bool {
    let (FinishReason::Stopped { reason } | FinishReason::NotNeeded { reason }) = reason else {
        return false;
    };
    *reason == StopReason::ScaleIn
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
            if let Event::TaskFinished { task, reason, .. } = &record.event
                && !is_for_size(reason)
            {
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
            self.disruptions.look(&self.fleet, record);
            if let Event::StopOrdered { order } = &record.event
                && matches!(order.reason, StopReason::Rollout { .. })
            {
                enough_are_left(&self.fleet, order.attempt);
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

/// A rollout takes no healthy task away where that would leave fewer healthy ones than it keeps.
fn enough_are_left(fleet: &Fleet, attempt: AttemptId) {
    let task = &fleet.attempts[&attempt].task;
    let job = &fleet.jobs[&task.job];
    let Some(service) = &job.spec().service else {
        return;
    };
    let may_lack = match service.rollout.strategy() {
        Strategy::RedBlack(_) => 0,
        Strategy::Rolling | Strategy::Canary(_) => service.rollout.max_unavailable,
    };
    let floor = job.desired().saturating_sub(may_lack) as usize;
    let is_healthy = |task: &&Task| fleet.is_healthy(task);
    let healthy = job.tasks.values().filter(is_healthy).count();
    let was_healthy = fleet.task(task).as_ref().is_some_and(is_healthy);
    assert!(
        !was_healthy || healthy > floor,
        "a rollout takes {task} away, which leaves {healthy} - 1 healthy of {floor}"
    );
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

/// An auditor of the jobs' disruption budgets, who knows the journal and none of the code that keeps them.
#[derive(Default)]
pub struct Disruptions {
    /// When healthy tasks of a job were taken, while it had a rate.
    taken: BTreeMap<JobId, Vec<Timestamp>>,
    /// How often a healthy task was taken on nobody's account, on one version of its job.
    relocated: BTreeMap<TaskId, u32>,
    /// Until when owners were given time.
    asked: BTreeMap<AttemptId, Timestamp>,
    /// So many stops of healthy tasks of jobs with a budget were looked at.
    pub audited: u32,
}

impl Disruptions {
    /// Looks at a record, with the fleet as it was before.
    pub fn look(&mut self, fleet: &Fleet, record: &Record) {
        match &record.event {
            Event::JobForgotten { job } => {
                self.taken.remove(job);
                self.relocated.retain(|task, _| task.job != *job);
            }
            Event::TaskCreated { task, .. } => drop(self.relocated.remove(task)),
            Event::TaskQueued { task, version, .. } => {
                let job = &fleet.jobs[&task.job];
                let template =
                    |version: &u64| job.versions.get(version).map(|known| known.template);
                if template(version) != template(&job.tasks[&task.index].version) {
                    self.relocated.remove(task);
                }
            }
            Event::StopAnnounced { attempt, until, .. } => {
                assert!(self.asked.insert(*attempt, *until).is_none(), "asked twice");
            }
            Event::StopWithdrawn { attempt } => {
                assert!(self.asked.remove(attempt).is_some(), "nobody was asked");
            }
            Event::StopOrdered { order } => {
                let attempt = &fleet.attempts[&order.attempt];
                let job = &fleet.jobs[&attempt.task.job];
                // Where its host cannot be seen it may well serve.
                if attempt.healthy_since.is_some() && attempt.ended.is_none() {
                    self.audit(fleet, job, attempt, &order.reason, record.at);
                }
            }
            _ => {}
        }
    }

    fn audit(
        &mut self,
        fleet: &Fleet,
        job: &Job,
        attempt: &Attempt,
        reason: &StopReason,
        at: Timestamp,
    ) {
        let (is_replaced, is_own) = match reason {
            StopReason::Rollout { .. } | StopReason::Drift { .. } => (true, false),
            StopReason::Liveness { .. } => (true, true),
            StopReason::ScaleIn | StopReason::Prune => (false, false),
            StopReason::Asked { .. } | StopReason::Down | StopReason::RuntimeLimit { .. } => return,
        };
        let Some(budget) = &job.spec().disruption_budget else {
            return;
        };
        self.audited += 1;
        let task = &attempt.task;
        let wanted = if job.pruned {
            0
        } else if let Some(service) = &job.spec().service {
            let resize = job.resize.as_ref();
            resize.map_or(service.capacity.desired, |resize| resize.desired)
        } else {
            let size = job.spec().size();
            let left = job
                .tasks
                .values()
                .filter(|task| task.id.index < size && !task.is_finished());
            u32::try_from(left.count()).expect("few")
        };
        let healthy = fleet.attempts.values();
        let healthy = healthy
            .filter(|other| other.id != attempt.id && other.task.job == job.id)
            .filter(|other| serves(fleet, other))
            .count();
        let left = u32::try_from(healthy).expect("few");
        if let Some(percent) = budget.availability_percentage_limit {
            assert!(
                left * 100 >= wanted * percent,
                "{task}: {left} of {wanted} stay healthy, {percent} % have to: {reason:?}"
            );
        }
        if let Some(limit) = budget.unhealthy_tasks_limit {
            assert!(
                left + limit >= wanted,
                "{task}: {left} of {wanted} stay healthy, all but {limit} have to: {reason:?}"
            );
        }
        let part = |percentage: u32| (wanted * percentage / 100).max(1);
        let rate = match budget.rate {
            DisruptionRate::Unlimited => None,
            DisruptionRate::PercentagePerHour(rate) => Some((part(rate.percentage), 3_600_000)),
            DisruptionRate::PerInterval(rate) => Some((rate.limit, rate.interval.0)),
            DisruptionRate::PercentagePerInterval(rate) => {
                Some((part(rate.percentage), rate.interval.0))
            }
        };
        if let Some((allowed, millis)) = rate
            && is_replaced
        {
            let taken = self.taken.entry(job.id.clone()).or_default();
            taken.push(at);
            let begin = at - SignedDuration::from_millis(i64::try_from(millis).expect("a week"));
            let within = taken.iter().filter(|taken| **taken > begin).count();
            assert!(
                within <= allowed as usize,
                "{task}: {within} tasks went in {millis} ms, {allowed} may"
            );
        }
        if is_own {
            let times = self.relocated.entry(task.clone()).or_default();
            *times += 1;
            let limit = budget.relocation_limit;
            assert!(
                limit.is_none_or(|limit| *times <= limit),
                "{task} goes {times} times"
            );
            let in_time = self
                .asked
                .get(&attempt.id)
                .is_some_and(|until| *until <= at);
            assert!(
                budget.self_managed.is_none() || in_time,
                "the owner of {task} has time"
            );
        }
    }
}

/// Whether an attempt runs healthy, and can be seen to.
fn serves(fleet: &Fleet, attempt: &Attempt) -> bool {
    attempt.healthy_since.is_some()
        && attempt.ended.is_none()
        && attempt.stop.is_none()
        && fleet
            .hosts
            .get(&attempt.host)
            .is_some_and(|host| host.connected)
}
