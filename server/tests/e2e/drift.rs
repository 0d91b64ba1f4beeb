//! What somebody changes past git: shown with who did it, put back where the policy says so, left alone where it is ignored.

use super::poll::{eventually, secs, so, throughout};
use super::specs::Service;
use super::stack::Stack;
use muster_schemas::api::{CommandAnswer, List};
use muster_schemas::drift::DriftView;
use std::time::Instant;

/// How late drift may be shown, and how late it may have been put back.
const SHOWN_WITHIN: u64 = 5;
const PUT_BACK_WITHIN: u64 = 10;

fn policy(heals: bool, ignored: &str) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Policy\nname: default\nselfHeal: {heals}\nignoredFields:\n  - job: web\n    fields: [{ignored}]\n"
    )
}

fn drift(stack: &Stack) -> Result<Vec<DriftView>, String> {
    Ok(stack.api.get::<List<DriftView>>("/drift")?.items)
}

fn fields(stack: &Stack) -> Result<Vec<String>, String> {
    let drift = drift(stack)?;
    Ok(drift.into_iter().map(|drift| drift.field).collect())
}

fn scale(stack: &Stack, desired: u32) -> Result<CommandAnswer, String> {
    let body = serde_json::json!({ "desired": desired, "reason": "the sale begins" });
    stack.api.post("/jobs/web/scale", &body.to_string())
}

/// What Docker says of a container, by a template.
fn ask(stack: &Stack, container: &str, template: &str) -> Result<String, String> {
    stack.engines[0].docker(&["inspect", "--format", template, container])
}

/// A network of a test, removed with it. Containers that fail to leave it are disconnected first.
struct Network(String);

impl Network {
    fn of(stack: &Stack) -> Self {
        let name = format!("{}-net", stack.cell);
        let created = stack.engines[0].docker(&["network", "create", &name]);
        created.unwrap();
        Self(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let docker = |arguments: &[&str]| {
            std::process::Command::new("docker")
                .args(arguments)
                .output()
        };
        if let Ok(found) = docker(&[
            "network",
            "inspect",
            "--format",
            "{{range $id, $_ := .Containers}}{{$id}} {{end}}",
            &self.0,
        ]) {
            for container in String::from_utf8_lossy(&found.stdout).split_whitespace() {
                let _ = docker(&["network", "disconnect", "--force", &self.0, container]);
            }
        }
        let _ = docker(&["network", "rm", &self.0]);
    }
}

#[test]
fn a_container_that_somebody_changed_is_shown_and_put_back_while_it_runs() {
    let stack = Stack::start();
    let service = Service::new("web", 2);
    stack.push(&service, "Add web");
    let tasks = stack.wait_until_settled(&service, 1);
    let running = stack.running();
    assert_eq!(drift(&stack).unwrap(), []);
    let container = tasks[0].container.clone().unwrap();
    let docker = |arguments: &[&str]| {
        let all = [arguments, &[container.as_str()]].concat();
        stack.engines[0].docker(&all).unwrap();
    };

    // Without `selfHeal` it is shown, and no more.
    docker(&["update", "--memory=64m", "--memory-swap=64m"]);
    let entry = eventually(secs(SHOWN_WITHIN), "the change is shown", || {
        let drift = drift(&stack)?;
        let memory = drift.iter().find(|one| one.field == "container.memory");
        memory.cloned().ok_or_else(|| format!("{drift:?}"))
    });
    assert_eq!(entry.task.as_deref(), Some("web.0"));
    assert_eq!(
        (entry.wanted.as_str(), entry.found.as_str()),
        ("16MiB", "64MiB")
    );
    assert_eq!(entry.cause, "on_host");
    assert_eq!(entry.who, "somebody on host-0, not Muster");
    let alerts = stack.api.fleet().unwrap().alerts;
    assert!(
        alerts.iter().any(|alert| alert.code == "drift"),
        "{alerts:?}"
    );
    assert_eq!(stack.api.job("web").unwrap().drift, 2, "memory and swap");
    throughout(secs(4), "it is only shown", || {
        let memory = ask(&stack, &container, "{{.HostConfig.Memory}}")?;
        so(memory == (64 << 20).to_string(), || memory)
    });

    // With it, it is put back.
    stack
        .repo
        .write("policy.yaml", &policy(true, "container.restartPolicy"));
    stack.repo.push("Put back what is changed");
    let put_back = |what: &str| {
        eventually(secs(PUT_BACK_WITHIN), what, || {
            let drift = drift(&stack)?;
            so(drift.is_empty(), || format!("{drift:?}"))
        });
        let now = ask(
            &stack,
            &container,
            "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} \
             {{.State.Status}} {{.Name}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
        )
        .unwrap();
        let attempt = tasks[0].attempt.as_deref().unwrap();
        assert_eq!(
            now.trim(),
            format!("16777216 16777216 200000000 512 running /muster-{attempt} bridge")
        );
        // The very same containers, never stopped.
        assert_eq!(stack.running(), running);
    };
    put_back("the memory is put back");

    // All that can be changed at once, and a restart policy, which the policy ignores.
    let network = Network::of(&stack);
    docker(&["network", "connect", &network.0]);
    docker(&[
        "update",
        "--cpus=1.5",
        "--pids-limit=64",
        "--restart=on-failure:3",
    ]);
    docker(&["pause"]);
    stack.engines[0]
        .docker(&["rename", &container, &format!("{}-mine", stack.cell)])
        .unwrap();
    let changed_at = Instant::now();
    eventually(
        secs(PUT_BACK_WITHIN),
        "it is ordered to be put back",
        || {
            let orders = stack.api.events("kind=put_back_ordered&task=web.0")?;
            let fields: Vec<String> = orders
                .iter()
                .map(|order| order.data["fields"].to_string())
                .collect();
            so(
                fields
                    .iter()
                    .any(|fields| fields.contains("container.name")),
                || format!("{fields:?}"),
            )
        },
    );
    put_back("all of it is put back");
    println!("put back within {:?}", changed_at.elapsed());
    assert!(changed_at.elapsed() < secs(PUT_BACK_WITHIN));
    let restart = ask(&stack, &container, "{{.HostConfig.RestartPolicy.Name}}").unwrap();
    assert_eq!(
        restart.trim(),
        "on-failure",
        "what is ignored is left alone"
    );
    let stops = stack.api.events("kind=stop_ordered").unwrap();
    assert_eq!(stops.len(), 0);
}

#[test]
fn an_ignored_size_stays_through_a_commit_and_another_is_taken_back() {
    let stack = Stack::start();
    let mut service = Service::new("web", 2);
    stack
        .repo
        .write("policy.yaml", &policy(true, "service.capacity.desired"));
    stack.push(&service, "Add web, whose size something else decides");
    stack.wait_until_settled(&service, 1);
    scale(&stack, 4).unwrap();
    service.desired = 4;
    stack.wait_until_settled(&service, 1);
    assert_eq!(drift(&stack).unwrap(), []);

    // A commit that changes something else, with the old size in it.
    service.desired = 2;
    service.round = 1;
    stack.push(&service, "Another round");
    service.desired = 4;
    stack.wait_until_settled(&service, 2);
    throughout(secs(12), "four run, and that is no drift", || {
        let job = stack.api.job("web")?;
        so(job.healthy == 4 && job.desired == 4, || format!("{job:?}"))?;
        let drift = drift(&stack)?;
        so(drift.is_empty(), || format!("{drift:?}"))
    });

    // Once it is not ignored, it is healed, and the event names whose size it was.
    stack
        .repo
        .write("policy.yaml", &policy(true, "container.name"));
    stack.repo.push("Sizes are git's again");
    eventually(secs(PUT_BACK_WITHIN), "the size is git's", || {
        let job = stack.api.job("web")?;
        so(job.desired == 2, || format!("{job:?}"))
    });
    service.desired = 2;
    stack.wait_until_settled(&service, 2);
    let ended = stack.api.events("kind=resize_ended&job=web").unwrap();
    let [ended] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(ended.data["by"], "admin");
    assert_eq!(ended.data["end"]["why"], "self_healed");

    // Without healing it is shown with who did it, and taken back by a word.
    stack
        .repo
        .write("policy.yaml", &policy(false, "container.name"));
    let commit = stack.repo.push("Only show it");
    eventually(secs(15), "the policy holds", || {
        let revision = stack.api.fleet()?.revision;
        so(
            revision.is_some_and(|revision| revision.commit.to_string() == commit),
            || "not yet".to_owned(),
        )
    });
    scale(&stack, 3).unwrap();
    eventually(secs(SHOWN_WITHIN), "it is shown", || {
        let drift = drift(&stack)?;
        let [entry] = &drift[..] else {
            return Err(format!("{drift:?}"));
        };
        so(
            entry.field == "service.capacity.desired"
                && entry.wanted == "2"
                && entry.found == "3"
                && entry.who == "admin, by muster scale: the sale begins",
            || format!("{entry:?}"),
        )
    });
    let too_many = scale(&stack, 10_001).unwrap_err();
    assert!(too_many.contains("409"), "{too_many}");
    scale(&stack, 2).unwrap();
    stack.wait_until_settled(&service, 2);
    assert_eq!(fields(&stack).unwrap(), Vec::<String>::new());
}
