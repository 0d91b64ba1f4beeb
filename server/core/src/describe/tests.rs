//! One of each event in words.

use super::*;
use muster_schemas::drift::{DriftField, FieldDrift};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::{CellName, CommitId, JobId};
use muster_schemas::plan::{HoldReason, LimitScope, Revision, WithholdReason};
use muster_schemas::spec::{Bytes, CpuMillis, Mbps, Millis};
use muster_schemas::state::{
    Actor, Blocked, BlockedBy, Ended, FinishReason, HostRefusal, HostResources, QueueReason,
    ResourceKind, StopReason,
};
use muster_schemas::stop::StopRefusal;
use muster_schemas::wait::{NotStanding, WaitsFor};
use muster_schemas::wire::Fence;
use std::fmt::Write as _;

fn at(text: &str) -> Timestamp {
    format!("2026-11-23T{text}Z").parse().expect("a time")
}

fn host() -> HostId {
    "00000000-0000-7000-8000-00000000000a"
        .parse()
        .expect("an id")
}

fn attempt() -> AttemptId {
    "00000000-0000-7000-8000-0000000000aa"
        .parse()
        .expect("an id")
}

fn task() -> TaskId {
    "web.0".parse().expect("a task")
}

fn status(phase: Phase) -> AttemptStatus {
    AttemptStatus {
        attempt: attempt(),
        sequence: 1,
        phase,
        container: None,
        ip: None,
        started_at: None,
        ready: None,
        live: None,
        probe_message: None,
        hardening: None,
        drift: Vec::new(),
    }
}

fn plan() -> Plan {
    Plan {
        id: PlanId::from("5f3ba1032aaa2d15d7c1546aa5d16b5d0e2371515f3ba1032aaa2d15d7c1546a"),
        parent: None,
        revision: Revision {
            commit: CommitId::from("8d1c0ffee0ddf00d8d1c0ffee0ddf00d8d1c0ffe"),
            author: "An Author <author@example.com>".to_owned(),
            subject: "Serve the shop".to_owned(),
            committed_at: at("15:00:00"),
        },
        changes: Vec::new(),
        refused: Vec::new(),
        withheld: Vec::new(),
        policy: None,
        policy_changes: false,
        signed_by: None,
        running: 10,
        starts: 3,
        stops: 1,
    }
}

fn facts() -> HostFacts {
    HostFacts {
        name: "host-a".to_owned(),
        address: "192.0.2.7".to_owned(),
        zone: "z1".to_owned(),
        labels: Default::default(),
        resources: HostResources {
            cpu: CpuMillis(3500),
            memory: Bytes::mib(7936),
            disk: Bytes::mib(102_400),
            network: Mbps(1000),
            gpu: 0,
            containers: 110,
        },
        engine: "docker 28.2.2 (API 1.50)".to_owned(),
        system: "Linux 6.1".to_owned(),
        agent_version: "0.1.0".to_owned(),
        warnings: vec!["live-restore is off".to_owned()],
        not_ready: None,
    }
}

fn order(reason: StopReason, plan: Option<PlanId>) -> StopOrder {
    StopOrder {
        attempt: attempt(),
        reason,
        actor: Actor::Automation("rollout".to_owned()),
        plan,
        grace: Millis::secs(10),
    }
}

fn every_event() -> Vec<Event> {
    let ended = Ended {
        outcome: Outcome::Failed,
        exit_code: Some(1),
        signal: None,
        oom: false,
        at: at("15:04:00"),
        message: "exited with 1".to_owned(),
        system_error: false,
    };
    let queued = |reason, not_before: &str| Event::TaskQueued {
        task: task(),
        version: 1,
        reason,
        not_before: at(not_before),
        retries: 1,
        failures: 4,
    };
    let finished = |outcome, reason| Event::TaskFinished {
        task: task(),
        outcome,
        reason,
    };
    let resize_ended = |end| Event::ResizeEnded {
        job: JobId::from("web"),
        by: "bob".to_owned(),
        desired: 5,
        end,
    };
    let reported = |phase| Event::AttemptReported {
        status: status(phase),
    };
    let blocked = Blocked {
        hosts: 3,
        reasons: vec![
            BlockedBy {
                refusal: HostRefusal::TooLittle {
                    resource: ResourceKind::Memory,
                    free: 1 << 30,
                    needed: 4 << 30,
                },
                count: 2,
                examples: vec!["host-a".to_owned(), "host-b".to_owned()],
            },
            BlockedBy {
                refusal: HostRefusal::Unreachable,
                count: 1,
                examples: vec!["host-c".to_owned()],
            },
        ],
    };
    vec![
        Event::LeadershipTaken {
            cell: CellName::from("local"),
            version: "0.1.0".to_owned(),
        },
        Event::CellTakenDown {
            reason: "moving house".to_owned(),
        },
        Event::HostEnrolled {
            host: host(),
            name: "host-a".to_owned(),
        },
        Event::HostConnected { host: host() },
        Event::HostUnreachable { host: host() },
        Event::HostAhead {
            host: host(),
            highest: Fence { epoch: 7, seq: 120 },
        },
        Event::HostTaken {
            host: host(),
            highest: Fence { epoch: 7, seq: 120 },
            reason: "the newer copy is lost".to_owned(),
        },
        Event::HostFollows { host: host() },
        Event::HostReported {
            host: host(),
            facts: facts(),
        },
        Event::OrphansSeen {
            host: host(),
            orphans: vec![Orphan {
                container: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
                attempt: None,
                task: String::new(),
                cell: "local".to_owned(),
                running: true,
            }],
        },
        Event::OrphansSeen {
            host: host(),
            orphans: Vec::new(),
        },
        Event::RepositoryTroubled {
            trouble: RepositoryTrouble::NoBranch {
                branch: "main".to_owned(),
            },
        },
        Event::RepositoryRecovered,
        Event::PlanMade {
            plan: Box::new(plan()),
        },
        Event::PlanApplied { plan: plan().id },
        Event::PlanHeld {
            plan: plan().id,
            reasons: vec![HoldReason::TooManyStops {
                stops: 8,
                before: 0,
                running: 10,
                limit_count: 5,
                limit_percent: 20,
                part: None,
            }],
        },
        Event::PlanHeld {
            plan: plan().id,
            reasons: vec![
                HoldReason::RepositoryInTrouble,
                HoldReason::HookFailed { task: task() },
                HoldReason::HookRuns {
                    job: JobId::from("migrate"),
                },
            ],
        },
        Event::HooksBegan {
            plan: plan().id,
            hook: Hook::BeforeSync,
            jobs: vec![JobId::from("check"), JobId::from("migrate")],
        },
        Event::HooksBegan {
            plan: plan().id,
            hook: Hook::AfterSync,
            jobs: vec![JobId::from("smoke")],
        },
        Event::VersionBegan {
            job: JobId::from("web"),
            version: 2,
        },
        Event::StopAnnounced {
            attempt: attempt(),
            reason: StopReason::Liveness {
                message: "503".to_owned(),
            },
            until: at("15:34:00"),
        },
        Event::StopWithdrawn { attempt: attempt() },
        Event::TaskCreated {
            task: task(),
            version: 2,
            run: 0,
        },
        Event::TaskCreated {
            task: task(),
            version: 2,
            run: 3,
        },
        queued(QueueReason::New, "15:04:00"),
        queued(
            QueueReason::Retry {
                message: "exited with 1".to_owned(),
            },
            "15:04:05",
        ),
        queued(
            QueueReason::CrashLoop {
                message: "exited with 1".to_owned(),
                failures: 4,
            },
            "15:04:05",
        ),
        queued(
            QueueReason::Stopped {
                reason: StopReason::Rollout { to_version: 4 },
            },
            "15:04:00",
        ),
        Event::TaskBlocked {
            task: task(),
            blocked,
        },
        Event::TaskBlocked {
            task: task(),
            blocked: Blocked::default(),
        },
        Event::AttemptPlaced {
            attempt: attempt(),
            task: task(),
            number: 3,
            host: host(),
            version: 2,
        },
        reported(Phase::Accepted),
        reported(Phase::Pulling { done: 0, total: 0 }),
        reported(Phase::Pulling {
            done: 12 << 20,
            total: 0,
        }),
        reported(Phase::Pulling {
            done: 12 << 20,
            total: 50_000_000,
        }),
        reported(Phase::Waiting {
            message: "the image could not be pulled: not found".to_owned(),
            until: "2026-11-24T00:00:01Z".parse().expect("a time"),
        }),
        reported(Phase::Creating),
        reported(Phase::Running),
        Event::AttemptReported {
            status: AttemptStatus {
                ready: Some(true),
                ..status(Phase::Running)
            },
        },
        Event::AttemptReported {
            status: AttemptStatus {
                ready: Some(false),
                probe_message: Some("HTTP 503".to_owned()),
                ..status(Phase::Running)
            },
        },
        Event::AttemptReported {
            status: AttemptStatus {
                ready: Some(true),
                live: Some(false),
                probe_message: Some("connection refused".to_owned()),
                ..status(Phase::Running)
            },
        },
        reported(Phase::Ended(ended)),
        Event::StopOrdered {
            order: order(StopReason::Rollout { to_version: 4 }, Some(plan().id)),
        },
        Event::StopOrdered {
            order: order(
                StopReason::Liveness {
                    message: "HTTP 500".to_owned(),
                },
                None,
            ),
        },
        Event::AttemptReported {
            status: AttemptStatus {
                ready: Some(true),
                drift: vec![
                    FieldDrift {
                        field: DriftField::Memory,
                        wanted: "128 MiB".to_owned(),
                        found: "256 MiB".to_owned(),
                        stuck: None,
                    },
                    FieldDrift {
                        field: DriftField::Pids,
                        wanted: "512".to_owned(),
                        found: "16".to_owned(),
                        stuck: Some("the engine refuses".to_owned()),
                    },
                ],
                ..status(Phase::Running)
            },
        },
        Event::PutBackOrdered {
            attempt: attempt(),
            fields: vec![DriftField::Memory, DriftField::Pids],
        },
        Event::PutBackOrdered {
            attempt: attempt(),
            fields: Vec::new(),
        },
        Event::StopOrdered {
            order: order(
                StopReason::Drift {
                    field: DriftField::Memory,
                    message: "it uses more".to_owned(),
                },
                None,
            ),
        },
        Event::JobScaled {
            job: JobId::from("web"),
            desired: 5,
            reason: "the sale begins".to_owned(),
            until: Some(at("16:04:00")),
        },
        Event::JobScaled {
            job: JobId::from("web"),
            desired: 1,
            reason: "load".to_owned(),
            until: None,
        },
        resize_ended(ResizeEnd::Expired),
        resize_ended(ResizeEnd::SelfHealed),
        resize_ended(ResizeEnd::TakenBack),
        finished(Outcome::Succeeded, FinishReason::Done),
        finished(
            Outcome::Failed,
            FinishReason::RetriesExhausted {
                retries: 3,
                message: "exited with 1".to_owned(),
            },
        ),
        finished(
            Outcome::Failed,
            FinishReason::RetriesExhausted {
                retries: 0,
                message: "exited with 1".to_owned(),
            },
        ),
        finished(
            Outcome::Failed,
            FinishReason::RuntimeLimit {
                limit: Millis::secs(90),
            },
        ),
        finished(
            Outcome::Stopped,
            FinishReason::Stopped {
                reason: StopReason::Prune,
            },
        ),
        finished(
            Outcome::Stopped,
            FinishReason::NotNeeded {
                reason: StopReason::ScaleIn,
            },
        ),
        Event::AttemptRetired { attempt: attempt() },
        Event::AttemptForgotten { attempt: attempt() },
        Event::TaskForgotten { task: task() },
        Event::JobForgotten {
            job: JobId::from("web"),
        },
    ]
}

fn record(event: Event) -> Record {
    Record {
        seq: 7,
        at: at("15:04:00"),
        epoch: 2,
        actor: Actor::Person("admin".to_owned()),
        event,
    }
}

#[test]
fn every_event_has_its_sentence() {
    let mut text = String::new();
    for event in every_event() {
        let record = record(event);
        let kind = subjects(&record).kind;
        let sentence = sentence(&record, &|_| Some("host-a".to_owned()));
        writeln!(text, "{kind}: {sentence}").expect("a String takes all text");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn kinds_are_the_words_of_the_events_json() {
    for event in every_event() {
        let json = serde_json::to_value(&event).expect("JSON");
        assert_eq!(json["event"], subjects(&record(event)).kind);
    }
}

#[test]
fn the_fleet_names_the_task_of_an_attempt() {
    let mut fleet = Fleet::default();
    let place = Record {
        seq: 1,
        ..record(Event::AttemptPlaced {
            attempt: attempt(),
            task: task(),
            number: 1,
            host: host(),
            version: 1,
        })
    };
    fleet.apply(&place);
    let report = record(Event::AttemptReported {
        status: status(Phase::Accepted),
    });
    assert_eq!(subjects(&report).task, None);
    let subjects = subjects_in(&fleet, &report);
    assert_eq!(subjects.task.as_deref(), Some("web.0"));
    assert_eq!(subjects.job.as_deref(), Some("web"));
    assert_eq!(subjects.host, Some(host().to_string()));
}

#[test]
fn every_refusal_has_its_sentence() {
    let refusals = [
        HostRefusal::Unreachable,
        HostRefusal::NotReady {
            message: "the engine does not answer".to_owned(),
        },
        HostRefusal::TooLittle {
            resource: ResourceKind::Cpu,
            free: 250,
            needed: 2000,
        },
        HostRefusal::TooLittle {
            resource: ResourceKind::Disk,
            free: 1_600_000_000,
            needed: 2 << 30,
        },
        HostRefusal::TooLittle {
            resource: ResourceKind::Network,
            free: 0,
            needed: 100,
        },
        HostRefusal::TooLittle {
            resource: ResourceKind::Gpu,
            free: 0,
            needed: 1,
        },
        HostRefusal::TooLittle {
            resource: ResourceKind::Containers,
            free: 0,
            needed: 1,
        },
        HostRefusal::PortTaken { port: 8080 },
        HostRefusal::NotUnique,
        HostRefusal::NotExclusive,
        HostRefusal::TakenExclusively {
            job: JobId::from("db"),
        },
        HostRefusal::ZoneUnbalanced {
            zone: "z1".to_owned(),
        },
        HostRefusal::WrongZone {
            zone: "z2".to_owned(),
        },
        HostRefusal::WrongHost,
        HostRefusal::LabelMissing {
            label: "disk=ssd".to_owned(),
        },
        HostRefusal::KeptFor { task: task() },
        HostRefusal::Busy { launching: 1 },
    ];
    let lines: Vec<String> = refusals.iter().map(reasons::refusal).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_stop_that_waits_says_for_what() {
    let until = Some(at("15:34:00"));
    let interval = Millis::secs(600);
    let freeze = WithholdReason::Frozen {
        scope: FreezeScope::Cell,
        by: "ann".to_owned(),
        reason: "we look".to_owned(),
    };
    let reason = "we move the registry".to_owned();
    let part = LimitScope::App {
        app: "shop".to_owned(),
    };
    let refusals = [
        StopRefusal::Frozen { freeze },
        StopRefusal::FrozenByPolicy { reason },
        StopRefusal::BudgetSpent {
            per_minute: 20,
            until,
        },
        StopRefusal::PartBudgetSpent {
            part,
            per_minute: 1,
        },
        StopRefusal::TooFewHealthy {
            healthy: 1,
            floor: 3,
        },
        StopRefusal::RateSpent {
            allowed: 2,
            interval,
            until: at("15:34:00"),
        },
        StopRefusal::OutOfWindows { until },
        StopRefusal::OutOfWindows { until: None },
        StopRefusal::TakenTooOften { limit: 2 },
        StopRefusal::OwnerNotAsked {
            relocation_time: interval,
        },
        StopRefusal::OwnerAsked {
            until: at("15:34:00"),
        },
    ];
    let now = at("15:04:00");
    let lines: Vec<String> = refusals
        .iter()
        .map(|refusal| reasons::stop_refusal(refusal, now))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_job_that_does_not_stand_says_why() {
    let waits = [
        NotStanding::Missing,
        NotStanding::Refused,
        NotStanding::KeptBack,
        NotStanding::Removed,
        NotStanding::Waits,
        NotStanding::Unsettled {
            settled: 1,
            desired: 3,
            outdated: 2,
        },
        NotStanding::Unfinished {
            succeeded: 0,
            size: 1,
        },
        NotStanding::Failed { failed: 2, size: 5 },
    ]
    .map(|why| WaitsFor {
        job: JobId::from("db"),
        why,
    });
    insta::assert_snapshot!(reasons::waits_for(&waits).replace("; ", "\n"));
}

#[test]
fn many_names_are_cut() {
    let names = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(reasons::join_names(&names, 40), "a, b, c, d, e and 35 more");
    assert_eq!(reasons::join_names(&["a", "b"], 2), "a, b");
}
