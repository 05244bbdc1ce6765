//! Which web pages may talk to this server. Programs that are no browsers send no `Origin` and are not concerned.

use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_VALID: Duration = Duration::from_secs(3_600);

/// The pages that may.
#[derive(Clone, Debug)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// These, beside those that this server's own host serves.
    pub fn new(allowed: &[String]) -> Self {
        Self(allowed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// Whether a WebSocket may be opened by whoever sent these headers. Browsers let any page open one to any host, and
    /// leave it to the server to look at `Origin` (RFC 6455 §10.2).
    pub fn allow(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        if self.0.contains(origin) {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
    }

    /// The answers to browsers that ask before a page's HTTP request. Tokens travel in a header and never in a cookie, so
    /// a page can't use somebody's log-in of another page. None where no page is named.
    pub fn cors(&self) -> Option<CorsLayer> {
        if self.0.is_empty() {
            return None;
        }
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.iter().cloned()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([header::RETRY_AFTER, header::HeaderName::from_static("x-request-id")])
            .max_age(PREFLIGHT_VALID);
        Some(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origin: Option<&str>, host: &str, expected: bool) {
        let origins = Origins::new(&["https://chat.example".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        }
        assert_eq!(origins.allow(&headers, &Uri::from_static("/v1/ws")), expected, "{origin:?} at {host}");
    }

    /// A page of another host is let in only where the operator named it.
    #[test]
    fn other_pages_are_refused() {
        check(None, "localhost:8080", true);
        check(Some("http://localhost:8080"), "localhost:8080", true);
        check(Some("https://chat.example"), "localhost:8080", true);
        check(Some("https://evil.example"), "localhost:8080", false);
        check(Some("http://localhost:9090"), "localhost:8080", false);
        check(Some("null"), "localhost:8080", false);
    }
}
