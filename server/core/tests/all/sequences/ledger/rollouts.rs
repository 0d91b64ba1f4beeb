//! Rollouts: what has not proved itself leaves enough of what has, and what was aborted gives way to it.

use super::{image_of, serving, wanted};
use jiff::Timestamp;
use muster_core::fleet::{Attempt, Fleet, Job};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, JobId};
use muster_schemas::plan::{JobAction, JobChange};
use muster_schemas::spec::Strategy;
use muster_schemas::state::StopReason;
use std::collections::BTreeMap;

/// The rollouts that are under way or were aborted, by job.
#[derive(Default)]
pub struct Rollouts {
    ways: BTreeMap<JobId, Way>,
}

/// The way from one image to the next.
#[derive(Debug)]
struct Way {
    /// The image that has proved itself.
    from: String,
    /// So many tasks the job was to have then.
    size: u32,
    /// Red/black: the new tasks have proved themselves, and the old ones are kept until then.
    kept_until: Option<Timestamp>,
    /// The canary's step.
    step: usize,
    aborted: bool,
}

impl Way {
    /// Whether something that runs this image may start, and serve on, after the way was aborted. What waits for other jobs has not
    /// begun: until then all stays as it is, and what was half-way before it is still.
    fn leads_back_to(&self, job: &Job, image: &str) -> bool {
        match job.current().begun {
            true => image == self.from,
            false => image == self.from || image != job.spec().image,
        }
    }
}

impl Rollouts {
    /// Looks at a record, with the fleet as it was before.
    pub fn audit(&mut self, fleet: &Fleet, record: &Record) {
        match &record.event {
            Event::RolloutSettled {
                job, keep_until, ..
            } => {
                let way = self.way(job);
                way.kept_until = *keep_until;
                let job = &fleet.jobs[job];
                let (proved, needed) = (proved(fleet, job, record.at), needed(job, way.step));
                assert!(
                    proved >= needed,
                    "{proved} of {needed} of {} have proved themselves",
                    job.id
                );
            }
            Event::RolloutStepped { job, step, .. } => self.way(job).step = *step as usize,
            Event::RolloutPromoted { job, .. } => {
                let way = self.way(job);
                way.kept_until = way.kept_until.map(|_| record.at);
            }
            Event::RolloutAborted { job, .. } => {
                let way = self.way(job);
                assert!(!way.aborted, "the rollout of {job} is aborted twice");
                way.aborted = true;
            }
            Event::RolloutRetried { job, .. } => {
                let way = self.way(job);
                assert!(way.aborted, "the rollout of {job} goes on anyway");
                way.aborted = false;
                way.kept_until = None;
                way.step = 0;
            }
            Event::RolloutFinished { job, .. } => {
                let way = self.ways.remove(job).expect("a rollout");
                assert!(!way.aborted, "what was aborted never finishes");
                let job = &fleet.jobs[job];
                let (proved, wanted) = (proved(fleet, job, record.at), wanted(job) as usize);
                assert!(
                    proved >= wanted,
                    "{proved} of {wanted} of {} have proved themselves",
                    job.id
                );
                let is_new = |attempt: &Attempt| image_of(job, attempt.version) == job.spec().image;
                assert!(
                    serving(fleet, job).all(is_new),
                    "what is old of {} is left",
                    job.id
                );
            }
            Event::JobForgotten { job } => drop(self.ways.remove(job)),
            Event::AttemptPlaced { task, version, .. } => {
                let job = &fleet.jobs[&task.job];
                let goes_back = self.ways.get(&job.id).filter(|way| way.aborted);
                if let Some(way) = goes_back {
                    let image = image_of(job, *version);
                    assert!(
                        way.leads_back_to(job, image),
                        "{task} starts on {image}: {way:?}"
                    );
                }
            }
            Event::StopOrdered { order } => {
                self.audit_stop(fleet, order.attempt, &order.reason, record.at)
            }
            _ => {}
        }
    }

    /// Looks at a change of a job that is applied, with the fleet as it was before.
    pub fn audit_change(&mut self, fleet: &Fleet, change: &JobChange) {
        let JobAction::Update { target } = &change.action else {
            return;
        };
        let job = &fleet.jobs[&change.job];
        if job.pruned {
            self.ways.remove(&job.id);
        }
        let before = job.spec();
        if before.image == target.spec.image || target.spec.service.is_none() {
            return;
        }
        let runs = |image: &str| {
            let mut tasks = job.tasks.values().filter(|task| !task.is_finished());
            tasks.any(|task| image_of(job, task.version) == image)
        };
        let unproved = self
            .ways
            .remove(&job.id)
            .filter(|way| (way.aborted || way.kept_until.is_none()) && runs(&way.from));
        let (from, size) = match unproved {
            Some(way) => (way.from, way.size),
            None => (before.image.clone(), before.size()),
        };
        if !job.pruned && job.tasks.values().any(|task| !task.is_finished()) {
            let way = Way {
                from,
                size,
                kept_until: None,
                step: 0,
                aborted: false,
            };
            self.ways.insert(job.id.clone(), way);
        }
    }

    fn audit_stop(&self, fleet: &Fleet, attempt: AttemptId, reason: &StopReason, at: Timestamp) {
        let attempt = &fleet.attempts[&attempt];
        let job = &fleet.jobs[&attempt.task.job];
        let Some(service) = &job.spec().service else {
            return;
        };
        let is_replaced = matches!(reason, StopReason::Rollout { .. });
        if !is_replaced && !matches!(reason, StopReason::ScaleIn | StopReason::Drift { .. }) {
            return;
        }
        let mut floor = wanted(job);
        let is_red_black = matches!(service.rollout.strategy(), Strategy::RedBlack(_));
        if !is_red_black {
            floor = floor.saturating_sub(service.rollout.max_unavailable);
        }
        let way = self
            .ways
            .get(&job.id)
            .filter(|way| is_replaced && wanted(job) > 0 && way.from != job.spec().image);
        if let Some(way) = way {
            let is_old = image_of(job, attempt.version) == way.from;
            let task = &attempt.task;
            assert!(
                !(is_old && way.aborted),
                "{task} served before what was aborted"
            );
            if is_red_black && !way.aborted {
                let proved = way.kept_until.is_some_and(|until| until <= at);
                assert!(
                    !is_old || proved,
                    "{task} goes before what is new has proved itself: {way:?}"
                );
                if way.kept_until.is_none() {
                    floor = floor.max(way.size);
                }
            }
        }
        enough_serve(fleet, job, attempt, reason, floor);
    }

    /// When nothing happens any more: what was aborted has left all to what served before.
    pub fn what_was_aborted_is_gone(&self, fleet: &Fleet) {
        for (id, way) in self.ways.iter().filter(|(_, way)| way.aborted) {
            let job = &fleet.jobs[id];
            let mut images = serving(fleet, job).map(|attempt| image_of(job, attempt.version));
            let (serve, wanted) = (serving(fleet, job).count(), wanted(job) as usize);
            assert!(
                serve == wanted || !job.current().begun,
                "{serve} of {wanted} of {id} serve"
            );
            assert!(
                images.all(|image| way.leads_back_to(job, image)),
                "{id}: {way:?}"
            );
        }
    }

    /// The jobs whose rollout was aborted.
    pub fn aborted(&self) -> Vec<JobId> {
        let aborted = self.ways.iter().filter(|(_, way)| way.aborted);
        aborted.map(|(job, _)| job.clone()).collect()
    }

    fn way(&mut self, job: &JobId) -> &mut Way {
        self.ways
            .get_mut(job)
            .unwrap_or_else(|| panic!("{job} is rolled out"))
    }
}

/// So many tasks of what is new have been healthy for as long as they have to be.
fn proved(fleet: &Fleet, job: &Job, at: Timestamp) -> usize {
    let service = job.spec().service.as_ref().expect("a service");
    let begin = at - service.rollout.min_healthy_time.signed();
    serving(fleet, job)
        .filter(|attempt| image_of(job, attempt.version) == job.spec().image)
        .filter(|attempt| attempt.healthy_since.is_some_and(|since| since <= begin))
        .count()
}

/// So many tasks of what is new have to prove themselves before a rollout goes on from here.
fn needed(job: &Job, step: usize) -> usize {
    let all = wanted(job) as usize;
    let service = job.spec().service.as_ref().expect("a service");
    let Strategy::Canary(canary) = service.rollout.strategy() else {
        return all;
    };
    let part = canary.steps.get(step).and_then(|step| match step.tasks {
        Some(tasks) => Some(tasks as usize),
        None => Some((all * step.percent? as usize).div_ceil(100)),
    });
    part.map_or(all, |part| part.clamp(all.min(1), all))
}

/// A stop takes nothing that serves where that would leave fewer than have to.
fn enough_serve(fleet: &Fleet, job: &Job, attempt: &Attempt, reason: &StopReason, floor: u32) {
    let serves = |other: &Attempt| other.id == attempt.id;
    if !serving(fleet, job).any(serves) {
        hidden_can_be_spared(fleet, job, attempt, reason);
        return;
    }
    let left = serving(fleet, job).count() - 1;
    assert!(
        left >= floor as usize,
        "{reason:?} of {} leaves {left}, {floor} have to serve",
        attempt.task
    );
}

/// What nobody can see may serve on: it leaves only while enough others serve, as far as is known.
fn hidden_can_be_spared(fleet: &Fleet, job: &Job, attempt: &Attempt, reason: &StopReason) {
    let may_serve = |attempt: &&Attempt| {
        attempt.task.job == job.id
            && attempt.healthy_since.is_some()
            && attempt.ended.is_none()
            && attempt.stop.is_none()
    };
    let others = fleet.attempts.values().filter(may_serve);
    let left = others.filter(|other| other.id != attempt.id).count();
    let floor = match (&job.spec().service, reason) {
        (Some(service), StopReason::Rollout { .. }) => {
            wanted(job).saturating_sub(service.rollout.max_unavailable)
        }
        _ => wanted(job),
    };
    assert!(
        !may_serve(&attempt) || left >= floor as usize,
        "{reason:?} of {}, which cannot be seen, leaves {left} of {floor}",
        attempt.task
    );
}
