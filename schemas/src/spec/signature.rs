//! Who has to sign what is followed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which commits have to be signed, and by whom. The policy that holds before a revision decides about it, so a commit that adds a
/// signer is signed by one that was there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signatures {
    /// Whether the branch's head has to be signed, or every commit that came since the applied revision, those of merged branches
    /// included.
    pub require: RequiredSignatures,
    /// Whose signatures count, at most 256.
    #[cfg_attr(feature = "describe", schemars(length(min = 1, max = 256)))]
    pub signers: Vec<Signer>,
}

impl Signatures {
    /// Whether only some of the signers may change the policy.
    pub fn guards_policy(&self) -> bool {
        self.signers.iter().any(|signer| signer.policy)
    }
}

/// Which commits have to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RequiredSignatures {
    /// The branch's head.
    Head,
    /// Every commit that came since the applied revision.
    Every,
}

/// Somebody whose signature counts. Either `ssh` or `gpg` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "describe", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signer {
    /// What people call them, such as their address.
    #[cfg_attr(feature = "describe", schemars(example = &"ann@example.com", length(min = 1, max = 200)))]
    pub name: String,
    /// Their SSH public key on one line, as `ssh-keygen` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"ssh-ed25519 AAAA…"))]
    pub ssh: Option<String>,
    /// Their OpenPGP public key in ASCII armor, as `gpg --export --armor` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"-----BEGIN PGP PUBLIC KEY BLOCK----- …"))]
    pub gpg: Option<String>,
    /// Whether they may change the policy. Where a signer may, a revision that changes it and is not signed by such a one at its head
    /// is held until a person approves it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub policy: bool,
    /// From then on their signatures do not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "describe", schemars(example = &"2027-06-30T00:00:00Z"))]
    pub not_after: Option<Timestamp>,
}
