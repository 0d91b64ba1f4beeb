//! `muster bench schedule`: how fast tasks find their hosts.

use super::check::{Placed, violations};
use super::trace;
use super::workload::{self, Mix, Tasks};
use anyhow::ensure;
use muster_core::fleet::Host;
use muster_core::place::{Board, Class};
use muster_schemas::spec::{Bytes, CpuMillis, JobSpec, Tier};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// So many single urgent tasks are placed on the fleet as the rest has left it.
const URGENT: u32 = 1000;

/// What is to be placed, and where.
#[derive(Debug)]
pub enum Input {
    /// Made from a seed.
    Made {
        /// So many hosts.
        hosts: u32,
        /// So many tasks run already.
        running: u32,
        /// So many are to be placed.
        tasks: u32,
        /// What kind of jobs they belong to.
        mix: Mix,
        /// The same one gives the same.
        seed: u64,
    },
    /// Of a trace, so many times.
    Trace {
        /// The list of hosts.
        nodes: PathBuf,
        /// The list of pods.
        pods: PathBuf,
        /// So many times both.
        scale: u32,
    },
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Hosts.
    pub hosts: usize,
    /// Tasks that ran before.
    pub running: usize,
    /// Jobs with a task to place.
    pub jobs: usize,
    /// Tasks that found a host.
    pub placed: u64,
    /// Tasks that fit nowhere.
    pub unplaced: u64,
    /// Of the decisions alone: on a board that is there, without the journal, the fold and the orders.
    pub placements_per_second: f64,
    /// Half of the decisions took at most so many microseconds; the first of a job has what is looked up for all of it.
    pub decision_p50_us: f64,
    /// And 99 of a hundred.
    pub decision_p99_us: f64,
    /// And all.
    pub decision_max_us: f64,
    /// To make the board of all hosts with what runs on them, which each pass of the control loop that places something does.
    pub board_seconds: f64,
    /// A single critical task of a job of its own, on the fleet as it is then.
    pub urgent_p50_us: f64,
    /// And 99 of a hundred.
    pub urgent_p99_us: f64,
    /// So many of the thousand found a host.
    pub urgent_placed: u32,
    /// By a plain look at every host, in the end.
    pub hard_constraint_violations: u64,
    /// Of all hosts' CPUs, memory and GPUs, so many hundredths are sold in the end.
    pub cpu_percent: f64,
    /// Of their memory.
    pub memory_percent: f64,
    /// Of their GPUs.
    pub gpu_percent: f64,
}

/// Places it.
///
/// # Errors
///
/// A trace that cannot be read, or hosts that cannot take what is to run before.
pub fn run(input: &Input) -> anyhow::Result<Outcome> {
    let (hosts, before, jobs) = match input {
        Input::Made {
            hosts,
            running,
            tasks,
            mix,
            seed,
        } => {
            // What runs is as mixed as ever: a service that is placed meets all kinds of neighbours.
            let before = match mix {
                Mix::Service => Mix::Mixed,
                Mix::Mixed | Mix::Plain => *mix,
            };
            (
                workload::hosts(*hosts, *seed),
                workload::jobs(before, *running, "old", seed.wrapping_add(1)),
                workload::jobs(*mix, *tasks, "new", seed.wrapping_add(2)),
            )
        }
        Input::Trace { nodes, pods, scale } => (
            trace::hosts(nodes, *scale)?,
            Vec::new(),
            trace::jobs(pods, *scale)?,
        ),
    };
    ensure!(!hosts.is_empty(), "there are no hosts to place anything on");
    let mut placed = fill(&hosts, &before);
    let running = placed.len();

    let begin = Instant::now();
    let mut board = board_of(&hosts, &placed);
    let board_seconds = begin.elapsed().as_secs_f64();

    let mut times = Vec::new();
    let mut unplaced = 0;
    for job in &jobs {
        let mut class = None;
        for _ in 0..job.count {
            let begin = Instant::now();
            let class = class.get_or_insert_with(|| Class::new(&mut board, &job.spec));
            let at = class.place(&mut board);
            times.push(begin.elapsed());
            match at.and_then(|at| board.host(at)) {
                Some(host) => placed.push((&job.spec, host.id)),
                None => unplaced += 1,
            }
        }
    }
    let seconds = times.iter().sum::<Duration>().as_secs_f64();
    let decided = placed.len() - running;

    let urgent = urgent();
    let mut urgent_times = Vec::new();
    let mut urgent_placed = 0;
    for spec in &urgent {
        let begin = Instant::now();
        let at = Class::new(&mut board, spec).place(&mut board);
        urgent_times.push(begin.elapsed());
        if let Some(host) = at.and_then(|at| board.host(at)) {
            placed.push((spec, host.id));
            urgent_placed += 1;
        }
    }
    let [cpu_percent, memory_percent, gpu_percent] = sold(&hosts, &placed);
    Ok(Outcome {
        hosts: hosts.len(),
        running,
        jobs: jobs.len(),
        placed: decided as u64,
        unplaced,
        placements_per_second: decided as f64 / seconds.max(f64::MIN_POSITIVE),
        decision_p50_us: quantile(&mut times, 0.5),
        decision_p99_us: quantile(&mut times, 0.99),
        decision_max_us: quantile(&mut times, 1.0),
        board_seconds,
        urgent_p50_us: quantile(&mut urgent_times, 0.5),
        urgent_p99_us: quantile(&mut urgent_times, 0.99),
        urgent_placed,
        hard_constraint_violations: violations(&hosts, &placed, before.iter().chain(&jobs)),
        cpu_percent,
        memory_percent,
        gpu_percent,
    })
}

/// A board of the hosts on which that runs.
fn board_of<'a>(hosts: &'a [Host], placed: &Placed<'_>) -> Board<'a> {
    let mut board = Board::with_hosts(hosts.iter());
    for (spec, host) in placed {
        if let Some(at) = board.at(*host) {
            board.put(at, spec, false);
        }
    }
    board
}

/// Places what is to run before. What does not fit is left out.
fn fill<'a>(hosts: &[Host], jobs: &'a [Tasks]) -> Placed<'a> {
    let mut placed = Vec::new();
    let mut board = board_of(hosts, &placed);
    let mut launching = 0;
    for job in jobs {
        // No host takes more than some launches at once: every now and then all of them are over.
        if launching > 8 * hosts.len() {
            board = board_of(hosts, &placed);
            launching = 0;
        }
        let mut class = Class::new(&mut board, &job.spec);
        for _ in 0..job.count {
            let at = class.place(&mut board);
            let Some(host) = at.and_then(|at| board.host(at)) else {
                break;
            };
            placed.push((&job.spec, host.id));
            launching += 1;
        }
    }
    placed
}

fn urgent() -> Vec<JobSpec> {
    let job = |number| {
        let mut spec = workload::job(&format!("urgent-{number}"), true, Tier::Critical);
        spec.resources.cpu = CpuMillis(500);
        spec.resources.memory = Bytes(1 << 30);
        spec
    };
    (0..URGENT).map(job).collect()
}

/// The value below which this part of them is, in microseconds.
fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let at = (part * last as f64).round() as usize;
    times
        .get(at)
        .map_or(0.0, |time| time.as_secs_f64() * 1_000_000.0)
}

/// How much of the hosts' CPUs, memory and GPUs is sold, in hundredths.
fn sold(hosts: &[Host], placed: &Placed<'_>) -> [f64; 3] {
    let resources = hosts
        .iter()
        .filter_map(|host| Some(&host.facts.as_ref()?.resources));
    let mut has = [0.0; 3];
    for of in resources {
        has[0] += f64::from(of.cpu.0);
        has[1] += of.memory.0 as f64;
        has[2] += f64::from(of.gpu);
    }
    let mut taken = [0.0; 3];
    for (spec, _) in placed {
        taken[0] += f64::from(spec.resources.cpu.0);
        taken[1] += spec.resources.memory.0 as f64;
        taken[2] += f64::from(spec.resources.gpu);
    }
    std::array::from_fn(|kind| match has[kind] {
        0.0 => 0.0,
        has => 100.0 * taken[kind] / has,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(hosts: u32, running: u32, tasks: u32, mix: Mix) -> Outcome {
        let seed = 7;
        run(&Input::Made {
            hosts,
            running,
            tasks,
            mix,
            seed,
        })
        .expect("it is placed")
    }

    #[test]
    fn what_is_placed_is_placed_where_it_may_be() {
        for mix in [Mix::Mixed, Mix::Plain, Mix::Service] {
            let outcome = made(200, 1500, 800, mix);
            assert_eq!(outcome.hard_constraint_violations, 0, "{mix:?}");
            assert!(outcome.running >= 1000, "{mix:?}: {outcome:?}");
            assert!(outcome.placed >= 700, "{mix:?}: {outcome:?}");
            assert_eq!(outcome.placed + outcome.unplaced, 800);
        }
    }

    /// A check that finds nothing finds nothing wrong.
    #[test]
    fn the_check_sees_what_is_wrong() {
        let hosts = workload::hosts(6, 1);
        let mut spec = workload::job("web", true, Tier::Critical);
        spec.constraints.hard.zone_balance = true;
        spec.constraints.hard.unique_host = true;
        spec.resources.cpu = CpuMillis(60_000);
        let jobs = [Tasks { spec, count: 2 }];
        let placed: Placed<'_> = vec![(&jobs[0].spec, hosts[0].id); 2];
        // Two of one job on a host, more CPUs than it has, and two in a zone while the others have none.
        assert_eq!(violations(&hosts, &placed, jobs.iter()), 3);
        let placed: Placed<'_> = vec![];
        assert_eq!(violations(&hosts, &placed, jobs.iter()), 0);
    }

    #[test]
    fn a_trace_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("it is written");
            path
        };
        let nodes = write(
            "nodes.csv",
            "sn,cpu_milli,memory_mib,gpu,model\na,32000,65536,2,P100\nb,16000,32768,0,\n",
        );
        let pods = write(
            "pods.csv",
            "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n\
             p,4000,8192,1,500,,LS,Running,0,9,0\nq,4000,8192,1,500,,LS,Running,0,9,0\nr,1000,1024,0,0,,BE,Running,0,9,0\n",
        );
        let scale = 2;
        let outcome = run(&Input::Trace { nodes, pods, scale }).expect("it is read");
        assert_eq!((outcome.hosts, outcome.jobs), (4, 2));
        // Of four pods that want a GPU all have one, since what wants none leaves those hosts to them.
        assert_eq!((outcome.placed, outcome.unplaced), (6, 0));
        let wrong = write("wrong.csv", "sn,cpu_milli\na,many\n");
        let pods = wrong.clone();
        let error = run(&Input::Trace {
            nodes: wrong,
            pods,
            scale,
        })
        .expect_err("it is no trace");
        assert!(error.to_string().contains("wrong.csv"), "{error}");
    }
}
