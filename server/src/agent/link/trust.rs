//! Whom the agent believes: before it has enrolled, whoever shows the authority whose fingerprint stands in the token; from
//! then on that authority alone. TLS 1.3 only.

use super::LinkError;
use crate::hosts::{fingerprint, tls::provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;

/// For the first connection: no certificate of our own, and an authority that is known by its fingerprint.
pub(super) fn by_fingerprint(wanted: [u8; 32]) -> Result<ClientConfig, LinkError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(cryptography)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ByFingerprint { wanted }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// For every later connection: our certificate, and the authority that we have enrolled with.
pub(super) fn by_authority(
    authority_pem: &str,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<ClientConfig, LinkError> {
    let authority =
        CertificateDer::from_pem_slice(authority_pem.as_bytes()).map_err(cryptography)?;
    let certificate =
        CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(cryptography)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(cryptography)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(cryptography)?
        .with_root_certificates(roots(&authority).map_err(cryptography)?)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(cryptography)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn cryptography(error: impl ToString) -> LinkError {
    LinkError::Cryptography(error.to_string())
}

fn roots(authority: &CertificateDer<'_>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    Ok(roots)
}

/// Finds the authority in what the server shows, by its fingerprint, and then checks everything else as always: the chain,
/// the dates, the name.
#[derive(Debug)]
struct ByFingerprint {
    wanted: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it is not the control plane that the token is for (its authority has another fingerprint); check the address and the token"
)]
struct OtherAuthority;

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| fingerprint(certificate) == self.wanted)
            .ok_or_else(|| {
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
                    OtherAuthority,
                ))))
            })?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authority)?), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
