//! What a forge shows beside a commit, from the push to the end of its rollout.

use crate::common::{World, batch, service, with_image};
use muster_core::decide::{Command, Input};
use muster_core::view::{CommitState, CommitStatus, commit_statuses};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::{CommitId, JobId};
use muster_schemas::plan::{Diagnostic, FreezeScope};
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::{Analysis, Canary, CanaryStep, Millis, PolicySpec, RedBlack};

fn all(world: &World) -> Vec<CommitStatus> {
    commit_statuses(&world.fleet, &|_| false, world.now)
}

/// The state and the sentence of the commit with this number.
#[track_caller]
fn of(world: &World, commit: u32) -> (CommitState, String) {
    let commit = CommitId(format!("{commit:040x}"));
    let statuses = all(world);
    let found = statuses.iter().find(|status| status.commit == commit);
    let found = found.unwrap_or_else(|| panic!("{commit} is not among {statuses:?}"));
    (found.state, found.sentence.clone())
}

#[track_caller]
fn is(world: &World, commit: u32, state: CommitState, sentence: &str) {
    assert_eq!(of(world, commit), (state, sentence.to_owned()));
}

fn fault(path: &str, code: &str) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        path: path.to_owned(),
        line: 3,
        column: 1,
        source_line: String::new(),
        width: 0,
        message: "`imge` is no field of a job".to_owned(),
        help: String::new(),
        job: None,
    }
}

#[test]
fn a_commit_is_pending_until_all_of_it_is_healthy_for_long_enough() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 2), batch("nightly", 3, 0)], None);
    is(
        &world,
        1,
        CommitState::Pending,
        "applied; 1 of 2 jobs as it asks; web has 0 of 2 tasks healthy on version 1",
    );
    world.pass(3);
    assert_eq!(of(&world, 1).0, CommitState::Pending);
    world.pass(12);
    is(
        &world,
        1,
        CommitState::Success,
        "applied; 2 jobs are as it asks",
    );
    // A commit that changes no tasks has nothing to wait for.
    world.commit(vec![service("web", 2), batch("nightly", 3, 0)], None);
    is(
        &world,
        2,
        CommitState::Success,
        "applied; it changes no tasks",
    );
}

#[test]
fn a_held_plan_is_pending_and_a_refused_one_a_failure() {
    let mut world = World::new(4);
    let policy = PolicySpec {
        prune: true,
        ..PolicySpec::built_in()
    };
    world.commit(vec![service("web", 10)], Some(policy.clone()));
    world.pass(40);
    world.commit(vec![service("web", 1)], Some(policy));
    let (state, sentence) = of(&world, 2);
    assert_eq!(state, CommitState::Pending);
    assert!(sentence.contains("is held: "), "{sentence}");
    assert_eq!(of(&world, 1).0, CommitState::Success);
    let plan = world.fleet.held_plan().expect("held").plan.id.clone();
    world
        .command(Command::RefusePlan {
            plan,
            reason: "too small".to_owned(),
        })
        .unwrap();
    let (state, sentence) = of(&world, 2);
    assert_eq!(state, CommitState::Failure);
    assert!(
        sentence.contains("was refused by ann: too small"),
        "{sentence}"
    );
}

#[test]
fn a_document_that_is_not_taken_is_a_failure_and_an_image_that_is_awaited_is_not() {
    let mut world = World::new(2);
    let broken = vec![fault("jobs/other.yaml", "unknown-field")];
    world.commit_with(vec![service("web", 1)], None, broken);
    is(
        &world,
        1,
        CommitState::Failure,
        "1 fault in documents that are not taken, such as jobs/other.yaml:3: `imge` is no field of a job",
    );
    // However well the rest of it goes.
    world.pass(20);
    assert_eq!(of(&world, 1).0, CommitState::Failure);
    let awaited = vec![fault("jobs/other.yaml", "image-unresolved")];
    world.commit_with(vec![service("web", 1)], None, awaited);
    assert_eq!(of(&world, 2).0, CommitState::Pending);
    // What was wrong with the first stays wrong with it, and what the second waited for did not come.
    world.commit(vec![service("web", 1)], None);
    assert_eq!(of(&world, 1).0, CommitState::Failure);
    assert_eq!(of(&world, 2).0, CommitState::Failure);
    assert_eq!(of(&world, 3).0, CommitState::Success);
}

#[test]
fn a_rollout_that_crashes_is_a_failure_until_it_does_not_any_more() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 1)], None);
    world.pass(20);
    assert_eq!(of(&world, 1).0, CommitState::Success);
    world.commit(
        vec![with_image(service("web", 1), "registry.example.com/app:2")],
        None,
    );
    for _ in 0..400 {
        world.pass(1);
        let crashing: Vec<String> = world.fleet.jobs[&"web".into()]
            .tasks
            .values()
            .filter(|task| task.version == 2)
            .filter(|task| {
                let attempt = world.fleet.current_attempt(task);
                attempt.is_some_and(|attempt| world.running.contains_key(&attempt.id))
            })
            .map(|task| task.id.to_string())
            .collect();
        for task in crashing {
            world.exit(&task, 1);
        }
        if of(&world, 2).0 == CommitState::Failure {
            break;
        }
    }
    let (state, sentence) = of(&world, 2);
    assert_eq!(state, CommitState::Failure, "{sentence}");
    assert!(
        sentence.contains("is in a crash loop on version 2"),
        "{sentence}"
    );
    world.pass(900);
    assert_eq!(of(&world, 2).0, CommitState::Success);
}

#[test]
fn a_commit_whose_canary_is_aborted_has_failed() {
    let mut world = World::new(3);
    let spec = |image: &str| {
        let mut spec = with_image(service("web", 3), image);
        let rollout = &mut spec.service.as_mut().expect("a service").rollout;
        rollout.canary = Some(Canary {
            steps: vec![CanaryStep {
                tasks: Some(1),
                percent: None,
                pause: Millis::secs(600),
            }],
            analysis: Analysis::default(),
        });
        spec
    };
    world.commit(vec![spec("registry.example.com/web:1")], None);
    world.pass(20);
    world.commit(vec![spec("registry.example.com/web:2")], None);
    world.pass(20);
    assert_eq!(of(&world, 2).0, CommitState::Pending);
    let rollout = |world: &mut World, word| {
        let (job, reason) = (JobId::from("web"), "too slow".to_owned());
        let command = Command::Rollout { job, word, reason };
        world.command(command).expect("there is a rollout");
    };
    rollout(&mut world, RolloutWord::Abort);
    world.pass(20);
    is(
        &world,
        2,
        CommitState::Failure,
        "web: the rollout of version 2 was aborted by ann: too slow; version 1 serves on",
    );
    assert_eq!(of(&world, 1).0, CommitState::Failure, "it is the same job");
    rollout(&mut world, RolloutWord::Retry);
    assert_eq!(of(&world, 2).0, CommitState::Pending);
}

#[test]
fn a_commit_has_succeeded_although_red_black_keeps_the_old_set() {
    let mut world = World::new(3);
    let spec = |image: &str| {
        let mut spec = with_image(service("web", 3), image);
        let rollout = &mut spec.service.as_mut().expect("a service").rollout;
        rollout.red_black = Some(RedBlack {
            keep_old: Millis::secs(3600),
        });
        spec
    };
    world.commit(vec![spec("registry.example.com/web:1")], None);
    world.pass(20);
    world.commit(vec![spec("registry.example.com/web:2")], None);
    assert_eq!(of(&world, 2).0, CommitState::Pending);
    world.pass(40);
    assert_eq!(world.healthy("web"), 6, "both sets are there");
    is(
        &world,
        2,
        CommitState::Success,
        "applied; 1 job is as it asks",
    );
}

#[test]
fn a_commit_that_was_followed_settles_when_what_it_changed_does() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 1)], None);
    // The next one changes nothing and is a success at once, which says nothing of the one before.
    world.commit(vec![service("web", 1)], None);
    assert_eq!(of(&world, 2).0, CommitState::Success);
    is(
        &world,
        1,
        CommitState::Pending,
        "applied; 0 of 1 job as it asks; web has 0 of 1 task healthy on version 1",
    );
    world.pass(20);
    is(
        &world,
        1,
        CommitState::Success,
        "applied; 1 job is as it asks",
    );
    let statuses = all(&world);
    assert_eq!(statuses.len(), 2);
    assert!(statuses[0].commit < statuses[1].commit, "oldest first");
    let first = statuses[0].commit.clone();
    let others = commit_statuses(&world.fleet, &|commit| *commit == first, world.now);
    assert_eq!(others, statuses[1..]);
}

#[test]
fn a_held_commit_waits_for_the_one_that_takes_its_place() {
    let mut world = World::new(4);
    world.commit(vec![service("web", 10)], None);
    world.pass(40);
    world.commit(vec![service("web", 1)], None);
    world.commit(vec![service("web", 1), service("other", 1)], None);
    is(
        &world,
        2,
        CommitState::Pending,
        "revision 000000000000 has taken its place, and is not applied yet",
    );
    world.commit(vec![service("web", 9), service("other", 1)], None);
    world.pass(40);
    // Nothing came of what was held.
    let states = [2, 3, 4].map(|commit| of(&world, commit).0);
    assert_eq!(
        states,
        [
            CommitState::Failure,
            CommitState::Failure,
            CommitState::Success
        ]
    );
}

#[test]
fn what_is_kept_back_by_a_freeze_is_pending_until_it_is_resumed() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 1), service("other", 1)], None);
    world.pass(20);
    let scope = FreezeScope::Job { job: "web".into() };
    world
        .command(Command::Freeze {
            scope: scope.clone(),
            reason: "sale".to_owned(),
            until: None,
        })
        .unwrap();
    world.commit(vec![service("web", 2), service("other", 2)], None);
    world.pass(20);
    let (state, sentence) = of(&world, 2);
    assert_eq!(state, CommitState::Pending);
    assert!(
        sentence.starts_with("the change of web is kept back: ") && sentence.ends_with(": sale"),
        "{sentence}"
    );
    world
        .command(Command::Resume {
            scope,
            reason: "over".to_owned(),
        })
        .unwrap();
    world.pass(20);
    is(
        &world,
        2,
        CommitState::Success,
        "applied; 2 jobs are as it asks",
    );
}

#[test]
fn a_revision_that_must_not_be_followed_is_a_failure() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.pass(20);
    let commit = CommitId(format!("{:040x}", 77));
    world
        .give(Input::Trouble(RepositoryTrouble::Empty {
            commit: commit.clone(),
        }))
        .unwrap();
    is(
        &world,
        77,
        CommitState::Failure,
        &format!("revision {commit} holds no document although jobs are declared"),
    );
    assert_eq!(of(&world, 1).0, CommitState::Success);
}

/// A green mark beside a commit that nothing came of would be a lie.
#[test]
fn a_commit_that_was_never_applied_has_not_succeeded() {
    let mut world = World::new(3);
    world.commit(vec![service("web", 12)], None);
    world.pass(20);
    // Held, and replaced by one that asks for something else.
    world.commit(vec![service("web", 2)], None);
    world.commit(vec![service("web", 12), service("api", 1)], None);
    world.pass(20);
    let (state, sentence) = of(&world, 2);
    assert_eq!(state, CommitState::Failure);
    assert_eq!(
        sentence,
        "it was never applied: revision 000000000000 took its place"
    );

    // Held, and in a later one that a person let through.
    world.commit(vec![service("web", 3), service("api", 1)], None);
    world.commit(vec![service("web", 3), service("api", 2)], None);
    assert_eq!(of(&world, 4).0, CommitState::Pending);
    let plan = world.fleet.held_plan().expect("it is held").plan.id.clone();
    let approve = Command::ApprovePlan {
        plan,
        reason: "it is night".to_owned(),
    };
    world.command(approve).expect("it is held");
    world.pass(60);
    assert_eq!(of(&world, 4).0, CommitState::Success);
}
