//! The control plane's TLS: 1.3 only, its own certificate renewed as it runs, and client certificates that are asked for but
//! needed only by the routes that say so.

use super::authority::{Authority, AuthorityError};
use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The cryptography that both ends use.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The server's configuration for a listener that is reached under `names`.
///
/// # Errors
/// A name is neither an address nor a DNS name.
pub fn server_config(
    authority: &Authority,
    names: Vec<String>,
) -> Result<Arc<ServerConfig>, AuthorityError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .map_err(AuthorityError::Tls)?;
    let checks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| AuthorityError::Tls(Error::General(error.to_string())))?;
    let own = OwnCertificate {
        authority: authority.clone(),
        names,
        current: Mutex::new(None),
    };
    // Made once here, so that a name that cannot stand in a certificate ends the start and not the first handshake.
    own.renew(Timestamp::now())?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(AuthorityError::Tls)?
        .with_client_cert_verifier(Arc::new(LateRenewal {
            checks,
            grace: authority.settings().renewal_grace,
        }))
        .with_cert_resolver(Arc::new(own));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would carry a client certificate that was checked long ago.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The control plane's own certificate. Its key lives in memory only, and a new one is made at half of its life.
#[derive(Debug)]
struct OwnCertificate {
    authority: Authority,
    names: Vec<String>,
    current: Mutex<Option<(Arc<CertifiedKey>, Timestamp)>>,
}

impl OwnCertificate {
    fn renew(&self, now: Timestamp) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let (chain, key) = self.authority.certify_server(&self.names, now)?;
        let key =
            rustls::crypto::ring::sign::any_supported_type(&key).map_err(AuthorityError::Tls)?;
        let made = Arc::new(CertifiedKey::new(chain, key));
        let renew_at = now + self.authority.settings().server_lifetime / 2;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((made.clone(), renew_at));
        Ok(made)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = Timestamp::now();
        let current = self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match current {
            Some((key, renew_at)) if now < renew_at => Some(key),
            old => match self.renew(now) {
                Ok(key) => Some(key),
                Err(error) => {
                    tracing::error!(%error, "the control plane's certificate could not be renewed");
                    old.map(|(key, _)| key)
                }
            },
        }
    }
}

/// Lets a host's certificate through for some time after its end, as far as TLS goes. The routes look at the time again:
/// only renewal takes such a certificate.
#[derive(Debug)]
struct LateRenewal {
    checks: Arc<dyn ClientCertVerifier>,
    grace: Duration,
}

impl ClientCertVerifier for LateRenewal {
    fn offer_client_auth(&self) -> bool {
        self.checks.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.checks.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.checks.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let error = match self
            .checks
            .verify_client_cert(end_entity, intermediates, now)
        {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        let Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) = &error
        else {
            return Err(error);
        };
        if now.as_secs().saturating_sub(not_after.as_secs()) > self.grace.as_secs() {
            return Err(error);
        }
        self.checks
            .verify_client_cert(end_entity, intermediates, *not_after)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.supported_verify_schemes()
    }
}
