//! What each thing that happens asks of the engines: docs/tables.md, "Every access", added up. Reads are counted as if no
//! cache of the api or the dispatcher held anything.

/// What one event asks for.
#[derive(Clone, Copy, Debug)]
pub struct Operations {
    /// As it begins the names of its counts.
    pub name: &'static str,
    /// What happens.
    pub event: &'static str,
    /// Writes of one partition each.
    pub writes: &'static [&'static str],
    /// Reads of one partition each.
    pub reads: &'static [&'static str],
    /// Appends to the bus.
    pub appends: u32,
}

/// Every event that is planned for.
pub const OPERATIONS: &[Operations] = &[
    Operations {
        name: "direct",
        event: "a direct message",
        writes: &["accepted a", "timeline", "accepted s", "conversation", "inbox of the one", "inbox of the other"],
        reads: &["conversation (api)", "blocks", "blocks", "accounts", "conversation (dispatcher)", "watermarks"],
        appends: 1,
    },
    Operations {
        name: "group",
        event: "a group message, beside an inbox write for each member",
        writes: &["accepted a", "timeline", "accepted s", "conversation"],
        reads: &["conversation (api)", "conversation (dispatcher)", "watermarks", "timeline"],
        appends: 1,
    },
    Operations {
        name: "received",
        event: "a device has received up to a message",
        writes: &["watermarks", "cursors"],
        reads: &["privacy"],
        appends: 1,
    },
    Operations {
        name: "read",
        event: "a person has read up to a message",
        writes: &["watermarks", "inbox r"],
        reads: &["privacy"],
        appends: 1,
    },
    Operations {
        name: "connect",
        event: "a device connects, and goes",
        writes: &["sessions", "sessions (deleted)", "last_seen"],
        reads: &["tokens", "sessions", "inbox", "sessions (at the end)"],
        appends: 0,
    },
];

impl Operations {
    /// Its counts, by the names that formulas use.
    pub fn counts(&self) -> [(String, f64); 2] {
        [
            (format!("{}_writes", self.name), self.writes.len() as f64),
            (format!("{}_reads", self.name), self.reads.len() as f64),
        ]
    }
}
