//! What each step does to the cell, and what the control plane does in git.

use crate::common::laws::pick_running;
use crate::sequences::cell::Cell;
use crate::sequences::repository::Commit;
use crate::sequences::steps::{PolicyWords, Step, Told, Wish};
use jiff::SignedDuration;
use muster_core::decide::{Answer, Command, Input, Refusal};
use muster_core::fleet::{Deploy, Fleet};
use muster_core::signatures::{SignedCommit, SignerKey};
use muster_schemas::deploy::DeploySpec;
use muster_schemas::drift::{DriftField, FieldDrift};
use muster_schemas::event::{Event, RepositoryTrouble, SignatureFault};
use muster_schemas::ids::{DeployId, JobId, PlanId};
use muster_schemas::plan::FreezeScope;
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::{
    IgnoredFields, Millis, PolicySpec, RequiredSignatures, Signatures, Signer,
};
use muster_schemas::state::Phase;
use proptest::sample::Index;
use std::collections::BTreeMap;

impl Cell {
    pub fn play(&mut self, step: &Step) {
        let world = &mut self.world;
        let reason = || "we look at it".to_owned();
        match step {
            Step::Write(written, signed) => {
                self.repository
                    .push(*signed, |commit| commit.write(written));
                self.read();
            }
            Step::Remove(names) => {
                self.push(|commit| {
                    commit
                        .jobs
                        .retain(|name, _| !names.contains(&name.as_str()));
                });
            }
            Step::Break(name) => self.push(|commit| {
                if commit.jobs.remove(*name).is_some() {
                    commit.broken.insert((*name).to_owned());
                }
            }),
            Step::Policy(words) => self.push(|commit| commit.policy = Some(words.policy())),
            Step::RollBack(to, job) => {
                let commits = self.repository.number() as usize;
                if commits > 0 && !self.head_is_refused() {
                    self.repository.roll_back(to.index(commits), *job);
                    self.read();
                }
            }
            Step::Trouble => {
                let trouble = RepositoryTrouble::Unreachable {
                    message: "no route to host".to_owned(),
                };
                world.give(Input::Trouble(trouble)).expect("it is taken");
            }
            Step::Deploy(wish) => self.ask(wish),
            Step::CommitDeploys(told) => self.commit_deploys(*told),
            Step::CancelDeploy(which) => {
                let deploys: Vec<DeployId> = world
                    .fleet
                    .deploys
                    .iter()
                    .map(|deploy| deploy.id.clone())
                    .collect();
                if !deploys.is_empty() {
                    self.cancel(which.get(&deploys));
                }
            }
            Step::Tell(which, word) => {
                let jobs = world.fleet.jobs.values();
                let moving: Vec<JobId> = jobs
                    .filter(|job| job.rollout.is_some())
                    .map(|job| job.id.clone())
                    .collect();
                if !moving.is_empty() {
                    // Not every rollout can be told everything.
                    let _ = self.tell(which.get(&moving), *word);
                }
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
            Step::Lead(from) => self.lead(*from),
        }
    }

    /// Another control plane takes over: it has a snapshot, and reads the journal from there on.
    fn lead(&mut self, from: Index) {
        let world = &mut self.world;
        let place = from.index(world.journal.len() + 1);
        let (before, after) = world.journal.split_at(place);
        let mut fleet = Fleet::default();
        before.iter().for_each(|record| fleet.apply(record));
        let snapshot = serde_json::to_vec(&fleet).expect("a fleet is JSON");
        let mut fleet: Fleet = serde_json::from_slice(&snapshot).expect("it reads back");
        after.iter().for_each(|record| fleet.apply(record));
        assert_eq!(fleet, world.fleet, "the fleet is the fold of its journal");
        world.fleet = fleet;
        let cell = "test".into();
        let version = "0.1.0".to_owned();
        world.give(Input::Lead { cell, version }).expect("a leader");
        world.connect();
    }

    /// Somebody pushes a signed commit, which is read.
    pub fn push(&mut self, change: impl FnOnce(&mut Commit)) {
        self.repository.push(true, change);
        self.read();
    }

    /// The newest commit is read.
    fn read(&mut self) {
        let number = self.repository.number();
        if number == 0 {
            return;
        }
        let head = self.repository.head();
        let (jobs, diagnostics) = head.read();
        let mut input = self
            .world
            .reading(number, jobs, head.policy.clone(), diagnostics);
        let policy = self.world.fleet.policy.as_ref();
        input.signed.asked = policy.and_then(|policy| policy.signatures.clone());
        let applied = self
            .world
            .fleet
            .revision
            .as_ref()
            .map(|revision| &revision.commit);
        if input.signed.asked.is_some() && applied != Some(&input.revision.commit) {
            let key = head.signed.then(|| signer().fingerprint());
            input.signed.commits.push(SignedCommit {
                commit: input.revision.commit.clone(),
                author: input.revision.author.clone(),
                key: key.ok_or(SignatureFault::Missing),
            });
        }
        self.world.read(input);
    }

    /// Whether the newest commit is not signed, and the policy that holds wants it to be: nothing is committed on top of it.
    fn head_is_refused(&self) -> bool {
        let fleet = &self.world.fleet;
        let policy = fleet.policy.as_ref();
        let applied = fleet.revision.as_ref().map(|revision| &revision.commit);
        !self.repository.head().signed
            && policy.is_some_and(|policy| policy.signatures.is_some())
            && applied != Some(&self.repository.head_id())
    }

    fn ask(&mut self, wish: &Wish) {
        let world = &mut self.world;
        let image = wish
            .image
            .map(|image| format!("registry.example.com/app:{image}"));
        let spec = DeploySpec {
            job: wish.job.into(),
            image,
            desired: wish.desired,
            env: BTreeMap::new(),
            run: (wish.job == "nightly").then(|| format!("run {}", world.fleet.deploys.len())),
            deadline: world.now + SignedDuration::from_secs(wish.seconds.into()),
            execution: String::new(),
            reason: String::new(),
        };
        let deploy = DeployId::from(format!("d{}", world.fleet.deploys.len()).as_str());
        // The job may not be there, or have no size.
        let _ = world.command_by("pipeline", Command::Deploy { deploy, spec });
    }

    fn cancel(&mut self, deploy: &DeployId) {
        let command = Command::CancelDeploy {
            deploy: deploy.clone(),
            reason: "we changed our mind".to_owned(),
        };
        self.world
            .command_by("pipeline", command)
            .expect("a known deploy");
    }

    /// The control plane does what deploys wait for in git, and reads what came of it.
    pub fn commit_deploys(&mut self, told: Told) {
        let deploys = self.world.fleet.deploys.iter();
        let due: Vec<Deploy> = deploys
            .filter(|deploy| deploy.wants_commit() || deploy.wants_back())
            .cloned()
            .collect();
        for deploy in due {
            let id = deploy.id.clone();
            if let Some((commit, _)) = &deploy.commit {
                if !self.head_is_refused() {
                    let commit = self.repository.take_back(&id, &deploy.spec, commit);
                    let deploy = id;
                    self.give(Input::DeployTakenBack { deploy, commit });
                }
                continue;
            }
            assert!(self.ledger.deploys.is_under_way(&id), "{id} has ended");
            let commit = if self.head_is_refused() {
                None
            } else {
                self.repository.deploy(&id, &deploy.spec)
            };
            let Some(commit) = commit else {
                let message = "its document cannot become that".to_owned();
                self.give(Input::DeployFailed {
                    deploy: id,
                    message,
                });
                continue;
            };
            match told {
                Told::AtOnce => {}
                Told::AfterReading => self.read(),
                Told::AfterCancel => self.cancel(&id),
            }
            let deploy = id;
            self.give(Input::DeployCommitted { deploy, commit });
        }
        self.read();
    }

    fn give(&mut self, input: Input) {
        self.world.give(input).expect("it is always taken");
        self.look();
    }

    pub fn tell(&mut self, job: &JobId, word: RolloutWord) -> Result<Answer, Refusal> {
        self.world.command(Command::Rollout {
            job: job.clone(),
            word,
            reason: "I have looked".to_owned(),
        })
    }

    pub fn approve(&mut self, who: &str) {
        if let Some(entry) = self.world.fleet.held_plan() {
            let plan = entry.plan.id.clone();
            let reason = "it is meant".to_owned();
            // It may be refused, or frozen, which no approval passes.
            let _ = self
                .world
                .command_by(who, Command::ApprovePlan { plan, reason });
        }
    }

    pub fn resume(&mut self, scope: FreezeScope) {
        if self.of_nothing.remove(&scope) {
            return;
        }
        let reason = "we have seen".to_owned();
        self.world
            .command(Command::Resume { scope, reason })
            .expect("it is frozen");
    }
}

impl PolicyWords {
    fn policy(&self) -> PolicySpec {
        let any_size = IgnoredFields {
            job: None,
            app: None,
            fields: vec![DriftField::Desired],
        };
        let signatures = || Signatures {
            require: RequiredSignatures::Head,
            signers: vec![ann()],
        };
        PolicySpec {
            prune: self.prune,
            prune_grace: Millis::secs(self.grace),
            self_heal: self.heal,
            ignored_fields: self.ignore.then_some(any_size).into_iter().collect(),
            signatures: self.sign.then(signatures),
            ..PolicySpec::named("default")
        }
    }
}

/// Whose key signs all that is signed.
fn ann() -> Signer {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID0IhVQ4T8yyAeSV1eJp371AdchiEq5HiBHx9pjZj/lP";
    Signer {
        name: "ann".to_owned(),
        ssh: Some(key.to_owned()),
        gpg: None,
        policy: false,
        not_after: None,
    }
}

fn signer() -> SignerKey {
    SignerKey::of(&ann()).expect("a key")
}
