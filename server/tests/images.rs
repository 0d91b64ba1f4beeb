//! Images at a real registry, and at ones that answer badly.

use muster::images::{ImageError, Patience, resolve, resolve_all};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The registry that `make test` starts, with `example/web:1` in it.
fn registry() -> String {
    std::env::var("MUSTER_TEST_REGISTRY").expect(
        "MUSTER_TEST_REGISTRY is not set: this test needs a registry that holds example/web:1. `make test` starts one; \
         by hand, set it to its address, such as 127.0.0.1:5000",
    )
}

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

#[tokio::test]
async fn a_tag_becomes_a_digest() {
    let registry = registry();
    let image = format!("{registry}/example/web:1");
    let pinned = resolve(&image)
        .await
        .unwrap_or_else(|error| panic!("is example/web:1 in the registry? {error}"));
    let (name, hex) = pinned.split_once("@sha256:").expect("it is by digest");
    assert_eq!(name, format!("{registry}/example/web"));
    assert_eq!(hex.len(), 64);
    // The registry itself confirms it: it serves the manifest by that digest.
    let manifest = reqwest::get(format!(
        "http://{registry}/v2/example/web/manifests/sha256:{hex}"
    ))
    .await
    .expect("the registry answers");
    assert_eq!(manifest.status(), 200);
    assert_eq!(
        resolve(&pinned).await.as_deref(),
        Ok(pinned.as_str()),
        "and stays one"
    );
}

#[tokio::test]
async fn what_the_registry_lacks_is_said_so() {
    let registry = registry();
    for missing in ["example/web:no-such-tag", "example/no-such-image:1"] {
        let image = format!("{registry}/{missing}");
        let error = resolve(&image).await.expect_err("there is none");
        let words = error.to_string().replace(&registry, "[registry]");
        assert_eq!(
            words,
            format!(
                "[registry] has no image `[registry]/{missing}`; push it, or correct the name or tag"
            )
        );
    }
}

#[tokio::test]
async fn a_digest_needs_no_registry() {
    for (image, pinned) in [
        ("web", "docker.io/library/web"),
        ("team/web:3", "docker.io/team/web"),
        ("nowhere.invalid:1/a/b", "nowhere.invalid:1/a/b"),
    ] {
        let digest = digest('a');
        assert_eq!(
            resolve(&format!("{image}@{digest}")).await,
            Ok(format!("{pinned}@{digest}"))
        );
    }
    let error = resolve("Not An Image").await.expect_err("it is none");
    assert!(matches!(error, ImageError::NotAReference { .. }), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_not_there() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = free.local_addr().unwrap().to_string();
    drop(free);
    let error = resolve(&format!("{registry}/a:1")).await.unwrap_err();
    let words = error.to_string().replace(&registry, "[registry]");
    insta::assert_snapshot!(
        words,
        @"the registry [registry] of `[registry]/a:1` cannot be reached: Connection refused (os error 111)"
    );
}

/// Each bad answer becomes a sentence, and none of them keeps the others waiting.
#[tokio::test]
async fn bad_answers() {
    let server = MockServer::start().await;
    let registry = server.address().to_string();
    let manifest = |name: &str| format!("/v2/{name}/manifests/1");
    let answers = [
        (
            "broken",
            ResponseTemplate::new(500).set_body_string("out\nof order"),
        ),
        ("closed", ResponseTemplate::new(401)),
        (
            "denied",
            ResponseTemplate::new(403)
                .set_body_string(r#"{"errors": [{"code": "DENIED", "message": "not yours"}]}"#),
        ),
        (
            "strange",
            ResponseTemplate::new(200).insert_header("Docker-Content-Digest", "sha256:123"),
        ),
        (
            "good",
            ResponseTemplate::new(200).insert_header("Docker-Content-Digest", digest('b').as_str()),
        ),
    ];
    Mock::given(path("/v2/"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    for (name, answer) in answers {
        Mock::given(path(manifest(name)))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    let images: BTreeSet<String> = ["broken", "closed", "denied", "strange", "good", "missing"]
        .iter()
        .map(|name| format!("{registry}/{name}:1"))
        .collect();
    let said: String = resolve_all(images, Patience::LONG)
        .await
        .into_values()
        .map(|answer| match answer {
            Ok(pinned) => format!("ok: {pinned}\n"),
            Err(error) => format!("{error}\n"),
        })
        .collect();
    insta::assert_snapshot!(said.replace(&registry, "[registry]"));
}

/// A registry that wants a token sends its clients to a token service.
#[tokio::test]
async fn a_token_service_is_asked() {
    let server = MockServer::start().await;
    let registry = server.address().to_string();
    let challenge = format!(r#"Bearer realm="http://{registry}/token",service="test""#);
    Mock::given(path("/v2/"))
        .respond_with(
            ResponseTemplate::new(401).insert_header("WWW-Authenticate", challenge.as_str()),
        )
        .mount(&server)
        .await;
    Mock::given(path("/token"))
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"token": "t0ken"}"#))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .and(path("/v2/web/manifests/1"))
        .and(header("Authorization", "Bearer t0ken"))
        .respond_with(
            ResponseTemplate::new(200).insert_header("Docker-Content-Digest", digest('c').as_str()),
        )
        .mount(&server)
        .await;
    let pinned = resolve(&format!("{registry}/web:1")).await;
    assert_eq!(pinned, Ok(format!("{registry}/web@{}", digest('c'))));
}

#[tokio::test]
async fn many_are_asked_at_once_but_not_all() {
    let server = MockServer::start().await;
    let registry = server.address().to_string();
    Mock::given(path("/v2/"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("Docker-Content-Digest", digest('d').as_str())
                .set_delay(Duration::from_millis(300)),
        )
        .mount(&server)
        .await;
    let images: BTreeSet<String> = (0..32)
        .map(|number| format!("{registry}/web{number}:1"))
        .collect();
    let began = Instant::now();
    let answers = tokio::spawn(resolve_all(images, Patience::LONG))
        .await
        .expect("no panic");
    let took = began.elapsed();
    assert_eq!(answers.len(), 32);
    assert!(answers.values().all(Result::is_ok), "{answers:?}");
    assert!(
        took >= Duration::from_millis(600),
        "no more than 16 at once: two rounds at least, and it took {took:?}"
    );
    assert!(
        took < Duration::from_secs(8),
        "one after another it would take 9.6 s, and it took {took:?}"
    );
}
