//! What must hold, and who looks: at every row that is written ([`rows`]), at every step of a device ([`device`]), and at
//! everything once faults have ended ([`end`]). What may move when a log is lost, and only then, is in [`lost`].
//!
//! The numbers are those of the guarantees in `docs/simulation.md`:
//!
//! 1. An accepted message reaches every member's device.
//! 2. No device shows a message twice.
//! 3. Messages of one device in one conversation keep their order.
//! 4. All members of a conversation see one order.
//! 5. Receipts only climb: sent, delivered, read.
//! 6. A cursor never passes an entry that the device did not store, and never goes back.
//! 7. Nobody holds an entry from before or after their membership.
//! 8. Delivered means stored on the device.
//! 9. Whatever was composed is in the log once, or was refused.
//! 10. After faults end, all devices of an account agree.
//! 11. `Accepted` survives every crash and loss of power.
//!
//! 0 stands for what must never happen whatever is promised: a panic, a dispatcher that gives up, a live connection that is
//! told that a later one took its place.

pub mod device;
pub mod end;
pub mod lost;
mod observer;
pub mod rows;

pub use observer::{Observer, Placed, Thrown, Written};

use hudhud_proto::{ConversationId, MessageId};
use std::time::Duration;

/// Something that must not happen has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Of which guarantee.
    pub guarantee: u8,
    /// What, with the names of the trace.
    pub what: String,
    /// Words that the lines of the trace have which tell how it came about.
    pub words: Vec<String>,
}

/// What people call things, in what they read of a violation.
pub trait Names {
    /// A conversation.
    fn conversation(&self, id: ConversationId) -> String;
    /// A message.
    fn message(&self, id: MessageId) -> String;
}

/// What a violation is about, to find its history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// A conversation.
    Conversation(ConversationId),
    /// A message.
    Message(MessageId),
}

/// How long devices may take to agree after faults have ended.
pub const CONVERGENCE_MAX: Duration = Duration::from_secs(60);
