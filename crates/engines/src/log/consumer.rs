//! The reading side: a member, and its consumer of one shard.

use super::index::{Next, Place};
use super::{ENGINE, Shared, frame, unavailable};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{Error, ErrorKind, Membership, Record, Result, ShardConsumer, Term};
use hudhud_proto::{Position, Shard};
use std::sync::Arc;

/// Bytes that are read from disk for one call.
const DISK_READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are read from disk at once: other shards' records lie between those that are wanted.
const READ_AHEAD_BYTES: usize = 128 * 1024;

pub(super) struct Member {
    shared: Arc<Shared>,
    member: hudhud_ports::Member,
}

impl Member {
    pub(super) fn join(shared: Arc<Shared>) -> Result<Self> {
        let member = {
            let mut state = shared.state.lock();
            if state.closed {
                return Err(shared.gone("join"));
            }
            state.assignment.join()
        };
        shared.wake_all();
        Ok(Self { shared, member })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.state.lock().assignment.leave(self.member);
        self.shared.wake_all();
    }
}

#[async_trait]
impl Membership for Member {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        loop {
            let changed = self.shared.assigned.notified();
            let taken = {
                let mut state = self.shared.state.lock();
                if state.closed {
                    return Err(self.shared.gone("assigned"));
                }
                let taken = state.assignment.take(self.member);
                taken.map(|(shard, term)| (shard, term, state.index.committed(shard)))
            };
            if let Some((shard, term, committed)) = taken {
                return Ok(Box::new(Consumer { shared: self.shared.clone(), shard, term, read: committed }));
            }
            changed.await;
        }
    }
}

struct Consumer {
    shared: Arc<Shared>,
    shard: Shard,
    term: Term,
    /// The offset up to which it has been read.
    read: u64,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.state.lock().assignment.give_back(self.shard, self.term);
        self.shared.assigned.notify_waiters();
    }
}

impl Consumer {
    /// The records behind what was read, or where they are; none once the shard is another member's.
    async fn wait(&self, max: usize) -> Result<Option<Next>> {
        loop {
            let changed = self.shared.changed[self.shard.0 as usize].notified();
            {
                let mut state = self.shared.state.lock();
                if state.closed {
                    return Err(self.shared.gone("next"));
                }
                if !state.assignment.holds(self.shard, self.term) {
                    return Ok(None);
                }
                match state.index.after(self.shard, self.read, max, DISK_READ_BYTES_MAX) {
                    Next::OnDisk(places) if places.is_empty() => {}
                    next => return Ok(Some(next)),
                }
            }
            changed.await;
        }
    }
}

#[async_trait]
impl ShardConsumer for Consumer {
    fn shard(&self) -> Shard {
        self.shard
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        let records = match self.wait(max.max(1)).await? {
            None => return Ok(None),
            Some(Next::Records(records)) => records,
            // If the call is dropped here, nothing was taken: the next one reads the same from disk.
            Some(Next::OnDisk(places)) => tokio::task::spawn_blocking(move || read(&places))
                .await
                .map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, "next").because(error))??,
        };
        if let Some((last, _)) = records.last() {
            self.read = *last;
        }
        let record = |(offset, bytes)| Record { position: Position::new(self.shared.epoch, offset), bytes };
        Ok(Some(records.into_iter().map(record).collect()))
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(self.shared.gone("commit"));
        }
        if !state.assignment.holds(self.shard, self.term) {
            return Err(Error::new(ErrorKind::Fenced, ENGINE, "commit"));
        }
        if position > Position::new(self.shared.epoch, self.read) {
            let cause = format!("{position:?} was not read yet, only up to {}", self.read);
            return Err(Error::new(ErrorKind::Invalid, ENGINE, "commit").because(cause));
        }
        if position.epoch() == self.shared.epoch && position.offset() > state.index.committed(self.shard) {
            state.index.commit(self.shard, position.offset());
            if !std::mem::replace(&mut state.commits_changed, true) {
                self.shared.committed.notify_all();
            }
        }
        Ok(())
    }
}

pub(super) fn read(places: &[Place]) -> Result<Vec<(u64, Bytes)>> {
    let mut records = Vec::with_capacity(places.len());
    // What was read ahead, of which segment and from which byte on.
    let mut ahead = (Vec::new(), 0, 0);
    for Place { segment, offset, at, frame_bytes } in places {
        let (buffer, first, start) = &mut ahead;
        let is_there =
            *first == segment.first && *start <= *at && at + *frame_bytes as u64 <= *start + buffer.len() as u64;
        if !is_there {
            let rest = usize::try_from(segment.bytes.saturating_sub(*at)).unwrap_or(usize::MAX);
            buffer.resize(READ_AHEAD_BYTES.min(rest).max(*frame_bytes), 0);
            segment.read(buffer, *at).map_err(|error| unavailable("next", &segment.path, error))?;
            (*first, *start) = (segment.first, *at);
        }
        let from = usize::try_from(at - *start).expect("within the buffer");
        let record = frame::expect(&buffer[from..from + frame_bytes], segment.salt, *offset)?;
        records.push((*offset, Bytes::copy_from_slice(record)));
    }
    Ok(records)
}
