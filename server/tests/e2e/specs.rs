//! The specs that the tests push.

use std::fmt::Write;

/// The registry that has the example images.
pub fn registry() -> String {
    std::env::var("MUSTER_TEST_REGISTRY").unwrap_or_else(|_| "127.0.0.1:5000".to_owned())
}

/// A service of the example web server.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: &'static str,
    pub version: u32,
    pub desired: u32,
    pub max_surge: u32,
    pub min_healthy: &'static str,
    /// A change of it replaces the tasks.
    pub round: u32,
}

impl Service {
    pub fn new(name: &'static str, desired: u32) -> Self {
        Self {
            name,
            version: 1,
            desired,
            max_surge: 1,
            min_healthy: "0s",
            round: 0,
        }
    }

    pub fn file(&self) -> String {
        format!("jobs/{}.yaml", self.name)
    }

    pub fn yaml(&self) -> String {
        let Self {
            name,
            version,
            desired,
            max_surge,
            min_healthy,
            round,
        } = self;
        let registry = registry();
        format!(
            "apiVersion: muster/v1
kind: Job
name: {name}
app: example
owner: web-team@example.com
labels:
  team: web
image: {registry}/example/web:{version}
env:
  QUIET: \"1\"
  ROUND: \"{round}\"
resources:
  cpu: 0.2
  memory: 16MiB
ports:
  - name: http
    port: 8080
readiness:
  http:
    port: http
    path: /healthz
  interval: 200ms
killGrace: 2s
service:
  capacity:
    desired: {desired}
  rollout:
    maxSurge: {max_surge}
    maxUnavailable: 0
    minHealthyTime: {min_healthy}
"
        )
    }
}

/// A batch job of the example worker, of which some indexes fail.
pub fn batch(name: &str, size: u32, failing: &[u32], retries: u32) -> String {
    let mut indexes = String::new();
    for index in failing {
        let _ = write!(indexes, "{index} ");
    }
    let registry = registry();
    format!(
        "apiVersion: muster/v1
kind: Job
name: {name}
owner: data-team@example.com
image: {registry}/example/batch:1
env:
  WORK_SECONDS: \"0\"
  FAIL_INDEXES: \"{}\"
resources:
  cpu: 0.2
  memory: 16MiB
batch:
  size: {size}
  retry:
    delayed:
      delay: 200ms
      retries: {retries}
",
        indexes.trim()
    )
}

/// A service that ends with 1 after a second.
pub fn crashing(name: &str) -> String {
    let registry = registry();
    format!(
        "apiVersion: muster/v1
kind: Job
name: {name}
owner: web-team@example.com
image: {registry}/example/crash:1
resources:
  cpu: 0.2
  memory: 16MiB
service:
  capacity:
    desired: 1
  retry:
    exponentialBackoff:
      initial: 500ms
      max: 1m
"
    )
}

/// A policy that prunes at once, or not at all.
pub fn policy(prune: bool) -> String {
    format!("apiVersion: muster/v1\nkind: Policy\nname: default\nprune: {prune}\npruneGrace: 0s\n")
}
