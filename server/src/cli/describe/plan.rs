//! A plan for a person who asks what it does, or why it is held.

use super::sheet::Sheet;
use crate::cli::rows;
use crate::cli::screen::Screen;
use crate::cli::table::Tone;
use crate::cli::time::with_age;
use jiff::Timestamp;
use muster_schemas::api::{JobChangeView, PlanView};
use muster_schemas::plan::Prediction;

pub(in crate::cli) fn sheet(plan: &PlanView, now: Timestamp, screen: &Screen) -> String {
    let mut sheet = Sheet::new(screen.color);
    sheet.field("Plan", &plan.id);
    let (status, tone) = rows::plan_status(plan.status);
    sheet.field_in("Status", status, tone);
    for hold in &plan.holds {
        sheet.field_in("Held because", hold, Tone::Bad);
    }
    for word in &plan.approvals {
        let over = word.expires_at.filter(|until| *until <= now);
        let over = over.map_or(String::new(), |until| {
            format!(" (counts no more: it expired {})", with_age(now, until))
        });
        sheet.field(
            "Approved",
            format!(
                "by {}, {}: {}{over}",
                word.by,
                with_age(now, word.at),
                word.reason
            ),
        );
    }
    if plan.can_be_approved && plan.approvals_required > 1 {
        let required = plan.approvals_required;
        sheet.field(
            "Approvals",
            format!("by {required} different people are wanted"),
        );
    }
    if let Some(word) = &plan.refusal {
        sheet.field(
            "Refused",
            format!(
                "by {}, {}: {}",
                word.by,
                with_age(now, word.at),
                word.reason
            ),
        );
    }
    if plan.can_be_approved {
        sheet.field(
            "To decide",
            format!(
                "muster approve {id} --reason …   or   muster refuse {id} --reason …",
                id = rows::short(&plan.id)
            ),
        );
    }
    sheet.field(
        "Revision",
        format!("{}  {}", plan.revision.commit, plan.revision.subject),
    );
    sheet.field("Author", &plan.revision.author);
    if let Some(signer) = &plan.signed_by {
        sheet.field("Signed by", signer);
    }
    sheet.field("Made", with_age(now, plan.made_at));
    sheet.field(
        "Follows",
        plan.parent.as_deref().unwrap_or("nothing: it is the first"),
    );
    sheet.field(
        "Tasks",
        format!(
            "{} start, {} stop, {} are replaced; {} ran when it was made",
            plan.starts, plan.stops, plan.replaces, plan.running
        ),
    );
    sheet.section(match plan.changes.is_empty() {
        true => "No job changes",
        false => "Changes",
    });
    changes(&mut sheet, plan.changes.iter());
    if !plan.withheld.is_empty() {
        sheet.section("Kept back: these jobs stay as they are");
        for withheld in &plan.withheld {
            changes(&mut sheet, std::iter::once(&withheld.change));
            sheet.line(&format!("  because {}", withheld.reason), Tone::Busy);
        }
    }
    if let Some(prediction) = &plan.prediction {
        predicted(&mut sheet, plan, prediction);
    }
    if !plan.refused.is_empty() {
        sheet.section("Refused documents: their jobs stay as they are");
        sheet.diagnostics(&plan.refused);
    }
    sheet.finish()
}

/// So many starts, stops and tasks without a host are listed; the console and `-o json` have more.
const LINES: usize = 12;

fn predicted(sheet: &mut Sheet, plan: &PlanView, prediction: &Prediction) {
    let goes_on = if prediction.goes_on {
        ", and more after that"
    } else {
        ""
    };
    sheet.section("Predicted");
    sheet.line(
        &format!(
            "{} starts, {} stops, within {} s{goes_on}, not counting how long containers take to start",
            prediction.started, prediction.stopped, prediction.seconds
        ),
        Tone::Plain,
    );
    if let Some(outcome) = &plan.outcome {
        let seconds = outcome
            .seconds
            .map_or(String::new(), |seconds| format!(", within {seconds} s"));
        sheet.line(
            &format!(
                "so far {} starts, {} of them on the predicted host, and {} stops{seconds}",
                outcome.started, outcome.as_predicted, outcome.stopped
            ),
            Tone::Plain,
        );
    }
    for blocked in prediction.blocked.iter().take(LINES) {
        sheet.line(
            &format!("{} finds no host: {}", blocked.task, blocked.reason),
            Tone::Bad,
        );
    }
    for stop in prediction.stops.iter().take(LINES) {
        sheet.line(
            &format!("{} stops on {}: {}", stop.task, stop.host, stop.reason),
            Tone::Plain,
        );
    }
    for start in prediction.starts.iter().take(LINES) {
        sheet.line(
            &format!("{} starts on {}", start.task, start.host),
            Tone::Plain,
        );
    }
    let listed = [
        prediction.blocked.len(),
        prediction.stops.len(),
        prediction.starts.len(),
    ];
    let more: usize = listed.iter().map(|count| count.saturating_sub(LINES)).sum();
    if more > 0 {
        sheet.line(&format!("… and {more} more"), Tone::Plain);
    }
}

fn changes<'a>(sheet: &mut Sheet, changes: impl Iterator<Item = &'a JobChangeView>) {
    for change in changes {
        // The notes come last, after the headline and the fields.
        for (place, line) in change.lines().iter().enumerate() {
            let tone = if place > change.fields.len() {
                Tone::Busy
            } else {
                Tone::Plain
            };
            sheet.line(line, tone);
        }
    }
}
