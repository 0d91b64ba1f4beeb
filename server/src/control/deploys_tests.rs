//! Deploys that cannot be undone: tried for a while, and then said to stand.

use super::*;
use crate::control::{ServeInfo, run, start};
use crate::git::Remote;
use crate::journal::Journal;
use jiff::Timestamp;
use muster_core::decide::Command;
use muster_core::plan::PlanInput;
use muster_core::specs::{SpecFile, read};
use muster_schemas::ids::CommitId;
use muster_schemas::plan::Revision;
use muster_schemas::state::Actor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

const TRIES: Tries = Tries {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(20),
    gives_up: Duration::from_millis(300),
};

fn revision() -> PlanInput {
    let image = format!("registry.example.com/app@sha256:{}", "1".repeat(64));
    let text = format!(
        "apiVersion: muster/v1\nkind: Job\nname: web\nowner: a@example.com\nimage: {image}\nservice:\n  capacity:\n    desired: 1\n"
    );
    let file = SpecFile {
        path: "web.yaml".to_owned(),
        bytes: text.as_bytes().into(),
    };
    PlanInput {
        revision: Revision {
            commit: CommitId("1".repeat(40)),
            author: "Ann <ann@example.com>".to_owned(),
            subject: "web".to_owned(),
            committed_at: Timestamp::UNIX_EPOCH,
        },
        documents: read(&[file]),
        images: BTreeMap::from([(image.clone(), Ok(image))]),
        removed_by: BTreeMap::new(),
        signed: Default::default(),
    }
}

/// A control loop with the service `web`.
async fn control(home: &Path) -> ControlHandle {
    let opened = Journal::open(&home.join("journal.db"))
        .await
        .expect("a new journal");
    let info = ServeInfo {
        cell: "test".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Timestamp::now(),
        repository: "/specs.git".to_owned(),
        branch: "main".to_owned(),
    };
    let started = start(opened, info).await.expect("it starts");
    let control = started.handle();
    tokio::spawn(run(started, CancellationToken::new()));
    let revision = Input::Revision(Box::new(revision()));
    control.take(revision).await.expect("it is taken");
    control
}

async fn command(control: &ControlHandle, command: Command) {
    let actor = Actor::Person("ann".to_owned());
    control.command(command, actor).await.expect("it is taken");
}

async fn until(control: &ControlHandle, is: impl Fn(&Deploy) -> bool) -> Deploy {
    let began = Instant::now();
    loop {
        let deploy = control.read(|fleet| fleet.deploys[0].clone());
        if is(&deploy) {
            return deploy;
        }
        assert!(began.elapsed() < PATIENCE, "not in time: {deploy:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_cannot_be_undone_is_given_up_after_a_while_and_tried_again_when_asked_for() {
    let home = tempfile::tempdir().expect("a folder");
    let control = control(home.path()).await;
    let id = DeployId::from("d1");
    let spec = serde_json::from_value(serde_json::json!({
        "job": "web", "desired": 2, "deadline": "2100-01-01T00:00:00Z",
    }));
    let asked = Command::Deploy {
        deploy: id.clone(),
        spec: spec.expect("a wish"),
    };
    command(&control, asked).await;
    let committed = Input::DeployCommitted {
        deploy: id.clone(),
        commit: CommitId("2".repeat(40)),
    };
    control.take(committed).await.expect("it is taken");
    let cancel = || Command::CancelDeploy {
        deploy: id.clone(),
        reason: "it is slow".to_owned(),
    };
    command(&control, cancel()).await;

    let nowhere = Committing {
        remote: Remote {
            url: home.path().join("none.git").display().to_string(),
            branch: "main".to_owned(),
            ssh_key: None,
            mirror: PathBuf::new(),
        },
        key: None,
    };
    let shutdown = CancellationToken::new();
    let began = Instant::now();
    let following = tokio::spawn(follow_deploys(
        control.clone(),
        nowhere,
        TRIES,
        shutdown.clone(),
    ));
    let stands = until(&control, |deploy| deploy.not_taken_back.is_some()).await;
    assert!(began.elapsed() >= TRIES.gives_up, "{:?}", began.elapsed());
    let Some(TakeBackTrouble::Repository { message }) = &stands.not_taken_back else {
        panic!("{stands:?}");
    };
    assert!(message.contains("there is nothing at"), "{message}");
    // It is given up once, and left alone.
    let seq = control.read(|fleet| fleet.seq);
    tokio::time::sleep(TRIES.gives_up * 2).await;
    assert_eq!(control.read(|fleet| fleet.seq), seq);

    // Somebody asks again: it has as long as the first time.
    let again = Instant::now();
    command(&control, cancel()).await;
    assert!(until(&control, Deploy::wants_back).await.take_back);
    until(&control, |deploy| deploy.not_taken_back.is_some()).await;
    assert!(again.elapsed() >= TRIES.gives_up, "{:?}", again.elapsed());
    shutdown.cancel();
    following.await.expect("no panic");
}
