//! Alerts: told while they fire, and told to be over, also after a restart.

use crate::rig::{Rig, eventually, header, json, requests};
use muster_schemas::event::{Event, RepositoryTrouble};
use serde_json::Value;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn alertmanager() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v2/alerts"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    server
}

/// The last that was told of the alert with this code.
async fn last(server: &MockServer, code: &str) -> Option<Value> {
    requests(server).await.iter().rev().find_map(|request| {
        let alerts = json(request);
        let alerts = alerts.as_array().expect("a list");
        alerts
            .iter()
            .find(|alert| alert["labels"]["alertname"] == code)
            .cloned()
    })
}

fn is_over(alert: &Value) -> bool {
    let ends: jiff::Timestamp = alert["endsAt"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    ends <= jiff::Timestamp::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_and_is_over_even_when_it_ends_while_nobody_tells() {
    let server = alertmanager().await;
    let file = format!(
        "consoleUrl: https://muster.example.com\nalertmanager:\n  - name: am\n    url: {}\n    token: a token\n    labels: {{team: fleet}}\n",
        server.uri()
    );
    let mut rig = Rig::new(&file);
    rig.start();
    rig.cell.say(Event::RepositoryTroubled {
        trouble: RepositoryTrouble::NoBranch {
            branch: "main".to_owned(),
        },
    });
    let code = "repository-no-branch";
    eventually("it fires", async || last(&server, code).await.is_some()).await;
    let alert = last(&server, code).await.expect("it fires");
    assert!(!is_over(&alert), "{alert}");
    assert_eq!(alert["labels"]["severity"], "page");
    assert_eq!(alert["labels"]["cell"], "test");
    assert_eq!(alert["labels"]["team"], "fleet");
    assert_eq!(alert["generatorURL"], "https://muster.example.com/plans");
    let summary = alert["annotations"]["summary"].as_str().expect("a text");
    assert!(
        summary.starts_with("The repository has no branch `main` with a commit on it; "),
        "{summary}"
    );
    let sent = requests(&server).await;
    assert_eq!(header(&sent[0], "authorization"), "Bearer a token");
    rig.end().await;

    rig.cell.say(Event::RepositoryRecovered);
    rig.start();
    eventually("it is over", async || {
        last(&server, code)
            .await
            .is_some_and(|alert| is_over(&alert))
    })
    .await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_that_is_down_is_told_how_it_is_then() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(3)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let file = format!("alertmanager:\n  - name: am\n    url: {}\n", server.uri());
    let mut rig = Rig::new(&file);
    rig.hold(1);
    rig.start();
    eventually("it is told", async || requests(&server).await.len() >= 4).await;
    let alert = last(&server, "plan-held").await.expect("it fires");
    assert!(!is_over(&alert));
    assert_eq!(alert.get("generatorURL"), None);
    rig.end().await;
}
