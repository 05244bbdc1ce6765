//! What a batch of records comes to: writes and pushes, gathered so that each is done once for all.

use super::{Core, Ended, lost};
use crate::conversation::record::{Decoded, Moved, Submission, decode};
use crate::conversation::{CLOCK_SKEW_US_MAX, Conversation, Known, Outcome, ReceiptPush, Receipts};
use crate::presence::privacy_of;
use crate::session::{Post, Recipient};
use crate::tables::{self, InboxPart};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hudhud_ports::{Key, Order, Payload, Record, Scan, Write};
use hudhud_proto::v1::{
    ConversationKind, Entry, InboxHeadRow, ReceiptKind, Refused, SequencedRow, ServerFrame, Switch, server_frame::Event,
};
use hudhud_proto::{AccountId, ConversationId, DeviceId, Message, MessageId, Position, ProtocolError, Seq};
use lru::LruCache;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Conversations with more recipients than this fan out beside the others, so as not to delay them.
const BULK_RECIPIENTS: usize = 64;
/// Entries that are read to find who sent lately, when a group's state is loaded.
const RECENT_ENTRIES: usize = 64;
/// Privacy settings that are read at once, when many are told of somebody's reading.
const PRIVACY_READS_AT_ONCE: usize = 16;

/// A conversation as a worker holds it.
struct State {
    conversation: Conversation,
    /// Loaded when the first receipt comes.
    receipts: Option<Receipts>,
    /// Who sent what last, since the state was loaded.
    sent: BTreeMap<AccountId, Seq>,
    /// The greatest message id that each device was given a seq for since the state was loaded.
    ids: BTreeMap<DeviceId, MessageId>,
    /// The head's time when the state was loaded: what `ids` does not know of was accepted before.
    loaded_us: u64,
    /// A log was lost, and what was in it of this conversation is appended again.
    made_good: bool,
}

/// The states of the conversations that were busy last.
pub(super) struct States(LruCache<ConversationId, State>);

impl States {
    /// Holds so many states, but always more than one batch can touch: a state with writes that are not stored yet must stay.
    pub(super) fn new(conversations_max: usize, batch_max: usize) -> Self {
        let capacity = conversations_max.max(2 * batch_max).max(1);
        Self(LruCache::new(NonZeroUsize::new(capacity).expect("at least one")))
    }
}

/// Inbox rows to write and frames to push, of entries up to a position.
#[derive(Default)]
pub(super) struct Fanout {
    pub(super) inbox: BTreeMap<Key, Write>,
    pub(super) posts: Vec<Post>,
}

impl Fanout {
    /// The inbox row of everybody who may see the entry, and the push to all their devices.
    fn entry(&mut self, conversation: &Conversation, entry: Entry, position: Position) {
        let seq = Seq(entry.seq);
        let row = InboxHeadRow { kind: conversation.kind().into(), head_seq: seq.0, activity_us: entry.time_us };
        // Encoded once: in a group every member's row holds the same.
        let (value, version) = (row.encode_to_bytes(), position.as_u64());
        let audience: Vec<AccountId> = conversation.audience(seq).collect();
        for account in &audience {
            let key = tables::inbox(*account, conversation.id, InboxPart::Head);
            self.inbox.insert(key.clone(), Write { key, value: Some(value.clone()), version });
        }
        self.push(Event::Entry(entry), audience.into_iter().map(Recipient::Account).collect());
    }

    fn push(&mut self, event: Event, to: Vec<Recipient>) {
        let frame = ServerFrame { event: Some(event), ..Default::default() };
        self.posts.push(Post { payload: Payload::Frame(frame.encode_to_bytes()), to });
    }
}

/// A batch while it is applied.
#[derive(Default)]
pub(super) struct Batch {
    /// Timeline rows, and seqs of message ids.
    pub(super) timeline: Vec<Write>,
    /// Heads and members: of each row only the last version.
    pub(super) heads: BTreeMap<Key, Write>,
    /// Watermarks, the highest of each.
    pub(super) marks: BTreeMap<Key, Write>,
    /// Of small conversations, together.
    pub(super) fanout: Fanout,
    /// Of big conversations, one by one, with the position that each stands for.
    pub(super) bulk: Vec<(Position, Fanout)>,
    /// Whether these accounts keep read receipts on, as of this batch.
    share_reading: BTreeMap<AccountId, bool>,
    /// Seqs that this batch gave out and that are not stored yet.
    known: BTreeMap<(ConversationId, MessageId), Known>,
}

impl Batch {
    /// Applies one record. Nothing is written yet.
    pub(super) async fn apply(&mut self, core: &Core, states: &mut States, record: &Record) -> Result<(), Ended> {
        let (id, decoded) = match decode(&record.bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                // Every dispatcher decides the same of these bytes, so skipping them keeps all in step.
                tracing::error!(position = ?record.position, %error, "skipped a record that no api wrote");
                return Ok(());
            }
        };
        let applied = match decoded {
            Decoded::Submission(submission) => self.submission(core, states, id, &submission, record.position).await,
            Decoded::Moved(moved) => self.moved(core, states, id, &moved).await,
        };
        // Never skipped: it was accepted, and what later records make would be built on its absence.
        applied.inspect_err(|ended| {
            if let Ended::Failed(error) = ended {
                tracing::error!(conversation = %id, position = ?record.position, %error, "a record can't be applied");
            }
        })
    }

    async fn submission(
        &mut self,
        core: &Core,
        states: &mut States,
        id: ConversationId,
        submission: &Submission,
        position: Position,
    ) -> Result<(), Ended> {
        let metrics = &core.services.metrics;
        let state = load(core, states, id).await?;
        if state.conversation.epochs_since(position) > 0 && !state.made_good {
            let (now_us, message) = (submission.accepted_us, submission.message);
            state.made_good = lost::append_again(core, &state.conversation, position, now_us, message).await?;
        }
        // A repetition of what was sequenced before the state was loaded is in no list of ids.
        let ids_know = submission.accepted_us > state.loaded_us.saturating_add(CLOCK_SKEW_US_MAX);
        let last = state.ids.get(&submission.device).copied().filter(|_| ids_know);
        let known = match state.conversation.needs_known(submission, position, last) {
            true => self.known(core, id, submission.message).await?,
            false => None,
        };
        // Flow 05: the message gets its place in the conversation's log.
        match state.conversation.apply(submission, position, known) {
            Outcome::Sequenced(sequenced) => {
                metrics.sequenced.inc();
                let seq = Seq(sequenced.entry.seq);
                state.sent.insert(submission.account, seq);
                let greatest = state.ids.entry(submission.device).or_insert(submission.message);
                *greatest = submission.message.max(*greatest);
                if let Some(receipts) = &mut state.receipts {
                    receipts.sent(submission.account, seq);
                }
                self.known.insert((id, submission.message), sequenced.known);
                self.timeline.extend(sequenced.timeline);
                self.heads.extend(sequenced.head.into_iter().map(|write| (write.key.clone(), write)));
                self.fan_out(&state.conversation, sequenced.entry, position);
            }
            Outcome::Again(seq) => {
                if let Some(entry) = read_entry(core, id, seq).await? {
                    self.fan_out(&state.conversation, entry, position);
                }
            }
            Outcome::Duplicate(seq) => {
                metrics.duplicates.inc();
                let unwritten = self.timeline.iter().find(|write| write.key == tables::timeline(id, seq));
                let entry = match unwritten.and_then(|write| write.value.as_ref()) {
                    Some(value) => Entry::decode_from_slice(value).ok(),
                    None => read_entry(core, id, seq).await?,
                };
                if let Some(entry) = entry {
                    self.fanout.push(Event::Entry(entry), sender(submission));
                }
            }
            Outcome::Refused(error, decided) => {
                metrics.refused.inc();
                if let Some((known, write)) = decided.map(|decided| *decided) {
                    self.known.insert((id, submission.message), known);
                    self.timeline.push(write);
                }
                self.fanout.push(refused(id, submission.message, &error), sender(submission));
            }
            Outcome::Settled => {}
        }
        Ok(())
    }

    fn fan_out(&mut self, conversation: &Conversation, entry: Entry, position: Position) {
        if conversation.members.len() <= BULK_RECIPIENTS {
            return self.fanout.entry(conversation, entry, position);
        }
        let mut fanout = Fanout::default();
        fanout.entry(conversation, entry, position);
        self.bulk.push((position, fanout));
    }

    async fn moved(
        &mut self,
        core: &Core,
        states: &mut States,
        id: ConversationId,
        moved: &Moved,
    ) -> Result<(), Ended> {
        // Flow 11: another server reads the receipt from the bus.
        // Flow 17: or that the entries were read.
        let State { conversation, receipts, sent, .. } = load(core, states, id).await?;
        // The api stored the mark without waiting for the disk; this is what makes it again after a loss of power.
        let (watermark, own) = moved.rows(conversation);
        watermark.into_iter().for_each(|write| keep_highest(&mut self.marks, write));
        own.into_iter().for_each(|write| keep_highest(&mut self.fanout.inbox, write));
        let receipts = match receipts {
            Some(receipts) => receipts,
            None => receipts.insert(load_receipts(core, conversation, sent).await?),
        };
        let pushes = receipts.apply(conversation, moved);
        self.ask_who_shares_reading(core, moved.account, &pushes).await?;
        for push in pushes {
            let hidden = matches!(push.to, Recipient::Account(to) if self.share_reading.get(&to) == Some(&false));
            let told = if hidden { receipts.without_reading(push) } else { Some(push) };
            let Some(push) = told else { continue };
            // Flow 12: the sender of what was received is looked up like any receiver.
            // Flow 18: likewise for what was read.
            let to = vec![push.to];
            // Flow 13: its gateway tells it: two ticks.
            // Flow 19: two coloured ticks.
            self.fanout.push(Event::Receipt(push.receipt), to);
        }
        Ok(())
    }

    /// Notes who of those that are about to be told of somebody's reading lets others know of its own.
    async fn ask_who_shares_reading(
        &mut self,
        core: &Core,
        reader: AccountId,
        pushes: &[ReceiptPush],
    ) -> Result<(), Ended> {
        let told_of_reading = |push: &ReceiptPush| match push.to {
            Recipient::Account(to) if push.receipt.kind == ReceiptKind::Read && to != reader => Some(to),
            _ => None,
        };
        let unknown = pushes.iter().filter_map(told_of_reading).filter(|to| !self.share_reading.contains_key(to));
        let unknown: Vec<AccountId> = unknown.collect();
        let asked = stream::iter(unknown).map(|account| async move {
            let services = &core.services;
            let privacy = core.persist("look privacy settings up", || privacy_of(services, account)).await?;
            Ok::<_, Ended>((account, privacy.read_receipts == Switch::On))
        });
        let answers: Vec<_> = asked.buffered(PRIVACY_READS_AT_ONCE).try_collect().await?;
        self.share_reading.extend(answers);
        Ok(())
    }

    async fn known(&self, core: &Core, id: ConversationId, message: MessageId) -> Result<Option<Known>, Ended> {
        if let Some(known) = self.known.get(&(id, message)) {
            return Ok(Some(known.clone()));
        }
        let key = tables::sequenced(id, message);
        let row = core.persist("look a message id up", || core.services.messages.get(key.clone())).await?;
        let row = row.map(|row| tables::read::<SequencedRow>(&row)).transpose().map_err(Ended::Failed)?;
        Ok(row.map(|row| Known::from_row(&row)))
    }
}

fn keep_highest(writes: &mut BTreeMap<Key, Write>, write: Write) {
    if writes.get(&write.key).is_none_or(|there| there.version < write.version) {
        writes.insert(write.key.clone(), write);
    }
}

fn sender(submission: &Submission) -> Vec<Recipient> {
    vec![Recipient::Device(submission.account, submission.device)]
}

fn refused(id: ConversationId, message: MessageId, error: &ProtocolError) -> Event {
    Event::Refused(Refused {
        conversation: id.to_bytes(),
        message_id: message.to_bytes(),
        error: error.to_wire().into(),
    })
}

async fn load<'a>(core: &Core, states: &'a mut States, id: ConversationId) -> Result<&'a mut State, Ended> {
    if !states.0.contains(&id) {
        let messages = core.services.messages.as_ref();
        let conversation = core.persist("load a conversation", || crate::api::load_conversation(messages, id)).await?;
        let loaded_us = conversation.head.as_ref().map_or(0, |head| head.time_us);
        let (sent, ids) = (BTreeMap::new(), BTreeMap::new());
        states.0.put(id, State { conversation, receipts: None, sent, ids, loaded_us, made_good: false });
    }
    Ok(states.0.get_mut(&id).expect("put above"))
}

async fn load_receipts(
    core: &Core,
    conversation: &Conversation,
    sent: &BTreeMap<AccountId, Seq>,
) -> Result<Receipts, Ended> {
    let messages = &core.services.messages;
    let scan = Scan::all(tables::WATERMARKS, conversation.id.to_bytes(), crate::conversation::ROWS_MAX);
    let rows = core.persist("load watermarks", || messages.scan(scan.clone())).await?;
    let mut receipts = Receipts::from_rows(&rows).map_err(Ended::Failed)?;
    if conversation.kind() == ConversationKind::Group {
        let head = conversation.head_seq();
        let scan = Scan {
            table: tables::TIMELINE,
            partition: tables::timeline_partition(conversation.id, head),
            from: bytes::Bytes::new(),
            to: Some(tables::seq_sort(head)),
            order: Order::Descending,
            limit: RECENT_ENTRIES,
        };
        for row in core.persist("load recent entries", || messages.scan(scan.clone())).await? {
            let entry: Entry = tables::read(&row).map_err(Ended::Failed)?;
            if let Ok(account) = AccountId::from_slice(&entry.sender) {
                receipts.sent(account, Seq(entry.seq));
            }
        }
    }
    sent.iter().for_each(|(account, seq)| receipts.sent(*account, *seq));
    Ok(receipts)
}

async fn read_entry(core: &Core, id: ConversationId, seq: Seq) -> Result<Option<Entry>, Ended> {
    let key = tables::timeline(id, seq);
    let row = core.persist("read an entry", || core.services.messages.get(key.clone())).await?;
    row.map(|row| tables::read(&row)).transpose().map_err(Ended::Failed)
}
