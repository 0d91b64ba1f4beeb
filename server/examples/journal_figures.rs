//! How fast the journal is on this disk: `cargo run --release --example journal_figures -- DIRECTORY`.

use jiff::Timestamp;
use muster::journal::{Journal, JournalError};
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::TaskId;
use muster_schemas::state::{Actor, QueueReason};
use std::time::Instant;

fn record(seq: u64) -> Record {
    Record {
        seq,
        at: Timestamp::UNIX_EPOCH,
        epoch: 1,
        actor: Actor::Automation("lifecycle".into()),
        event: Event::TaskQueued {
            task: TaskId::new("figures".into(), (seq % 1000) as u32),
            version: 1,
            reason: QueueReason::Retry {
                message: "exited with 1 after a few words about what went wrong".into(),
            },
            not_before: Timestamp::UNIX_EPOCH,
            retries: 1,
            failures: 1,
        },
    }
}

#[tokio::main]
async fn main() -> Result<(), JournalError> {
    let directory = std::env::args()
        .nth(1)
        .unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let directory = tempfile::tempdir_in(directory).expect("a temporary directory");
    let path = directory.path().join("journal.db");
    let journal = Journal::open(&path).await?.journal;
    let mut seq = 0;
    for (size, batches) in [(1, 500), (100, 100), (1_000, 90)] {
        let began = Instant::now();
        for _ in 0..batches {
            let batch: Vec<Record> = (seq + 1..=seq + size).map(record).collect();
            seq += size;
            journal.append(&batch).await?;
        }
        let took = began.elapsed();
        let each = took / batches;
        let rate = f64::from(batches) * size as f64 / took.as_secs_f64();
        println!("append, {size} to a batch: {each:.1?} a batch, {rate:.0} records/s");
    }
    let began = Instant::now();
    let verified = journal.verify().await?;
    println!(
        "verify {} records: {:.2?}",
        verified.records,
        began.elapsed()
    );
    journal.close().await;
    let began = Instant::now();
    let opened = Journal::open(&path).await?;
    println!(
        "open, {} records after no snapshot: {:.2?}",
        opened.tail.len(),
        began.elapsed()
    );
    opened.journal.save_snapshot(seq, b"fleet").await?;
    opened.journal.close().await;
    let began = Instant::now();
    let opened = Journal::open(&path).await?;
    println!(
        "open, {} records after a snapshot: {:.2?}",
        opened.tail.len(),
        began.elapsed()
    );
    opened.journal.close().await;
    let size = std::fs::metadata(&path).map(|file| file.len()).unwrap_or(0);
    println!("file: {} bytes a record", size / seq);
    Ok(())
}
