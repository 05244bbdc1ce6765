//! What the end-to-end tests share: a wire client that does nothing by itself, a journal of what was seen where, and ports
//! that write into it; and what a server has to stand ([`overload`]).

mod journal;
pub mod overload;
mod ports;
mod wire;

pub use journal::Journal;
pub use ports::watch;
pub use wire::{Balancer, Wire};
