//! The public API, as any client sees it.

use muster_schemas::api::{
    EventView, FleetView, HostView, JobView, List, PlanView, TaskDetail, TaskView,
};
use muster_schemas::state::TaskState;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A client; cheap to clone, and used from threads.
#[derive(Clone)]
pub struct Api {
    runtime: Arc<tokio::runtime::Runtime>,
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    /// A client with the token that the control plane made in its home.
    pub fn new(url: &str, home: &Path) -> Result<Self, String> {
        let token = std::fs::read_to_string(home.join("token")).map_err(|e| e.to_string())?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            runtime: Arc::new(tokio::runtime::Runtime::new().unwrap()),
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()
                .unwrap(),
            url: url.to_owned(),
            token: token.trim().to_owned(),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    fn ask(&self, method: Method, path: &str, body: Option<&str>) -> Result<String, String> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|e| e.to_string())?;
            let status = answer.status();
            let text = answer.text().await.map_err(|e| e.to_string())?;
            if status.is_success() {
                Ok(text)
            } else {
                Err(format!("{path}: {status}: {text}"))
            }
        })
    }

    /// What any address of the API answers: status, body, and where it points to.
    pub fn raw(
        &self,
        method: Method,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> (StatusCode, serde_json::Value, Option<String>) {
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let location = answer.headers().get("location");
            let location = location.map(|to| to.to_str().unwrap().to_owned());
            let text = answer.text().await.unwrap();
            (
                status,
                serde_json::from_str(&text).unwrap_or_default(),
                location,
            )
        })
    }

    pub fn text(&self, path: &str) -> Result<String, String> {
        self.ask(Method::GET, path, None)
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let text = self.text(&format!("/api/v1{path}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &str) -> Result<T, String> {
        let text = self.ask(Method::POST, &format!("/api/v1{path}"), Some(body))?;
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
    }

    pub fn fleet(&self) -> Result<FleetView, String> {
        self.get("/fleet")
    }

    pub fn job(&self, job: &str) -> Result<JobView, String> {
        self.get(&format!("/jobs/{job}"))
    }

    pub fn hosts(&self) -> Result<Vec<HostView>, String> {
        Ok(self.get::<List<HostView>>("/hosts")?.items)
    }

    pub fn plans(&self) -> Result<Vec<PlanView>, String> {
        Ok(self.get::<List<PlanView>>("/plans")?.items)
    }

    /// The tasks of a job that are not finished, by index.
    pub fn tasks(&self, job: &str) -> Result<Vec<TaskView>, String> {
        let list: List<TaskView> = self.get(&format!("/tasks?job={job}&limit=1000"))?;
        let mut tasks = list.items;
        tasks.retain(|task| task.state != TaskState::Finished);
        tasks.sort_by_key(|task| task.index);
        Ok(tasks)
    }

    pub fn task(&self, task: &str) -> Result<TaskDetail, String> {
        self.get(&format!("/tasks/{task}"))
    }

    /// All events that match, oldest first; `filter` is such as `kind=task_finished&job=web`.
    pub fn events(&self, filter: &str) -> Result<Vec<EventView>, String> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let page: List<EventView> =
                self.get(&format!("/events?after={after}&limit=1000&{filter}"))?;
            let Some(last) = page.items.last() else {
                return Ok(events);
            };
            after = last.seq;
            events.extend(page.items);
        }
    }
}
