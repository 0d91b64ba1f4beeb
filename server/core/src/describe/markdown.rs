//! A plan as Markdown: what a pull request gets as a comment, and what `muster plan` prints.

use super::reasons::{counted, size};
use super::short;
use muster_schemas::api::{JobChangeView, PlanStatus, PlanView};
use muster_schemas::plan::{FieldChange, Prediction};
use std::fmt::Write as _;

/// So many jobs are told in full; a comment that nobody reads to its end hides what matters.
const JOBS_IN_FULL: usize = 50;

/// So many lines of starts, stops or blocked tasks.
const LINES: usize = 20;

/// The plan as Markdown.
pub fn plan_markdown(plan: &PlanView) -> String {
    let mut page = String::new();
    let revision = &plan.revision;
    writeln!(
        page,
        "## Plan `{}` for `{}`: {}\n",
        short(&plan.id),
        short(revision.commit.as_str()),
        escaped(&revision.subject)
    )
    .ok();
    writeln!(page, "{}\n", headline(plan)).ok();
    for hold in &plan.holds {
        writeln!(page, "> **Held:** {}.\n", escaped(hold)).ok();
    }
    for change in plan.changes.iter().take(JOBS_IN_FULL) {
        job(&mut page, change);
    }
    more(&mut page, plan.changes.len(), JOBS_IN_FULL, "jobs");
    if plan.policy_changes {
        writeln!(page, "**The policy changes.**\n").ok();
    }
    if !plan.withheld.is_empty() {
        writeln!(page, "### Kept back\n").ok();
        for withheld in plan.withheld.iter().take(JOBS_IN_FULL) {
            let change = &withheld.change;
            writeln!(
                page,
                "- {} `{}`: {}",
                change.action,
                change.job,
                escaped(&withheld.reason)
            )
            .ok();
        }
        page.push('\n');
        more(&mut page, plan.withheld.len(), JOBS_IN_FULL, "jobs");
    }
    if !plan.refused.is_empty() {
        writeln!(
            page,
            "### Documents that are not taken: their jobs stay as they are\n"
        )
        .ok();
        for problem in plan.refused.iter().take(LINES) {
            writeln!(
                page,
                "- `{}:{}:{}` {}{}",
                problem.path,
                problem.line,
                problem.column,
                escaped(&problem.message),
                if problem.help.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", escaped(&problem.help))
                }
            )
            .ok();
        }
        page.push('\n');
        more(&mut page, plan.refused.len(), LINES, "faults");
    }
    if let Some(prediction) = &plan.prediction
        && (!plan.changes.is_empty() || plan.status == PlanStatus::Applied)
    {
        predicted(&mut page, prediction);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn headline(plan: &PlanView) -> String {
    if plan.changes.is_empty() && plan.withheld.is_empty() && !plan.policy_changes {
        return "Nothing changes.".to_owned();
    }
    let jobs = u64::try_from(plan.changes.len()).unwrap_or(u64::MAX);
    format!(
        "{} to change: **{}** start, **{}** are replaced, **{}** of {} that run are taken away.",
        counted(jobs, "job", "jobs"),
        counted(u64::from(plan.starts), "task", "tasks"),
        plan.replaces,
        plan.stops,
        plan.running
    )
}

fn job(page: &mut String, change: &JobChangeView) {
    let mut counts = Vec::new();
    for (count, word) in [
        (change.starts, "start"),
        (change.replaces, "replaced"),
        (change.stops, "stop"),
    ] {
        if count > 0 {
            counts.push(format!("{count} {word}"));
        }
    }
    let counts = if counts.is_empty() {
        String::new()
    } else {
        format!(" ({})", counts.join(", "))
    };
    writeln!(page, "### {} `{}`{counts}\n", change.action, change.job).ok();
    if !change.fields.is_empty() {
        page.push_str("```diff\n");
        for field in &change.fields {
            fields(page, field);
        }
        page.push_str("```\n\n");
    }
    for note in &change.notes {
        writeln!(page, "- {}", escaped(note)).ok();
    }
    if !change.notes.is_empty() {
        page.push('\n');
    }
}

fn fields(page: &mut String, field: &FieldChange) {
    for (sign, value) in [('-', &field.from), ('+', &field.to)] {
        if let Some(value) = value {
            // A fence within a value would end ours.
            let value = value.to_string().replace("```", "` ` `");
            writeln!(page, "{sign} {}: {value}", field.path).ok();
        }
    }
}

fn predicted(page: &mut String, prediction: &Prediction) {
    writeln!(page, "### Predicted\n").ok();
    writeln!(
        page,
        "{} and {} within {}{}, not counting how long containers take to start.\n",
        counted(u64::from(prediction.started), "start", "starts"),
        counted(u64::from(prediction.stopped), "stop", "stops"),
        counted(u64::from(prediction.seconds), "second", "seconds"),
        if prediction.goes_on {
            ", and more after that"
        } else {
            ""
        }
    )
    .ok();
    let starts: Vec<String> = prediction
        .starts
        .iter()
        .map(|start| format!("`{}` starts on {}", start.task, escaped(&start.host)))
        .collect();
    let stops: Vec<String> = prediction
        .stops
        .iter()
        .map(|stop| {
            format!(
                "`{}` stops on {}: {}",
                stop.task,
                escaped(&stop.host),
                escaped(&stop.reason)
            )
        })
        .collect();
    let blocked: Vec<String> = prediction
        .blocked
        .iter()
        .map(|blocked| {
            format!(
                "`{}` finds no host: {}",
                blocked.task,
                escaped(&blocked.reason)
            )
        })
        .collect();
    for (lines, all) in [
        (blocked, prediction.without_host),
        (stops, prediction.stopped),
        (starts, prediction.started),
    ] {
        for line in lines.iter().take(LINES) {
            writeln!(page, "- {line}").ok();
        }
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        if all > LINES {
            writeln!(page, "- … and {} more", all - LINES).ok();
        }
    }
    page.push('\n');
    let has = &prediction.capacity;
    writeln!(
        page,
        "| taken of {} CPUs, {} of memory | CPU before | after | memory before | after |",
        has.cpu,
        size(has.memory.0)
    )
    .ok();
    writeln!(page, "| --- | --- | --- | --- | --- |").ok();
    for taken in &prediction.taken {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            escaped(&taken.part),
            taken.before.cpu,
            taken.after.cpu,
            size(taken.before.memory.0),
            size(taken.after.memory.0)
        )
        .ok();
    }
    page.push('\n');
}

fn more(page: &mut String, all: usize, shown: usize, what: &str) {
    if all > shown {
        writeln!(page, "… and {} more {what}.\n", all - shown).ok();
    }
}

/// Text of other people in a line of Markdown: it cannot become markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '|' | '*' | '_' | '[' | ']' | '\\' | '#' => {
                out.push('\\');
                out.push(letter);
            }
            // Names people in a forge.
            '@' => out.push_str("@\u{200b}"),
            _ => out.push(letter),
        }
    }
    out
}
