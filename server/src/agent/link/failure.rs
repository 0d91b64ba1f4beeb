//! What a failed connection or a refusal means, in words for the person who looks after the host.

use super::LinkError;
use muster_schemas::api::Problem;
use rustls::{AlertDescription, CertificateError};
use std::error::Error;

/// What an answer with a status of 400 and above says.
pub(super) fn of_answer(url: &str, status: u16, body: &[u8]) -> LinkError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => LinkError::Refused {
            code: problem.code,
            message: problem.message,
            hint: problem.hint,
        },
        Err(_) => LinkError::Answer {
            url: url.to_owned(),
            why: format!("status {status}"),
        },
    }
}

/// Why there is no connection.
pub(super) fn of_connecting(url: &str, error: &(dyn Error + 'static)) -> LinkError {
    let unreachable = |why: String| LinkError::Unreachable {
        url: url.to_owned(),
        why,
    };
    match tls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => {
            refused_certificate(*alert).unwrap_or_else(|| unreachable(with_causes(error)))
        }
        Some(rustls::Error::InvalidCertificate(problem)) => {
            unreachable(server_certificate(problem))
        }
        Some(_) | None => unreachable(with_causes(error)),
    }
}

/// An error with its causes, in one line.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat the cause in the error itself.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// The TLS library's error at the bottom of another library's.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An IO error that only carries another one skips it when it is asked for its source.
        let carried = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        cause = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// The control plane does not take our certificate.
fn refused_certificate(alert: AlertDescription) -> Option<LinkError> {
    use AlertDescription as Alert;
    let message = match alert {
        Alert::CertificateExpired => "this host's certificate ended too long ago to be renewed",
        Alert::UnknownCA
        | Alert::DecryptError
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateRevoked
        | Alert::UnsupportedCertificate
        | Alert::AccessDenied => "this host's certificate is not of the control plane's authority",
        _ => return None,
    };
    Some(LinkError::Refused {
        code: "foreign".to_owned(),
        message: message.to_owned(),
        hint: "remove this host's identity and enrol it again with a new token".to_owned(),
    })
}

/// We do not take the control plane's certificate.
fn server_certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Other(other) => other.0.to_string(),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it has another authority than the control plane that this host has enrolled with; \
             check the address"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is not for this address; use one of the addresses that it was started \
             with, or add this one there"
                .to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid at this time; compare the two machines' clocks".to_owned()
        }
        other => format!("its certificate is not good: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_tls_error_is_found_through_layers_of_io_errors() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        let error = io::Error::other(io::Error::other(tls));
        insta::assert_snapshot!(
            of_connecting("https://cell", &error),
            @"the control plane at https://cell could not be reached: its certificate is not for this address; use one of the addresses that it was started with, or add this one there"
        );
    }

    #[test]
    fn other_errors_are_told_with_their_causes() {
        let error = io::Error::other(io::Error::other("no route"));
        insta::assert_snapshot!(
            of_connecting("https://cell", &error),
            @"the control plane at https://cell could not be reached: no route"
        );
        insta::assert_snapshot!(
            of_answer("https://cell", 502, b"<html>"),
            @"the control plane at https://cell answered with something else than expected: status 502"
        );
    }

    #[test]
    fn alerts_about_our_certificate_are_refusals() {
        let error = |alert| io::Error::other(rustls::Error::AlertReceived(alert));
        let refused = of_connecting("https://cell", &error(AlertDescription::CertificateExpired));
        assert!(refused.is_refusal());
        insta::assert_snapshot!(refused, @"the control plane refused: this host's certificate ended too long ago to be renewed; remove this host's identity and enrol it again with a new token");
        let other = of_connecting("https://cell", &error(AlertDescription::InternalError));
        assert!(!other.is_refusal());
    }
}
