//! `muster bench`: how fast the decisions are on this machine.

use crate::bench::schedule::{Input, Outcome, run as place};
use crate::bench::workload::Mix;
use crate::cli::screen::print;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure how fast the decisions are on this machine; nothing is started and no cell is asked
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Schedule(ScheduleArgs),
}

/// Place tasks on hosts that are made from a seed or read from a trace, by the scheduler's own code
#[derive(Debug, clap::Args)]
struct ScheduleArgs {
    /// Hosts: machines of six kinds in three zones
    #[arg(long, default_value_t = 7000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    hosts: u32,
    /// Tasks that run already
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=2_000_000))]
    running: u32,
    /// Tasks to place
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    tasks: u32,
    /// What kind of jobs the tasks belong to
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    mix: Mix,
    /// Place the pods of the openb trace on its nodes instead
    #[arg(long, num_args = 2, value_names = ["NODES.csv", "PODS.csv"], conflicts_with_all = ["hosts", "running", "tasks", "mix"])]
    trace: Option<Vec<PathBuf>>,
    /// So many times the trace's nodes and pods
    #[arg(long, default_value_t = 1, requires = "trace", value_parser = clap::value_parser!(u32).range(1..=100))]
    scale: u32,
    /// The seed: the same one gives the same hosts, jobs and placements
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the outcome as one line of JSON alone
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let What::Schedule(args) = args.what;
    let input = match args.trace.as_deref() {
        Some([nodes, pods]) => Input::Trace {
            nodes: nodes.clone(),
            pods: pods.clone(),
            scale: args.scale,
        },
        Some(_) | None => Input::Made {
            hosts: args.hosts,
            running: args.running,
            tasks: args.tasks,
            mix: args.mix,
            seed: args.seed,
        },
    };
    let outcome = place(&input)?;
    if !args.json {
        print(&told(&outcome))?;
    }
    print(&format!("{}\n", serde_json::to_string(&outcome)?))?;
    Ok(match outcome.hard_constraint_violations {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn told(outcome: &Outcome) -> String {
    let Outcome {
        hosts,
        running,
        jobs,
        placed,
        unplaced,
        placements_per_second,
        decision_p50_us,
        decision_p99_us,
        decision_max_us,
        board_seconds,
        urgent_p50_us,
        urgent_p99_us,
        urgent_placed,
        hard_constraint_violations,
        cpu_percent,
        memory_percent,
        gpu_percent,
    } = outcome;
    format!(
        "hosts                        {hosts}
tasks that ran before        {running}
placed                       {placed} tasks of {jobs} jobs; {unplaced} fit nowhere
placements a second          {placements_per_second:.0} (the decision alone, in memory)
a decision                   p50 {decision_p50_us:.1} µs, p99 {decision_p99_us:.1} µs, at most {decision_max_us:.1} µs
a single urgent task then    p50 {urgent_p50_us:.1} µs, p99 {urgent_p99_us:.1} µs; {urgent_placed} placed
the board of what runs       {board_seconds:.3} s, made once a pass
sold in the end              {cpu_percent:.1} % of the CPUs, {memory_percent:.1} % of memory, {gpu_percent:.1} % of the GPUs
hard constraints broken      {hard_constraint_violations}
"
    )
}
