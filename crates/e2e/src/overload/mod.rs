//! What a server stands: honest people who go on as before while others do what they can to keep it from them.
//!
//! [`Server`] is a real process, [`Traffic`] is honest people whose messages are counted and must all arrive in order, and
//! [`Flood`] is everybody else. The tests and the command `make overload` are made of these.

mod flood;
mod link;
mod process;
mod slow;
mod traffic;

pub use crate::hudhud::Usage;
pub use flood::{Flood, Kind};
pub use link::{Source, raise_open_files};
pub use process::Server;
pub use slow::SlowReaders;
pub use traffic::{Traffic, Window};
