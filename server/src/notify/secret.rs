//! Secrets, and what is signed with them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// A secret. It is shown to nobody: its `Debug` says only that it is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for where it has to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// HMAC-SHA256 over `parts`, one after the other.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(self.0.as_bytes(), parts).finalize().into_bytes().into()
    }

    /// Whether `signature` is the HMAC-SHA256 over `parts`. The time that it takes tells nothing about the right one.
    pub fn has_signed(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        mac(self.0.as_bytes(), parts)
            .verify_slice(signature)
            .is_ok()
    }

    /// Whether `text` is this secret. Digests are compared, so that the time tells neither content nor length.
    pub fn is(&self, text: &[u8]) -> bool {
        let own = Sha256::digest(self.0.as_bytes());
        own.ct_eq(&Sha256::digest(text)).into()
    }
}

/// HMAC-SHA256 with a key of any length.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_forges_publish() {
        let secret = Secret::new("It's a Secret to Everybody");
        let signature = secret.sign(&[b"Hello, ", b"World!"]);
        assert_eq!(
            hex::encode(signature),
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
        assert!(secret.has_signed(&[b"Hello, World!"], &signature));
        assert!(!secret.has_signed(&[b"Hello, World?"], &signature));
        assert!(!secret.has_signed(&[b"Hello, World!"], &signature[..31]));
    }

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let secret = Secret::new("s3cret");
        assert!(secret.is(b"s3cret"));
        for other in [&b"s3cre"[..], b"s3crets", b"", b"S3cret"] {
            assert!(!secret.is(other));
        }
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
