//! Wrappers around engines that notice when one says that it can't keep its promises any more: the process must stop then,
//! whichever request or task was the first to be told.

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{
    Bus, Claim, Error, ErrorKind, Key, Membership, Record, Result, Row, Scan, ShardConsumer, Store, Write,
};
use hudhud_proto::{Position, Shard};
use std::sync::Arc;
use tokio::sync::watch;

/// Where the first fatal error is reported. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alarm(watch::Sender<Option<String>>);

impl Default for Alarm {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Alarm {
    /// Reports an error, if it is fatal.
    pub fn hear(&self, error: &Error) {
        if error.kind() == ErrorKind::Fatal {
            self.raise(error.to_string());
        }
    }

    /// Reports that the process must stop. The first report stays.
    pub fn raise(&self, why: String) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(why);
            is_first
        });
    }

    /// Waits for the first report.
    pub async fn raised(&self) -> String {
        let mut reports = self.0.subscribe();
        let first = reports.wait_for(Option::is_some).await.expect("this value holds a sender");
        first.clone().unwrap_or_default()
    }

    fn pass<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.hear(error);
        }
        result
    }
}

/// An engine, and whom it alarms.
struct Watched<E> {
    alarm: Alarm,
    engine: E,
}

/// A database that alarms.
pub fn store(alarm: &Alarm, engine: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(Watched { alarm: alarm.clone(), engine })
}

/// A bus that alarms, in its consumers too.
pub fn bus(alarm: &Alarm, engine: Arc<dyn Bus>) -> Arc<dyn Bus> {
    Arc::new(Watched { alarm: alarm.clone(), engine })
}

#[async_trait]
impl Store for Watched<Arc<dyn Store>> {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.alarm.pass(self.engine.get(key).await)
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.alarm.pass(self.engine.scan(scan).await)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.alarm.pass(self.engine.write(writes).await)
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.alarm.pass(self.engine.claim(write).await)
    }

    async fn flush(&self) -> Result<()> {
        self.alarm.pass(self.engine.flush().await)
    }
}

#[async_trait]
impl Bus for Watched<Arc<dyn Bus>> {
    fn shards(&self) -> u32 {
        self.engine.shards()
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        self.alarm.pass(self.engine.append(shard, records).await)
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        let engine = self.alarm.pass(self.engine.join().await)?;
        Ok(Box::new(Watched { alarm: self.alarm.clone(), engine }))
    }
}

#[async_trait]
impl Membership for Watched<Box<dyn Membership>> {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        let engine = self.alarm.pass(self.engine.assigned().await)?;
        Ok(Box::new(Watched { alarm: self.alarm.clone(), engine }))
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
        assert_eq!(alarm.raised().await, "disk can't keep its promises any more (sync)");
    }
}
