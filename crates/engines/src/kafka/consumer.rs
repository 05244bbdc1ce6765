//! The reading side of one shard.

use super::frame::{self, Mark};
use super::group::{Group, Term};
use super::{ENGINE, Shared};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{Error, ErrorKind, Record, Result, ShardConsumer};
use hudhud_proto::{Position, Shard};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that one call takes out of the shard's queue, but for what the last append has more.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) struct Consumer {
    shared: Arc<Shared>,
    group: Arc<Group>,
    shard: Shard,
    term: Term,
    /// Kafka's offset of what has to come next; none where nothing is committed, and the log begins where it begins.
    next: Option<u64>,
    /// Of the first append, how many records were not consumed; none where all of them.
    unread: Option<u16>,
    /// Up to here it has been read.
    read: Position,
    /// Records that were taken out of the queue and not asked for yet.
    pending: VecDeque<Record>,
    /// What came behind them.
    failed: Option<Error>,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, group: Arc<Group>, shard: Shard, term: Term, mark: Option<Mark>) -> Self {
        let read = mark.map_or(Position::ZERO, |mark| mark.position(group.epoch));
        let (next, unread) = (mark.map(|mark| mark.offset), mark.and_then(|mark| mark.unread));
        Self { shared, group, shard, term, next, unread, read, pending: VecDeque::new(), failed: None }
    }

    /// Takes out of the queue what is there, up to so many records.
    fn fill(&mut self, max: usize) {
        let group = self.group.clone();
        let queue = group.shards[self.shard.0 as usize].queue.lock();
        let Some(queue) = queue.as_ref() else { return };
        let mut bytes = 0;
        while self.pending.len() < max && bytes < READ_BYTES_MAX && self.failed.is_none() {
            match queue.poll(Duration::ZERO) {
                None => return,
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    self.failed = self.take(&message).err();
                }
                Some(Err(error)) => self.failed = Some(self.failure(error)),
            }
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        let offset = u64::try_from(message.offset()).map_err(|error| self.corrupt(error.to_string()))?;
        match self.next {
            // Of an earlier fetch.
            Some(next) if offset < next => return Ok(()),
            Some(next) if offset > next => {
                return Err(self.corrupt(format!("appends {next} to {} are gone", offset - 1)));
            }
            _ => {}
        }
        let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
        let records = frame::decode(&value);
        let records = records.ok_or_else(|| self.corrupt(format!("append {offset} is not one of Hudhud's")))?;
        let consumed = self.unread.take().map_or(0, |unread| records.len().saturating_sub(usize::from(unread)));
        let positions = frame::positions(self.group.epoch, offset, records.len())?;
        let all = positions.zip(records).map(|(position, bytes)| Record { position, bytes });
        self.pending.extend(all.skip(consumed));
        // Only now: what does not decode is not passed by.
        self.next = Some(offset + 1);
        Ok(())
    }

    fn failure(&self, error: KafkaError) -> Error {
        match error {
            // The place of the last commit is not there: too old, or beyond the end.
            KafkaError::MessageConsumption(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                let next = self.next.map_or("the first".to_owned(), |next| next.to_string());
                self.corrupt(format!("append {next} is not there, neither is it the next one to come"))
            }
            KafkaError::MessageConsumption(Code::BadMessage) => self.corrupt("a checksum is wrong".to_owned()),
            error => Error::new(ErrorKind::Unavailable, ENGINE, "next").because(error),
        }
    }

    fn corrupt(&self, what: String) -> Error {
        let cause = format!(
            "topic {}, partition {}: {what}. The log was cut or lost: see \"When the log is lost\" in docs/cluster.md",
            self.shared.url.topic, self.shard.0
        );
        Error::new(ErrorKind::Corrupt, ENGINE, "next").because(cause)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.group.give_back(self.shard, self.term);
    }
}

#[async_trait]
impl ShardConsumer for Consumer {
    fn shard(&self) -> Shard {
        self.shard
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        let (group, max) = (self.group.clone(), max.max(1));
        loop {
            let changed = group.shards[self.shard.0 as usize].changed.notified();
            if !group.holds("next", self.shard, self.term)? {
                return Ok(None);
            }
            self.fill(max);
            if !self.pending.is_empty() {
                let records: Vec<Record> = self.pending.drain(..max.min(self.pending.len())).collect();
                self.read = records.last().map_or(self.read, |last| last.position);
                return Ok(Some(records));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            changed.await;
        }
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        if position > self.read {
            let cause = format!("{position:?} was not read yet, only up to {:?}", self.read);
            return Err(Error::new(ErrorKind::Invalid, ENGINE, "commit").because(cause));
        }
        if !self.group.commit(self.shard, self.term, position)? {
            return Err(Error::new(ErrorKind::Fenced, ENGINE, "commit"));
        }
        self.shared.reached.note(self.shard, position).await;
        Ok(())
    }
}
