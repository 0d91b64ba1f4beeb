//! Resources as numbers in a row, and as steps that hosts are told apart by.

use muster_schemas::spec::JobSpec;
use muster_schemas::state::{HostResources, ResourceKind};

/// So many resources are counted.
pub const KINDS: usize = 6;

/// The resources, in the order of [`Amounts`].
pub const RESOURCES: [ResourceKind; KINDS] = [
    ResourceKind::Cpu,
    ResourceKind::Memory,
    ResourceKind::Disk,
    ResourceKind::Network,
    ResourceKind::Gpu,
    ResourceKind::Containers,
];

/// An amount of each resource, in its base unit.
pub type Amounts = [u64; KINDS];

/// What a host has.
pub fn of_host(resources: &HostResources) -> Amounts {
    [
        u64::from(resources.cpu.0),
        resources.memory.0,
        resources.disk.0,
        u64::from(resources.network.0),
        u64::from(resources.gpu),
        u64::from(resources.containers),
    ]
}

/// What one task of a job needs.
pub fn of_task(spec: &JobSpec) -> Amounts {
    let needs = &spec.resources;
    [
        u64::from(needs.cpu.0),
        needs.memory.0,
        needs.disk.0,
        u64::from(needs.network.0),
        u64::from(needs.gpu),
        1,
    ]
}

pub fn add(to: &mut Amounts, more: &Amounts) {
    for (to, more) in to.iter_mut().zip(more) {
        *to = to.saturating_add(*more);
    }
}

/// Two steps for each doubling, of the amount in units of some size: 32 thousandths of a CPU, 16 MiB of memory and 64 MiB of disk
/// tell hosts apart well enough. More of a resource is never a lower step.
pub fn step(kind: usize, amount: u64) -> usize {
    const SHIFTS: [u32; KINDS] = [5, 24, 26, 0, 0, 0];
    let amount = amount >> SHIFTS[kind];
    let Some(doublings) = amount.checked_ilog2() else {
        return 0;
    };
    let half = match doublings {
        0 => 0,
        doublings => (amount >> (doublings - 1)) & 1,
    };
    1 + 2 * doublings as usize + half as usize
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn more_is_never_a_lower_step() {
        let mut before = 0;
        for gpus in 0..64 {
            let step = step(4, gpus);
            assert!(step >= before, "{gpus}");
            before = step;
        }
        let steps = [1, 2, 3, 4, 6, 8, 12, 16].map(|amount| step(4, amount));
        assert_eq!(steps, [1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(step(0, 31), 0);
    }
}
