//! The console's sessions. They outlive the control plane's process: who has the console open sees it come back after a
//! restart, rather than a question for the token.
//!
//! Kept are hashes of the sessions' ids alone, so that the file lets nobody in. It belongs to the tokens that the sessions
//! were opened with: with other tokens it counts as empty.

use super::auth::{Hash, Tokens, hash, new_secret};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A session ends after so long, whatever its use: a working day and a bit, so that one logs in once a day.
pub const SESSION_HOURS: i64 = 12;

/// So many sessions are kept; beyond it the oldest goes. More than people have browsers.
pub const MAX_SESSIONS: usize = 1000;

#[derive(Debug, Clone)]
struct Session {
    name: String,
    expires_at: Timestamp,
}

/// The console's sessions, by the hash of their id.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Hash, Session>>,
    kept: Option<Kept>,
}

/// Where sessions are kept, and with which tokens they were opened.
#[derive(Debug)]
struct Kept {
    file: PathBuf,
    tokens: String,
}

/// The file as JSON.
#[derive(Serialize, Deserialize)]
struct File {
    /// The console's cookie, whose name is made of the tokens.
    tokens: String,
    sessions: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    id: String,
    name: String,
    expires_at: Timestamp,
}

impl Sessions {
    /// The sessions of `home/sessions.json`, which is written anew with each that opens or closes. A file that cannot be
    /// read is said and counts as empty: people sign in again.
    pub fn kept_in(home: &Path, tokens: &Tokens) -> Self {
        let kept = Kept {
            file: home.join("sessions.json"),
            tokens: tokens.cookie_name().to_owned(),
        };
        let open = kept.read().unwrap_or_else(|error| {
            tracing::warn!(path = %kept.file.display(), %error, "sessions cannot be read: people sign in again");
            HashMap::new()
        });
        Self {
            open: Mutex::new(open),
            kept: Some(kept),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut HashMap<Hash, Session>) -> R) -> R {
        // A poisoned lock means that a thread panicked between two map operations; the map itself is whole.
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        act(&mut open)
    }

    /// Opens a session for the bearer of the token `name`; answers its id.
    pub fn open(&self, name: &str, now: Timestamp) -> String {
        let id = new_secret();
        self.with(|open| {
            open.retain(|_, session| session.expires_at > now);
            if open.len() >= MAX_SESSIONS {
                let oldest = open
                    .iter()
                    .min_by_key(|(_, session)| session.expires_at)
                    .map(|(hash, _)| *hash);
                if let Some(oldest) = oldest {
                    open.remove(&oldest);
                }
            }
            open.insert(
                hash(&id),
                Session {
                    name: name.to_owned(),
                    expires_at: now + SignedDuration::from_hours(SESSION_HOURS),
                },
            );
            self.keep(open);
        });
        id
    }

    /// Whose session it is, while it lasts.
    pub fn name_of(&self, id: &str, now: Timestamp) -> Option<String> {
        self.with(|open| {
            let session = open.get(&hash(id))?;
            (session.expires_at > now).then(|| session.name.clone())
        })
    }

    /// Ends the sessions of a token.
    pub fn close_those_of(&self, name: &str) {
        self.with(|open| {
            open.retain(|_, session| session.name != name);
            self.keep(open);
        });
    }

    /// Ends a session.
    pub fn close(&self, id: &str) {
        self.with(|open| {
            if open.remove(&hash(id)).is_some() {
                self.keep(open);
            }
        });
    }

    fn keep(&self, open: &HashMap<Hash, Session>) {
        if let Some(kept) = &self.kept
            && let Err(error) = kept.write(open)
        {
            tracing::warn!(path = %kept.file.display(), %error, "sessions cannot be kept: they end with this process");
        }
    }
}

impl Kept {
    fn read(&self) -> io::Result<HashMap<Hash, Session>> {
        let text = match std::fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            Err(error) => return Err(error),
        };
        let file: File = serde_json::from_slice(&text)?;
        if file.tokens != self.tokens {
            return Ok(HashMap::new());
        }
        file.sessions
            .into_iter()
            .take(MAX_SESSIONS)
            .map(|entry| {
                let mut id = Hash::default();
                hex::decode_to_slice(&entry.id, &mut id).map_err(io::Error::other)?;
                let session = Session {
                    name: entry.name,
                    expires_at: entry.expires_at,
                };
                Ok((id, session))
            })
            .collect()
    }

    /// Written beside and renamed. What a power cut takes away costs somebody a sign-in, so nothing is synced.
    fn write(&self, open: &HashMap<Hash, Session>) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = File {
            tokens: self.tokens.clone(),
            sessions: open
                .iter()
                .map(|(id, session)| Entry {
                    id: hex::encode(id),
                    name: session.name.clone(),
                    expires_at: session.expires_at,
                })
                .collect(),
        };
        let draft = self.file.with_extension("json.new");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?
            .write_all(&serde_json::to_vec(&file)?)?;
        std::fs::rename(&draft, &self.file)
    }
}
