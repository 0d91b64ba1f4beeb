//! What each host is to do, as it follows from the fleet.

use crate::fleet::{Attempt, Fleet, JobVersion};
use muster_schemas::ids::HostId;
use muster_schemas::wire::{Assignment, Assignments, Fence, Launch, PutBack};

/// All that `host` is to do now.
pub fn assignments(fleet: &Fleet, host: HostId) -> Assignments {
    let items = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.host == host)
        .filter_map(|attempt| assignment(fleet, attempt))
        .collect();
    let put_back = fleet
        .attempts
        .values()
        .filter(|attempt| attempt.host == host && !attempt.put_back.is_empty())
        .filter(|attempt| attempt.ended.is_none() && attempt.stop.is_none())
        .map(|attempt| PutBack {
            attempt: attempt.id,
            fields: attempt.put_back.clone(),
        })
        .collect();
    Assignments {
        cell: fleet.cell.clone(),
        host,
        fence: Fence {
            epoch: fleet.epoch,
            seq: fleet.seq,
        },
        items,
        put_back,
        supersedes: fleet.hosts.get(&host).and_then(|host| host.taken),
    }
}

fn assignment(fleet: &Fleet, attempt: &Attempt) -> Option<Assignment> {
    if attempt.ended.is_some() {
        return Some(if attempt.retired {
            Assignment::Remove {
                attempt: attempt.id,
            }
        } else {
            Assignment::Keep {
                attempt: attempt.id,
            }
        });
    }
    let version = fleet
        .jobs
        .get(&attempt.task.job)?
        .versions
        .get(&attempt.version)?;
    let launch = Box::new(launch(attempt, version));
    Some(match &attempt.stop {
        Some((order, _)) => Assignment::Stop {
            launch,
            order: order.clone(),
        },
        None => Assignment::Run(launch),
    })
}

fn launch(attempt: &Attempt, version: &JobVersion) -> Launch {
    let spec = &version.spec;
    Launch {
        attempt: attempt.id,
        number: attempt.number,
        task: attempt.task.clone(),
        job: spec.name.clone(),
        version: version.number,
        app: spec.app().to_owned(),
        stack: spec.stack.clone(),
        detail: spec.detail.clone(),
        labels: spec.labels.clone(),
        image: version.image.clone(),
        entrypoint: spec.entrypoint.clone(),
        command: spec.command.clone(),
        env: spec.env.clone(),
        resources: spec.resources,
        ports: spec.ports.clone(),
        readiness: spec.readiness.clone(),
        liveness: spec.liveness.clone(),
        read_only_root: spec.security.read_only_root,
        user: spec.security.user.clone(),
        capabilities: spec.security.capabilities.clone(),
        kill_grace: spec.kill_grace,
    }
}
