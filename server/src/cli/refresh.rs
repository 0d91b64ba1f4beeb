//! `muster refresh`: the control plane reads the repository now. The repository's post-receive hook calls it, and tells whoever
//! pushed what came of it.

use crate::cli::client::{Client, Query};
use crate::cli::rows;
use crate::cli::screen::print;
use muster_schemas::api::{FleetView, List, PlanStatus, PlanView};
use muster_schemas::spec::Millis;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// So many faults are told; the plan's page has all of them.
const FAULTS: usize = 8;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    /// How long to wait for the control plane's word that it was told, and for what came of it
    #[arg(long, default_value = "10s", value_name = "TIME")]
    timeout: Millis,
    /// Tell what became of this commit
    #[arg(long, value_name = "COMMIT")]
    report: Option<String>,
    /// The ref that was pushed; of another branch than the followed one nothing is told
    #[arg(long, value_name = "REF", requires = "report")]
    pushed: Option<String>,
}

pub(super) async fn run(args: RefreshArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let timeout = Duration::from_millis(args.timeout.0);
    let deadline = Instant::now() + timeout;
    let _: Value = client
        .post(&["repository", "refresh"], &json!({}), Some(timeout))
        .await?;
    let Some(commit) = args.report else {
        return Ok(ExitCode::SUCCESS);
    };
    loop {
        let fleet: FleetView = client.get(&["fleet"], &Query::new()).await?;
        let followed = format!("refs/heads/{}", fleet.branch);
        if args
            .pushed
            .as_ref()
            .is_some_and(|pushed| *pushed != followed)
        {
            return Ok(ExitCode::SUCCESS);
        }
        let query = vec![("limit", "1".to_owned())];
        let plans: List<PlanView> = client.get(&["plans"], &query).await?;
        let plan = plans
            .items
            .first()
            .filter(|plan| plan.revision.commit.as_str() == commit);
        if let Some(plan) = plan {
            print(&told(plan, client.url()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let trouble = fleet
            .alerts
            .iter()
            .find(|alert| alert.code.starts_with("repository-"))
            // Until this push has been read, it is an earlier one that is not followed.
            .filter(|alert| !names_a_commit(&alert.message) || alert.message.contains(&commit));
        if let Some(trouble) = trouble {
            print(&format!(
                "Muster does not follow this push: {}\n",
                trouble.message
            ))?;
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() + PAUSE > deadline {
            print("Muster has been told of this push.\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a trouble is about one commit: such a message has its whole id.
fn names_a_commit(message: &str) -> bool {
    let is_id = |word: &str| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    message
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .any(is_id)
}

/// What became of a push, for a terminal.
fn told(plan: &PlanView, url: &str) -> String {
    let mut text = String::new();
    let page = format!("{}/plans/{}", url.trim_end_matches('/'), plan.id);
    let id = rows::short(&plan.id);
    if plan.status == PlanStatus::Held {
        writeln!(text, "Muster HOLDS this push, and nothing of it happens:").ok();
        for hold in &plan.holds {
            writeln!(text, "  {hold}").ok();
        }
        writeln!(text, "  See {page}").ok();
        if plan.can_be_approved {
            writeln!(text, "  or: muster approve {id} --reason …").ok();
        }
    } else if plan.changes.is_empty() {
        writeln!(text, "Muster has read this push: no job changes.").ok();
    } else {
        writeln!(
            text,
            "Muster has planned this push: {} {}, {} tasks start, {} are replaced, {} stop. {page}",
            plan.changes.len(),
            if plan.changes.len() == 1 {
                "job changes"
            } else {
                "jobs change"
            },
            plan.starts,
            plan.replaces,
            plan.stops
        )
        .ok();
    }
    for withheld in plan.withheld.iter().take(FAULTS) {
        writeln!(
            text,
            "  kept back: {}: {}",
            withheld.change.job, withheld.reason
        )
        .ok();
    }
    if !plan.refused.is_empty() {
        writeln!(
            text,
            "These documents are REFUSED, and their jobs stay as they are:"
        )
        .ok();
    }
    for problem in plan.refused.iter().take(FAULTS) {
        writeln!(
            text,
            "  {}:{}:{}: {}",
            problem.path, problem.line, problem.column, problem.message
        )
        .ok();
        if !problem.help.is_empty() {
            writeln!(text, "    {}", problem.help).ok();
        }
    }
    let more = plan.refused.len().saturating_sub(FAULTS);
    if more > 0 {
        writeln!(text, "  … and {more} more").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    #[test]
    fn a_trouble_that_is_about_another_commit_is_not_about_this_push() {
        let other = format!("Revision {} does not descend", "7".repeat(40));
        assert!(names_a_commit(&other));
        assert!(!names_a_commit(
            "The repository cannot be reached: no route to host"
        ));
    }

    #[test]
    fn a_push_is_told_what_became_of_it() {
        let mut plan: PlanView = serde_json::from_value(fixtures::plan()).unwrap();
        let mut text = told(&plan, "http://127.0.0.1:7400/");
        plan.status = PlanStatus::Applied;
        text.push_str("--\n");
        text.push_str(&told(&plan, "http://127.0.0.1:7400"));
        plan.changes.clear();
        plan.refused.clear();
        plan.withheld.clear();
        text.push_str("--\n");
        text.push_str(&told(&plan, "http://127.0.0.1:7400"));
        insta::assert_snapshot!(text);
    }
}
