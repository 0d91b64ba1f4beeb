//! `muster get`: lists, filtered by the API, as tables or JSON.

use crate::cli::client::{Client, Listed, Query};
use crate::cli::failure::Failure;
use crate::cli::screen::{Screen, print, print_json};
use crate::cli::table::Table;
use crate::cli::{events, rows};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List jobs
    #[command(visible_alias = "job")]
    Jobs(JobFilter),
    /// List tasks
    #[command(visible_alias = "task")]
    Tasks(TaskFilter),
    /// List hosts
    #[command(visible_alias = "host")]
    Hosts(HostFilter),
    /// List plans, newest first
    #[command(visible_alias = "plan")]
    Plans(PlanFilter),
    /// List deploys, newest first
    #[command(visible_alias = "deploy")]
    Deploys(DeployFilter),
    /// List where what runs is not what git says
    Drift(DriftFilter),
    /// List what happened, or watch what happens
    #[command(visible_alias = "event")]
    Events(EventFilter),
}

/// What can be listed as it was. Drift is told of now alone, and deploys that have ended are kept by themselves.
#[derive(Debug, Args)]
pub(super) struct PastArgs {
    #[command(subcommand)]
    what: PastWhat,
}

#[derive(Debug, Subcommand)]
enum PastWhat {
    /// List jobs
    #[command(visible_alias = "job")]
    Jobs(JobFilter),
    /// List tasks
    #[command(visible_alias = "task")]
    Tasks(TaskFilter),
    /// List hosts
    #[command(visible_alias = "host")]
    Hosts(HostFilter),
    /// List plans, newest first
    #[command(visible_alias = "plan")]
    Plans(PlanFilter),
    /// List what had happened
    #[command(visible_alias = "event")]
    Events(EventFilter),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Taken only to say which command shows one thing.
    #[arg(hide = true)]
    name: Option<String>,
    /// Only what contains this text
    #[arg(short, long, value_name = "TEXT")]
    query: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 500, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    limit: usize,
}

#[derive(Debug, Args)]
struct JobFilter {
    /// Only this job
    #[arg(long)]
    job: Vec<String>,
    /// Only of this application; may be repeated, as all filters: any of them
    #[arg(long)]
    app: Vec<String>,
    /// Only of this owner
    #[arg(long)]
    owner: Vec<String>,
    /// Only of this tier: critical, flex
    #[arg(long)]
    tier: Vec<String>,
    /// Only of this capacity group
    #[arg(long, value_name = "NAME")]
    capacity_group: Vec<String>,
    /// Only of this kind: service, batch
    #[arg(long)]
    kind: Vec<String>,
    /// Only with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Only in this state: running, progressing, degraded, crash_loop, blocked, tombstone, stopping, succeeded, failed, idle
    #[arg(long)]
    state: Vec<String>,
    /// Only those that a document of the applied revision asks for, or only others
    #[arg(long)]
    declared: Option<bool>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct TaskFilter {
    /// Only of this job; may be repeated, as all filters: any of them
    #[arg(long)]
    job: Vec<String>,
    /// Only in this state: queued, assigned, starting, running, stopping, finished
    #[arg(long)]
    state: Vec<String>,
    /// Only on this host
    #[arg(long)]
    host: Vec<String>,
    /// Only of this application
    #[arg(long)]
    app: Vec<String>,
    /// Only of this tier: critical, flex
    #[arg(long)]
    tier: Vec<String>,
    /// Only healthy ones, or only others
    #[arg(long)]
    healthy: Option<bool>,
    /// Only those whose host's agent is connected, or only others
    #[arg(long)]
    reachable: Option<bool>,
    /// Only those in a crash loop, or only others
    #[arg(long)]
    crash_loop: Option<bool>,
    /// Only with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Finished tasks that the fleet keeps in its history alone; takes --job, --outcome and --query
    #[arg(long, conflicts_with_all = ["watch", "state", "host", "app", "tier", "label"])]
    archived: bool,
    /// Of archived ones, only those that ended so: succeeded, failed, stopped, lost
    #[arg(long, requires = "archived")]
    outcome: Vec<String>,
    /// Go on with a line for each change, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct HostFilter {
    /// Only in this zone
    #[arg(long)]
    zone: Vec<String>,
    /// Only those that can take tasks, or only others
    #[arg(long)]
    ready: Option<bool>,
    /// Only those whose agent is connected, or only others
    #[arg(long)]
    reachable: Option<bool>,
    /// Only with this label; may be repeated: any of them
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct PlanFilter {
    /// Only in this state: applied, held, refused, superseded
    #[arg(long)]
    state: Vec<String>,
    /// Only those that change this job
    #[arg(long)]
    job: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct DeployFilter {
    /// Only in this state: running, succeeded, failed, canceled
    #[arg(long)]
    state: Vec<String>,
    /// Only of this job
    #[arg(long)]
    job: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct DriftFilter {
    /// Only of this job; may be repeated, as all filters: any of them
    #[arg(long)]
    job: Vec<String>,
    /// Only of this cause: on_host, scaled, held, plan_refused, withheld, rollout_aborted, document_refused, undeclared
    #[arg(long)]
    cause: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 500, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    limit: usize,
}

#[derive(Debug, Args)]
struct EventFilter {
    /// Only about this job
    #[arg(long)]
    job: Option<String>,
    /// Only about this task
    #[arg(long)]
    task: Option<String>,
    /// Only about this attempt
    #[arg(long)]
    attempt: Option<String>,
    /// Only about this host (its id)
    #[arg(long)]
    host: Option<String>,
    /// Only about this plan
    #[arg(long)]
    plan: Option<String>,
    /// Only of this kind, such as attempt_placed; may be repeated: any of them
    #[arg(long)]
    kind: Vec<String>,
    /// Go on with what happens from now, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// At most so many of the newest
    #[arg(long, default_value_t = 50, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    limit: usize,
}

/// The filters as query parameters.
#[derive(Default)]
struct Filters(Query);

impl Filters {
    fn any(mut self, name: &'static str, values: &[String]) -> Self {
        self.0
            .extend(values.iter().map(|value| (name, value.clone())));
        self
    }

    fn flag(mut self, name: &'static str, value: Option<bool>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    fn text(mut self, list: &ListArgs) -> Query {
        self.0.extend(list.query.clone().map(|text| ("q", text)));
        self.0
    }
}

impl GetArgs {
    /// Refuses a name: one thing is described, not listed.
    fn refuse_a_name(&self) -> Result<(), Failure> {
        let (list, what) = match &self.what {
            What::Jobs(filter) => (&filter.list, "job"),
            What::Tasks(filter) => (&filter.list, "task"),
            What::Hosts(filter) => (&filter.list, "host"),
            What::Plans(filter) => (&filter.list, "plan"),
            What::Deploys(filter) => (&filter.list, "deploy"),
            What::Drift(_) | What::Events(_) => return Ok(()),
        };
        match &list.name {
            None => Ok(()),
            Some(name) => Err(Failure::untried(
                format!("`muster get {what}s` lists, and takes no name"),
                format!(
                    "All there is to know of one {what}: `muster describe {what} {name}`; a part of what is listed: \
                     `muster get {what}s --query {name}`."
                ),
            )),
        }
    }
}

impl PastArgs {
    /// The list, unless what is asked for shows the present alone.
    pub(super) fn list(self) -> Result<GetArgs, Failure> {
        let (watch, archived) = match &self.what {
            PastWhat::Tasks(filter) => (filter.watch, filter.archived),
            PastWhat::Events(filter) => (filter.watch, false),
            PastWhat::Jobs(_) | PastWhat::Hosts(_) | PastWhat::Plans(_) => (false, false),
        };
        if watch {
            return Err(Failure::untried(
                "the past does not change: there is nothing to --watch",
                "Leave `--watch` out, or `at` with its time.",
            ));
        }
        if archived {
            return Err(Failure::untried(
                "--archived lists history by itself, and takes no time",
                "Leave `--archived` out for the tasks that the fleet had then, or `at` with its time.",
            ));
        }
        let what = match self.what {
            PastWhat::Jobs(filter) => What::Jobs(filter),
            PastWhat::Tasks(filter) => What::Tasks(filter),
            PastWhat::Hosts(filter) => What::Hosts(filter),
            PastWhat::Plans(filter) => What::Plans(filter),
            PastWhat::Events(filter) => What::Events(filter),
        };
        Ok(GetArgs { what })
    }
}

/// A job without a task looks like one that is not there, so those that nothing was listed of are asked for by name.
///
/// # Errors
/// What the control plane says of the first that it does not know.
async fn jobs_are_known(client: &Client, jobs: &[String], listed: &Listed) -> anyhow::Result<()> {
    let is_listed = |job: &&String| {
        let mut items = listed.items.iter();
        items.any(|task| task.get("job").and_then(Value::as_str) == Some(job.as_str()))
    };
    for job in jobs.iter().filter(|job| !is_listed(job)) {
        let _: Value = client.get(&["jobs", job], &Query::new()).await?;
    }
    Ok(())
}

pub(super) async fn run(
    args: GetArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    args.refuse_a_name()?;
    let now = client.now();
    let wide = screen.is_wide();
    match args.what {
        What::Jobs(filter) => {
            let query = Filters::default()
                .any("job", &filter.job)
                .any("app", &filter.app)
                .any("owner", &filter.owner)
                .any("tier", &filter.tier)
                .any("capacity_group", &filter.capacity_group)
                .any("kind", &filter.kind)
                .any("label", &filter.label)
                .any("state", &filter.state)
                .flag("declared", filter.declared)
                .text(&filter.list);
            let listed = client.list(&["jobs"], &query, filter.list.limit).await?;
            show(&listed, screen, "jobs", |listed| {
                Ok(rows::jobs(&listed.typed()?, now, wide))
            })?;
        }
        What::Tasks(filter) => {
            let query = Filters::default()
                .any("job", &filter.job)
                .any("state", &filter.state)
                .any("host", &filter.host)
                .any("app", &filter.app)
                .any("tier", &filter.tier)
                .any("label", &filter.label)
                .flag("healthy", filter.healthy)
                .flag("reachable", filter.reachable)
                .flag("crash_loop", filter.crash_loop)
                .flag("archived", filter.archived.then_some(true))
                .any("outcome", &filter.outcome)
                .text(&filter.list);
            if filter.watch {
                return events::watch_tasks(&query, filter.list.limit, client, screen).await;
            }
            let listed = client.list(&["tasks"], &query, filter.list.limit).await?;
            show(&listed, screen, "tasks", |listed| {
                Ok(rows::tasks(&listed.typed()?, now, wide))
            })?;
            // History is of jobs that are gone, too.
            if !filter.archived {
                jobs_are_known(client, &filter.job, &listed).await?;
            }
        }
        What::Hosts(filter) => {
            let query = Filters::default()
                .any("zone", &filter.zone)
                .flag("ready", filter.ready)
                .flag("reachable", filter.reachable)
                .any("label", &filter.label)
                .text(&filter.list);
            let listed = client.list(&["hosts"], &query, filter.list.limit).await?;
            show(&listed, screen, "hosts", |listed| {
                Ok(rows::hosts(&listed.typed()?, now, wide))
            })?;
        }
        What::Plans(filter) => {
            let query = Filters::default()
                .any("state", &filter.state)
                .any("job", &filter.job)
                .text(&filter.list);
            let listed = client.list(&["plans"], &query, filter.list.limit).await?;
            show(&listed, screen, "plans", |listed| {
                Ok(rows::plans(&listed.typed()?, now, wide))
            })?;
        }
        What::Deploys(filter) => {
            // In the words that pipelines match.
            let states: Vec<String> = filter
                .state
                .iter()
                .map(|state| state.to_uppercase())
                .collect();
            let query = Filters::default()
                .any("state", &states)
                .any("job", &filter.job)
                .text(&filter.list);
            let listed = client.list(&["deploys"], &query, filter.list.limit).await?;
            show(&listed, screen, "deploys", |listed| {
                Ok(rows::deploys(&listed.typed()?, now, wide))
            })?;
        }
        What::Drift(filter) => {
            let query = Filters::default()
                .any("job", &filter.job)
                .any("cause", &filter.cause)
                .0;
            let listed = client.list(&["drift"], &query, filter.limit).await?;
            show(&listed, screen, "drifts from git", |listed| {
                Ok(rows::drift(&listed.typed()?, now, wide))
            })?;
        }
        What::Events(filter) => {
            let query = Filters::default()
                .any("job", filter.job.as_slice())
                .any("task", filter.task.as_slice())
                .any("attempt", filter.attempt.as_slice())
                .any("host", filter.host.as_slice())
                .any("plan", filter.plan.as_slice())
                .any("kind", &filter.kind)
                .0;
            if filter.watch {
                return events::watch(&query, client, screen).await;
            }
            let mut listed = client.list(&["events"], &query, filter.limit).await?;
            // The newest stands last, where the eye is after a long list.
            listed.items.sort_by_key(|item| item["seq"].as_u64());
            show(&listed, screen, "events", |listed| {
                Ok(rows::events(&listed.typed()?, now, wide))
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    listed: &Listed,
    screen: &Screen,
    what: &str,
    table: impl FnOnce(&Listed) -> anyhow::Result<Table>,
) -> anyhow::Result<()> {
    if screen.is_json() {
        print_json(&listed.items)?;
    } else {
        let table = table(listed)?;
        if table.is_empty() {
            eprintln!("no {what}");
        } else {
            print(&table.render(screen))?;
        }
    }
    if listed.more {
        let shown = listed.items.len();
        let of = match listed.total > shown as u64 {
            true => format!(" of {}", listed.total),
            false => String::new(),
        };
        eprintln!("{shown}{of} {what} are shown; --limit shows more");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
