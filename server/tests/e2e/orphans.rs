//! What the control plane does not know, it leaves alone; and a control plane that has forgotten is not followed.

use super::poll::{eventually, secs, so, throughout};
use super::specs::{Service, registry};
use super::stack::{Stack, line};
use muster_schemas::api::CommandAnswer;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn a_container_that_nobody_placed_is_told_and_left_running() {
    let mut stack = Stack::start();
    let service = Service::new("web", 1);
    stack.push(&service, "Add web");
    stack.wait_until_settled(&service, 1);

    let attempt = "01980000-0000-7000-8000-000000000001";
    let label = |key: &str, value: &str| format!("--label=muster.{key}={value}");
    let host = stack.api.hosts().unwrap()[0].id.clone();
    let orphan = stack.engines[0]
        .docker(&[
            "run",
            "--detach",
            "--env=QUIET=1",
            &label("cell", &stack.cell),
            &label("job", "web"),
            &label("task", "web.0"),
            &label("attempt", attempt),
            &label("host", &host),
            &format!("--name=muster-{attempt}"),
            &format!("{}/example/web:1", registry()),
        ])
        .unwrap();
    let is_told = |stack: &Stack| {
        let hosts = stack.api.hosts()?;
        let orphans = &hosts[0].orphans;
        so(orphans.len() == 1 && orphans[0].container == orphan, || {
            format!("{orphans:?}")
        })?;
        let alerts = stack.api.fleet()?.alerts;
        so(alerts.iter().any(|alert| alert.code == "orphan"), || {
            format!("{alerts:?}")
        })
    };
    eventually(secs(20), "the orphan is told", || is_told(&stack));
    let running = stack.running();
    assert_eq!(running.len(), 2);

    stack.agents[0].kill();
    stack.agents[0].start();
    stack.serve.kill();
    stack.serve.start();
    stack.wait_for_api();
    stack.wait_for_hosts();
    stack.wait_for_api();
    eventually(secs(20), "the orphan is told after all restarts", || {
        is_told(&stack)
    });
    throughout(secs(3), "all runs on", || {
        let now = stack.running();
        so(now == running, || format!("{now:?}, before {running:?}"))
    });
    // Removed by a person's hand, it is told no more.
    stack.engines[0]
        .docker(&["rm", "--force", &orphan])
        .unwrap();
    eventually(secs(20), "the orphan is gone", || {
        let alerts = stack.api.fleet()?.alerts;
        so(alerts.is_empty(), || format!("{alerts:?}"))
    });
}

#[test]
fn an_agent_does_not_follow_an_old_copy_of_the_journal() {
    let mut stack = Stack::start();
    let mut service = Service::new("web", 2);
    stack.push(&service, "Add web");
    stack.wait_until_settled(&service, 1);
    stack.serve.end();
    let copy = stack.home().join("copy");
    copy_journal(&stack.serve_home(), &copy);
    stack.serve.start();
    stack.wait_for_api();
    stack.wait_for_hosts();

    // Little happens after the copy, so that its own records soon have the numbers that the agent has heard.
    let _: CommandAnswer = stack
        .api
        .post(
            "/tasks/web.0/stop",
            r#"{"reason": "to have something that the copy lacks"}"#,
        )
        .unwrap();
    eventually(secs(20), "web.0 is replaced", || {
        let task = stack.api.task("web.0")?.task;
        so(task.attempt_number == 2 && task.healthy, || line(&task))
    });
    stack.wait_until_settled(&service, 1);
    let running = stack.running();
    let ids: BTreeSet<String> = stack.containers().into_iter().map(|c| c.id).collect();
    let heard = stack.api.fleet().unwrap();

    stack.serve.end();
    let newest = stack.home().join("newest");
    copy_journal(&stack.serve_home(), &newest);
    copy_journal(&copy, &stack.serve_home());
    stack.serve.start();
    stack.wait_for_api();
    let told = stack.api.fleet().unwrap();
    assert!(
        told.seq < heard.seq,
        "the copy is no older: {} {}",
        told.seq,
        heard.seq
    );
    eventually(secs(20), "the agent refuses it, and that is told", || {
        let metrics = stack.api.text("/metrics")?;
        let fenced = metrics
            .lines()
            .find_map(|line| line.strip_prefix("muster_fenced_total "))
            .and_then(|count| count.parse::<f64>().ok());
        so(fenced.is_some_and(|count| count >= 1.0), || {
            format!("muster_fenced_total is {fenced:?}")
        })
    });
    let unchanged = |stack: &Stack| {
        let now = stack.running();
        so(now == running, || format!("{now:?}, before {running:?}"))?;
        let all: BTreeSet<String> = stack.try_containers()?.into_iter().map(|c| c.id).collect();
        so(all.is_subset(&ids), || {
            format!("new: {:?}", all.difference(&ids))
        })
    };
    // The copy's journal grows past what the agent has heard, and over a restart.
    while stack.api.fleet().unwrap().seq <= heard.seq {
        let grown = stack.api.fleet().unwrap().seq;
        service.round += 1;
        stack.push(&service, "Another round");
        eventually(secs(10), "the commit is planned", || {
            so(stack.api.fleet()?.seq > grown, || {
                format!("still at {grown}")
            })
        });
    }
    throughout(secs(4), "nothing is stopped, nothing is started", || {
        unchanged(&stack)
    });
    stack.serve.kill();
    stack.serve.start();
    stack.wait_for_api();
    throughout(secs(4), "nor after a restart", || unchanged(&stack));
    assert!(
        stack
            .api
            .hosts()
            .unwrap()
            .iter()
            .all(|host| !host.reachable)
    );

    // With the newest journal all goes on, and only then.
    stack.serve.end();
    copy_journal(&newest, &stack.serve_home());
    stack.serve.start();
    stack.wait_for_api();
    stack.wait_for_hosts();
    stack.wait_until_settled(&service, 2);
}

#[test]
fn a_host_that_is_ahead_of_an_old_copy_is_taken_by_a_person() {
    let mut stack = Stack::start();
    let service = Service::new("web", 2);
    stack.push(&service, "Add web");
    stack.wait_until_settled(&service, 1);
    stack.serve.end();
    let copy = stack.home().join("copy");
    copy_journal(&stack.serve_home(), &copy);
    stack.serve.start();
    stack.wait_for_api();
    stack.wait_for_hosts();
    let _: CommandAnswer = stack
        .api
        .post(
            "/tasks/web.0/stop",
            r#"{"reason": "to have something that the copy lacks"}"#,
        )
        .unwrap();
    eventually(secs(20), "web.0 is replaced", || {
        let task = stack.api.task("web.0")?.task;
        so(task.attempt_number == 2 && task.healthy, || line(&task))
    });
    stack.wait_until_settled(&service, 1);
    let attempt_of = |stack: &Stack, task: &str| {
        let task = stack.api.task(task).unwrap().task;
        task.attempt.expect("it has an attempt")
    };
    let (unknown, known) = (attempt_of(&stack, "web.0"), attempt_of(&stack, "web.1"));
    let running = stack.running();
    assert_eq!(running.len(), 2);
    let host = stack.api.hosts().unwrap()[0].name.clone();
    let take = |stack: &Stack| {
        let path = format!("/hosts/{host}/take");
        let answer: Result<CommandAnswer, _> = stack
            .api
            .post(&path, r#"{"reason": "the newest copy is lost"}"#);
        answer
    };
    let refused = take(&stack).expect_err("it follows this control plane");
    assert!(refused.contains("is not ahead"), "{refused}");

    stack.serve.end();
    copy_journal(&copy, &stack.serve_home());
    stack.serve.start();
    stack.wait_for_api();
    eventually(secs(20), "the alert says so", || {
        let alerts = stack.api.fleet()?.alerts;
        let told: Vec<_> = alerts.iter().map(|alert| alert.code.as_str()).collect();
        so(
            told.contains(&"host-ahead") && !told.contains(&"host-unreachable"),
            || format!("{told:?}"),
        )
    });
    let seen = &stack.api.hosts().unwrap()[0];
    assert!(
        !seen.reachable && seen.reason.contains("muster take-host"),
        "{seen:?}"
    );
    let told = stack.api.events("kind=host_ahead").unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    throughout(secs(4), "nothing is stopped, nothing is started", || {
        let now = stack.running();
        so(now == running, || format!("{now:?}, before {running:?}"))
    });

    take(&stack).unwrap();
    stack.wait_for_hosts();
    eventually(
        secs(60),
        "the job is whole, and what is unknown is an orphan",
        || {
            let host = &stack.api.hosts()?[0];
            let orphans: Vec<_> = host.orphans.iter().filter_map(|o| o.attempt).collect();
            let orphans: Vec<String> = orphans.iter().map(ToString::to_string).collect();
            so(orphans == [unknown.clone()], || {
                format!("{orphans:?}, not {unknown}")
            })?;
            let task = stack.api.task("web.0")?.task;
            so(task.healthy, || line(&task))
        },
    );
    let now = stack.running();
    assert!(running.is_subset(&now), "{now:?}, before {running:?}");
    assert_eq!(attempt_of(&stack, "web.1"), known);
    // The word is used up: the host follows, and would refuse an older journal than this one, too.
    stack.agents[0].kill();
    stack.agents[0].start();
    eventually(secs(20), "it is used up", || {
        let told = stack.api.events("kind=host_follows")?;
        so(told.len() == 1, || format!("{told:?}"))
    });
    let refused = take(&stack).expect_err("it follows this control plane");
    assert!(refused.contains("is not ahead"), "{refused}");
    assert!(running.is_subset(&stack.running()));
}

/// The journal with all that belongs to it, of a control plane that does not run.
fn copy_journal(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(to).unwrap().flatten() {
        if is_of_journal(&entry.path()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        if is_of_journal(&entry.path()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn is_of_journal(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("journal.db"))
}
