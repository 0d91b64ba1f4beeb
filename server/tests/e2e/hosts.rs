//! Two agents, each with an engine of its own.

use super::engine::Engine;
use super::poll::{eventually, secs, so, throughout};
use super::specs::Service;
use super::stack::{Stack, line};
use muster_schemas::state::TaskState;

#[test]
fn a_service_spreads_over_two_hosts_and_a_lost_agent_costs_nothing() {
    let mut stack = Stack::on(|| vec![Engine::shared(), Engine::own()]);
    let service = Service::new("web", 4);
    stack.push(&service, "Add web");
    let before = stack.wait_until_settled(&service, 1);
    for number in 0..2 {
        let name = format!("host-{number}");
        let placed = before
            .iter()
            .filter(|task| task.host.as_deref() == Some(&name))
            .count();
        assert_eq!(placed, 2, "{name}");
        assert_eq!(
            stack.engines[number].running(&stack.cell).len(),
            2,
            "{name}"
        );
    }
    let running = stack.running();
    let told = stack.api.fleet().unwrap().seq;

    stack.agents[1].kill();
    let is_away = || {
        let tasks = stack.api.tasks("web")?;
        let as_expected = tasks.len() == 4
            && tasks.iter().all(|task| {
                let away = task.host.as_deref() == Some("host-1");
                task.state == TaskState::Running && task.reachable != away
            });
        so(as_expected, || {
            tasks.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    };
    eventually(secs(30), "its tasks are unreachable, and running", is_away);
    let alerts = stack.api.fleet().unwrap().alerts;
    assert!(
        alerts.iter().any(|alert| alert.code == "host-unreachable"),
        "{alerts:?}"
    );
    throughout(secs(5), "nothing is replaced, nothing is stopped", || {
        is_away()?;
        let now = stack.running();
        so(now == running, || format!("{now:?}, before {running:?}"))?;
        let kinds = "kind=attempt_placed&kind=stop_ordered&kind=task_queued&kind=task_finished";
        let done = stack.api.events(kinds)?;
        let since: Vec<_> = done.iter().filter(|event| event.seq > told).collect();
        so(since.is_empty(), || format!("{since:?}"))
    });

    stack.agents[1].start();
    let after = stack.wait_until_settled(&service, 1);
    assert_eq!(stack.running(), running);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.attempt, after.attempt);
    }
    let alerts = stack.api.fleet().unwrap().alerts;
    assert!(alerts.is_empty(), "{alerts:?}");
}
