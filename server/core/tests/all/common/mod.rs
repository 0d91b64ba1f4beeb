//! A small world for tests of decisions: a fleet, a clock, and hosts whose containers do as they are told.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod budgets;
pub mod laws;

use jiff::{SignedDuration, Timestamp};
use muster_core::assign::assignments;
use muster_core::decide::{Answer, Command, Draft, Input, Refusal, follow, take};
use muster_core::fleet::{Fleet, Task};
use muster_core::plan::{PlanInput, images_to_resolve};
use muster_core::specs::{Documents, Located};
use muster_schemas::drift::FieldDrift;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{AttemptId, CellName, CommitId, HostId, JobId, TaskId};
use muster_schemas::plan::{Diagnostic, DocumentRef, Revision};
use muster_schemas::spec::{
    Analysis, Batch, Bytes, Canary, CanaryStep, Capacity, CpuMillis, ImmediateRetry, JobSpec, Mbps,
    Millis, PolicySpec, RedBlack, RetryPolicy, Rollout, Service, Spec,
};
use muster_schemas::state::{
    Actor, AttemptStatus, Ended, HostFacts, HostResources, Outcome, Phase, TaskState,
};
use muster_schemas::wire::{Assignment, Fence, Report};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::FileFailurePersistence;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Whether fewer random inputs than usual are asked for, as right after an edit: then whatever takes long is made smaller, too.
pub fn is_quick() -> bool {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked
        .and_then(|cases| cases.parse().ok())
        .is_some_and(|cases: u32| cases < 10)
}

/// So many random inputs in a usual run; `PROPTEST_CASES=5000` looks further. One that failed once is kept in `regressions`, beside
/// the test, and tried first.
pub fn settings(cases: u32, regressions: &'static str) -> ProptestConfig {
    let asked_for = ProptestConfig::default().cases;
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(cases, |_| asked_for),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..ProptestConfig::default()
    }
}

/// Something is decided anew after this time at the latest. A cell does it once a second, due or not; a world that is `restless`,
/// too.
const TICK: SignedDuration = SignedDuration::from_secs(5);

pub struct World {
    pub fleet: Fleet,
    /// The fold of the journal, which has to be the fleet.
    folded: Fleet,
    /// Whether it decides once a second, due or not, and agents repeat what they have said: slower, and what only comes about so is seen.
    pub restless: bool,
    /// When something was last decided.
    decided: Timestamp,
    /// What each connected host's agent last told.
    told: BTreeMap<HostId, Told>,
    pub now: Timestamp,
    pub journal: Vec<Record>,
    ids: u128,
    commits: u32,
    sequence: u64,
    /// Attempts with a container that runs.
    pub running: BTreeMap<AttemptId, HostId>,
    /// Attempts whose container was ever started.
    pub started: BTreeSet<AttemptId>,
    started_at: BTreeMap<AttemptId, Timestamp>,
    /// Containers of these jobs never become ready.
    pub sick: BTreeSet<String>,
    /// The liveness probes of these containers fail.
    pub condemned: BTreeSet<AttemptId>,
    /// What somebody changed on running containers; what is put back goes from here, unless it is stuck.
    pub drift: BTreeMap<AttemptId, Vec<FieldDrift>>,
    /// When the last input said that it has to be asked again.
    pub due: Option<Timestamp>,
    /// What the last commit was planned from.
    pub last_input: Option<PlanInput>,
}

pub fn service(name: &str, desired: u32) -> JobSpec {
    JobSpec {
        service: Some(Service {
            capacity: Capacity {
                min: 0,
                desired,
                max: Capacity::LIMIT,
            },
            retry: RetryPolicy::default(),
            rollout: Rollout {
                max_surge: 1,
                max_unavailable: 0,
                min_healthy_time: Millis::secs(5),
                ..Rollout::default()
            },
        }),
        batch: None,
        ..job(name)
    }
}

pub fn with_image(mut spec: JobSpec, image: &str) -> JobSpec {
    spec.image = image.to_owned();
    spec
}

pub fn batch(name: &str, size: u32, retries: u32) -> JobSpec {
    JobSpec {
        service: None,
        batch: Some(Batch {
            size,
            run: None,
            hook: None,
            runtime_limit: Millis::secs(3600),
            retry_on_runtime_limit: false,
            retry: RetryPolicy::Immediate(ImmediateRetry {
                retries: Some(retries),
            }),
        }),
        ..job(name)
    }
}

/// A job of a random world: `nightly` is a batch, every other name a service. A rollout can always go on.
pub fn random_job(name: &str, size: u32, image: u32, surge: u32, unavailable: u32) -> JobSpec {
    let mut spec = if name == "nightly" {
        let mut spec = batch(name, size, 1);
        if let Some(batch) = &mut spec.batch {
            batch.runtime_limit = Millis::secs(40);
            batch.run = Some(image.to_string());
        }
        spec
    } else {
        let mut spec = service(name, size);
        if let Some(service) = &mut spec.service {
            service.rollout.max_surge = surge;
            service.rollout.max_unavailable = if surge == 0 { 1 } else { unavailable };
            // By name, so that a job keeps to its way: `api` is red/black, `shop` a canary, the others roll.
            service.rollout.red_black = (name == "api").then(|| RedBlack {
                keep_old: Millis::secs(10),
            });
            service.rollout.canary = (name == "shop").then(some_canary);
        }
        spec
    };
    spec.image = format!("registry.example.com/app:{image}");
    spec
}

fn some_canary() -> Canary {
    let pause = Millis::secs(3);
    let one = CanaryStep {
        tasks: Some(1),
        percent: None,
        pause,
    };
    let half = CanaryStep {
        tasks: None,
        percent: Some(50),
        pause,
    };
    Canary {
        steps: vec![one, half],
        analysis: Analysis {
            interval: Millis::secs(5),
            ..Analysis::default()
        },
    }
}

fn job(name: &str) -> JobSpec {
    serde_json::from_value(serde_json::json!({
        "name": name, "owner": "team@example.com", "image": "registry.example.com/app:1",
        "service": { "capacity": { "desired": 1 } }
    }))
    .expect("a minimal job")
}

/// What an agent told in a complete report.
struct Told {
    statuses: Vec<AttemptStatus>,
    /// What it was to remove, and so is not in the report.
    removed: Vec<AttemptId>,
}

impl Told {
    /// Whether the other says the same: what says the same again is numbered anew.
    fn says(&self, other: &Self) -> bool {
        let unnumbered = |status: &AttemptStatus| AttemptStatus {
            sequence: 0,
            ..status.clone()
        };
        let (one, other_ones) = (self.statuses.iter(), other.statuses.iter());
        one.map(unnumbered).eq(other_ones.map(unnumbered)) && self.removed == other.removed
    }
}

impl World {
    /// A cell with so many hosts of 8 CPUs, 16 GiB, in zones a, b, c in turn.
    pub fn new(hosts: u32) -> Self {
        let mut world = Self {
            fleet: Fleet::default(),
            folded: Fleet::default(),
            restless: false,
            decided: Timestamp::UNIX_EPOCH,
            told: BTreeMap::new(),
            now: "2026-11-23T12:00:00Z".parse().expect("a time"),
            journal: Vec::new(),
            ids: 0,
            commits: 0,
            sequence: 0,
            running: BTreeMap::new(),
            started: BTreeSet::new(),
            started_at: BTreeMap::new(),
            sick: BTreeSet::new(),
            condemned: BTreeSet::new(),
            drift: BTreeMap::new(),
            due: None,
            last_input: None,
        };
        world
            .give(Input::Lead {
                cell: CellName::from("test"),
                version: "0.1.0".to_owned(),
            })
            .expect("a leader");
        for _ in 0..hosts {
            world.add_host();
        }
        world
    }

    /// Adds a host like the others.
    pub fn add_host(&mut self) {
        let number = self.fleet.hosts.len();
        let name = format!("host-{number}");
        let Ok(Answer::Enrolled(host)) = self.give(Input::Enrol { name: name.clone() }) else {
            panic!("a host enrols")
        };
        let facts = facts(&name, ["a", "b", "c"][number % 3]);
        self.give(Input::Connected {
            host,
            facts: Box::new(facts),
        })
        .expect("a known host");
    }

    /// Gives an input and lets everything follow.
    pub fn give(&mut self, input: Input) -> Result<Answer, Refusal> {
        if let Input::Connected { host, .. } = &input {
            self.told.remove(host);
        }
        let epoch = match input {
            Input::Lead { .. } => self.fleet.epoch + 1,
            _ => self.fleet.epoch,
        };
        self.decide(epoch, |draft| take(draft, input))
    }

    /// Lets everything follow from the time alone.
    pub fn tick(&mut self) {
        self.decide(self.fleet.epoch, |_| ());
    }

    fn decide<T>(&mut self, epoch: u64, what: impl FnOnce(&mut Draft<'_>) -> T) -> T {
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            Uuid::from_u128(*ids)
        };
        let mut draft = Draft::new(&mut self.fleet, self.now, epoch, &mut new_id);
        let answer = what(&mut draft);
        self.due = settle(&mut draft);
        self.decided = self.now;
        let records = draft.into_records();
        for record in &records {
            // What the journal gives back is what was said.
            let text = serde_json::to_string(record).expect("a record is JSON");
            let read: Record = serde_json::from_str(&text).expect("a record reads back");
            assert_eq!(&read, record);
            self.folded.apply(&read);
        }
        assert_eq!(
            self.folded, self.fleet,
            "the fleet is the fold of its journal"
        );
        let attempts = self.fleet.attempts.values();
        let running = attempts.filter(|attempt| attempt.is_running()).count();
        assert_eq!(self.fleet.running_tasks() as usize, running);
        self.journal.extend(records);
        answer
    }

    pub fn commit(&mut self, specs: Vec<JobSpec>, policy: Option<PolicySpec>) {
        self.commit_with(specs, policy, Vec::new());
    }

    pub fn commit_with(
        &mut self,
        specs: Vec<JobSpec>,
        policy: Option<PolicySpec>,
        diagnostics: Vec<Diagnostic>,
    ) {
        self.commits += 1;
        let input = self.reading(self.commits, specs, policy, diagnostics);
        self.read(input);
    }

    /// What the control plane reads of the commit of this number.
    pub fn reading(
        &self,
        number: u32,
        specs: Vec<JobSpec>,
        policy: Option<PolicySpec>,
        diagnostics: Vec<Diagnostic>,
    ) -> PlanInput {
        let mut documents = Documents {
            diagnostics,
            ..Documents::default()
        };
        for spec in specs {
            let path = format!("jobs/{}.yaml", spec.name);
            documents.specs.push(Located {
                spec: Spec::Job(std::sync::Arc::new(spec)),
                source: at(&path),
            });
        }
        if let Some(policy) = policy {
            documents.specs.push(Located {
                spec: Spec::Policy(Box::new(policy)),
                source: at("policy.yaml"),
            });
        }
        let revision = Revision {
            commit: CommitId(format!("{number:040x}")),
            author: "Ann <ann@example.com>".to_owned(),
            subject: format!("commit {number}"),
            committed_at: self.now,
        };
        let images = images_to_resolve(&self.fleet, &documents)
            .into_iter()
            .map(|image| {
                let digest = format!(
                    "{}@sha256:{:064x}",
                    image.split(':').next().unwrap_or(&image),
                    image.len()
                );
                let digest =
                    digest.replace("sha256:0", &format!("sha256:{}", &image[image.len() - 1..]));
                (image, Ok(digest))
            })
            .collect();
        PlanInput {
            revision,
            documents,
            images,
            removed_by: Default::default(),
            signed: Default::default(),
        }
    }

    /// A revision is read.
    pub fn read(&mut self, input: PlanInput) {
        self.last_input = Some(input.clone());
        self.give(Input::Revision(Box::new(input)))
            .expect("a revision is always taken");
    }

    /// Every connected host does what it is told and reports it.
    pub fn agents(&mut self) {
        let hosts: Vec<HostId> = self
            .fleet
            .hosts
            .values()
            .filter(|host| host.connected)
            .map(|host| host.id)
            .collect();
        for host in hosts {
            let orders = assignments(&self.fleet, host);
            let (mut statuses, mut removed) = (Vec::new(), Vec::new());
            for order in orders.put_back {
                if let Some(drift) = self.drift.get_mut(&order.attempt) {
                    drift.retain(|drift| {
                        drift.stuck.is_some() || !order.fields.contains(&drift.field)
                    });
                }
            }
            for item in orders.items {
                let id = item.attempt();
                match item {
                    Assignment::Run(launch) => {
                        if self.started.insert(id) {
                            self.running.insert(id, host);
                        }
                        if self.running.contains_key(&id) {
                            let ready = !self.sick.contains(launch.job.as_str());
                            let mut status = self.status(id, Phase::Running, Some(ready));
                            status.live = self.condemned.contains(&id).then_some(false);
                            status.drift = self.drift.get(&id).cloned().unwrap_or_default();
                            statuses.push(status);
                        }
                    }
                    Assignment::Stop { .. } => {
                        self.running.remove(&id);
                        let ended = self.ended(Outcome::Stopped, Some(143));
                        statuses.push(self.status(id, Phase::Ended(ended), None));
                    }
                    Assignment::Remove { .. } => removed.push(id),
                    Assignment::Keep { .. } => {}
                }
            }
            let told = Told { statuses, removed };
            let last = self.told.get(&host).filter(|_| !self.restless);
            if last.is_some_and(|last| last.says(&told)) {
                continue;
            }
            let statuses = told.statuses.clone();
            self.told.insert(host, told);
            let report = Report {
                complete: true,
                fence: Fence::default(),
                attempts: statuses,
                orphans: Vec::new(),
            };
            self.give(Input::Report {
                host,
                report: Box::new(report),
            })
            .expect("a known host");
        }
    }

    /// Every host's agent connects.
    pub fn connect(&mut self) {
        let hosts: Vec<_> = self
            .fleet
            .hosts
            .values()
            .map(|host| (host.id, host.facts.clone().expect("it has told them")))
            .collect();
        for (host, facts) in hosts {
            let facts = Box::new(facts);
            self.give(Input::Connected { host, facts })
                .expect("a known host");
        }
    }

    pub fn ended(&self, outcome: Outcome, exit_code: Option<i32>) -> Ended {
        Ended {
            outcome,
            exit_code,
            signal: None,
            oom: false,
            at: self.now,
            message: format!("exited with {exit_code:?}"),
            system_error: false,
        }
    }

    pub fn status(
        &mut self,
        attempt: AttemptId,
        phase: Phase,
        ready: Option<bool>,
    ) -> AttemptStatus {
        self.sequence += 1;
        let started_at = *self.started_at.entry(attempt).or_insert(self.now);
        AttemptStatus {
            attempt,
            sequence: self.sequence,
            phase,
            container: None,
            ip: None,
            started_at: Some(started_at),
            ready,
            live: None,
            probe_message: None,
            hardening: None,
            drift: Vec::new(),
        }
    }

    /// A task's container exits by itself.
    pub fn exit(&mut self, task: &str, code: i32) {
        let id: TaskId = task.parse().expect("a task id");
        let attempt = self
            .fleet
            .current_attempt(self.task(&id))
            .expect("an attempt")
            .clone();
        self.running.remove(&attempt.id);
        let outcome = if code == 0 {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        };
        let ended = self.ended(outcome, Some(code));
        let status = self.status(attempt.id, Phase::Ended(ended), None);
        self.report(attempt.host, status);
    }

    /// The liveness probe of a task's container fails from here on.
    pub fn condemn(&mut self, task: &str) {
        let id: TaskId = task.parse().expect("a task id");
        let attempt = self
            .fleet
            .current_attempt(self.task(&id))
            .expect("an attempt")
            .id;
        self.condemned.insert(attempt);
        self.agents();
    }

    pub fn report(&mut self, host: HostId, status: AttemptStatus) {
        // The next complete report may say something else again.
        self.told.remove(&host);
        let report = Report {
            complete: false,
            fence: Fence::default(),
            attempts: vec![status],
            orphans: Vec::new(),
        };
        self.give(Input::Report {
            host,
            report: Box::new(report),
        })
        .expect("a known host");
    }

    pub fn task(&self, id: &TaskId) -> &Task {
        self.fleet.task(id).unwrap_or_else(|| panic!("task {id}"))
    }

    /// So many seconds pass, one by one, with the agents at work: as in a cell, something is decided when it is due, and agents tell
    /// what has changed.
    pub fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now += SignedDuration::from_secs(1);
            let is_due = self.due.is_some_and(|due| due <= self.now);
            if is_due || self.restless || self.now.duration_since(self.decided) >= TICK {
                self.tick();
            }
            self.agents();
        }
    }

    /// `web.0 running, web.1 queued, …` of the job's tasks that are not finished.
    pub fn living(&self, job: &str) -> Vec<(u32, TaskState)> {
        self.fleet
            .jobs
            .get(&JobId::from(job))
            .map_or(Vec::new(), |job| {
                job.tasks
                    .values()
                    .map(|task| (task.id.index, self.fleet.task_state(task)))
                    .filter(|(_, state)| *state != TaskState::Finished)
                    .collect()
            })
    }

    pub fn healthy(&self, job: &str) -> usize {
        self.fleet.jobs.get(&JobId::from(job)).map_or(0, |job| {
            job.tasks
                .values()
                .filter(|task| self.fleet.is_healthy(task))
                .count()
        })
    }

    pub fn events<'a, T>(&'a self, pick: impl Fn(&'a Event) -> Option<T>) -> Vec<T> {
        self.journal
            .iter()
            .filter_map(|record| pick(&record.event))
            .collect()
    }

    pub fn stops(&self) -> usize {
        self.events(|event| matches!(event, Event::StopOrdered { .. }).then_some(()))
            .len()
    }

    pub fn command(&mut self, command: Command) -> Result<Answer, Refusal> {
        self.command_by("ann", command)
    }

    pub fn command_by(&mut self, name: &str, command: Command) -> Result<Answer, Refusal> {
        self.give(Input::Command {
            actor: Actor::Person(name.to_owned()),
            command,
        })
    }
}

fn settle(draft: &mut Draft<'_>) -> Option<Timestamp> {
    for _ in 0..50 {
        let before = draft.fleet.seq;
        let due = follow(draft);
        if draft.fleet.seq == before {
            return due;
        }
    }
    panic!("decisions do not come to rest");
}

fn at(path: &str) -> DocumentRef {
    DocumentRef {
        path: path.to_owned(),
        document: 0,
        line: 1,
    }
}

pub fn facts(name: &str, zone: &str) -> HostFacts {
    HostFacts {
        name: name.to_owned(),
        address: "127.0.0.1".to_owned(),
        zone: zone.to_owned(),
        labels: BTreeMap::new(),
        resources: HostResources {
            cpu: CpuMillis(8000),
            memory: Bytes(16 << 30),
            disk: Bytes(100 << 30),
            network: Mbps(1000),
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
