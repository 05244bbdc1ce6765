//! HAProxy and nginx before three servers, with the configurations of `deploy`: who gets how many connections, what becomes of
//! them when a server goes, whose address counts. Real processes, as `scripts/deps e2e` installs them.

mod address;
mod client;
mod distribution;
mod drain;
mod health;
mod http2;
mod product;
mod reload;
mod servers;

use tokio::sync::Mutex;

/// One at a time: each holds hundreds of connections, and some wait for what has to happen within a second.
static TURN: Mutex<()> = Mutex::const_new(());
