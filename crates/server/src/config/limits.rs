//! Limits of one process. Those of the protocol are not chosen: see `hudhud_proto::limits`.

use super::ConfigError;
use hudhud_roles::settings::{self, Settings};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much this process takes on, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// TCP connections. More are told to come back later.
    pub connections_max: usize,
    /// How long a request's head may take, in milliseconds.
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
    /// What the cache of sessions may take of this process's memory.
    pub cache_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            connections_max: 100_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            ping_interval_ms: millis(settings.ping_interval),
            hello_timeout_ms: millis(settings.hello_timeout),
            outbox_frames_max: settings.outbox_frames_max,
            cache_bytes_max: hudhud_engines::Options::default().cache_bytes_max,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            connections_max,
            header_timeout_ms,
            body_timeout_ms,
            idle_timeout_ms,
            ping_interval_ms,
            hello_timeout_ms,
            outbox_frames_max,
            cache_bytes_max: _,
        } = *self;
        let numbers = [
            ("connections_max", connections_max as u64),
            ("header_timeout_ms", header_timeout_ms),
            ("body_timeout_ms", body_timeout_ms),
            ("idle_timeout_ms", idle_timeout_ms),
            ("ping_interval_ms", ping_interval_ms),
            ("hello_timeout_ms", hello_timeout_ms),
            ("outbox_frames_max", outbox_frames_max as u64),
        ];
        match numbers.into_iter().find(|(_, number)| !(1..=u64::from(u32::MAX)).contains(number)) {
            Some((key, _)) => {
                Err(ConfigError::Value { key: format!("limits.{key}"), why: format!("1 to {} is possible", u32::MAX) })
            }
            None => Ok(()),
        }
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

            pub(super) fn check(&self) -> Result<(), ConfigError> {
                $(if self.$name.burst == 0 || self.$name.interval_ms == 0 {
                    let key = concat!("rates.", stringify!($name)).to_owned();
                    return Err(ConfigError::Value { key, why: "burst and interval_ms are at least 1".to_owned() });
                })*
                Ok(())
            }
        }
    };
}

rates! {
    /// Messages of one device.
    sends,
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
    group_adds_in_all
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
