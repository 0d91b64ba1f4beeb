//! An auditor who knows the journal, and the repository that it is about.

mod deploys;
mod rollouts;

use crate::common::World;
use crate::sequences::repository::Repository;
use deploys::Deploys;
use jiff::Timestamp;
use muster_core::assign::assignments;
use muster_core::fleet::{Attempt, Fleet, Job, TaskPhase};
use muster_schemas::drift::ResizeEnd;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, CommitId, JobId, PlanId};
use muster_schemas::plan::{FreezeScope, JobAction, Plan};
use muster_schemas::state::{Actor, StopReason};
use muster_schemas::wire::Assignment;
use rollouts::Rollouts;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Ledger {
    read: usize,
    /// The fold of what was read.
    fleet: Fleet,
    plans: BTreeMap<PlanId, Entry>,
    frozen: BTreeSet<FreezeScope>,
    /// Jobs that an applied plan prunes, and that no later one brought back.
    pruned: BTreeSet<JobId>,
    stopped: BTreeSet<AttemptId>,
    /// The newest commit of which a plan was applied.
    applied: Option<CommitId>,
    pub deploys: Deploys,
    pub rollouts: Rollouts,
}

struct Entry {
    plan: Plan,
    /// Who approved it, until when that counts.
    approvals: Vec<(Actor, Timestamp)>,
    refused: bool,
}

impl Ledger {
    /// Looks at what has happened since the last time.
    pub fn audit(&mut self, world: &World, repository: &Repository) {
        for record in &world.journal[self.read..] {
            self.audit_record(record, repository);
            self.rollouts.audit(&self.fleet, record);
            self.deploys.audit(&self.fleet, record);
            self.fleet.apply(record);
        }
        self.read = world.journal.len();
        self.deploys.compare(&world.fleet, world.now);
        // No order to stop anything leaves before its record.
        for host in world.fleet.hosts.keys() {
            for item in assignments(&world.fleet, *host).items {
                if matches!(item, Assignment::Stop { .. }) {
                    assert!(self.stopped.contains(&item.attempt()));
                }
            }
        }
    }

    fn audit_record(&mut self, record: &Record, repository: &Repository) {
        match &record.event {
            Event::PlanMade { plan } => {
                if matches!(record.actor, Actor::Committer(_)) && self.wants_signatures() {
                    let commit = &plan.revision.commit;
                    assert!(repository.commit(commit).signed, "{commit} is not signed");
                }
                let entry = Entry {
                    plan: (**plan).clone(),
                    approvals: Vec::new(),
                    refused: false,
                };
                self.plans.insert(plan.id.clone(), entry);
            }
            Event::PlanApproved {
                plan, expires_at, ..
            } => {
                let entry = self.plans.get_mut(plan).expect("a plan that was made");
                entry.approvals.push((record.actor.clone(), *expires_at));
            }
            Event::PlanRefused { plan, .. } => {
                self.plans.get_mut(plan).expect("a plan").refused = true;
            }
            Event::PlanApplied { plan } => self.audit_plan(plan, record.at, repository),
            Event::Frozen { scope, .. } => drop(self.frozen.insert(scope.clone())),
            Event::Resumed { scope, .. } => {
                assert!(self.frozen.remove(scope), "{scope} was not frozen");
            }
            Event::PutBackOrdered { attempt, fields } if !fields.is_empty() => {
                assert!(self.heals(), "nobody asked to put anything back");
                self.is_free(&self.fleet.attempts[attempt].task.job, "putting back");
            }
            Event::JobScaled { job, desired, .. } => {
                self.is_free(job, "scaling");
                let active = self.fleet.jobs[job]
                    .tasks
                    .values()
                    .filter(|task| matches!(task.phase, TaskPhase::Active { .. }))
                    .count();
                let taken = (active as u32).saturating_sub(*desired);
                assert!(
                    taken <= 5 || taken * 5 <= self.fleet.running_tasks(),
                    "{job} loses {taken} tasks at once"
                );
            }
            Event::ResizeEnded { job, end, .. } => {
                self.is_free(job, "the end of a size");
                assert!(*end != ResizeEnd::SelfHealed || self.heals());
            }
            Event::StopOrdered { order } => {
                if matches!(order.reason, StopReason::Drift { .. }) {
                    assert!(self.heals(), "nobody asked to replace what was changed");
                }
                let attempt = &self.fleet.attempts[&order.attempt];
                let job = &attempt.task.job;
                assert!(
                    self.stopped.insert(attempt.id),
                    "{} is stopped twice",
                    attempt.task
                );
                if order.reason.is_automated() {
                    self.is_free(job, &format!("{:?} of {}", order.reason, attempt.task));
                }
                if matches!(order.reason, StopReason::Prune) {
                    assert!(self.pruned.contains(job), "nobody asked to prune {job}");
                }
            }
            _ => {}
        }
    }

    fn audit_plan(&mut self, id: &PlanId, at: Timestamp, repository: &Repository) {
        let entry = &self.plans[id];
        let plan = &entry.plan;
        assert!(!entry.refused, "plan {id} was refused");
        assert!(
            plan.changes.is_empty() || !self.frozen.contains(&FreezeScope::Cell),
            "the cell is frozen"
        );
        // The limits of a cell whose policy sets none: more than 5, and more than a fifth.
        let running = self.fleet.running_tasks();
        if plan.stops > 5 && plan.stops * 5 > running {
            let approved = entry
                .approvals
                .iter()
                .any(|(who, until)| matches!(who, Actor::Person(_)) && *until > at);
            assert!(
                approved,
                "plan {id} stops {} of {running} and nobody said yes",
                plan.stops
            );
        }
        // Who goes back makes a newer commit that says what an older one did.
        let commit = &plan.revision.commit;
        assert!(
            self.applied.as_ref() <= Some(commit),
            "plan {id} is of {commit}, and {:?} holds",
            self.applied
        );
        self.applied = Some(commit.clone());
        let says = repository.commit(commit);
        for change in &plan.changes {
            self.is_free(&change.job, "a change");
            if let JobAction::Create { target } | JobAction::Update { target } = &change.action {
                let said = says.jobs.get(change.job.as_str());
                assert_eq!(Some(&*target.spec), said, "{commit} says otherwise");
            }
            self.rollouts.audit_change(&self.fleet, change);
            match &change.action {
                JobAction::Prune { .. } => drop(self.pruned.insert(change.job.clone())),
                JobAction::Create { .. }
                | JobAction::Update { .. }
                | JobAction::Redeclare { .. } => drop(self.pruned.remove(&change.job)),
                JobAction::Move { .. } | JobAction::Undeclare { .. } => {}
            }
        }
    }

    fn wants_signatures(&self) -> bool {
        let policy = self.fleet.policy.as_ref();
        policy.is_some_and(|policy| policy.signatures.is_some())
    }

    /// Whether the policy of the revision that holds has drift put back.
    fn heals(&self) -> bool {
        let policy = self.fleet.policy.as_ref();
        policy.is_some_and(|policy| policy.self_heal)
    }

    /// Nothing that this job belongs to is frozen. The jobs of these tests are each an app of their own.
    fn is_free(&self, job: &JobId, what: &str) {
        let app = job.to_string();
        for scope in [
            FreezeScope::Cell,
            FreezeScope::App { app },
            FreezeScope::Job { job: job.clone() },
        ] {
            assert!(
                !self.frozen.contains(&scope),
                "{what}: {job} is frozen by {scope}"
            );
        }
    }
}

/// The image of a version of a job, as its document writes it.
fn image_of(job: &Job, version: u64) -> &str {
    &job.versions[&version].spec.image
}

/// So many tasks a service is to have: as many as somebody scaled it to, or as git says.
fn wanted(job: &Job) -> u32 {
    if job.pruned {
        return 0;
    }
    let resized = job.resize.as_ref().map(|resize| resize.desired);
    resized.unwrap_or_else(|| job.spec().size())
}

/// The attempts of a job that serve: healthy, not told to stop, on a host that can be seen.
fn serving<'a>(fleet: &'a Fleet, job: &'a Job) -> impl Iterator<Item = &'a Attempt> {
    fleet.attempts.values().filter(|attempt| {
        attempt.task.job == job.id
            && attempt.healthy_since.is_some()
            && attempt.ended.is_none()
            && attempt.stop.is_none()
            && fleet.hosts[&attempt.host].connected
    })
}
