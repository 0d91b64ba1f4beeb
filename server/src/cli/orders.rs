//! Commands that a person gives to the fleet: stop a task, approve a plan, freeze, let a host join.

use crate::cli::client::Client;
use crate::cli::env_file::quote;
use crate::cli::screen::{Screen, print, print_json};
use jiff::Timestamp;
use muster_schemas::api::{
    CommandAnswer, CommandRequest, CommitAnswer, EnrolmentToken, FreezeRequest, ResumeRequest,
    RollbackRequest, RolloutRequest, ScaleRequest,
};
use muster_schemas::ids::{JobId, TaskId};
use muster_schemas::plan::FreezeScope;
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::Millis;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// The task, such as web.0
    task: TaskId,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn stop(
    args: StopArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let task = args.task.to_string();
    let body = CommandRequest {
        reason: args.reason,
    };
    tell(
        client.post(&["tasks", &task, "stop"], &body, None).await?,
        screen,
    )
}

fn tell(answer: CommandAnswer, screen: &Screen) -> anyhow::Result<ExitCode> {
    if screen.is_json() {
        print_json(&answer)?;
    } else {
        print(&format!("{}\n", answer.message))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct PlanWordArgs {
    /// The plan's id, or its first 8 characters or more
    plan: String,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn approve(
    args: PlanWordArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    plan_word(args, "approve", client, screen).await
}

pub(super) async fn refuse(
    args: PlanWordArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    plan_word(args, "refuse", client, screen).await
}

async fn plan_word(
    args: PlanWordArgs,
    word: &str,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = CommandRequest {
        reason: args.reason,
    };
    let path = ["plans", &args.plan, word];
    tell(client.post(&path, &body, None).await?, screen)
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct ScopeArgs {
    /// The whole cell
    #[arg(long)]
    cell: bool,
    /// The jobs of this app
    #[arg(long)]
    app: Option<String>,
    /// This job
    #[arg(long)]
    job: Option<JobId>,
}

impl ScopeArgs {
    fn scope(self) -> FreezeScope {
        match (self.app, self.job) {
            (Some(app), _) => FreezeScope::App { app },
            (None, Some(job)) => FreezeScope::Job { job },
            (None, None) => FreezeScope::Cell,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct FreezeArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
    /// For how long, such as 2h30m; without it, until `muster resume`
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<Millis>,
}

pub(super) async fn freeze(
    args: FreezeArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = FreezeRequest {
        scope: args.scope.scope(),
        reason: args.reason,
        until: args
            .duration
            .map(|duration| Timestamp::now().checked_add(duration.signed()))
            .transpose()?,
    };
    tell(client.post(&["freeze"], &body, None).await?, screen)
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn resume(
    args: ResumeArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = ResumeRequest {
        scope: args.scope.scope(),
        reason: args.reason,
    };
    tell(client.post(&["resume"], &body, None).await?, screen)
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RolloutAction {
    /// Go on: a canary to its next step, red/black without the old tasks
    Promote,
    /// Go back: the version before serves on
    Abort,
    /// Begin an aborted rollout again
    Retry,
}

#[derive(Debug, clap::Args)]
pub(super) struct RolloutArgs {
    /// What it is told
    action: RolloutAction,
    /// The job
    job: JobId,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn rollout(
    args: RolloutArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = RolloutRequest {
        action: match args.action {
            RolloutAction::Promote => RolloutWord::Promote,
            RolloutAction::Abort => RolloutWord::Abort,
            RolloutAction::Retry => RolloutWord::Retry,
        },
        reason: args.reason,
    };
    let path = ["jobs", args.job.as_str(), "rollout"];
    tell(client.post(&path, &body, None).await?, screen)
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveHostArgs {
    /// The host's name or id
    host: String,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn remove_host(
    args: RemoveHostArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = CommandRequest {
        reason: args.reason,
    };
    let path = ["hosts", &args.host, "remove"];
    tell(client.post(&path, &body, None).await?, screen)
}

/// Have a host that is ahead follow this control plane
///
/// A host is ahead when it has heard orders that this control plane's journal does not have: an older copy of the control plane's
/// home was restored, or another control plane leads. Restore the newest copy if there is one. Taken is the host from exactly the
/// orders that it has named; containers on it that this control plane does not know are shown as orphans and left running.
#[derive(Debug, clap::Args)]
pub(super) struct TakeHostArgs {
    /// The host's name or id
    host: String,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn take_host(
    args: TakeHostArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = CommandRequest {
        reason: args.reason,
    };
    let path = ["hosts", &args.host, "take"];
    tell(client.post(&path, &body, None).await?, screen)
}

#[derive(Debug, clap::Args)]
pub(super) struct ScaleArgs {
    /// The job: a service
    job: JobId,
    /// So many tasks, within the min and max of its document; the number that the document says ends a size from before
    #[arg(long)]
    to: u32,
    /// Why; it stands in the journal beside your name
    #[arg(short, long)]
    reason: String,
    /// For how long, such as 2h30m, at most 7 days; without it for an hour, or, where the policy ignores the field, until it is
    /// scaled again
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<Millis>,
}

pub(super) async fn scale(
    args: ScaleArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = ScaleRequest {
        desired: args.to,
        reason: args.reason,
        until: args
            .duration
            .map(|duration| Timestamp::now().checked_add(duration.signed()))
            .transpose()?,
    };
    let path = ["jobs", args.job.as_str(), "scale"];
    tell(client.post(&path, &body, None).await?, screen)
}

#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The revision to go back to: a commit of the branch's history
    to: String,
    /// Only this job's document; without it, all files
    #[arg(long)]
    job: Option<JobId>,
    /// Why; it stands in the commit beside your name
    #[arg(short, long)]
    reason: String,
}

pub(super) async fn rollback(
    args: RollbackArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let body = RollbackRequest {
        to: args.to,
        job: args.job.map(|job| job.to_string()),
        reason: args.reason,
    };
    let answer: CommitAnswer = client.post(&["rollback"], &body, None).await?;
    if screen.is_json() {
        print_json(&answer)?;
    } else {
        print(&format!("{}\n", answer.message))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command goes to standard output and the rest to standard error, so that it can be piped into ssh.
pub(super) async fn enrol_token(client: &Client, screen: &Screen) -> anyhow::Result<ExitCode> {
    let token: EnrolmentToken = client.post(&["enrolments"], &json!({}), None).await?;
    if screen.is_json() {
        print_json(&token)?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "Run this on the new host, once, before {}:",
        crate::cli::time::seconds(token.expires_at)
    );
    let only_here = reqwest::Url::parse(&token.url)
        .is_ok_and(|url| matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")));
    if only_here {
        eprintln!(
            "Only this machine reaches {}: for another host, start the control plane with --agent-listen on an address that it \
             reaches.",
            token.url
        );
    }
    print(&format!(
        "muster agent --join {} {}\n",
        quote(&token.token),
        quote(&token.url)
    ))?;
    Ok(ExitCode::SUCCESS)
}
