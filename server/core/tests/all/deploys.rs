//! Deploys, from what is asked for to how they end.

use crate::common::{World, batch, service, with_image};
use muster_core::decide::{Command, Input, Refusal};
use muster_core::fleet::DEPLOYS_AT_ONCE;
use muster_core::view::{DeployFilter, Page, alerts, deploy_view, deploys};
use muster_schemas::api::DeployView;
use muster_schemas::deploy::{DeploySpec, DeployStatus, TakeBackTrouble};
use muster_schemas::ids::{CommitId, DeployId, JobId};
use muster_schemas::spec::{Batch, JobSpec, Millis, PolicySpec};
use std::collections::BTreeMap;

fn asks(world: &World, job: &str) -> DeploySpec {
    DeploySpec {
        job: JobId::from(job),
        image: None,
        desired: None,
        env: BTreeMap::new(),
        run: None,
        deadline: world.now + jiff::SignedDuration::from_secs(600),
        execution: String::new(),
        reason: String::new(),
    }
}

fn deploy(world: &mut World, id: &str, spec: DeploySpec) -> Result<(), Refusal> {
    let command = Command::Deploy {
        deploy: DeployId::from(id),
        spec,
    };
    world.command(command).map(drop)
}

fn view(world: &World, id: &str) -> DeployView {
    let deploy = world
        .fleet
        .deploy(&DeployId::from(id))
        .expect("it is there");
    deploy_view(&world.fleet, deploy, world.now)
}

/// Somebody commits what a deploy asks for, as the control plane does.
fn commit(world: &mut World, id: &str, jobs: Vec<JobSpec>) {
    let commit = CommitId(format!("{:040x}", 1000));
    world
        .give(Input::DeployCommitted {
            deploy: DeployId::from(id),
            commit,
        })
        .unwrap();
    world.commit(jobs, None);
}

fn image(world: &World, number: u32) -> DeploySpec {
    DeploySpec {
        image: Some(format!("registry.example.com/app:{number}")),
        ..asks(world, "web")
    }
}

fn world() -> World {
    let mut world = World::new(2);
    world.commit(vec![service("web", 3)], None);
    world.pass(12);
    world
}

#[test]
fn a_deploy_succeeds_when_all_of_it_has_been_healthy_for_long_enough() {
    let mut world = world();
    let spec = image(&world, 2);
    deploy(&mut world, "d", spec).unwrap();
    assert_eq!(view(&world, "d").status, DeployStatus::Running);
    assert_eq!(view(&world, "d").progress, "its commit is being made");
    commit(
        &mut world,
        "d",
        vec![with_image(service("web", 3), "registry.example.com/app:2")],
    );
    world.pass(3);
    assert_eq!(view(&world, "d").status, DeployStatus::Running);
    assert!(view(&world, "d").progress.contains("run version 2"));
    world.pass(60);
    let done = view(&world, "d");
    assert_eq!(done.status, DeployStatus::Succeeded, "{}", done.progress);
    assert_eq!(done.progress, "version 2 runs with 3 tasks, all healthy");
    // What comes after does not change how it ended.
    let cancel = Command::CancelDeploy {
        deploy: DeployId::from("d"),
        reason: "too late".to_owned(),
    };
    world.command(cancel).unwrap();
    world.commit(vec![service("web", 1)], None);
    world.pass(60);
    assert_eq!(view(&world, "d"), done);
}

#[test]
fn the_same_words_are_the_same_deploy_and_others_are_refused() {
    let mut world = world();
    let spec = image(&world, 2);
    deploy(&mut world, "d", spec.clone()).unwrap();
    world.pass(5);
    // The deadline counts from the first time.
    let again = image(&world, 2);
    assert_ne!(spec.deadline, again.deadline);
    deploy(&mut world, "d", again).unwrap();
    assert_eq!(world.fleet.deploys.len(), 1);
    let other = image(&world, 3);
    assert_eq!(
        deploy(&mut world, "d", other),
        Err(Refusal::DeployIsAnother(DeployId::from("d")))
    );
    let nowhere = asks(&world, "nowhere");
    assert_eq!(
        deploy(&mut world, "e", nowhere),
        Err(Refusal::UnknownJob(JobId::from("nowhere")))
    );
}

#[test]
fn what_takes_its_place_or_takes_too_long_ends_it() {
    let mut world = world();
    let spec = image(&world, 2);
    deploy(&mut world, "superseded", spec).unwrap();
    let spec = image(&world, 9);
    deploy(&mut world, "late", spec).unwrap();
    // Another commit, pushed on top, asks for a third image.
    commit(
        &mut world,
        "superseded",
        vec![with_image(service("web", 3), "registry.example.com/app:3")],
    );
    world.pass(5);
    assert_eq!(view(&world, "superseded").status, DeployStatus::Running);
    world.pass(30);
    let ended = view(&world, "superseded");
    assert_eq!(ended.status, DeployStatus::Failed);
    assert!(
        ended.progress.contains("asks for something else"),
        "{}",
        ended.progress
    );
    world.pass(601);
    let ended = view(&world, "late");
    assert_eq!(ended.status, DeployStatus::Failed);
    assert!(
        ended.progress.contains("not done in time"),
        "{}",
        ended.progress
    );
}

#[test]
fn a_held_plan_and_a_freeze_are_told_and_keep_it_waiting() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 10)], None);
    world.pass(20);
    let spec = DeploySpec {
        desired: Some(1),
        ..asks(&world, "web")
    };
    deploy(&mut world, "d", spec).unwrap();
    commit(&mut world, "d", vec![service("web", 1)]);
    world.pass(5);
    let told = view(&world, "d");
    assert_eq!(told.status, DeployStatus::Running);
    assert!(
        told.progress
            .contains("its plan is held: it would stop 9 of 10"),
        "{}",
        told.progress
    );
    let plan = world.fleet.held_plan().unwrap().plan.id.clone();
    let refuse = Command::RefusePlan {
        plan,
        reason: "no".to_owned(),
    };
    world.command(refuse).unwrap();
    world.pass(30);
    let ended = view(&world, "d");
    assert_eq!(ended.status, DeployStatus::Failed);
    assert!(
        ended.progress.contains("refused by ann: no"),
        "{}",
        ended.progress
    );
}

#[test]
fn a_canceled_deploy_is_taken_back_once() {
    let mut world = world();
    let spec = image(&world, 2);
    deploy(&mut world, "d", spec).unwrap();
    let jobs = vec![with_image(service("web", 3), "registry.example.com/app:2")];
    commit(&mut world, "d", jobs);
    let id = DeployId::from("d");
    for _ in 0..2 {
        let cancel = Command::CancelDeploy {
            deploy: id.clone(),
            reason: "we changed our mind".to_owned(),
        };
        world.command(cancel).unwrap();
    }
    assert_eq!(view(&world, "d").status, DeployStatus::Canceled);
    assert!(world.fleet.deploy(&id).unwrap().wants_back());
    for number in 0..2 {
        let commit = CommitId(format!("{number:040x}"));
        world
            .give(Input::DeployTakenBack {
                deploy: id.clone(),
                commit,
            })
            .unwrap();
    }
    assert_eq!(view(&world, "d").taken_back, Some("0".repeat(40)));
    assert!(!world.fleet.deploy(&id).unwrap().wants_back());
}

/// The commit that undoes it may be held or kept waiting: from the word on nothing more is replaced all the same.
#[test]
fn what_is_taken_back_replaces_nothing_more() {
    for surge in [1, 3] {
        let on = |number: u32| {
            let mut spec = with_image(
                service("web", 3),
                &format!("registry.example.com/app:{number}"),
            );
            let rollout = &mut spec.service.as_mut().expect("a service").rollout;
            rollout.max_surge = surge;
            vec![spec]
        };
        let mut world = World::new(3);
        world.commit(on(1), None);
        world.pass(20);
        let spec = image(&world, 2);
        deploy(&mut world, "d", spec).unwrap();
        // It is the world's second commit.
        let own = Input::DeployCommitted {
            deploy: DeployId::from("d"),
            commit: CommitId(format!("{:040x}", 2)),
        };
        world.give(own).unwrap();
        world.commit(on(2), None);
        world.pass(2);
        let old = |world: &World| {
            let job = &world.fleet.jobs[&JobId::from("web")];
            let tasks = job
                .tasks
                .values()
                .filter(|task| world.fleet.is_healthy(task));
            tasks.filter(|task| task.version == 1).count()
        };
        let before = old(&world);
        assert!(before > 0, "{surge}");
        let cancel = Command::CancelDeploy {
            deploy: DeployId::from("d"),
            reason: "we changed our mind".to_owned(),
        };
        world.command(cancel).unwrap();
        for _ in 0..120 {
            world.pass(1);
            assert!(
                old(&world) >= before,
                "{surge}: {} of {before}",
                old(&world)
            );
        }
        assert_eq!((old(&world), world.healthy("web")), (3, 3), "{surge}");
        // Then the commit comes, and changes nothing any more.
        let taken_back = Input::DeployTakenBack {
            deploy: DeployId::from("d"),
            commit: CommitId(format!("{:040x}", 1001)),
        };
        world.give(taken_back).unwrap();
        let stops = world.stops();
        world.commit(on(1), None);
        world.pass(60);
        assert!(world.fleet.held_plan().is_none());
        assert_eq!((world.stops(), world.healthy("web")), (stops, 3), "{surge}");
    }
}

/// A rollout that somebody else began is not ended with a deploy that changed something else.
#[test]
fn what_others_roll_out_goes_on_although_a_deploy_is_taken_back() {
    let on = |number: u32, desired: u32| {
        vec![with_image(
            service("web", desired),
            &format!("registry.example.com/app:{number}"),
        )]
    };
    let mut world = World::new(3);
    world.commit(on(1, 3), None);
    world.pass(20);
    world.commit(on(2, 3), None);
    world.pass(2);
    let spec = DeploySpec {
        desired: Some(5),
        ..asks(&world, "web")
    };
    deploy(&mut world, "d", spec).unwrap();
    let own = Input::DeployCommitted {
        deploy: DeployId::from("d"),
        commit: CommitId(format!("{:040x}", 3)),
    };
    world.give(own).unwrap();
    world.commit(on(2, 5), None);
    world.pass(2);
    let cancel = Command::CancelDeploy {
        deploy: DeployId::from("d"),
        reason: "we changed our mind".to_owned(),
    };
    world.command(cancel).unwrap();
    world.pass(2);
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(
        job.rollout
            .as_ref()
            .is_some_and(|rollout| rollout.aborted.is_none())
    );
    world.pass(90);
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(job.tasks.values().all(|task| task.version > 1));
}

#[test]
fn a_deploy_that_cannot_be_undone_is_said_to_stand_until_it_is_taken_back_again() {
    let mut world = world();
    let spec = image(&world, 2);
    deploy(&mut world, "d", spec).unwrap();
    let jobs = vec![with_image(service("web", 3), "registry.example.com/app:2")];
    commit(&mut world, "d", jobs);
    let id = DeployId::from("d");
    let cancel = || Command::CancelDeploy {
        deploy: id.clone(),
        reason: "we changed our mind".to_owned(),
    };
    let gives_up = || Input::DeployNotTakenBack {
        deploy: id.clone(),
        trouble: TakeBackTrouble::Conflict {
            message: "web.yaml is not UTF-8".to_owned(),
        },
    };
    // Nobody has taken it back yet.
    world.give(gives_up()).unwrap();
    assert_eq!(world.fleet.deploy(&id).unwrap().not_taken_back, None);
    let alerts = |world: &World| {
        let alerts = alerts(&world.fleet, None, world.now).into_iter();
        let ours = alerts.filter(|alert| alert.code == "deploy-not-taken-back");
        ours.map(|alert| alert.message).collect::<Vec<_>>()
    };
    world.command(cancel()).unwrap();
    assert!(alerts(&world).is_empty());
    world.give(gives_up()).unwrap();
    assert!(!world.fleet.deploy(&id).unwrap().wants_back());
    let ended = view(&world, "d");
    assert_eq!(ended.status, DeployStatus::Canceled);
    assert_eq!(
        ended.progress,
        "taken back by ann: we changed our mind; it could not be undone and still stands in git: its document cannot be put back: \
         web.yaml is not UTF-8"
    );
    assert_eq!(
        alerts(&world),
        [
            "Deploy d was taken back and still stands in git: its document cannot be put back: web.yaml is not UTF-8; take it back again, \
          or commit what the job should be."
        ]
    );

    // Again, once the file is mended.
    world.command(cancel()).unwrap();
    assert!(world.fleet.deploy(&id).unwrap().wants_back());
    assert!(alerts(&world).is_empty());
    world.give(gives_up()).unwrap();
    assert_eq!(alerts(&world).len(), 1);
    // Somebody commits what it was: that it was given up does not matter any more.
    let before = with_image(service("web", 3), "registry.example.com/app:1");
    world.commit(vec![before], None);
    assert!(alerts(&world).is_empty());
}

#[test]
fn a_batch_job_is_run_and_waited_for() {
    let again = |run: &str| JobSpec {
        batch: Some(Batch {
            run: Some(run.to_owned()),
            ..batch("work", 2, 0).batch.unwrap()
        }),
        ..batch("work", 2, 0)
    };
    for (code, status) in [(0, DeployStatus::Succeeded), (1, DeployStatus::Failed)] {
        let mut world = World::new(1);
        world.commit(vec![again("first")], None);
        world.pass(3);
        for task in ["work.0", "work.1"] {
            world.exit(task, 0);
        }
        world.pass(3);
        let spec = DeploySpec {
            run: Some("second".to_owned()),
            ..asks(&world, "work")
        };
        deploy(&mut world, "d", spec).unwrap();
        commit(&mut world, "d", vec![again("second")]);
        world.pass(3);
        assert_eq!(view(&world, "d").progress, "0 of 2 tasks finished");
        world.exit("work.0", 0);
        world.pass(2);
        world.exit("work.1", code);
        world.pass(2);
        let ended = view(&world, "d");
        assert_eq!(ended.status, status, "{}", ended.progress);
    }
}

/// A job that has to go asks for no task, so none is missing; yet nothing of what was asked for runs.
#[test]
fn a_deploy_of_a_job_whose_document_is_removed_fails() {
    let again = |run: &str| {
        let mut spec = batch("work", 2, 0);
        if let Some(batch) = &mut spec.batch {
            batch.run = Some(run.to_owned());
        }
        spec
    };
    let prune = PolicySpec {
        prune: true,
        prune_grace: Millis(0),
        ..PolicySpec::named("default")
    };
    let mut world = World::new(2);
    let jobs = |image: u32, run: &str| {
        let image = format!("registry.example.com/app:{image}");
        let web = with_image(service("web", 2), &image);
        vec![web, again(run), service("other", 1)]
    };
    world.commit(jobs(1, "first"), Some(prune.clone()));
    world.pass(12);
    let spec = image(&world, 2);
    deploy(&mut world, "of-web", spec).unwrap();
    let spec = DeploySpec {
        run: Some("second".to_owned()),
        ..asks(&world, "work")
    };
    deploy(&mut world, "of-work", spec).unwrap();
    for id in ["of-web", "of-work"] {
        let (deploy, commit) = (DeployId::from(id), CommitId("1".repeat(40)));
        let input = Input::DeployCommitted { deploy, commit };
        world.give(input).unwrap();
    }
    world.commit(jobs(2, "second"), Some(prune.clone()));
    world.pass(1);
    world.commit(vec![service("other", 1)], Some(prune));
    world.pass(30);
    for id in ["of-web", "of-work"] {
        let ended = view(&world, id);
        assert_eq!(ended.status, DeployStatus::Failed, "{}", ended.progress);
        let why = "the job's document was removed, and its tasks are stopped";
        assert_eq!(ended.progress, why);
    }
}

#[test]
fn deploys_are_listed_newest_first_in_pages_and_by_filters() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1), service("api", 1)], None);
    for (number, job) in ["web", "api", "web", "web"].into_iter().enumerate() {
        let spec = DeploySpec {
            execution: format!("run-{number}"),
            ..DeploySpec {
                image: Some(format!("registry.example.com/app:{number}")),
                ..asks(&world, job)
            }
        };
        deploy(&mut world, &format!("d{number}"), spec).unwrap();
    }
    world
        .give(Input::DeployFailed {
            deploy: DeployId::from("d0"),
            message: "no".to_owned(),
        })
        .unwrap();
    let list = |filter: &DeployFilter, after: Option<&str>, limit: usize| {
        let page = Page {
            after: after.map(str::to_owned),
            limit,
        };
        let list = deploys(&world.fleet, filter, &page, world.now);
        let ids: Vec<String> = list.items.into_iter().map(|deploy| deploy.id).collect();
        (ids.join(" "), list.next, list.total)
    };
    let all = DeployFilter::default();
    assert_eq!(list(&all, None, 10), ("d3 d2 d1 d0".into(), None, 4));
    assert_eq!(list(&all, None, 2), ("d3 d2".into(), Some("d2".into()), 4));
    assert_eq!(list(&all, Some("d2"), 2), ("d1 d0".into(), None, 4));
    assert_eq!(list(&all, Some("gone"), 2), (String::new(), None, 4));
    let of_web = DeployFilter {
        job: vec!["web".into()],
        ..DeployFilter::default()
    };
    assert_eq!(list(&of_web, None, 10), ("d3 d2 d0".into(), None, 3));
    let failed = DeployFilter {
        state: vec![DeployStatus::Failed],
        ..DeployFilter::default()
    };
    assert_eq!(list(&failed, None, 10), ("d0".into(), None, 1));
    let found = DeployFilter {
        q: Some("RUN-1".into()),
        ..DeployFilter::default()
    };
    assert_eq!(list(&found, None, 10), ("d1".into(), None, 1));
}

#[test]
fn no_more_deploys_are_under_way_than_anybody_means() {
    let mut world = world();
    for number in 0..DEPLOYS_AT_ONCE {
        let spec = asks(&world, "web");
        deploy(&mut world, &format!("d{number}"), spec).unwrap();
    }
    let one_more = asks(&world, "web");
    let refused = deploy(&mut world, "more", one_more.clone());
    assert_eq!(refused, Err(Refusal::TooManyDeploys));
    // One that is there can be asked for again.
    let again = asks(&world, "web");
    deploy(&mut world, "d0", again).unwrap();
    let cancel = Command::CancelDeploy {
        deploy: DeployId::from("d0"),
        reason: "a slip".to_owned(),
    };
    world.command(cancel).unwrap();
    deploy(&mut world, "more", one_more).unwrap();
}
