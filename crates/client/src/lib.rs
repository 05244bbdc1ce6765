//! Hudhud's client: what a device must do, as state machines without I/O.
//!
//! [`Client`] takes [`Input`]s (frames, commands of a person, the passing of time) and answers with [`Output`]s to be carried
//! out in their order. It never reads a clock, draws a random number or waits: all of that is handed in, so that a
//! simulation replays a run exactly and the same machines run in a terminal, a phone or a browser.
//!
//! ```text
//!   commands ──► outbox ──► frames        what a person sends survives from here on
//!   frames   ──► sync ──► conversations   every entry once, in the order of the log
//!                 └─► receipts ──► frames "stored here", "seen by a person"
//! ```
//!
//! What must survive leaves as [`Change`]s before anything that depends on it; a [`Storage`] keeps them, and a crashed client
//! is made again from them. The feature `native` adds a transport, a storage on disk and the thread that drives both.

mod backoff;
mod client;
mod conversation;
mod entry;
mod interface;
mod link;
mod message_ids;
mod moment;
mod outbox;
mod people;
mod receipts;
mod requests;
mod signals;
mod state;
mod sync;

#[cfg(feature = "native")]
pub mod native;

pub use client::{Client, Options};
pub use conversation::{Row as ConversationRow, Summary};
pub use entry::{Body, Content, Entry};
pub use interface::{Closed, Command, Connection, Event, Input, Output, Recipient};
pub use moment::Moment;
pub use outbox::{Outgoing, OutgoingState};
pub use people::Person;
pub use state::{Account, Change, MemoryStorage, Progress, State, Storage, StorageError, Token};

/// Named limits of a client, with their units.
pub mod limits {
    use std::time::Duration;

    /// Unanswered sends of one conversation.
    pub const SENDS_PER_CONVERSATION_MAX: usize = 16;
    /// Unanswered sends of all conversations: half of what a server allows, so that it never stops reading.
    pub const SENDS_MAX: usize = 128;
    /// Messages that wait in the outbox of one conversation.
    pub const OUTBOX_PER_CONVERSATION_MAX: usize = 10_000;
    /// Without an answer for so long, a request is given up (and repeated, if it was the client's own).
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
    /// Without its entry for so long, an accepted message is sent again.
    pub const ENTRY_TIMEOUT: Duration = Duration::from_secs(30);
    /// Attempts at a message that the server fails with an internal error, until it is shown as refused.
    pub const INTERNAL_ERRORS_MAX: u32 = 5;
    /// How often the first unanswered message of a conversation is told to go back before another connection is tried.
    pub const GO_BACKS_MAX: u32 = 2;
    /// Fetches at a time.
    pub const FETCHES_MAX: usize = 4;
    /// Entries that a new device asks for in each conversation; older ones come on demand.
    pub const FIRST_ENTRIES: u32 = 200;
    /// Entries per page.
    pub const PAGE_ENTRIES: u32 = 200;
    /// Entries of a conversation that are held in memory: the newest. The rest stays in the storage.
    pub const RECENT_ENTRIES: usize = 500;
    /// Pushed entries of a conversation that wait for the ones before them.
    pub const EARLY_ENTRIES_MAX: usize = 64;
    /// Questions about conversations and people at a time.
    pub const QUESTIONS_MAX: usize = 4;
    /// Conversations whose receipts are asked for after a connection: the most recently active.
    pub const RECEIPTS_ASKED_MAX: usize = 50;
    /// Conversations whose receipts are asked for again from time to time: a push of one may be lost without a trace.
    pub const RECEIPTS_ASKED_AGAIN_MAX: usize = 8;
    /// How often.
    pub const RECEIPTS_INTERVAL: Duration = Duration::from_secs(10 * 60);
    /// Receipts of one conversation are gathered for so long.
    pub const RECEIPT_DELAY: Duration = Duration::from_millis(50);
    /// Unanswered receipts at a time.
    pub const RECEIPTS_MAX: usize = 32;
    /// "I type" is repeated after so long while a person types.
    pub const TYPING_INTERVAL: Duration = Duration::from_secs(5);
    /// A watch of presences is repeated after so long.
    pub const WATCH_INTERVAL: Duration = Duration::from_secs(60);
    /// A connection that is not there after so long is given up.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
    /// The longest wait between two attempts to connect.
    pub const RECONNECT_MAX: Duration = Duration::from_secs(30);
    /// How long a connection may be silent before it is given up, until the server says how often it pings.
    pub const SILENCE_MAX: Duration = Duration::from_secs(75);
    /// Answers of people that are waited for.
    pub const REQUESTS_MAX: usize = 256;
}
