//! The one thread that writes: takes every call that waits, applies them in order as one batch, and answers.

use super::journal::SYNCED_MARK;
use super::row::{self, Cell};
use super::{ENGINE, Shared};
use fjall::PersistMode;
use hudhud_ports::{Claim, Error, ErrorKind, Result, Row, Table, Write};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// Writes that are applied together, roughly: bounds how long the first of them waits.
const GROUP_WRITES_MAX: usize = 8_192;

/// What the writer is asked to do, and whom it tells.
pub(super) enum Call {
    Write { writes: Vec<Write>, done: oneshot::Sender<Result<()>> },
    Claim { write: Write, done: oneshot::Sender<Result<Claim>> },
    Flush { done: oneshot::Sender<Result<()>> },
    Close { done: oneshot::Sender<()> },
}

/// Rows that change, by table and key.
type Changes = BTreeMap<(&'static Table, Vec<u8>), Cell>;

/// What the journal's end is like.
#[derive(Default)]
struct Journal {
    /// Something was written since the last sync.
    is_unsynced: bool,
    /// Nothing was written since the last sync, so the next batch is to say that there was one.
    is_just_synced: bool,
}

/// What is answered, and when.
enum Answer {
    Written(oneshot::Sender<Result<()>>),
    Flushed(oneshot::Sender<Result<()>>),
    Won(oneshot::Sender<Result<Claim>>),
    Taken(Row, oneshot::Sender<Result<Claim>>),
}

/// Runs until it is told to close, every [`super::Store`] is dropped, or nothing can be promised any more.
pub(super) fn run(shared: &Shared, mut calls: mpsc::Receiver<Call>) {
    let mut journal = Journal::default();
    while let Some(first) = calls.blocking_recv() {
        let mut group = Group::new(shared);
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
        if let Some(done) = closed {
            // An error means that nobody waits for it.
            done.send(()).ok();
            return;
        }
    }
}

struct Group<'a> {
    shared: &'a Shared,
    now_us: u64,
    has_room: bool,
    writes: usize,
    changes: Changes,
    answers: Vec<Answer>,
}

impl<'a> Group<'a> {
    fn new(shared: &'a Shared) -> Self {
        let now_us = shared.clock.now_us();
        Self { shared, now_us, has_room: has_room(shared), writes: 0, changes: Changes::new(), answers: Vec::new() }
    }

    fn add(&mut self, call: Call) {
        match call {
            Call::Write { writes, done } => {
                self.writes += writes.len();
                match self.apply(writes) {
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
            Call::Close { done } => drop(done.send(())),
        }
    }

    fn full(&self, op: &'static str) -> Result<()> {
        if self.has_room {
            return Ok(());
        }
        let cause = format!(
            "the disk of {} has less than {} bytes left",
            self.shared.path.display(),
            self.shared.options.disk_free_bytes_min
        );
        Err(Error::new(ErrorKind::Full, ENGINE, op).because(cause))
    }

    /// What a row is with the changes of this group and then these.
    fn current(&self, changes: &Changes, slot: &(&'static Table, Vec<u8>)) -> Result<Option<Cell>> {
        match changes.get(slot).or_else(|| self.changes.get(slot)) {
            Some(cell) => Ok(Some(cell.clone())),
            None => self.shared.read(slot.0, &slot.1),
        }
    }

    /// All of the writes, or none and why.
    fn apply(&mut self, writes: Vec<Write>) -> Result<()> {
        self.full("write")?;
        let mut changes = Changes::new();
        for Write { key, value, version } in writes {
            let slot = (key.table, row::key_bytes(&key));
            let cell = Cell::new(key.table, value, version, self.now_us);
            if cell.replaces(self.current(&changes, &slot)?.as_ref(), self.now_us) {
                changes.insert(slot, cell);
            }
        }
        self.changes.append(&mut changes);
        Ok(())
    }

    /// The row that is there already, if so.
    fn claim(&mut self, write: Write) -> Result<Option<Row>> {
        let Write { key, value, mut version } = write;
        let slot = (key.table, row::key_bytes(&key));
        if let Some(current) = self.current(&Changes::new(), &slot)?.filter(|cell| !cell.is_expired(self.now_us)) {
            // Won over a tombstone: it must be visible.
            version = version.max(current.version.saturating_add(1));
            if let Some(row) = current.into_row(key.sort, self.now_us) {
                return Ok(Some(row));
            }
        }
        self.full("claim")?;
        self.changes.insert(slot, Cell::new(key.table, value, version, self.now_us));
        Ok(None)
    }

    /// Writes the group and answers its calls: first those that need not wait for an fsync.
    fn finish(self, journal: &mut Journal) -> Result<(), ()> {
        let Self { shared, changes, answers, .. } = self;
        let fail = |error: fjall::Error| {
            tracing::error!(%error, path = %shared.path.display(), "the store can't write any more");
            // Set by this thread alone, which then ends.
            shared.failed.set(error.to_string()).ok();
        };
        let mut batch = shared.database.batch().durability(Some(PersistMode::Buffer));
        if !changes.is_empty() {
            journal.is_unsynced = true;
            if std::mem::take(&mut journal.is_just_synced) {
                batch.insert(&shared.messages, SYNCED_MARK, b"");
            }
        }
        for ((table, key), cell) in changes {
            batch.insert(shared.keyspace(table), key, cell.encode());
        }
        batch.commit().map_err(fail)?;
        let mut waiting = Vec::new();
        for one in answers {
            match one {
                Answer::Written(done) => answer(done, Ok(())),
                one => waiting.push(one),
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        if journal.is_unsynced {
            shared.database.persist(PersistMode::SyncData).map_err(fail)?;
            *journal = Journal { is_unsynced: false, is_just_synced: true };
        }
        for one in waiting {
            match one {
                Answer::Written(done) | Answer::Flushed(done) => answer(done, Ok(())),
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

/// Whether there is room for what can't be refused later: fjall can't go on after a write to its journal failed.
fn has_room(shared: &Shared) -> bool {
    match rustix::fs::statvfs(&shared.path) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= shared.options.disk_free_bytes_min,
        Err(error) => {
            tracing::warn!(%error, path = %shared.path.display(), "can't tell how much room the disk has");
            true
        }
    }
}
