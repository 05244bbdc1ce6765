//! What the devices stored and showed, and what the checker makes of it.

use anyhow::Result;
use hudhud_client::native::SqliteStorage;
use hudhud_client::{
    Change, ConversationRow, Entry, Event, MemoryStorage, OutgoingState, State, Storage, StorageError,
};
use hudhud_ports::Store;
use hudhud_proto::{AccountId, ConversationId, MessageId, Seq};
use hudhud_sim::check::end::{End, Held, Known};
use hudhud_sim::check::{Names, Observer, Placed, Violation, Written};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// Everything that was seen.
pub struct Seen(Mutex<Inner>);

struct Inner {
    /// What each device has on disk.
    devices: BTreeMap<Arc<str>, Mirror>,
    observer: Observer,
    last_change: Instant,
    /// Messages that were accepted, or are in the log.
    through: BTreeSet<MessageId>,
    /// How far the server's clock is ahead, as each device was told last, in seconds.
    clocks: BTreeMap<Arc<str>, i64>,
    /// Since [`Seen::mark`].
    fresh: BTreeMap<Arc<str>, Fresh>,
}

/// What a device wrote since the mark.
#[derive(Default)]
struct Fresh {
    written: BTreeSet<MessageId>,
    is_through: bool,
}

/// What a server's store has of conversations.
pub type Stored = BTreeMap<ConversationId, Known>;

/// Messages, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Written by people.
    pub written: u64,
    /// Accepted by the server.
    pub accepted: u64,
    /// Entries that devices hold, each device counted.
    pub stored: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.written += more.written;
        self.accepted += more.accepted;
        self.stored += more.stored;
    }
}

#[derive(Default)]
struct Mirror {
    account: Option<AccountId>,
    storage: MemoryStorage,
}

impl Default for Seen {
    fn default() -> Self {
        let inner = Inner {
            devices: BTreeMap::new(),
            observer: Observer::default(),
            last_change: Instant::now(),
            through: BTreeSet::new(),
            clocks: BTreeMap::new(),
            fresh: BTreeMap::new(),
        };
        Self(Mutex::new(inner))
    }
}

/// A database on disk of which the test sees every change once it is durable.
pub(super) struct WatchedStorage {
    inner: SqliteStorage,
    device: Arc<str>,
    seen: Arc<Seen>,
}

impl WatchedStorage {
    /// Watches a database.
    pub(super) fn new(inner: SqliteStorage, device: Arc<str>, seen: Arc<Seen>) -> Self {
        Self { inner, device, seen }
    }
}

impl Storage for WatchedStorage {
    fn load(&mut self) -> Result<State, StorageError> {
        self.inner.load()
    }

    fn persist(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        self.inner.persist(changes)?;
        self.seen.persisted(&self.device, changes);
        Ok(())
    }

    fn entries_before(&mut self, id: ConversationId, before: Seq, limit: usize) -> Result<Vec<Entry>, StorageError> {
        self.inner.entries_before(id, before, limit)
    }
}

/// Ids as they are.
struct Plain;

impl Names for Plain {
    fn conversation(&self, id: ConversationId) -> String {
        id.to_string()
    }

    fn message(&self, id: MessageId) -> String {
        id.to_string()
    }
}

impl Seen {
    /// A device stored something.
    fn persisted(&self, device: &Arc<str>, changes: &[Change]) {
        let mut inner = self.0.lock();
        let Inner { devices, observer, last_change, through, clocks, fresh } = &mut *inner;
        let fresh = fresh.entry(device.clone()).or_default();
        let mirror = devices.entry(device.clone()).or_default();
        for change in changes {
            if moves(&mirror.storage, change) {
                *last_change = Instant::now();
            }
            match change {
                Change::SaveAccount(account) => mirror.account = Some(account.account),
                Change::PutOutgoing(outgoing) => {
                    let written = observer.written.entry(outgoing.message).or_insert_with(|| {
                        fresh.written.insert(outgoing.message);
                        Written {
                            device: device.clone(),
                            conversation: outgoing.conversation,
                            number: outgoing.number,
                            first_number: outgoing.number,
                            payload: outgoing.content.payload.clone(),
                            state: OutgoingState::Queued,
                            accepted: false,
                            discarded: false,
                        }
                    });
                    written.number = outgoing.number;
                    written.state = outgoing.state.clone();
                    if outgoing.state == OutgoingState::Accepted {
                        written.accepted = true;
                        through.insert(outgoing.message);
                        fresh.is_through |= fresh.written.contains(&outgoing.message);
                    }
                }
                // Nobody gives a message up, so its entry came.
                Change::RemoveOutgoing(message) => {
                    through.insert(*message);
                    fresh.is_through |= fresh.written.contains(message);
                }
                Change::SaveProgress(progress) => {
                    clocks.insert(device.clone(), progress.clock_offset_us / 1_000_000);
                }
                Change::PutConversation(row) => {
                    let old = mirror.storage.conversations().find(|old| old.id == row.id);
                    for (mark, old, new) in old.into_iter().flat_map(|old| marks(old, row)) {
                        if new < old {
                            let what = format!("{device}: {mark} of {} went back from {old} to {new}", row.id);
                            observer.violate(5, what, Vec::new());
                        }
                    }
                }
                _ => {}
            }
        }
        mirror.storage.persist(changes).expect("memory does not fail");
    }

    /// A device told its person something.
    pub fn event(&self, device: &Arc<str>, event: &Event) {
        let Event::Entry(entry) = event else { return };
        let mut inner = self.0.lock();
        if !inner.observer.shown.insert((device.clone(), entry.conversation, entry.message)) {
            inner.observer.violate(2, format!("{device} showed {} twice", entry.message), Vec::new());
        }
    }

    /// Whether so many devices hold something of a conversation.
    pub fn all_have(&self, id: ConversationId, devices: usize) -> bool {
        let inner = self.0.lock();
        let has = |mirror: &&Mirror| mirror.storage.entries(id).next().is_some();
        inner.devices.values().filter(has).count() == devices
    }

    /// What a device has.
    pub fn conversations(&self, device: &Arc<str>) -> Vec<ConversationId> {
        let inner = self.0.lock();
        let rows = inner.devices.get(device).into_iter().flat_map(|mirror| mirror.storage.conversations());
        rows.map(|row| row.id).collect()
    }

    /// Whether every outbox is empty and all cursors of a conversation are the same.
    pub fn agree(&self) -> bool {
        self.disagreement().is_empty()
    }

    /// Who is behind, or still has to send.
    pub fn disagreement(&self) -> String {
        let inner = self.0.lock();
        let rows = || {
            inner.devices.iter().flat_map(|(name, mirror)| mirror.storage.conversations().map(move |row| (name, row)))
        };
        let mut heads: BTreeMap<ConversationId, Seq> = BTreeMap::new();
        for (_, row) in rows() {
            let head = heads.entry(row.id).or_default();
            *head = row.cursor.max(*head);
        }
        let behind = rows().filter(|(_, row)| row.cursor < heads[&row.id]);
        let behind =
            behind.map(|(name, row)| format!("{name} is at {} of {} in {}", row.cursor, heads[&row.id], row.id));
        let unsent = inner.devices.iter().filter_map(|(name, mirror)| match mirror.storage.outbox().count() {
            0 => None,
            unsent => Some(format!("{name} has {unsent} messages in its outbox")),
        });
        behind.chain(unsent).collect::<Vec<_>>().join("\n")
    }

    /// Begins to watch who gets through: see [`Self::all_through`].
    pub fn mark(&self) {
        let mut inner = self.0.lock();
        inner.fresh = inner.devices.keys().map(|name| (name.clone(), Fresh::default())).collect();
    }

    /// Whether every device had a message accepted that it wrote since the mark, and so all that it wrote before.
    pub fn all_through(&self) -> bool {
        self.0.lock().fresh.values().all(|fresh| fresh.is_through)
    }

    /// How many messages were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.0.lock().through.len() as u64
    }

    /// How far the server's clock is ahead of this machine's, as each device was told last, in seconds.
    pub fn clocks(&self) -> Vec<i64> {
        self.0.lock().clocks.values().copied().collect()
    }

    /// Everything, counted.
    pub fn tally(&self) -> Tally {
        let inner = self.0.lock();
        let stored = inner.devices.values().map(|mirror| {
            let conversations = mirror.storage.conversations();
            conversations.map(|row| mirror.storage.entries(row.id).count() as u64).sum::<u64>()
        });
        Tally {
            written: inner.observer.written.len() as u64,
            accepted: inner.through.len() as u64,
            stored: stored.sum(),
        }
    }

    /// When what a device knows of messages and marks last changed.
    pub fn last_change(&self) -> Instant {
        self.0.lock().last_change
    }

    /// What a server's store has of the conversations that devices know.
    pub async fn stored(&self, messages: &dyn Store) -> Result<Stored> {
        let ids: BTreeSet<ConversationId> = {
            let inner = self.0.lock();
            inner.devices.values().flat_map(|mirror| mirror.storage.conversations().map(|row| row.id)).collect()
        };
        let mut stored = Stored::new();
        for id in ids {
            stored.insert(id, Known::read(messages, id).await?);
        }
        Ok(stored)
    }

    /// A backup was restored, and this is all that was in it: what devices have beyond that is theirs alone.
    pub fn restored(&self, stored: &Stored) {
        let mut inner = self.0.lock();
        let Inner { devices, observer, .. } = &mut *inner;
        observer.losses.count += 1;
        for (&id, known) in stored {
            let stored: BTreeSet<Seq> = known.timeline().map(|(seq, _)| seq).collect();
            for entry in devices.values().flat_map(|mirror| mirror.storage.entries(id)) {
                if !stored.contains(&entry.seq) {
                    observer.losses.entries.insert((id, entry.seq), entry.message);
                    observer.losses.gone.insert(entry.message);
                    observer.losses.torn.insert(id);
                }
            }
        }
    }

    /// How many entries went with what was restored over.
    pub fn gone(&self) -> usize {
        self.0.lock().observer.losses.gone.len()
    }

    /// Holds what devices have against what the server has.
    pub fn check(&self, conversations: Stored) -> Vec<Violation> {
        let mut inner = self.0.lock();
        let Inner { devices, observer, .. } = &mut *inner;
        for (id, known) in &conversations {
            for (seq, entry) in known.timeline() {
                if let Some(placed) = Placed::new(entry) {
                    observer.placed.insert((*id, placed.message), seq);
                    observer.log.insert((*id, seq), placed);
                }
            }
        }
        let held = devices
            .iter()
            .filter_map(|(name, mirror)| Some(Held::new(name.clone(), mirror.account?, true, &mirror.storage)));
        let end = End { names: &Plain, devices: held.collect(), conversations };
        let mut violations = std::mem::take(&mut observer.violations);
        violations.extend(end.settled(observer));
        violations.extend(end.agreed(observer));
        violations
    }
}

/// Whether a change is one to a conversation, its messages or the outbox: not the same row again, and no names.
fn moves(storage: &MemoryStorage, change: &Change) -> bool {
    match change {
        Change::PutConversation(row) => storage.conversations().find(|old| old.id == row.id) != Some(&**row),
        Change::PutEntry(_) | Change::PutOutgoing(_) | Change::RemoveOutgoing(_) => true,
        Change::SaveAccount(_) | Change::SaveProgress(_) | Change::PutPerson(_) | Change::Clear => false,
    }
}

/// What only climbs.
fn marks(old: &ConversationRow, new: &ConversationRow) -> [(&'static str, Seq, Seq); 4] {
    [
        ("the cursor", old.cursor, new.cursor),
        ("read", old.read, new.read),
        ("received by others", old.others_received, new.others_received),
        ("read by others", old.others_read, new.others_read),
    ]
}
