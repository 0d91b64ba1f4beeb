//! The fold.

use super::{
    Abort, Asked, Attempt, DEPLOYS_KEPT, Deploy, Fleet, Freeze, HistoryEntry, HooksBegan, Host,
    Job, JobRollout, JobVersion, Metric, PAST_KEPT, PLANS_KEPT, PlanEntry, PlanWord, RecentStop,
    Resize, STOP_WINDOW_SECS, Stall, TakenAway, Task, TaskPhase, Tombstone, job::HISTORY_KEPT,
};
use crate::disruption::may_serve;
use crate::hooks;
use crate::plan::{serving_tasks, surplus_tasks};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::deploy::DeployStatus;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, DeployId, HostId, JobId, PlanId, TaskId};
use muster_schemas::plan::{
    HoldReason, JobAction, JobChange, Plan, Prediction, Target, TaskOnHost,
};
use muster_schemas::rollout::{RolloutStage, Verdict};
use muster_schemas::spec::{Hook, JobSpec, PolicySpec};
use muster_schemas::state::{
    AttemptStatus, Ended, Outcome, Phase, QueueReason, StopOrder, StopReason,
};
use muster_schemas::stop::Disruption;
use std::sync::Arc;

impl Fleet {
    /// Applies one record. Records come in order, each once.
    pub fn apply(&mut self, record: &Record) {
        debug_assert_eq!(
            record.seq,
            self.seq + 1,
            "records are applied in order, each once"
        );
        self.seq = record.seq;
        self.epoch = record.epoch;
        let at = record.at;
        match &record.event {
            Event::LeadershipTaken { cell, version: _ } => {
                self.cell = cell.clone();
                self.led_since = at;
                self.down = false;
                // Each agent has to connect to the new leader first; until then its host cannot be seen.
                for host in self.hosts.values_mut().filter(|host| host.connected) {
                    host.connected = false;
                    host.since = at;
                }
            }
            Event::CellTakenDown { reason: _ } => self.down = true,

            Event::HostEnrolled { host, name } => {
                self.hosts.entry(*host).or_insert_with(|| Host {
                    id: *host,
                    name: name.clone(),
                    enrolled_at: at,
                    connected: false,
                    since: at,
                    facts: None,
                    orphans: Vec::new(),
                    orphans_since: None,
                    ahead: None,
                    taken: None,
                });
            }
            Event::HostConnected { host } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.connected = true;
                    host.since = at;
                    host.ahead = None;
                }
            }
            Event::HostUnreachable { host } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.connected = false;
                    host.since = at;
                }
            }
            Event::HostRemoved { host, reason } => self.remove_host(*host, reason, at),
            Event::HostAhead { host, highest } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    if host.connected {
                        host.connected = false;
                        host.since = at;
                    }
                    host.ahead = Some(*highest);
                    host.taken = None;
                }
            }
            Event::HostTaken {
                host,
                highest,
                reason: _,
            } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.ahead = None;
                    host.taken = Some(*highest);
                    host.since = at;
                }
            }
            Event::HostFollows { host } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.taken = None;
                }
            }
            Event::HostReported { host, facts } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.name.clone_from(&facts.name);
                    host.facts = Some(facts.clone());
                }
            }
            Event::OrphansSeen { host, orphans } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.orphans.clone_from(orphans);
                    host.orphans_since = (!orphans.is_empty()).then_some(at);
                }
            }

            Event::RepositoryTroubled { trouble } => {
                let since = self.trouble.as_ref().map_or(at, |(_, since)| *since);
                self.trouble = Some((trouble.clone(), since));
            }
            Event::RepositoryRecovered => self.trouble = None,
            Event::PlanMade { plan } => {
                let plan = Arc::new((**plan).clone());
                self.plans.push_back(PlanEntry::new(plan, at));
                // The one that holds stays, however many were held and replaced since: what it began goes on by it.
                if self.plans.len() > PLANS_KEPT {
                    let applied = self.applied_plan.as_ref();
                    let oldest = self
                        .plans
                        .iter()
                        .position(|entry| Some(&entry.plan.id) != applied);
                    oldest.map(|oldest| self.plans.remove(oldest));
                }
            }
            Event::PlanPredicted { plan, prediction } => {
                let prediction = Arc::new((**prediction).clone());
                if let Some(entry) = self.plan_mut(plan) {
                    entry.prediction = Some(prediction);
                }
            }
            Event::PlanHeld { plan, reasons } => {
                if let Some(entry) = self.plan_mut(plan) {
                    entry.holds.clone_from(reasons);
                    let failed = |reason| matches!(reason, &HoldReason::HookFailed { .. });
                    if reasons.iter().any(failed) {
                        entry.approved_before.get_or_insert(entry.approvals.len());
                    }
                }
            }
            Event::HooksBegan { plan, hook, jobs } => self.begin_hooks(plan, *hook, jobs, at),
            Event::PlanApproved {
                plan,
                reason,
                expires_at,
            } => {
                let word = PlanWord {
                    by: record.actor.to_string(),
                    reason: reason.clone(),
                    at,
                    expires_at: Some(*expires_at),
                };
                if let Some(entry) = self.plan_mut(plan) {
                    entry.approve(word);
                }
            }
            Event::PlanRefused { plan, reason } => {
                let word = PlanWord {
                    by: record.actor.to_string(),
                    reason: reason.clone(),
                    at,
                    expires_at: None,
                };
                if let Some(entry) = self.plan_mut(plan) {
                    entry.refusal = Some(word);
                }
            }
            Event::Frozen {
                scope,
                reason,
                until,
            } => {
                self.freezes.retain(|freeze| freeze.scope != *scope);
                self.freezes.push(Freeze {
                    scope: scope.clone(),
                    by: record.actor.to_string(),
                    reason: reason.clone(),
                    since: at,
                    until: *until,
                });
            }
            Event::Resumed { scope, reason: _ } => {
                self.freezes.retain(|freeze| freeze.scope != *scope);
                self.go_on_with(|job| scope.holds(&job.id, job.spec().app()), at);
            }
            Event::PlanApplied { plan } => self.apply_plan(plan, at),

            Event::RolloutStepped { job, step, .. } => {
                if let Some(rollout) = self.rollout_mut(job) {
                    rollout.begin_step(*step, at);
                }
            }
            Event::RolloutSettled {
                job, keep_until, ..
            } => {
                if let Some(rollout) = self.rollout_mut(job) {
                    rollout.settled_at = Some(at);
                    rollout.progress(at);
                    if let Some(until) = keep_until {
                        rollout.stage = RolloutStage::Keeping { until: *until };
                    }
                }
            }
            Event::RolloutStalled {
                job,
                deadline,
                stuck,
                ..
            } => {
                if let Some(rollout) = self.rollout_mut(job) {
                    rollout.stalled = Some(Stall {
                        at,
                        deadline: *deadline,
                        stuck: stuck.clone(),
                    });
                }
            }
            Event::RolloutAborted { job, reason, .. } => {
                let by = record.actor.to_string();
                if let Some(rollout) = self.rollout_mut(job) {
                    rollout.stalled = None;
                    rollout.aborted = Some(Abort {
                        at,
                        by,
                        reason: reason.clone(),
                    });
                }
            }
            Event::RolloutPromoted { job, .. } => {
                if let Some(rollout) = self.rollout_mut(job) {
                    rollout.promoted = true;
                    if matches!(rollout.stage, RolloutStage::Keeping { .. }) {
                        rollout.stage = RolloutStage::Keeping { until: at };
                    }
                }
            }
            Event::RolloutRetried { job, .. } => {
                if let Some(job) = self.jobs.get_mut(job)
                    && let Some(from) = job.rollout.as_ref().map(|rollout| rollout.from)
                {
                    job.rollout = Some(JobRollout::new(from, job.spec(), at));
                }
            }
            Event::RolloutFinished { job, .. } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.rollout = None;
                }
            }
            Event::AnalysisMeasured {
                job,
                name,
                measured,
                verdict,
                ..
            } => {
                if let Some(rollout) = self.rollout_mut(job) {
                    let failures = rollout
                        .metrics
                        .get(name)
                        .map_or(0, |metric| metric.failures);
                    let metric = Metric {
                        at,
                        measured: measured.clone(),
                        verdict: *verdict,
                        failures: match verdict {
                            Verdict::Passed => 0,
                            Verdict::Failed => failures.saturating_add(1),
                            Verdict::Inconclusive => failures,
                        },
                    };
                    rollout.metrics.insert(name.clone(), metric);
                }
            }

            Event::DeployRequested { deploy, spec } => {
                self.deploys.push_back(Deploy {
                    id: deploy.clone(),
                    spec: spec.clone(),
                    by: record.actor.to_string(),
                    requested_at: at,
                    commit: None,
                    take_back: false,
                    taken_back: None,
                    not_taken_back: None,
                    status: DeployStatus::Running,
                    message: String::new(),
                    finished_at: None,
                });
                let done = |deploy: &Deploy| {
                    deploy.status != DeployStatus::Running && !deploy.wants_back()
                };
                if self.deploys.iter().filter(|deploy| done(deploy)).count() > DEPLOYS_KEPT
                    && let Some(oldest) = self.deploys.iter().position(done)
                {
                    self.deploys.remove(oldest);
                }
            }
            Event::DeployCommitted { deploy, commit } => {
                if let Some(deploy) = self.deploy_mut(deploy) {
                    deploy.commit = Some((commit.clone(), at));
                }
            }
            Event::DeployCanceled { deploy, reason } => {
                let by = record.actor.to_string();
                if let Some(deploy) = self.deploy_mut(deploy) {
                    deploy.take_back = true;
                    deploy.not_taken_back = None;
                    if deploy.status == DeployStatus::Running {
                        deploy.status = DeployStatus::Canceled;
                        deploy.message = format!("taken back by {by}: {reason}");
                        deploy.finished_at = Some(at);
                    }
                }
            }
            Event::DeployTakenBack { deploy, commit } => {
                if let Some(deploy) = self.deploy_mut(deploy) {
                    deploy.taken_back = Some(commit.clone());
                }
            }
            Event::DeployNotTakenBack { deploy, trouble } => {
                if let Some(deploy) = self.deploy_mut(deploy) {
                    deploy.not_taken_back = Some(trouble.clone());
                }
            }
            Event::DeployFinished {
                deploy,
                status,
                message,
            } => {
                if let Some(deploy) = self.deploy_mut(deploy)
                    && deploy.status == DeployStatus::Running
                {
                    deploy.status = *status;
                    deploy.message.clone_from(message);
                    deploy.finished_at = Some(at);
                }
            }
            Event::TokenCreated { name, made_at, .. } => {
                self.tokens.insert(name.clone(), *made_at);
            }
            Event::TokenRevoked { name, .. } => {
                self.tokens.remove(name);
            }
            Event::VersionBegan { job, version } => {
                let Some(job) = self.jobs.get_mut(job) else {
                    return;
                };
                if let Some(version) = job.versions.get_mut(version) {
                    Arc::make_mut(version).begun = true;
                }
                // Until now it was not to get any further.
                if let Some(rollout) = job.rollout.as_mut() {
                    rollout.progress_at = at;
                }
            }
            Event::GraceEnded { job } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.tombstone = None;
                    job.pruned = true;
                    job.resize = None;
                }
            }
            Event::JobScaled {
                job,
                desired,
                reason,
                until,
            } => {
                let resize = Resize {
                    desired: *desired,
                    by: record.actor.to_string(),
                    reason: reason.clone(),
                    since: at,
                    until: *until,
                };
                self.noting_reduction(job, at, |fleet| {
                    if let Some(job) = fleet.jobs.get_mut(job) {
                        job.resize = Some(resize);
                    }
                });
            }
            // Back to what a plan has let through.
            Event::ResizeEnded { job, .. } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.resize = None;
                }
            }
            Event::PutBackOrdered { attempt, fields } => {
                self.attempts.change(attempt, |attempt| {
                    attempt.put_back.clone_from(fields);
                    if !fields.is_empty() {
                        attempt.put_back_at = Some(at);
                    }
                });
            }
            Event::TaskCreated { task, version, run } => self.create_task(task, *version, *run, at),
            Event::TaskQueued {
                task,
                version,
                reason,
                not_before,
                retries,
                failures,
            } => {
                let is_other = self.jobs.get(&task.job).is_some_and(|job| {
                    let template = |version: &u64| Some(job.versions.get(version)?.template);
                    let before = job.tasks.get(&task.index).map(|task| task.version);
                    before.and_then(|before| template(&before)) != template(version)
                });
                if let Some(task) = self.task_mut(task) {
                    if is_other {
                        task.relocations = 0;
                    }
                    task.version = *version;
                    task.retries = *retries;
                    task.failures = *failures;
                    task.blocked = None;
                    task.phase = TaskPhase::Queued {
                        reason: reason.clone(),
                        since: at,
                        not_before: *not_before,
                    };
                }
            }
            Event::TaskBlocked { task, blocked } => {
                if let Some(task) = self.task_mut(task) {
                    task.blocked = Some((blocked.clone(), at));
                }
            }
            Event::AttemptPlaced {
                attempt,
                task,
                number,
                host,
                version,
            } => {
                self.attempts.insert(Attempt {
                    id: *attempt,
                    task: task.clone(),
                    number: *number,
                    host: *host,
                    version: *version,
                    placed_at: at,
                    accepted_at: None,
                    running_at: None,
                    first_healthy_at: None,
                    healthy_since: None,
                    status: None,
                    asked: None,
                    stop: None,
                    ended: None,
                    retired: false,
                    drifted: std::collections::BTreeMap::new(),
                    put_back: Vec::new(),
                    put_back_at: None,
                });
                self.count_start(task, *host, *version, at);
                if let Some(task) = self.task_mut(task) {
                    task.phase = TaskPhase::Active { attempt: *attempt };
                    task.version = *version;
                    task.attempts = *number;
                    task.last_attempt = Some(*attempt);
                    task.blocked = None;
                }
            }
            Event::AttemptReported { status } => self.report_attempt(status, at),
            Event::StopAnnounced {
                attempt,
                reason,
                until,
            } => {
                self.attempts.change(attempt, |attempt| {
                    attempt.asked = Some(Asked {
                        reason: reason.clone(),
                        since: at,
                        until: *until,
                    });
                });
            }
            Event::StopWithdrawn { attempt } => {
                self.attempts
                    .change(attempt, |attempt| attempt.asked = None);
            }
            Event::StopOrdered { order } => self.order_stop(order, at),
            Event::TaskFinished {
                task,
                outcome,
                reason,
            } => {
                if let Some(task) = self.task_mut(task) {
                    task.blocked = None;
                    task.phase = TaskPhase::Finished {
                        outcome: *outcome,
                        reason: reason.clone(),
                        at,
                    };
                }
            }
            Event::AttemptRetired { attempt } => {
                self.attempts
                    .change(attempt, |attempt| attempt.retired = true);
            }
            Event::AttemptForgotten { attempt } => self.forget_attempt(attempt),
            Event::TaskForgotten { task } => {
                if let Some(job) = self.jobs.get_mut(&task.job) {
                    job.tasks.remove(&task.index);
                    self.drop_unused_versions(task);
                }
            }
            Event::JobForgotten { job } => {
                self.jobs.remove(job);
            }
        }
    }

    fn rollout_mut(&mut self, id: &JobId) -> Option<&mut JobRollout> {
        self.jobs.get_mut(id)?.rollout.as_mut()
    }

    fn deploy_mut(&mut self, id: &DeployId) -> Option<&mut Deploy> {
        self.deploys
            .iter_mut()
            .rev()
            .find(|deploy| deploy.id == *id)
    }

    fn plan_mut(&mut self, id: &PlanId) -> Option<&mut PlanEntry> {
        self.plans
            .iter_mut()
            .rev()
            .find(|entry| entry.plan.id == *id)
    }

    fn task_mut(&mut self, id: &TaskId) -> Option<&mut Task> {
        self.jobs.get_mut(&id.job)?.tasks.get_mut(&id.index)
    }

    fn create_task(&mut self, id: &TaskId, version: u64, run: u32, at: Timestamp) {
        let Some(job) = self.jobs.get_mut(&id.job) else {
            return;
        };
        // A finished task may begin again: a batch task in a new run, a service's index that is wanted again. Its count of
        // attempts goes on, so that no two attempts of a task have the same number.
        let (attempts, last_attempt, past) = job
            .tasks
            .remove(&id.index)
            .map_or((0, None, Vec::new()), |task| {
                (task.attempts, task.last_attempt, task.past)
            });
        job.tasks.insert(
            id.index,
            Task {
                id: id.clone(),
                version,
                run,
                created_at: at,
                phase: TaskPhase::Queued {
                    reason: QueueReason::New,
                    since: at,
                    not_before: at,
                },
                attempts,
                last_attempt,
                past,
                retries: 0,
                failures: 0,
                relocations: 0,
                blocked: None,
            },
        );
    }

    fn report_attempt(&mut self, status: &AttemptStatus, at: Timestamp) {
        let news = self.attempts.change(&status.attempt, |attempt| {
            take_status(attempt, status, at).map(|news| (attempt.clone(), news))
        });
        if let Some((attempt, news)) = news.flatten() {
            self.note_for_rollout(&attempt, news, at);
        }
    }

    /// What news of an attempt mean for the rollout of its job: whether it gets any further, and how often new tasks end.
    fn note_for_rollout(
        &mut self,
        attempt: &Attempt,
        News { comes_up, pulls_on }: News,
        at: Timestamp,
    ) {
        let Some(job) = self.jobs.get_mut(&attempt.task.job) else {
            return;
        };
        let is_new = !job.is_outdated(attempt.version);
        // A task that comes and goes makes no progress by coming again.
        let for_the_first_time = job
            .tasks
            .get(&attempt.task.index)
            .is_some_and(|task| task.failures == 0);
        let Some(rollout) = job.rollout.as_mut() else {
            return;
        };
        let makes_way = |reason: &StopReason| matches!(reason, StopReason::Rollout { .. });
        let stop = attempt.stop.as_ref().map(|(order, _)| &order.reason);
        let has_made_way = attempt.ended.is_some() && stop.is_some_and(makes_way);
        if has_made_way || (is_new && (pulls_on || (comes_up && for_the_first_time))) {
            rollout.progress(at);
        }
        if let Some((ended, _)) = &attempt.ended
            && is_new
            && rollout.aborted.is_none()
            && !ended.system_error
            && stop.is_none_or(|reason| matches!(reason, StopReason::Liveness { .. }))
        {
            rollout.restarts = rollout.restarts.saturating_add(1);
        }
    }

    /// Counts a start for the plan that brought the version.
    fn count_start(&mut self, task: &TaskId, host: HostId, version: u64, at: Timestamp) {
        let plan = self
            .jobs
            .get(&task.job)
            .and_then(|job| job.versions.get(&version))
            .map(|version| version.plan.clone());
        let host = self
            .hosts
            .get(&host)
            .map_or_else(|| host.to_string(), |host| host.name.clone());
        let Some(entry) = plan.and_then(|plan| self.plan_mut(&plan)) else {
            return;
        };
        let outcome = &mut entry.outcome;
        outcome.started += 1;
        outcome.last_at = Some(at);
        if outcome.starts.len() < Prediction::LISTED {
            let task = task.clone();
            outcome.starts.push(TaskOnHost { task, host });
        }
    }

    fn order_stop(&mut self, order: &StopOrder, at: Timestamp) {
        if let Some(entry) = order.plan.as_ref().and_then(|plan| self.plan_mut(plan)) {
            entry.outcome.stopped += 1;
            entry.outcome.last_at = Some(at);
        }
        if order.reason.is_automated() {
            let begin = at - SignedDuration::from_secs(STOP_WINDOW_SECS);
            while self.stops.front().is_some_and(|stop| stop.at <= begin) {
                self.stops.pop_front();
            }
            let job = self
                .attempts
                .get(&order.attempt)
                .map_or_else(|| JobId::from(""), |attempt| attempt.task.job.clone());
            self.stops.push_back(RecentStop { at, job });
        }
        self.count_taken(order, at);
        self.attempts.change(&order.attempt, |attempt| {
            attempt.stop.get_or_insert_with(|| (order.clone(), at));
        });
    }

    /// Counts a healthy task that is taken, for the job's disruption budget.
    fn count_taken(&mut self, order: &StopOrder, at: Timestamp) {
        let disruption = order.reason.disruption();
        let Some(attempt) = self
            .attempts
            .get(&order.attempt)
            .filter(|_| matches!(disruption, Disruption::Replace | Disruption::Own))
            .filter(|attempt| may_serve(attempt))
        else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&attempt.task.job) else {
            return;
        };
        // Where no rate is asked for none is counted: it would cost every job of every fleet a memory of a week.
        let is_limited = job
            .spec()
            .disruption_budget
            .as_ref()
            .is_some_and(|budget| !budget.rate.is_unlimited());
        if is_limited {
            job.count_taken(at);
        }
        if disruption == Disruption::Own
            && let Some(task) = job.tasks.get_mut(&attempt.task.index)
        {
            task.relocations = task.relocations.saturating_add(1);
        }
    }

    fn forget_attempt(&mut self, id: &AttemptId) {
        if let Some(attempt) = self.attempts.remove(id) {
            let id = attempt.task.clone();
            if let Some(task) = self.task_mut(&id) {
                task.past.push(attempt);
                task.past.sort_by_key(|attempt| attempt.number);
                let surplus = task.past.len().saturating_sub(PAST_KEPT);
                task.past.drain(..surplus);
            }
            self.drop_unused_versions(&id);
        }
    }

    /// What was on the host has ended, as far as anybody can know.
    fn remove_host(&mut self, host: HostId, reason: &str, at: Timestamp) {
        self.hosts.remove(&host);
        self.attempts.change_all(|attempt| {
            if attempt.host != host || attempt.ended.is_some() {
                return;
            }
            attempt.healthy_since = None;
            let ended = Ended {
                outcome: Outcome::Lost,
                exit_code: None,
                signal: None,
                oom: false,
                at,
                message: format!("its host was removed: {reason}"),
                system_error: true,
            };
            attempt.ended = Some((ended, at));
        });
    }

    /// Versions that no task and no attempt of the job refers to any more are dropped, except the current one.
    fn drop_unused_versions(&mut self, task: &TaskId) {
        let Some(job) = self.jobs.get_mut(&task.job) else {
            return;
        };
        if job.versions.len() < 2 {
            return;
        }
        let mut used: std::collections::BTreeSet<u64> =
            job.tasks.values().map(|task| task.version).collect();
        used.insert(job.version);
        // What a task ran is shown as long as the task is.
        let past = job.tasks.values().flat_map(|task| &task.past);
        used.extend(past.map(|attempt| attempt.version));
        // What a rollout goes back to when it is aborted has to be known, whether or not a task runs it.
        used.extend(job.rollout.as_ref().map(|rollout| rollout.from));
        used.extend(
            self.attempts
                .values()
                .filter(|attempt| attempt.task.job == task.job)
                .map(|attempt| attempt.version),
        );
        job.versions.retain(|number, _| used.contains(number));
    }

    fn begin_hooks(&mut self, id: &PlanId, hook: Hook, jobs: &[JobId], at: Timestamp) {
        let Some(entry) = self.plan_mut(id) else {
            return;
        };
        let plan = Arc::clone(&entry.plan);
        let began = HooksBegan {
            at,
            jobs: jobs.to_vec(),
        };
        match hook {
            Hook::BeforeSync => {
                entry.before_hooks = Some(began);
                entry.approved_stops = entry.parts_approved();
                let own = |change: &&JobChange| jobs.contains(&change.job);
                let grace = self.prune_grace(&plan);
                for change in plan.changes.iter().filter(own) {
                    self.noting_reduction(&change.job, at, |fleet| {
                        fleet.apply_change(&plan, change, grace, at);
                    });
                }
            }
            Hook::AfterSync => entry.after_hooks = Some(began),
        }
        for job in jobs {
            if let Some(job) = self.jobs.get_mut(job) {
                job.run += 1;
            }
        }
    }

    fn apply_plan(&mut self, id: &PlanId, at: Timestamp) {
        let Some(entry) = self.plan(id) else {
            return;
        };
        let awaited = hooks::awaited(self, &entry.plan);
        let Some(entry) = self.plan_mut(id) else {
            return;
        };
        entry.applied_at = Some(at);
        let plan = Arc::clone(&entry.plan);
        // Who approved what it takes away has seen what was taken before it, too.
        let approved = match &entry.approved_stops[..] {
            [] => entry.parts_approved(),
            approved => approved.to_vec(),
        };
        // The changes of hooks that ran before it hold already.
        let held_already = entry
            .before_hooks
            .clone()
            .map_or(Vec::new(), |began| began.jobs);
        let grace = self.prune_grace(&plan);
        self.revision = Some(plan.revision.clone());
        let is_frozen = |policy: Option<&PolicySpec>| policy.is_some_and(|it| it.freeze.is_some());
        if is_frozen(self.policy.as_ref()) && !is_frozen(plan.policy.as_ref()) {
            self.go_on_with(|_| true, at);
        }
        self.policy.clone_from(&plan.policy);
        self.refused.clone_from(&plan.refused);
        self.applied_plan = Some(id.clone());
        let rest = |change: &&JobChange| !held_already.contains(&change.job);
        for change in plan.changes.iter().filter(rest) {
            self.noting_reduction(&change.job, at, |fleet| {
                fleet.apply_change(&plan, change, grace, at);
            });
        }
        self.reductions.clear(&approved);
        let awaited = awaited.filter(|_| hooks::after(self).next().is_some());
        if let Some(entry) = self.plan_mut(id) {
            entry.awaited_by_hooks = awaited;
        }
    }

    /// Makes a change of a job, and notes what it takes away. What is not running is not taken.
    fn noting_reduction(&mut self, id: &JobId, at: Timestamp, change: impl FnOnce(&mut Self)) {
        let before = self.jobs.get(id).map(|job| {
            let serving = serving_tasks(job).min(job.size_asked_for());
            let beyond = surplus_tasks(job, job.size_asked_for());
            (serving, beyond, Arc::clone(&job.current().spec))
        });
        change(self);
        let Some((most, beyond, spec)) = before else {
            return;
        };
        let job = self.jobs.get(id);
        let least = job.map_or(0, Job::size_asked_for);
        let taken = if spec.batch.is_some() {
            TakenAway {
                most: 0,
                least: 0,
                given_up: job
                    .map_or(0, |job| surplus_tasks(job, least))
                    .saturating_sub(beyond),
            }
        } else {
            TakenAway {
                most,
                least,
                given_up: 0,
            }
        };
        if taken.least < taken.most || taken.given_up > 0 {
            self.reductions.note(at, id, spec.app(), spec.tier, taken);
        }
    }

    /// The rollouts of these jobs were kept from getting any further until now: from here on they have their time again.
    fn go_on_with(&mut self, which: impl Fn(&Job) -> bool, at: Timestamp) {
        let jobs = self.jobs.values_mut().filter(|job| which(job));
        for rollout in jobs.filter_map(|job| job.rollout.as_mut()) {
            rollout.progress_at = at;
        }
    }

    /// The grace of what a plan prunes: the longer one of the policy that it brings and of the one before, so that no commit shortens
    /// what it is itself given.
    fn prune_grace(&self, plan: &Plan) -> SignedDuration {
        let grace = |policy: Option<&PolicySpec>| {
            policy.map_or_else(|| PolicySpec::built_in().prune_grace, |it| it.prune_grace)
        };
        let (before, after) = (grace(self.policy.as_ref()), grace(plan.policy.as_ref()));
        before.max(after).signed()
    }

    fn apply_change(
        &mut self,
        plan: &Plan,
        change: &JobChange,
        grace: SignedDuration,
        at: Timestamp,
    ) {
        match &change.action {
            JobAction::Create { target } => {
                let version = first_version(plan, target, at);
                self.jobs.insert(
                    change.job.clone(),
                    Job {
                        id: change.job.clone(),
                        version: version.number,
                        source: target.source.clone(),
                        declared: true,
                        pruned: false,
                        tombstone: None,
                        resize: None,
                        run: first_run(&target.spec),
                        created_at: at,
                        updated_at: at,
                        rollout: None,
                        tasks: std::collections::BTreeMap::new(),
                        taken: std::collections::VecDeque::new(),
                        history: std::collections::VecDeque::new(),
                        versions: [(version.number, Arc::new(version))].into(),
                    },
                );
            }
            JobAction::Update { target } => {
                if let Some(job) = self.jobs.get_mut(&change.job) {
                    update_job(job, plan, target, at);
                }
            }
            JobAction::Move { source } | JobAction::Redeclare { source } => {
                if let Some(job) = self.jobs.get_mut(&change.job) {
                    job.source = source.clone();
                    job.declared = true;
                    job.pruned = false;
                    job.tombstone = None;
                }
            }
            JobAction::Prune {
                source: _,
                removed_by,
            } => {
                if let Some(job) = self.jobs.get_mut(&change.job) {
                    job.declared = false;
                    if grace.is_zero() {
                        job.pruned = true;
                        job.resize = None;
                    } else {
                        job.tombstone = Some(Tombstone {
                            until: at + grace,
                            removed_by: removed_by.clone(),
                        });
                    }
                }
            }
            JobAction::Undeclare {
                source: _,
                removed_by: _,
            } => {
                if let Some(job) = self.jobs.get_mut(&change.job) {
                    job.declared = false;
                    job.tombstone = None;
                }
            }
        }
        if let Some(job) = self.jobs.get_mut(&change.job) {
            // Whether it comes back from its grace, or has another budget or deadline: what kept it back until now is over.
            if let Some(rollout) = job.rollout.as_mut() {
                rollout.progress_at = at;
            }
            job.history.push_back(HistoryEntry {
                plan: plan.id.clone(),
                revision: plan.revision.clone(),
                version: job.version,
                action: change.action.word().to_owned(),
                fields: change.fields.clone(),
                at,
            });
            if job.history.len() > HISTORY_KEPT {
                job.history.pop_front();
            }
        }
    }
}

/// The run that a new job begins with: a hook begins none by itself, and services have none.
fn first_run(spec: &JobSpec) -> u32 {
    u32::from(spec.batch.is_some() && spec.hook().is_none())
}

/// What a status says that was not known.
struct News {
    /// It is healthy for the first time.
    comes_up: bool,
    /// More of its image is there.
    pulls_on: bool,
}

/// Takes what an agent says of an attempt, if it is news.
fn take_status(attempt: &mut Attempt, status: &AttemptStatus, at: Timestamp) -> Option<News> {
    if !attempt.is_news(status) {
        return None;
    }
    let was_pulled = pulled(attempt.status.as_ref());
    let was_healthy = attempt.first_healthy_at.is_some();
    attempt.accepted_at.get_or_insert(at);
    if matches!(status.phase, Phase::Running | Phase::Ended(_)) && status.started_at.is_some() {
        attempt.running_at.get_or_insert(at);
    }
    let healthy = matches!(status.phase, Phase::Running) && status.ready == Some(true);
    if healthy {
        attempt.healthy_since.get_or_insert(at);
        attempt.first_healthy_at.get_or_insert(at);
    } else {
        attempt.healthy_since = None;
    }
    if let Phase::Ended(ended) = &status.phase {
        attempt.ended = Some((ended.clone(), at));
    }
    let drifts = |field| status.drift.iter().any(|drift| drift.field == field);
    attempt.drifted.retain(|field, _| drifts(*field));
    for drift in &status.drift {
        attempt.drifted.entry(drift.field).or_insert(at);
    }
    // What is as it was created need not be put back any more.
    attempt.put_back.retain(|field| drifts(*field));
    attempt.status = Some(status.clone());
    Some(News {
        comes_up: !was_healthy && attempt.first_healthy_at.is_some(),
        pulls_on: pulled(attempt.status.as_ref()) > was_pulled,
    })
}

/// Bytes of the image that are there.
fn pulled(status: Option<&AttemptStatus>) -> u64 {
    match status.map(|status| &status.phase) {
        Some(Phase::Pulling { done, .. }) => *done,
        Some(
            Phase::Accepted
            | Phase::Waiting { .. }
            | Phase::Creating
            | Phase::Running
            | Phase::Ended(_),
        )
        | None => 0,
    }
}

fn first_version(plan: &Plan, target: &Target, at: Timestamp) -> JobVersion {
    JobVersion {
        number: 1,
        spec: Arc::clone(&target.spec),
        image: target.image.clone(),
        template: 1,
        plan: plan.id.clone(),
        revision: plan.revision.clone(),
        at,
        begun: target.spec.depends_on.is_empty(),
    }
}

fn update_job(job: &mut Job, plan: &Plan, target: &Target, at: Timestamp) {
    let before = Arc::clone(job.current());
    job.resize = job.resize_under(&target.spec, plan.policy.as_ref());
    let number = before.number + 1;
    let run_before = before.spec.batch.as_ref().map(|batch| &batch.run);
    let run_after = target.spec.batch.as_ref().map(|batch| &batch.run);
    // A job that was removed and is back begins anew, like one that had been gone for longer: what was stopped for the removal
    // runs again, and the ledger of the run before stays as it was.
    let asked_again = run_after.is_some() && (run_before != run_after || job.pruned);
    // A hook begins its runs with plans; one that is none any more and has never run begins its first.
    let runs_again =
        target.spec.hook().is_none() && (asked_again || job.run < first_run(&target.spec));
    if runs_again {
        job.run += 1;
    }
    let template = match target.same_as {
        Some(template) => template,
        None if target.replaces_tasks => number,
        None => before.template,
    };
    // What has begun once need not wait anew: a return to what still runs in part, or a change that replaces nothing.
    let has_begun = !runs_again
        && !job.pruned
        && job
            .versions
            .values()
            .any(|version| version.template == template && version.begun);
    job.versions.insert(
        number,
        Arc::new(JobVersion {
            number,
            spec: Arc::clone(&target.spec),
            image: target.image.clone(),
            template,
            plan: plan.id.clone(),
            revision: plan.revision.clone(),
            at,
            begun: has_begun || target.spec.depends_on.is_empty(),
        }),
    );
    let was_pruned = job.pruned;
    let served = job.serving_version();
    job.version = number;
    if target.replaces_tasks && target.spec.service.is_some() {
        let has_tasks = !was_pruned && job.tasks.values().any(|task| !task.is_finished());
        job.rollout = has_tasks.then(|| JobRollout::new(served, &target.spec, at));
    } else if was_pruned {
        job.rollout = None;
    }
    job.source = target.source.clone();
    job.declared = true;
    job.pruned = false;
    job.tombstone = None;
    job.updated_at = at;
}
