//! Engines that write down what they are asked for, and otherwise are what they wrap.

use crate::Journal;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_engines::Engines;
use hudhud_ports::{
    Bus, Cache, CacheStats, Claim, Key, Membership, Record, Result, Row, Scan, ShardConsumer, Store, Write,
};
use hudhud_proto::v1::ReceiptKind;
use hudhud_proto::{Position, Shard};
use hudhud_roles::conversation::record::{Decoded, decode};
use hudhud_roles::tables;
use std::sync::Arc;
use std::time::Duration;

/// The same engines; from now on the journal has what goes through them.
pub fn watch(engines: &mut Engines, journal: &Journal) {
    let store = |inner: &Arc<dyn Store>| Arc::new(Watched { inner: inner.clone(), journal: journal.clone() });
    engines.messages = store(&engines.messages);
    engines.directory = store(&engines.directory);
    engines.bus = Arc::new(Watched { inner: engines.bus.clone(), journal: journal.clone() });
    engines.cache = Arc::new(Watched { inner: engines.cache.clone(), journal: journal.clone() });
}

struct Watched<T: ?Sized> {
    journal: Journal,
    inner: T,
}

/// What a write is, where a test wants to know.
fn describe(write: &Write) -> Option<&'static str> {
    let table = write.key.table;
    match write.key.sort.last() {
        Some(b'a') if table == tables::ACCEPTED => Some("the accepted message is stored"),
        _ if table == tables::TIMELINE => Some("the timeline has the entry"),
        Some(b'd') if table == tables::WATERMARKS => Some("the database knows: received"),
        Some(b'r') if table == tables::WATERMARKS => Some("the database knows: read"),
        _ => None,
    }
}

#[async_trait]
impl Store for Watched<Arc<dyn Store>> {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.inner.get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.inner.scan(scan).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        let notes: Vec<_> = writes.iter().filter_map(describe).collect();
        self.inner.write(writes).await?;
        notes.into_iter().for_each(|note| self.journal.note(note));
        Ok(())
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.inner.claim(write).await
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }
}

#[async_trait]
impl Cache for Watched<Arc<dyn Cache>> {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.journal.note("the cache is asked who is where");
        self.inner.get(key).await
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        self.inner.put(key, value, ttl).await
    }

    async fn remove(&self, key: &[u8]) -> Result<()> {
        self.inner.remove(key).await
    }

    async fn stats(&self) -> Result<CacheStats> {
        self.inner.stats().await
    }
}

/// What a record says.
fn said(bytes: &[u8]) -> &'static str {
    match decode(bytes) {
        Ok((_, Decoded::Submission(_))) => "message",
        Ok((_, Decoded::Moved(moved))) if moved.kind == ReceiptKind::Read => "read",
        Ok((_, Decoded::Moved(_))) => "received",
        Err(_) => "nonsense",
    }
}

#[async_trait]
impl Bus for Watched<Arc<dyn Bus>> {
    fn shards(&self) -> u32 {
        self.inner.shards()
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        for record in &records {
            self.journal.note(format!("the bus is given: {}", said(record)));
        }
        self.inner.append(shard, records).await
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        Ok(Box::new(Watched { journal: self.journal.clone(), inner: self.inner.join().await? }))
    }
}

#[async_trait]
impl Membership for Watched<Box<dyn Membership>> {
    async fn assigned(&mut self) -> Result<Box<dyn ShardConsumer>> {
        Ok(Box::new(Watched { journal: self.journal.clone(), inner: self.inner.assigned().await? }))
    }
}

#[async_trait]
impl ShardConsumer for Watched<Box<dyn ShardConsumer>> {
    fn shard(&self) -> Shard {
        self.inner.shard()
    }

    async fn next(&mut self, max: usize) -> Result<Option<Vec<Record>>> {
        let records = self.inner.next(max).await?;
        for record in records.iter().flatten() {
            self.journal.note(format!("the dispatcher reads: {}", said(&record.bytes)));
        }
        Ok(records)
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        self.inner.commit(position).await
    }
}
