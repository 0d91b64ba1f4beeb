//! The agent against a real Docker engine. It needs one at `/var/run/docker.sock` and the example images in a registry, and
//! fails loudly without them; `MUSTER_TEST_REGISTRY` says where that is if not at 127.0.0.1:5000.
//!
//! Each test has a cell of its own, so that tests do not see each other's containers, and removes its containers at the end.

mod agent_docker_rig;

use agent_docker_rig::{Rig, docker, image, launch, probe, registry, run_item, shell, stop_item};
use muster_schemas::ids::AttemptId;
use muster_schemas::spec::{Bytes, Millis};
use muster_schemas::state::{Outcome, Phase};
use muster_schemas::wire::{Assignment, Fence, Launch, LogEnd, ToAgent};
use std::process::Command;
use std::time::{Duration, Instant};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hardened_containers_run_and_are_adopted() {
    let mut rig = Rig::started("adopt").await;
    let image = image("web:1");
    let launches: Vec<Launch> = (0..3)
        .map(|index| {
            let mut launch = launch(&image, index);
            launch.readiness = probe(r#"{"http":{"port":8080,"path":"/healthz"}}"#);
            launch.liveness = probe(r#"{"exec":{"command":["/bin/true"]}}"#);
            launch
        })
        .collect();
    let begun = Instant::now();
    rig.assign(launches.iter().map(run_item).collect()).await;
    rig.until("three run", |rig| launches.iter().all(|l| rig.runs(l)))
        .await;
    println!("three containers ran after {:?}", begun.elapsed());
    rig.until("three are ready and alive", |rig| {
        launches.iter().all(|l| {
            let status = &rig.attempts[&l.attempt];
            status.ready == Some(true) && status.live == Some(true)
        })
    })
    .await;
    println!("three containers were ready after {:?}", begun.elapsed());

    is_hardened(&rig, &launches[0]);
    rig.until("usage is read", |rig| {
        rig.usage
            .iter()
            .any(|usage| usage.memory_bytes > 0 && usage.pids > 0)
    })
    .await;

    // The agent dies and comes back: the same containers, not restarted, never told as unready.
    let known = |rig: &Rig| -> Vec<_> {
        launches
            .iter()
            .map(|l| (rig.container(l), rig.attempts[&l.attempt].started_at))
            .collect()
    };
    let before = known(&rig);
    rig.kill().await;
    rig.attempts.clear();
    rig.start().await;
    assert_eq!(before, known(&rig));
    for launch in &launches {
        assert_eq!(rig.attempts[&launch.attempt].ready, Some(true));
    }

    // One stop order stops one container.
    let mut items: Vec<_> = launches.iter().map(run_item).collect();
    items[1] = stop_item(&launches[1]);
    rig.assign(items).await;
    let ended = rig.end_of(&launches[1]).await;
    assert_eq!(ended.outcome, Outcome::Stopped);
    assert_eq!(
        ended.exit_code,
        Some(0),
        "the example ends well when told to"
    );
    rig.idle(Duration::from_millis(500)).await;
    assert!(rig.runs(&launches[0]) && rig.runs(&launches[2]));

    // An old fence stops nothing.
    rig.assign_at(
        Fence { epoch: 1, seq: 99 },
        launches.iter().map(stop_item).collect(),
    )
    .await;
    rig.until("it refuses", |rig| rig.fenced > 0).await;
    rig.idle(Duration::from_secs(1)).await;
    assert!(rig.runs(&launches[0]) && rig.runs(&launches[2]));

    // An ended container is removed; one that runs is not.
    rig.assign(vec![
        Assignment::Remove {
            attempt: launches[0].attempt,
        },
        Assignment::Remove {
            attempt: launches[1].attempt,
        },
        run_item(&launches[2]),
    ])
    .await;
    rig.last_complete = None;
    rig.until("one is removed", |rig| {
        rig.last_complete.as_ref().is_some_and(|report| {
            report
                .attempts
                .iter()
                .all(|status| status.attempt != launches[1].attempt)
        })
    })
    .await;
    let running = rig.container(&launches[0]);
    assert_eq!(
        docker(&["inspect", "-f", "{{.State.Running}}", &running]),
        "true"
    );
}

/// By the agent's word, by the engine's, and by the kernel's.
fn is_hardened(rig: &Rig, launch: &Launch) {
    let status = &rig.attempts[&launch.attempt];
    let hardening = status.hardening.clone().unwrap();
    assert!(hardening.no_new_privileges && hardening.read_only_root);
    assert_eq!(hardening.seccomp, "default");
    assert_eq!(hardening.capabilities, Vec::<String>::new());
    assert_eq!(hardening.memory_limit, Some(128 << 20));
    assert_eq!(hardening.cpu_limit_millis, Some(100));
    assert_eq!(hardening.pids_limit, Some(512));
    assert_eq!(hardening.user, "1000:1000");

    let name = format!("muster-{}", launch.attempt);
    let inspected: serde_json::Value = serde_json::from_str(&docker(&["inspect", &name])).unwrap();
    let inspected = &inspected[0];
    assert_eq!(inspected["Id"], status.container.clone().unwrap());
    let host = &inspected["HostConfig"];
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(
        host["SecurityOpt"],
        serde_json::json!(["no-new-privileges"])
    );
    assert_eq!(host["Memory"], 128 << 20);
    assert_eq!(host["MemorySwap"], 128 << 20);
    assert_eq!(host["NanoCpus"], 100_000_000);
    assert_eq!(host["PidsLimit"], 512);
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    let labels = &inspected["Config"]["Labels"];
    for (label, value) in [
        ("muster.cell", rig.cell.to_string()),
        ("muster.host", rig.host.to_string()),
        ("muster.job", "web".to_owned()),
        ("muster.task", "web.0".to_owned()),
        ("muster.attempt", launch.attempt.to_string()),
        ("muster.version", "1".to_owned()),
        ("muster.app", "shop".to_owned()),
        ("muster.label.team", "shop".to_owned()),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
    let status = docker(&["exec", &name, "cat", "/proc/self/status"]);
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.map(str::trim).unwrap_or_default()
    };
    assert_eq!(line("CapBnd:"), "0000000000000000");
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Seccomp:"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_assigned_is_left_alone() {
    let mut rig = Rig::started("orphan").await;
    let image = image("web:1");
    let strange = AttemptId(Uuid::now_v7());
    let cell = format!("muster.cell={}", rig.cell);
    let label = |name: &str, value: &str| format!("muster.{name}={value}");
    let orphan = docker(&[
        "run",
        "-d",
        "--name",
        &format!("muster-{strange}"),
        "--label",
        &cell,
        "--label",
        &label("host", &rig.host.to_string()),
        "--label",
        &label("attempt", &strange.to_string()),
        "--label",
        &label("task", "gone.0"),
        &image,
    ]);
    let another_hosts = docker(&[
        "run",
        "-d",
        "--label",
        &cell,
        "--label",
        &label("host", "another"),
        &image,
    ]);
    let launch = launch(&image, 0);
    rig.assign(vec![run_item(&launch)]).await;
    rig.until("it runs", |rig| rig.runs(&launch)).await;
    rig.until("the orphan is told", |rig| {
        rig.last_complete.as_ref().is_some_and(|report| {
            report.orphans.iter().any(|told| {
                told.container == orphan && told.attempt == Some(strange) && told.running
            })
        })
    })
    .await;
    let own = rig.container(&launch);
    rig.assign(Vec::new()).await;
    rig.last_complete = None;
    rig.until("both are orphans now", |rig| {
        rig.last_complete
            .as_ref()
            .is_some_and(|report| report.orphans.len() == 2)
    })
    .await;
    rig.idle(Duration::from_secs(3)).await;
    for container in [&orphan, &another_hosts, &own] {
        assert_eq!(
            docker(&["inspect", "-f", "{{.State.Running}}", container]),
            "true"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_told_as_they_were() {
    let mut rig = Rig::started("ends").await;
    let good = shell(0, "exit 0");
    let bad = shell(1, "exit 7");
    let killed = shell(2, "kill -9 $$");
    let mut greedy = shell(3, "exec tail /dev/zero");
    greedy.resources.memory = Bytes::mib(16);
    let mut nameless = launch(&image("web:1"), 4);
    nameless.entrypoint = Some(vec!["/bin/nothing-of-this-name".into()]);
    let mut deaf = shell(5, "trap '' TERM; while true; do sleep 1; done");
    deaf.kill_grace = Millis(1000);
    let by_hand = shell(6, "sleep 1000");
    let mut no_user = shell(7, "true");
    no_user.user = Some("nobody-of-this-name".into());
    let all = [
        &good, &bad, &killed, &greedy, &nameless, &deaf, &by_hand, &no_user,
    ];
    rig.assign(all.iter().map(|l| run_item(l)).collect()).await;

    let ended = rig.end_of(&good).await;
    assert_eq!(
        (ended.outcome, ended.exit_code),
        (Outcome::Succeeded, Some(0))
    );
    let ended = rig.end_of(&bad).await;
    assert_eq!((ended.outcome, ended.exit_code), (Outcome::Failed, Some(7)));
    assert_eq!(ended.message, "exited with 7");
    let ended = rig.end_of(&killed).await;
    assert_eq!((ended.outcome, ended.signal), (Outcome::Failed, Some(9)));
    let ended = rig.end_of(&greedy).await;
    assert!(ended.oom, "{ended:?}");
    assert_eq!(ended.message, "killed for want of memory (limit 16 MiB)");
    let ended = rig.end_of(&nameless).await;
    assert_eq!(
        (ended.outcome, ended.system_error),
        (Outcome::Failed, false)
    );
    assert_eq!(ended.exit_code, Some(127), "{ended:?}");
    let ended = rig.end_of(&no_user).await;
    assert_eq!(
        (ended.outcome, ended.system_error),
        (Outcome::Failed, false),
        "{ended:?}"
    );
    assert!(ended.message.contains("nobody-of-this-name"), "{ended:?}");

    rig.until("two still run", |rig| rig.runs(&deaf) && rig.runs(&by_hand))
        .await;
    docker(&["kill", &rig.container(&by_hand)]);
    let told = Instant::now();
    let ended = rig.end_of(&by_hand).await;
    println!("a killed container was told after {:?}", told.elapsed());
    assert_eq!((ended.outcome, ended.signal), (Outcome::Failed, Some(9)));
    let gone = rig.container(&bad);
    let items = |stop: &Launch| {
        all.iter()
            .map(|l| {
                if l.attempt == stop.attempt {
                    stop_item(l)
                } else {
                    run_item(l)
                }
            })
            .collect()
    };
    rig.assign(items(&deaf)).await;
    let ended = rig.end_of(&deaf).await;
    assert_eq!((ended.outcome, ended.signal), (Outcome::Stopped, Some(9)));

    // A container that was removed by hand after its end is remembered as it ended.
    docker(&["rm", &gone]);
    rig.kill().await;
    rig.attempts.clear();
    rig.start().await;
    rig.idle(Duration::from_secs(1)).await;
    assert_eq!(rig.ended(&bad).unwrap().exit_code, Some(7));
    assert_eq!(rig.ended(&deaf).unwrap().outcome, Outcome::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_not_the_jobs_fault() {
    let mut rig = Rig::started("ports").await;
    // Held by the test, so that the engine cannot have it.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut launch = launch(&image("web:1"), 0);
    launch.ports = serde_json::from_value(serde_json::json!([
        { "name": "http", "port": 8080, "hostPort": taken.local_addr().unwrap().port() }
    ]))
    .unwrap();
    rig.assign(vec![run_item(&launch)]).await;
    let ended = rig.end_of(&launch).await;
    assert_eq!(
        (ended.outcome, ended.system_error),
        (Outcome::Failed, true),
        "{ended:?}"
    );
    assert!(
        ended.message.starts_with("the container could not start: ")
            && ended.message.contains("in use"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_nowhere_is_waited_for() {
    let mut rig = Rig::started("nowhere").await;
    let missing = image("web:1").replace("example/web", "example/none");
    let launch = launch(&missing, 0);
    rig.assign(vec![run_item(&launch)]).await;
    rig.until("it waits and says why", |rig| {
        rig.attempts.get(&launch.attempt).is_some_and(|status| {
            matches!(&status.phase, Phase::Waiting { message, .. }
                if message.contains("could not be pulled"))
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_pulled_when_it_is_not_here() {
    let mut rig = Rig::started("pull").await;
    // An image of its own, so that removing it here hurts no other test.
    let folder = tempfile::tempdir().unwrap();
    let unique = Uuid::now_v7().to_string();
    let base = image("batch:1");
    std::fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {base}\nLABEL unique={unique}\n"),
    )
    .unwrap();
    let tag = format!("{}/example/pulled:{unique}", registry());
    let built = Command::new("docker")
        // The classic builder needs no plugin.
        .env("DOCKER_BUILDKIT", "0")
        .args(["build", "-q", "-t", &tag])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    docker(&["push", "-q", &tag]);
    let digest = docker(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", &tag]);
    docker(&["rmi", &tag]);
    let still_here = Command::new("docker")
        .args(["image", "inspect", &digest])
        .output()
        .unwrap();
    assert!(!still_here.status.success(), "{digest} is still here");

    let mut launch = launch(&digest, 0);
    launch.command = Some(vec!["0".into()]);
    rig.assign(vec![run_item(&launch)]).await;
    let ended = rig.end_of(&launch).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{ended:?}");
    // Once its container is gone the image can go.
    drop(rig);
    docker(&["rmi", &digest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_followed() {
    let mut rig = Rig::started("logs").await;
    let script =
        "echo one; echo two >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 2; echo last";
    let launch = shell(0, script);
    rig.assign(vec![run_item(&launch)]).await;
    rig.until("it began", |rig| {
        rig.runs(&launch) || rig.ended(&launch).is_some()
    })
    .await;
    let open = |stream, follow, tail, since| ToAgent::LogOpen {
        stream,
        attempt: launch.attempt,
        follow,
        tail,
        since,
    };
    rig.send(open(1, true, None, None)).await;
    rig.until("the log ends with the container", |rig| {
        rig.log_end.is_some()
    })
    .await;
    assert_eq!(rig.log_end, Some(LogEnd::Complete));
    let texts: Vec<_> = rig
        .lines
        .iter()
        .map(|line| (line.text.len(), &line.text[..3]))
        .collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert!(texts.contains(&(3, "one")) && texts.contains(&(3, "two")));
    assert!(texts.contains(&(16 * 1024, "xxx")), "{texts:?}");
    assert_eq!(texts[3], (4, "las"));

    let last_but_one = rig.lines[2].at;
    (rig.lines, rig.log_end) = (Vec::new(), None);
    rig.send(open(2, false, None, Some(last_but_one))).await;
    rig.until("the rest came", |rig| rig.log_end.is_some())
        .await;
    assert_eq!(rig.lines.len(), 1, "{:?}", rig.lines);
    assert_eq!(rig.lines[0].text, "last");

    (rig.lines, rig.log_end) = (Vec::new(), None);
    rig.send(open(3, false, Some(1), None)).await;
    rig.until("the tail came", |rig| rig.log_end.is_some())
        .await;
    assert_eq!(rig.lines.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_tell_what_is_wrong() {
    let mut rig = Rig::started("probes").await;
    let mut launch = launch(&image("web:1"), 0);
    launch.env.insert("UNHEALTHY".into(), "1".into());
    launch.readiness =
        probe(r#"{"http":{"port":8080,"path":"/healthz"},"interval":"200ms","failures":2}"#);
    launch.liveness = probe(
        r#"{"exec":{"command":["/bin/sh","-c","echo stuck; exit 3"]},"interval":"200ms","failures":2,"timeout":"10s"}"#,
    );
    rig.assign(vec![run_item(&launch)]).await;
    rig.until("both are bad", |rig| {
        rig.attempts
            .get(&launch.attempt)
            .is_some_and(|status| status.ready == Some(false) && status.live == Some(false))
    })
    .await;
    let words = [
        "GET /healthz answered 404",
        "the command exited with 3: stuck",
    ];
    rig.until("it says why", |rig| {
        rig.attempts[&launch.attempt]
            .probe_message
            .as_deref()
            .is_some_and(|message| words.contains(&message))
    })
    .await;
    // Only told: the container runs on.
    rig.idle(Duration::from_secs(1)).await;
    assert!(rig.runs(&launch));
}
