//! The cell's certificate authority: one key, kept under `$home/pki`, that vouches for the control plane's own address and
//! for each host. A host's name in its certificate is `muster://<cell>/host/<id>`; nothing of what an agent asks for in its
//! signing request is taken over except its public key.

use super::private_file;
use jiff::Timestamp;
use muster_schemas::ids::{CellName, HostId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// No host certificate lives longer: a stolen one is of use for a day at most.
pub const LONGEST_HOST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The authority outlives the machines that it vouches for. There is no way yet to pass from one authority to the next
/// without enrolling the hosts again, so it must not end by itself.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Certificates begin this much in the past, for hosts whose clocks are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// A signing request of a P-256 key is some 400 bytes.
const MAX_CSR_BYTES: usize = 8 << 10;

const FILE: &str = "authority.pem";

/// How the authority gives certificates.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// Addresses and names under which agents reach the control plane; they stand in its certificate.
    pub names: Vec<String>,
    /// How long a host's certificate is valid; never more than [`LONGEST_HOST_LIFETIME`]. Agents renew at half of it.
    pub host_lifetime: Duration,
    /// How long the control plane's own certificate is valid. It is renewed at half of it, in the running process.
    pub server_lifetime: Duration,
    /// For so long after its end a host's certificate may still be renewed (and nothing else), provided that the control
    /// plane still knows the host. Without it, an outage of a day would lock out every host of the cell at once.
    pub renewal_grace: Duration,
}

impl Default for AuthoritySettings {
    fn default() -> Self {
        Self {
            names: ["localhost", "127.0.0.1", "::1"]
                .map(str::to_owned)
                .to_vec(),
            host_lifetime: LONGEST_HOST_LIFETIME,
            server_lifetime: Duration::from_secs(30 * 24 * 3600),
            renewal_grace: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// What went wrong with the authority or a certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's file could not be read or written.
    #[error(
        "the authority's file {path} could not be read or written; check the directory's owner and free space"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The authority's file is not what was written there.
    #[error(
        "the authority's file {path} cannot be used: {problem}; restore it from a backup, or remove it and enrol all hosts again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Make(#[source] rcgen::Error),
    /// The agent's signing request cannot be used.
    #[error("the certificate signing request cannot be used: {0}")]
    Request(String),
    /// The TLS library refused the configuration.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
}

/// A certificate for a host.
#[derive(Debug, Clone)]
pub struct HostCertificate {
    /// In PEM.
    pub pem: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Who a host certificate says that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    /// The cell.
    pub cell: CellName,
    /// The host.
    pub host: HostId,
    /// When the certificate ends.
    pub expires_at: Timestamp,
}

/// The cell's certificate authority. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

// Its key must never be printed.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("fingerprint", &hex::encode(self.fingerprint()))
            .finish_non_exhaustive()
    }
}

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    directory: PathBuf,
    settings: AuthoritySettings,
}

impl Authority {
    /// Opens the authority in `directory`, and makes it first if there is none. Certificate and key are one file, so that
    /// there is never one without the other.
    ///
    /// # Errors
    /// The file cannot be read, written, or is not an authority.
    pub fn open(directory: &Path, settings: AuthoritySettings) -> Result<Self, AuthorityError> {
        let path = directory.join(FILE);
        let trouble = |source| AuthorityError::File {
            path: path.clone(),
            source,
        };
        private_file::create_directory(directory).map_err(trouble)?;
        let text = match private_file::read(&path).map_err(trouble)? {
            Some(text) => text,
            None => {
                let text = make().map_err(AuthorityError::Make)?.into_bytes();
                private_file::write(&path, &text).map_err(trouble)?;
                tracing::info!(path = %path.display(), "made the cell's certificate authority");
                text
            }
        };
        let damaged = |problem: String| AuthorityError::Damaged {
            path: path.clone(),
            problem,
        };
        let certificate = CertificateDer::from_pem_slice(&text)
            .map_err(|error| damaged(format!("it has no certificate ({error})")))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text)
            .map_err(|error| damaged(format!("it has no private key ({error})")))?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|error| damaged(format!("its private key is not a P-256 key ({error})")))?;
        {
            let (_, parsed) = X509Certificate::from_der(&certificate)
                .map_err(|error| damaged(format!("its certificate is not readable ({error})")))?;
            if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
                return Err(damaged("its certificate is of another key".to_owned()));
            }
            if !parsed.validity().is_valid() {
                return Err(damaged("its certificate has ended".to_owned()));
            }
        }
        let certificate_pem = pem_of(&certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| damaged(format!("its certificate is not an authority's ({error})")))?;
        Ok(Self(Arc::new(Inner {
            issuer,
            certificate,
            certificate_pem,
            directory: directory.to_owned(),
            settings,
        })))
    }

    /// How it gives certificates.
    pub fn settings(&self) -> &AuthoritySettings {
        &self.0.settings
    }

    /// Where it is kept.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }

    /// Its certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.0.certificate_pem
    }

    /// The SHA-256 of its certificate, by which an agent that enrols knows it.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.0.certificate)
    }

    /// A certificate for `host`, for the key that `csr_pem` is signed with.
    ///
    /// # Errors
    /// The signing request is too large, unreadable, wrongly signed, or of a key that is not P-256.
    pub fn certify_host(
        &self,
        cell: &CellName,
        host: HostId,
        csr_pem: &str,
        now: Timestamp,
    ) -> Result<HostCertificate, AuthorityError> {
        if csr_pem.len() > MAX_CSR_BYTES {
            return Err(AuthorityError::Request(format!(
                "it has {} bytes, and at most {MAX_CSR_BYTES} are taken",
                csr_pem.len()
            )));
        }
        let request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(|error| AuthorityError::Request(error.to_string()))?;
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(AuthorityError::Request(
                "its key is not an ECDSA P-256 key".to_owned(),
            ));
        }
        let lifetime = self.0.settings.host_lifetime.min(LONGEST_HOST_LIFETIME);
        let mut params = leaf(host.to_string(), now, lifetime);
        params.subject_alt_names = vec![SanType::URI(
            format!("muster://{cell}/host/{host}")
                .try_into()
                .map_err(AuthorityError::Make)?,
        )];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params
            .signed_by(&request.public_key, &self.0.issuer)
            .map_err(AuthorityError::Make)?;
        Ok(HostCertificate {
            pem: certificate.pem(),
            expires_at: whole_second(now + lifetime),
        })
    }

    /// A fresh key and certificate for the control plane's own end, good for `names`.
    ///
    /// # Errors
    /// A name is neither an address nor a DNS name.
    pub(super) fn certify_server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        let mut params = leaf(
            "muster control plane".to_owned(),
            now,
            self.0.settings.server_lifetime,
        );
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => Ok(SanType::IpAddress(address)),
                Err(_) => name.as_str().try_into().map(SanType::DnsName),
            })
            .collect::<Result<_, _>>()
            .map_err(AuthorityError::Make)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let certificate = params
            .signed_by(&key, &self.0.issuer)
            .map_err(AuthorityError::Make)?;
        // The authority goes with it: an agent that enrols knows only its fingerprint.
        let chain = vec![certificate.der().clone(), self.0.certificate.clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((chain, key.into()))
    }
}

/// Who a host certificate is for. It reads only; that the certificate is the authority's is checked by TLS.
///
/// # Errors
/// One sentence on why it is not a host's certificate.
pub fn identify(certificate: &[u8]) -> Result<HostIdentity, String> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("the certificate is not readable: {error}"))?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| format!("the certificate's names are not readable: {error}"))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let [GeneralName::URI(uri)] = names else {
        return Err("the certificate does not name exactly one host".to_owned());
    };
    let (cell, host) = uri
        .strip_prefix("muster://")
        .and_then(|rest| rest.rsplit_once("/host/"))
        .ok_or_else(|| format!("`{uri}` does not name a host"))?;
    let host = host
        .parse()
        .map_err(|_| format!("`{uri}` does not end in a host id"))?;
    let expires_at = Timestamp::from_second(parsed.validity().not_after.timestamp())
        .map_err(|error| format!("the certificate's end is not a time: {error}"))?;
    Ok(HostIdentity {
        cell: CellName::from(cell),
        host,
        expires_at,
    })
}

/// The SHA-256 of a certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn make() -> Result<String, rcgen::Error> {
    let now = Timestamp::now();
    let mut params = CertificateParams::default();
    validity(&mut params, now, AUTHORITY_LIFETIME);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "muster authority");
    params.serial_number = Some(serial());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn leaf(name: String, now: Timestamp, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    validity(&mut params, now, lifetime);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn validity(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    // The epoch as the certificate library's own type, which we have no other way to name.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = now.as_second().max(0).unsigned_abs();
    params.not_before = epoch + Duration::from_secs(seconds).saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + Duration::from_secs(seconds + lifetime.as_secs());
}

/// Certificates count in whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    // A serial number is positive, and its first byte is not 0.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        // What an agent asks for beside its key must not be granted.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::DnsName("other".try_into().expect("a name"))];
        params
            .serialize_request(&key)
            .expect("a request")
            .pem()
            .expect("PEM")
    }

    #[test]
    fn a_host_certificate_names_the_host_and_nothing_that_was_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let authority =
            Authority::open(directory.path(), AuthoritySettings::default()).expect("an authority");
        let host = HostId(uuid::Uuid::now_v7());
        let cell = CellName::from("green");
        let now = Timestamp::now();
        let made = authority
            .certify_host(&cell, host, &request(), now)
            .expect("a certificate");
        let der = CertificateDer::from_pem_slice(made.pem.as_bytes()).expect("PEM");
        let identity = identify(&der).expect("a host's");
        assert_eq!((identity.host, &identity.cell), (host, &cell));
        assert_eq!(identity.expires_at, made.expires_at);
        assert!(made.expires_at <= now + LONGEST_HOST_LIFETIME);
        let (_, parsed) = X509Certificate::from_der(&der).expect("a certificate");
        assert!(!parsed.is_ca());
    }

    proptest::proptest! {
        #[test]
        fn no_certificate_panics(bytes: Vec<u8>) {
            proptest::prop_assert!(identify(&bytes).is_err());
        }
    }

    #[test]
    fn it_is_the_same_authority_after_a_restart_and_a_damaged_one_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || Authority::open(directory.path(), AuthoritySettings::default());
        let first = open().expect("an authority").fingerprint();
        assert_eq!(open().expect("an authority").fingerprint(), first);
        let path = directory.path().join(FILE);
        let text = std::fs::read_to_string(&path).expect("readable");
        let end = text.find("-----BEGIN PRIVATE").expect("a key");
        private_file::write(&path, &text.as_bytes()[..end]).expect("written");
        let error = open().expect_err("it is refused").to_string();
        assert!(error.contains("no private key"), "{error}");
        let other = make().expect("an authority");
        let other_key = &other[other.find("-----BEGIN PRIVATE").expect("a key")..];
        private_file::write(&path, format!("{}{other_key}", &text[..end]).as_bytes())
            .expect("written");
        let error = open().expect_err("it is refused").to_string();
        assert!(error.contains("another key"), "{error}");
    }

    #[test]
    fn bad_signing_requests_are_refused_with_a_sentence() {
        let directory = tempfile::tempdir().expect("a directory");
        let authority =
            Authority::open(directory.path(), AuthoritySettings::default()).expect("an authority");
        let host = HostId(uuid::Uuid::now_v7());
        let cell = CellName::from("green");
        let rejects = |csr: &str| {
            authority
                .certify_host(&cell, host, csr, Timestamp::now())
                .expect_err("it is refused")
                .to_string()
        };
        assert!(rejects("").contains("cannot be used"));
        assert!(rejects(&"x".repeat(100_000)).contains("100000 bytes"));
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let csr = CertificateParams::default()
            .serialize_request(&ed25519)
            .expect("a request")
            .pem()
            .expect("PEM");
        assert!(rejects(&csr).contains("P-256"), "{}", rejects(&csr));
    }
}
