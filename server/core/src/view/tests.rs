//! A small fleet through its views, and a large one in time.

use super::*;
use crate::fleet::Fleet;
use jiff::{SignedDuration, Timestamp};
use muster_schemas::api::JobStatus;
use muster_schemas::event::{Event, Record, RepositoryTrouble};
use muster_schemas::ids::{AttemptId, CellName, CommitId, HostId, JobId, PlanId, TaskId};
use muster_schemas::plan::{DocumentRef, HoldReason, JobAction, JobChange, Plan, Revision, Target};
use muster_schemas::spec::{Bytes, CpuMillis, JobSpec, Mbps};
use muster_schemas::state::{
    Actor, AttemptStatus, Blocked, Ended, FinishReason, HostFacts, HostResources, Orphan, Outcome,
    Phase, QueueReason, TaskState,
};
use proptest::prelude::*;
use uuid::Uuid;

fn start() -> Timestamp {
    "2026-11-23T15:00:00Z".parse().expect("a time")
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128((0x7000 << 64) | (0x8000 << 48) | number)
}

/// A fleet and the seconds since its start.
struct Story {
    fleet: Fleet,
    now: Timestamp,
    attempts: u128,
}

impl Story {
    fn new() -> Self {
        let mut story = Self {
            fleet: Fleet::default(),
            now: start(),
            attempts: 0,
        };
        story.say(Event::LeadershipTaken {
            cell: CellName::from("local"),
            version: "0.1.0".to_owned(),
        });
        story
    }

    fn wait(&mut self, secs: i64) {
        self.now += SignedDuration::from_secs(secs);
    }

    fn say(&mut self, event: Event) {
        let record = Record {
            seq: self.fleet.seq + 1,
            at: self.now,
            epoch: 1,
            actor: Actor::Automation("control".to_owned()),
            event,
        };
        self.fleet.apply(&record);
    }

    fn host(&mut self, number: u128, name: &str) -> HostId {
        let host = HostId(id(number));
        self.say(Event::HostEnrolled {
            host,
            name: name.to_owned(),
        });
        self.say(Event::HostConnected { host });
        self.say(Event::HostReported {
            host,
            facts: HostFacts {
                name: name.to_owned(),
                address: "192.0.2.7".to_owned(),
                zone: "z1".to_owned(),
                labels: [("disk".to_owned(), "ssd".to_owned())].into(),
                resources: HostResources {
                    cpu: CpuMillis(4000),
                    memory: Bytes::mib(8192),
                    disk: Bytes::mib(51_200),
                    network: Mbps(1000),
                    gpu: 0,
                    containers: 100,
                },
                engine: "docker 28.2.2 (API 1.50)".to_owned(),
                system: "Linux 6.1".to_owned(),
                agent_version: "0.1.0".to_owned(),
                warnings: Vec::new(),
                not_ready: None,
            },
        });
        host
    }

    /// A plan that creates or updates one job.
    fn apply(&mut self, plan: &str, spec: serde_json::Value, replaces_tasks: bool) {
        let spec: JobSpec = serde_json::from_value(spec).expect("a spec");
        let job = spec.name.clone();
        let target = Box::new(Target {
            image: format!("{}@sha256:{plan}", spec.image),
            spec: spec.into(),
            source: DocumentRef {
                path: "shop.yaml".to_owned(),
                document: 0,
                line: 1,
            },
            replaces_tasks,
            same_as: None,
        });
        let action = if self.fleet.jobs.contains_key(&job) {
            JobAction::Update { target }
        } else {
            JobAction::Create { target }
        };
        self.plan(plan, vec![change(job, action)]);
        self.say(Event::PlanApplied {
            plan: PlanId::from(plan),
        });
    }

    fn plan(&mut self, plan: &str, changes: Vec<JobChange>) {
        let committed_at = self.now - SignedDuration::from_millis(1500);
        self.say(Event::PlanMade {
            plan: Box::new(Plan {
                id: PlanId::from(plan),
                parent: self.fleet.applied_plan.clone(),
                revision: Revision {
                    commit: CommitId::from(format!("c0ffee{plan}").as_str()),
                    author: "An Author <author@example.com>".to_owned(),
                    subject: format!("Change {plan}"),
                    committed_at,
                },
                changes,
                refused: Vec::new(),
                withheld: Vec::new(),
                policy: None,
                policy_changes: false,
                signed_by: None,
                running: self.fleet.running_tasks(),
                starts: 0,
                stops: 0,
            }),
        });
    }

    fn create(&mut self, task: &str, version: u64) {
        let task: TaskId = task.parse().expect("a task");
        let run = self.fleet.jobs[&task.job].run;
        self.say(Event::TaskCreated { task, version, run });
    }

    fn place(&mut self, task: &str, host: HostId) -> AttemptId {
        let task: TaskId = task.parse().expect("a task");
        self.attempts += 1;
        let attempt = AttemptId(id(0xa_0000 + self.attempts));
        let known = self.fleet.task(&task).expect("the task");
        let (number, version) = (known.attempts + 1, known.version);
        self.say(Event::AttemptPlaced {
            attempt,
            task,
            number,
            host,
            version,
        });
        attempt
    }

    fn report(&mut self, attempt: AttemptId, phase: Phase, ready: Option<bool>) {
        let sequence = self.fleet.seq;
        self.say(Event::AttemptReported {
            status: AttemptStatus {
                attempt,
                sequence,
                phase,
                container: Some("4b825dc642cb".to_owned()),
                ip: Some("172.17.0.2".to_owned()),
                started_at: Some(self.now),
                ready,
                live: None,
                probe_message: None,
                hardening: None,
                drift: Vec::new(),
            },
        });
    }

    fn run(&mut self, task: &str, host: HostId) -> AttemptId {
        let attempt = self.place(task, host);
        self.wait(1);
        self.report(attempt, Phase::Running, Some(true));
        attempt
    }

    fn fail(&mut self, attempt: AttemptId) {
        let at = self.now;
        self.report(
            attempt,
            Phase::Ended(Ended {
                outcome: Outcome::Failed,
                exit_code: Some(1),
                signal: None,
                oom: false,
                at,
                message: "exited with 1".to_owned(),
                system_error: false,
            }),
            None,
        );
    }

    fn queue(&mut self, task: &str, failures: u32, in_secs: i64) {
        let task: TaskId = task.parse().expect("a task");
        let version = self.fleet.task(&task).expect("the task").version;
        self.say(Event::TaskQueued {
            task,
            version,
            reason: QueueReason::CrashLoop {
                message: "exited with 1".to_owned(),
                failures,
            },
            not_before: self.now + SignedDuration::from_secs(in_secs),
            retries: failures,
            failures,
        });
    }

    fn status(&self, job: &str) -> (JobStatus, String) {
        let view = job_view(&self.fleet, &self.fleet.jobs[&JobId::from(job)], self.now);
        (view.status, view.reason)
    }
}

fn change(job: JobId, action: JobAction) -> JobChange {
    JobChange {
        job,
        action,
        fields: Vec::new(),
        starts: 0,
        stops: 0,
        replaces: 0,
        takes_away: 0,
        notes: Vec::new(),
    }
}

fn web(desired: u32) -> serde_json::Value {
    serde_json::json!({
        "name": "web", "app": "shop", "owner": "shop@example.com", "image": "registry.example.com/shop/web:1",
        "labels": {"team": "shop"}, "ports": [{"name": "http", "port": 8080}],
        "service": {"capacity": {"desired": desired}}
    })
}

fn batch(size: u32) -> serde_json::Value {
    serde_json::json!({
        "name": "sums", "owner": "sums@example.com", "image": "registry.example.com/sums:1", "tier": "critical",
        "batch": {"size": size}
    })
}

fn two_healthy() -> (Story, HostId, Vec<AttemptId>) {
    let mut story = Story::new();
    let host = story.host(1, "host-a");
    story.apply("aa11", web(2), true);
    story.create("web.0", 1);
    story.create("web.1", 1);
    let attempts = vec![story.run("web.0", host), story.run("web.1", host)];
    (story, host, attempts)
}

#[test]
fn a_healthy_service_looks_so() {
    let (story, ..) = two_healthy();
    let serving = Serving {
        version: "0.1.0".to_owned(),
        started_at: start(),
        repository: "https://user:secret@git.example.com/specs.git".to_owned(),
        branch: "main".to_owned(),
        repository_read_at: Some(start()),
        journal_trouble: None,
    };
    let job = &story.fleet.jobs[&JobId::from("web")];
    insta::assert_json_snapshot!("fleet", fleet_view(&story.fleet, &serving, story.now));
    insta::assert_json_snapshot!("job", job_detail(&story.fleet, job, story.now));
    insta::assert_json_snapshot!(
        "task",
        task_detail(&story.fleet, job, &job.tasks[&0], story.now)
    );
    insta::assert_json_snapshot!(
        "host",
        host_view(&story.fleet, &story.fleet.hosts[&HostId(id(1))], story.now)
    );
    insta::assert_json_snapshot!("plan", plan_view(&story.fleet, &story.fleet.plans[0]));
}

#[test]
fn a_service_s_status_follows_its_tasks() {
    let (mut story, host, attempts) = two_healthy();
    assert_eq!(story.status("web").0, JobStatus::Running);

    story.report(attempts[0], Phase::Running, Some(false));
    assert_eq!(story.status("web").0, JobStatus::Degraded);
    story.report(attempts[0], Phase::Running, Some(true));
    assert_eq!(story.status("web").0, JobStatus::Running);

    story.say(Event::HostUnreachable { host });
    assert_eq!(story.status("web").0, JobStatus::Degraded);
    story.say(Event::HostConnected { host });

    story.fail(attempts[1]);
    story.queue("web.1", 1, 5);
    assert_eq!(
        story.status("web"),
        (
            JobStatus::Progressing,
            "1 of 2 tasks are healthy, 1 queued".to_owned()
        )
    );
    story.queue("web.1", 4, 5);
    assert_eq!(
        story.status("web"),
        (
            JobStatus::CrashLoop,
            "1 task is in a crash loop, such as web.1: 4 short attempts in a row".to_owned()
        )
    );

    story.queue("web.1", 0, 0);
    story.say(Event::TaskBlocked {
        task: "web.1".parse().expect("a task"),
        blocked: Blocked::default(),
    });
    assert_eq!(story.status("web").0, JobStatus::Blocked);

    story.plan(
        "dd",
        vec![change(
            JobId::from("web"),
            JobAction::Prune {
                source: DocumentRef {
                    path: "shop.yaml".to_owned(),
                    document: 0,
                    line: 1,
                },
                removed_by: None,
            },
        )],
    );
    story.say(Event::PlanApplied {
        plan: PlanId::from("dd"),
    });
    assert_eq!(story.status("web").0, JobStatus::Tombstone);
    let job = JobId::from("web");
    story.say(Event::GraceEnded { job });
    assert_eq!(story.status("web").0, JobStatus::Stopping);
}

#[test]
fn a_service_out_of_retries_is_degraded() {
    let (mut story, _, attempts) = two_healthy();
    story.fail(attempts[1]);
    story.say(Event::TaskFinished {
        task: "web.1".parse().expect("a task"),
        outcome: Outcome::Failed,
        reason: FinishReason::RetriesExhausted {
            retries: 3,
            message: "exited with 1".to_owned(),
        },
    });
    assert_eq!(
        story.status("web"),
        (
            JobStatus::Degraded,
            "1 of 2 tasks are healthy; see web.1".to_owned()
        )
    );
}

#[test]
fn a_batch_job_s_status_follows_its_ledger() {
    let mut story = Story::new();
    let host = story.host(1, "host-a");
    story.apply("bb", batch(2), true);
    story.create("sums.0", 1);
    story.create("sums.1", 1);
    assert_eq!(story.status("sums").0, JobStatus::Progressing);
    story.run("sums.0", host);
    story.run("sums.1", host);
    assert_eq!(
        story.status("sums"),
        (JobStatus::Running, "0 of 2 tasks finished".to_owned())
    );
    let finish = |story: &mut Story, task: &str, outcome| {
        story.say(Event::TaskFinished {
            task: task.parse().expect("a task"),
            outcome,
            reason: FinishReason::Done,
        });
    };
    finish(&mut story, "sums.0", Outcome::Succeeded);
    assert_eq!(story.status("sums").1, "1 of 2 tasks finished");
    let mut failed = story.fleet.clone();
    finish(&mut story, "sums.1", Outcome::Succeeded);
    assert_eq!(story.status("sums").0, JobStatus::Succeeded);
    std::mem::swap(&mut story.fleet, &mut failed);
    finish(&mut story, "sums.1", Outcome::Failed);
    assert_eq!(
        story.status("sums"),
        (JobStatus::Failed, "1 of 2 tasks did not succeed".to_owned())
    );
}

#[test]
fn a_rollout_says_what_it_waits_for() {
    let (mut story, host, _) = two_healthy();
    story.wait(60);
    let mut spec = web(2);
    spec["image"] = "registry.example.com/shop/web:2".into();
    story.apply("bb22", spec, true);
    let waiting = |story: &Story| {
        let job = &story.fleet.jobs[&JobId::from("web")];
        job_detail(&story.fleet, job, story.now)
            .rollout
            .map(|rollout| rollout.waiting_for)
    };
    assert_eq!(
        waiting(&story).as_deref(),
        Some("its next step, which comes at once")
    );
    story.create("web.2", 2);
    let attempt = story.place("web.2", host);
    assert_eq!(
        waiting(&story).as_deref(),
        Some("web.2 to be healthy: placed; its host's agent has not taken it on yet")
    );
    story.report(attempt, Phase::Running, Some(true));
    assert_eq!(
        waiting(&story).as_deref(),
        Some("1 new task to have been healthy for 5s")
    );
    story.wait(5);
    assert_eq!(
        waiting(&story).as_deref(),
        Some("its next step, which comes at once")
    );
    story.fail(attempt);
    story.queue("web.2", 3, 8);
    assert_eq!(
        waiting(&story).as_deref(),
        Some(
            "web.2 to leave its crash loop: exited with 1; the next attempt comes at 15:01:15 UTC (crash loop: 3 short \
             attempts in a row)"
        )
    );
}

#[test]
fn a_version_that_replaces_nothing_leaves_tasks_current() {
    let (mut story, ..) = two_healthy();
    story.apply("cc", web(1), false);
    let view = tasks(&story.fleet, &TaskFilter::default(), &all(), story.now);
    assert!(
        view.items
            .iter()
            .all(|task| task.current_version && task.version == 1)
    );
    let job = &story.fleet.jobs[&JobId::from("web")];
    assert_eq!(job_view(&story.fleet, job, story.now).updated, 2);
    assert_eq!(job_detail(&story.fleet, job, story.now).rollout, None);
}

#[test]
fn each_trouble_has_its_alert() {
    let (mut story, host, attempts) = two_healthy();
    story.wait(60);
    assert_eq!(alerts(&story.fleet, None, story.now), []);
    story.say(Event::RepositoryTroubled {
        trouble: RepositoryTrouble::Unreachable {
            message: "connection refused".to_owned(),
        },
    });
    story.say(Event::OrphansSeen {
        host,
        orphans: vec![Orphan {
            container: "4b825dc642cb6eb9a060".to_owned(),
            attempt: None,
            task: "old.0".to_owned(),
            cell: "local".to_owned(),
            running: true,
        }],
    });
    let lost = story.host(2, "host-b");
    story.say(Event::HostUnreachable { host: lost });
    story.fail(attempts[0]);
    story.queue("web.0", 5, 30);
    story.fail(attempts[1]);
    story.queue("web.1", 0, 0);
    story.say(Event::TaskBlocked {
        task: "web.1".parse().expect("a task"),
        blocked: Blocked::default(),
    });
    story.plan(
        "dd",
        vec![change(
            JobId::from("web"),
            JobAction::Undeclare {
                source: DocumentRef {
                    path: "shop.yaml".to_owned(),
                    document: 0,
                    line: 1,
                },
                removed_by: None,
            },
        )],
    );
    story.say(Event::PlanApplied {
        plan: PlanId::from("dd"),
    });
    story.plan("ee", Vec::new());
    story.say(Event::PlanHeld {
        plan: PlanId::from("ee"),
        reasons: vec![HoldReason::TooManyStops {
            stops: 8,
            before: 0,
            running: 10,
            limit_count: 5,
            limit_percent: 20,
            part: None,
        }],
    });
    story.wait(31);
    insta::assert_json_snapshot!("alerts", alerts(&story.fleet, None, story.now));
}

#[test]
fn a_new_leader_gives_hosts_time_to_connect() {
    let (mut story, ..) = two_healthy();
    story.wait(100);
    story.say(Event::LeadershipTaken {
        cell: CellName::from("local"),
        version: "0.1.0".to_owned(),
    });
    let unreachable = |story: &Story| {
        alerts(&story.fleet, None, story.now)
            .iter()
            .any(|alert| alert.code == "host-unreachable")
    };
    assert!(!unreachable(&story));
    story.wait(31);
    assert!(unreachable(&story));
}

#[test]
fn alerts_are_bounded() {
    let mut story = Story::new();
    for number in 0..150 {
        let host = story.host(number, &format!("host-{number}"));
        story.say(Event::HostUnreachable { host });
    }
    story.wait(60);
    let alerts = alerts(&story.fleet, None, story.now);
    assert_eq!(alerts.len(), MAX_ALERTS);
    assert_eq!(
        alerts.last().map(|alert| alert.message.as_str()),
        Some("There are 51 more alerts; those above come first.")
    );
}

fn all() -> Page {
    Page {
        after: None,
        limit: 1000,
    }
}

#[test]
fn filters_match_any_value_of_all_fields() {
    let (mut story, ..) = two_healthy();
    story.apply("bb", batch(3), true);
    story.create("sums.0", 1);
    let found = |filter: TaskFilter| -> Vec<String> {
        tasks(&story.fleet, &filter, &all(), story.now)
            .items
            .into_iter()
            .map(|task| task.id)
            .collect()
    };
    let job = |job: JobFilter| TaskFilter {
        job,
        ..TaskFilter::default()
    };
    assert_eq!(found(TaskFilter::default()), ["sums.0", "web.0", "web.1"]);
    assert_eq!(
        found(TaskFilter {
            state: vec![TaskState::Queued, TaskState::Finished],
            ..TaskFilter::default()
        }),
        ["sums.0"]
    );
    assert_eq!(
        found(TaskFilter {
            host: vec!["host-a".to_owned()],
            healthy: vec![true],
            ..TaskFilter::default()
        }),
        ["web.0", "web.1"]
    );
    assert_eq!(
        found(TaskFilter {
            q: Some("WEB.1".to_owned()),
            ..TaskFilter::default()
        }),
        ["web.1"]
    );
    assert_eq!(
        found(job(JobFilter {
            label: vec![
                ("team".to_owned(), "shop".to_owned()),
                ("team".to_owned(), "other".to_owned())
            ],
            ..JobFilter::default()
        })),
        ["web.0", "web.1"]
    );
    assert_eq!(
        found(job(JobFilter {
            app: vec!["shop".to_owned()],
            kind: vec![muster_schemas::spec::JobKind::Batch],
            ..JobFilter::default()
        })),
        [""; 0]
    );
    let jobs_in = |state| {
        jobs(
            &story.fleet,
            &JobFilter {
                state: vec![state],
                ..JobFilter::default()
            },
            &all(),
            story.now,
        )
        .total
    };
    assert_eq!(jobs_in(JobStatus::Running), 1);
    assert_eq!(jobs_in(JobStatus::Progressing), 1);
    assert_eq!(jobs_in(JobStatus::Failed), 0);
    let hosts_in = |filter: HostFilter| hosts(&story.fleet, &filter, &all(), story.now).total;
    assert_eq!(
        hosts_in(HostFilter {
            ready: vec![true],
            label: vec![("disk".to_owned(), "ssd".to_owned())],
            ..HostFilter::default()
        }),
        1
    );
    assert_eq!(
        hosts_in(HostFilter {
            zone: vec!["z2".to_owned()],
            ..HostFilter::default()
        }),
        0
    );
}

#[test]
fn plans_are_paged_newest_first() {
    let mut story = Story::new();
    for plan in ["p1", "p2", "p3"] {
        story.plan(plan, Vec::new());
    }
    let page = |after: Option<&str>| {
        let list = plans(
            &story.fleet,
            &PlanFilter::default(),
            &Page {
                after: after.map(str::to_owned),
                limit: 2,
            },
        );
        let ids: Vec<String> = list.items.into_iter().map(|plan| plan.id).collect();
        (ids, list.next, list.total)
    };
    assert_eq!(
        page(None),
        (
            vec!["p3".to_owned(), "p2".to_owned()],
            Some("p2".to_owned()),
            3
        )
    );
    assert_eq!(page(Some("p2")), (vec!["p1".to_owned()], None, 3));
    assert_eq!(page(Some("gone")), (Vec::new(), None, 3));
}

proptest! {
    /// Whatever the page's size, walking the pages gives every task once, in order, also when tasks go meanwhile.
    #[test]
    fn pages_join_without_gap_or_overlap(sizes in proptest::collection::vec(1u32..40, 1..6), limit in 1usize..20, gone in any::<prop::sample::Index>()) {
        let mut story = Story::new();
        for (number, size) in sizes.iter().enumerate() {
            let mut spec = batch(*size);
            spec["name"] = format!("job-{number}").into();
            story.apply(&format!("p{number}"), spec, true);
            for index in 0..*size {
                story.create(&format!("job-{number}.{index}"), 1);
            }
        }
        let filter = TaskFilter::default();
        let mut expected: Vec<String> = tasks(&story.fleet, &filter, &all(), story.now).items.into_iter().map(|task| task.id).collect();
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let list = tasks(&story.fleet, &filter, &Page { after: after.clone(), limit }, story.now);
            prop_assert!(list.items.len() <= limit);
            seen.extend(list.items.into_iter().map(|task| task.id));
            // The cursor's own task may be gone by the next page.
            if after.is_none() && let Some(next) = &list.next {
                let task: TaskId = next.parse().expect("a task");
                if gone.index(2) == 1 {
                    story.say(Event::TaskForgotten { task });
                }
            }
            after = list.next;
            if after.is_none() {
                break;
            }
        }
        expected.sort_by_key(|id| id.parse::<TaskId>().expect("a task"));
        prop_assert_eq!(seen, expected);
    }
}

/// 20,000 tasks are listed, counted and looked through for alerts in time linear in them. The bound is far above what it
/// takes (some 0.1 s without optimisation), and far below what a quadratic pass would.
#[test]
fn twenty_thousand_tasks_are_shown_in_one_pass() {
    let mut story = Story::new();
    let host = story.host(1, "host-a");
    for number in 0..20 {
        let mut spec = web(1000);
        spec["name"] = format!("job-{number}").into();
        story.apply(&format!("p{number}"), spec, true);
        for index in 0..1000 {
            let task = format!("job-{number}.{index}");
            story.create(&task, 1);
            let attempt = story.place(&task, host);
            story.report(attempt, Phase::Running, Some(true));
        }
    }
    let page = Page {
        after: None,
        limit: 100,
    };
    let listed = tasks(&story.fleet, &TaskFilter::default(), &page, story.now);
    assert_eq!((listed.items.len(), listed.total), (100, 20_000));
    let filter = TaskFilter {
        q: Some("job-7.".to_owned()),
        ..TaskFilter::default()
    };
    assert_eq!(tasks(&story.fleet, &filter, &page, story.now).total, 1000);
    assert_eq!(
        jobs(&story.fleet, &JobFilter::default(), &page, story.now).total,
        20
    );
    assert_eq!(alerts(&story.fleet, None, story.now), []);
    assert_eq!(
        hosts(&story.fleet, &HostFilter::default(), &page, story.now).items[0].tasks,
        20_000
    );
}
