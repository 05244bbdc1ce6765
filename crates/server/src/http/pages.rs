//! What is read by people, and by programs before they speak to this server.

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

/// All pages.
pub fn router() -> Router<Arc<Http>> {
    Router::new()
        .route("/", get(|| async { Html(ABOUT) }))
        .route("/openapi.json", get(openapi))
        .route(&format!("{}{{code}}", problem::TYPE_PREFIX), get(explain))
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

/// A body with its media type.
pub fn typed(body: impl IntoResponse, media_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
