//! `muster refresh`: the control plane reads the repository now. The repository's post-receive hook calls it, and tells whoever
//! pushed what came of it.

use crate::cli::client::{Client, Query};
use crate::cli::failure::Failure;
use crate::cli::rows;
use crate::cli::screen::{print, tame};
use muster_schemas::api::{FleetView, JobChangeView, List, PlanStatus, PlanView, RefreshAnswer};
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::Millis;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// So many faults are told; the plan's page has all of them.
const FAULTS: usize = 8;

/// And so many of one file.
const FAULTS_OF_FILE: usize = 2;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The control plane waits for a look so many seconds at most.
const LONGEST_WAIT: u64 = 20;

/// Beyond the time that the control plane is given for the look: the way there and back.
const ON_THE_WAY: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    /// How long to wait for the control plane's word that it was told, and for what came of it; for the look itself 20 s at most
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
    let path = ["repository", "refresh"];
    let Some(commit) = args.report else {
        let wait = timeout.as_secs().min(LONGEST_WAIT);
        let query = vec![("wait", wait.to_string())];
        let answer: RefreshAnswer = client
            .post_with(&path, &query, &json!({}), Some(timeout + ON_THE_WAY))
            .await?;
        return tell(answer, client, deadline).await;
    };
    let _: Value = client.post(&path, &json!({}), Some(timeout)).await?;
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

/// Tells whoever typed `muster refresh` what the look found, and what has come of that so far.
async fn tell(
    answer: RefreshAnswer,
    client: &Client,
    deadline: Instant,
) -> anyhow::Result<ExitCode> {
    let Some(look) = answer.look else {
        print("The repository is being read; `muster status` tells what comes of it.\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(trouble) = look.trouble {
        let hint = "`muster refresh` looks again.";
        return Err(Failure::no(trouble, hint).into());
    }
    let commit = look.commit.unwrap_or_default();
    let query = vec![("limit", "1".to_owned())];
    loop {
        let plans: List<PlanView> = client.get(&["plans"], &query).await?;
        let plan = plans
            .items
            .first()
            .filter(|plan| plan.revision.commit.as_str() == commit);
        if let Some(plan) = plan.filter(|plan| plan.status != PlanStatus::Proposed) {
            print(&came_of(plan))?;
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() + PAUSE > deadline {
            print(&format!(
                "Read {}; its plan is still being made, and `muster status` tells what comes of it.\n",
                rows::short(&commit)
            ))?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a revision that was read has led to, in a line.
fn came_of(plan: &PlanView) -> String {
    let id = rows::short(&plan.id);
    let what = match plan.status {
        PlanStatus::Applied => "applied".to_owned(),
        PlanStatus::Held => format!("HELD: {}", plan.holds.join("; ")),
        PlanStatus::Refused => match &plan.refusal {
            Some(word) => format!("refused by {}: {}", word.by, word.reason),
            None => "refused".to_owned(),
        },
        PlanStatus::Superseded => "superseded by a later plan".to_owned(),
        PlanStatus::Proposed => "still being judged".to_owned(),
    };
    let faults = match plan.refused.len() {
        0 => String::new(),
        1 => format!("; 1 fault in refused documents: muster describe plan {id}"),
        faults => format!("; {faults} faults in refused documents: muster describe plan {id}"),
    };
    let decide = match plan.status == PlanStatus::Held && plan.can_be_approved {
        true => format!("; to let it go ahead: muster approve {id} --reason …"),
        false => String::new(),
    };
    let line = format!(
        "Read {} ({}): {what}{faults}{decide}",
        rows::short(plan.revision.commit.as_str()),
        plan.revision.subject
    );
    format!("{}\n", tame(&line))
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
        let jobs = match plan.changes.len() {
            1 => "1 job changes".to_owned(),
            jobs => format!("{jobs} jobs change"),
        };
        let starts = match plan.starts {
            1 => "1 task starts".to_owned(),
            starts => format!("{starts} tasks start"),
        };
        let replaces = match plan.replaces {
            1 => "1 is replaced".to_owned(),
            replaces => format!("{replaces} are replaced"),
        };
        let stops = match plan.stops {
            1 => "1 stops".to_owned(),
            stops => format!("{stops} stop"),
        };
        writeln!(
            text,
            "Muster has planned this push: {jobs}, {starts}, {replaces}, {stops}. {page}"
        )
        .ok();
        removed(&mut text, plan);
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
    let shown = worth_showing(&plan.refused);
    for problem in &shown {
        // What is wrong with a file as a whole has no line, and what is wrong with a document as a whole no column.
        let place = match (problem.line, problem.column) {
            (0, _) => problem.path.clone(),
            (line, 0) => format!("{}:{line}", problem.path),
            (line, column) => format!("{}:{line}:{column}", problem.path),
        };
        writeln!(text, "  {place}: {}", problem.message).ok();
        if !problem.help.is_empty() {
            writeln!(text, "    {}", problem.help).ok();
        }
    }
    let more = plan.refused.len() - shown.len();
    if more > 0 {
        writeln!(text, "  … and {more} more: muster describe plan {id}").ok();
    }
    text
}

/// The jobs whose documents this push removes: nothing else on the way from a deleted file to its containers is seen here.
fn removed(text: &mut String, plan: &PlanView) {
    let gone = |change: &&JobChangeView| matches!(change.action.as_str(), "undeclare" | "prune");
    let all = plan.changes.iter().filter(gone).count();
    for change in plan.changes.iter().filter(gone).take(FAULTS) {
        let what = match change.action.as_str() {
            "prune" => "is pruned: it is stopped once the policy's grace is over",
            _ => "is undeclared: it runs on, until its document is back or the policy prunes",
        };
        writeln!(text, "  {} {what}", change.job).ok();
    }
    if all > FAULTS {
        writeln!(text, "  … and {} more", all - FAULTS).ok();
    }
}

/// Some of the faults, with no more than a few of one file: one that is broken all over must not hide the others.
fn worth_showing(faults: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut of_file: BTreeMap<&str, usize> = BTreeMap::new();
    let few = faults.iter().filter(|fault| {
        let seen = of_file.entry(&fault.path).or_default();
        *seen += 1;
        *seen <= FAULTS_OF_FILE
    });
    few.take(FAULTS).collect()
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
    fn who_asks_by_hand_is_told_in_a_line_what_came_of_it() {
        let mut plan: PlanView = serde_json::from_value(fixtures::plan()).unwrap();
        let mut text = came_of(&plan);
        plan.status = PlanStatus::Applied;
        text.push_str(&came_of(&plan));
        plan.refused.clear();
        text.push_str(&came_of(&plan));
        plan.status = PlanStatus::Superseded;
        text.push_str(&came_of(&plan));
        assert_eq!(text.lines().count(), 4, "{text}");
        insta::assert_snapshot!(text);
    }

    /// A control plane whose look has found this, and whose latest plan is the fixtures'.
    async fn refreshed(look: Value) -> anyhow::Result<ExitCode> {
        use wiremock::matchers::{method, path, query_param};
        use wiremock::{Mock, MockServer, ResponseTemplate};
        let server = MockServer::start().await;
        let answer = json!({"seq": 1, "message": "", "look": look});
        Mock::given(method("POST"))
            .and(path("/api/v1/repository/refresh"))
            .and(query_param("wait", "10"))
            .respond_with(ResponseTemplate::new(202).set_body_json(answer))
            .mount(&server)
            .await;
        let plans = json!({"items": [fixtures::plan()], "next": null, "total": 1});
        Mock::given(method("GET"))
            .and(path("/api/v1/plans"))
            .respond_with(ResponseTemplate::new(200).set_body_json(plans))
            .mount(&server)
            .await;
        let args = RefreshArgs {
            timeout: Millis(10_000),
            report: None,
            pushed: None,
        };
        run(args, &Client::new(&server.uri(), None).unwrap()).await
    }

    #[tokio::test]
    async fn a_repository_in_trouble_is_a_no() {
        let trouble = "the branch `main` does not exist; push a commit to the branch";
        let error = refreshed(json!({"commit": null, "trouble": trouble}))
            .await
            .unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!((failure.message.as_str(), failure.code), (trouble, 1));

        let plan: PlanView = serde_json::from_value(fixtures::plan()).unwrap();
        let commit = plan.revision.commit.to_string();
        let code = refreshed(json!({"commit": commit, "trouble": null})).await;
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
    }

    #[test]
    fn one_broken_file_does_not_hide_the_others_and_what_is_gone_is_named() {
        let mut plan: PlanView = serde_json::from_value(fixtures::plan()).unwrap();
        plan.status = PlanStatus::Applied;
        plan.withheld.clear();
        let fault = |path: &str, line: u32, column: u32| Diagnostic {
            path: path.to_owned(),
            line,
            column,
            message: "it is wrong".to_owned(),
            help: String::new(),
            ..plan.refused[0].clone()
        };
        let mut faults: Vec<Diagnostic> =
            (1..60).map(|line| fault("alias.yaml", line, 3)).collect();
        faults.push(fault("big.yaml", 0, 0));
        faults.push(fault("x-noimage.yaml", 1, 0));
        plan.refused = faults;
        let mut change = plan.changes[0].clone();
        change.job = "hello".to_owned();
        change.action = "undeclare".to_owned();
        plan.changes = vec![change];
        (plan.starts, plan.replaces, plan.stops) = (1, 1, 0);
        insta::assert_snapshot!(told(&plan, "http://127.0.0.1:7400"));
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
