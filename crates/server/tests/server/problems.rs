//! Whatever goes wrong over HTTP is a problem document.

use crate::server::{Answer, Server};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;

fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(!answer.header("x-request-id").is_empty());
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(format!("ERROR_CODE_{code}"))));
    let slug = code.to_lowercase().replace('_', "-");
    assert_eq!(problem["type"], format!("/problems/{slug}"));
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}

fn post(path: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Request<Full<Bytes>> {
    let request = Request::post(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::from(body)).expect("a request")
}

/// Each way of getting a request wrong has its status.
#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_has_its_status() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let json_type = ("content-type", "application/json");
    let as_alice = ("authorization", bearer.as_str());
    for (request, status, code) in [
        (post("/v1/send", &[json_type], b"{}"), 401, "UNAUTHENTICATED"),
        (post("/v1/send", &[json_type, ("authorization", "Bearer nothing")], b"{}"), 401, "UNAUTHENTICATED"),
        (post("/v1/send", &[json_type, ("authorization", "Basic YTpi")], b"{}"), 401, "UNAUTHENTICATED"),
        (post("/v1/send", &[json_type, as_alice], b"not JSON"), 400, "INVALID"),
        (post("/v1/send", &[json_type, as_alice], b"[]"), 400, "INVALID"),
        (post("/v1/send", &[json_type, as_alice], b"{}"), 400, "INVALID"),
        (post("/v1/send", &[as_alice, ("content-type", "text/plain")], b"{}"), 415, "INVALID"),
        (post("/v1/send", &[as_alice], b"{}"), 415, "INVALID"),
        (post("/v1/sned", &[json_type, as_alice], b"{}"), 404, "NOT_FOUND"),
        (post("/v1/%ff", &[json_type, as_alice], b"{}"), 404, "NOT_FOUND"),
        (post("/v1/hello", &[json_type, as_alice], b"{}"), 404, "NOT_FOUND"),
        (post("/v2/send", &[json_type, as_alice], b"{}"), 404, "NOT_FOUND"),
        (post("/openapi.json", &[], b""), 405, "INVALID"),
        (Request::get("/v1/send").body(Full::default()).expect("a request"), 405, "INVALID"),
        (Request::get("/problems/bad-luck").body(Full::default()).expect("a request"), 404, "NOT_FOUND"),
    ] {
        let asked = format!("{request:?}");
        let answer = server.request(request).await;
        println!("{asked}");
        check(&answer, status, code);
    }
    server.stop().await;
}

/// What goes with a status is in its headers.
#[tokio::test(flavor = "multi_thread")]
async fn headers_go_with_their_status() {
    let server = Server::with(|config| {
        let rate = &mut config.rates.log_ins_per_handle;
        (rate.burst, rate.interval_ms) = (1, 3_600_000);
    })
    .await;
    let anonymous = server.post("ping", None, json!({})).await;
    assert_eq!(anonymous.header("www-authenticate"), "Bearer");
    let method = server.get("/v1/ping").await;
    assert_eq!(method.header("allow"), "POST");
    let log_in = json!({ "handle": "nobody", "password": "whatever it is" });
    server.post("logIn", None, log_in.clone()).await;
    let late = server.post("logIn", None, log_in).await;
    check(&late, 429, "RATE_LIMITED");
    let after_ms = late.json()["retryAfterMs"].as_u64().expect("a number");
    assert!(after_ms > 0);
    assert_eq!(late.header("retry-after"), after_ms.div_ceil(1_000).to_string());
    server.stop().await;
}

/// A body over the limit is refused, whether its length is told before or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_refused() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let answer = server.post("setProfile", Some(&alice.token), json!({ "displayName": "x".repeat(200_000) })).await;
    check(&answer, 413, "LIMIT");
    server.stop().await;
}

/// A problem's type leads to words for people.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_leads_to_its_explanation() {
    let server = Server::start().await;
    let problem = server.post("ping", None, json!({})).await.json();
    let page = server.get(problem["type"].as_str().expect("a string")).await;
    assert!(page.status == 200 && page.text().starts_with("ERROR_CODE_UNAUTHENTICATED (HTTP 401)"), "{page:?}");
    server.stop().await;
}
