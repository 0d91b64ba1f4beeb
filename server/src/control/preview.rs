//! A plan that is only worked out: what it would change and lead to, without a word to anybody.

use super::handle::{ControlHandle, followed};
use super::revisions::prepare;
use crate::api::state::PreviewFault;
use crate::git::{ReadAtError, Reading, Remote, read, read_at, read_reference};
use crate::images::{self, Patience};
use jiff::Timestamp;
use muster_core::access::rights;
use muster_core::describe::plan_markdown;
use muster_core::fleet::{Fleet, PlanEntry};
use muster_core::guard;
use muster_core::plan::{PlanInput, plan};
use muster_core::predict::predict;
use muster_core::signatures::{Signed, Verdict, judge};
use muster_core::specs::{Reader, SpecFile};
use muster_core::view::plan_view_of;
use muster_schemas::access::Role;
use muster_schemas::api::{PlanFile, PlanPreview, PlanRequest, PlanStatus};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;
use muster_schemas::plan::Revision;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit};

/// A request waits so long for one of those before it to be done.
const WAITS: Duration = Duration::from_secs(5);

/// The images of one request that are looked up for somebody who may only read, of registries that the fleet does not use: enough for a
/// proposal, and too few to try out a network's addresses with.
const FOREIGN_IMAGES: usize = 10;

/// What stands for the commit of files that are not committed yet.
const WORKING_TREE: &str = "working-tree";

/// Works out the plan that is asked for, where not too many are being worked out.
pub(super) async fn preview(
    control: &ControlHandle,
    remote: &Remote,
    request: PlanRequest,
    by: String,
) -> Result<PlanPreview, PreviewFault> {
    let previews = Arc::clone(&control.shared.previews);
    let place = tokio::time::timeout(WAITS, previews.acquire_owned())
        .await
        .map_err(|_| PreviewFault::TooMany)?;
    let (control, remote) = (control.clone(), remote.clone());
    in_place(place, async move {
        let reader = control.read(|fleet| rights(fleet, &by).role == Role::Viewer);
        let reading = read_request(&control, &remote, request, by).await?;
        let lookups = if reader { Lookups::Few } else { Lookups::All };
        plan_reading(&control, &reading, lookups).await
    })
    .await
}

/// Keeps the place until the work has ended, also where whoever asked has gone: its threads go on.
async fn in_place(
    place: Result<OwnedSemaphorePermit, AcquireError>,
    work: impl Future<Output = Result<PlanPreview, PreviewFault>> + Send + 'static,
) -> Result<PlanPreview, PreviewFault> {
    let failed = |error: String| PreviewFault::Failed(error);
    let place = place.map_err(|error| failed(error.to_string()))?;
    let working = tokio::spawn(async move {
        let _place = place;
        work.await
    });
    working
        .await
        .unwrap_or_else(|error| Err(failed(error.to_string())))
}

async fn read_request(
    control: &ControlHandle,
    remote: &Remote,
    request: PlanRequest,
    by: String,
) -> Result<Reading, PreviewFault> {
    Ok(match request {
        PlanRequest {
            files: Some(files), ..
        } => working_tree(files, by),
        PlanRequest { revision, .. } => {
            let remote = remote.clone();
            let followed = control.read(followed);
            in_thread(move || match revision {
                Some(revision) => {
                    read_at(&remote, &revision, &followed).map_err(|error| match error {
                        ReadAtError::NoRevision { .. } => PreviewFault::NotFound(error.to_string()),
                        ReadAtError::Trouble(trouble) => unreadable(&trouble),
                    })
                }
                None => read(&remote, &followed).map_err(|trouble| unreadable(&trouble)),
            })
            .await??
        }
    })
}

/// Works out the plan for what a reference of the repository names, such as the head of a pull request.
pub(super) async fn preview_reference(
    control: &ControlHandle,
    remote: &Remote,
    reference: String,
) -> Result<PlanPreview, PreviewFault> {
    // A forge is answered later anyway: it waits for as long as it takes.
    let pull = Arc::clone(&control.shared.pulls).acquire_owned().await;
    let (remote, followed) = (remote.clone(), control.read(followed));
    // The place is given back by the thread, which goes on where whoever asked has gone.
    let read = in_thread(move || {
        let read = read_reference(&remote, &reference, &followed);
        drop(pull);
        read
    });
    let reading = read.await?.map_err(|trouble| unreadable(&trouble))?;
    let place = Arc::clone(&control.shared.previews).acquire_owned().await;
    let control = control.clone();
    in_place(place, async move {
        plan_reading(&control, &reading, Lookups::All).await
    })
    .await
}

/// Which images are looked up for a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookups {
    /// All of them.
    All,
    /// Those of registries that the fleet uses, and a few of others.
    Few,
}

/// The images that are looked up, and why the others are not.
fn few(
    wanted: BTreeSet<String>,
    used: &BTreeSet<String>,
) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let mut foreign = 0;
    let (known, left_out): (BTreeSet<String>, BTreeSet<String>) =
        wanted.into_iter().partition(|image| {
            let is_used = images::registry(image).is_some_and(|registry| used.contains(&registry));
            foreign += usize::from(!is_used);
            is_used || foreign <= FOREIGN_IMAGES
        });
    let why = |image: String| {
        let sentence = format!(
            "`{image}` was not looked up: of registries that no job uses, only {FOREIGN_IMAGES} images are for who may only read"
        );
        (image, sentence)
    };
    (known, left_out.into_iter().map(why).collect())
}

/// The registries that the fleet's jobs use.
fn used_registries(fleet: &Fleet) -> BTreeSet<String> {
    let jobs = fleet.jobs.values();
    jobs.filter_map(|job| images::registry(&job.spec().image))
        .collect()
}

async fn plan_reading(
    control: &ControlHandle,
    reading: &Reading,
    lookups: Lookups,
) -> Result<PlanPreview, PreviewFault> {
    let choose = |fleet: &Fleet, wanted| match lookups {
        Lookups::All => (wanted, BTreeMap::new()),
        Lookups::Few => few(wanted, &used_registries(fleet)),
    };
    let reader = &mut Reader::default();
    let Some((input, _)) = prepare(control, reading, reader, Patience::LONG, choose).await else {
        return Err(PreviewFault::Failed(
            "the documents could not be checked; the control plane's log says more".to_owned(),
        ));
    };
    let fleet = control.read(Clone::clone);
    in_thread(move || work_out(&fleet, &input)).await
}

fn unreadable(trouble: &RepositoryTrouble) -> PreviewFault {
    PreviewFault::Failed(trouble.to_string())
}

async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PreviewFault> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PreviewFault::Failed(error.to_string()))
}

fn working_tree(files: Vec<PlanFile>, by: String) -> Reading {
    Reading {
        revision: Revision {
            commit: CommitId::from(WORKING_TREE),
            author: by,
            subject: "what is not committed yet".to_owned(),
            committed_at: Timestamp::now(),
        },
        files: files
            .into_iter()
            .map(|file| SpecFile {
                path: file.path,
                bytes: file.content.into_bytes().into(),
            })
            .collect(),
        diagnostics: Vec::new(),
        removed_by: BTreeMap::new(),
        signed: Signed::default(),
    }
}

fn work_out(fleet: &Fleet, input: &PlanInput) -> PlanPreview {
    let now = Timestamp::now();
    let plan = plan(fleet, input, now);
    let holds = guard::check(fleet, &plan, now);
    let prediction = predict(fleet, &plan, now);
    let changes = !plan.changes.is_empty() || plan.policy_changes;
    let mut entry = PlanEntry::new(Arc::new(plan), now);
    entry.holds = holds;
    entry.prediction = Some(Arc::new(prediction));
    let required = guard::policy(fleet).approvals.required;
    let mut plan = plan_view_of(fleet, &entry, PlanStatus::Proposed, required);
    // What is not committed yet is signed later, if at all.
    let is_committed = input.revision.commit.as_str() != WORKING_TREE;
    if is_committed
        && let Verdict::Refused(trouble) = judge(fleet.policy.as_ref(), &input.signed, now)
    {
        plan.holds
            .insert(0, format!("it would not be followed at all: {trouble}"));
    }
    let would_be_held = !plan.holds.is_empty();
    let markdown = plan_markdown(&plan);
    PlanPreview {
        plan,
        changes,
        would_be_held,
        markdown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ServeInfo, run, start};
    use super::*;
    use crate::journal::Journal;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    /// A forge that answers nothing keeps its own pull requests waiting, and nobody's `muster plan`.
    #[tokio::test(flavor = "multi_thread")]
    async fn slow_pull_requests_take_no_place_of_a_preview() {
        let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/specs.git", slow.local_addr().unwrap());
        let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
        let slow = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = slow.accept().await {
                held.push(connection);
                let _ = asked.send(());
            }
        });
        let home = tempfile::tempdir().unwrap();
        let journal = home.path().join("journal.db");
        let opened = Journal::open(&journal).await.unwrap();
        let info = ServeInfo {
            cell: "test".to_owned(),
            version: "0".to_owned(),
            started_at: Timestamp::now(),
            repository: url.clone(),
            branch: "main".to_owned(),
        };
        let started = start(opened, info).await.unwrap();
        let control = started.handle();
        let shutdown = CancellationToken::new();
        tokio::spawn(run(started, shutdown.clone()));
        let remote = Remote {
            url,
            branch: "main".to_owned(),
            ssh_key: None,
            mirror: home.path().join("mirror.git"),
        };
        let pulls: Vec<_> = (0..10)
            .map(|number| {
                let (control, remote) = (control.clone(), remote.clone());
                tokio::spawn(async move {
                    let reference = format!("refs/pull/{number}/head");
                    preview_reference(&control, &remote, reference).await
                })
            })
            .collect();
        is_asked.recv().await.expect("it is asked for");
        let request = PlanRequest {
            revision: None,
            files: Some(vec![PlanFile {
                path: "web.yaml".to_owned(),
                content: "apiVersion: muster/v1\nkind: Job\n".to_owned(),
            }]),
        };
        let previewed = preview(&control, &remote, request, "ann".to_owned()).await;
        assert!(previewed.is_ok(), "{previewed:?}");
        assert!(pulls.iter().all(|pull| !pull.is_finished()));
        pulls.iter().for_each(|pull| pull.abort());
        shutdown.cancel();
        // What is being fetched ends with its connection.
        slow.abort();
    }

    #[test]
    fn who_may_only_read_has_a_few_images_of_unused_registries_looked_up() {
        let used = BTreeSet::from(["registry.example.com".to_owned(), "docker.io".to_owned()]);
        let known = (0..50).map(|number| format!("registry.example.com/web:{number}"));
        // A name without a registry is one of docker.io.
        let known = known.chain(["debian:12".to_owned()]);
        let foreign = (0..50).map(|port| format!("127.0.0.1:{}/x:1", 5000 + port));
        let wanted: BTreeSet<String> = known.clone().chain(foreign).collect();
        let (asked, left_out) = few(wanted, &used);
        assert_eq!(asked.len(), 51 + FOREIGN_IMAGES);
        assert!(known.into_iter().all(|image| asked.contains(&image)));
        assert_eq!(left_out.len(), 40);
        let (image, why) = left_out.first_key_value().unwrap();
        assert_eq!(
            *why,
            format!(
                "`{image}` was not looked up: of registries that no job uses, only 10 images are for who may only read"
            )
        );
    }
}
