//! Who may give which command, by the policy that holds.

use crate::common::{World, service};
use muster_core::access::{needs, rights};
use muster_core::decide::Command;
use muster_schemas::access::{Needs, Role};
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::FreezeScope;
use muster_schemas::spec::{Access, JobSpec, PolicySpec};
use std::collections::BTreeSet;

fn of_app(app: &str, mut spec: JobSpec) -> JobSpec {
    spec.app = Some(app.to_owned());
    spec
}

fn policy(access: &[(&str, Role, &[&str])]) -> PolicySpec {
    let mut policy = PolicySpec::named("default");
    policy.prune = true;
    policy.access = access
        .iter()
        .map(|(who, role, apps)| Access {
            who: (*who).to_owned(),
            role: *role,
            apps: apps.iter().map(|app| (*app).to_owned()).collect(),
        })
        .collect();
    policy
}

fn latest_plan(world: &World) -> PlanId {
    let latest = world.fleet.plans.back().expect("a plan");
    latest.plan.id.clone()
}

fn approval(plan: PlanId) -> Command {
    Command::ApprovePlan {
        plan,
        reason: "a test".to_owned(),
    }
}

fn apps(apps: &[&str]) -> Needs {
    Needs::Apps(
        apps.iter()
            .map(|app| (*app).to_owned())
            .collect::<BTreeSet<_>>(),
    )
}

#[test]
fn a_plan_is_decided_by_who_owns_all_that_it_changes() {
    let mut world = World::new(2);
    let rules = || Some(policy(&[("team-shop", Role::Owner, &["shop"])]));
    let web = |desired| of_app("web", service("web", desired));
    let cart = |app: &str| of_app(app, service("cart", 1));
    world.commit(vec![web(1), cart("shop")], rules());
    let first = latest_plan(&world);
    let word = |world: &World, plan| needs(&world.fleet, &approval(plan));
    // A policy is everybody's: what brings one is an operator's.
    assert_eq!(word(&world, first), Needs::Role(Role::Operator));

    // From here on plans wait.
    world.pass(5);
    let freeze = Command::Freeze {
        scope: FreezeScope::Cell,
        reason: "a test".to_owned(),
        until: None,
    };
    world.command(freeze).expect("it is frozen");

    world.commit(vec![web(2), cart("shop")], rules());
    assert_eq!(word(&world, latest_plan(&world)), apps(&["web"]));
    // A job that goes from one app to another is both's.
    world.commit(vec![web(1), cart("web")], rules());
    assert_eq!(word(&world, latest_plan(&world)), apps(&["shop", "web"]));
    // So is what is removed.
    world.commit(vec![cart("shop")], rules());
    assert_eq!(word(&world, latest_plan(&world)), apps(&["web"]));
    // A plan that nobody made says so itself, to whoever changes something at all.
    assert_eq!(word(&world, PlanId::from("none")), apps(&[]));
}

#[test]
fn roles_are_what_the_policy_says_of_a_name() {
    let mut world = World::new(1);
    let may = |world: &World, name: &str, command: &Command| {
        rights(&world.fleet, name).allow(&needs(&world.fleet, command))
    };
    let freeze = |scope| Command::Freeze {
        scope,
        reason: "a test".to_owned(),
        until: None,
    };
    let cell = freeze(FreezeScope::Cell);
    let job = freeze(FreezeScope::Job {
        job: JobId::from("web"),
    });
    let down = Command::TakeDown {
        reason: "a test".to_owned(),
    };
    // Without a policy only the token that is made with the cell changes anything.
    assert!(may(&world, "admin", &down));
    assert!(!may(&world, "oncall", &job));

    let web = of_app("web", service("web", 1));
    let rules = policy(&[
        ("auditor", Role::Viewer, &[]),
        ("team-shop", Role::Owner, &["shop"]),
        ("team-web", Role::Owner, &["web"]),
        ("oncall", Role::Operator, &[]),
        ("root", Role::Admin, &[]),
    ]);
    world.commit(vec![web], Some(rules));
    let row = |command: &Command| {
        [
            "nobody",
            "auditor",
            "team-shop",
            "team-web",
            "oncall",
            "root",
            "admin",
        ]
        .map(|name| u8::from(may(&world, name, command)))
    };
    assert_eq!(row(&job), [0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(row(&cell), [0, 0, 0, 0, 1, 1, 1]);
    assert_eq!(row(&down), [0, 0, 0, 0, 0, 1, 1]);
}
