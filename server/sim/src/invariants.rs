//! What must never happen, checked after every step, from the journal and from what the hosts did.
//!
//! The numbers are those of the design's list of invariants.

use crate::host::{Deed, Host};
use jiff::SignedDuration;
use muster_core::fleet::{Fleet, Task};
use muster_core::guard;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, HostId, PlanId, TaskId};
use muster_schemas::spec::{CpuMillis, JobKind, Strategy};
use muster_schemas::state::{FinishReason, Outcome, StopOrder, StopReason};
use std::collections::{BTreeMap, BTreeSet};

/// What is remembered from step to step.
#[derive(Default)]
pub struct Watch {
    fleet: Fleet,
    checked: usize,
    automated_stops: Vec<jiff::Timestamp>,
    ordered: BTreeSet<AttemptId>,
    started: BTreeMap<AttemptId, HostId>,
    held: BTreeSet<PlanId>,
    finished: BTreeSet<(TaskId, u32)>,
}

impl Watch {
    /// Looks at the records that have become durable since the last look.
    ///
    /// # Errors
    ///
    /// A sentence on what happened that must not.
    pub fn look_at_journal(&mut self, journal: &[Record]) -> Result<(), String> {
        for record in &journal[self.checked..] {
            self.look_at_record(record)?;
            self.fleet.apply(record);
        }
        self.checked = journal.len();
        Ok(())
    }

    fn look_at_record(&mut self, record: &Record) -> Result<(), String> {
        match &record.event {
            Event::StopOrdered { order } => {
                if !self.ordered.insert(order.attempt) {
                    return Err(format!(
                        "18: attempt {} is ordered to stop twice",
                        order.attempt
                    ));
                }
                if order
                    .plan
                    .as_ref()
                    .is_some_and(|plan| self.held.contains(plan))
                {
                    return Err(format!("2: a held plan stops attempt {}", order.attempt));
                }
                if order.reason.is_automated() {
                    self.check_budget(record)?;
                    self.check_disruption(order)?;
                }
                if matches!(order.reason, StopReason::Rollout { .. }) {
                    self.check_availability(order.attempt)?;
                }
                if order.reason == StopReason::ScaleIn {
                    self.check_scale_in(order.attempt)?;
                }
            }
            Event::PlanHeld { plan, .. } => {
                self.held.insert(plan.clone());
            }
            Event::AttemptPlaced {
                task,
                host,
                version,
                ..
            } => self.check_placement(task, *host, *version)?,
            // What is given up as its job is made smaller may begin again.
            Event::TaskFinished {
                reason:
                    FinishReason::Stopped {
                        reason: StopReason::ScaleIn,
                    }
                    | FinishReason::NotNeeded {
                        reason: StopReason::ScaleIn,
                    },
                ..
            } => {}
            Event::TaskFinished { task, .. } => {
                let run = self.fleet.task(task).map_or(0, |task| task.run);
                let is_batch = self
                    .fleet
                    .jobs
                    .get(&task.job)
                    .is_some_and(|job| job.spec().kind() == JobKind::Batch);
                if is_batch && run > 0 && !self.finished.insert((task.clone(), run)) {
                    return Err(format!("4: batch task {task} finishes twice in run {run}"));
                }
            }
            // One of the same name that comes after it is another job.
            Event::JobForgotten { job } => self.finished.retain(|(task, _)| task.job != *job),
            Event::AttemptReported { status } => {
                if let muster_schemas::state::Phase::Ended(ended) = &status.phase
                    && ended.outcome == Outcome::Stopped
                    && !self.ordered.contains(&status.attempt)
                {
                    return Err(format!(
                        "18: attempt {} was stopped without a record",
                        status.attempt
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// 1: automated stops within any minute stay within the budget.
    fn check_budget(&mut self, record: &Record) -> Result<(), String> {
        self.automated_stops.push(record.at);
        let begin = record.at - SignedDuration::from_secs(60);
        let recent = self
            .automated_stops
            .iter()
            .rev()
            .take_while(|at| **at > begin)
            .count();
        let bound = guard::policy(&self.fleet).limits.stops_per_minute;
        let allowed = bound.of(self.fleet.running_tasks()) as usize;
        if recent > allowed {
            return Err(format!(
                "1: {recent} automated stops in a minute, {allowed} are allowed"
            ));
        }
        Ok(())
    }

    /// 17: a rollout takes no healthy task away below the job's minimum.
    fn check_availability(&self, attempt: AttemptId) -> Result<(), String> {
        let Some(known) = self.fleet.attempts.get(&attempt) else {
            return Ok(());
        };
        let Some(job) = self.fleet.jobs.get(&known.task.job) else {
            return Ok(());
        };
        let Some(service) = &job.spec().service else {
            return Ok(());
        };
        let was_healthy = self
            .fleet
            .task(&known.task)
            .is_some_and(|task| self.fleet.is_healthy(task));
        let healthy = job
            .tasks
            .values()
            .filter(|task| self.fleet.is_healthy(task))
            .count();
        let may_lack = match service.rollout.strategy() {
            Strategy::RedBlack(_) => 0,
            Strategy::Rolling | Strategy::Canary(_) => service.rollout.max_unavailable,
        };
        let floor = job.desired().saturating_sub(may_lack) as usize;
        if was_healthy && healthy <= floor {
            return Err(format!(
                "17: a rollout takes {} below {floor} healthy tasks",
                known.task
            ));
        }
        Ok(())
    }

    /// 17: fewer tasks are not fewer than are asked for, also while nobody can see which of them serve.
    fn check_scale_in(&self, attempt: AttemptId) -> Result<(), String> {
        let Some(known) = self.fleet.attempts.get(&attempt) else {
            return Ok(());
        };
        let Some(job) = self.fleet.jobs.get(&known.task.job) else {
            return Ok(());
        };
        let may_serve = |task: &&Task| {
            self.fleet.current_attempt(task).is_some_and(|attempt| {
                attempt.healthy_since.is_some() && attempt.ended.is_none() && attempt.stop.is_none()
            })
        };
        let tasks = || job.tasks.values();
        let left = tasks().filter(|task| task.id != known.task);
        let left = left.filter(may_serve).count();
        let takes_one = self
            .fleet
            .task(&known.task)
            .is_some_and(|task| may_serve(&task));
        if job.spec().service.is_some() && takes_one && left < job.desired() as usize {
            return Err(format!(
                "17: {} leaves for a smaller size, and {left} of {} may serve",
                known.task,
                job.desired()
            ));
        }
        Ok(())
    }

    /// 17: nothing automated takes a task that may serve where the job's disruption budget wants those that are left.
    fn check_disruption(&self, order: &StopOrder) -> Result<(), String> {
        let Some(known) = self.fleet.attempts.get(&order.attempt) else {
            return Ok(());
        };
        let Some(job) = self.fleet.jobs.get(&known.task.job) else {
            return Ok(());
        };
        let Some(limit) = job
            .spec()
            .disruption_budget
            .as_ref()
            .and_then(|budget| budget.unhealthy_tasks_limit)
        else {
            return Ok(());
        };
        let left = job
            .tasks
            .values()
            .filter(|task| task.id != known.task && self.fleet.is_healthy(task))
            .count();
        let floor = job.desired().saturating_sub(limit) as usize;
        if known.healthy_since.is_some() && left < floor {
            return Err(format!(
                "17: {:?} takes {} and leaves {left} healthy tasks of {floor}",
                order.reason, known.task
            ));
        }
        Ok(())
    }

    /// 4 and 14: one living attempt for a task, and nothing is sold twice.
    fn check_placement(&self, task: &TaskId, host: HostId, version: u64) -> Result<(), String> {
        if let Some(other) = self
            .fleet
            .attempts
            .values()
            .find(|known| known.task == *task && known.ended.is_none())
        {
            return Err(format!(
                "4: {task} gets an attempt while {} lives",
                other.id
            ));
        }
        let Some(job) = self.fleet.jobs.get(&task.job) else {
            return Err(format!("{task} has no job"));
        };
        let taken = self.fleet.allocated().remove(&host).unwrap_or_default();
        let has = self
            .fleet
            .hosts
            .get(&host)
            .and_then(|host| host.facts.as_ref())
            .map(|facts| facts.resources);
        let Some(version) = job.versions.get(&version) else {
            return Err(format!("{task} is placed on a version that nobody knows"));
        };
        let needs = &version.spec.resources;
        let fits = has.is_some_and(|has| {
            taken.cpu.0 + needs.cpu.0 <= has.cpu.0
                && taken.memory.0 + needs.memory.0 <= has.memory.0
                && taken.containers < has.containers
        });
        if !fits {
            return Err(format!("14: {task} does not fit on its host"));
        }
        Ok(())
    }

    /// Looks at what an agent did.
    ///
    /// # Errors
    ///
    /// A sentence on what happened that must not.
    pub fn look_at_deed(&mut self, host: HostId, deed: &Deed) -> Result<(), String> {
        match deed {
            Deed::Started(attempt) => {
                if let Some(other) = self.started.insert(*attempt, host) {
                    return Err(format!(
                        "4: attempt {attempt} is started twice, on {other} and {host}"
                    ));
                }
                if !self.fleet.attempts.contains_key(attempt) {
                    return Err(format!(
                        "3: attempt {attempt} is started before it is durable"
                    ));
                }
            }
            Deed::Stopped(attempt) => {
                if !self.ordered.contains(attempt) {
                    return Err(format!(
                        "10: attempt {attempt} is stopped without a durable order"
                    ));
                }
            }
        }
        Ok(())
    }

    /// 14: what runs on a host fits it, whatever the fleet believes.
    ///
    /// # Errors
    ///
    /// A sentence on what does not fit.
    pub fn look_at_host(&self, host: &Host) -> Result<(), String> {
        let running = host
            .containers
            .values()
            .filter(|container| container.ended.is_none());
        let cpu: u32 = running
            .map(|container| container.launch.resources.cpu.0)
            .sum();
        if CpuMillis(cpu) > host.facts.resources.cpu {
            return Err(format!(
                "14: {} runs {cpu} thousandths of a CPU",
                host.facts.name
            ));
        }
        Ok(())
    }
}
