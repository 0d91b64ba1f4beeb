//! The real thing, and who watches it.

use crate::common::laws::Laws;
use crate::common::{World, service};
use crate::sequences::ledger::Ledger;
use crate::sequences::repository::Repository;
use crate::sequences::said::Said;
use crate::sequences::steps::{Step, Told};
use jiff::SignedDuration;
use muster_core::fleet::Fleet;
use muster_schemas::ids::JobId;
use muster_schemas::plan::FreezeScope;
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::{JobSpec, Millis, PolicySpec};
use proptest_state_machine::StateMachineTest;
use std::collections::{BTreeMap, BTreeSet};

/// After so many seconds the tasks of new services have proved themselves.
const SETTLED: u32 = 10;

/// The real thing, and who watches it.
pub struct Cell {
    pub world: World,
    pub repository: Repository,
    laws: Laws,
    pub ledger: Ledger,
    /// Freezes of what did not exist when they were asked for: those are refused.
    pub of_nothing: BTreeSet<FreezeScope>,
}

impl StateMachineTest for Cell {
    type SystemUnderTest = Self;
    type Reference = Said;

    fn init_test(said: &Said) -> Self {
        let mut cell = Self {
            world: World::new(said.hosts),
            repository: Repository::default(),
            laws: Laws::default(),
            ledger: Ledger::default(),
            of_nothing: BTreeSet::new(),
        };
        // Some of the sequences, by what they begin with.
        cell.world.restless = said.first.len().is_multiple_of(3);
        cell.push(|commit| said.first.iter().for_each(|written| commit.write(written)));
        cell.world.pass(SETTLED);
        cell.look();
        cell
    }

    fn apply(mut cell: Self, _: &Said, step: Step) -> Self {
        let before = cell.world.fleet.clone();
        cell.play(&step);
        match &step {
            // An unreadable repository changes no job.
            Step::Trouble => assert_eq!(specs(&cell.world.fleet), specs(&before)),
            // Nor does an unreadable document change its own.
            Step::Break(name) => {
                let job = JobId::from(*name);
                let of = |fleet: &Fleet| fleet.jobs.get(&job).map(|job| job.spec().clone());
                assert_eq!(of(&cell.world.fleet), of(&before));
            }
            // A new control plane takes the cell as it is: it starts and stops what the old one would have.
            Step::Lead(_) => assert_eq!(specs(&cell.world.fleet), specs(&before)),
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

    /// The faults are healed and people say yes to all: every deploy ends, everything that the repository asks for runs, and
    /// nothing else.
    fn teardown(mut cell: Self, mut said: Said) {
        for scope in std::mem::take(&mut said.frozen) {
            cell.resume(scope);
        }
        cell.world.sick.clear();
        cell.world.connect();
        // Nothing is committed for deploys on top of what is not signed.
        cell.push(|_| {});
        cell.commit_deploys(Told::AtOnce);
        cell.come_to_rest();
        cell.ledger.deploys.all_are_settled();
        cell.ledger
            .rollouts
            .what_was_aborted_is_gone(&cell.world.fleet);

        // A later commit is a new question, also where a plan was refused.
        cell.push(|commit| {
            commit.broken.clear();
            let names: BTreeSet<String> = commit.jobs.keys().cloned().collect();
            for spec in commit.jobs.values_mut() {
                spec.depends_on.retain(|job| names.contains(job.as_str()));
            }
            commit.policy = Some(PolicySpec {
                prune: true,
                prune_grace: Millis(0),
                self_heal: true,
                ..PolicySpec::named("default")
            });
            commit.jobs.insert("last".to_owned(), service("last", 1));
        });
        cell.approve("ann");
        // The policy that prunes holds from the next commit on.
        cell.push(|commit| drop(commit.jobs.insert("last".to_owned(), service("last", 2))));
        cell.approve("ann");
        cell.look();
        for job in cell.ledger.rollouts.aborted() {
            cell.tell(&job, RolloutWord::Retry).expect("it was aborted");
        }
        cell.come_to_rest();
        assert!(cell.world.fleet.held_plan().is_none());
        cell.is_what_git_says();
    }
}

fn specs(fleet: &Fleet) -> BTreeMap<JobId, JobSpec> {
    let spec = |(id, job): (&JobId, &muster_core::fleet::Job)| (id.clone(), job.spec().clone());
    fleet.jobs.iter().map(spec).collect()
}

impl Cell {
    pub fn look(&mut self) {
        self.laws.look(&self.world);
        self.ledger.audit(&self.world, &self.repository);
    }

    /// Time passes until nothing happens any more, with the laws looked at on the way.
    fn come_to_rest(&mut self) {
        self.look();
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

    /// Every job is what the newest commit says, and there is no other.
    fn is_what_git_says(&self) {
        let fleet = &self.world.fleet;
        let head = self.repository.head();
        for (name, spec) in &head.jobs {
            let job = &fleet.jobs[&JobId::from(name.as_str())];
            assert_eq!(job.spec(), spec);
            let living = self.world.living(name);
            match &spec.service {
                Some(service) => {
                    let desired = service.capacity.desired as usize;
                    let rollout = &job.rollout;
                    assert_eq!(self.world.healthy(name), desired, "{name}: {living:?}");
                    assert_eq!(living.len(), desired, "{name}: {living:?}, {rollout:?}");
                    for task in job.tasks.values().filter(|task| !task.is_finished()) {
                        let attempt = fleet.current_attempt(task).expect("it is healthy");
                        let image = &job.versions[&attempt.version].spec.image;
                        assert_eq!(image, &spec.image, "{}: {rollout:?}", task.id);
                    }
                }
                None => assert_eq!(living, vec![], "{name} ends"),
            }
        }
        let drift = muster_core::drift::drift(fleet, self.world.now);
        assert_eq!(drift, vec![], "all drift is healed");
        for (id, job) in &fleet.jobs {
            let living = self.world.living(id.as_str());
            assert!(
                head.jobs.contains_key(id.as_str()) || living.is_empty(),
                "{id} has no document and runs on, declared {}: {living:?}",
                job.declared
            );
        }
    }
}
