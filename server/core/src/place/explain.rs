//! All that stands between a task and its hosts, and which host is nearest to taking it.

use super::board::Board;
use super::class::Class;
use super::refuse::total_of;
use crate::fleet::Host;
use muster_schemas::state::HostRefusal;

/// A host with all that rules it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// The host.
    pub host: &'a Host,
    /// What rules it out, in the order in which it is looked for.
    pub refusals: Vec<HostRefusal>,
}

impl Class<'_> {
    /// All that rules out the host at a position; empty if it can take one of the tasks.
    pub fn refusals(&self, board: &Board<'_>, at: usize) -> Vec<HostRefusal> {
        board.refusals(at, self.spec(), self.zones())
    }

    /// The hosts that are nearest to taking one of the tasks, nearest first, at most `most`; those that can take it come before all
    /// others, without a refusal.
    pub fn nearest<'a>(&self, board: &Board<'a>, most: usize) -> Vec<Candidate<'a>> {
        let mut found: Vec<(u64, Candidate<'a>)> = board
            .all()
            .map(|(at, host)| {
                let refusals = self.refusals(board, at);
                let distance = refusals.iter().map(|refusal| distance(host, refusal));
                (distance.sum(), Candidate { host, refusals })
            })
            .collect();
        let nearer = |(one, a): &(u64, Candidate<'a>), (other, b): &(u64, Candidate<'a>)| {
            (one, &a.host.name).cmp(&(other, &b.host.name))
        };
        if found.len() > most {
            found.select_nth_unstable_by(most, nearer);
            found.truncate(most);
        }
        found.sort_by(nearer);
        found.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

/// How far a host is from taking a task for one reason: what ends by itself counts least, then what a person can free there, by how
/// much of it, and most what the host is or is not.
fn distance(host: &Host, refusal: &HostRefusal) -> u64 {
    const BY_ITSELF: u64 = 1;
    const BY_A_PERSON: u64 = 1_000;
    const BY_ANOTHER_HOST: u64 = 1_000_000;
    match refusal {
        HostRefusal::Busy { .. } | HostRefusal::KeptFor { .. } => BY_ITSELF,
        HostRefusal::TooLittle {
            resource,
            free,
            needed,
        } => {
            if total_of(host, *resource) < *needed {
                return BY_ANOTHER_HOST;
            }
            let lacks = needed.saturating_sub(*free).saturating_mul(1_000);
            BY_A_PERSON + lacks / (*needed).max(1)
        }
        HostRefusal::PortTaken { .. }
        | HostRefusal::NotUnique
        | HostRefusal::NotExclusive
        | HostRefusal::TakenExclusively { .. }
        | HostRefusal::ZoneUnbalanced { .. } => BY_A_PERSON,
        HostRefusal::Unreachable
        | HostRefusal::NotReady { .. }
        | HostRefusal::WrongZone { .. }
        | HostRefusal::WrongHost
        | HostRefusal::LabelMissing { .. } => BY_ANOTHER_HOST,
    }
}
