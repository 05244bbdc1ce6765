//! What must hold once faults have ended and everybody is connected: one function per guarantee.

use super::{Names, Observer, Thrown, Violation, Written};
use crate::device::Device;
use crate::site::Site;
use crate::world::World;
use futures_util::FutureExt as _;
use hudhud_client::{ConversationRow, Entry, MemoryStorage, OutgoingState, limits};
use hudhud_ports::{Scan, Store};
use hudhud_proto::v1::{self, ReceiptKind};
use hudhud_proto::{AccountId, ConversationId, MessageId, Seq};
use hudhud_roles::conversation::{Conversation, ROWS_MAX, Receipts, contains};
use hudhud_roles::tables;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything as it is now.
pub struct End<'a> {
    /// What people call things.
    pub names: &'a dyn Names,
    /// What is out there.
    pub devices: Vec<Held>,
    /// As the server has them.
    pub conversations: BTreeMap<ConversationId, Known>,
}

/// A conversation as the server has it.
pub struct Known {
    state: Conversation,
    receipts: Receipts,
    timeline: BTreeMap<Seq, v1::Entry>,
}

/// A device and what it holds.
pub struct Held {
    name: Arc<str>,
    account: AccountId,
    /// Whether its person lets others know what it read, and so learns what they read.
    shares_reading: bool,
    conversations: BTreeMap<ConversationId, (ConversationRow, BTreeMap<Seq, Entry>)>,
    outbox: Vec<(MessageId, OutgoingState)>,
}

impl Known {
    /// Reads everything of a conversation.
    pub async fn read(store: &dyn Store, id: ConversationId) -> hudhud_ports::Result<Self> {
        let partition = |table| Scan::all(table, id.to_bytes(), ROWS_MAX);
        let state = Conversation::from_rows(id, &store.scan(partition(tables::CONVERSATION)).await?)?;
        let receipts = Receipts::from_rows(&store.scan(partition(tables::WATERMARKS)).await?)?;
        let mut timeline = BTreeMap::new();
        let mut from = Seq::ZERO;
        while from <= state.head_seq() {
            let (_, last) = tables::timeline_partition_span(from);
            let scan = Scan::all(tables::TIMELINE, tables::timeline_partition(id, from), usize::MAX);
            for row in store.scan(scan).await? {
                let entry: v1::Entry = tables::read(&row)?;
                timeline.insert(Seq(entry.seq), entry);
            }
            from = Seq(last.0 + 1);
            if let Some(gap) = lost(&state).find(|gap| contains(gap, from)) {
                from = Seq(gap.to + 1);
            }
        }
        timeline.retain(|seq, _| *seq <= state.head_seq() && !lost(&state).any(|gap| contains(gap, *seq)));
        Ok(Self { state, receipts, timeline })
    }

    /// Its entries, in order.
    pub fn timeline(&self) -> impl Iterator<Item = (Seq, &v1::Entry)> {
        self.timeline.iter().map(|(seq, entry)| (*seq, entry))
    }

    fn message(&self, seq: Seq) -> Option<MessageId> {
        MessageId::from_slice(&self.timeline.get(&seq)?.message_id).ok()
    }
}

fn lost(state: &Conversation) -> impl Iterator<Item = &v1::Span> {
    state.head.iter().flat_map(|head| &head.lost)
}

impl Held {
    /// What a device of an account has on disk.
    pub fn new(name: Arc<str>, account: AccountId, shares_reading: bool, storage: &MemoryStorage) -> Self {
        let entries = |id| storage.entries(id).map(|entry| (entry.seq, entry.clone())).collect();
        let conversations = storage.conversations().map(|row| (row.id, (row.clone(), entries(row.id)))).collect();
        let outbox = storage.outbox().map(|outgoing| (outgoing.message, outgoing.state.clone())).collect();
        Self { name, account, shares_reading, conversations, outbox }
    }

    fn of(world: &World, device: &Device) -> Option<Self> {
        let account = device.account()?.account;
        let shares_reading = world.plan().people[device.person()].read_receipts;
        Some(Self::new(device.name().clone(), account, shares_reading, &device.storage()))
    }
}

impl<'a> End<'a> {
    /// Looks at everything.
    pub fn new(world: &'a World, site: &Site, devices: &[Arc<Device>]) -> Self {
        let ids: BTreeSet<ConversationId> = {
            let observer = world.observer();
            observer.log.keys().map(|(id, _)| *id).chain(observer.groups.keys().copied()).collect()
        };
        let mut conversations = BTreeMap::new();
        for id in ids {
            let known = Known::read(site.messages().rows(), id).now_or_never().expect("memory does not wait");
            match known {
                Ok(known) => _ = conversations.insert(id, known),
                Err(error) => {
                    let name = world.conversation(id);
                    world.observer().violate(0, format!("{name} can't be read: {error}"), vec![name.clone()]);
                }
            }
        }
        let devices = devices.iter().filter_map(|device| Held::of(world, device)).collect();
        Self { names: world, devices, conversations }
    }

    /// Entries in all timelines.
    pub fn entries(&self) -> u64 {
        self.conversations.values().map(|known| known.timeline.len() as u64).sum()
    }

    /// What must hold without anybody connecting anew.
    pub fn settled(&self, observer: &Observer) -> Vec<Violation> {
        let mut found = Found { names: self.names, violations: Vec::new() };
        self.accepted_reaches_every_device(&mut found, observer);
        self.nothing_is_held_twice(&mut found);
        self.each_device_keeps_its_order(&mut found, observer);
        self.one_order(&mut found, observer);
        self.only_members_hold_entries(&mut found, observer);
        self.written_is_placed_once_or_refused(&mut found, observer);
        self.accepted_survives(&mut found, observer);
        self.thrown_out_is_out(&mut found, observer);
        found.violations
    }

    /// What must hold once everybody has opened every conversation: marks are hints until then.
    pub fn agreed(&self, observer: &Observer) -> Vec<Violation> {
        let mut found = Found { names: self.names, violations: Vec::new() };
        self.marks_reach_the_server(&mut found, observer);
        self.ticks_are_those_of_the_server(&mut found, observer);
        self.devices_of_an_account_agree(&mut found, observer);
        found.violations
    }

    /// 1.
    fn accepted_reaches_every_device(&self, found: &mut Found<'_>, observer: &Observer) {
        for device in &self.devices {
            for (id, known) in self.awake(observer) {
                let held = device.conversations.get(id);
                let entries = held.map(|(_, entries)| entries.len()).unwrap_or_default();
                // A new device starts with the newest entries; the rest is history that it fetches on demand.
                let floor = match held {
                    Some((row, _)) if !row.complete && entries >= limits::FIRST_ENTRIES as usize => row.floor,
                    _ => Seq::ZERO,
                };
                let missing = known.timeline.keys().copied().find(|seq| {
                    *seq >= floor
                        && known.state.may_see(device.account, *seq)
                        && !held.is_some_and(|(_, entries)| entries.contains_key(seq))
                        && !held.is_some_and(|(_, entries)| {
                            // It holds it as it was before a log was lost, and does not show it again.
                            observer.losses.torn.contains(id)
                                && entries.values().any(|entry| Some(entry.message) == known.message(*seq))
                        })
                });
                if let Some(seq) = missing {
                    let name = known.message(seq);
                    found.add(1, *id, name, |c, m| format!("{} does not hold {c}/{seq} ({m})", device.name));
                }
            }
        }
    }

    /// 2.
    fn nothing_is_held_twice(&self, found: &mut Found<'_>) {
        for device in &self.devices {
            for (id, (_, entries)) in &device.conversations {
                let mut seen = BTreeSet::new();
                for entry in entries.values().filter(|entry| !seen.insert(entry.message)) {
                    found.add(2, *id, Some(entry.message), |c, m| format!("{} holds {m} of {c} twice", device.name));
                }
            }
        }
    }

    /// 3.
    fn each_device_keeps_its_order(&self, found: &mut Found<'_>, observer: &Observer) {
        for (id, known) in &self.conversations {
            let mut last: BTreeMap<Arc<str>, (&Written, MessageId)> = BTreeMap::new();
            for seq in known.timeline.keys() {
                let Some(message) = known.message(*seq) else { continue };
                let Some(written) = observer.written.get(&message) else { continue };
                let before = last.insert(written.device.clone(), (written, message));
                let adrift = |message| observer.losses.adrift.contains(&message);
                let before = before.filter(|(_, other)| !adrift(*other) && !adrift(message));
                if let Some((_, other)) = before.filter(|(other, _)| is_behind(other, written)) {
                    let other = self.names.message(other);
                    found.add(3, *id, Some(message), |c, m| {
                        format!("{} wrote {m} before {other}, and {c} has them the other way round", written.device)
                    });
                }
            }
        }
    }

    /// 4.
    fn one_order(&self, found: &mut Found<'_>, observer: &Observer) {
        for (id, known) in &self.conversations {
            let log: Vec<_> =
                observer.entries(*id, Seq::ZERO, Seq(u64::MAX)).map(|(seq, p)| (seq, Some(p.message))).collect();
            let timeline: Vec<_> = known.timeline.keys().map(|seq| (*seq, known.message(*seq))).collect();
            let gap = known
                .timeline
                .values()
                .zip(known.timeline.values().skip(1))
                .find(|(one, next)| next.prev_seq != one.seq);
            if let Some((one, next)) = gap {
                found.add(4, *id, None, |c, _| {
                    format!("{c}/{} says that {} is before it, but {} is", next.seq, next.prev_seq, one.seq)
                });
            }
            if log != timeline {
                found.add(4, *id, None, |c, _| {
                    format!("the timeline of {c} has {} entries and should have {}", timeline.len(), log.len())
                });
            }
            for device in &self.devices {
                let Some((_, entries)) = device.conversations.get(id) else { continue };
                let wrong = entries.iter().find(|(seq, entry)| {
                    known.message(**seq) != Some(entry.message) && !observer.losses.had(*id, **seq, entry.message)
                });
                if let Some((seq, entry)) = wrong {
                    found.add(4, *id, Some(entry.message), |c, m| {
                        format!("{} holds {m} as {c}/{seq}, and the timeline has another", device.name)
                    });
                }
            }
        }
    }

    /// 7.
    fn only_members_hold_entries(&self, found: &mut Found<'_>, observer: &Observer) {
        for device in &self.devices {
            for (id, (_, entries)) in &device.conversations {
                let Some(known) = self.conversations.get(id) else { continue };
                let strange = entries.values().find(|entry| {
                    !known.state.may_see(device.account, entry.seq)
                        && !observer.losses.had(*id, entry.seq, entry.message)
                });
                if let Some(entry) = strange {
                    found.add(7, *id, Some(entry.message), |c, m| {
                        format!("{} holds {c}/{} ({m}), and was no member then", device.name, entry.seq)
                    });
                }
            }
        }
    }

    /// 9. That no message has two places is seen whenever a row is written.
    fn written_is_placed_once_or_refused(&self, found: &mut Found<'_>, observer: &Observer) {
        for device in &self.devices {
            for (message, state) in &device.outbox {
                let Some(written) = observer.written.get(message) else { continue };
                let placed = observer.placed.contains_key(&(written.conversation, *message));
                let is_refused = matches!(state, OutgoingState::Refused { .. });
                if placed || !is_refused {
                    let place = if placed { "in" } else { "not in" };
                    found.add(9, written.conversation, Some(*message), |c, m| {
                        format!("{} still has {m} in its outbox as {state:?}, and it is {place} {c}", device.name)
                    });
                }
            }
        }
        for (message, written) in &observer.written {
            let placed = observer.placed.contains_key(&(written.conversation, *message));
            let refused = matches!(written.state, OutgoingState::Refused { .. });
            let forgotten = observer.thrown_out.contains_key(&written.device) || observer.losses.gone.contains(message);
            if !placed && !refused && !forgotten {
                found.add(9, written.conversation, Some(*message), |c, m| {
                    format!("{} wrote {m}, and it is neither in {c} nor refused", written.device)
                });
            }
            let entry = observer
                .placed
                .get(&(written.conversation, *message))
                .and_then(|seq| self.conversations.get(&written.conversation)?.timeline.get(seq)?.body.clone());
            if let Some(v1::entry::Body::Content(content)) = entry
                && content.payload != written.payload
            {
                found.add(9, written.conversation, Some(*message), |c, m| format!("{m} in {c} says something else"));
            }
        }
    }

    /// 11.
    fn accepted_survives(&self, found: &mut Found<'_>, observer: &Observer) {
        for (message, written) in observer.written.iter().filter(|(_, written)| written.accepted) {
            let is_there = observer.placed.get(&(written.conversation, *message)).is_some_and(|seq| {
                self.conversations.get(&written.conversation).is_some_and(|known| known.message(*seq) == Some(*message))
            });
            // Who was thrown out is not told any more.
            let refused = matches!(written.state, OutgoingState::Refused { .. }) || observer.refused.contains(message);
            let lost_with_log = observer.losses.gone.contains(message)
                || (observer.losses.adrift.contains(message) && observer.thrown_out.contains_key(&written.device));
            if !is_there && !refused && !lost_with_log {
                found.add(11, written.conversation, Some(*message), |c, m| {
                    format!("{} was told that {m} is accepted, and it is not in {c}", written.device)
                });
            }
        }
        for (message, id) in &observer.changes {
            let asleep = || self.conversations.get(id).is_none_or(|known| observer.losses.is_asleep(&known.state));
            let waits = observer.losses.adrift.contains(message) && asleep();
            let decided = observer.placed.contains_key(&(*id, *message)) || observer.refused.contains(message);
            if !decided && !waits && !observer.losses.gone.contains(message) {
                found.add(11, *id, Some(*message), |c, m| {
                    format!("the change {m} of {c} was accepted, and it is neither there nor refused")
                });
            }
        }
        for (id, message) in &observer.groups {
            if self.conversations.get(id).is_none_or(|known| known.state.head.is_none()) {
                found.add(11, *id, Some(*message), |c, _| {
                    format!("the making of {c} was accepted, and it is not there")
                });
            }
        }
    }

    /// 11: a revocation is durable, and holds wherever the device was connected.
    fn thrown_out_is_out(&self, found: &mut Found<'_>, observer: &Observer) {
        for device in &self.devices {
            if observer.thrown_out.get(&device.name) == Some(&Thrown::Out) {
                let what = format!("{} was thrown out, and does not know", device.name);
                found.violations.push(Violation { guarantee: 11, what, words: vec![device.name.to_string()] });
            }
        }
    }

    /// The conversations of which everything is promised: nobody makes good what a lost log left of the others until somebody
    /// writes to them.
    fn awake<'b>(&'b self, observer: &'b Observer) -> impl Iterator<Item = (&'b ConversationId, &'b Known)> {
        self.conversations.iter().filter(|(_, known)| !observer.losses.is_asleep(&known.state))
    }

    /// Of which conversation marks mean what they say: not where they name entries that went with a log.
    fn has_marks(&self, id: &ConversationId, observer: &Observer) -> bool {
        let is_awake = |known: &Known| !observer.losses.is_asleep(&known.state);
        self.conversations.get(id).is_some_and(is_awake) && !observer.losses.torn.contains(id)
    }

    /// 5, 8: what was stored and read is marked so.
    fn marks_reach_the_server(&self, found: &mut Found<'_>, observer: &Observer) {
        for device in &self.devices {
            for (id, (row, _)) in device.conversations.iter().filter(|(id, _)| self.has_marks(id, observer)) {
                let Some(known) = self.conversations.get(id) else { continue };
                if known.state.role(device.account).is_none() {
                    continue;
                }
                let marks = known.receipts.marks(&known.state, device.account);
                if marks.received < row.cursor || (device.shares_reading && marks.read < row.read) {
                    found.add(8, *id, None, |c, _| {
                        format!(
                            "{} has stored {c} up to {} and read up to {}; the server has {marks:?}",
                            device.name, row.cursor, row.read
                        )
                    });
                }
            }
        }
    }

    /// 5.
    fn ticks_are_those_of_the_server(&self, found: &mut Found<'_>, observer: &Observer) {
        for device in &self.devices {
            for (id, (row, _)) in device.conversations.iter().filter(|(id, _)| self.has_marks(id, observer)) {
                let Some(known) = self.conversations.get(id) else { continue };
                if known.state.role(device.account).is_none() {
                    continue;
                }
                let lowest = |kind| known.receipts.lowest_of_others(&known.state, device.account, kind);
                let (received, read) = (lowest(ReceiptKind::Received), lowest(ReceiptKind::Read));
                // A member who joins late, or one who leaves, moves the lowest mark; ticks that were shown stay.
                if row.others_received < received || (device.shares_reading && row.others_read < read) {
                    found.add(5, *id, None, |c, _| {
                        format!(
                            "{} shows {c} as received up to {} and read up to {}; the server has {received} and {read}",
                            device.name, row.others_received, row.others_read
                        )
                    });
                }
            }
        }
    }

    /// 10.
    fn devices_of_an_account_agree(&self, found: &mut Found<'_>, observer: &Observer) {
        for (n, device) in self.devices.iter().enumerate() {
            let Some(other) = self.devices[..n].iter().find(|other| other.account == device.account) else { continue };
            let ids: BTreeSet<_> = device.conversations.keys().chain(other.conversations.keys()).copied().collect();
            let awake: BTreeSet<_> = self.awake(observer).map(|(id, _)| *id).collect();
            for id in ids.into_iter().filter(|id| awake.contains(id)) {
                // Marks of who is no member any more mean nothing to anybody.
                let is_member = self.conversations[&id].state.role(device.account).is_some();
                let part = |held: &Held| {
                    let (row, _) = held.conversations.get(&id)?;
                    if !is_member {
                        return Some(Place { cursor: row.cursor, marks: None, role: row.role, what: None });
                    }
                    let others_read = held.shares_reading.then_some(row.others_read);
                    let marks = self.has_marks(&id, observer).then_some((row.read, row.others_received, others_read));
                    Some(Place {
                        cursor: row.cursor,
                        marks,
                        role: row.role,
                        what: Some((row.title.clone(), row.kind, row.muted_until_us, row.pinned, row.archived)),
                    })
                };
                let (one, two) = (part(device), part(other));
                if one != two {
                    found.add(10, id, None, |c, _| {
                        format!("{} and {} disagree on {c}: {one:?} and {two:?}", device.name, other.name)
                    });
                }
            }
        }
    }
}

/// What devices of one account must have alike of a conversation.
#[derive(PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "read by Debug and PartialEq")]
struct Place {
    cursor: Seq,
    /// Read here, received by others, read by others.
    marks: Option<(Seq, Seq, Option<Seq>)>,
    role: v1::Role,
    /// Title, kind, muted until, pinned, archived.
    what: Option<(String, v1::ConversationKind, u64, bool, bool)>,
}

/// Whether one message was written behind another, both when they were first written and when repetitions were asked for.
fn is_behind(one: &Written, other: &Written) -> bool {
    one.number > other.number && one.first_number > other.first_number
}

struct Found<'a> {
    names: &'a dyn Names,
    violations: Vec<Violation>,
}

impl Found<'_> {
    fn add(
        &mut self,
        guarantee: u8,
        id: ConversationId,
        message: Option<MessageId>,
        what: impl FnOnce(&str, &str) -> String,
    ) {
        let conversation = self.names.conversation(id);
        let name = message.map_or_else(|| "?".to_owned(), |message| self.names.message(message));
        let what = what(&conversation, &name);
        let words = if message.is_some() { vec![name] } else { vec![conversation] };
        self.violations.push(Violation { guarantee, what, words });
    }
}
