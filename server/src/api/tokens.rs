//! The tokens that are taken: the one named `admin`, which is made with the cell, and those that its bearer makes for others.
//!
//! A token is 256 random bits, so that it can be neither guessed nor found from its hash; only hashes are compared and kept, the
//! `admin`'s own file aside. What a bearer may do is not kept here: the policy says so, by the token's name.

use super::auth::{Hash, hash, new_secret};
use crate::durable;
use jiff::Timestamp;
use muster_schemas::access::{ADMIN, is_token_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use subtle::ConstantTimeEq as _;

/// So many tokens can there be besides `admin`: more than teams, people and pipelines share a cell.
pub const MAX_TOKENS: usize = 1000;

/// The tokens that are taken, by name.
#[derive(Debug)]
pub struct Tokens {
    admin: Hash,
    cookie: String,
    named: RwLock<Arc<Named>>,
    /// Held while the file is written, so that readers never wait for the disk.
    change: Mutex<()>,
    kept: Kept,
}

type Named = BTreeMap<String, Token>;

/// Where tokens besides `admin` are kept.
#[derive(Debug)]
enum Kept {
    /// In memory alone.
    Nowhere,
    In(PathBuf),
    /// The file cannot be read: none of its tokens is taken, and it is not written over.
    Unread(String),
}

/// A token besides `admin`, by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    hash: String,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
}

/// Why a token was not made or not revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The name does not do.
    #[error("a token cannot be named `{0}`")]
    BadName(String),
    /// There is one of that name.
    #[error("there is a token `{0}` already")]
    Taken(String),
    /// There is none of that name.
    #[error("there is no token `{0}`")]
    Unknown(String),
    /// It is the token that is made with the cell.
    #[error("the token `admin` is made with the cell and cannot be made or revoked here")]
    Admin,
    /// There are too many.
    #[error("there are {MAX_TOKENS} tokens already")]
    TooMany,
    /// The file cannot be written, or could not be read.
    #[error("the tokens cannot be kept: {0}")]
    NotKept(String),
}

impl Tokens {
    /// The token `admin`, and others in memory alone.
    pub fn admin(token: &str) -> Self {
        Self::new(token, Arc::default(), Kept::Nowhere)
    }

    /// The token `admin` and those of `home/tokens`. A file that cannot be read is said; its tokens are not taken until it is
    /// mended or removed, and `admin` is taken all the same.
    pub fn kept_in(home: &Path, admin: &str) -> Self {
        let file = home.join("tokens");
        match durable::read::<Named>(&file) {
            Ok(named) => Self::new(admin, Arc::new(named.unwrap_or_default()), Kept::In(file)),
            Err(error) => {
                tracing::error!(path = %file.display(), %error, "the tokens cannot be read: only `admin` is taken until the file is mended or removed");
                let why = format!("{} cannot be read: {error}", file.display());
                Self::new(admin, Arc::default(), Kept::Unread(why))
            }
        }
    }

    fn new(token: &str, named: Arc<Named>, kept: Kept) -> Self {
        let admin = hash(token);
        // Cookies know no ports: the name keeps the sessions of several cells on one machine apart.
        let cookie = format!(
            "muster_session_{}",
            hex::encode(&hash(&hex::encode(admin))[..4])
        );
        Self {
            admin,
            cookie,
            named: RwLock::new(named),
            change: Mutex::new(()),
            kept,
        }
    }

    fn named(&self) -> Arc<Named> {
        Arc::clone(&self.named.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of the token, if it is one of them. The time that it takes tells nothing of the right ones.
    pub(super) fn name_of(&self, token: &str) -> Option<String> {
        let asked = hash(token);
        let mut found = bool::from(self.admin.ct_eq(&asked)).then(|| ADMIN.to_owned());
        for (name, token) in self.named().iter() {
            if hex::decode(&token.hash).is_ok_and(|hash| asked[..].ct_eq(&hash).into()) {
                found = Some(name.clone());
            }
        }
        found
    }

    /// Whether there is a token of that name: the sessions of one that was revoked end with it.
    pub(super) fn has(&self, name: &str) -> bool {
        name == ADMIN || self.named().contains_key(name)
    }

    /// The name of the console's cookie.
    pub fn cookie_name(&self) -> &str {
        &self.cookie
    }

    /// The tokens besides `admin`.
    pub fn list(&self) -> Vec<(String, Token)> {
        let named = self.named();
        named
            .iter()
            .map(|(name, token)| (name.clone(), token.clone()))
            .collect()
    }

    /// When each token besides `admin` was made; none where the file cannot be read, so that nobody knows which there are.
    pub fn made_at(&self) -> Option<BTreeMap<String, Timestamp>> {
        match self.kept {
            Kept::Unread(_) => None,
            Kept::Nowhere | Kept::In(_) => Some(
                self.list()
                    .into_iter()
                    .map(|(name, token)| (name, token.made_at))
                    .collect(),
            ),
        }
    }

    /// Makes a token, which is told this once. It is on the disk before it is told.
    ///
    /// # Errors
    /// The name does not do or is taken, there are too many, or the file cannot be written.
    pub fn create(&self, name: &str, by: &str, now: Timestamp) -> Result<String, TokenFault> {
        if name == ADMIN {
            return Err(TokenFault::Admin);
        }
        if !is_token_name(name) {
            return Err(TokenFault::BadName(name.to_owned()));
        }
        let secret = new_secret();
        self.change(|named| {
            if named.contains_key(name) {
                return Err(TokenFault::Taken(name.to_owned()));
            }
            if named.len() >= MAX_TOKENS {
                return Err(TokenFault::TooMany);
            }
            let token = Token {
                hash: hex::encode(hash(&secret)),
                made_by: by.to_owned(),
                made_at: now,
            };
            named.insert(name.to_owned(), token);
            Ok(())
        })?;
        Ok(secret)
    }

    /// Takes a token no more.
    ///
    /// # Errors
    /// There is none of that name, it is `admin`, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), TokenFault> {
        if name == ADMIN {
            return Err(TokenFault::Admin);
        }
        self.change(|named| {
            let known = named.remove(name).is_some();
            known
                .then_some(())
                .ok_or_else(|| TokenFault::Unknown(name.to_owned()))
        })
    }

    fn change(
        &self,
        act: impl FnOnce(&mut Named) -> Result<(), TokenFault>,
    ) -> Result<(), TokenFault> {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named = Named::clone(&self.named());
        act(&mut named)?;
        match &self.kept {
            Kept::Nowhere => {}
            Kept::In(file) => durable::write(file, &named)
                .map_err(|error| TokenFault::NotKept(format!("{}: {error}", file.display())))?,
            Kept::Unread(why) => return Err(TokenFault::NotKept(why.clone())),
        }
        *self.named.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(named);
        Ok(())
    }
}

/// Reads the token of `home/token`, or makes one, readable by its owner alone.
///
/// # Errors
/// The file cannot be read or made, or is empty.
pub fn load_or_create_token(home: &Path) -> io::Result<String> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let path = home.join("token");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim();
            if token.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "{} is empty; remove it, and the next start makes a new token",
                        path.display()
                    ),
                ));
            }
            if path.metadata()?.permissions().mode() & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "the token could be read by others; its mode is now 0600");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            }
            Ok(token.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = new_secret();
            // Written beside and renamed, so that a crash leaves no half a token.
            let draft = home.join("token.new");
            match std::fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            writeln!(file, "{token}")?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
}
