//! What somebody changes on running containers: it is told, and put back on an order alone, without a stop.

use super::*;
use crate::runtime::settings::Settings;
use muster_schemas::drift::FieldDrift;
use muster_schemas::wire::PutBack;

/// How late drift may be told, and how late it may have been put back.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
const PUT_BACK_WITHIN: Duration = Duration::from_secs(10);

impl Rig {
    async fn running(seed: u64, count: u128) -> Self {
        let mut rig = Self::new(seed);
        rig.start().await;
        rig.assign(runs(0..count)).await;
        rig.until("all run", |rig| (0..count).all(|number| rig.runs(number)))
            .await;
        rig
    }

    /// With the engine's own tools.
    fn change(&self, number: u128, change: impl FnOnce(&mut Settings)) {
        let mut inside = self.engine.inside();
        let found = inside.find(&container_name(attempt(number))).unwrap();
        change(found.settings.as_mut().unwrap());
        found.name = found.settings.as_ref().unwrap().name.clone();
    }

    fn drift(&self, number: u128) -> Vec<FieldDrift> {
        let status = self.attempts.get(&attempt(number));
        status.map_or(Vec::new(), |status| status.drift.clone())
    }

    fn fields(&self, number: u128) -> Vec<DriftField> {
        self.drift(number)
            .into_iter()
            .map(|drift| drift.field)
            .collect()
    }

    async fn order(&mut self, count: u128, number: u128, fields: &[DriftField]) {
        self.seq += 1;
        let order = PutBack {
            attempt: attempt(number),
            fields: fields.to_vec(),
        };
        let assignments = Assignments {
            cell: config(&self.home).cell,
            host: config(&self.home).host,
            fence: Fence {
                epoch: 1,
                seq: self.seq,
            },
            items: runs(0..count),
            put_back: vec![order],
            supersedes: None,
        };
        let agent = self.agent.as_ref().unwrap();
        let message = ToAgent::Assignments(assignments);
        agent.to_agent.send(message).await.unwrap();
    }

    fn was_left_running(&self) {
        let inside = self.engine.inside();
        assert!(inside.stopped.is_empty() && inside.removed.is_empty());
        assert!(inside.started.values().all(|count| *count == 1));
    }
}

#[tokio::test]
async fn what_somebody_changes_is_told_by_field_within_five_seconds_and_left_alone() {
    let mut rig = Rig::running(1, 2).await;
    assert_eq!(rig.drift(0), []);
    let changed_at = Instant::now();
    rig.change(0, |settings| {
        settings.memory_bytes = 256 << 20;
        settings.memory_swap_bytes = 256 << 20;
        settings.restart = "always".to_owned();
    });
    rig.until("it is told", |rig| !rig.drift(0).is_empty())
        .await;
    assert!(changed_at.elapsed() < TOLD_WITHIN);
    assert_eq!(
        rig.fields(0),
        [
            DriftField::Memory,
            DriftField::MemorySwap,
            DriftField::RestartPolicy
        ]
    );
    let memory = &rig.drift(0)[0];
    assert_eq!(
        (memory.wanted.as_str(), memory.found.as_str()),
        ("128MiB", "256MiB")
    );
    assert_eq!(rig.drift(1), []);
    // Nobody ordered anything.
    rig.idle(Duration::from_secs(3)).await;
    assert_eq!(rig.engine.inside().put_back, []);
    // Who undoes it himself is believed.
    rig.change(0, |settings| {
        settings.memory_bytes = 128 << 20;
        settings.memory_swap_bytes = 128 << 20;
        settings.restart = "no".to_owned();
    });
    rig.until("it is gone", |rig| rig.drift(0).is_empty()).await;
    rig.was_left_running();
}

#[tokio::test]
async fn on_an_order_it_is_put_back_within_ten_seconds_and_nothing_is_stopped() {
    let mut rig = Rig::running(1, 2).await;
    for number in [0, 1] {
        rig.change(number, |settings| {
            settings.pids = 16;
            settings.paused = true;
            settings.networks.insert("another".to_owned());
        });
    }
    rig.until("both are told", |rig| {
        rig.drift(0).len() == 3 && rig.drift(1).len() == 3
    })
    .await;
    let ordered_at = Instant::now();
    rig.order(2, 0, &[DriftField::Pids, DriftField::Paused])
        .await;
    rig.until("what was ordered is put back", |rig| {
        rig.fields(0).len() == 1
    })
    .await;
    assert!(ordered_at.elapsed() < PUT_BACK_WITHIN);
    assert_eq!(rig.fields(0), [DriftField::Networks]);
    // Neither the rest nor the other container.
    assert_eq!(rig.drift(1).len(), 3);
    let name = container_name(attempt(0));
    let fields = vec![DriftField::Pids, DriftField::Paused];
    assert_eq!(rig.engine.inside().put_back, [(name, fields)]);
    rig.was_left_running();
}

#[tokio::test]
async fn what_the_engine_does_not_put_back_is_told_with_the_reason_and_delays_no_stop() {
    let mut rig = Rig::running(1, 2).await;
    rig.engine.inside().refuses_to_put_back = Some("not on this kernel".to_owned());
    rig.change(0, |settings| settings.pids = 16);
    rig.order(2, 0, &[DriftField::Pids]).await;
    rig.until("it is told", |rig| {
        rig.drift(0).iter().any(|drift| {
            drift
                .stuck
                .as_ref()
                .is_some_and(|why| why.contains("not on this kernel"))
        })
    })
    .await;
    rig.was_left_running();
    // A later try does it, once it can be done.
    rig.engine.inside().refuses_to_put_back = None;
    rig.until("it is put back", |rig| rig.drift(0).is_empty())
        .await;
    rig.was_left_running();
    rig.engine.inside().refuses_to_put_back = Some("not again".to_owned());
    rig.change(0, |settings| settings.pids = 16);
    rig.until("it is told again", |rig| {
        rig.drift(0).iter().any(|drift| drift.stuck.is_some())
    })
    .await;
    rig.assign(vec![stops(0), runs(1..2).remove(0)]).await;
    rig.until("it is stopped", |rig| rig.ended(0).is_some())
        .await;
    assert_eq!(rig.drift(0), []);
}

#[tokio::test]
async fn a_bound_on_memory_is_not_put_back_on_a_container_that_uses_more() {
    let mut rig = Rig::running(1, 1).await;
    rig.engine.inside().memory_in_use = Some(200 << 20);
    rig.change(0, |settings| {
        settings.memory_bytes = 256 << 20;
        settings.cpu_millis = 2000;
    });
    rig.order(1, 0, &[DriftField::Memory, DriftField::Cpu])
        .await;
    rig.until("the memory is stuck and the CPU put back", |rig| {
        rig.fields(0) == [DriftField::Memory] && rig.drift(0)[0].stuck.is_some()
    })
    .await;
    let why = rig.drift(0)[0].stuck.clone().unwrap();
    assert_eq!(
        why,
        "it uses 200 MiB of memory, too much for its bound of 128 MiB"
    );
    let put_back: Vec<_> = rig.engine.inside().put_back.clone();
    assert!(
        put_back
            .iter()
            .all(|(_, fields)| *fields == [DriftField::Cpu]),
        "{put_back:?}"
    );
    rig.was_left_running();
}

/// A container that somebody renamed is the attempt's all the same: it is neither lost nor an orphan, and not made again.
#[tokio::test]
async fn a_renamed_container_is_still_the_attempts() {
    let mut rig = Rig::running(1, 1).await;
    rig.change(0, |settings| settings.name = "mine".to_owned());
    rig.until("it is told", |rig| rig.fields(0) == [DriftField::Name])
        .await;
    assert!(rig.runs(0));
    rig.start().await;
    rig.last_complete = None;
    rig.until("a new agent knows it, too", |rig| {
        rig.last_complete.is_some()
    })
    .await;
    assert!(rig.runs(0));
    assert_eq!(rig.last_complete.as_ref().unwrap().orphans, []);
    assert!(
        rig.engine
            .inside()
            .created
            .values()
            .all(|count| *count == 1)
    );
    // A copy that has taken its name and labels is not taken for it.
    let copy = crate::runtime::Container {
        id: "copy".to_owned(),
        ..container(&launch(0), ContainerState::Running)
    };
    rig.engine.inside().containers.insert(copy.id.clone(), copy);
    rig.idle(Duration::from_secs(3)).await;
    assert_eq!(rig.fields(0), [DriftField::Name]);
    rig.engine.inside().containers.remove("copy");
    rig.order(1, 0, &[DriftField::Name]).await;
    rig.until("it has its name again", |rig| rig.drift(0).is_empty())
        .await;
    rig.was_left_running();
}

#[tokio::test]
async fn drift_is_known_over_a_restart_of_the_agent() {
    let mut rig = Rig::running(1, 1).await;
    rig.kill().await;
    rig.change(0, |settings| settings.cpu_millis = 2000);
    rig.start().await;
    rig.until("it is told", |rig| rig.fields(0) == [DriftField::Cpu])
        .await;
    rig.was_left_running();
}
