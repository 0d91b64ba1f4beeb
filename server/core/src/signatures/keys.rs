//! The keys of signers: what a policy writes becomes a key, or a reason why it is none.

use super::openpgp::OpenPgpKey;
use muster_schemas::spec::Signer;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};
use thiserror::Error;

/// A key in text is at most so long. The largest RSA key in use has some 3 KiB, an OpenPGP key without other people's signatures some
/// 10 KiB.
const MAX_KEY_BYTES: usize = 64 << 10;

/// An RSA key below this size can be broken by those who have the means.
const MIN_RSA_BITS: usize = 2048;

/// A signer's key.
#[derive(Debug, Clone)]
pub enum SignerKey {
    /// An SSH key.
    Ssh(Box<PublicKey>),
    /// An OpenPGP key with its subkeys.
    OpenPgp(Box<OpenPgpKey>),
}

/// Why a text is not a signer's key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyFault {
    /// There is neither, or both.
    #[error("a signer has either `ssh` or `gpg`")]
    NotOne,
    /// It is too long.
    #[error("this key is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
    /// It is the secret half.
    #[error("this is a private key, which is not private any more once it is committed")]
    Private,
    /// It cannot be read.
    #[error("this key cannot be read: {0}")]
    Unreadable(String),
    /// It is of a kind that is not taken.
    #[error("keys of the kind {0} are not taken")]
    Kind(String),
    /// It is too short.
    #[error("this RSA key has {bits} bits, which is too few")]
    Weak {
        /// Its size.
        bits: usize,
    },
    /// It cannot sign, or may not any more.
    #[error("this key cannot sign: {0}")]
    CannotSign(String),
}

impl KeyFault {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            KeyFault::NotOne => "write one of them",
            KeyFault::TooLong => {
                "export it without other people's signatures: `gpg --export --armor --export-options export-minimal`"
            }
            KeyFault::Private => "make a new key, and commit only its public half",
            KeyFault::Unreadable(_) => {
                "write an SSH public key on one line, as in `ssh-ed25519 AAAA…`, or an armored OpenPGP public key as a block \
                 (`gpg: |`)"
            }
            KeyFault::Kind(_) => "use an Ed25519, ECDSA or RSA key",
            KeyFault::Weak { .. } => return format!("use a key of at least {MIN_RSA_BITS} bits, or an Ed25519 key"),
            KeyFault::CannotSign(_) => "export a key that has a part that can sign and is neither revoked nor without its own signature",
        }
        .to_owned()
    }
}

impl SignerKey {
    /// The key that a policy writes for a signer.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of(signer: &Signer) -> Result<Self, KeyFault> {
        match (&signer.ssh, &signer.gpg) {
            (Some(text), None) => ssh(text).map(|key| Self::Ssh(Box::new(key))),
            (None, Some(text)) => {
                check_text(text)?;
                OpenPgpKey::read(text).map(|key| Self::OpenPgp(Box::new(key)))
            }
            (Some(_), Some(_)) | (None, None) => Err(KeyFault::NotOne),
        }
    }

    /// What a key is known by: `SHA256:…` for an SSH key, in hexadecimal for an OpenPGP key.
    pub fn fingerprint(&self) -> String {
        match self {
            SignerKey::Ssh(key) => key.fingerprint(HashAlg::Sha256).to_string(),
            SignerKey::OpenPgp(key) => key.fingerprint(),
        }
    }
}

fn check_text(text: &str) -> Result<(), KeyFault> {
    if text.len() > MAX_KEY_BYTES {
        return Err(KeyFault::TooLong);
    }
    if text.contains("PRIVATE KEY") {
        return Err(KeyFault::Private);
    }
    Ok(())
}

fn ssh(text: &str) -> Result<PublicKey, KeyFault> {
    check_text(text)?;
    let key = PublicKey::from_openssh(text.trim())
        .map_err(|error| KeyFault::Unreadable(error.to_string()))?;
    match key.key_data() {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(key),
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |bytes| bytes.len() * 8);
            if bits < MIN_RSA_BITS {
                return Err(KeyFault::Weak { bits });
            }
            Ok(key)
        }
        // The type is not ours and may grow.
        _ => Err(KeyFault::Kind(key.algorithm().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ssh(text: &str) -> Result<SignerKey, KeyFault> {
        SignerKey::of(&Signer {
            name: "ann".to_owned(),
            ssh: Some(text.to_owned()),
            gpg: None,
            policy: false,
            not_after: None,
        })
    }

    #[test]
    fn a_key_is_known_by_its_fingerprint_and_not_by_its_comment() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID0IhVQ4T8yyAeSV1eJp371AdchiEq5HiBHx9pjZj/lP";
        let plain = with_ssh(key).expect("a key").fingerprint();
        assert!(plain.starts_with("SHA256:"), "{plain}");
        let commented = with_ssh(&format!("{key} ann@example.com\n")).expect("a key");
        assert_eq!(commented.fingerprint(), plain);
    }

    #[test]
    fn what_is_no_key_says_why() {
        for (text, fault) in [
            ("", "cannot be read"),
            ("ssh-ed25519 AAAA", "cannot be read"),
            ("ann@example.com", "cannot be read"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----",
                "a private key",
            ),
        ] {
            let error = with_ssh(text).expect_err(text);
            assert!(error.to_string().contains(fault), "{text}: {error}");
            assert!(!error.help().is_empty());
        }
    }
}
