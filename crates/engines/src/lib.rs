//! The engines under Hudhud's ports: one folder or file and one feature per product. [`open`] chooses them by URL, and
//! is the only place that knows which are compiled in.
//!
//! What an engine must do is written at the traits in `hudhud-ports` and proven by their conformance suites, which
//! `tests/conformance.rs` runs against every engine.

#[cfg(any(feature = "cassandra", feature = "kafka"))]
mod address;
mod addresses;
#[cfg(feature = "cassandra")]
pub mod cassandra;
#[cfg(feature = "embedded")]
mod files;
#[cfg(feature = "embedded")]
pub mod fjall;
#[cfg(feature = "embedded")]
mod format;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "embedded")]
pub mod log;
#[cfg(feature = "embedded")]
pub mod moka;
mod open;
#[cfg(feature = "redis")]
pub mod redis;
pub mod remembered;
mod runtime;

pub use addresses::Addresses;
#[cfg(feature = "embedded")]
pub use format::{FORMAT, check as check_format, format_of};
#[cfg(feature = "embedded")]
pub use open::{Embedded, Moment};
pub use open::{
    Engines, Migration, Mode, OpenError, Options, Place, Urls, migrate, open, open_gateways, serve_gateway,
};
pub use runtime::runtime;
