use super::*;
use crate::cli::fixtures::{self, now, screen};
use crate::cli::screen::Format;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn both(table: impl Fn(bool) -> Table) -> String {
    let narrow = table(false).render(&screen(Format::Table));
    let wide = table(true).render(&screen(Format::Wide));
    format!("{narrow}\n{wide}")
}

#[test]
fn tasks() {
    let tasks: Vec<muster_schemas::api::TaskView> = read(fixtures::tasks());
    insta::assert_snapshot!(both(|wide| rows::tasks(&tasks, now(), wide)));
}

#[test]
fn jobs() {
    let batch = fixtures::with(
        fixtures::job("etl"),
        json!({
            "kind": "batch", "status": "failed", "succeeded": 18, "failed": 2, "desired": 20, "run": 1, "revision": null,
            "reason": "2 of 20 tasks failed", "tier": "flex"
        }),
    );
    let jobs: Vec<muster_schemas::api::JobView> = read(json!([fixtures::job("web"), batch]));
    insta::assert_snapshot!(both(|wide| rows::jobs(&jobs, now(), wide)));
}

#[test]
fn hosts() {
    let lost = fixtures::with(
        fixtures::host(),
        json!({"name": "beta", "reachable": false, "ready": false, "reason": "its agent was last heard 2m ago", "warnings": []}),
    );
    let hosts: Vec<muster_schemas::api::HostView> = read(json!([fixtures::host(), lost]));
    insta::assert_snapshot!(both(|wide| rows::hosts(&hosts, now(), wide)));
}

#[test]
fn drift() {
    let drift: Vec<muster_schemas::drift::DriftView> = read(json!([
        {
            "id": "web - service.capacity.desired scaled", "job": "web", "task": null, "field": "service.capacity.desired",
            "wanted": "3", "found": "5", "cause": "scaled", "who": "bob, by muster scale: the sale begins",
            "since": "2026-11-23T14:00:00Z", "outlook": "it ends by itself at 15:00:00", "plan": null
        },
        {
            "id": "web 0000000000 container.memory on_host", "job": "web", "task": "web.0", "field": "container.memory",
            "wanted": "128MiB", "found": "256MiB", "cause": "on_host", "who": "somebody on alpha, not Muster",
            "since": "2026-11-23T14:00:00Z", "outlook": "it is put back while the container runs", "plan": null
        }
    ]));
    insta::assert_snapshot!(both(|wide| rows::drift(&drift, now(), wide)));
}

#[test]
fn plans() {
    let plans: Vec<muster_schemas::api::PlanView> = read(json!([fixtures::plan()]));
    insta::assert_snapshot!(both(|wide| rows::plans(&plans, now(), wide)));
}

#[test]
fn deploys() {
    let failed = fixtures::with(
        fixtures::deploy(),
        json!({
            "id": "01JABD-api", "job": "api", "status": "FAILED", "commit": null, "image": null, "reason": "",
            "progress": "there is no image of that name", "finished_at": "2026-11-22T09:59:00Z"
        }),
    );
    let deploys: Vec<muster_schemas::api::DeployView> = read(json!([fixtures::deploy(), failed]));
    insta::assert_snapshot!(both(|wide| rows::deploys(&deploys, now(), wide)));
}

#[test]
fn happenings() {
    let events: Vec<muster_schemas::api::EventView> = read(json!([
        fixtures::event(9, "web.0 goes to alpha"),
        fixtures::event(10, "web.1 goes to alpha")
    ]));
    insta::assert_snapshot!(both(|wide| rows::events(&events, now(), wide)));
}

#[tokio::test]
async fn filters_become_the_queries_parameters() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/api/v1/tasks"))
        .and(query_param("job", "web"))
        .and(query_param("label", "cost=42"))
        .and(query_param("healthy", "false"))
        .and(query_param("q", "a&b"))
        .and(query_param("limit", "7"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!({"items": [], "next": null, "total": 0})),
        )
        .expect(1)
        .mount(&server)
        .await;
    // Nothing was listed of it, so it is asked whether it is there.
    Mock::given(path("/api/v1/jobs/web"))
        .respond_with(ResponseTemplate::new(200).set_body_json(fixtures::job("web")))
        .expect(1)
        .mount(&server)
        .await;
    let line = "muster get tasks --job web --label cost=42 --healthy false -q a&b --limit 7";
    let cli = <crate::cli::Cli as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
    let crate::cli::Command::Get(args) = cli.command else {
        panic!("it is `get`");
    };
    let client = Client::new(&server.uri(), None).unwrap();
    run(args, &client, &screen(Format::Table)).await.unwrap();
}

#[tokio::test]
async fn a_job_without_tasks_is_told_from_one_that_is_not_there() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    let none = json!({"items": [], "next": null, "total": 0});
    let tasks = json!({"items": fixtures::tasks(), "next": null, "total": 5});
    let listed = |job: &str, body: Value| {
        Mock::given(path("/api/v1/tasks"))
            .and(query_param("job", job))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
    };
    listed("nosuch", none.clone()).mount(&server).await;
    listed("idle", none).mount(&server).await;
    listed("web", tasks).mount(&server).await;
    let idle = ResponseTemplate::new(200).set_body_json(fixtures::job("idle"));
    Mock::given(path("/api/v1/jobs/idle"))
        .respond_with(idle)
        .expect(1)
        .mount(&server)
        .await;
    let problem = json!({
        "code": "not-found", "message": "there is no job `nosuch` in the fleet", "hint": "GET /api/v1/jobs lists the jobs"
    });
    Mock::given(path("/api/v1/jobs/nosuch"))
        .respond_with(ResponseTemplate::new(404).set_body_json(problem))
        .expect(1)
        .mount(&server)
        .await;
    let client = Client::new(&server.uri(), None).unwrap();
    let list = async |line: &[&str]| {
        let line = ["muster", "get", "tasks"].iter().chain(line);
        let cli = <crate::cli::Cli as clap::Parser>::try_parse_from(line).unwrap();
        let crate::cli::Command::Get(args) = cli.command else {
            panic!("it is `get`");
        };
        run(args, &client, &screen(Format::Table)).await
    };
    let error = list(&["--job", "nosuch"]).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no job `nosuch` in the fleet");
    let error = error.downcast_ref::<crate::cli::client::ClientError>();
    assert_eq!(error.expect("the control plane's no").exit_code(), 1);
    // One that is listed is not asked for, and history takes any name.
    for known in [
        &["--job", "idle"][..],
        &["--job", "web"],
        &["--archived", "--job", "nosuch"],
    ] {
        list(known).await.unwrap();
    }
}

#[test]
fn a_job_that_is_gone_from_git_is_said_to_be_so_once() {
    let reason = |reason: &str| {
        let change = json!({"declared": false, "status": "idle", "reason": reason});
        let jobs: Vec<muster_schemas::api::JobView> =
            read(json!([fixtures::with(fixtures::job("web"), change)]));
        rows::jobs(&jobs, now(), false).render(&screen(Format::Table))
    };
    for said in [
        "",
        "2 of 3 run",
        "its document was removed and the policy prunes",
    ] {
        let text = reason(said);
        assert_eq!(
            text.matches("its document was removed").count(),
            1,
            "{text}"
        );
        assert!(text.contains("undeclared: its document was removed"));
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn who_gives_a_list_a_name_is_told_how_to_see_one_thing() {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Get {
        #[command(flatten)]
        args: GetArgs,
    }
    for what in ["job", "task", "host", "plan", "deploy"] {
        let list = format!("{what}s");
        let args = Get::parse_from(["get", &list, "web.0"]).args;
        let failure = args.refuse_a_name().unwrap_err();
        assert_eq!(failure.code, 2);
        let one = format!("`muster describe {what} web.0`");
        assert!(failure.hint.contains(&one), "{}", failure.hint);
        let args = Get::parse_from(["get", &list, "--query", "web"]).args;
        args.refuse_a_name().unwrap();
    }
}
