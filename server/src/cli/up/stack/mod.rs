//! The stack's two processes, watched together.

use super::child::{self, Death, Program};
use super::repository::BRANCH;
use super::settings::Settings;
use crate::cli::client::{Client, Query};
use crate::cli::env_file;
use crate::cli::failure::Failure;
use anyhow::Context;
use muster_schemas::api::{EnrolmentToken, HostView};
use serde_json::json;
use std::ffi::OsString;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A control plane that verifies a large journal needs a while; one that is not ready then will not be.
const SERVE_READY_WITHIN: Duration = Duration::from_secs(120);
/// Looking costs next to nothing, and each look waits at most so long for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(25);
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// A control plane that dies so often before it was ever ready has a reason that a restart does not mend.
const DEATHS_BEFORE_READY: u32 = 3;
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// Why waiting for something ended before it came.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Somebody told us to end.
    Told,
    /// It will not come.
    GaveUp(Failure),
    /// Something failed.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Interrupted {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Control plane and agent.
pub(super) struct Stack {
    settings: Settings,
    told: CancellationToken,
    ending: CancellationToken,
    children: JoinSet<()>,
    deaths: mpsc::Receiver<Death>,
    death_sender: mpsc::Sender<Death>,
    /// None once the control plane was ready.
    deaths_before_ready: Option<u32>,
}

impl Stack {
    /// Nothing is started yet. `told` is cancelled when everything is to end.
    pub(super) fn new(settings: Settings, told: CancellationToken) -> Self {
        let (death_sender, deaths) = mpsc::channel(16);
        Self {
            settings,
            told,
            ending: CancellationToken::new(),
            children: JoinSet::new(),
            deaths,
            death_sender,
            deaths_before_ready: Some(0),
        }
    }

    /// Starts the control plane, waits until it is ready, and writes the env file.
    pub(super) async fn start_serve(&mut self) -> Result<Client, Interrupted> {
        let settings = self.settings.clone();
        let arguments = move || {
            let settings = settings.clone();
            let mut words: Vec<OsString> = vec![
                "serve".into(),
                "--exit-with-parent".into(),
                "--home".into(),
                settings.serve_home().into(),
                "--listen".into(),
                settings.listen.to_string().into(),
                "--agent-listen".into(),
                settings.agent_listen.to_string().into(),
                "--repo".into(),
                settings.repository().into(),
                "--branch".into(),
                BRANCH.into(),
                "--cell".into(),
                settings.cell.clone().into(),
            ];
            if let Some(notify) = settings.notify {
                words.extend(["--notify".into(), notify.into()]);
            }
            Box::pin(async move { Ok(words) }) as _
        };
        self.start("serve", Box::new(arguments));

        let anonymous = Client::new(&self.settings.url(), None)?;
        let ready = async {
            let end = Instant::now() + SERVE_READY_WITHIN;
            while !anonymous.is_ready(LOOK_TIMEOUT).await {
                // It answers, and stays as it is until somebody restores the journal.
                if let Some(why) = anonymous.why_frozen(LOOK_TIMEOUT).await {
                    eprintln!("the control plane is frozen: {why}");
                    return true;
                }
                if Instant::now() > end {
                    return false;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            true
        };
        if !self.until(ready).await? {
            let log = self.settings.log("serve");
            return Err(Interrupted::GaveUp(Failure::untried(
                format!(
                    "the control plane is not ready after {} s",
                    SERVE_READY_WITHIN.as_secs()
                ),
                format!("Its log is {}", log.display()),
            )));
        }
        self.deaths_before_ready = None;
        let token = self.token()?;
        self.write_env_file(&token)?;
        Ok(Client::new(&self.settings.url(), Some(token))?)
    }

    /// The API's token, which the control plane made at its first start.
    pub(super) fn token(&self) -> Result<String, Interrupted> {
        let path = self.settings.serve_home().join("token");
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("reading the API's token at {}", path.display()))?;
        Ok(token.trim().to_owned())
    }

    fn write_env_file(&self, token: &str) -> Result<(), Interrupted> {
        let path = self.settings.env_file();
        let repository = self.settings.repository();
        let values = [
            ("MUSTER_URL", self.settings.url()),
            ("MUSTER_TOKEN", token.to_owned()),
            ("MUSTER_REPO", repository.to_string_lossy().into_owned()),
            ("MUSTER_REGISTRY", self.settings.registry.clone()),
        ];
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        env_file::write(&path, &values).with_context(|| format!("writing {}", path.display()))?;
        Ok(())
    }

    /// Starts the agent. Without an identity it enrols, with a token made for it anew at each start.
    pub(super) fn start_agent(&mut self, client: &Client) {
        let (settings, client) = (self.settings.clone(), client.clone());
        let arguments = move || {
            let (settings, client) = (settings.clone(), client.clone());
            let words = async move {
                let mut words: Vec<OsString> = vec![
                    "agent".into(),
                    "--exit-with-parent".into(),
                    "--home".into(),
                    settings.agent_home().into(),
                ];
                // MUSTER_LISTEN may have moved the control plane since the agent enrolled.
                words.extend(["--control-plane".into(), settings.agent_url().into()]);
                if crate::cli::agent::enrolled_as(&settings.agent_home()).is_none() {
                    let token: EnrolmentToken = client
                        .post(&["enrolments"], &json!({}), Some(LOOK_TIMEOUT))
                        .await
                        .context("making an enrolment token")?;
                    words.extend([
                        "--join".into(),
                        token.token.into(),
                        settings.agent_url().into(),
                    ]);
                }
                Ok(words)
            };
            Box::pin(words) as _
        };
        self.start("agent", Box::new(arguments));
    }

    fn start(&mut self, name: &'static str, arguments: child::Arguments) {
        let program = Program {
            name,
            file: self.settings.program.clone(),
            arguments,
            log: self.settings.log(name),
            grace: GRACE,
        };
        let watching = child::watch(program, self.death_sender.clone(), self.ending.clone());
        self.children.spawn(watching);
    }

    /// Waits until the stack's own host is reachable; false if it is not in time.
    pub(super) async fn host_reachable(
        &mut self,
        client: &Client,
        within: Duration,
    ) -> Result<bool, Interrupted> {
        let (client, home) = (client.clone(), self.settings.agent_home());
        let reachable = async move {
            let end = Instant::now() + within;
            let query: Query = vec![("reachable", "true".to_owned())];
            loop {
                if let Some(own) = crate::cli::agent::enrolled_as(&home)
                    && let Ok(listed) = client.list(&["hosts"], &query, 1000).await
                    && let Ok(hosts) = listed.typed::<HostView>()
                    && hosts.iter().any(|host| host.reachable && host.id == own)
                {
                    return true;
                }
                if Instant::now() > end {
                    return false;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        self.until(reachable).await
    }

    /// Waits for something while the children are watched.
    pub(super) async fn until<T>(
        &mut self,
        what: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        tokio::pin!(what);
        loop {
            tokio::select! {
                () = self.told.cancelled() => return Err(Interrupted::Told),
                death = self.deaths.recv() => if let Some(death) = death { self.mourn(&death)? },
                value = &mut what => return Ok(value),
            }
        }
    }

    /// Stays until told to end.
    pub(super) async fn until_told(&mut self) -> Result<(), Interrupted> {
        self.until(std::future::pending()).await
    }

    fn mourn(&mut self, death: &Death) -> Result<(), Interrupted> {
        eprintln!("{} {}; its last lines:", death.name, death.how);
        for line in &death.tail {
            eprintln!("  | {line}");
        }
        if let Some(deaths) = &mut self.deaths_before_ready {
            *deaths += 1;
            if *deaths >= DEATHS_BEFORE_READY {
                return Err(Interrupted::GaveUp(Failure::untried(
                    format!("{} died {deaths} times and was never ready", death.name),
                    format!("Its log is {}", death.log.display()),
                )));
            }
        }
        eprintln!(
            "it is started again in {:.1} s (log: {})",
            death.again_in.as_secs_f64(),
            death.log.display()
        );
        Ok(())
    }

    /// Ends the processes in good order; containers go on.
    pub(super) async fn end(mut self) {
        self.ending.cancel();
        // The watchers may still have deaths to tell.
        self.deaths.close();
        while self.children.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
