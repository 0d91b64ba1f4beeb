//! What a plan will lead to. The plan is applied to a copy of the fleet, and the very decisions that will be made are made there,
//! in a world where every launch succeeds at once, every stop is done at once, and nothing else happens: batch tasks run on,
//! but for those that others wait for.
//!
//! That takes a while for a large fleet, so it is not done in the control loop but beside it.

use crate::decide::rollout::analysis::questions;
use crate::decide::{Draft, automation, follow, go_ahead};
use crate::describe::{reasons, subjects_in};
use crate::fleet::{Fleet, TaskPhase, add_resources};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::plan::{
    Plan, PredictedBlock, PredictedStop, PredictedTaken, Prediction, TaskOnHost,
};
use muster_schemas::rollout::{Measured, Verdict};
use muster_schemas::spec::{JobSpec, Millis, Tier};
use muster_schemas::state::{Actor, AttemptStatus, Ended, HostResources, Outcome, Phase};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// A prediction looks so far ahead. A rollout of a large service takes hours; people want to know how it begins.
const HORIZON: SignedDuration = SignedDuration::from_hours(2);

/// And takes so many steps at most, so that it ends in seconds.
const STEPS: u32 = 2_000;

/// Where nothing becomes due by itself, the stop budget may still have to fill up again.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// Reports of a prediction come after all that agents have said: they count from microseconds of the clock.
const FIRST_SEQUENCE: u64 = u64::MAX / 2;

/// What applying `plan` now will lead to. The plan is one of this very fleet that has not been applied.
pub fn predict(fleet: &Fleet, plan: &Plan, now: Timestamp) -> Prediction {
    // From the end of all ids: none that is handed out is there.
    let mut ids = u128::MAX;
    let mut new_id = move || {
        ids -= 1;
        Uuid::from_u128(ids)
    };
    let mut world = World {
        fleet: fleet.clone(),
        now,
        reports: FIRST_SEQUENCE,
        jobs: plan
            .changes
            .iter()
            .map(|change| change.job.clone())
            .collect(),
        prediction: Prediction {
            capacity: capacity(fleet),
            ..Prediction::default()
        },
    };
    // Held plans are predicted as if somebody approved them; freezes and budgets hold.
    world.fleet.plans.clear();
    // What is read and planned is known, whatever the trouble was before.
    world.fleet.trouble = None;
    world.step(&mut new_id, |draft| {
        draft.say(
            automation("predict"),
            Event::PlanMade {
                plan: Box::new(plan.clone()),
            },
        );
        // What its hooks need people for they have said yes to.
        let people = crate::guard::policy(draft.fleet).approvals.required;
        for person in 0..people {
            let reason = "it is predicted".to_owned();
            draft.say(
                Actor::Person(person.to_string()),
                Event::PlanApproved {
                    plan: plan.id.clone(),
                    reason,
                    expires_at: now + HORIZON,
                },
            );
        }
        go_ahead(draft, automation("predict"), &plan.id);
    });
    // How long a program takes nobody knows, so none is predicted to run into its limit.
    for job in world.fleet.jobs.values_mut() {
        for version in job.versions.values_mut() {
            if version.spec.batch.is_some() {
                let spec = &mut Arc::make_mut(version).spec;
                let batch = &mut Arc::make_mut(spec).batch;
                batch
                    .iter_mut()
                    .for_each(|batch| batch.runtime_limit = Millis(u64::MAX));
            }
        }
    }
    let mut last_change = now;
    let mut steps = 0;
    let horizon = now + HORIZON;
    let mut quiet = 0;
    loop {
        let (changed, due) = world.step(&mut new_id, |_| {});
        if changed {
            last_change = world.now;
            quiet = 0;
        } else {
            quiet += 1;
        }
        steps += 1;
        let next = due.unwrap_or(world.now + STEP).min(world.now + STEP * 10);
        let nothing_due = due.is_none() && !world.waits_for_budget();
        // One more look after the last change: some things follow only once others have been seen.
        if nothing_due && quiet > 1 {
            break;
        }
        if steps >= STEPS || next > horizon {
            world.prediction.goes_on = true;
            break;
        }
        if !changed {
            world.now = next.max(world.now + SignedDuration::from_millis(1));
        }
    }
    let seconds = last_change.duration_since(now).as_secs();
    let mut prediction = std::mem::take(&mut world.prediction);
    prediction.seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    blocked(&world.fleet, &world.jobs, &mut prediction);
    prediction.taken = taken(fleet, &world.fleet);
    prediction
}

struct World {
    fleet: Fleet,
    now: Timestamp,
    reports: u64,
    /// The jobs that the plan changes: what happens to others is not its doing.
    jobs: BTreeSet<JobId>,
    prediction: Prediction,
}

impl World {
    /// Says something, decides, and has every host do what it is told. Says whether anything changed and when to come back.
    fn step(
        &mut self,
        new_id: &mut (dyn FnMut() -> Uuid + Send),
        say: impl FnOnce(&mut Draft<'_>),
    ) -> (bool, Option<Timestamp>) {
        let epoch = self.fleet.epoch;
        let mut draft = Draft::new(&mut self.fleet, self.now, epoch, new_id);
        say(&mut draft);
        let due = follow(&mut draft);
        // What is measured is as it should be.
        for question in questions(draft.fleet, self.now) {
            let event = Event::AnalysisMeasured {
                job: question.job,
                version: question.version,
                name: question.name,
                measured: Measured::Value { value: 0.0 },
                verdict: Verdict::Passed,
            };
            draft.say(automation("predict"), event);
        }
        for status in reports(draft.fleet, self.now, &mut self.reports) {
            draft.say(automation("predict"), Event::AttemptReported { status });
        }
        let records = draft.into_records();
        for record in &records {
            self.note(&record.event);
        }
        // Containers that have ended are cleared away for a long time after; that is no part of the plan's way.
        let changed = records.iter().any(|record| {
            let clears_away = matches!(
                record.event,
                Event::AttemptRetired { .. }
                    | Event::AttemptForgotten { .. }
                    | Event::TaskForgotten { .. }
                    | Event::JobForgotten { .. }
            );
            let about = subjects_in(&self.fleet, record).job;
            let is_others = about.map(JobId::from).is_some_and(|job| {
                let is_hook = self
                    .fleet
                    .jobs
                    .get(&job)
                    .is_some_and(|job| job.spec().hook().is_some());
                !is_hook && !self.jobs.contains(&job)
            });
            !clears_away && !is_others
        });
        (changed, due)
    }

    fn note(&mut self, event: &Event) {
        let name = |fleet: &Fleet, host| {
            fleet
                .hosts
                .get(host)
                .map_or_else(|| host.to_string(), |host| host.name.clone())
        };
        // Only what starts and what stops is predicted.
        if let Event::AttemptPlaced { task, host, .. } = event
            && self.jobs.contains(&task.job)
        {
            self.prediction.started += 1;
            if self.prediction.starts.len() < Prediction::LISTED {
                self.prediction.starts.push(TaskOnHost {
                    task: task.clone(),
                    host: name(&self.fleet, host),
                });
            }
        }
        if let Event::StopOrdered { order } = event
            && let Some(attempt) = self.fleet.attempts.get(&order.attempt)
            && self.jobs.contains(&attempt.task.job)
        {
            self.prediction.stopped += 1;
            if self.prediction.stops.len() < Prediction::LISTED {
                self.prediction.stops.push(PredictedStop {
                    task: attempt.task.clone(),
                    host: name(&self.fleet, &attempt.host),
                    reason: reasons::stop(&order.reason),
                });
            }
        }
    }

    /// Whether something is to stop that the stop budget does not allow yet.
    fn waits_for_budget(&self) -> bool {
        !self.fleet.stops.is_empty() && crate::guard::stop_budget(&self.fleet, self.now).left == 0
    }
}

/// What the hosts would say: what was ordered to stop has stopped, what was launched runs and is healthy.
fn reports(fleet: &Fleet, now: Timestamp, sequence: &mut u64) -> Vec<AttemptStatus> {
    let awaited = awaited(fleet);
    fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_none())
        .filter(|attempt| {
            fleet
                .hosts
                .get(&attempt.host)
                .is_some_and(|host| host.connected)
        })
        .filter_map(|attempt| {
            let phase = if attempt.stop.is_some() {
                ended(Outcome::Stopped, now)
            } else if attempt.is_launching() {
                Phase::Running
            } else if attempt.is_running() && awaited.contains(&attempt.task.job) {
                ended(Outcome::Succeeded, now)
            } else {
                return None;
            };
            *sequence += 1;
            Some(status(attempt.id, *sequence, phase, now))
        })
        .collect()
}

/// The batch jobs that others wait for, hooks among them. How long a program takes nobody knows; one that is waited for is taken to succeed as soon
/// as it runs, so that what comes after it can be predicted.
fn awaited(fleet: &Fleet) -> BTreeSet<JobId> {
    let depended_on: BTreeSet<&JobId> = fleet
        .jobs
        .values()
        .flat_map(|job| &job.spec().depends_on)
        .collect();
    fleet
        .jobs
        .values()
        .filter(|job| job.spec().batch.is_some())
        .filter(|job| job.spec().hook().is_some() || depended_on.contains(&job.id))
        .map(|job| job.id.clone())
        .collect()
}

fn ended(outcome: Outcome, now: Timestamp) -> Phase {
    Phase::Ended(Ended {
        outcome,
        exit_code: None,
        signal: None,
        oom: false,
        at: now,
        message: crate::describe::outcome_word(outcome).to_owned(),
        system_error: false,
    })
}

fn status(attempt: AttemptId, sequence: u64, phase: Phase, now: Timestamp) -> AttemptStatus {
    AttemptStatus {
        attempt,
        sequence,
        phase,
        container: None,
        ip: None,
        started_at: Some(now),
        ready: Some(true),
        live: None,
        probe_message: None,
        hardening: None,
        drift: Vec::new(),
    }
}

fn blocked(fleet: &Fleet, jobs: &BTreeSet<JobId>, prediction: &mut Prediction) {
    for task in jobs
        .iter()
        .filter_map(|job| fleet.jobs.get(job))
        .flat_map(|job| job.tasks.values())
    {
        let (TaskPhase::Queued { .. }, Some((blocked, _))) = (&task.phase, &task.blocked) else {
            continue;
        };
        prediction.without_host += 1;
        if prediction.blocked.len() < Prediction::LISTED {
            prediction.blocked.push(PredictedBlock {
                task: task.id.clone(),
                reason: reasons::blocked(blocked),
            });
        }
    }
}

fn capacity(fleet: &Fleet) -> HostResources {
    let mut capacity = HostResources::default();
    for facts in fleet
        .hosts
        .values()
        .filter(|host| host.connected)
        .filter_map(|host| host.facts.as_ref())
    {
        let has = &facts.resources;
        capacity.cpu.0 = capacity.cpu.0.saturating_add(has.cpu.0);
        capacity.memory.0 = capacity.memory.0.saturating_add(has.memory.0);
        capacity.disk.0 = capacity.disk.0.saturating_add(has.disk.0);
        capacity.network.0 = capacity.network.0.saturating_add(has.network.0);
        capacity.gpu = capacity.gpu.saturating_add(has.gpu);
        capacity.containers = capacity.containers.saturating_add(has.containers);
    }
    capacity
}

fn taken(before: &Fleet, after: &Fleet) -> Vec<PredictedTaken> {
    let (before, after) = (by_part(before), by_part(after));
    let mut parts: Vec<&String> = before.keys().chain(after.keys()).collect();
    parts.sort_unstable();
    parts.dedup();
    let of = |taken: &BTreeMap<String, HostResources>, part| {
        taken.get(part).copied().unwrap_or_default()
    };
    parts
        .into_iter()
        .map(|part| PredictedTaken {
            part: part.clone(),
            before: of(&before, part),
            after: of(&after, part),
        })
        .collect()
}

fn by_part(fleet: &Fleet) -> BTreeMap<String, HostResources> {
    let mut taken = BTreeMap::new();
    for attempt in fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_none())
    {
        let Some(version) = fleet
            .jobs
            .get(&attempt.task.job)
            .and_then(|job| job.versions.get(&attempt.version))
        else {
            continue;
        };
        for part in parts(&version.spec) {
            add_resources(taken.entry(part).or_default(), &version.spec);
        }
    }
    taken
}

fn parts(spec: &JobSpec) -> [String; 3] {
    let tier = match spec.tier {
        Tier::Critical => "tier critical",
        Tier::Flex => "tier flex",
    };
    [
        "cell".to_owned(),
        tier.to_owned(),
        format!("group {}", spec.capacity_group),
    ]
}
