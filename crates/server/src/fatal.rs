//! Wrappers around engines that notice what concerns the whole process, whichever request or task was the first to be told:
//! that one can't keep its promises any more, so that the process must stop, and that one has no room.

use crate::exit::Failure;
use crate::room::Room;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{
    Bus, Claim, Error, ErrorKind, Key, Membership, Record, Result, Row, Scan, ShardConsumer, Store, Write,
};
use hudhud_proto::{Position, Shard};
use std::sync::Arc;
use tokio::sync::watch;

/// Where the first error is reported that ends the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alarm(watch::Sender<Option<(ErrorKind, String)>>);

impl Default for Alarm {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Alarm {
    /// Reports an error, if it is fatal.
    pub fn hear(&self, error: &Error) {
        if error.kind() == ErrorKind::Fatal {
            self.raise(error);
        }
    }

    /// Reports that the process must stop. The first report stays.
    pub fn raise(&self, error: &Error) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| (error.kind(), error.to_string()));
            is_first
        });
    }

    /// Waits for the first report.
    pub async fn raised(&self) -> Failure {
        let mut reports = self.0.subscribe();
        let first = reports.wait_for(Option::is_some).await.expect("this value holds a sender");
        match first.clone() {
            Some((ErrorKind::Corrupt, why)) => Failure::Corrupt(why),
            first => Failure::Fatal(first.map(|(_, why)| why).unwrap_or_default()),
        }
    }

    fn pass<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.hear(error);
        }
        result
    }
}

/// An engine, and whom it alarms. What can be without room has a [`Room`], too.
struct Watched<E, R = ()> {
    alarm: Alarm,
    room: R,
    engine: E,
}

impl<E> Watched<E> {
    fn new(alarm: &Alarm, engine: E) -> Self {
        Self { alarm: alarm.clone(), room: (), engine }
    }
}

impl<E> Watched<E, Arc<Room>> {
    fn pass_write<T>(&self, result: Result<T>) -> Result<T> {
        self.room.see(&result);
        self.alarm.pass(result)
    }
}

/// A database that alarms, and whose room is watched.
pub fn store(alarm: &Alarm, room: &Arc<Room>, engine: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(Watched { alarm: alarm.clone(), room: room.clone(), engine })
}

/// A bus that alarms, in its consumers too.
pub fn bus(alarm: &Alarm, engine: Arc<dyn Bus>) -> Arc<dyn Bus> {
    Arc::new(Watched { alarm: alarm.clone(), room: Arc::new(Room::of("bus")), engine })
}

#[async_trait]
impl Store for Watched<Arc<dyn Store>, Arc<Room>> {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.alarm.pass(self.engine.get(key).await)
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.alarm.pass(self.engine.scan(scan).await)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.pass_write(self.engine.write(writes).await)
    }

    async fn write_in_order(&self, lists: Vec<Vec<Write>>) -> Result<()> {
        self.pass_write(self.engine.write_in_order(lists).await)
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.pass_write(self.engine.claim(write).await)
    }

    async fn flush(&self) -> Result<()> {
        self.alarm.pass(self.engine.flush().await)
    }
}

#[async_trait]
impl Bus for Watched<Arc<dyn Bus>, Arc<Room>> {
    fn shards(&self) -> u32 {
        self.engine.shards()
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        self.pass_write(self.engine.append(shard, records).await)
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        let engine = self.alarm.pass(self.engine.join().await)?;
        Ok(Box::new(Watched::new(&self.alarm, engine)))
    }
}

#[async_trait]
impl Membership for Watched<Box<dyn Membership>> {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        let engine = self.alarm.pass(self.engine.assigned().await)?;
        Ok(Box::new(Watched::new(&self.alarm, engine)))
    }
}

#[async_trait]
impl ShardConsumer for Watched<Box<dyn ShardConsumer>> {
    fn shard(&self) -> Shard {
        self.engine.shard()
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        let next = self.engine.next(max).await;
        self.alarm.pass(next)
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        let committed = self.engine.commit(position).await;
        self.alarm.pass(committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a fatal error stops the process, and the first one is what people are told.
    #[tokio::test]
    async fn the_first_fatal_error_is_reported() {
        let alarm = Alarm::default();
        alarm.hear(&Error::new(ErrorKind::Timeout, "disk", "sync"));
        alarm.hear(&Error::new(ErrorKind::Fatal, "disk", "sync"));
        alarm.hear(&Error::new(ErrorKind::Fatal, "disk", "write"));
        let raised = alarm.raised().await;
        assert_eq!(raised.code(), 70);
        assert!(raised.to_string().starts_with("disk can't keep its promises any more (sync). "), "{raised}");
    }
}
