//! Which image is run: the one that the fleet would take, unless this machine has one of that name that is another.

use super::Difference;
use crate::images::{self, ImageError};
use crate::runtime::{LocalImage, Runtime, RuntimeError};
use thiserror::Error;

/// The image to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// How the engine is asked for it: by digest, or by its own id.
    pub reference: String,
    /// In what that differs from the fleet, if it does.
    pub difference: Option<Difference>,
}

/// Why there is no image to run.
#[derive(Debug, Error)]
pub enum ImageFault {
    /// Neither the registry nor the engine has it.
    #[error("{why}; this machine's engine has no image `{image}` either")]
    Nowhere {
        /// The image.
        image: String,
        /// What the registry said.
        why: ImageError,
    },
    /// It was to be taken from the registry, which does not tell it.
    #[error("{0}")]
    NotInRegistry(ImageError),
    /// The engine does not say what it has.
    #[error("the engine does not say whether it has the image `{image}`")]
    Engine {
        /// The image.
        image: String,
        /// What it said.
        #[source]
        why: RuntimeError,
    },
}

/// Asks registry and engine for an image. With `pull`, what the registry has is run in any case.
///
/// # Errors
///
/// There is none to run.
pub async fn choose<R: Runtime>(
    runtime: &R,
    image: &str,
    pull: bool,
) -> Result<Chosen, ImageFault> {
    let resolved = images::resolve(image);
    if pull {
        return match resolved.await {
            Ok(reference) => Ok(by_digest(reference)),
            Err(why) => Err(ImageFault::NotInRegistry(why)),
        };
    }
    let (resolved, here) = tokio::join!(resolved, runtime.local_image(image));
    let here = here.map_err(|why| ImageFault::Engine {
        image: image.to_owned(),
        why,
    })?;
    decide(image, resolved, here)
}

fn decide(
    image: &str,
    resolved: Result<String, ImageError>,
    here: Option<LocalImage>,
) -> Result<Chosen, ImageFault> {
    match (resolved, here) {
        (Ok(reference), None) => Ok(by_digest(reference)),
        (Ok(reference), Some(here)) if is_same(&here, &reference) => Ok(by_digest(reference)),
        // Somebody has just built it, and wants to see that one run.
        (Ok(reference), Some(here)) => Ok(Chosen {
            reference: here.id,
            difference: Some(Difference::OtherImage {
                image: image.to_owned(),
                fleet: reference,
            }),
        }),
        (Err(why), Some(here)) => Ok(Chosen {
            reference: here.id,
            difference: Some(Difference::OnlyHere {
                image: image.to_owned(),
                why: why.to_string(),
            }),
        }),
        (Err(why), None) => Err(ImageFault::Nowhere {
            image: image.to_owned(),
            why,
        }),
    }
}

fn by_digest(reference: String) -> Chosen {
    Chosen {
        reference,
        difference: None,
    }
}

/// Whether the engine got its image from where the reference leads.
fn is_same(here: &LocalImage, reference: &str) -> bool {
    let digest = |text: &str| text.rsplit_once('@').map(|(_, digest)| digest.to_owned());
    let wanted = digest(reference);
    wanted.is_some() && here.digests.iter().any(|found| digest(found) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(digests: &[&str]) -> Option<LocalImage> {
        Some(LocalImage {
            id: "sha256:1d".into(),
            digests: digests.iter().map(|text| (*text).to_owned()).collect(),
        })
    }

    fn missing() -> ImageError {
        ImageError::NotFound {
            image: "shop/web:1".into(),
            registry: "docker.io".into(),
        }
    }

    #[test]
    fn the_fleets_image_is_run_unless_this_machine_has_another_of_that_name() {
        let pinned = || Ok("docker.io/shop/web@sha256:aa".to_owned());
        let run = |resolved, here| decide("shop/web:1", resolved, here);

        let fleets = run(pinned(), None).unwrap();
        assert_eq!(fleets.reference, "docker.io/shop/web@sha256:aa");
        // As engines write it: without the registry where that is the default.
        assert_eq!(
            run(pinned(), here(&["shop/web@sha256:aa"])).unwrap(),
            fleets
        );
        assert_eq!(fleets.difference, None);

        let other = run(pinned(), here(&["shop/web@sha256:bb"])).unwrap();
        assert_eq!(other.reference, "sha256:1d");
        assert!(matches!(
            other.difference,
            Some(Difference::OtherImage { .. })
        ));

        let only_here = run(Err(missing()), here(&[])).unwrap();
        assert_eq!(only_here.reference, "sha256:1d");
        assert!(matches!(
            only_here.difference,
            Some(Difference::OnlyHere { .. })
        ));

        assert!(matches!(
            run(Err(missing()), None),
            Err(ImageFault::Nowhere { .. })
        ));
    }
}
