//! A whole control plane in this process, on a real repository and a real journal, and what its API answers.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../ports/mod.rs"]
mod ports;

use muster::control::{ServeConfig, serve};
pub use ports::free_address;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Plane {
    pub config: ServeConfig,
    client: reqwest::Client,
    token: String,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

/// The settings of a control plane on a repository, on addresses that are free.
pub fn config(home: &Path, repository: &str) -> ServeConfig {
    ServeConfig {
        home: home.to_owned(),
        listen: free_address(),
        agent_listen: free_address(),
        repository: repository.to_owned(),
        branch: "main".to_owned(),
        ssh_key: None,
        signing_key: None,
        notify: None,
        prometheus: None,
        cell: "test".to_owned(),
        poll: Duration::from_millis(200),
    }
}

impl Plane {
    /// Starts it and waits until it answers.
    pub async fn start(config: ServeConfig) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shutdown = CancellationToken::new();
        let mut running = tokio::spawn(serve(config.clone(), shutdown.clone()));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        let began = Instant::now();
        loop {
            if running.is_finished() {
                panic!("it has ended: {:?}", (&mut running).await);
            }
            let answer = client
                .get(format!("http://{}/healthz", config.listen))
                .send()
                .await;
            if answer.is_ok() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "it does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let token = std::fs::read_to_string(config.home.join("token")).expect("a token");
        Self {
            config,
            client,
            token: token.trim().to_owned(),
            shutdown,
            running,
        }
    }

    /// What the API answers.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.config.listen);
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("an answer's text");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, body)
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert!(status.is_success(), "{path}: {status}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn fleet(&self) -> Value {
        self.get("/api/v1/fleet").await
    }

    /// Waits until the fleet is as it should be.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let fleet = self.fleet().await;
            if is_so(&fleet) {
                return fleet;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {fleet:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it as a SIGTERM does.
    pub async fn stop(self) -> ServeConfig {
        self.shutdown.cancel();
        self.running
            .await
            .expect("no panic")
            .expect("it ends in good order");
        self.config
    }
}

/// The codes of the alerts that page.
pub fn pages(fleet: &Value) -> Vec<&str> {
    let alerts = fleet["alerts"].as_array().expect("alerts");
    alerts
        .iter()
        .filter(|alert| alert["severity"] == "page")
        .filter_map(|alert| alert["code"].as_str())
        .collect()
}

/// The message of an alert.
pub fn alert<'f>(fleet: &'f Value, code: &str) -> &'f str {
    let alerts = fleet["alerts"].as_array().expect("alerts");
    alerts
        .iter()
        .find(|alert| alert["code"] == code)
        .and_then(|alert| alert["message"].as_str())
        .unwrap_or_else(|| panic!("there is no alert {code}: {fleet:#}"))
}

/// A file of the control plane's home.
pub fn in_home(config: &ServeConfig, name: &str) -> PathBuf {
    config.home.join(name)
}
