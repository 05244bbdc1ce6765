//! A cache that loses and lies.

use super::error;
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use hudhud_ports::{Cache, CacheStats, ErrorKind, Result, memory};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Old values of one key that may come back.
const OLD_MAX: usize = 4;

/// The cache, shared by all servers.
pub struct CacheBox {
    world: World,
    entries: memory::Cache,
    old: Mutex<BTreeMap<Bytes, VecDeque<Bytes>>>,
}

/// A server's way to it.
pub struct ServerCache(Arc<CacheBox>);

impl CacheBox {
    /// An empty one of the size that the plan says.
    pub fn new(world: &World, clock: Arc<dyn hudhud_ports::Clock>) -> Arc<Self> {
        let entries = memory::Cache::new(clock, world.plan().cache_bytes_max);
        Arc::new(Self { world: world.clone(), entries, old: Mutex::default() })
    }

    /// Forgets everything.
    pub fn restart(&self) {
        self.entries.clear();
    }

    fn fails(&self, op: &'static str) -> Result<()> {
        match self.world.strikes(self.world.plan().weather.cache_fails) {
            true => Err(error(ErrorKind::Unavailable, op)),
            false => Ok(()),
        }
    }
}

impl ServerCache {
    /// The way of a process.
    pub fn new(cache: &Arc<CacheBox>) -> Self {
        Self(cache.clone())
    }
}

#[async_trait]
impl Cache for ServerCache {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let CacheBox { world, entries, old } = &*self.0;
        self.0.fails("get")?;
        if world.strikes(world.plan().weather.cache_fails) {
            entries.remove(key).await?;
        }
        if world.strikes(world.plan().weather.cache_lies) {
            let old = old.lock();
            let values = old.get(key).map(VecDeque::len).unwrap_or_default();
            if values > 0 {
                let index = world.draw(|chance| chance.index(values));
                return Ok(Some(old[key][index].clone()));
            }
        }
        entries.get(key).await
    }

    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()> {
        let CacheBox { entries, old, .. } = &*self.0;
        {
            let mut old = old.lock();
            let values = old.entry(Bytes::copy_from_slice(key)).or_default();
            values.push_back(value.clone());
            if values.len() > OLD_MAX {
                values.pop_front();
            }
        }
        self.0.fails("put")?;
        entries.put(key, value, ttl).await
    }

    async fn remove(&self, key: &[u8]) -> Result<()> {
        self.0.fails("remove")?;
        self.0.entries.remove(key).await
    }

    async fn stats(&self) -> Result<CacheStats> {
        self.0.entries.stats().await
    }
}
