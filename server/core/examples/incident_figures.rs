//! How long the core takes for what a bad day brings: `cargo run --release -p muster-core --example incident_figures -- [JOBS]`.
//!
//! Services of ten tasks run on as many hosts as they need; then one commit changes the image of all of them, which is far more
//! than the stop budget allows. What is timed is what the control plane does between two events while that is so.

use jiff::{SignedDuration, Timestamp};
use muster_core::assign::assignments;
use muster_core::decide::{Answer, Draft, Input, follow, take};
use muster_core::fleet::Fleet;
use muster_core::plan::PlanInput;
use muster_core::specs::{Documents, Located};
use muster_schemas::ids::{CellName, CommitId, HostId};
use muster_schemas::plan::{DocumentRef, Revision};
use muster_schemas::spec::{Bytes, CpuMillis, Mbps, PolicySpec, Spec};
use muster_schemas::state::{AttemptStatus, HostFacts, HostResources, Phase};
use muster_schemas::wire::{Assignment, Fence, Report};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const TASKS: u32 = 10;
/// So many passes are timed.
const ROUNDS: u32 = 20;

struct Cell {
    fleet: Fleet,
    now: Timestamp,
    ids: u128,
    sequence: u64,
}

impl Cell {
    /// Takes an input and lets everything follow, as the control loop does. Says how long that took and how many events came of it.
    fn give(&mut self, input: Option<Input>) -> (Duration, usize, Option<Answer>) {
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            Uuid::from_u128(*ids)
        };
        let began = Instant::now();
        let mut draft = Draft::new(&mut self.fleet, self.now, 1, &mut new_id);
        let answer = input.map(|input| take(&mut draft, input).expect("it is taken"));
        loop {
            let before = draft.fleet.seq;
            follow(&mut draft);
            if draft.fleet.seq == before {
                break;
            }
        }
        let records = draft.into_records().len();
        (began.elapsed(), records, answer)
    }

    fn commit(&mut self, number: u64, jobs: u32, image: u32) -> (Duration, usize) {
        let mut documents = Documents::default();
        for job in 0..jobs {
            let spec = serde_json::json!({
                "name": format!("web-{job}"), "app": format!("app-{}", job % 100), "owner": "team@example.com",
                "image": format!("registry.example.com/web@sha256:{image:064x}"),
                "resources": { "cpu": 0.5, "memory": "256MiB" },
                "service": { "capacity": { "desired": TASKS } }
            });
            let spec = serde_json::from_value(spec).expect("a job");
            documents.specs.push(located(
                Spec::Job(Arc::new(spec)),
                &format!("jobs/web-{job}.yaml"),
            ));
        }
        // So large a change goes ahead by itself only where the policy lets it.
        let mut policy = PolicySpec::built_in();
        policy.limits.stops_per_plan.percent = 100;
        documents
            .specs
            .push(located(Spec::Policy(Box::new(policy)), "policy.yaml"));
        let images = documents
            .specs
            .iter()
            .filter_map(|located| match &located.spec {
                Spec::Job(job) => Some((job.image.clone(), Ok(job.image.clone()))),
                Spec::Policy(_) => None,
            })
            .collect();
        let (took, events, _) = self.give(Some(Input::Revision(Box::new(PlanInput {
            revision: Revision {
                commit: CommitId(format!("{number:040x}")),
                author: "Figures <figures@example.com>".to_owned(),
                subject: "figures".to_owned(),
                committed_at: self.now,
            },
            documents,
            images,
            removed_by: BTreeMap::new(),
            signed: Default::default(),
        }))));
        (took, events)
    }

    /// All hosts do what they are told and report it. Says how long one report takes at most.
    fn agents(&mut self) -> Duration {
        let hosts: Vec<HostId> = self.fleet.hosts.keys().copied().collect();
        let mut longest = Duration::ZERO;
        for host in hosts {
            let orders = assignments(&self.fleet, host);
            let attempts = orders
                .items
                .into_iter()
                .filter(|item| matches!(item, Assignment::Run(_)))
                .map(|item| self.running(item))
                .collect();
            let report = Box::new(Report {
                complete: true,
                fence: Fence::default(),
                attempts,
                orphans: Vec::new(),
            });
            let (took, _, _) = self.give(Some(Input::Report { host, report }));
            longest = longest.max(took);
        }
        longest
    }

    fn running(&mut self, item: Assignment) -> AttemptStatus {
        self.sequence += 1;
        AttemptStatus {
            attempt: item.attempt(),
            sequence: self.sequence,
            phase: Phase::Running,
            container: None,
            ip: None,
            started_at: Some(self.now),
            ready: Some(true),
            live: None,
            probe_message: None,
            hardening: None,
            drift: Vec::new(),
        }
    }

    fn pass(&mut self, seconds: i64) -> (Duration, usize) {
        self.now += SignedDuration::from_secs(seconds);
        let (took, events, _) = self.give(None);
        (took, events)
    }
}

fn located(spec: Spec, path: &str) -> Located<Spec> {
    let source = DocumentRef {
        path: path.to_owned(),
        document: 0,
        line: 1,
    };
    Located { spec, source }
}

fn facts(number: u32) -> HostFacts {
    HostFacts {
        name: format!("host-{number}"),
        address: "127.0.0.1".to_owned(),
        zone: ["a", "b", "c"][number as usize % 3].to_owned(),
        labels: BTreeMap::new(),
        resources: HostResources {
            cpu: CpuMillis(64_000),
            memory: Bytes(256 << 30),
            disk: Bytes(1 << 40),
            network: Mbps(10_000),
            gpu: 0,
            containers: 120,
        },
        engine: "docker".to_owned(),
        system: "linux".to_owned(),
        agent_version: "0.1.0".to_owned(),
        warnings: Vec::new(),
        not_ready: None,
    }
}

fn main() {
    let jobs: u32 = std::env::args()
        .nth(1)
        .map_or(300, |jobs| jobs.parse().expect("a number of jobs"));
    let mut cell = Cell {
        fleet: Fleet::default(),
        now: "2026-01-01T00:00:00Z".parse().expect("a time"),
        ids: 0,
        sequence: 0,
    };
    let (cell_name, version) = (CellName::from("figures"), "0".to_owned());
    cell.give(Some(Input::Lead {
        cell: cell_name,
        version,
    }));
    let hosts = (jobs * TASKS).div_ceil(60);
    for number in 0..hosts {
        let facts = facts(number);
        let name = facts.name.clone();
        let (_, _, answer) = cell.give(Some(Input::Enrol { name }));
        let Some(Answer::Enrolled(host)) = answer else {
            panic!("a host enrols");
        };
        let facts = Box::new(facts);
        cell.give(Some(Input::Connected { host, facts }));
    }
    let (took, events) = cell.commit(1, jobs, 1);
    println!("{jobs} services of {TASKS} tasks on {hosts} hosts");
    println!("commit that creates all of them: {took:.1?}, {events} events");
    while cell.fleet.running_tasks() < jobs * TASKS {
        let (took, events) = cell.pass(1);
        let report = cell.agents();
        println!("  second: {took:.1?}, {events} events; report {report:.1?} at most");
    }
    cell.pass(60);
    let quiet = (0..ROUNDS).map(|_| cell.pass(1).0).max();
    println!("pass at rest: {:.1?} at most", quiet.unwrap_or_default());
    let (took, events) = cell.commit(2, jobs, 2);
    println!("commit that changes the image of all: {took:.1?}, {events} events");
    let mut longest = (Duration::ZERO, 0);
    let mut report = Duration::ZERO;
    for _ in 0..ROUNDS {
        longest = longest.max(cell.pass(1));
        report = report.max(cell.agents());
    }
    println!(
        "pass while all roll: {:.1?} at most ({} events)",
        longest.0, longest.1
    );
    println!("report while all roll: {report:.1?} at most");
}
