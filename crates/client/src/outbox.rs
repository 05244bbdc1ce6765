//! What a person sent and the log does not show yet.
//!
//! ```text
//!   queued ──send──► (in flight) ──Accepted──► accepted ──its entry──► gone
//!      ▲                 │                        │
//!      └── go back ──────┤                        │
//!                        └──────► refused ◄───────┘   kept until it is retried or discarded
//! ```
//!
//! Messages of one conversation go out in order, a window at a time. After an error that may pass, a timeout or a new
//! connection, sending starts again at the first message without an answer, and each one that may have been sent before says
//! so. What was loaded from a storage counts as sent before: nobody knows how far the last run came.

use crate::Content;
use crate::backoff::{Backoff, Entropy};
use crate::limits::{
    ANSWER_TIMEOUT, ENTRY_TIMEOUT, GO_BACKS_MAX, INTERNAL_ERRORS_MAX, SENDS_MAX, SENDS_PER_CONVERSATION_MAX,
};
use crate::moment::earlier;
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{ConversationId, MessageId, ProtocolError};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How far a message in the outbox is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutgoingState {
    /// Not known to the server, as far as this device knows: a clock.
    Queued,
    /// It survives any crash of the server: one tick.
    Accepted,
    /// The server does not take it. It stays until a person retries or discards it.
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        reason: String,
    },
}

/// A message in the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Where to.
    pub conversation: ConversationId,
    /// Its id: the same in every attempt and in its entry.
    pub message: MessageId,
    /// What.
    pub content: Content,
    /// When it was composed, microseconds since the Unix epoch.
    pub composed_us: u64,
    /// Its place in the outbox: messages leave in this order.
    pub number: u64,
    /// How far it is.
    pub state: OutgoingState,
}

/// Whether a message may have been sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    First,
    Again,
}

/// What came of an error.
#[derive(Debug, PartialEq)]
pub(crate) enum Failure {
    /// It answers an attempt that was given up already.
    Stale,
    /// The conversation waits, and starts again from its first unanswered message.
    WentBack,
    /// The message stays as refused.
    Refused(Outgoing),
    /// The message stays as refused because the server failed it too often, and [`Failure::Stuck`].
    GivenUp(Outgoing),
    /// The server waits for a message that this device will not repeat (its entry came although it failed, or it was given
    /// up), and takes nothing else of this conversation on this connection: another one is needed.
    Stuck,
}

#[derive(Debug)]
struct Item {
    outgoing: Outgoing,
    attempt: Attempt,
    flight: Option<Flight>,
    /// Accepted: when to send it again if its entry is not there.
    entry_due: Option<Duration>,
    internal_errors: u32,
    /// It was the first one without an answer, and told to go back all the same.
    go_backs: u32,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    request: u64,
    due: Duration,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Item>,
    paused_until: Option<Duration>,
    backoff: Backoff,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: BTreeMap<ConversationId, Queue>,
    last_number: u64,
}

impl Outbox {
    /// The outbox that a storage gave back.
    pub(crate) fn load(mut outgoing: Vec<Outgoing>) -> Self {
        outgoing.sort_by_key(|outgoing| outgoing.number);
        let mut outbox = Self::default();
        for outgoing in outgoing {
            outbox.last_number = outgoing.number;
            outbox.queue(outgoing.conversation).items.push_back(Item::new(outgoing, Attempt::Again));
        }
        outbox
    }

    /// Everything in it: by conversation, and in order there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.queues.values().flat_map(|queue| queue.items.iter().map(|item| &item.outgoing))
    }

    /// The messages in one conversation's queue.
    pub(crate) fn len(&self, conversation: ConversationId) -> usize {
        self.queues.get(&conversation).map_or(0, |queue| queue.items.len())
    }

    /// The messages that no server has accepted yet.
    pub(crate) fn waiting(&self) -> usize {
        self.iter().filter(|outgoing| outgoing.state == OutgoingState::Queued).count()
    }

    /// Puts a new message last. The caller persists it before anything is sent.
    pub(crate) fn compose(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        content: Content,
        composed_us: u64,
    ) -> Outgoing {
        self.last_number += 1;
        let (number, state) = (self.last_number, OutgoingState::Queued);
        let outgoing = Outgoing { conversation, message, content, composed_us, number, state };
        self.queue(conversation).items.push_back(Item::new(outgoing.clone(), Attempt::First));
        outgoing
    }

    /// Sends whatever may go now: `send` writes the frame and gives back the number of its request.
    pub(crate) fn pump(&mut self, now: Duration, mut send: impl FnMut(&Outgoing, Attempt) -> u64) {
        let mut in_flight: usize = self.queues.values().map(Queue::in_flight).sum();
        for queue in self.queues.values_mut() {
            if queue.paused_until.is_some_and(|until| until > now) {
                continue;
            }
            queue.paused_until = None;
            if queue.repeats() {
                continue;
            }
            let mut window = SENDS_PER_CONVERSATION_MAX.saturating_sub(queue.in_flight());
            for item in &mut queue.items {
                let overdue = item.entry_due.is_some_and(|due| due <= now);
                let send_now = match item.outgoing.state {
                    _ if item.flight.is_some() => false,
                    OutgoingState::Queued => true,
                    // Alone: a server that waits for just this one would take what comes behind it, but not what is
                    // under way before it.
                    OutgoingState::Accepted => overdue && window == SENDS_PER_CONVERSATION_MAX,
                    OutgoingState::Refused { .. } => false,
                };
                if !send_now {
                    continue;
                }
                if window == 0 || in_flight >= SENDS_MAX {
                    break;
                }
                let request = send(&item.outgoing, item.attempt);
                item.flight = Some(Flight { request, due: now + ANSWER_TIMEOUT });
                item.attempt = Attempt::Again;
                (window, in_flight) = (window - 1, in_flight + 1);
                if item.outgoing.state == OutgoingState::Accepted {
                    break;
                }
            }
        }
    }

    /// The server keeps it. Gives it back if that is news.
    pub(crate) fn accepted(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        now: Duration,
    ) -> Option<Outgoing> {
        let queue = self.queues.get_mut(&conversation)?;
        queue.backoff.reset();
        let item = queue.find(message)?;
        item.flight = None;
        item.entry_due = Some(now + ENTRY_TIMEOUT);
        let news = item.outgoing.state == OutgoingState::Queued;
        item.outgoing.state = OutgoingState::Accepted;
        news.then(|| item.outgoing.clone())
    }

    /// The server answered an attempt with an error.
    pub(crate) fn failed(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        request: u64,
        error: &ProtocolError,
        now: Duration,
        entropy: &mut Entropy,
    ) -> Failure {
        let Some(queue) = self.queues.get_mut(&conversation) else { return Failure::Stale };
        let Some(item) = queue.find(message) else { return Failure::Stale };
        if item.flight.is_none_or(|flight| flight.request != request) {
            return Failure::Stale;
        }
        let passes = match error.code {
            ErrorCode::GoBack => {
                item.go_backs += 1;
                true
            }
            ErrorCode::Unavailable
            | ErrorCode::Full
            | ErrorCode::RateLimited
            | ErrorCode::Unauthenticated
            | ErrorCode::Suspended => true,
            ErrorCode::Internal | ErrorCode::Unspecified => {
                item.internal_errors += 1;
                if item.internal_errors >= INTERNAL_ERRORS_MAX {
                    item.refuse(error);
                    return Failure::GivenUp(item.outgoing.clone());
                }
                true
            }
            _ => error.retry_after_ms > 0,
        };
        let stuck = item.go_backs >= GO_BACKS_MAX;
        if !passes {
            item.refuse(error);
            return Failure::Refused(item.outgoing.clone());
        }
        let told = Duration::from_millis(error.retry_after_ms.into());
        let wait = if told.is_zero() { queue.backoff.next(entropy) } else { told };
        queue.go_back(now + wait);
        if stuck { Failure::Stuck } else { Failure::WentBack }
    }

    /// Sequencing refused what was accepted, or a person's message can't be kept.
    pub(crate) fn refused(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        error: &ProtocolError,
    ) -> Option<Outgoing> {
        let item = self.queues.get_mut(&conversation)?.find(message)?;
        item.refuse(error);
        Some(item.outgoing.clone())
    }

    /// The messages before one whose entry is in the log, refused. A server never takes a message before one that it may
    /// still take, so what is not in the log by then was refused, and word of it was lost. Sent again it might come in behind.
    pub(crate) fn overtaken(&mut self, conversation: ConversationId, by: MessageId) -> Vec<Outgoing> {
        let Some(queue) = self.queues.get_mut(&conversation) else { return Vec::new() };
        let index = queue.items.iter().position(|item| item.outgoing.message == by).unwrap_or(0);
        let before = queue.items.iter_mut().take(index);
        let open = before.filter(|item| !matches!(item.outgoing.state, OutgoingState::Refused { .. }));
        let error =
            ProtocolError::new(ErrorCode::Forbidden, "the conversation did not take this message, but a later one");
        open.map(|item| {
            item.refuse(&error);
            item.outgoing.clone()
        })
        .collect()
    }

    /// Its entry is in the log. True if it was here.
    pub(crate) fn sequenced(&mut self, conversation: ConversationId, message: MessageId) -> bool {
        self.take(conversation, message).is_some()
    }

    /// Queues a refused message again, last. An id that is taken by another body (`Conflict`) is replaced by `fresh`; any
    /// other stays, so that a refusal that was wrong does not make two of it.
    pub(crate) fn retry(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
        fresh: MessageId,
    ) -> Option<Outgoing> {
        let OutgoingState::Refused { code, .. } = self.queues.get_mut(&conversation)?.find(message)?.outgoing.state
        else {
            return None;
        };
        let mut outgoing = self.take(conversation, message)?.outgoing;
        if code == ErrorCode::Conflict {
            outgoing.message = fresh;
        }
        self.last_number += 1;
        outgoing.number = self.last_number;
        outgoing.state = OutgoingState::Queued;
        self.queue(conversation).items.push_back(Item::new(outgoing.clone(), Attempt::Again));
        Some(outgoing)
    }

    /// Forgets a refused message. True if it was here, and refused.
    pub(crate) fn discard(&mut self, conversation: ConversationId, message: MessageId) -> bool {
        let item = self.queues.get_mut(&conversation).and_then(|queue| queue.find(message));
        let refused = item.is_some_and(|item| matches!(item.outgoing.state, OutgoingState::Refused { .. }));
        refused && self.take(conversation, message).is_some()
    }

    /// A session is open: what was accepted and has no entry is given another while.
    pub(crate) fn connected(&mut self, now: Duration) {
        for item in self.queues.values_mut().flat_map(|queue| &mut queue.items) {
            item.entry_due = (item.outgoing.state == OutgoingState::Accepted).then_some(now + ENTRY_TIMEOUT);
        }
    }

    /// The connection is gone, and every answer with it.
    pub(crate) fn disconnected(&mut self) {
        for queue in self.queues.values_mut() {
            queue.paused_until = None;
            queue.backoff.reset();
            for item in &mut queue.items {
                (item.flight, item.entry_due, item.go_backs) = (None, None, 0);
            }
        }
    }

    /// Gives up attempts without an answer.
    pub(crate) fn expire(&mut self, now: Duration, entropy: &mut Entropy) {
        for queue in self.queues.values_mut() {
            let mut late = false;
            for item in queue.items.iter_mut().take_while(|item| !item.is_idle()) {
                if item.flight.is_some_and(|flight| flight.due <= now) {
                    item.flight = None;
                    item.entry_due = item.entry_due.map(|_| now + ENTRY_TIMEOUT);
                    late |= item.outgoing.state == OutgoingState::Queued;
                }
            }
            if late {
                let wait = queue.backoff.next(entropy);
                queue.go_back(now + wait);
            }
        }
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Duration> {
        let queue = |queue: &Queue| {
            let items = queue.items.iter().take_while(|item| !item.is_idle());
            let due = items.map(|item| item.flight.map(|flight| flight.due).or(item.entry_due)).fold(None, earlier);
            earlier(queue.paused_until, due)
        };
        self.queues.values().map(queue).fold(None, earlier)
    }

    fn queue(&mut self, conversation: ConversationId) -> &mut Queue {
        self.queues.entry(conversation).or_insert_with(|| Queue {
            items: VecDeque::new(),
            paused_until: None,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(10)),
        })
    }

    fn take(&mut self, conversation: ConversationId, message: MessageId) -> Option<Item> {
        let queue = self.queues.get_mut(&conversation)?;
        let index = queue.items.iter().position(|item| item.outgoing.message == message)?;
        let item = queue.items.remove(index);
        if queue.items.is_empty() {
            self.queues.remove(&conversation);
        }
        item
    }
}

impl Queue {
    fn find(&mut self, message: MessageId) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.outgoing.message == message)
    }

    fn in_flight(&self) -> usize {
        self.items.iter().take_while(|item| !item.is_idle()).filter(|item| item.flight.is_some()).count()
    }

    /// A message that was accepted before is under way again.
    fn repeats(&self) -> bool {
        let under_way = self.items.iter().take_while(|item| !item.is_idle()).filter(|item| item.flight.is_some());
        under_way.into_iter().any(|item| item.outgoing.state == OutgoingState::Accepted)
    }

    /// Every attempt without an answer is given up; after the wait they are made again, in order.
    fn go_back(&mut self, until: Duration) {
        self.paused_until = Some(until);
        for item in &mut self.items {
            if item.outgoing.state == OutgoingState::Queued {
                item.flight = None;
            }
        }
    }
}

impl Item {
    fn new(outgoing: Outgoing, attempt: Attempt) -> Self {
        Self { outgoing, attempt, flight: None, entry_due: None, internal_errors: 0, go_backs: 0 }
    }

    /// Waits for its turn; so does everything behind it.
    fn is_idle(&self) -> bool {
        self.flight.is_none() && self.outgoing.state == OutgoingState::Queued
    }

    fn refuse(&mut self, error: &ProtocolError) {
        (self.flight, self.entry_due) = (None, None);
        self.outgoing.state = OutgoingState::Refused { code: error.code, reason: error.message.clone() };
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
