//! Enrolment tokens: a secret that lets one agent enrol once, within ten minutes. Only hashes are kept, in memory and in a
//! small file beside the authority, so that a restart of the control plane spoils no token.
//!
//! The text `mst_…` carries the secret and the authority's fingerprint: with it the agent knows whom it may give the secret
//! to, before it has anything else to trust.

use super::private_file;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a token can be used: enough to paste it on another machine.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// So many tokens may wait for their agents at a time. A whole fleet can be enrolled at once, and a script that mints in a
/// loop is stopped.
pub const MAX_OPEN_TOKENS: usize = 1000;

/// So many used or ended tokens are remembered, so that whoever comes with one is told what is wrong with it.
const MAX_CLOSED_TOKENS: usize = 1000;

const PREFIX: &str = "mst_";
const FILE: &str = "enrolment-tokens.json";

/// A token as it is given to a person.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// The text for `muster agent --join`.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

// A token is a secret, and what is printed for debugging ends up in logs.
impl std::fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolmentToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What an agent reads from a token's text.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenParts {
    /// What the control plane knows the token by.
    pub secret: String,
    /// The SHA-256 of the authority's certificate.
    pub fingerprint: [u8; 32],
}

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not an enrolment token: one begins with `mst_` and has {} characters; was it copied whole?",
    PREFIX.len() + 86
)]
pub struct NotAToken;

impl TokenParts {
    /// Reads a token's text.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(NotAToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| NotAToken)?;
        let bytes: [u8; 64] = bytes.try_into().map_err(|_| NotAToken)?;
        let (secret, fingerprint) = bytes.split_at(32);
        Ok(Self {
            secret: URL_SAFE_NO_PAD.encode(secret),
            fingerprint: fingerprint.try_into().map_err(|_| NotAToken)?,
        })
    }
}

/// Why a token is not minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Too many wait.
    #[error(
        "{MAX_OPEN_TOKENS} enrolment tokens wait to be used; wait for some to end (10 minutes)"
    )]
    TooMany,
    /// It could not be kept.
    #[error("the enrolment token could not be kept in {path}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// It was never minted here, or that is forgotten.
    #[error("the enrolment token is not known here; ask for a new one, and check the address")]
    Unknown,
    /// An agent has enrolled with it.
    #[error(
        "the enrolment token was already used; each is good for one agent. If that agent was not yours, look at the hosts that enrolled since"
    )]
    Used,
    /// It has ended.
    #[error("the enrolment token has ended: each is good for 10 minutes; ask for a new one")]
    Ended,
    /// That it is used could not be kept, so it is not used.
    #[error("the enrolment token could not be marked as used in {path}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The SHA-256 of the secret's text, in hexadecimal digits.
    hash: String,
    expires_at: Timestamp,
    used: bool,
}

impl Kept {
    fn is_open(&self, now: Timestamp) -> bool {
        !self.used && now < self.expires_at
    }
}

/// The tokens that were minted here, oldest first.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    kept: Vec<Kept>,
}

impl Tokens {
    /// Reads those of an earlier process. A file that is not readable counts as empty, with a warning: the worst of it is
    /// that somebody has to mint a token again.
    pub fn open(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let kept = match private_file::read(&path) {
            Ok(None) => Vec::new(),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "enrolment tokens are forgotten: their file is damaged");
                Vec::new()
            }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "enrolment tokens are forgotten: their file cannot be read");
                Vec::new()
            }
        };
        Self { path, kept }
    }

    /// Mints a token for the authority with `fingerprint`.
    ///
    /// # Errors
    /// Too many are open, or it could not be kept.
    pub fn mint(
        &mut self,
        fingerprint: [u8; 32],
        now: Timestamp,
    ) -> Result<EnrolmentToken, MintError> {
        if self.kept.iter().filter(|kept| kept.is_open(now)).count() >= MAX_OPEN_TOKENS {
            return Err(MintError::TooMany);
        }
        let secret: [u8; 32] = rand::random();
        let expires_at = now + TOKEN_LIFETIME;
        let mut kept = self.kept.clone();
        forget_oldest_closed(&mut kept, now);
        kept.push(Kept {
            hash: hash_of(&URL_SAFE_NO_PAD.encode(secret)),
            expires_at,
            used: false,
        });
        self.keep(kept).map_err(|source| MintError::Keep {
            path: self.path.clone(),
            source,
        })?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&secret);
        bytes[32..].copy_from_slice(&fingerprint);
        Ok(EnrolmentToken {
            token: format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)),
            expires_at,
        })
    }

    /// Whether the token with this secret could be used now.
    ///
    /// # Errors
    /// The token is not good (any more).
    pub fn check(&self, secret: &str, now: Timestamp) -> Result<(), TokenRefusal> {
        self.find_open(secret, now).map(|_| ())
    }

    /// Uses the token with this secret. That it is used is durable when this returns.
    ///
    /// # Errors
    /// The token is not good (any more).
    pub fn take(&mut self, secret: &str, now: Timestamp) -> Result<(), TokenRefusal> {
        let index = self.find_open(secret, now)?;
        self.mark(index, true)
    }

    /// Opens a token again that was taken, when the enrolment went no further.
    ///
    /// # Errors
    /// It could not be kept; then the token stays used.
    pub fn give_back(&mut self, secret: &str) -> Result<(), TokenRefusal> {
        let index = self.find(secret).ok_or(TokenRefusal::Unknown)?;
        self.mark(index, false)
    }

    fn find_open(&self, secret: &str, now: Timestamp) -> Result<usize, TokenRefusal> {
        let index = self.find(secret).ok_or(TokenRefusal::Unknown)?;
        if self.kept[index].used {
            return Err(TokenRefusal::Used);
        }
        if !self.kept[index].is_open(now) {
            return Err(TokenRefusal::Ended);
        }
        Ok(index)
    }

    fn mark(&mut self, index: usize, used: bool) -> Result<(), TokenRefusal> {
        let mut kept = self.kept.clone();
        kept[index].used = used;
        self.keep(kept).map_err(|source| TokenRefusal::Keep {
            path: self.path.clone(),
            source,
        })
    }

    fn find(&self, secret: &str) -> Option<usize> {
        let hash = hash_of(secret);
        // Every one is compared, and each in constant time, so that the time tells nothing of how close a guess came.
        let mut found = None;
        for (index, kept) in self.kept.iter().enumerate() {
            if bool::from(kept.hash.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(index);
            }
        }
        found
    }

    fn keep(&mut self, kept: Vec<Kept>) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(&kept)?;
        private_file::write(&self.path, &bytes)?;
        self.kept = kept;
        Ok(())
    }
}

fn forget_oldest_closed(kept: &mut Vec<Kept>, now: Timestamp) {
    let closed = kept.iter().filter(|kept| !kept.is_open(now)).count();
    let mut excess = closed.saturating_sub(MAX_CLOSED_TOKENS - 1);
    kept.retain(|kept| {
        let forget = excess > 0 && !kept.is_open(now);
        excess -= usize::from(forget);
        !forget
    });
}

fn hash_of(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: [u8; 32] = [7; 32];

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn secret_of(token: &EnrolmentToken) -> String {
        TokenParts::parse(&token.token).expect("a token").secret
    }

    #[test]
    fn a_token_is_good_once_also_across_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut tokens = Tokens::open(directory.path());
        let token = tokens.mint(FINGERPRINT, time(0)).expect("minted");
        let parts = TokenParts::parse(&token.token).expect("a token");
        assert_eq!(parts.fingerprint, FINGERPRINT);
        let text = std::fs::read_to_string(directory.path().join(FILE)).expect("kept");
        assert!(!text.contains(&parts.secret), "only the hash is kept");

        let mut tokens = Tokens::open(directory.path());
        tokens.take(&parts.secret, time(599)).expect("good");
        for mut tokens in [tokens, Tokens::open(directory.path())] {
            let again = tokens.take(&parts.secret, time(599));
            assert!(matches!(again, Err(TokenRefusal::Used)), "{again:?}");
        }
    }

    #[test]
    fn a_token_ends_and_an_unknown_one_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut tokens = Tokens::open(directory.path());
        let secret = secret_of(&tokens.mint(FINGERPRINT, time(0)).expect("minted"));
        let late = tokens.take(&secret, time(600));
        assert!(matches!(late, Err(TokenRefusal::Ended)), "{late:?}");
        let unknown = tokens.take("guess", time(0));
        assert!(matches!(unknown, Err(TokenRefusal::Unknown)), "{unknown:?}");
    }

    #[test]
    fn a_token_that_is_given_back_is_good_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut tokens = Tokens::open(directory.path());
        let secret = secret_of(&tokens.mint(FINGERPRINT, time(0)).expect("minted"));
        tokens.take(&secret, time(1)).expect("good");
        tokens.give_back(&secret).expect("given back");
        tokens.take(&secret, time(2)).expect("good again");
    }

    #[test]
    fn open_tokens_and_remembered_ones_are_bounded() {
        let mut kept: Vec<Kept> = (0..MAX_CLOSED_TOKENS + 5)
            .map(|index| Kept {
                hash: index.to_string(),
                expires_at: time(0),
                used: false,
            })
            .collect();
        forget_oldest_closed(&mut kept, time(1));
        assert_eq!(kept.len(), MAX_CLOSED_TOKENS - 1);
        assert_eq!(kept[0].hash, "6", "the oldest go");

        let directory = tempfile::tempdir().expect("a directory");
        let mut tokens = Tokens::open(directory.path());
        tokens.kept = (0..MAX_OPEN_TOKENS)
            .map(|index| Kept {
                hash: index.to_string(),
                expires_at: time(600),
                used: false,
            })
            .collect();
        let refused = tokens.mint(FINGERPRINT, time(1));
        assert!(matches!(refused, Err(MintError::TooMany)));
        tokens.mint(FINGERPRINT, time(600)).expect("they ended");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_only_whole_tokens_are_read(text in ".{0,120}", secret: [u8; 32]) {
            proptest::prop_assert!(TokenParts::parse(&text).is_err());
            let mut bytes = [9; 64];
            bytes[..32].copy_from_slice(&secret);
            let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
            let read = TokenParts::parse(&format!("  {token}\n")).ok();
            proptest::prop_assert_eq!(read.map(|parts| parts.secret), Some(URL_SAFE_NO_PAD.encode(secret)));
            for cut in 0..token.len() {
                proptest::prop_assert!(TokenParts::parse(&token[..cut]).is_err());
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_told() {
        for text in ["", "mst_", "mst_abc", "x", "mst_%%%"] {
            assert!(TokenParts::parse(text).is_err(), "{text}");
        }
        insta::assert_snapshot!(NotAToken, @"this is not an enrolment token: one begins with `mst_` and has 90 characters; was it copied whole?");
    }
}
