//! Limits of one process. Those of the protocol are not chosen: see `hudhud_proto::limits`.

use hudhud_roles::settings::{self, Settings};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The least `buffer_bytes_max`: one part in 64 of what is free is a frame and more.
pub(super) const BUFFER_BYTES_MIN: usize = 2 * 64 * hudhud_proto::limits::FRAME_BYTES_MAX;
/// What a connection holds beside what it shares with the others: its state, and a frame that is not whole yet.
const CONNECTION_BYTES_MAX: u64 = 32 * 1_024 + hudhud_proto::limits::FRAME_BYTES_MAX as u64;
/// The same before anybody proved who it is: less may be sent.
const STRANGER_BYTES_MAX: u64 = 32 * 1_024 + crate::http::STRANGER_BYTES_MAX as u64;
/// The program, its engines (caches of blocks and of records, memory tables, the index of the bus) and its roles (states of
/// conversations, buckets of rates).
const BASE_BYTES: u64 = 768 * 1_024 * 1_024;

/// How much this process takes on, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections, at most as many as the system lets this process open files. More are told to come back later.
    pub connections_max: usize,
    /// Connections of one address, but for trusted proxies; of IPv6 the first 64 bits count.
    pub connections_per_address_max: usize,
    /// Connections of one account that have a place of their own. More of it count as if nobody had proved anything.
    pub connections_per_account_max: usize,
    /// Connections on which nobody has proved who it is. The oldest makes room for the next.
    pub unauthenticated_max: usize,
    /// The same of one address.
    pub unauthenticated_per_address_max: usize,
    /// How long a request's head may take, and what comes before it (TLS, a proxy's word), each, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long a request's body may take, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long a connection without a request or a WebSocket is kept, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How often a WebSocket is pinged, in milliseconds.
    pub ping_interval_ms: u64,
    /// How long a WebSocket may take until it says who it is, in milliseconds.
    pub hello_timeout_ms: u64,
    /// Frames that wait for a WebSocket before it is marked lagging.
    pub outbox_frames_max: usize,
    /// What waits in memory for all clients together: frames to be written, requests to be answered. One of them may hold a
    /// 64th of what is free, beside answers, for which a quarter is kept.
    pub buffer_bytes_max: usize,
    /// What the cache of sessions may take of this process's memory.
    pub cache_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            connections_max: 100_000,
            connections_per_address_max: 10_000,
            connections_per_account_max: 64,
            unauthenticated_max: 10_000,
            unauthenticated_per_address_max: 1_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            ping_interval_ms: millis(settings.ping_interval),
            hello_timeout_ms: millis(settings.hello_timeout),
            outbox_frames_max: settings.outbox_frames_max,
            buffer_bytes_max: settings.buffer_bytes_max,
            cache_bytes_max: hudhud_engines::Options::default().cache_bytes_max,
        }
    }
}

impl Limits {
    /// The most memory that this process takes with these limits, in bytes: what everybody shares, what each connection may
    /// hold beside that, and what is there without any. For conversations of usual size: see `docs/reliability.md`.
    pub fn memory_bytes_max(&self) -> u64 {
        let strangers = self.unauthenticated_max.min(self.connections_max) as u64;
        let known = self.connections_max as u64 - strangers;
        let connections = strangers * STRANGER_BYTES_MAX + known * CONNECTION_BYTES_MAX;
        BASE_BYTES + self.cache_bytes_max + self.buffer_bytes_max as u64 + connections
    }
}

/// So many at once, then one each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Then one each, in milliseconds.
    pub interval_ms: u64,
}

macro_rules! rates {
    ($($(#[$doc:meta])* $name:ident),*) => {
        /// Every limit per time.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Rates { $($(#[$doc])* pub $name: Rate),* }

        impl Default for Rates {
            fn default() -> Self {
                let rates = settings::Rates::default();
                Self { $($name: Rate { burst: rates.$name.burst, interval_ms: millis(rates.$name.interval) }),* }
            }
        }

        impl Rates {
            pub(super) fn settings(&self) -> settings::Rates {
                settings::Rates { $($name: settings::Rate {
                    burst: self.$name.burst,
                    interval: Duration::from_millis(self.$name.interval_ms),
                }),* }
            }
        }
    };
}

rates! {
    /// Messages of one device.
    sends,
    /// Messages into one conversation, of all its members together.
    sends_per_conversation,
    /// Other commands of one device.
    commands,
    /// Questions of one account whether another one exists: a handle looked up, an unknown account written to, blocked or
    /// made a contact.
    look_ups,
    /// The same questions from one address.
    look_ups_per_address,
    /// The same questions from everywhere.
    look_ups_in_all,
    /// Log-in attempts at one handle from one address.
    log_ins_per_handle,
    /// Log-in attempts at one handle from all addresses where nobody has logged in with it lately.
    log_ins_per_handle_in_all,
    /// Registrations and log-ins from one address.
    accounts_per_address,
    /// Registrations, and log-ins from where nobody has logged in with that handle lately.
    accounts_in_all,
    /// Invites made, looked at or followed by one account.
    invites,
    /// The same from one address.
    invites_per_address,
    /// The same from everywhere.
    invites_in_all,
    /// People whom one account adds to groups without knowing them.
    group_adds,
    /// The same from one address.
    group_adds_per_address,
    /// The same from everywhere.
    group_adds_in_all,
    /// What one account reports to the operators.
    reports,
    /// The same from one address.
    reports_per_address,
    /// The same from everywhere.
    reports_in_all
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
