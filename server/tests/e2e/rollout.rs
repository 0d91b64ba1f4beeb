//! What a commit changes on what runs: the image, the size, the file's name, and its removal.

use super::poll::{eventually, secs, so, throughout};
use super::sample::{Sampler, ask};
use super::specs::{Service, policy};
use super::stack::Stack;

#[test]
fn a_new_image_rolls_over_and_never_falls_below_the_minimum() {
    let stack = Stack::start();
    let mut service = Service::new("web", 3);
    service.min_healthy = "1s";
    stack.push(&service, "Add web");
    let before = stack.wait_until_settled(&service, 1);

    service.version = 2;
    let sampler = Sampler::start(&stack.api, "web");
    stack.push(&service, "Version 2");
    let after = stack.wait_until_settled(&service, 2);
    let samples = sampler.finish();

    // A look that took longer than the minimum healthy time tells nothing of one moment.
    let telling: Vec<_> = samples
        .iter()
        .filter(|sample| sample.took < secs(1))
        .collect();
    println!("{} samples of {} tell", telling.len(), samples.len());
    assert!(
        telling.len() >= 20,
        "{} of {}",
        telling.len(),
        samples.len()
    );
    for sample in telling {
        assert!(sample.by_api >= 3 && sample.by_asking >= 3, "{sample:?}");
        assert!(
            sample.by_api <= 4,
            "more than one above desired: {sample:?}"
        );
    }
    for task in &after {
        assert_eq!(
            ask(task.ip.as_deref().unwrap(), "/version"),
            Ok("2".to_owned())
        );
        assert!(before.iter().all(|old| old.attempt != task.attempt));
    }
    // Each of the old ones had its record before its stop.
    let orders = stack.api.events("kind=stop_ordered&job=web").unwrap();
    assert_eq!(orders.len(), 3);
    for container in stack.containers() {
        if let Some(order) = orders
            .iter()
            .find(|order| order.attempt.as_ref() == Some(&container.attempt))
        {
            let finished: jiff::Timestamp = container.finished_at.parse().unwrap();
            assert!(order.at <= finished, "{order:?} {finished}");
            assert_eq!(order.data["order"]["reason"]["reason"], "rollout");
        }
    }
}

#[test]
fn a_service_grows_shrinks_moves_and_stays_when_its_file_is_deleted() {
    let stack = Stack::start();
    let mut service = Service::new("web", 3);
    stack.repo.write("policy.yaml", &policy(false));
    stack.push(&service, "Add web");
    stack.wait_until_settled(&service, 1);
    let three = stack.running();

    service.desired = 5;
    stack.push(&service, "Five of web");
    stack.wait_until_settled(&service, 2);
    let five = stack.running();
    assert_eq!(five.len(), 5);
    assert!(five.is_superset(&three), "growing replaced some");

    service.desired = 2;
    stack.push(&service, "Two of web");
    stack.wait_until_settled(&service, 3);
    let two = stack.running();
    assert_eq!(two.len(), 2);
    assert!(two.is_subset(&five), "shrinking replaced some");

    stack.repo.rename(&service.file(), "teams/shop/front.yaml");
    let commit = stack.repo.push("Move web's file");
    eventually(secs(15), "the job stands in its new file", || {
        let job = stack.api.job("web")?;
        so(job.source.starts_with("teams/shop/front.yaml"), || {
            job.source
        })
    });
    eventually(secs(5), "the revision is applied", || {
        let revision = stack.api.fleet()?.revision;
        so(
            revision
                .as_ref()
                .is_some_and(|revision| revision.commit.to_string() == commit),
            || format!("{revision:?}"),
        )
    });
    assert_eq!(stack.running(), two);

    stack.repo.remove("teams/shop/front.yaml");
    stack.repo.push("Remove web");
    eventually(secs(15), "the job is undeclared", || {
        let job = stack.api.job("web")?;
        so(!job.declared, || format!("{job:?}"))
    });
    throughout(secs(3), "nothing stops without prune", || {
        let running = stack.running();
        so(running == two, || format!("{running:?}, before {two:?}"))
    });
    let fleet = stack.api.fleet().unwrap();
    assert!(
        fleet
            .alerts
            .iter()
            .any(|alert| alert.code == "job-undeclared"),
        "{:?}",
        fleet.alerts
    );

    stack.repo.write("policy.yaml", &policy(true));
    stack.repo.push("Prune what is not declared");
    eventually(secs(30), "the policy says prune: everything stops", || {
        let running = stack.running();
        so(running.is_empty(), || format!("{running:?}"))
    });
    let reasons: Vec<_> = stack
        .api
        .events("kind=stop_ordered&job=web")
        .unwrap()
        .into_iter()
        .map(|event| event.data["order"]["reason"]["reason"].to_string())
        .collect();
    assert_eq!(
        reasons,
        [
            "\"scale_in\"",
            "\"scale_in\"",
            "\"scale_in\"",
            "\"prune\"",
            "\"prune\""
        ]
    );
}
