//! How deploys stand: each is under way until the job runs what was asked for, or until it cannot any more.

use super::{Draft, Refusal, automation, rollout};
use crate::describe::reasons::{counted, take_back_trouble, waits_for};
use crate::fleet::{DEPLOYS_AT_ONCE, Deploy, Fleet, Job, PlanEntry};
use crate::view::{JobTally, rollout_trouble};
use jiff::{SignedDuration, Timestamp};
use muster_schemas::deploy::{DeploySpec, DeployStatus};
use muster_schemas::event::Event;
use muster_schemas::ids::{DeployId, JobId};
use muster_schemas::rollout::AbortReason;
use muster_schemas::spec::{JobKind, JobSpec};
use muster_schemas::state::Actor;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A commit that was made here is read within this time, as long as the repository can be reached: the reading of it is woken.
const READ_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Takes a deploy that is asked for. Asked for again with the same words it is the same deploy.
pub(super) fn request(
    draft: &mut Draft<'_>,
    actor: Actor,
    deploy: DeployId,
    spec: DeploySpec,
) -> Result<(), Refusal> {
    if let Some(known) = draft.fleet.deploy(&deploy) {
        // The deadline counts from the first time that it was asked for.
        let same = DeploySpec {
            deadline: known.spec.deadline,
            ..spec
        } == known.spec;
        return if same {
            Ok(())
        } else {
            Err(Refusal::DeployIsAnother(deploy))
        };
    }
    let job = draft
        .fleet
        .jobs
        .get(&spec.job)
        .ok_or_else(|| Refusal::UnknownJob(spec.job.clone()))?;
    match (job.spec().kind(), &spec) {
        (
            JobKind::Batch,
            DeploySpec {
                desired: Some(_), ..
            },
        ) => {
            return Err(Refusal::NotForThisJob {
                job: spec.job.clone(),
                field: "desired",
                kind: "a batch job",
            });
        }
        (JobKind::Batch, DeploySpec { run: Some(_), .. }) if job.spec().hook().is_some() => {
            return Err(Refusal::NotForThisJob {
                job: spec.job.clone(),
                field: "run",
                kind: "a hook",
            });
        }
        (JobKind::Service, DeploySpec { run: Some(_), .. }) => {
            return Err(Refusal::NotForThisJob {
                job: spec.job.clone(),
                field: "run",
                kind: "a service",
            });
        }
        (JobKind::Batch | JobKind::Service, _) => {}
    }
    let running = draft.fleet.deploys.iter();
    let running =
        running.filter(|known| known.status == DeployStatus::Running || known.wants_back());
    if running.count() >= DEPLOYS_AT_ONCE {
        return Err(Refusal::TooManyDeploys);
    }
    draft.say(actor, Event::DeployRequested { deploy, spec });
    Ok(())
}

/// Takes a deploy back. One that has succeeded, or was taken back, stays as it is.
pub(super) fn cancel(
    draft: &mut Draft<'_>,
    actor: Actor,
    deploy: DeployId,
    reason: String,
) -> Result<(), Refusal> {
    let known = draft
        .fleet
        .deploy(&deploy)
        .ok_or_else(|| Refusal::UnknownDeploy(deploy.clone()))?;
    let takes_back = match known.status {
        DeployStatus::Running => true,
        // A failed one still stands in git, and so does one that could not be undone.
        DeployStatus::Failed => !known.take_back || known.not_taken_back.is_some(),
        DeployStatus::Canceled => known.not_taken_back.is_some(),
        DeployStatus::Succeeded => false,
    };
    if takes_back {
        draft.say(actor, Event::DeployCanceled { deploy, reason });
    }
    Ok(())
}

/// Ends the deploys that are done, or cannot be any more.
pub(super) fn follow_deploys(draft: &mut Draft<'_>) {
    let ended: Vec<(DeployId, DeployStatus, String)> = draft
        .fleet
        .deploys
        .iter()
        .filter(|deploy| deploy.status == DeployStatus::Running)
        .filter_map(|deploy| match standing(draft.fleet, deploy, draft.now) {
            Standing::Ended(status, message) => Some((deploy.id.clone(), status, message)),
            Standing::UnderWay(message) => {
                let late = deploy.spec.deadline <= draft.now;
                late.then(|| {
                    let message = format!("it was not done in time: {message}");
                    (deploy.id.clone(), DeployStatus::Failed, message)
                })
            }
        })
        .collect();
    for (deploy, status, message) in ended {
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

/// Ends the rollouts of what is to be taken back. The commit that does it may be held, or kept waiting: until then nothing more is
/// replaced, and what served before serves on.
pub(super) fn end_rollouts(draft: &mut Draft<'_>) {
    let fleet = &*draft.fleet;
    let aborted: BTreeMap<&JobId, Event> = fleet
        .deploys
        .iter()
        .filter(|deploy| deploy.wants_back())
        .filter_map(|deploy| {
            let job = fleet.jobs.get(&deploy.spec.job)?;
            // Of what others have committed since, nothing is ended.
            let began = job.versions.get(&job.current().template)?;
            let (commit, _) = deploy.commit.as_ref()?;
            let brings_it = began.revision.commit == *commit;
            let event = Event::RolloutAborted {
                job: job.id.clone(),
                version: job.version,
                reason: AbortReason::Asked {
                    message: format!("deploy {} is taken back", deploy.id),
                },
            };
            (brings_it && rollout::command::can_be_aborted(job)).then_some((&job.id, event))
        })
        .collect();
    let events: Vec<Event> = aborted.into_values().collect();
    for event in events {
        draft.say(automation("deploy"), event);
    }
}

/// How a deploy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on; how far it is, in words.
    UnderWay(String),
    /// It has ended, and how, in words.
    Ended(DeployStatus, String),
}

/// How a deploy stands by the fleet as it is.
pub fn standing(fleet: &Fleet, deploy: &Deploy, now: Timestamp) -> Standing {
    use Standing::{Ended, UnderWay};
    if deploy.status != DeployStatus::Running {
        let mut message = deploy.message.clone();
        if let Some(trouble) = &deploy.not_taken_back {
            let why = take_back_trouble(trouble);
            write!(
                message,
                "; it could not be undone and still stands in git: {why}"
            )
            .ok();
        }
        return Ended(deploy.status, message);
    }
    let Some((commit, committed_at)) = &deploy.commit else {
        return UnderWay("its commit is being made".to_owned());
    };
    let Some(job) = fleet.jobs.get(&deploy.spec.job) else {
        return Ended(DeployStatus::Failed, "the job is gone".to_owned());
    };
    // It asks for no task any more: that none is missing would be no success.
    if job.pruned {
        let message = "the job's document was removed, and its tasks are stopped".to_owned();
        return Ended(DeployStatus::Failed, message);
    }
    let asked_for = asks_for(job.spec(), &deploy.spec);
    let plan = fleet
        .plans
        .back()
        .filter(|entry| entry.plan.revision.commit == *commit || entry.made_at >= *committed_at);
    if asked_for {
        return rolled_out(fleet, job, deploy, now);
    }
    let Some(plan) = plan else {
        return UnderWay("its commit is waiting to be read".to_owned());
    };
    let standing = not_taken(plan, deploy);
    // A revision from just before the commit may have been read meanwhile.
    let is_early =
        plan.plan.revision.commit != *commit && now.duration_since(*committed_at) < READ_WITHIN;
    match standing {
        Ended(_, message) if is_early => UnderWay(message),
        standing => standing,
    }
}

/// Why the job does not ask for it although its commit was read.
fn not_taken(plan: &PlanEntry, deploy: &Deploy) -> Standing {
    use Standing::{Ended, UnderWay};
    let job = &deploy.spec.job;
    if let Some(problem) = plan
        .plan
        .refused
        .iter()
        .find(|problem| problem.job.as_ref() == Some(job))
    {
        // An image that is being pushed may be there in a moment.
        let message = format!("{}:{}: {}", problem.path, problem.line, problem.message);
        return if problem.code == "image-unresolved" {
            UnderWay(message)
        } else {
            Ended(DeployStatus::Failed, message)
        };
    }
    if let Some(withheld) = plan
        .plan
        .withheld
        .iter()
        .find(|withheld| withheld.change.job == *job)
    {
        return UnderWay(format!("its change is kept back: {}", withheld.reason));
    }
    if let Some(refusal) = &plan.refusal {
        let message = format!("its plan was refused by {}: {}", refusal.by, refusal.reason);
        return Ended(DeployStatus::Failed, message);
    }
    if plan.applied_at.is_none() {
        let reasons: Vec<String> = plan.holds.iter().map(ToString::to_string).collect();
        return UnderWay(format!("its plan is held: {}", reasons.join("; ")));
    }
    Ended(
        DeployStatus::Failed,
        format!(
            "revision {} asks for something else",
            crate::describe::short(plan.plan.revision.commit.as_str())
        ),
    )
}

fn rolled_out(fleet: &Fleet, job: &Job, deploy: &Deploy, now: Timestamp) -> Standing {
    use Standing::{Ended, UnderWay};
    let tally = JobTally::of(fleet, job, now);
    if !tally.waits_for.is_empty() {
        return UnderWay(format!("it waits for {}", waits_for(&tally.waits_for)));
    }
    let desired = u64::from(job.desired());
    if job.spec().kind() == JobKind::Batch {
        if deploy.spec.run.is_none() {
            let message = "the job asks for it; tasks that start from here on take it".to_owned();
            return Ended(DeployStatus::Succeeded, message);
        }
        let done = tally.succeeded + tally.failed;
        return match (done >= desired, tally.failed) {
            (false, _) => UnderWay(format!(
                "{done} of {} finished",
                counted(desired, "task", "tasks")
            )),
            (true, 0) => Ended(
                DeployStatus::Succeeded,
                format!("{} succeeded", counted(desired, "task", "tasks")),
            ),
            (true, failed) => Ended(
                DeployStatus::Failed,
                format!(
                    "{failed} of {} did not succeed",
                    counted(desired, "task", "tasks")
                ),
            ),
        };
    }
    // Aborted, or without any progress for too long: what served before serves on.
    if let Some(trouble) = rollout_trouble(job) {
        return Ended(DeployStatus::Failed, trouble);
    }
    let looping = job
        .tasks
        .values()
        .find(|task| !job.is_outdated(task.version) && fleet.in_crash_loop(task, now));
    if let Some(task) = looping {
        return Ended(
            DeployStatus::Failed,
            format!(
                "{} is in a crash loop on version {}; what is healthy on the version before serves on",
                task.id, job.version
            ),
        );
    }
    if tally.is_settled(job) {
        return Ended(
            DeployStatus::Succeeded,
            format!(
                "version {} runs with {}, all healthy",
                job.version,
                counted(desired, "task", "tasks")
            ),
        );
    }
    UnderWay(format!(
        "{} of {} run version {}, {} of them healthy for long enough",
        tally.updated,
        counted(desired, "task", "tasks"),
        job.version,
        tally.settled
    ))
}

/// Whether a job's spec is what a deploy asks for.
pub fn asks_for(spec: &JobSpec, deploy: &DeploySpec) -> bool {
    deploy
        .image
        .as_ref()
        .is_none_or(|image| spec.image == *image)
        && deploy.desired.is_none_or(|desired| {
            spec.service
                .as_ref()
                .is_some_and(|service| service.capacity.desired == desired)
        })
        && deploy
            .env
            .iter()
            .all(|(name, value)| spec.env.get(name) == Some(value))
        && deploy.run.as_ref().is_none_or(|run| {
            spec.batch
                .as_ref()
                .is_some_and(|batch| batch.run.as_ref() == Some(run))
        })
}
