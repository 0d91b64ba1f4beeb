//! `muster at`: lists and descriptions of the fleet as it was, and what has changed since.

use crate::cli::client::{Client, Query};
use crate::cli::moment::{self, moment};
use crate::cli::screen::{Screen, print, print_json};
use crate::cli::{describe, diff, get};
use clap::{Args, Subcommand};
use jiff::Zoned;
use muster_schemas::past::{FleetDiff, JournalView};
use serde_json::Value;
use std::process::ExitCode;

/// Show the fleet as it was, or what has changed since
///
/// What is shown is worked out from the journal, as far back as it reaches. A line on standard error says as of which time and
/// record it is.
#[derive(Debug, Args)]
pub(super) struct AtArgs {
    /// When: "2026-11-20 14:00" or "14:00" (today) in your time zone, "2h ago", 2026-11-20T14:00:00Z, or the number of a record
    time: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List jobs, tasks, hosts, plans or events as they were
    Get(Box<get::PastArgs>),
    /// Show all there was to know of one job, task, host or plan
    Describe(describe::DescribeArgs),
    /// Show what has changed since, and who did it
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// Compare with the fleet of this later time rather than with the fleet as it is now
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

pub(super) async fn run(
    args: AtArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let now = Zoned::now();
    let asked = moment(&args.time, &now)?;
    match args.what {
        What::Get(args) => {
            let list = args.list()?;
            let past = in_the_past(client, asked, &now).await?;
            get::run(list, &past, screen).await
        }
        What::Describe(args) => {
            let past = in_the_past(client, asked, &now).await?;
            describe::run(args, &past, screen).await
        }
        What::Diff(args) => {
            let mut query: Query = vec![("from", asked.to_string())];
            if let Some(to) = &args.to {
                query.push(("to", moment(to, &now)?.to_string()));
            }
            let raw: Value = client.get(&["diff"], &query).await?;
            if screen.is_json() {
                print_json(&raw)?;
            } else {
                let found: FleetDiff = serde_json::from_value(raw)?;
                print(&diff::sheet(&found, &now, screen))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A client whose questions are about that moment, once the control plane knows it; says on standard error which one it is.
async fn in_the_past(
    client: &Client,
    asked: muster_schemas::past::Moment,
    now: &Zoned,
) -> anyhow::Result<Client> {
    let reach: JournalView = client
        .get(&["journal"], &vec![("at", asked.to_string())])
        .await?;
    // A control plane that takes a moment says which one it took.
    let as_of = reach.as_of.unwrap_or(reach.last);
    eprintln!("{}", moment::as_of(as_of, now));
    Ok(client.clone().at(asked, as_of.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::{self, screen};
    use crate::cli::screen::Format;
    use clap::Parser;
    use serde_json::json;
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn args(line: &[&str]) -> AtArgs {
        let cli = crate::cli::Cli::try_parse_from(["muster", "at"].iter().chain(line)).unwrap();
        let crate::cli::Command::At(args) = cli.command else {
            panic!("it is `at`");
        };
        args
    }

    async fn answers(server: &MockServer, at: &str, body: Value) {
        Mock::given(method("GET"))
            .and(path(at))
            .and(query_param("at", "2026-11-22T09:00:00Z"))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .expect(1)
            .mount(server)
            .await;
    }

    fn reach() -> Value {
        let at = "2026-11-22T09:00:00Z";
        json!({"first": {"seq": 1, "at": at}, "last": {"seq": 9, "at": at}, "as_of": {"seq": 5, "at": at}})
    }

    #[tokio::test]
    async fn every_question_of_a_description_is_about_the_same_moment() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        let none = json!({"items": [], "next": null, "total": 0});
        let job = fixtures::with(
            fixtures::job("web"),
            json!({"spec": {}, "rollout": null, "history": []}),
        );
        answers(&server, "/api/v1/journal", reach()).await;
        answers(&server, "/api/v1/jobs/web", job).await;
        answers(&server, "/api/v1/tasks", none.clone()).await;
        answers(&server, "/api/v1/events", none).await;
        let client = Client::new(&server.uri(), None).unwrap();
        let line = args(&["2026-11-22T09:00:00Z", "describe", "job", "web"]);
        run(line, &client, &screen(Format::Table)).await.unwrap();
    }

    #[tokio::test]
    async fn a_list_keeps_its_filters() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        answers(&server, "/api/v1/journal", reach()).await;
        Mock::given(path("/api/v1/tasks"))
            .and(query_param("at", "2026-11-22T09:00:00Z"))
            .and(query_param("job", "web"))
            .respond_with(
                ResponseTemplate::new(200)
                    .set_body_json(json!({"items": fixtures::tasks(), "next": null, "total": 5})),
            )
            .expect(1)
            .mount(&server)
            .await;
        let client = Client::new(&server.uri(), None).unwrap();
        let line = args(&["2026-11-22 09:00:00Z", "get", "tasks", "--job", "web"]);
        run(line, &client, &screen(Format::Table)).await.unwrap();
    }

    #[tokio::test]
    async fn what_shows_the_present_is_refused_before_anything_is_asked() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Nothing answers there.
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        for flags in [
            &["tasks", "--watch"][..],
            &["events", "--watch"],
            &["tasks", "--archived"],
        ] {
            let line: Vec<&str> = ["2h ago", "get"].iter().chain(flags).copied().collect();
            let error = run(args(&line), &client, &screen(Format::Table))
                .await
                .unwrap_err();
            let failure = error.downcast_ref::<crate::cli::failure::Failure>();
            let message = &failure.expect("a refusal").message;
            assert!(message.contains(flags[1]), "{message}");
        }
        let line = args(&["soon", "get", "jobs"]);
        let error = run(line, &client, &screen(Format::Table))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "`soon` is no time");
    }

    #[test]
    fn what_has_no_past_is_no_list_of_it() {
        for list in ["drift", "deploys"] {
            let parsed = crate::cli::Cli::try_parse_from(["muster", "at", "2h ago", "get", list]);
            let error = parsed.expect_err("it is no list of the past");
            assert_eq!(
                error.kind(),
                clap::error::ErrorKind::InvalidSubcommand,
                "{error}"
            );
            crate::cli::Cli::try_parse_from(["muster", "get", list]).expect("it is one of now");
        }
    }

    #[tokio::test]
    async fn a_comparison_goes_from_then_to_now_or_to_another_time() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        Mock::given(path("/api/v1/diff"))
            .and(query_param("from", "5"))
            .and(query_param("to", "2026-11-22T09:00:00Z"))
            .respond_with(ResponseTemplate::new(200).set_body_json(fixtures::diff()))
            .expect(1)
            .mount(&server)
            .await;
        let client = Client::new(&server.uri(), None).unwrap();
        let line = args(&["5", "diff", "--to", "2026-11-22T09:00:00Z"]);
        run(line, &client, &screen(Format::Json)).await.unwrap();
    }
}
