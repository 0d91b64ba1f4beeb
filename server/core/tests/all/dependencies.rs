//! A job that depends on others waits for them at the entrance of each version, and nowhere else.

use crate::common::{World, batch, service, settings, with_image};
use muster_core::decide::{Command, Input};
use muster_core::plan::plan;
use muster_core::predict::predict;
use muster_core::view::{job_detail, job_view};
use muster_schemas::event::Event;
use muster_schemas::ids::{JobId, TaskId};
use muster_schemas::plan::FreezeScope;
use muster_schemas::spec::{JobSpec, Millis, PolicySpec};
use muster_schemas::state::TaskState;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ENOUGH: u32 = 12;

fn after(mut spec: JobSpec, jobs: &[&str]) -> JobSpec {
    spec.depends_on = jobs.iter().map(|job| JobId::from(*job)).collect();
    spec
}

fn next(spec: JobSpec) -> JobSpec {
    with_image(spec, "registry.example.com/app:2")
}

fn reason(world: &World, job: &str) -> String {
    job_view(
        &world.fleet,
        &world.fleet.jobs[&JobId::from(job)],
        world.now,
    )
    .reason
}

/// The image of each task that has not finished.
fn images(world: &World, job: &str) -> Vec<String> {
    let job = &world.fleet.jobs[&JobId::from(job)];
    job.tasks
        .values()
        .filter(|task| !task.is_finished())
        .map(|task| job.versions[&task.version].spec.image.clone())
        .collect()
}

fn on(image: u32, count: usize) -> Vec<String> {
    vec![format!("registry.example.com/app:{image}"); count]
}

fn began(world: &World, job: &str) -> usize {
    world
        .events(|event| match event {
            Event::VersionBegan { job: began, .. } if began.as_str() == job => Some(()),
            _ => None,
        })
        .len()
}

#[test]
fn a_new_job_waits_until_what_it_depends_on_is_healthy() {
    let mut world = World::new(2);
    world.sick.insert("db".to_owned());
    let jobs = vec![service("db", 3), after(service("web", 2), &["db"])];
    world.commit(jobs, None);
    world.pass(30);
    assert_eq!(world.living("web"), vec![]);
    assert_eq!(
        reason(&world, "web"),
        "version 1 waits for db: 0 of 3 healthy on its version; 0 of 2 tasks are healthy"
    );
    world.sick.clear();
    // Healthy is not enough: they have to be so for the minimum healthy time.
    world.pass(4);
    assert_eq!((world.healthy("db"), world.living("web")), (3, vec![]));
    world.pass(ENOUGH);
    assert_eq!((world.healthy("db"), world.healthy("web")), (3, 2));
    assert_eq!(
        (reason(&world, "web"), began(&world, "web")),
        (String::new(), 1)
    );
}

#[test]
fn a_rollout_waits_and_what_dies_meanwhile_is_started_as_it_was() {
    let mut world = World::new(3);
    let jobs = || vec![service("db", 2), after(service("web", 3), &["db"])];
    world.commit(jobs(), None);
    world.pass(2 * ENOUGH);
    assert_eq!(world.healthy("web"), 3);
    world.sick.insert("db".to_owned());
    world.commit(jobs().into_iter().map(next).collect(), None);
    world.pass(ENOUGH);
    world.exit("web.1", 1);
    world
        .command(Command::StopTask {
            task: "web.2".parse().expect("a task"),
            reason: "it hangs".to_owned(),
        })
        .expect("it runs");
    world.pass(ENOUGH);
    // The gate stops nothing, and all three run what they ran.
    assert_eq!(world.healthy("web"), 3);
    assert_eq!(images(&world, "web"), on(1, 3));
    let detail = job_detail(
        &world.fleet,
        &world.fleet.jobs[&JobId::from("web")],
        world.now,
    );
    let rollout = detail.rollout.expect("a new version is asked for");
    assert!(
        rollout
            .waiting_for
            .starts_with("db: 0 of 2 healthy on its version"),
        "{}",
        rollout.waiting_for
    );
    world.sick.clear();
    world.pass(90);
    assert_eq!(
        (images(&world, "db"), images(&world, "web")),
        (on(2, 2), on(2, 3))
    );
    // web began only when db was through.
    let last_of_db = world
        .journal
        .iter()
        .rposition(|record| matches!(&record.event, Event::AttemptPlaced { task, .. } if task.job.as_str() == "db"));
    let first_of_web = world.journal.iter().position(|record| {
        matches!(&record.event, Event::AttemptPlaced { task, version: 2, .. } if task.job.as_str() == "web")
    });
    assert!(last_of_db < first_of_web, "{last_of_db:?} {first_of_web:?}");
}

#[test]
fn what_has_begun_goes_on_whatever_becomes_of_the_others() {
    let mut world = World::new(3);
    let jobs = |web: JobSpec| vec![service("db", 2), after(web, &["db"])];
    world.commit(jobs(service("web", 4)), None);
    world.pass(2 * ENOUGH);
    world.commit(jobs(next(service("web", 4))), None);
    world.pass(3);
    assert_eq!(began(&world, "web"), 2);
    // The dependency is gone as soon as the rollout has begun, and the rollout ends all the same.
    world.sick.insert("db".to_owned());
    world.pass(120);
    assert_eq!((world.healthy("db"), images(&world, "web")), (0, on(2, 4)));
    // So does a return to the version before while it still runs in part.
    world.sick.clear();
    world.pass(ENOUGH);
    world.commit(
        jobs(with_image(service("web", 4), "registry.example.com/app:3")),
        None,
    );
    world.pass(ENOUGH);
    assert!(images(&world, "web").contains(&on(2, 1)[0]));
    world.sick.insert("db".to_owned());
    world.commit(jobs(next(service("web", 4))), None);
    world.pass(60);
    assert_eq!((world.healthy("db"), images(&world, "web")), (0, on(2, 4)));
}

#[test]
fn what_replaces_nothing_waits_for_nothing() {
    let mut world = World::new(2);
    world.commit(vec![service("db", 1), service("web", 2)], None);
    world.pass(ENOUGH);
    world.sick.insert("db".to_owned());
    world.pass(1);
    // The dependency itself is new, and so is the size.
    world.commit(
        vec![service("db", 1), after(service("web", 4), &["db"])],
        None,
    );
    world.pass(ENOUGH);
    assert_eq!((world.healthy("web"), began(&world, "web")), (4, 0));
    world.commit(
        vec![service("db", 1), after(service("web", 1), &["db"])],
        None,
    );
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 1);
}

#[test]
fn a_job_waits_for_a_batch_run_that_succeeds() {
    let mut world = World::new(2);
    let migrate = |run: &str| {
        let mut spec = batch("migrate", 2, 0);
        spec.batch.as_mut().expect("a batch").run = Some(run.to_owned());
        spec
    };
    let web = || after(service("web", 1), &["migrate"]);
    world.commit(vec![migrate("1"), web()], None);
    world.pass(3);
    world.exit("migrate.0", 0);
    assert!(
        reason(&world, "web").starts_with("version 1 waits for migrate: 1 of 2 tasks succeeded")
    );
    world.exit("migrate.1", 1);
    world.pass(ENOUGH);
    assert!(
        reason(&world, "web")
            .starts_with("version 1 waits for migrate: 1 of 2 tasks did not succeed")
    );
    assert_eq!(world.living("web"), vec![]);
    world.commit(vec![migrate("2"), web()], None);
    world.pass(3);
    world.exit("migrate.0", 0);
    world.exit("migrate.1", 0);
    world.pass(3);
    assert_eq!(world.living("web"), vec![(0, TaskState::Running)]);
    // A new run of a batch waits, too.
    let report = |run: &str| {
        let mut spec = after(batch("report", 1, 0), &["web"]);
        spec.batch.as_mut().expect("a batch").run = Some(run.to_owned());
        spec
    };
    world.commit(vec![migrate("2"), web(), report("1")], None);
    world.pass(ENOUGH);
    world.exit("report.0", 0);
    world.sick.insert("web".to_owned());
    world.pass(2);
    world.commit(vec![migrate("2"), web(), report("2")], None);
    world.pass(ENOUGH);
    assert_eq!(world.living("report"), vec![]);
    assert!(reason(&world, "report").contains("waits for web: 0 of 1 healthy"));
    world.sick.clear();
    world.pass(ENOUGH);
    assert_eq!(world.living("report"), vec![(0, TaskState::Running)]);
}

#[test]
fn a_job_that_waits_can_be_frozen_and_removed() {
    let pruning = || {
        Some(PolicySpec {
            prune: true,
            prune_grace: Millis(0),
            ..PolicySpec::named("default")
        })
    };
    let mut world = World::new(2);
    world.sick.insert("db".to_owned());
    world.commit(
        vec![service("db", 1), after(service("web", 1), &["db"])],
        pruning(),
    );
    world.pass(3);
    let scope = || FreezeScope::Job { job: "web".into() };
    let reason = || "we look".to_owned();
    world
        .command(Command::Freeze {
            scope: scope(),
            reason: reason(),
            until: None,
        })
        .expect("it is there");
    world.sick.clear();
    world.pass(2 * ENOUGH);
    assert_eq!((world.healthy("db"), world.living("web")), (1, vec![]));
    world
        .command(Command::Resume {
            scope: scope(),
            reason: reason(),
        })
        .expect("it is frozen");
    world.pass(ENOUGH);
    assert_eq!(world.healthy("web"), 1);
    // A new version waits again, and a removal does not.
    world.sick.insert("db".to_owned());
    world.pass(1);
    world.commit(
        vec![service("db", 1), next(after(service("web", 1), &["db"]))],
        pruning(),
    );
    world.pass(ENOUGH);
    assert_eq!(images(&world, "web"), on(1, 1));
    world.commit(vec![service("db", 1)], pruning());
    world.pass(ENOUGH);
    assert_eq!(world.living("web"), vec![]);
}

#[test]
fn what_waits_is_predicted_to_begin() {
    let mut world = World::new(2);
    let jobs = vec![
        batch("migrate", 1, 0),
        after(service("db", 2), &["migrate"]),
        after(service("web", 3), &["db"]),
    ];
    let before = world.fleet.clone();
    let now = world.now;
    world.commit(jobs, None);
    let made = plan(&before, &world.last_input.clone().expect("a commit"), now);
    let prediction = predict(&before, &made, now);
    assert_eq!((prediction.started, prediction.goes_on), (6, false));
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u32, u32)>),
    Pass(u32),
    Exit(usize),
    Sick(usize, bool),
    Lead,
}

/// In this order each may depend on those before it.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec((1..4u32, 1..4u32), 4).prop_map(Step::Commit),
        6 => (1..20u32).prop_map(Step::Pass),
        2 => any::<usize>().prop_map(Step::Exit),
        2 => (0..4usize, any::<bool>()).prop_map(|(which, sick)| Step::Sick(which, sick)),
        1 => Just(Step::Lead),
    ]
}

/// The first attempt on a version that makes other containers comes after its beginning, and at its beginning all that it depends
/// on stands: as many tasks as are asked for, all on what is asked for, all healthy.
fn audit(world: &World) {
    let mut fleet = muster_core::fleet::Fleet::default();
    let mut begun: BTreeMap<JobId, Vec<u64>> = BTreeMap::new();
    for record in &world.journal {
        match &record.event {
            Event::VersionBegan { job, version } => {
                let spec = &fleet.jobs[job].versions[version].spec;
                for dependency in &spec.depends_on {
                    let other = &fleet.jobs[dependency];
                    let healthy = other
                        .tasks
                        .values()
                        .filter(|task| fleet.is_healthy(task) && !other.is_outdated(task.version));
                    assert!(
                        healthy.count() >= other.spec().size() as usize,
                        "{job}: {dependency}"
                    );
                }
                let template = fleet.jobs[job].versions[version].template;
                begun.entry(job.clone()).or_default().push(template);
            }
            Event::AttemptPlaced { task, version, .. } => {
                let known = &fleet.jobs[&task.job].versions[version];
                let begun = begun
                    .get(&task.job)
                    .is_some_and(|begun| begun.contains(&known.template));
                assert!(
                    begun || known.spec.depends_on.is_empty(),
                    "{task} begins too early"
                );
            }
            _ => {}
        }
        fleet.apply(record);
    }
}

/// What a plan may take away is no matter here.
fn generous() -> PolicySpec {
    let mut policy = PolicySpec::named("default");
    policy.limits.stops_per_plan.count = 1000;
    policy
}

proptest! {
    #![proptest_config(settings(24, "tests/all/dependencies.regressions"))]

    /// Whatever is committed and whatever breaks: nothing begins too early, nothing is stopped for the gate, and all of it runs in
    /// the end.
    #[test]
    fn nothing_begins_before_what_it_depends_on(
        edges in prop::collection::vec(any::<bool>(), 6),
        steps in prop::collection::vec(some_step(), 1..20),
    ) {
        let mut world = World::new(3);
        let mut edges = edges.into_iter();
        let depends_on: Vec<Vec<&str>> = (0..NAMES.len())
            .map(|job| NAMES[..job].iter().copied().filter(|_| edges.next().unwrap_or(false)).collect())
            .collect();
        let jobs = |images: &[(u32, u32)]| -> Vec<JobSpec> {
            let specs = NAMES.iter().zip(images).zip(&depends_on);
            specs
                .map(|((name, (size, image)), on)| {
                    with_image(after(service(name, *size), on), &format!("registry.example.com/app:{image}"))
                })
                .collect()
        };
        for step in steps {
            match step {
                Step::Commit(images) => world.commit(jobs(&images), Some(generous())),
                Step::Pass(seconds) => {
                    let before = world.journal.len();
                    let waiting = world.fleet.jobs.values().filter(|job| job.is_waiting()).map(|job| job.id.clone());
                    let waiting: Vec<JobId> = waiting.collect();
                    world.pass(seconds);
                    for job in waiting.iter().filter(|job| world.fleet.jobs[*job].is_waiting()) {
                        let stopped = world.journal[before..].iter().filter_map(|record| match &record.event {
                            Event::StopOrdered { order } => world.fleet.attempts.get(&order.attempt),
                            _ => None,
                        });
                        let of_it = stopped.filter(|attempt| attempt.task.job == *job);
                        prop_assert_eq!(of_it.count(), 0, "{} waits and is stopped", job);
                    }
                }
                Step::Exit(which) => {
                    if let Some(task) = crate::common::laws::pick_running(&world, which) {
                        world.exit(&TaskId::to_string(&task), 1);
                    }
                }
                Step::Sick(which, true) => drop(world.sick.insert(NAMES[which].to_owned())),
                Step::Sick(which, false) => drop(world.sick.remove(NAMES[which])),
                Step::Lead => {
                    let (cell, version) = ("test".into(), "0.1.0".to_owned());
                    world.give(Input::Lead { cell, version }).expect("a leader");
                    world.connect();
                }
            }
        }
        world.sick.clear();
        // The first commit may have been this one, and its own policy does not hold for it.
        world.commit(jobs(&[(1, 1), (1, 1), (1, 1), (1, 1)]), Some(generous()));
        if let Some(entry) = world.fleet.held_plan() {
            let (plan, reason) = (entry.plan.id.clone(), "it is meant".to_owned());
            world.command(Command::ApprovePlan { plan, reason }).expect("it is held");
        }
        let last = [(2, 9), (2, 9), (2, 9), (2, 9)];
        world.commit(jobs(&last), Some(generous()));
        prop_assert!(world.fleet.held_plan().is_none(), "{:?}", world.fleet.held_plan().map(|entry| &entry.holds));
        let is_there = |world: &World| NAMES.iter().all(|name| {
            world.healthy(name) == 2 && world.living(name).len() == 2 && images(world, name) == on(9, 2)
        });
        for _ in 0..400 {
            if is_there(&world) {
                break;
            }
            world.pass(1);
        }
        for name in NAMES {
            prop_assert_eq!(world.healthy(name), 2, "{}: {}", name, reason(&world, name));
            prop_assert_eq!(images(&world, name), on(9, 2));
        }
        audit(&world);
    }
}

#[test]
fn what_is_depended_on_stands_at_the_size_that_somebody_gave_it() {
    let mut world = World::new(2);
    let db = || service("db", 3);
    world.commit(vec![db()], None);
    world.pass(ENOUGH);
    let smaller = Command::Scale {
        job: JobId::from("db"),
        desired: 2,
        reason: "a test".to_owned(),
        until: None,
    };
    world.command(smaller).expect("it is scaled");
    world.pass(ENOUGH);
    world.commit(vec![db(), after(service("web", 2), &["db"])], None);
    world.pass(30);
    assert_eq!(world.healthy("web"), 2, "{}", reason(&world, "web"));
}
