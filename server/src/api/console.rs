//! The console's files, embedded in the binary (in debug builds read from `web/dist`), and the headers that guard them.

use super::problem::Failure;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Files;

/// Only the console's own scripts and styles run, and it talks to nobody but this server.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A file's name carries a digest of its content, so a browser that has it need never ask again.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Answers every address that no route has: the console's files, its page for all of its own addresses, and a problem for
/// what looks like the API or a missing file.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if path == "/api" || path.starts_with("/api/") {
        return Failure::no_route(path).into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return wrong_method().into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(response) = file(name, &headers) {
        return response;
    }
    if content_type(name).is_some() {
        return Failure::not_found(
            format!("the console has no file `{path}`"),
            "reload the page: the control plane may have another version of the console now",
        )
        .into_response();
    }
    file("index.html", &headers).unwrap_or_else(not_built)
}

/// The path is there, for other methods.
pub fn wrong_method() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this path does not take that method",
        "GET /api/v1/openapi.json says which methods each path takes",
    )
}

fn not_built() -> Response {
    let page = Html(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Muster</title>\
         <h1>The console is not built into this binary</h1>\
         <p>Everything else works. To build the console, run <code>make build</code> (or <code>make up</code>) in the \
         source tree and start Muster again; the API is at <a href=\"/api/v1/openapi.json\">/api/v1</a>.</p></html>",
    );
    let mut response = (StatusCode::NOT_FOUND, page).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let content_type = content_type(name)?;
    // Compressed siblings are answers to their plain name, not files of their own.
    let plain = Files::get(name)?;
    let (encoding, file) = encoded(name, headers).unwrap_or(("identity", plain));
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.data.into_owned().into_response()
    };
    let cache = if is_hashed(name) {
        FOR_EVER
    } else {
        "no-cache"
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if encoding != "identity" {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    Some(response)
}

/// The smallest form of a file that the client takes.
fn encoded(name: &str, headers: &HeaderMap) -> Option<(&'static str, EmbeddedFile)> {
    [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(encoding, _)| accepts(headers, encoding))
        .find_map(|(encoding, suffix)| Some((encoding, Files::get(&format!("{name}.{suffix}"))?)))
}

/// Whether `Accept-Encoding` names an encoding without refusing it.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(encoding));
            let refused = parts
                .filter_map(|part| part.strip_prefix("q="))
                .any(|quality| quality.parse::<f32>() == Ok(0.0));
            named && !refused
        })
}

/// Whether a name is `stem.<16 hexadecimal digits>.extension`.
fn is_hashed(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let _extension = parts.next();
    parts
        .next()
        .is_some_and(|digest| digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
        && parts.next().is_some()
}

/// The type of a file by its extension; none for what is no file of a console (a task's page is `/tasks/web.0`).
fn content_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// Sets the headers that every answer has, whatever it is.
pub async fn guard_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let always: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What the API answers is of the moment and for the asker alone.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_digest_are_told() {
        assert!(is_hashed("muster-web_bg.0123456789abcdef.wasm"));
        assert!(is_hashed("style/app.0123456789abcdef.css"));
        assert!(!is_hashed("0123456789abcdef.css"));
        assert!(!is_hashed("index.html"));
        assert!(!is_hashed("app.0123456789abcdeg.css"));
    }

    #[test]
    fn an_encoding_that_is_refused_is_not_accepted() {
        let check = |value: &'static str, encoding| {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]
                .into_iter()
                .collect();
            accepts(&headers, encoding)
        };
        assert!(check("gzip, deflate, br", "br"));
        assert!(check("gzip;q=0.5, BR;q=1.0", "br"));
        assert!(!check("gzip, br;q=0", "br"));
        assert!(!check("gzip, broken", "br"));
    }

    #[test]
    fn a_task_s_page_is_no_file() {
        assert_eq!(content_type("tasks/web.0"), None);
        assert_eq!(content_type("jobs/web"), None);
        assert!(content_type("app.0123456789abcdef.js").is_some());
    }
}
