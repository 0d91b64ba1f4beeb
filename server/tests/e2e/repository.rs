//! What can be wrong with the repository. Nothing of it stops a container.

use super::poll::{eventually, secs, so, throughout};
use super::specs::{Service, policy};
use super::stack::Stack;
use muster_schemas::api::{CommandAnswer, JobStatus, PlanStatus};
use std::time::Duration;

/// So long nothing may happen: several polls of the repository, and several rounds of the control loop.
const QUIET: Duration = secs(3);

/// A cell with a settled service of two, of a repository that prunes: the setting in which a misread would cost most.
fn with_web() -> (Stack, Service) {
    let stack = Stack::start();
    let service = Service::new("web", 2);
    stack.repo.write("policy.yaml", &policy(true));
    stack.push(&service, "Add web");
    stack.wait_until_settled(&service, 1);
    (stack, service)
}

#[track_caller]
fn all_runs_on(stack: &Stack, running: &std::collections::BTreeSet<(String, String)>) {
    throughout(QUIET, "the containers run on", || {
        let now = stack.running();
        so(now == *running, || format!("{now:?}, before {running:?}"))
    });
}

/// Waits for an alert of this code, and answers its message.
#[track_caller]
fn alert(stack: &Stack, code: &str) -> String {
    eventually(secs(20), &format!("the alert {code}"), || {
        let alerts = stack.api.fleet()?.alerts;
        let found = alerts.iter().find(|alert| alert.code == code);
        found
            .map(|alert| alert.message.clone())
            .ok_or_else(|| format!("{alerts:?}"))
    })
}

#[test]
fn a_bad_document_keeps_its_job_and_the_others_go_ahead() {
    let (stack, mut service) = with_web();
    let running = stack.running();

    let other = Service::new("api", 1);
    stack.repo.write(&other.file(), &other.yaml());
    service.desired = 7;
    let broken = service.yaml().replace("desired: 7", "desired: seven");
    stack.repo.write(&service.file(), &broken);
    stack.repo.push("Break web, add api");
    let line = 1 + broken
        .lines()
        .position(|line| line.contains("seven"))
        .unwrap();

    stack.wait_until_settled(&other, 1);
    let fleet = stack.api.fleet().unwrap();
    assert_eq!(fleet.refused.len(), 1, "{:#?}", fleet.refused);
    let refused = &fleet.refused[0];
    assert_eq!(
        (refused.path.as_str(), refused.line as usize),
        ("jobs/web.yaml", line)
    );
    assert!(
        refused.source_line.contains("desired: seven"),
        "{refused:?}"
    );
    assert_eq!(
        refused.job.as_ref().map(ToString::to_string).as_deref(),
        Some("web")
    );
    let message = alert(&stack, "document-refused");
    assert!(
        message.contains(&format!("jobs/web.yaml:{line}")),
        "{message}"
    );
    let web = stack.api.job("web").unwrap();
    assert_eq!((web.version, web.desired, web.declared), (1, 2, true));
    assert!(stack.running().is_superset(&running));

    // A file of which not even a name can be read is no deletion either.
    stack
        .repo
        .write(&service.file(), "apiVersion: muster/v1\nkind: [\n");
    stack.repo.push("Break web's file altogether");
    eventually(secs(15), "the new fault is told", || {
        let refused = stack.api.fleet()?.refused;
        so(refused.iter().any(|fault| fault.line <= 3), || {
            format!("{refused:?}")
        })
    });
    throughout(QUIET, "web runs on", || {
        so(stack.running().is_superset(&running), || {
            "a container of web is gone".to_owned()
        })
    });

    // Mended, it goes ahead.
    service.desired = 3;
    stack.push(&service, "Mend web");
    stack.wait_until_settled(&service, 2);
    assert!(stack.api.fleet().unwrap().refused.is_empty());
    assert!(stack.running().is_superset(&running));
}

#[test]
fn a_repository_that_is_away_empty_or_another_one_stops_nothing() {
    let (stack, mut service) = with_web();
    let running = stack.running();

    let away = stack.home().join("away.git");
    std::fs::rename(&stack.repo.bare, &away).unwrap();
    alert(&stack, "repository-unreachable");
    all_runs_on(&stack, &running);
    std::fs::rename(&away, &stack.repo.bare).unwrap();
    eventually(secs(20), "the repository is well again", || {
        let alerts = stack.api.fleet()?.alerts;
        so(alerts.is_empty(), || format!("{alerts:?}"))
    });

    // Another history, pushed over the first, with nothing of what runs in it.
    let applied = stack.repo.git(&["rev-parse", "HEAD"]);
    stack.repo.git(&["checkout", "-q", "--orphan", "other"]);
    stack.repo.git(&["rm", "-rfq", "."]);
    stack.repo.write("policy.yaml", &policy(true));
    stack
        .repo
        .write("jobs/other.yaml", &Service::new("other", 1).yaml());
    stack.repo.git(&["add", "--all"]);
    stack.repo.git(&["commit", "-qm", "Another beginning"]);
    stack.repo.git(&["push", "-qf", "origin", "other:main"]);
    alert(&stack, "repository-unrelated-history");
    all_runs_on(&stack, &running);
    assert!(stack.api.job("other").is_err(), "nothing of it is followed");
    let revision = stack.api.fleet().unwrap().revision.unwrap();
    assert_eq!(revision.commit.to_string(), applied);

    // A branch that is gone.
    stack
        .repo
        .git(&["push", "-qf", "origin", "other:refs/heads/elsewhere"]);
    std::fs::remove_file(stack.repo.bare.join("refs/heads/main")).unwrap();
    alert(&stack, "repository-no-branch");
    all_runs_on(&stack, &running);

    // The old history again, and then a commit that removes every document.
    stack.repo.git(&["checkout", "-qf", "main"]);
    stack.repo.git(&["push", "-qf", "origin", "main:main"]);
    eventually(secs(20), "the repository is well again", || {
        let alerts = stack.api.fleet()?.alerts;
        so(alerts.is_empty(), || format!("{alerts:?}"))
    });
    stack.repo.git(&["rm", "-rfq", "."]);
    stack.repo.write("README.md", "Nothing here.\n");
    stack.repo.push("Remove everything");
    alert(&stack, "repository-empty");
    all_runs_on(&stack, &running);

    // Mended: what runs is what was there all the time, and it can be changed again.
    service.desired = 3;
    stack.repo.write("policy.yaml", &policy(true));
    stack.push(&service, "All is back");
    stack.wait_until_settled(&service, 2);
    assert!(stack.running().is_superset(&running));
}

#[test]
fn a_plan_that_takes_away_too_much_is_held_whole() {
    let mut stack = Stack::start();
    let (large, small) = (Service::new("large", 7), Service::new("small", 1));
    stack.repo.write("policy.yaml", &policy(true));
    stack.repo.write(&small.file(), &small.yaml());
    stack.push(&large, "Add large and small");
    stack.wait_until_settled(&small, 1);
    stack.wait_until_settled(&large, 1);
    let running = stack.running();
    assert_eq!(running.len(), 8);

    // The same commit asks for something harmless: a held plan does nothing at all.
    stack.repo.remove(&large.file());
    let new = Service::new("new", 1);
    stack.push(&new, "Remove large, add new");
    let plan = eventually(secs(20), "the plan is held", || {
        let plans = stack.api.plans()?;
        let latest = plans.first().cloned().ok_or("no plan")?;
        so(latest.status == PlanStatus::Held, || format!("{latest:?}"))?;
        Ok(latest)
    });
    assert_eq!((plan.stops, plan.running), (7, 8));
    assert_eq!(plan.holds.len(), 1, "{:?}", plan.holds);
    assert_eq!(stack.api.fleet().unwrap().held_plan, Some(plan.id.clone()));
    alert(&stack, "plan-held");
    all_runs_on(&stack, &running);
    assert!(stack.api.job("new").is_err());

    // It stays held over a restart.
    stack.serve.kill();
    stack.serve.start();
    stack.wait_for_api();
    stack.wait_for_hosts();
    all_runs_on(&stack, &running);
    assert_eq!(stack.api.fleet().unwrap().held_plan, Some(plan.id));
    assert_eq!(stack.api.events("kind=stop_ordered").unwrap(), []);

    // A commit that asks for less goes ahead.
    stack.repo.write(&large.file(), &large.yaml());
    stack.repo.push("Large stays");
    stack.wait_until_settled(&new, 1);
    assert_eq!(stack.api.fleet().unwrap().held_plan, None);
    assert!(stack.running().is_superset(&running));
}

#[test]
fn a_held_plan_goes_ahead_by_a_persons_word_and_no_other_way() {
    let mut stack = Stack::start();
    let (large, small) = (Service::new("large", 7), Service::new("small", 1));
    stack.repo.write("policy.yaml", &policy(true));
    stack.repo.write(&small.file(), &small.yaml());
    stack.push(&large, "Add large and small");
    stack.wait_until_settled(&small, 1);
    stack.wait_until_settled(&large, 1);
    let running = stack.running();
    let held = |stack: &Stack| {
        eventually(secs(20), "the plan is held", || {
            let plan = stack.api.plans()?.first().cloned().ok_or("no plan")?;
            so(plan.status == PlanStatus::Held, || format!("{plan:?}"))?;
            Ok(plan)
        })
    };
    let say = |stack: &Stack, path: &str| -> Result<CommandAnswer, String> {
        stack
            .api
            .post(path, r#"{"reason": "somebody looked at it"}"#)
    };

    // Refused, it is done with.
    stack.repo.remove(&large.file());
    stack.repo.push("Remove large");
    let refused = held(&stack).id;
    say(&stack, &format!("/plans/{refused}/refuse")).unwrap();
    assert!(say(&stack, &format!("/plans/{refused}/approve")).is_err());
    all_runs_on(&stack, &running);
    stack.repo.write(&large.file(), &large.yaml());
    stack.repo.push("Large stays");
    eventually(secs(20), "all is as it was", || {
        let fleet = stack.api.fleet()?;
        so(fleet.alerts.is_empty(), || format!("{:?}", fleet.alerts))
    });
    all_runs_on(&stack, &running);

    // Approved while the cell is frozen, it waits for the end of the freeze, over a restart, and then stops what it said.
    let _: CommandAnswer = stack
        .api
        .post(
            "/freeze",
            r#"{"scope": {"scope": "cell"}, "reason": "the registry moves"}"#,
        )
        .unwrap();
    stack.repo.remove(&large.file());
    stack.repo.push("Remove large again");
    let approved = held(&stack).id;
    assert_ne!(approved, refused);
    say(&stack, &format!("/plans/{}/approve", &approved[..12])).unwrap();
    stack.serve.kill();
    stack.serve.start();
    stack.wait_for_api();
    stack.wait_for_hosts();
    all_runs_on(&stack, &running);
    assert_eq!(stack.api.events("kind=stop_ordered").unwrap(), []);
    let _: CommandAnswer = stack
        .api
        .post(
            "/resume",
            r#"{"scope": {"scope": "cell"}, "reason": "it has moved"}"#,
        )
        .unwrap();
    eventually(secs(30), "large is gone and small runs on", || {
        let now = stack.running();
        so(now.len() == 1 && now.is_subset(&running), || {
            format!("{now:?}")
        })
    });
    let plan = stack.api.plans().unwrap().remove(0);
    assert_eq!((plan.id, plan.status), (approved, PlanStatus::Applied));
    assert_eq!(plan.approvals.len(), 1, "{:?}", plan.approvals);
}

#[test]
fn a_pruned_job_names_the_commit_that_removed_it_and_is_back_with_the_same_containers() {
    let stack = Stack::start();
    let (web, kept) = (Service::new("web", 2), Service::new("kept", 1));
    let graceful =
        |grace: &str| policy(true).replace("pruneGrace: 0s", &format!("pruneGrace: {grace}"));
    stack.repo.write("policy.yaml", &graceful("1h"));
    stack.repo.write(&kept.file(), &kept.yaml());
    stack.push(&web, "Add web and kept");
    stack.wait_until_settled(&web, 1);
    stack.wait_until_settled(&kept, 1);
    let running = stack.running();

    // Two commits in one push: it is the first of them that removed it.
    stack.repo.remove(&web.file());
    stack.repo.git(&["add", "--all"]);
    stack
        .repo
        .git(&["commit", "-q", "-m", "Nobody needs web any more"]);
    let culprit = stack.repo.git(&["rev-parse", "HEAD"]);
    stack.repo.write("notes.yaml", "");
    stack.repo.push("Something else");
    let job = eventually(secs(20), "web is a tombstone", || {
        let job = stack.api.job("web")?;
        so(job.status == JobStatus::Tombstone, || format!("{job:?}"))?;
        Ok(job)
    });
    assert!(
        job.reason.contains(&culprit[..12]) && job.reason.contains("run on until"),
        "{}",
        job.reason
    );
    alert(&stack, "tombstone");
    let plan = stack.api.plans().unwrap().remove(0);
    let change = plan.changes.iter().find(|change| change.job == "web");
    let notes = &change.unwrap().notes;
    assert!(
        notes[0].contains(&culprit) && notes[0].contains("Nobody needs web any more"),
        "{notes:?}"
    );
    all_runs_on(&stack, &running);

    // Taken back within the grace, the same containers serve on.
    stack.repo.git(&["revert", "--no-edit", &culprit]);
    stack.repo.push_head();
    eventually(secs(20), "web is back", || {
        let job = stack.api.job("web")?;
        so(job.status == JobStatus::Running && job.declared, || {
            format!("{job:?}")
        })
    });
    all_runs_on(&stack, &running);
    assert_eq!(stack.api.events("kind=stop_ordered").unwrap(), []);

    // A grace that is over stops it, and nothing else.
    stack.repo.write("policy.yaml", &graceful("3s"));
    stack.repo.push("Shorten the grace");
    // It holds for what later commits remove.
    eventually(secs(20), "the grace is shorter", || {
        let plan = stack.api.plans()?.remove(0);
        let is_it = plan.revision.subject == "Shorten the grace";
        so(is_it && plan.status == PlanStatus::Applied, || {
            format!("{plan:?}")
        })
    });
    stack.repo.remove(&web.file());
    stack.repo.push("Remove web for good");
    eventually(secs(30), "only kept runs", || {
        let now = stack.running();
        so(now.len() == 1 && now.is_subset(&running), || {
            format!("{now:?}")
        })
    });
}
