//! Random sequences of commits, approvals, freezes, crashes and faults, against what a person expects of them.
//!
//! The reference knows what people have said: the newest commit and what is frozen. The [`Ledger`] reads the journal as an
//! auditor would, without the code of the guard: every plan that was applied was allowed to be, and every automated stop has
//! its reason in an applied plan and its turn in no freeze. At the end all faults are mended, everything is approved, and the
//! fleet has to become what the repository says.

mod common;

use common::budgets::{some_budget, some_quick_rate};
use common::laws::{Laws, pick_running};
use common::{World, random_job, service};
use jiff::{SignedDuration, Timestamp};
use muster_core::assign::assignments;
use muster_core::decide::{Command, Input, Refusal};
use muster_core::fleet::{Fleet, TaskPhase};
use muster_schemas::drift::{DriftField, FieldDrift, ResizeEnd};
use muster_schemas::event::{Event, Record, RepositoryTrouble};
use muster_schemas::ids::{AttemptId, JobId, PlanId};
use muster_schemas::plan::{Diagnostic, FreezeScope, JobAction, Plan};
use muster_schemas::spec::{IgnoredFields, JobSpec, Millis, PolicySpec};
use muster_schemas::state::{Actor, Phase, StopReason};
use muster_schemas::wire::Assignment;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::FileFailurePersistence;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::{BTreeMap, BTreeSet};

/// So many sequences keep the core's tests within seconds; `PROPTEST_CASES=10000` looks further.
const CASES: u32 = 48;

const NAMES: [&str; 4] = ["api", "shop", "web", "nightly"];

fn settings() -> ProptestConfig {
    let asked_for = ProptestConfig::default().cases;
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(CASES, |_| asked_for),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/sequences.regressions",
        ))),
        ..ProptestConfig::default()
    }
}

/// What people have said.
#[derive(Debug, Clone, Default)]
struct Said {
    hosts: u32,
    /// The jobs of the newest commit whose documents can be read.
    jobs: BTreeMap<String, JobSpec>,
    /// The jobs of it whose documents cannot be read.
    broken: BTreeSet<String>,
    /// The policy of it.
    policy: Option<PolicySpec>,
    frozen: BTreeSet<FreezeScope>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A document is written or written anew.
    Write(Written),
    /// Documents are removed, perhaps all.
    Remove(Vec<String>),
    /// A document that cannot be read takes the place of one that could.
    Break(String),
    /// Whether jobs without a document are stopped, and how many seconds later; whether drift is healed, and whether sizes may
    /// differ.
    Policy(bool, u64, bool, bool),
    /// The repository cannot be read.
    Trouble,
    /// Somebody approves the plan that is held, if one is.
    Approve(&'static str),
    /// Somebody approves any plan that there ever was: no harm may come of it.
    ApproveAny(Index),
    Refuse,
    Freeze(FreezeScope),
    Resume(FreezeScope),
    Pass(u32),
    Exit(Index, i32),
    Condemn(Index),
    Silent(Index),
    Connect,
    Stop(Index),
    /// Somebody gives a job another size beside git.
    Scale(&'static str, u32),
    /// Somebody changes a running container; whether it can be put back while it runs.
    Drift(Index, bool),
    /// Containers of a job do not become healthy, or do so again.
    Sick(&'static str, bool),
    /// The control plane is killed and another takes over.
    Lead,
}

/// A job's spec, which tells in a line what is random about it.
#[derive(Clone)]
struct Written(Box<JobSpec>);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = &self.0;
        write!(f, "{} of {}", spec.name, spec.image)?;
        match (&spec.service, &spec.batch) {
            (Some(service), _) => {
                write!(f, " x {}, {:?}", service.capacity.desired, service.rollout)
            }
            (_, batch) => write!(f, " x {:?}", batch.as_ref().map(|batch| batch.size)),
        }?;
        match &spec.disruption_budget {
            Some(budget) => write!(f, ", {budget:?}"),
            None => Ok(()),
        }
    }
}

fn some_job() -> impl Strategy<Value = JobSpec> {
    let budget = prop::option::of(some_budget(some_quick_rate()));
    (
        select(&NAMES[..]),
        1..6u32,
        1..4u32,
        0..3u32,
        0..2u32,
        budget,
        any::<bool>(),
    )
        .prop_map(|(name, size, image, surge, unavailable, budget, waits)| {
            let mut spec = random_job(name, size, image, surge, unavailable);
            spec.resources.cpu.0 = 1000;
            // A budget that spares no task is refused where nothing can stand in for one.
            spec.disruption_budget = budget.filter(|budget| surge > 0 || budget.floor(size) < size);
            if waits && name == "shop" {
                spec.depends_on = vec!["web".into()];
            }
            spec
        })
}

fn some_scope() -> impl Strategy<Value = FreezeScope> {
    prop_oneof![
        Just(FreezeScope::Cell),
        select(&NAMES[..]).prop_map(|app| FreezeScope::App {
            app: app.to_owned()
        }),
        select(&NAMES[..]).prop_map(|job| FreezeScope::Job { job: job.into() }),
    ]
}

impl ReferenceStateMachine for Said {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        (3..5u32)
            .prop_map(|hosts| Self {
                hosts,
                ..Self::default()
            })
            .boxed()
    }

    fn transitions(said: &Self) -> BoxedStrategy<Step> {
        let mut steps = vec![
            (
                6,
                some_job()
                    .prop_map(|spec| Step::Write(Written(Box::new(spec))))
                    .boxed(),
            ),
            (
                1,
                (
                    any::<bool>(),
                    select(&[0, 20][..]),
                    any::<bool>(),
                    any::<bool>(),
                )
                    .prop_map(|(prune, grace, heal, ignore)| {
                        Step::Policy(prune, grace, heal, ignore)
                    })
                    .boxed(),
            ),
            (1, Just(Step::Trouble).boxed()),
            (
                2,
                select(&["ann", "bob"][..]).prop_map(Step::Approve).boxed(),
            ),
            (1, any::<Index>().prop_map(Step::ApproveAny).boxed()),
            (1, Just(Step::Refuse).boxed()),
            (1, some_scope().prop_map(Step::Freeze).boxed()),
            (6, (1..15u32).prop_map(Step::Pass).boxed()),
            (
                2,
                (any::<Index>(), 0..2i32)
                    .prop_map(|(which, code)| Step::Exit(which, code))
                    .boxed(),
            ),
            (1, any::<Index>().prop_map(Step::Condemn).boxed()),
            (1, any::<Index>().prop_map(Step::Silent).boxed()),
            (1, Just(Step::Connect).boxed()),
            (1, any::<Index>().prop_map(Step::Stop).boxed()),
            (
                1,
                (select(&NAMES[..]), any::<bool>())
                    .prop_map(|(job, sick)| Step::Sick(job, sick))
                    .boxed(),
            ),
            (2, Just(Step::Lead).boxed()),
            (
                2,
                (select(&NAMES[..]), 0..8u32)
                    .prop_map(|(job, size)| Step::Scale(job, size))
                    .boxed(),
            ),
            (
                2,
                (any::<Index>(), any::<bool>())
                    .prop_map(|(which, stuck)| Step::Drift(which, stuck))
                    .boxed(),
            ),
        ];
        if !said.jobs.is_empty() {
            let names: Vec<String> = said.jobs.keys().cloned().collect();
            let some = subsequence(names.clone(), 1..=names.len());
            steps.push((2, some.prop_map(Step::Remove).boxed()));
            steps.push((1, select(names).prop_map(Step::Break).boxed()));
        }
        if !said.frozen.is_empty() {
            let frozen: Vec<FreezeScope> = said.frozen.iter().cloned().collect();
            steps.push((3, select(frozen).prop_map(Step::Resume).boxed()));
        }
        proptest::strategy::Union::new_weighted(steps).boxed()
    }

    fn apply(mut said: Self, step: &Step) -> Self {
        match step {
            Step::Write(Written(spec)) => {
                said.broken.remove(spec.name.as_str());
                said.jobs.insert(spec.name.to_string(), (**spec).clone());
            }
            Step::Remove(names) => said.jobs.retain(|name, _| !names.contains(name)),
            Step::Break(name) => {
                said.jobs.remove(name);
                said.broken.insert(name.clone());
            }
            Step::Policy(prune, grace, heal, ignore) => {
                let any_size = IgnoredFields {
                    job: None,
                    app: None,
                    fields: vec![DriftField::Desired],
                };
                said.policy = Some(PolicySpec {
                    prune: *prune,
                    prune_grace: Millis::secs(*grace),
                    self_heal: *heal,
                    ignored_fields: ignore.then_some(any_size).into_iter().collect(),
                    ..PolicySpec::named("default")
                });
            }
            Step::Freeze(scope) => drop(said.frozen.insert(scope.clone())),
            Step::Resume(scope) => drop(said.frozen.remove(scope)),
            _ => {}
        }
        said
    }

    /// Shrinking may take away what a step stands on.
    fn preconditions(said: &Self, step: &Step) -> bool {
        match step {
            Step::Remove(names) => names.iter().all(|name| said.jobs.contains_key(name)),
            Step::Break(name) => said.jobs.contains_key(name),
            Step::Resume(scope) => said.frozen.contains(scope),
            _ => true,
        }
    }
}

/// The real thing, and who watches it.
struct Cell {
    world: World,
    laws: Laws,
    ledger: Ledger,
    /// Freezes of what did not exist when they were asked for: those are refused.
    of_nothing: BTreeSet<FreezeScope>,
}

impl StateMachineTest for Cell {
    type SystemUnderTest = Self;
    type Reference = Said;

    fn init_test(said: &Said) -> Self {
        Self {
            world: World::new(said.hosts),
            laws: Laws::default(),
            ledger: Ledger::default(),
            of_nothing: BTreeSet::new(),
        }
    }

    fn apply(mut cell: Self, said: &Said, step: Step) -> Self {
        let before = cell.world.fleet.clone();
        cell.play(said, &step);
        match &step {
            // An unreadable repository changes no job.
            Step::Trouble => assert_eq!(specs(&cell.world.fleet), specs(&before)),
            // Nor does an unreadable document change its own.
            Step::Break(name) => {
                let job = JobId::from(name.as_str());
                let of = |fleet: &Fleet| fleet.jobs.get(&job).map(|job| job.spec().clone());
                assert_eq!(of(&cell.world.fleet), of(&before));
            }
            // A new control plane takes the cell as it is: it starts and stops what the old one would have.
            Step::Lead => assert_eq!(specs(&cell.world.fleet), specs(&before)),
            _ => {}
        }
        cell.look();
        cell
    }

    fn check_invariants(cell: &Self, said: &Said) {
        let frozen: BTreeSet<FreezeScope> = cell
            .world
            .fleet
            .freezes
            .iter()
            .map(|freeze| freeze.scope.clone())
            .collect();
        let asked_for: BTreeSet<FreezeScope> =
            said.frozen.difference(&cell.of_nothing).cloned().collect();
        assert_eq!(frozen, asked_for, "what is frozen is what people froze");
    }

    /// The faults are healed and people say yes to all: everything that the repository asks for runs, and nothing else.
    fn teardown(mut cell: Self, mut said: Said) {
        for scope in std::mem::take(&mut said.frozen) {
            cell.resume(scope);
        }
        cell.world.sick.clear();
        cell.world.connect();
        // Settles a refused plan, too: a later commit is a new question.
        said.broken.clear();
        let names: BTreeSet<String> = said.jobs.keys().cloned().collect();
        for spec in said.jobs.values_mut() {
            spec.depends_on.retain(|job| names.contains(job.as_str()));
        }
        said.policy = Some(PolicySpec {
            prune: true,
            prune_grace: Millis(0),
            self_heal: true,
            ..PolicySpec::named("default")
        });
        said.jobs.insert("last".to_owned(), service("last", 1));
        cell.commit(&said);
        cell.approve("ann");
        // The policy that prunes holds from the next commit on.
        said.jobs.insert("last".to_owned(), service("last", 2));
        cell.commit(&said);
        cell.approve("ann");
        cell.come_to_rest();
        let fleet = &cell.world.fleet;
        assert!(fleet.held_plan().is_none());
        for (name, spec) in &said.jobs {
            let job = &fleet.jobs[&JobId::from(name.as_str())];
            let (image, wanted) = (&job.spec().image, &spec.image);
            assert_eq!(image.split('@').next(), wanted.split('@').next(), "{name}");
            match &spec.service {
                Some(service) => {
                    let living = cell.world.living(name);
                    let desired = service.capacity.desired as usize;
                    assert_eq!(cell.world.healthy(name), desired, "{name}: {living:?}");
                    assert_eq!(living.len(), desired, "{name}: {living:?}");
                }
                None => assert_eq!(cell.world.living(name), vec![], "{name} ends"),
            }
        }
        let drift = muster_core::drift::drift(fleet, cell.world.now);
        assert_eq!(drift, vec![], "all drift is healed");
        for (id, job) in &fleet.jobs {
            let living = cell.world.living(id.as_str());
            assert!(
                said.jobs.contains_key(id.as_str()) || living.is_empty(),
                "{id} has no document and runs on, declared {}: {living:?}",
                job.declared
            );
        }
    }
}

fn specs(fleet: &Fleet) -> BTreeMap<JobId, JobSpec> {
    let spec = |(id, job): (&JobId, &muster_core::fleet::Job)| (id.clone(), job.spec().clone());
    fleet.jobs.iter().map(spec).collect()
}

impl Cell {
    fn play(&mut self, said: &Said, step: &Step) {
        let world = &mut self.world;
        let reason = || "we look at it".to_owned();
        match step {
            Step::Write(_) | Step::Remove(_) | Step::Break(_) | Step::Policy(..) => {
                self.commit(said);
            }
            Step::Trouble => {
                let trouble = RepositoryTrouble::Unreachable {
                    message: "no route to host".to_owned(),
                };
                world.give(Input::Trouble(trouble)).expect("it is taken");
            }
            Step::Approve(who) => self.approve(who),
            Step::ApproveAny(which) => {
                let plans: Vec<PlanId> = world
                    .events(|event| match event {
                        Event::PlanMade { plan } => Some(plan.id.clone()),
                        _ => None,
                    })
                    .into_iter()
                    .collect();
                if !plans.is_empty() {
                    let plan = which.get(&plans).clone();
                    let reason = reason();
                    // Only the one that is held takes it.
                    let _ = world.command_by("bob", Command::ApprovePlan { plan, reason });
                }
            }
            Step::Refuse => {
                if let Some(entry) = world.fleet.held_plan() {
                    let plan = entry.plan.id.clone();
                    let reason = reason();
                    // It may be refused already.
                    let _ = world.command_by("bob", Command::RefusePlan { plan, reason });
                }
            }
            Step::Freeze(scope) => {
                let command = Command::Freeze {
                    scope: scope.clone(),
                    reason: reason(),
                    until: None,
                };
                match world.command(command) {
                    Ok(_) => drop(self.of_nothing.remove(scope)),
                    Err(Refusal::NothingToFreeze(_)) => {
                        let (FreezeScope::App { app: name }
                        | FreezeScope::Job { job: JobId(name) }) = scope
                        else {
                            panic!("there is always a cell")
                        };
                        assert!(!world.fleet.jobs.contains_key(&JobId::from(name.as_str())));
                        self.of_nothing.insert(scope.clone());
                    }
                    Err(refusal) => panic!("{refusal}"),
                }
            }
            Step::Resume(scope) => self.resume(scope.clone()),
            Step::Pass(seconds) => world.pass(*seconds),
            Step::Exit(which, code) => {
                if let Some(task) = pick_running(world, which.index(1 << 16)) {
                    world.exit(&task.to_string(), *code);
                }
            }
            Step::Condemn(which) => {
                if let Some(task) = pick_running(world, which.index(1 << 16)) {
                    let attempt = world.fleet.current_attempt(world.task(&task));
                    let (id, host) = attempt
                        .map(|known| (known.id, known.host))
                        .expect("it runs");
                    let mut status = world.status(id, Phase::Running, Some(true));
                    status.live = Some(false);
                    world.report(host, status);
                }
            }
            Step::Silent(which) => {
                let hosts: Vec<_> = world.fleet.hosts.keys().copied().collect();
                let host = *which.get(&hosts);
                world.give(Input::Silent { host }).expect("a known host");
            }
            Step::Connect => world.connect(),
            Step::Stop(which) => {
                if let Some(task) = pick_running(world, which.index(1 << 16)) {
                    let reason = reason();
                    // It may be stopping already.
                    let _ = world.command(Command::StopTask { task, reason });
                }
            }
            Step::Scale(job, desired) => {
                // It may not be there, be a batch, be frozen, or the step be too large.
                let _ = world.command_by(
                    "bob",
                    Command::Scale {
                        job: (*job).into(),
                        desired: *desired,
                        reason: reason(),
                        until: None,
                    },
                );
            }
            Step::Drift(which, stuck) => {
                if let Some(task) = pick_running(world, which.index(1 << 16)) {
                    let attempt = world.fleet.current_attempt(world.task(&task));
                    let id = attempt.expect("it runs").id;
                    let drift = FieldDrift {
                        field: DriftField::Memory,
                        wanted: "128 MiB".to_owned(),
                        found: "256 MiB".to_owned(),
                        stuck: stuck.then(|| "it uses more".to_owned()),
                    };
                    world.drift.insert(id, vec![drift]);
                }
            }
            Step::Sick(job, true) => drop(world.sick.insert((*job).to_owned())),
            Step::Sick(job, false) => drop(world.sick.remove(*job)),
            Step::Lead => {
                let cell = "test".into();
                let version = "0.1.0".to_owned();
                world.give(Input::Lead { cell, version }).expect("a leader");
                world.connect();
            }
        }
    }

    /// The newest commit, as it was said.
    fn commit(&mut self, said: &Said) {
        // What depends on a job that is not there is refused, as the reader of the documents would.
        let is_there = |job: &JobId| {
            said.jobs.contains_key(job.as_str()) || said.broken.contains(job.as_str())
        };
        let (jobs, unmet): (Vec<&JobSpec>, Vec<&JobSpec>) = said
            .jobs
            .values()
            .partition(|spec| spec.depends_on.iter().all(is_there));
        let unmet = unmet.into_iter().map(|spec| spec.name.as_str());
        let broken = said.broken.iter().map(String::as_str);
        let diagnostics = broken.chain(unmet).map(|name| Diagnostic {
            code: "unknown-field".to_owned(),
            path: format!("jobs/{name}.yaml"),
            line: 3,
            column: 1,
            source_line: String::new(),
            width: 0,
            message: "no such field".to_owned(),
            help: String::new(),
            job: Some(name.into()),
        });
        let jobs = jobs.into_iter().cloned().collect();
        self.world
            .commit_with(jobs, said.policy.clone(), diagnostics.collect());
    }

    fn approve(&mut self, who: &str) {
        if let Some(entry) = self.world.fleet.held_plan() {
            let plan = entry.plan.id.clone();
            let reason = "it is meant".to_owned();
            // It may be refused, or frozen, which no approval passes.
            let _ = self
                .world
                .command_by(who, Command::ApprovePlan { plan, reason });
        }
    }

    fn resume(&mut self, scope: FreezeScope) {
        if self.of_nothing.remove(&scope) {
            return;
        }
        let reason = "we have seen".to_owned();
        self.world
            .command(Command::Resume { scope, reason })
            .expect("it is frozen");
    }

    fn look(&mut self) {
        self.laws.look(&self.world);
        self.ledger.audit(&self.world);
    }

    /// Time passes until nothing happens any more, with the laws looked at on the way.
    fn come_to_rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..2000 {
            let before = self.world.journal.len();
            self.world.pass(1);
            quiet += 1;
            if self.world.journal.len() > before {
                self.look();
                quiet = 0;
            }
            // A stop that waits for its turn in the budget waits for a minute at most.
            if quiet < 61 {
                continue;
            }
            let soon = self.world.now + SignedDuration::from_mins(10);
            match self.world.due.filter(|due| *due < soon) {
                Some(due) => self.world.now = self.world.now.max(due),
                None => return,
            }
        }
        panic!("it does not come to rest");
    }
}

/// An auditor who knows the journal alone.
#[derive(Default)]
struct Ledger {
    read: usize,
    /// The fold of what was read.
    fleet: Fleet,
    plans: BTreeMap<PlanId, Entry>,
    frozen: BTreeSet<FreezeScope>,
    /// Jobs that an applied plan prunes, and that no later one brought back.
    pruned: BTreeSet<JobId>,
    stopped: BTreeSet<AttemptId>,
}

struct Entry {
    plan: Plan,
    /// Who approved it, until when that counts.
    approvals: Vec<(Actor, Timestamp)>,
    refused: bool,
}

impl Ledger {
    fn audit(&mut self, world: &World) {
        for record in &world.journal[self.read..] {
            self.audit_record(record);
            self.fleet.apply(record);
        }
        self.read = world.journal.len();
        // No order to stop anything leaves before its record.
        for host in world.fleet.hosts.keys() {
            for item in assignments(&world.fleet, *host).items {
                if matches!(item, Assignment::Stop { .. }) {
                    assert!(self.stopped.contains(&item.attempt()));
                }
            }
        }
    }

    fn audit_record(&mut self, record: &Record) {
        match &record.event {
            Event::PlanMade { plan } => {
                let entry = Entry {
                    plan: (**plan).clone(),
                    approvals: Vec::new(),
                    refused: false,
                };
                self.plans.insert(plan.id.clone(), entry);
            }
            Event::PlanApproved {
                plan, expires_at, ..
            } => {
                let entry = self.plans.get_mut(plan).expect("a plan that was made");
                entry.approvals.push((record.actor.clone(), *expires_at));
            }
            Event::PlanRefused { plan, .. } => {
                self.plans.get_mut(plan).expect("a plan").refused = true;
            }
            Event::PlanApplied { plan } => self.audit_plan(plan, record.at),
            Event::Frozen { scope, .. } => drop(self.frozen.insert(scope.clone())),
            Event::Resumed { scope, .. } => {
                assert!(self.frozen.remove(scope), "{scope} was not frozen");
            }
            Event::PutBackOrdered { attempt, fields } if !fields.is_empty() => {
                assert!(self.heals(), "nobody asked to put anything back");
                self.is_free(&self.fleet.attempts[attempt].task.job, "putting back");
            }
            Event::JobScaled { job, desired, .. } => {
                self.is_free(job, "scaling");
                let active = self.fleet.jobs[job]
                    .tasks
                    .values()
                    .filter(|task| matches!(task.phase, TaskPhase::Active { .. }))
                    .count();
                let taken = (active as u32).saturating_sub(*desired);
                assert!(
                    taken <= 5 || taken * 5 <= self.fleet.running_tasks(),
                    "{job} loses {taken} tasks at once"
                );
            }
            Event::ResizeEnded { job, end, .. } => {
                self.is_free(job, "the end of a size");
                assert!(*end != ResizeEnd::SelfHealed || self.heals());
            }
            Event::StopOrdered { order } => {
                if matches!(order.reason, StopReason::Drift { .. }) {
                    assert!(self.heals(), "nobody asked to replace what was changed");
                }
                let attempt = &self.fleet.attempts[&order.attempt];
                let job = &attempt.task.job;
                assert!(
                    self.stopped.insert(attempt.id),
                    "{} is stopped twice",
                    attempt.task
                );
                if order.reason.is_automated() {
                    self.is_free(job, &format!("{:?} of {}", order.reason, attempt.task));
                }
                if matches!(order.reason, StopReason::Prune) {
                    assert!(self.pruned.contains(job), "nobody asked to prune {job}");
                }
            }
            _ => {}
        }
    }

    fn audit_plan(&mut self, id: &PlanId, at: Timestamp) {
        let entry = &self.plans[id];
        let plan = &entry.plan;
        assert!(!entry.refused, "plan {id} was refused");
        assert!(
            plan.changes.is_empty() || !self.frozen.contains(&FreezeScope::Cell),
            "the cell is frozen"
        );
        // The limits of a cell whose policy sets none: more than 5, and more than a fifth.
        let running = self.fleet.running_tasks();
        if plan.stops > 5 && plan.stops * 5 > running {
            let approved = entry
                .approvals
                .iter()
                .any(|(who, until)| matches!(who, Actor::Person(_)) && *until > at);
            assert!(
                approved,
                "plan {id} stops {} of {running} and nobody said yes",
                plan.stops
            );
        }
        for change in &plan.changes {
            self.is_free(&change.job, "a change");
            match &change.action {
                JobAction::Prune { .. } => drop(self.pruned.insert(change.job.clone())),
                JobAction::Create { .. }
                | JobAction::Update { .. }
                | JobAction::Redeclare { .. } => drop(self.pruned.remove(&change.job)),
                JobAction::Move { .. } | JobAction::Undeclare { .. } => {}
            }
        }
    }

    /// Whether the policy of the revision that holds has drift put back.
    fn heals(&self) -> bool {
        let policy = self.fleet.policy.as_ref();
        policy.is_some_and(|policy| policy.self_heal)
    }

    /// Nothing that this job belongs to is frozen. The jobs of these tests are each an app of their own.
    fn is_free(&self, job: &JobId, what: &str) {
        let app = job.to_string();
        for scope in [
            FreezeScope::Cell,
            FreezeScope::App { app },
            FreezeScope::Job { job: job.clone() },
        ] {
            assert!(
                !self.frozen.contains(&scope),
                "{what}: {job} is frozen by {scope}"
            );
        }
    }
}

prop_state_machine! {
    #![proptest_config(settings())]

    #[test]
    fn no_sequence_of_commits_words_and_faults_breaks_a_promise(sequential 1..30 => Cell);
}
