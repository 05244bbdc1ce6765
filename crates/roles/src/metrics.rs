//! What is counted. One value per process, handed to the roles; nothing global.
//!
//! Names get the prefix `hudhud_`, counters the suffix `_total`. No label holds an id of a person, a device or a
//! conversation.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

/// The labels of [`Metrics::commands`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct CommandLabels {
    command: &'static str,
}

/// The labels of [`Metrics::rate_limited`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct RateLabels {
    rate: &'static str,
}

/// Makes a struct of metrics, each a field of its name. `docs/metrics.md` says what each means to operators.
#[macro_export]
macro_rules! metrics {
    ($(#[$doc:meta])* $type:ident; $($name:ident: $kind:ty = $new:expr, $help:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $type {
            $(#[doc = concat!($help, ".")] pub $name: $kind,)*
        }

        impl $type {
            /// The name of each, and its type in Rust.
            pub const KINDS: &[(&str, &str)] = &[$((stringify!($name), stringify!($kind)),)*];

            /// At zero, where nobody sees them.
            pub fn unregistered() -> Self {
                Self { $($name: $new,)* }
            }

            /// At zero, in a registry that writes them down.
            pub fn register(registry: &mut $crate::metrics::Registry) -> Self {
                let metrics = Self::unregistered();
                $(registry.register(stringify!($name), $help, metrics.$name.clone());)*
                metrics
            }
        }
    };
}

metrics! {
    /// What the roles count.
    Metrics;

    commands: Family<CommandLabels, Counter> = Family::default(),
        "Commands that came in, over WebSockets and HTTP";
    rate_limited: Family<RateLabels, Counter> = Family::default(),
        "Requests that a rate limit refused, by its name in the configuration";

    connections: Gauge = Gauge::default(),
        "WebSocket connections of this gateway, with a session or not";
    sessions: Gauge = Gauge::default(),
        "Connections of this gateway that have a session";
    buffer_bytes: Gauge = Gauge::default(),
        "Bytes that wait in memory for all connections, of buffer_bytes_max";
    hello_timeouts: Counter = Counter::default(),
        "Connections closed because they did not say in time who they are";
    idle_timeouts: Counter = Counter::default(),
        "Connections closed because nothing was heard for two ping intervals";
    stalled: Counter = Counter::default(),
        "Connections closed because they read nothing while others needed the memory that waits for them";
    deferred: Counter = Counter::default(),
        "Commands answered UNAVAILABLE because too much waits in memory already";
    replaced: Counter = Counter::default(),
        "Connections closed because their device connected again";
    revoked: Counter = Counter::default(),
        "Connections closed because their token was revoked or expired";
    malformed_frames: Counter = Counter::default(),
        "Frames that could not be read";
    go_backs: Counter = Counter::default(),
        "Sends answered GO_BACK because an earlier one of their conversation failed";
    lease_renewal_failures: Counter = Counter::default(),
        "Renewals of this gateway's lease that failed";
    leases_lost: Counter = Counter::default(),
        "Times that this gateway closed all connections because its lease ended";

    pushes_delivered: Counter = Counter::default(),
        "Pushes handed to a connection";
    pushes_absent: Counter = Counter::default(),
        "Pushes for a connection that was not there (any more)";
    pushes_lagging: Counter = Counter::default(),
        "Pushes dropped because a connection did not read fast enough";
    pushes_failed: Counter = Counter::default(),
        "Calls of a gateway that failed or took too long";

    session_cache_hits: Counter = Counter::default(),
        "Accounts whose sessions the cache held";
    session_cache_misses: Counter = Counter::default(),
        "Accounts whose sessions were read from the database";
    session_cache_stale_hits: Counter = Counter::default(),
        "Sessions that a look-up found and their gateway did not have";
    session_cache_evictions: Counter = Counter::default(),
        "Entries that the cache dropped at its memory bound, as the cache says";
    session_cache_entries: Gauge = Gauge::default(),
        "Entries in the cache, as the cache says";
    session_rows_removed: Counter = Counter::default(),
        "Session rows deleted because their gateway's incarnation is dead or did not have them";

    accepted: Counter = Counter::default(),
        "Messages accepted: durable in the database and on the bus";
    sequenced: Counter = Counter::default(),
        "Entries that got a sequence number and stand in a timeline";
    duplicates: Counter = Counter::default(),
        "Submits that had their sequence number already";
    refused: Counter = Counter::default(),
        "Submits that sequencing refused";
    receipts: Counter = Counter::default(),
        "Watermarks that moved";
    ready_queue: Counter = Counter::default(),
        "Entries for which no device of a recipient was connected, counted per recipient";
    dispatch_batch: Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 11)),
        "Records that a dispatcher applied together";
}

impl Metrics {
    /// The metrics, at zero, and the registry that writes them down.
    pub fn new() -> (Self, Registry) {
        let mut registry = Registry::with_prefix("hudhud");
        (Self::register(&mut registry), registry)
    }

    /// Counts a command by its name in [`hudhud_proto::command::COMMANDS`].
    pub fn command(&self, name: &'static str) {
        self.commands.get_or_create(&CommandLabels { command: name }).inc();
    }

    /// Counts a refusal by the name that the rate has in the configuration.
    pub fn rate_limited(&self, name: &'static str) {
        self.rate_limited.get_or_create(&RateLabels { rate: name }).inc();
    }

    /// Takes over what a cache says about itself.
    pub fn cache(&self, stats: hudhud_ports::CacheStats) {
        self.session_cache_entries.set(i64::try_from(stats.entries).unwrap_or(i64::MAX));
        self.session_cache_evictions.inner().store(stats.evictions, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_written_down_with_its_help() {
        let (metrics, registry) = Metrics::new();
        metrics.command("send");
        metrics.accepted.inc();
        metrics.cache(hudhud_ports::CacheStats { entries: 3, evictions: 7 });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes everything");
        for line in [
            "# HELP hudhud_accepted Messages accepted: durable in the database and on the bus.",
            "hudhud_accepted_total 1",
            "hudhud_commands_total{command=\"send\"} 1",
            "hudhud_session_cache_evictions_total 7",
            "hudhud_session_cache_entries 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
    }
}
