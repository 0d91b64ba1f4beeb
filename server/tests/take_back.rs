//! Deploys that are taken back, by a whole control plane on a real repository: what a deploy changed is undone, and nothing else.

mod git_repo;
mod plane;

use git_repo::Repo;
use plane::Plane;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// By its digest, so that no registry is asked.
fn image(number: u32) -> String {
    format!("registry.example.com/app@sha256:{number:064x}")
}

struct Town {
    repo: Repo,
    bare: String,
    plane: Plane,
    _home: TempDir,
}

impl Town {
    async fn new() -> Self {
        let repo = Repo::new();
        let text = format!(
            "apiVersion: muster/v1\nkind: Job\nname: web\nowner: team@example.com\nimage: {}\nservice:\n  capacity:\n    desired: 1\n",
            image(1)
        );
        repo.write("web.yaml", text.as_bytes());
        repo.commit("one task");
        let bare = repo.clone_bare();
        let home = tempfile::tempdir().expect("a folder");
        let plane = Plane::start(plane::config(&home.path().join("control"), &bare)).await;
        plane
            .until("it is read", |fleet| !fleet["revision"].is_null())
            .await;
        Self {
            repo,
            bare,
            plane,
            _home: home,
        }
    }

    /// The document as the branch has it.
    fn text(&self) -> String {
        self.repo.git(&["fetch", "-q", &self.bare, "main"]);
        self.repo.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
        std::fs::read_to_string(self.repo.path().join("web.yaml")).expect("the document")
    }

    /// Somebody changes the document by a commit of their own.
    fn edit(&self, from: &str, to: &str) -> String {
        let text = self.text();
        assert!(text.contains(from), "{text}");
        self.repo
            .write("web.yaml", text.replace(from, to).as_bytes());
        let commit = self.repo.commit("by hand");
        self.repo.git(&["push", "-q", &self.bare, "main"]);
        commit
    }

    async fn until(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let deploy = self.plane.get(&format!("/api/v1/deploys/{id}")).await;
            if is(&deploy) {
                return deploy;
            }
            assert!(began.elapsed() < PATIENCE, "{deploy:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn deploy(&self, id: &str, mut wish: Value) -> Value {
        if wish["job"].is_null() {
            wish["job"] = json!("web");
        }
        let (status, answer) = self
            .plane
            .post(&format!("/api/v1/deploys/{id}"), wish)
            .await;
        assert!(status.is_success(), "{answer}");
        self.until(id, |deploy| !deploy["commit"].is_null()).await
    }

    async fn take_back(&self, id: &str) -> Value {
        let path = format!("/api/v1/deploys/{id}/cancel");
        let (status, answer) = self.plane.post(&path, json!({})).await;
        assert!(status.is_success(), "{answer}");
        self.until(id, |deploy| !deploy["taken_back"].is_null())
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_before_does_not_come_back_and_what_others_wrote_stays() {
    let town = Town::new().await;
    let wish = json!({"image": image(2), "env": {"MODE": "new"}});
    town.deploy("d1", wish).await;
    town.deploy("d2", json!({"image": image(3), "desired": 4}))
        .await;
    town.edit("name: web\n", "name: web\n# looked at by Ann\n");

    // Of the first, the image is not what the job asks for any more; its variable is.
    town.take_back("d1").await;
    let text = town.text();
    assert!(text.contains(&image(3)) && !text.contains("MODE"), "{text}");
    // The second took the place of the first, which is not to come back.
    town.take_back("d2").await;
    let text = town.text();
    assert_eq!(
        text,
        format!(
            "apiVersion: muster/v1\nkind: Job\nname: web\n# looked at by Ann\nowner: team@example.com\nimage: {}\nservice:\n  capacity:\n    desired: 1\n",
            image(1)
        )
    );

    // The other way round the first one stands until it is taken back itself.
    town.deploy("d3", json!({"image": image(4)})).await;
    town.deploy("d4", json!({"image": image(5)})).await;
    town.take_back("d4").await;
    assert!(town.text().contains(&image(4)));
    town.take_back("d3").await;
    assert!(town.text().contains(&image(1)));
    town.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_changed_nothing_undoes_nobodys_commit() {
    let town = Town::new().await;
    let theirs = town.edit("desired: 1", "desired: 5");
    let deploy = town.deploy("d1", json!({"desired": 5})).await;
    assert_eq!(deploy["commit"], theirs, "there was nothing to commit");
    let taken_back = town.take_back("d1").await;
    assert_eq!(taken_back["taken_back"], theirs);
    assert!(town.text().contains("desired: 5"));
    assert_eq!(town.repo.git(&["rev-parse", "HEAD"]), theirs);
    town.plane.stop().await;
}

/// What stands in a document that somebody broke meanwhile is not undone by their commit: it is once the document can be read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_does_not_hold_keeps_its_deploy_from_being_undone_until_it_does() {
    let town = Town::new().await;
    town.deploy("d1", json!({"env": {"MODE": "new"}})).await;
    let theirs = town.edit("owner:", "ownr:");
    town.plane
        .until("it is read", |fleet| fleet["revision"]["commit"] == theirs)
        .await;
    let path = "/api/v1/deploys/d1/cancel";
    let (status, answer) = town.plane.post(path, json!({})).await;
    assert!(status.is_success(), "{answer}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let deploy = town.plane.get("/api/v1/deploys/d1").await;
    assert_eq!(deploy["taken_back"], Value::Null, "{deploy:#}");
    town.edit("ownr:", "owner:");
    let deploy = town
        .until("d1", |deploy| !deploy["taken_back"].is_null())
        .await;
    assert_ne!(deploy["taken_back"], theirs);
    assert!(!town.text().contains("MODE"), "{}", town.text());
    town.plane.stop().await;
}

/// Any other text would begin all of the batch's work once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_run_of_a_batch_is_not_followed_by_another_one() {
    let town = Town::new().await;
    let batch = format!(
        "apiVersion: muster/v1\nkind: Job\nname: sum\nowner: team@example.com\nimage: {}\nbatch:\n  size: 2\n  run: first\n",
        image(1)
    );
    town.repo.write("sum.yaml", batch.as_bytes());
    let theirs = town.repo.commit("a batch");
    town.repo.git(&["push", "-q", &town.bare, "main"]);
    town.plane
        .until("it is read", |fleet| fleet["revision"]["commit"] == theirs)
        .await;
    let wish = json!({"job": "sum", "run": "second", "env": {"MODE": "new"}});
    town.deploy("d1", wish).await;
    town.take_back("d1").await;
    town.text();
    let sum = std::fs::read_to_string(town.repo.path().join("sum.yaml")).expect("the document");
    assert!(
        sum.contains("run: second") && !sum.contains("MODE"),
        "{sum}"
    );
    town.plane.stop().await;
}
