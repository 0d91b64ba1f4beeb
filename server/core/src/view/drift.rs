//! Drift.

use super::page::{self, Page};
use crate::describe::reasons;
use crate::drift::drift;
use crate::fleet::Fleet;
use jiff::Timestamp;
use muster_schemas::api::List;
use muster_schemas::drift::{DriftCause, DriftEntry, DriftView};
use std::collections::BTreeMap;

/// Which drift a list holds. A field with several values wants any of them; both have to match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriftFilter {
    /// Jobs.
    pub job: Vec<String>,
    /// Causes, by their words.
    pub cause: Vec<String>,
}

impl DriftFilter {
    fn matches(&self, entry: &DriftEntry) -> bool {
        let any = |wanted: &[String], is: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted == is)
        };
        any(&self.job, entry.job.as_str()) && any(&self.cause, entry.cause.word())
    }
}

/// A page of the drift that matches, by job, task and field.
pub fn drifts(fleet: &Fleet, filter: &DriftFilter, page: &Page, now: Timestamp) -> List<DriftView> {
    page::take(
        drift(fleet, now)
            .into_iter()
            .filter(|entry| filter.matches(entry)),
        page.limit,
        |entry| page.after.as_ref().is_none_or(|after| id(entry) > *after),
        id,
        |entry| drift_view(&entry, now),
    )
}

/// So much drift there is of each cause.
pub fn drift_counts(fleet: &Fleet, now: Timestamp) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<&'static str, u64> =
        DriftCause::WORDS.iter().map(|word| (*word, 0)).collect();
    for entry in drift(fleet, now) {
        *counts.entry(entry.cause.word()).or_default() += 1;
    }
    counts
}

/// A drift as the API shows it.
pub fn drift_view(entry: &DriftEntry, now: Timestamp) -> DriftView {
    DriftView {
        id: id(entry),
        job: entry.job.to_string(),
        task: entry.task.as_ref().map(ToString::to_string),
        field: entry.field.clone(),
        wanted: entry.wanted.clone(),
        found: entry.found.clone(),
        cause: entry.cause.word().to_owned(),
        who: reasons::drift_cause(&entry.cause),
        since: entry.since,
        outlook: reasons::healing(&entry.healing, now),
        plan: match &entry.cause {
            DriftCause::Held { plan, .. }
            | DriftCause::PlanRefused { plan, .. }
            | DriftCause::Withheld { plan, .. } => Some(plan.to_string()),
            DriftCause::OnHost { .. }
            | DriftCause::Scaled { .. }
            | DriftCause::RolloutAborted { .. }
            | DriftCause::DocumentRefused { .. }
            | DriftCause::Undeclared { .. } => None,
        },
    }
}

/// What tells an entry from all others. Its order as text is the order of the list: a space comes before everything that a
/// name can hold, and numbers have their zeros.
fn id(entry: &DriftEntry) -> String {
    let task = entry
        .task
        .as_ref()
        .map_or("-".to_owned(), |task| format!("{:010}", task.index));
    format!(
        "{} {task} {} {}",
        entry.job,
        entry.field,
        entry.cause.word()
    )
}
