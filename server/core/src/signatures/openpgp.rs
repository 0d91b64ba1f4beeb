//! OpenPGP keys: which parts of one may sign, by what the key says of itself.

use super::keys::KeyFault;
use jiff::Timestamp;
use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{Duration, KeyDetails, Tag};

/// An OpenPGP key, and the parts of it that may sign.
#[derive(Debug, Clone)]
pub struct OpenPgpKey {
    fingerprint: String,
    /// The primary key, its subkeys, or both.
    pub signing: Vec<(SigningKey, Validity)>,
}

/// A part of a key that signs.
#[derive(Debug, Clone)]
pub enum SigningKey {
    /// The primary key.
    Primary(PublicKey),
    /// One of its subkeys.
    Sub(PublicSubkey),
}

/// From when to when a part counts, by what the key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// When it was made.
    pub from: Timestamp,
    /// When its time is over, if ever.
    pub until: Option<Timestamp>,
}

impl OpenPgpKey {
    /// The one key in an armored text. What it says of itself counts only where its own signature holds.
    pub(super) fn read(text: &str) -> Result<Self, KeyFault> {
        let unreadable = |error: pgp::errors::Error| KeyFault::Unreadable(error.to_string());
        let (mut keys, _) = SignedPublicKey::from_string_many(text).map_err(unreadable)?;
        let key = keys
            .next()
            .ok_or_else(|| KeyFault::Unreadable("there is no public key in it".to_owned()))?
            .map_err(unreadable)?;
        if keys.next().is_some() {
            return Err(KeyFault::Unreadable(
                "there is more than one key in it; each signer has one".to_owned(),
            ));
        }
        Self::new(&key)
    }

    fn new(key: &SignedPublicKey) -> Result<Self, KeyFault> {
        let primary = &key.primary_key;
        let revoked = key
            .details
            .revocation_signatures
            .iter()
            .any(|signature| signature.verify_key(primary).is_ok());
        if revoked {
            return Err(KeyFault::CannotSign("it is revoked".to_owned()));
        }
        let about = newest(self_signatures(key)).ok_or_else(|| {
            KeyFault::CannotSign("it has no signature of its own that holds".to_owned())
        })?;
        let primary_valid = validity(primary, about);
        let mut signing = Vec::new();
        if about.key_flags().sign() {
            signing.push((SigningKey::Primary(primary.clone()), primary_valid));
        }
        for subkey in &key.public_subkeys {
            if let Some(valid) = signing_subkey(primary, subkey) {
                // A subkey is over with its primary key.
                let until = [valid.until, primary_valid.until]
                    .into_iter()
                    .flatten()
                    .min();
                let valid = Validity { until, ..valid };
                signing.push((SigningKey::Sub(subkey.key.clone()), valid));
            }
        }
        if signing.is_empty() {
            return Err(KeyFault::CannotSign(
                "no part of it is marked for signing".to_owned(),
            ));
        }
        Ok(Self {
            fingerprint: primary.fingerprint().to_string().to_uppercase(),
            signing,
        })
    }

    /// The fingerprint of its primary key.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// What the key says of itself and signed.
fn self_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &key.primary_key;
    let direct = key
        .details
        .direct_signatures
        .iter()
        .filter(move |signature| strong(signature) && signature.verify_key(primary).is_ok());
    let of_users = key.details.users.iter().flat_map(move |user| {
        let holds = move |signature: &&Signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && strong(signature)
                && signature
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        };
        user.signatures.iter().filter(holds)
    });
    direct.chain(of_users)
}

/// Whether the subkey may sign, and from when to when.
fn signing_subkey(primary: &PublicKey, subkey: &SignedPublicSubKey) -> Option<Validity> {
    let holds = |signature: &&Signature| {
        strong(signature)
            && signature
                .verify_subkey_binding(primary, &subkey.key)
                .is_ok()
    };
    let is = |wanted: SignatureType| move |signature: &&Signature| signature.typ() == Some(wanted);
    let revoked = subkey
        .signatures
        .iter()
        .filter(is(SignatureType::SubkeyRevocation))
        .any(|signature| {
            signature
                .verify_subkey_binding(primary, &subkey.key)
                .is_ok()
        });
    if revoked {
        return None;
    }
    let bindings = subkey.signatures.iter();
    let about = newest(
        bindings
            .filter(is(SignatureType::SubkeyBinding))
            .filter(holds),
    )?;
    // The subkey has to say that it belongs to the primary key, else a key could claim one of somebody else's.
    let back = about.embedded_signature()?;
    let agreed = back
        .verify_primary_key_binding(&subkey.key, primary)
        .is_ok();
    (about.key_flags().sign() && agreed).then(|| validity(&subkey.key, about))
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created().map_or(0, |created| created.as_secs()))
}

fn validity(key: &impl KeyDetails, about: &Signature) -> Validity {
    let from = i64::from(key.created_at().as_secs());
    let after = about
        .key_expiration_time()
        .map_or(0, |time: Duration| i64::from(time.as_secs()));
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    Validity {
        from: at(from),
        until: (after > 0).then(|| at(from + after)),
    }
}

/// Whether a signature is over a digest for which nobody can make two texts that have the same.
pub fn strong(signature: &Signature) -> bool {
    matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha224
                | HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    )
}
