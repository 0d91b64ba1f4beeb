//! `muster agent`: the agent on a host.

use super::parent;
use crate::agent::link::{self, Identity, LinkError, enrol};
use crate::agent::{self, AgentConfig, LinkState};
use crate::cli::failure::Failure;
use crate::cli::run;
use crate::runtime::docker::DockerEngine;
use anyhow::Context as _;
use muster_schemas::spec::{Bytes, CpuMillis, Mbps};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::{mpsc, watch};

/// Frames that wait between the agent's loop and its connection; the loop says everything again when one was lost.
const FRAMES: usize = 256;

/// What a machine's network is taken to carry where nobody says it.
const DEFAULT_NETWORK: Mbps = Mbps(1000);

/// What an agent is told when it starts.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// Where it keeps its identity and the highest fence that it has heard
    #[arg(long, value_name = "DIR", default_value = "/var/lib/muster/agent")]
    pub home: PathBuf,
    /// Enrol with a single-use token at this control plane; ignored once it has enrolled
    #[arg(long, num_args = 2, value_names = ["TOKEN", "URL"])]
    pub join: Vec<String>,
    /// The control plane is at this address from now on; kept for the next start
    #[arg(long, value_name = "URL")]
    pub control_plane: Option<String>,
    /// The host's name; the machine's, if not given
    #[arg(long)]
    pub name: Option<String>,
    /// The address at which host ports are reached
    #[arg(
        long,
        env = "MUSTER_ADDRESS",
        hide_env_values = true,
        default_value = "127.0.0.1"
    )]
    pub address: String,
    /// The zone
    #[arg(
        long,
        env = "MUSTER_ZONE",
        hide_env_values = true,
        default_value = "default"
    )]
    pub zone: String,
    /// A label for placement; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// The container engine's socket; without it that of DOCKER_HOST, or unix:///var/run/docker.sock
    #[arg(long, env = "MUSTER_DOCKER", hide_env_values = true)]
    pub docker: Option<String>,
    /// Sell so many CPUs, rather than the machine's
    #[arg(long, value_parser = cpus)]
    pub cpu: Option<CpuMillis>,
    /// Sell so much memory, rather than the machine's
    #[arg(long)]
    pub memory: Option<Bytes>,
    /// Sell so much disk, rather than what the engine's file system has
    #[arg(long)]
    pub disk: Option<Bytes>,
    /// Sell so much bandwidth
    #[arg(long)]
    pub network: Option<Mbps>,
    /// Sell so many GPUs
    #[arg(long)]
    pub gpus: Option<u32>,
    /// Keep back so many CPUs
    #[arg(long, value_parser = cpus)]
    pub reserve_cpu: Option<CpuMillis>,
    /// Keep back so much memory
    #[arg(long)]
    pub reserve_memory: Option<Bytes>,
    /// So many containers at most
    #[arg(long, default_value_t = 120)]
    pub max_containers: u32,
    /// End as a SIGTERM would when standard input ends: `muster up` holds its other end
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a label as key=value, such as disk=ssd".to_owned()),
    }
}

fn cpus(text: &str) -> Result<CpuMillis, String> {
    let no = |_| "write a number of CPUs, such as 0.5 or 2".to_owned();
    let cpus: f64 = text
        .parse()
        .map_err(|error: std::num::ParseFloatError| no(error.to_string()))?;
    serde_json::from_value(serde_json::json!(cpus)).map_err(|error| no(error.to_string()))
}

/// Runs the agent until it is told to end. Its containers go on.
///
/// # Errors
///
/// It cannot enrol, its home cannot be used, or the engine's socket is no address.
pub async fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    let shutdown = parent::shutdown(args.exit_with_parent)?;
    std::fs::create_dir_all(&args.home)
        .with_context(|| format!("{} cannot be created", args.home.display()))?;
    let name = host_name(&args)?;
    let identity = identity(&args, &name).await?;
    let docker = run::socket(
        args.docker.filter(|address| !address.is_empty()),
        std::env::var("DOCKER_HOST").ok(),
    )?;
    let runtime = DockerEngine::new(&docker);
    let config = AgentConfig {
        host: identity.host(),
        cell: identity.cell().clone(),
        name,
        address: args.address,
        zone: args.zone,
        labels: args.labels.into_iter().collect(),
        home: args.home,
        reserve_cpu: args.reserve_cpu.unwrap_or_default(),
        reserve_memory: args.reserve_memory.unwrap_or_default(),
        sell_cpu: args.cpu,
        sell_memory: args.memory,
        sell_disk: args.disk,
        network: args.network.unwrap_or(DEFAULT_NETWORK),
        gpus: args.gpus.unwrap_or(0),
        max_containers: args.max_containers,
        marks: BTreeMap::new(),
    };
    let (to_control, out) = mpsc::channel(FRAMES);
    let (inn, from_control) = mpsc::channel(FRAMES);
    let (state, link) = watch::channel(LinkState::Down {
        why: "it has not connected yet".to_owned(),
    });
    let linked = tokio::spawn(link::run(identity, out, inn, state, shutdown.clone()));
    agent::run(config, runtime, to_control, from_control, link, shutdown).await?;
    linked.await?;
    Ok(ExitCode::SUCCESS)
}

/// Who this host is: as it was enrolled, else as it enrols now. A damaged identity is an error and no reason to enrol again,
/// since the host would lose the containers that run on it.
async fn identity(args: &AgentArgs, name: &str) -> anyhow::Result<Identity> {
    let identity = match (Identity::load(&args.home), args.join.as_slice()) {
        (Ok(identity), join) => {
            if !join.is_empty() {
                tracing::info!("this host has enrolled before, so --join is passed over");
            }
            tracing::info!(host = %identity.host(), cell = %identity.cell(), "known as host {name}");
            identity
        }
        (Err(LinkError::NotEnrolled { .. }), [token, url]) => {
            let identity = enrol(url, token, name, &args.home).await?;
            tracing::info!(host = %identity.host(), cell = %identity.cell(), name, "this host has enrolled");
            identity
        }
        (Err(error), _) => return Err(error.into()),
    };
    match &args.control_plane {
        Some(url) if url.trim_end_matches('/') != identity.url() => Ok(identity.moved_to(url)?),
        Some(_) | None => Ok(identity),
    }
}

/// The name that was given, else the machine's.
fn host_name(args: &AgentArgs) -> anyhow::Result<String> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Failure::untried("this machine has no name", "Give one: --name").into());
    }
    Ok(name)
}

/// The id of the host whose agent has this home, if it has enrolled. For those who only ask; the agent itself reads all of
/// its identity and checks it.
pub(super) fn enrolled_as(home: &Path) -> Option<String> {
    let bytes = std::fs::read(home.join("identity").join("identity.json")).ok()?;
    let identity: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    Some(identity.get("host")?.as_str()?.to_owned())
}
