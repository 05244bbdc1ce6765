//! Engines as simple as their contracts, in memory.
//!
//! They are the oracle that real engines are held against, what the simulator runs on, and what `memory:` opens. All of
//! them are deterministic: time comes from the [`crate::Clock`] they are given, and nothing iterates in random order.
//! [`Store`] and [`Bus`] know what a power loss would take (see [`Store::crash`] and [`Bus::crash`]).

mod bus;
mod cache;
mod gateways;
mod runtime;
mod store;

pub use bus::{Bus, BusOptions};
pub use cache::Cache;
pub use gateways::Local;
pub use runtime::{ManualClock, runtime};
pub use store::Store;

const ENGINE: &str = "memory";
