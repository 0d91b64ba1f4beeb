//! The journal on real files: what it keeps through crashes, and what it refuses to open.

use jiff::Timestamp;
use muster::journal::{Damage, EventFilter, HistoryFilter, Journal, JournalError, Opened};
use muster_schemas::api::TaskView;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, HostId, TaskId};
use muster_schemas::state::{
    Actor, AttemptStatus, Outcome, Phase, StopOrder, StopReason, TaskState,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use uuid::Uuid;

fn at(seq: u64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seq as i64).expect("a time of this century")
}

fn record(seq: u64, event: Event) -> Record {
    Record {
        seq,
        at: at(seq),
        epoch: 1,
        actor: Actor::Automation("lifecycle".into()),
        event,
    }
}

fn task(job: &str, index: u32) -> TaskId {
    TaskId::new(job.into(), index)
}

fn created(seq: u64) -> Record {
    record(
        seq,
        Event::TaskCreated {
            task: task("web", seq as u32),
            version: 1,
            run: 0,
        },
    )
}

fn leadership(seq: u64, version: &str) -> Record {
    record(
        seq,
        Event::LeadershipTaken {
            cell: "home".into(),
            version: version.into(),
        },
    )
}

/// The control loop is a task that may move between threads, so each of the journal's futures has to be able to.
fn movable<F: Future + Send>(future: F) -> F {
    future
}

/// A journal's place in a directory of its own.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    async fn open(&self) -> Result<Opened, JournalError> {
        movable(Journal::open(&self.path())).await
    }

    /// A closed journal of `count` records, appended one by one.
    async fn with_records(count: u64) -> Self {
        let home = Self::new();
        let journal = home.open().await.expect("a new journal opens").journal;
        for seq in 1..=count {
            journal.append(&[created(seq)]).await.expect("it appends");
        }
        journal.close().await;
        home
    }

    async fn sql(&self, statements: &str) {
        let mut connection: SqliteConnection = SqliteConnectOptions::new()
            .filename(self.path())
            .connect()
            .await
            .expect("SQLite opens the file");
        sqlx::raw_sql(AssertSqlSafe(format!(
            "DROP TRIGGER records_are_not_changed; DROP TRIGGER records_are_not_removed; {statements}"
        )))
        .execute(&mut connection)
        .await
        .expect("the statements run");
        connection.close().await.expect("it closes");
    }

    fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path()).expect("the file reads");
        edit(&mut bytes);
        std::fs::write(self.path(), bytes).expect("the file writes");
    }
}

/// The error of an `open` that must not work, without this test's directory in its words.
async fn refusal(home: &Home) -> (JournalError, String) {
    let error = home.open().await.expect_err("it must not open");
    let directory = format!("{}/", home.directory.path().display());
    let words = error.to_string().replace(&directory, "");
    (error, words)
}

#[tokio::test]
async fn what_is_appended_is_there_after_opening_again() {
    let home = Home::new();
    let opened = home.open().await.expect("a new journal opens");
    assert!(opened.snapshot.is_none() && opened.tail.is_empty());
    let records = [leadership(1, "0.1.0"), created(2), created(3)];
    movable(opened.journal.append(&records[..2]))
        .await
        .expect("a batch");
    opened.journal.append(&records[2..]).await.expect("one");
    opened.journal.append(&[]).await.expect("none");
    assert_eq!(opened.journal.last_seq().await.unwrap(), 3);
    opened.journal.close().await;

    let opened = home.open().await.expect("it opens again");
    assert_eq!(opened.tail, records);
    let verified = movable(opened.journal.verify())
        .await
        .expect("all of it is good");
    assert_eq!(verified.records, 3);
}

#[tokio::test]
async fn only_the_next_record_is_taken() {
    let home = Home::with_records(2).await;
    let journal = home.open().await.unwrap().journal;
    for wrong in [
        vec![created(2)],
        vec![created(4)],
        vec![created(3), created(5)],
        vec![created(0)],
    ] {
        let error = journal.append(&wrong).await.expect_err("out of order");
        assert!(matches!(error, JournalError::OutOfOrder { .. }), "{error}");
    }
    assert_eq!(journal.last_seq().await.unwrap(), 2, "nothing was written");
    journal.append(&[created(3)]).await.expect("the next one");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_it() {
    let home = Home::new();
    let _first = home.open().await.unwrap();
    let (_, words) = refusal(&home).await;
    let pid = std::process::id();
    assert_eq!(
        words,
        format!(
            "journal.db is in use by process {pid}: one control plane at a time may write it; stop that one first, or \
             give this one another --home"
        )
    );
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with_records(1).await;
    let _open = home.open().await.unwrap();
    for name in ["journal.db", "journal.db-wal", "journal.db.head"] {
        let mode = std::fs::metadata(home.directory.path().join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

/// Each way in which a journal can be other than it was written, and what the person reads who starts it.
#[tokio::test]
async fn a_journal_that_is_not_as_it_was_is_refused() {
    enum Harm {
        Sql(&'static str),
        Bytes(fn(&mut Vec<u8>)),
    }
    let cases = [
        (
            "altered_body",
            Harm::Sql("UPDATE records SET body = replace(body, 'web.7', 'web.8') WHERE seq = 7"),
        ),
        (
            "altered_column",
            Harm::Sql("UPDATE records SET job = 'other' WHERE seq = 7"),
        ),
        (
            "body_that_is_no_text",
            Harm::Sql("UPDATE records SET body = CAST(x'ff00ff' AS TEXT) WHERE seq = 7"),
        ),
        (
            "short_hash",
            Harm::Sql("UPDATE records SET hash = x'00' WHERE seq = 7"),
        ),
        ("deleted_row", Harm::Sql("DELETE FROM records WHERE seq = 7")),
        (
            "deleted_first_row",
            Harm::Sql("DELETE FROM records WHERE seq = 1"),
        ),
        (
            "deleted_last_row",
            Harm::Sql("DELETE FROM records WHERE seq = 12"),
        ),
        ("deleted_rows", Harm::Sql("DELETE FROM records")),
        (
            "swapped_rows",
            Harm::Sql(
                "UPDATE records SET seq = 99 WHERE seq = 7; UPDATE records SET seq = 7 WHERE seq = 8;
                 UPDATE records SET seq = 8 WHERE seq = 99",
            ),
        ),
        (
            "last_row_rewritten_with_another_hash",
            Harm::Sql("UPDATE records SET hash = zeroblob(32) WHERE seq = 12"),
        ),
        (
            "flipped_bit",
            Harm::Bytes(|bytes| {
                let text = b"\"task\":\"web.7\"";
                let place = bytes
                    .windows(text.len())
                    .position(|window| window == text)
                    .expect("the record stands in the file");
                bytes[place + 9] ^= 1;
            }),
        ),
        (
            "torn_file",
            Harm::Bytes(|bytes| bytes.truncate(bytes.len() / 2 + 100)),
        ),
        ("torn_to_nothing", Harm::Bytes(Vec::clear)),
        (
            "overwritten_beginning",
            Harm::Bytes(|bytes| bytes[..64].fill(0x55)),
        ),
        (
            "tables_of_a_newer_version",
            Harm::Sql(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9000, 'later', TRUE, x'00', 0)",
            ),
        ),
    ];
    let mut said = String::new();
    for (name, harm) in cases {
        let home = Home::with_records(12).await;
        match harm {
            Harm::Sql(statements) => home.sql(statements).await,
            Harm::Bytes(edit) => home.edit(edit),
        }
        let (_, words) = refusal(&home).await;
        said.push_str(&format!("{name}:\n    {words}\n"));
    }
    insta::assert_snapshot!(said.replace(env!("CARGO_PKG_VERSION"), "[version]"));
}

#[tokio::test]
async fn an_old_copy_is_refused_until_the_note_is_removed() {
    let home = Home::with_records(5).await;
    let copy = std::fs::read(home.path()).unwrap();
    let journal = home.open().await.unwrap().journal;
    for seq in 6..=9 {
        journal.append(&[created(seq)]).await.unwrap();
    }
    journal.close().await;
    std::fs::write(home.path(), copy).unwrap();
    let (error, words) = refusal(&home).await;
    assert!(matches!(
        error,
        JournalError::OldCopy {
            last: 5,
            seen: 9,
            ..
        }
    ));
    insta::assert_snapshot!(words);

    std::fs::remove_file(home.directory.path().join("journal.db.head")).unwrap();
    let opened = home.open().await.expect("somebody decided that it holds");
    assert_eq!(opened.tail.len(), 5);
}

/// The write-ahead log holds the newest records. SQLite drops a damaged end of it without a word.
#[tokio::test]
async fn a_cut_write_ahead_log_is_noticed() {
    let home = Home::with_records(3).await;
    let opened = home.open().await.unwrap();
    opened.journal.append(&[created(4)]).await.unwrap();
    opened.journal.append(&[created(5)]).await.unwrap();
    // Copies of the files of a running control plane, as after a crash: closing would empty the log. Each is a machine of its
    // own, since what has looked at one may still be letting go of its files.
    let log = std::fs::read(home.directory.path().join("journal.db-wal")).unwrap();
    for cut in [
        log[..log.len() - 10].to_vec(),
        {
            let mut flipped = log.clone();
            let last = flipped.len() - 2_000;
            flipped[last] ^= 4;
            flipped
        },
        Vec::new(),
    ] {
        let crashed = Home::new();
        for name in ["journal.db", "journal.db.head"] {
            std::fs::copy(
                home.directory.path().join(name),
                crashed.directory.path().join(name),
            )
            .unwrap();
        }
        std::fs::write(crashed.directory.path().join("journal.db-wal"), &cut).unwrap();
        let (error, words) = refusal(&crashed).await;
        assert!(
            matches!(error, JournalError::OldCopy { seen: 5, .. }),
            "{words}"
        );
    }
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_told_apart_from_damage() {
    let home = Home::new();
    let journal = home.open().await.unwrap().journal;
    journal.append(&[leadership(1, "7.2.0")]).await.unwrap();
    journal.close().await;
    // A record as a later version would write it: unknown to this one, and well chained.
    write_foreign_record(&home.path(), 2, "task_teleported").await;
    let (error, words) = refusal(&home).await;
    assert!(matches!(error, JournalError::NewerRecord { seq: 2, .. }));
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("unknown variant `task_teleported`"),
    );
    insta::assert_snapshot!(words.replace(env!("CARGO_PKG_VERSION"), "[version]"));
}

async fn write_foreign_record(path: &Path, seq: u64, kind: &str) {
    use sha2::{Digest, Sha256};
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    let previous: Vec<u8> = sqlx::query_scalar("SELECT hash FROM records WHERE seq = ?")
        .bind(seq as i64 - 1)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let at = at(seq).to_string();
    let body = format!(
        r#"{{"seq":{seq},"at":"{at}","epoch":1,"actor":{{"actor":"person","name":"ann"}},"event":{{"event":"{kind}"}}}}"#
    );
    // The chain's rule, written out a second time: a change of it would cut off every journal there is.
    let mut hasher = Sha256::new();
    hasher.update(&previous);
    hasher.update(seq.to_be_bytes());
    hasher.update(1_u64.to_be_bytes());
    let present = |text: &str| {
        let mut bytes = vec![1];
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    };
    hasher.update(present(&at));
    hasher.update(present(kind));
    hasher.update([0; 5]);
    hasher.update(present(&body));
    sqlx::query("INSERT INTO records (seq, at, epoch, kind, body, hash) VALUES (?, ?, 1, ?, ?, ?)")
        .bind(seq as i64)
        .bind(at)
        .bind(kind)
        .bind(body)
        .bind(hasher.finalize().to_vec())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_start_takes_the_newest_good_snapshot() {
    let home = Home::with_records(10).await;
    let journal = home.open().await.unwrap().journal;
    for seq in [2, 4, 6, 8] {
        journal
            .save_snapshot(seq, format!("fleet at {seq}").as_bytes())
            .await
            .unwrap();
    }
    assert_eq!(journal.verify().await.unwrap().snapshots, [8, 6, 4]);
    let error = journal.save_snapshot(11, b"").await.unwrap_err();
    assert!(matches!(
        error,
        JournalError::SnapshotOfNothing { seq: 11, last: 10 }
    ));
    journal.close().await;

    let opened = home.open().await.unwrap();
    let snapshot = opened.snapshot.expect("there is one");
    assert_eq!(
        (snapshot.seq, snapshot.fleet.as_slice()),
        (8, b"fleet at 8".as_slice())
    );
    assert_eq!(opened.tail, [created(9), created(10)]);
    opened.journal.close().await;

    home.sql("UPDATE snapshots SET fleet = x'00' WHERE seq = 8")
        .await;
    let opened = home.open().await.unwrap();
    assert_eq!(
        opened.snapshot.expect("the one before").seq,
        6,
        "a damaged snapshot is passed over"
    );
    assert_eq!(opened.damaged_snapshots, [8]);
    assert_eq!(opened.tail.len(), 4);
    let error = opened.journal.verify().await.unwrap_err();
    assert!(matches!(
        error,
        JournalError::Damaged {
            seq: 8,
            damage: Damage::Snapshot,
            ..
        }
    ));
}

/// Records before the snapshot are not read at a start; the check of all finds what happened to them.
#[tokio::test]
async fn damage_before_the_snapshot_is_found_by_the_whole_check() {
    let home = Home::with_records(10).await;
    let journal = home.open().await.unwrap().journal;
    journal.save_snapshot(8, b"fleet").await.unwrap();
    journal.close().await;
    home.sql("UPDATE records SET epoch = 5 WHERE seq = 3").await;
    let opened = home
        .open()
        .await
        .expect("what is folded from here on is good");
    let error = opened.journal.verify().await.unwrap_err();
    assert!(matches!(
        error,
        JournalError::Damaged {
            seq: 3,
            damage: Damage::Hash,
            ..
        }
    ));
}

#[tokio::test]
async fn a_stretch_of_the_past_is_checked_as_it_is_read() {
    let home = Home::with_records(10).await;
    let journal = home.open().await.unwrap().journal;
    let seqs = async |after, last| -> Vec<u64> {
        let records = journal.stretch(after, last).await.unwrap();
        records.iter().map(|record| record.seq).collect()
    };
    assert_eq!(seqs(0, 10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(seqs(4, 6).await, [5, 6]);
    assert_eq!(seqs(6, 6).await, [0; 0]);
    let missing = journal.stretch(4, 12).await.unwrap_err();
    assert!(matches!(
        missing,
        JournalError::Damaged {
            seq: 11,
            damage: Damage::Missing,
            ..
        }
    ));
    journal.save_snapshot(8, b"fleet").await.unwrap();
    journal.close().await;
    home.sql("UPDATE records SET epoch = 5 WHERE seq = 6").await;
    let journal = home.open().await.unwrap().journal;
    assert!(journal.stretch(0, 5).await.is_ok(), "before it all is well");
    for after in [0, 5] {
        let damaged = journal.stretch(after, 7).await.unwrap_err();
        assert!(
            matches!(
                damaged,
                JournalError::Damaged {
                    seq: 6,
                    damage: Damage::Hash,
                    ..
                }
            ),
            "{damaged}"
        );
    }
    assert_eq!(
        journal.snapshot_of(8).await.unwrap().unwrap().fleet,
        b"fleet"
    );
    assert_eq!(journal.snapshot_of(7).await.unwrap(), None);
}

#[tokio::test]
async fn a_stretch_has_a_bound() {
    let home = Home::new();
    let journal = home.open().await.unwrap().journal;
    let records: Vec<Record> = (1..=1_500).map(created).collect();
    journal.append(&records).await.unwrap();
    assert_eq!(journal.stretch(0, 1_500).await.unwrap().len(), 1_000);
    assert_eq!(journal.stretch(1_000, 1_500).await.unwrap().len(), 500);
    // Large records end it early, and one comes however large it is.
    let large = |seq| {
        record(
            seq,
            Event::CellTakenDown {
                reason: "x".repeat(9 << 20),
            },
        )
    };
    journal
        .append(&[large(1_501), large(1_502), large(1_503)])
        .await
        .unwrap();
    assert_eq!(journal.stretch(1_500, 1_503).await.unwrap().len(), 2);
    assert_eq!(journal.stretch(1_502, 1_503).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_record_at_a_time_is_found() {
    let home = Home::with_records(9).await;
    let journal = home.open().await.unwrap().journal;
    let found = async |at: Timestamp| journal.last_at(at).await.unwrap().map(|place| place.seq);
    for seq in 1..=9 {
        assert_eq!(found(at(seq)).await, Some(seq));
        assert_eq!(
            found(at(seq) + jiff::SignedDuration::from_millis(999)).await,
            Some(seq)
        );
    }
    assert_eq!(
        found(at(1) - jiff::SignedDuration::from_nanos(1)).await,
        None
    );
    assert_eq!(found(at(1_000)).await, Some(9));
    let (first, last) = journal.ends().await.unwrap().expect("there are records");
    assert_eq!(
        (first.seq, first.at, last.seq, last.at),
        (1, at(1), 9, at(9))
    );

    let empty = Home::new();
    let journal = empty.open().await.unwrap().journal;
    assert_eq!(journal.ends().await.unwrap(), None);
    assert_eq!(journal.last_at(at(5)).await.unwrap(), None);
}

#[tokio::test]
async fn a_snapshot_that_does_not_join_the_records_is_refused() {
    let cases = [
        "DELETE FROM records WHERE seq > 7",
        "DELETE FROM records WHERE seq = 8",
        "UPDATE records SET hash = zeroblob(32) WHERE seq = 8",
    ];
    let mut said = String::new();
    for harm in cases {
        let home = Home::with_records(10).await;
        let journal = home.open().await.unwrap().journal;
        journal.save_snapshot(8, b"fleet").await.unwrap();
        journal.close().await;
        home.sql(harm).await;
        std::fs::remove_file(home.directory.path().join("journal.db.head")).unwrap();
        let (_, words) = refusal(&home).await;
        said.push_str(&format!("{harm}:\n    {words}\n"));
    }
    insta::assert_snapshot!(said);
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[tokio::test]
async fn records_are_found_by_what_they_are_about() {
    let home = Home::new();
    let journal = home.open().await.unwrap().journal;
    let (attempt, host) = (AttemptId(uuid(1)), HostId(uuid(2)));
    let reported = |sequence| Event::AttemptReported {
        status: AttemptStatus {
            attempt,
            sequence,
            phase: Phase::Running,
            container: None,
            ip: None,
            started_at: None,
            ready: None,
            live: None,
            probe_message: None,
            hardening: None,
            drift: Vec::new(),
        },
    };
    let events = [
        Event::HostEnrolled {
            host,
            name: "one".into(),
        },
        Event::TaskCreated {
            task: task("web", 0),
            version: 1,
            run: 0,
        },
        Event::TaskCreated {
            task: task("web", 1),
            version: 1,
            run: 0,
        },
        Event::AttemptPlaced {
            attempt,
            task: task("web", 0),
            number: 1,
            host,
            version: 1,
        },
        reported(1),
        Event::StopOrdered {
            order: StopOrder {
                attempt,
                reason: StopReason::Prune,
                actor: Actor::Automation("prune".into()),
                plan: Some("f00d".into()),
                grace: serde_json::from_str("\"10s\"").expect("a duration"),
            },
        },
    ];
    let records: Vec<Record> = (1..)
        .zip(events)
        .map(|(s, event)| record(s, event))
        .collect();
    journal.append(&records).await.unwrap();
    journal.close().await;
    // What an attempt's report is about is known after a start too, when nothing is in memory.
    let journal = home.open().await.unwrap().journal;
    journal.append(&[record(7, reported(2))]).await.unwrap();

    let check = async |filter: EventFilter, expected: &[u64]| {
        let found = movable(journal.find(&filter)).await.unwrap();
        let seqs: Vec<u64> = found.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, expected, "{filter:?}");
    };
    let all = EventFilter::default;
    let some = |text: &str| Some(text.to_owned());
    check(all(), &[1, 2, 3, 4, 5, 6, 7]).await;
    let filter = EventFilter {
        job: some("web"),
        ..all()
    };
    check(filter, &[2, 3, 4, 5, 6, 7]).await;
    let filter = EventFilter {
        task: some("web.0"),
        newest_first: true,
        ..all()
    };
    check(filter, &[7, 6, 5, 4, 2]).await;
    let filter = EventFilter {
        host: Some(host.to_string()),
        ..all()
    };
    check(filter, &[1, 4, 5, 6, 7]).await;
    let filter = EventFilter {
        attempt: Some(attempt.to_string()),
        kinds: vec!["attempt_reported".into(), "attempt_placed".into()],
        ..all()
    };
    check(filter, &[4, 5, 7]).await;
    let filter = EventFilter {
        plan: some("f00d"),
        ..all()
    };
    check(filter, &[6]).await;
    let filter = EventFilter {
        after: Some(2),
        before: Some(6),
        limit: 2,
        newest_first: true,
        ..all()
    };
    check(filter, &[5, 4]).await;
    let filter = EventFilter {
        job: some("web' OR 1 = 1 --"),
        ..all()
    };
    check(filter, &[]).await;
    assert_eq!(journal.records(5, 1).await.unwrap(), [records[5].clone()]);
}

fn finished(id: &str, created: u64, finished_at: Option<u64>, outcome: Outcome) -> TaskView {
    let task: TaskId = id.parse().expect("a task id");
    TaskView {
        id: id.into(),
        job: task.job.to_string(),
        index: task.index,
        attempt: None,
        attempt_number: 1,
        state: TaskState::Finished,
        reason: "it did its work".into(),
        healthy: false,
        reachable: true,
        crash_loop: false,
        failures: 0,
        not_before: None,
        host: None,
        host_id: None,
        ip: None,
        image: "localhost/example@sha256:00".into(),
        version: 1,
        current_version: true,
        run: 1,
        container: None,
        created_at: at(created),
        started_at: None,
        finished_at: finished_at.map(at),
        exit_code: Some(0),
        signal: None,
        oom: false,
        outcome: Some(outcome),
    }
}

#[tokio::test]
async fn finished_tasks_are_kept_paged_and_pruned() {
    let home = Home::new();
    let journal = home.open().await.unwrap().journal;
    let mut tasks: Vec<TaskView> = (0..25_u32)
        .map(|index| {
            // Some finish at the same moment, so that a page may end between them.
            let id = format!("sums.{index}");
            finished(&id, 1, Some(10 + u64::from(index) / 4), Outcome::Succeeded)
        })
        .collect();
    tasks.push(finished("web.0", 3, None, Outcome::Stopped));
    tasks.push(finished("web.0", 5, Some(40), Outcome::Failed));
    journal.archive_tasks(&tasks).await.unwrap();
    journal
        .archive_tasks(&tasks)
        .await
        .expect("again is no harm");

    let sums = HistoryFilter {
        job: Some("sums".into()),
        ..HistoryFilter::default()
    };
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = journal
            .finished_tasks(&sums, cursor.as_deref(), 7)
            .await
            .unwrap();
        assert_eq!(page.total, 25);
        assert!(page.tasks.len() <= 7);
        seen.extend(page.tasks);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut expected = tasks[..25].to_vec();
    expected.reverse();
    assert_eq!(seen, expected, "each once, the last to finish first");

    let web = HistoryFilter {
        contains: Some("eb.".into()),
        outcomes: vec!["failed".into(), "lost".into()],
        ..HistoryFilter::default()
    };
    let page = journal.finished_tasks(&web, None, 0).await.unwrap();
    assert_eq!((page.total, page.tasks), (1, vec![tasks[26].clone()]));
    let error = journal
        .finished_tasks(&web, Some("nonsense"), 5)
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"`nonsense` is not a cursor of this list; leave it out to begin at the start");

    assert_eq!(
        journal.prune_history(at(12)).await.unwrap(),
        9,
        "eight sums, and the one that never ran"
    );
    let all = HistoryFilter::default();
    let left = journal.finished_tasks(&all, None, 100).await.unwrap();
    assert_eq!((left.total, left.next), (18, None));
}

/// The variable that makes `crash_child` a writer rather than a test.
const CHILD: &str = "MUSTER_TEST_JOURNAL_CHILD";

/// Not a test by itself: the process that `what_was_acknowledged_survives_a_kill` kills. It appends until then, in batches
/// of different sizes, and prints each last place once it is acknowledged.
#[test]
fn crash_child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(Path::new(&path)).await.unwrap().journal;
        let mut seq = journal.last_seq().await.unwrap();
        let mut out = std::io::stdout();
        loop {
            let batch: Vec<Record> = (seq + 1..=seq + 1 + seq % 7).map(created).collect();
            seq += batch.len() as u64;
            journal.append(&batch).await.unwrap();
            if seq % 50 < 7 {
                journal
                    .save_snapshot(seq, &seq.to_be_bytes())
                    .await
                    .unwrap();
            }
            writeln!(out, "acknowledged {seq}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    const ROUNDS: u64 = 8;
    let home = Home::new();
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_child", "--nocapture"])
            .env(CHILD, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = |line: Option<std::io::Result<String>>| {
            let line = line?.ok()?;
            // The test harness may print its own words on the same line.
            let (_, seq) = line.rsplit_once("acknowledged ")?;
            seq.parse::<u64>().ok()
        };
        let mut seen = 0;
        while seen == 0 {
            seen = acknowledged(Some(
                lines.next().expect("the child appends until it is killed"),
            ))
            .unwrap_or(0);
        }
        // The moment differs from round to round and from run to run, with the disk's own speed.
        std::thread::sleep(std::time::Duration::from_millis(20 + 37 * round));
        child.kill().expect("SIGKILL");
        child.wait().unwrap();
        for line in lines {
            seen = acknowledged(Some(line)).unwrap_or(seen);
        }

        let opened = home.open().await.expect("it opens after a crash");
        let end = opened.journal.last_seq().await.unwrap();
        assert!(
            end >= seen,
            "record {seen} was acknowledged and is lost: the journal ends at {end}"
        );
        assert!(seen > last, "the round appended something");
        let verified = opened.journal.verify().await.expect("all of it is good");
        assert_eq!(verified.records, end);
        let records = opened.journal.records(seen - 1, 1).await.unwrap();
        assert_eq!(records, [created(seen)]);
        last = end;
        opened.journal.close().await;
    }
    println!("{ROUNDS} kills, {last} records, none of the acknowledged ones lost");
}

/// A write that is given up half-way leaves the journal able to go on from wherever it really ends.
#[tokio::test]
async fn a_write_that_nobody_waits_for_does_not_confuse_the_next() {
    let home = Home::new();
    let journal = home.open().await.unwrap().journal;
    for wait in 0..40_u32 {
        let next = journal.last_seq().await.unwrap() + 1;
        let batch: Vec<Record> = (next..next + 20).map(created).collect();
        let given_up = std::time::Duration::from_micros(u64::from(wait) * 100);
        let _ = tokio::time::timeout(given_up, journal.append(&batch)).await;
    }
    let next = journal.last_seq().await.unwrap() + 1;
    journal.append(&[created(next)]).await.unwrap();
    assert_eq!(journal.verify().await.unwrap().records, next);
}
