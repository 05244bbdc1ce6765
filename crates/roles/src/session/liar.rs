//! For tests: the worst that a cache may do.

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{Cache, CacheStats, Error, ErrorKind, Result, Runtime, memory};
use parking_lot::Mutex;
use std::time::Duration;

/// A cache that lies: it answers with what other keys hold, with what the key held before, with garbage, or not at all.
pub(crate) struct Liar {
    runtime: Runtime,
    truth: memory::Cache,
    said: Mutex<Vec<Bytes>>,
}

impl Liar {
    pub(crate) fn new(runtime: Runtime, truth: memory::Cache) -> Self {
        Self { runtime, truth, said: Mutex::default() }
    }
}

#[async_trait]
impl Cache for Liar {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let [lie, which] = self.runtime.random();
        let said = self.said.lock().clone();
        match lie % 6 {
            0 if !said.is_empty() => Ok(said.get(usize::from(which) % said.len()).cloned()),
            1 => Ok(Some(Bytes::copy_from_slice(&self.runtime.random::<24>()))),
            2 => Ok(Some(Bytes::new())),
            3 => Ok(None),
            4 => Err(Error::new(ErrorKind::Unavailable, "liar", "get")),
            _ => self.truth.get(key).await,
        }
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        {
            let mut said = self.said.lock();
            if !said.contains(&value) {
                said.push(value.clone());
            }
        }
        self.truth.put(key, value, ttl).await
    }

    async fn remove(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    async fn stats(&self) -> Result<CacheStats> {
        self.truth.stats().await
    }
}
