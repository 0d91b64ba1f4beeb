//! The disruption budget of a job.

use crate::describe::reasons::{counted, stop_refusal};
use crate::disruption::{healthy, refuses, taken_within, wanted};
use crate::fleet::{Fleet, Job};
use jiff::Timestamp;
use muster_schemas::api::DisruptionBudgetView;
use muster_schemas::spec::{DisruptionBudget, DisruptionWindow};
use muster_schemas::stop::Disruption;

/// A job's disruption budget and how it stands, if the job has one.
pub fn budget_view(fleet: &Fleet, job: &Job, now: Timestamp) -> Option<DisruptionBudgetView> {
    let budget = job.spec().disruption_budget.as_ref()?;
    let wanted = wanted(job);
    let rate = budget.rate.allowed(wanted);
    Some(DisruptionBudgetView {
        limit: limit(budget),
        rate: rate.map(|(allowed, interval)| {
            format!(
                "{} in any {interval}, of which {} went",
                counted(u64::from(allowed), "task", "tasks"),
                taken_within(job, interval, now)
            )
        }),
        windows: budget.windows.iter().map(window).collect(),
        healthy: healthy(fleet, job),
        floor: budget.floor(wanted),
        waits_for: refuses(fleet, job, Disruption::Replace, now)
            .map(|refusal| stop_refusal(&refusal, now)),
    })
}

fn limit(budget: &DisruptionBudget) -> String {
    if let Some(percent) = budget.availability_percentage_limit {
        format!("at least {percent} % of its tasks stay healthy")
    } else if let Some(limit) = budget.unhealthy_tasks_limit {
        let tasks = counted(u64::from(limit), "of its tasks is", "of its tasks are");
        format!("at most {tasks} unhealthy")
    } else if let Some(limit) = budget.relocation_limit {
        let times = counted(u64::from(limit), "time", "times");
        format!("each of its tasks is taken at most {times}")
    } else if let Some(own) = budget.self_managed {
        format!("its owner is asked first, and gets {}", own.relocation_time)
    } else {
        "none".to_owned()
    }
}

fn window(window: &DisruptionWindow) -> String {
    let days: Vec<&str> = window.days.iter().map(|day| day.word()).collect();
    let days = match days.as_slice() {
        [] => "every day".to_owned(),
        days => days.join(", "),
    };
    format!(
        "{days} from {} to {} ({})",
        window.from, window.to, window.time_zone
    )
}
