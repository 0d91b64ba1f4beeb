//! A run: hosts, a repository, a network, and faults from a seed.

use crate::Mutant;
use crate::control::{Control, Crash};
use crate::host::{Container, Host, ended};
use crate::invariants::Watch;
use crate::rng::Rng;
use jiff::{SignedDuration, Timestamp};
use muster_core::decide::{Answer, Input};
use muster_core::plan::{PlanInput, images_to_resolve};
use muster_core::specs::{Documents, Located};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::{AttemptId, CommitId, HostId};
use muster_schemas::plan::{Diagnostic, DocumentRef, Revision};
use muster_schemas::spec::{Bytes, CpuMillis, JobKind, JobSpec, Mbps, PolicySpec, Spec};
use muster_schemas::state::{HostFacts, HostResources, Outcome as End};
use muster_schemas::wire::Assignments;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The seed.
    pub seed: u64,
    /// Hosts.
    pub hosts: u32,
    /// Steps with faults.
    pub steps: u32,
    /// A deliberate fault of the system.
    pub mutant: Option<Mutant>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Records in the journal.
    pub records: usize,
    /// A digest of the journal: equal for equal seeds.
    pub trace: u64,
    /// What happened that must not; none if all is well.
    pub violation: Option<String>,
}

/// Ids of strays begin here, far from all that the control plane gives.
const STRAYS: u128 = 1 << 100;

const NAMES: [&str; 5] = ["api", "batch", "cron", "shop", "web"];

/// So many messages are on their way at most; the oldest of them are minutes late.
const IN_FLIGHT: usize = 200;

struct World {
    rng: Rng,
    now: Timestamp,
    control: Control,
    hosts: Vec<Host>,
    watch: Watch,
    repository: BTreeMap<String, JobSpec>,
    prune: bool,
    commits: u32,
    /// Assignments that are on their way, or were delivered and may come again.
    in_flight: Vec<Assignments>,
    strays: u128,
    faults: bool,
}

/// Runs one seed.
pub fn run(settings: Settings) -> Outcome {
    let mut world = World {
        rng: Rng::new(settings.seed),
        now: "2026-11-23T00:00:00Z".parse().expect("a time"),
        control: Control::new(settings.mutant),
        hosts: Vec::new(),
        watch: Watch::default(),
        repository: BTreeMap::new(),
        prune: false,
        commits: 0,
        in_flight: Vec::new(),
        strays: 0,
        faults: true,
    };
    let violation = world.play(settings).err();
    let mut trace = 0xcbf2_9ce4_8422_2325_u64;
    for record in &world.control.journal {
        for byte in serde_json::to_vec(record).expect("a record is JSON") {
            trace = (trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Outcome {
        records: world.control.journal.len(),
        trace,
        violation,
    }
}

impl World {
    fn play(&mut self, settings: Settings) -> Result<(), String> {
        self.control.start(self.now);
        for number in 0..settings.hosts {
            let name = format!("host-{number}");
            let (answers, _) = self.control.give(
                vec![Input::Enrol { name: name.clone() }],
                self.now,
                Crash::None,
            );
            let Some(Ok(Answer::Enrolled(id))) = answers.first() else {
                return Err("a host cannot enrol".to_owned());
            };
            self.hosts
                .push(Host::new(*id, facts(&name, number), settings.mutant));
        }
        for step in 0..settings.steps {
            self.chance()
                .map_err(|violation| format!("step {step}: {violation}"))?;
        }
        self.heal()
    }

    /// One step of the fault phase.
    fn chance(&mut self) -> Result<(), String> {
        let millis = i64::try_from(self.rng.below(3000)).unwrap_or(0);
        self.now += SignedDuration::from_millis(millis);
        match self.rng.below(100) {
            0..5 => self.change_repository(),
            5..12 => self.push(),
            12..15 => self.crash_control(),
            15..17 => self.crash_agent(),
            17..20 => self.cut_network(),
            20..26 => self.mend(),
            26..32 => self.end_a_container(),
            32..34 => self.remove_a_container(),
            34..36 => self.misread_repository(),
            36..37 => self.stand_still(),
            37..38 => self.leave_a_stray(),
            38..39 => self.lose_a_host(),
            39..60 => self.tick(),
            60..80 => self.deliver(),
            _ => self.report_one(),
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), String> {
        self.watch.look_at_journal(&self.control.journal)?;
        for index in 0..self.hosts.len() {
            let chance = &mut self.rng;
            let deeds = self.hosts[index].converge(self.now, || {
                // One container in twenty never gets ready while there are faults.
                let never = chance.percent(5);
                (!never).then(|| i64::try_from(chance.below(5)).unwrap_or(0))
            });
            let id = self.hosts[index].id;
            for deed in deeds {
                self.watch.look_at_deed(id, &deed)?;
            }
            self.watch.look_at_host(&self.hosts[index])?;
        }
        Ok(())
    }

    fn give(&mut self, inputs: Vec<Input>) {
        let crash = match self.rng.below(100) {
            0..2 if self.faults => Crash::BeforeWrite,
            2..4 if self.faults => Crash::AfterWrite,
            _ => Crash::None,
        };
        let (_, outgoing) = self.control.give(inputs, self.now, crash);
        self.in_flight.extend(outgoing);
        let surplus = self.in_flight.len().saturating_sub(IN_FLIGHT);
        self.in_flight.drain(..surplus);
    }

    fn tick(&mut self) {
        if self.control.fleet.is_none() {
            self.control.start(self.now);
        }
        self.give(Vec::new());
    }

    /// Some message arrives, perhaps late, perhaps again.
    fn deliver(&mut self) {
        let Some(index) = self.in_flight.len().checked_sub(1) else {
            return;
        };
        let late =
            usize::try_from(self.rng.below(u64::try_from(index + 1).unwrap_or(1))).unwrap_or(0);
        let chosen = if self.rng.percent(70) { index } else { late };
        let message = if self.rng.percent(20) {
            self.in_flight[chosen].clone()
        } else {
            self.in_flight.remove(chosen)
        };
        if let Some(host) = self
            .hosts
            .iter_mut()
            .find(|host| host.id == message.host && host.is_connected())
        {
            host.hear(message);
        }
    }

    fn report_one(&mut self) {
        let bound = u64::try_from(self.hosts.len()).unwrap_or(1);
        let index = usize::try_from(self.rng.below(bound)).unwrap_or(0);
        if !self.hosts[index].is_connected() {
            return;
        }
        self.report(index);
    }

    fn report(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let id = host.id;
        let mut report = host.report(self.now);
        if self.faults && self.rng.percent(10) {
            // A lying inventory: the engine had not listed everything.
            report.attempts.truncate(report.attempts.len() / 2);
        }
        let facts = host.facts.clone();
        let connect = Input::Connected {
            host: id,
            facts: Box::new(facts),
        };
        let again = self.rng.percent(10);
        let say = Input::Report {
            host: id,
            report: Box::new(report),
        };
        let inputs = if again {
            vec![connect, say.clone(), say]
        } else {
            vec![connect, say]
        };
        self.give(inputs);
    }

    fn change_repository(&mut self) {
        let Some(name) = self.rng.pick(&NAMES).copied() else {
            return;
        };
        if self.rng.percent(15) {
            self.repository.remove(name);
        } else if self.rng.percent(5) {
            self.prune = !self.prune;
        } else {
            let version = 1 + self.rng.below(3);
            // Now and then a job whose stops come close to the budget.
            let large = self.rng.percent(20);
            let size = 1 + self.rng.below(if large { 30 } else { 12 });
            let surge = if large { size } else { self.rng.below(3) };
            let unavailable = if surge == 0 { 1 } else { self.rng.below(2) };
            let work = if name == "batch" || name == "cron" {
                serde_json::json!({ "batch": { "size": size, "run": self.rng.below(3).to_string(),
                    "runtimeLimit": "60s", "retry": { "immediate": { "retries": 2 } } } })
            } else {
                let mut rollout = serde_json::json!({ "maxSurge": surge, "maxUnavailable": unavailable, "minHealthyTime": "3s" });
                match name {
                    "api" => rollout["redBlack"] = serde_json::json!({ "keepOld": "20s" }),
                    "shop" => {
                        rollout["canary"] = serde_json::json!({
                            "steps": [{ "tasks": 1, "pause": "5s" }, { "percent": 50, "pause": "5s" }],
                            "analysis": { "interval": "5s" },
                        });
                    }
                    _ => {}
                }
                serde_json::json!({ "service": { "capacity": { "desired": size }, "rollout": rollout } })
            };
            let mut work = work;
            // Where a task can stand in for another, the job spares one, or none.
            if surge > 0 && work.get("service").is_some() {
                work["disruptionBudget"] = serde_json::json!({ "unhealthyTasksLimit": size % 2 });
            }
            let mut spec = serde_json::json!({ "name": name, "owner": "team@example.com",
                "image": format!("registry.example.com/app:{version}"),
                "resources": { "cpu": 0.5 + (self.rng.below(3) as f64) / 2.0 } });
            if let (Some(spec), Some(work)) = (spec.as_object_mut(), work.as_object()) {
                spec.extend(work.clone());
            }
            let spec: JobSpec = serde_json::from_value(spec).expect("a valid job");
            self.repository.insert(name.to_owned(), spec);
        }
        self.push();
    }

    /// The repository is read as it is, with now and then a document that cannot be.
    fn push(&mut self) {
        let broken = if self.faults && self.rng.percent(10) {
            self.rng.pick(&NAMES).copied()
        } else {
            None
        };
        self.read_repository(broken);
    }

    fn read_repository(&mut self, broken: Option<&str>) {
        let Some(fleet) = &self.control.fleet else {
            return;
        };
        self.commits += 1;
        let mut documents = Documents::default();
        for (name, spec) in &self.repository {
            if broken == Some(name.as_str()) {
                documents.diagnostics.push(diagnostic(name));
            } else {
                documents.specs.push(Located {
                    spec: Spec::Job(std::sync::Arc::new(spec.clone())),
                    source: source(name),
                });
            }
        }
        let policy = PolicySpec {
            prune: self.prune,
            prune_grace: muster_schemas::spec::Millis(0),
            ..PolicySpec::named("default")
        };
        documents.specs.push(Located {
            spec: Spec::Policy(Box::new(policy)),
            source: source("policy"),
        });
        let images = images_to_resolve(fleet, &documents)
            .into_iter()
            .map(|image| {
                let tag = image.chars().last().unwrap_or('0');
                (
                    image,
                    Ok(format!(
                        "registry.example.com/app@sha256:{}",
                        tag.to_string().repeat(64)
                    )),
                )
            })
            .collect();
        let revision = Revision {
            commit: CommitId(format!("{:040x}", self.commits)),
            author: "Ann <ann@example.com>".to_owned(),
            subject: "change".to_owned(),
            committed_at: self.now,
        };
        self.give(vec![Input::Revision(Box::new(PlanInput {
            revision,
            documents,
            images,
            removed_by: Default::default(),
            signed: Default::default(),
        }))]);
    }

    /// The repository looks empty, or cannot be reached.
    fn misread_repository(&mut self) {
        if self.rng.percent(50) {
            self.give(vec![Input::Trouble(RepositoryTrouble::Unreachable {
                message: "timed out".to_owned(),
            })]);
        } else {
            let revision = Revision {
                commit: CommitId("e".repeat(40)),
                author: "nobody".to_owned(),
                subject: "empty".to_owned(),
                committed_at: self.now,
            };
            let input = PlanInput {
                revision,
                documents: Documents::default(),
                images: BTreeMap::new(),
                removed_by: Default::default(),
                signed: Default::default(),
            };
            self.give(vec![Input::Revision(Box::new(input))]);
        }
    }

    fn crash_control(&mut self) {
        self.control.stop();
    }

    fn crash_agent(&mut self) {
        let index = self.any_host();
        self.hosts[index].crash_agent();
    }

    fn cut_network(&mut self) {
        let index = self.any_host();
        self.hosts[index].network_up = false;
        let host = self.hosts[index].id;
        if self.rng.percent(50) {
            self.give(vec![Input::Silent { host }]);
        }
    }

    fn mend(&mut self) {
        let index = self.any_host();
        if self.hosts[index].is_lost {
            return;
        }
        self.hosts[index].agent_up = true;
        self.hosts[index].network_up = true;
        self.connect(index);
    }

    /// The agent connects: it says who it is and hears what it is to do.
    fn connect(&mut self, index: usize) {
        self.report(index);
        let id = self.hosts[index].id;
        if let Some(assignments) = self.control.assignments(id) {
            self.hosts[index].hear(assignments);
        }
    }

    fn end_a_container(&mut self) {
        let index = self.any_host();
        let now = self.now;
        let code = if self.rng.percent(60) { 0 } else { 1 };
        let running: Vec<AttemptId> = self.hosts[index]
            .containers
            .iter()
            .filter(|(_, container)| container.ended.is_none())
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = self.rng.pick(&running).copied() else {
            return;
        };
        if let Some(container) = self.hosts[index].containers.get_mut(&id) {
            let outcome = if code == 0 {
                End::Succeeded
            } else {
                End::Failed
            };
            container.ended = Some(ended(outcome, Some(code), now));
        }
    }

    /// Somebody removes a container behind the agent's back.
    fn remove_a_container(&mut self) {
        let index = self.any_host();
        let ids: Vec<AttemptId> = self.hosts[index].containers.keys().copied().collect();
        if let Some(id) = self.rng.pick(&ids) {
            self.hosts[index].containers.remove(id);
        }
    }

    /// Everything stands still for a while, as a suspended machine or a clock that is set does it.
    fn stand_still(&mut self) {
        let seconds = i64::try_from(self.rng.below(900)).unwrap_or(0);
        self.now += SignedDuration::from_secs(seconds);
    }

    /// A container with the cell's labels that the control plane knows nothing of: from a restored disk, or by hand.
    fn leave_a_stray(&mut self) {
        let index = self.any_host();
        let now = self.now;
        self.strays += 1;
        let stray = AttemptId(Uuid::from_u128(STRAYS + self.strays));
        let host = &mut self.hosts[index];
        let Some(like) = host.containers.values().next().cloned() else {
            return;
        };
        let mut launch = like.launch;
        launch.attempt = stray;
        // It is sold to nobody, and so takes nothing that was.
        launch.resources.cpu = CpuMillis(0);
        let container = Container {
            launch,
            started_at: now,
            ended: None,
            ready_at: None,
        };
        host.containers.insert(stray, container);
    }

    /// A machine dies for good, at most one in a run: its tasks are not replaced, since nobody says that they are gone.
    fn lose_a_host(&mut self) {
        if self.hosts.iter().any(|host| host.is_lost) || !self.rng.percent(10) {
            return;
        }
        let index = self.any_host();
        self.hosts[index].is_lost = true;
        self.hosts[index].crash_agent();
        let host = self.hosts[index].id;
        self.give(vec![Input::Silent { host }]);
    }

    fn any_host(&mut self) -> usize {
        let bound = u64::try_from(self.hosts.len()).unwrap_or(1);
        usize::try_from(self.rng.below(bound)).unwrap_or(0)
    }

    /// All faults end. What can be scheduled has to run within the hour, and batch tasks finish.
    fn heal(&mut self) -> Result<(), String> {
        self.faults = false;
        self.in_flight.clear();
        if self.control.fleet.is_none() {
            self.control.start(self.now);
        }
        for host in self.hosts.iter_mut().filter(|host| !host.is_lost) {
            host.agent_up = true;
            host.network_up = true;
            // Jobs that git no longer asks for run on and hold what they have: there is room for all the others now.
            host.facts.resources.cpu = CpuMillis(64_000);
            for container in host.containers.values_mut() {
                container.ready_at.get_or_insert(self.now);
            }
        }
        // What cannot all fit cannot all run: ask for little, within the guard's limits, one job at a time.
        for name in NAMES {
            if let Some(spec) = self.repository.get_mut(name) {
                spec.resources.cpu = CpuMillis(500);
                if let Some(service) = &mut spec.service {
                    service.capacity.desired = service.capacity.desired.min(6);
                }
            }
        }
        for round in 0..1800u32 {
            self.now += SignedDuration::from_secs(2);
            if round % 30 == 0 {
                self.read_repository(None);
            }
            for index in 0..self.hosts.len() {
                if !self.hosts[index].is_lost {
                    self.connect(index);
                }
            }
            let now = self.now;
            for container in self
                .hosts
                .iter_mut()
                .filter(|host| !host.is_lost)
                .flat_map(|host| host.containers.values_mut())
            {
                container.ready_at.get_or_insert(now);
                let is_batch = container.launch.task.job.as_str() == "batch"
                    || container.launch.task.job.as_str() == "cron";
                if is_batch && container.ended.is_none() {
                    container.ended = Some(ended(End::Succeeded, Some(0), now));
                }
            }
            self.check()
                .map_err(|violation| format!("heal {round}: {violation}"))?;
            if round > 60 && self.is_whole() {
                return Ok(());
            }
        }
        Err(format!(
            "19: not everything runs an hour after all faults are healed: {}",
            self.missing()
        ))
    }

    fn is_whole(&self) -> bool {
        self.missing().is_empty()
    }

    fn missing(&self) -> String {
        let Some(fleet) = &self.control.fleet else {
            return "the control plane is down".to_owned();
        };
        // A plan that the guard holds waits for a human; then nothing more can be asked.
        if fleet.held_plan().is_some() {
            return String::new();
        }
        let lost: BTreeSet<HostId> = self
            .hosts
            .iter()
            .filter(|host| host.is_lost)
            .map(|host| host.id)
            .collect();
        let mut missing = Vec::new();
        for (name, spec) in &self.repository {
            let Some(job) = fleet.jobs.get(&spec.name) else {
                missing.push(format!("{name} is not there"));
                continue;
            };
            let healthy = job
                .tasks
                .values()
                .filter(|task| fleet.is_healthy(task))
                .count();
            let out_of_sight = job
                .tasks
                .values()
                .filter_map(|task| fleet.current_attempt(task))
                .filter(|attempt| lost.contains(&attempt.host))
                .count();
            let finished = job.tasks.values().filter(|task| task.is_finished()).count();
            // Nobody says that what was on a lost host is gone: it holds its place.
            let exhausted = finished + out_of_sight;
            match spec.kind() {
                JobKind::Service if healthy + exhausted < spec.size() as usize => {
                    missing.push(format!("{name} has {healthy} of {} healthy", spec.size()));
                }
                JobKind::Batch if exhausted < spec.size() as usize => {
                    missing.push(format!(
                        "{name} has {exhausted} of {} finished",
                        spec.size()
                    ));
                }
                JobKind::Service | JobKind::Batch => {}
            }
        }
        missing.join("; ")
    }
}

fn source(name: &str) -> DocumentRef {
    DocumentRef {
        path: format!("jobs/{name}.yaml"),
        document: 0,
        line: 1,
    }
}

fn diagnostic(name: &str) -> Diagnostic {
    Diagnostic {
        code: "unknown-field".to_owned(),
        path: format!("jobs/{name}.yaml"),
        line: 1,
        column: 1,
        source_line: String::new(),
        width: 0,
        message: "broken".to_owned(),
        help: String::new(),
        job: None,
    }
}

fn facts(name: &str, number: u32) -> HostFacts {
    HostFacts {
        name: name.to_owned(),
        address: "127.0.0.1".to_owned(),
        zone: ["a", "b"][(number % 2) as usize].to_owned(),
        labels: BTreeMap::new(),
        resources: HostResources {
            cpu: CpuMillis(8000),
            memory: Bytes(32 << 30),
            disk: Bytes(100 << 30),
            network: Mbps(1000),
            gpu: 0,
            containers: 120,
        },
        engine: "sim".to_owned(),
        system: "sim".to_owned(),
        agent_version: "0.1.0".to_owned(),
        warnings: Vec::new(),
        not_ready: None,
    }
}
