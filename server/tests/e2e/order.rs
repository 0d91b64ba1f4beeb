//! What comes before what: a hook before all of a plan, a job before the one that depends on it.

use super::poll::{eventually, secs, so, throughout};
use super::specs::{Service, batch};
use super::stack::Stack;

fn migrate(fails: bool) -> String {
    let failing: &[u32] = if fails { &[0] } else { &[] };
    batch("migrate", 1, failing, 0).replace("  size: 1\n", "  size: 1\n  hook: beforeSync\n")
}

/// A service that waits for `db`, and of which nothing automated takes a task that none stands in for.
fn waiting(service: &Service) -> String {
    format!(
        "{}dependsOn: [db]\ndisruptionBudget:\n  unhealthyTasksLimit: 0\n",
        service.yaml()
    )
}

#[test]
fn hooks_come_before_a_plan_and_jobs_before_those_that_depend_on_them() {
    let stack = Stack::start();
    let (db, mut web) = (Service::new("db", 1), Service::new("web", 2));
    stack.repo.write("jobs/migrate.yaml", &migrate(false));
    stack.repo.write(&db.file(), &db.yaml());
    stack.repo.write(&web.file(), &waiting(&web));
    stack.repo.push("Add db, web and a hook");
    stack.wait_until_settled(&web, 1);
    let first = |filter: &str| stack.api.events(filter).unwrap()[0].seq;
    let migrated = first("kind=task_finished&job=migrate");
    let db_placed = first("kind=attempt_placed&job=db");
    let web_began = first("kind=version_began&job=web");
    let web_placed = first("kind=attempt_placed&job=web");
    assert!(migrated < db_placed, "{migrated} {db_placed}");
    assert!(db_placed < web_began && web_began < web_placed);

    // A hook that fails changes nothing, and everybody is told.
    stack.wait_until_settled(&db, 1);
    let before = stack.running();
    web.version = 2;
    stack.repo.write("jobs/migrate.yaml", &migrate(true));
    stack.repo.write(&web.file(), &waiting(&web));
    stack.repo.push("Version 2 of web, with a hook that fails");
    eventually(secs(30), "the plan is held", || {
        let alerts = stack.api.fleet()?.alerts;
        let held = alerts.iter().find(|alert| alert.code == "plan-held");
        so(
            held.is_some_and(|alert| {
                alert
                    .message
                    .contains("task migrate.0 of its hook did not succeed")
            }),
            || format!("{alerts:?}"),
        )
    });
    throughout(secs(3), "nothing changes", || {
        let running = stack.running();
        so(
            running == before && stack.api.job("web")?.version == 1,
            || format!("{running:?}, before {before:?}"),
        )
    });

    // The next commit runs it again.
    stack.repo.write("jobs/migrate.yaml", &migrate(false));
    stack.repo.push("Mend the hook");
    stack.wait_until_settled(&web, 2);
    assert_eq!(stack.api.job("migrate").unwrap().run, 3);
    assert_eq!(stack.api.events("kind=hooks_began").unwrap().len(), 3);
}
