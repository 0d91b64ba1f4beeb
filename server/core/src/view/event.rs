//! Events.

use crate::describe::{sentence, subjects_in};
use crate::fleet::Fleet;
use muster_schemas::api::EventView;
use muster_schemas::event::Record;

/// An event for people and programs. The fleet, before or after it, gives the names that the event itself does not.
pub fn event_view(fleet: &Fleet, record: &Record) -> EventView {
    let subjects = subjects_in(fleet, record);
    EventView {
        seq: record.seq,
        at: record.at,
        actor: record.actor.to_string(),
        kind: subjects.kind.to_owned(),
        text: sentence(record, &|host| {
            fleet.hosts.get(&host).map(|host| host.name.clone())
        }),
        job: subjects.job,
        task: subjects.task,
        attempt: subjects.attempt,
        host: subjects.host,
        plan: subjects.plan,
        data: serde_json::to_value(&record.event)
            .expect("an event has only text keys, so it is always JSON"),
    }
}
