//! Events: each once and in order, whatever happens to receivers and to the control plane.

use crate::rig::{Rig, assert_signed, eventually, header, json, requests, wait_for};
use serde_json::json as value;
use wiremock::matchers::{header as has_header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn receiver(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

fn webhook(server: &MockServer, more: &str) -> String {
    format!(
        "webhooks:\n  - name: audit\n    url: {}/hook\n    secret: a key\n{more}",
        server.uri()
    )
}

const FROZEN: &str = "    events: [frozen]\n";

/// The reasons that were told, in order.
fn told(requests: &[wiremock::Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| {
            json(request)["data"]["reason"]
                .as_str()
                .expect("a reason")
                .to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_as_the_watch_shows_it_and_signed() {
    let server = receiver(204).await;
    let mut rig = Rig::new(&webhook(&server, ""));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    let seq = rig.freeze("sale");
    let requests = wait_for(&server, 1).await;
    assert_signed(&requests[0], b"a key");
    assert_eq!(header(&requests[0], "content-type"), "application/json");
    assert_eq!(header(&requests[0], "x-muster-event"), "frozen");
    assert_eq!(
        header(&requests[0], "x-muster-delivery"),
        format!("test/{seq}")
    );
    let event = json(&requests[0]);
    assert_eq!(event["seq"], seq);
    assert_eq!(event["kind"], "frozen");
    assert_eq!(event["text"], "the cell was frozen by control: sale");
    assert_eq!(event["data"]["reason"], "sale");
    // What happened before the target was there is not told.
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_sent_the_same_again_until_it_takes_it() {
    let server = MockServer::start().await;
    for status in [503, 500, 404, 429] {
        Mock::given(path("/hook"))
            .respond_with(ResponseTemplate::new(status).insert_header("retry-after", "0"))
            .up_to_n_times(2)
            .mount(&server)
            .await;
    }
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.freeze("one");
    rig.freeze("two");
    let requests = wait_for(&server, 10).await;
    let mut expected = vec!["one"; 9];
    expected.push("two");
    assert_eq!(told(&requests), expected);
    for request in &requests {
        assert_signed(request, b"a key");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_never_takes_does_not_hold_up_the_next() {
    let server = MockServer::start().await;
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(422))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.freeze("one");
    rig.freeze("two");
    assert_eq!(told(&wait_for(&server, 2).await), ["one", "two"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let elsewhere = receiver(200).await;
    let server = MockServer::start().await;
    let away = format!("{}/stolen", elsewhere.uri());
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(307).insert_header("location", away.as_str()))
        .mount(&server)
        .await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.freeze("one");
    eventually("it was tried again", async || {
        requests(&server).await.len() >= 3
    })
    .await;
    assert!(requests(&elsewhere).await.is_empty());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_and_repeats_nothing_that_was_taken() {
    let server = receiver(200).await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.freeze("one");
    wait_for(&server, 1).await;
    rig.end().await;
    // While nobody tells anything, and the receiver is down afterwards.
    rig.freeze("two");
    rig.freeze("three");
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&server)
        .await;
    rig.start();
    eventually("it is tried", async || requests(&server).await.len() >= 2).await;
    rig.crash().await;
    rig.freeze("four");
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    rig.start();
    assert_eq!(told(&wait_for(&server, 3).await), ["two", "three", "four"]);
    rig.end().await;
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    rig.start();
    rig.freeze("five");
    assert_eq!(told(&wait_for(&server, 1).await), ["five"]);
    rig.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_holds_up_no_other() {
    let (down, up) = (receiver(503).await, receiver(200).await);
    let file = format!(
        "{}  - name: other\n    url: {}/hook\n    secret: a key\n{FROZEN}",
        webhook(&down, FROZEN),
        up.uri()
    );
    let mut rig = Rig::new(&file);
    rig.start();
    rig.wait_until_begun(&["audit", "other"]).await;
    for number in 0..50 {
        rig.freeze(&number.to_string());
    }
    let all: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(told(&wait_for(&up, 50).await), all);
    let held_up = requests(&down).await;
    assert!(told(&held_up).iter().all(|reason| reason == "0"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_far_behind_is_passed_over() {
    let server = receiver(200).await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.bounds.behind = 5;
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.end().await;
    for number in 0..20 {
        rig.freeze(&number.to_string());
    }
    rig.start();
    assert_eq!(
        told(&wait_for(&server, 5).await),
        ["15", "16", "17", "18", "19"]
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_little_is_not_behind_because_much_happens() {
    let server = receiver(200).await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.bounds.behind = 3000;
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    // Told in between, so that the place is known to follow rather than to be caught up with at the end.
    for _ in 0..8 {
        for _ in 0..500 {
            rig.cell
                .say(muster_schemas::event::Event::RepositoryRecovered);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let place = rig.home.path().join("notify/audit.json");
    eventually("the place follows", async || {
        let text = std::fs::read_to_string(&place).unwrap_or_default();
        let seq = text
            .split("\"seq\":")
            .nth(1)
            .and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        seq.is_some_and(|seq| seq > 2000)
    })
    .await;
    rig.freeze("one");
    assert_eq!(told(&wait_for(&server, 1).await), ["one"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_passed_over() {
    let server = receiver(200).await;
    let mut rig = Rig::new(&webhook(&server, FROZEN));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.end().await;
    // By the clock of the record: were the bound short, a slow machine would make the new one too old as well.
    let too_old = rig.bounds.age + jiff::SignedDuration::from_secs(60);
    rig.cell.say_at(
        jiff::Timestamp::now() - too_old,
        muster_schemas::state::Actor::Person("ann".to_owned()),
        muster_schemas::event::Event::Frozen {
            scope: muster_schemas::plan::FreezeScope::Cell,
            reason: "old".to_owned(),
            until: None,
        },
    );
    rig.start();
    rig.freeze("new");
    assert_eq!(told(&wait_for(&server, 1).await), ["new"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_kinds_narrow_down_what_is_told() {
    let server = receiver(200).await;
    let more = "    events: [frozen, task_created]\n    jobs: [web]\n";
    let mut rig = Rig::new(&webhook(&server, more));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    rig.freeze("the whole cell");
    for task in ["other.0", "web.7"] {
        rig.cell.say(muster_schemas::event::Event::TaskCreated {
            task: task.parse().expect("a task"),
            version: 1,
            run: 0,
        });
    }
    let requests = wait_for(&server, 1).await;
    assert_eq!(json(&requests[0])["task"], "web.7");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_chats_and_pipelines_get_what_they_want() {
    let server = receiver(200).await;
    let uri = server.uri();
    let file = format!(
        r#"
consoleUrl: https://muster.example.com/
webhooks:
  - name: pager
    url: {uri}/pager
    token: a token
    events: [plan_held]
    template: |
      {{"title": {{{{ event.text }}}}, "url": {{{{ link }}}}, "cell": {{{{ cell }}}}}}
slack:
  - name: chat
    url: {uri}/slack
spinnaker:
  - name: gate
    url: {uri}/gate/
    source: fleet
    secret: a constraint
    parameters: {{stack: prod}}
    events: [plan_applied, task_created]
"#
    );
    let mut rig = Rig::new(&file);
    rig.start();
    rig.wait_until_begun(&["pager", "chat", "gate"]).await;
    rig.hold(7);
    rig.cell.say(muster_schemas::event::Event::TaskCreated {
        task: "web.7".parse().expect("a task"),
        version: 1,
        run: 0,
    });
    let mut requests = wait_for(&server, 3).await;
    requests.sort_by_key(|request| request.url.path().to_owned());
    let plan = format!("{:064x}", 7);

    assert_eq!(requests[0].url.path(), "/gate/webhooks/webhook/fleet");
    assert_eq!(
        json(&requests[0]),
        value!({
            "event": "task_created", "cell": "test",
            "text": "task web.7 came to be, for version 1",
            "job": "web", "plan": "aa11", "revision": "c0ffee", "secret": "a constraint",
            "git": {
                "branch": "main", "hash": "c0ffee",
                "author": "An Author <author@example.com>", "message": "Add web",
            },
            "parameters": {"stack": "prod"},
            "artifacts": [{
                "type": "docker/image", "name": "registry.example.com/web", "version": "sha256:aa",
                "reference": "registry.example.com/web@sha256:aa",
            }],
        })
    );
    assert_eq!(header(&requests[1], "authorization"), "Bearer a token");
    let pager = json(&requests[1]);
    assert_eq!(
        pager["url"],
        format!("https://muster.example.com/plans/{plan}")
    );
    assert_eq!(pager["cell"], "test");
    let title = pager["title"].as_str().expect("a title");
    assert!(title.starts_with("plan 000000000000 is held: "), "{title}");
    assert_eq!(
        json(&requests[2]),
        value!({"text": format!("*test*: {title} <https://muster.example.com/plans/{plan}|Open>")})
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_what_not_is_counted() {
    let server = MockServer::start().await;
    Mock::given(has_header("x-muster-event", "frozen"))
        .respond_with(ResponseTemplate::new(400))
        .mount(&server)
        .await;
    Mock::given(has_header("x-muster-event", "resumed"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let file = webhook(&server, "    events: [frozen, resumed]\n").replace("audit", "counted");
    let mut rig = Rig::new(&file);
    rig.bounds.behind = 3;
    // The recorder of the metrics is there before what is counted.
    let state = rig.cell.state();
    rig.start();
    rig.wait_until_begun(&["counted"]).await;
    rig.freeze("no");
    rig.cell.say(muster_schemas::event::Event::Resumed {
        scope: muster_schemas::plan::FreezeScope::Cell,
        reason: "yes".to_owned(),
    });
    wait_for(&server, 2).await;
    rig.end().await;
    for _ in 0..8 {
        rig.freeze("no");
    }
    rig.start();
    wait_for(&server, 5).await;
    rig.end().await;
    let request = axum::http::Request::get("/metrics").body(axum::body::Body::empty());
    let answer =
        tower::ServiceExt::oneshot(muster::api::router(state), request.expect("a request"));
    let body = answer.await.expect("an answer").into_body();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let page = String::from_utf8(body.to_vec()).expect("text");
    for line in [
        r#"muster_notify_sent_total{target="counted"} 1"#,
        r#"muster_notify_failed_total{target="counted"} 4"#,
        r#"muster_notify_skipped_total{target="counted"} 5"#,
        r#"muster_notify_behind_events{target="counted"} 0"#,
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_not_kept_while_a_template_is_rendered() {
    let server = receiver(200).await;
    // So many steps that it takes a while, and few enough that it is let.
    let template = "    template: \"{% for a in range(90000) %}{% endfor %}{{ event.text }}\"\n    contentType: text/plain\n";
    let mut rig = Rig::new(&webhook(&server, &format!("{FROZEN}{template}")));
    rig.start();
    rig.wait_until_begun(&["audit"]).await;
    let began = std::time::Instant::now();
    rig.freeze("sale");
    let said = wait_for(&server, 1).await;
    // Most of this is the template's.
    let took = began.elapsed();
    assert_eq!(said[0].body, b"the cell was frozen by control: sale");
    let longest = *rig.longest_look.lock().expect("the longest");
    assert!(
        longest < took / 4,
        "the fleet was kept {longest:?} of {took:?}"
    );
    rig.end().await;
}
