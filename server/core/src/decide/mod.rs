//! What follows from the fleet as it is, and from what comes in.
//!
//! A decision is a [`Draft`]: the fleet with the events that follow applied as they are said, so that each part sees what the
//! parts before it decided. [`take`] turns an input into events; [`follow`] then says what follows from the fleet as it now
//! is, until nothing more does. Both are deterministic: time and ids are arguments.

mod begin;
pub mod deploy;
mod drift;
pub mod lifecycle;
mod observe;
mod retire;
mod revision;
pub mod rollout;
pub mod scale;
pub mod schedule;

pub(crate) use revision::go_ahead;

use crate::fleet::{DEPLOYS_AT_ONCE, Deploy, Fleet, Freeze};
use crate::guard;
use crate::plan::PlanInput;
use jiff::Timestamp;
use muster_schemas::deploy::{DeploySpec, DeployStatus, TakeBackTrouble};
use muster_schemas::event::{Event, Record, RepositoryTrouble};
use muster_schemas::ids::{CellName, CommitId, DeployId, HostId, JobId, PlanId, TaskId};
use muster_schemas::plan::{FreezeScope, Prediction};
use muster_schemas::rollout::{Measured, RolloutWord};
use muster_schemas::state::{Actor, HostFacts, StopReason};
use muster_schemas::wire::{Fence, Report};
use std::collections::BTreeMap;
use thiserror::Error;
use uuid::Uuid;

/// The fleet with events that are not durable yet.
pub struct Draft<'a> {
    /// The fleet, with the records so far applied.
    pub fleet: &'a mut Fleet,
    /// Now.
    pub now: Timestamp,
    epoch: u64,
    new_id: &'a mut (dyn FnMut() -> Uuid + Send),
    records: Vec<Record>,
}

impl<'a> Draft<'a> {
    /// A draft on `fleet` at `now` by the leadership `epoch`.
    pub fn new(
        fleet: &'a mut Fleet,
        now: Timestamp,
        epoch: u64,
        new_id: &'a mut (dyn FnMut() -> Uuid + Send),
    ) -> Self {
        Self {
            fleet,
            now,
            epoch,
            new_id,
            records: Vec::new(),
        }
    }

    /// Says an event and applies it.
    pub fn say(&mut self, actor: Actor, event: Event) {
        let record = Record {
            seq: self.fleet.seq + 1,
            at: self.now,
            epoch: self.epoch,
            actor,
            event,
        };
        self.fleet.apply(&record);
        self.records.push(record);
    }

    /// The events so far, in order.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }

    fn id(&mut self) -> Uuid {
        (self.new_id)()
    }
}

pub(crate) fn automation(room: &str) -> Actor {
    Actor::Automation(room.to_owned())
}

/// Notes in what the tokens that are there differ from those of which there is a record. One that was made anew under its name differs by
/// when it was made.
fn tokens_found(draft: &mut Draft<'_>, tokens: BTreeMap<String, Timestamp>) {
    let known = draft.fleet.tokens.clone();
    for name in known.keys().filter(|name| !tokens.contains_key(*name)) {
        let name = name.clone();
        draft.say(
            automation("tokens"),
            Event::TokenRevoked { name, found: true },
        );
    }
    for (name, made_at) in tokens {
        if known.get(&name) != Some(&made_at) {
            let found = true;
            draft.say(
                automation("tokens"),
                Event::TokenCreated {
                    name,
                    made_at,
                    found,
                },
            );
        }
    }
}

/// What comes in.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A control plane takes the leadership, with the draft's epoch.
    Lead {
        /// The cell's name.
        cell: CellName,
        /// The control plane's version.
        version: String,
    },
    /// A revision was read.
    Revision(Box<PlanInput>),
    /// What a plan will lead to was worked out beside the loop.
    Predicted {
        /// The plan.
        plan: PlanId,
        /// The prediction.
        prediction: Box<Prediction>,
    },
    /// The tokens that a control plane found at its start, besides `admin`, with when each was made.
    TokensFound {
        /// All of them.
        tokens: BTreeMap<String, Timestamp>,
    },
    /// A deploy became a commit.
    DeployCommitted {
        /// The deploy.
        deploy: DeployId,
        /// The commit.
        commit: CommitId,
    },
    /// A deploy that was taken back is undone in git.
    DeployTakenBack {
        /// The deploy.
        deploy: DeployId,
        /// The commit that undoes it.
        commit: CommitId,
    },
    /// A deploy that was taken back cannot be undone in git.
    DeployNotTakenBack {
        /// The deploy.
        deploy: DeployId,
        /// Why.
        trouble: TakeBackTrouble,
    },
    /// A deploy cannot become a commit.
    DeployFailed {
        /// The deploy.
        deploy: DeployId,
        /// Why.
        message: String,
    },
    /// Something of a canary was measured.
    Measured {
        /// The job.
        job: JobId,
        /// The version that is rolled out.
        version: u64,
        /// The query's name.
        name: String,
        /// What it gave.
        measured: Measured,
    },
    /// The repository is in trouble.
    Trouble(RepositoryTrouble),
    /// A machine enrols under a name.
    Enrol {
        /// The name.
        name: String,
    },
    /// A host's agent has connected.
    Connected {
        /// The host.
        host: HostId,
        /// Its facts.
        facts: Box<HostFacts>,
    },
    /// A host's agent has not been heard of for too long, or its connection ended.
    Silent {
        /// The host.
        host: HostId,
    },
    /// A host follows orders that this journal does not have.
    Ahead {
        /// The host.
        host: HostId,
        /// The highest fence that it has heard.
        highest: Fence,
        /// Whether it refused orders of ours, and not merely greeted.
        refused: bool,
    },
    /// The orders of a host rest on this journal.
    Follows {
        /// The host.
        host: HostId,
    },
    /// A host's facts.
    Facts {
        /// The host.
        host: HostId,
        /// The facts.
        facts: Box<HostFacts>,
    },
    /// A host's report.
    Report {
        /// The host.
        host: HostId,
        /// The report.
        report: Box<Report>,
    },
    /// A person's command.
    Command {
        /// Who.
        actor: Actor,
        /// What.
        command: Command,
    },
}

/// What a person can ask for beside git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Stop a task's current attempt. A service's task goes on with a new one, a batch task is finished.
    StopTask {
        /// The task.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// Note that a token was made or revoked. That it is so is on the disk already, beside the journal.
    NoteToken {
        /// Its name.
        name: String,
        /// When it was made; none where it was revoked.
        made_at: Option<Timestamp>,
    },
    /// Take a host that cannot be reached out of the fleet: it is gone for good. Its tasks get new attempts elsewhere.
    RemoveHost {
        /// The host.
        host: HostId,
        /// Why.
        reason: String,
    },
    /// Have a host that is ahead of this control plane follow it all the same: away from the fence that the host has heard, and
    /// from no other.
    TakeHost {
        /// The host.
        host: HostId,
        /// Why.
        reason: String,
    },
    /// Let a held plan through: this one, and no other.
    ApprovePlan {
        /// The plan.
        plan: PlanId,
        /// Why.
        reason: String,
    },
    /// Say no to a held plan.
    RefusePlan {
        /// The plan.
        plan: PlanId,
        /// Why.
        reason: String,
    },
    /// Have no plan change something and nothing automated stop it.
    Freeze {
        /// What.
        scope: FreezeScope,
        /// Why.
        reason: String,
        /// Until when; without it, until it is resumed.
        until: Option<Timestamp>,
    },
    /// End a freeze.
    Resume {
        /// What.
        scope: FreezeScope,
        /// Why.
        reason: String,
    },
    /// Give a service another size beside git.
    Scale {
        /// The job.
        job: JobId,
        /// So many tasks.
        desired: u32,
        /// Why.
        reason: String,
        /// Until when; without it for an hour, or, where the policy ignores the field, until somebody scales it again.
        until: Option<Timestamp>,
    },
    /// Have a job's rollout go on, go back, or begin again.
    Rollout {
        /// The job.
        job: JobId,
        /// Which of them.
        word: RolloutWord,
        /// Why.
        reason: String,
    },
    /// Have a change of one job committed and rolled out.
    Deploy {
        /// Its id, which who asks has chosen.
        deploy: DeployId,
        /// What is asked for.
        spec: DeploySpec,
    },
    /// Take a deploy back.
    CancelDeploy {
        /// The deploy.
        deploy: DeployId,
        /// Why.
        reason: String,
    },
    /// Stop everything and start nothing until the next leadership.
    TakeDown {
        /// Why.
        reason: String,
    },
}

/// What an input led to, for who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken,
    /// The host that enrolled.
    Enrolled(HostId),
}

/// Why an input was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No such host.
    #[error("host {0} is not known in this cell; enrol it again with a new token")]
    UnknownHost(HostId),
    /// No such task.
    #[error("there is no task `{0}`")]
    UnknownTask(TaskId),
    /// The task has no container to stop.
    #[error("task `{task}` is {state}: there is no container to stop")]
    NothingToStop {
        /// The task.
        task: TaskId,
        /// Its state.
        state: &'static str,
    },
    /// The host's agent is connected: its containers run.
    #[error(
        "host `{0}` is connected and its containers run; stop its agent (or the machine) first, else they would run on without anybody to mind them"
    )]
    HostIsConnected(String),
    /// The host has heard nothing that this journal does not have.
    #[error(
        "host `{0}` is not ahead of this control plane: it has not said that it follows orders which the journal does not have, so there is nothing to take"
    )]
    HostIsNotAhead(String),
    /// The host's agent lives and follows another history.
    #[error(
        "host `{0}` follows a later history than this one, and its containers may well run: its agent greets again and again. `muster take-host` \
         it first; if the machine is gone, remove it after that"
    )]
    HostIsAhead(String),
    /// No such plan is in memory.
    #[error("there is no plan `{0}` among the latest")]
    UnknownPlan(PlanId),
    /// The plan does not wait for anybody's word.
    #[error(
        "plan {plan} is {state}: only the latest plan can be approved or refused, and only while it is held"
    )]
    PlanNotHeld {
        /// The plan.
        plan: PlanId,
        /// How it stands.
        state: &'static str,
    },
    /// Nothing of that name can be frozen.
    #[error("{0} is not known: there is no such job, or no job of that app")]
    NothingToFreeze(FreezeScope),
    /// It is not frozen.
    #[error("{0} is not frozen")]
    NotFrozen(FreezeScope),
    /// It is frozen for longer already.
    #[error(
        "{} is frozen by {} {}: {}; a freeze that ends sooner would take its place: resume it first",
        .0.scope, .0.by,
        .0.until.map_or_else(|| "until somebody resumes it".to_owned(), |until| format!("until {until:.0}")),
        .0.reason
    )]
    FrozenForLonger(Box<Freeze>),
    /// A freeze that would be over at once.
    #[error("a freeze until {0} would be over already")]
    FreezeIsOver(Timestamp),
    /// No such job.
    #[error("there is no job `{0}`")]
    UnknownJob(JobId),
    /// The job's rollout cannot be told that now.
    #[error("job `{job}` cannot be told to {word}: {why}")]
    NotForThisRollout {
        /// The job.
        job: JobId,
        /// What it was told.
        word: &'static str,
        /// How it stands.
        why: &'static str,
    },
    /// No such deploy is in memory.
    #[error("there is no deploy `{0}` among the latest")]
    UnknownDeploy(DeployId),
    /// The id is that of a deploy that asks for something else.
    #[error("deploy `{0}` is there already and asks for something else; choose another id")]
    DeployIsAnother(DeployId),
    /// No more deploys can be under way.
    #[error(
        "{DEPLOYS_AT_ONCE} deploys are under way, and no more can be; ask again when some have ended"
    )]
    TooManyDeploys,
    /// A field that jobs of this kind do not have.
    #[error("job `{job}` is {kind}, which has no `{field}`")]
    NotForThisJob {
        /// The job.
        job: JobId,
        /// The field.
        field: &'static str,
        /// What the job is.
        kind: &'static str,
    },
    /// The job was pruned.
    #[error("the document of job `{0}` was removed: it cannot be scaled; put the document back")]
    JobIsLeaving(JobId),
    /// A size beyond the job's bounds.
    #[error(
        "job `{job}` cannot have {desired} tasks: its document allows {min} to {max} (service.capacity.min and max); commit other \
         bounds"
    )]
    OutsideCapacity {
        /// The job.
        job: JobId,
        /// What was asked for.
        desired: u32,
        /// The least that it may have.
        min: u32,
        /// The most that it may have.
        max: u32,
    },
    /// The job is frozen.
    #[error("job `{job}` is not scaled while it is frozen: {why}")]
    JobIsFrozen {
        /// The job.
        job: JobId,
        /// The freeze.
        why: String,
    },
    /// A size that would take too much away at once.
    #[error(
        "job `{job}` is not scaled: {limit}; go down by less, wait a while, or commit the size, so that somebody can approve the plan"
    )]
    TooManyStops {
        /// The job.
        job: JobId,
        /// The limit.
        limit: String,
    },
    /// A size that would leave too little free.
    #[error(
        "job `{job}` is not scaled: {limit}; choose a smaller size, or commit it, so that somebody can approve the plan"
    )]
    TooLittleHeadroom {
        /// The job.
        job: JobId,
        /// The limit.
        limit: String,
    },
    /// A size that would end at once, or hardly ever.
    #[error(
        "a size beside git cannot end at {0}: choose a time within the next 7 days, or commit it"
    )]
    BadEndOfResize(Timestamp),
    /// A name that a host cannot have.
    #[error("`{0}` cannot be a host's name: use 1 to 253 letters, digits, dots and hyphens")]
    BadHostName(String),
}

/// Takes one input.
///
/// # Errors
///
/// A [`Refusal`] says why the input was not taken; then it changed nothing.
pub fn take(draft: &mut Draft<'_>, input: Input) -> Result<Answer, Refusal> {
    match input {
        Input::Lead { cell, version } => {
            draft.say(
                automation("control"),
                Event::LeadershipTaken { cell, version },
            );
        }
        Input::Revision(input) => revision::take_revision(draft, &input),
        Input::Predicted { plan, prediction } => {
            // A plan that has left memory, or was predicted already, needs none.
            let wanted = draft
                .fleet
                .plan(&plan)
                .is_some_and(|entry| entry.prediction.is_none());
            if wanted {
                draft.say(
                    automation("predict"),
                    Event::PlanPredicted { plan, prediction },
                );
            }
        }
        Input::TokensFound { tokens } => tokens_found(draft, tokens),
        Input::DeployCommitted { deploy, commit } => {
            if draft
                .fleet
                .deploy(&deploy)
                .is_some_and(|known| known.commit.is_none())
            {
                draft.say(
                    automation("deploy"),
                    Event::DeployCommitted { deploy, commit },
                );
            }
        }
        Input::DeployTakenBack { deploy, commit } => {
            if draft.fleet.deploy(&deploy).is_some_and(Deploy::wants_back) {
                draft.say(
                    automation("deploy"),
                    Event::DeployTakenBack { deploy, commit },
                );
            }
        }
        Input::DeployNotTakenBack { deploy, trouble } => {
            if draft.fleet.deploy(&deploy).is_some_and(Deploy::wants_back) {
                draft.say(
                    automation("deploy"),
                    Event::DeployNotTakenBack { deploy, trouble },
                );
            }
        }
        Input::DeployFailed { deploy, message } => {
            if draft
                .fleet
                .deploy(&deploy)
                .is_some_and(|known| known.status == DeployStatus::Running)
            {
                let status = DeployStatus::Failed;
                draft.say(
                    automation("deploy"),
                    Event::DeployFinished {
                        deploy,
                        status,
                        message,
                    },
                );
            }
        }
        Input::Measured {
            job,
            version,
            name,
            measured,
        } => rollout::analysis::take(draft, job, version, name, measured),
        Input::Trouble(trouble) => revision::take_trouble(draft, trouble),
        Input::Enrol { name } => return observe::enrol(draft, name),
        Input::Connected { host, facts } => observe::connected(draft, host, *facts)?,
        Input::Silent { host } => observe::silent(draft, host)?,
        Input::Ahead {
            host,
            highest,
            refused,
        } => observe::ahead(draft, host, highest, refused)?,
        Input::Follows { host } => observe::follows(draft, host)?,
        Input::Facts { host, facts } => observe::facts(draft, host, *facts)?,
        Input::Report { host, report } => observe::report(draft, host, *report)?,
        Input::Command { actor, command } => take_command(draft, actor, command)?,
    }
    Ok(Answer::Taken)
}

fn take_command(draft: &mut Draft<'_>, actor: Actor, command: Command) -> Result<(), Refusal> {
    match command {
        Command::TakeDown { reason } => {
            if !draft.fleet.down {
                draft.say(actor, Event::CellTakenDown { reason });
            }
            Ok(())
        }
        Command::Scale {
            job,
            desired,
            reason,
            until,
        } => drift::scale(draft, actor, job, desired, reason, until),
        Command::Rollout { job, word, reason } => {
            rollout::command::take(draft, actor, job, word, reason)
        }
        Command::Deploy { deploy, spec } => deploy::request(draft, actor, deploy, spec),
        Command::CancelDeploy { deploy, reason } => deploy::cancel(draft, actor, deploy, reason),
        Command::NoteToken { name, made_at } => {
            let found = false;
            draft.say(
                actor,
                match made_at {
                    Some(made_at) => Event::TokenCreated {
                        name,
                        made_at,
                        found,
                    },
                    None => Event::TokenRevoked { name, found },
                },
            );
            Ok(())
        }
        Command::ApprovePlan { plan, reason } => {
            held(draft.fleet, &plan)?;
            let expire_after = guard::policy(draft.fleet).approvals.expire_after;
            let expires_at = draft.now + expire_after.signed();
            draft.say(
                actor,
                Event::PlanApproved {
                    plan,
                    reason,
                    expires_at,
                },
            );
            Ok(())
        }
        Command::RefusePlan { plan, reason } => {
            held(draft.fleet, &plan)?;
            draft.say(actor, Event::PlanRefused { plan, reason });
            Ok(())
        }
        Command::Freeze {
            scope,
            reason,
            until,
        } => {
            let known = match &scope {
                FreezeScope::Cell => true,
                FreezeScope::Job { job } => draft.fleet.jobs.contains_key(job),
                FreezeScope::App { app } => {
                    let mut jobs = draft.fleet.jobs.values();
                    jobs.any(|job| job.spec().app() == app)
                }
            };
            if !known {
                return Err(Refusal::NothingToFreeze(scope));
            }
            if let Some(until) = until.filter(|until| *until <= draft.now) {
                return Err(Refusal::FreezeIsOver(until));
            }
            // One takes the place of the other: it may not end before.
            if let Some(known) = draft.fleet.freeze(&scope, draft.now)
                && until.is_some_and(|until| known.until.is_none_or(|known| until < known))
            {
                return Err(Refusal::FrozenForLonger(Box::new(known.clone())));
            }
            draft.say(
                actor,
                Event::Frozen {
                    scope,
                    reason,
                    until,
                },
            );
            Ok(())
        }
        Command::Resume { scope, reason } => {
            if draft.fleet.freeze(&scope, draft.now).is_none() {
                return Err(Refusal::NotFrozen(scope));
            }
            draft.say(actor, Event::Resumed { scope, reason });
            Ok(())
        }
        Command::RemoveHost { host, reason } => {
            let known = draft
                .fleet
                .hosts
                .get(&host)
                .ok_or(Refusal::UnknownHost(host))?;
            if known.connected {
                return Err(Refusal::HostIsConnected(known.name.clone()));
            }
            if known.ahead.is_some() {
                return Err(Refusal::HostIsAhead(known.name.clone()));
            }
            draft.say(actor, Event::HostRemoved { host, reason });
            Ok(())
        }
        Command::TakeHost { host, reason } => {
            let known = draft
                .fleet
                .hosts
                .get(&host)
                .ok_or(Refusal::UnknownHost(host))?;
            match (known.ahead, known.taken) {
                (Some(highest), _) => draft.say(
                    actor,
                    Event::HostTaken {
                        host,
                        highest,
                        reason,
                    },
                ),
                // It was said already, and its agent has not greeted since.
                (None, Some(_)) => {}
                (None, None) => return Err(Refusal::HostIsNotAhead(known.name.clone())),
            }
            Ok(())
        }
        Command::StopTask { task: id, reason } => {
            let task = draft
                .fleet
                .task(&id)
                .ok_or_else(|| Refusal::UnknownTask(id.clone()))?;
            let state = draft.fleet.task_state(task).word();
            let attempt = draft
                .fleet
                .current_attempt(task)
                .filter(|attempt| attempt.stop.is_none())
                .ok_or(Refusal::NothingToStop { task: id, state })?
                .id;
            scale::order_stop(draft, attempt, StopReason::Asked { message: reason }, actor);
            Ok(())
        }
    }
}

/// That a plan is held, and so waits for somebody's word.
fn held(fleet: &Fleet, plan: &PlanId) -> Result<(), Refusal> {
    let entry = fleet
        .plan(plan)
        .ok_or_else(|| Refusal::UnknownPlan(plan.clone()))?;
    let is_held = fleet.held_plan().is_some_and(|held| held.plan.id == *plan);
    if is_held {
        return Ok(());
    }
    Err(Refusal::PlanNotHeld {
        plan: plan.clone(),
        state: crate::view::plan_status(fleet, entry).word(),
    })
}

/// Says what follows from the fleet as it is, and when to ask again if nothing comes in before.
pub fn follow(draft: &mut Draft<'_>) -> Option<Timestamp> {
    lifecycle::follow_ends(draft);
    lifecycle::order_due_stops(draft);
    if !draft.fleet.down {
        revision::follow_plans(draft);
        deploy::end_rollouts(draft);
        begin::follow_waiting(draft);
        begin::follow_after_hooks(draft);
        drift::follow_drift(draft);
        scale::follow_jobs(draft);
        schedule::place_queued(draft);
    }
    deploy::follow_deploys(draft);
    retire::follow_retention(draft);
    next_due(draft.fleet, draft.now)
}

/// The earliest time after `now` at which something becomes due by itself.
fn next_due(fleet: &Fleet, now: Timestamp) -> Option<Timestamp> {
    let queued = fleet
        .jobs
        .values()
        .flat_map(|job| job.tasks.values())
        .filter_map(|task| match &task.phase {
            crate::fleet::TaskPhase::Queued { not_before, .. } => Some(*not_before),
            crate::fleet::TaskPhase::Active { .. } | crate::fleet::TaskPhase::Finished { .. } => {
                None
            }
        });
    let settling = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_none())
        .filter_map(|attempt| {
            let service = fleet.jobs.get(&attempt.task.job)?.spec().service.as_ref()?;
            Some(attempt.healthy_since? + service.rollout.min_healthy_time.signed())
        });
    let limited = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.ended.is_none() && attempt.stop.is_none())
        .filter_map(|attempt| Some(lifecycle::runtime_limit(fleet, attempt)?.1));
    queued
        .chain(settling)
        .chain(limited)
        .chain(guard::next_due(fleet, now))
        .chain(drift::due(fleet))
        .chain(rollout::next_due(fleet, now))
        .chain(
            fleet
                .deploys
                .iter()
                .filter(|deploy| deploy.status == DeployStatus::Running)
                .map(|deploy| deploy.spec.deadline),
        )
        .filter(|due| *due > now)
        .min()
}
