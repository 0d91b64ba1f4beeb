//! Requests and answers, without a network.

use crate::cell::TOKEN;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use muster::api::{ApiState, router};
use muster_schemas::api::Problem;
use tower::ServiceExt as _;

pub fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Body::empty())
        .expect("a request")
}

pub fn anonymous(method: &str, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .expect("a request")
}

pub fn post(path: &str, json: &serde_json::Value) -> Request<Body> {
    let mut request = request("POST", path);
    *request.body_mut() = Body::from(json.to_string());
    request
}

pub fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request
        .headers_mut()
        .insert(name, value.parse().expect("a header's value"));
    request
}

pub async fn send(state: &ApiState, request: Request<Body>) -> Response {
    let answer = router(state.clone()).oneshot(request).await;
    answer.expect("a router answers every request")
}

pub async fn text(response: Response) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.expect("a body");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (parts.status, parts.headers, text)
}

pub async fn get(state: &ApiState, path: &str) -> (StatusCode, serde_json::Value) {
    let (status, _, text) = text(send(state, request("GET", path)).await).await;
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"));
    (status, json)
}

/// The status and the code of a problem; it has to be one.
pub async fn problem(response: Response) -> (u16, String) {
    let (status, _, text) = text(response).await;
    let problem: Problem = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("an answer with {status} is a problem, not: {text}"));
    assert!(!problem.message.is_empty());
    (status.as_u16(), problem.code)
}
