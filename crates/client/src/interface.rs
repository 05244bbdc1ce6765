//! What goes into a client and what comes out of it.

use crate::{Account, Change, Content, Entry, Outgoing, Person, Summary};
use hudhud_proto::v1::{ClientFrame, ReceiptKind, ServerFrame, client_frame, server_frame};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError, Seq};
use std::time::Duration;

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The first input: tells what the storage gave back, and connects if somebody is logged in.
    Start,
    /// The connection that the last [`Output::Connect`] asked for is open.
    Connected,
    /// It is gone, or could not be made. Not for connections that [`Output::Disconnect`] closed.
    Disconnected(Closed),
    /// A frame came over it.
    Frame(ServerFrame),
    /// A person, or a script, wants something.
    Command(Command),
    /// Time passed: the moment of the last [`Output::SetTimer`] is here.
    Tick,
    /// The answer to [`Output::Load`].
    Loaded {
        /// As it was asked.
        conversation: ConversationId,
        /// As it was asked.
        before: Seq,
        /// As it was asked.
        limit: usize,
        /// The newest entries before it, ascending.
        entries: Vec<Entry>,
    },
}

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Closed {
    /// The WebSocket's close code (RFC 6455 §7.4), if one came.
    pub code: Option<u16>,
    /// For people.
    pub reason: String,
}

impl Closed {
    /// The close code of a server that takes the token no more.
    pub const UNAUTHENTICATED: u16 = 4001;
    /// The close code for a connection whose device has connected again elsewhere.
    pub const REPLACED: u16 = 4002;
    /// The close code of a server whose operators suspended the account.
    pub const SUSPENDED: u16 = 4005;
}

/// What a driver carries out. Outputs are carried out in their order; an output waits for the one before it.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Store these changes, all or none, and do nothing that follows before they are durable.
    Persist(Vec<Change>),
    /// Open a connection, and answer with [`Input::Connected`] or [`Input::Disconnected`].
    Connect,
    /// Close the connection, or stop opening it. Nothing of it may come in after this.
    Disconnect,
    /// Write a frame to the connection.
    Send(ClientFrame),
    /// Bring [`Input::Tick`] at this monotonic moment. Takes the place of the one before.
    SetTimer(Duration),
    /// Read older entries from the storage, and answer with [`Input::Loaded`].
    Load {
        /// Of this conversation.
        conversation: ConversationId,
        /// Older than this.
        before: Seq,
        /// At most so many.
        limit: usize,
    },
    /// Tell the person.
    Event(Event),
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipient {
    /// To a conversation.
    Conversation(ConversationId),
    /// To the direct chat with an account, which this makes if it is not there.
    Account(AccountId),
}

/// What a person wants. A `tag` is the caller's own and comes back with the answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Register or log in ([`client_frame::Command::Register`], `LogIn`, `LogInJwt`). Answered by [`Event::Answer`], after
    /// [`Event::LoggedIn`] if it went well. If another account was logged in here, everything of it is forgotten.
    Authenticate {
        /// The caller's.
        tag: u64,
        /// What is said.
        command: client_frame::Command,
    },
    /// Revoke the token and forget everything. Needs a connection. Answered by [`Event::LoggedOut`].
    LogOut {
        /// The caller's.
        tag: u64,
    },
    /// Send a message, at any time. Answered by [`Event::Composed`] once it is durable on this device.
    Send {
        /// The caller's.
        tag: u64,
        /// Where to.
        to: Recipient,
        /// What.
        content: Content,
    },
    /// Send a refused message again.
    Retry {
        /// In this conversation.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
    },
    /// Forget a refused message.
    Discard {
        /// In this conversation.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
    },
    /// A person has seen everything up to here.
    Read {
        /// In this conversation.
        conversation: ConversationId,
        /// Up to here.
        seq: Seq,
    },
    /// A person types (call it with every key) or stopped.
    Typing {
        /// In this conversation.
        conversation: ConversationId,
        /// Whether.
        typing: bool,
    },
    /// Watch the presence of these accounts and of no others.
    Watch(Vec<AccountId>),
    /// Whether a person looks at this device now.
    SetActive(bool),
    /// Show what is older than this, at most so many entries. Answered by [`Event::History`].
    History {
        /// In this conversation.
        conversation: ConversationId,
        /// Older than this; none: the newest.
        before: Option<Seq>,
        /// At most so many.
        limit: usize,
    },
    /// Ask again what this conversation is and how far the others have read: a person opens it.
    Refresh(ConversationId),
    /// Any other command of the protocol, answered by [`Event::Answer`]. An empty `message_id` in it is filled in.
    Request {
        /// The caller's.
        tag: u64,
        /// As it is sent.
        command: client_frame::Command,
    },
    /// Connect now, without waiting.
    GoOnline,
    /// Close the connection and stay without.
    GoOffline,
}

/// Where the connection stands, as people are shown it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// There is none. Attempts since the last session; when the next one starts, unless none is wanted.
    Offline {
        /// So many have failed in a row.
        failures: u32,
        /// The monotonic moment of the next attempt.
        retry_at: Option<Duration>,
    },
    /// One is being made.
    Connecting,
    /// The session is open; what happened meanwhile is being fetched.
    CatchingUp,
    /// Everything is here.
    Online,
}

/// What a person is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The connection is in another state.
    Connection(Connection),
    /// Somebody is logged in on this device.
    LoggedIn(Account),
    /// Nobody is, any more: the token was revoked, or the person logged out.
    LoggedOut {
        /// For people.
        reason: String,
    },
    /// This device has connected again elsewhere, with a copy of what is stored here. This client stays without a connection
    /// until [`Command::GoOnline`], as the two would take turns.
    Replaced,
    /// The server's operators suspended the account. No further connection is made until [`Command::GoOnline`] or the next
    /// start; what is stored stays, and so does what waits to be sent.
    Suspended {
        /// For people.
        reason: String,
    },
    /// A conversation is new, or has changed.
    Conversation(Box<Summary>),
    /// A new entry at the end of a conversation. If it is one's own, it takes the place of its [`Event::Outgoing`].
    Entry(Entry),
    /// The answer to [`Command::History`].
    History {
        /// As it was asked.
        conversation: ConversationId,
        /// As it was asked; the greatest seq if it asked for the newest.
        before: Seq,
        /// Ascending.
        entries: Vec<Entry>,
        /// There may be older ones, here or on the server.
        more: bool,
    },
    /// The answer to [`Command::Send`]: the message is durable here. [`Event::Outgoing`] came before it.
    Composed {
        /// The caller's.
        tag: u64,
        /// Where to.
        conversation: ConversationId,
        /// Its id from now on.
        message: MessageId,
    },
    /// A message in the outbox is new, or got further.
    Outgoing(Outgoing),
    /// A message left the outbox without an entry: it was discarded, or goes on under another id.
    OutgoingGone {
        /// Where to.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
    },
    /// Others (in groups, all of them) have received or read more.
    Receipt {
        /// Of this conversation.
        conversation: ConversationId,
        /// What.
        kind: ReceiptKind,
        /// Up to here.
        seq: Seq,
    },
    /// Somebody types, or stopped.
    Typing {
        /// In this conversation.
        conversation: ConversationId,
        /// Who.
        account: AccountId,
        /// Whether.
        typing: bool,
    },
    /// Somebody whose presence is watched came or went.
    Presence {
        /// Who.
        account: AccountId,
        /// Whether.
        online: bool,
        /// Microseconds since the Unix epoch; 0: unknown.
        last_seen_us: u64,
    },
    /// Somebody's names.
    Person(Person),
    /// The answer to [`Command::Request`], [`Command::Authenticate`], or to a [`Command::Send`] that can't be queued.
    Answer {
        /// The caller's.
        tag: u64,
        /// The server's event, or what is wrong.
        result: Result<server_frame::Event, ProtocolError>,
    },
}
