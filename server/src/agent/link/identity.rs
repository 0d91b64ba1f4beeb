//! Who this host is: its id, its key and certificate, and where its control plane is. It is one file, readable by its owner
//! only, so that there is never a key without its certificate.

use super::{LinkError, failure, trust};
use crate::hosts::{TokenParts, fingerprint, identify, private_file};
use jiff::Timestamp;
use muster_schemas::ids::{CellName, HostId};
use muster_schemas::wire::{EnrolRequest, EnrolResponse, RenewRequest};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DIRECTORY: &str = "identity";
const FILE: &str = "identity.json";

/// Enrolling waits for the control plane's disk, hence the patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// An answer is two certificates.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Who this host is.
#[derive(Clone)]
pub struct Identity {
    path: PathBuf,
    kept: Kept,
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// `https://host:port`.
    url: String,
    host: HostId,
    cell: CellName,
    issued_at: Timestamp,
    expires_at: Timestamp,
    authority_pem: String,
    certificate_pem: String,
    key_pem: String,
}

// Its key must never be printed.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("host", &self.kept.host)
            .field("cell", &self.kept.cell)
            .field("url", &self.kept.url)
            .field("expires_at", &self.kept.expires_at)
            .finish_non_exhaustive()
    }
}

/// Enrols this host as `name` with the control plane at `url`, by a single-use token, and keeps its identity under
/// `dir/identity`. The private key is made here and leaves the host never.
///
/// # Errors
/// The host has enrolled before; the control plane cannot be reached, is another than the token's, or refuses.
pub async fn enrol(url: &str, token: &str, name: &str, dir: &Path) -> Result<Identity, LinkError> {
    let parts = TokenParts::parse(token)?;
    let url = normalise(url)?;
    let path = path_in(dir);
    let file = |source| LinkError::File {
        path: path.clone(),
        source,
    };
    if path.try_exists().map_err(file)? {
        return Err(LinkError::AlreadyEnrolled { path });
    }
    // Found out now rather than when the token is used up.
    private_file::create_directory(&dir.join(DIRECTORY)).map_err(file)?;
    let (key_pem, csr_pem) = new_key()?;
    let request = EnrolRequest {
        token: parts.secret,
        name: name.to_owned(),
        csr_pem,
    };
    let config = trust::by_fingerprint(parts.fingerprint)?;
    let answer: EnrolResponse = ask(&url, "/agent/v1/enrol", config, &request).await?;
    let shown = CertificateDer::from_pem_slice(answer.authority_pem.as_bytes());
    if !shown.is_ok_and(|shown| fingerprint(&shown) == parts.fingerprint) {
        return Err(LinkError::Answer {
            url,
            why: "its authority is not the token's".to_owned(),
        });
    }
    let identity = accept(path, url, key_pem, answer)?;
    identity.save()?;
    Ok(identity)
}

impl Identity {
    /// Reads the identity that [`enrol`] has kept under `dir/identity`.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn load(dir: &Path) -> Result<Self, LinkError> {
        let path = path_in(dir);
        let bytes = private_file::read(&path)
            .map_err(|source| LinkError::File {
                path: path.clone(),
                source,
            })?
            .ok_or_else(|| LinkError::NotEnrolled { path: path.clone() })?;
        let damaged = |problem: String| LinkError::Damaged {
            path: path.clone(),
            problem,
        };
        let kept: Kept =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let identity = Self {
            path: path.clone(),
            kept,
        };
        identity.tls().map_err(|error| damaged(error.to_string()))?;
        Ok(identity)
    }

    /// The host's id.
    pub fn host(&self) -> HostId {
        self.kept.host
    }

    /// The cell that the host belongs to.
    pub fn cell(&self) -> &CellName {
        &self.kept.cell
    }

    /// The control plane's address, as `https://host:port`.
    pub fn url(&self) -> &str {
        &self.kept.url
    }

    /// When the certificate ends.
    pub fn expires_at(&self) -> Timestamp {
        self.kept.expires_at
    }

    /// When the certificate is to be renewed: at half of its life.
    pub fn renew_at(&self) -> Timestamp {
        let life = self.kept.expires_at.duration_since(self.kept.issued_at);
        self.kept.issued_at + life / 2
    }

    /// The same host with its control plane at another address, which is kept.
    ///
    /// # Errors
    /// It is not an address, or could not be kept.
    pub fn moved_to(mut self, url: &str) -> Result<Self, LinkError> {
        self.kept.url = normalise(url)?;
        self.save()?;
        Ok(self)
    }

    /// A new key and certificate for the same host, which are kept. The old ones are good until their own end.
    ///
    /// # Errors
    /// The control plane cannot be reached, or refuses; or the new certificate could not be kept.
    pub async fn renewed(&self) -> Result<Self, LinkError> {
        let (key_pem, csr_pem) = new_key()?;
        let answer: EnrolResponse = ask(
            &self.kept.url,
            "/agent/v1/renew",
            self.tls()?,
            &RenewRequest { csr_pem },
        )
        .await?;
        if answer.host != self.kept.host || answer.authority_pem != self.kept.authority_pem {
            return Err(LinkError::Answer {
                url: self.kept.url.clone(),
                why: "it renewed for another host or with another authority".to_owned(),
            });
        }
        let renewed = accept(self.path.clone(), self.kept.url.clone(), key_pem, answer)?;
        renewed.save()?;
        Ok(renewed)
    }

    /// TLS as this host.
    pub(super) fn tls(&self) -> Result<ClientConfig, LinkError> {
        trust::by_authority(
            &self.kept.authority_pem,
            &self.kept.certificate_pem,
            &self.kept.key_pem,
        )
    }

    fn save(&self) -> Result<(), LinkError> {
        let bytes = serde_json::to_vec_pretty(&self.kept)
            .map_err(|error| LinkError::Cryptography(error.to_string()))?;
        private_file::write(&self.path, &bytes).map_err(|source| LinkError::File {
            path: self.path.clone(),
            source,
        })
    }
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join(DIRECTORY).join(FILE)
}

/// Takes the control plane's answer for what it says only if the certificate says the same.
fn accept(
    path: PathBuf,
    url: String,
    key_pem: String,
    answer: EnrolResponse,
) -> Result<Identity, LinkError> {
    let odd = |why: String| LinkError::Answer {
        url: url.clone(),
        why,
    };
    let certificate = CertificateDer::from_pem_slice(answer.certificate_pem.as_bytes())
        .map_err(|error| odd(error.to_string()))?;
    let named = identify(&certificate).map_err(odd)?;
    if named.host != answer.host || named.cell != answer.cell {
        return Err(odd("the certificate is for another host".to_owned()));
    }
    let identity = Identity {
        path,
        kept: Kept {
            url: url.clone(),
            host: answer.host,
            cell: answer.cell,
            issued_at: Timestamp::now(),
            expires_at: named.expires_at,
            authority_pem: answer.authority_pem,
            certificate_pem: answer.certificate_pem,
            key_pem,
        },
    };
    // This fails for a certificate of another key.
    identity.tls().map_err(|error| odd(error.to_string()))?;
    Ok(identity)
}

/// A private key and a signing request for it, in PEM.
fn new_key() -> Result<(String, String), LinkError> {
    let cryptography = |error: rcgen::Error| LinkError::Cryptography(error.to_string());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(cryptography)?;
    let request = CertificateParams::default()
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(cryptography)?;
    Ok((key.serialize_pem(), request))
}

/// `https://host:port` from what people write: with or without the scheme, with or without a slash at the end.
fn normalise(url: &str) -> Result<String, LinkError> {
    let bad = || LinkError::Address {
        url: url.to_owned(),
    };
    let text = url.trim();
    let text = match text.split_once("://") {
        Some(("https" | "wss", rest)) => rest,
        Some(_) => return Err(bad()),
        None => text,
    };
    let parsed = reqwest::Url::parse(&format!("https://{text}")).map_err(|_| bad())?;
    let host = parsed
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(bad)?;
    let only_address = parsed.username().is_empty()
        && parsed.password().is_none()
        && matches!(parsed.path(), "" | "/")
        && parsed.query().is_none()
        && parsed.fragment().is_none();
    if !only_address {
        return Err(bad());
    }
    let port = parsed.port_or_known_default().ok_or_else(bad)?;
    Ok(format!("https://{host}:{port}"))
}

async fn ask<Q: Serialize, A: serde::de::DeserializeOwned>(
    url: &str,
    path: &str,
    tls: ClientConfig,
    question: &Q,
) -> Result<A, LinkError> {
    // The control plane is reached directly: a proxy from the environment would only see TLS that it cannot answer.
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .http1_only()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_TIMEOUT)
        .build()
        .map_err(|error| LinkError::Cryptography(failure::with_causes(&error)))?;
    let mut answer = match client
        .post(format!("{url}{path}"))
        .json(question)
        .send()
        .await
    {
        Ok(answer) => answer,
        Err(error) => return Err(failure::of_connecting(url, &error)),
    };
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| failure::of_connecting(url, &error))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(LinkError::Answer {
                url: url.to_owned(),
                why: format!("it is longer than {MAX_ANSWER_BYTES} bytes"),
            });
        }
    }
    let status = answer.status();
    if !status.is_success() {
        return Err(failure::of_answer(url, status.as_u16(), &body));
    }
    serde_json::from_slice(&body).map_err(|error| LinkError::Answer {
        url: url.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (written, wanted) in [
            ("10.0.0.1:7401", "https://10.0.0.1:7401"),
            (" https://cell.example:7401/ ", "https://cell.example:7401"),
            ("wss://[::1]:7401", "https://[::1]:7401"),
            ("cell.example", "https://cell.example:443"),
        ] {
            assert_eq!(
                normalise(written).ok().as_deref(),
                Some(wanted),
                "{written}"
            );
        }
        for written in [
            "",
            "http://cell.example:7401",
            "cell.example/path",
            "https://user@cell.example",
            "cell.example:99999",
        ] {
            assert!(normalise(written).is_err(), "{written}");
        }
    }

    #[test]
    fn an_identity_that_is_not_there_or_damaged_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = Identity::load(directory.path());
        assert!(matches!(missing, Err(LinkError::NotEnrolled { .. })));
        private_file::create_directory(&directory.path().join(DIRECTORY)).expect("made");
        private_file::write(&path_in(directory.path()), b"{").expect("written");
        let damaged = Identity::load(directory.path());
        assert!(matches!(damaged, Err(LinkError::Damaged { .. })));
    }
}
