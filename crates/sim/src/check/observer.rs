//! What was seen so far: the truth that everything later is held against. A crash forgets nothing here.

use super::Violation;
use super::lost::Losses;
use bytes::Bytes;
use hudhud_client::OutgoingState;
use hudhud_proto::v1::{Entry, MemberRow};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Message as _, MessageId, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Violations that are kept: the first ones tell what happened.
const VIOLATIONS_MAX: usize = 8;

/// A message that a person wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// On which device.
    pub device: Arc<str>,
    /// Where to.
    pub conversation: ConversationId,
    /// Its place in the order in which people wrote; what is sent again after a refusal gets a new one.
    pub number: u64,
    /// Its place when it was first written: an attempt that was given up may land after a repetition was asked for.
    pub first_number: u64,
    /// What.
    pub payload: Bytes,
    /// How far the device knows it to be.
    pub state: OutgoingState,
    /// It was accepted at some time.
    pub accepted: bool,
    /// The person gave it up after it was refused.
    pub discarded: bool,
}

/// An entry that got its place in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Its message.
    pub message: MessageId,
    /// Who sent it.
    pub sender: AccountId,
    /// On which device.
    pub sender_device: DeviceId,
    /// Of what it says, and everything else in it.
    pub hash: blake3::Hash,
}

impl Placed {
    /// What is noted of an entry of the timeline; nothing of one whose ids are none.
    pub fn new(entry: &Entry) -> Option<Self> {
        Some(Self {
            message: MessageId::from_slice(&entry.message_id).ok()?,
            sender: AccountId::from_slice(&entry.sender).ok()?,
            sender_device: DeviceId::from_slice(&entry.sender_device).ok()?,
            hash: blake3::hash(&entry.encode_to_vec()),
        })
    }
}

/// See the module.
#[derive(Default)]
pub struct Observer {
    /// The first violations.
    pub violations: Vec<Violation>,
    /// When the first of them was seen.
    pub violated_at: Option<Instant>,
    /// Every entry that was ever placed.
    pub log: BTreeMap<(ConversationId, Seq), Placed>,
    /// Where each message was placed.
    pub placed: BTreeMap<(ConversationId, MessageId), Seq>,
    /// Who belongs to a conversation, as the newest version says.
    pub members: BTreeMap<(ConversationId, AccountId), (u64, MemberRow)>,
    /// The last [`Written::number`].
    pub last_number: u64,
    /// Whatever people wrote.
    pub written: BTreeMap<MessageId, Written>,
    /// Messages of which a record on the bus is durable.
    pub durable: BTreeSet<MessageId>,
    /// Groups that a device was told to be there.
    pub groups: BTreeMap<ConversationId, MessageId>,
    /// What each device has shown.
    pub shown: BTreeSet<(Arc<str>, ConversationId, MessageId)>,
    /// How far some device of an account has stored a conversation.
    pub stored: BTreeMap<(ConversationId, AccountId), Seq>,
    /// When the session of a device was written last.
    pub registered: BTreeMap<DeviceId, Duration>,
    /// How far a person has read, as it said on some device.
    pub read: BTreeMap<(ConversationId, AccountId), Seq>,
    /// Messages and changes that were refused when it was their turn.
    pub refused: BTreeSet<MessageId>,
    /// Changes of groups that a device was told to be accepted.
    pub changes: BTreeMap<MessageId, ConversationId>,
    /// Devices that others of their account throw out.
    pub thrown_out: BTreeMap<Arc<str>, Thrown>,
    /// What went with logs of the bus.
    pub losses: Losses,
}

/// How far a device is thrown out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thrown {
    /// Somebody asked for it: it may be out or not.
    Asked,
    /// The server said that it is out.
    Out,
}

impl Observer {
    /// Something happened that must not.
    pub fn violate(&mut self, guarantee: u8, what: String, words: Vec<String>) {
        self.violated_at.get_or_insert_with(Instant::now);
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { guarantee, what, words });
        }
    }

    /// The last seq that was ever placed in a conversation.
    pub fn head(&self, conversation: ConversationId) -> Seq {
        let entries = self.log.range((conversation, Seq::ZERO)..=(conversation, Seq(u64::MAX)));
        entries.last().map_or(Seq::ZERO, |((_, seq), _)| *seq)
    }

    /// The entries of a conversation from one seq to another, both included.
    pub fn entries(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
    ) -> impl DoubleEndedIterator<Item = (Seq, &Placed)> {
        let range = if from <= to { Some((conversation, from)..=(conversation, to)) } else { None };
        range.into_iter().flat_map(|range| self.log.range(range)).map(|((_, seq), placed)| (*seq, placed))
    }

    /// Whether an account may see an entry.
    pub fn may_see(&self, account: AccountId, conversation: ConversationId, seq: Seq) -> bool {
        let row = self.members.get(&(conversation, account));
        row.is_some_and(|(_, row)| row.visible.iter().any(|span| hudhud_roles::conversation::contains(span, seq)))
    }

    /// The members of a conversation who are present, and since which seq.
    pub fn present(&self, conversation: ConversationId) -> impl Iterator<Item = (AccountId, Seq)> + '_ {
        let (first, last) = (AccountId::new([0; 16]), AccountId::new([u8::MAX; 16]));
        let members = self.members.range((conversation, first)..=(conversation, last));
        members.filter_map(|((_, account), (_, row))| {
            let since = row.visible.last().filter(|span| span.to == 0)?;
            Some((*account, Seq(since.from)))
        })
    }
}
