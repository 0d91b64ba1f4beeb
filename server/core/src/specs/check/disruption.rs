//! The rules of a disruption budget.

use super::super::report::{Code, quoted};
use super::super::typed::one_of;
use super::Checks;
use crate::window;
use muster_schemas::spec::{
    Capacity, DisruptionBudget, DisruptionRate, JobSpec, Millis, PerInterval, PercentagePerHour,
    PercentagePerInterval,
};

const MAX_WINDOWS: usize = 64;
/// Less is no time to act in.
const LEAST_TIME: Millis = Millis::secs(1);
/// A task that something is wrong with cannot wait for longer.
const MOST_RELOCATION_TIME: Millis = Millis::secs(30 * 86_400);

/// Checks the budget of a job.
pub(super) fn check(job: &JobSpec, budget: &DisruptionBudget, checks: &mut Checks<'_>) {
    limit(budget, checks);
    let at = |field| ["disruptionBudget", field];
    if let Some(percent) = budget.availability_percentage_limit {
        checks.within(&at("availabilityPercentageLimit"), percent, 0, 100);
    }
    for (field, limit) in [
        ("unhealthyTasksLimit", budget.unhealthy_tasks_limit),
        ("relocationLimit", budget.relocation_limit),
    ] {
        if let Some(limit) = limit {
            checks.within(&at(field), limit, 0, Capacity::LIMIT);
        }
    }
    if let Some(own) = &budget.self_managed {
        checks.within(
            &["disruptionBudget", "selfManaged", "relocationTime"],
            own.relocation_time,
            LEAST_TIME,
            MOST_RELOCATION_TIME,
        );
    }
    rate(budget.rate, checks);
    windows(budget, checks);
    can_roll_out(job, budget, checks);
}

/// Exactly one limit.
fn limit(budget: &DisruptionBudget, checks: &mut Checks<'_>) {
    let limits = [
        (
            "availabilityPercentageLimit",
            budget.availability_percentage_limit.is_some(),
        ),
        (
            "unhealthyTasksLimit",
            budget.unhealthy_tasks_limit.is_some(),
        ),
        ("relocationLimit", budget.relocation_limit.is_some()),
        ("selfManaged", budget.self_managed.is_some()),
    ];
    let written: Vec<&str> = limits
        .iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| *name)
        .collect();
    match written.as_slice() {
        [_] => {}
        // One of them may have been refused already.
        [] if limits
            .iter()
            .any(|(name, _)| !checks.sound(&["disruptionBudget", name])) => {}
        [] => checks.refuse_key(
            &["disruptionBudget"],
            Code::MissingField,
            "`disruptionBudget` does not say what has to be left alone",
            "add one of `availabilityPercentageLimit: 90`, `unhealthyTasksLimit: 1`, `relocationLimit: 2` and \
             `selfManaged: {relocationTime: 10m}`",
        ),
        [_, second, ..] => checks.refuse_key(
            &["disruptionBudget", second],
            Code::Contradiction,
            format!("`disruptionBudget` has {} limits", written.len()),
            format!("keep one of {}", one_of(&written)),
        ),
    }
}

fn rate(rate: DisruptionRate, checks: &mut Checks<'_>) {
    fn at<'a>(word: &'a str, field: &'a str) -> [&'a str; 4] {
        ["disruptionBudget", "rate", word, field]
    }
    let percentage = |word: &str, percentage: u32, checks: &mut Checks<'_>| {
        checks.within(&at(word, "percentage"), percentage, 1, 100);
    };
    let interval = |word: &str, interval: Millis, checks: &mut Checks<'_>| {
        checks.within(
            &at(word, "interval"),
            interval,
            LEAST_TIME,
            DisruptionRate::LONGEST,
        );
    };
    match rate {
        DisruptionRate::Unlimited => {}
        DisruptionRate::PercentagePerHour(PercentagePerHour { percentage: part }) => {
            percentage("percentagePerHour", part, checks);
        }
        DisruptionRate::PerInterval(PerInterval {
            limit,
            interval: length,
        }) => {
            checks.within(&at("perInterval", "limit"), limit, 1, Capacity::LIMIT);
            interval("perInterval", length, checks);
        }
        DisruptionRate::PercentagePerInterval(PercentagePerInterval {
            percentage: part,
            interval: length,
        }) => {
            percentage("percentagePerInterval", part, checks);
            interval("percentagePerInterval", length, checks);
        }
    }
}

fn windows(budget: &DisruptionBudget, checks: &mut Checks<'_>) {
    if budget.windows.len() > MAX_WINDOWS {
        checks.refuse(
            &["disruptionBudget", "windows"],
            Code::OutOfRange,
            format!("there are {} windows", budget.windows.len()),
            format!("at most {MAX_WINDOWS} can be written"),
        );
    }
    for (index, window) in budget.windows.iter().enumerate() {
        if window::zone(&window.time_zone).is_none() {
            let index = index.to_string();
            checks.refuse(
                &["disruptionBudget", "windows", &index, "timeZone"],
                Code::UnknownWord,
                format!("there is no time zone {}", quoted(&window.time_zone)),
                "write a name of the IANA time zone database, such as Europe/Vienna or UTC",
            );
        }
    }
}

/// A budget that spares no task needs another one to stand in for each that is replaced.
fn can_roll_out(job: &JobSpec, budget: &DisruptionBudget, checks: &mut Checks<'_>) {
    let Some(service) = &job.service else { return };
    let desired = service.capacity.desired;
    let sound = checks.sound(&["service", "rollout", "maxSurge"])
        && checks.sound(&["service", "capacity", "desired"])
        && checks.sound(&["disruptionBudget"]);
    // Red/black starts its new tasks beside the old ones, and has one stand in for each that gives way in its place.
    let stands_in = service.rollout.max_surge > 0 || service.rollout.red_black.is_some();
    if sound && desired > 0 && !stands_in && budget.floor(desired) == desired {
        let field = if budget.unhealthy_tasks_limit.is_some() {
            "unhealthyTasksLimit"
        } else {
            "availabilityPercentageLimit"
        };
        checks.refuse(
            &["disruptionBudget", field],
            Code::Contradiction,
            format!(
                "all {desired} tasks have to stay healthy, and with `maxSurge: 0` none could ever be replaced"
            ),
            "let `service.rollout.maxSurge` be at least 1, or the budget spare a task",
        );
    }
}
