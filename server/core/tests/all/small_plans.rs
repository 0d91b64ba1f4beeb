//! Many small plans are judged as the one that they add up to.

use crate::common::{World, batch, service, settings, with_image};
use jiff::SignedDuration;
use muster_core::decide::{Command, Refusal};
use muster_schemas::ids::JobId;
use muster_schemas::plan::{HoldReason, LimitScope};
use muster_schemas::spec::{Bound, JobSpec, Limits, Millis, PolicySpec, ScopeLimits};
use proptest::prelude::*;

/// Time for what was ordered to be done.
const ENOUGH: u32 = 30;

fn pruning() -> PolicySpec {
    PolicySpec {
        prune: true,
        prune_grace: Millis(0),
        ..PolicySpec::named("default")
    }
}

fn pruning_within(plan_window: Millis) -> PolicySpec {
    PolicySpec {
        limits: Limits {
            plan_window,
            ..Limits::default()
        },
        ..pruning()
    }
}

fn jobs(names: &[&str]) -> Vec<JobSpec> {
    names.iter().map(|name| service(name, 4)).collect()
}

/// Twenty-four tasks of six jobs, of which a plan may take five.
fn world(policy: &PolicySpec) -> World {
    let mut world = World::new(2);
    world.commit(jobs(&["a", "b", "c", "d", "e", "f"]), Some(policy.clone()));
    world.pass(ENOUGH);
    assert_eq!(world.fleet.running_tasks(), 24);
    world
}

fn holds(world: &World) -> Vec<HoldReason> {
    let held = world.fleet.held_plan();
    held.map(|entry| entry.holds.clone()).unwrap_or_default()
}

fn scale(world: &mut World, job: &str, desired: u32) -> Result<(), Refusal> {
    let command = Command::Scale {
        job: JobId::from(job),
        desired,
        reason: "it is night".to_owned(),
        until: None,
    };
    world.command(command).map(drop)
}

#[test]
fn several_small_plans_are_held_like_the_one_that_they_add_up_to() {
    let policy = pruning();
    let mut world = world(&policy);
    world.commit(jobs(&["b", "c", "d", "e", "f"]), Some(policy.clone()));
    world.pass(ENOUGH);
    assert_eq!((holds(&world), world.stops()), (Vec::new(), 4));

    world.commit(jobs(&["c", "d", "e", "f"]), Some(policy.clone()));
    world.pass(ENOUGH);
    assert!(
        matches!(
            holds(&world)[..],
            [HoldReason::TooManyStops {
                stops: 8,
                before: 4,
                running: 24,
                ..
            }]
        ),
        "{:?}",
        holds(&world)
    );
    insta::assert_snapshot!(holds(&world)[0], @"it would stop 8 of 24 running tasks, with the 4 that were taken away shortly before; more than 5 tasks and more than 20 % of what runs need a human");
    world.pass(2 * 3600);
    assert_eq!(world.stops(), 4, "no time makes a yes of it");

    let plan = world.fleet.held_plan().unwrap().plan.id.clone();
    let reason = "both are meant".to_owned();
    world
        .command_by("ann", Command::ApprovePlan { plan, reason })
        .unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.stops(), 8);
    world.commit(jobs(&["d", "e", "f"]), Some(policy));
    world.pass(ENOUGH);
    assert_eq!(
        (holds(&world), world.stops()),
        (Vec::new(), 12),
        "who approved has seen all of it: it is counted anew"
    );
}

#[test]
fn what_is_put_back_or_long_ago_does_not_count() {
    let policy = pruning();
    let mut world = world(&policy);
    world.commit(jobs(&["b", "c", "d", "e", "f"]), Some(policy.clone()));
    world.pass(ENOUGH);
    world.commit(jobs(&["a", "b", "c", "d", "e", "f"]), Some(policy.clone()));
    world.pass(ENOUGH);
    world.commit(jobs(&["a", "c", "d", "e", "f"]), Some(policy.clone()));
    world.pass(ENOUGH);
    assert_eq!((holds(&world), world.stops()), (Vec::new(), 8));
    world.pass(601);
    // One of them comes back as another goes: nothing was taken that is not given back.
    world.commit(jobs(&["b", "c", "d", "e", "f"]), Some(policy));
    world.pass(ENOUGH);
    assert_eq!((holds(&world), world.stops()), (Vec::new(), 12));
}

#[test]
fn a_policy_says_how_long_small_plans_are_added_up() {
    for (plan_window, pause, held) in [
        (Millis(0), 0, false),
        (Millis::secs(3600), 3000, true),
        (Millis::secs(3600), 3601, false),
    ] {
        let policy = pruning_within(plan_window);
        let mut world = world(&policy);
        world.commit(jobs(&["b", "c", "d", "e", "f"]), Some(policy.clone()));
        world.pass(ENOUGH + pause);
        world.commit(jobs(&["c", "d", "e", "f"]), Some(policy.clone()));
        world.pass(ENOUGH);
        assert_eq!(!holds(&world).is_empty(), held, "{plan_window:?} {pause}");
    }
}

#[test]
fn a_part_of_the_cell_adds_up_its_own() {
    let mut policy = pruning();
    let limits = ScopeLimits {
        stops_per_plan: Some(Bound {
            count: 2,
            percent: 0,
        }),
        ..ScopeLimits::default()
    };
    policy.apps.insert("shop".to_owned(), limits);
    let sized = |web, cart, other| {
        let of = |name: &str, app: &str, size| JobSpec {
            app: Some(app.to_owned()),
            ..service(name, size)
        };
        let mut jobs = vec![of("web", "shop", web), of("cart", "shop", cart)];
        jobs.push(of("blog", "blog", other));
        jobs
    };
    let mut world = World::new(2);
    world.commit(sized(5, 5, 5), Some(policy.clone()));
    world.pass(ENOUGH);
    world.commit(sized(4, 4, 5), Some(policy.clone()));
    world.pass(ENOUGH);
    world.commit(sized(4, 4, 4), Some(policy.clone()));
    world.pass(ENOUGH);
    assert_eq!((holds(&world), world.stops()), (Vec::new(), 3));
    world.commit(sized(4, 3, 4), Some(policy));
    world.pass(ENOUGH);
    let shop = LimitScope::App {
        app: "shop".to_owned(),
    };
    assert!(
        matches!(&holds(&world)[..], [HoldReason::TooManyStops { stops: 3, before: 2, part: Some(part), .. }] if *part == shop),
        "{:?}",
        holds(&world)
    );
}

#[test]
fn sizes_beside_git_add_up_too() {
    let policy = pruning();
    let mut world = world(&policy);
    scale(&mut world, "a", 1).unwrap();
    world.pass(ENOUGH);
    let refusal = scale(&mut world, "b", 1).unwrap_err();
    assert!(matches!(refusal, Refusal::TooManyStops { .. }), "{refusal}");
    insta::assert_snapshot!(refusal, @"job `b` is not scaled: it would stop 6 of 24 running tasks, with the 3 that were taken away shortly before; more than 5 tasks and more than 20 % of what runs need a human; go down by less, wait a while, or commit the size, so that somebody can approve the plan");
    // Git's own size is what a plan has let through.
    scale(&mut world, "a", 4).unwrap();
    world.pass(ENOUGH);
    scale(&mut world, "b", 1).unwrap();
    world.pass(601);
    scale(&mut world, "b", 2).unwrap();
    scale(&mut world, "a", 1).unwrap();
}

/// What is asked for again has not come back yet: else words that follow each other quickly would take everything down.
#[test]
fn what_is_asked_for_again_counts_until_it_runs() {
    let policy = pruning();
    let mut world = world(&policy);
    scale(&mut world, "a", 1).unwrap();
    world.now += SignedDuration::from_secs(1);
    world.tick();
    scale(&mut world, "a", 4).unwrap();
    let refusal = scale(&mut world, "b", 1).unwrap_err();
    assert!(matches!(refusal, Refusal::TooManyStops { .. }), "{refusal}");
    world.pass(ENOUGH);
    scale(&mut world, "b", 1).unwrap();
}

/// A batch that is made smaller gives up the tasks beyond its size, however many have finished.
#[test]
fn a_smaller_batch_is_judged_by_the_tasks_that_it_gives_up() {
    let policy = pruning();
    let mut world = World::new(4);
    world.commit(vec![batch("sum", 20, 0)], Some(policy.clone()));
    world.agents();
    for index in 0..8 {
        world.exit(&format!("sum.{index}"), 0);
    }
    world.pass(2);
    world.commit(vec![batch("sum", 17, 0)], Some(policy.clone()));
    world.pass(ENOUGH);
    assert_eq!((holds(&world), world.stops()), (Vec::new(), 3));
    world.commit(vec![batch("sum", 12, 0)], Some(policy));
    world.pass(ENOUGH);
    assert!(
        matches!(
            holds(&world)[..],
            [HoldReason::TooManyStops {
                stops: 8,
                before: 3,
                ..
            }]
        ),
        "{:?}",
        holds(&world)
    );
    assert_eq!(world.stops(), 3);
}

/// Also where nothing of the first has stopped yet, and where a rollout's own tasks stand beside the others meanwhile.
#[test]
fn two_quick_commits_that_make_one_service_smaller_are_held_like_one() {
    for rolls in [false, true] {
        let on = |image: u32, desired: u32| {
            let mut spec = with_image(
                service("web", desired),
                &format!("registry.example.com/app:{image}"),
            );
            spec.service.as_mut().expect("a service").rollout.max_surge = 5;
            vec![spec]
        };
        let mut world = World::new(4);
        world.commit(on(1, 20), None);
        world.pass(ENOUGH);
        world.commit(on(1, 15), None);
        assert_eq!(holds(&world), [], "{rolls}");
        let image = if rolls {
            world.pass(ENOUGH);
            world.commit(on(2, 15), None);
            world.pass(2);
            2
        } else {
            1
        };
        world.commit(on(image, 10), None);
        assert!(
            matches!(
                holds(&world)[..],
                [HoldReason::TooManyStops {
                    stops: 10,
                    before: 5,
                    ..
                }]
            ),
            "{rolls}: {:?}",
            holds(&world)
        );
    }
}

/// What comes back from its grace and is to be smaller is made smaller.
#[test]
fn jobs_that_come_back_smaller_from_their_grace_are_judged_by_that() {
    let policy = PolicySpec {
        prune: true,
        prune_grace: Millis::secs(86_400),
        ..PolicySpec::named("default")
    };
    let mut world = World::new(4);
    let names = ["a", "b", "c", "d", "e", "f"];
    world.commit(jobs(&names), Some(policy.clone()));
    world.pass(ENOUGH);
    for left in (1..6).rev() {
        world.commit(jobs(&names[..left]), Some(policy.clone()));
        world.pass(700);
        assert_eq!((holds(&world), world.stops()), (Vec::new(), 0));
    }
    let small = names.iter().map(|name| service(name, 1)).collect();
    world.commit(small, Some(policy));
    assert!(
        matches!(
            holds(&world)[..],
            [HoldReason::TooManyStops { stops: 18.., .. }]
        ),
        "{:?}",
        holds(&world)
    );
}

/// One commit after the other turns a service into something that never gets healthy, a whole one at a time: what went down and has
/// not come back counts. What mends it takes nothing away.
#[test]
fn rollouts_that_take_services_down_add_up_and_what_mends_them_is_not_held() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let jobs = |bad: usize| -> Vec<JobSpec> {
        let jobs = names.iter().enumerate().map(|(at, name)| {
            let image = if at < bad {
                "registry.example.com/app:2"
            } else {
                "registry.example.com/app:1"
            };
            let mut spec = with_image(service(name, 4), image);
            spec.service
                .as_mut()
                .expect("a service")
                .rollout
                .max_unavailable = 4;
            spec
        });
        jobs.collect()
    };
    let mut world = World::new(2);
    world.commit(jobs(0), None);
    world.pass(ENOUGH);
    world.sick.insert("a".to_owned());
    world.commit(jobs(1), None);
    world.pass(1);
    assert_eq!(holds(&world), []);
    world.commit(jobs(2), None);
    world.pass(1);
    assert!(
        matches!(
            holds(&world)[..],
            [HoldReason::TooManyStops {
                stops: 8,
                before: 4,
                ..
            }]
        ),
        "{:?}",
        holds(&world)
    );
    world.pass(ENOUGH);
    let healthy: usize = names.iter().map(|name| world.healthy(name)).sum();
    assert_eq!(healthy, 20);
    // Back to what served.
    world.commit(jobs(0), None);
    assert_eq!(holds(&world), []);
    world.sick.clear();
    world.pass(60);
    let healthy: usize = names.iter().map(|name| world.healthy(name)).sum();
    assert_eq!(healthy, 24);
    // One that comes up is done with.
    world.commit(jobs(1), None);
    world.pass(ENOUGH);
    world.commit(jobs(2), None);
    assert_eq!(holds(&world), []);
}

proptest! {
    #![proptest_config(settings(16, "tests/all/small_plans.regressions"))]

    /// However small steps are cut, and in whatever order: within the window no more is taken than one plan may take.
    #[test]
    fn no_sequence_of_small_steps_takes_more_than_a_plan_may(
        steps in proptest::collection::vec((0usize..6, 0u32..5, any::<bool>(), 15u32..60), 1..16)
    ) {
        let policy = pruning_within(Millis::secs(120));
        let mut world = world(&policy);
        let mut sizes = [4u32; 6];
        // At each moment: the sizes that hold, and those that git asks for.
        let mut asked: Vec<(jiff::Timestamp, [u32; 6], [u32; 6])> = vec![(world.now, sizes, sizes)];
        let names = ["a", "b", "c", "d", "e", "f"];
        for (job, size, by_commit, pause) in steps {
            if by_commit {
                let mut wanted = sizes;
                wanted[job] = size;
                let specs = names.iter().zip(wanted).filter(|(_, size)| *size > 0);
                let specs: Vec<JobSpec> = specs.map(|(name, size)| service(name, size)).collect();
                if specs.is_empty() {
                    continue;
                }
                world.commit(specs, Some(policy.clone()));
                sizes = wanted;
            } else if size > 0 {
                // Some sizes are refused; that is the point. Git's own is what a plan has let through: going back to it takes
                // away what somebody had beyond that, and is never refused.
                let _ = scale(&mut world, names[job], size);
                let says = world.fleet.jobs.get(&JobId::from(names[job])).map(|job| job.spec().size());
                if says == Some(size) {
                    for (_, before, git) in &mut asked {
                        before[job] = before[job].min(git[job].max(size));
                    }
                }
            }
            world.pass(pause);
            let now = names.map(|name| world.fleet.jobs.get(&JobId::from(name)).map_or(0, |job| job.size_asked_for()));
            let git = names.map(|name| {
                let job = world.fleet.jobs.get(&JobId::from(name)).filter(|job| job.declared);
                job.map_or(0, |job| job.spec().size())
            });
            asked.push((world.now, now, git));
            let begin = world.now - policy.limits.plan_window.signed();
            for (_, before, _) in asked.iter().filter(|(at, ..)| *at > begin) {
                let taken: u32 = before.iter().zip(now).map(|(before, now)| before.saturating_sub(now)).sum();
                // A fifth of 24 is less than 5.
                prop_assert!(taken <= 5, "{taken} within the window: {asked:?}");
            }
        }
    }
}
