//! The cache: fast, bounded, and allowed to lose anything.

use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// What a cache tells about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    /// Entries in it now.
    pub entries: u64,
    /// Entries that went because the memory bound was reached, since the start.
    pub evictions: u64,
}

/// A cache with least-recently-used eviction under a memory bound, shared by all processes of a region.
///
/// It may lose any entry at any time, and callers must be right (if slower) even when it answers with an old value:
/// what it holds is a hint. A `put` is seen by later `get`s of the same process unless the entry was lost.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The value of a key, if it is there.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Sets a value, to be forgotten after `ttl` at the latest.
    async fn put(&self, key: &[u8], value: Bytes, ttl: Duration) -> Result<()>;

    /// Forgets a key.
    async fn remove(&self, key: &[u8]) -> Result<()>;

    /// What it holds.
    async fn stats(&self) -> Result<CacheStats>;
}
