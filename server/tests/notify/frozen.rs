//! A whole control plane on a journal that is damaged: whoever is told anything is told that.

use crate::plane::{self, Plane};
use crate::rig::{assert_signed, eventually, header, json, requests};
use serde_json::json as value;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn mount(server: &MockServer, at: &str, status: u16, times: Option<u64>) {
    let mock = Mock::given(method("POST"))
        .and(path(at))
        .respond_with(ResponseTemplate::new(status));
    match times {
        Some(times) => mock.up_to_n_times(times).with_priority(1).mount(server),
        None => mock.mount(server),
    }
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_told_to_everybody_until_they_take_it_and_starts_no_pipeline() {
    let server = MockServer::start().await;
    for at in ["/audit", "/pager", "/slack", "/api/v2/alerts"] {
        // Whoever is away for a moment is told all the same.
        mount(&server, at, 503, Some(1)).await;
        mount(&server, at, 200, None).await;
    }
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("notify.yaml");
    let text = r#"
consoleUrl: https://muster.example.com
webhooks:
  - name: audit
    url: URI/audit
    secret: a key
    # Nothing of a journal would be told here now.
    events: [plan_held]
    jobs: [web]
  - name: pager
    url: URI/pager
    template: |
      {"summary": {{ event.text }}, "kind": {{ event.kind }}, "why": {{ event.data.reasons }}}
slack:
  - name: chat
    url: URI/slack
spinnaker:
  - name: gate
    url: URI/gate
    source: fleet
alertmanager:
  - name: am
    url: URI
    labels: {team: fleet}
"#;
    std::fs::write(&file, text.replace("URI", &server.uri())).expect("the file");
    let mut config = plane::config(
        &home.path().join("control"),
        &home.path().join("none.git").display().to_string(),
    );
    config.notify = Some(file);
    let journal = plane::in_home(&config, "journal.db");
    std::fs::create_dir(&config.home).expect("its home");
    std::fs::write(&journal, b"this is no journal at all").expect("it is damaged");

    let plane = Plane::start(config).await;
    assert!(plane::pages(&plane.fleet().await).contains(&"journal-damaged"));
    let at = async |at: &str| {
        let all = requests(&server).await;
        let there: Vec<_> = all
            .into_iter()
            .filter(|request| request.url.path() == at)
            .collect();
        there
    };
    for target in ["/audit", "/pager", "/slack", "/api/v2/alerts"] {
        // Once in vain, and once more.
        eventually(target, async || at(target).await.len() >= 2).await;
    }
    let audit = at("/audit").await;
    assert_signed(&audit[1], b"a key");
    assert_eq!(header(&audit[1], "x-muster-event"), "journal_damaged");
    let delivery = header(&audit[1], "x-muster-delivery");
    assert!(delivery.starts_with("test/journal_damaged/"), "{delivery}");
    assert_eq!(delivery, header(&audit[0], "x-muster-delivery"));
    let event = json(&audit[1]);
    assert_eq!(event["kind"], "journal_damaged");
    let sentence = event["text"].as_str().expect("a sentence").to_owned();
    for words in [
        "This control plane is frozen",
        "is damaged",
        "restore the file",
    ] {
        assert!(sentence.contains(words), "{sentence}");
    }
    assert_eq!(
        json(&at("/pager").await[1]),
        value!({"summary": sentence, "kind": "journal_damaged", "why": null})
    );
    let said = json(&at("/slack").await[1]);
    let said = said["text"].as_str().expect("a text");
    assert!(
        said.starts_with("*test*: This control plane is frozen"),
        "{said}"
    );
    assert!(
        said.ends_with("<https://muster.example.com/events|Open>"),
        "{said}"
    );

    let alerts = json(&at("/api/v2/alerts").await[1]);
    let [alert] = &alerts.as_array().expect("a list")[..] else {
        panic!("it is one alert: {alerts:#}");
    };
    assert_eq!(
        alert["labels"],
        value!({
            "alertname": "journal-damaged", "severity": "page", "cell": "test", "about": "/events",
            "source": "muster", "team": "fleet",
        })
    );
    assert_eq!(alert["annotations"]["summary"], sentence.as_str());
    let ends: jiff::Timestamp = alert["endsAt"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("one");
    assert!(ends > jiff::Timestamp::now(), "{alert}");

    // Those who took it are told no more, and no pipeline is started.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for target in ["/audit", "/pager", "/slack"] {
        assert_eq!(at(target).await.len(), 2, "{target}");
    }
    assert!(at("/gate/webhooks/webhook/fleet").await.is_empty());
    // It ends as any other, whoever is still to be told.
    plane.stop().await;
}
