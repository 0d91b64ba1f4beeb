//! The attempts of the fleet, with what the guard asks of all of them kept beside.

use super::Attempt;
use muster_schemas::ids::AttemptId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Deref;

/// Attempts by id. How many of them run is kept with every change: each automated stop asks for it, and in a rollout of everything
/// it would be counted thousands of times a second.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attempts {
    by_id: BTreeMap<AttemptId, Attempt>,
    running: u32,
}

impl Attempts {
    /// So many run now, or are being stopped.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Takes an attempt.
    pub fn insert(&mut self, attempt: Attempt) {
        self.running += u32::from(attempt.is_running());
        let before = self.by_id.insert(attempt.id, attempt);
        self.running -= u32::from(before.is_some_and(|before| before.is_running()));
    }

    /// Gives an attempt up.
    pub fn remove(&mut self, id: &AttemptId) -> Option<Attempt> {
        let attempt = self.by_id.remove(id)?;
        self.running -= u32::from(attempt.is_running());
        Some(attempt)
    }

    /// Changes an attempt, if it is there, and gives what `change` gives.
    pub fn change<T>(
        &mut self,
        id: &AttemptId,
        change: impl FnOnce(&mut Attempt) -> T,
    ) -> Option<T> {
        let attempt = self.by_id.get_mut(id)?;
        let before = u32::from(attempt.is_running());
        let given = change(attempt);
        self.running = self.running - before + u32::from(attempt.is_running());
        Some(given)
    }

    /// Changes all attempts.
    pub fn change_all(&mut self, mut change: impl FnMut(&mut Attempt)) {
        for attempt in self.by_id.values_mut() {
            change(attempt);
        }
        self.running = count_running(&self.by_id);
    }
}

fn count_running(by_id: &BTreeMap<AttemptId, Attempt>) -> u32 {
    let running = by_id.values().filter(|attempt| attempt.is_running());
    u32::try_from(running.count()).unwrap_or(u32::MAX)
}

impl Deref for Attempts {
    type Target = BTreeMap<AttemptId, Attempt>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

/// A snapshot holds the attempts alone: what is kept beside follows from them.
impl Serialize for Attempts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_id.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Attempts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_id = BTreeMap::deserialize(deserializer)?;
        let running = count_running(&by_id);
        Ok(Self { by_id, running })
    }
}
