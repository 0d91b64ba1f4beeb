//! Whether a delivery is from who knows the secret. Everything is compared in a time that tells nothing.

use crate::notify::{ForgeKind, HookSecrets, Secret, mac};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// What GitLab signed longer ago than this, or in the future by more, is not taken: somebody may have kept it.
const SIGNED_WITHIN_SECS: i64 = 300;

/// So many signatures in one header are looked at: one for each secret while one is being changed for another.
const MAX_SIGNATURES: usize = 8;

/// Whether the delivery proves itself. `body` is what came, byte for byte.
pub fn is_proven(
    kind: ForgeKind,
    secrets: &HookSecrets,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> bool {
    match kind {
        ForgeKind::Github => {
            let signature = text(headers, "x-hub-signature-256")
                .and_then(|value| value.strip_prefix("sha256="));
            has_hex(secrets.github.as_ref(), signature, body)
        }
        ForgeKind::Gitea => {
            let signature = text(headers, "x-gitea-signature");
            has_hex(secrets.gitea.as_ref(), signature, body)
        }
        ForgeKind::Gitlab => {
            let by_token = secrets.gitlab_token.as_ref().is_some_and(|secret| {
                let token = headers.get("x-gitlab-token");
                token.is_some_and(|token| secret.is(token.as_bytes()))
            });
            let by_signature = secrets
                .gitlab_signing
                .as_ref()
                .is_some_and(|secret| is_signed(secret, headers, body, now));
            by_token || by_signature
        }
    }
}

fn has_hex(secret: Option<&Secret>, signature: Option<&str>, body: &[u8]) -> bool {
    let (Some(secret), Some(signature)) = (secret, signature) else {
        return false;
    };
    hex::decode(signature).is_ok_and(|signature| secret.has_signed(&[body], &signature))
}

/// GitLab's newer way: `webhook-signature: v1,<base64>` over `{webhook-id}.{webhook-timestamp}.{body}`, and several of them with
/// spaces between. The key is the secret's bytes, or what follows `whsec_` in Base64.
fn is_signed(secret: &Secret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
    let (Some(id), Some(timestamp), Some(signatures)) = (
        text(headers, "webhook-id"),
        text(headers, "webhook-timestamp"),
        text(headers, "webhook-signature"),
    ) else {
        return false;
    };
    let is_fresh = timestamp
        .parse::<i64>()
        .is_ok_and(|at| at.abs_diff(now.as_second()) <= SIGNED_WITHIN_SECS.unsigned_abs());
    if !is_fresh {
        return false;
    }
    let key = secret
        .expose()
        .strip_prefix("whsec_")
        .and_then(|key| STANDARD.decode(key).ok())
        .unwrap_or_else(|| secret.expose().as_bytes().to_vec());
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    signatures
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .any(|signature| {
            use hmac::Mac as _;
            mac(&key, &parts).verify_slice(&signature).is_ok()
        })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    const BODY: &[u8] = b"Hello, World!";
    const HEX: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secrets() -> HookSecrets {
        let secret = || Some(Secret::new("It's a Secret to Everybody"));
        HookSecrets {
            github: secret(),
            gitea: secret(),
            gitlab_token: secret(),
            gitlab_signing: None,
        }
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = all.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        pairs.collect()
    }

    fn proven(kind: ForgeKind, all: &[(&'static str, &str)], body: &[u8]) -> bool {
        let now = Timestamp::from_second(1_674_087_231).unwrap();
        is_proven(kind, &secrets(), &headers(all), body, now)
    }

    #[test]
    fn github_signs_with_a_prefix_and_gitea_without() {
        let prefixed = format!("sha256={HEX}");
        assert!(proven(
            ForgeKind::Github,
            &[("x-hub-signature-256", &prefixed)],
            BODY
        ));
        assert!(!proven(
            ForgeKind::Github,
            &[("x-hub-signature-256", HEX)],
            BODY
        ));
        assert!(!proven(
            ForgeKind::Github,
            &[("x-hub-signature-256", &prefixed)],
            b"Hello, World"
        ));
        assert!(!proven(
            ForgeKind::Github,
            &[("x-hub-signature", &prefixed)],
            BODY
        ));
        assert!(!proven(ForgeKind::Github, &[], BODY));
        let other = format!("sha256={}", HEX.replace('7', "8"));
        assert!(!proven(
            ForgeKind::Github,
            &[("x-hub-signature-256", &other)],
            BODY
        ));
        let cut = format!("sha256={}", &HEX[..62]);
        assert!(!proven(
            ForgeKind::Github,
            &[("x-hub-signature-256", &cut)],
            BODY
        ));

        assert!(proven(
            ForgeKind::Gitea,
            &[("x-gitea-signature", HEX)],
            BODY
        ));
        assert!(!proven(
            ForgeKind::Gitea,
            &[("x-gitea-signature", &prefixed)],
            BODY
        ));
        assert!(!proven(
            ForgeKind::Gitea,
            &[("x-gitea-signature", "")],
            BODY
        ));
    }

    #[test]
    fn gitlab_sends_its_token_as_it_is() {
        let right = [("x-gitlab-token", "It's a Secret to Everybody")];
        assert!(proven(ForgeKind::Gitlab, &right, BODY));
        assert!(!proven(
            ForgeKind::Gitlab,
            &[("x-gitlab-token", "It's a Secret")],
            BODY
        ));
        assert!(!proven(ForgeKind::Gitlab, &[("x-gitlab-token", "")], BODY));
        assert!(!proven(ForgeKind::Gitlab, &[], BODY));
        // The token of one forge proves nothing to another.
        assert!(!proven(ForgeKind::Github, &right, BODY));
    }

    #[test]
    fn gitlab_signs_id_time_and_body() {
        let secret = Secret::new(format!("whsec_{}", STANDARD.encode(b"a key of bytes")));
        let secrets = HookSecrets {
            gitlab_signing: Some(secret),
            ..HookSecrets::default()
        };
        let sign = |key: &[u8], id: &str, at: &str| {
            use hmac::Mac as _;
            let signed = mac(key, &[id.as_bytes(), b".", at.as_bytes(), b".", BODY]);
            format!("v1,{}", STANDARD.encode(signed.finalize().into_bytes()))
        };
        let at = "1674087231";
        let good = sign(b"a key of bytes", "msg_1", at);
        let is = |id: &str, at: &str, signature: &str, now: i64| {
            let headers = headers(&[
                ("webhook-id", id),
                ("webhook-timestamp", at),
                ("webhook-signature", signature),
            ]);
            let now = Timestamp::from_second(now).unwrap();
            is_proven(ForgeKind::Gitlab, &secrets, &headers, BODY, now)
        };
        assert!(is("msg_1", at, &good, 1_674_087_231));
        assert!(is("msg_1", at, &good, 1_674_087_231 + 300));
        let both = format!("v1,AAAA v2,x {good}");
        assert!(is("msg_1", at, &both, 1_674_087_231));
        // Another id, another time, another key, too long ago.
        assert!(!is("msg_2", at, &good, 1_674_087_231));
        assert!(!is("msg_1", "1674087232", &good, 1_674_087_231));
        assert!(!is(
            "msg_1",
            at,
            &sign(b"other", "msg_1", at),
            1_674_087_231
        ));
        assert!(!is("msg_1", at, &good, 1_674_087_231 + 301));
        assert!(!is("msg_1", at, &good, 1_674_087_231 - 301));
        // Without a token in the settings there is none that is right.
        let headers = headers(&[("x-gitlab-token", "")]);
        let now = Timestamp::from_second(1_674_087_231).unwrap();
        assert!(!is_proven(ForgeKind::Gitlab, &secrets, &headers, BODY, now));
    }
}
