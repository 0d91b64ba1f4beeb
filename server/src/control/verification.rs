//! Checking all of the journal while the control plane is at work.
//!
//! A start reads the journal from its newest snapshot on and would not see damage before it. The whole check takes longer than
//! anybody wants to wait for a start, so it comes after. The fleet rests on the snapshot and the records after it, which are good;
//! but history is not what it was, and a disk, or a person, that damaged one record may damage more. So the cell is frozen until
//! somebody has looked: nothing automated stops anything, what dies is replaced, and who goes on without that history resumes it.

use super::handle::ControlHandle;
use jiff::Timestamp;
use muster_core::decide::Command;
use muster_schemas::plan::FreezeScope;
use muster_schemas::state::Actor;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::Instant;

/// Checks every record and every snapshot once; says what is wrong in the log, in the health and as an alert.
pub async fn verify_journal(control: &ControlHandle) {
    let started = Instant::now();
    let mut is_damaged = false;
    let trouble = match control.journal().verify().await {
        Ok(verified) => {
            tracing::info!(
                records = verified.records,
                chain = verified.chain,
                elapsed_secs = started.elapsed().as_secs_f64(),
                "the whole journal is as it was written"
            );
            None
        }
        Err(error) => {
            // A disk that does not answer for a moment is told as well, and is no damage.
            is_damaged = error.is_damage();
            let error = with_sources(&error);
            tracing::error!(error, "the check of the whole journal failed");
            Some(format!("the check of the whole journal failed: {error}"))
        }
    };
    *control
        .shared
        .journal_trouble
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = trouble.clone();
    if let Some(trouble) = trouble.filter(|_| is_damaged) {
        freeze(control, trouble).await;
    }
}

/// Freezes the cell, unless somebody has done so already until they say otherwise.
async fn freeze(control: &ControlHandle, trouble: String) {
    let scope = FreezeScope::Cell;
    let is_frozen = control.read(|fleet| {
        let freeze = fleet.freeze(&scope, Timestamp::now());
        freeze.is_some_and(|freeze| freeze.until.is_none())
    });
    if is_frozen {
        return;
    }
    let command = Command::Freeze {
        scope,
        reason: format!("{trouble}; restore the journal, or resume to go on without what is lost"),
        until: None,
    };
    let actor = Actor::Automation("journal".to_owned());
    if let Err(error) = control.command(command, actor).await {
        tracing::error!(%error, "the cell could not be frozen");
    }
}

fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::state::Cell as _;
    use crate::control::{Committing, RunningCell, ServeInfo, run, start};
    use crate::git::{Looks, Remote};
    use crate::hosts::{Authority, AuthoritySettings, Hub};
    use crate::journal::Journal;
    use muster_core::view::fleet_view;
    use muster_schemas::ids::CellName;
    use std::path::Path;
    use std::sync::Arc;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    async fn started(home: &Path) -> crate::control::Started {
        let info = ServeInfo {
            cell: "test".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: Timestamp::now(),
            repository: "/specs.git".to_owned(),
            branch: "main".to_owned(),
        };
        let opened = Journal::open(&home.join("journal.db")).await;
        start(opened.expect("it opens"), info)
            .await
            .expect("it starts")
    }

    fn cell(home: &Path, control: &ControlHandle) -> RunningCell {
        let authority = Authority::open(&home.join("pki"), AuthoritySettings::default());
        let hub = Hub::new(
            Arc::new(control.clone()),
            authority.expect("an authority"),
            CellName::from("test"),
        );
        RunningCell {
            control: control.clone(),
            hub,
            repository: Committing {
                remote: Remote {
                    url: home.join("specs.git").display().to_string(),
                    branch: "main".to_owned(),
                    ssh_key: None,
                    mirror: home.join("mirror.git"),
                },
                key: None,
            },
            agent_url: "https://127.0.0.1:7401".to_owned(),
            repository_read_at: watch::channel(None).1,
            looks: watch::channel(Looks::default()).1,
        }
    }

    fn alert_codes(cell: &RunningCell) -> Vec<String> {
        let serving = cell.info();
        let view = cell
            .control
            .read(|fleet| fleet_view(fleet, &serving, Timestamp::now()));
        view.alerts.into_iter().map(|alert| alert.code).collect()
    }

    #[tokio::test]
    async fn damage_before_the_snapshot_is_told_and_freezes_the_cell() {
        let home = tempfile::tempdir().expect("a folder");
        {
            let started = started(home.path()).await;
            let control = started.handle();
            let shutdown = CancellationToken::new();
            let running = tokio::spawn(run(started, shutdown.clone()));
            let reason = "find me here".to_owned();
            control
                .command(
                    Command::TakeDown { reason },
                    Actor::Person("ann".to_owned()),
                )
                .await
                .expect("it is taken");
            verify_journal(&control).await;
            let cell = cell(home.path(), &control);
            assert_eq!(cell.health().journal, None);
            assert_eq!(alert_codes(&cell), [""; 0]);
            // The last thing that the loop does is a snapshot: the next start reads nothing from before it.
            shutdown.cancel();
            running.await.expect("no panic").expect("a good end");
            control.journal().clone().close().await;
        }
        let path = home.path().join("journal.db");
        let mut bytes = std::fs::read(&path).expect("it reads");
        let wanted = b"find me here";
        let place = bytes
            .windows(wanted.len())
            .position(|window| window == wanted)
            .expect("the record is in the file");
        bytes[place..place + 4].copy_from_slice(b"lose");
        std::fs::write(&path, bytes).expect("it writes");

        let started = started(home.path()).await;
        let control = started.handle();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(started, shutdown.clone()));
        verify_journal(&control).await;
        let cell = cell(home.path(), &control);
        let trouble = cell.health().journal.expect("it is told");
        assert!(trouble.contains("record 2"), "{trouble}");
        assert_eq!(alert_codes(&cell)[0], "journal-damaged");
        let frozen = |control: &ControlHandle| {
            control.read(|fleet| {
                let freeze = fleet.freeze(&FreezeScope::Cell, Timestamp::now());
                freeze.map(|freeze| (freeze.by.clone(), freeze.reason.clone()))
            })
        };
        let (by, why) = frozen(&control).expect("it is frozen");
        assert!(
            by.contains("journal") && why.contains("record 2"),
            "{by}: {why}"
        );
        // The loop goes on: what it rests on is good, and a person may go on without what is lost.
        let resume = Command::Resume {
            scope: FreezeScope::Cell,
            reason: "that was long ago".to_owned(),
        };
        let ann = Actor::Person("ann".to_owned());
        control.command(resume, ann).await.expect("it is taken");
        assert_eq!(frozen(&control), None);
        shutdown.cancel();
        running.await.expect("no panic").expect("a good end");
    }
}
