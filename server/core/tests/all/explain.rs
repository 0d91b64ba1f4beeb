//! Why a task waits, what would let it start, and whether a host can take a task: told by what places.

use crate::common::{World, service};
use jiff::SignedDuration;
use muster_core::view::{explain, why_not};
use muster_schemas::explain::{Explanation, Obstacle};
use muster_schemas::ids::{HostId, JobId};
use muster_schemas::spec::{Bytes, CpuMillis, DelayedRetry, JobSpec, Millis, Port, RetryPolicy};
use muster_schemas::state::TaskState;

fn explained(world: &World, task: &str) -> Explanation {
    let id = task.parse().expect("a task id");
    let task = world.task(&id);
    let job = &world.fleet.jobs[&id.job];
    explain(&world.fleet, job, task, world.now)
}

fn told(obstacles: &[Obstacle]) -> String {
    let lines = obstacles.iter();
    let lines = lines.map(|obstacle| format!("- {}\n  {}", obstacle.why, obstacle.remedy));
    lines.collect::<Vec<_>>().join("\n")
}

fn nearest(explanation: &Explanation) -> String {
    let hosts = explanation.nearest.iter();
    let hosts =
        hosts.map(|near| format!("{} in {}\n{}", near.host, near.zone, told(&near.obstacles)));
    hosts.collect::<Vec<_>>().join("\n")
}

fn sized(name: &str, desired: u32, cpus: u32, gib: u64) -> JobSpec {
    let mut spec = service(name, desired);
    spec.resources.cpu = CpuMillis(cpus * 1000);
    spec.resources.memory = Bytes(gib << 30);
    spec
}

fn host(world: &World, name: &str) -> HostId {
    let mut hosts = world.fleet.hosts.values();
    hosts
        .find(|host| host.name == name)
        .expect("it is there")
        .id
}

/// All that is in the way of the nearest hosts is told at once, with what would remove it: not one thing after the other.
#[test]
fn what_fits_nowhere_is_told_with_the_nearest_hosts_and_what_would_help() {
    let mut world = World::new(3);
    world.commit(vec![sized("base", 3, 6, 10)], None);
    world.pass(5);
    let mut picky = sized("picky", 1, 4, 8);
    picky.constraints.hard.zones = vec!["b".to_owned()];
    let huge = sized("huge", 1, 16, 8);
    world.commit(vec![sized("base", 3, 6, 10), picky, huge], None);
    world.pass(5);
    let explanation = explained(&world, "picky.0");
    assert_eq!(explanation.state, TaskState::Queued);
    assert_eq!(explanation.could_take, [""; 0]);
    insta::assert_snapshot!(explanation.says, @"none of 3 hosts can take it: 2 hosts: in no zone that the job names: host-0, host-2; 1 host: too little CPU (has 2 CPUs free, needs 4 CPUs): host-1");
    insta::assert_snapshot!(nearest(&explanation), @"
    host-1 in b
    - too little CPU (has 2 CPUs free, needs 4 CPUs)
      free 2 CPUs more there, add a host, or ask for less in `resources.cpu`
    - too little memory (has 6 GiB free, needs 8 GiB)
      free 2 GiB more there, add a host, or ask for less in `resources.memory`
    host-0 in a
    - it is in zone a
      add `a` to `constraints.hard.zones`, or hosts to the zones that stand there
    - too little CPU (has 2 CPUs free, needs 4 CPUs)
      free 2 CPUs more there, add a host, or ask for less in `resources.cpu`
    - too little memory (has 6 GiB free, needs 8 GiB)
      free 2 GiB more there, add a host, or ask for less in `resources.memory`
    host-2 in c
    - it is in zone c
      add `c` to `constraints.hard.zones`, or hosts to the zones that stand there
    - too little CPU (has 2 CPUs free, needs 4 CPUs)
      free 2 CPUs more there, add a host, or ask for less in `resources.cpu`
    - too little memory (has 6 GiB free, needs 8 GiB)
      free 2 GiB more there, add a host, or ask for less in `resources.memory`
    ");
    insta::assert_snapshot!(nearest(&explained(&world, "huge.0")), @"
    host-0 in a
    - too little CPU (has 2 CPUs free, needs 16 CPUs)
      add a larger host, or ask for less in `resources.cpu`: this one has 8 CPUs in all
    - too little memory (has 6 GiB free, needs 8 GiB)
      free 2 GiB more there, add a host, or ask for less in `resources.memory`
    host-1 in b
    - too little CPU (has 2 CPUs free, needs 16 CPUs)
      add a larger host, or ask for less in `resources.cpu`: this one has 8 CPUs in all
    - too little memory (has 6 GiB free, needs 8 GiB)
      free 2 GiB more there, add a host, or ask for less in `resources.memory`
    host-2 in c
    - too little CPU (has 2 CPUs free, needs 16 CPUs)
      add a larger host, or ask for less in `resources.cpu`: this one has 8 CPUs in all
    - too little memory (has 6 GiB free, needs 8 GiB)
      free 2 GiB more there, add a host, or ask for less in `resources.memory`
    ");
    // What is said there is what is said of the host alone.
    let of_host = why_not(
        &world.fleet,
        &world.fleet.jobs[&JobId::from("picky")],
        host(&world, "host-1"),
        world.now,
    );
    let of_host = of_host.expect("there is such a host");
    assert!(!of_host.can);
    assert_eq!(of_host.obstacles, explanation.nearest[0].obstacles);
}

#[test]
fn a_host_that_can_take_a_task_is_said_to() {
    let mut world = World::new(2);
    let mut web = sized("web", 2, 1, 1);
    web.ports = vec![Port {
        name: "http".to_owned(),
        port: 80,
        host_port: Some(8080),
    }];
    world.commit(vec![web], None);
    world.pass(5);
    world.add_host();
    let job = &world.fleet.jobs[&JobId::from("web")];
    let of = |name: &str| {
        why_not(&world.fleet, job, host(&world, name), world.now).expect("it is there")
    };
    assert!(of("host-2").can);
    assert_eq!((of("host-2").tasks, of("host-0").tasks), (0, 1));
    insta::assert_snapshot!(told(&of("host-0").obstacles), @"
    - host port 8080 is taken
      stop what has port 8080 there, take another `hostPort`, or leave it out: without one any host will do
    ");
    let unknown = HostId(uuid::Uuid::from_u128(99));
    assert_eq!(why_not(&world.fleet, job, unknown, world.now), None);
}

/// What is not due to be placed has a reason of its own, and no hosts are counted for it.
#[test]
fn what_does_not_wait_for_a_host_says_what_it_does() {
    let mut world = World::new(1);
    let mut web = service("web", 1);
    web.service.as_mut().expect("a service").retry = RetryPolicy::Delayed(DelayedRetry {
        delay: Millis::secs(60),
        retries: None,
    });
    world.commit(vec![web], None);
    world.pass(5);
    let running = explained(&world, "web.0");
    assert_eq!(
        (running.state, running.blocked, running.ahead),
        (TaskState::Running, None, 0)
    );
    world.exit("web.0", 1);
    let backing_off = explained(&world, "web.0");
    assert_eq!(backing_off.state, TaskState::Queued);
    assert_eq!(backing_off.nearest, []);
    assert!(
        backing_off.says.contains("the next attempt comes at"),
        "{}",
        backing_off.says
    );
}

/// Between two passes a host may come that can take what was blocked.
#[test]
fn what_is_placed_next_says_so() {
    let mut world = World::new(1);
    world.commit(vec![sized("base", 1, 8, 8)], None);
    world.pass(5);
    world.commit(vec![sized("base", 1, 8, 8), sized("web", 2, 2, 2)], None);
    world.pass(5);
    assert_eq!(explained(&world, "web.0").ahead, 0);
    assert_eq!(explained(&world, "web.1").ahead, 1);
    assert_eq!(explained(&world, "web.1").could_take, [""; 0]);
    let mut later = world.fleet.clone();
    let facts = later.hosts.values_mut().next().expect("one");
    facts
        .facts
        .as_mut()
        .expect("it has told them")
        .resources
        .cpu = CpuMillis(64_000);
    let id = "web.1".parse().expect("a task id");
    let job = &later.jobs[&JobId::from("web")];
    let explanation = explain(
        &later,
        job,
        &job.tasks[&1],
        world.now + SignedDuration::from_secs(1),
    );
    assert_eq!(explanation.task, world.task(&id).id.to_string());
    assert_eq!(explanation.could_take, ["host-0"]);
    insta::assert_snapshot!(explanation.says, @"1 task is placed before it; after that it goes to what they leave: host-0 can take it now");
}
