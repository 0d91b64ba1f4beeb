//! `muster up`: the embedded stack in the foreground. It prepares a repository, starts control plane and agent as processes of
//! their own, keeps them running, and says how they are reached. Containers are none of its business: they outlive it.

mod child;
pub(super) mod down;
mod lock;
mod repository;
mod settings;
mod stack;
mod welcome;

use crate::cli::client::{Client, Query};
use crate::cli::failure::Failure;
use crate::cli::parent;
use lock::Asked;
use muster_schemas::api::FleetView;
use repository::Seeded;
use settings::{Settings, StackArgs};
use stack::{Interrupted, Stack};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The agent connects within a second; more than this means that somebody has to look.
const AGENT_READY_WITHIN: Duration = Duration::from_secs(20);
/// The registry is on this machine as a rule.
const REGISTRY_ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// The control plane is on this machine; a person who pressed Ctrl-C does not wait for one that hangs.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    stack: StackArgs,
    /// The folder of specs that a new repository begins with; `example-repo` here or above, if not given
    #[arg(long, value_name = "DIR")]
    example: Option<PathBuf>,
}

pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let settings = args.stack.resolve()?;
    settings.make_folders()?;
    let _lock = match lock::take(&settings.home)? {
        Asked::Ours(lock) => lock,
        Asked::Held(pid) => return Err(runs_already(&settings, pid).into()),
    };
    settings.check_ports()?;
    let registry = tokio::spawn(answers(settings.registry.clone()));
    let seeded = prepare_repository(&settings, args.example.as_deref()).await?;
    if seeded == Seeded::Empty {
        eprintln!("no example-repo is here, so the repository begins empty");
    }
    let told = parent::shutdown(false)?;
    let mut stack = Stack::new(settings.clone(), told);
    let result = bring_up(&mut stack, &settings, &seeded, registry, began).await;
    let down = match &result {
        Ok(client) => is_down(client).await,
        Err(_) => false,
    };
    stack.end().await;
    match result {
        Ok(_) => {
            eprint!("{}", welcome::farewell(down));
            Ok(ExitCode::SUCCESS)
        }
        Err(Interrupted::Told) => Ok(ExitCode::SUCCESS),
        Err(Interrupted::GaveUp(failure)) => Err(failure.into()),
        Err(Interrupted::Failed(error)) => Err(error),
    }
}

/// Starts everything, welcomes, and stays until told to end; then answers the client of what still runs.
async fn bring_up(
    stack: &mut Stack,
    settings: &Settings,
    seeded: &Seeded,
    registry: tokio::task::JoinHandle<bool>,
    began: Instant,
) -> Result<Client, Interrupted> {
    let client = stack.start_serve().await?;
    if !registry.await.unwrap_or(false) {
        eprintln!(
            "warning: no image registry answers at {}; images that are not on the hosts cannot be pulled",
            settings.registry
        );
    }
    stack.start_agent(&client);
    let agent_connected = stack.host_reachable(&client, AGENT_READY_WITHIN).await?;
    if !agent_connected {
        eprintln!(
            "warning: the agent has not connected after {} s; its log: {}",
            AGENT_READY_WITHIN.as_secs(),
            settings.log("agent").display()
        );
    }
    let token = stack.token()?;
    let text = welcome::text(&welcome::Facts {
        settings,
        token: &token,
        seconds: began.elapsed().as_secs_f64(),
        example: *seeded != Seeded::Empty,
        agent_connected,
    });
    crate::cli::screen::print(&text).map_err(|error| Interrupted::Failed(error.into()))?;
    match stack.until_told().await {
        Ok(()) | Err(Interrupted::Told) => Ok(client),
        Err(other) => Err(other),
    }
}

/// Whether it is `muster down` that ends the stack: then no container runs on.
async fn is_down(client: &Client) -> bool {
    let query = Query::new();
    let fleet = client.get::<FleetView>(&["fleet"], &query);
    match tokio::time::timeout(LAST_ANSWER_WITHIN, fleet).await {
        Ok(Ok(fleet)) => fleet.down,
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn prepare_repository(
    settings: &Settings,
    example: Option<&std::path::Path>,
) -> anyhow::Result<Seeded> {
    let example = repository::find_example(example)?;
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || {
        repository::prepare(
            &settings.repository(),
            example.as_deref(),
            &settings.registry,
            &settings.env_file(),
        )
    })
    .await?
}

/// Whether a registry answers there, also if it wants a password.
async fn answers(registry: String) -> bool {
    let Ok(http) = reqwest::Client::builder()
        .no_proxy()
        .timeout(REGISTRY_ANSWERS_WITHIN)
        .build()
    else {
        return false;
    };
    http.get(format!("http://{registry}/v2/"))
        .send()
        .await
        .is_ok()
}

fn runs_already(settings: &Settings, pid: Option<i32>) -> Failure {
    let process = pid.map_or(String::new(), |pid| format!(" (process {pid})"));
    Failure::untried(
        format!(
            "a stack runs on {} already{process}",
            settings.home.display()
        ),
        "Its Ctrl-C or `make down` ends it. A second one needs a home and a port of its own:\n\
         MUSTER_HOME=.muster-2 MUSTER_LISTEN=127.0.0.1:7500 MUSTER_CELL=second make up",
    )
}
