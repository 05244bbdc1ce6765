//! What the roles need of the world, as narrow traits: the width of a port is the price of every engine.
//!
//! Each trait's documentation is its contract (order, durability, what may fail and how). [`memory`] holds an engine
//! of every port that is as simple as its contract: the oracle of the conformance suites and the engine of the
//! simulator. Real engines live in `hudhud-engines`.

mod assignment;
mod bus;
mod cache;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod gateways;
pub mod layers;
pub mod limits;
pub mod memory;
mod runtime;
mod store;

pub use assignment::{Assignment, Member, Term};
pub use bus::{Bus, Membership, Record, ShardConsumer};
pub use cache::{Cache, CacheStats};
pub use error::{Error, ErrorKind, Result};
pub use gateways::{Delivery, GatewayInbox, GatewayRef, Gateways, Payload, Target};
pub use runtime::{Clock, Rng, Runtime, Spawn};
pub use store::{Claim, Compaction, Consistency, Database, Key, Order, Row, Scan, Store, Table, Tuning, Write};
