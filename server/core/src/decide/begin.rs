//! Which versions begin: the jobs that they depend on stand.

use super::{Draft, automation};
use crate::dependencies::waits_for;
use crate::guard;
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;

/// Lets versions begin that need not wait any more, unless they are frozen.
pub(super) fn follow_waiting(draft: &mut Draft<'_>) {
    let (fleet, now) = (&*draft.fleet, draft.now);
    let due: Vec<(JobId, u64)> = fleet
        .jobs
        .values()
        .filter(|job| job.is_waiting() && job.tombstone.is_none())
        .filter(|job| guard::frozen_by(fleet, job, now).is_none())
        .filter(|job| waits_for(fleet, job, now).is_empty())
        .map(|job| (job.id.clone(), job.version))
        .collect();
    for (job, version) in due {
        draft.say(automation("rollout"), Event::VersionBegan { job, version });
    }
}
