//! `muster plan`: what a revision, or what is not committed yet, would change and lead to.

use super::validate;
use crate::cli::client::Client;
use crate::cli::screen::{Screen, print, print_json};
use anyhow::Context as _;
use muster_schemas::api::{PlanFile, PlanPreview, PlanRequest};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A prediction of a large fleet takes seconds, and the images of new jobs are looked up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Work out what would change and what it would lead to, without doing any of it
///
/// Exit codes: 0 nothing would change, 1 something would, 2 it could not be worked out or documents are refused, 3 the guard would hold
/// it.
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// A commit, branch or tag of the repository that is followed
    #[arg(long, conflicts_with = "worktree")]
    rev: Option<String>,
    /// A folder with all spec files, such as a clone with changes; a document that is not there counts as removed
    #[arg(long, value_name = "PATH")]
    worktree: Option<PathBuf>,
    /// Markdown, as for a pull request's comment
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// The same as `-o json`
    #[arg(long)]
    json: bool,
}

/// The exit code of an error is always 2: 1 says that something would change.
pub(super) async fn run(args: PlanArgs, client: &Client, screen: &Screen) -> ExitCode {
    match work_out(args, client, screen).await {
        Ok(code) => code,
        Err(error) => {
            crate::cli::failure::tell(&error);
            ExitCode::from(2)
        }
    }
}

async fn work_out(args: PlanArgs, client: &Client, screen: &Screen) -> anyhow::Result<ExitCode> {
    let files = args
        .worktree
        .as_deref()
        .map(validate::worktree)
        .transpose()?;
    let files = files
        .map(|files| {
            let mut sent = Vec::with_capacity(files.len());
            for file in files {
                let content = String::from_utf8(file.bytes.to_vec())
                    .with_context(|| format!("{} is not UTF-8", file.path))?;
                sent.push(PlanFile {
                    path: file.path,
                    content,
                });
            }
            anyhow::Ok(sent)
        })
        .transpose()?;
    let request = PlanRequest {
        revision: args.rev,
        files,
    };
    let preview: PlanPreview = client.post(&["plan"], &request, Some(PATIENCE)).await?;
    if screen.is_json() || args.json {
        print_json(&preview)?;
    } else if args.markdown {
        print(&preview.markdown)?;
    } else {
        let now = jiff::Timestamp::now();
        print(&super::describe::plan_sheet(&preview.plan, now, screen))?;
    }
    // An image may still be on its way while its commit is looked at.
    let mut refused = preview.plan.refused.iter();
    let is_refused = refused.any(|fault| fault.code != "image-unresolved");
    // What stands in its document changes once the image is there.
    let changes = preview.changes || !preview.plan.refused.is_empty();
    Ok(ExitCode::from(
        match (is_refused, preview.would_be_held, changes) {
            (true, _, _) => 2,
            (false, true, _) => 3,
            (false, false, true) => 1,
            (false, false, false) => 0,
        },
    ))
}
