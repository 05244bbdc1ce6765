//! The one thread that writes: takes every call that waits, applies them in order as one batch, and answers.

use super::mark::{self, Mark, Synced};
use super::row::{self, Cell, Slot, StoredRow};
use super::{ENGINE, Shared};
use fjall::{OwnedWriteBatch as WriteBatch, PersistMode, UserKey, UserValue};
use hudhud_ports::{Claim, Error, ErrorKind, Key, Result, Row, Write};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Writes that are applied together, roughly: bounds how long the first of them waits.
const GROUP_WRITES_MAX: usize = 8_192;
/// Changes that a group has room for without asking for memory again.
const CHANGES_KEPT: usize = 1_024;
/// How often the room on the disk is looked at. What can be written meanwhile is far below what is kept free.
const ROOM_INTERVAL: Duration = Duration::from_millis(100);
/// How often the file is written that says how far everything is synced. What is lost behind it is told from a torn tail by the
/// journal alone.
const SYNCED_INTERVAL: Duration = Duration::from_secs(1);

/// What the writer is asked to do, and whom it tells.
pub(super) enum Call {
    /// Lists in their order: all of them are one batch.
    Write {
        lists: Vec<Vec<Write>>,
        done: oneshot::Sender<Result<()>>,
    },
    Claim {
        write: Write,
        done: oneshot::Sender<Result<Claim>>,
    },
    Flush {
        done: oneshot::Sender<Result<()>>,
    },
    /// Rows as they were stored elsewhere.
    Import {
        rows: Vec<StoredRow>,
        done: oneshot::Sender<Result<()>>,
    },
    /// A view of everything, between two groups.
    Freeze {
        done: oneshot::Sender<fjall::Snapshot>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

/// A row that changes.
struct Change {
    cell: Cell,
    /// It was there before: likely it will be written again.
    is_repeated: bool,
}

/// Rows that change, by where they are.
type Changes = HashMap<Slot, Change>;

/// What a writer keeps from one group to the next.
struct Memory {
    /// What the group changes. Empty between groups.
    changes: Changes,
    /// Where a key or a value is put together.
    buffer: Vec<u8>,
    has_room: bool,
    /// When that was looked at.
    looked: Option<Instant>,
}

impl Memory {
    fn new() -> Self {
        Self { changes: Changes::new(), buffer: Vec::new(), has_room: true, looked: None }
    }

    /// Whether there is room for what can't be refused later: fjall can't go on after a write to its journal failed.
    fn has_room(&mut self, shared: &Shared) -> bool {
        if self.looked.is_none_or(|looked| looked.elapsed() >= ROOM_INTERVAL) {
            self.looked = Some(Instant::now());
            self.has_room = has_room(shared);
        }
        self.has_room
    }
}

/// What the journal's end is like.
struct Journal {
    /// Something was written since the last sync.
    is_unsynced: bool,
    /// The number of the last batch.
    number: u64,
    /// The number up to which everything is synced, as it is and as the file says.
    synced: Synced,
    noted: (Synced, Instant),
}

impl Journal {
    fn new(synced: Synced) -> Self {
        Self { is_unsynced: false, number: synced.number, synced, noted: (synced, Instant::now()) }
    }

    /// The mark of the next batch.
    fn mark(&mut self, shared: &Shared) -> Vec<u8> {
        self.number += 1;
        let Synced { salt, number: synced } = self.synced;
        Mark { salt, number: self.number, synced, seqno: shared.database.seqno() }.encode()
    }

    /// Syncs what was written, and seals it.
    fn sync(&mut self, shared: &Shared) -> fjall::Result<()> {
        shared.database.persist(PersistMode::SyncData)?;
        self.is_unsynced = false;
        self.synced.number = self.number;
        let mut seal = shared.database.batch().durability(Some(PersistMode::Buffer));
        let mark = self.mark(shared);
        seal.insert(&shared.messages, mark::KEY, mark);
        seal.commit()
    }

    /// Writes down how far everything is synced.
    fn note(&mut self, shared: &Shared) {
        if self.noted.0 == self.synced {
            return;
        }
        self.noted = (self.synced, Instant::now());
        if let Err(error) = self.synced.store(&shared.path) {
            // Nothing is lost: less is noticed after a crash that damages files.
            tracing::warn!(%error, path = %shared.path.display(), "can't write down how far the store is synced");
        }
    }
}

/// What is answered, and when.
enum Answer {
    Written(oneshot::Sender<Result<()>>),
    Flushed(oneshot::Sender<Result<()>>),
    Frozen(oneshot::Sender<fjall::Snapshot>),
    Won(oneshot::Sender<Result<Claim>>),
    Taken(Row, oneshot::Sender<Result<Claim>>),
}

/// Runs until it is told to close, every [`super::Store`] is dropped, or nothing can be promised any more.
pub(super) fn run(shared: &Shared, synced: Synced, mut calls: mpsc::Receiver<Call>) {
    let (mut journal, mut memory) = (Journal::new(synced), Memory::new());
    while let Some(first) = calls.blocking_recv() {
        let mut group = Group::new(shared, &mut memory);
        let mut next = Some(first);
        let mut closed = None;
        while let Some(call) = next {
            match call {
                Call::Close { done } => {
                    closed = Some(done);
                    break;
                }
                call => group.add(call),
            }
            next = if group.writes < GROUP_WRITES_MAX { calls.try_recv().ok() } else { None };
        }
        if group.finish(&mut journal).is_err() {
            // Whoever still waits is told by the channel's end, and why by `Shared::failed`.
            return;
        }
        if closed.is_some() || journal.noted.1.elapsed() >= SYNCED_INTERVAL {
            journal.note(shared);
        }
        if let Some(done) = closed {
            // An error means that nobody waits for it.
            done.send(()).ok();
            return;
        }
    }
}

struct Group<'a> {
    shared: &'a Shared,
    memory: &'a mut Memory,
    now_us: u64,
    writes: usize,
    answers: Vec<Answer>,
}

impl<'a> Group<'a> {
    fn new(shared: &'a Shared, memory: &'a mut Memory) -> Self {
        let now_us = shared.clock.now_us();
        Self { shared, memory, now_us, writes: 0, answers: Vec::new() }
    }

    fn add(&mut self, call: Call) {
        match call {
            Call::Write { lists, done } => {
                self.writes += lists.iter().map(Vec::len).sum::<usize>();
                match self.apply(lists) {
                    Ok(()) => self.answers.push(Answer::Written(done)),
                    Err(error) => answer(done, Err(error)),
                }
            }
            Call::Claim { write, done } => {
                self.writes += 1;
                match self.claim(write) {
                    Ok(None) => self.answers.push(Answer::Won(done)),
                    // It may be a row of this very group, so it is answered with the group.
                    Ok(Some(row)) => self.answers.push(Answer::Taken(row, done)),
                    Err(error) => answer(done, Err(error)),
                }
            }
            Call::Flush { done } => self.answers.push(Answer::Flushed(done)),
            Call::Import { rows, done } => {
                self.writes += rows.len();
                let rows = rows.into_iter().map(StoredRow::into_cell);
                let changes = rows.map(|(slot, cell)| (slot, Change { cell, is_repeated: false }));
                self.memory.changes.extend(changes);
                self.answers.push(Answer::Written(done));
            }
            Call::Freeze { done } => self.answers.push(Answer::Frozen(done)),
            Call::Close { done } => drop(done.send(())),
        }
    }

    fn full(&mut self, op: &'static str) -> Result<()> {
        if self.memory.has_room(self.shared) {
            return Ok(());
        }
        let cause = format!(
            "the disk of {} has less than {} bytes left",
            self.shared.path.display(),
            self.shared.options.disk_free_bytes_min
        );
        Err(Error::new(ErrorKind::Full, ENGINE, op).because(cause))
    }

    /// All of the writes, or none and why.
    fn apply(&mut self, lists: Vec<Vec<Write>>) -> Result<()> {
        self.full("write")?;
        let mut undo = Vec::new();
        for Write { key, value, version } in lists.into_iter().flatten() {
            let cell = Cell::new(key.table, value, version, self.now_us);
            let slot = self.slot(&key);
            match self.change(slot, cell) {
                Ok(changed) => undo.extend(changed),
                Err(error) => {
                    for (slot, before) in undo.into_iter().rev() {
                        match before {
                            Some(before) => self.memory.changes.insert(slot, before),
                            None => self.memory.changes.remove(&slot),
                        };
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn slot(&mut self, key: &Key) -> Slot {
        (key.table.database, UserKey::from(row::key_in(&mut self.memory.buffer, key)))
    }

    /// What a row is with the changes of this group.
    fn current(&self, slot: &Slot) -> Result<Option<Cell>> {
        match self.memory.changes.get(slot) {
            Some(change) => Ok(Some(change.cell.clone())),
            None => self.shared.read(slot),
        }
    }

    /// Changes a row if the cell takes its place. Returns where, and what this group had made of it before.
    fn change(&mut self, slot: Slot, cell: Cell) -> Result<Option<(Slot, Option<Change>)>> {
        let current = self.current(&slot)?;
        if !cell.replaces(current.as_ref(), self.now_us) {
            return Ok(None);
        }
        let change = Change { cell, is_repeated: current.is_some() };
        let before = self.memory.changes.insert(slot.clone(), change);
        Ok(Some((slot, before)))
    }

    /// The row that is there already, if so.
    fn claim(&mut self, write: Write) -> Result<Option<Row>> {
        let Write { key, value, mut version } = write;
        let slot = self.slot(&key);
        let current = self.current(&slot)?;
        let is_repeated = current.is_some();
        if let Some(current) = current.filter(|cell| !cell.is_expired(self.now_us)) {
            // Won over a tombstone: it must be visible.
            version = version.max(current.version.saturating_add(1));
            if let Some(row) = current.into_row(key.sort, self.now_us) {
                return Ok(Some(row));
            }
        }
        self.full("claim")?;
        let cell = Cell::new(key.table, value, version, self.now_us);
        self.memory.changes.insert(slot, Change { cell, is_repeated });
        Ok(None)
    }

    /// Writes the group and answers its calls: first those that need not wait for an fsync.
    fn finish(self, journal: &mut Journal) -> Result<(), ()> {
        let Self { shared, memory, answers, .. } = self;
        let fail = |error: fjall::Error| {
            tracing::error!(%error, path = %shared.path.display(), "the store can't write any more");
            // Set by this thread alone, which then ends.
            shared.failed.set(error.to_string()).ok();
        };
        if !memory.changes.is_empty() {
            journal.is_unsynced = true;
            let mut batch = WriteBatch::with_capacity(shared.database.clone(), memory.changes.len() + 1);
            batch = batch.durability(Some(PersistMode::Buffer));
            let mark = journal.mark(shared);
            batch.insert(&shared.messages, mark::KEY, mark);
            for (slot, Change { cell, .. }) in &memory.changes {
                shared.cache.close(slot);
                let value = UserValue::from(cell.encode_in(&mut memory.buffer));
                batch.insert(shared.keyspace(slot.0), slot.1.clone(), value);
            }
            batch.commit().map_err(fail)?;
            for (slot, Change { cell, is_repeated }) in memory.changes.drain() {
                shared.cache.open(slot, is_repeated.then_some(cell));
            }
            memory.changes.shrink_to(CHANGES_KEPT);
        }
        let mut waiting = Vec::new();
        for one in answers {
            match one {
                Answer::Written(done) => answer(done, Ok(())),
                // An error means that the caller went away.
                Answer::Frozen(done) => drop(done.send(shared.database.snapshot())),
                one => waiting.push(one),
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        if journal.is_unsynced {
            journal.sync(shared).map_err(fail)?;
        }
        for one in waiting {
            match one {
                Answer::Written(done) | Answer::Flushed(done) => answer(done, Ok(())),
                Answer::Frozen(done) => drop(done.send(shared.database.snapshot())),
                Answer::Won(done) => answer(done, Ok(Claim::Won)),
                Answer::Taken(row, done) => answer(done, Ok(Claim::Taken(row))),
            }
        }
        Ok(())
    }
}

fn answer<T>(done: oneshot::Sender<Result<T>>, answer: Result<T>) {
    // An error means that the caller went away.
    done.send(answer).ok();
}

fn has_room(shared: &Shared) -> bool {
    match rustix::fs::statvfs(&shared.path) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= shared.options.disk_free_bytes_min,
        Err(error) => {
            tracing::warn!(%error, path = %shared.path.display(), "can't tell how much room the disk has");
            true
        }
    }
}
