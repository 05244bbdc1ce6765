//! What is counted of TLS.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

hudhud_roles::metrics! {
    /// What is counted of TLS.
    TlsMetrics;

    tls_handshakes: Counter = Counter::default(),
        "TLS handshakes of clients";
    tls_handshake_failures: Counter = Counter::default(),
        "Connections that ended or ran out of time before their TLS handshake was done";
    tls_certificate_expiry_seconds: Gauge = Gauge::default(),
        "When the certificate that is shown ends, in seconds since 1970; 0 without one";
    tls_reload_failures: Counter = Counter::default(),
        "Certificates in files that changed and were not taken";
    acme_orders: Counter = Counter::default(),
        "Certificates that an authority gave";
    acme_failures: Counter = Counter::default(),
        "Attempts to get a certificate that failed";
}
