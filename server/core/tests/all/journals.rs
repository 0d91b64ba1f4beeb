//! A journal that any released version wrote replays for ever.

use crate::common::{World, batch, service, with_image};
use muster_core::decide::{Command, Input};
use muster_core::describe::subjects;
use muster_core::fleet::Fleet;
use muster_core::predict::predict;
use muster_schemas::deploy::DeploySpec;
use muster_schemas::drift::{DriftField, FieldDrift};
use muster_schemas::event::{Record, RepositoryTrouble};
use muster_schemas::ids::{CommitId, DeployId, JobId};
use muster_schemas::plan::{Diagnostic, FreezeScope};
use muster_schemas::rollout::{Measured, RolloutWord};
use muster_schemas::spec::{
    Analysis, Canary, CanaryStep, DisruptionBudget, Hook, JobSpec, Millis, PolicySpec,
    PrometheusQuery, SelfManaged,
};
use muster_schemas::state::{Orphan, Phase};
use muster_schemas::wire::{Fence, Report};
use std::collections::{BTreeMap, BTreeSet};

/// Every event of version 0.1, and the reasons, phases and actions in them that have names of their own.
const WORDS_OF_0_1: [&str; 71] = [
    // Events.
    r#""event":"leadership_taken""#,
    r#""event":"cell_taken_down""#,
    r#""event":"host_enrolled""#,
    r#""event":"host_connected""#,
    r#""event":"host_unreachable""#,
    r#""event":"host_reported""#,
    r#""event":"orphans_seen""#,
    r#""event":"repository_troubled""#,
    r#""event":"repository_recovered""#,
    r#""event":"plan_made""#,
    r#""event":"plan_predicted""#,
    r#""event":"plan_applied""#,
    r#""event":"plan_held""#,
    r#""event":"plan_approved""#,
    r#""event":"plan_refused""#,
    r#""event":"frozen""#,
    r#""event":"resumed""#,
    r#""event":"grace_ended""#,
    r#""event":"rollout_stepped""#,
    r#""event":"rollout_settled""#,
    r#""event":"rollout_stalled""#,
    r#""event":"rollout_aborted""#,
    r#""event":"rollout_promoted""#,
    r#""event":"rollout_retried""#,
    r#""event":"rollout_finished""#,
    r#""event":"analysis_measured""#,
    r#""event":"deploy_requested""#,
    r#""event":"deploy_committed""#,
    r#""event":"deploy_canceled""#,
    r#""event":"deploy_taken_back""#,
    r#""event":"deploy_finished""#,
    r#""event":"task_created""#,
    r#""event":"task_queued""#,
    r#""event":"task_blocked""#,
    r#""event":"attempt_placed""#,
    r#""event":"attempt_reported""#,
    r#""event":"stop_ordered""#,
    r#""event":"task_finished""#,
    r#""event":"attempt_retired""#,
    r#""event":"attempt_forgotten""#,
    r#""event":"task_forgotten""#,
    r#""event":"job_forgotten""#,
    // What a plan does to a job.
    r#""action":"create""#,
    r#""action":"update""#,
    r#""action":"move""#,
    r#""action":"prune""#,
    r#""action":"undeclare""#,
    r#""action":"redeclare""#,
    // Why a plan is held, and a change kept back.
    r#""hold":"too_many_stops""#,
    r#""withheld":[{"change""#,
    // Why an attempt is stopped.
    r#""reason":"rollout""#,
    r#""reason":"scale_in""#,
    r#""reason":"prune""#,
    r#""reason":"liveness""#,
    r#""reason":"runtime_limit""#,
    r#""reason":"asked""#,
    r#""reason":"down""#,
    // Why a task waits or has finished.
    r#""why":"crash_loop""#,
    r#""why":"retry""#,
    r#""why":"stopped""#,
    r#""why":"done""#,
    r#""why":"retries_exhausted""#,
    r#""why":"not_needed""#,
    // What an agent and the repository can say.
    r#""phase":"accepted""#,
    r#""phase":"pulling""#,
    r#""phase":"waiting""#,
    r#""phase":"creating""#,
    r#""phase":"ended""#,
    r#""trouble":"empty""#,
    r#""trouble":"unrelated_history""#,
    r#""trouble":"unreachable""#,
];

fn missing(journal: &str) -> Vec<&'static str> {
    WORDS_OF_0_1
        .into_iter()
        .filter(|word| !journal.contains(word))
        .collect()
}

#[test]
fn the_journal_of_0_1_replays() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/journals/0.1.jsonl");
    let text = std::fs::read_to_string(path).expect("it was never removed");
    assert_eq!(missing(&text), [""; 0]);
    let mut fleet = Fleet::default();
    for (line, number) in text.lines().zip(1..) {
        let record: Record = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("record {number} cannot be read: {error}\n{line}"));
        assert_eq!(record.seq, number, "records are not left out");
        assert!(!subjects(&record).kind.is_empty());
        fleet.apply(&record);
    }
    insta::assert_json_snapshot!("journal-0.1", fleet);
}

/// The script that a new version's journal is written by goes on saying all that there is.
#[test]
fn the_script_says_every_event() {
    let world = script();
    let lines: Vec<String> = world
        .journal
        .iter()
        .map(|record| serde_json::to_string(record).expect("a record is JSON"))
        .collect();
    let text = lines.join("\n") + "\n";
    assert_eq!(missing(&text), [""; 0]);
    let kinds: BTreeSet<&str> = world
        .journal
        .iter()
        .map(|record| subjects(record).kind)
        .collect();
    assert_eq!(kinds.len(), 49, "an event is new: let the script say it");
    if let Ok(path) = std::env::var("MUSTER_WRITE_JOURNAL") {
        assert!(
            !std::path::Path::new(&path).exists(),
            "{path} is there already, and such a journal is never edited"
        );
        std::fs::write(&path, text).expect("it can be written");
    }
}

fn policy(prune: bool) -> Option<PolicySpec> {
    Some(PolicySpec {
        prune,
        ..PolicySpec::named("default")
    })
}

/// A canary of a query to Prometheus, which is held long enough to be told something.
fn careful(image: &str) -> JobSpec {
    let mut spec = with_image(service("careful", 2), image);
    if let Some(service) = &mut spec.service {
        service.rollout.canary = Some(Canary {
            steps: vec![CanaryStep {
                tasks: Some(1),
                percent: None,
                pause: Millis::secs(600),
            }],
            analysis: Analysis {
                prometheus: vec![PrometheusQuery {
                    name: "errors".to_owned(),
                    query: "sum(errors)".to_owned(),
                    max: Some(0.05),
                    min: None,
                }],
                ..Analysis::default()
            },
        });
    }
    spec
}

/// A few days of a small cell in which everything happens once.
fn script() -> World {
    let mut world = World::new(2);
    let web = service("web", 2);
    let many = service("many", 8);
    let mut slow = batch("slow", 1, 0);
    if let Some(batch) = &mut slow.batch {
        batch.runtime_limit = Millis::secs(5);
    }
    let mut big = service("big", 2);
    big.resources.cpu.0 = 9000;
    world.commit(
        vec![web.clone(), batch("sum", 2, 1), service("old", 1), slow],
        policy(true),
    );

    // The first container comes slowly.
    let (id, host) = world
        .fleet
        .attempts
        .values()
        .map(|attempt| (attempt.id, attempt.host))
        .next()
        .expect("one is placed");
    let until = world.now;
    let message = "the registry did not answer".to_owned();
    for phase in [
        Phase::Accepted,
        Phase::Pulling {
            done: 1,
            total: 100,
        },
        Phase::Waiting { message, until },
        Phase::Creating,
    ] {
        let mut status = world.status(id, phase, None);
        status.started_at = None;
        world.report(host, status);
    }
    world.pass(3);
    world.exit("sum.0", 0);
    world.exit("sum.1", 1);
    world.pass(1);
    world.exit("sum.1", 1);
    world.pass(8);

    // A crash loop, a failing liveness probe, a person's stop.
    for wait in [1, 2, 4] {
        world.exit("web.0", 1);
        world.pass(wait + 1);
    }
    let task = world.task(&"web.1".parse().expect("a task id"));
    let (id, host) = world
        .fleet
        .current_attempt(task)
        .map(|attempt| (attempt.id, attempt.host))
        .expect("it runs");
    let mut status = world.status(id, Phase::Running, Some(true));
    status.live = Some(false);
    status.probe_message = Some("503".to_owned());
    world.report(host, status);
    world.pass(3);
    world
        .command(Command::StopTask {
            task: "old.0".parse().expect("a task id"),
            reason: "it looks stuck".to_owned(),
        })
        .expect("it runs");
    world.pass(3);

    // A rollout; a job too big for any host, which shrinks again; one file moves.
    let web = with_image(web, "registry.example.com/app:2");
    let jobs = |more: Vec<JobSpec>| [vec![web.clone(), batch("sum", 2, 1)], more].concat();
    world.commit(jobs(vec![service("old", 1), big.clone()]), policy(true));
    world.pass(40);
    let mut smaller = big;
    if let Some(service) = &mut smaller.service {
        service.capacity.desired = 0;
    }
    world.commit(jobs(vec![service("old", 1), smaller]), policy(true));
    world.pass(2);
    let mut moved = world.last_input.clone().expect("a commit was made");
    moved.documents.specs[0].source.path = "elsewhere/web.yaml".to_owned();
    moved.revision.commit = "f".repeat(40).into();
    world
        .give(Input::Revision(Box::new(moved)))
        .expect("it is taken");

    // What can be wrong with a repository; the next good revision ends it.
    for trouble in [
        RepositoryTrouble::Unreachable {
            message: "timed out".to_owned(),
        },
        RepositoryTrouble::NoBranch {
            branch: "main".to_owned(),
        },
        RepositoryTrouble::UnrelatedHistory {
            commit: "a".repeat(40).into(),
            applied: "b".repeat(40).into(),
        },
        RepositoryTrouble::Unreadable {
            commit: "a".repeat(40).into(),
            message: "object not found".to_owned(),
        },
    ] {
        world.give(Input::Trouble(trouble)).expect("it is taken");
    }
    world.commit(vec![], None);

    // Removed without prune, back again, removed with prune; one document is refused.
    world.commit(jobs(vec![]), policy(false));
    world.commit(jobs(vec![service("old", 1)]), policy(false));
    let refused = Diagnostic {
        code: "unknown-field".to_owned(),
        path: "jobs/cron.yaml".to_owned(),
        line: 4,
        column: 3,
        source_line: "  replicas: 3".to_owned(),
        width: 8,
        message: "`replicas` is not a field here".to_owned(),
        help: "did you mean `desired`?".to_owned(),
        job: Some("cron".into()),
    };
    world.commit_with(jobs(vec![many.clone()]), policy(true), vec![refused]);
    world.pass(15);

    // A plan that is too large is held; a smaller one takes its place.
    world.commit(jobs(vec![]), policy(true));
    world.pass(2);
    let held = |world: &World| world.fleet.held_plan().expect("it is held").plan.id.clone();
    let plan = held(&world);
    let entry = world.fleet.plan(&plan).expect("it is held").plan.clone();
    let prediction = Box::new(predict(&world.fleet, &entry, world.now));
    world
        .give(Input::Predicted { plan, prediction })
        .expect("a prediction is always taken");
    let command = Command::RefusePlan {
        plan: held(&world),
        reason: "these are needed".to_owned(),
    };
    world.command(command).expect("it is held");
    world.pass(2);
    let mut fewer = many.clone();
    if let Some(service) = &mut fewer.service {
        service.capacity.desired = 6;
    }
    // Frozen, so that its change is kept back until it is resumed.
    let scope = FreezeScope::Job {
        job: fewer.name.clone(),
    };
    let command = Command::Freeze {
        scope: scope.clone(),
        reason: "we look at it".to_owned(),
        until: None,
    };
    world.command(command).expect("there is such a job");
    world.commit(jobs(vec![fewer.clone()]), policy(true));
    world.pass(2);
    let command = Command::Resume {
        scope,
        reason: "we have seen it".to_owned(),
    };
    world.command(command).expect("it is frozen");
    world.pass(5);

    // A pipeline's deploys: one that becomes a commit and ends, and one that is taken back.
    for (id, taken_back) in [("first", false), ("second", true)] {
        let deploy = DeployId::from(id);
        let spec = DeploySpec {
            job: fewer.name.clone(),
            image: Some(format!("registry.example.com/app:{id}")),
            desired: None,
            env: BTreeMap::new(),
            run: None,
            deadline: world.now + jiff::SignedDuration::from_secs(40),
            execution: "01J".to_owned(),
            reason: String::new(),
        };
        let command = Command::Deploy {
            deploy: deploy.clone(),
            spec,
        };
        world.command(command).expect("there is such a job");
        let commit = CommitId("d".repeat(40));
        world
            .give(Input::DeployCommitted {
                deploy: deploy.clone(),
                commit: commit.clone(),
            })
            .expect("it was asked for");
        if taken_back {
            let command = Command::CancelDeploy {
                deploy: deploy.clone(),
                reason: "we changed our mind".to_owned(),
            };
            world.command(command).expect("it is under way");
            world
                .give(Input::DeployTakenBack { deploy, commit })
                .expect("it was taken back");
        }
    }
    world.pass(45);

    // One that takes away too much, and goes ahead by a person's word.
    world.commit(jobs(vec![]), policy(true));
    let command = Command::ApprovePlan {
        plan: held(&world),
        reason: "nobody uses them".to_owned(),
    };
    world.command(command).expect("it is held");
    world.pass(5);
    world.commit(jobs(vec![fewer.clone()]), policy(true));
    world.pass(5);

    // Scaled beside git, and a container changed by hand, under a policy that heals both.
    let heals = policy(true).map(|policy| PolicySpec {
        self_heal: true,
        ..policy
    });
    world.commit(jobs(vec![fewer.clone()]), heals);
    world.pass(5);
    let command = Command::Scale {
        job: fewer.name.clone(),
        desired: 7,
        reason: "the sale begins".to_owned(),
        until: None,
    };
    world.command(command).expect("there is such a service");
    let changed = *world.running.keys().next().expect("something runs");
    let by_hand = FieldDrift {
        field: DriftField::Memory,
        wanted: "128MiB".to_owned(),
        found: "256MiB".to_owned(),
        stuck: None,
    };
    world.drift.insert(changed, vec![by_hand]);
    world.pass(5);
    world.commit(jobs(vec![fewer.clone()]), policy(true));
    world.pass(5);

    // A job that begins after another one, and whose owner is asked to move a task, and then need not do so any more.
    let mut own = service("own", 1);
    own.depends_on = vec![fewer.name.clone()];
    own.disruption_budget = Some(DisruptionBudget {
        self_managed: Some(SelfManaged {
            relocation_time: Millis::secs(600),
        }),
        ..DisruptionBudget::default()
    });
    world.commit(jobs(vec![fewer.clone(), own.clone()]), policy(true));
    world.pass(15);
    world.condemn("own.0");
    world.pass(2);
    world.condemned.clear();
    world.pass(2);

    // A hook that runs before a plan, and does not succeed; a person goes ahead in spite of it.
    let mut migrate = batch("migrate", 1, 0);
    if let Some(batch) = &mut migrate.batch {
        batch.hook = Some(Hook::BeforeSync);
    }
    let more = vec![fewer.clone(), own, service("extra", 1), migrate];
    world.commit(jobs(more), policy(true));
    world.pass(2);
    world.exit("migrate.0", 1);
    let command = Command::ApprovePlan {
        plan: held(&world),
        reason: "it is known".to_owned(),
    };
    world.command(command).expect("it is held");
    world.pass(5);

    // A canary that is let go on, aborted and begun again; and a rollout that gets no further while what follows happens.
    for image in ["registry.example.com/app:1", "registry.example.com/app:2"] {
        world.commit(jobs(vec![fewer.clone(), careful(image)]), policy(true));
        world.pass(15);
    }
    let job = JobId::from("careful");
    world
        .give(Input::Measured {
            job: job.clone(),
            version: 2,
            name: "errors".to_owned(),
            measured: Measured::Value { value: 0.01 },
        })
        .expect("it is taken");
    for word in [RolloutWord::Promote, RolloutWord::Abort, RolloutWord::Retry] {
        let (job, reason) = (job.clone(), "we have looked".to_owned());
        world
            .command(Command::Rollout { job, word, reason })
            .expect("there is a rollout");
        world.pass(1);
    }
    fewer.resources.cpu.0 = 9000;
    world.commit(
        jobs(vec![fewer, careful("registry.example.com/app:2")]),
        policy(true),
    );

    // A stranger on a host, which is then not heard of for a while. What has ended is forgotten meanwhile.
    let orphan = Orphan {
        container: "0123456789ab".to_owned(),
        attempt: None,
        task: "lost.0".to_owned(),
        cell: "test".to_owned(),
        running: true,
    };
    let report = Report {
        complete: true,
        fence: Fence::default(),
        attempts: Vec::new(),
        orphans: vec![orphan],
    };
    world
        .give(Input::Report {
            host,
            report: Box::new(report),
        })
        .expect("a known host");
    world.pass(700);
    world.give(Input::Silent { host }).expect("a known host");
    world.pass(1);
    world.connect();
    world.pass(2);

    // Down, and up again.
    let reason = "the machine moves".to_owned();
    world
        .command(Command::TakeDown { reason })
        .expect("it is taken");
    world.pass(2);
    world
        .give(Input::Lead {
            cell: "test".into(),
            version: "0.1.0".to_owned(),
        })
        .expect("a leader");
    world.connect();
    world.pass(10);
    world
}
