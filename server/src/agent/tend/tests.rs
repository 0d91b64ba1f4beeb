//! The whole agent against the fake engine: what it never does, whatever fails under it.

mod drift;

use super::*;
use crate::agent::launch::container_name;
use crate::agent::testing::{attempt, config, container, launch, order};
use crate::runtime::ContainerState;
use crate::runtime::fake::FakeEngine;
use muster_schemas::state::{AttemptStatus, Ended, Outcome as EndOutcome, Phase};
use muster_schemas::wire::{Assignment, Assignments, Fence, Report};
use std::path::PathBuf;
use tokio::runtime::Runtime as Threads;

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent under test, as its control plane sees it.
struct Rig {
    engine: FakeEngine,
    home: PathBuf,
    _folder: tempfile::TempDir,
    agent: Option<Running>,
    seq: u64,
    attempts: BTreeMap<AttemptId, AttemptStatus>,
    last_complete: Option<Report>,
    facts: Option<HostFacts>,
    fenced: Vec<Fence>,
}

struct Running {
    /// The agent's own, as a process has its own: they end with it, and so does whatever they were doing.
    threads: Option<Threads>,
    to_agent: mpsc::Sender<ToAgent>,
    from_agent: mpsc::Receiver<FromAgent>,
    link: watch::Sender<LinkState>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A runtime may not wait for its threads within another one.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Rig {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = FakeEngine::new(seed);
        engine.inside().images.push(launch(0).image);
        Self {
            engine,
            home: folder.path().to_owned(),
            _folder: folder,
            agent: None,
            seq: 0,
            attempts: BTreeMap::new(),
            last_complete: None,
            facts: None,
            fenced: Vec::new(),
        }
    }

    async fn start(&mut self) {
        self.kill().await;
        let (to_agent, inn) = mpsc::channel(16);
        let (out, from_agent) = mpsc::channel(1024);
        let (link, link_watch) = watch::channel(LinkState::Up);
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        threads.spawn(run(
            config(&self.home),
            self.engine.clone(),
            out,
            inn,
            link_watch,
            CancellationToken::new(),
        ));
        self.agent = Some(Running {
            threads: Some(threads),
            to_agent,
            from_agent,
            link,
        });
    }

    /// As by `kill -9`: whatever it was doing, it does no more once this returns, also on its disk.
    async fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let threads = agent.threads.take().unwrap();
            tokio::task::spawn_blocking(move || drop(threads))
                .await
                .unwrap();
        }
    }

    async fn assign(&mut self, items: Vec<Assignment>) {
        self.seq += 1;
        self.assign_at(
            Fence {
                epoch: 1,
                seq: self.seq,
            },
            items,
        )
        .await;
    }

    async fn assign_at(&mut self, fence: Fence, items: Vec<Assignment>) {
        self.assign_instead_of(None, fence, items).await;
    }

    async fn assign_instead_of(
        &mut self,
        supersedes: Option<Fence>,
        fence: Fence,
        items: Vec<Assignment>,
    ) {
        let assignments = Assignments {
            cell: config(&self.home).cell,
            host: config(&self.home).host,
            fence,
            items,
            put_back: Vec::new(),
            supersedes,
        };
        let agent = self.agent.as_ref().unwrap();
        agent
            .to_agent
            .send(ToAgent::Assignments(assignments))
            .await
            .unwrap();
    }

    async fn hear(&mut self) {
        let agent = self.agent.as_mut().unwrap();
        let frame = tokio::time::timeout(PATIENCE, agent.from_agent.recv())
            .await
            .expect("the agent says something")
            .expect("the agent runs");
        match frame {
            FromAgent::Hello { facts, .. } | FromAgent::Facts { facts } => {
                self.facts = Some(*facts);
            }
            FromAgent::Report(report) => {
                for status in &report.attempts {
                    let newer = self
                        .attempts
                        .get(&status.attempt)
                        .is_none_or(|old| old.sequence < status.sequence);
                    if newer {
                        self.attempts.insert(status.attempt, status.clone());
                    }
                }
                if report.complete {
                    self.last_complete = Some(report);
                }
            }
            FromAgent::Fenced { highest, .. } => self.fenced.push(highest),
            FromAgent::Usage { .. } | FromAgent::Log { .. } => {}
        }
    }

    async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached(self) {
            assert!(
                Instant::now() < deadline,
                "never: {what}; {:?}",
                self.attempts
            );
            self.hear().await;
        }
    }

    /// Listens for a while.
    async fn idle(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while tokio::time::timeout_at(until, self.hear()).await.is_ok() {}
    }

    fn runs(&self, number: u128) -> bool {
        self.attempts
            .get(&attempt(number))
            .is_some_and(|status| status.phase == Phase::Running)
    }

    fn ended(&self, number: u128) -> Option<&Ended> {
        match &self.attempts.get(&attempt(number))?.phase {
            Phase::Ended(ended) => Some(ended),
            Phase::Accepted
            | Phase::Pulling { .. }
            | Phase::Waiting { .. }
            | Phase::Creating
            | Phase::Running => None,
        }
    }
}

fn runs(numbers: std::ops::Range<u128>) -> Vec<Assignment> {
    numbers
        .map(|number| Assignment::Run(Box::new(launch(number))))
        .collect()
}

fn stops(number: u128) -> Assignment {
    let launch = Box::new(launch(number));
    let order = order(&launch);
    Assignment::Stop { launch, order }
}

/// Lost answers and killed agents at random: each container is created and started at most once, whatever did not start is told
/// as such, and only the ordered ones stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_each_container_starts_once_and_stops_on_order() {
    let seeds = (1..=10).map(|seed| tokio::spawn(one_stormy_life(seed)));
    for (index, seed) in futures::future::join_all(seeds)
        .await
        .into_iter()
        .enumerate()
    {
        seed.unwrap_or_else(|error| panic!("seed {}: {error}", index + 1));
    }
}

async fn one_stormy_life(seed: u64) {
    let mut rig = Rig::new(seed);
    rig.engine.inside().faults_per_mille = 200;
    for round in 0..6 {
        rig.start().await;
        rig.assign(runs(0..6)).await;
        rig.idle(Duration::from_millis(7 + (seed * 31 + round * 17) % 60))
            .await;
        rig.kill().await;
    }
    rig.engine.inside().faults_per_mille = 0;
    rig.start().await;
    rig.assign(runs(0..6)).await;
    rig.until("each runs or did not start", |rig| {
        (0..6).all(|number| rig.runs(number) || rig.ended(number).is_some())
    })
    .await;
    let unstarted: Vec<u128> = (0..6)
        .filter(|number| rig.ended(*number).is_some())
        .collect();
    {
        let inside = rig.engine.inside();
        assert!(inside.stopped.is_empty(), "stopped: {:?}", inside.stopped);
        for number in 0..6 {
            let name = container_name(attempt(number));
            assert_eq!(inside.created[&name], 1, "created {name}");
            let started = inside.started.get(&name).copied().unwrap_or(0);
            let runs = !unstarted.contains(&number);
            assert_eq!(started, u32::from(runs), "started {name}");
            assert_eq!(inside.removed.contains(&name), !runs, "removed {name}");
        }
    }
    for number in &unstarted {
        let ended = rig.ended(*number).unwrap();
        assert_eq!(ended.outcome, EndOutcome::Failed);
        assert!(ended.system_error, "{ended:?}");
    }
    let mut items = runs(0..4);
    items.extend([stops(4), stops(5)]);
    rig.engine.inside().faults_per_mille = 200;
    rig.assign(items.clone()).await;
    rig.idle(Duration::from_millis(20 + seed)).await;
    rig.start().await;
    rig.engine.inside().faults_per_mille = 0;
    // The agent may have died before it had them; a control plane tells them again on each connection.
    rig.assign(items).await;
    rig.until("two are stopped", |rig| {
        [4, 5].iter().all(|number| {
            unstarted.contains(number)
                || rig
                    .ended(*number)
                    .is_some_and(|ended| ended.outcome == EndOutcome::Stopped)
        })
    })
    .await;
    let inside = rig.engine.inside();
    let ordered = [container_name(attempt(4)), container_name(attempt(5))];
    assert!(inside.stopped.iter().all(|name| ordered.contains(name)));
    assert!(inside.started.values().all(|count| *count == 1));
}

/// A daemon that was killed while it started a container calls it created, and does not reach what runs of it.
#[tokio::test]
async fn a_start_that_the_engine_forgot_is_undone_and_not_repeated() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..2)).await;
    rig.until("both run", |rig| rig.runs(0) && rig.runs(1))
        .await;
    rig.kill().await;
    let id = {
        let mut inside = rig.engine.inside();
        let found = inside.find(&container_name(attempt(0))).unwrap();
        found.state = ContainerState::Created;
        found.started_at = None;
        let id = found.id.clone();
        inside.forgotten.insert(id.clone());
        id
    };
    rig.start().await;
    rig.until("it is told", |rig| rig.ended(0).is_some()).await;
    let ended = rig.ended(0).unwrap();
    assert_eq!(ended.outcome, EndOutcome::Failed);
    assert!(ended.system_error);
    let inside = rig.engine.inside();
    assert!(inside.forgotten.is_empty(), "nothing runs of it");
    assert!(!inside.containers.contains_key(&id));
    assert!(inside.started.values().all(|count| *count == 1));
    assert!(inside.stopped.is_empty());
    drop(inside);
    assert!(rig.runs(1));
}

#[tokio::test]
async fn an_old_fence_changes_nothing() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign_at(Fence { epoch: 5, seq: 50 }, runs(0..2)).await;
    rig.until("both run", |rig| rig.runs(0) && rig.runs(1))
        .await;
    for fence in [Fence { epoch: 4, seq: 99 }, Fence { epoch: 6, seq: 49 }] {
        rig.fenced.clear();
        rig.assign_at(fence, vec![stops(0), stops(1)]).await;
        rig.until("it refuses", |rig| !rig.fenced.is_empty()).await;
        assert_eq!(rig.fenced, [Fence { epoch: 5, seq: 50 }]);
    }
    // Also after a restart of the agent.
    rig.start().await;
    rig.fenced.clear();
    rig.assign_at(Fence { epoch: 4, seq: 99 }, vec![stops(0)])
        .await;
    rig.until("it refuses", |rig| !rig.fenced.is_empty()).await;
    rig.idle(Duration::from_millis(300)).await;
    assert!(rig.engine.inside().stopped.is_empty());
}

/// An old copy of the journal wants to run what has ended since, and whose container and marker are long gone.
#[tokio::test]
async fn older_orders_that_a_person_allowed_begin_nothing_again() {
    let mut rig = Rig::new(1);
    rig.start().await;
    let heard = Fence { epoch: 5, seq: 50 };
    rig.assign_at(heard, runs(0..1)).await;
    rig.until("it runs", |rig| rig.runs(0)).await;
    rig.assign_instead_of(Some(heard), Fence { epoch: 6, seq: 20 }, runs(0..2))
        .await;
    let ended = |rig: &Rig| {
        let status = rig.attempts.get(&attempt(1));
        matches!(status.map(|status| &status.phase), Some(Phase::Ended(_)))
    };
    rig.until("the other one is told as lost", ended).await;
    assert!(rig.runs(0), "what runs is taken up");
    assert_eq!(rig.engine.inside().started.len(), 1);
    // What is placed from there on is new.
    rig.assign_at(Fence { epoch: 6, seq: 21 }, runs(0..3)).await;
    rig.until("a new one runs", |rig| rig.runs(2)).await;
    assert_eq!(rig.engine.inside().started.len(), 2);
}

#[tokio::test]
async fn orders_that_cannot_be_written_down_are_followed_once_they_can() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..1)).await;
    rig.until("it runs", |rig| rig.runs(0)).await;
    // What stands where the next version is to be written keeps it from being written, as a full disk does.
    let in_the_way = rig.home.join("orders.new");
    std::fs::create_dir(&in_the_way).unwrap();
    rig.assign(vec![stops(0)]).await;
    rig.until("it is told", |rig| {
        rig.facts
            .as_ref()
            .and_then(|facts| facts.not_ready.as_deref())
            .is_some_and(|why| why.starts_with("the agent cannot write its orders down"))
    })
    .await;
    assert!(rig.engine.inside().stopped.is_empty());
    std::fs::remove_dir(&in_the_way).unwrap();
    // Nobody says it again.
    rig.until("it is stopped", |rig| rig.ended(0).is_some())
        .await;
    rig.until("the host is ready again", |rig| {
        rig.facts
            .as_ref()
            .is_some_and(|facts| facts.not_ready.is_none())
    })
    .await;
}

#[tokio::test]
async fn orders_for_another_host_are_not_followed() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..1)).await;
    rig.until("it runs", |rig| rig.runs(0)).await;
    let stray = Assignments {
        cell: config(&rig.home).cell,
        host: muster_schemas::ids::HostId(uuid::Uuid::from_u128(99)),
        fence: Fence { epoch: 9, seq: 99 },
        items: vec![stops(0)],
        put_back: Vec::new(),
        supersedes: None,
    };
    let agent = rig.agent.as_ref().unwrap();
    agent
        .to_agent
        .send(ToAgent::Assignments(stray))
        .await
        .unwrap();
    rig.idle(Duration::from_millis(500)).await;
    assert!(rig.engine.inside().stopped.is_empty());
    // The stray fence was not heard either.
    rig.assign(runs(0..2)).await;
    rig.until("the next runs", |rig| rig.runs(1)).await;
}

#[tokio::test]
async fn an_orphan_is_told_and_left_alone() {
    let mut rig = Rig::new(1);
    let mut other_hosts = container(&launch(8), ContainerState::Running);
    other_hosts.id = "other".into();
    other_hosts
        .labels
        .insert("muster.host".into(), "another".into());
    let orphan = container(&launch(9), ContainerState::Running);
    for container in [&other_hosts, &orphan] {
        rig.engine
            .inside()
            .containers
            .insert(container.id.clone(), container.clone());
    }
    rig.start().await;
    rig.assign(runs(0..1)).await;
    rig.until("it runs and a complete report came", |rig| {
        rig.runs(0) && rig.last_complete.is_some()
    })
    .await;
    let orphans = rig.last_complete.clone().unwrap().orphans;
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].container, orphan.id);
    assert_eq!(orphans[0].attempt, Some(attempt(9)));
    assert!(orphans[0].running);
    // No assignments at all make everything an orphan, and stop nothing.
    rig.assign(Vec::new()).await;
    rig.last_complete = None;
    rig.until("all are orphans", |rig| {
        rig.last_complete
            .as_ref()
            .is_some_and(|report| report.orphans.len() == 2)
    })
    .await;
    let inside = rig.engine.inside();
    assert!(inside.stopped.is_empty() && inside.removed.is_empty());
}

#[tokio::test]
async fn an_engine_that_is_away_is_not_evidence() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..2)).await;
    rig.until("both run", |rig| rig.runs(0) && rig.runs(1))
        .await;
    rig.engine.inside().away = true;
    rig.until("it is told", |rig| {
        rig.facts
            .as_ref()
            .and_then(|facts| facts.not_ready.as_deref())
            .is_some_and(|why| why.starts_with("the engine does not answer"))
    })
    .await;
    rig.last_complete = None;
    rig.assign(runs(0..3)).await;
    rig.idle(Duration::from_secs(6)).await;
    assert_eq!(rig.last_complete, None);
    assert!(rig.runs(0) && rig.runs(1));
    rig.engine.inside().away = false;
    rig.until("the third runs", |rig| rig.runs(2)).await;
    rig.until("it is ready again", |rig| {
        rig.facts
            .as_ref()
            .is_some_and(|facts| facts.not_ready.is_none())
    })
    .await;
    assert!(rig.runs(0) && rig.runs(1));
    assert!(
        rig.engine
            .inside()
            .started
            .values()
            .all(|count| *count == 1)
    );
}

#[tokio::test]
async fn a_container_that_was_removed_by_hand_is_lost_and_not_made_again() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..1)).await;
    rig.until("it runs", |rig| rig.runs(0)).await;
    rig.engine.inside().containers.clear();
    rig.until("it is lost", |rig| rig.ended(0).is_some()).await;
    let ended = rig.ended(0).unwrap().clone();
    assert_eq!(ended.outcome, EndOutcome::Lost);
    assert!(ended.system_error);
    rig.start().await;
    rig.idle(Duration::from_millis(500)).await;
    assert_eq!(rig.ended(0), Some(&ended));
    assert!(
        rig.engine
            .inside()
            .created
            .values()
            .all(|count| *count == 1)
    );
}

#[tokio::test]
async fn an_end_is_kept_until_it_is_to_be_removed() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..1)).await;
    rig.until("it runs", |rig| rig.runs(0)).await;
    let name = container_name(attempt(0));
    rig.engine.inside().exit(&name, 3);
    rig.until("it ended", |rig| rig.ended(0).is_some()).await;
    assert_eq!(rig.ended(0).unwrap().message, "exited with 3");
    assert_eq!(rig.ended(0).unwrap().outcome, EndOutcome::Failed);
    rig.assign(vec![Assignment::Keep {
        attempt: attempt(0),
    }])
    .await;
    rig.idle(Duration::from_millis(500)).await;
    assert!(rig.engine.inside().removed.is_empty());
    rig.assign(vec![Assignment::Remove {
        attempt: attempt(0),
    }])
    .await;
    rig.until("it is gone", |rig| {
        rig.engine.inside().removed == [name.clone()]
            && rig
                .last_complete
                .as_ref()
                .is_some_and(|report| report.attempts.is_empty())
    })
    .await;
    assert_eq!(
        std::fs::read_dir(rig.home.join("attempts"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn what_is_stopped_before_it_began_never_begins() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(vec![stops(0)]).await;
    rig.until("it ended", |rig| rig.ended(0).is_some()).await;
    assert_eq!(rig.ended(0).unwrap().outcome, EndOutcome::Stopped);
    // Not even when a control plane changes its mind.
    rig.assign(runs(0..1)).await;
    rig.idle(Duration::from_millis(500)).await;
    assert!(rig.engine.inside().created.is_empty());
}

#[tokio::test]
async fn a_pull_that_fails_says_why_and_goes_on_trying() {
    let mut rig = Rig::new(1);
    rig.engine.inside().images.clear();
    rig.start().await;
    rig.assign(runs(0..3)).await;
    rig.until("it waits", |rig| {
        rig.attempts
            .values()
            .filter(|status| matches!(&status.phase, Phase::Waiting { message, .. } if message.contains("manifest unknown")))
            .count()
            == 3
    })
    .await;
    // A stop order does not wait for the pause to end.
    let mut items = runs(0..2);
    items.push(stops(2));
    rig.assign(items).await;
    rig.until("the third is stopped", |rig| rig.ended(2).is_some())
        .await;
    rig.engine.inside().registry.push(launch(0).image);
    rig.until("both run", |rig| rig.runs(0) && rig.runs(1))
        .await;
    assert_eq!(rig.engine.inside().images.len(), 1);
}

#[tokio::test]
async fn each_connection_begins_with_a_greeting_and_all_there_is() {
    let mut rig = Rig::new(1);
    rig.start().await;
    rig.assign(runs(0..1)).await;
    rig.until("it runs", |rig| rig.runs(0)).await;
    let agent = rig.agent.as_ref().unwrap();
    agent
        .link
        .send(LinkState::Down {
            why: "a test".to_owned(),
        })
        .unwrap();
    rig.idle(Duration::from_millis(300)).await;
    (rig.facts, rig.last_complete) = (None, None);
    rig.idle(Duration::from_millis(300)).await;
    assert_eq!(rig.last_complete, None);
    rig.agent
        .as_ref()
        .unwrap()
        .link
        .send(LinkState::Up)
        .unwrap();
    rig.hear().await;
    assert!(rig.facts.is_some(), "the greeting comes first");
    rig.hear().await;
    let report = rig.last_complete.as_ref().expect("all there is comes next");
    assert_eq!(report.attempts.len(), 1);
}
