//! Agents and the control plane over real TLS on the loopback address, with a control loop that only records.

mod hosts_fixture;

use futures::SinkExt as _;
use hosts_fixture::{
    Cell, Heard, Raw, SLOW_REPORT, StartedLink, assignments, close_of, facts, report, wait_for,
    within,
};
use muster::agent::link::{self, Identity, LinkError, LinkState};
use muster::hosts::{
    AuthoritySettings, CLOSE_BAD_FRAME, CLOSE_REFUSED, CLOSE_REPLACED, LogError, LogMessage,
};
use muster_schemas::ids::AttemptId;
use muster_schemas::state::Usage;
use muster_schemas::wire::{Fence, FromAgent, LogEnd, LogLine, LogStream, ToAgent};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

fn attempt(number: u128) -> AttemptId {
    AttemptId(uuid::Uuid::from_u128(number))
}

fn code_of(error: &LinkError) -> &str {
    match error {
        LinkError::Refused { code, .. } => code,
        other => panic!("a refusal was expected: {other}"),
    }
}

#[tokio::test]
async fn from_a_token_to_assignments_and_reports() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    assert_eq!(identity.cell().as_str(), "green");
    let host = identity.host();
    assert_eq!(cell.control.heard(), [Heard::Enrolled("a".to_owned())]);
    cell.control.assign(host, assignments(host, 1));

    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    assert_eq!(
        link.next().await,
        ToAgent::Assignments(assignments(host, 1))
    );
    assert_eq!(cell.hub.connected_hosts(), [host]);

    for seq in 1..=20 {
        link.say(FromAgent::Report(report(seq))).await;
    }
    link.say(FromAgent::Facts {
        facts: Box::new(facts("b")),
    })
    .await;
    let mut expected = vec![
        Heard::Enrolled("a".to_owned()),
        Heard::Connected(host, "a".to_owned(), Fence { epoch: 3, seq: 4 }),
    ];
    expected.extend((1..=20).map(|seq| Heard::Reported(host, seq)));
    expected.push(Heard::Facts(host, "b".to_owned()));
    wait_for("all is heard in order", || cell.control.heard() == expected).await;

    cell.control.assign(host, assignments(host, 2));
    assert_eq!(
        link.next().await,
        ToAgent::Assignments(assignments(host, 2))
    );
    link.stop().await;
    wait_for("the host is gone", || {
        cell.control.heard().last() == Some(&Heard::Disconnected(host))
    })
    .await;
    assert!(cell.hub.connected_hosts().is_empty());
}

#[tokio::test]
async fn a_token_is_good_for_one_agent() {
    let cell = Cell::start().await;
    let token = cell.token().await;
    let (first, second) = (cell.directory("a"), cell.directory("b"));
    link::enrol(&cell.url(), &token, "a", &first)
        .await
        .expect("the first enrols");
    let error = link::enrol(&cell.url(), &token, "b", &second)
        .await
        .expect_err("the second does not");
    assert_eq!(code_of(&error), "token-used");
    assert!(error.to_string().contains("already used"), "{error}");
    let again = link::enrol(&cell.url(), &cell.token().await, "a", &first).await;
    assert!(
        matches!(again, Err(LinkError::AlreadyEnrolled { .. })),
        "{again:?}"
    );
    // Many at once, one token: one gets in.
    let token = cell.token().await;
    let attempts = (0..8).map(|number| {
        let directory = cell.directory(&format!("many-{number}"));
        let (url, token) = (cell.url(), token.clone());
        async move { link::enrol(&url, &token, "many", &directory).await.is_ok() }
    });
    let outcomes = futures::future::join_all(attempts).await;
    assert_eq!(outcomes.into_iter().filter(|good| *good).count(), 1);
}

#[tokio::test]
async fn tokens_end_and_outlive_a_restart() {
    let cell = Cell::start().await;
    let (kept, ended) = (cell.token().await, cell.token().await);
    let file = cell.home().join("pki/enrolment-tokens.json");
    let mut tokens: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("kept")).expect("JSON");
    tokens[1]["expires_at"] = "2020-01-01T00:00:00Z".into();
    std::fs::write(&file, tokens.to_string()).expect("written");
    let cell = cell.restart().await;
    let error = link::enrol(&cell.url(), &ended, "a", &cell.directory("a"))
        .await
        .expect_err("it has ended");
    assert_eq!(code_of(&error), "token-ended");
    link::enrol(&cell.url(), &kept, "a", &cell.directory("a"))
        .await
        .expect("the restart spoils nothing");
}

#[tokio::test]
async fn a_refused_enrolment_does_not_use_up_the_token() {
    let cell = Cell::start().await;
    let token = cell.token().await;
    cell.control
        .refuse_enrolment(Some("a host named a is connected"));
    let error = link::enrol(&cell.url(), &token, "a", &cell.directory("a"))
        .await
        .expect_err("the control loop refuses");
    assert_eq!(
        error.to_string(),
        "the control plane refused: a host named a is connected"
    );
    let error = link::enrol(&cell.url(), &token, "a b", &cell.directory("a"))
        .await
        .expect_err("a bad name");
    assert_eq!(code_of(&error), "bad-request");
    cell.control.refuse_enrolment(None);
    link::enrol(&cell.url(), &token, "a", &cell.directory("a"))
        .await
        .expect("it is still good");
}

#[tokio::test]
async fn a_foreign_authority_is_refused_both_ways() {
    let (cell, other) = (Cell::start().await, Cell::start().await);
    // A token is for one authority: its secret is not given to another.
    let error = link::enrol(
        &other.url(),
        &cell.token().await,
        "a",
        &cell.directory("none"),
    )
    .await
    .expect_err("another control plane");
    assert!(
        error
            .to_string()
            .contains("not the control plane that the token is for"),
        "{error}"
    );
    assert!(other.control.heard().is_empty());

    // An agent does not speak to a server of another authority.
    let identity = cell.enrol("a").await;
    let moved = identity.clone().moved_to(&other.url()).expect("an address");
    let error = moved.renewed().await.expect_err("another authority");
    assert!(error.to_string().contains("another authority"), "{error}");
    let mut link = StartedLink::start(moved);
    link.until(
        |state| matches!(state, LinkState::Down { why } if why.contains("another authority")),
    )
    .await;

    // A server does not speak to an agent of another authority, even one that would accept it.
    let raw = Raw::of(&cell.directory("a")).trusting(&other);
    let error = raw
        .connect(&other)
        .await
        .expect_err("a foreign certificate");
    assert!(
        error.contains("UnknownCA")
            || error.contains("UnknownCa")
            || error.contains("DecryptError"),
        "{error}"
    );
    assert!(other.control.heard().is_empty());
}

#[tokio::test]
async fn only_tls_13_is_spoken() {
    let cell = Cell::start().await;
    cell.enrol("a").await;
    let raw = Raw::of(&cell.directory("a")).speaking_tls12();
    let error = raw.connect(&cell).await.expect_err("an old version");
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn many_agents_come_at_once() {
    let cell = Cell::start().await;
    let mut hosts = Vec::new();
    let mut links = Vec::new();
    for number in 0..100 {
        let identity = cell.enrol(&number.to_string()).await;
        hosts.push(identity.host());
        cell.control
            .assign(identity.host(), assignments(identity.host(), number));
        links.push(StartedLink::start(identity));
    }
    for (number, link) in links.iter_mut().enumerate() {
        link.say_hello().await;
        assert_eq!(
            link.next().await,
            ToAgent::Assignments(assignments(hosts[number], number as u64)),
            "each gets its own"
        );
    }
    hosts.sort_unstable();
    assert_eq!(cell.hub.connected_hosts(), hosts);
    cell.stop().await;
}

#[tokio::test]
async fn without_a_certificate_nothing_but_enrolment_is_open() {
    let cell = Cell::start().await;
    let raw = Raw::anonymous(&cell);
    for (path, method) in [("renew", "POST"), ("connect", "GET")] {
        let (status, body) = raw.request(&cell, method, path, "{\"csr_pem\":\"\"}").await;
        assert_eq!(status, 401, "{path}: {body}");
        assert!(body.contains("no-certificate"), "{body}");
    }
    let (status, body) = raw.request(&cell, "POST", "enrol", "{").await;
    assert_eq!(status, 400, "{body}");
    let (status, _) = raw
        .request(&cell, "POST", "enrol", &"x".repeat(100_000))
        .await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn unknown_hosts_and_other_cells_are_refused() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    cell.control.forget(identity.host());
    let error = identity.renewed().await.expect_err("it is not known");
    assert_eq!(code_of(&error), "unknown-host");
    let mut link = StartedLink::start(identity);
    link.until(|state| matches!(state, LinkState::Refused { why } if why.contains("was removed")))
        .await;
    link.stop().await;

    let identity = cell.enrol("b").await;
    let cell = cell.restart_as("blue").await;
    let error = identity.renewed().await.expect_err("another cell");
    assert_eq!(code_of(&error), "other-cell");
    assert!(cell.hub.connected_hosts().is_empty());
}

#[tokio::test]
async fn a_host_that_is_removed_loses_its_session() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    let host = identity.host();
    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    wait_for("it is connected", || cell.hub.connected_hosts() == [host]).await;
    cell.control.forget(host);
    link.until(|state| matches!(state, LinkState::Refused { .. }))
        .await;
    assert!(cell.hub.connected_hosts().is_empty());
}

#[tokio::test]
async fn it_reconnects_when_the_control_plane_is_back() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    let host = identity.host();
    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    wait_for("it is connected", || cell.hub.connected_hosts() == [host]).await;

    let stopped = cell.stop().await;
    link.until(|state| matches!(state, LinkState::Down { .. }))
        .await;
    // What is said meanwhile is dropped, and holds nothing up.
    for seq in 0..1000 {
        link.say(FromAgent::Report(report(seq))).await;
    }
    let cell = stopped.start().await;
    assert_eq!(
        cell.control
            .heard()
            .iter()
            .filter(|heard| matches!(heard, Heard::Disconnected(_)))
            .count(),
        0,
        "a control plane that ends does not say that its hosts are gone"
    );
    cell.control.clear();
    cell.control.assign(host, assignments(host, 7));
    link.say_hello().await;
    assert_eq!(
        link.next().await,
        ToAgent::Assignments(assignments(host, 7))
    );
    assert!(matches!(
        cell.control.heard().as_slice(),
        [Heard::Connected(..)]
    ));
}

#[tokio::test]
async fn a_newer_session_replaces_the_older_and_the_host_is_never_gone() {
    let cell = Cell::start().await;
    let host = cell.enrol("a").await.host();
    let raw = Raw::of(&cell.directory("a"));
    let mut first = raw.connect(&cell).await.expect("connected");
    first.hello("first").await;
    wait_for("the first is there", || cell.control.heard().len() == 2).await;
    let mut second = raw.connect(&cell).await.expect("connected");
    second.hello("second").await;
    let (code, reason) = close_of(&mut first).await;
    assert_eq!(code, CLOSE_REPLACED, "{reason}");
    drop(first);
    second.send(&FromAgent::Report(report(1))).await;
    let fence = Fence { epoch: 3, seq: 4 };
    let mut expected = vec![
        Heard::Enrolled("a".to_owned()),
        Heard::Connected(host, "first".to_owned(), fence),
        Heard::Connected(host, "second".to_owned(), fence),
        Heard::Reported(host, 1),
    ];
    wait_for("the second is heard", || cell.control.heard() == expected).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cell.control.heard(), expected);
    assert_eq!(cell.hub.connected_hosts(), [host]);
    drop(second);
    expected.push(Heard::Disconnected(host));
    wait_for("the host is gone once", || cell.control.heard() == expected).await;
}

#[tokio::test]
async fn nothing_of_an_older_session_is_heard_after_a_newer_one_has_begun() {
    let cell = Cell::start().await;
    let host = cell.enrol("a").await.host();
    let raw = Raw::of(&cell.directory("a"));
    let mut first = raw.connect(&cell).await.expect("connected");
    first.hello("first").await;
    first.send(&FromAgent::Report(report(SLOW_REPORT))).await;
    first.send(&FromAgent::Report(report(2))).await;
    wait_for("the first is there", || cell.control.heard().len() == 2).await;
    // The control loop is at work on the slow report by now.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = raw.connect(&cell).await.expect("connected");
    second.hello("second").await;
    let fence = Fence { epoch: 3, seq: 4 };
    let expected = [
        Heard::Enrolled("a".to_owned()),
        Heard::Connected(host, "first".to_owned(), fence),
        Heard::Reported(host, SLOW_REPORT),
        Heard::Connected(host, "second".to_owned(), fence),
    ];
    wait_for("the second is there", || cell.control.heard().len() >= 4).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cell.control.heard(), expected);
}

#[tokio::test]
async fn a_session_that_the_control_loop_refuses_is_closed_with_its_reason() {
    let cell = Cell::start().await;
    cell.enrol("a").await;
    cell.control
        .refuse_sessions(Some("it has heard a newer epoch"));
    let mut raw = Raw::of(&cell.directory("a"))
        .connect(&cell)
        .await
        .expect("connected");
    raw.hello("a").await;
    let (code, reason) = close_of(&mut raw).await;
    assert_eq!(
        (code, reason.as_str()),
        (CLOSE_REFUSED, "it has heard a newer epoch")
    );
    assert!(cell.hub.connected_hosts().is_empty());
}

#[tokio::test]
async fn a_host_that_refuses_its_orders_is_told_of_and_greets_anew() {
    let cell = Cell::start().await;
    let host = cell.enrol("a").await.host();
    let mut raw = Raw::of(&cell.directory("a"))
        .connect(&cell)
        .await
        .expect("connected");
    raw.hello("a").await;
    let highest = Fence { epoch: 9, seq: 500 };
    let got = Fence { epoch: 3, seq: 4 };
    raw.send(&FromAgent::Fenced { got, highest }).await;
    // What comes after it is of another history.
    raw.send(&FromAgent::Report(report(1))).await;
    let (code, reason) = close_of(&mut raw).await;
    assert_eq!(code, CLOSE_REFUSED, "{reason}");
    wait_for("it is gone", || {
        cell.control.heard().last() == Some(&Heard::Disconnected(host))
    })
    .await;
    let heard = cell.control.heard();
    assert!(
        heard.contains(&Heard::Fenced(host, got, highest)),
        "{heard:?}"
    );
    assert!(!heard.contains(&Heard::Reported(host, 1)), "{heard:?}");
}

#[tokio::test]
async fn frames_that_make_no_sense_close_the_connection_and_nothing_else() {
    let cell = Cell::start().await;
    let host = cell.enrol("a").await.host();
    let raw = Raw::of(&cell.directory("a"));
    let deep = "[".repeat(100_000);
    let hello = serde_json::to_string(&hosts_fixture::hello("a")).expect("JSON");
    for (greeted, frame) in [
        (false, "{\"type\":\"report\"}"),
        (false, "not json"),
        (false, "{\"type\":\"usage\",\"readings\":[]}"),
        (true, "{\"type\":\"no_such_frame\"}"),
        (true, deep.as_str()),
        (true, hello.as_str()),
        (true, ""),
    ] {
        let mut socket = raw.connect(&cell).await.expect("connected");
        if greeted {
            socket.hello("a").await;
        }
        socket.0.send(Message::text(frame)).await.expect("sent");
        let (code, reason) = close_of(&mut socket).await;
        let shown: String = frame.chars().take(30).collect();
        assert_eq!(code, CLOSE_BAD_FRAME, "{shown}: {reason}");
    }
    let mut socket = raw.connect(&cell).await.expect("connected");
    socket.hello("a").await;
    wait_for("it still serves", || cell.hub.connected_hosts() == [host]).await;
    // A frame over the limit is not read to its end.
    let too_large = "x".repeat(muster_schemas::wire::MAX_FRAME_BYTES + 1);
    let _ = socket.0.send(Message::text(too_large)).await;
    wait_for("it is cut", || cell.hub.connected_hosts().is_empty()).await;
}

#[tokio::test]
async fn a_silent_agent_is_given_up() {
    let cell = Cell::start().await;
    let host = cell.enrol("a").await.host();
    let mut socket = Raw::of(&cell.directory("a"))
        .connect(&cell)
        .await
        .expect("connected");
    socket.hello("a").await;
    wait_for("it is connected", || cell.hub.connected_hosts() == [host]).await;
    // The socket stays open and is not read, so that no ping is answered.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(cell.hub.connected_hosts(), [host]);
    wait_for("it is given up", || cell.hub.connected_hosts().is_empty()).await;
    assert_eq!(
        cell.control.heard().last(),
        Some(&Heard::Disconnected(host))
    );
    drop(socket);
}

#[tokio::test]
async fn assignments_that_come_fast_are_joined_to_the_newest() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    let host = identity.host();
    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    wait_for("it is connected", || cell.hub.connected_hosts() == [host]).await;
    for seq in 1..=5000 {
        cell.control.assign(host, assignments(host, seq));
    }
    let mut last = 0;
    while last < 5000 {
        let ToAgent::Assignments(got) = link.next().await else {
            panic!("only assignments were sent");
        };
        assert!(got.fence.seq > last, "they go forward only");
        last = got.fence.seq;
    }
}

#[tokio::test]
async fn logs_are_read_over_the_one_connection() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    let host = identity.host();
    let unreachable = cell.hub.log(host, attempt(1), false, None, None).await;
    assert_eq!(unreachable.err(), Some(LogError::NotConnected { host }));

    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    wait_for("it is connected", || cell.hub.connected_hosts() == [host]).await;
    let mut opened = Vec::new();
    for number in 1..=3 {
        let receiver = cell
            .hub
            .log(host, attempt(number), true, Some(10), None)
            .await
            .expect("it is connected");
        let ToAgent::LogOpen {
            stream,
            attempt: asked,
            follow: true,
            tail: Some(10),
            since: None,
        } = link.next().await
        else {
            panic!("the agent is asked for the log");
        };
        assert_eq!(asked, attempt(number));
        opened.push((stream, receiver));
    }
    let line = |text: &str| LogLine {
        at: jiff::Timestamp::UNIX_EPOCH,
        stream: LogStream::Stderr,
        text: text.to_owned(),
    };
    let (third, mut third_reader) = opened.pop().expect("three");
    let (second, second_reader) = opened.pop().expect("three");
    let (first, mut first_reader) = opened.pop().expect("three");
    for (stream, text, end) in [
        (second, "two", None),
        (first, "one", None),
        (first, "last", Some(LogEnd::Complete)),
        (9999, "nobody asked", None),
    ] {
        link.say(FromAgent::Log {
            stream,
            lines: vec![line(text)],
            end,
        })
        .await;
    }
    for expected in [
        LogMessage::Lines(vec![line("one")]),
        LogMessage::Lines(vec![line("last")]),
        LogMessage::End(LogEnd::Complete),
    ] {
        assert_eq!(within(first_reader.recv()).await, Some(expected));
    }
    assert_eq!(within(first_reader.recv()).await, None);
    drop(second_reader);
    assert_eq!(link.next().await, ToAgent::LogClose { stream: second });
    link.stop().await;
    let end = within(third_reader.recv()).await;
    assert!(
        matches!(&end, Some(LogMessage::End(LogEnd::Failed { message })) if message.contains("no longer connected")),
        "stream {third} ends with the connection: {end:?}"
    );
}

#[tokio::test]
async fn usage_is_kept_for_a_while() {
    let cell = Cell::start().await;
    let identity = cell.enrol("a").await;
    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    let reading = |second| Usage {
        attempt: attempt(1),
        at: jiff::Timestamp::from_second(second).expect("a time"),
        cpu_millis: 250,
        memory_bytes: 1 << 20,
        network_rx_bytes_per_sec: 1,
        network_tx_bytes_per_sec: 2,
        pids: 3,
    };
    for second in [3, 6, 9] {
        link.say(FromAgent::Usage {
            readings: vec![reading(second)],
        })
        .await;
    }
    let expected: Vec<Usage> = [3, 6, 9].map(reading).to_vec();
    wait_for("it is kept", || cell.hub.usage(attempt(1)) == expected).await;
    assert!(cell.hub.usage(attempt(2)).is_empty());
}

#[tokio::test]
async fn certificates_are_renewed_at_half_of_their_life() {
    let cell = Cell::start_with(AuthoritySettings {
        host_lifetime: Duration::from_secs(6),
        server_lifetime: Duration::from_secs(6),
        ..AuthoritySettings::default()
    })
    .await;
    let identity = cell.enrol("a").await;
    let (host, first_end) = (identity.host(), identity.expires_at());
    let mut link = StartedLink::start(identity);
    link.say_hello().await;
    // Past the end of the first certificates of both ends.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let kept = Identity::load(&cell.directory("a")).expect("kept");
    assert!(kept.expires_at() > first_end, "{kept:?}");
    assert_eq!(kept.host(), host);
    assert_eq!(
        cell.hub.connected_hosts(),
        [host],
        "a renewal does not disturb the connection"
    );
    // And the new one is good for a new connection, after the same process' server certificate was renewed too.
    let mut raw = Raw::of(&cell.directory("a"))
        .connect(&cell)
        .await
        .expect("the renewed certificate is good");
    raw.hello("raw").await;
    wait_for("it is heard", || {
        cell.control
            .heard()
            .iter()
            .any(|heard| matches!(heard, Heard::Connected(_, name, _) if name == "raw"))
    })
    .await;
}

#[tokio::test]
async fn an_ended_certificate_can_be_renewed_for_a_while_and_nothing_else() {
    let cell = Cell::start_with(AuthoritySettings {
        host_lifetime: Duration::from_secs(1),
        renewal_grace: Duration::from_secs(5),
        ..AuthoritySettings::default()
    })
    .await;
    let identity = cell.enrol("a").await;
    let raw = Raw::of(&cell.directory("a"));
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let error = raw.connect(&cell).await.expect_err("it has ended");
    assert!(error.contains("403"), "{error}");
    let (status, body) = raw.request(&cell, "GET", "connect", "").await;
    assert_eq!(status, 403);
    assert!(body.contains("certificate-ended"), "{body}");
    identity.renewed().await.expect("it can be renewed late");

    tokio::time::sleep(Duration::from_secs(5)).await;
    let error = identity.renewed().await.expect_err("too late");
    assert!(error.to_string().contains("too long ago"), "{error}");
    assert!(error.is_refusal());
}
