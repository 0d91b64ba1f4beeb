//! What follows from what agents say.

use super::{Answer, Draft, Refusal};
use crate::fleet::{Fleet, Host};
use muster_schemas::event::Event;
use muster_schemas::ids::HostId;
use muster_schemas::state::{Actor, AttemptStatus, HostFacts, Phase};
use muster_schemas::wire::{Fence, Report};

fn agent(fleet: &Fleet, host: HostId) -> Actor {
    Actor::Agent(
        fleet
            .hosts
            .get(&host)
            .map_or_else(|| host.to_string(), |host| host.name.clone()),
    )
}

fn known(fleet: &Fleet, host: HostId) -> Result<(), Refusal> {
    if fleet.hosts.contains_key(&host) {
        Ok(())
    } else {
        Err(Refusal::UnknownHost(host))
    }
}

pub(super) fn enrol(draft: &mut Draft<'_>, name: String) -> Result<Answer, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
        return Err(Refusal::BadHostName(name));
    }
    let host = HostId(draft.id());
    draft.say(
        Actor::Agent(name.clone()),
        Event::HostEnrolled { host, name },
    );
    Ok(Answer::Enrolled(host))
}

pub(super) fn connected(
    draft: &mut Draft<'_>,
    host: HostId,
    new: HostFacts,
) -> Result<(), Refusal> {
    facts(draft, host, new)?;
    if draft
        .fleet
        .hosts
        .get(&host)
        .is_some_and(|host| !host.connected)
    {
        let actor = agent(draft.fleet, host);
        draft.say(actor, Event::HostConnected { host });
    }
    Ok(())
}

pub(super) fn silent(draft: &mut Draft<'_>, host: HostId) -> Result<(), Refusal> {
    known(draft.fleet, host)?;
    if draft
        .fleet
        .hosts
        .get(&host)
        .is_some_and(|host| host.connected)
    {
        draft.say(super::automation("hosts"), Event::HostUnreachable { host });
    }
    Ok(())
}

/// A host that follows another history: said once for each fence that it names, however often it dials.
pub(super) fn ahead(
    draft: &mut Draft<'_>,
    host: HostId,
    highest: Fence,
    refused: bool,
) -> Result<(), Refusal> {
    known(draft.fleet, host)?;
    // A greeting that crossed a person's word is no news; that the agent does not follow in spite of it is.
    let is_taken = |host: &Host| host.taken == Some(highest) && !refused;
    let news = |host: &Host| host.ahead != Some(highest) && !is_taken(host);
    if draft.fleet.hosts.get(&host).is_some_and(news) {
        let actor = agent(draft.fleet, host);
        draft.say(actor, Event::HostAhead { host, highest });
    }
    Ok(())
}

/// What a person allowed is used up once the host follows orders of this journal.
pub(super) fn follows(draft: &mut Draft<'_>, host: HostId) -> Result<(), Refusal> {
    known(draft.fleet, host)?;
    let was_taken = |host: &Host| host.taken.is_some();
    if draft.fleet.hosts.get(&host).is_some_and(was_taken) {
        let actor = agent(draft.fleet, host);
        draft.say(actor, Event::HostFollows { host });
    }
    Ok(())
}

pub(super) fn facts(draft: &mut Draft<'_>, host: HostId, facts: HostFacts) -> Result<(), Refusal> {
    known(draft.fleet, host)?;
    if draft
        .fleet
        .hosts
        .get(&host)
        .and_then(|host| host.facts.as_ref())
        != Some(&facts)
    {
        let actor = agent(draft.fleet, host);
        draft.say(actor, Event::HostReported { host, facts });
    }
    Ok(())
}

/// Takes what is new in a report. What it does not mention stays as it was known: absence is no evidence.
pub(super) fn report(draft: &mut Draft<'_>, host: HostId, report: Report) -> Result<(), Refusal> {
    known(draft.fleet, host)?;
    // What it says is about another history until a new greeting shows otherwise.
    let is_ahead = |host: &Host| host.ahead.is_some();
    if draft.fleet.hosts.get(&host).is_some_and(is_ahead) {
        return Ok(());
    }
    if draft
        .fleet
        .hosts
        .get(&host)
        .is_some_and(|host| host.taken.is_some())
    {
        // It has not followed yet.
        if report.fence.epoch != draft.fleet.epoch || report.fence.seq > draft.fleet.seq {
            return Ok(());
        }
        follows(draft, host)?;
    }
    let actor = agent(draft.fleet, host);
    // A host that was taken for unreachable because this process itself stood still is heard again on the same connection.
    if draft
        .fleet
        .hosts
        .get(&host)
        .is_some_and(|host| !host.connected && host.facts.is_some())
    {
        draft.say(actor.clone(), Event::HostConnected { host });
    }
    for status in &report.attempts {
        // An agent can speak only of attempts on its own host.
        let Some(attempt) = draft
            .fleet
            .attempts
            .get(&status.attempt)
            .filter(|attempt| attempt.host == host)
        else {
            continue;
        };
        if attempt.is_news(status) && is_worth_telling(attempt.status.as_ref(), status) {
            draft.say(
                actor.clone(),
                Event::AttemptReported {
                    status: status.clone(),
                },
            );
        }
    }
    if !report.complete {
        return Ok(());
    }
    let gone: Vec<_> = draft
        .fleet
        .attempts
        .values()
        .filter(|attempt| attempt.host == host && attempt.retired)
        .filter(|attempt| {
            !report
                .attempts
                .iter()
                .any(|status| status.attempt == attempt.id)
        })
        .map(|attempt| attempt.id)
        .collect();
    for attempt in gone {
        draft.say(actor.clone(), Event::AttemptForgotten { attempt });
    }
    // A container whose attempt is known here is none, even if the agent has not yet heard of the assignment; unless the attempt has
    // another one: then somebody has made a copy.
    let orphans: Vec<_> = report
        .orphans
        .into_iter()
        .filter(|orphan| {
            orphan.attempt.is_none_or(|id| {
                draft.fleet.attempts.get(&id).is_none_or(|known| {
                    let status = known.status.as_ref();
                    let its_own = status.and_then(|status| status.container.as_ref());
                    known.host != host || its_own.is_some_and(|own| *own != orphan.container)
                })
            })
        })
        .collect();
    if draft
        .fleet
        .hosts
        .get(&host)
        .is_some_and(|host| host.orphans != orphans)
    {
        draft.say(actor, Event::OrphansSeen { host, orphans });
    }
    Ok(())
}

/// The journal keeps what changes something, not every byte of a pull: progress is told by tenths.
fn is_worth_telling(known: Option<&AttemptStatus>, new: &AttemptStatus) -> bool {
    let Some(known) = known else { return true };
    if let (
        Phase::Pulling {
            done: before,
            total: total_before,
        },
        Phase::Pulling { done, total },
    ) = (&known.phase, &new.phase)
    {
        return total != total_before || done.saturating_sub(*before) >= (*total / 10).max(1);
    }
    let without_sequence = AttemptStatus {
        sequence: known.sequence,
        ..new.clone()
    };
    let probes_say_the_same = known.ready == new.ready && known.live == new.live;
    let mut comparable = known.clone();
    if probes_say_the_same {
        comparable
            .probe_message
            .clone_from(&without_sequence.probe_message);
    }
    comparable != without_sequence
}
