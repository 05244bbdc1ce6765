//! What is read by people and by the machines that watch this one.

use super::Http;
use super::problem::{self, Problem};
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

const ABOUT: &str = include_str!("about.html");
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All pages.
pub fn router() -> Router<Arc<Http>> {
    operators()
        .route("/", get(|| async { Html(ABOUT) }))
        .route("/openapi.json", get(openapi))
        .route(&format!("{}{{code}}", problem::TYPE_PREFIX), get(explain))
}

/// What has to answer even when the server is full.
pub fn operators() -> Router<Arc<Http>> {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

async fn ready(State(http): State<Arc<Http>>) -> Result<&'static str, Problem> {
    match http.readiness.refusal() {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::unavailable(why, 1_000)),
    }
}

async fn metrics(State(http): State<Arc<Http>>) -> Result<Response, Problem> {
    let registry = http.registry.as_ref().ok_or_else(|| Problem::not_found("metrics are turned off"))?;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).expect("a string takes everything");
    Ok(typed(text, OPENMETRICS))
}

async fn openapi(State(http): State<Arc<Http>>) -> Response {
    typed(http.openapi.clone(), "application/json")
}

/// What the `type` of a problem leads to: the words of the schema.
async fn explain(State(http): State<Arc<Http>>, path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let unknown = || Problem::not_found("there is no such problem: docs/protocol.md lists them");
    let Path(slug) = path.map_err(|_| unknown())?;
    let code = problem::CODES.into_iter().find(|code| problem::slug(*code) == slug).ok_or_else(unknown)?;
    let name = problem::name(code);
    let words = http.schema.value_description("ErrorCode", name).unwrap_or_default();
    Ok(format!("{name} (HTTP {})\n\n{words}\n", hudhud_proto::http_status(code)))
}

fn typed(body: impl IntoResponse, media_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
