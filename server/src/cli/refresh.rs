//! `muster refresh`: the control plane reads the repository now. The repository's post-receive hook calls it.

use crate::cli::client::Client;
use muster_schemas::spec::Millis;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    /// How long to wait for the control plane's word that it was told
    #[arg(long, default_value = "10s", value_name = "TIME")]
    timeout: Millis,
}

pub(super) async fn run(args: RefreshArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let timeout = Duration::from_millis(args.timeout.0);
    let _: Value = client
        .post(&["repository", "refresh"], &json!({}), Some(timeout))
        .await?;
    Ok(ExitCode::SUCCESS)
}
