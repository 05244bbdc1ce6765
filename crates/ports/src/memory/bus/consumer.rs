//! The reading side: a member, and its consumer of one shard.

use super::{ENGINE, Shared, invalid};
use crate::{Error, ErrorKind, Membership, Record, Result, ShardConsumer, Term};
use async_trait::async_trait;
use hudhud_proto::{Position, Shard};
use std::sync::Arc;

pub(super) struct Member {
    shared: Arc<Shared>,
    member: crate::Member,
}

impl Member {
    pub(super) fn join(shared: Arc<Shared>) -> Self {
        let member = shared.state.lock().assignment.join();
        shared.wake_all();
        Self { shared, member }
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
                let taken = state.assignment.take(self.member);
                taken.map(|(shard, term)| (shard, term, state.logs[shard.0 as usize].committed))
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
    /// Up to here it has been read.
    read: Position,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.state.lock().assignment.give_back(self.shard, self.term);
        self.shared.assigned.notify_waiters();
    }
}

#[async_trait]
impl ShardConsumer for Consumer {
    fn shard(&self) -> Shard {
        self.shard
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        let n = self.shard.0 as usize;
        loop {
            let changed = self.shared.changed[n].notified();
            {
                let state = self.shared.state.lock();
                if !state.assignment.holds(self.shard, self.term) {
                    return Ok(None);
                }
                let records = &state.logs[n].records;
                let first = records.partition_point(|record| record.position <= self.read);
                let read: Vec<Record> = records.range(first..).take(max.max(1)).cloned().collect();
                if let Some(last) = read.last() {
                    self.read = last.position;
                    return Ok(Some(read));
                }
            }
            changed.await;
        }
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        let state = &mut *self.shared.state.lock();
        if !state.assignment.holds(self.shard, self.term) {
            return Err(Error::new(ErrorKind::Fenced, ENGINE, "commit"));
        }
        if position > self.read {
            return Err(invalid("commit", format!("{position:?} was not read yet, only up to {:?}", self.read)));
        }
        let log = &mut state.logs[self.shard.0 as usize];
        log.set_committed(log.committed.max(position));
        let excess = log.committed_count().saturating_sub(self.shared.options.retained_records);
        log.records.drain(..excess);
        Ok(())
    }
}
