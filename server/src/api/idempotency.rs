//! Commands with an `Idempotency-Key` are done once: who repeats one gets the answer that the first got.

use super::problem::Failure;
use axum::http::{HeaderMap, StatusCode};
use muster_schemas::api::CommandAnswer;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

/// So many keys are remembered, the latest. A client repeats a command within seconds; 1,000 last for hours of use by people
/// and pipelines.
pub const KEYS_KEPT: usize = 1000;

/// The longest key, in bytes: a UUID and much more.
const MAX_KEY_BYTES: usize = 200;

/// Whose key it is, for what, and the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplyKey {
    /// The caller's name.
    pub caller: String,
    /// The path of the request.
    pub path: String,
    /// The key.
    pub key: String,
}

/// What was asked and answered under a key. The lock is held while the command is under way.
pub type Slot = Arc<tokio::sync::Mutex<Option<(String, CommandAnswer)>>>;

/// What commands with a key were answered, since the control plane started.
#[derive(Debug, Default)]
pub struct Replies {
    kept: Mutex<(HashMap<ReplyKey, Slot>, VecDeque<ReplyKey>)>,
}

impl Replies {
    /// The place of a key's answer, made if it is new.
    pub fn slot(&self, key: ReplyKey) -> Slot {
        // A poisoned lock means that a thread panicked in here; at worst a key is remembered for less long.
        let mut kept = self
            .kept
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let (slots, order) = &mut *kept;
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        if order.len() >= KEYS_KEPT
            && let Some(oldest) = order.pop_front()
        {
            slots.remove(&oldest);
        }
        let slot = Slot::default();
        slots.insert(key.clone(), Arc::clone(&slot));
        order.push_back(key);
        slot
    }
}

/// The key of a request, if it has one.
///
/// # Errors
/// 400 for one that is empty, too long or not plain text.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(Failure::bad_request(
            "bad-idempotency-key",
            format!("the `Idempotency-Key` has to be 1 to {MAX_KEY_BYTES} plain characters"),
            "use a UUID",
        )),
    }
}

/// A key that was used for something else.
pub fn reused() -> Failure {
    Failure::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "this `Idempotency-Key` was used for a command with another reason",
        "use a new key for a new command",
    )
}
