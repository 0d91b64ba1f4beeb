//! Whether a revision is signed as the policy wants it.
//!
//! The git room reads signatures and checks them against keys; here is what a signer's key is ([`SignerKey`]), and what follows from
//! what was found ([`judge`]). The policy that holds decides, never the one of the revision that is judged.

mod keys;
mod openpgp;

pub use keys::{KeyFault, SignerKey};
pub use openpgp::{OpenPgpKey, SigningKey as OpenPgpSigningKey, strong};

use crate::fleet::Fleet;
use jiff::Timestamp;
use muster_schemas::event::{RepositoryTrouble, SignatureFault};
use muster_schemas::ids::CommitId;
use muster_schemas::plan::Plan;
use muster_schemas::spec::{PolicySpec, Signatures, Signer};

/// So many commits since the applied revision are looked at where every one has to be signed. A branch that is further ahead was not
/// followed for months; each signature costs up to a millisecond.
pub const MAX_COMMITS: usize = 10_000;

/// What was found of the signatures of a revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signed {
    /// What the policy asked for when they were read. Found is only what this needs: nothing, where it is none.
    pub asked: Option<Signatures>,
    /// The commits that have to be signed, the head first: it alone, or all that came since the applied revision. Empty where the head
    /// is the applied revision.
    pub commits: Vec<SignedCommit>,
    /// Whether there are more than [`MAX_COMMITS`].
    pub more: bool,
}

/// A commit and who signed it.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedCommit {
    /// The commit.
    pub commit: CommitId,
    /// Its author, as it says.
    pub author: String,
    /// The fingerprint of the key whose signature holds, or why none does.
    pub key: Result<String, SignatureFault>,
}

/// What follows from the signatures of a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may be followed.
    Signed,
    /// It must not be followed.
    Refused(RepositoryTrouble),
    /// They were read for a policy that does not hold any more: they have to be read again.
    Outdated,
}

/// Judges the signatures of a revision by the policy that holds at `now`.
pub fn judge(policy: Option<&PolicySpec>, signed: &Signed, now: Timestamp) -> Verdict {
    let wanted = policy.and_then(|policy| policy.signatures.as_ref());
    if signed.asked.as_ref() != wanted {
        return Verdict::Outdated;
    }
    let Some(signatures) = wanted else {
        return Verdict::Signed;
    };
    let refused = |commit: &SignedCommit, why| {
        Verdict::Refused(RepositoryTrouble::Unsigned {
            commit: commit.commit.clone(),
            author: commit.author.clone(),
            why,
        })
    };
    if signed.more
        && let Some(head) = signed.commits.first()
    {
        let most = u32::try_from(MAX_COMMITS).unwrap_or(u32::MAX);
        return refused(head, SignatureFault::TooMany { most });
    }
    let signers = with_fingerprints(signatures);
    // The oldest is told: the commits that were made on it stand or fall with it.
    for commit in signed.commits.iter().rev() {
        if let Err(why) = signer_of(&signers, commit, now) {
            return refused(commit, why);
        }
    }
    Verdict::Signed
}

/// Who signed a revision's head, as the policy calls them.
pub fn signer(policy: Option<&PolicySpec>, signed: &Signed, now: Timestamp) -> Option<String> {
    let signatures = policy?.signatures.as_ref()?;
    let signers = with_fingerprints(signatures);
    let signer = signer_of(&signers, signed.commits.first()?, now).ok()?;
    Some(signer.name.clone())
}

/// Whether a plan that changes the policy is signed by one of those who may, where only some may.
pub fn may_change_policy(fleet: &Fleet, plan: &Plan) -> bool {
    let signatures = fleet
        .policy
        .as_ref()
        .and_then(|policy| policy.signatures.as_ref());
    signatures
        .filter(|signatures| signatures.guards_policy())
        .is_none_or(|signatures| {
            let mut signers = signatures.signers.iter();
            signers.any(|signer| signer.policy && Some(&signer.name) == plan.signed_by.as_ref())
        })
}

/// The signer whose key is this one, if the policy has one whose signatures count now.
pub fn signer_by_fingerprint<'a>(
    signatures: &'a Signatures,
    fingerprint: &str,
    now: Timestamp,
) -> Option<&'a Signer> {
    with_fingerprints(signatures)
        .into_iter()
        .find(|(known, signer)| known == fingerprint && !is_over(signer, now))
        .map(|(_, signer)| signer)
}

type Fingerprinted<'a> = Vec<(String, &'a Signer)>;

/// A key that cannot be read is nobody's: such a policy is refused when it is read.
fn with_fingerprints(signatures: &Signatures) -> Fingerprinted<'_> {
    signatures
        .signers
        .iter()
        .filter_map(|signer| Some((SignerKey::of(signer).ok()?.fingerprint(), signer)))
        .collect()
}

fn signer_of<'a>(
    signers: &Fingerprinted<'a>,
    commit: &SignedCommit,
    now: Timestamp,
) -> Result<&'a Signer, SignatureFault> {
    let key = commit.key.as_ref().map_err(Clone::clone)?;
    let (_, signer) = signers
        .iter()
        .find(|(fingerprint, _)| fingerprint == key)
        .ok_or_else(|| SignatureFault::UnknownKey { key: key.clone() })?;
    match signer.not_after {
        Some(not_after) if is_over(signer, now) => Err(SignatureFault::SignerExpired {
            signer: signer.name.clone(),
            not_after,
        }),
        Some(_) | None => Ok(signer),
    }
}

fn is_over(signer: &Signer, now: Timestamp) -> bool {
    signer.not_after.is_some_and(|not_after| not_after <= now)
}
