//! What a program on a computer needs around the machines: a WebSocket, a database file, and a thread that drives them.
//!
//! [`start`] runs a [`crate::Client`] on a thread of its own, so that a disk that is slow to sync holds up nobody but the
//! client that waits for it. The only sockets, clocks and files of this crate are in here.
#![allow(clippy::disallowed_methods, reason = "this is where time, chance and threads come from")]

mod driver;
mod profile;
mod rows;
mod sqlite;
mod transport;

pub use driver::{Busy, Handle, Settings, StartError, start};
pub use profile::{Profile, ProfileError};
pub use sqlite::SqliteStorage;

/// Named limits of the native transport, with their units.
pub mod limits {
    use std::time::Duration;

    /// Bytes of one frame from the server.
    pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
    /// Commands that wait for the client.
    pub const COMMANDS_MAX: usize = 256;
    /// Events that wait for the person; beyond, the client waits.
    pub const EVENTS_MAX: usize = 1_024;
    /// Frames that are handled, and persisted, together.
    pub const FRAMES_TOGETHER_MAX: usize = 64;
    /// How long writing a frame may take until the connection is given up.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a polite goodbye may take.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
}
