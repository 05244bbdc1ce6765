//! What the end-to-end tests share: real servers as processes, real clients with databases on disk, what can be done to them,
//! and what must hold all the same.
//!
//! [`rounds`] has a fleet of clients write while one fault after another strikes ([`fault`]), and then holds the simulator's
//! checker over what they have. `tests/rounds.rs` runs twenty rounds; the program `soak` goes on for as long as it is told to.
//!
//! - [`hudhud`]: a process of the program, wherever it runs.
//! - [`process`], [`disk`], [`clock`], [`memory`], [`proxy`]: a server, and the world that it lives in.
//! - [`bus_log`]: the log of its bus, for those who damage it.
//! - [`fleet`]: the clients, and what was seen of them.
//! - [`report`]: what came of many rounds.
//!
//! [`cluster`] is the same with many processes on engines of their own, and other faults.
//!
//! [`overload`] is what a server has to stand from those who flood it.
//!
//! Besides, for tests that look at single steps: a wire client that does nothing by itself, a journal of what was seen where,
//! and ports that write into it.

pub mod bus_log;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod fault;
pub mod fleet;
pub mod hudhud;
mod journal;
pub mod memory;
pub mod overload;
mod ports;
pub mod process;
pub mod proxy;
pub mod report;
pub mod rounds;
mod wire;

pub use journal::Journal;
pub use ports::watch;
pub use wire::{Balancer, Wire};
