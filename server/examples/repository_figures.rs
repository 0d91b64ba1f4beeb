//! How fast a large repository becomes a plan: `cargo run --release -p muster --example repository_figures -- [DOCUMENTS]`.
//!
//! The documents stand one to a file in a bare repository that `git fast-import` makes. Cold is from nothing to the plan that creates
//! all of them; warm is a commit that changes one file, up to the plan that changes one job.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use muster::git::{Followed, Reader, Remote};
use muster::images::{Patience, resolve_all};
use muster_core::decide::{Draft, Input, follow, take};
use muster_core::fleet::Fleet;
use muster_core::plan::{PlanInput, images_to_resolve, plan};
use muster_core::specs;
use muster_schemas::plan::Plan;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// So many commits of one file are timed.
const ROUNDS: u32 = 20;

fn job(number: usize, cpu: usize) -> String {
    let digest = "4".repeat(64);
    format!(
        "apiVersion: muster/v1
kind: Job
name: shop-{number}
app: shop-{app}
stack: prod
owner: shop-team@example.com
tier: critical
labels:
  team: shop
image: registry.example.com/shop/web@sha256:{digest}
command: [/bin/server, --listen, \"0.0.0.0:8080\"]
env:
  LOG_LEVEL: info
  REGION: eu-central
resources:
  cpu: 0.{cpu:02}
  memory: 256MiB
  disk: 1GiB
ports:
  - name: http
    port: 8080
readiness:
  http:
    port: http
    path: /healthz
service:
  capacity:
    desired: 3
    max: 10
  rollout:
    maxSurge: 1
",
        app = number % 100,
    )
}

/// Makes a commit with these files beside those that are there.
fn commit(repository: &Path, first: bool, files: &[(String, String)]) -> anyhow::Result<()> {
    let mut import = String::from("commit refs/heads/main\n");
    let _ = write!(
        import,
        "committer Figures <figures@example.com> {} +0000\ndata 6\nfigure",
        Timestamp::now().as_second()
    );
    import.push('\n');
    if !first {
        import.push_str("from refs/heads/main^0\n");
    }
    for (path, text) in files {
        let _ = write!(
            import,
            "M 100644 inline {path}\ndata {}\n{text}\n",
            text.len()
        );
    }
    let mut git = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(repository)
        .stdin(Stdio::piped())
        .spawn()
        .context("git is needed")?;
    git.stdin
        .take()
        .context("its input is a pipe")?
        .write_all(import.as_bytes())?;
    ensure!(git.wait()?.success(), "git fast-import failed");
    Ok(())
}

/// What the control plane keeps from one reading to the next.
struct Pipeline {
    reader: Reader,
    specs: specs::Reader,
    fleet: Fleet,
}

impl Pipeline {
    async fn plan(&mut self, remote: &Remote) -> anyhow::Result<(PlanInput, Plan)> {
        let applied = self
            .fleet
            .revision
            .as_ref()
            .map(|revision| revision.commit.clone());
        let reading = self
            .reader
            .read(remote, &Followed::unsigned(applied))
            .map_err(|trouble| anyhow::anyhow!("{trouble}"))?;
        let documents = self.specs.read(&reading.files);
        ensure!(
            documents.diagnostics.is_empty(),
            "{:?}",
            documents.diagnostics[0]
        );
        let images = resolve_all(images_to_resolve(&self.fleet, &documents), Patience::LONG).await;
        let images = images
            .into_iter()
            .map(|(image, result)| (image, result.map_err(|error| error.to_string())))
            .collect();
        let input = PlanInput {
            revision: reading.revision,
            documents,
            images,
            removed_by: reading.removed_by,
            signed: reading.signed,
        };
        let plan = plan(&self.fleet, &input, Timestamp::now());
        Ok((input, plan))
    }

    /// Applies a plan as the control loop does.
    fn apply(&mut self, input: PlanInput) {
        let mut new_id = || Uuid::now_v7();
        let mut draft = Draft::new(&mut self.fleet, Timestamp::now(), 1, &mut new_id);
        let taken = take(&mut draft, Input::Revision(Box::new(input)));
        assert!(taken.is_ok(), "a revision is taken");
        follow(&mut draft);
    }
}

/// The most memory that this process had so far, in MiB: `VmHWM` of proc(5).
fn peak_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("proc(5) has VmHWM")?;
    Ok(kib.parse::<u64>()? / 1024)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let documents: usize = match std::env::args().nth(1) {
        Some(count) => count
            .parse()
            .context("the argument is a number of documents")?,
        None => 10_000,
    };
    let home = tempfile::tempdir()?;
    let repository = home.path().join("specs.git");
    let made = Command::new("git")
        .args(["init", "--quiet", "--bare", "--initial-branch=main"])
        .arg(&repository)
        .status()?;
    ensure!(made.success(), "git init failed");
    let path = |number: usize| format!("jobs/{:03}/shop-{number}.yaml", number / 100);
    let files: Vec<(String, String)> = (0..documents)
        .map(|number| (path(number), job(number, 10)))
        .collect();
    commit(&repository, true, &files)?;
    drop(files);
    let remote = Remote {
        url: repository.display().to_string(),
        branch: "main".to_owned(),
        ssh_key: None,
        mirror: home.path().join("mirror.git"),
    };
    let mut pipeline = Pipeline {
        reader: Reader::default(),
        specs: specs::Reader::default(),
        fleet: Fleet::default(),
    };

    let began = Instant::now();
    let (input, first) = pipeline.plan(&remote).await?;
    let cold = began.elapsed();
    ensure!(first.changes.len() == documents, "all jobs are new");
    println!("cold, {documents} documents to a plan: {cold:.2?}");
    println!("peak memory so far: {} MiB", peak_mib()?);
    pipeline.apply(input);
    println!("peak memory with the plan applied: {} MiB", peak_mib()?);

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let number = documents / 2 + usize::try_from(round)? % documents.div_ceil(2);
        commit(&repository, false, &[(path(number), job(number, 20))])?;
        let began = Instant::now();
        let (input, next) = pipeline.plan(&remote).await?;
        rounds.push(began.elapsed());
        ensure!(
            next.changes.len() == 1,
            "one job changes: {}",
            next.changes.len()
        );
        pipeline.apply(input);
    }
    rounds.sort();
    let at = |part: usize| rounds[(rounds.len() - 1) * part / 100];
    let most = rounds.last().copied().unwrap_or(Duration::ZERO);
    println!(
        "one file of {documents} changes, commit to plan: p50 {:.1?}, p90 {:.1?}, max {most:.1?}",
        at(50),
        at(90)
    );
    println!("peak memory: {} MiB", peak_mib()?);
    Ok(())
}
