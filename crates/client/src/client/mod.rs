//! The client: its parts, and how an input passes through them.
//!
//! Every input ends in [`Client::advance`], which does whatever may be done now: expire, connect, ask, fetch, tell, send. So
//! an input only has to change what is known, and nothing is forgotten because it could not be done at once. All changes of
//! one input are persisted together, before anything else that it causes.

mod catch_up;
mod commands;
mod connection;
mod frames;

use crate::backoff::Entropy;
use crate::conversation::Conversation;
use crate::link::{Due, Link, Phase};
use crate::message_ids::MessageIds;
use crate::moment::{ServerClock, earlier};
use crate::outbox::Outbox;
use crate::people::Questions;
use crate::receipts::Receipts;
use crate::requests::{Purpose, Requests};
use crate::signals::Signals;
use crate::sync::Sync;
use crate::{Account, Change, Connection, ConversationRow, Event, Input, Moment, Output, Person, Progress, State};
use bytes::Bytes;
use hudhud_proto::v1::{ErrorCode, client_frame};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How a client presents itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// A name for the server's logs, such as `hudhud-chat/0.1`. At most 64 bytes.
    pub name: String,
    /// Whether a person looks at this device from the start: only then the account shows as online.
    pub active: bool,
}

/// A device's client. See the crate's front page.
pub struct Client {
    name: String,
    entropy: Entropy,
    clock: ServerClock,
    ids: MessageIds,
    changes_cursor: Bytes,
    connection_number: u64,
    account: Option<Account>,
    link: Link,
    requests: Requests,
    conversations: BTreeMap<ConversationId, Conversation>,
    outbox: Outbox,
    sync: Sync,
    receipts: Receipts,
    people: BTreeMap<AccountId, Person>,
    questions: Questions,
    signals: Signals,
    /// Rows with changes that can wait for the next write: losing them costs a repetition.
    unsaved: BTreeSet<ConversationId>,
    /// When to ask how far the others are, as receipts may have been missed; and of how many conversations.
    ask_receipts: Option<(Duration, usize)>,
    shown: Option<Connection>,
    timer: Option<Duration>,
}

/// What one input causes.
struct Step {
    now: Moment,
    changes: Vec<Change>,
    outputs: Vec<Output>,
    /// Conversations to store and to show anew.
    touched: BTreeSet<ConversationId>,
}

impl Step {
    fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn answer(&mut self, tag: u64, error: ProtocolError) {
        self.event(Event::Answer { tag, result: Err(error) });
    }
}

impl Client {
    /// The client that goes on from this state. `entropy` fills a slice with random bytes: message ids and waits come from
    /// it. The first input is [`Input::Start`].
    pub fn new(options: Options, state: State, entropy: impl FnMut(&mut [u8]) + Send + 'static) -> Self {
        let me = state.account.as_ref().map(|account| account.account);
        let rows = state.conversations.into_iter();
        let mut conversations: BTreeMap<_, _> = rows.map(|row| (row.id, Conversation::new(row))).collect();
        for entry in state.entries {
            if let Some(conversation) = conversations.get_mut(&entry.conversation) {
                conversation.restore(entry, me);
            }
        }
        Self {
            name: options.name,
            entropy: Box::new(entropy),
            clock: ServerClock::new(state.progress.clock_offset_us),
            ids: MessageIds::new(state.progress.last_id_ms),
            changes_cursor: state.progress.changes_cursor,
            connection_number: state.progress.connection_number,
            account: state.account,
            link: Link::new(options.active),
            requests: Requests::default(),
            conversations,
            outbox: Outbox::load(state.outbox),
            sync: Sync::default(),
            receipts: Receipts::default(),
            people: state.people.into_iter().map(|person| (person.account, person)).collect(),
            questions: Questions::default(),
            signals: Signals::default(),
            unsaved: BTreeSet::new(),
            ask_receipts: None,
            shown: None,
            timer: None,
        }
    }

    /// Takes something that happened at this moment, and gives back what to do, in order.
    pub fn handle(&mut self, input: Input, now: Moment) -> Vec<Output> {
        let mut step = Step { now, changes: Vec::new(), outputs: Vec::new(), touched: BTreeSet::new() };
        match input {
            Input::Start => self.start(&mut step),
            Input::Connected => self.connected(&mut step),
            Input::Disconnected(closed) => self.disconnected(closed, &mut step),
            Input::Frame(frame) => self.frame(frame, &mut step),
            Input::Command(command) => self.command(command, &mut step),
            Input::Tick => self.timer = None,
            Input::Loaded { conversation, before, limit, entries } => {
                self.loaded(conversation, before, limit, entries, &mut step);
            }
        }
        self.advance(&mut step);
        self.finish(step)
    }

    /// Who uses this device.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Where the connection stands.
    pub fn connection(&self) -> Connection {
        match self.link.phase() {
            Phase::Stopped => Connection::Offline { failures: self.link.failures(), retry_at: None },
            Phase::Waiting { until } => Connection::Offline { failures: self.link.failures(), retry_at: Some(until) },
            Phase::Connecting { .. } | Phase::Anonymous | Phase::Greeting { .. } => Connection::Connecting,
            Phase::Online if self.sync.is_caught_up() => Connection::Online,
            Phase::Online => Connection::CatchingUp,
        }
    }

    /// What is known of the conversations, by id.
    pub fn conversations(&self) -> impl Iterator<Item = &ConversationRow> {
        self.conversations.values().map(Conversation::row)
    }

    /// The messages that no server has accepted yet.
    pub fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    /// Does whatever may be done at this moment.
    fn advance(&mut self, step: &mut Step) {
        let now = step.now.monotonic;
        while let Some(purpose) = self.requests.expire(now) {
            self.failed(purpose, None, timeout(), step);
        }
        self.outbox.expire(now, &mut self.entropy);
        while let Some((conversation, account)) = self.signals.expire(now) {
            step.event(Event::Typing { conversation, account, typing: false });
        }
        match self.link.take_due(now) {
            Some(Due::Connect) => step.outputs.push(Output::Connect),
            Some(Due::GiveUp) => {
                step.outputs.push(Output::Disconnect);
                self.lost(None, step);
            }
            None => {}
        }
        if self.link.is_online() {
            self.pump_sync(step);
            self.pump_receipts(step);
            self.pump_outbox(step);
            self.pump_questions(step);
            self.pump_watch(step);
        }
    }

    fn finish(&mut self, mut step: Step) -> Vec<Output> {
        let mut outputs = Vec::with_capacity(step.outputs.len() + 4);
        let mut rows = step.touched.clone();
        if !(step.changes.is_empty() && rows.is_empty()) {
            rows.append(&mut self.unsaved);
        }
        let row = |id: &ConversationId| self.conversations.get(id).map(|c| Box::new(c.row().clone()));
        step.changes.extend(rows.iter().filter_map(row).map(Change::PutConversation));
        if !step.changes.is_empty() {
            outputs.push(Output::Persist(step.changes));
        }
        let summary = |id: &ConversationId| self.conversations.get(id).map(|c| Box::new(c.summary()));
        let summaries = step.touched.iter().filter_map(summary);
        outputs.extend(summaries.map(|summary| Output::Event(Event::Conversation(summary))));
        outputs.append(&mut step.outputs);

        let connection = self.connection();
        if self.shown.replace(connection) != Some(connection) {
            outputs.push(Output::Event(Event::Connection(connection)));
        }
        let now = step.now.monotonic;
        // What is due but could not be done now is looked at again soon, not in a tight loop.
        let due = self.due().map(|due| if due <= now { now + Duration::from_millis(100) } else { due });
        if let Some(due) = due
            && self.timer.replace(due) != Some(due)
        {
            outputs.push(Output::SetTimer(due));
        }
        outputs
    }

    fn due(&self) -> Option<Duration> {
        let of_session =
            [self.outbox.due(), self.sync.due(), self.receipts.due(), self.questions.due(), self.signals.due()];
        let of_session = of_session.into_iter().filter(|_| self.link.is_online());
        of_session.chain([self.link.due(), self.requests.due()]).fold(None, earlier)
    }

    fn me(&self) -> Option<AccountId> {
        self.account.as_ref().map(|account| account.account)
    }

    fn request(&mut self, purpose: Purpose, command: impl Into<client_frame::Command>, step: &mut Step) -> u64 {
        let frame = self.requests.open(purpose, command.into(), step.now.monotonic);
        let request = frame.request;
        step.outputs.push(Output::Send(frame));
        request
    }

    fn next_id(&mut self, step: &Step) -> MessageId {
        self.ids.next(self.clock.now_us(step.now) / 1_000, &mut self.entropy)
    }

    fn save_progress(&self, step: &mut Step) {
        step.change(Change::SaveProgress(Progress {
            changes_cursor: self.changes_cursor.clone(),
            clock_offset_us: self.clock.offset_us(),
            last_id_ms: self.ids.last_ms(),
            connection_number: self.connection_number,
        }));
    }

    /// The conversation with this id, made if it is not there.
    fn conversation(&mut self, id: ConversationId) -> &mut Conversation {
        self.conversations.entry(id).or_insert_with(|| {
            self.questions.want(crate::people::Question::Conversation(id));
            Conversation::new(ConversationRow::new(id))
        })
    }
}

/// What a request without an answer fails with.
fn timeout() -> ProtocolError {
    ProtocolError::retry(ErrorCode::Unavailable, "the server did not answer in time", 1_000)
}

/// What needs a connection fails with, while there is none.
fn offline() -> ProtocolError {
    ProtocolError::new(ErrorCode::Unavailable, "not connected: try again when the connection is back")
}
