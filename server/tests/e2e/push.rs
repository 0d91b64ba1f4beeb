//! From a push to running containers.

use super::poll::{eventually, secs, so};
use super::sample::ask;
use super::specs::Service;
use super::stack::Stack;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

/// So long a push may take to become healthy tasks on a machine that does much else; what it takes is printed.
const BOUND: std::time::Duration = secs(30);

#[test]
fn a_pushed_service_becomes_three_hardened_containers() {
    let stack = Stack::start();
    stack
        .repo
        .write("policy.yaml", &super::specs::policy(false));
    let service = Service::new("web", 3);
    stack.repo.write(&service.file(), &service.yaml());
    let began = Instant::now();
    let commit = stack.repo.push("Add web");
    eventually(BOUND, "three healthy running tasks", || {
        let job = stack.api.job("web")?;
        so(job.healthy == 3 && job.tasks["running"] == 3, || {
            format!("{job:#?}")
        })
    });
    println!("push to three healthy tasks: {:?}", began.elapsed());
    let tasks = stack.wait_until_settled(&service, 1);

    let containers = stack.containers();
    assert_eq!(containers.len(), 3);
    for task in &tasks {
        let container = containers
            .iter()
            .find(|container| Some(&container.id) == task.container.as_ref())
            .unwrap_or_else(|| panic!("{} has no container: {containers:#?}", task.id));
        let attempt = task.attempt.clone().unwrap();
        assert_eq!(
            container.inspect["Name"].as_str(),
            Some(format!("/muster-{attempt}").as_str())
        );
        let labels = &container.inspect["Config"]["Labels"];
        for (label, value) in [
            ("muster.cell", stack.cell.as_str()),
            ("muster.job", "web"),
            ("muster.task", &task.id),
            ("muster.attempt", &attempt),
            ("muster.host", task.host_id.as_deref().unwrap()),
            ("muster.version", "1"),
            ("muster.app", "example"),
            ("muster.label.team", "web"),
        ] {
            assert_eq!(labels[label], value, "{label} in {labels}");
        }
        assert_eq!(container.inspect["Config"]["Image"], task.image.as_str());
        assert!(
            task.image.contains("/example/web@sha256:"),
            "{}",
            task.image
        );

        let host = &container.inspect["HostConfig"];
        for (field, value) in [
            ("NanoCpus", json!(200_000_000)),
            ("Memory", json!(16 << 20)),
            ("MemorySwap", json!(16 << 20)),
            ("PidsLimit", json!(512)),
            ("ReadonlyRootfs", json!(true)),
            ("Privileged", json!(false)),
            ("CapDrop", json!(["ALL"])),
            ("CapAdd", Value::Null),
            ("SecurityOpt", json!(["no-new-privileges"])),
            ("PidMode", json!("")),
            ("IpcMode", json!("private")),
            ("Binds", Value::Null),
            (
                "RestartPolicy",
                json!({ "Name": "no", "MaximumRetryCount": 0 }),
            ),
        ] {
            assert_eq!(host[field], value, "{field}");
        }
        let env: BTreeSet<&str> = container.inspect["Config"]["Env"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for variable in [
            format!("MUSTER_CELL={}", stack.cell),
            format!("MUSTER_TASK={}", task.id),
            format!("MUSTER_TASK_INDEX={}", task.index),
            format!("MUSTER_ATTEMPT={attempt}"),
            "ROUND=0".to_owned(),
        ] {
            assert!(env.contains(variable.as_str()), "{variable} in {env:?}");
        }

        // What the kernel says inside, and not only what the engine was told.
        let engine = &stack.engines[0];
        let status = engine
            .docker(&["exec", &container.id, "cat", "/proc/1/status"])
            .unwrap();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        assert_eq!(field("NoNewPrivs"), Some("1"));
        assert_eq!(field("Seccomp"), Some("2"));
        assert_eq!(field("CapEff"), Some("0000000000000000"));
        assert_eq!(field("CapBnd"), Some("0000000000000000"));
        assert!(field("Uid").is_some_and(|uid| uid.starts_with("1000")));
        let written = engine.docker(&["exec", "--user", "0", &container.id, "touch", "/here"]);
        assert!(written.unwrap_err().contains("Read-only file system"));

        let detail = stack.api.task(&task.id).unwrap();
        let hardening = detail.hardening.unwrap();
        assert!(hardening.no_new_privileges && hardening.read_only_root);
        assert_eq!(hardening.capabilities, Vec::<String>::new());
        assert_eq!(hardening.memory_limit, Some(16 << 20));
        assert_eq!(hardening.cpu_limit_millis, Some(200));
        assert_eq!(
            detail.revision.map(|revision| revision.commit.to_string()),
            Some(commit.clone())
        );
        assert_eq!(
            ask(task.ip.as_deref().unwrap(), "/version"),
            Ok("1".to_owned())
        );
    }
}
