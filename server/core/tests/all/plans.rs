//! What plans say, change by change.

use crate::common::{World, batch, service};
use muster_core::plan::{images_to_resolve, plan};
use muster_schemas::plan::{JobAction, Plan};
use muster_schemas::spec::{JobSpec, Millis, PolicySpec};
use std::fmt::Write as _;

fn prune(prune: bool) -> Option<PolicySpec> {
    Some(PolicySpec {
        prune,
        prune_grace: muster_schemas::spec::Millis(0),
        ..PolicySpec::named("default")
    })
}

fn told(title: &str, plan: &Plan) -> String {
    let mut text = format!(
        "{title}: running {}, starts {}, stops {}\n",
        plan.running, plan.starts, plan.stops
    );
    for change in &plan.changes {
        let _ = write!(
            text,
            "  {} {}: starts {}, stops {}, replaces {}",
            change.action.word(),
            change.job,
            change.starts,
            change.stops,
            change.replaces
        );
        if let JobAction::Update { target } = &change.action {
            let _ = write!(text, ", new containers: {}", target.replaces_tasks);
        }
        text.push('\n');
        for field in &change.fields {
            let show = |value: &Option<serde_json::Value>| {
                value.as_ref().map_or("-".to_owned(), ToString::to_string)
            };
            let _ = writeln!(
                text,
                "    {}: {} → {}",
                field.path,
                show(&field.from),
                show(&field.to)
            );
        }
        for note in &change.notes {
            let _ = writeln!(text, "    ({note})");
        }
    }
    for refused in &plan.refused {
        let _ = writeln!(
            text,
            "  refused {}:{} [{}] {}; {}",
            refused.path, refused.line, refused.code, refused.message, refused.help
        );
    }
    text
}

fn edit(mut spec: JobSpec, edit: impl FnOnce(&mut JobSpec)) -> JobSpec {
    edit(&mut spec);
    spec
}

/// Commits the specs, and tells the plan that was made of them. What it started has come to run after it.
fn commit(
    world: &mut World,
    title: &str,
    specs: Vec<JobSpec>,
    policy: Option<PolicySpec>,
) -> String {
    world.commit(specs, policy);
    let text = told(title, &world.fleet.plans.back().expect("a plan").plan);
    world.pass(4);
    text
}

#[test]
fn plans_of_a_service() {
    let mut world = World::new(3);
    let web = service("web", 4);
    let resized = |to: u32| {
        edit(web.clone(), |spec| {
            if let Some(service) = &mut spec.service {
                service.capacity.desired = to;
            }
        })
    };
    let mut text = commit(&mut world, "new", vec![web.clone()], None);
    text += &commit(&mut world, "more", vec![resized(6)], None);
    text += &commit(&mut world, "fewer", vec![resized(4)], None);
    // What was taken away now does not count with what comes below.
    world.pass(700);
    let owned = edit(web.clone(), |spec| {
        spec.owner = "others@example.com".to_owned()
    });
    text += &commit(&mut world, "another owner", vec![owned], None);
    let lazy = edit(web.clone(), |spec| {
        spec.env.insert("LEVEL".to_owned(), "debug".to_owned());
        spec.owner = "others@example.com".to_owned();
        if let Some(service) = &mut spec.service {
            service.rollout.max_unavailable = 2;
        }
    });
    text += &commit(&mut world, "another variable", vec![lazy.clone()], None);
    let imaged = edit(lazy, |spec| {
        spec.image = "registry.example.com/app:2".to_owned()
    });
    text += &commit(
        &mut world,
        "another image, fewer",
        vec![edit(imaged.clone(), |spec| {
            if let Some(service) = &mut spec.service {
                service.capacity.desired = 1;
            }
        })],
        None,
    );
    text += &commit(
        &mut world,
        "gone, without prune",
        vec![service("api", 1)],
        None,
    );
    text += &commit(
        &mut world,
        "still gone",
        vec![service("api", 1)],
        prune(false),
    );
    text += &commit(
        &mut world,
        "gone, with prune",
        vec![service("api", 1)],
        prune(true),
    );
    text += &commit(
        &mut world,
        "back",
        vec![service("api", 1), imaged],
        prune(true),
    );
    insta::assert_snapshot!("service", text);
}

#[test]
fn plans_of_a_batch_job() {
    let mut world = World::new(3);
    let sum = batch("sum", 3, 0);
    let run = |name: &str| {
        edit(sum.clone(), |spec| {
            if let Some(batch) = &mut spec.batch {
                batch.run = Some(name.to_owned());
            }
        })
    };
    let sized = |to: u32| {
        edit(sum.clone(), |spec| {
            if let Some(batch) = &mut spec.batch {
                batch.size = to;
            }
        })
    };
    let mut text = commit(&mut world, "new", vec![sum.clone()], None);
    text += &commit(&mut world, "more", vec![sized(5)], None);
    let imaged = edit(sized(5), |spec| {
        spec.image = "registry.example.com/app:2".to_owned()
    });
    text += &commit(
        &mut world,
        "another image while it runs",
        vec![imaged.clone()],
        None,
    );
    for index in 0..5 {
        world.exit(&format!("sum.{index}"), 0);
    }
    let limited = edit(imaged, |spec| {
        if let Some(batch) = &mut spec.batch {
            batch.runtime_limit = Millis::secs(60);
        }
    });
    text += &commit(
        &mut world,
        "another limit when it is done",
        vec![limited],
        None,
    );
    text += &commit(&mut world, "another run", vec![run("second")], None);
    insta::assert_snapshot!("batch", text);
}

#[test]
fn what_a_plan_refuses() {
    let mut world = World::new(1);
    world.commit(vec![service("web", 1), batch("sum", 1, 0)], prune(true));
    world.pass(2);
    world.commit(vec![batch("web", 1, 0), service("sum", 1)], prune(true));
    let mut text = told(
        "other kinds",
        &world.fleet.plans.back().expect("a plan").plan,
    );

    // An image that cannot be resolved, or is not yet: the job stays as it is.
    let newer = edit(service("web", 1), |spec| {
        spec.image = "registry.example.com/app:9".to_owned()
    });
    world.commit(vec![service("web", 1), batch("sum", 1, 0)], prune(true));
    let mut input = world.last_input.clone().expect("a commit was made");
    input.documents.specs[0].spec = muster_schemas::spec::Spec::Job(std::sync::Arc::new(newer));
    assert_eq!(
        images_to_resolve(&world.fleet, &input.documents),
        ["registry.example.com/app:9".to_owned()].into(),
        "a reference that stays the same stays on its digest"
    );
    text += &told("not resolved yet", &plan(&world.fleet, &input, world.now));
    input.images.insert(
        "registry.example.com/app:9".to_owned(),
        Err("no such tag".to_owned()),
    );
    text += &told("not to be resolved", &plan(&world.fleet, &input, world.now));
    insta::assert_snapshot!("refused", text);
}

/// What a container is not made of changes without a new one.
#[test]
fn what_containers_are_made_of_replaces_them_and_nothing_else_does() {
    use muster_schemas::spec::{Bytes, Tier};
    type Edit = fn(&mut JobSpec);
    let first = edit(service("web", 2), |spec| {
        spec.image = "registry.example.com/app:11".to_owned();
    });
    let stays: [(&str, Edit); 7] = [
        ("owner", |spec| spec.owner = "others@example.com".to_owned()),
        ("tier", |spec| spec.tier = Tier::Critical),
        ("capacity group", |spec| {
            spec.capacity_group = "shop".to_owned()
        }),
        ("soft constraints", |spec| {
            spec.constraints.soft.unique_host = true
        }),
        ("kill grace", |spec| spec.kill_grace = Millis::secs(60)),
        ("rollout", |spec| {
            if let Some(service) = &mut spec.service {
                service.rollout.max_surge = 2;
            }
        }),
        // Another tag of the same digest.
        ("tag", |spec| {
            spec.image = "registry.example.com/app:21".to_owned();
        }),
    ];
    let goes: [(&str, Edit); 7] = [
        ("command", |spec| {
            spec.command = Some(vec!["serve".to_owned()])
        }),
        ("memory", |spec| spec.resources.memory = Bytes(1 << 30)),
        ("hard constraints", |spec| {
            spec.constraints.hard.hosts = vec!["host-0".to_owned()]
        }),
        ("labels", |spec| {
            spec.labels.insert("team".to_owned(), "web".to_owned());
        }),
        ("read-only root", |spec| {
            spec.security.read_only_root = false
        }),
        ("user", |spec| spec.security.user = Some("1000".to_owned())),
        ("image", |spec| {
            spec.image = "registry.example.com/app:2".to_owned();
        }),
    ];
    let all = stays
        .map(|(name, edit)| (name, edit, false))
        .into_iter()
        .chain(goes.map(|(name, edit)| (name, edit, true)));
    for (name, change, replaces) in all {
        let mut world = World::new(2);
        world.commit(vec![first.clone()], None);
        world.pass(2);
        world.commit(vec![edit(first.clone(), change)], None);
        let plan = &world.fleet.plans.back().expect("a plan").plan;
        let [only] = &plan.changes[..] else {
            panic!("{name}: {} changes", plan.changes.len());
        };
        let JobAction::Update { target } = &only.action else {
            panic!("{name}: {}", only.action.word());
        };
        assert_eq!(target.replaces_tasks, replaces, "{name}");
        assert_eq!(only.replaces, if replaces { 2 } else { 0 }, "{name}");
        world.pass(40);
        assert_eq!(world.stops(), if replaces { 2 } else { 0 }, "{name}");
    }
}
