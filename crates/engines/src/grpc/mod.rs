//! The way to gateways in other processes: [`hudhud_ports::Gateways`] by gRPC.
//!
//! A process that pushes has one stream to each run of each gateway, with a task of its own. Batches go one way and outcomes come back in the same order, so nothing needs a number. A link that breaks fails what is under way on it,
//! and is gone; the next push makes another. One that can't be opened is left alone for a while. Where a gateway is comes from [`crate::Addresses`], which asks for its lease.
//!
//! [`serve`] is the other end. Both know the cluster's [`Secret`]; what goes between them is not encrypted: it belongs on a
//! network of the cluster's own.

mod client;
mod codec;
mod secret;
mod server;
mod wire;

pub use client::Remote;
pub use secret::{SECRET_BYTES_MIN, Secret};
pub use server::serve;

use std::time::Duration;

const ENGINE: &str = "grpc";
/// The method, as `proto/hudhud/v1/peers.proto` names it.
const PUSH: &str = "/hudhud.v1.Gateways/Push";
const SERVICE: &str = "hudhud.v1.Gateways";

/// What one message on a stream holds of a batch before the next one begins. A delivery is never cut.
const PART_BYTES_MAX: usize = 1024 * 1024;
/// A message beyond is refused: a part, and the largest delivery that may go beyond it.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long the way to a gateway may take to be opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an end that says nothing is asked whether it is there, and how long its answer may take: one that stands still,
/// or was cut off, is given up after both.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// What one end may send before the other end has read.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
