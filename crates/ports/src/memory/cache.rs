//! Least recently used first out, under a bound of bytes.

use crate::{CacheStats, Clock, Result};
use async_trait::async_trait;
use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What an entry costs beside its key and value, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// A [`crate::Cache`] in memory. An entry that is larger than the whole bound is not kept.
pub struct Cache {
    clock: Arc<dyn Clock>,
    bytes_max: usize,
    state: Mutex<State>,
}

struct State {
    entries: LruCache<Bytes, Entry>,
    bytes: usize,
    evictions: u64,
}

struct Entry {
    value: Bytes,
    expires: Duration,
}

fn cost(key: &[u8], entry: &Entry) -> usize {
    key.len() + entry.value.len() + ENTRY_OVERHEAD_BYTES
}

impl State {
    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= cost(key, &entry);
        }
    }
}

impl Cache {
    /// An empty cache that holds at most so many bytes of keys, values and what an entry costs beside them.
    pub fn new(clock: Arc<dyn Clock>, bytes_max: usize) -> Self {
        let state = State { entries: LruCache::unbounded(), bytes: 0, evictions: 0 };
        Self { clock, bytes_max, state: Mutex::new(state) }
    }

    /// Forgets everything, as a cache that restarts does.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.entries.clear();
        state.bytes = 0;
    }
}

#[async_trait]
impl crate::Cache for Cache {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        match state.entries.get(key) {
            Some(entry) if now < entry.expires => Ok(Some(entry.value.clone())),
            Some(_) => {
                state.remove(key);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        let entry = Entry { value, expires: self.clock.monotonic().saturating_add(ttl) };
        let mut state = self.state.lock();
        state.remove(key);
        state.bytes += cost(key, &entry);
        state.entries.put(Bytes::copy_from_slice(key), entry);
        while state.bytes > self.bytes_max
            && let Some((key, entry)) = state.entries.pop_lru()
        {
            state.bytes -= cost(&key, &entry);
            state.evictions += 1;
        }
        Ok(())
    }

    async fn remove(&self, key: &[u8]) -> Result<()> {
        self.state.lock().remove(key);
        Ok(())
    }

    async fn stats(&self) -> Result<CacheStats> {
        let state = self.state.lock();
        Ok(CacheStats { entries: state.entries.len() as u64, evictions: state.evictions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cache as _;
    use crate::memory::ManualClock;

    #[tokio::test]
    async fn what_was_used_least_recently_goes_first() {
        let cache = Cache::new(Arc::new(ManualClock::new(0)), 3 * (ENTRY_OVERHEAD_BYTES + 2));
        let ttl = Duration::from_secs(9);
        for key in [b"a", b"b", b"c"] {
            cache.put(key, Bytes::from_static(b"x"), ttl).await.expect("put");
        }
        cache.get(b"a").await.expect("get");
        cache.put(b"d", Bytes::from_static(b"x"), ttl).await.expect("put");
        assert_eq!(cache.get(b"b").await.expect("get"), None);
        assert!(cache.get(b"a").await.expect("get").is_some());
        assert_eq!(cache.stats().await.expect("stats"), CacheStats { entries: 3, evictions: 1 });
    }
}
