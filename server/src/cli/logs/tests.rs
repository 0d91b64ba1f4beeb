use super::*;
use muster_schemas::wire::LogStream;
use serde_json::json;
use wiremock::matchers::{path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn line(at: &str, text: &str) -> LogLine {
    LogLine {
        at: format!("2026-11-22T10:00:{at}Z").parse().unwrap(),
        stream: LogStream::Stdout,
        text: text.to_owned(),
    }
}

fn messages(lines: &[LogLine]) -> Vec<Message> {
    let message = |line: &LogLine| Message {
        event: "line".to_owned(),
        data: serde_json::to_string(line).unwrap(),
        id: None,
    };
    lines.iter().map(message).collect()
}

fn body(lines: &[LogLine], end: Option<LogEnd>) -> ResponseTemplate {
    let mut text = String::new();
    for message in messages(lines) {
        text.push_str(&format!("event: line\ndata: {}\n\n", message.data));
    }
    if let Some(end) = end {
        text.push_str(&format!(
            "event: end\ndata: {}\n\n",
            serde_json::to_string(&end).unwrap()
        ));
    }
    ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
}

/// Texts of the lines that were taken as new.
fn texts(log: &Log) -> Vec<&str> {
    log.printed.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn a_lost_connection_costs_no_line_and_repeats_none() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let before = [line("01.5", "a"), line("01.5", "a"), line("01.7", "b")];
    Mock::given(path("/api/v1/tasks/web.0/logs"))
        .and(query_param("follow", "true"))
        .and(query_param("attempt", "x"))
        .and(query_param("tail", "3"))
        .and(query_param_is_missing("since"))
        .respond_with(body(&before, None))
        .expect(1)
        .mount(&server)
        .await;
    // The third `a` of the same moment is new; so is `late`, which is older than what was printed last.
    let after = [
        line("01.5", "a"),
        line("01.5", "a"),
        line("01.5", "a"),
        line("01.6", "late"),
        line("01.7", "b"),
        line("02", "c"),
    ];
    Mock::given(path("/api/v1/tasks/web.0/logs"))
        .and(query_param("since", "2026-11-22T10:00:01.499999999Z"))
        .and(query_param_is_missing("tail"))
        .respond_with(body(&after, Some(LogEnd::Complete)))
        .expect(1)
        .mount(&server)
        .await;
    let client = Client::new(&server.uri(), None).unwrap();
    let mut log = Log::new(Some(3), None, false);
    let reading = log.follow(&client, "web.0", "x").await.unwrap();
    assert_eq!(reading, Reading::Complete);
    assert_eq!(texts(&log), ["a", "a", "b", "a", "late", "c"]);
}

#[tokio::test]
async fn a_log_that_is_not_followed_and_breaks_off_is_an_error() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    Mock::given(path("/api/v1/tasks/web.0/logs"))
        .respond_with(body(&[line("01", "a")], None))
        .mount(&server)
        .await;
    let client = Client::new(&server.uri(), None).unwrap();
    let error = read_once(&client, "web.0", "x".to_owned(), None, None, false)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
}

#[tokio::test]
async fn a_batch_tasks_log_goes_on_with_its_next_attempt_until_it_is_finished() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let (first, second) = (
        "019a0000-0000-7000-8000-000000000001",
        "019a0000-0000-7000-8000-000000000002",
    );
    let task = |fields| crate::cli::fixtures::with(crate::cli::fixtures::task("etl.0"), fields);
    for (body, times) in [
        (task(json!({"attempt": first})), 1),
        (
            task(
                json!({"attempt": first, "state": "queued", "finished_at": "2026-11-22T10:00:03Z"}),
            ),
            2,
        ),
        (task(json!({"attempt": second, "state": "starting"})), 1),
        (task(json!({"attempt": second, "state": "finished"})), 1),
    ] {
        Mock::given(path("/api/v1/tasks/etl.0"))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .up_to_n_times(times)
            .expect(times)
            .mount(&server)
            .await;
    }
    let job =
        crate::cli::fixtures::with(crate::cli::fixtures::job("etl"), json!({"kind": "batch"}));
    Mock::given(path("/api/v1/jobs/etl"))
        .respond_with(ResponseTemplate::new(200).set_body_json(job))
        .mount(&server)
        .await;
    for attempt in [first, second] {
        Mock::given(path("/api/v1/tasks/etl.0/logs"))
            .and(query_param("attempt", attempt))
            .respond_with(body(&[line("01", attempt)], Some(LogEnd::Complete)))
            .expect(1)
            .mount(&server)
            .await;
    }
    let client = Client::new(&server.uri(), None).unwrap();
    let args = LogsArgs {
        task: "etl.0".parse().unwrap(),
        follow: true,
        tail: None,
        attempt: None,
        since: None,
        timestamps: false,
    };
    assert_eq!(run(args, &client).await.unwrap(), ExitCode::SUCCESS);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut log = Log::new(None, None, false);
    log.out = |_| Ok(());
    let quiet = vec![line("01", "x"); REMEMBERED + 10];
    log.take(&messages(&quiet)).unwrap();
    assert_eq!(log.printed.len(), REMEMBERED);
    log.take(&messages(&[line("05", "y")])).unwrap();
    assert_eq!(texts(&log), ["y"]);
}

#[test]
fn a_time_is_an_age_or_a_moment() {
    assert!(matches!(since("1h30m"), Ok(Since::Ago(Millis(5_400_000)))));
    assert!(matches!(since("2026-11-22T10:00:00Z"), Ok(Since::At(_))));
    assert!(since("yesterday").unwrap_err().contains("10m"));
}
