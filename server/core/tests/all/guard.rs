//! What holds a plan, what lets it through, and what is left alone while it is frozen.

use crate::common::{World, service, with_image};
use jiff::{SignedDuration, Timestamp};
use muster_core::decide::{Command, Input, Refusal};
use muster_core::fleet::PLANS_KEPT;
use muster_core::guard;
use muster_core::view::{Serving, alerts, fleet_view, plan_status};
use muster_schemas::api::{FleetView, OutOfTimeView, PlanStatus};
use muster_schemas::event::{Event, RepositoryTrouble};
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{Diagnostic, FreezeScope, HoldReason, LimitScope};
use muster_schemas::spec::{
    Approvals, Bound, CpuMillis, GroupShare, Headroom, JobSpec, Millis, PolicySpec, ScopeLimits,
    Tier, Window, WindowEffect,
};
use muster_schemas::state::{Actor, StopReason};
use std::collections::BTreeMap;

const ENOUGH: u32 = 12;

fn pruning() -> PolicySpec {
    PolicySpec {
        prune: true,
        prune_grace: muster_schemas::spec::Millis(0),
        ..PolicySpec::named("default")
    }
}

fn two_jobs() -> Vec<JobSpec> {
    vec![service("kept", 1), service("web", 8)]
}

/// A world in which a commit that removes eight of nine tasks is held.
fn held_world(policy: PolicySpec) -> World {
    let mut world = World::new(2);
    world.commit(two_jobs(), Some(policy.clone()));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 8);
    world.commit(vec![service("kept", 1)], Some(policy));
    world.pass(1);
    world
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

fn latest_status(world: &World) -> PlanStatus {
    plan_status(&world.fleet, world.fleet.plans.back().expect("a plan"))
}

fn by(name: &str) -> Actor {
    Actor::Person(name.to_owned())
}

fn approve(world: &mut World, who: &str, plan: &PlanId) -> Result<(), Refusal> {
    let command = Command::ApprovePlan {
        plan: plan.clone(),
        reason: "it is meant".to_owned(),
    };
    world.command_by(who, command).map(drop)
}

fn refuse(world: &mut World, plan: &PlanId) {
    let command = Command::RefusePlan {
        plan: plan.clone(),
        reason: "web is needed".to_owned(),
    };
    world.command(command).expect("it is held");
}

fn freeze(world: &mut World, scope: FreezeScope, until: Option<Timestamp>) -> Result<(), Refusal> {
    let command = Command::Freeze {
        scope,
        reason: "we look".to_owned(),
        until,
    };
    world.command(command).map(drop)
}

fn resume(world: &mut World, scope: FreezeScope) -> Result<(), Refusal> {
    let command = Command::Resume {
        scope,
        reason: "we have seen".to_owned(),
    };
    world.command(command).map(drop)
}

fn app(name: &str) -> FreezeScope {
    FreezeScope::App {
        app: name.to_owned(),
    }
}

#[test]
fn an_approval_lets_exactly_that_plan_through() {
    let mut world = held_world(pruning());
    let plan = held(&world);
    assert_eq!(world.stops(), 0);
    let other = PlanId::from("0123456789abcdef");
    assert_eq!(
        approve(&mut world, "ann", &other),
        Err(Refusal::UnknownPlan(other))
    );
    approve(&mut world, "ann", &plan).unwrap();
    world.pass(ENOUGH);
    assert_eq!(latest_status(&world), PlanStatus::Applied);
    assert_eq!(world.healthy("web"), 0);
    assert_eq!(world.healthy("kept"), 1);
    // The record says who let it through.
    let applied = world
        .journal
        .iter()
        .rfind(|record| matches!(&record.event, Event::PlanApplied { plan: id } if *id == plan))
        .expect("it was applied");
    assert_eq!(applied.actor, by("ann"));
    assert!(matches!(
        approve(&mut world, "ann", &plan),
        Err(Refusal::PlanNotHeld {
            state: "applied",
            ..
        })
    ));
}

#[test]
fn what_is_frozen_after_its_plan_was_held_stays_as_it_is() {
    let mut world = held_world(pruning());
    let plan = held(&world);
    freeze(&mut world, app("web"), None).unwrap();
    approve(&mut world, "ann", &plan).unwrap();
    world.pass(ENOUGH);
    assert_eq!(latest_status(&world), PlanStatus::Held);
    assert_eq!((world.healthy("web"), world.stops()), (8, 0));
    let holds = &world.fleet.held_plan().expect("it is held").holds;
    let said: Vec<String> = holds.iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "app web is frozen by ann: we look");
    // Read again, the revision is planned without what is frozen.
    let again = world.last_input.clone().expect("a commit was made");
    world.give(Input::Revision(Box::new(again))).unwrap();
    assert!(world.fleet.held_plan().is_none());
    world.pass(ENOUGH);
    assert_eq!((world.healthy("web"), world.stops()), (8, 0));
    // With the freeze over it is a question again.
    resume(&mut world, app("web")).unwrap();
    world.pass(ENOUGH);
    assert_ne!(held(&world), plan);
    assert_eq!((world.healthy("web"), world.stops()), (8, 0));
}

#[test]
fn an_approval_of_a_plan_that_another_has_replaced_is_refused() {
    let mut world = held_world(pruning());
    let plan = held(&world);
    world.commit(two_jobs(), Some(pruning()));
    world.pass(1);
    assert!(matches!(
        approve(&mut world, "ann", &plan),
        Err(Refusal::PlanNotHeld {
            state: "superseded",
            ..
        })
    ));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 8);
    assert_eq!(world.stops(), 0);
}

#[test]
fn a_refused_plan_stays_refused_until_the_next_commit() {
    let mut world = held_world(pruning());
    let plan = held(&world);
    refuse(&mut world, &plan);
    assert!(matches!(
        approve(&mut world, "bob", &plan),
        Err(Refusal::PlanNotHeld {
            state: "refused",
            ..
        })
    ));
    // The same revision read again is the same plan, and no new question.
    let plans = world.fleet.plans.len();
    let again = world.last_input.clone().expect("a commit was made");
    world.give(Input::Revision(Box::new(again))).unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.fleet.plans.len(), plans);
    assert_eq!(latest_status(&world), PlanStatus::Refused);
    assert_eq!((world.healthy("web"), world.stops()), (8, 0));
    // Taking the commit back leaves all as it is.
    world.commit(two_jobs(), Some(pruning()));
    world.pass(ENOUGH);
    assert_eq!(latest_status(&world), PlanStatus::Applied);
    assert_eq!((world.healthy("web"), world.stops()), (8, 0));
}

#[test]
fn a_refusal_holds_although_tasks_come_and_go() {
    let mut world = held_world(pruning());
    let plan = held(&world);
    refuse(&mut world, &plan);
    // Half of the job waits for its next attempts, and the revision is read again: what it asks for is the same.
    for index in 0..4 {
        world.exit(&format!("web.{index}"), 1);
    }
    let again = world.last_input.clone().expect("a commit was made");
    world.give(Input::Revision(Box::new(again))).unwrap();
    world.pass(ENOUGH);
    assert_eq!(latest_status(&world), PlanStatus::Refused);
    assert_eq!(world.fleet.plans.back().expect("a plan").plan.id, plan);
    assert_eq!((world.healthy("web"), world.stops()), (8, 0));
}

#[test]
fn a_held_plan_is_judged_by_what_it_would_stop_now() {
    let large = |desired| {
        let mut spec = service("web", desired);
        spec.resources.cpu = CpuMillis(2000);
        spec
    };
    // One host has room for four of twelve, so that the plan looks small when it is made.
    let mut world = World::new(1);
    world.commit(vec![service("kept", 1), large(12)], Some(pruning()));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 3);
    freeze(&mut world, FreezeScope::Cell, None).unwrap();
    world.commit(vec![service("kept", 1)], Some(pruning()));
    world.pass(1);
    held(&world);
    for _ in 0..3 {
        world.add_host();
    }
    world.pass(ENOUGH);
    assert_eq!(
        world.healthy("web"),
        12,
        "a freeze keeps nothing from being started"
    );

    resume(&mut world, FreezeScope::Cell).unwrap();
    world.pass(ENOUGH);
    assert_eq!((world.healthy("web"), world.stops()), (12, 0));
    let entry = world.fleet.held_plan().expect("it is still held");
    let too_many = |reason: &HoldReason| matches!(reason, HoldReason::TooManyStops { .. });
    assert!(entry.holds.iter().all(too_many), "{:?}", entry.holds);
}

#[test]
fn as_many_people_as_the_policy_wants_have_to_approve_in_time() {
    let policy = PolicySpec {
        approvals: Approvals {
            required: 2,
            expire_after: Millis::secs(600),
            for_policy: false,
        },
        ..pruning()
    };
    let mut world = held_world(policy);
    let plan = held(&world);
    for _ in 0..200 {
        approve(&mut world, "ann", &plan).unwrap();
    }
    world.pass(2);
    assert_eq!(
        latest_status(&world),
        PlanStatus::Held,
        "one person is one person"
    );
    let entry = world.fleet.held_plan().expect("held");
    assert_eq!(entry.approvals.len(), 1, "the last word is kept");
    world.pass(601);
    approve(&mut world, "bob", &plan).unwrap();
    world.pass(2);
    assert_eq!(
        latest_status(&world),
        PlanStatus::Held,
        "an approval expires"
    );
    assert_eq!(world.stops(), 0);
    approve(&mut world, "ann", &plan).unwrap();
    world.pass(1);
    assert_eq!(latest_status(&world), PlanStatus::Applied);
}

#[test]
fn a_commit_cannot_loosen_the_limit_that_it_is_judged_by() {
    let loose = |count| PolicySpec {
        limits: muster_schemas::spec::Limits {
            stops_per_plan: Bound {
                count,
                percent: 100,
            },
            ..Default::default()
        },
        ..pruning()
    };
    let mut world = World::new(2);
    world.commit(two_jobs(), Some(pruning()));
    world.pass(ENOUGH);
    world.commit(vec![service("kept", 1)], Some(loose(1000)));
    world.pass(ENOUGH);
    assert!(matches!(
        world.fleet.held_plan().unwrap().holds[..],
        [HoldReason::TooManyStops { .. }]
    ));
    assert_eq!(world.stops(), 0);
    // In a commit of its own the policy is taken, and holds for the next.
    world.commit(two_jobs(), Some(loose(1000)));
    world.pass(1);
    world.commit(vec![service("kept", 1)], Some(loose(1000)));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 0);
}

#[test]
fn a_policy_that_wants_its_changes_approved_gets_them_approved() {
    let strict = PolicySpec {
        approvals: Approvals {
            for_policy: true,
            ..Approvals::default()
        },
        ..PolicySpec::named("default")
    };
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], Some(strict.clone()));
    world.pass(5);
    let mut loose = strict.clone();
    loose.prune = true;
    loose.approvals.for_policy = false;
    world.commit(vec![service("web", 1)], Some(loose));
    world.pass(1);
    assert_eq!(
        world.fleet.held_plan().unwrap().holds,
        [HoldReason::PolicyChanges]
    );
    assert_eq!(world.fleet.policy.as_ref(), Some(&strict));
    let plan = held(&world);
    approve(&mut world, "ann", &plan).unwrap();
    world.pass(1);
    assert!(world.fleet.policy.as_ref().unwrap().prune);
}

#[test]
fn an_app_and_a_tier_can_have_limits_of_their_own() {
    let one = ScopeLimits {
        stops_per_plan: Some(Bound {
            count: 1,
            percent: 0,
        }),
        stops_per_minute: Some(Bound {
            count: 1,
            percent: 0,
        }),
    };
    let mut policy = pruning();
    policy.apps.insert("shop".to_owned(), one);
    policy.tiers.critical = Some(one);
    let job = |name: &str, app: &str, tier| JobSpec {
        app: Some(app.to_owned()),
        tier,
        ..service(name, 3)
    };
    for (removed, part) in [
        (
            "shop-web",
            Some(LimitScope::App {
                app: "shop".to_owned(),
            }),
        ),
        (
            "bank-web",
            Some(LimitScope::Tier {
                tier: Tier::Critical,
            }),
        ),
        ("blog-web", None),
    ] {
        let all = || {
            vec![
                job("shop-web", "shop", Tier::Flex),
                job("bank-web", "bank", Tier::Critical),
                job("blog-web", "blog", Tier::Flex),
            ]
        };
        let mut world = World::new(2);
        world.commit(all(), Some(policy.clone()));
        world.pass(ENOUGH);
        let mut rest = all();
        rest.retain(|job| job.name.as_str() != removed);
        world.commit(rest, Some(policy.clone()));
        world.pass(2);
        let holds = world
            .fleet
            .held_plan()
            .map(|entry| entry.holds.clone())
            .unwrap_or_default();
        match part {
            None => {
                assert!(holds.is_empty(), "{removed}: {holds:?}");
                assert_eq!(world.stops(), 3);
            }
            Some(part) => {
                assert!(
                    matches!(&holds[..], [HoldReason::TooManyStops { part: Some(found), stops: 3, .. }] if *found == part),
                    "{removed}: {holds:?}"
                );
                // Approved, it is done at the pace of its part.
                let plan = held(&world);
                approve(&mut world, "ann", &plan).unwrap();
                world.pass(30);
                assert_eq!(world.stops(), 1);
                world.pass(130);
                assert_eq!(world.stops(), 3);
            }
        }
    }
}

#[test]
fn a_plan_in_a_deny_window_waits_for_its_end_or_for_a_person() {
    for approved in [false, true] {
        let mut world = World::new(1);
        let now = world.now;
        let time = |later: i64| {
            let text = (now + SignedDuration::from_secs(later)).to_string();
            text[11..16].parse().unwrap()
        };
        let policy = PolicySpec {
            windows: vec![Window {
                name: "busy-hour".to_owned(),
                effect: WindowEffect::Deny,
                days: Vec::new(),
                from: time(60),
                to: time(3660),
                time_zone: "UTC".to_owned(),
            }],
            ..PolicySpec::named("default")
        };
        world.commit(vec![service("web", 1)], Some(policy.clone()));
        world.pass(120);
        world.commit(vec![service("web", 3)], Some(policy));
        world.pass(600);
        assert_eq!(world.healthy("web"), 1);
        let entry = world.fleet.held_plan().expect("it waits");
        let [HoldReason::OutOfTime { window, until }] = &entry.holds[..] else {
            panic!("{:?}", entry.holds)
        };
        assert_eq!(window.as_deref(), Some("busy-hour"));
        let until = until.expect("the window ends");
        let told = out_of_time(&world).expect("it is told at a glance");
        assert_eq!(told.window.as_deref(), Some("busy-hour"));
        assert_eq!(told.until, Some(until));
        assert!(told.message.contains("`busy-hour`"), "{}", told.message);
        assert!(until > world.now && until <= now + SignedDuration::from_secs(3660));
        if approved {
            let plan = held(&world);
            approve(&mut world, "ann", &plan).unwrap();
        } else {
            while world.now < until {
                assert_eq!(world.healthy("web"), 1);
                world.pass(60);
            }
        }
        world.pass(ENOUGH);
        assert_eq!(latest_status(&world), PlanStatus::Applied);
        assert_eq!(world.healthy("web"), 3);
        // What is told is what the clock says, whether or not a plan waits for it.
        assert_eq!(out_of_time(&world).is_some(), world.now < until);
    }
}

fn fleet_shown(world: &World) -> FleetView {
    let serving = Serving {
        version: String::new(),
        started_at: world.now,
        repository: String::new(),
        branch: String::new(),
        repository_read_at: None,
        journal_trouble: None,
    };
    fleet_view(&world.fleet, &serving, world.now)
}

fn out_of_time(world: &World) -> Option<OutOfTimeView> {
    fleet_shown(world).out_of_time
}

#[test]
fn what_is_frozen_is_left_alone_and_catches_up_when_it_is_resumed() {
    let scopes = [
        FreezeScope::Job { job: "web".into() },
        app("web"),
        FreezeScope::Cell,
    ];
    for scope in scopes {
        let mut world = World::new(2);
        world.commit(two_jobs(), None);
        world.pass(ENOUGH);
        freeze(&mut world, scope.clone(), None).unwrap();
        let changed = || {
            vec![
                with_image(service("kept", 1), "registry.example.com/app:2"),
                with_image(service("web", 9), "registry.example.com/app:2"),
            ]
        };
        world.commit(changed(), None);
        world.pass(60);
        let versions = |world: &World| -> Vec<u64> {
            world.fleet.jobs.values().map(|job| job.version).collect()
        };
        let is_cell = scope == FreezeScope::Cell;
        let expected = if is_cell { [1, 1] } else { [2, 1] };
        assert_eq!(versions(&world), expected, "{scope}");
        assert_eq!(world.healthy("web"), 8);
        if is_cell {
            // Approval is no way round a freeze.
            let plan = held(&world);
            approve(&mut world, "bob", &plan).unwrap();
            world.pass(5);
            assert_eq!(latest_status(&world), PlanStatus::Held);
        } else {
            let withheld = &world.fleet.plans.back().unwrap().plan.withheld;
            assert_eq!(withheld.len(), 1);
            assert_eq!(withheld[0].change.job.as_str(), "web");
        }
        // What dies meanwhile is replaced.
        world.exit("web.0", 1);
        world.pass(ENOUGH);
        assert_eq!(world.healthy("web"), 8);
        resume(&mut world, scope).unwrap();
        world.pass(240);
        assert_eq!(versions(&world), [2, 2]);
        assert_eq!(world.healthy("web"), 9);
        assert_eq!(latest_status(&world), PlanStatus::Applied);
    }
}

#[test]
fn a_freeze_stops_a_rollout_where_it_is() {
    let mut world = World::new(2);
    world.commit(vec![service("web", 8)], None);
    world.pass(ENOUGH);
    world.commit(
        vec![with_image(service("web", 8), "registry.example.com/app:2")],
        None,
    );
    while world.stops() < 2 {
        world.pass(1);
    }
    freeze(&mut world, FreezeScope::Job { job: "web".into() }, None).unwrap();
    let stops = world.stops();
    world.pass(120);
    assert_eq!(world.stops(), stops);
    let job = &world.fleet.jobs[&JobId::from("web")];
    let attempt = world
        .fleet
        .current_attempt(&job.tasks[&0])
        .expect("it runs");
    let reason = StopReason::Rollout { to_version: 2 };
    assert!(guard::may_stop(&world.fleet, job, attempt, &reason, world.now).is_err());
    resume(&mut world, FreezeScope::Job { job: "web".into() }).unwrap();
    world.pass(120);
    assert_eq!(world.stops(), 8);
}

#[test]
fn a_freeze_ends_when_its_time_is_over() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.pass(5);
    let until = world.now + SignedDuration::from_secs(300);
    freeze(&mut world, FreezeScope::Cell, Some(until)).unwrap();
    world.commit(vec![service("web", 2)], None);
    world.pass(290);
    assert_eq!(world.healthy("web"), 1);
    world.pass(30);
    assert_eq!(world.healthy("web"), 2);
    assert!(world.fleet.freezes.is_empty());
    let over = world.now - SignedDuration::from_secs(1);
    assert_eq!(
        freeze(&mut world, FreezeScope::Cell, Some(over)),
        Err(Refusal::FreezeIsOver(over))
    );
    assert_eq!(
        freeze(&mut world, app("nobodys"), None),
        Err(Refusal::NothingToFreeze(app("nobodys")))
    );
    assert_eq!(
        resume(&mut world, FreezeScope::Cell),
        Err(Refusal::NotFrozen(FreezeScope::Cell))
    );
}

#[test]
fn a_policy_can_freeze_the_cell_and_end_it() {
    let frozen = PolicySpec {
        freeze: Some("the registry moves".to_owned()),
        ..PolicySpec::named("default")
    };
    let mut world = World::new(1);
    world.commit(vec![service("web", 2)], None);
    world.pass(ENOUGH);
    // By itself it is taken.
    world.commit(vec![service("web", 2)], Some(frozen.clone()));
    world.pass(2);
    assert_eq!(latest_status(&world), PlanStatus::Applied);
    world.commit(vec![service("web", 1)], Some(frozen));
    world.pass(60);
    assert!(matches!(
        world.fleet.held_plan().unwrap().holds[..],
        [HoldReason::FrozenByPolicy { .. }]
    ));
    assert_eq!((world.healthy("web"), world.stops()), (2, 0));
    world.commit(vec![service("web", 1)], Some(PolicySpec::named("default")));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 1);
}

/// A fleet that has grown since does not let through what needed a human.
#[test]
fn what_needed_a_human_goes_on_needing_one() {
    let jobs = || vec![service("big", 40), service("web", 8)];
    let mut world = World::new(4);
    world.commit(jobs(), Some(pruning()));
    world.pass(40);
    assert_eq!(world.healthy("big"), 40);
    for index in 0..30 {
        world.exit(&format!("big.{index}"), 1);
    }
    world.commit(vec![service("big", 40)], Some(pruning()));
    let plan = held(&world);
    world.pass(120);
    assert_eq!(world.healthy("big"), 40);
    // Eight of 48 would be within the limit now.
    let now = guard::check(
        &world.fleet,
        &world.fleet.plan(&plan).unwrap().plan,
        world.now,
    );
    assert_eq!(now, []);
    assert_eq!(held(&world), plan);
    assert_eq!(world.stops(), 0);
}

/// A policy that prunes after ten minutes.
fn pruning_after_a_grace() -> PolicySpec {
    PolicySpec {
        prune: true,
        prune_grace: Millis::secs(600),
        ..PolicySpec::named("default")
    }
}

fn few_jobs() -> Vec<JobSpec> {
    vec![service("kept", 1), service("web", 3)]
}

#[test]
fn a_pruned_job_that_is_back_within_its_grace_has_the_same_containers() {
    let mut world = World::new(2);
    world.commit(few_jobs(), Some(pruning_after_a_grace()));
    world.pass(ENOUGH);
    let before = world.living("web");
    let attempts: Vec<_> = world.running.keys().copied().collect();
    world.commit(vec![service("kept", 1)], Some(pruning_after_a_grace()));
    world.pass(590);
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(!job.declared && job.tombstone.is_some());
    assert_eq!(world.living("web"), before);
    // A tombstone is left as it is: what dies in it is not replaced.
    world.commit(few_jobs(), Some(pruning_after_a_grace()));
    world.pass(900);
    assert_eq!(world.stops(), 0);
    let now: Vec<_> = world.running.keys().copied().collect();
    assert_eq!(attempts, now, "the same containers");
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(job.declared && job.tombstone.is_none());
}

#[test]
fn a_pruned_job_is_stopped_when_its_grace_is_over_and_not_before() {
    let mut world = World::new(2);
    world.commit(few_jobs(), Some(pruning_after_a_grace()));
    world.pass(ENOUGH);
    world.commit(vec![service("kept", 1)], Some(pruning_after_a_grace()));
    let plan = world.fleet.plans.back().unwrap().plan.clone();
    world.pass(595);
    assert_eq!(world.stops(), 0);
    world.pass(60);
    assert_eq!((world.stops(), world.healthy("web")), (3, 0));
    assert_eq!(world.healthy("kept"), 1);
    // Each stop names the plan that pruned it.
    let plans = world.events(|event| match event {
        Event::StopOrdered { order } => Some(order.plan.clone()),
        _ => None,
    });
    assert!(plans.iter().all(|found| found.as_ref() == Some(&plan.id)));
}

#[test]
fn a_freeze_keeps_a_grace_from_ending_and_a_policy_that_no_longer_prunes_ends_it() {
    let mut world = World::new(2);
    world.commit(few_jobs(), Some(pruning_after_a_grace()));
    world.pass(ENOUGH);
    world.commit(vec![service("kept", 1)], Some(pruning_after_a_grace()));
    world.pass(300);
    freeze(&mut world, FreezeScope::Job { job: "web".into() }, None).unwrap();
    world.pass(900);
    assert_eq!((world.stops(), world.healthy("web")), (0, 3));
    world.commit(vec![service("kept", 1)], Some(PolicySpec::named("default")));
    resume(&mut world, FreezeScope::Job { job: "web".into() }).unwrap();
    world.pass(900);
    assert_eq!((world.stops(), world.healthy("web")), (0, 3));
    let job = &world.fleet.jobs[&JobId::from("web")];
    assert!(!job.declared && job.tombstone.is_none());
}

#[test]
fn a_plan_that_leaves_too_little_headroom_is_held() {
    let shares = Headroom {
        percent: Some(10),
        groups: BTreeMap::from([("batch".to_owned(), GroupShare { at_most: 25 })]),
    };
    let policy = || PolicySpec {
        headroom: shares.clone(),
        ..PolicySpec::named("default")
    };
    let sized = |name: &str, group: &str, desired: u32, cpu: u32| {
        let mut spec = service(name, desired);
        spec.capacity_group = group.to_owned();
        spec.resources.cpu = CpuMillis(cpu);
        spec
    };
    // Two hosts with 8 CPUs each: 14.4 of them for all jobs, 4 of them for the group.
    let mut world = World::new(2);
    world.commit(vec![sized("web", "default", 10, 1000)], Some(policy()));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 10);
    let both = |nightly| {
        vec![
            sized("web", "default", 10, 1000),
            sized("nightly", "batch", nightly, 1000),
        ]
    };
    world.commit(both(4), Some(policy()));
    world.pass(ENOUGH);
    assert_eq!(world.healthy("nightly"), 4);

    // Both limits are passed by one more.
    world.commit(both(5), Some(policy()));
    world.pass(1);
    let holds: Vec<String> = world
        .fleet
        .held_plan()
        .expect("a plan is held")
        .holds
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        holds,
        [
            "all jobs together would ask for 94 % of the hosts' CPU; more than 90 % needs a human",
            "the jobs of capacity group batch would ask for 32 % of the hosts' CPU; more than 25 % needs a human",
        ]
    );
    assert_eq!(world.healthy("nightly"), 4);

    // A person may let it through.
    let plan = held(&world);
    approve(&mut world, "ann", &plan).unwrap();
    world.pass(ENOUGH);
    assert_eq!(world.healthy("nightly"), 5);

    // What asks for less goes ahead, although it is still too much.
    let mut fewer = both(5);
    fewer[0] = sized("web", "default", 9, 1000);
    world.commit(fewer, Some(policy()));
    world.pass(1);
    assert_eq!(latest_status(&world), PlanStatus::Applied);
}

#[test]
fn a_plan_that_is_held_for_headroom_goes_ahead_when_a_host_comes() {
    let policy = PolicySpec {
        headroom: Headroom {
            percent: Some(0),
            groups: BTreeMap::new(),
        },
        ..PolicySpec::named("default")
    };
    let mut large = service("web", 9);
    large.resources.cpu = CpuMillis(1000);
    let mut world = World::new(1);
    world.commit(vec![service("kept", 1)], Some(policy.clone()));
    world.pass(ENOUGH);
    world.commit(vec![service("kept", 1), large], Some(policy));
    world.pass(1);
    assert_eq!(latest_status(&world), PlanStatus::Held);
    world.add_host();
    world.pass(ENOUGH);
    assert_eq!(latest_status(&world), PlanStatus::Applied);
    assert_eq!(world.healthy("web"), 9);
}

#[test]
fn a_freeze_of_the_policy_is_shown_however_many_plans_come_after_it() {
    let mut world = World::new(1);
    let frozen = || {
        Some(PolicySpec {
            freeze: Some("we move the registry".to_owned()),
            ..PolicySpec::named("default")
        })
    };
    world.commit(vec![service("web", 1)], None);
    world.pass(ENOUGH);
    world.commit(vec![service("web", 1)], frozen());
    world.pass(1);
    let shown = |world: &World| fleet_shown(world).freezes.len();
    assert_eq!(shown(&world), 1);
    // Each of them is another plan, and is held.
    for desired in 2..60 {
        world.commit(vec![service("web", desired)], frozen());
    }
    assert!(world.fleet.plans.len() <= PLANS_KEPT);
    assert_eq!(shown(&world), 1);
}

#[test]
fn headroom_counts_a_size_that_outlives_a_commit() {
    let rules = || {
        Some(PolicySpec {
            headroom: Headroom {
                percent: Some(10),
                ..Headroom::default()
            },
            ..PolicySpec::named("default")
        })
    };
    // Two hosts with 8 CPUs each: 14.4 of them for all jobs.
    let sized = |name: &str, desired: u32| {
        let mut spec = service(name, desired);
        spec.resources.cpu = CpuMillis(1000);
        spec
    };
    let mut world = World::new(2);
    world.commit(vec![sized("web", 2)], rules());
    world.pass(ENOUGH);
    let command = Command::Scale {
        job: JobId::from("web"),
        desired: 10,
        reason: "the sale begins".to_owned(),
        until: None,
    };
    world.command(command).expect("there is room");
    world.pass(ENOUGH);
    // The commit changes something else of it, so that it keeps its ten, and asks for five more.
    let mut web = sized("web", 2);
    web.owner = "others@example.com".to_owned();
    world.commit(vec![web, sized("other", 5)], rules());
    world.pass(1);
    let holds = &world.fleet.held_plan().expect("15 are too many").holds;
    assert!(
        matches!(&holds[..], [HoldReason::TooLittleHeadroom { .. }, ..]),
        "{holds:?}"
    );
}

#[test]
fn no_grace_ends_while_nobody_could_put_the_document_back() {
    let keep = || vec![service("other", 2)];
    let all = || vec![service("other", 2), service("web", 2)];
    let unreadable = || Diagnostic {
        code: "lfs-pointer".to_owned(),
        path: "web.yaml".to_owned(),
        line: 0,
        column: 0,
        source_line: String::new(),
        width: 0,
        message: "the file is a pointer of Git LFS".to_owned(),
        help: String::new(),
        job: None,
    };
    let policy = || Some(pruning_after_a_grace());
    let tombstone = || {
        let mut world = World::new(2);
        world.commit(all(), policy());
        world.pass(10);
        world.commit(keep(), policy());
        world
    };
    let trouble = || RepositoryTrouble::NoBranch {
        branch: "main".to_owned(),
    };
    for is_away in [true, false] {
        let mut world = tombstone();
        if is_away {
            world.give(Input::Trouble(trouble())).expect("it is taken");
        } else {
            world.commit_with(keep(), policy(), vec![unreadable()]);
        }
        world.now += SignedDuration::from_hours(2);
        world.pass(10);
        assert_eq!((world.stops(), world.healthy("web")), (0, 2));
        let told = alerts(&world.fleet, None, world.now);
        let told = told.iter().find(|alert| alert.code == "tombstone");
        let message = &told.expect("it is told").message;
        assert!(
            message.contains("once the whole repository can be read"),
            "{message}"
        );
        // Whoever puts it back in time has the same containers.
        world.commit(all(), policy());
        world.pass(10);
        assert_eq!((world.stops(), world.healthy("web")), (0, 2));
    }
    let mut world = tombstone();
    world.give(Input::Trouble(trouble())).expect("it is taken");
    world.now += SignedDuration::from_hours(2);
    world.pass(2);
    world.commit(keep(), policy());
    world.pass(30);
    assert_eq!(world.healthy("web"), 0, "it can be read, and is not there");
}

#[test]
fn a_commit_does_not_shorten_the_grace_of_what_it_removes() {
    let mut world = World::new(2);
    let unpruned = PolicySpec {
        prune: false,
        ..pruning_after_a_grace()
    };
    world.commit(few_jobs(), Some(unpruned));
    world.pass(ENOUGH);
    let at_once = PolicySpec {
        prune_grace: Millis(0),
        ..pruning_after_a_grace()
    };
    world.commit(few_jobs()[..1].to_vec(), Some(at_once.clone()));
    world.pass(500);
    assert_eq!(world.stops(), 0, "ten minutes held when it was removed");
    world.pass(200);
    assert!(world.stops() > 0);
}

#[test]
fn a_new_leader_looks_at_the_repository_before_it_ends_a_grace() {
    let policy = || Some(pruning_after_a_grace());
    let mut world = World::new(2);
    world.commit(few_jobs(), policy());
    world.pass(ENOUGH);
    world.commit(few_jobs()[..1].to_vec(), policy());
    // Nobody leads when the grace is over, and meanwhile the document is put back.
    world.now += SignedDuration::from_hours(1);
    let (cell, version) = ("test".into(), "0.1.0".to_owned());
    world.give(Input::Lead { cell, version }).expect("a leader");
    world.connect();
    world.pass(5);
    assert_eq!(world.stops(), 0, "it has not read it yet");
    world.commit(few_jobs(), policy());
    world.pass(60);
    assert_eq!((world.stops(), world.healthy("web")), (0, 3));
}

/// A rollout that is under way has tasks beside those that are asked for, of which one set leaves anyway: going back, or on to something
/// newer, takes nothing away.
#[test]
fn what_follows_in_the_middle_of_a_rollout_is_not_held_for_its_surge() {
    let jobs = |image: u32| -> Vec<JobSpec> {
        let image = format!("registry.example.com/app:{image}");
        (0..13)
            .map(|number| with_image(service(&format!("job-{number:02}"), 1), &image))
            .collect()
    };
    let mut world = World::new(5);
    world.commit(jobs(1), None);
    world.pass(20);
    for image in [2, 1, 3, 2] {
        world.commit(jobs(image), None);
        world.pass(2);
        assert!(world.fleet.held_plan().is_none(), "{image}");
        let healthy: usize = (0..13)
            .map(|number| world.healthy(&format!("job-{number:02}")))
            .sum();
        assert!(healthy >= 13, "{healthy} are healthy");
    }
    // All of their stops draw on one budget.
    world.pass(300);
    assert_eq!(world.fleet.running_tasks(), 13);
    // What takes tasks away is held in the middle of a rollout as at any other time.
    world.commit(jobs(4), None);
    world.pass(2);
    world.commit(
        jobs(4)[..6].to_vec(),
        Some(PolicySpec {
            prune: true,
            ..PolicySpec::named("default")
        }),
    );
    world.commit(
        jobs(5)[..6].to_vec(),
        Some(PolicySpec {
            prune: true,
            ..PolicySpec::named("default")
        }),
    );
    assert!(world.fleet.held_plan().is_some());
}

/// One freeze of a scope takes the place of another: a quick look must not end what stands until somebody resumes it.
#[test]
fn a_freeze_that_ends_sooner_does_not_take_the_place_of_a_longer_one() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1)], None);
    world.pass(ENOUGH);
    let freeze = |world: &mut World, who: &str, seconds: Option<i64>| {
        let command = Command::Freeze {
            scope: FreezeScope::Cell,
            reason: "incident 42".to_owned(),
            until: seconds.map(|seconds| world.now + SignedDuration::from_secs(seconds)),
        };
        world.command_by(who, command).map(drop)
    };
    freeze(&mut world, "ann", Some(60)).expect("nothing is frozen");
    freeze(&mut world, "ann", Some(90)).expect("it is longer");
    let refusal = freeze(&mut world, "bob", Some(30)).unwrap_err();
    assert!(matches!(refusal, Refusal::FrozenForLonger(_)), "{refusal}");
    freeze(&mut world, "ann", None).expect("it has no end");
    let refusal = freeze(&mut world, "bob", Some(3_600)).unwrap_err();
    insta::assert_snapshot!(refusal, @"the cell is frozen by ann until somebody resumes it: incident 42; a freeze that ends sooner would take its place: resume it first");
    world.pass(120);
    assert_eq!(world.fleet.freezes.len(), 1);
}

/// While nobody knows what git asks for, nothing of what waits goes ahead: not when its time comes, not when a freeze ends, and not by
/// an approval either.
#[test]
fn what_waits_goes_nowhere_while_the_repository_is_in_trouble() {
    let trouble = || {
        Input::Trouble(RepositoryTrouble::Unreachable {
            message: "it is gone".to_owned(),
        })
    };
    let sized = |web: u32, api: u32| vec![service("web", web), service("api", api)];
    let mut world = World::new(3);
    world.commit(sized(12, 4), None);
    world.pass(ENOUGH);

    // Held by the guard, and approved.
    world.commit(sized(2, 4), None);
    let held = world.fleet.held_plan().expect("it is held").plan.id.clone();
    world.give(trouble()).expect("it is taken");
    let approve = |plan: PlanId| Command::ApprovePlan {
        plan,
        reason: "it is right".to_owned(),
    };
    world.command(approve(held.clone())).expect("it is held");
    world.pass(ENOUGH);
    assert_eq!((world.stops(), world.healthy("web")), (0, 12));
    let held = world.fleet.held_plan().expect("it waits");
    assert!(held.holds.contains(&HoldReason::RepositoryInTrouble));
    // It can be read again, and asks for the same.
    world.read(world.last_input.clone().expect("it was read"));
    world.pass(ENOUGH);
    assert_eq!((world.stops(), world.healthy("web")), (10, 2));

    // Kept back by a freeze that ends meanwhile.
    let freeze = Command::Freeze {
        scope: FreezeScope::Job { job: "api".into() },
        reason: "we look".to_owned(),
        until: Some(world.now + SignedDuration::from_secs(20)),
    };
    world.command(freeze).expect("it can be frozen");
    world.commit(sized(2, 2), None);
    world.give(trouble()).expect("it is taken");
    world.pass(60);
    assert_eq!((world.fleet.freezes.len(), world.healthy("api")), (0, 4));
    // Back without it.
    world.commit(sized(2, 4), None);
    world.pass(60);
    assert_eq!((world.stops(), world.healthy("api")), (10, 4));
}
