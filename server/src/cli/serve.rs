//! `muster serve`: the control plane.

use super::parent;
use crate::control::{self, ServeConfig};
use muster_schemas::spec::Millis;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a control plane is told when it starts.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where it keeps its journal, keys and token
    #[arg(long, value_name = "DIR")]
    pub home: PathBuf,
    /// Where API and console listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// Where agents connect to, over mutual TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7401")]
    pub agent_listen: SocketAddr,
    /// The repository of specs: a path, an https or an ssh address
    #[arg(long, value_name = "URL")]
    pub repo: String,
    /// The branch that is followed
    #[arg(long, default_value = "main")]
    pub branch: String,
    /// The private key with which an ssh repository is read
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// The SSH private key that signs the commits that Muster makes (roll-back, deploys), where a policy wants signatures: without a
    /// passphrase, and readable by nobody else
    #[arg(long, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// The cell's name; it stands on every container
    #[arg(long, default_value = "local")]
    pub cell: String,
    /// How often the repository is read without being told
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub poll: Millis,
    /// Who is told what happens, and which forges may say that the repository has moved: a YAML file outside the repository, since
    /// it holds secrets (docs/notifications.md)
    #[arg(long, value_name = "FILE")]
    pub notify: Option<PathBuf>,
    /// Where Prometheus is, which is asked about canaries: an http or https address
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// End as a SIGTERM would when standard input ends: `muster up` holds its other end
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

/// Runs the control plane until it is told to end.
///
/// # Errors
///
/// What kept it from starting or made it end.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let shutdown = parent::shutdown(args.exit_with_parent)?;
    let config = ServeConfig {
        home: args.home,
        listen: args.listen,
        agent_listen: args.agent_listen,
        repository: args.repo,
        branch: args.branch,
        ssh_key: args.ssh_key,
        signing_key: args.signing_key,
        cell: args.cell,
        poll: Duration::from_millis(args.poll.0),
        notify: args.notify,
        prometheus: args.prometheus,
    };
    control::serve(config, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
