//! The rules of a service's rollout.

use super::Checks;
use crate::specs::report::{Code, quoted};
use muster_schemas::spec::{
    Analysis, Canary, CanaryStep, Capacity, Millis, PrometheusQuery, Rollout,
};
use std::collections::BTreeSet;

/// A rollout that waits longer for each task would not end.
const MAX_MIN_HEALTHY_TIME: Millis = Millis::secs(86_400);

/// Sooner no task could be up; later nobody waits for it any more.
const MIN_DEADLINE: Millis = Millis::secs(10);
const MAX_DEADLINE: Millis = Millis::secs(86_400);

/// Tasks that are kept for longer than a day are no rollback but a waste.
const MAX_KEEP: Millis = Millis::secs(86_400);

/// More steps, or a longer pause, than that and the change does not arrive.
const MAX_STEPS: usize = 20;
const MAX_PAUSE: Millis = Millis::secs(86_400);

/// Each query is asked at each interval, and each answer is kept.
const MAX_QUERIES: usize = 10;
const MAX_QUERY_CHARS: usize = 4096;
const MIN_INTERVAL: Millis = Millis::secs(5);
const MAX_INTERVAL: Millis = Millis::secs(3600);
const MAX_RESTARTS: u32 = 10_000;
const MAX_FAILURES: u32 = 100;

pub(super) fn rollout(rollout: &Rollout, checks: &mut Checks<'_>) {
    let at = |field| ["service", "rollout", field];
    checks.within(&at("maxSurge"), rollout.max_surge, 0, Capacity::LIMIT);
    checks.within(
        &at("maxUnavailable"),
        rollout.max_unavailable,
        0,
        Capacity::LIMIT,
    );
    checks.within(
        &at("minHealthyTime"),
        rollout.min_healthy_time,
        Millis(0),
        MAX_MIN_HEALTHY_TIME,
    );
    checks.within(
        &at("progressDeadline"),
        rollout.progress_deadline,
        MIN_DEADLINE,
        MAX_DEADLINE,
    );
    if rollout.max_surge == 0
        && rollout.max_unavailable == 0
        && rollout.red_black.is_none()
        && checks.sound(&at("maxSurge"))
        && checks.sound(&at("maxUnavailable"))
    {
        checks.refuse(
            &at("maxSurge"),
            Code::Contradiction,
            "with `maxSurge: 0` and `maxUnavailable: 0` no task could ever be replaced",
            "let one of them be at least 1",
        );
    }
    if let Some(red_black) = &rollout.red_black {
        checks.within(
            &["service", "rollout", "redBlack", "keepOld"],
            red_black.keep_old,
            Millis(0),
            MAX_KEEP,
        );
        if rollout.canary.is_some() {
            checks.refuse_key(
                &at("canary"),
                Code::Contradiction,
                "a rollout goes one way, and both `redBlack` and `canary` are written",
                "delete one of them",
            );
        }
    }
    if let Some(canary) = &rollout.canary {
        self::canary(canary, checks);
    }
}

fn canary(canary: &Canary, checks: &mut Checks<'_>) {
    let path = ["service", "rollout", "canary", "steps"];
    let count = canary.steps.len();
    if checks.sound(&path) && (count == 0 || count > MAX_STEPS) {
        checks.refuse_key(
            &path,
            Code::OutOfRange,
            format!("the canary has {count} steps"),
            format!("write from 1 to {MAX_STEPS}, such as `- tasks: 1`"),
        );
    }
    let mut before: Option<&CanaryStep> = None;
    for (index, step) in canary.steps.iter().enumerate() {
        let index = index.to_string();
        self::step(&index, step, before, checks);
        before = Some(step);
    }
    analysis(&canary.analysis, checks);
}

fn step(index: &str, step: &CanaryStep, before: Option<&CanaryStep>, checks: &mut Checks<'_>) {
    let whole = ["service", "rollout", "canary", "steps", index];
    let at = |field| ["service", "rollout", "canary", "steps", index, field];
    match (step.tasks, step.percent) {
        (Some(_), None) | (None, Some(_)) => {}
        (Some(_), Some(_)) => checks.refuse(
            &at("percent"),
            Code::Contradiction,
            "a step has `tasks` or `percent`, and this one has both",
            "delete one of them",
        ),
        (None, None) => {
            if checks.sound(&at("tasks")) && checks.sound(&at("percent")) {
                checks.refuse_key(
                    &whole,
                    Code::MissingField,
                    "the step does not say how many tasks it has",
                    "write `tasks: 1` or `percent: 10`",
                );
            }
        }
    }
    if let Some(tasks) = step.tasks {
        checks.within(&at("tasks"), tasks, 1, Capacity::LIMIT);
    }
    if let Some(percent) = step.percent {
        checks.within(&at("percent"), percent, 1, 100);
    }
    checks.within(&at("pause"), step.pause, Millis(0), MAX_PAUSE);
    let shrinks = |field, before: Option<u32>, now: Option<u32>| {
        matches!((before, now), (Some(before), Some(now)) if now < before).then_some(field)
    };
    let shrinks = before.and_then(|before| {
        shrinks("tasks", before.tasks, step.tasks)
            .or_else(|| shrinks("percent", before.percent, step.percent))
    });
    if let Some(field) = shrinks {
        checks.refuse(
            &at(field),
            Code::Contradiction,
            "the step has fewer tasks than the one before",
            "a canary only grows: order the steps by size",
        );
    }
}

fn analysis(analysis: &Analysis, checks: &mut Checks<'_>) {
    let at = |field| ["service", "rollout", "canary", "analysis", field];
    checks.within(&at("maxRestarts"), analysis.max_restarts, 0, MAX_RESTARTS);
    checks.within(
        &at("minHealthyPercent"),
        analysis.min_healthy_percent,
        0,
        100,
    );
    checks.within(
        &at("interval"),
        analysis.interval,
        MIN_INTERVAL,
        MAX_INTERVAL,
    );
    checks.within(&at("failureLimit"), analysis.failure_limit, 1, MAX_FAILURES);
    if analysis.prometheus.len() > MAX_QUERIES {
        let message = format!("there are {} queries", analysis.prometheus.len());
        checks.refuse_key(
            &at("prometheus"),
            Code::OutOfRange,
            message,
            format!("there can be at most {MAX_QUERIES}"),
        );
    }
    let mut names = BTreeSet::new();
    for (index, query) in analysis.prometheus.iter().enumerate() {
        let index = index.to_string();
        let is_new = names.insert(query.name.as_str());
        self::query(&index, query, is_new, checks);
    }
}

fn query(index: &str, query: &PrometheusQuery, is_new: bool, checks: &mut Checks<'_>) {
    let whole = [
        "service",
        "rollout",
        "canary",
        "analysis",
        "prometheus",
        index,
    ];
    let at = |field| {
        let [a, b, c, d, e, f] = whole;
        [a, b, c, d, e, f, field]
    };
    checks.name(&at("name"), &query.name);
    if query.name == Analysis::HEALTHY {
        checks.refuse(
            &at("name"),
            Code::Reserved,
            "a query cannot be called `healthy`",
            "that is what `minHealthyPercent` is called: take another name",
        );
    }
    if !is_new {
        let message = format!("two queries are named {}", quoted(&query.name));
        checks.refuse(
            &at("name"),
            Code::DuplicateValue,
            message,
            "give each its own name",
        );
    }
    let length = query.query.chars().count();
    if (query.query.trim().is_empty() || length > MAX_QUERY_CHARS) && checks.sound(&at("query")) {
        checks.refuse(
            &at("query"),
            Code::BadValue,
            "the query is empty or too long",
            format!("it has from 1 to {MAX_QUERY_CHARS} characters"),
        );
    }
    for (field, bound) in [("max", query.max), ("min", query.min)] {
        if bound.is_some_and(|bound| !bound.is_finite()) {
            checks.refuse(
                &at(field),
                Code::BadValue,
                "the bound is not a number",
                "write one such as `0.05`",
            );
        }
    }
    match (query.max, query.min) {
        (None, None) if checks.sound(&at("max")) && checks.sound(&at("min")) => checks.refuse_key(
            &whole,
            Code::MissingField,
            "the query does not say what its answer may be",
            "write `max: 0.05`, `min: 0.99`, or both",
        ),
        (Some(max), Some(min)) if min > max => checks.refuse(
            &at("min"),
            Code::Contradiction,
            format!("`min` is {min}, which is more than `max`, {max}"),
            "min ≤ max",
        ),
        (Some(_) | None, Some(_) | None) => {}
    }
}
