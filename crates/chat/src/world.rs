//! What this device knows, gathered from the client's events: the one model under both the screen and the line mode.

use hudhud_client::{Account, Connection, Entry, Event, Outgoing, OutgoingState, Person, Summary};
use hudhud_proto::v1::ConversationKind;
use hudhud_proto::{AccountId, ConversationId, Handle, MessageId};
use std::collections::{BTreeMap, BTreeSet};

/// Everything but the entries of the conversations.
#[derive(Debug)]
pub struct World {
    /// Who uses this device; without a token after the server logged it out.
    pub me: Option<Account>,
    /// Where the connection stands.
    pub connection: Connection,
    /// Everybody known.
    pub people: BTreeMap<AccountId, Person>,
    /// Everything this account is or was in.
    pub conversations: BTreeMap<ConversationId, Summary>,
    /// What the log does not show yet.
    pub outbox: BTreeMap<MessageId, Outgoing>,
    /// Who types where.
    pub typing: BTreeMap<ConversationId, BTreeSet<AccountId>>,
    /// Who is online, or was last (microseconds since the Unix epoch, 0: unknown).
    pub presence: BTreeMap<AccountId, (Presence, u64)>,
}

/// Whether somebody is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// Looks at a device now.
    Online,
    /// Does not, or does not say.
    Away,
}

/// How far a message of one's own is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tick {
    /// On this device alone.
    Waiting,
    /// Safe on the server: one tick.
    Accepted,
    /// On a device of everybody it is for: two ticks.
    Delivered,
    /// Seen by everybody it is for: coloured ticks.
    Read,
    /// The server does not take it.
    Refused,
}

impl Default for World {
    fn default() -> Self {
        Self {
            me: None,
            connection: Connection::Offline { failures: 0, retry_at: None },
            people: BTreeMap::new(),
            conversations: BTreeMap::new(),
            outbox: BTreeMap::new(),
            typing: BTreeMap::new(),
            presence: BTreeMap::new(),
        }
    }
}

impl World {
    /// Learns from an event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Connection(connection) => {
                self.connection = *connection;
                if !self.is_connected() {
                    self.presence.clear();
                }
            }
            Event::LoggedIn(account) => {
                if self.me.as_ref().is_some_and(|me| me.account != account.account) {
                    *self = Self { connection: self.connection, ..Self::default() };
                }
                self.me = Some(account.clone());
            }
            Event::LoggedOut { .. } => {
                if let Some(me) = &mut self.me {
                    me.token = None;
                }
            }
            Event::Conversation(summary) => drop(self.conversations.insert(summary.row.id, (**summary).clone())),
            Event::Entry(entry) => {
                self.outbox.remove(&entry.message);
                self.types(entry.conversation, entry.sender, false);
            }
            Event::Outgoing(outgoing) => drop(self.outbox.insert(outgoing.message, outgoing.clone())),
            Event::OutgoingGone { message, .. } => drop(self.outbox.remove(message)),
            Event::Typing { conversation, account, typing } => self.types(*conversation, *account, *typing),
            Event::Presence { account, online, last_seen_us } => {
                let presence = if *online { Presence::Online } else { Presence::Away };
                self.presence.insert(*account, (presence, *last_seen_us));
            }
            Event::Person(person) => drop(self.people.insert(person.account, person.clone())),
            Event::Replaced
            | Event::Suspended { .. }
            | Event::History { .. }
            | Event::Composed { .. }
            | Event::Receipt { .. }
            | Event::Answer { .. } => {}
        }
    }

    fn types(&mut self, conversation: ConversationId, account: AccountId, typing: bool) {
        let typists = self.typing.entry(conversation).or_default();
        if typing {
            typists.insert(account);
        } else {
            typists.remove(&account);
        }
    }

    /// Whether somebody is logged in.
    pub fn is_logged_in(&self) -> bool {
        self.me.as_ref().is_some_and(|me| me.token.is_some())
    }

    /// Whether there is a session with the server.
    pub fn is_connected(&self) -> bool {
        matches!(self.connection, Connection::CatchingUp | Connection::Online)
    }

    /// Whether this account is this device's own.
    pub fn is_me(&self, account: AccountId) -> bool {
        self.me.as_ref().is_some_and(|me| me.account == account)
    }

    /// The account with this handle, if it is known here.
    pub fn account_of(&self, handle: &Handle) -> Option<AccountId> {
        if let Some(me) = self.me.as_ref().filter(|me| me.handle == handle.as_str()) {
            return Some(me.account);
        }
        self.people.values().find(|person| person.handle == handle.as_str()).map(|person| person.account)
    }

    /// The handle of an account, if it is known here.
    pub fn handle_of(&self, account: AccountId) -> Option<&str> {
        if let Some(me) = self.me.as_ref().filter(|me| me.account == account) {
            return Some(&me.handle);
        }
        self.people.get(&account).map(|person| person.handle.as_str())
    }

    /// What a conversation is called: a group's title, the other one's handle. Untrusted.
    pub fn title(&self, conversation: ConversationId) -> String {
        let Some(Summary { row, .. }) = self.conversations.get(&conversation) else { return "…".into() };
        match (row.kind, row.peer) {
            (ConversationKind::Group, _) => row.title.clone(),
            (_, Some(peer)) => self.handle_of(peer).unwrap_or("…").to_owned(),
            _ => "…".into(),
        }
    }

    /// The messages of a conversation that its log does not show yet, in the order in which they leave.
    pub fn outgoing(&self, conversation: ConversationId) -> Vec<&Outgoing> {
        let mut outgoing: Vec<_> = self.outbox.values().filter(|o| o.conversation == conversation).collect();
        outgoing.sort_by_key(|outgoing| outgoing.number);
        outgoing
    }

    /// The messages that only this device has.
    pub fn waiting(&self) -> usize {
        self.outbox.values().filter(|outgoing| outgoing.state == OutgoingState::Queued).count()
    }

    /// How far an entry of one's own is.
    pub fn tick_of(&self, entry: &Entry) -> Tick {
        match self.conversations.get(&entry.conversation) {
            Some(Summary { row, .. }) if entry.seq <= row.others_read => Tick::Read,
            Some(Summary { row, .. }) if entry.seq <= row.others_received => Tick::Delivered,
            _ => Tick::Accepted,
        }
    }
}

/// How far a message in the outbox is.
pub fn tick_of_outgoing(outgoing: &Outgoing) -> Tick {
    match outgoing.state {
        OutgoingState::Queued => Tick::Waiting,
        OutgoingState::Accepted => Tick::Accepted,
        OutgoingState::Refused { .. } => Tick::Refused,
    }
}
