//! What is counted of HTTP and TCP. The roles count the rest: see `hudhud_roles::metrics`.

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Bounds of the buckets of request times, in seconds: 0.5 ms to 16 s.
const SECONDS_FIRST: f64 = 0.000_5;
const SECONDS_BUCKETS: u16 = 16;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// The counters, at zero.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Status, Counter>,
    seconds: Histogram,
    /// TCP connections now.
    pub tcp_connections: Gauge,
    /// Connections of these on which nobody has proved who it is.
    pub tcp_unauthenticated: Gauge,
    /// TCP connections that there was no room for.
    pub tcp_refused: Counter,
    /// Connections on which nobody had proved who it is, closed to make room.
    pub tcp_displaced: Counter,
}

impl HttpMetrics {
    /// Adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Histogram::new(exponential_buckets(SECONDS_FIRST, 2.0, SECONDS_BUCKETS)),
            tcp_connections: Gauge::default(),
            tcp_unauthenticated: Gauge::default(),
            tcp_refused: Counter::default(),
            tcp_displaced: Counter::default(),
        };
        registry.register("http_requests", "HTTP requests by the status of their answer", metrics.requests.clone());
        registry.register("http_request_seconds", "Time to answer an HTTP request", metrics.seconds.clone());
        registry.register("tcp_connections", "TCP connections, WebSockets among them", metrics.tcp_connections.clone());
        registry.register(
            "tcp_unauthenticated",
            "Connections on which nobody has proved who it is",
            metrics.tcp_unauthenticated.clone(),
        );
        registry.register("tcp_refused", "TCP connections beyond the limits", metrics.tcp_refused.clone());
        registry.register(
            "tcp_displaced",
            "Connections closed to make room, on which nobody had proved who it is",
            metrics.tcp_displaced.clone(),
        );
        metrics
    }

    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        self.requests.get_or_create(&Status { status: status.as_u16() }).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
