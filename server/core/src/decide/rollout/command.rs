//! What people say about a rollout beside git.

use crate::decide::{Draft, Refusal};
use crate::fleet::{Job, Movement};
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;
use muster_schemas::rollout::{AbortReason, RolloutStage, RolloutWord};
use muster_schemas::state::Actor;

/// Takes a person's word on a job's rollout.
pub(in crate::decide) fn take(
    draft: &mut Draft<'_>,
    actor: Actor,
    id: JobId,
    word: RolloutWord,
    reason: String,
) -> Result<(), Refusal> {
    let job = draft
        .fleet
        .jobs
        .get(&id)
        .ok_or_else(|| Refusal::UnknownJob(id.clone()))?;
    allowed(job, word)?;
    let version = job.version;
    let event = match word {
        RolloutWord::Promote => Event::RolloutPromoted {
            job: id,
            version,
            reason,
        },
        RolloutWord::Abort => Event::RolloutAborted {
            job: id,
            version,
            reason: AbortReason::Asked { message: reason },
        },
        RolloutWord::Retry => Event::RolloutRetried {
            job: id,
            version,
            reason,
        },
    };
    draft.say(actor, event);
    Ok(())
}

/// Whether a rollout is under way that can be ended.
pub(in crate::decide) fn can_be_aborted(job: &Job) -> bool {
    allowed(job, RolloutWord::Abort).is_ok()
}

/// Whether a rollout can be told that now.
///
/// # Errors
///
/// How it stands, in a sentence.
pub(super) fn allowed(job: &Job, word: RolloutWord) -> Result<(), Refusal> {
    let refuse = |why: &'static str| {
        Err(Refusal::NotForThisRollout {
            job: job.id.clone(),
            word: word.word(),
            why,
        })
    };
    let Some(rollout) = &job.rollout else {
        return refuse("no rollout of it is under way");
    };
    let is_aborted = rollout.aborted.is_some();
    match word {
        RolloutWord::Retry if is_aborted => Ok(()),
        RolloutWord::Retry => refuse("its rollout was not aborted and goes on by itself"),
        RolloutWord::Abort | RolloutWord::Promote if is_aborted => {
            refuse("its rollout was aborted already; retry it, or push another commit")
        }
        RolloutWord::Abort if job.is_outdated(rollout.from) => Ok(()),
        RolloutWord::Abort => refuse("its rollout goes back to what served before already"),
        RolloutWord::Promote => match (job.movement(), &rollout.stage) {
            (Movement::Canary, _) if rollout.settled_at.is_some() => Ok(()),
            (Movement::Canary, _) => {
                refuse("the tasks of its step are not all healthy for long enough yet")
            }
            (Movement::RedBlack, RolloutStage::Keeping { .. }) => Ok(()),
            (Movement::RedBlack, _) => {
                refuse("its new tasks are not all healthy for long enough yet")
            }
            (Movement::Rolling | Movement::Back, _) => refuse("a rolling update goes on by itself"),
        },
    }
}
