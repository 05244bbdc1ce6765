//! A queue per shard, and what a power loss would take.

mod consumer;
#[cfg(test)]
mod tests;

use super::ENGINE;
use crate::assignment::Assignment;
use crate::limits::check_records;
use crate::{Error, ErrorKind, Membership, Record, Result};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_proto::{Position, Shard};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// How a [`Bus`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusOptions {
    /// Its number of shards.
    pub shards: u32,
    /// Bytes of records that are not committed, from which on `append` answers `Full`.
    pub backlog_bytes_max: usize,
    /// Committed records that each shard keeps, so that [`Bus::crash`] can forget that they were committed.
    pub retained_records: usize,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self { shards: 16, backlog_bytes_max: 64 * 1024 * 1024, retained_records: 0 }
    }
}

/// A [`crate::Bus`] in memory. Cheap to clone: clones are the same bus.
///
/// `append` is [`Bus::stage`] and then [`Bus::sync`]. Who simulates a disk calls these by itself, with time and crashes
/// between them.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    options: BusOptions,
    state: Mutex<State>,
    /// Told when the members' shares change.
    assigned: Notify,
    /// One per shard: told when it has a new record or changes hands.
    changed: Vec<Notify>,
}

struct State {
    epoch: u16,
    last_offset: u64,
    logs: Vec<Log>,
    /// Appended but not synced, oldest first. No consumer sees these: a power loss may take them, and then others
    /// get their positions.
    staged: Vec<(Shard, Record)>,
    assignment: Assignment,
}

#[derive(Default)]
struct Log {
    /// Those behind the last committed one, and up to `retained_records` before.
    records: VecDeque<Record>,
    committed: Position,
    /// Of records that are not committed.
    backlog_bytes: usize,
}

impl Log {
    fn committed_count(&self) -> usize {
        self.records.partition_point(|record| record.position <= self.committed)
    }

    /// Sets how far it is committed, and what the backlog is then.
    fn set_committed(&mut self, position: Position) {
        let bytes = |log: &Self, range: std::ops::Range<usize>| -> usize {
            log.records.range(range).map(|record| record.bytes.len()).sum()
        };
        let before = self.committed_count();
        self.committed = position;
        let after = self.committed_count();
        if after > before {
            self.backlog_bytes -= bytes(self, before..after);
        } else {
            self.backlog_bytes += bytes(self, after..before);
        }
    }
}

fn invalid(op: &'static str, cause: String) -> Error {
    Error::new(ErrorKind::Invalid, ENGINE, op).because(cause)
}

impl Bus {
    /// An empty bus, in epoch 1.
    pub fn new(options: BusOptions) -> Self {
        let state = State {
            epoch: 1,
            last_offset: 0,
            logs: (0..options.shards).map(|_| Log::default()).collect(),
            staged: Vec::new(),
            assignment: Assignment::new(options.shards),
        };
        let changed = (0..options.shards).map(|_| Notify::new()).collect();
        Self { shared: Arc::new(Shared { options, state: Mutex::new(state), assigned: Notify::new(), changed }) }
    }

    /// Gives records their positions, without making them durable or showing them to consumers. Errors are those
    /// of `append`.
    pub fn stage(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        check_records(ENGINE, &records)?;
        let Shared { options, state, .. } = &*self.shared;
        if shard.0 >= options.shards {
            return Err(invalid("append", format!("shard {} of {}", shard.0, options.shards)));
        }
        let mut state = state.lock();
        let staged_bytes: usize = state.staged.iter().map(|(_, record)| record.bytes.len()).sum();
        let backlog_bytes: usize = state.logs.iter().map(|log| log.backlog_bytes).sum();
        if staged_bytes + backlog_bytes >= options.backlog_bytes_max {
            return Err(Error::new(ErrorKind::Full, ENGINE, "append"));
        }
        let state = &mut *state;
        let staged = records.into_iter().map(|bytes| {
            state.last_offset += 1;
            let position = Position::new(state.epoch, state.last_offset);
            state.staged.push((shard, Record { position, bytes }));
            position
        });
        Ok(staged.collect())
    }

    /// Makes everything that was staged durable and shows it to consumers.
    pub fn sync(&self) {
        self.shared.show_staged(&mut self.shared.state.lock());
    }

    /// How many records a power loss could take now.
    pub fn unsynced(&self) -> usize {
        self.shared.state.lock().staged.len()
    }

    /// Loses power: keeps what was synced and the first `kept` of the staged records, forgets that the last
    /// `uncommitted` committed records of each shard were committed (of those it retained), and loses its members.
    pub fn crash(&self, kept: usize, uncommitted: usize) {
        let state = &mut *self.shared.state.lock();
        state.staged.truncate(kept);
        self.shared.show_staged(state);
        for log in &mut state.logs {
            let still_committed = log.committed_count().saturating_sub(uncommitted);
            if still_committed < log.committed_count() {
                // The one before the first uncommitted; none of those between is still there.
                let first = log.records[still_committed].position;
                log.set_committed(Position::from_u64(first.as_u64() - 1));
            }
        }
        state.assignment.clear();
        self.shared.wake_all();
    }

    /// Loses every record, begins the next epoch, and loses its members.
    pub fn lose(&self) {
        let state = &mut *self.shared.state.lock();
        state.staged.clear();
        state.logs.iter_mut().for_each(|log| *log = Log::default());
        state.epoch += 1;
        state.last_offset = 0;
        state.assignment.clear();
        self.shared.wake_all();
    }
}

impl Shared {
    fn show_staged(&self, state: &mut State) {
        state.last_offset = state.staged.last().map_or(state.last_offset, |(_, record)| record.position.offset());
        for (shard, record) in state.staged.drain(..) {
            let log = &mut state.logs[shard.0 as usize];
            log.backlog_bytes += record.bytes.len();
            log.records.push_back(record);
            self.changed[shard.0 as usize].notify_waiters();
        }
    }

    fn wake_all(&self) {
        self.assigned.notify_waiters();
        self.changed.iter().for_each(Notify::notify_waiters);
    }
}

#[async_trait]
impl crate::Bus for Bus {
    fn shards(&self) -> u32 {
        self.shared.options.shards
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        let positions = self.stage(shard, records)?;
        self.sync();
        Ok(positions)
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        Ok(Box::new(consumer::Member::join(self.shared.clone())))
    }
}
