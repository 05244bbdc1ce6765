//! What the end-to-end tests share: a wire client that does nothing by itself, a journal of what was seen where, and ports
//! that write into it.

mod journal;
mod ports;
mod wire;

pub use journal::Journal;
pub use ports::watch;
pub use wire::{Balancer, Wire};
