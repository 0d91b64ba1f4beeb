//! What the loop has made durable, counted for `/metrics`.
//!
//! Each counter is of records alone, by the words that the records have in the journal's JSON, so that it can be held against
//! `GET /api/v1/events`. They count from the record of this process's leadership on: like every counter of Prometheus they begin
//! anew with the process, and the journal has the rest.

use metrics::{counter, describe_counter, describe_histogram};
use muster_core::describe::{outcome_word, subjects};
use muster_schemas::event::{Event, Record};
use muster_schemas::plan::Plan;
use muster_schemas::state::{Outcome, Phase};
use std::time::Duration;

const EVENTS: &str = "muster_events_total";
const PLANS: &str = "muster_plans_total";
const SYNCS: &str = "muster_syncs_total";
const STOPS: &str = "muster_stops_total";
const ATTEMPTS: &str = "muster_attempts_ended_total";
const TASKS: &str = "muster_tasks_finished_total";
const SYNC_SECONDS: &str = "muster_sync_seconds";
pub(super) const APPEND_SECONDS: &str = "muster_journal_append_seconds";

/// All words of the label `result` of [`SYNCS`].
const RESULTS: [&str; 9] = [
    "applied",
    "held",
    "refused",
    "unreachable",
    "no_branch",
    "empty",
    "unrelated_history",
    "unreadable",
    "unsigned",
];

/// All words of the label `reason` of [`STOPS`].
const REASONS: [&str; 8] = [
    "rollout",
    "scale_in",
    "prune",
    "liveness",
    "runtime_limit",
    "drift",
    "asked",
    "down",
];

/// All words of the label `outcome`.
const OUTCOMES: [Outcome; 4] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::Stopped,
    Outcome::Lost,
];

/// Says what each of them means, and has those with few words be there from the beginning, so that a rate has where to begin.
pub(super) fn begin() {
    describe_counter!(
        EVENTS,
        "Records that this process has made durable in the journal, by kind."
    );
    describe_counter!(
        PLANS,
        "Plans made, by whether all that the revision says is in them."
    );
    describe_counter!(
        SYNCS,
        "What became of revisions: applied, held, refused by a person, or why they could not be followed."
    );
    describe_counter!(STOPS, "Stops that were ordered, by reason.");
    describe_counter!(
        ATTEMPTS,
        "Attempts whose agents told their end, by outcome."
    );
    describe_counter!(TASKS, "Tasks that have finished for good, by outcome.");
    describe_histogram!(
        SYNC_SECONDS,
        "Time from a read revision to its plan being applied or held, durably."
    );
    describe_histogram!(
        APPEND_SECONDS,
        "Time from a batch of events to the journal having it on the disk."
    );
    for taken in ["whole", "in_part"] {
        counter!(PLANS, "taken" => taken).increment(0);
    }
    for result in RESULTS {
        counter!(SYNCS, "result" => result).increment(0);
    }
    for reason in REASONS {
        counter!(STOPS, "reason" => reason).increment(0);
    }
    for outcome in OUTCOMES {
        counter!(ATTEMPTS, "outcome" => outcome_word(outcome)).increment(0);
        counter!(TASKS, "outcome" => outcome_word(outcome)).increment(0);
    }
}

/// Counts records, each once, when they are durable.
pub(super) fn count(records: &[Record]) {
    for record in records {
        counter!(EVENTS, "kind" => subjects(record).kind).increment(1);
        count_in_particular(&record.event);
    }
}

/// Notes how long a reading of the repository took to become a plan that is applied or held.
pub(super) fn synced(took: Duration) {
    metrics::histogram!(SYNC_SECONDS).record(took.as_secs_f64());
}

fn count_in_particular(event: &Event) {
    match event {
        Event::PlanMade { plan } => counter!(PLANS, "taken" => taken(plan)).increment(1),
        Event::PlanApplied { .. } => counter!(SYNCS, "result" => "applied").increment(1),
        Event::PlanHeld { .. } => counter!(SYNCS, "result" => "held").increment(1),
        Event::PlanRefused { .. } => counter!(SYNCS, "result" => "refused").increment(1),
        Event::RepositoryTroubled { trouble } => {
            counter!(SYNCS, "result" => trouble.word()).increment(1);
        }
        Event::StopOrdered { order } => {
            counter!(STOPS, "reason" => order.reason.word()).increment(1);
        }
        Event::AttemptReported { status } => {
            if let Phase::Ended(ended) = &status.phase {
                counter!(ATTEMPTS, "outcome" => outcome_word(ended.outcome)).increment(1);
            }
        }
        Event::TaskFinished { outcome, .. } => {
            counter!(TASKS, "outcome" => outcome_word(*outcome)).increment(1);
        }
        // Most kinds have no words to tell apart: they are counted as events.
        _ => {}
    }
}

/// Whether a plan has all that its revision says, or leaves out documents that do not hold or jobs that are kept back.
fn taken(plan: &Plan) -> &'static str {
    if plan.refused.is_empty() && plan.withheld.is_empty() {
        "whole"
    } else {
        "in_part"
    }
}
