//! The key with which Muster signs the commits that it makes itself.

use super::signatures::NAMESPACE;
use muster_core::signatures::SignerKey;
use muster_schemas::spec::Signer;
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A private key's file is at most so large: an RSA key of 16,384 bits has some 13 KiB.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// An SSH key that signs commits.
pub struct SigningKey {
    key: PrivateKey,
    public: String,
    fingerprint: String,
}

/// Why there is no key to sign with.
#[derive(Debug, Error)]
pub enum SigningKeyError {
    /// Its file cannot be read.
    #[error("the signing key {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error(
        "the signing key {} can be read by others; run `chmod 600 {}`",
        path.display(),
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is no SSH private key.
    #[error("the signing key {} is no SSH private key: {why}; make one with `ssh-keygen -t ed25519 -N '' -f {}`", path.display(), path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It has a passphrase.
    #[error("the signing key {} has a passphrase, which nobody is there to type; use one without (`ssh-keygen -p` takes it off)", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
    },
    /// It could not sign.
    #[error("the commit cannot be signed: {0}")]
    Sign(String),
}

impl SigningKey {
    /// Reads the key from its file, which nobody else may read.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(path: &Path) -> Result<Self, SigningKeyError> {
        let unreadable = |source| SigningKeyError::Read {
            path: path.to_owned(),
            source,
        };
        let no_key = |why: String| SigningKeyError::NoKey {
            path: path.to_owned(),
            why,
        };
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if about.mode() & 0o077 != 0 {
            return Err(SigningKeyError::Open {
                path: path.to_owned(),
            });
        }
        if about.len() > MAX_KEY_BYTES {
            return Err(no_key("its file is too large".to_owned()));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let key = PrivateKey::from_openssh(&bytes).map_err(|error| no_key(error.to_string()))?;
        if key.is_encrypted() {
            return Err(SigningKeyError::Passphrase {
                path: path.to_owned(),
            });
        }
        let public = key
            .public_key()
            .to_openssh()
            .map_err(|error| no_key(error.to_string()))?;
        // What a policy would not take as a signer's key is of no use.
        let fingerprint = SignerKey::of(&Signer {
            name: "muster".to_owned(),
            ssh: Some(public.clone()),
            gpg: None,
            policy: false,
            not_after: None,
        })
        .map_err(|fault| no_key(format!("{fault}: {}", fault.help())))?
        .fingerprint();
        let signing = Self {
            key,
            public,
            fingerprint,
        };
        // A key that lives in a security key, or is damaged, is found now and not at the first roll-back.
        signing
            .sign(b"")
            .map_err(|error| no_key(error.to_string()))?;
        Ok(signing)
    }

    /// The public half, as a policy lists it.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The fingerprint of the key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A signature as git keeps it.
    pub(super) fn sign(&self, object: &[u8]) -> Result<String, SigningKeyError> {
        self.key
            .sign(NAMESPACE, HashAlg::Sha512, object)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map(|text| text.trim_end().to_owned())
            .map_err(|error| SigningKeyError::Sign(error.to_string()))
    }
}

impl std::fmt::Debug for SigningKey {
    /// Without the private half.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
