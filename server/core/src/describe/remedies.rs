//! What would let a host take a task that it refuses now.

use super::reasons::{amount, resource_word};
use crate::fleet::Host;
use crate::place::total_of;
use muster_schemas::state::{HostRefusal, ResourceKind};

/// What would remove a refusal of a host.
pub fn remedy(host: &Host, refusal: &HostRefusal) -> String {
    match refusal {
        HostRefusal::Unreachable => format!(
            "start the agent on {0}, or mend the way from it; `muster describe host {0}` says since when it is gone",
            host.name
        ),
        HostRefusal::NotReady { .. } => {
            "mend that on the host; its agent tells by itself when it is ready".to_owned()
        }
        HostRefusal::TooLittle {
            resource,
            free,
            needed,
        } => too_little(host, *resource, *free, *needed),
        HostRefusal::PortTaken { port } => format!(
            "stop what has port {port} there, take another `hostPort`, or leave it out: without one any host will do"
        ),
        HostRefusal::NotUnique => {
            "add a host, ask for fewer tasks, or make `uniqueHost` a soft constraint".to_owned()
        }
        HostRefusal::NotExclusive => {
            "move the other jobs' tasks away, add a host, or make `exclusiveHost` a soft constraint"
                .to_owned()
        }
        HostRefusal::TakenExclusively { job } => {
            format!("add a host, or take `exclusiveHost` out of job {job}")
        }
        HostRefusal::ZoneUnbalanced { .. } => {
            "make room in the zones that have fewer of its tasks, or make `zoneBalance` a soft constraint"
                .to_owned()
        }
        HostRefusal::WrongZone { zone } => {
            format!("add `{zone}` to `constraints.hard.zones`, or hosts to the zones that stand there")
        }
        HostRefusal::WrongHost => {
            format!("add `{}` to `constraints.hard.hosts`", host.name)
        }
        HostRefusal::LabelMissing { label } => format!(
            "start the host's agent with `--label {label}`, or take the label out of `constraints.hard.hostLabels`"
        ),
        HostRefusal::KeptFor { task } => format!(
            "nothing has to be done: it is free again once {task} is back, or does not come back in time"
        ),
        HostRefusal::Busy { .. } => {
            "nothing has to be done: it can take more once some of these have started".to_owned()
        }
    }
}

fn too_little(host: &Host, resource: ResourceKind, free: u64, needed: u64) -> String {
    let total = total_of(host, resource);
    if resource == ResourceKind::Containers {
        return "stop or move a container there, add a host, or let the agent sell more with `--max-containers`".to_owned();
    }
    let field = field(resource);
    if total < needed {
        let has = match total {
            0 => format!("no {}", resource_word(resource)),
            total => format!("{} in all", amount(resource, total)),
        };
        return format!("add a larger host, or ask for less in `{field}`: this one has {has}");
    }
    let missing = amount(resource, needed.saturating_sub(free));
    format!("free {missing} more there, add a host, or ask for less in `{field}`")
}

fn field(resource: ResourceKind) -> &'static str {
    match resource {
        ResourceKind::Cpu => "resources.cpu",
        ResourceKind::Memory => "resources.memory",
        ResourceKind::Disk => "resources.disk",
        ResourceKind::Network => "resources.network",
        ResourceKind::Gpu => "resources.gpu",
        ResourceKind::Containers => "resources",
    }
}
