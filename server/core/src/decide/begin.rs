//! What begins: versions once the jobs that they depend on stand, and after-hooks once a plan has come about.

use super::{Draft, automation};
use crate::dependencies::waits_for;
use crate::guard;
use crate::hooks::due_after;
use muster_schemas::event::Event;
use muster_schemas::ids::JobId;
use muster_schemas::spec::Hook;

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

/// Lets the after-hooks of the applied plan begin, unless one of them is frozen.
pub(super) fn follow_after_hooks(draft: &mut Draft<'_>) {
    let (fleet, now) = (&*draft.fleet, draft.now);
    let Some((entry, jobs)) = due_after(fleet, now) else {
        return;
    };
    let mut known = jobs.iter().filter_map(|job| fleet.jobs.get(job));
    if known.any(|job| guard::frozen_by(fleet, job, now).is_some()) {
        return;
    }
    let (plan, hook) = (entry.plan.id.clone(), Hook::AfterSync);
    draft.say(
        automation("rollout"),
        Event::HooksBegan { plan, hook, jobs },
    );
}
