//! A plan that is only worked out: what it would change and lead to, without a word to anybody.

use super::handle::{ControlHandle, followed};
use super::revisions::prepare;
use crate::api::state::PreviewFault;
use crate::git::{ReadAtError, Reading, Remote, read, read_at, read_reference};
use crate::images::Patience;
use jiff::Timestamp;
use muster_core::describe::plan_markdown;
use muster_core::fleet::{Fleet, PlanEntry};
use muster_core::guard;
use muster_core::plan::{PlanInput, plan};
use muster_core::predict::predict;
use muster_core::signatures::{Signed, Verdict, judge};
use muster_core::specs::{Reader, SpecFile};
use muster_core::view::plan_view_of;
use muster_schemas::api::{PlanFile, PlanPreview, PlanRequest, PlanStatus};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;
use muster_schemas::plan::Revision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stands for the commit of files that are not committed yet.
const WORKING_TREE: &str = "working-tree";

/// Works out the plan that is asked for.
pub(super) async fn preview(
    control: &ControlHandle,
    remote: &Remote,
    request: PlanRequest,
    by: String,
) -> Result<PlanPreview, PreviewFault> {
    let reading = match request {
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
    };
    plan_reading(control, &reading).await
}

/// Works out the plan for what a reference of the repository names, such as the head of a pull request.
pub(super) async fn preview_reference(
    control: &ControlHandle,
    remote: &Remote,
    reference: String,
) -> Result<PlanPreview, PreviewFault> {
    let remote = remote.clone();
    let followed = control.read(followed);
    let read = in_thread(move || read_reference(&remote, &reference, &followed)).await?;
    let reading = read.map_err(|trouble| unreadable(&trouble))?;
    plan_reading(control, &reading).await
}

async fn plan_reading(
    control: &ControlHandle,
    reading: &Reading,
) -> Result<PlanPreview, PreviewFault> {
    let Some((input, _)) = prepare(control, reading, &mut Reader::default(), Patience::LONG).await
    else {
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
