//! The cache on moka: in process, least recently used first out, under a bound of bytes.

use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{CacheStats, Clock, Result};
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an entry costs beside its key and value, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// A [`hudhud_ports::Cache`] in process. What is expired may stay in memory until its room is needed.
pub struct Cache {
    clock: Arc<dyn Clock>,
    entries: moka::sync::Cache<Bytes, Entry>,
    evictions: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    expires: Duration,
}

impl Cache {
    /// An empty cache that holds at most so many bytes of keys, values and what an entry costs beside them.
    pub fn new(clock: Arc<dyn Clock>, bytes_max: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let counter = evictions.clone();
        let entries = moka::sync::Cache::builder()
            .max_capacity(bytes_max)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|key: &Bytes, entry: &Entry| {
                u32::try_from(key.len() + entry.value.len() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build();
        Self { clock, entries, evictions }
    }
}

#[async_trait]
impl hudhud_ports::Cache for Cache {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.entries.get(key) {
            Some(entry) if self.clock.monotonic() < entry.expires => Ok(Some(entry.value)),
            // Left where it is: removing it here could remove what another task has just put in its place.
            Some(_) | None => Ok(None),
        }
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        let expires = self.clock.monotonic().saturating_add(ttl);
        // Copied: a slice of a larger buffer would keep all of it in memory, uncounted.
        let value = Bytes::copy_from_slice(&value);
        self.entries.insert(Bytes::copy_from_slice(key), Entry { value, expires });
        Ok(())
    }

    async fn remove(&self, key: &[u8]) -> Result<()> {
        self.entries.invalidate(key);
        Ok(())
    }

    async fn stats(&self) -> Result<CacheStats> {
        self.entries.run_pending_tasks();
        Ok(CacheStats { entries: self.entries.entry_count(), evictions: self.evictions.load(Ordering::Relaxed) })
    }
}
