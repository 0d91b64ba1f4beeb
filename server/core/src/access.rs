//! Who may give which command.
//!
//! Names come from tokens, rights from the policy that holds. A name that the policy does not mention reads and nothing else; the
//! name [`ADMIN`] may do everything whatever the policy says.

use crate::decide::Command;
use crate::fleet::Fleet;
use muster_schemas::access::{ADMIN, Needs, Rights, Role};
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{FreezeScope, JobAction, Plan};
use std::collections::BTreeSet;

/// What somebody may do now.
pub fn rights(fleet: &Fleet, name: &str) -> Rights {
    if name == ADMIN {
        return Rights::admin();
    }
    let access = fleet.policy.iter().flat_map(|policy| &policy.access);
    access
        .into_iter()
        .find(|access| access.who == name)
        .map_or_else(Rights::viewer, |access| Rights {
            role: access.role,
            apps: access.apps.clone(),
        })
}

/// What a command takes. What does not exist takes an owner of anything: the command itself says that it is not there.
pub fn needs(fleet: &Fleet, command: &Command) -> Needs {
    match command {
        Command::StopTask { task, .. } => of_job(fleet, &task.job),
        Command::Scale { job, .. } | Command::Rollout { job, .. } => of_job(fleet, job),
        Command::Deploy { spec, .. } => of_job(fleet, &spec.job),
        Command::CancelDeploy { deploy, .. } => match fleet.deploy(deploy) {
            Some(deploy) => of_job(fleet, &deploy.spec.job),
            None => of_nothing(),
        },
        Command::Freeze { scope, .. } | Command::Resume { scope, .. } => match scope {
            FreezeScope::Cell => Needs::Role(Role::Operator),
            FreezeScope::App { app } => Needs::app(app),
            FreezeScope::Job { job } => of_job(fleet, job),
        },
        Command::ApprovePlan { plan, .. } | Command::RefusePlan { plan, .. } => {
            of_plan(fleet, plan)
        }
        Command::RemoveHost { .. } | Command::TakeHost { .. } => Needs::Role(Role::Operator),
        Command::TakeDown { .. } | Command::NoteToken { .. } => Needs::Role(Role::Admin),
    }
}

/// What it takes to commit what a job was at an earlier revision: a job that is gone may have been anybody's.
pub fn of_rollback(fleet: &Fleet, job: Option<&JobId>) -> Needs {
    job.and_then(|job| fleet.app_of(job))
        .map_or(Needs::Role(Role::Operator), Needs::app)
}

/// What it takes to change a job.
fn of_job(fleet: &Fleet, job: &JobId) -> Needs {
    fleet.app_of(job).map_or_else(of_nothing, Needs::app)
}

/// The apps whose jobs a plan changes.
pub fn apps_of(fleet: &Fleet, plan: &Plan) -> BTreeSet<String> {
    let mut apps = BTreeSet::new();
    for change in &plan.changes {
        if let JobAction::Create { target } | JobAction::Update { target } = &change.action {
            apps.insert(target.spec.app().to_owned());
        }
        // A job that goes from one app to another is both's.
        apps.extend(fleet.app_of(&change.job).map(str::to_owned));
    }
    apps
}

fn of_plan(fleet: &Fleet, id: &PlanId) -> Needs {
    fleet
        .plans
        .iter()
        .find(|entry| entry.plan.id == *id)
        .map_or_else(of_nothing, |entry| {
            let plan = &entry.plan;
            Needs::of_plan(plan.policy_changes, apps_of(fleet, plan))
        })
}

fn of_nothing() -> Needs {
    Needs::Apps(BTreeSet::new())
}
