//! The past of a control plane that ran, was ended and started again.

use super::*;
use crate::control::{ControlHandle, ServeInfo, run, start};
use jiff::{SignedDuration, Timestamp};
use muster_core::decide::{Command, Input};
use muster_schemas::event::Event;
use muster_schemas::ids::TaskId;
use muster_schemas::plan::FreezeScope;
use muster_schemas::state::Actor;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Runs a control plane for as long as `work` takes. Its last deed is a snapshot.
async fn serve<R>(home: &Path, work: impl AsyncFnOnce(&ControlHandle) -> R) -> R {
    let opened = Journal::open(&home.join("journal.db")).await;
    let info = ServeInfo {
        cell: "test".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Timestamp::now(),
        repository: "/specs.git".to_owned(),
        branch: "main".to_owned(),
    };
    let started = start(opened.expect("it opens"), info).await;
    let started = started.expect("it starts");
    let control = started.handle();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(started, shutdown.clone()));
    let done = work(&control).await;
    shutdown.cancel();
    running.await.expect("no panic").expect("a good end");
    control.journal().clone().close().await;
    done
}

async fn freeze(control: &ControlHandle, reason: &str) {
    let scope = FreezeScope::Cell;
    let (reason, until) = (reason.to_owned(), None);
    let command = Command::Freeze {
        scope,
        reason,
        until,
    };
    let by = Actor::Person("ann".to_owned());
    control.command(command, by).await.expect("it is taken");
}

/// A control plane three times, with a snapshot after each; the fleets that it showed.
async fn story(home: &Path) -> Vec<Fleet> {
    let mut shown = Vec::new();
    for round in 0..3 {
        let part = serve(home, async |control| {
            let mut shown = vec![control.read(Clone::clone)];
            for host in 0..4 {
                let name = format!("host-{round}-{host}");
                let enrolled = control.take(Input::Enrol { name }).await;
                enrolled.expect("it is taken");
                freeze(control, &format!("{round} {host}")).await;
                shown.push(control.read(Clone::clone));
            }
            shown
        });
        shown.extend(part.await);
    }
    shown
}

#[tokio::test]
async fn every_record_folds_to_the_fleet_that_was_shown_after_it() {
    let home = tempfile::tempdir().expect("a folder");
    let shown = story(home.path()).await;
    serve(home.path(), async |control| {
        assert_eq!(
            control
                .journal()
                .snapshots()
                .await
                .expect("they are read")
                .len(),
            3
        );
        // Late ones first, so that folds begin with snapshots; then early ones, which must not begin with what is kept.
        let orders: [Vec<&Fleet>; 2] = [shown.iter().collect(), shown.iter().rev().collect()];
        for order in orders {
            let past = Past::new(control.journal().clone());
            for fleet in order {
                let found = past
                    .fleet(Moment::Seq(fleet.seq))
                    .await
                    .expect("it is there");
                assert_eq!(*found.fleet, *fleet);
                assert_eq!(found.as_of.seq, fleet.seq);
                let again = past
                    .fleet(Moment::Seq(fleet.seq))
                    .await
                    .expect("it is kept");
                assert!(
                    Arc::ptr_eq(&again.fleet, &found.fleet),
                    "it is not folded twice"
                );
            }
            assert_eq!(past.lock().len(), KEPT);
        }
    })
    .await;
}

#[tokio::test]
async fn a_time_is_the_last_record_at_or_before_it() {
    let home = tempfile::tempdir().expect("a folder");
    story(home.path()).await;
    serve(home.path(), async |control| {
        let past = control.past();
        let journal = control.journal();
        let (first, last) = past
            .reach()
            .await
            .expect("it is read")
            .expect("there are records");
        assert_eq!(first.seq, 1);
        for seq in 1..=last.seq {
            let place = journal
                .place_of(seq)
                .await
                .expect("it is read")
                .expect("it is there");
            let found = past.as_of(Moment::At(place.at)).await.expect("it is there");
            let at = journal
                .place_of(found.seq)
                .await
                .expect("it is read")
                .expect("it is there")
                .at;
            assert_eq!((at, found.at), (place.at, place.at), "record {seq}");
            let next = journal.place_of(found.seq + 1).await.expect("it is read");
            assert!(next.is_none_or(|next| next.at > place.at), "record {seq}");
        }
        let later = last.at + SignedDuration::from_hours(1);
        let as_of = past.as_of(Moment::At(later)).await.expect("it is there");
        assert_eq!(
            as_of,
            AsOf {
                seq: last.seq,
                at: later
            }
        );
        let refused = async |moment| match past.fleet(moment).await {
            Err(PastError::Refused(refusal)) => refusal,
            other => panic!("{moment:?}: {other:?}"),
        };
        let earlier = first.at - SignedDuration::from_nanos(1);
        for moment in [Moment::At(earlier), Moment::Seq(0)] {
            assert_eq!(refused(moment).await, PastRefusal::BeforeJournal { first });
        }
        let (asked, last) = (last.seq + 1, last.seq);
        assert_eq!(
            refused(Moment::Seq(asked)).await,
            PastRefusal::AfterJournal { asked, last }
        );
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_is_no_fleet_is_passed_over() {
    let home = tempfile::tempdir().expect("a folder");
    let shown = story(home.path()).await;
    let last = shown.last().expect("one at least");
    serve(home.path(), async |control| {
        let journal = control.journal();
        journal
            .save_snapshot(last.seq, b"{}")
            .await
            .expect("it is saved");
        let past = Past::new(journal.clone());
        let found = past
            .fleet(Moment::Seq(last.seq))
            .await
            .expect("it is there");
        assert_eq!(*found.fleet, *last);
    })
    .await;
}

fn created(seq: u64) -> Record {
    Record {
        seq,
        at: Timestamp::from_second(1_795_000_000).expect("a time of this century"),
        epoch: 1,
        actor: Actor::Automation("lifecycle".to_owned()),
        event: Event::TaskCreated {
            task: TaskId::new("web".into(), 0),
            version: 1,
            run: 0,
        },
    }
}

#[tokio::test]
async fn a_fold_that_takes_too_long_goes_on_when_it_is_asked_for_again() {
    let home = tempfile::tempdir().expect("a folder");
    let opened = Journal::open(&home.path().join("journal.db")).await;
    let journal = opened.expect("it opens").journal;
    let records: Vec<Record> = (1..=2_500).map(created).collect();
    journal.append(&records).await.expect("it appends");
    let past = Past::within(journal, Duration::ZERO);
    let wanted = 2_500;
    for reached in [1_000, 2_000] {
        match past.fleet(Moment::Seq(wanted)).await {
            Err(PastError::Refused(refusal)) => {
                assert_eq!(refusal, PastRefusal::TakesLonger { reached, wanted });
            }
            other => panic!("{other:?}"),
        }
    }
    let found = past.fleet(Moment::Seq(wanted)).await.expect("the rest");
    assert_eq!(found.fleet.seq, wanted);
}

#[tokio::test]
async fn too_many_questions_at_once_are_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let opened = Journal::open(&home.path().join("journal.db")).await;
    let journal = opened.expect("it opens").journal;
    let records: Vec<Record> = (1..=100).map(created).collect();
    journal.append(&records).await.expect("it appends");
    let past = Past::new(journal);
    // Somebody folds, and does not come to an end.
    let turn = past.inner.folding.acquire().await.expect("it is free");
    let waiting: Vec<_> = (1..=WAITING as u64)
        .map(|seq| {
            let past = past.clone();
            tokio::spawn(async move { past.fleet(Moment::Seq(seq)).await })
        })
        .collect();
    while past.inner.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = past.fleet(Moment::Seq(99)).await;
    assert!(
        matches!(
            refused,
            Err(PastError::Refused(PastRefusal::TooMany {
                waiting: WAITING
            }))
        ),
        "{refused:?}"
    );
    drop(turn);
    for (seq, waiting) in (1..).zip(waiting) {
        let found = waiting.await.expect("no panic").expect("it is folded");
        assert_eq!(found.fleet.seq, seq);
    }
}
