//! Log streams from a scripted engine.

use super::*;
use crate::agent::testing::{container, launch};
use crate::runtime::fake::FakeEngine;

fn chunk(second: i64, stream: LogStream, text: &str, ends: bool) -> LogChunk {
    LogChunk {
        at: Timestamp::from_second(second).unwrap(),
        stream,
        bytes: text.as_bytes().to_vec(),
        ends,
    }
}

/// An engine with one exited container that wrote these chunks.
fn engine(chunks: Vec<LogChunk>) -> Arc<FakeEngine> {
    let engine = FakeEngine::new(1);
    let container = container(&launch(7), ContainerState::Exited);
    engine.inside().logs.insert(container.id.clone(), chunks);
    engine
        .inside()
        .containers
        .insert(container.id.clone(), container);
    Arc::new(engine)
}

fn wanted(stream: u64) -> Wanted {
    Wanted {
        stream,
        attempt: launch(7).attempt,
        follow: false,
        tail: None,
        since: None,
    }
}

async fn collect(out: &mut mpsc::Receiver<FromAgent>) -> (Vec<String>, LogEnd) {
    let mut texts = Vec::new();
    loop {
        match out.recv().await {
            Some(FromAgent::Log { lines, end, .. }) => {
                assert!(lines.len() <= BATCH_LINES);
                texts.extend(lines.into_iter().map(|line| line.text));
                if let Some(end) = end {
                    return (texts, end);
                }
            }
            other => panic!("no log frame: {other:?}"),
        }
    }
}

#[tokio::test]
async fn long_lines_are_cut_and_streams_do_not_mix() {
    let engine = engine(vec![
        chunk(1, LogStream::Stdout, "the first part", false),
        chunk(1, LogStream::Stderr, "an error between", true),
        chunk(1, LogStream::Stdout, "the second part", false),
        chunk(1, LogStream::Stdout, "the last part", true),
        chunk(2, LogStream::Stdout, "another line", true),
    ]);
    let (out_in, mut out) = mpsc::channel(8);
    let mut streams = LogStreams::default();
    streams.open(wanted(1), &engine, &out_in);
    let (texts, end) = collect(&mut out).await;
    assert_eq!(
        texts,
        ["the first part", "an error between", "another line"]
    );
    assert_eq!(end, LogEnd::Complete);
}

#[tokio::test]
async fn since_is_strict() {
    let engine = engine(
        (1..=4)
            .map(|second| chunk(second, LogStream::Stdout, &second.to_string(), true))
            .collect(),
    );
    let (out_in, mut out) = mpsc::channel(8);
    let mut streams = LogStreams::default();
    let since = Some(Timestamp::from_second(2).unwrap());
    streams.open(Wanted { since, ..wanted(1) }, &engine, &out_in);
    assert_eq!(collect(&mut out).await.0, ["3", "4"]);
}

/// Who looks at a task while it starts sees its log once it runs.
#[tokio::test]
async fn the_log_of_a_container_that_has_not_been_started_is_not_at_its_end() {
    let engine = FakeEngine::new(1);
    let mut container = container(&launch(7), ContainerState::Created);
    let id = container.id.clone();
    let put = |container: &crate::runtime::Container| {
        let mut inside = engine.inside();
        inside.containers.insert(id.clone(), container.clone());
    };
    put(&container);
    let (out_in, mut out) = mpsc::channel(8);
    let mut streams = LogStreams::default();
    let follow = || Wanted {
        follow: true,
        ..wanted(1)
    };
    streams.open(follow(), &Arc::new(engine.clone()), &out_in);
    assert_eq!(collect(&mut out).await.1, LogEnd::NoContainer);
    // One that never will be has all of its log.
    container.error = "no such file".to_owned();
    put(&container);
    streams.open(follow(), &Arc::new(engine.clone()), &out_in);
    assert_eq!(collect(&mut out).await.1, LogEnd::Complete);
}

#[tokio::test]
async fn an_attempt_without_a_container_is_told() {
    let (out_in, mut out) = mpsc::channel(8);
    let mut streams = LogStreams::default();
    streams.open(wanted(1), &Arc::new(FakeEngine::new(1)), &out_in);
    assert_eq!(collect(&mut out).await.1, LogEnd::NoContainer);
}

#[tokio::test]
async fn streams_are_bounded_and_a_closed_one_makes_room() {
    let engine = engine(Vec::new());
    let (out_in, mut out) = mpsc::channel(8);
    let mut streams = LogStreams::default();
    let follow = |stream| Wanted {
        follow: true,
        ..wanted(stream)
    };
    for stream in 0..STREAMS_AT_ONCE as u64 {
        streams.open(follow(stream), &engine, &out_in);
    }
    streams.open(follow(100), &engine, &out_in);
    assert!(matches!(collect(&mut out).await.1, LogEnd::Failed { .. }));
    streams.close(0);
    streams.open(wanted(101), &engine, &out_in);
    assert_eq!(collect(&mut out).await.1, LogEnd::Complete);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_ends_the_stream() {
    let lines = (0..5000)
        .map(|number| chunk(1, LogStream::Stdout, &number.to_string(), true))
        .collect();
    let engine = engine(lines);
    let (out_in, mut out) = mpsc::channel(1);
    let mut streams = LogStreams::default();
    streams.slow_reader = Duration::from_millis(100);
    streams.open(wanted(1), &engine, &out_in);
    // Once and a half: after the first pause it waits as long again to tell the end.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let (texts, end) = collect(&mut out).await;
    assert!(texts.len() < 5000, "{}", texts.len());
    assert_eq!(
        end,
        LogEnd::Failed {
            message: "the reader took nothing for 100ms".into()
        }
    );
}
