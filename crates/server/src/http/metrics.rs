//! What is counted of HTTP and TCP. The roles count the rest: see `hudhud_roles::metrics`.

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::time::Duration;

/// Bounds of the buckets of request times, in seconds: 0.5 ms to 16 s.
const SECONDS_FIRST: f64 = 0.000_5;
const SECONDS_BUCKETS: u16 = 16;

/// The labels of [`HttpMetrics::http_requests`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct Status {
    status: u16,
}

hudhud_roles::metrics! {
    /// What the listener counts.
    HttpMetrics;

    http_requests: Family<Status, Counter> = Family::default(),
        "HTTP requests by the status of their answer";
    http_request_seconds: Histogram = Histogram::new(exponential_buckets(SECONDS_FIRST, 2.0, SECONDS_BUCKETS)),
        "Time to answer an HTTP request";
    tcp_connections: Gauge = Gauge::default(),
        "TCP connections, WebSockets among them";
    tcp_unauthenticated: Gauge = Gauge::default(),
        "Connections on which nobody has proved who it is";
    tcp_refused: Counter = Counter::default(),
        "TCP connections beyond the limits";
    tcp_displaced: Counter = Counter::default(),
        "Connections closed to make room, on which nobody had proved who it is";
}

impl HttpMetrics {
    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        self.http_requests.get_or_create(&Status { status: status.as_u16() }).inc();
        self.http_request_seconds.observe(took.as_secs_f64());
    }
}
