//! Wrappers around ports.

use crate::{
    Bus, Cache, CacheStats, Claim, Error, ErrorKind, Key, Membership, Result, Row, Runtime, Scan, Store, Write,
};
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_proto::{Position, Shard};
use std::sync::Arc;
use std::time::Duration;

/// A port whose calls fail with `Timeout` when they take too long.
///
/// The call that takes too long is dropped; what it was to write may be there, now or later, as [`ErrorKind::Timeout`]
/// says. What waits for something to happen has no limit: a member for a shard, a consumer for records.
pub struct Timeout<Port: ?Sized> {
    port: Arc<Port>,
    runtime: Runtime,
    limit: Duration,
}

impl<Port: ?Sized> Timeout<Port> {
    /// Limits every call to this duration.
    pub fn new(port: Arc<Port>, runtime: Runtime, limit: Duration) -> Self {
        Self { port, runtime, limit }
    }

    async fn limited<T>(&self, op: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.runtime.timeout(self.limit, call).await {
            Some(outcome) => outcome,
            None => {
                let cause = format!("no answer within {:?}", self.limit);
                Err(Error::new(ErrorKind::Timeout, "engine", op).because(cause))
            }
        }
    }
}

#[async_trait]
impl Store for Timeout<dyn Store> {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.limited("get", self.port.get(key)).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.limited("scan", self.port.scan(scan)).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.limited("write", self.port.write(writes)).await
    }

    async fn write_in_order(&self, lists: Vec<Vec<Write>>) -> Result<()> {
        self.limited("write_in_order", self.port.write_in_order(lists)).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.limited("claim", self.port.claim(write)).await
    }

    async fn flush(&self) -> Result<()> {
        self.limited("flush", self.port.flush()).await
    }
}

#[async_trait]
impl Bus for Timeout<dyn Bus> {
    fn shards(&self) -> u32 {
        self.port.shards()
    }

    async fn append(&self, shard: Shard, records: Vec<Bytes>) -> Result<Vec<Position>> {
        self.limited("append", self.port.append(shard, records)).await
    }

    async fn join(&self) -> Result<Box<dyn Membership>> {
        self.limited("join", self.port.join()).await
    }
}

#[async_trait]
impl Cache for Timeout<dyn Cache> {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.limited("get", self.port.get(key)).await
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        self.limited("put", self.port.put(key, value, ttl)).await
    }

    async fn remove(&self, key: &[u8]) -> Result<()> {
        self.limited("remove", self.port.remove(key)).await
    }

    async fn stats(&self) -> Result<CacheStats> {
        self.limited("stats", self.port.stats()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use std::future::pending;

    /// A cache that never answers when it is asked.
    struct Silent(memory::Cache);

    #[async_trait]
    impl Cache for Silent {
        async fn get(&self, _: &[u8]) -> Result<Option<Bytes>> {
            pending().await
        }

        async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
            self.0.put(key, value, ttl).await
        }

        async fn remove(&self, _: &[u8]) -> Result<()> {
            pending().await
        }

        async fn stats(&self) -> Result<CacheStats> {
            self.0.stats().await
        }
    }

    #[tokio::test]
    async fn a_call_fails_when_its_time_is_over_and_not_before() {
        let (runtime, clock) = memory::runtime(0, 1);
        let silent: Arc<dyn Cache> = Arc::new(Silent(memory::Cache::new(clock.clone(), 1_000)));
        let cache = Arc::new(Timeout::new(silent, runtime, Duration::from_secs(5)));
        cache.put(b"key", Bytes::new(), Duration::MAX).await.expect("it answers at once");
        let asked = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(b"key").await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(4_999));
        tokio::task::yield_now().await;
        assert!(!asked.is_finished());
        clock.advance(Duration::from_millis(1));
        let error = asked.await.expect("it does not panic").expect_err("no answer");
        assert!(error.kind() == ErrorKind::Timeout && error.is_retryable());
        assert_eq!(error.to_string(), "engine did not answer in time (get): no answer within 5s");
    }
}
