//! Image references: a tag becomes a digest when a plan is made.
//!
//! Only the registry is asked, never the local engine: what a tag means is decided once, by the control plane, and is the
//! same on every host. A registry on this machine is asked over http, any other over https.

mod credentials;

use credentials::Credentials;
use futures::{StreamExt, stream};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::{Client, Reference};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection to a registry may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long registries are waited for. What is not known by then is an error, and its job stays as it is until the next plan,
/// while the others go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one image may take, with the registry's token service on the way.
    pub image: Duration,
    /// How long all of them may take together.
    pub all: Duration,
}

impl Patience {
    /// For who has nothing else to do.
    pub const LONG: Self = Self {
        image: Duration::from_secs(15),
        all: Duration::from_secs(60),
    };

    /// For a commit that has just come: what of it needs no slow registry goes ahead.
    pub const SHORT: Self = Self {
        image: Duration::from_secs(3),
        all: Duration::from_secs(5),
    };
}

/// So many images are asked for at once: registries slow down those who ask for more.
const AT_ONCE: usize = 16;

/// A registry's own words are cut to this length in messages.
const MAX_WORDS: usize = 300;

/// Why an image has no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is no reference.
    #[error(
        "`{image}` is not an image reference ({message}); one looks like registry.example.com/team/web:1.2"
    )]
    NotAReference {
        /// What was given.
        image: String,
        /// What is wrong with it.
        message: String,
    },
    /// The registry has no such image or tag.
    #[error("{registry} has no image `{image}`; push it, or correct the name or tag")]
    NotFound {
        /// The image.
        image: String,
        /// The registry.
        registry: String,
    },
    /// The registry does not let it be read. Registries often say so of images that do not exist, too.
    #[error(
        "{registry} does not let the control plane read `{image}`, or has no such image; {hint}"
    )]
    Unauthorized {
        /// The image.
        image: String,
        /// The registry.
        registry: String,
        /// What to do.
        hint: String,
    },
    /// The registry cannot be reached.
    #[error("the registry {registry} of `{image}` cannot be reached: {message}")]
    Unreachable {
        /// The image.
        image: String,
        /// The registry.
        registry: String,
        /// What the attempt said.
        message: String,
    },
    /// It took too long.
    #[error("the registry {registry} did not tell the digest of `{image}` within {seconds} s")]
    TooSlow {
        /// The image.
        image: String,
        /// The registry.
        registry: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The registry answered something else than a digest.
    #[error("the registry {registry} did not tell the digest of `{image}`: {message}")]
    Refused {
        /// The image.
        image: String,
        /// The registry.
        registry: String,
        /// What it said.
        message: String,
    },
}

/// The digest of one image, as `registry/name@sha256:…`. A reference that has a digest is only written out, without
/// asking. A name without a registry is one of `docker.io`.
///
/// # Errors
/// Why there is none, in a sentence for the job's owner.
pub async fn resolve(image: &str) -> Result<String, ImageError> {
    let patience = Patience::LONG;
    let registries = Registries::new().await;
    registries
        .resolve(image, patience, Instant::now() + patience.all)
        .await
}

/// The digests of many images, at most 16 asked for at once.
pub async fn resolve_all(
    images: BTreeSet<String>,
    patience: Patience,
) -> BTreeMap<String, Result<String, ImageError>> {
    let registries = Registries::new().await;
    let deadline = Instant::now() + patience.all;
    stream::iter(images)
        .map(|image| {
            let registries = &registries;
            async move {
                let digest = registries.resolve(&image, patience, deadline).await;
                (image, digest)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// The registry that an image would be asked for at; none where it is no reference.
pub fn registry(image: &str) -> Option<String> {
    let reference: Reference = image.parse().ok()?;
    Some(reference.registry().to_owned())
}

/// Clients for the registries on this machine and for all others, with what is known to them of credentials.
struct Registries {
    own: Client,
    others: Client,
    credentials: Credentials,
}

impl Registries {
    async fn new() -> Self {
        // It may have been installed by another room; then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |protocol| {
            Client::new(ClientConfig {
                protocol,
                connect_timeout: Some(CONNECT_TIME),
                read_timeout: Some(Patience::LONG.image),
                user_agent: concat!("muster/", env!("CARGO_PKG_VERSION")),
                ..ClientConfig::default()
            })
        };
        Self {
            own: client(ClientProtocol::Http),
            others: client(ClientProtocol::Https),
            credentials: Credentials::load().await,
        }
    }

    async fn resolve(
        &self,
        image: &str,
        patience: Patience,
        deadline: Instant,
    ) -> Result<String, ImageError> {
        let reference: Reference =
            image
                .parse()
                .map_err(|error: oci_client::ParseError| ImageError::NotAReference {
                    image: image.to_owned(),
                    message: error.to_string(),
                })?;
        if let Some(digest) = reference.digest() {
            return Ok(pinned(&reference, digest));
        }
        let registry = reference.registry();
        let client = if is_own(registry) {
            &self.own
        } else {
            &self.others
        };
        let auth = self.credentials.of(registry);
        let began = Instant::now();
        let asked = tokio::time::timeout_at(
            deadline.min(began + patience.image),
            client.fetch_manifest_digest(&reference, &auth),
        );
        match asked.await {
            Ok(Ok(digest)) if is_digest(&digest) => Ok(pinned(&reference, &digest)),
            Ok(Ok(digest)) => Err(ImageError::Refused {
                image: image.to_owned(),
                registry: registry.to_owned(),
                message: format!("it answered `{}`, which is no SHA-256", words(&digest)),
            }),
            Ok(Err(error)) => Err(self.explain(image, registry, error)),
            Err(_) => Err(ImageError::TooSlow {
                image: image.to_owned(),
                registry: registry.to_owned(),
                // To the nearest, since what is waited for is whole seconds.
                seconds: (began.elapsed() + Duration::from_millis(500)).as_secs(),
            }),
        }
    }

    fn explain(&self, image: &str, registry: &str, error: OciDistributionError) -> ImageError {
        use OciDistributionError as Oci;
        let (image, registry) = (image.to_owned(), registry.to_owned());
        match error {
            Oci::ImageManifestNotFoundError(_) | Oci::ServerError { code: 404, .. } => {
                ImageError::NotFound { image, registry }
            }
            Oci::RegistryError { envelope, .. } => {
                let code = envelope.errors.first().map(|error| &error.code);
                match code {
                    Some(
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound,
                    ) => ImageError::NotFound { image, registry },
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => {
                        self.unauthorized(image, registry)
                    }
                    _ => ImageError::Refused {
                        image,
                        registry,
                        message: words(&envelope.to_string()),
                    },
                }
            }
            Oci::UnauthorizedError { .. }
            | Oci::AuthenticationFailure(_)
            | Oci::ServerError {
                code: 401 | 403, ..
            } => self.unauthorized(image, registry),
            Oci::ServerError { code, message, .. } => ImageError::Refused {
                image,
                registry,
                message: words(&format!("it answered {code} {message}")),
            },
            Oci::RequestError(error) => ImageError::Unreachable {
                image,
                registry,
                message: words(&innermost(&error)),
            },
            other => ImageError::Refused {
                image,
                registry,
                message: words(&other.to_string()),
            },
        }
    }

    fn unauthorized(&self, image: String, registry: String) -> ImageError {
        let hint = self.credentials.hint(&registry);
        ImageError::Unauthorized {
            image,
            registry,
            hint,
        }
    }
}

/// Whether a registry is on this machine.
fn is_own(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => registry,
    };
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn pinned(reference: &Reference, digest: &str) -> String {
    format!(
        "{}/{}@{digest}",
        reference.registry(),
        reference.repository()
    )
}

/// What a registry says goes into the fleet for good, so it is looked at first.
fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The cause at the end of the chain: "connection refused" rather than "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Somebody else's words, on one line, bounded.
fn words(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(MAX_WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for own in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "docker.io",
            "localhost.example.com:5000",
            "10.0.0.1:5000",
            "127.0.0.1.example.com",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn a_digest_is_a_sha256() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert!(is_digest(&good));
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("{good}0"),
            good.replace("sha256", "sha512"),
        ] {
            assert!(!is_digest(&bad), "{bad}");
        }
    }
}
