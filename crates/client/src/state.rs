//! What must survive: the changes that leave a client, and what a new one starts from.

use crate::conversation::Row;
use crate::limits::RECENT_ENTRIES;
use crate::{Entry, Outgoing, Person};
use bytes::Bytes;
use hudhud_proto::{AccountId, ConversationId, DeviceId, MessageId, Seq};
use std::collections::BTreeMap;
use std::fmt;

/// An access token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token with this text.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The text, for the one frame and the one row that carry it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who uses this device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The account.
    pub account: AccountId,
    /// This device, as the server knows it.
    pub device: DeviceId,
    /// The account's name.
    pub handle: String,
    /// What opens a session. None after the server revoked it: what is stored stays readable.
    pub token: Option<Token>,
}

/// How far this device is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Of the last complete `Changes`; empty before the first.
    pub changes_cursor: Bytes,
    /// Server's clock minus this computer's, in microseconds.
    pub clock_offset_us: i64,
    /// The millisecond of the last message id.
    pub last_id_ms: u64,
    /// The number of the last connection: the server takes none for the device's latest that has a lower one.
    pub connection_number: u64,
}

/// One write. The changes of one [`crate::Output::Persist`] are stored all or none.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Somebody logged in, or the token is gone.
    SaveAccount(Account),
    /// This device got further.
    SaveProgress(Progress),
    /// A conversation is new or has changed (everything of it but its entries).
    PutConversation(Box<Row>),
    /// An entry to hold. Its key is conversation and seq.
    PutEntry(Entry),
    /// A message in the outbox is new or has changed. Its key is the message id.
    PutOutgoing(Outgoing),
    /// A message left the outbox.
    RemoveOutgoing(MessageId),
    /// Somebody's names.
    PutPerson(Person),
    /// Logged out: forget everything.
    Clear,
}

/// What a client is made from: everything that was persisted, of the entries the newest of each conversation.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct State {
    /// Who uses this device.
    pub account: Option<Account>,
    /// How far it is.
    pub progress: Progress,
    /// All conversations.
    pub conversations: Vec<Row>,
    /// The newest [`RECENT_ENTRIES`] entries of each conversation, ascending in each.
    pub entries: Vec<Entry>,
    /// All of the outbox.
    pub outbox: Vec<Outgoing>,
    /// Everybody known.
    pub people: Vec<Person>,
}

/// A storage that can't keep or give back what it should.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed: {source}")]
pub struct StorageError {
    action: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StorageError {
    /// What was tried, and why it failed.
    pub fn new(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { action: action.into(), source: source.into() }
    }
}

/// Keeps what a client persists.
pub trait Storage: Send {
    /// Everything persisted so far.
    fn load(&mut self) -> Result<State, StorageError>;

    /// Stores all of these changes or, on an error, none. Returns once they survive a crash and the loss of power. After an
    /// error the client must not go on: what it would send next relies on these changes.
    fn persist(&mut self, changes: &[Change]) -> Result<(), StorageError>;

    /// The newest entries before a seq, at most `limit`, ascending.
    fn entries_before(
        &mut self,
        conversation: ConversationId,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError>;
}

/// A storage in memory: holds exactly what was persisted, so a crash is a new client made from it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    account: Option<Account>,
    progress: Progress,
    conversations: BTreeMap<ConversationId, Row>,
    entries: BTreeMap<(ConversationId, Seq), Entry>,
    outbox: BTreeMap<MessageId, Outgoing>,
    people: BTreeMap<AccountId, Person>,
}

impl MemoryStorage {
    /// Every entry of a conversation, ascending.
    pub fn entries(&self, conversation: ConversationId) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range((conversation, Seq::ZERO)..=(conversation, Seq(u64::MAX))).map(|(_, entry)| entry)
    }

    /// The outbox, by message id.
    pub fn outbox(&self) -> impl Iterator<Item = &Outgoing> {
        self.outbox.values()
    }

    /// The conversations, by id.
    pub fn conversations(&self) -> impl Iterator<Item = &Row> {
        self.conversations.values()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::SaveAccount(account) => self.account = Some(account.clone()),
            Change::SaveProgress(progress) => self.progress = progress.clone(),
            Change::PutConversation(row) => drop(self.conversations.insert(row.id, (**row).clone())),
            Change::PutEntry(entry) => drop(self.entries.insert((entry.conversation, entry.seq), entry.clone())),
            Change::PutOutgoing(outgoing) => drop(self.outbox.insert(outgoing.message, outgoing.clone())),
            Change::RemoveOutgoing(message) => drop(self.outbox.remove(message)),
            Change::PutPerson(person) => drop(self.people.insert(person.account, person.clone())),
            Change::Clear => *self = Self::default(),
        }
    }
}

impl Storage for MemoryStorage {
    fn load(&mut self) -> Result<State, StorageError> {
        let recent = |conversation| {
            let mut newest: Vec<_> = self.entries(conversation).rev().take(RECENT_ENTRIES).cloned().collect();
            newest.reverse();
            newest
        };
        Ok(State {
            account: self.account.clone(),
            progress: self.progress.clone(),
            conversations: self.conversations.values().cloned().collect(),
            entries: self.conversations.keys().flat_map(|&conversation| recent(conversation)).collect(),
            outbox: self.outbox.values().cloned().collect(),
            people: self.people.values().cloned().collect(),
        })
    }

    fn persist(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        changes.iter().for_each(|change| self.apply(change));
        Ok(())
    }

    fn entries_before(
        &mut self,
        conversation: ConversationId,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let older = self.entries.range((conversation, Seq::ZERO)..(conversation, before));
        let mut newest: Vec<_> = older.rev().take(limit).map(|(_, entry)| entry.clone()).collect();
        newest.reverse();
        Ok(newest)
    }
}
