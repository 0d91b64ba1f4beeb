//! The control plane as a process: which parts there are, and how they begin and end together.

use super::canaries::follow_canaries;
use super::cell::RunningCell;
use super::commits::Committing;
use super::deploys::{Tries, follow_deploys};
use super::frozen::frozen;
use super::handle::ServeInfo;
use super::notices::Notices;
use super::{ControlHandle, Pace, follow_repository, run, start, verify_journal};
use crate::analysis::Prometheus;
use crate::api;
use crate::git::{Looks, Poller, Remote, SigningKey};
use crate::hosts::{Authority, AuthoritySettings, Hub};
use crate::journal::Journal;
use crate::notify::{self, Notifier, PULL_QUEUE, Pager, PullLines};
use anyhow::Context as _;
use jiff::Timestamp;
use muster_core::decide::Input;
use muster_core::view::journal_alert;
use muster_schemas::ids::CellName;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Readings of the repository that wait for the loop: the newest is what counts, so there is no use in a long line.
const READINGS: usize = 2;

/// What a control plane is told when it starts.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where it keeps its journal, keys and token.
    pub home: PathBuf,
    /// Where API and console listen.
    pub listen: SocketAddr,
    /// Where agents connect to.
    pub agent_listen: SocketAddr,
    /// The repository of specs.
    pub repository: String,
    /// The branch that is followed.
    pub branch: String,
    /// The private key with which an ssh repository is read.
    pub ssh_key: Option<PathBuf>,
    /// The SSH private key that signs the commits that it makes.
    pub signing_key: Option<PathBuf>,
    /// The cell's name.
    pub cell: String,
    /// How often the repository is read without being told.
    pub poll: Duration,
    /// The operator's file of who is told what, and which forges may say that the repository has moved.
    pub notify: Option<PathBuf>,
    /// Where Prometheus is, which is asked about canaries.
    pub prometheus: Option<String>,
}

/// What people have to know of an API that others than this machine reach, in a sentence.
pub fn plain_http(listen: SocketAddr) -> Option<&'static str> {
    (!listen.ip().is_loopback()).then_some(
        "API and console speak plain HTTP and listen on more than this machine: tokens and sessions can be read on the way; \
         put a proxy with TLS before them, or listen on 127.0.0.1",
    )
}

/// Runs the control plane until `shutdown`, or until one of its parts fails.
///
/// # Errors
///
/// What kept it from starting, or made it end: an address that is taken, a journal that is damaged or cannot be written.
pub async fn serve(config: ServeConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let home = &config.home;
    api::begin_metrics();
    // What people have to mend comes before anything is begun.
    let notified = match &config.notify {
        Some(path) => notify::Settings::load(path)?,
        None => notify::Settings::default(),
    };
    std::fs::create_dir_all(home)
        .with_context(|| format!("{} cannot be created", home.display()))?;
    let prometheus = config
        .prometheus
        .as_deref()
        .map(Prometheus::new)
        .transpose()
        .context("--prometheus cannot be used")?;
    if let Some(warning) = plain_http(config.listen) {
        tracing::warn!(listen = %config.listen, "{warning}");
    }
    // The addresses come first: a second control plane on the same ones is told so before it touches anything.
    let api_listener = listen(config.listen, "--listen").await?;
    let agent_listener = listen(config.agent_listen, "--agent-listen").await?;
    let token = api::auth::load_or_create_token(home).with_context(|| {
        format!(
            "the API's token in {} cannot be read or created",
            home.display()
        )
    })?;
    let signing_key = match &config.signing_key {
        Some(path) => Some(Arc::new(SigningKey::read(path)?)),
        None => None,
    };
    if let Some(key) = &signing_key {
        tracing::info!(
            key = key.public(),
            "commits that Muster makes are signed with this key"
        );
    }
    let remote = Remote {
        url: config.repository.clone(),
        branch: config.branch.clone(),
        ssh_key: config.ssh_key.clone(),
        mirror: home.join("mirror.git"),
    };
    let info = ServeInfo {
        cell: config.cell.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: Timestamp::now(),
        repository: remote.shown_url(),
        branch: config.branch.clone(),
    };
    let repository = Committing {
        remote: remote.clone(),
        key: signing_key,
    };
    let journal = home.join("journal.db");
    let opened = match Journal::open(&journal).await {
        Ok(opened) => opened,
        Err(damage) if damage.is_damage() => {
            let control = frozen(&journal, &damage, info).await?;
            let hub = hub(&config, &control)?;
            let pager = pager(&config, &control, notified, &shutdown);
            let never_read = (watch::channel(None).1, watch::channel(Looks::default()).1);
            let cell = cell(&config, control, hub.clone(), repository, never_read);
            let state = api_state(&config, cell, &token, &shutdown);
            return show(api_listener, agent_listener, hub, state, pager, shutdown).await;
        }
        Err(error) => return Err(error.into()),
    };
    let started = start(opened, info).await?;
    let control = started.handle();
    let hub = hub(&config, &control)?;

    let (readings_out, readings) = mpsc::channel(READINGS);
    let (read_at, repository_read_at) = watch::channel(None);
    let (look_out, looks) = watch::channel(Looks::default());
    let deploy_repository = repository.clone();
    let (pull_lines, pulls) = PullLines::new(&notified.forges, PULL_QUEUE);
    let hooks = api::hooks::Hooks::new(notified.hooks.clone(), config.branch.clone(), pull_lines);
    let notifier = Notifier {
        settings: notified,
        source: Arc::new(Notices {
            control: control.clone(),
            remote: remote.clone(),
        }),
        home: home.clone(),
        branch: config.branch.clone(),
        pace: notify::Pace::default(),
        bounds: notify::Bounds::default(),
        looks: notify::Looks::default(),
        pulls,
        shutdown: shutdown.clone(),
    };
    let poller = Poller {
        remote,
        followed: control.followed(),
        wake: control.refreshes(),
        interval: config.poll,
        out: readings_out,
        read_at,
        looks: look_out,
        shutdown: shutdown.clone(),
    };
    let cell = cell(
        &config,
        control.clone(),
        hub.clone(),
        repository,
        (repository_read_at, looks),
    );
    let mut state = api_state(&config, cell, &token, &shutdown);
    state.hooks = Arc::new(hooks);
    tracing::info!(
        cell = config.cell, listen = %config.listen, agents = %config.agent_listen,
        repository = control.info().repository, branch = config.branch, "the control plane leads"
    );

    // A start checks the journal from its newest snapshot on; the rest is checked while the fleet is already looked after.
    {
        let (control, shutdown) = (control.clone(), shutdown.clone());
        tokio::spawn(async move {
            shutdown.run_until_cancelled(verify_journal(&control)).await;
        });
    }

    // The loop ends last, so that what the others still say is durable; when it fails, all end.
    let last = CancellationToken::new();
    let mut writer = tokio::spawn(run(started, last.clone()));
    // Before anybody can make one.
    note_tokens(&control, &state).await;
    let mut others = tokio::task::JoinSet::new();
    others.spawn(async move {
        poller.run().await;
        anyhow::Ok(())
    });
    {
        let (control, shutdown) = (control.clone(), shutdown.clone());
        others.spawn(async move {
            follow_repository(control, readings, Pace::default(), shutdown).await;
            Ok(())
        });
    }
    {
        let (control, shutdown) = (control.clone(), shutdown.clone());
        others.spawn(async move {
            follow_deploys(control, deploy_repository, Tries::default(), shutdown).await;
            Ok(())
        });
    }
    others.spawn(async move { Ok(notifier.run().await?) });
    {
        let (control, shutdown) = (control.clone(), shutdown.clone());
        others.spawn(async move {
            follow_canaries(control, prometheus, shutdown).await;
            Ok(())
        });
    }
    others.spawn(hub.serve_on(agent_listener, shutdown.clone()));
    {
        let shutdown = shutdown.clone();
        others.spawn(async move {
            api::serve(api_listener, state, shutdown)
                .await
                .context("the API ended")
        });
    }
    let mut failure: Option<anyhow::Error> = None;
    loop {
        tokio::select! {
            ended = &mut writer => {
                shutdown.cancel();
                others.shutdown().await;
                return match ended {
                    Ok(Ok(())) => failure.map_or(Ok(()), Err),
                    Ok(Err(error)) => Err(error).context("the control loop ended; containers run on"),
                    Err(panic) => Err(panic).context("the control loop ended by a bug; containers run on"),
                };
            }
            Some(ended) = others.join_next() => {
                let error = match ended {
                    Ok(Ok(())) if shutdown.is_cancelled() => None,
                    Ok(Ok(())) => Some(anyhow::anyhow!("a part of the control plane ended by itself")),
                    Ok(Err(error)) => Some(error),
                    Err(panic) => Some(anyhow::Error::new(panic).context("a part of the control plane ended by a bug")),
                };
                if let Some(error) = error {
                    tracing::error!(error = format!("{error:#}"), "ending; containers run on");
                    failure.get_or_insert(error);
                    shutdown.cancel();
                }
                if others.is_empty() {
                    last.cancel();
                }
            }
        }
    }
}

/// Has a record made of the tokens that came or went without one.
async fn note_tokens(control: &ControlHandle, state: &api::state::ApiState) {
    let Some(tokens) = state.tokens.made_at() else {
        return;
    };
    // A loop that has ended is told by the one who waits for it.
    if let Err(error) = control.take(Input::TokensFound { tokens }).await {
        tracing::warn!(%error, "which tokens there are was not noted");
    }
}

/// The agents' side, with the cell's authority.
fn hub(config: &ServeConfig, control: &ControlHandle) -> anyhow::Result<Hub> {
    let mut names = AuthoritySettings::default().names;
    names.push(config.agent_listen.ip().to_string());
    let settings = AuthoritySettings {
        names,
        ..AuthoritySettings::default()
    };
    let authority = Authority::open(&config.home.join("pki"), settings)?;
    Ok(Hub::new(
        Arc::new(control.clone()),
        authority,
        CellName::from(config.cell.as_str()),
    ))
}

fn cell(
    config: &ServeConfig,
    control: ControlHandle,
    hub: Hub,
    repository: Committing,
    (repository_read_at, looks): (watch::Receiver<Option<Timestamp>>, watch::Receiver<Looks>),
) -> RunningCell {
    RunningCell {
        control,
        hub,
        repository,
        agent_url: format!("https://{}", config.agent_listen),
        repository_read_at,
        looks,
    }
}

fn api_state(
    config: &ServeConfig,
    cell: RunningCell,
    token: &str,
    shutdown: &CancellationToken,
) -> api::state::ApiState {
    let tokens = api::auth::Tokens::kept_in(&config.home, token);
    let sessions = api::auth::Sessions::kept_in(&config.home, &tokens);
    let mut state = api::state::ApiState::new(Arc::new(cell), tokens, shutdown.clone());
    state.sessions = Arc::new(sessions);
    state
}

/// What tells others that the journal is damaged.
fn pager(
    config: &ServeConfig,
    control: &ControlHandle,
    settings: notify::Settings,
    shutdown: &CancellationToken,
) -> Pager {
    let trouble = control.journal_trouble().unwrap_or_default();
    Pager {
        settings,
        cell: config.cell.clone(),
        alert: journal_alert(&trouble),
        seq: control.read(|fleet| fleet.seq),
        started_at: control.info().started_at,
        home: config.home.clone(),
        pace: notify::Pace::default(),
        bounds: notify::Bounds::default(),
        looks: notify::Looks::default(),
        shutdown: shutdown.clone(),
    }
}

/// Answers reads, tells agents why they get no orders, and people that it is so, until `shutdown`.
async fn show(
    api_listener: TcpListener,
    agent_listener: TcpListener,
    hub: Hub,
    state: api::state::ApiState,
    pager: Pager,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let agents = hub.serve_on(agent_listener, shutdown.clone());
    let api = async {
        api::serve(api_listener, state, shutdown.clone())
            .await
            .context("the API ended")
    };
    let paged = async {
        pager.run().await;
        anyhow::Ok(())
    };
    tokio::try_join!(agents, api, paged).map(drop)
}

async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{address} cannot be listened on; choose another address with {option}")
    })
}
