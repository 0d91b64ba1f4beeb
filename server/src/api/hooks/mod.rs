//! What forges send after a push: it wakes the reading of the repository, and nothing else.
//!
//! No token is asked for: the signature is the proof. Before it is looked at, there are bounds on how many deliveries come, how
//! many are read at a time, how large each is and how long it takes. What a delivery says is not believed: of a push only its
//! branch is looked at, to leave those alone that do not concern this cell, and what was pushed is read from the repository.
//!
//! Read in this order: [`signature`], [`payload`], and the route in `routes/hooks.rs`.

pub mod payload;
pub mod signature;

use crate::notify::{ForgeKind, HookSecrets, Offered, PullLines, PullRequest};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The largest delivery. A push of a 10,000-file commit is told in less than a megabyte; what is larger is found by polling.
pub const MAX_BYTES: usize = 4 << 20;

/// So many deliveries are taken in a second on average: a busy forge sends one, and each costs the hash of its body.
pub const PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("it is not zero");

/// So many may come at once after a quiet time: a forge that sends again what was not taken while the control plane was away.
pub const BURST: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");

/// So many are read at a time, which bounds the memory for those that nobody has signed.
const READ_AT_A_TIME: usize = 8;

/// So long may it take to read one.
pub const READ_WITHIN: Duration = Duration::from_secs(10);

/// So many deliveries are remembered: days of pushes. A delivery that comes again is answered and does nothing.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// Deliveries of forges: who may send them, and which have come.
pub struct Hooks {
    secrets: HookSecrets,
    branch: String,
    gate: DefaultDirectRateLimiter,
    pub(super) reading: Semaphore,
    seen: Mutex<LruCache<[u8; 32], ()>>,
    pulls: PullLines,
}

impl Default for Hooks {
    /// Nobody is listened to.
    fn default() -> Self {
        Self::new(
            HookSecrets::default(),
            "main".to_owned(),
            PullLines::default(),
        )
    }
}

impl Hooks {
    /// Listens to the forges that have a secret. Pushes to other branches than `branch` wake nothing; pull requests against it go
    /// to `pulls`.
    pub fn new(secrets: HookSecrets, branch: String, pulls: PullLines) -> Self {
        Self {
            secrets,
            branch,
            gate: RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(BURST)),
            reading: Semaphore::new(READ_AT_A_TIME),
            seen: Mutex::new(LruCache::new(REMEMBERED)),
            pulls,
        }
    }

    /// The secrets of the forges.
    pub fn secrets(&self) -> &HookSecrets {
        &self.secrets
    }

    /// The branch that is followed.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Whether another delivery may come now.
    pub(super) fn may_come(&self) -> bool {
        self.gate.check().is_ok()
    }

    /// Whether a delivery that proved itself has come before, and something was done about it.
    pub(super) fn has_come(&self, delivery: &Delivery) -> bool {
        // A poisoned lock means that a thread panicked in here; at worst a delivery is forgotten.
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        delivery.0.iter().any(|key| seen.contains(key))
    }

    /// Remembers a delivery, once it was acted on: one that was turned away may come again.
    pub(super) fn remember(&self, delivery: Delivery) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for key in delivery.0 {
            seen.put(key, ());
        }
    }

    /// Has a pull request planned, if that is wanted and there is room.
    pub(super) fn plan(&self, pull: &PullRequest) -> Offered {
        self.pulls.offer(pull)
    }
}

/// What a delivery is known by.
///
/// The ids of GitHub and Gitea are not signed, so the body counts, too: with another id it is the same delivery. It costs nothing that
/// matters when a forge means it, since the repository is read every few seconds anyway.
pub(super) struct Delivery(Vec<[u8; 32]>);

impl Delivery {
    pub(super) fn of(kind: ForgeKind, id: Option<&str>, body: &[u8]) -> Self {
        let key = |part: &str, bytes: &[u8]| -> [u8; 32] {
            let mut digest = Sha256::new();
            digest.update(kind.word());
            digest.update(part);
            digest.update(bytes);
            digest.finalize().into()
        };
        let by_id = id.map(|id| key(" id ", id.as_bytes()));
        Self(by_id.into_iter().chain([key(" body ", body)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is new; then it is acted on and remembered.
    fn is_new(hooks: &Hooks, kind: ForgeKind, id: Option<&str>, body: &[u8]) -> bool {
        let delivery = Delivery::of(kind, id, body);
        let is_new = !hooks.has_come(&delivery);
        hooks.remember(delivery);
        is_new
    }

    #[test]
    fn a_delivery_is_new_once_whatever_it_calls_itself() {
        let hooks = Hooks::default();
        assert!(is_new(&hooks, ForgeKind::Github, Some("1"), b"a"));
        assert!(!is_new(&hooks, ForgeKind::Github, Some("1"), b"b"));
        assert!(!is_new(&hooks, ForgeKind::Github, Some("2"), b"a"));
        assert!(is_new(&hooks, ForgeKind::Gitea, Some("1"), b"a"));
        assert!(is_new(&hooks, ForgeKind::Gitlab, None, b"c"));
        assert!(!is_new(&hooks, ForgeKind::Gitlab, None, b"c"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let hooks = Hooks::default();
        for number in 0..10_000 {
            let text = number.to_string();
            assert!(is_new(
                &hooks,
                ForgeKind::Github,
                Some(&text),
                text.as_bytes()
            ));
        }
        assert_eq!(hooks.seen.lock().unwrap().len(), REMEMBERED.get());
    }

    #[test]
    fn a_flood_is_turned_away() {
        let hooks = Hooks::default();
        let taken = (0..1000).filter(|_| hooks.may_come()).count();
        assert!((20..=40).contains(&taken), "{taken}");
    }
}
