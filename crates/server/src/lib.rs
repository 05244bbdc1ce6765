//! The server: opens the engines, starts the roles, listens, and stops in order. The binary `hudhud` is a command line around
//! [`start`]; tests start servers of their own with it.
//!
//! What is said on the wire is in [`http`] (and there, for WebSockets, in the gateway of `hudhud_roles`); where engines come
//! from is `hudhud_engines::open`; what can be chosen is [`config`].

pub mod admin;
pub mod cli;
pub mod config;
pub mod crowd;
pub mod doctor;
mod door;
mod engines;
pub mod exit;
mod fatal;
mod files;
mod folder;
pub mod http;
pub mod listen;
mod metered;
pub mod openapi;
mod peers;
pub mod proxied;
mod reach;
mod room;
mod roster;
pub mod safekeeping;
mod start;
mod stream;
pub mod telemetry;
pub mod tls;

pub use config::Config;
pub use engines::{BusMetrics, migrate};
pub use exit::Failure;
pub use hudhud_engines::Mode;
pub use start::{Running, open_engines, start, start_on};
