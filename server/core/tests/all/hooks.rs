//! Before-hooks run before anything of a plan happens, and after-hooks once it has come about.

use crate::common::laws::pick_running;
use crate::common::{World, batch, service, settings, with_image};
use muster_core::decide::{Command, Input};
use muster_core::fleet::Fleet;
use muster_core::plan::plan;
use muster_core::predict::predict;
use muster_core::view::{alerts, job_view, plan_status};
use muster_schemas::api::{JobStatus, PlanStatus};
use muster_schemas::event::Event;
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{FreezeScope, HoldReason, JobAction};
use muster_schemas::spec::{Approvals, Bound, Hook, JobSpec, Limits, Millis, PolicySpec};
use muster_schemas::state::{Actor, Outcome, TaskState};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ENOUGH: u32 = 12;

fn hook(name: &str, size: u32, hook: Hook) -> JobSpec {
    let mut spec = batch(name, size, 0);
    spec.batch.as_mut().expect("a batch").hook = Some(hook);
    spec
}

fn migrate() -> JobSpec {
    hook("migrate", 1, Hook::BeforeSync)
}

fn smoke() -> JobSpec {
    hook("smoke", 1, Hook::AfterSync)
}

fn web(image: u32) -> JobSpec {
    with_image(
        service("web", 2),
        &format!("registry.example.com/app:{image}"),
    )
}

fn image(world: &World, job: &str) -> String {
    world.fleet.jobs[&JobId::from(job)].spec().image.clone()
}

fn run(world: &World, job: &str) -> u32 {
    world.fleet.jobs[&JobId::from(job)].run
}

fn holds(world: &World) -> Vec<String> {
    let held = world.fleet.held_plan();
    held.map_or(Vec::new(), |entry| {
        entry.holds.iter().map(ToString::to_string).collect()
    })
}

fn held(world: &World) -> PlanId {
    world
        .fleet
        .held_plan()
        .expect("a plan is held")
        .plan
        .id
        .clone()
}

fn approve(world: &mut World) {
    let (plan, reason) = (held(world), "it is meant".to_owned());
    world
        .command(Command::ApprovePlan { plan, reason })
        .expect("it is held");
}

fn began(world: &World) -> Vec<(Hook, Vec<String>)> {
    world.events(|event| match event {
        Event::HooksBegan { hook, jobs, .. } => {
            Some((*hook, jobs.iter().map(ToString::to_string).collect()))
        }
        _ => None,
    })
}

/// A world in which `web` runs on its first image, after its hook.
fn running(jobs: Vec<JobSpec>) -> World {
    let mut world = World::new(2);
    world.commit(jobs, None);
    world.pass(2);
    if world.fleet.jobs.contains_key(&JobId::from("migrate")) {
        world.exit("migrate.0", 0);
    }
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 2);
    world
}

fn lead(world: &mut World) {
    let (cell, version) = ("test".into(), "0.1.0".to_owned());
    world.give(Input::Lead { cell, version }).expect("a leader");
    world.connect();
    let again = world.last_input.clone().expect("a commit was made");
    world
        .give(Input::Revision(Box::new(again)))
        .expect("it is taken");
}

#[test]
fn nothing_of_a_plan_happens_before_its_hook_has_succeeded() {
    let mut world = World::new(2);
    world.commit(vec![migrate(), web(1)], None);
    world.pass(30);
    assert_eq!(world.living("migrate"), vec![(0, TaskState::Running)]);
    assert!(!world.fleet.jobs.contains_key(&JobId::from("web")));
    assert!(world.fleet.revision.is_none());
    assert_eq!(
        holds(&world),
        ["its hook migrate runs first; it goes ahead by itself when that has succeeded"]
    );
    // That needs nobody.
    assert_eq!(alerts(&world.fleet, None, world.now), []);
    world.exit("migrate.0", 0);
    world.pass(ENOUGH);
    assert_eq!((holds(&world), world.healthy("web")), (vec![], 2));
    // With the next plan it runs again, and what runs is left alone meanwhile.
    world.commit(vec![migrate(), web(2)], None);
    world.pass(30);
    assert_eq!((image(&world, "web"), world.stops()), (web(1).image, 0));
    world.exit("migrate.0", 0);
    world.pass(60);
    assert_eq!((image(&world, "web"), world.stops()), (web(2).image, 2));
    assert_eq!(run(&world, "migrate"), 2);
}

#[test]
fn a_hook_that_fails_keeps_all_of_the_plan_from_happening() {
    let mut world = running(vec![migrate(), web(1)]);
    let next = || vec![migrate(), web(2), service("new", 1)];
    world.commit(next(), None);
    world.pass(2);
    // An approval before there is anything to say yes to counts for nothing.
    approve(&mut world);
    world.exit("migrate.0", 1);
    world.pass(600);
    assert_eq!((image(&world, "web"), world.stops()), (web(1).image, 0));
    assert!(!world.fleet.jobs.contains_key(&JobId::from("new")));
    assert_eq!(
        world.fleet.held_plan().expect("it is held").holds,
        [HoldReason::HookFailed {
            task: "migrate.0".parse().expect("a task")
        }]
    );
    let codes: Vec<String> = alerts(&world.fleet, None, world.now)
        .into_iter()
        .map(|alert| alert.code)
        .collect();
    assert_eq!(codes, ["plan-held", "hook-failed"]);
    // What dies is replaced all the same.
    world.exit("web.0", 1);
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 2);
    // A newer commit runs it again.
    world.commit(next(), None);
    world.pass(2);
    assert_eq!(run(&world, "migrate"), 3);
    world.exit("migrate.0", 0);
    world.pass(60);
    assert_eq!(
        (image(&world, "web"), world.healthy("new")),
        (web(2).image, 1)
    );
}

#[test]
fn a_person_may_go_ahead_in_spite_of_a_failed_hook() {
    let mut world = running(vec![migrate(), web(1)]);
    world.commit(vec![migrate(), web(2)], None);
    world.pass(2);
    world.exit("migrate.0", 1);
    world.pass(2);
    approve(&mut world);
    world.pass(60);
    assert_eq!(
        (image(&world, "web"), run(&world, "migrate")),
        (web(2).image, 2)
    );
}

#[test]
fn a_plan_that_needs_a_human_needs_one_before_its_hooks_begin() {
    let pruning = PolicySpec {
        prune: true,
        prune_grace: Millis(0),
        approvals: Approvals {
            expire_after: Millis::secs(60),
            ..Approvals::default()
        },
        ..PolicySpec::named("default")
    };
    let mut world = World::new(2);
    world.commit(
        vec![migrate(), service("web", 8), service("kept", 1)],
        Some(pruning.clone()),
    );
    world.pass(2);
    world.exit("migrate.0", 0);
    world.pass(ENOUGH);
    world.commit(vec![migrate(), service("kept", 1)], Some(pruning));
    world.pass(30);
    assert_eq!((run(&world, "migrate"), world.stops()), (1, 0));
    approve(&mut world);
    world.pass(2);
    assert_eq!((run(&world, "migrate"), world.stops()), (2, 0));
    // The approval was used: that it expires while the hook runs does not matter.
    world.pass(100);
    assert_eq!(world.stops(), 0);
    world.exit("migrate.0", 0);
    world.pass(30);
    assert_eq!((world.healthy("web"), world.healthy("kept")), (0, 1));
}

#[test]
fn an_approval_that_was_over_before_the_hooks_began_counts_for_nothing_after_them() {
    let many = |size: u32| service("many", size);
    let policy = || PolicySpec {
        approvals: Approvals {
            expire_after: Millis::secs(60),
            ..Approvals::default()
        },
        limits: Limits {
            stops_per_plan: Bound {
                count: 1,
                percent: 10,
            },
            ..PolicySpec::built_in().limits
        },
        ..PolicySpec::built_in()
    };
    let mut world = World::new(4);
    world.commit(vec![migrate(), web(1), many(20)], Some(policy()));
    world.pass(2);
    world.exit("migrate.0", 0);
    world.pass(ENOUGH);
    // It is approved while the cell is frozen, and the approval is over when it is not any more.
    let scope = FreezeScope::Cell;
    let reason = "a fair".to_owned();
    let freeze = Command::Freeze {
        scope: scope.clone(),
        reason: reason.clone(),
        until: None,
    };
    world.command(freeze).expect("it can be frozen");
    world.commit(vec![migrate(), web(2), many(18)], Some(policy()));
    approve(&mut world);
    world.pass(90);
    let resume = Command::Resume { scope, reason };
    world.command(resume).expect("it can be resumed");
    assert_eq!(began(&world).len(), 2, "nothing but the freeze held it");
    // Much of what ran is gone for a moment while the hook runs: the plan takes too large a part of what is left.
    for index in 0..8 {
        world.exit(&format!("many.{index}"), 1);
    }
    world.exit("migrate.0", 0);
    let holds = holds(&world);
    assert!(
        holds.iter().any(|hold| hold.contains("would stop")),
        "{holds:?}"
    );
}

#[test]
fn a_restart_and_a_second_reading_start_no_hook_twice() {
    let mut world = running(vec![migrate(), web(1), smoke()]);
    world.pass(5);
    world.exit("smoke.0", 0);
    lead(&mut world);
    assert_eq!(began(&world).len(), 2);
    let mut changed = migrate();
    changed.env.insert("LEVEL".to_owned(), "2".to_owned());
    world.commit(vec![changed, web(2), smoke()], None);
    world.pass(2);
    let plans = world.fleet.plans.len();
    // Tasks come and go meanwhile.
    world.exit("web.1", 1);
    lead(&mut world);
    world.pass(2);
    lead(&mut world);
    assert_eq!(
        (world.fleet.plans.len(), run(&world, "migrate")),
        (plans, 2)
    );
    world.exit("migrate.0", 0);
    world.pass(60);
    lead(&mut world);
    assert_eq!(
        (
            image(&world, "web"),
            run(&world, "migrate"),
            run(&world, "smoke")
        ),
        (web(2).image, 2, 2)
    );
    // The hook's own change was made once, and nothing is left to plan.
    let made = plan(
        &world.fleet,
        &world.last_input.clone().expect("a commit"),
        world.now,
    );
    assert_eq!(made.changes, []);
    assert_eq!(world.fleet.jobs[&JobId::from("migrate")].version, 2);
}

#[test]
fn a_hook_runs_for_no_change_but_others() {
    let mut world = running(vec![migrate(), web(1), smoke()]);
    world.pass(5);
    let count = began(&world).len();
    let bigger = hook("migrate", 3, Hook::BeforeSync);
    world.commit(vec![bigger.clone(), web(1), smoke()], None);
    world.pass(ENOUGH);
    assert_eq!(
        plan_status(&world.fleet, world.fleet.plans.back().expect("a plan")),
        PlanStatus::Applied
    );
    assert_eq!(
        (began(&world).len(), world.living("migrate")),
        (count, vec![])
    );
    // Alone it does nothing at all, and says so.
    let mut world = World::new(1);
    world.commit(vec![migrate()], None);
    world.pass(ENOUGH);
    let job = job_view(
        &world.fleet,
        &world.fleet.jobs[&JobId::from("migrate")],
        world.now,
    );
    assert_eq!((job.status, job.run), (JobStatus::Idle, 0));
    assert_eq!(
        job.reason,
        "it is a hook and runs before the next plan that changes other jobs"
    );
    // One that is none any more is a batch like any other.
    world.commit(vec![batch("migrate", 1, 0)], None);
    world.pass(ENOUGH);
    assert_eq!(world.living("migrate"), vec![(0, TaskState::Running)]);
}

#[test]
fn a_newer_commit_takes_the_place_of_one_whose_hook_runs() {
    let mut world = running(vec![migrate(), web(1)]);
    world.commit(vec![migrate(), web(2)], None);
    world.pass(2);
    // Taken back: nothing is left to do, and the hook of what was taken back is left to end.
    world.commit(vec![migrate(), web(1)], None);
    world.pass(2);
    assert!(world.fleet.held_plan().is_none());
    assert_eq!(world.living("migrate"), vec![(0, TaskState::Running)]);
    world.commit(vec![migrate(), web(3)], None);
    world.pass(5);
    // The run of the plan before has to end first: two of them never run beside each other.
    assert_eq!(world.living("migrate").len(), 1);
    world.exit("migrate.0", 0);
    world.pass(3);
    assert_eq!(image(&world, "web"), web(1).image);
    world.exit("migrate.0", 0);
    world.pass(60);
    assert_eq!(image(&world, "web"), web(3).image);
}

#[test]
fn an_after_hook_runs_once_the_services_are_healthy() {
    let mut world = World::new(2);
    world.sick.insert("web".to_owned());
    world.commit(vec![smoke(), web(1), batch("long", 1, 0)], None);
    world.pass(30);
    assert_eq!(world.living("smoke"), vec![]);
    world.sick.clear();
    world.pass(ENOUGH);
    assert_eq!(began(&world), [(Hook::AfterSync, vec!["smoke".to_owned()])]);
    assert_eq!(world.living("smoke"), vec![(0, TaskState::Running)]);
    // That it fails is told, and changes nothing.
    world.exit("smoke.0", 1);
    world.pass(120);
    assert_eq!(
        (world.healthy("web"), world.stops(), run(&world, "smoke")),
        (2, 0, 1)
    );
    let told = alerts(&world.fleet, None, world.now);
    assert!(
        told.iter().any(|alert| alert.code == "hook-failed"),
        "{told:?}"
    );
    world.commit(vec![smoke(), web(2), batch("long", 1, 0)], None);
    world.pass(3);
    // A commit that changes nothing, in the middle of the rollout, does not take its hook away.
    world.commit(vec![smoke(), web(2), batch("long", 1, 0)], None);
    assert_eq!(run(&world, "smoke"), 1);
    world.pass(60);
    assert_eq!(run(&world, "smoke"), 2);
    world.commit(vec![smoke(), web(2), batch("long", 1, 0)], None);
    world.pass(60);
    assert_eq!(run(&world, "smoke"), 2);
}

#[test]
fn what_is_frozen_holds_a_plan_also_while_its_hook_runs() {
    for job in ["web", "migrate"] {
        let scope = || FreezeScope::Job { job: job.into() };
        let reason = || "we look".to_owned();
        let mut world = running(vec![migrate(), web(1)]);
        world.commit(vec![migrate(), web(2)], None);
        world.pass(2);
        world
            .command(Command::Freeze {
                scope: scope(),
                reason: reason(),
                until: None,
            })
            .expect("it is there");
        world.exit("migrate.0", 0);
        world.pass(60);
        assert_eq!(
            (image(&world, "web"), world.stops()),
            (web(1).image, 0),
            "{job}"
        );
        world
            .command(Command::Resume {
                scope: scope(),
                reason: reason(),
            })
            .expect("it is frozen");
        world.pass(60);
        assert_eq!(
            (image(&world, "web"), run(&world, "migrate")),
            (web(2).image, 2),
            "{job}"
        );
    }
}

#[test]
fn a_plan_with_hooks_is_predicted_as_if_they_succeed() {
    let mut world = running(vec![migrate(), web(1), smoke()]);
    world.pass(5);
    world.exit("smoke.0", 0);
    let before = world.fleet.clone();
    let now = world.now;
    world.commit(vec![migrate(), web(2), smoke()], None);
    let made = plan(&before, &world.last_input.clone().expect("a commit"), now);
    let prediction = predict(&before, &made, now);
    assert_eq!(
        (prediction.started, prediction.stopped, prediction.goes_on),
        (2, 2, false)
    );
}

#[test]
fn a_plan_with_hooks_that_is_held_is_predicted_as_if_it_were_approved() {
    let many = |size: u32| service("many", size);
    let mut world = running(vec![migrate(), web(1), many(12)]);
    let (before, now) = (world.fleet.clone(), world.now);
    world.commit(vec![migrate(), web(1), many(4)], None);
    assert!(world.fleet.held_plan().is_some());
    let made = plan(&before, &world.last_input.clone().expect("a commit"), now);
    let prediction = predict(&before, &made, now);
    assert_eq!((prediction.started, prediction.stopped), (0, 8));
}

#[derive(Debug, Clone)]
enum Step {
    Commit { web: u32, api: u32, hooks: u32 },
    Pass(u32),
    Exit(usize, i32),
    Approve,
    Refuse,
    Lead,
}

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4u32, 1..4u32, 0..3u32).prop_map(|(web, api, hooks)| Step::Commit { web, api, hooks }),
        6 => (1..10u32).prop_map(Step::Pass),
        6 => (any::<usize>(), 0..2i32).prop_map(|(which, code)| Step::Exit(which, code)),
        1 => Just(Step::Approve),
        1 => Just(Step::Refuse),
        1 => Just(Step::Lead),
    ]
}

/// An auditor who knows the journal alone: a plan that changes what other jobs run is applied only after each before-hook of the
/// time ran for it and all its tasks succeeded, or after a person said yes to it once one had not.
fn audit(world: &World) {
    let mut fleet = Fleet::default();
    let mut begun: BTreeMap<PlanId, Vec<JobId>> = BTreeMap::new();
    let mut ended: BTreeMap<(JobId, u32), BTreeMap<u32, Outcome>> = BTreeMap::new();
    let mut failed: BTreeMap<PlanId, bool> = BTreeMap::new();
    for record in &world.journal {
        match &record.event {
            Event::HooksBegan {
                plan,
                hook: Hook::BeforeSync,
                jobs,
            } => {
                assert!(
                    begun.insert(plan.clone(), jobs.clone()).is_none(),
                    "hooks run twice for {plan}"
                );
            }
            Event::TaskFinished { task, outcome, .. } => {
                let run = fleet.jobs[&task.job].tasks[&task.index].run;
                ended
                    .entry((task.job.clone(), run))
                    .or_default()
                    .insert(task.index, *outcome);
            }
            Event::PlanHeld { plan, reasons } => {
                let fails = reasons
                    .iter()
                    .any(|reason| matches!(reason, HoldReason::HookFailed { .. }));
                if fails {
                    failed.entry(plan.clone()).or_insert(false);
                }
            }
            Event::PlanApproved { plan, .. } => {
                if let Some(approved) = failed.get_mut(plan) {
                    *approved = true;
                }
            }
            Event::PlanApplied { plan } => {
                let made = &fleet.plan(plan).expect("it was made").plan;
                let is_hook = |job: &JobId| job.as_str().starts_with("hook");
                let changes = made.changes.iter().any(|change| {
                    !is_hook(&change.job) && !matches!(change.action, JobAction::Move { .. })
                });
                let hooks: Vec<&JobId> = fleet.jobs.keys().filter(|job| is_hook(job)).collect();
                let ran = begun.get(plan).map_or(&[][..], |jobs| &jobs[..]);
                if changes {
                    let by_person = matches!(record.actor, Actor::Person(_));
                    for hook in hooks.iter().filter(|hook| fleet.jobs[**hook].declared) {
                        assert!(ran.contains(hook), "{hook} did not run for {plan}");
                    }
                    for hook in ran {
                        let job = &fleet.jobs[hook];
                        let outcomes = ended.get(&(hook.clone(), job.run));
                        let good = outcomes.map_or(0, |outcomes| {
                            outcomes
                                .values()
                                .filter(|outcome| **outcome == Outcome::Succeeded)
                                .count()
                        });
                        let all = good == job.spec().size() as usize;
                        assert!(
                            all || by_person && failed.get(plan) == Some(&true),
                            "{plan} goes before {hook}"
                        );
                    }
                } else {
                    assert!(ran.is_empty(), "hooks run for nothing");
                }
            }
            _ => {}
        }
        fleet.apply(record);
    }
}

proptest! {
    #![proptest_config(settings(48, "tests/all/hooks.regressions"))]

    #[test]
    fn no_plan_goes_before_its_hooks(steps in prop::collection::vec(some_step(), 1..40)) {
        let mut world = World::new(3);
        let mut known = 0;
        for step in steps {
            match step {
                Step::Commit { web, api, hooks } => {
                    // Hooks come, and stay: without a policy that prunes they would be undeclared.
                    known = known.max(hooks);
                    let image = |number: u32| format!("registry.example.com/app:{number}");
                    let mut jobs = vec![
                        with_image(service("web", 2), &image(web)),
                        with_image(service("api", 1), &image(api)),
                    ];
                    for number in 0..known {
                        jobs.push(hook(&format!("hook{number}"), 1 + number, Hook::BeforeSync));
                    }
                    world.commit(jobs, None);
                }
                Step::Pass(seconds) => world.pass(seconds),
                Step::Exit(which, code) => {
                    if let Some(task) = pick_running(&world, which) {
                        world.exit(&task.to_string(), code);
                    }
                }
                Step::Approve => {
                    if world.fleet.held_plan().is_some() {
                        approve(&mut world);
                    }
                }
                Step::Refuse => {
                    if world.fleet.held_plan().is_some() {
                        let (plan, reason) = (held(&world), "not now".to_owned());
                        world.command(Command::RefusePlan { plan, reason }).expect("it is held");
                    }
                }
                Step::Lead => {
                    if world.last_input.is_some() {
                        lead(&mut world);
                    }
                }
            }
        }
        // With hooks that succeed, the newest commit comes about.
        let mut jobs = vec![
            with_image(service("web", 2), "registry.example.com/app:9"),
            with_image(service("api", 1), "registry.example.com/app:9"),
        ];
        for number in 0..known {
            jobs.push(hook(&format!("hook{number}"), 1 + number, Hook::BeforeSync));
        }
        world.commit(jobs, None);
        for _ in 0..30 {
            world.pass(2);
            let hooks: Vec<String> = world
                .fleet
                .attempts
                .values()
                .filter(|attempt| attempt.task.job.as_str().starts_with("hook"))
                .filter(|attempt| attempt.state() == TaskState::Running)
                .map(|attempt| attempt.task.to_string())
                .collect();
            for task in hooks {
                world.exit(&task, 0);
            }
        }
        world.pass(60);
        prop_assert_eq!(image(&world, "web"), "registry.example.com/app:9");
        prop_assert_eq!((world.healthy("web"), world.healthy("api")), (2, 1));
        audit(&world);
    }
}
