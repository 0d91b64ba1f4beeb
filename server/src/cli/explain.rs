//! `muster explain` and `muster why-not`: why a task waits, and why a host takes no task of a job.

use crate::cli::client::{Client, Query};
use crate::cli::describe::Sheet;
use crate::cli::screen::{Screen, print, print_json};
use crate::cli::table::Tone;
use muster_schemas::explain::{Explanation, Obstacle, WhyNot};
use muster_schemas::ids::JobId;
use serde_json::Value;
use std::process::ExitCode;

/// Tell why a task waits, which hosts are nearest to taking it, and what would let it start
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// The task, such as web.0
    task: String,
}

/// Tell whether a host can take a task of a job, and if not, all that is in the way
///
/// The answer is the scheduler's own, for a task that the job would start now: of the version before, after an aborted rollout. Exit
/// code 0: it can; 1: it cannot; 2: it could not be asked.
#[derive(Debug, clap::Args)]
pub(super) struct WhyNotArgs {
    /// The job
    job: JobId,
    /// The host's name or id
    host: String,
}

pub(super) async fn explain(
    args: ExplainArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let path = ["tasks", &args.task, "explain"];
    let raw: Value = client.get(&path, &Query::new()).await?;
    if screen.is_json() {
        print_json(&raw)?;
    } else {
        print(&explained(&serde_json::from_value(raw)?, screen))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn why_not(args: WhyNotArgs, client: &Client, screen: &Screen) -> ExitCode {
    match ask(args, client, screen).await {
        Ok(code) => code,
        Err(error) => {
            crate::cli::failure::tell(&error);
            ExitCode::from(2)
        }
    }
}

async fn ask(args: WhyNotArgs, client: &Client, screen: &Screen) -> anyhow::Result<ExitCode> {
    let path = ["jobs", args.job.as_str(), "why-not", &args.host];
    let raw: Value = client.get(&path, &Query::new()).await?;
    let answer: WhyNot = serde_json::from_value(raw.clone())?;
    if screen.is_json() {
        print_json(&raw)?;
    } else {
        print(&answered(&answer, screen))?;
    }
    Ok(ExitCode::from(u8::from(!answer.can)))
}

fn explained(explanation: &Explanation, screen: &Screen) -> String {
    let mut sheet = Sheet::new(screen.color);
    sheet.field("Task", &explanation.task);
    sheet.field("State", explanation.state.word());
    sheet.field("Why", &explanation.says);
    if explanation.ahead > 0 {
        sheet.field("Before it", format!("{} of the queue", explanation.ahead));
    }
    if let Some(blocked) = &explanation.blocked {
        sheet.section("Hosts that cannot take it");
        for reason in &blocked.reasons {
            sheet.line(reason, Tone::Plain);
        }
    }
    for near in &explanation.nearest {
        let zone = match near.zone.as_str() {
            "" => String::new(),
            zone => format!(" in zone {zone}"),
        };
        sheet.section(&format!("What keeps it from {}{zone}", near.host));
        obstacles(&mut sheet, &near.obstacles);
    }
    sheet.finish()
}

fn answered(answer: &WhyNot, screen: &Screen) -> String {
    let mut sheet = Sheet::new(screen.color);
    sheet.field("Job", &answer.job);
    sheet.field("Host", &answer.host);
    sheet.field("Version", answer.version.to_string());
    sheet.field("Tasks there", answer.tasks.to_string());
    if answer.can {
        sheet.field("Can take one", "yes");
    } else {
        sheet.field_in("Can take one", "no", Tone::Bad);
        sheet.section("What is in the way");
        obstacles(&mut sheet, &answer.obstacles);
    }
    sheet.finish()
}

fn obstacles(sheet: &mut Sheet, obstacles: &[Obstacle]) {
    for Obstacle { why, remedy } in obstacles {
        sheet.line(why, Tone::Plain);
        sheet.line(&format!("  {remedy}"), Tone::Quiet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::screen;
    use crate::cli::screen::Format;
    use muster_schemas::api::BlockedView;
    use muster_schemas::explain::NearHost;
    use muster_schemas::state::TaskState;

    fn obstacle() -> Obstacle {
        Obstacle {
            why: "too little CPU (has 2 CPUs free, needs 4 CPUs)".to_owned(),
            remedy: "free 2 CPUs more there, add a host, or ask for less in `resources.cpu`"
                .to_owned(),
        }
    }

    #[test]
    fn what_waits_is_told_with_what_would_help() {
        let explanation = Explanation {
            task: "web.1".to_owned(),
            state: TaskState::Queued,
            says: "none of 1 host can take it: 1 host: too little CPU (has 2 CPUs free, needs 4 CPUs): alpha".to_owned(),
            ahead: 1,
            blocked: Some(BlockedView {
                hosts: 1,
                reasons: vec!["1 host: too little CPU (has 2 CPUs free, needs 4 CPUs): alpha".to_owned()],
            }),
            could_take: Vec::new(),
            nearest: vec![NearHost {
                host: "alpha".to_owned(),
                zone: "a".to_owned(),
                obstacles: vec![obstacle()],
            }],
        };
        insta::assert_snapshot!("explain", explained(&explanation, &screen(Format::Table)));
    }

    #[test]
    fn a_host_that_can_take_a_task_and_one_that_cannot() {
        let mut answer = WhyNot {
            job: "web".to_owned(),
            host: "alpha".to_owned(),
            version: 3,
            can: false,
            tasks: 2,
            obstacles: vec![obstacle()],
        };
        let no = answered(&answer, &screen(Format::Table));
        answer.can = true;
        answer.obstacles.clear();
        let yes = answered(&answer, &screen(Format::Table));
        insta::assert_snapshot!("why_not", format!("{no}\n{yes}"));
    }
}
