//! The whole way, by the real binary: a signed push wakes the reading, the forge is told how the commit stands, and a pull
//! request gets its plan. The repository is read by itself once an hour only, so what is read within a test was woken.

use crate::plane::free_address;
use crate::rig::{eventually, json, requests};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json as value};
use sha2::Sha256;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use wiremock::matchers::{header, method, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

const SECRET: &[u8] = b"It's a Secret to Everybody";

struct Serve {
    home: TempDir,
    url: String,
    child: Child,
    http: reqwest::Client,
}

impl Serve {
    fn start(file: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = tempfile::tempdir().expect("a folder");
        let in_home = |name: &str| home.path().join(name);
        std::fs::write(in_home("notify.yaml"), file).expect("the file");
        for (name, text) in [
            ("hook.secret", "It's a Secret to Everybody\n"),
            ("forge.token", "a token\n"),
        ] {
            std::fs::write(in_home(name), text).expect("a secret");
            std::fs::set_permissions(in_home(name), std::fs::Permissions::from_mode(0o600))
                .expect("its mode");
        }
        git(
            home.path(),
            &["init", "-q", "--bare", "-b", "main", "repo.git"],
        );
        git(home.path(), &["clone", "-q", "repo.git", "clone"]);
        let (listen, agents) = (free_address().to_string(), free_address().to_string());
        let log = std::fs::File::create(in_home("serve.log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args([
                "serve", "--cell", "test", "--poll", "1h", "--repo", "repo.git",
            ])
            .args(["--home", "serve", "--notify", "notify.yaml"])
            .args(["--listen", &listen, "--agent-listen", &agents])
            .current_dir(home.path())
            .env_remove("MUSTER_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("muster starts");
        Self {
            url: format!("http://{listen}"),
            child,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            home,
        }
    }

    fn clone(&self) -> PathBuf {
        self.home.path().join("clone")
    }

    /// Commits the document of a job that has no tasks, and pushes it to a reference.
    fn push(&self, name: &str, to: &str) -> String {
        let image = format!("registry.example.com/web@sha256:{}", "ab".repeat(32));
        let text = format!(
            "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: ann@example.com\nimage: {image}\nservice:\n  capacity:\n    desired: 0\n"
        );
        std::fs::write(self.clone().join(format!("{name}.yaml")), text).expect("the document");
        git(&self.clone(), &["add", "--all"]);
        git(
            &self.clone(),
            &["commit", "-q", "-m", &format!("Add {name}")],
        );
        git(
            &self.clone(),
            &["push", "-q", "origin", &format!("HEAD:{to}")],
        );
        git(&self.clone(), &["rev-parse", "HEAD"])
    }

    async fn fleet(&self) -> Option<Value> {
        let token = std::fs::read_to_string(self.home.path().join("serve/token")).ok()?;
        let request = self.http.get(format!("{}/api/v1/fleet", self.url));
        let answer = request.bearer_auth(token.trim()).send().await.ok()?;
        answer.json().await.ok()
    }

    async fn read_at(&self) -> String {
        let fleet = self.fleet().await.expect("the fleet");
        fleet["repository_read_at"]
            .as_str()
            .expect("a time")
            .to_owned()
    }

    /// A delivery of GitHub, as it makes one: no token, the signature over the body.
    async fn deliver(&self, event: &str, id: &str, body: &Value, secret: &[u8]) -> (u16, Value) {
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let answer = self
            .http
            .post(format!("{}/api/v1/hooks/github", self.url))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", format!("sha256={signature}"))
            .body(body)
            .send()
            .await
            .expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("serve.log")).unwrap_or_default()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the control plane's log:\n{}", self.log());
        }
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann Author")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Ann Author")
        .env("GIT_COMMITTER_EMAIL", "ann@example.com")
        .output()
        .expect("these tests need git");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn github() -> MockServer {
    let server = MockServer::start().await;
    let take = |id: u64| ResponseTemplate::new(201).set_body_json(value!({"id": id}));
    for what in [
        "^/repos/example/fleet/statuses/",
        "^/repos/example/fleet/issues/7/comments$",
    ] {
        Mock::given(method("POST"))
            .and(path_regex(what))
            .and(header("authorization", "Bearer a token"))
            .respond_with(take(41))
            .mount(&server)
            .await;
    }
    server
}

/// The last state that a commit was given, with its description.
async fn state_of(forge: &MockServer, commit: &str) -> Option<(String, String)> {
    let requests = requests(forge).await;
    let last = requests
        .iter()
        .rfind(|request| request.url.path().ends_with(commit))?;
    let body = json(last);
    let text = |field: &str| body[field].as_str().expect("a text").to_owned();
    Some((text("state"), text("description")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_push_is_read_at_once_and_its_commit_told_and_a_forged_one_is_neither() {
    let forge = github().await;
    let serve = Serve::start(&format!(
        r#"
consoleUrl: https://muster.example.com
hooks:
  github:
    secretFile: hook.secret
forges:
  - name: github
    kind: github
    api: {}
    repository: example/fleet
    tokenFile: forge.token
    pullRequests: true
"#,
        forge.uri()
    ));
    let first = serve.push("web", "refs/heads/main");
    // It may have begun before the push: whether it saw it, or the push below has to wake it, is one.
    eventually("the control plane answers", async || {
        serve.fleet().await.is_some()
    })
    .await;
    let pushed = |id: &str| value!({"ref": "refs/heads/main", "after": id});
    let (status, answer) = serve.deliver("push", "1", &pushed(&first), SECRET).await;
    assert_eq!(
        (status, answer["message"].as_str()),
        (202, Some("the repository is being read"))
    );
    eventually("the commit is a success", async || {
        state_of(&forge, &first)
            .await
            .is_some_and(|(state, _)| state == "success")
    })
    .await;
    assert_eq!(
        state_of(&forge, &first).await.expect("a state").1,
        "applied; 1 job is as it asks"
    );

    // Who does not know the secret has nothing read.
    let second = serve.push("other", "refs/heads/main");
    let read_at = serve.read_at().await;
    let (status, answer) = serve
        .deliver("push", "2", &pushed(&second), b"a guess")
        .await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (401, Some("unproven-delivery"))
    );
    // Neither has who repeats what was sent before, nor a push to another branch.
    let (status, _) = serve.deliver("push", "1", &pushed(&first), SECRET).await;
    assert_eq!(status, 202);
    let elsewhere = value!({"ref": "refs/heads/feature"});
    assert_eq!(serve.deliver("push", "3", &elsewhere, SECRET).await.0, 202);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(serve.read_at().await, read_at);
    assert_eq!(state_of(&forge, &second).await, None);
    let (status, _) = serve.deliver("push", "4", &pushed(&second), SECRET).await;
    assert_eq!(status, 202);
    eventually("the second commit is a success", async || {
        state_of(&forge, &second)
            .await
            .is_some_and(|(state, _)| state == "success")
    })
    .await;

    // A document that does not hold is told beside its commit.
    std::fs::write(
        serve.clone().join("broken.yaml"),
        "apiVersion: muster/v1\nkind: Job\nname: broken\nimge: x\n",
    )
    .unwrap();
    let third = serve.push("third", "refs/heads/main");
    serve.deliver("push", "5", &pushed(&third), SECRET).await;
    eventually("the third commit is a failure", async || {
        state_of(&forge, &third)
            .await
            .is_some_and(|(state, text)| state == "failure" && text.contains("broken.yaml"))
    })
    .await;

    // A pull request is read where the forge keeps it, planned, and not followed.
    serve.push("proposed", "refs/pull/7/head");
    let pull = value!({
        "action": "opened", "repository": {"full_name": "example/fleet"},
        "pull_request": {
            "number": 7, "base": {"ref": "main"},
            "head": {"ref": "proposal", "repo": {"full_name": "example/fleet"}},
        },
    });
    let (status, answer) = serve.deliver("pull_request", "6", &pull, SECRET).await;
    assert_eq!(
        (status, answer["message"].as_str()),
        (202, Some("pull request 7 is being planned"))
    );
    let comment = async || {
        let requests = requests(&forge).await;
        let comment = requests
            .iter()
            .find(|request| request.url.path().ends_with("/7/comments"));
        comment.map(|comment| json(comment)["body"].as_str().expect("a text").to_owned())
    };
    eventually("there is a comment", async || comment().await.is_some()).await;
    let comment = comment().await.expect("a comment");
    assert!(comment.contains("Add proposed"), "{comment}");
    assert!(comment.contains("### create `proposed`"), "{comment}");
    let fleet = serve.fleet().await.expect("the fleet");
    assert_eq!(fleet["revision"]["commit"], third, "{fleet:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_hold_is_told_before_anything_begins() {
    let mut serve = Serve::start(
        "slack:\n  - name: chat\n    url: http://hooks.example.com/services/s3cret\n    events: [plan_hold]\n",
    );
    let status = serve.child.wait().expect("it ends");
    assert!(!status.success());
    let log = serve.log();
    for words in [
        "notify.yaml cannot be followed:",
        "slack[0].url: a secret goes there, so it has to begin with https://",
        "slack[0].events: there is no kind of event `plan_hold`; write one of ",
    ] {
        assert!(log.contains(words), "{words} is not in\n{log}");
    }
    assert!(!log.contains("s3cret"), "{log}");
    assert!(!serve.home.path().join("serve").exists());
}
