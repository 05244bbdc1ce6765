//! What every request gets: an id, a span that carries it into the log, a count, and the headers that keep browsers careful.

use super::HttpMetrics;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use hudhud_ports::Runtime;
use std::sync::Arc;
use tracing::Instrument as _;
use tracing::field::Empty;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Nothing that this server answers with is a page with parts, except for its own inline style.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// Names a request, in the log and to whoever sent it.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// What the outermost layer needs.
#[derive(Clone)]
pub struct Seen {
    /// Time and randomness.
    pub runtime: Runtime,
    /// Where requests are counted.
    pub metrics: HttpMetrics,
}

/// The outermost layer.
pub async fn add(State(seen): State<Seen>, mut request: Request, next: Next) -> Response {
    let id: Arc<str> = hex(seen.runtime.random()).into();
    request.extensions_mut().insert(RequestId(id.clone()));
    let started = seen.runtime.clock.monotonic();
    let span = tracing::info_span!("request", id = %id, account = Empty, device = Empty);
    let method = request.method().clone();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = seen.runtime.clock.monotonic().saturating_sub(started);
    seen.metrics.answered(response.status(), took);
    tracing::debug!(parent: &span, %method, status = response.status().as_u16(), ?took, "answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    secure(response.headers_mut());
    response
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Answers are about one account, and stay with whoever asked.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn hex(bytes: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(bytes))
}
