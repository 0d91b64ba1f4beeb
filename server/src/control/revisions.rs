//! From what was read of the repository to an input for the loop: documents checked, images resolved.

use super::handle::ControlHandle;
use crate::git::Reading;
use crate::images;
use jiff::Timestamp;
use muster_core::decide::Input;
use muster_core::plan::{PlanInput, images_to_resolve, plan};
use muster_core::predict::predict;
use muster_core::specs::Reader;
use muster_schemas::event::RepositoryTrouble;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// An image that could not be resolved is asked for again this often: somebody may be pushing it just now.
const IMAGES_AGAIN: Duration = Duration::from_secs(15);

/// Gives each reading of the repository to the loop, and again while images of it are not resolved.
pub async fn follow_repository(
    control: ControlHandle,
    mut readings: mpsc::Receiver<Result<Reading, RepositoryTrouble>>,
    shutdown: CancellationToken,
) {
    let mut unresolved: Option<Reading> = None;
    let mut reader = Reader::default();
    loop {
        let reading = tokio::select! {
            () = shutdown.cancelled() => return,
            reading = readings.recv() => match reading {
                None => return,
                Some(reading) => reading,
            },
            () = tokio::time::sleep(IMAGES_AGAIN), if unresolved.is_some() => {
                let Some(reading) = unresolved.take() else { continue };
                Ok(reading)
            }
        };
        let input = match reading {
            Ok(reading) => {
                let Some((input, all_resolved)) = prepare(&control, &reading, &mut reader).await
                else {
                    continue;
                };
                unresolved = (!all_resolved).then_some(reading);
                predicted(&control, &input);
                Input::Revision(Box::new(input))
            }
            Err(trouble) => {
                tracing::error!(%trouble, "the last good state of the repository holds; nothing is stopped");
                Input::Trouble(trouble)
            }
        };
        if let Err(error) = control.take(input).await {
            tracing::warn!(%error, "a reading of the repository was not taken");
        }
    }
}

/// Works out beside the loop what the plan for the input will lead to, and gives that to the loop, where the plan came about as it
/// looks now.
fn predicted(control: &ControlHandle, input: &PlanInput) {
    let fleet = control.read(Clone::clone);
    let (control, input) = (control.clone(), input.clone());
    let now = Timestamp::now();
    tokio::spawn(async move {
        let worked_out = tokio::task::spawn_blocking(move || {
            let plan = plan(&fleet, &input, now);
            (!plan.changes.is_empty()).then(|| {
                let prediction = Box::new(predict(&fleet, &plan, now));
                (plan.id, prediction)
            })
        });
        if let Ok(Some((plan, prediction))) = worked_out.await
            && let Err(error) = control.take(Input::Predicted { plan, prediction }).await
        {
            tracing::debug!(%error, "a prediction was not taken");
        }
    });
}

/// Checks the documents, of which `reader` knows those of the revision before, and resolves the images that are new. Says whether all of them could be.
pub(super) async fn prepare(
    control: &ControlHandle,
    reading: &Reading,
    reader: &mut Reader,
) -> Option<(PlanInput, bool)> {
    let files = reading.files.clone();
    let mut reads = std::mem::take(reader);
    // Ten thousand documents take long enough to keep other work waiting.
    let documents = tokio::task::spawn_blocking(move || {
        let documents = reads.read(&files);
        (documents, reads)
    })
    .await;
    let mut documents = match documents {
        Ok((documents, reads)) => {
            *reader = reads;
            documents
        }
        Err(error) => {
            tracing::error!(%error, "the documents of the revision could not be checked");
            return None;
        }
    };
    documents
        .diagnostics
        .extend(reading.diagnostics.iter().cloned());
    let wanted = control.read(|fleet| images_to_resolve(fleet, &documents));
    let resolved = images::resolve_all(wanted).await;
    let all_resolved = resolved.values().all(Result::is_ok);
    let images = resolved
        .into_iter()
        .map(|(image, result)| (image, result.map_err(|error| error.to_string())))
        .collect();
    Some((
        PlanInput {
            revision: reading.revision.clone(),
            documents,
            images,
            removed_by: reading.removed_by.clone(),
            signed: reading.signed.clone(),
        },
        all_resolved,
    ))
}
