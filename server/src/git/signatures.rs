//! Who signed which commit: the signatures that the policy asks for, checked against the keys that it lists.
//!
//! A signature is checked over the very bytes of the commit's object, as git signed them. Keys come from the policy and from nowhere
//! else: no key ring, no key server, no forge is asked. What follows from what is found is decided in the core.

use super::{readable, removals, whole};
use git2::{ErrorCode, ObjectType, Oid, Repository};
use jiff::Timestamp;
use muster_core::signatures::{
    MAX_COMMITS, OpenPgpKey, OpenPgpSigningKey, Signed, SignedCommit, SignerKey, strong,
};
use muster_schemas::event::SignatureFault;
use muster_schemas::ids::CommitId;
use muster_schemas::spec::{RequiredSignatures, Signatures};
use pgp::composed::{Deserializable, DetachedSignature};
use pgp::packet::{Signature, SignatureType};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, SshSig};

/// What git's SSH signatures are made for: one that was made for anything else does not count.
pub(super) const NAMESPACE: &str = "git";

/// A commit's object is at most so large to be checked: a message that no person reads to its end.
const MAX_COMMIT_BYTES: usize = 1 << 20;

/// A signature is at most so large. The largest in use, over RSA with 16,384 bits, has some 4 KiB in text.
const MAX_SIGNATURE_BYTES: usize = 32 << 10;

/// The bit by which a security key says that somebody touched it.
const USER_PRESENT: u8 = 1;

/// Reads the signatures that are asked for, of the head or of all that came since `applied`. The error is a sentence: history cannot
/// be followed.
pub(super) fn read(
    repository: &Repository,
    head: Oid,
    applied: Option<&CommitId>,
    asked: Option<&Signatures>,
) -> Result<Signed, String> {
    let Some(signatures) = asked else {
        return Ok(Signed::default());
    };
    let mut found = Signed {
        asked: Some(signatures.clone()),
        commits: Vec::new(),
        more: false,
    };
    let applied = applied.and_then(|commit| Oid::from_str(commit.as_str()).ok());
    if applied == Some(head) {
        return Ok(found);
    }
    let keys = open_pgp_keys(signatures);
    let commits = match signatures.require {
        RequiredSignatures::Head => vec![head],
        RequiredSignatures::Every => {
            let mut commits = since(repository, head, applied)
                .map_err(|error| format!("its history cannot be followed: {}", error.message()))?;
            found.more = commits.len() > MAX_COMMITS;
            commits.truncate(if found.more { 1 } else { MAX_COMMITS });
            commits
        }
    };
    let now = Timestamp::now();
    found.commits = commits
        .into_iter()
        .map(|commit| SignedCommit {
            commit: CommitId(commit.to_string()),
            author: author(repository, commit),
            key: check(repository, commit, &keys, now),
        })
        .collect();
    Ok(found)
}

/// The head, and all that it brings that the applied revision had not, merged branches included; one more than is looked at where
/// there are more.
fn since(
    repository: &Repository,
    head: Oid,
    applied: Option<Oid>,
) -> Result<Vec<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    if let Some(applied) = applied {
        walk.hide(applied)?;
    }
    walk.set_sorting(git2::Sort::TOPOLOGICAL)?;
    walk.take(MAX_COMMITS + 1).collect()
}

fn author(repository: &Repository, commit: Oid) -> String {
    match repository.find_commit(commit) {
        Ok(commit) => removals::revision(&commit).author,
        Err(_) => String::new(),
    }
}

/// The OpenPGP keys of the policy: such a signature does not bring its key along.
fn open_pgp_keys(signatures: &Signatures) -> Vec<OpenPgpKey> {
    signatures
        .signers
        .iter()
        .filter_map(|signer| match SignerKey::of(signer) {
            Ok(SignerKey::OpenPgp(key)) => Some(*key),
            // A policy with a key that cannot be read is not taken.
            Ok(SignerKey::Ssh(_)) | Err(_) => None,
        })
        .collect()
}

/// The fingerprint of the key that signed the commit.
fn check(
    repository: &Repository,
    commit: Oid,
    keys: &[OpenPgpKey],
    now: Timestamp,
) -> Result<String, SignatureFault> {
    whole::check(repository, commit).map_err(invalid)?;
    let (bytes, kind) = repository
        .odb()
        .and_then(|odb| odb.read_header(commit))
        .map_err(|error| invalid(error.message()))?;
    if kind != ObjectType::Commit || bytes > MAX_COMMIT_BYTES {
        return Err(invalid("its object is larger than is looked at"));
    }
    let (signature, signed) = match repository.extract_signature(&commit, None) {
        Ok(found) => found,
        Err(error) if error.code() == ErrorCode::NotFound => return Err(SignatureFault::Missing),
        Err(error) => return Err(invalid(error.message())),
    };
    if signature.len() > MAX_SIGNATURE_BYTES {
        return Err(invalid("it is larger than any that is in use"));
    }
    let text = std::str::from_utf8(&signature).map_err(|_| invalid("it is not text"))?;
    if text
        .trim_start()
        .starts_with("-----BEGIN SSH SIGNATURE-----")
    {
        ssh(text, &signed)
    } else if text.trim_start().starts_with("-----BEGIN PGP ") {
        open_pgp(text, &signed, keys, now)
    } else {
        Err(invalid("it is neither an SSH nor an OpenPGP signature"))
    }
}

fn invalid(message: impl Into<String>) -> SignatureFault {
    SignatureFault::Invalid {
        message: message.into(),
    }
}

/// An SSH signature has its key in it: that it holds says nothing yet but whose it is.
fn ssh(text: &str, signed: &[u8]) -> Result<String, SignatureFault> {
    let signature = SshSig::from_pem(text.trim()).map_err(|error| invalid(error.to_string()))?;
    let key = PublicKey::from(signature.public_key().clone());
    key.verify(NAMESPACE, signed, &signature)
        .map_err(|error| invalid(error.to_string()))?;
    if let KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) = key.key_data() {
        // At the end of the signature: one byte of flags, and four of a counter.
        let flags = signature.signature_bytes().iter().rev().nth(4).copied();
        if flags.is_none_or(|flags| flags & USER_PRESENT == 0) {
            return Err(invalid("nobody touched the security key for it"));
        }
    }
    Ok(key.fingerprint(HashAlg::Sha256).to_string())
}

fn open_pgp(
    text: &str,
    signed: &[u8],
    keys: &[OpenPgpKey],
    now: Timestamp,
) -> Result<String, SignatureFault> {
    let (detached, _) =
        DetachedSignature::from_string(text).map_err(|error| invalid(error.to_string()))?;
    let signature = &detached.signature;
    if !matches!(
        signature.typ(),
        Some(SignatureType::Binary | SignatureType::Text)
    ) {
        return Err(invalid("it is not one over a document"));
    }
    if !strong(signature) {
        return Err(invalid("its digest is too weak"));
    }
    let mut fault = None;
    for key in keys {
        for (part, validity) in &key.signing {
            let holds = match part {
                OpenPgpSigningKey::Primary(part) => signature.verify(part, signed),
                OpenPgpSigningKey::Sub(part) => signature.verify(part, signed),
            };
            if holds.is_err() {
                continue;
            }
            let made = made(signature);
            let in_time = made >= Some(validity.from)
                && validity.until.is_none_or(|until| now < until)
                && over(signature).is_none_or(|over| now < over);
            if in_time {
                return Ok(key.fingerprint());
            }
            fault = Some(invalid("the time of its key, or its own, is over"));
        }
    }
    Err(fault.unwrap_or_else(|| unknown(signature, keys)))
}

fn made(signature: &Signature) -> Option<Timestamp> {
    Timestamp::from_second(signature.created()?.as_secs().into()).ok()
}

/// When the signature itself says that it is over.
fn over(signature: &Signature) -> Option<Timestamp> {
    let seconds = signature.signature_expiration_time()?.as_secs();
    let made = signature.created()?.as_secs();
    (seconds > 0)
        .then(|| Timestamp::from_second(i64::from(made) + i64::from(seconds)).ok())
        .flatten()
}

/// Why no key of the policy made it: it says to be of another one, or it is of one of them and does not hold.
fn unknown(signature: &Signature, keys: &[OpenPgpKey]) -> SignatureFault {
    let fingerprints: Vec<String> = signature
        .issuer_fingerprint()
        .into_iter()
        .map(|fingerprint| fingerprint.to_string().to_uppercase())
        .collect();
    let ids = signature.issuer_key_id().into_iter();
    let mut names = fingerprints
        .iter()
        .cloned()
        .chain(ids.map(|id| id.to_string().to_uppercase()));
    let listed = |name: &String| {
        keys.iter().any(|key| {
            key.signing.iter().any(|(part, _)| {
                let (fingerprint, id) = match part {
                    OpenPgpSigningKey::Primary(part) => names_of(part),
                    OpenPgpSigningKey::Sub(part) => names_of(part),
                };
                *name == fingerprint || *name == id
            })
        })
    };
    match names.next() {
        Some(name) if listed(&name) => invalid("it does not fit the commit"),
        Some(name) => SignatureFault::UnknownKey {
            key: readable(name.as_bytes()),
        },
        None => SignatureFault::UnknownKey {
            key: "that it does not name".to_owned(),
        },
    }
}

fn names_of(part: &impl pgp::types::KeyDetails) -> (String, String) {
    (
        part.fingerprint().to_string().to_uppercase(),
        part.legacy_key_id().to_string().to_uppercase(),
    )
}
